"""
Files in requests: Base64 that is decoded and checked, or URLs, which the emulator does not fetch.
"""

import base64
import binascii
import colorsys
import hashlib
import io
from typing import Final, Literal

from kling_async.emulator.api_errors import NOT_BASE64, ApiError
from kling_async.wire.endpoints.inputs import FileFacts
from kling_async.wire.sound_headers import find_sound

_KINDS: Final[dict[str, Literal["png", "jpg"]]] = {"PNG": "png", "JPEG": "jpg"}


def is_url(text: str) -> bool:
    """
    Return whether a file is given by its URL.
    """
    return text[:8].lower().startswith(("http://", "https://"))


def facts_of(text: str) -> FileFacts | None:
    """
    Return the facts of a file in Base64; None for a URL.

    Raises:
        ApiError: The text is neither a URL nor bare Base64 (1201).
    """
    if is_url(text):
        return None
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ApiError(400, 1201, NOT_BASE64) from None
    sound = find_sound(data, len(data))
    if sound is not None:
        return FileFacts(len(data), sound.kind, flaw=sound.flaw, seconds=sound.seconds)
    kind, width, height = _read_picture(data)
    return FileFacts(len(data), kind, width, height)


def picture_of(text: str) -> bytes | None:
    """
    Return the picture that *text* is or links to; None if it is a file of another kind. For a URL it is a plain picture
    whose colour depends on the URL.
    """
    if not is_url(text):
        data = base64.b64decode(text)
        return data if _read_picture(data)[0] is not None else None
    from PIL import Image  # noqa: PLC0415 (an extra: the account works without)

    hue = hashlib.sha256(text.encode()).digest()[0] / 256
    colour = tuple(round(255 * part) for part in colorsys.hls_to_rgb(hue, 0.55, 0.65))
    file = io.BytesIO()
    Image.new("RGB", (64, 64), (colour[0], colour[1], colour[2])).save(file, format="PNG")
    return file.getvalue()


def _read_picture(data: bytes) -> tuple[Literal["png", "jpg"] | None, int | None, int | None]:
    from PIL import Image  # noqa: PLC0415

    try:
        with Image.open(io.BytesIO(data), formats=list(_KINDS)) as picture:
            picture.load()  # the header may be valid and the rest missing
            return _KINDS[picture.format or ""], picture.width, picture.height
    except Exception:  # noqa: BLE001 (each decoder raises its own errors, and warnings may be errors)
        return None, None, None
