"""
The rules of effects.
"""

from typing import Any

import pytest

from kling_async import GATEWAY, OFFICIAL, VideoEffect
from kling_async.wire import FileFacts, broken_rules, read_request, write_request
from kling_async.wire.endpoints.video_effect import VIDEO_EFFECT

URL = "https://pictures.example/cat.png"


def body_of(request: VideoEffect) -> dict[str, Any]:
    """
    Return what is sent.
    """
    assert VIDEO_EFFECT.to_body is not None
    return VIDEO_EFFECT.to_body(write_request(request))


def read_back(body: dict[str, Any]) -> VideoEffect:
    """
    Read a body as a service does.
    """
    assert VIDEO_EFFECT.from_body is not None
    return read_request(VIDEO_EFFECT.from_body(body), VideoEffect)


@pytest.mark.parametrize(
    ("fields", "given"),
    [
        ({"image": URL}, {"image": URL}),
        ({"images": [URL, URL]}, {"images": [URL, URL]}),
        (
            {"image": URL, "model_name": "kling-v1-6", "mode": "std", "duration": 5},
            {"image": URL, "model_name": "kling-v1-6", "mode": "std", "duration": "5"},
        ),
    ],
)
def test_body_nests_what_is_played_with(fields: dict[str, Any], given: dict[str, Any]) -> None:
    """
    The scene and our ids stand beside it.
    """
    request = VideoEffect("hug", **fields, external_task_id="order-1")
    body = body_of(request)

    assert {"effect_scene": "hug", "input": given, "external_task_id": "order-1"} == body
    assert request == read_back(body)


def test_body_without_an_input_is_refused() -> None:
    """
    In the service's own manner.
    """
    with pytest.raises(ValueError, match="input cannot be empty"):
        read_back({"effect_scene": "hug"})


@pytest.mark.parametrize(
    ("fields", "broken"),
    [
        ({"image": URL}, []),
        ({"images": (URL, URL)}, []),
        ({}, ["image"]),
        ({"image": URL, "images": [URL, URL]}, ["image"]),
        ({"images": [URL]}, ["images"]),
        ({"images": URL}, ["images"]),
        ({"image": URL, "effect_scene": " "}, ["effect_scene"]),
        ({"image": URL, "mode": "4k", "duration": 7}, ["mode", "duration"]),
        ({"image": URL, "model_name": "kling-v1-6", "mode": "pro", "duration": 10}, []),
        ({"image": URL, "callback_url": "x"}, ["callback_url"]),
    ],
)
def test_rules(fields: dict[str, Any], broken: list[str]) -> None:
    """
    All broken ones are named at once. Gateways may run the models of older pages.
    """
    request = VideoEffect(**{"effect_scene": "hug", **fields})

    assert broken == [rule.field for rule in broken_rules(GATEWAY, request)]


def test_what_the_vendor_has_retired_is_refused_there() -> None:
    """
    Its page has no model, no mode and no length any more.
    """
    request = VideoEffect("hug", image=URL, model_name="kling-v1-6", mode="std", duration=5)
    rules = broken_rules(OFFICIAL, request)

    assert ["model_name", "mode", "duration"] == [rule.field for rule in rules]
    assert all("retired" in rule.rule for rule in rules)


def test_each_picture_is_checked() -> None:
    """
    A picture of a list is named by its place.
    """
    facts = {"images[0]": FileFacts(9, "png", 400, 300), "images[1]": FileFacts(9, "png", 200, 300)}
    broken = broken_rules(OFFICIAL, VideoEffect("hug", images=[b"a", b"b"]), facts)

    assert ["images[1]"] == [rule.field for rule in broken]


def test_price_is_not_known() -> None:
    """
    Each scene has its own.
    """
    request = VideoEffect("hug", image=URL)

    assert VIDEO_EFFECT.units(request, OFFICIAL) is VIDEO_EFFECT.units_at_most(request, OFFICIAL) is None
    assert "video/video-effect" == VIDEO_EFFECT.bucket(request, OFFICIAL)
