"""
Reads the field `url` of a file. Besides an absolute URL, relays put a path on their own host into it, a `data:` URL, or
bare Base64.
"""

import base64
import binascii
import re
from typing import Final
from urllib.parse import unquote_to_bytes, urljoin

from kling_async.media.file_formats import HEAD, is_known

__all__ = ["absolute", "content_in"]

_DATA: Final = "data:"
_LINE_BREAKS: Final = str.maketrans("", "", "\r\n")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]*={0,2}")
_HEAD_LENGTH: Final = 16
"""
Characters of Base64 that hold the `HEAD` bytes of a file.
"""
_SHORTEST: Final = 32
"""
Characters of Base64 that the smallest file has; what is shorter is a path.
"""
_SLICE: Final = 64 * 1024
_BLANKS: Final = " \t\r\n\f"
"""
Characters around a URL that browsers drop too.
"""
_ABSOLUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


def content_in(url: str, max_bytes: int) -> bytes | None:
    """
    Return the file that *url* itself holds, not checked yet; None if it is a URL of a file elsewhere.

    Raises:
        ValueError: The file cannot be decoded, or is larger than *max_bytes*.
    """
    if url[: len(_DATA)].lower() == _DATA:
        about, comma, text = url.partition(",")
        if not comma:
            raise ValueError("the data: URL has no comma before its content")
        if not about.lower().rstrip().endswith(";base64"):
            return _bounded(_unquoted(text, 3 * max_bytes), max_bytes)
        return _decoded(_unquoted(text, 6 * max_bytes).decode("latin-1") if "%" in text else text, max_bytes)
    return _decoded(url, max_bytes) if _is_base64_file(url) else None


def absolute(url: str, base_url: str | None) -> str:
    """
    Return *url* as an absolute URL: one without a scheme is relative to the service at *base_url*.
    """
    if not _is_base64_file(url):
        url = url.strip(_BLANKS)
    if base_url is None or _ABSOLUTE.match(url) or _is_base64_file(url):
        return url
    try:
        return urljoin(f"{base_url}/", url)
    except ValueError:
        return url  # fetching it raises the error


def _is_base64_file(text: str) -> bool:
    start = text[: 2 * _HEAD_LENGTH].strip().translate(_LINE_BREAKS)[:_HEAD_LENGTH]
    if len(text) < _SHORTEST or len(start) < _HEAD_LENGTH or not _BASE64.fullmatch(start):
        return False
    return is_known(base64.b64decode(start)[:HEAD])


def _unquoted(text: str, limit: int) -> bytes:
    # In slices: `unquote_to_bytes` makes a list of all bytes, which takes a hundred times the memory of the text.
    if len(text) > limit + 1024:
        raise ValueError(f"it holds {len(text)} characters, which is too many")
    found = bytearray()
    at = 0
    while at < len(text):
        end = at + _SLICE
        quoted = text.rfind("%", end - 2, end)
        end = quoted if quoted >= 0 and end < len(text) else end
        found += unquote_to_bytes(text[at:end])
        at = end
    return bytes(found)


def _decoded(text: str, max_bytes: int) -> bytes:
    if len(text) > 2 * max_bytes + 1024:  # Base64 takes 4 characters for 3 bytes, and line breaks
        raise ValueError(f"it is larger than {max_bytes} bytes")
    text = text.strip().translate(_LINE_BREAKS)
    if not _BASE64.fullmatch(text):
        raise ValueError("its Base64 has invalid characters, such as blanks in place of '+'")
    try:
        return _bounded(base64.b64decode(text + "=" * (-len(text) % 4), validate=True), max_bytes)
    except binascii.Error:
        raise ValueError("its Base64 is truncated") from None


def _bounded(content: bytes, max_bytes: int) -> bytes:
    if len(content) > max_bytes:
        raise ValueError(f"it is larger than {max_bytes} bytes")
    return content
