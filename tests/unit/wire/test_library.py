"""
Voices and elements, as services list them.
"""

from typing import Any

import pytest
from hypothesis import given, strategies as st

from kling_async import (
    Element,
    ElementRequest,
    ImageRequest,
    ImageToVideo,
    OmniImage,
    OmniVideo,
    Video,
    Voice,
    VoiceRequest,
)
from kling_async.wire.library import ITEMS_MAX, ids_of, read_elements, read_voices, write_element, write_voice


@pytest.mark.parametrize(
    ("items", "voices"),
    [
        (None, ()),
        ("x", ()),
        ([None, "x", {}, {"voice_id": ""}, {"voice_id": None}], ()),
        ([{"voice_id": "v"}], (Voice("v"),)),
        ([{"voice_id": 7, "voice_name": 1, "trial_url": "", "owned_by": 9}], (Voice("7", "", None, "9"),)),
        ([{"voice_id": "v"}] * (ITEMS_MAX + 1), (Voice("v"),) * ITEMS_MAX),
    ],
)
def test_odd_lists_of_voices_are_read(items: Any, voices: tuple[Voice, ...]) -> None:
    """
    An odd field costs only itself, and an item only if it has no id.
    """
    assert voices == read_voices(items)


@pytest.mark.parametrize(
    ("value", "element_id"),
    [
        (829836802793406551, 829836802793406551),
        ("829836802793406551", 829836802793406551),
        (2**63, 2**63),
        (0, None),
        (-1, None),
        (True, None),
        (1.5, None),
        ("", None),
        ("x", None),
        ("9" * 20, None),
        (None, None),
    ],
)
def test_ids_of_elements_are_exact(value: Any, element_id: int | None) -> None:
    """
    They have more digits than a float holds.
    """
    found = [element.element_id for element in read_elements([{"element_id": value}])]

    assert ([] if element_id is None else [element_id]) == found


def test_element_is_read() -> None:
    """
    With its voice and tags; what this version does not know is kept.
    """
    item = {
        "element_id": 1,
        "element_name": "fox",
        "element_voice_info": {"voice_id": "v"},
        "tag_list": [{"tag_id": "o_101"}, "x", {"tag_id": None}],
        "status": "succeed",
        "colour": "red",
    }

    (element,) = read_elements([item])

    assert ("fox", Voice("v"), ("o_101",), "succeed", "red") == (
        element.element_name,
        element.voice,
        element.tag_list,
        element.status,
        element.raw["colour"],
    )


@given(value=st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.lists(st.integers()))
def test_no_value_makes_a_reader_raise(value: Any) -> None:
    """
    Whatever stands in a field.
    """
    names = ("element_name", "element_voice_info", "tag_list", "owned_by", "status")

    assert 1 == len(read_elements([{"element_id": 1, **dict.fromkeys(names, value)}]))
    assert 1 == len(read_voices([{"voice_id": "v", "trial_url": value, "owned_by": value}]))


def test_what_is_written_is_read() -> None:
    """
    Journals hold results, and an emulator shows them.
    """
    voice = Voice("v", "narrator", "https://files.example/1.mp3", "kling")
    element = Element(1, "fox", "a red fox", "image_refer", "deleted", "me", voice, ("o_101",))

    assert (voice,) == read_voices([write_voice(voice)])
    assert (element,) == read_elements([write_element(element)])
    assert (Voice("v"),) == read_voices([write_voice(Voice("v"))])


@pytest.mark.parametrize(
    ("items", "ids"),
    [
        ([], ()),
        ([Element(7), 8], (7, 8)),
        ((Voice("v"), "w"), ("v", "w")),
        ("v", "v"),
        (None, None),
        ([None], (None,)),
    ],
)
def test_voices_and_elements_stand_for_their_ids(items: Any, ids: Any) -> None:
    """
    In a list; what is none is left for the rules to report.
    """
    assert ids == ids_of(items)


def test_they_go_into_requests_as_they_are() -> None:
    """
    What is sent has their ids.
    """
    elements, voices = [Element(7), 8], [Voice("v")]

    assert (7, 8) == ImageToVideo("https://x/1.png", element_list=elements).element_list
    assert ("v",) == ImageToVideo("https://x/1.png", voice_list=voices).voice_list
    assert (7, 8) == ImageRequest("a", element_list=elements).element_list
    assert (7, 8) == OmniImage("a", element_list=elements).element_list
    assert (7, 8) == OmniVideo("a", element_list=elements).element_list
    assert "v" == ElementRequest("a", element_description="b", element_voice_id=voices[0]).element_voice_id
    assert "7" == VoiceRequest("a", video_id=Video(0, "https://x/1.mp4", id="7")).video_id


def test_signatures_are_not_shown() -> None:
    """
    By a repr, neither of the trial nor of pictures.
    """
    voice = Voice("v", trial_url="https://files.example/1.mp3?Signature=x")
    element = Element(1, voice=voice, raw={"element_image_list": {"frontal_image": "https://x/?Signature=x"}})

    assert "Signature" not in repr(element)
