"""
Sheets of coloured paper with a hole each, through which hills are seen.
"""

import math

from PIL import Image, ImageChops, ImageFilter

from kling_async.emulator.painting.canvas import Easel, gradient, stencil
from kling_async.emulator.painting.life import paint_birds
from kling_async.emulator.painting.outlines import Outline, Point, swell
from kling_async.emulator.painting.palettes import Colour, mix
from kling_async.emulator.painting.sky import paint_sky


def paint_paper(easel: Easel) -> None:
    dice, palette = easel.dice, easel.palette
    paint_sky(easel, easel.height * 0.9, sun=(0.5 + dice.uniform(-0.06, 0.06), 0.5), cloudy=0.0, radius=0.16)
    for near in (0.12, 0.3, 0.5, 0.72):
        crest = swell(dice, easel.width, easel.height * (0.5 + near * 0.4), easel.span * 0.055, 1.4)
        easel.ground(crest, [mix(palette.at(near), palette.light, 0.2), palette.at(near + 0.12)])
    paint_birds(easel, 5)
    for layer in range(4):
        share = layer / 3
        colour = mix(mix(palette.sky[2], palette.sky[0], share * 0.8), palette.ground, 0.05 + 0.4 * share)
        _lay_sheet(easel, _opening(easel, 0.34 + 0.085 * layer), colour)


def _opening(easel: Easel, reach: float) -> list[Point]:
    dice = easel.dice
    waves = [(count, dice.uniform(0, math.tau), dice.uniform(0.03, 0.085)) for count in (2, 3, 5)]
    points = []
    for turn in (step / 120 * math.tau for step in range(120)):
        wave = 1 + sum(share * math.sin(count * turn + start) for count, start, share in waves)
        x, y = 0.5 + math.cos(turn) * reach * wave, 0.48 + math.sin(turn) * reach * wave
        points.append((easel.width * x, easel.height * y))
    return points


def _lay_sheet(easel: Easel, opening: Outline, colour: Colour) -> None:
    # A sheet of paper with a hole, and its soft shadow on what lies below.
    width, height = size = easel.image.size
    sheet = ImageChops.invert(stencil([opening], (0, 0, width, height)))
    small = sheet.resize((max(2, width // 8), max(2, height // 8)), Image.Resampling.BOX)
    shadow = small.filter(ImageFilter.GaussianBlur(easel.unit * 2.6)).point(lambda level: level * 5 // 9)
    dark = mix(easel.palette.ground, (0, 0, 0), 0.3)
    easel.image.paste(dark, (0, 0), shadow.resize(size, Image.Resampling.BILINEAR))
    easel.image.paste(gradient(size, [mix(colour, easel.palette.light, 0.14), colour]), (0, 0), sheet)
