"""
Where a file that a task made ends by its own structure.

Neither a length nor a closed connection proves that a file is whole: a proxy that broke off stores half a picture and
serves it under a length that matches. So a file is followed from part to part up to its own end. What comes after the
end is left alone, since cameras and editors append data of their own. A further kind, such as a video, is a further row
of `FIRST_STEPS`, and is recognized by `wire.pictures.kind_of`.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Protocol

import attrs

from kling_async.wire.image_headers import Kind, kind_of

__all__ = ["HEAD", "Ending", "ext_of"]

HEAD: Final = 12
"""
Bytes that tell every kind of file.
"""


class _Step(Protocol):
    """
    Looks at the part of a file that begins at *at*, and returns where the next part begins (perhaps beyond *data*) with
    the step for it: None at the end of the file; *at* and itself where the part is not all there yet.
    """

    def __call__(self, data: bytes, at: int, /) -> "tuple[int, _Step | None]": ...


@attrs.define
class Ending:
    """
    Follows a file, piece by piece, to its own end. It keeps a few bytes of what it has seen, and none of the content.

    Attributes:
        is_reached: Whether the end has come, so that the file is whole.
    """

    _step: _Step | None
    _skip: int = attrs.field(default=0, init=False)  # bytes that are still to come before the next part
    _rest: bytes = attrs.field(default=b"", init=False)  # of a part that is not all there

    @classmethod
    def of(cls, ext: str) -> "Ending":
        """
        Begin a file whose kind has this extension, which `ext_of` has told.
        """
        return cls(next(step for kind, step in FIRST_STEPS.items() if f".{kind}" == ext))

    @property
    def is_reached(self) -> bool:
        return self._step is None

    def feed(self, piece: bytes) -> None:
        data, at = self._rest + piece, self._skip
        while self._step is not None and at <= len(data):
            before = (at, self._step)
            at, self._step = self._step(data, at)
            if before == (at, self._step):
                break
        self._rest, self._skip = (b"", 0) if self._step is None else (data[at:], max(0, at - len(data)))


def ext_of(head: bytes) -> str | None:
    """
    Return the extension of the file that begins with *head*, `HEAD` bytes or more; None for what is no known kind.
    """
    kind = kind_of(head)
    return f".{kind}" if kind is not None else None


def _end(_: bytes, at: int) -> tuple[int, _Step | None]:
    return at, None


def _damaged(data: bytes, _: int) -> tuple[int, _Step | None]:
    return len(data), _damaged  # it has no end


# PNG: chunks of a length, a name of four letters, data and a checksum; "IEND" is the last.


def _png(_: bytes, at: int) -> tuple[int, _Step | None]:
    return at + 8, _chunk


def _chunk(data: bytes, at: int) -> tuple[int, _Step | None]:
    length, name = data[at : at + 4], data[at + 4 : at + 8]
    if len(name) < 4:
        return at, _chunk
    if not (name.isalpha() and name.isascii()):
        return at, _damaged
    return at + 12 + int.from_bytes(length), _end if name == b"IEND" else _chunk


# JPEG: segments that a marker begins and a length follows, and coded data in which 0xFF is followed by 0x00 or by the
# number of a restart. Whatever stands between two segments is passed over, as decoders do. 0xD9 is the end.

_MARKER: Final = re.compile(rb"\xff(?:(\xd9)|\xd8|[\x02-\xcf\xda-\xfe](..))", re.DOTALL)
_MARKER_MAX: Final = 4


def _jpeg(data: bytes, at: int) -> tuple[int, _Step | None]:
    found = _MARKER.search(data, at)
    if found is None:
        return max(at, len(data) - _MARKER_MAX + 1), _jpeg
    if found[1] is not None:
        return found.end(), None
    length = found[2]
    return found.end() + (max(0, int.from_bytes(length) - 2) if length is not None else 0), _jpeg


# GIF: a header, and blocks of sub-blocks, each of which begins with its length; an empty one ends the block, ";" all.

_GIF_HEADER: Final = 13
_GIF_IMAGE: Final = 10


def _gif(data: bytes, at: int) -> tuple[int, _Step | None]:
    if len(data) < at + _GIF_HEADER:
        return at, _gif
    return at + _GIF_HEADER + _colours(data[at + 10]), _gif_block


def _gif_block(data: bytes, at: int) -> tuple[int, _Step | None]:
    match data[at : at + 1]:
        case b";":
            return at + 1, None
        case b"!":
            return at + 2, _gif_parts
        case b"," if len(data) >= at + _GIF_IMAGE:
            return at + _GIF_IMAGE + _colours(data[at + 9]) + 1, _gif_parts
        case b"" | b",":
            return at, _gif_block
        case b"\0":  # one empty sub-block too many, which some encoders write
            return at + 1, _gif_block
        case _:
            return at, _damaged


def _gif_parts(data: bytes, at: int) -> tuple[int, _Step | None]:
    while at < len(data):  # there may be half a million of them in a MiB
        size = data[at]
        at += 1 + size
        if not size:
            return at, _gif_block
    return at, _gif_parts


def _colours(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


# RIFF: the length of all that follows stands at the beginning.


def _riff(data: bytes, at: int) -> tuple[int, _Step | None]:
    if len(data) < at + 8:
        return at, _riff
    return at + 8 + int.from_bytes(data[at + 4 : at + 8], "little"), _end


FIRST_STEPS: Final[Mapping[Kind, _Step]] = MappingProxyType({"png": _png, "jpg": _jpeg, "gif": _gif, "webp": _riff})
"""
Of all kinds that this version takes for a picture.
"""
