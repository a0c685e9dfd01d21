"""
A scene of coloured paper sheets with holes, through which hills are seen.
"""

import math

from PIL import Image, ImageChops, ImageFilter

from kling_async.emulator.drawing.canvas import Canvas, gradient, spread, stencil
from kling_async.emulator.drawing.outlines import Outline, Point, swell
from kling_async.emulator.drawing.palettes import Colour, mix
from kling_async.emulator.drawing.sky import paint_sky
from kling_async.emulator.drawing.trees_and_birds import paint_birds


def paint_paper(canvas: Canvas) -> None:
    dice, palette = canvas.dice, canvas.palette
    paint_sky(canvas, canvas.height * 0.9, sun=(0.5 + dice.uniform(-0.06, 0.06), 0.5), cloudy=0.0, radius=0.16)
    for near in (0.12, 0.3, 0.5, 0.72):
        crest = swell(dice, canvas.width, canvas.height * (0.5 + near * 0.4), canvas.span * 0.055, 1.4)
        canvas.ground(crest, [mix(palette.at(near), palette.light, 0.2), palette.at(near + 0.12)])
    paint_birds(canvas, 5)
    for layer in range(4):
        share = layer / 3
        colour = mix(mix(palette.sky[2], palette.sky[0], share * 0.8), palette.ground, 0.05 + 0.4 * share)
        _lay_sheet(canvas, _opening(canvas, 0.34 + 0.085 * layer), colour)


def _opening(canvas: Canvas, reach: float) -> list[Point]:
    dice = canvas.dice
    waves = [(count, dice.uniform(0, math.tau), dice.uniform(0.03, 0.085)) for count in (2, 3, 5)]
    points = []
    for turn in (step / 120 * math.tau for step in range(120)):
        wave = 1 + sum(share * math.sin(count * turn + start) for count, start, share in waves)
        x, y = 0.5 + math.cos(turn) * reach * wave, 0.48 + math.sin(turn) * reach * wave
        points.append((canvas.width * x, canvas.height * y))
    return points


def _lay_sheet(canvas: Canvas, opening: Outline, colour: Colour) -> None:
    # A sheet of paper with a hole, and its soft shadow on the sheet below.
    width, height = size = canvas.image.size
    sheet = ImageChops.invert(stencil([opening], (0, 0, width, height)))
    small = sheet.resize((max(2, width // 8), max(2, height // 8)), Image.Resampling.BOX)
    shadow = small.filter(ImageFilter.GaussianBlur(canvas.unit * 2.6)).point(lambda level: level * 5 // 9)
    dark = mix(canvas.palette.ground, (0, 0, 0), 0.3)
    spread(canvas.image, dark, (0, 0), shadow.resize(size, Image.Resampling.BILINEAR))
    canvas.image.paste(gradient(size, [mix(colour, canvas.palette.light, 0.14), colour]), (0, 0), sheet)
