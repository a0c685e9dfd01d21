"""
Scenes: mountains in haze, and snowy peaks lit from one side. Both may have a lake.
"""

import random

from kling_async.emulator.drawing.canvas import Canvas
from kling_async.emulator.drawing.outlines import Outline, Point, ridge, steps, swell
from kling_async.emulator.drawing.palettes import mix
from kling_async.emulator.drawing.sky import paint_sky
from kling_async.emulator.drawing.trees_and_birds import frame_with_pines, paint_birds, scattered_pines
from kling_async.emulator.drawing.water import paint_water


def paint_mountains(canvas: Canvas) -> None:
    dice, palette = canvas.dice, canvas.palette
    horizon = canvas.height * dice.uniform(0.5, 0.6)
    paint_sky(canvas, horizon * 1.1, cloudy=0.5, radius=0.055)
    count = dice.choice((5, 6, 7))
    is_lake = dice.random() < 0.5
    depth = canvas.height * (0.72 if is_lake else 0.95) - horizon
    for near in steps(count):
        colour = palette.at(0.16 + 0.74 * near**1.1)
        foot = mix(colour, palette.haze, 0.62 - 0.45 * near)
        crest = ridge(dice, canvas.width, horizon + depth * near**1.25, canvas.span * (0.13 - 0.075 * near), 0.5)
        grown = scattered_pines(canvas, crest, canvas.span * 0.05, 90) if near > 0.8 else []
        canvas.ground(crest, [colour, foot, foot], grown)
    if is_lake:
        paint_water(canvas, canvas.height * 0.78, calm=0.72)
        frame_with_pines(canvas)
    paint_birds(canvas)


def paint_peaks(canvas: Canvas) -> None:
    dice, palette = canvas.dice, canvas.palette
    haze, horizon = palette.haze, canvas.height * dice.uniform(0.62, 0.68)
    sun = dice.choice((0.14, 0.84)) + dice.uniform(-0.05, 0.05), dice.uniform(0.25, 0.45)
    paint_sky(canvas, horizon, sun=sun, cloudy=0.6, radius=0.055)
    canvas.ground(ridge(dice, canvas.width, horizon * 0.82, canvas.span * 0.09, 0.56), [palette.at(0.22), haze, haze])
    places = [(place + dice.uniform(-0.35, 0.35)) / 4 for place in dice.sample(range(5), 5)]
    for order, place in enumerate(places):
        height = canvas.span * dice.uniform(0.24, 0.34) * (1 + order * 0.11)
        _paint_peak(canvas, place * canvas.width, horizon, height, order / 4)
    shore = canvas.height * dice.uniform(0.74, 0.8)
    for near in (0.35, 0.7):
        crest = swell(dice, canvas.width, horizon + (shore - horizon) * near * 0.6, canvas.unit * 8, 2.0)
        colour = palette.at(0.35 + near * 0.6)
        trees = scattered_pines(canvas, crest, canvas.span * (0.035 + 0.05 * near), 70)
        canvas.ground(crest, [colour, mix(colour, haze, 0.3)], trees)
    paint_water(canvas, shore, calm=0.8)
    if dice.random() < 0.6:
        frame_with_pines(canvas)


def _paint_peak(canvas: Canvas, x: float, foot: float, height: float, near: float) -> None:
    dice, palette = canvas.dice, canvas.palette
    flanks = [_flank(dice, x, foot, height, side) for side in (-1, 1)]
    spine = _flank(dice, x, foot, height, dice.uniform(-0.12, 0.12), rough=0.05)
    snow = mix(palette.light, palette.haze, 0.12)
    shade = mix(palette.sky[0], palette.haze, 0.5)
    lights_left = canvas.sun[0] < x
    for flank, is_lit in zip(flanks, (lights_left, not lights_left), strict=True):
        rock = mix(palette.at(0.42 + 0.25 * near), palette.light, 0.16 if is_lit else 0.0)
        canvas.fill([[*flank, *spine[::-1]]], [rock, mix(rock, palette.haze, 0.75)])
        cap = _snow(dice, flank, spine, foot - height * dice.uniform(0.42, 0.52))
        canvas.fill([cap], [snow, mix(snow, palette.haze, 0.35)] if is_lit else [mix(shade, snow, 0.35), shade])


def _flank(dice: random.Random, x: float, foot: float, height: float, side: float, rough: float = 0.035) -> list[Point]:
    points = [(x, foot - height)]
    for step in range(1, 15):
        share = step / 14
        lean = side * height * 1.05 * share ** (1.12 if abs(side) == 1 else 1)
        shake = dice.uniform(-rough, rough) * height * min(1, share * 2.5)
        points.append((x + lean + shake, foot - height * (1 - share)))
    return points


def _snow(dice: random.Random, flank: Outline, spine: Outline, line: float) -> list[Point]:
    # The part above the snow line, whose lower edge runs in tongues from the flank to the spine.
    outer = [point for point in flank if point[1] < line]
    inner = [point for point in spine if point[1] < line]
    (x1, y1), (x2, y2) = outer[-1], inner[-1]
    drop = (line - flank[0][1]) * 0.5
    edge = []
    for step in range(1, 12):
        share = (step + dice.uniform(-0.3, 0.3)) / 12
        tongue = drop * dice.random() ** 1.6 if step % 2 else -drop * dice.uniform(0.1, 0.5)
        edge.append((x1 + (x2 - x1) * share, y1 + (y2 - y1) * share + tongue))
    return [*outer, *edge, *inner[::-1]]
