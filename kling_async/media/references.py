"""
Reference images: whatever a request holds becomes what is sent and what is known of it, off the event loop.

The rules (size, sides, ratio) are the dialect's: `broken_rules` judges the facts that are found here.
"""

import asyncio
import binascii
import errno
import hashlib
import io
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import unquote, urlsplit

import attrs

from kling_async.errors import BrokenRule, InvalidRequest
from kling_async.wire.dialects import ImageFacts
from kling_async.wire.image_headers import find_flaw, kind_of
from kling_async.wire.redaction import hide_query
from kling_async.wire.tasks import ImageSource, describe_image

__all__ = ["Reference", "read_reference"]

_Sliced = TypeVar("_Sliced", str, bytes)

_PIECE: Final = 768 * 1024  # encoding holds the interpreter's lock for a piece at a time: a millisecond or two
_PATH_MAX: Final = 4096  # text no longer than a path can be is more likely a path than a picture
_TO_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
_BREAKS: Final = b"\t\r\n\f\v"  # removed; not the space, which may be a "+" that a form or URL decoder replaced
_BEGINNINGS: Final = ("iVBOR", "/9j/", "_9j_")  # how the Base64 of a PNG or JPEG starts

_ANY_KIND: Final = "an http(s) URL, a data: URL, or Base64 of a jpg or png; for a file pass a pathlib.Path"


def _shown(text: str) -> str:
    return repr(hide_query(text)) if _is_url(text) else f"<{len(text)} characters of Base64>"


@attrs.frozen
class Reference:
    """
    A reference image, ready to be judged and sent.

    Attributes:
        text: The URL as it was, or Base64 without a prefix. Empty where the picture is above *max_bytes* and was
            therefore not read to its end; the facts tell its true size.
        facts: None for a URL: the service fetches it, not we.
        sha256: Of the picture's bytes, in hexadecimal digits; None for a URL, and where not all of it was read.
    """

    text: str = attrs.field(repr=_shown)
    facts: ImageFacts | None = None
    sha256: str | None = None


async def read_reference(image: ImageSource, *, max_bytes: int) -> Reference:
    """
    Read *image*, in a thread, and tell what it is by its content.

    Base64 may be wrapped in lines, of the URL-safe alphabet or without its padding: what is sent is the standard form.
    A space inside it is refused, because form and URL decoders turn "+" into a space.
    Cancelling this leaves nothing open; the thread ends by itself and its result is dropped.

    Args:
        max_bytes: The picture's limit before Base64. Of a larger file only so much is read.

    Raises:
        InvalidRequest: It cannot be read at all. Whether a picture that could be read is allowed is not asked here.
    """
    match image:
        case str() if _is_url(image):
            return _by_url(image)
        case str():
            return await asyncio.to_thread(_by_text, image, max_bytes)
        case Path():
            return await asyncio.to_thread(_by_path, image, max_bytes)
        case bytes():
            return await asyncio.to_thread(_by_content, image, len(image), max_bytes)
        case _:
            raise _refused(image, f"must be {_ANY_KIND}, bytes, a binary file object or a Pillow image")


def _is_url(text: str) -> bool:
    return text[:8].lower().startswith(("http://", "https://"))


def _by_url(url: str) -> Reference:
    try:
        has_host = bool(urlsplit(url).hostname)
    except ValueError:
        has_host = False
    if not has_host or any(character.isspace() or not character.isprintable() for character in url):
        raise _refused(url, "must be an absolute URL with a host and without blanks")
    return Reference(url)


def _by_path(path: Path, max_bytes: int) -> Reference:
    try:
        content, size = _read(path, max_bytes)
    except (OSError, ValueError) as error:  # ValueError: a null in the path
        reason = error.strerror if isinstance(error, OSError) else error
        raise _refused(path, f"must be a file that can be read: {reason}") from None
    return _by_content(content, size, max_bytes)


