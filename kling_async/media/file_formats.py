"""
File formats by content: the extension of a file, and where it ends by its own structure.

Neither a length nor a closed connection proves that a file is complete: a proxy that lost its upstream stores half a
file and serves it under a length that matches. So a file is followed from part to part up to its own end. What comes
after the end is ignored, because cameras and editors append their own data.

A format is a row of `FORMATS`: the kind of file that it is for, how it is recognised, and its first step. No two kinds
have an extension in common, so that an image and a video of one task that have the same index have different names.
"""

import re
from collections.abc import Callable
from typing import Final, Protocol

import attrs

from kling_async.wire.image_headers import kind_of
from kling_async.wire.sound_headers import mp3_frame_length

__all__ = ["HEAD", "FileEnd", "find_ext", "is_known"]

HEAD: Final = 12
"""
Bytes that are enough to recognise every format.
"""


class _Step(Protocol):
    """
    Reads the part of a file that begins at *at*. Returns where the next part begins (perhaps beyond *data*) and the
    step for it: None at the end of the file; *at* and itself if the part is not complete yet.
    """

    def __call__(self, data: bytes, at: int, /) -> "tuple[int, _Step | None]": ...


@attrs.define
class FileEnd:
    """
    Follows a file, piece by piece, to its own end. It keeps a few bytes of what it has read.
    """

    _step: _Step | None
    _skip: int = attrs.field(default=0, init=False)  # bytes that are still to come before the next part
    _rest: bytes = attrs.field(default=b"", init=False)  # of a part that is not complete

    @classmethod
    def of(cls, ext: str) -> "FileEnd":
        """
        Begin a file that has this extension, as `find_ext` returned it.
        """
        return cls(FORMATS[ext].begin())

    @property
    def is_reached(self) -> bool:
        """
        Return whether the file is complete. Formats without an end marker are complete between any two parts, once all
        required parts have come.
        """
        if self._step is None:
            return True
        return isinstance(self._step, _OpenEnded) and self._step.may_end(is_between=not self._skip and not self._rest)

    def feed(self, piece: bytes) -> None:
        data, at = self._rest + piece, self._skip
        while self._step is not None and at <= len(data):
            before = (at, self._step)
            at, self._step = self._step(data, at)
            if before == (at, self._step):
                break
        self._rest, self._skip = (b"", 0) if self._step is None else (data[at:], max(0, at - len(data)))


@attrs.frozen
class _Format:
    kind: str
    matches: Callable[[bytes], bool]
    begin: Callable[[], _Step]


def find_ext(head: bytes, kind: str) -> str | None:
    """
    Return the extension of the file that begins with *head*, `HEAD` bytes or more; None if its format is unknown,
    or not one of this *kind*: "image", "video" or "audio".
    """
    return next((ext for ext, each in FORMATS.items() if each.kind == kind and each.matches(head)), None)


def is_known(head: bytes) -> bool:
    """
    Return whether a file of any kind surely begins with *head*. MP3 without a tag is left out: two bytes are too few.
    """
    return any(each.matches(head) for each in FORMATS.values()) and not _is_mp3_frame(head)


def _end(_: bytes, at: int) -> tuple[int, _Step | None]:
    return at, None


def _damaged(data: bytes, _: int) -> tuple[int, _Step | None]:
    return len(data), _damaged  # it has no end


class _OpenEnded(_Step):
    """
    A step of a format without an end marker.
    """

    def may_end(self, *, is_between: bool) -> bool:
        """
        Return whether the file may end here; *is_between* is whether a part has just ended.
        """
        raise NotImplementedError


class _Unbounded(_OpenEnded):
    """
    A part without a length, which ends with the file.
    """

    def __call__(self, data: bytes, at: int, /) -> "tuple[int, _Step | None]":
        return max(at, len(data)), self

    def may_end(self, *, is_between: bool) -> bool:
        return is_between


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
# number of a restart. Bytes between two segments are skipped, as decoders do. 0xD9 is the end.

_MARKER: Final = re.compile(rb"\xff(?:(\xd9)|\xd8|[\x02-\xcf\xda-\xfe](..))", re.DOTALL)
_MARKER_MAX: Final = 4


def _jpeg(data: bytes, at: int) -> tuple[int, _Step | None]:
    marker = _MARKER.search(data, at)
    if marker is None:
        return max(at, len(data) - _MARKER_MAX + 1), _jpeg
    if marker[1] is not None:
        return marker.end(), None
    length = marker[2]
    return marker.end() + (max(0, int.from_bytes(length) - 2) if length is not None else 0), _jpeg


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


# RIFF, which is WebP and WAV: the length of all that follows stands at the beginning. In a WAV, chunks of a type, a
# length and content follow, padded to even positions. One that was written to a pipe has placeholders for lengths, and
# ends with the file: all ones, or 2 GiB by SoX, which no result comes near to.

_PLACEHOLDER: Final = 0x7FFFF000


def _webp(data: bytes, at: int) -> tuple[int, _Step | None]:
    if len(data) < at + HEAD:
        return at, _webp
    return at + 8 + int.from_bytes(data[at + 4 : at + 8], "little"), _end


