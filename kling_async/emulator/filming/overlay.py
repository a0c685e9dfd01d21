"""
Lays captions and watermarks over frames: what they do to a picture is found out once, and then done to every frame.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from av import VideoFrame
from PIL import Image, ImageChops

from kling_async.emulator.filming.planes import BLACK, NEUTRAL, WHITE, replace_rows, rows_of

__all__ = ["Overlay", "measure"]


_BLUR: Final = 8


class _Layer(NamedTuple):
    # One plane: it becomes plane * kept + added, in rows from `top` on. Where `frost` is white it is blurred before.
    top: int
    kept: Image.Image
    added: Image.Image
    frost: Image.Image | None


class Overlay(NamedTuple):
    """
    What to do to the three planes of a frame.
    """

    layers: tuple[_Layer, _Layer, _Layer]

    def lay_over(self, frame: VideoFrame, strength: float = 1.0) -> None:
        """
        Change *frame*; a *strength* below 1 makes the overlay transparent.
        """
        for plane, (top, kept, added, frost) in zip(frame.planes, self.layers, strict=True):
            rows = rows_of(plane, top, top + kept.height)
            behind = rows if frost is None else Image.composite(_blurred(rows), rows, frost)
            changed = ImageChops.add(ImageChops.multiply(behind, kept), added)
            if strength < 1:
                changed = Image.blend(rows, changed, strength)
            replace_rows(plane, top, changed)


def measure(
    size: tuple[int, int], paint: Callable[[Image.Image], object], *, is_frosted: bool = False
) -> Overlay | None:
    """
    Return what *paint* does to any picture of this even size, or None if it does nothing.

    It is measured on a black and on a white picture. *paint* must add light or shade of a neutral colour, and must not
    depend on the picture.

    Args:
        is_frosted: Whether to blur what is behind it, such as the caption of a given picture.
    """
    dark, bright = Image.new("RGB", size), Image.new("RGB", size, "white")
    paint(dark)
    paint(bright)
    added, kept = dark.convert("L"), ImageChops.subtract(bright, dark).convert("L")
    changed = ImageChops.invert(kept).getbbox()
    if changed is None:
        return None
    top, bottom = changed[1] // 2 * 2, min(size[1], (changed[3] + 1) // 2 * 2)
    kept, added = (image.crop((0, top, size[0], bottom)) for image in (kept, added))
    # Black is not 0 in video: what is taken from a plane counts from there.
    spread = (WHITE - BLACK) / 255
    shade = ImageChops.invert(kept)
    light = ImageChops.add(added.point(lambda level: round(level * spread)), shade.point(_share_of(BLACK)))
    small = kept.reduce(2)
    small_shade = ImageChops.invert(small)
    neutral = small_shade.point(_share_of(NEUTRAL))
    colour = _Layer(top // 2, small, neutral, _frost(small_shade) if is_frosted else None)
    return Overlay((_Layer(top, kept, light, _frost(shade) if is_frosted else None), colour, colour))


def _frost(shade: Image.Image) -> Image.Image:
    return shade.point(lambda level: min(255, level * 6))


def _blurred(rows: Image.Image) -> Image.Image:
    return rows.reduce(_BLUR).resize(rows.size, Image.Resampling.BILINEAR)


def _share_of(value: int) -> Callable[[float], int]:
    return lambda level: round(level * value / 255)
