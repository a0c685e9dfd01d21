from collections.abc import Callable
from typing import Final

import pytest

from kling_async.emulator.drawing.canvas import Canvas
from kling_async.emulator.drawing.trees_and_birds import frame_with_pines, paint_birds, pines_in_a_row, scattered_pines

CREST: Final = [(-2.0, 60.0), (80.0, 50.0), (162.0, 60.0)]


def test_scattered_pines_stand_on_the_crest(set_up: Callable[..., Canvas]) -> None:
    """
    There are as many as asked for, each rising from near a point of the crest.
    """
    trees = scattered_pines(set_up(), CREST, 10, 12)
    feet = {round(max(y for _, y in tree)) for tree in trees}

    assert 12 == len(trees)
    assert feet <= {51, 52, 61, 62}


@pytest.mark.parametrize(("clear", "count"), [(0.0, 20), (0.2, 12)])
def test_row_leaves_a_clearing_for_the_light(set_up: Callable[..., Canvas], clear: float, count: int) -> None:
    """
    No tree stands nearer to the light than the clearing reaches.
    """
    canvas = set_up()
    canvas.sun = (80, 40)
    trees = pines_in_a_row(canvas, CREST, 10, 20, clear=clear)

    assert pytest.approx(count, abs=1) == len(trees)
    assert all(abs(tree[0][0] - 80) > 160 * clear for tree in trees)


def test_frame_is_at_one_side(set_up: Callable[..., Canvas]) -> None:
    """
    Left or right, as the dice say; never in the middle.
    """
    sides = set()
    for seed in range(8):
        canvas = set_up(seed=seed)
        before = canvas.image.copy()
        frame_with_pines(canvas)
        left, middle, right = (
            canvas.image.crop(box).tobytes() != before.crop(box).tobytes()
            for box in ((0, 0, 20, 90), (75, 0, 85, 90), (140, 0, 160, 90))
        )
        assert not middle
        sides.add((left, right))

    assert {(True, False), (False, True)} == sides


@pytest.mark.parametrize(("count", "are_seen"), [(0, {False}), (13, {True}), (None, {False, True})])
def test_birds_may_be_left_to_chance(set_up: Callable[..., Canvas], count: int | None, are_seen: set[bool]) -> None:
    """
    A number is kept; without one there are few birds, or none.
    """
    seen = set()
    for seed in range(12):
        canvas = set_up(seed=seed, size=(320, 180))
        before = canvas.image.tobytes()
        paint_birds(canvas, count)
        seen.add(before != canvas.image.tobytes())

    assert are_seen == seen
