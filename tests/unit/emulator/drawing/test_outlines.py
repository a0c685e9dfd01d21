import random

import pytest

from kling_async.emulator.drawing.outlines import box, height_at, lens, oval, ridge, rounded, steps, swell


def test_steps_are_even() -> None:
    """
    They begin at 0 and end at 1.
    """
    assert [0, 0.25, 0.5, 0.75, 1] == steps(5)


@pytest.mark.parametrize("across", [10, 30])
def test_oval_lies_around_its_centre(across: float) -> None:
    """
    Its points are on the ellipse, and more of them if it is large; tilted by a quarter turn it is upright.
    """
    flat, upright = oval(5, 7, across, 4), oval(5, 7, across, 4, 3.14159265 / 2)

    assert [pytest.approx(1)] * len(flat) == [((x - 5) / across) ** 2 + ((y - 7) / 4) ** 2 for x, y in flat]
    assert pytest.approx(across) == max(y - 7 for _, y in upright)
    assert (64 if across > 20 else 24) == len(flat)


def test_rounded_stays_within_its_corners() -> None:
    """
    Cutting corners never adds to a shape; eight points come of each corner.
    """
    points = rounded(box(0, 0, 8, 4))

    assert 32 == len(points)
    assert all(0 <= x <= 8 and 0 <= y <= 4 for x, y in points)
    assert not {(0, 0), (8, 0), (8, 4), (0, 4)} & set(points)


def test_lens_is_flat() -> None:
    """
    It is as wide and as thick as asked for, on both sides of its middle.
    """
    xs, ys = zip(*lens(10, 20, 5, 1), strict=True)

    assert (5, 15, 19, 21) == (min(xs), max(xs), min(ys), max(ys))


def test_land_reaches_beyond_both_sides() -> None:
    """
    Jagged or soft, a line begins and ends two pixels outside, runs to the right, and keeps near its level.
    """
    for line in (ridge(random.Random(1), 100, 50, 10, 0.5), swell(random.Random(1), 100, 50, 10, 1.2)):
        xs, ys = zip(*line, strict=True)

        assert (-2, pytest.approx(102)) == (xs[0], xs[-1])
        assert sorted(xs) == list(xs)
        assert all(20 < y < 80 for y in ys)


def test_height_is_that_of_the_nearest_point() -> None:
    """
    There is a height anywhere, also beyond the ends.
    """
    crest = [(0.0, 5.0), (10.0, 7.0)]

    assert [5, 7, 7] == [height_at(crest, x) for x in (4, 6, 99)]
