"""
Where the camera looks.
"""

import random

from hypothesis import given, strategies as st

from kling_async.emulator.filming.camera import MARGIN, CameraMove, across_a_scene, away_from, towards

SIZE = (736, 414)
SHARES = st.floats(0, 1)


@st.composite
def moves(draw: st.DrawFn) -> CameraMove:
    focus = draw(SHARES), draw(SHARES)
    scene = across_a_scene(random.Random(draw(st.integers(0, 50))), focus)
    return draw(st.sampled_from([towards(*focus), away_from(*focus), scene]))


@given(moves(), SHARES, st.tuples(st.integers(2, 900), st.integers(2, 900)))
def test_camera_stays_within_the_picture(move: CameraMove, progress: float, size: tuple[int, int]) -> None:
    """
    At every moment, of every move, for pictures of any size.
    """
    left, top, right, bottom = move.box(progress, size)

    assert 0 <= left < right <= size[0]
    assert 0 <= top < bottom <= size[1]


@given(moves(), SHARES)
def test_camera_keeps_the_ratio(move: CameraMove, progress: float) -> None:
    """
    Nothing is stretched by more than a pixel, and nothing is enlarged.
    """
    left, top, right, bottom = move.box(progress, SIZE)

    assert abs((right - left) * SIZE[1] / SIZE[0] - (bottom - top)) <= 1
    assert right - left >= round(SIZE[0] / MARGIN)


def test_moves_begin_or_end_with_the_whole_picture() -> None:
    """
    This is how a given first or last frame is shown as it is.
    """
    whole = (0, 0, *SIZE)

    assert whole == towards(0.5, 0.5).box(0, SIZE) == away_from(0.2, 0.9).box(1, SIZE)
    assert whole != towards(0.5, 0.5).box(1, SIZE)


def test_scenes_differ() -> None:
    """
    Seeds choose different moves.
    """
    assert len({across_a_scene(random.Random(seed), (0.5, 0.5)) for seed in range(20)}) > 2
