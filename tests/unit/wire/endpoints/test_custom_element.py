"""
Custom elements: the rules of their requests, and how these are sent.
"""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from kling_async import OFFICIAL, ElementRequest
from kling_async.media.input_files import read_inputs, with_texts
from kling_async.wire import FileFacts, broken_rules, endpoint_of, read_request, write_request
from kling_async.wire.endpoints.custom_element import CUSTOM_ELEMENT
from tests.fakes.valid_requests.pictures import PNG

PICTURE = "https://pictures.example/fox.png"
VIDEO = "https://files.example/fox.mp4"
FROM_PICTURES: dict[str, Any] = {"frontal_image": PICTURE, "refer_images": [PICTURE]}


def broken_fields(files: dict[str, FileFacts] | None = None, **fields: Any) -> list[str]:
    request = ElementRequest(**{"element_name": "fox", "element_description": "a red fox", **fields})
    return [broken.field for broken in broken_rules(OFFICIAL, request, files)]


@pytest.mark.parametrize(
    "fields",
    [
        FROM_PICTURES,
        {**FROM_PICTURES, "refer_images": [PICTURE] * 3, "tag_list": ["o_101", "o_108"]},
        {"refer_video": VIDEO},
        {"refer_video": VIDEO, "element_voice_id": "829836802793406601"},
        {**FROM_PICTURES, "element_name": "x" * 20, "element_description": "火" * 100},
    ],
)
def test_valid_requests_break_no_rule(fields: dict[str, Any]) -> None:
    """
    From pictures, or from a video.
    """
    assert [] == broken_fields(**fields)


@pytest.mark.parametrize(
    ("fields", "broken"),
    [
        ({}, ["frontal_image", "refer_images"]),
        ({"frontal_image": PICTURE}, ["refer_images"]),
        ({"refer_images": [PICTURE]}, ["frontal_image"]),
        ({**FROM_PICTURES, "refer_images": [PICTURE] * 4}, ["refer_images"]),
        ({**FROM_PICTURES, "refer_images": PICTURE}, ["refer_images"]),
        ({**FROM_PICTURES, "refer_video": VIDEO}, ["refer_video"]),
        ({"refer_video": "fox.mp4"}, ["refer_video"]),
        ({"refer_video": Path("fox.mp4")}, ["refer_video"]),
        ({**FROM_PICTURES, "element_voice_id": "1"}, ["element_voice_id"]),
        ({"refer_video": VIDEO, "element_voice_id": ""}, ["element_voice_id"]),
        ({**FROM_PICTURES, "tag_list": ["o_109"]}, ["tag_list"]),
        ({**FROM_PICTURES, "tag_list": "o_101"}, ["tag_list"]),
        ({**FROM_PICTURES, "element_name": ""}, ["element_name"]),
        ({**FROM_PICTURES, "element_name": "x" * 21}, ["element_name"]),
        ({**FROM_PICTURES, "element_description": "x" * 101}, ["element_description"]),
        ({**FROM_PICTURES, "element_description": None}, ["element_description"]),
    ],
)
def test_each_rule_is_checked(fields: dict[str, Any], broken: list[str]) -> None:
    """
    All broken ones at once.
    """
    assert broken == broken_fields(**fields)


def test_pictures_are_checked() -> None:
    """
    Each by the place at which it stands.
    """
    small, film = FileFacts(100, "png", 299, 300), FileFacts(100, None)

    found = broken_fields({"frontal_image": small, "refer_images[1]": film}, frontal_image=PNG, refer_images=[PNG, PNG])

    assert ["frontal_image", "refer_images[1]"] == found


@given(value=st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | st.lists(st.integers()))
def test_no_value_makes_a_rule_raise(value: Any) -> None:
    """
    Whatever stands in a field is a broken rule or none.
    """
    for field in ("element_name", "element_description", "refer_video", "element_voice_id", "tag_list"):
        broken_fields(**{**FROM_PICTURES, field: value})
    if not isinstance(value, list):
        assert ["refer_images"] == broken_fields(frontal_image=PICTURE, refer_images=value)


def body_of(request: ElementRequest) -> dict[str, Any]:
    assert CUSTOM_ELEMENT.to_body is not None
    return CUSTOM_ELEMENT.to_body(write_request(request))


def test_pictures_are_sent_in_a_list_of_their_own() -> None:
    """
    As the vendor's page has it.
    """
    request = ElementRequest("fox", element_description="a red fox", **FROM_PICTURES, tag_list=["o_102"])

    assert {
        "element_name": "fox",
        "element_description": "a red fox",
        "reference_type": "image_refer",
        "element_image_list": {"frontal_image": PICTURE, "refer_images": [{"image_url": PICTURE}]},
        "tag_list": [{"tag_id": "o_102"}],
    } == body_of(request)


def test_video_is_sent_in_a_list_of_its_own() -> None:
    """
    With the voice.
    """
    request = ElementRequest("fox", element_description="a fox", refer_video=VIDEO, element_voice_id="v-1")

    assert {
        "element_name": "fox",
        "element_description": "a fox",
        "reference_type": "video_refer",
        "element_video_list": {"refer_videos": [{"video_url": VIDEO}]},
        "element_voice_id": "v-1",
    } == body_of(request)


async def test_files_are_sent_as_base64() -> None:
    """
    Bytes and paths alike.
    """
    request = ElementRequest("fox", element_description="a fox", frontal_image=PNG, refer_images=[PNG])
    files, broken = await read_inputs(request, OFFICIAL)

    images = body_of(with_texts(request, files))["element_image_list"]

    assert () == broken
    assert images["frontal_image"].startswith("iVBOR")
    assert [{"image_url": images["frontal_image"]}] == images["refer_images"]


@pytest.mark.parametrize(
    "changes",
    [
        {"reference_type": "other"},
        {"reference_type": None},
        {"element_image_list": None},
        {"element_image_list": {"frontal_image": PICTURE}},
        {"element_image_list": {"frontal_image": PICTURE, "refer_images": [PICTURE]}},
        {"reference_type": "video_refer"},
        {"reference_type": "video_refer", "element_video_list": {"refer_videos": []}},
        {"tag_list": ["o_101"]},
    ],
)
def test_other_bodies_are_refused(changes: dict[str, Any]) -> None:
    """
    By the emulator, which reads what it is sent.
    """
    body = {**body_of(ElementRequest("fox", element_description="a fox", **FROM_PICTURES)), **changes}
    assert CUSTOM_ELEMENT.from_body is not None

    with pytest.raises(ValueError, match=r"element|reference_type|unpack"):
        read_request(CUSTOM_ELEMENT.from_body(body), ElementRequest)


def test_request_is_known_by_its_name() -> None:
    """
    In logs and lists; its pictures are not shown.
    """
    request = ElementRequest("fox", element_description="a fox", frontal_image=PNG, refer_images=[PNG])

    assert "fox" == endpoint_of(ElementRequest).caption(request)
    assert "<1 pictures>" in repr(request)
    assert len(repr(request)) < 400
