"""
Polygons in pixels of the picture (y points down), and the skylines of land.
"""

import itertools
import math
import random
from collections.abc import Sequence

Point = tuple[float, float]
Outline = Sequence[Point]


def steps(count: int) -> list[float]:
    # From 0 to 1.
    return [i / (count - 1) for i in range(count)]


def box(left: float, top: float, right: float, bottom: float) -> list[Point]:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def oval(x: float, y: float, across: float, down: float, tilt: float = 0.0) -> list[Point]:
    count = 64 if across > 20 else 24
    turns = [(math.cos(i / count * math.tau) * across, math.sin(i / count * math.tau) * down) for i in range(count)]
    cos, sin = math.cos(tilt), math.sin(tilt)
    return [(x + dx * cos - dy * sin, y + dx * sin + dy * cos) for dx, dy in turns]


def lens(x: float, y: float, half: float, thick: float) -> list[Point]:
    # A flat glint, like light on water.
    return [(x - half, y), (x - half * 0.4, y - thick), (x + half * 0.4, y - thick), (x + half, y), (x, y + thick)]


def rounded(corners: Outline) -> list[Point]:
    # Chaikin's corner cutting.
    points = list(corners)
    for _ in range(3):
        points = [
            (a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share)
            for a, b in zip(points, points[1:] + points[:1], strict=True)
            for share in (0.25, 0.75)
        ]
    return points


def ridge(dice: random.Random, width: float, level: float, rise: float, rough: float) -> list[Point]:
    # A jagged line, by midpoint displacement.
    heights = [dice.uniform(-1, 1) for _ in range(5)]
    spread = 0.9
    for _ in range(6):
        between = [(a + b) / 2 + dice.uniform(-spread, spread) for a, b in itertools.pairwise(heights)]
        heights = [height for pair in zip(heights, between, strict=False) for height in pair] + heights[-1:]
        spread *= rough
    step = (width + 4) / (len(heights) - 1)
    return [(i * step - 2, level - rise * height) for i, height in enumerate(heights)]


def swell(dice: random.Random, width: float, level: float, rise: float, waves: float) -> list[Point]:
    # A soft line, of three sines.
    turns = [(waves * rate, dice.uniform(0, math.tau), part) for rate, part in ((1, 1.0), (2.1, 0.4), (4.3, 0.12))]
    return [
        (
            share * (width + 4) - 2,
            level - rise * sum(part * math.sin(share * math.tau * rate + start) for rate, start, part in turns),
        )
        for share in steps(81)
    ]


def height_at(crest: Outline, x: float) -> float:
    return min(crest, key=lambda point: abs(point[0] - x))[1]
