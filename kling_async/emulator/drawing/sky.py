"""
Paints the sky: its light, clouds, sun or moon and, at night, stars.
"""

import math
import random

from PIL import Image, ImageChops, ImageDraw

from kling_async.emulator.drawing.canvas import SOFT, Canvas, glow, gradient, noise, spread
from kling_async.emulator.drawing.moving_parts import Star
from kling_async.emulator.drawing.outlines import Point, oval
from kling_async.emulator.drawing.palettes import WHITE, Palette, mix


def paint_sky(canvas: Canvas, horizon: float, *, cloudy: float, radius: float, sun: Point | None = None) -> None:
    """
    Paint the sky down to *horizon* with its light, clouds and, at night, stars.

    Args:
        sun: Its place, as shares of the width and of the height above the horizon; None chooses one.
        radius: Of the sun or moon, as a share of the span; 0 paints none.
    """
    dice, palette = canvas.dice, canvas.palette
    lowest, highest = (0.25, 0.6) if palette.is_night else (0.5, 0.9)
    across, down = sun or (dice.uniform(0.2, 0.8), dice.uniform(lowest, highest))
    canvas.sun = (canvas.width * across, horizon * down)
    end = min(canvas.height, round(horizon * 1.2))  # the land covers the rest
    size = max(4, canvas.width // SOFT), max(4, end // SOFT)
    low = min(size[1], max(1, round(horizon / SOFT)))
    small = Image.new("RGB", size, palette.sky[-1])
    small.paste(gradient((size[0], low), palette.sky), (0, 0))
    centre = (canvas.sun[0] / SOFT, canvas.sun[1] / SOFT)
    strength = 0.35 if palette.is_night else 0.6
    glow(small, centre, canvas.span * 1.05 / SOFT, mix(palette.sky[-2], palette.sky[-1], 0.4), strength * 0.8)
    _cover_with_clouds(small, low, palette, dice, cloudy)
    glow(small, centre, canvas.span * 0.42 / SOFT, palette.light, strength, 2.6)
    canvas.image.paste(small.resize((canvas.width, end), Image.Resampling.BILINEAR), (0, 0))
    if palette.is_night:
        paint_stars(canvas, horizon)
    if radius and palette.is_night:
        _paint_moon(canvas, canvas.span * radius * 0.9)
    elif radius:
        disc = oval(*canvas.sun, canvas.span * radius, canvas.span * radius)
        canvas.fill([disc], [palette.light, mix(palette.light, palette.sky[-1], 0.55)])


def _cover_with_clouds(small: Image.Image, low: int, palette: Palette, dice: random.Random, cloudy: float) -> None:
    size = small.width, low
    fade = Image.linear_gradient("L").resize((1, low), box=(0, 0, 1, 256)).resize(size, Image.Resampling.NEAREST)
    for colour, density, share in ((palette.sky[-2], 0.5, 0.5), (palette.light, 0.42, 0.42)):
        mass = _clouds(dice, size, density * (0.5 + cloudy))
        faded = fade.point(lambda level, share=share: 255 * share * math.sin(math.pi * level / 290))
        spread(small, mix(colour, palette.sky[1], 0.15), (0, 0), ImageChops.multiply(mass, faded))


def _clouds(dice: random.Random, size: tuple[int, int], density: float) -> Image.Image:
    # Three octaves of noise, cut off below a threshold.
    mass = noise(dice, size, (3, 7))
    for octave, share in ((2, 0.36), (5, 0.2)):
        mass = Image.blend(mass, noise(dice, size, (3 * octave, 7 * octave)), share)
    low, high = 205 - 150 * density, 285 - 110 * density
    shares = [min(1.0, max(0.0, (level - low) / (high - low))) for level in range(256)]
    return mass.point([255 * (share * share * (3 - 2 * share)) for share in shares])


def paint_stars(canvas: Canvas, horizon: float) -> None:
    dice, pen = canvas.dice, ImageDraw.Draw(canvas.image, "RGBA")
    for _ in range(320):
        x, y = dice.uniform(0, canvas.width), horizon * dice.random() ** 1.4
        bright = dice.random() ** 3
        radius = canvas.unit * (0.35 + 1.1 * bright)
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(*WHITE, round(70 + 180 * bright)))
    spots = [(dice.uniform(0, canvas.width), horizon * dice.uniform(0, 0.8)) for _ in range(5)]
    if canvas.moving is not None:
        canvas.moving.add_lights(map(Star, spots), canvas.image)
        return
    for spot in spots:
        glow(canvas.image, spot, canvas.unit * 9, WHITE, 0.7)


def _paint_moon(canvas: Canvas, radius: float) -> None:
    (x, y), palette, dice = canvas.sun, canvas.palette, canvas.dice
    canvas.fill([oval(x, y, radius, radius)], [palette.light])
    seas = [(dice.uniform(-0.5, 0.5), dice.uniform(-0.5, 0.5), dice.uniform(0.12, 0.3)) for _ in range(6)]
    ovals = [oval(x + dx * radius, y + dy * radius, r * radius, r * radius * 0.8) for dx, dy, r in seas]
    canvas.fill(ovals, [mix(palette.light, palette.sky[2], 0.35)], 0.4)
