"""
Which video a request asks for.
"""

from typing import Any

import attrs
import pytest
from hypothesis import given, strategies as st

from kling_async.emulator.video_spec import VideoSpec, asks_for_sound, pictures_of, shots_of, size_of_video
from kling_async.wire.endpoints.video_rules import Shot


@attrs.frozen(kw_only=True)
class Clip:
    mode: str | None = None
    resolution: str | None = None
    aspect_ratio: str | None = None
    sound: Any = None
    sound_file: str | None = None
    keep_original_sound: Any = "no"
    image_list: tuple[Any, ...] = ()
    video_list: tuple[Any, ...] = ()
    multi_prompt: tuple[Any, ...] = ()


@attrs.frozen
class Source:
    keep_original_sound: bool | None


@attrs.frozen
class Frame:
    image: str
    type: str | None = None


@pytest.mark.parametrize(
    ("request_", "size"),
    [
        (Clip(), (1280, 720)),
        (Clip(mode="std"), (1280, 720)),
        (Clip(mode="pro"), (1920, 1080)),
        (Clip(mode="4k"), (3840, 2160)),
        (Clip(resolution="1080p"), (1920, 1080)),
        (Clip(mode="pro", aspect_ratio="9:16"), (1080, 1920)),
        (Clip(aspect_ratio="1:1"), (720, 720)),
        (Clip(aspect_ratio="21:9"), (1680, 720)),
        (Clip(mode="cinema", aspect_ratio="wide"), (1280, 720)),
        (Clip(aspect_ratio="1:0"), (1280, 720)),
    ],
)
def test_size_follows_mode_and_ratio(request_: Clip, size: tuple[int, int]) -> None:
    """
    The mode or the resolution is the shorter side; words that are not known are the usual size.
    """
    assert size == size_of_video(request_, None, 1.0)


@pytest.mark.parametrize(
    ("picture", "size"),
    [((400, 300), (960, 720)), ((300, 400), (720, 960)), ((1000, 999), (720, 720)), ((9000, 100), (1800, 720))],
)
def test_picture_gives_the_ratio(picture: tuple[int, int], size: tuple[int, int]) -> None:
    """
    A video of a picture has its ratio, up to the vendor's limits, unless the request names another.
    """
    assert size == size_of_video(Clip(), picture, 1.0)
    assert (1280, 720) == size_of_video(Clip(aspect_ratio="16:9"), picture, 1.0)


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.1, 0.033, 0.001])
def test_sides_are_even(scale: float) -> None:
    """
    H.264 has no odd sides; a scaled video keeps at least 16 pixels.
    """
    for ratio in ("16:9", "9:16", "1:1", "7:5"):
        sides = size_of_video(Clip(aspect_ratio=ratio), None, scale)

        assert all(side % 2 == 0 and side >= 16 for side in sides)


@pytest.mark.parametrize(
    ("request_", "is_heard"),
    [
        (Clip(), False),
        (Clip(sound=True), True),
        (Clip(sound="on"), True),
        (Clip(sound="off"), False),
        (Clip(sound=False), False),
        (Clip(sound_file="https://x.example/a.mp3"), True),
        (Clip(keep_original_sound="yes"), True),
        (Clip(keep_original_sound=True), True),
        (Clip(keep_original_sound=None), True),
        (Clip(keep_original_sound=False), False),
        (Clip(video_list=(Source(True), Source(None))), True),
        (Clip(video_list=(Source(False), Source(None))), False),
        (object(), False),
    ],
)
def test_sound_is_asked_for(request_: object, *, is_heard: bool) -> None:
    """
    A video is heard if the request says so, or has a sound.
    """
    assert is_heard == asks_for_sound(request_)
    assert asks_for_sound(request_, "kling-3.0-turbo")


def test_roles_of_pictures() -> None:
    """
    A tail is the last frame, any other picture of its own field the first; in lists the type of an item counts.
    """
    frames = Clip(image_list=(Frame("a"), Frame("b", "end_frame"), Frame("c", "first_frame"), Frame("d")))
    places = [f"image_list[{index}].image" for index in range(4)]

    assert {} == pictures_of(Clip(), [])
    assert {"first": "image"} == pictures_of(Clip(), ["image"])
    assert {"first": "image", "last": "image_tail"} == pictures_of(Clip(), ["image_tail", "image"])
    assert {"last": "image_tail"} == pictures_of(Clip(), ["static_mask", "dynamic_masks[0].mask", "image_tail"])
    assert {"first": places[2], "last": places[1], "reference": places[0]} == pictures_of(frames, places)
    assert {"reference": "image_list[1]"} == pictures_of(Clip(image_list=("a", "b")), ["image_list[1]"])


@pytest.mark.parametrize(("seconds", "frames"), [(5.0, 120), (1.5, 36), (0.02, 1), (0.0, 1)])
def test_length_is_whole_frames(seconds: float, frames: int) -> None:
    """
    The vendor's videos have 24 frames per second; none is empty.
    """
    assert frames == VideoSpec(width=16, height=16, seconds=seconds, prompt="x").frames


def test_shots_of_a_request() -> None:
    """
    Shots that the request describes are shown; those that it leaves to the model are one.
    """
    assert (("a", 2.0), ("b", 1.0)) == shots_of(Clip(multi_prompt=(Shot("a", 2), Shot("b", 1))))
    assert () == shots_of(Clip()) == shots_of(object())


@given(
    st.floats(0.04, 20),
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 15)), max_size=6).map(tuple),
)
def test_takes_have_all_frames(seconds: float, shots: tuple[tuple[str, float], ...]) -> None:
    """
    Whatever the lengths of the shots, the video has as many frames as asked, and its pictures are at its ends.
    """
    spec = VideoSpec(width=16, height=16, seconds=seconds, prompt="x", shots=shots, first_frame=b"1", last_frame=b"2")
    takes = spec.takes()

    assert spec.frames == sum(take.frames for take in takes)
    assert (b"1", b"2") == (takes[0].first_frame, takes[-1].last_frame)
    assert all(take.last_frame is None for take in takes[:-1])


def test_takes_share_the_length() -> None:
    """
    A shot of half the length has half the frames.
    """
    spec = VideoSpec(width=16, height=16, seconds=3, prompt="x", shots=(("a", 2), ("b", 1)))

    assert [("a", 48), ("b", 24)] == [(take.prompt, take.frames) for take in spec.takes()]
