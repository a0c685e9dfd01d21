"""
Moves a camera over a picture that is larger than the video.
"""

import random
from typing import Final, NamedTuple

import attrs

__all__ = ["MARGIN", "CameraMove", "View", "across_a_scene", "away_from", "towards"]

MARGIN: Final = 1.15
"""
How much larger the sides of the picture are than those of the video.
"""


class View(NamedTuple):
    """
    What the camera sees: the middle, and how much of each side, all as shares of the picture.
    """

    x: float
    y: float
    share: float


_WHOLE: Final = View(0.5, 0.5, 1.0)


@attrs.frozen
class CameraMove:
    """
    A move at constant speed.
    """

    start: View
    end: View

    def box(self, progress: float, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """
        Return the part of a picture of this *size* that the camera sees, in whole pixels; *progress* is from 0 to 1.
        """
        x, y, share = (a + (b - a) * progress for a, b in zip(self.start, self.end, strict=True))
        width, height = size
        across, down = max(2, round(share * width)), max(2, round(share * height))
        left = min(width - across, max(0, round(x * width - across / 2)))
        top = min(height - down, max(0, round(y * height - down / 2)))
        return left, top, left + across, top + down


def towards(x: float, y: float) -> CameraMove:
    """
    Begin with the whole picture, and move closer to a point of it.
    """
    return CameraMove(_WHOLE, _close_to(x, y))


def away_from(x: float, y: float) -> CameraMove:
    """
    Move away from a point of the picture, and end with the whole of it.
    """
    return CameraMove(_close_to(x, y), _WHOLE)


def across_a_scene(dice: random.Random, focus: tuple[float, float]) -> CameraMove:
    """
    Return a move that suits any scene: in, out, or to a side.
    """
    kind = dice.randrange(4)
    if kind == 0:
        return away_from(*focus)
    if kind == 1:
        return towards(*focus)
    share = 0.9
    start, end = View(share / 2, 0.52, share), View(1 - share / 2, 0.48, share)
    return CameraMove(start, end) if kind == 2 else CameraMove(end, start)


def _close_to(x: float, y: float) -> View:
    share = 1 / MARGIN
    low, high = share / 2, 1 - share / 2
    return View(min(high, max(low, x)), min(high, max(low, y)), share)