def _read(path: Path, max_bytes: int) -> tuple[bytes, int]:
    facts = path.stat()
    if not stat.S_ISREG(facts.st_mode):  # opening a pipe would wait for its writer, for ever
        raise OSError(errno.EINVAL, "Not a regular file")
    with path.open("rb") as file:
        content = file.read(max_bytes + 1)
    if len(content) <= max_bytes:  # all of it: the file may have changed since it was asked for its size
        return content, len(content)
    return content, max(len(content), facts.st_size)


def _by_text(text: str, max_bytes: int) -> Reference:
    is_data_url = text[:5].lower() == "data:"
    try:
        encoded = _standard_base64(_after_comma(text) if is_data_url else text)
        content = b"".join(binascii.a2b_base64(piece, strict_mode=True) for piece in _pieces(encoded, _PIECE * 4 // 3))
    except ValueError as error:
        raise _refused(text, _rule_for(text, is_data_url=is_data_url, reason=str(error))) from None
    facts = _facts_of(content, len(content), max_bytes)
    if facts.kind is None and not is_data_url and len(text) <= _PATH_MAX:  # "pictures/cat" is Base64 by its letters
        raise _refused(text, f"must be {_ANY_KIND}")
    if len(content) > max_bytes:
        return Reference("", facts)
    return Reference(encoded.decode("ascii"), facts, hashlib.sha256(content).hexdigest())


def _rule_for(text: str, *, is_data_url: bool, reason: str) -> str:
    if is_data_url:
        return f"must be Base64 after the comma; {reason}"
    is_picture = len(text) > _PATH_MAX or text.lstrip().startswith(_BEGINNINGS)
    return f"must be the Base64 of a complete picture; {reason}" if is_picture else f"must be {_ANY_KIND}"


def _after_comma(url: str) -> str:
    head, comma, data = url.partition(",")
    if not comma or not head.rstrip().lower().endswith(";base64"):
        raise _refused(url, "must be a data: URL of the form data:image/png;base64,...")
    return unquote(data)


def _standard_base64(text: str) -> bytes:
    text = text.strip()
    if " " in text:
        raise ValueError('it contains spaces: a form or URL decoder may have replaced "+", so encode the picture again')
    try:
        encoded = b"".join(piece.encode("ascii").translate(_TO_STANDARD, _BREAKS) for piece in _pieces(text, _PIECE))
    except UnicodeEncodeError:
        raise ValueError("it contains characters that are not Base64") from None
    digits = encoded.rstrip(b"=")
    missing = b"=" * (-len(digits) % 4)
    if not digits or b"=" in digits:
        raise ValueError("it is empty, or has padding in the middle")
    if len(missing) > 2 or len(encoded) - len(digits) not in (0, len(missing)):
        raise ValueError("its length is wrong: a part is missing")
    return digits + missing


def _by_content(content: bytes, size: int, max_bytes: int) -> Reference:
    facts = _facts_of(content, size, max_bytes)
    if size > max_bytes:
        return Reference("", facts)
    text = "".join(_base64(piece) for piece in _pieces(content, _PIECE))
    return Reference(text, facts, hashlib.sha256(content).hexdigest())


def _base64(piece: bytes) -> str:
    return binascii.b2a_base64(piece, newline=False).decode("ascii")


def _pieces(content: _Sliced, size: int) -> Iterator[_Sliced]:
    # To encode, *size* divides by 3, and to decode by 4, so that the pieces join without a seam.
    for start in range(0, len(content), size):
        yield content[start : start + size]


def _facts_of(content: bytes, size: int, max_bytes: int) -> ImageFacts:
    kind = kind_of(content)
    if kind not in ("png", "jpg"):
        return ImageFacts(size, None)
    import imagesize  # type: ignore[import-untyped]  # noqa: PLC0415 (it loads a parser of XML)

    width, height = imagesize.get(io.BytesIO(content), exif_rotation=False)  # never raises: -1 is "cannot tell"
    flaw = find_flaw(content) if size <= max_bytes else None  # a file above the limit was not read to its end
    return ImageFacts(size, kind, width if width > 0 else None, height if height > 0 else None, flaw)


def _refused(image: object, rule: str) -> InvalidRequest:
    broken = BrokenRule("image", describe_image(image), rule)
    return InvalidRequest(str(broken), broken=(broken,))
