"""
Draws motifs and places them in the air, on the water, or on a hill in front.
"""

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Final

from kling_async.emulator.drawing.canvas import Canvas, glow, stencil
from kling_async.emulator.drawing.moving_parts import Floating
from kling_async.emulator.drawing.outlines import Outline, Point, box, height_at, oval, ridge, rounded
from kling_async.emulator.drawing.palettes import mix
from kling_async.emulator.drawing.trees_and_birds import paint_birds
from kling_async.emulator.drawing.water import paint_reflection

# They are one unit high (100 below) and stand on y = 0; each line has a tone, a form and figures of points "x,y".
_DRAWINGS: Final = """
lighthouse
    ink   box   4,0 34,13
    ink   poly  0,13 19,25 38,13
    glow  box   22,4 27,9
    pale  twin  -10.5,0 -6.6,72
    warm  twin  -9.8,13 -9,28 | -8.3,42 -7.5,56
    ink   box   -10,72 10,74.5
    glow  box   -5,74.5 5,85
    ink   box   -0.8,74.5 0.8,85
    ink   twin  -8,85 -1.2,94 -0.8,100
boat
    pale  soft  2,20 2,98 3,100 24,62 40,20
    warm  poly  -3,22 -3,90 -34,24
    ink   box   -0.8,10 0.8,100
    ink   poly  -46,17 48,19 33,0 -33,0
balloon
    warm  bulb  -7,20 -36,55 -36,90 -12,102
    pale  bulb  -5,20 -22,55 -22,90 -5,102
    warm  bulb  -2,20 -9,55 -9,90 -1,103
    ink   poly  -7,24 -6.4,24 -5,10 -5.6,10 | mirrored
    ink   twin  -6,11 -4.8,0
cat
    ink   soft  10,0 34,-2 52,4 56,20 46,34 42,30 48,20 44,10 30,7 10,10
    ink   bulb  -20,-2 -31,6 -27,32 -13,56 -10,68
    ink   oval  0,74 16.5,14
    ink   poly  -16.3,74 -15,99 -2,85 | mirrored
robot
    ink   box   -15,3 -5,32 | mirrored
    ink   soft  -22,0 -3,0 -3,8 -22,8 | mirrored
    ink   soft  -33,30 -22,30 -22,46 -20,62 -33,62 | mirrored
    ink   soft  -20,27 20,27 20,45 23,63 -23,63 -20,45
    ink   box   -5,60 5,70
    ink   bulb  0,66 -20,66 -20,80 -20,91 0,91
    ink   box   -1,88 1,98
    glow  oval  0,98 2.5,2.5
    glow  oval  -8.5,79 4,4 | mirrored
    glow  soft  -7,44 7,44 7,54 -7,54
cabin
    ink   box   20,50 32,98 | -50,0 50,50
    pale  poly  -66,44 -42,92 42,92 66,44
    glow  box   -34,16 -12,36 | 22,16 40,36
    warm  box   -2,0 14,34
    ink   box   -24,16 -22,36
castle
    ink   box   -40,0 40,34 | -33,33 -27,39 | -14,33 -8,39 | 15,33 21,39 | 27,33 33,39
    ink   box   -50,0 -34,52 | 34,0 50,46 | -12,0 12,68 | -25,0 -15,58
    warm  poly  -53,51 -42,75 -31,51 | 31,45 42,67 53,45 | -15,67 0,100 15,67 | -27,57 -20,77 -13,57
    glow  soft  -44,36 -40,36 -40,43 -44,43 | 40,32 44,32 44,39 40,39 | -2,50 2,50 2,57 -2,57
    glow  soft  -7,30 -3,30 -3,37 -7,37 | mirrored
    glow  soft  -7,-5 7,-5 7,18 -7,18
tree
    ink   soft  -13,-3 -5,6 -3.5,28 -24,50 -22,54 -3,40 -4,60 3,60 3,40 22,56 24,52 4.5,28 5,6 13,-3
    rim   crown -40,56,10 -27,60,13 -31,70,12 -16,68,14 -18,80,14 -5,62,12 0,76,17 -4,88,13
    rim   crown 10,86,13 14,66,14 21,77,13 30,64,12 40,60,9 34,72,9
    ink   crown -40,56,10 -27,60,13 -31,70,12 -16,68,14 -18,80,14 -5,62,12 0,76,17 -4,88,13
    ink   crown 10,86,13 14,66,14 21,77,13 30,64,12 40,60,9 34,72,9
rocket
    glow  soft  -6,26 6,26 5,10 0,-12 -5,10
    warm  poly  -10,50 -24,22 -8,30 | mirrored
    pale  bulb  -9,26 -15,52 -10,85 0,104
    ink   oval  0,68 6,6
    glow  oval  0,68 4.2,4.2
person
    ink   oval  0,89 6.2,7.5
    ink   bulb  -3,85 -12,79 -16,50 -20,20 -10,20
    ink   box   -9,0 -2,25 | mirrored
    warm  soft  -7,84 7,84 9,78 26,72 24,68 2,75 -8,78
"""

# Heights of motifs on a hill, as shares of the span.
_TALL: Final = {
    "cabin": 0.15,
    "castle": 0.36,
    "cat": 0.4,
    "lighthouse": 0.46,
    "person": 0.3,
    "robot": 0.42,
    "tree": 0.4,
}

