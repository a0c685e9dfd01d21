"""
The rules and prices of image to video.
"""

from decimal import Decimal
from typing import Any

import pytest

from kling_async import GATEWAY, OFFICIAL, DynamicMask, ImageToVideo
from kling_async.wire import FileFacts, broken_rules, read_request, write_request
from kling_async.wire.endpoints.image_to_video import IMAGE_TO_VIDEO

URL = "https://pictures.example/cat.png"
POINTS = ({"x": 1, "y": 2}, {"x": 30, "y": 40})


def asking(**fields: Any) -> ImageToVideo:
    """
    Make a request with *fields*, of whatever type.
    """
    return ImageToVideo(**{"image": URL, **fields})


def fields_of(request: ImageToVideo, **files: FileFacts) -> list[str]:
    """
    Name the fields that break a rule at OFFICIAL.
    """
    return [rule.field for rule in broken_rules(OFFICIAL, request, files)]


def test_body_has_the_forms_of_the_wire() -> None:
    """
    Ids are objects in a list.
    """
    request = asking(element_list=[17, 18], duration=3, prompt="it jumps")
    body = write_request(IMAGE_TO_VIDEO.complete(request, OFFICIAL))

    assert {
        "image": URL,
        "prompt": "it jumps",
        "duration": "3",
        "element_list": [{"element_id": 17}, {"element_id": 18}],
        "model_name": "kling-v3",
    } == body
    assert IMAGE_TO_VIDEO.complete(request, OFFICIAL) == read_request(body, ImageToVideo)


def test_masks_are_files_in_a_list() -> None:
    """
    Each mask is named by its place.
    """
    request = asking(dynamic_masks=[DynamicMask(b"...", POINTS), DynamicMask(URL, POINTS)])

    assert ["image", "dynamic_masks[0].mask", "dynamic_masks[1].mask"] == [
        place for each in IMAGE_TO_VIDEO.inputs for place, _ in each.sources(request)
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"image": None, "image_tail": URL},
        {"image_tail": URL, "sound": True},
        {"image_tail": URL, "model_name": "kling-v2-6"},
        {"image_tail": URL, "model_name": "kling-v2-5-turbo", "mode": "pro", "duration": 10},
        {"image_tail": URL, "multi_shot": True, "shot_type": "intelligence", "prompt": "two shots"},
        {"voice_list": ["a", "b"], "sound": True, "model_name": "kling-v2-6"},
        {"element_list": [1, 2, 3]},
    ],
)
def test_what_is_accepted(fields: dict[str, Any]) -> None:
    """
    By the vendor's capability map.
    """
    assert [] == fields_of(asking(**fields))


@pytest.mark.parametrize(
    ("fields", "broken"),
    [
        ({"image": None}, ["image"]),
        ({"image_tail": URL, "model_name": "kling-v2-5-turbo"}, ["image_tail"]),
        ({"image_tail": URL, "model_name": "kling-v2-6", "mode": "std"}, ["image_tail"]),
        ({"image_tail": URL, "model_name": "kling-v2-6", "sound": True}, ["image_tail"]),
        ({"image_tail": URL, "model_name": "kling-3.0-turbo"}, ["image_tail"]),
        ({"element_list": [1, 2, 3, 4]}, ["element_list"]),
        ({"element_list": ["x"]}, ["element_list"]),
        ({"voice_list": 7}, ["voice_list"]),
        ({"element_list": [1], "model_name": "kling-v2-6"}, ["element_list"]),
        ({"voice_list": ["a"]}, ["voice_list", "voice_list"]),
        ({"voice_list": ["a"], "model_name": "kling-v2-6"}, ["voice_list"]),
        ({"static_mask": URL}, ["static_mask"]),
        ({"multi_shot": True, "shot_type": "intelligence"}, ["prompt"]),
    ],
)
def test_what_is_refused(fields: dict[str, Any], broken: list[str]) -> None:
    """
    Each broken rule is named by its field, all of them at once.
    """
    assert broken == fields_of(asking(**fields))


def test_both_frames_are_pictures() -> None:
    """
    The ratio of the last frame is free; its kind and its sides are not.
    """
    small, long_ = FileFacts(10, "png", 100, 400), FileFacts(10, "jpg", 300, 1000)

    assert ["image", "image"] == fields_of(asking(image=b""), image=small)
    assert ["image"] == fields_of(asking(image=b""), image=long_)
    assert [] == fields_of(asking(image_tail=b""), image_tail=long_)
    assert ["image_tail"] == fields_of(asking(image_tail=b""), image_tail=FileFacts(10, None))


def test_only_one_of_tail_masks_and_camera() -> None:
    """
    With a retired model, which gateways may run.
    """
    camera = {"type": "simple", "config": {"zoom": 5}}
    old = {"model_name": "kling-v1-5", "mode": "pro"}

    assert () == broken_rules(GATEWAY, asking(camera_control=camera, **old))
    both = broken_rules(GATEWAY, asking(camera_control=camera, static_mask=URL, **old))
    assert ["camera_control"] == [rule.field for rule in both]
    points = broken_rules(GATEWAY, asking(dynamic_masks=[DynamicMask(URL, POINTS[:1])], **old))
    assert ["dynamic_masks[0].trajectories"] == [rule.field for rule in points]


@pytest.mark.parametrize(
    ("fields", "units"),
    [
        ({}, "3.0"),
        ({"model_name": "kling-v2-6"}, "2.5"),
        ({"model_name": "kling-v2-6", "sound": True, "voice_list": ["a"]}, "6.0"),
        ({"mode": "4k", "duration": 3}, "9.0"),
    ],
)
def test_prices(fields: dict[str, Any], units: str) -> None:
    """
    kling-v2-6 is sent in mode pro, since the service refuses its own default.
    """
    assert Decimal(units) == IMAGE_TO_VIDEO.units(asking(**fields), OFFICIAL)
    if fields.get("model_name") == "kling-v2-6":
        assert "pro" == IMAGE_TO_VIDEO.complete(asking(**fields), OFFICIAL).mode


def test_model_without_elements_says_so() -> None:
    """
    Rather than that it takes none of them at most.
    """
    (rule,) = broken_rules(OFFICIAL, asking(element_list=[17], model_name="kling-v2-5-turbo"))

    assert "element_list=[17]: is not taken by kling-v2-5-turbo" == str(rule)
