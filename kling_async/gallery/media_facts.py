"""
Distinguishes videos and sounds from pictures by their content, and reads their size and length.
"""

import struct
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, Literal

import attrs

__all__ = ["MediaFacts", "read_media"]

_SIGNATURES: Final[tuple[tuple[bytes, Literal["video", "audio"], str], ...]] = (
    (b"\x1aE\xdf\xa3", "video", "matroska"),  # also WebM
    (b"OggS", "audio", "ogg"),
    (b"ID3", "audio", "mp3"),  # MP3 with tags
)
_TITLE: Final = b"\xa9nam"
_NESTING: Final = {b"trak": 0, b"udta": 0, b"meta": 4, b"ilst": 0}  # boxes of boxes, which follow so many bytes
_DEPTH_MAX: Final = 3  # the title is in a list in metadata in user data
_INDEX_MAX: Final = 16 * 1024 * 1024  # bytes of the index of an MP4 file that are read


@attrs.frozen
class MediaFacts:
    """
    The facts in the header of a video or a sound. `seconds` is None if it has no length, `size` (width and height in
    pixels) also for sounds. `container` is the format of the file, by FFmpeg's name. `title` is empty if there is none.
    """

    kind: Literal["video", "audio"]
    container: str
    size: tuple[int, int] | None = None
    seconds: float | None = None
    title: str = ""


def read_media(path: Path) -> MediaFacts | None:
    """
    Return the facts of the video or sound at *path*; None if the file is neither, or cannot be read.
    """
    try:
        if not path.is_file():  # opening a named pipe would block until a writer comes
            return None
        with path.open("rb") as file:
            return _read(file)
    except (OSError, EOFError, struct.error, wave.Error):
        return None


def _read(file: BinaryIO) -> MediaFacts | None:
    head = file.read(12)
    file.seek(0)
    if head[4:8] == b"ftyp":
        return _read_mp4(file, "audio" if head[8:11] == b"M4A" else "video")
    if head[:4] == b"RIFF" and head[8:] == b"WAVE":
        return _read_wav(file)
    for signature, kind, container in _SIGNATURES:
        if head.startswith(signature):
            return MediaFacts(kind, container)
    is_mpeg_audio = len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0
    if not is_mpeg_audio:
        return None
    return MediaFacts("audio", "aac" if head[1] & 0x06 == 0 else "mp3")  # by the layer, which is 0 in ADTS


def _read_wav(file: BinaryIO) -> MediaFacts:
    try:
        with wave.open(file) as sound:
            return MediaFacts("audio", "wav", seconds=sound.getnframes() / sound.getframerate())
    except (wave.Error, EOFError, ZeroDivisionError):  # a format that browsers may know nevertheless
        return MediaFacts("audio", "wav")


def _read_mp4(file: BinaryIO, kind: Literal["video", "audio"]) -> MediaFacts:
    size = seconds = None
    title = ""
    has_tracks = False
    try:
        for name, content in _boxes(_index_of(file)):
            if name == b"mvhd":
                at, form = (20, ">IQ") if content[0] else (12, ">II")
                scale, length = struct.unpack_from(form, content, at)
                seconds = length / scale if scale else None
            elif name == b"tkhd" and kind == "video":
                has_tracks = True
                size = _displayed_size(content) or size
            elif name == _TITLE:
                title = content[16:].decode(
                    errors="replace"
                )  # behind the head of its box "data", and type and language
    except (struct.error, IndexError):
        pass  # the browser may still play it
    if has_tracks and size is None:  # nothing to see
        kind = "audio"
    return MediaFacts(kind, "mp4", size, seconds, title)


def _displayed_size(track_header: bytes) -> tuple[int, int] | None:
    width, height = (side >> 16 for side in struct.unpack(">2I", track_header[-8:]))
    if not width or not height:
        return None
    is_turned = track_header[-44:-40] == bytes(4)  # the first number of its matrix, for 90 and 270 degrees
    return (height, width) if is_turned else (width, height)


def _index_of(file: BinaryIO) -> bytes:
    # The content of the box "moov", which may stand behind the samples.
    while head := file.read(8):
        length, name = struct.unpack(">I4s", head)
        rest = length - 8
        if length == 1:
            rest = struct.unpack(">Q", file.read(8))[0] - 16
        if name == b"moov":
            return file.read(min(rest, _INDEX_MAX))
        if rest < 0:  # up to the end of the file, or damaged
            break
        file.seek(rest, 1)
    return b""


def _boxes(data: bytes, depth: int = 0) -> Iterator[tuple[bytes, bytes]]:
    # Names and contents, with those of the boxes within some.
    start = 0
    while start + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, start)
        content = data[start + 8 : start + length]
        if name in _NESTING and depth < _DEPTH_MAX:
            yield from _boxes(content[_NESTING[name] :], depth + 1)
        else:
            yield name, content
        start += max(length, 8)
