"""
Scenes of bare ground under a large light: a desert, and a strange planet.
"""

import math

from PIL import Image, ImageChops

from kling_async.emulator.drawing.canvas import Canvas, glow, noise, radiance, spread, stencil
from kling_async.emulator.drawing.outlines import Outline, Point, height_at, oval, ridge, steps, swell
from kling_async.emulator.drawing.palettes import Colour, mix
from kling_async.emulator.drawing.sky import paint_sky, paint_stars


def paint_desert(canvas: Canvas) -> None:
    dice, palette = canvas.dice, canvas.palette
    horizon = canvas.height * dice.uniform(0.52, 0.6)
    paint_sky(canvas, horizon, sun=(dice.uniform(0.2, 0.8), dice.uniform(0.6, 0.8)), radius=0.12, cloudy=0.3)
    for near in (0.25, 0.42):
        canvas.fill(_mesas(canvas, horizon, near), [palette.at(near), mix(palette.at(near), palette.haze, 0.55)])
    for near in steps(5):
        level = horizon + canvas.height * (0.03 + 0.34 * near**1.3)
        _paint_dune(canvas, level, canvas.span * (0.02 + 0.055 * near), near)


def _mesas(canvas: Canvas, horizon: float, near: float) -> list[Outline]:
    dice = canvas.dice
    rocks: list[Outline] = []
    for _ in range(3):
        x, half = canvas.width * dice.uniform(0, 1), canvas.span * dice.uniform(0.03, 0.12)
        high = canvas.span * dice.uniform(0.06, 0.2) * (0.7 + near)
        step = high * dice.uniform(0.3, 0.5)
        left = [(x - half * 2, horizon + 3), (x - half * 1.25, horizon - step), (x - half * 1.08, horizon - step * 1.1)]
        right = [(2 * x - px, py) for px, py in left[::-1]]
        rocks.append([*left, (x - half, horizon - high), (x + half * 0.94, horizon - high * 0.97), *right])
    return rocks


def _paint_dune(canvas: Canvas, level: float, rise: float, near: float) -> None:
    dice, palette, width = canvas.dice, canvas.palette, canvas.width
    sand = mix(mix(palette.sky[-1], palette.sky[-2], 0.7), palette.ground, 0.04 + 0.3 * near)
    shade = mix(mix(palette.sky[2], palette.ground, 0.3 + 0.35 * near), sand, 0.12)
    base = swell(dice, width, level, rise * 0.3, 0.8)
    tops = [
        (width * (place + dice.uniform(-0.18, 0.18)), rise * dice.uniform(0.8, 1.9), width * dice.uniform(0.08, 0.2))
        for place in dice.choice(((0.2, 0.8), (0.5,), (0.1, 0.6), (0.35, 0.95), (0.7,)))
    ]
    xs = sorted(x for x, *_ in (*base, *tops))
    crest = [(x, height_at(base, x) - max(_dune_height(x, *top) for top in tops)) for x in xs]
    canvas.ground(crest, [mix(sand, palette.light, 0.4), sand, mix(sand, shade, 0.6)])
    for top in tops:
        _shade_lee(canvas, crest, top, shade)


def _dune_height(x: float, top: float, high: float, half: float) -> float:
    # Concave flanks that meet in an edge, like those of real dunes.
    return high * math.exp(-abs(x - top) / half) * (1.0 if x < top else 0.96)


def _shade_lee(canvas: Canvas, crest: Outline, top: tuple[float, float, float], shade: Colour) -> None:
    # The shaded side: sharp along the crest and along a winding edge towards the viewer, fading elsewhere.
    x, high, half = top
    y = height_at(crest, x)
    side = 1 if canvas.sun[0] < x else -1
    across, down = half * 2.2, high * 2 + canvas.span * 0.09
    flank = [point for point in crest if 0 <= (point[0] - x) * side <= across]
    winding = [
        (x + side * half * (0.8 * share + 0.16 * math.sin(share * 6.3)), y + down * share) for share in steps(13)
    ]
    outline = [*winding, (x + side * across, y + down), *(flank[::-1] if side > 0 else flank)]
    box = round(x - across), round(y - down), round(x + across), round(y + down)
    mask = stencil([outline], box)
    spread(canvas.image, shade, box[:2], ImageChops.multiply(mask, radiance(mask.size, 245, 0.85)))


