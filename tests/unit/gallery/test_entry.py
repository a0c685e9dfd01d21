import io
from pathlib import Path
from typing import Any

import attrs
import pytest

from kling_async import ImageRequest
from kling_async.gallery import GalleryEntry, entry_of
from kling_async.wire.endpoints.base import Endpoint
from kling_async.wire.endpoints.registry import endpoints
from kling_async.wire.endpoints.text_to_video import TextToVideo
from kling_async.wire.endpoints.video_rules import Shot


def test_entry_tells_what_was_asked_for() -> None:
    """
    All that shapes the picture, and nothing that was left to the service.
    """
    request = ImageRequest(
        "a fox", negative_prompt="snow", n=2, aspect_ratio="3:2", model_name="kling-v2", resolution="2k"
    )

    entry = entry_of(request)

    assert ("a fox", "snow", "kling-v2") == (entry.prompt, entry.negative_prompt, entry.model_name)
    assert "image-generation" == entry.endpoint
    assert {"aspect_ratio": "3:2", "resolution": "2k", "n": 2} == entry.settings


@pytest.mark.parametrize(
    ("image", "shown"), [(Path("near/fox.png"), "fox.png"), (io.BytesIO(b"\x89PNG"), "given"), ("aGk=", "given")]
)
def test_reference_is_named_and_not_held(image: Path | io.BytesIO | str, shown: str) -> None:
    """
    A gallery of thousands keeps no reference images in memory, and shows no address with a signature.
    """
    entry = entry_of(ImageRequest("a fox", image=image, image_reference="subject", image_fidelity=0.5))

    assert {"n": 1, "image_reference": "subject", "image_fidelity": 0.5, "image": shown} == entry.settings


def test_settings_of_a_video_are_told_in_words() -> None:
    """
    Shots by their parts, switches as on and off, and nothing of what is empty.
    """
    shots = (Shot("a harbour", 3), Shot("a lighthouse", 2))
    entry = entry_of(TextToVideo(shot_type="customize", multi_shot=True, multi_prompt=shots, sound=False, mode="pro"))

    assert ("a harbour / a lighthouse", "text-to-video") == (entry.prompt, entry.endpoint)
    assert {
        "duration": 5,
        "mode": "pro",
        "sound": "off",
        "multi_shot": "on",
        "shot_type": "customize",
        "multi_prompt": "prompt a harbour, duration 3; prompt a lighthouse, duration 2",
    } == entry.settings
    assert {"duration": 5} == entry_of(TextToVideo("a harbour")).settings


@pytest.mark.parametrize(
    "value", ["https://cdn/fox.mp4?Signature=secret", "HTTP://cdn/fox.mp4", "data:video/mp4;base64,AAAA", "A" * 4000]
)
def test_addresses_and_contents_are_not_shown(value: str) -> None:
    """
    Wherever a request has them: a URL may be signed.
    """
    settings = entry_of(TextToVideo("a fox", mode=value, camera_control={"type": value, "config": None})).settings

    assert ("given", "type given") == (settings["mode"], settings["camera_control"])


@pytest.mark.parametrize("endpoint", endpoints(), ids=lambda endpoint: endpoint.name)
def test_no_field_of_any_endpoint_shows_a_signature(endpoint: Endpoint[Any]) -> None:
    """
    Whether it holds a file, files, or things that have some.
    """
    url = "https://cdn/fox.png?Signature=secret"
    fields = {field.name: url for field in attrs.fields(endpoint.request_class) if "prompt" not in field.name}
    prompts = {"prompt": "a fox"} if "prompt" in attrs.fields_dict(endpoint.request_class) else {}

    settings = entry_of(endpoint.request_class(**fields, **prompts)).settings

    assert settings
    assert "secret" not in repr(settings)


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        (GalleryEntry(prompt="a fox", path=Path("x/fox.png"), task_id="t"), "a fox"),
        (GalleryEntry(path=Path("x/fox.png"), task_id="t"), "fox.png"),
        (GalleryEntry(task_id="t"), "t"),
        (GalleryEntry(), ""),
    ],
)
def test_name_is_the_best_that_is_known(entry: GalleryEntry, name: str) -> None:
    """
    The prompt, else the file, else the task.
    """
    assert name == entry.name
