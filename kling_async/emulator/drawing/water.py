"""
Paints water: reflections, ripples, and the path of the light.
"""

from PIL import Image

from kling_async.emulator.drawing.canvas import Canvas, gradient
from kling_async.emulator.drawing.moving_parts import Glint
from kling_async.emulator.drawing.outlines import Outline, Point, lens
from kling_async.emulator.drawing.palettes import mix


def paint_water(canvas: Canvas, shore: float, *, calm: float) -> None:
    """
    Paint water from *shore* to the bottom, with the reflection of the picture above and the path of the light.

    Args:
        calm: From 0, the plain colour of deep water, to 1, a clear mirror.
    """
    top = round(shore)
    depth = canvas.height - top
    if depth < 4:
        return
    palette = canvas.palette
    reach = min(top, round(depth * 1.35))
    mirrored = canvas.image.crop((0, top - reach, canvas.width, top)).transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    blurred = mirrored.resize((max(2, canvas.width // 5), max(2, depth // 9)), Image.Resampling.BOX)
    body = gradient(blurred.size, [mix(palette.haze, palette.light, 0.15), palette.at(0.55), palette.at(0.92)])
    canvas.image.paste(
        Image.blend(body, blurred, calm).resize((canvas.width, depth), Image.Resampling.BILINEAR), (0, top)
    )
    _paint_ripples(canvas, top, depth)
    _paint_sun_path(canvas, top, depth)


def _paint_ripples(canvas: Canvas, top: int, depth: int) -> None:
    dice, unit = canvas.dice, canvas.unit
    dark: list[Outline] = []
    bright: list[Outline] = []
    for _ in range(130):
        near = dice.random() ** 1.3
        where = dice.uniform(0, canvas.width), top + depth * (0.02 + 0.98 * near)
        shape = lens(*where, unit * (10 + 75 * near) * dice.uniform(0.5, 1.5), unit * (0.4 + 1.7 * near))
        (dark if dice.random() < 0.6 else bright).append(shape)
    canvas.fill(dark, [canvas.palette.ground], 0.18)
    canvas.fill(bright, [canvas.palette.sky[-1]], 0.22)


def _paint_sun_path(canvas: Canvas, top: int, depth: int) -> None:
    dice, unit, palette = canvas.dice, canvas.unit, canvas.palette
    glints = []
    for _ in range(110):
        near = dice.random() ** 1.5
        x = canvas.sun[0] + dice.gauss(0, 1) * unit * (16 + 75 * near)
        half = unit * (7 + 32 * near) * dice.uniform(0.4, 1.4)
        glints.append(Glint((x, top + 1 + depth * near), half, unit * (0.7 + 2 * near)))
    strength = 0.62 if canvas.moving is None else 0.36  # in a video the light of some comes and goes
    shapes = [lens(*glint.at, glint.half, glint.thick) for glint in glints]
    canvas.fill(shapes, [palette.light, mix(palette.light, palette.sky[-1], 0.5)], strength)
    if canvas.moving is not None:
        canvas.moving.add_lights(glints[::3], canvas.image)


def paint_reflection(canvas: Canvas, foot: Point, height: float) -> None:
    dice = canvas.dice
    glints = []
    for _ in range(26):
        down = dice.random()
        x, y = foot[0] + dice.gauss(0, 0.1) * height, foot[1] + down * height * 0.55
        glints.append(lens(x, y, height * 0.26 * (1 - down * 0.6), canvas.unit * 1.6))
    canvas.fill(glints, [canvas.palette.ground], 0.4)
