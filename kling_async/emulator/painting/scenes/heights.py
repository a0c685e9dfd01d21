"""
Mountains in the haze, and snowy peaks that are lit from one side; both may stand at a lake.
"""

import random

from kling_async.emulator.painting.canvas import Easel
from kling_async.emulator.painting.life import frame_with_pines, paint_birds, scattered_pines
from kling_async.emulator.painting.outlines import Outline, Point, ridge, steps, swell
from kling_async.emulator.painting.palettes import mix
from kling_async.emulator.painting.sky import paint_sky
from kling_async.emulator.painting.water import paint_water


def paint_mountains(easel: Easel) -> None:
    dice, palette = easel.dice, easel.palette
    horizon = easel.height * dice.uniform(0.5, 0.6)
    paint_sky(easel, horizon * 1.1, cloudy=0.5, radius=0.055)
    count = dice.choice((5, 6, 7))
    is_lake = dice.random() < 0.5
    depth = easel.height * (0.72 if is_lake else 0.95) - horizon
    for near in steps(count):
        colour = palette.at(0.16 + 0.74 * near**1.1)
        foot = mix(colour, palette.haze, 0.62 - 0.45 * near)
        crest = ridge(dice, easel.width, horizon + depth * near**1.25, easel.span * (0.13 - 0.075 * near), 0.5)
        grown = scattered_pines(easel, crest, easel.span * 0.05, 90) if near > 0.8 else []
        easel.ground(crest, [colour, foot, foot], grown)
    if is_lake:
        paint_water(easel, easel.height * 0.78, calm=0.72)
        frame_with_pines(easel)
    paint_birds(easel)


def paint_peaks(easel: Easel) -> None:
    dice, palette = easel.dice, easel.palette
    haze, horizon = palette.haze, easel.height * dice.uniform(0.62, 0.68)
    sun = dice.choice((0.14, 0.84)) + dice.uniform(-0.05, 0.05), dice.uniform(0.25, 0.45)
    paint_sky(easel, horizon, sun=sun, cloudy=0.6, radius=0.055)
    easel.ground(ridge(dice, easel.width, horizon * 0.82, easel.span * 0.09, 0.56), [palette.at(0.22), haze, haze])
    places = [(place + dice.uniform(-0.35, 0.35)) / 4 for place in dice.sample(range(5), 5)]
    for order, place in enumerate(places):
        height = easel.span * dice.uniform(0.24, 0.34) * (1 + order * 0.11)
        _paint_peak(easel, place * easel.width, horizon, height, order / 4)
    shore = easel.height * dice.uniform(0.74, 0.8)
    for near in (0.35, 0.7):
        crest = swell(dice, easel.width, horizon + (shore - horizon) * near * 0.6, easel.unit * 8, 2.0)
        colour = palette.at(0.35 + near * 0.6)
        trees = scattered_pines(easel, crest, easel.span * (0.035 + 0.05 * near), 70)
        easel.ground(crest, [colour, mix(colour, haze, 0.3)], trees)
    paint_water(easel, shore, calm=0.8)
    if dice.random() < 0.6:
        frame_with_pines(easel)


def _paint_peak(easel: Easel, x: float, foot: float, height: float, near: float) -> None:
    dice, palette = easel.dice, easel.palette
    flanks = [_flank(dice, x, foot, height, side) for side in (-1, 1)]
    spine = _flank(dice, x, foot, height, dice.uniform(-0.12, 0.12), rough=0.05)
    snow = mix(palette.light, palette.haze, 0.12)
    shade = mix(palette.sky[0], palette.haze, 0.5)
    lights_left = easel.sun[0] < x
    for flank, is_lit in zip(flanks, (lights_left, not lights_left), strict=True):
        rock = mix(palette.at(0.42 + 0.25 * near), palette.light, 0.16 if is_lit else 0.0)
        easel.fill([[*flank, *spine[::-1]]], [rock, mix(rock, palette.haze, 0.75)])
        cap = _snow(dice, flank, spine, foot - height * dice.uniform(0.42, 0.52))
        easel.fill([cap], [snow, mix(snow, palette.haze, 0.35)] if is_lit else [mix(shade, snow, 0.35), shade])


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
