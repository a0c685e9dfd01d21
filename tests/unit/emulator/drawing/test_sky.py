from collections.abc import Callable

import pytest
from PIL import ImageStat

from kling_async.emulator.drawing.canvas import Canvas
from kling_async.emulator.drawing.sky import paint_sky


def test_sky_is_darkest_above(set_up: Callable[..., Canvas]) -> None:
    """
    It brightens towards the horizon.
    """
    canvas = set_up()
    paint_sky(canvas, 60, cloudy=0.0, radius=0)
    top, low = (ImageStat.Stat(canvas.image.crop((0, y, 160, y + 5)).convert("L")).mean[0] for y in (0, 54))

    assert top < low


@pytest.mark.parametrize("palette", ["ember", "midnight"])
def test_sun_and_moon_stand_where_the_light_is(set_up: Callable[..., Canvas], palette: str) -> None:
    """
    They are placed by shares of the width and of the way to the horizon, and left out without a radius.
    """
    with_disc, without = (set_up(palette, size=(320, 180)) for _ in range(2))
    paint_sky(with_disc, 120, cloudy=0.5, radius=0.1, sun=(0.25, 0.5))
    paint_sky(without, 120, cloudy=0.5, radius=0, sun=(0.25, 0.5))
    lit, unlit = (sum(canvas.image.crop((80, 60, 81, 61)).tobytes()) for canvas in (with_disc, without))

    assert (80, 60) == with_disc.sun == without.sun
    assert lit > unlit
    assert with_disc.image.crop((160, 0, 320, 180)).tobytes() == without.image.crop((160, 0, 320, 180)).tobytes()


@pytest.mark.parametrize(("palette", "lowest", "highest"), [("ember", 0.5, 0.9), ("midnight", 0.25, 0.6)])
def test_light_that_is_left_open_is_above_the_horizon(
    set_up: Callable[..., Canvas], palette: str, lowest: float, highest: float
) -> None:
    """
    Suns are chosen low, moons high, neither at the edge.
    """
    for seed in range(20):
        canvas = set_up(palette, seed=seed, size=(40, 30))
        paint_sky(canvas, 20, cloudy=0.5, radius=0.05)

        assert 8 <= canvas.sun[0] <= 32
        assert 20 * lowest <= canvas.sun[1] <= 20 * highest
