"""
Captions over frames.
"""

import pytest
from av.video.reformatter import Colorspace
from PIL import Image, ImageChops, ImageStat

from kling_async.emulator.drawing.caption import write_caption
from kling_async.emulator.drawing.watermark import write_watermark
from kling_async.emulator.filming.overlay import measure
from kling_async.emulator.filming.planes import Planes
from tests.fakes.media_files import image_of


def caption(image: Image.Image) -> None:
    write_caption(image, "a fox in the snow", "kling-v3", is_frosted=False)


def slope(size: tuple[int, int]) -> Image.Image:
    grey = Image.linear_gradient("L").resize(size)
    return Image.merge("RGB", [grey, grey.transpose(Image.Transpose.FLIP_TOP_BOTTOM), Image.new("L", size, 90)])


@pytest.mark.parametrize("size", [(640, 360), (362, 642)])
def test_overlay_does_what_painting_does(size: tuple[int, int]) -> None:
    """
    A frame under the overlay looks like the picture on which the same was painted.
    """
    for paint in (caption, write_watermark):
        painted = slope(size)
        frame = Planes.of(painted).frame()
        paint(painted)
        overlay = measure(size, paint)
        assert overlay is not None
        overlay.lay_over(frame)
        frame.colorspace = Colorspace.ITU709  # as the stream says it
        apart = ImageChops.difference(image_of(frame), painted)

        assert max(ImageStat.Stat(apart).mean) < 2.5
        assert max(ImageStat.Stat(ImageChops.difference(painted, slope(size))).mean) > 0.3


def test_strength_fades_it() -> None:
    """
    Half as strong, it changes half as much; without strength, nothing.
    """
    size = (640, 360)
    overlay = measure(size, caption)
    assert overlay is not None
    changes = []
    for strength in (0.0, 0.5, 1.0):
        frame = Planes.of(slope(size)).frame()
        before = Planes.of_frame(frame).luma
        overlay.lay_over(frame, strength)
        changes.append(ImageStat.Stat(ImageChops.difference(before, Planes.of_frame(frame).luma)).mean[0])

    assert 0 == changes[0]
    assert changes[2] / 2 == pytest.approx(changes[1], rel=0.1)


def test_frost_hides_what_is_behind() -> None:
    """
    The caption of a given picture cannot be read under the new one; above it nothing is blurred.
    """
    size = (640, 360)
    other = Image.new("RGB", size, (60, 60, 60))
    for column in range(0, 640, 4):
        other.paste("white", (column, 0, column + 2, 360))
    spreads = []
    for is_frosted in (False, True):
        overlay = measure(size, caption, is_frosted=is_frosted)
        assert overlay is not None
        frame = Planes.of(other).frame()
        overlay.lay_over(frame)
        luma = Planes.of_frame(frame).luma
        spreads.append([ImageStat.Stat(luma.crop((400, row, 640, row + 1))).stddev[0] for row in (40, 355)])

    assert spreads[0][0] == spreads[1][0]
    assert spreads[1][1] < 0.2 * spreads[0][1]


def test_nothing_to_lay_over() -> None:
    """
    In a video that is too small for letters the caption is left out.
    """
    assert measure((64, 36), caption) is None
