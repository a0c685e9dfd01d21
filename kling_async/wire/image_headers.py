"""
Recognizes the kind of a picture by its first bytes, and checks that PNG, JPEG and WebP bytes are complete. Walks the
file's structure to its end marker; decodes no pixels.
"""

import re
import zlib
from collections.abc import Iterator
from typing import Final, Literal, TypeAlias

__all__ = ["Kind", "find_flaw", "kind_of"]

Kind: TypeAlias = Literal["png", "jpg", "gif", "webp"]

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_JPEG: Final = b"\xff\xd8\xff"
_GIF: Final = (b"GIF87a", b"GIF89a")

_CUT_SHORT: Final = "is cut short: its end is missing"

_MARKER: Final = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""
The next marker after JPEG pixel data. Within that data, 0xFF is followed by zero or by a restart number.
"""

_FILL: Final = re.compile(rb"\xff+")
_START_OF_SCAN: Final = 0xDA
_END_OF_IMAGE: Final = 0xD9
_WITHOUT_LENGTH: Final = frozenset({0x01, *range(0xD0, 0xD8)})


def kind_of(content: bytes) -> Kind | None:
    """
    Return the kind of picture that *content* is by its first 12 bytes; None for anything else.
    """
    if content.startswith(_PNG):
        return "png"
    if content.startswith(_JPEG):
        return "jpg"
    if content.startswith(_GIF):
        return "gif"
    return "webp" if content[:4] == b"RIFF" and content[8:12] == b"WEBP" else None


def find_flaw(content: bytes) -> str | None:
    """
    Return why a PNG, JPEG or WebP file is truncated or damaged, worded as a broken rule. Return None for a complete
    file and for content of any other format. Data after the end marker is ignored, because cameras append some.

    Takes linear time and does not copy the content. Verifies every checksum of a PNG. Cannot detect damage within the
    pixel data of a JPEG or WebP file, which have no checksums. Stricter than `formats.Ending`: the service
    must accept a picture that is sent, while one that was paid for is only refused if its end is missing.
    """
    match kind_of(content):
        case "png":
            return _flaw_of_png(content)
        case "jpg":
            return _flaw_of_jpeg(content)
        case "webp":
            return _flaw_of_webp(content)
        case _:
            return None


def _flaw_of_png(content: bytes) -> str | None:
    has_pixels = False
    for kind, is_good in _chunks(content):
        if not is_good:
            return f"is damaged: the checksum of its chunk {kind.decode('ascii', 'replace')!r} is wrong"
        has_pixels = has_pixels or kind == b"IDAT"
        if kind == b"IEND":
            return None if has_pixels else "is damaged: it holds no pixels"
    return _CUT_SHORT


def _chunks(content: bytes) -> Iterator[tuple[bytes, bool]]:
    # Yields the type of each complete chunk, and whether its checksum is correct.
    view, at = memoryview(content), len(_PNG)
    while at + 12 <= len(content):
        end = at + 8 + int.from_bytes(view[at : at + 4])
        if end + 4 > len(content):
            return
        yield content[at + 4 : at + 8], zlib.crc32(view[at + 4 : end]) == int.from_bytes(view[end : end + 4])
        at = end + 4


def _flaw_of_jpeg(content: bytes) -> str | None:
    at, has_pixels = 2, False
    while (marker := _marker_at(content, at)) is not None:
        kind, at = marker
        if kind == _END_OF_IMAGE:
            return None if has_pixels else "is damaged: it holds no pixels"
        if kind in _WITHOUT_LENGTH:
            continue
        at += max(2, int.from_bytes(content[at : at + 2]))
        if kind == _START_OF_SCAN:
            has_pixels = True
            match = _MARKER.search(content, at)
            at = match.start() if match else len(content)
    is_cut = at >= len(content) or _FILL.fullmatch(content, at)
    return _CUT_SHORT if is_cut else "is damaged: a segment is not where it should be"


def _marker_at(content: bytes, at: int) -> tuple[int, int] | None:
    # Returns the marker at this offset and the offset after it. Any number of fill bytes (0xFF) may precede it.
    fill = _FILL.match(content, at)
    if fill is None or fill.end() >= len(content):
        return None
    return content[fill.end()], fill.end() + 1


def _flaw_of_webp(content: bytes) -> str | None:
    size = 8 + int.from_bytes(content[4:8], "little")
    if size > len(content):
        return _CUT_SHORT
    at = 12
    while at + 8 <= size:
        if content[at : at + 4] in (b"VP8 ", b"VP8L", b"ANMF"):
            end = at + 8 + int.from_bytes(content[at + 4 : at + 8], "little")
            return None if end <= size else _CUT_SHORT
        length = int.from_bytes(content[at + 4 : at + 8], "little")
        at += 8 + length + length % 2
    return "is damaged: it holds no pixels"
