from collections.abc import Callable

import pytest
from PIL import ImageStat

from kling_async.emulator.drawing.canvas import Canvas
from kling_async.emulator.drawing.water import paint_reflection, paint_water


@pytest.mark.parametrize("calm", [0.2, 0.9])
def test_water_mirrors_what_is_above(set_up: Callable[..., Canvas], calm: float) -> None:
    """
    Red above is red below, the more so the calmer it is; above the shore nothing changes.
    """
    mirrored = []
    for colour in ((255, 0, 0), (0, 0, 0)):
        canvas = set_up(size=(160, 90))
        canvas.image.paste(colour, (0, 0, 160, 90))
        paint_water(canvas, 50, calm=calm)
        assert [(160 * 50, colour)] == canvas.image.crop((0, 0, 160, 50)).getcolors()
        mirrored.append(ImageStat.Stat(canvas.image.crop((0, 50, 160, 90))).mean[0])

    assert pytest.approx(calm, abs=0.25) == (mirrored[0] - mirrored[1]) / 255


def test_no_water_where_there_is_no_room(set_up: Callable[..., Canvas]) -> None:
    """
    Less than four rows are left alone.
    """
    canvas = set_up()
    before = canvas.image.tobytes()
    paint_water(canvas, 87, calm=0.5)

    assert before == canvas.image.tobytes()


def test_reflection_lies_below_its_foot(set_up: Callable[..., Canvas]) -> None:
    """
    What floats darkens the water before it, not itself.
    """
    canvas = set_up(size=(160, 90))
    canvas.image.paste("white", (0, 0, 160, 90))
    paint_reflection(canvas, (80, 50), 40)
    changed = canvas.image.convert("L").point(lambda level: 255 - level).getbbox()

    assert changed is not None
    assert changed[1] >= 48
    assert changed[3] <= 74
