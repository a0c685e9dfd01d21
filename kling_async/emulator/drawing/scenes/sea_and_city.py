"""
Scenes with reflections in water: islands, a city, northern lights.
"""

import random

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from kling_async.emulator.drawing.canvas import SOFT, Canvas, gradient, noise
from kling_async.emulator.drawing.outlines import Outline, box, ridge, steps, swell
from kling_async.emulator.drawing.palettes import Colour, mix
from kling_async.emulator.drawing.sky import paint_sky
from kling_async.emulator.drawing.trees_and_birds import frame_with_pines, paint_birds, scattered_pines
from kling_async.emulator.drawing.water import paint_water


def paint_sea(canvas: Canvas) -> None:
    dice = canvas.dice
    horizon = canvas.height * dice.uniform(0.52, 0.62)
    sun = None if canvas.palette.is_night else (dice.uniform(0.25, 0.75), dice.uniform(0.72, 0.98))
    paint_sky(canvas, horizon, sun=sun, cloudy=0.9, radius=0.075)
    for near in (0.2, 0.42):
        if dice.random() < 0.8:
            _paint_island(canvas, horizon, near)
    paint_water(canvas, horizon, calm=0.45)
    paint_birds(canvas)


def _paint_island(canvas: Canvas, horizon: float, near: float) -> None:
    dice = canvas.dice
    half, x = canvas.width * dice.uniform(0.12, 0.3), canvas.width * dice.choice((0.02, 0.2, 0.8, 0.98))
    crest = ridge(dice, 2 * half, 0, 1, 0.5)
    rise = canvas.span * dice.uniform(0.03, 0.07)
    outline = [(x + half, horizon + 2), (x - half, horizon + 2)]
    for dx, height in crest:
        dome = max(0.0, 1 - ((dx - half) / half) ** 2)
        outline.append((x - half + dx, horizon + 1 - rise * dome * (1.1 - height * 0.6)))
    colour = canvas.palette.at(0.2 + near)
    canvas.fill([outline], [colour, mix(colour, canvas.palette.haze, 0.4)])


def paint_city(canvas: Canvas) -> None:
    dice = canvas.dice
    shore = canvas.height * dice.uniform(0.74, 0.8)
    paint_sky(canvas, shore, sun=(dice.uniform(0.3, 0.7), dice.uniform(0.45, 0.75)), radius=0.13, cloudy=0.4)
    for near, low, high in ((0.28, 0.2, 0.42), (0.55, 0.14, 0.4), (0.92, 0.06, 0.3)):
        _paint_skyline(canvas, shore, near, (low, high))
    paint_water(canvas, shore, calm=0.75)
    paint_birds(canvas)


def _paint_skyline(canvas: Canvas, shore: float, near: float, heights: tuple[float, float]) -> None:
    dice, unit = canvas.dice, canvas.unit
    colour = canvas.palette.at(near)
    walls: list[Outline] = []
    windows: list[Outline] = []
    x = -20 * unit
    while x < canvas.width:
        wide = unit * dice.uniform(26, 72) * (0.7 + 0.5 * near)
        top = shore - canvas.span * (heights[0] + (heights[1] - heights[0]) * dice.random() ** 2)
        walls += [box(x, top, x + wide, shore + 1), *_roof(dice, x, top, wide)]
        if near > 0.4:
            windows += _windows(dice, (x, top, x + wide, shore), unit * (4.2 + 3.5 * near))
        x += wide + unit * dice.choice((0, 0, 3, 14))
    canvas.fill(walls, [colour, mix(colour, canvas.palette.haze, 0.5 - 0.3 * near)])
    canvas.fill(windows, [mix(canvas.palette.light, (255, 190, 90), 0.55)], 0.35 + 0.5 * near)


def _roof(dice: random.Random, x: float, top: float, wide: float) -> list[Outline]:
    middle, foot = x + wide / 2, top + 1
    roofs: list[Outline] = [
        box(middle - wide * 0.03, top - wide * 0.9, middle + wide * 0.03, foot),
        box(x + wide * 0.2, top - wide * 0.25, x + wide * 0.8, foot),
        [(x, foot), (middle, top - wide * 0.7), (x + wide, foot)],
        [(x, foot), (x, top - wide * 0.35), (x + wide, foot)],
    ]
    kind = dice.randrange(6)
    return roofs[kind : kind + 1]  # none for a third of them


def _windows(dice: random.Random, wall: tuple[float, float, float, float], pace: float) -> list[Outline]:
    left, top, right, bottom = wall
    lit, storey = dice.uniform(0.08, 0.4), pace * 1.4
    columns, rows = int((right - left) / pace) - 1, int((bottom - top) / storey) - 1
    start = left + (right - left - columns * pace) / 2 + pace * 0.25
    return [
        box(start + i * pace, top + (j + 0.7) * pace * 1.4, start + (i + 0.5) * pace, top + (j + 1.2) * pace * 1.4)
        for i in range(columns)
        for j in range(rows)
        if dice.random() < lit
    ]


def paint_aurora(canvas: Canvas) -> None:
    dice, palette, span = canvas.dice, canvas.palette, canvas.span
    shore = canvas.height * dice.uniform(0.68, 0.76)
    paint_sky(canvas, shore * 1.05, sun=(dice.choice((0.15, 0.85)), 0.24), cloudy=0.0, radius=0.04)
    for green, violet in (((72, 236, 158), (96, 84, 220)), ((96, 224, 200), (206, 92, 196))):
        _paint_curtain(canvas, shore, green, violet)
    for near in (0.25, 0.5, 0.8):
        crest = ridge(dice, canvas.width, shore - span * 0.07 * (1 - near), span * (0.1 - 0.08 * near), 0.52)
        colour = mix(palette.sky[1], palette.ground, 0.3 + near * 0.7)
        grown = scattered_pines(canvas, crest, span * 0.07, 120) if near > 0.6 else []
        canvas.ground(crest, [colour, mix(colour, palette.haze, 0.12)], grown)
    paint_water(canvas, shore + span * 0.03, calm=0.85)
    frame_with_pines(canvas)


def _paint_curtain(canvas: Canvas, shore: float, lower: Colour, upper: Colour) -> None:
    # The same hem, drawn higher and fainter many times, blurred, with streaks of noise.
    dice = canvas.dice
    size = width, height = max(4, canvas.width // SOFT), max(4, round(shore) // SOFT)
    level, rise, waves = height * dice.uniform(0.5, 0.72), height * dice.uniform(0.07, 0.12), dice.uniform(0.8, 1.6)
    hem = swell(dice, width, level, rise, waves)
    veil = Image.new("L", size)
    pen = ImageDraw.Draw(veil)
    tall = height * dice.uniform(0.42, 0.6)
    for share in reversed(steps(31)):
        upper_edge = [(x, y - tall * share**1.4) for x, y in hem]
        lower_edge = [(x, y + height * 0.02 * (1 - share)) for x, y in hem[::-1]]
        pen.polygon([*upper_edge, *lower_edge], fill=round(250 * (1 - share) ** 1.9))
    veil = veil.filter(ImageFilter.GaussianBlur(height / 80))
    streaks = noise(dice, size, (max(4, width // 14), 2)).point(lambda grey: 60 + grey * 0.76)
    fade = noise(dice, size, (4, 1)).point(lambda grey: 90 + grey)
    veil = ImageChops.multiply(ImageChops.multiply(veil, streaks), fade)
    paint = gradient((canvas.width, height * SOFT), [upper, upper, mix(upper, lower, 0.4), lower, lower])
    canvas.image.paste(paint, (0, 0), veil.resize(paint.size, Image.Resampling.BICUBIC))
