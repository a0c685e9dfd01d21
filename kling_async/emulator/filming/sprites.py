"""
Draws what moves in a video onto the brightness of its frames: birds, glints, stars, and motes in the air.

Its colours are those of the picture below, so that everything fits into every light.
"""

import functools
import math
import random
from collections.abc import Iterator
from typing import Final, NamedTuple

import attrs
from PIL import Image, ImageDraw

from kling_async.emulator.drawing.canvas import radiance
from kling_async.emulator.drawing.moving_parts import Bird, Floating, Light, MovingParts, Star
from kling_async.emulator.drawing.outlines import Outline, lens
from kling_async.emulator.drawing.trees_and_birds import wings_of
from kling_async.emulator.filming.planes import WHITE, Planes, brightness

__all__ = ["Flock", "Glitter", "Motes", "Raft", "Sprite", "Swarm", "swarms_of"]

_LEVELS: Final = 12  # steps of transparency, and of a wing beat
_FINE: Final = 4  # masks are drawn this many times larger


class Sprite(NamedTuple):
    """
    What to draw at a place of the picture.

    Attributes:
        left: Pixels.
        top: Pixels.
        mask: Where to draw.
        paint: One brightness, or a picture of the mask's size.
    """

    left: float
    top: float
    mask: Image.Image
    paint: int | Planes

    def draw(self, planes: Planes, origin: tuple[int, int]) -> None:
        """
        Draw onto *planes*, a part of the picture that begins at *origin*.
        """
        place = round(self.left) - origin[0], round(self.top) - origin[1]
        if isinstance(self.paint, int):
            planes.luma.paste(self.paint, place, self.mask)
            return
        half, small = (place[0] // 2, place[1] // 2), self.mask.reduce(2)
        planes.luma.paste(self.paint.luma, place, self.mask)
        planes.blue.paste(self.paint.blue, half, small)
        planes.red.paste(self.paint.red, half, small)


@attrs.frozen
class Raft:
    """
    A motif that floats: a boat on the waves, a balloon in the wind, a rocket on its way.
    """

    motif: str
    place: tuple[int, int]
    paint: Planes
    mask: Image.Image

    @classmethod
    def of(cls, floating: Floating) -> "Raft":
        """
        Convert it to the colours of video; its sides become even.
        """
        width, height = ((side + 1) // 2 * 2 for side in floating.mask.size)
        box = 0, 0, width, height
        return cls(floating.motif, floating.place, Planes.of(floating.image.crop(box)), floating.mask.crop(box))

    def sprites(self, seconds: float) -> Iterator[Sprite]:
        """
        Yield what to draw at a time of the video.
        """
        (left, top), height = self.place, self.mask.height
        match self.motif:
            case "boat":
                left += round(height * 0.012 * seconds)
                top += round(height * 0.018 * math.sin(seconds * 1.9))
            case "balloon":
                left += round(height * 0.03 * math.sin(seconds * 0.8 + height))
                top -= round(height * 0.02 * seconds)
            case _:
                top -= round(height * (0.03 * seconds + 0.012 * seconds**2))
        yield Sprite(left, top, self.mask, self.paint)


@attrs.frozen
class Flock:
    """
    Birds that fly the same way.

    Attributes:
        pace: Pixels per second; negative to the left.
    """

    birds: tuple[Bird, ...]
    value: int
    pace: float

    def sprites(self, seconds: float) -> Iterator[Sprite]:
        """
        Yield what to draw at a time of the video.
        """
        for number, bird in enumerate(self.birds):
            beat = seconds * (2.1 + 0.13 * (number % 5)) + number * 0.37
            # Between beats they glide.
            lift = math.sin(beat * math.tau) * (0.5 + 0.5 * math.sin(seconds * 0.9 + number))
            mask = _wings(max(2, round(bird.wing)), round((0.5 + 0.5 * lift) * _LEVELS))
            x = bird.at[0] + seconds * self.pace * (1 + 0.06 * (number % 3))
            y = bird.at[1] + bird.wing * (0.5 * math.sin(seconds * 1.3 + number) - 0.12 * lift - 0.15 * seconds)
            yield Sprite(x - mask.width / 2, y - mask.height / 2, mask, self.value)


@attrs.frozen
class Glitter:
    """
    Lights that come and go, on the water or in the sky.
    """

    lights: tuple[Light, ...]
    star: int  # the radius of one, in pixels

    def sprites(self, seconds: float) -> Iterator[Sprite]:
        """
        Yield what to draw at a time of the video.
        """
        for number, light in enumerate(self.lights):
            level = round(_LEVELS * math.sin(number * 2.4 + seconds * (1.9 + 0.5 * (number % 3))))
            if level <= 0:
                continue
            x, y = light.at
            if isinstance(light, Star):
                mask = _glow(self.star, level)
            else:
                mask = _glint(max(1, round(light.half)), max(1, round(light.thick * 2)), level)
                x += math.sin(seconds * 1.1 + number) * light.half * 0.3
            yield Sprite(x - mask.width / 2, y - mask.height / 2, mask, WHITE)


@attrs.frozen
class Motes:
    """
    Dust, snow or pollen that drifts through the air, out of focus.
    """

    size: tuple[int, int]
    seed: int
    count: int = 28

    def sprites(self, seconds: float) -> Iterator[Sprite]:
        """
        Yield what to draw at a time of the video.
        """
        dice = random.Random(self.seed)  # noqa: S311 (repeatable on purpose)
        width, height = self.size
        unit = math.sqrt(width * height) / 1000
        for number in range(self.count):
            near = dice.random()
            x = dice.random() * width + unit * (math.sin(seconds * 0.7 + number) * 22 + seconds * (6 + 26 * near))
            y = dice.random() * height - unit * seconds * (4 + 14 * near)
            level = round(_LEVELS * (0.12 + 0.3 * near) * min(1.0, seconds) * (0.6 + 0.4 * math.sin(seconds + number)))
            if level > 0:
                mask = _glow(max(1, round(unit * (2 + 9 * near))), level)
                yield Sprite(x % width - mask.width / 2, y % height - mask.height / 2, mask, WHITE)


Swarm = Flock | Glitter | Motes | Raft
"""
Things of one kind that move.
"""


def swarms_of(moving: MovingParts, image: Image.Image, seed: int) -> tuple[Swarm, ...]:
    """
    Return what moves in *image*, from back to front: what its painters have noted or, if that is nothing, motes.
    """
    unit = math.sqrt(image.width * image.height) / 1000
    lights = tuple(moving.lights_in(image))
    swarms: list[Swarm] = [Glitter(lights, max(1, round(unit * 9)))] if lights else []
    swarms += map(Raft.of, moving.floating)
    if moving.birds:
        pace = unit * (26 if seed % 2 else -26)
        swarms.append(Flock(tuple(moving.birds), brightness(moving.bird_colour), pace))
    return tuple(swarms) or (Motes(image.size, seed),)


@functools.lru_cache(maxsize=512)
def _wings(wing: int, beat: int) -> Image.Image:
    high = wing * (0.75 * beat / _LEVELS - 0.05)
    side = 2 * wing + 4
    return _mask((side, side), wings_of(Bird((side / 2, side / 2 + high / 2), wing, high)), 255)


@functools.lru_cache(maxsize=1024)
def _glint(half: int, thickness: int, level: int) -> Image.Image:
    width, height = 2 * half + 2, thickness + 2
    outline = lens(width / 2, height / 2, half, thickness / 2)
    return _mask((width, height), [outline], round(150 * level / _LEVELS))


@functools.lru_cache(maxsize=512)
def _glow(radius: int, level: int) -> Image.Image:
    return radiance((2 * radius, 2 * radius), round(220 * level / _LEVELS), 1.4)


def _mask(size: tuple[int, int], outlines: list[Outline], strength: int) -> Image.Image:
    mask = Image.new("L", (size[0] * _FINE, size[1] * _FINE))
    pen = ImageDraw.Draw(mask)
    for outline in outlines:
        pen.polygon([(x * _FINE, y * _FINE) for x, y in outline], fill=strength)
    return mask.reduce(_FINE)
