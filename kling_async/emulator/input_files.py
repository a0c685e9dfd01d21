"""
Reference images as the service sees them: Base64 that must be a picture, or a URL that is taken on trust.
"""

import base64
import binascii
import colorsys
import hashlib
import io
from typing import Final, Literal

from kling_async.emulator import error_messages
from kling_async.emulator.account import ApiError
from kling_async.wire.endpoints.inputs import FileFacts

_KINDS: Final[dict[str, Literal["png", "jpg"]]] = {"PNG": "png", "JPEG": "jpg"}


def is_url(image: str) -> bool:
    return image[:8].lower().startswith(("http://", "https://"))


def facts_of(image: str) -> FileFacts | None:
    """
    Return what the bytes of *image* tell; None for a URL, which is not fetched.

    Raises:
        ApiError: It is neither a URL nor bare Base64 (1201).
    """
    if is_url(image):
        return None
    try:
        data = base64.b64decode(image, validate=True)
    except (binascii.Error, ValueError):
        raise ApiError(400, 1201, error_messages.NOT_BASE64) from None
    kind, width, height = _read_picture(data)
    return FileFacts(len(data), kind, width, height)


def bytes_of(image: str) -> bytes:
    """
    Return the picture that *image* stands for; a URL stands for a plain one of a colour of its own.
    """
    if not is_url(image):
        return base64.b64decode(image)
    from PIL import Image  # noqa: PLC0415 (an extra: the account works without)

    hue = hashlib.sha256(image.encode()).digest()[0] / 256
    colour = tuple(round(255 * part) for part in colorsys.hls_to_rgb(hue, 0.55, 0.65))
    file = io.BytesIO()
    Image.new("RGB", (64, 64), (colour[0], colour[1], colour[2])).save(file, format="PNG")
    return file.getvalue()


def _read_picture(data: bytes) -> tuple[Literal["png", "jpg"] | None, int | None, int | None]:
    from PIL import Image  # noqa: PLC0415

    try:
        with Image.open(io.BytesIO(data), formats=list(_KINDS)) as picture:
            picture.load()  # a good header may stand before half a picture
            return _KINDS[picture.format or ""], picture.width, picture.height
    except Exception:  # noqa: BLE001 (each decoder raises its own errors, and warnings may be errors)
        return None, None, None
