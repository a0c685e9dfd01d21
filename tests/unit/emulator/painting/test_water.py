from collections.abc import Callable

import pytest
from PIL import ImageStat

from kling_async.emulator.painting.canvas import Easel
from kling_async.emulator.painting.water import paint_reflection, paint_water


@pytest.mark.parametrize("calm", [0.2, 0.9])
def test_water_mirrors_what_is_above(set_up: Callable[..., Easel], calm: float) -> None:
    """
    Red above is red below, the more so the calmer it is; above the shore nothing changes.
    """
    mirrored = []
    for colour in ((255, 0, 0), (0, 0, 0)):
        easel = set_up(size=(160, 90))
        easel.image.paste(colour, (0, 0, 160, 90))
        paint_water(easel, 50, calm=calm)
        assert [(160 * 50, colour)] == easel.image.crop((0, 0, 160, 50)).getcolors()
        mirrored.append(ImageStat.Stat(easel.image.crop((0, 50, 160, 90))).mean[0])

    assert pytest.approx(calm, abs=0.25) == (mirrored[0] - mirrored[1]) / 255


def test_no_water_where_there_is_no_room(set_up: Callable[..., Easel]) -> None:
    """
    Less than four rows are left alone.
    """
    easel = set_up()
    before = easel.image.tobytes()
    paint_water(easel, 87, calm=0.5)

    assert before == easel.image.tobytes()


def test_reflection_lies_below_its_foot(set_up: Callable[..., Easel]) -> None:
    """
    What floats darkens the water before it, not itself.
    """
    easel = set_up(size=(160, 90))
    easel.image.paste("white", (0, 0, 160, 90))
    paint_reflection(easel, (80, 50), 40)
    changed = easel.image.convert("L").point(lambda level: 255 - level).getbbox()

    assert changed is not None
    assert changed[1] >= 48
    assert changed[3] <= 74
