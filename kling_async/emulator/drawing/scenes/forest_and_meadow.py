"""
Scenes: a forest with shafts of light, and a meadow with flowers.
"""

import math

from kling_async.emulator.drawing.canvas import Canvas
from kling_async.emulator.drawing.outlines import oval, steps, swell
from kling_async.emulator.drawing.palettes import WHITE, Colour, mix
from kling_async.emulator.drawing.sky import paint_sky
from kling_async.emulator.drawing.trees_and_birds import pines_in_a_row, scattered_pines


def paint_forest(canvas: Canvas) -> None:
    dice, palette = canvas.dice, canvas.palette
    sun = dice.uniform(0.35, 0.65), dice.uniform(0.3, 0.5)
    paint_sky(canvas, canvas.height * 0.85, sun=sun, cloudy=0.3, radius=0.05)
    for row, near in enumerate(steps(6)):
        height = canvas.span * (0.12 + 0.5 * near**1.6)
        crest = swell(dice, canvas.width, canvas.height * (0.56 + 0.42 * near**1.1), canvas.unit * 16, 1.4)
        colour = palette.at(0.1 + 0.86 * near)
        mist = mix(colour, palette.haze, 0.8 - 0.6 * near)
        clear = 0.13 + 0.1 * near if row > 1 else 0.0
        trees = pines_in_a_row(canvas, crest, height, round(46 - 33 * near), clear=clear)
        canvas.ground(crest, [colour, mix(colour, mist, 0.4), mist], trees)
        if row in {1, 3}:
            _paint_shafts(canvas)


def _paint_shafts(canvas: Canvas) -> None:
    dice, (x, y), reach = canvas.dice, canvas.sun, canvas.span
    shafts = []
    for _ in range(6):
        turn, wide = dice.uniform(0.08, 0.92) * math.pi, dice.uniform(0.015, 0.05)
        ends = [(x + math.cos(turn + d) * reach, y + math.sin(turn + d) * reach) for d in (-wide, wide)]
        shafts.append([(x, y), *ends])
    canvas.shine(canvas.sun, reach, shafts, 0.2 if canvas.palette.is_night else 0.4)


def paint_meadow(canvas: Canvas) -> None:
    dice, palette = canvas.dice, canvas.palette
    horizon = canvas.height * dice.uniform(0.48, 0.56)
    paint_sky(canvas, horizon * 1.05, cloudy=0.8, radius=0.07)
    green = mix((96, 140, 84), palette.ground, 0.8 if palette.is_night else 0.35)
    for near in steps(5):
        crest = swell(dice, canvas.width, horizon + canvas.height * 0.3 * near**1.2, canvas.span * 0.035, 0.9 + near)
        colour = mix(palette.haze, green, 0.2 + 0.75 * near)
        grown = scattered_pines(canvas, crest, canvas.span * 0.035, 26) if 0 < near < 0.7 else []
        canvas.ground(
            crest, [mix(colour, palette.light, 0.22), colour, mix(colour, palette.ground, 0.55 * near)], grown
        )
    bright = [(226, 74, 84), (246, 172, 70), (178, 116, 208), (244, 136, 166), (250, 214, 96)]
    petals = [palette.light, *dice.sample(bright, 3)]
    for near in sorted(dice.random() ** 1.1 for _ in range(150)):
        _paint_flower(canvas, horizon, near**1.15, dice.choice(petals), green)


def _paint_flower(canvas: Canvas, horizon: float, near: float, petal: Colour, green: Colour) -> None:
    dice, palette = canvas.dice, canvas.palette
    x, foot = canvas.width * dice.uniform(-0.02, 1.02), horizon + (canvas.height - horizon) * (0.42 + 0.75 * near)
    size = canvas.span * (0.004 + 0.04 * near**2.4) * dice.uniform(0.75, 1.2)
    colour = mix(mix(petal, palette.haze, 0.25 * (1 - near)), palette.ground, 0.5 if palette.is_night else 0.0)
    if near < 0.35:
        canvas.fill([oval(x, foot, size * 1.2, size * 0.8)], [colour])
        return
    lean = dice.uniform(-1.2, 1.2) * size
    y = foot - size * dice.uniform(3.5, 5.5)
    stem, root, middle = size * 0.09, foot + size * 4, (foot + y) / 2
    bend = x + lean * 0.3
    stalk = [(x - stem, root), (bend - stem, middle), (x + lean, y), (bend + stem, middle), (x + stem, root)]
    canvas.fill([stalk], [mix(green, palette.ground, 0.45)])
    start = dice.random()
    x += lean
    heads = []
    for turn in (start + place / 7 * math.tau for place in range(7)):
        hx, hy = x + math.cos(turn) * size * 0.62, y + math.sin(turn) * size * 0.5
        heads.append(oval(hx, hy, size * 0.5, size * 0.24, turn))
    canvas.fill(heads, [mix(colour, WHITE, 0.25), colour])
    canvas.fill([oval(x, y, size * 0.27, size * 0.23)], [mix((240, 180, 60), palette.ground, 0.25)])
