"""
The frames of a video.
"""

import io
from fractions import Fraction
from typing import Any

import attrs
import pytest
from PIL import Image, ImageChops, ImageStat

from kling_async.emulator.filming.film import frames
from kling_async.emulator.filming.planes import Planes
from kling_async.emulator.video_spec import VideoSpec

SIZE = (480, 270)
SPEC = VideoSpec(width=SIZE[0], height=SIZE[1], seconds=1, prompt="WWWWWWWW", model_name="kling-v3", fps=12)
CAPTION = (0, 220, 240, 270)
CORNER = (300, 0, 480, 40)


def picture(colour: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", SIZE, colour).save(file, "PNG")
    return file.getvalue()


def lumas(**changes: Any) -> list[Image.Image]:
    return [Planes.of_frame(frame).luma for frame in frames(attrs.evolve(SPEC, **changes))]


def contrast(image: Image.Image, box: tuple[int, int, int, int]) -> float:
    return float(ImageStat.Stat(image.crop(box)).stddev[0])


def test_frames_are_timed() -> None:
    """
    One after the other, through all shots.
    """
    shot = list(frames(attrs.evolve(SPEC, shots=(("a", 1), ("b", 2)))))

    assert [Fraction(number, 12) for number in range(12)] == [
        Fraction(frame.pts or 0) * (frame.time_base or 0) for frame in shot
    ]
    assert {SIZE} == {(frame.width, frame.height) for frame in shot}


def test_caption_stays_in_place() -> None:
    """
    It is in every frame of a scene, and does not move with the camera.
    """
    shown, other = lumas(), lumas(model_name="kling-v2-6")
    changed = [
        ImageChops.difference(one, two).point(lambda level: 255 * (level > 40))
        for one, two in zip(shown, other, strict=True)
    ]

    assert all(image.crop(CAPTION).getbbox() for image in changed)


def test_caption_leaves_given_frames_alone() -> None:
    """
    It comes after the first frame, and goes before the last one.
    """
    begins, ends = lumas(first_frame=picture("navy")), lumas(last_frame=picture("navy"))
    both = lumas(first_frame=picture("navy"), last_frame=picture("navy"))

    assert contrast(begins[0], CAPTION) < 1 < contrast(begins[6], CAPTION)
    assert contrast(begins[1], CAPTION) < contrast(begins[3], CAPTION)
    assert contrast(begins[-1], CAPTION) > 1
    assert contrast(ends[-1], CAPTION) < 1
    assert contrast(both[0], CAPTION) < 1 < contrast(both[6], CAPTION)
    assert contrast(both[-1], CAPTION) < 1


@pytest.mark.parametrize("changes", [{}, {"first_frame": picture("navy"), "last_frame": picture("navy")}])
def test_watermark_is_in_every_frame(changes: dict[str, Any]) -> None:
    """
    Given frames have it, too.
    """
    for plain, marked in zip(lumas(**changes), lumas(has_watermark=True, **changes), strict=True):
        assert contrast(ImageChops.difference(plain, marked), CORNER) > 10
        assert ImageChops.difference(plain, marked).crop(CAPTION).getbbox() is None


def test_pictures_dissolve() -> None:
    """
    From the first to the last picture, steadily, in the middle of the video.
    """
    shown = lumas(first_frame=picture("black"), last_frame=picture("white"), prompt="")
    levels = [ImageStat.Stat(image.crop((240, 60, 241, 61))).mean[0] for image in shown]

    assert levels == sorted(levels)
    assert [16] * 4 == levels[:4]
    assert [235] * 4 == levels[-4:]
    assert len(set(levels)) > 3
