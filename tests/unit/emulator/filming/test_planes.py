"""
Pictures in the colours of video.
"""

import pytest
from av.video.reformatter import Colorspace
from PIL import Image, ImageChops, ImageStat

from kling_async.emulator.filming.planes import BLACK, NEUTRAL, WHITE, Planes, brightness, replace_rows, rows_of
from tests.fakes.media_files import image_of


@pytest.mark.parametrize("size", [(64, 36), (130, 74), (100, 50), (1280, 720)])
def test_picture_survives_the_conversion(size: tuple[int, int]) -> None:
    """
    Of any even size, whether or not FFmpeg pads its lines.
    """
    grey = Image.linear_gradient("L").resize(size)
    image = Image.merge("RGB", [grey, Image.new("L", size, 120), grey])
    frame = Planes.of(image).frame()
    frame.colorspace = Colorspace.ITU709  # as the stream says it

    assert max(ImageStat.Stat(ImageChops.difference(image, image_of(frame))).mean) < 3
    assert Planes.of(image) == Planes.of_frame(frame)


def test_known_colours() -> None:
    """
    Black, white and grey have the levels of video, and no colour.
    """
    for colour, level in (((0, 0, 0), BLACK), ((255, 255, 255), WHITE), ((128, 128, 128), 126)):
        planes = Planes.of(Image.new("RGB", (16, 16), colour))

        assert level == brightness(colour) == pytest.approx(planes.luma.getpixel((8, 8)), abs=1)
        assert {NEUTRAL} == {plane.getpixel((4, 4)) for plane in (planes.blue, planes.red)}


@pytest.mark.parametrize("box", [(0, 0, 8, 6), (1, 1, 8, 6), (3, 2, 8, 5), (1, 0, 2, 1), (7, 5, 8, 6)])
def test_any_part_can_be_cut_out(box: tuple[int, int, int, int]) -> None:
    """
    A part with odd sides becomes a frame, too.
    """
    frame = Planes.of(Image.new("RGB", (8, 6), "teal")).crop(box).frame()

    assert (box[2] - box[0], box[3] - box[1]) == (frame.width, frame.height)
    assert all(low == high for low, high in (plane.getextrema() for plane in Planes.of_frame(frame)))


def test_rows_are_replaced() -> None:
    """
    Only the rows that were replaced change.
    """
    frame = Planes.of(Image.new("RGB", (130, 8), "black")).frame()
    replace_rows(frame.planes[0], 2, Image.new("L", (130, 3), 200))
    column = [rows_of(frame.planes[0], row, row + 1).getextrema() for row in range(8)]

    assert [(BLACK, BLACK)] * 2 + [(200, 200)] * 3 + [(BLACK, BLACK)] * 3 == column
