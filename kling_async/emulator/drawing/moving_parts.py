"""
The parts of a picture that move in a video. Painters leave them out, and note here where they are.
"""

from collections.abc import Iterable, Sequence

import attrs
from PIL import Image

from kling_async.emulator.drawing.outlines import Point
from kling_async.emulator.drawing.palettes import Colour

__all__ = ["Bird", "Floating", "Glint", "Light", "MovingParts", "Star"]


@attrs.frozen
class Bird:
    """
    A bird in pixels of the picture.

    Attributes:
        at: The middle of its body.
        wing: The length of a wing.
        high: How far it lifts its wings.
    """

    at: Point
    wing: float
    high: float


@attrs.frozen
class Glint:
    """
    Light on the water, in pixels of the picture: a lens of this half length and thickness.
    """

    at: Point
    half: float
    thick: float


@attrs.frozen
class Star:
    """
    A bright star, in pixels of the picture.
    """

    at: Point


Light = Glint | Star
"""
What comes and goes.
"""


@attrs.frozen
class Floating:
    """
    A motif that floats on the water or in the air.

    Attributes:
        motif: Its name.
        place: Its left and upper side in pixels of the picture.
        image: The motif, with what is behind it.
        mask: White where the motif is.
    """

    motif: str
    place: tuple[int, int]
    image: Image.Image
    mask: Image.Image


@attrs.define
class MovingParts:
    """
    What moves in one picture.

    Attributes:
        birds: Of one colour.
        bird_colour: The colour.
        floating: From back to front.
    """

    birds: list[Bird] = attrs.field(factory=list)
    bird_colour: Colour = (0, 0, 0)
    floating: list[Floating] = attrs.field(factory=list)
    _lights: list[tuple[Sequence[Light], Image.Image]] = attrs.field(factory=list, init=False)

    def add_lights(self, lights: Iterable[Light], image: Image.Image) -> None:
        """
        Note lights where *image* was just painted. What is painted over it hides them.
        """
        self._lights.append((list(lights), image.copy()))

    def lights_in(self, image: Image.Image) -> list[Light]:
        """
        Return the lights that nothing hides in the finished *image*.
        """
        return [
            light
            for lights, before in self._lights
            for light in lights
            if all(_colour(before, at) == _colour(image, at) for at in _samples(light))
        ]


def _samples(light: Light) -> tuple[Point, ...]:
    if isinstance(light, Star):
        return (light.at,)
    x, y = light.at
    return (x - light.half, y), light.at, (x + light.half, y)


def _colour(image: Image.Image, at: Point) -> object:
    x, y = (min(side - 1, max(0, round(place))) for side, place in zip(image.size, at, strict=True))
    return image.getpixel((x, y))
