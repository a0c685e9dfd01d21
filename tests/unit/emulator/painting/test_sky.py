from collections.abc import Callable

import pytest
from PIL import ImageStat

from kling_async.emulator.painting.canvas import Easel
from kling_async.emulator.painting.sky import paint_sky


def test_sky_is_darkest_above(set_up: Callable[..., Easel]) -> None:
    """
    It brightens towards the horizon.
    """
    easel = set_up()
    paint_sky(easel, 60, cloudy=0.0, radius=0)
    top, low = (ImageStat.Stat(easel.image.crop((0, y, 160, y + 5)).convert("L")).mean[0] for y in (0, 54))

    assert top < low


@pytest.mark.parametrize("palette", ["ember", "midnight"])
def test_sun_and_moon_stand_where_the_light_is(set_up: Callable[..., Easel], palette: str) -> None:
    """
    They are placed by shares of the width and of the way to the horizon, and left out without a radius.
    """
    with_disc, without = (set_up(palette, size=(320, 180)) for _ in range(2))
    paint_sky(with_disc, 120, cloudy=0.5, radius=0.1, sun=(0.25, 0.5))
    paint_sky(without, 120, cloudy=0.5, radius=0, sun=(0.25, 0.5))
    lit, unlit = (sum(easel.image.crop((80, 60, 81, 61)).tobytes()) for easel in (with_disc, without))

    assert (80, 60) == with_disc.sun == without.sun
    assert lit > unlit
    assert with_disc.image.crop((160, 0, 320, 180)).tobytes() == without.image.crop((160, 0, 320, 180)).tobytes()


@pytest.mark.parametrize(("palette", "lowest", "highest"), [("ember", 0.5, 0.9), ("midnight", 0.25, 0.6)])
def test_light_that_is_left_open_is_above_the_horizon(
    set_up: Callable[..., Easel], palette: str, lowest: float, highest: float
) -> None:
    """
    Suns are chosen low, moons high, neither at the edge.
    """
    for seed in range(20):
        easel = set_up(palette, seed=seed, size=(40, 30))
        paint_sky(easel, 20, cloudy=0.5, radius=0.05)

        assert 8 <= easel.sun[0] <= 32
        assert 20 * lowest <= easel.sun[1] <= 20 * highest