def paint_space(canvas: Canvas) -> None:
    dice, palette, width, height = canvas.dice, canvas.palette, canvas.width, canvas.height
    paint_sky(canvas, height * 0.95, sun=(dice.choice((0.1, 0.9)), 0.3), cloudy=1.0, radius=0)
    paint_stars(canvas, height * 0.8)
    centre = width * dice.uniform(0.35, 0.65), height * dice.uniform(0.3, 0.42)
    _paint_planet(canvas, centre, canvas.span * dice.uniform(0.17, 0.25), has_ring=dice.random() < 0.7)
    moon = width * dice.choice((0.14, 0.86)), height * dice.uniform(0.12, 0.24)
    _paint_planet(canvas, moon, canvas.span * 0.04, has_ring=False)
    for near in steps(4):
        crest = ridge(dice, width, height * (0.68 + 0.26 * near), canvas.span * (0.09 - 0.035 * near), 0.46)
        colour = palette.at(0.22 + 0.74 * near)
        canvas.ground(crest, [mix(colour, palette.light, 0.12), mix(colour, palette.haze, 0.55 - 0.5 * near)])


def _paint_planet(canvas: Canvas, centre: Point, radius: float, *, has_ring: bool) -> None:
    (x, y), dice, palette = centre, canvas.dice, canvas.palette
    side = max(4, round(radius * 2))
    globe = _globe(canvas, side, is_lit_from_left=canvas.sun[0] < x)
    glow(canvas.image, centre, radius * 1.9, palette.sky[-1], 0.4)
    tilt = dice.uniform(-0.35, 0.35)
    if has_ring:
        _paint_ring(canvas, centre, radius, tilt, math.pi)
    disc = stencil([oval(side / 2, side / 2, side / 2 - 1, side / 2 - 1)], (0, 0, side, side))
    canvas.image.paste(globe, (round(x - side / 2), round(y - side / 2)), disc)
    if has_ring:
        _paint_ring(canvas, centre, radius, tilt, 0)


def _globe(canvas: Canvas, side: int, *, is_lit_from_left: bool) -> Image.Image:
    # Two colours in bands, and the dark side.
    palette = canvas.palette
    globe = Image.new("RGB", (side, side), mix(palette.sky[-2], palette.sky[1], 0.25))
    globe.paste(mix(palette.sky[-1], palette.light, 0.4), (0, 0), noise(canvas.dice, (side, side), (2, 9)))
    left, top = round(side * (0.75 if is_lit_from_left else 0.25)), round(side * 0.7)
    lit = radiance((side * 2, side * 2), 255, 0.7).crop((left, top, left + side, top + side))
    night = Image.new("RGB", (side, side), mix(palette.sky[0], palette.ground, 0.4))
    return Image.composite(globe, night, lit.point(lambda level: level * 1.25))


def _paint_ring(canvas: Canvas, centre: Point, radius: float, tilt: float, start: float) -> None:
    # The half from *start* on, in two bands.
    cos, sin = math.cos(tilt), math.sin(tilt)
    for inner, outer, share in ((1.35, 1.62, 0.75), (1.66, 1.9, 0.5)):
        shape = []
        for reach, way in ((inner, range(49)), (outer, range(48, -1, -1))):
            for turn in (start + math.pi * step / 48 for step in way):
                dx, dy = math.cos(turn) * radius * reach, math.sin(turn) * radius * reach * 0.24
                shape.append((centre[0] + dx * cos - dy * sin, centre[1] + dx * sin + dy * cos))
        canvas.fill([shape], [mix(canvas.palette.sky[-1], canvas.palette.light, 0.5)], share)
