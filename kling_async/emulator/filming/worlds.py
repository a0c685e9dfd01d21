"""
The pictures that a camera moves over, and what moves in them.
"""

from collections.abc import Sequence
from typing import Final

import attrs
from av import VideoFrame
from av.video.reformatter import VideoReformatter

from kling_async.emulator.drawing.moving_parts import MovingParts
from kling_async.emulator.drawing.picture import paint
from kling_async.emulator.drawing.reference_blend import open_reference, shape
from kling_async.emulator.filming.camera import MARGIN
from kling_async.emulator.filming.planes import PIXELS, Planes
from kling_async.emulator.filming.sprites import Swarm, swarms_of
from kling_async.emulator.video_spec import VideoSpec

__all__ = ["World", "painted_world", "pictured_world"]

_SMALL: Final = 160 * 90  # pixels; in smaller videos only the camera moves, which saves most of the time
_TINT: Final = 0.3  # how strongly a picture that is no frame shapes the scene


@attrs.frozen
class World:
    """
    A picture in which something may move.

    Attributes:
        focus: What a camera may move to, as shares of the sides.
    """

    planes: Planes
    swarms: Sequence[Swarm] = ()
    focus: tuple[float, float] = (0.5, 0.5)

    @property
    def size(self) -> tuple[int, int]:
        """
        Width and height in pixels.
        """
        return self.planes.luma.size

    def shoot(
        self, box: tuple[int, int, int, int], size: tuple[int, int], seconds: float, lens: VideoReformatter
    ) -> VideoFrame:
        """
        Return a frame of this *size* that shows what is in *box* at a time of the video.
        """
        seen = self.planes.crop(box)
        for swarm in self.swarms:
            for sprite in swarm.sprites(seconds):
                sprite.draw(seen, box[:2])
        return lens.reformat(seen.frame(), *size, PIXELS, interpolation="BILINEAR", threads=1)


def pictured_world(content: bytes, spec: VideoSpec) -> World:
    """
    Return the picture of a jpg or png file, cut to the ratio of the video.

    Raises:
        ValueError: It cannot be read.
    """
    return World(Planes.of(open_reference(content, _size_of(spec))))


def painted_world(spec: VideoSpec) -> World:
    """
    Return the scene that the prompt describes.

    Raises:
        ValueError: The picture that tints it cannot be read.
    """
    size, moving = _size_of(spec), MovingParts()
    canvas = paint(spec.prompt, index=spec.index, seed=spec.seed, model_name=spec.model_name, size=size, moving=moving)
    image = canvas.image
    if spec.tint is not None:
        image = shape(image, open_reference(spec.tint, size), _TINT)
    is_small = spec.width * spec.height < _SMALL
    swarms = () if is_small else swarms_of(moving, canvas.image, spec.seed + spec.index)
    return World(Planes.of(image), swarms, focus=(canvas.sun[0] / size[0], 0.56))


def _size_of(spec: VideoSpec) -> tuple[int, int]:
    width, height = (2 * round(side * MARGIN / 2) for side in (spec.width, spec.height))
    return width, height
