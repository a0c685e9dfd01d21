import random

import pytest

from kling_async.emulator.drawing.palettes import PALETTES, Colour, mix


def lightness(colour: Colour) -> int:
    return sum(colour)


@pytest.mark.parametrize(("share", "expected"), [(0.0, (0, 100, 255)), (0.5, (50, 100, 128)), (1.0, (100, 100, 0))])
def test_mix_goes_from_one_colour_to_the_other(share: float, expected: Colour) -> None:
    """
    Share 0 is the one, 1 the other.
    """
    assert expected == mix((0, 100, 255), (100, 100, 0), share)


@pytest.mark.parametrize("name", sorted(PALETTES))
def test_light_comes_from_the_sky(name: str) -> None:
    """
    In every palette the sky is lighter at the horizon than at its top, the ground darker than the haze, the light
    lightest; nights are dark above.
    """
    palette = PALETTES[name]

    assert lightness(palette.sky[0]) < lightness(palette.sky[-1]) < lightness(palette.light)
    assert palette.haze == palette.at(0)
    assert lightness(palette.at(0)) > lightness(palette.at(0.5)) > lightness(palette.at(1))
    assert palette.is_night == (lightness(palette.sky[2]) < 250)


def test_cast_is_slight() -> None:
    """
    A varied palette is another one, but no colour moves by more than a tenth; the light stays.
    """
    palette = PALETTES["ember"]
    varied = palette.varied(random.Random(1))
    moved = [
        abs(a - b) for one, other in zip(palette.sky, varied.sky, strict=True) for a, b in zip(one, other, strict=True)
    ]

    assert palette.light == varied.light
    assert 0 < max(moved) <= 24
