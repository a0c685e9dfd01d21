"""
The rules and prices of multi-image to image.
"""

from decimal import Decimal
from typing import Any

import pytest

from kling_async import GATEWAY, OFFICIAL, MultiImageToImage
from kling_async.wire import FileFacts, broken_rules, read_request, write_request
from kling_async.wire.endpoints.multi_image_to_image import MULTI_IMAGE_TO_IMAGE

URL = "https://pictures.example/cat.png"


def asking(*subjects: Any, **fields: Any) -> MultiImageToImage:
    """
    Make a request with *fields*, of whatever type.
    """
    return MultiImageToImage(list(subjects) or [URL], **fields)


def test_body_has_the_forms_of_the_wire() -> None:
    """
    A list of pictures is a list of objects.
    """
    request = MULTI_IMAGE_TO_IMAGE.complete(asking(URL, "aGk=", scene_image=URL), OFFICIAL)
    body = write_request(request)

    assert {
        "subject_image_list": [{"subject_image": URL}, {"subject_image": "aGk="}],
        "scene_image": URL,
        "n": 1,
        "model_name": "kling-v2-1",
    } == body
    assert request == read_request(body, MultiImageToImage)


@pytest.mark.parametrize(
    ("request_", "broken"),
    [
        (MultiImageToImage([]), ["subject_image_list"]),
        (asking(*[URL] * 5), ["subject_image_list"]),
        (MultiImageToImage(URL), ["subject_image_list"]),
        (asking(n=10, prompt="x" * 2501, aspect_ratio="5:4"), ["prompt", "n", "aspect_ratio"]),
        (asking(model_name="kling-v2"), ["model_name"]),
        (asking(watermark_info="yes"), ["watermark_info"]),
    ],
)
def test_what_is_refused(request_: MultiImageToImage, broken: list[str]) -> None:
    """
    Each broken rule is named by its field, all of them at once.
    """
    assert broken == [rule.field for rule in broken_rules(OFFICIAL, request_)]


@pytest.mark.parametrize("model", [model for model in OFFICIAL.models if model != "kling-v2-1"])
def test_other_models_of_images_are_not_offered(model: str) -> None:
    """
    At the vendor; a gateway may have them, and a model that is not known may be new.
    """
    [rule] = broken_rules(OFFICIAL, asking(model_name=model))

    assert rule.rule.endswith("this endpoint; use kling-v2-1")
    assert () == broken_rules(GATEWAY, asking(model_name=model))
    assert () == broken_rules(OFFICIAL, asking(model_name="kling-v9"))
    assert () == broken_rules(OFFICIAL, asking(model_name="kling-v2-1"))


def test_each_picture_is_checked() -> None:
    """
    It is named by its place.
    """
    small = FileFacts(10, "png", 100, 100)
    files = {"subject_image_list[1]": small, "style_image": small}

    assert ["subject_image_list[1]", "style_image"] == [
        rule.field for rule in broken_rules(OFFICIAL, asking(URL, b"", style_image=b""), files)
    ]


def test_price_and_slots() -> None:
    """
    16 units and one slot for each picture.
    """
    assert Decimal(48) == MULTI_IMAGE_TO_IMAGE.units(asking(n=3), OFFICIAL)
    assert 3 == MULTI_IMAGE_TO_IMAGE.slots(asking(n=3))
    assert "kling-v2-1" == MULTI_IMAGE_TO_IMAGE.bucket(asking(), OFFICIAL)
