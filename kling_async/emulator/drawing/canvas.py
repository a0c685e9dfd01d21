"""
The canvas, and painting with masks. Soft shapes are painted small and enlarged: this is fast, and compresses well.
"""

import functools
import math
import random
from collections.abc import Iterable, Sequence
from typing import Final

from PIL import Image, ImageChops, ImageDraw

from kling_async.emulator.drawing.moving_parts import MovingParts
from kling_async.emulator.drawing.outlines import Outline, Point
from kling_async.emulator.drawing.palettes import Colour, Palette

SOFT: Final = 4  # soft shapes are painted this many times smaller


class Canvas:
    """
    A picture that is being painted.

    Attributes:
        unit: Pixels in a thousandth of the geometric mean of the sides; the unit for the width of thin shapes.
        span: Pixels; the unit for the height of distant shapes.
        sun: The place of the light, known once the sky is painted.
        moving: Where painters note what moves instead of painting it; None for a still picture.
    """

    def __init__(
        self, size: tuple[int, int], palette: Palette, dice: random.Random, moving: MovingParts | None = None
    ) -> None:
        self.image: Image.Image = Image.new("RGB", size, palette.haze)
        self.width: Final = size[0]
        self.height: Final = size[1]
        self.unit: Final = math.sqrt(self.width * self.height) / 1000
        self.span: Final = min(self.height, self.width * 0.8)
        self.palette = palette
        self.dice = dice
        self.sun: Point = (0.0, 0.0)
        self.moving = moving

    def fill(self, shapes: Sequence[Outline], colours: Sequence[Colour], opacity: float = 1.0) -> None:
        """
        Fill *shapes* with a vertical gradient of *colours* over all of them, with smooth edges.
        """
        if not shapes:
            return
        xs = [x for shape in shapes for x, _ in shape]
        ys = [y for shape in shapes for _, y in shape]
        top, bottom = math.floor(min(ys)), math.ceil(max(ys))
        left, right = max(0, math.floor(min(xs))), min(self.width, math.ceil(max(xs)))
        first, last = max(0, top), min(self.height, bottom)
        if left < right and first < last:
            box = left, first, right, last
            mask = stencil(shapes, box)
            if opacity < 1:
                mask = mask.point([level * opacity for level in range(256)])
            paint = gradient((right - left, bottom - top), colours)
            self.image.paste(paint.crop((0, first - top, right - left, last - top)), box, mask)

    def ground(self, crest: Outline, colours: Sequence[Colour], grown: Sequence[Outline] = ()) -> None:
        """
        Fill everything below *crest*, and the shapes that have *grown* on it.
        """
        shapes = [[*crest, (self.width + 2, self.height), (-2, self.height)], *grown]
        top = min(self.height - 1, max(0, math.floor(min(y for shape in shapes for _, y in shape))))
        paint = gradient((self.width, self.height - top), colours)
        # Only the part down to the lowest point of the crest needs a mask.
        low = min(self.height, max(top + 1, math.ceil(max(y for _, y in crest)) + 1))
        box = 0, top, self.width, low
        self.image.paste(paint.crop((0, 0, self.width, low - top)), box, stencil(shapes, box))
        self.image.paste(paint.crop((0, low - top, self.width, self.height - top)), (0, low))

    def shine(self, source: Point, reach: float, rays: Iterable[Outline], strength: float) -> None:
        """
        Add *rays* that fade with the distance from their source.
        """
        size = max(2, self.width // SOFT), max(2, self.height // SOFT)
        mask = stencil([[(x / SOFT, y / SOFT) for x, y in ray] for ray in rays], (0, 0, *size))
        light = Image.new("L", size)
        glow(light, (source[0] / SOFT, source[1] / SOFT), reach / SOFT, 255, strength, 1.2)
        mask = ImageChops.multiply(mask, light)
        spread(self.image, self.palette.light, (0, 0), mask.resize(self.image.size, Image.Resampling.BILINEAR))


def stencil(shapes: Iterable[Outline], box: tuple[int, int, int, int]) -> Image.Image:
    # White on black, with smooth edges.
    left, top, right, bottom = box
    mask = Image.new("L", ((right - left) * 2, (bottom - top) * 2))
    pen = ImageDraw.Draw(mask)
    for shape in shapes:
        pen.polygon([((x - left) * 2, (y - top) * 2) for x, y in shape], fill=255)
    return mask.reduce(2)


def spread(image: Image.Image, colour: Colour | int, at: tuple[int, int], mask: Image.Image) -> None:
    # Pillow pastes an image of one colour in half the time that it needs for a colour.
    image.paste(Image.new(image.mode, mask.size, colour), at, mask)


def gradient(size: tuple[int, int], colours: Sequence[Colour]) -> Image.Image:
    column = Image.new("RGB", (1, len(colours)))
    column.putdata(colours)
    # Half a stop at either end would have one colour, so it is cut off.
    column = column.resize((1, size[1]), Image.Resampling.BICUBIC, box=(0, 0.4, 1, len(colours) - 0.4))
    return column.resize(size, Image.Resampling.NEAREST)


@functools.cache
def _disc(strength: int, power: float) -> Image.Image:
    # Pillow's gradient reaches 255 in the corners, hence 180 at the sides.
    return Image.radial_gradient("L").point(lambda level: strength * max(0.0, 1 - level / 180) ** power)


def radiance(size: tuple[int, int], strength: int, power: float) -> Image.Image:
    # Brightest in the middle and black at the sides.
    return _disc(strength, power).resize(size, Image.Resampling.BICUBIC)


def glow(
    image: Image.Image, at: Point, radius: float, colour: Colour | int, strength: float, power: float = 2.0
) -> None:
    side = max(2, round(2 * radius))
    mask = radiance((side, side), round(255 * strength), power)
    spread(image, colour, (round(at[0] - radius), round(at[1] - radius)), mask)


def noise(dice: random.Random, size: tuple[int, int], cells: tuple[int, int]) -> Image.Image:
    grid = Image.frombytes("L", cells, dice.randbytes(cells[0] * cells[1]))
    return grid.resize(size, Image.Resampling.BICUBIC)
