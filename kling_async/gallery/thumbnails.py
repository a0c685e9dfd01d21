"""
Small pictures of pictures, as text that a page can hold.
"""

import base64
import io
from pathlib import Path
from typing import Final

import attrs
from PIL import Image, ImageOps

__all__ = ["Thumbnail", "make_thumbnail"]

_SIDE: Final = 480  # pixels
_MAX_BYTES: Final = 16_000
_TRIALS: Final = ((_SIDE, 72), (_SIDE, 45), (320, 40), (160, 30))
"""
The longer side and WebP's quality, one after the other until the bytes suffice; only noise comes to the last.
"""


@attrs.frozen
class Thumbnail:
    """
    A small picture, and the size in pixels of the one it was made of.
    """

    data_url: str
    width: int
    height: int


def make_thumbnail(path: Path) -> Thumbnail:
    """
    Raises:
        ValueError: The file is not there, or cannot be read as a picture.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            image.thumbnail((_SIDE, _SIDE), reducing_gap=2.0)
            small = ImageOps.exif_transpose(image)
            small = small.convert("RGBA" if small.has_transparency_data else "RGB")
    except FileNotFoundError as error:
        raise ValueError("The file is not where it was: moved, or deleted") from error
    except OSError as error:
        raise ValueError(f"The file cannot be shown: {error.strerror or 'it is no picture'}") from error
    except (ValueError, SyntaxError, Image.DecompressionBombError) as error:  # damaged, or made to do damage
        raise ValueError(f"The file cannot be shown: {error}") from error
    if (width > height) != (small.width > small.height):  # a camera was held upright
        width, height = height, width
    return Thumbnail(f"data:image/webp;base64,{base64.b64encode(_encode(small)).decode()}", width, height)


def _encode(image: Image.Image) -> bytes:
    data = b""
    for side, quality in _TRIALS:
        file = io.BytesIO()
        image.thumbnail((side, side))
        image.save(file, "WEBP", quality=quality)
        data = file.getvalue()
        if len(data) <= _MAX_BYTES:
            break
    return data
