"""
Makes thumbnails as `data:` URLs.
"""

import base64
import contextlib
import errno
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs
from PIL import Image, UnidentifiedImageError

from kling_async.wire.pillow_images import as_seen

__all__ = ["SIDE", "Thumbnail", "embed_picture", "make_thumbnail", "open_picture"]

_FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF")

SIDE: Final = 480
"""
Pixels of the longer side of a thumbnail.
"""

_MAX_BYTES: Final = 16_000
_TRIALS: Final = ((SIDE, 72), (SIDE, 45), (320, 40), (160, 30))
"""
The longer side and the quality of WebP to try, until the file is small enough. Only noise needs the last.
"""


@attrs.frozen
class Thumbnail:
    """
    A thumbnail, and the size in pixels of the original.
    """

    data_url: str
    width: int
    height: int


@contextlib.contextmanager
def open_picture(path: Path) -> Iterator[Image.Image]:
    """
    Open the file at *path* with the decoders for web pictures only. Pillow's other decoders are not needed, and some
    start external programs.

    Raises:
        ValueError: The file is missing or cannot be decoded. Errors within the `with` block are converted too, because
            Pillow decodes lazily.
    """
    try:
        with _opened(path) as image:
            yield image
    except FileNotFoundError as error:
        raise ValueError("The file is not where it was: moved, or deleted") from error
    except UnidentifiedImageError as error:
        raise ValueError("The file cannot be shown: it is damaged, or not a PNG, JPEG, WebP or GIF picture") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError("The file cannot be shown: it has too many pixels to unpack") from error
    except OSError as error:
        raise ValueError(f"The file cannot be shown: {error.strerror or 'it is cut short, or damaged'}") from error
    except Exception as error:  # each decoder raises its own errors, and warnings may be errors
        raise ValueError(f"The file cannot be shown: {str(error) or type(error).__name__}") from error


def _opened(path: Path) -> Image.Image:
    if not path.is_file():  # opening a named pipe would block until a writer comes
        raise FileNotFoundError(errno.ENOENT, "there is no such file", str(path))
    return Image.open(path, formats=_FORMATS)


def make_thumbnail(path: Path) -> Thumbnail:
    """
    Make a thumbnail of the picture at *path*, as a viewer displays it.

    Raises:
        ValueError: The file is missing or cannot be decoded.
    """
    with open_picture(path) as image:
        width, height = image.size
        image.thumbnail((SIDE, SIDE), reducing_gap=2.0)
        stored = image.size
        small = as_seen(image)
        if small.size != stored:  # rotated by its EXIF orientation
            width, height = height, width
        small = small.convert("RGBA" if small.has_transparency_data else "RGB")
        return Thumbnail(embed_picture(small), width, height)


def embed_picture(small: Image.Image) -> str:
    """
    Return a picture of the size of a thumbnail as a `data:` URL.
    """
    return f"data:image/webp;base64,{base64.b64encode(_encode(small)).decode()}"


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
