"""
The sizes of pictures in pixels.
"""

import math
from typing import Final

__all__ = ["size_in_pixels"]

_RATIOS: Final = ("16:9", "9:16", "1:1", "4:3", "3:4", "3:2", "2:3", "21:9")
_MULTIPLES: Final = {"1k": 1, "2k": 2, "4k": 4}
_SMALLEST: Final = 16  # pixels of a side


def size_in_pixels(aspect_ratio: str, resolution: str, scale: float = 1.0) -> tuple[int, int]:
    """
    Return width and height: about a megapixel for "1k", 4 for "2k" and 16 for "4k"; the sides are multiples of 8.

    Args:
        scale: Multiplies the sides, which then need not be multiples of 8. No side becomes less than 16 pixels.

    Raises:
        ValueError: The ratio or the resolution is unknown.
    """
    if aspect_ratio not in _RATIOS or resolution not in _MULTIPLES:
        raise ValueError(f"cannot draw a picture of {aspect_ratio!r} at {resolution!r}")
    across, down = map(int, aspect_ratio.split(":"))
    width, multiple = 1024 * math.sqrt(across / down), _MULTIPLES[resolution]
    sides = round(width / 8) * 8 * multiple, round(width * down / across / 8) * 8 * multiple
    return max(_SMALLEST, round(sides[0] * scale)), max(_SMALLEST, round(sides[1] * scale))