@attrs.define(eq=False, repr=False)
class _Wav(_OpenEnded):
    _place: int = 0  # in the file
    _stated_end: int | None = None  # of the file; None if it is unknown
    _missing: set[bytes] = attrs.field(factory=lambda: {b"fmt ", b"data"})

    def __call__(self, data: bytes, at: int, /) -> "tuple[int, _Step | None]":
        header = HEAD if not self._place else 8
        if len(data) < at + header:
            return at, self
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if not self._place:
            self._place = HEAD
            self._stated_end = 8 + size if size < _PLACEHOLDER else None
            return at + HEAD, self
        kind = data[at : at + 4]
        if kind == b"data" and size >= _PLACEHOLDER and self._stated_end is None:
            return at + header, _Unbounded() if self._missing == {kind} else _damaged
        if self._stated_end is None and not self._missing and not kind.isalnum():
            return at, _end  # what an editor has appended
        self._missing.discard(kind)
        return self._after(at, kind, header + size)

    def _after(self, at: int, kind: bytes, length: int) -> "tuple[int, _Step | None]":
        padded = length + length % 2
        if self._stated_end is not None and self._place + padded > self._stated_end - 8:  # no room for another chunk
            is_longer = kind == b"data" and length < _PLACEHOLDER and self._place + length > self._stated_end
            end = self._place + length if is_longer else self._stated_end
            return at + end - self._place, _damaged if self._missing else _end
        self._place += padded
        return at + padded, self

    def may_end(self, *, is_between: bool) -> bool:
        return is_between and self._stated_end is None and not self._missing


# MP4 and QuickTime (ISO 14496-12): boxes of a length, a type of four characters and content, up to the end of the file.
# A length of 1 says that the true one follows in 64 bits; of 0, that the box is the last and ends with the file.

_BOX_TYPE: Final = re.compile(rb"[ -~\xa9]{4}")
_TOP_BOXES: Final = frozenset(
    b"emsg free ftyp mdat meta mfra moof moov pdin prft sidx skip ssix styp udta uuid wide".split()
)
"""
Boxes that may follow when all required ones have come; anything else is data that an editor has appended.
"""


@attrs.define(eq=False, repr=False)
class _Boxes(_OpenEnded):
    _missing: set[bytes] = attrs.field(factory=lambda: {b"ftyp", b"moov", b"mdat"})
    _last: bytes = b""

    def __call__(self, data: bytes, at: int, /) -> "tuple[int, _Step | None]":
        size, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        if len(kind) < 4 or (size == 1 and len(data) < at + 16):
            return at, self
        header = 16 if size == 1 else 8
        size = int.from_bytes(data[at + 8 : at + 16]) if size == 1 else size
        if not self._missing and kind not in _TOP_BOXES:
            return at, _end
        if not _BOX_TYPE.fullmatch(kind) or 0 < size < header:
            return at, _damaged
        self._missing.discard(kind)
        self._last = kind
        if not size:
            return at + header, _damaged if self._missing else _Unbounded()
        return at + size, self

    def may_end(self, *, is_between: bool) -> bool:
        return is_between and not self._missing and self._last != b"moof"  # whose frames come in the next box


# MP3: an ID3 tag, then frames whose length follows from their header, up to the end of the file. The first frame may
# hold the number of all others and the bytes of all (Xing, Info). Tags behind the last frame are ignored.

_COUNTS: Final = re.compile(rb"(?:Xing|Info)\0\0\0([\0-\x0f])(....)(....)", re.DOTALL)  # two are there, or one, or none


def _is_mp3_frame(head: bytes) -> bool:
    return mp3_frame_length(head[:4]) > 0


def _counts_in(frame: bytes) -> tuple[int, int]:
    found = _COUNTS.search(frame)
    if found is None:
        return 1, 0
    flags, numbers = found[1][0], iter([int.from_bytes(found[2]), int.from_bytes(found[3])])
    frames = next(numbers) if flags & 1 else 1
    return max(1, frames), next(numbers) if flags & 2 else 0


@attrs.define(eq=False, repr=False)
class _Mp3(_OpenEnded):
    _count: int = 0
    _length: int = 0
    _least: tuple[int, int] | None = None  # frames, and bytes

    def __call__(self, data: bytes, at: int, /) -> "tuple[int, _Step | None]":
        if len(data) < at + 4:
            return at, self
        if data[at : at + 3] == b"ID3" and not self._count:
            return self._after_tag(data, at)
        length = mp3_frame_length(data[at : at + 4])
        if not length:
            return at, _end if self._is_complete else _damaged
        if self._least is None:
            if len(data) < at + length:
                return at, self
            self._least = _counts_in(data[at : at + length])
        self._count += 1
        self._length += length
        return at + length, self

    def _after_tag(self, data: bytes, at: int) -> "tuple[int, _Step | None]":
        if len(data) < at + 10:
            return at, self
        size = 0
        for digit in data[at + 6 : at + 10]:
            size = size << 7 | digit & 0x7F
        size += 20 if data[at + 5] & 0x10 else 10
        self._length += size  # some encoders count it
        return at + size, self

    def may_end(self, *, is_between: bool) -> bool:
        return is_between and self._is_complete

    @property
    def _is_complete(self) -> bool:
        frames, length = self._least or (1, 0)
        return self._count >= frames and self._length >= length


def _is_iso(head: bytes) -> bool:
    return head[4:8] == b"ftyp"


FORMATS: Final = {
    ".png": _Format("image", lambda head: kind_of(head) == "png", lambda: _png),
    ".jpg": _Format("image", lambda head: kind_of(head) == "jpg", lambda: _jpeg),
    ".gif": _Format("image", lambda head: kind_of(head) == "gif", lambda: _gif),
    ".webp": _Format("image", lambda head: kind_of(head) == "webp", lambda: _webp),
    ".mov": _Format("video", lambda head: _is_iso(head) and head[8:12] == b"qt  ", _Boxes),
    ".mp4": _Format("video", _is_iso, _Boxes),
    ".mp3": _Format("audio", lambda head: head[:3] == b"ID3" or _is_mp3_frame(head), _Mp3),
    ".wav": _Format("audio", lambda head: head[:4] == b"RIFF" and head[8:12] == b"WAVE", _Wav),
    ".m4a": _Format("audio", _is_iso, _Boxes),
}
"""
The formats by their extensions; the first that matches is taken.
"""
