"""
Bodies in the vendor's new standard, and which requests are sent in it.
"""

from typing import Any

import attrs
import pytest
from hypothesis import given

from kling_async import GATEWAY, OFFICIAL, Dialect, ImageToVideo, Shot, TextToVideo
from kling_async.wire import TaskRequest, broken_rules, endpoint_of, read_request, write_request
from kling_async.wire.endpoints.base import with_fields
from tests.fakes.valid_requests import image_to_video, text_to_video

NEW = attrs.evolve(OFFICIAL, standard="new")
URL = "https://pictures.example/cat.png"


def sent(request: TaskRequest, dialect: Dialect = NEW) -> tuple[str, dict[str, Any]]:
    """
    Return the path and the body of a create.
    """
    endpoint = endpoint_of(type(request))
    request = endpoint.complete(request, dialect)
    spoken = endpoint.spoken(request, dialect)
    fields = write_request(request)
    return spoken.path, fields if spoken.to_body is None else spoken.to_body(fields)


def test_text() -> None:
    """
    Several shots are turned off, since they are the service's default; the duration is a number.
    """
    request = TextToVideo("a boat", duration=5, mode="pro", sound=True, external_task_id="a-1", watermark_info=False)

    assert (
        "/text-to-video/kling-3.0",
        {
            "prompt": "a boat",
            "settings": {"resolution": "1080p", "duration": 5, "audio": "native", "multi_shot": False},
            "options": {"external_task_id": "a-1", "watermark_info": {"enabled": False}},
        },
    ) == sent(request)


def test_shots_are_lines_of_the_prompt() -> None:
    """
    Each has its number, its seconds and its words.
    """
    shots = [Shot("a quay", 2), Shot("the sea", 3)]
    _, body = sent(TextToVideo(multi_shot=True, shot_type="customize", multi_prompt=shots))

    assert "shot 1, 2, a quay;\nshot 2, 3, the sea;" == body["prompt"]
    assert body["settings"]["multi_shot"] is True


def test_contents() -> None:
    """
    Frames, elements and voices are items of one list, which the prompt names by their ids.
    """
    request = ImageToVideo(URL, prompt="it jumps", image_tail=URL, element_list=[17])

    assert (
        "/image-to-video/kling-3.0",
        {
            "contents": [
                {"type": "prompt", "text": "it jumps"},
                {"type": "first_frame", "url": URL},
                {"type": "last_frame", "url": URL},
                {"type": "element", "element_id": 17, "id": "element_1"},
            ],
            "settings": {"resolution": "720p", "duration": 5, "multi_shot": False},
        },
    ) == sent(request)


def test_shots_have_one_limit_together() -> None:
    """
    They become lines of one prompt, which has a limit of its own.
    """
    shots = [Shot("x" * 512, 2) for _ in range(6)]
    request = TextToVideo(multi_shot=True, shot_type="customize", multi_prompt=shots, duration=12)

    assert () == broken_rules(OFFICIAL, request)
    assert ["multi_prompt"] == [rule.field for rule in broken_rules(NEW, request)]


def test_a_model_without_a_legacy_path() -> None:
    """
    It is sent in the new standard where the service speaks it, without settings that it does not have.
    """
    request = TextToVideo("a boat", duration=3, model_name="kling-3.0-turbo", sound=True)

    body = {"prompt": "a boat", "settings": {"resolution": "720p", "duration": 3}}
    assert ("/text-to-video/kling-3.0-turbo", body) == sent(request, OFFICIAL)
    assert "/v1/videos/text2video" == sent(TextToVideo("a boat"), OFFICIAL)[0]
    (refused,) = broken_rules(GATEWAY, request)
    assert ("model_name", True) == (refused.field, "new standard" in refused.rule)


@pytest.mark.parametrize(
    "request_", [TextToVideo("a boat", negative_prompt="fog"), ImageToVideo(URL, negative_prompt="fog")]
)
def test_fields_that_it_does_not_have_are_refused(request_: TaskRequest) -> None:
    """
    The service would ignore them and bill.
    """
    (refused,) = broken_rules(NEW, request_)

    assert ("negative_prompt", True) == (refused.field, "ignore it and bill" in refused.rule)
    assert () == broken_rules(OFFICIAL, request_)


@given(request=text_to_video.REQUESTS | image_to_video.REQUESTS)
def test_valid_requests_read_back(request: TextToVideo | ImageToVideo) -> None:
    """
    The emulator reads what was sent; of shots it reads the lines of the prompt.
    """
    endpoint = endpoint_of(type(request))
    plain = with_fields(
        endpoint.complete(request, NEW),
        prompt=request.prompt or "a boat",
        mode=request.mode or "std",
        negative_prompt=None,
        multi_shot=None,
        shot_type=None,
        multi_prompt=(),
    )
    if isinstance(plain, ImageToVideo):  # files are text by the time they are sent
        plain = attrs.evolve(plain, image=URL, image_tail=plain.image_tail and URL)
    path, body = sent(plain)
    assert endpoint.new_standard is not None
    fields = endpoint.new_standard.from_body(body, path.rpartition("/")[2])

    assert attrs.evolve(plain, multi_shot=None) == attrs.evolve(
        read_request(fields, endpoint.request_class), multi_shot=None
    )


@pytest.mark.parametrize(
    "body",
    [
        {"contents": [{"type": "end_frame", "url": URL}]},
        {"contents": [17]},
        {"settings": 17},
    ],
)
def test_bodies_that_the_emulator_refuses(body: dict[str, Any]) -> None:
    """
    Types that the service does not know are refused there, too.
    """
    new = endpoint_of(ImageToVideo).new_standard
    assert new is not None
    with pytest.raises(ValueError, match=r"is invalid|cannot be empty|must be objects"):
        new.from_body(body, "kling-3.0")