_FLOATING: Final = frozenset({"balloon", "boat", "rocket"})


def place_motif(canvas: Canvas, motif: str) -> None:
    width, height, span = canvas.width, canvas.height, canvas.span
    side = (0.68 if canvas.sun[0] < width / 2 else 0.32) + canvas.dice.uniform(-0.07, 0.07)  # not in front of the sun
    match motif:
        case "birds":
            paint_birds(canvas, 13)
        case "balloon":
            for share, high, size in ((side, 0.34, 0.34), (1 - side, 0.24, 0.15), (side * 0.5 + 0.36, 0.16, 0.09)):
                _paint(canvas, motif, (width * share, height * (high + size * 0.5)), span * size)
        case "rocket":
            _paint(canvas, motif, (width * side, height * 0.58), span * 0.34)
        case "boat":
            foot = width * (1 - canvas.sun[0] / width) * 0.5 + width * side * 0.5, height * 0.76
            paint_reflection(canvas, foot, span * 0.3)
            _paint(canvas, motif, foot, span * 0.3)
        case _:
            _paint(canvas, motif, _knoll(canvas, width * side), span * _TALL[motif])


def _knoll(canvas: Canvas, x: float) -> Point:
    # A dark hill at the bottom, highest at x; the motif is sunk into it a little.
    dice = canvas.dice
    foot, top = canvas.height * 0.97, canvas.height * dice.uniform(0.78, 0.84)
    wide = canvas.width * dice.uniform(0.24, 0.34)
    rough = ridge(dice, canvas.width, 0, canvas.unit * 3, 0.6)
    crest = [(px, foot - (foot - top) * math.exp(-(((px - x) / wide) ** 2)) + py) for px, py in rough]
    canvas.ground(crest, [canvas.palette.at(0.93), canvas.palette.ground])
    return x, height_at(crest, x) + canvas.unit * 5


def _paint(canvas: Canvas, motif: str, foot: Point, height: float) -> None:
    palette = canvas.palette
    tones = {
        "ink": palette.ground,
        "rim": palette.at(0.8),
        "pale": mix(palette.light, palette.ground, 0.45 if palette.is_night else 0.22),
        "warm": mix(mix((214, 74, 62), palette.haze, 0.15), palette.ground, 0.3),
        "glow": (255, 224, 138),
    }
    figures = [
        (tone, [[(foot[0] + x * height, foot[1] - y * height) for x, y in outline] for outline in outlines])
        for tone, outlines in _read(motif)
    ]
    behind = canvas.image.copy() if canvas.moving is not None and motif in _FLOATING else None
    for tone, shapes in figures:
        canvas.fill(shapes, [tones[tone]])
    if canvas.moving is not None and behind is not None:
        shapes = [shape for _, shapes in figures for shape in shapes]
        left, top, right, bottom = _bounds(shapes)
        box = left, top, right, bottom
        floating = Floating(motif, (left, top), canvas.image.crop(box), stencil(shapes, box))
        canvas.moving.floating.append(floating)
        canvas.image.paste(behind)
    if motif == "lighthouse":
        _paint_beam(canvas, (foot[0], foot[1] - 0.8 * height), height)


def _bounds(shapes: Sequence[Outline]) -> tuple[int, int, int, int]:
    xs, ys = zip(*(point for shape in shapes for point in shape), strict=True)
    return math.floor(min(xs)), math.floor(min(ys)), math.ceil(max(xs)), math.ceil(max(ys))


@functools.cache
def _read(motif: str) -> list[tuple[str, list[Outline]]]:
    # The tone and the outlines of each figure, one unit high.
    figures: list[tuple[str, list[Outline]]] = []
    lines = _DRAWINGS.partition(f"\n{motif}\n")[2].splitlines()
    for line in itertools.takewhile(lambda line: line.startswith(" "), lines):
        tone, form, text = line.split(maxsplit=2)
        points: list[tuple[float, ...]] = []
        for figure in text.split("|"):
            given = [tuple(map(float, pair.split(","))) for pair in figure.replace("mirrored", "").split()]
            points = given or [(-x, y) for x, y in points]
            outlines = _outlines(tone, form, points)
            figures.append((tone, [[(x / 100, y / 100) for x, y in outline] for outline in outlines]))
    return figures


def _outlines(tone: str, form: str, numbers: Sequence[tuple[float, ...]]) -> list[Outline]:
    if form == "crown":
        lift = 2.4 if tone == "rim" else 0.0  # the rim is the part that the ink does not cover
        return [oval(x + lift / 2, y + lift, radius, radius * 0.82) for x, y, radius in numbers]
    points = [(x, y) for x, y in numbers]
    if form in {"box", "oval"}:
        return [(box if form == "box" else oval)(*points[0], *points[1])]
    if form in {"twin", "bulb"}:  # only one half is given
        points += [(-x, y) for x, y in points[::-1]]
    return [rounded(points) if form in {"bulb", "soft"} else points]


def _paint_beam(canvas: Canvas, lamp: Point, height: float) -> None:
    (x, y), reach = lamp, height * 2.2
    rays = [[(x, y), (x + side * reach, y - reach * 0.2), (x + side * reach, y + reach * 0.02)] for side in (-1, 1)]
    canvas.shine(lamp, reach, rays, 0.6)
    glow(canvas.image, lamp, height * 0.35, (255, 236, 176), 0.9)
