"""
Decodes videos and sounds with PyAV, if it is installed: it is in the extra "video".

FFmpeg is given the format, and a file in place of its path: so the content of a file never makes it open another file,
or a URL.
"""

import array
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import attrs
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable

    import av.container

T = TypeVar("T")

__all__ = ["DecodedFrame", "DecodedSound", "can_decode", "decode_frame", "decode_sound"]

_MAX_PIXELS: Final = 40_000_000  # of a frame: 8K has 33 million
_MAX_SECONDS: Final = 600.0  # of a sound, which is decoded as a whole
_RATE: Final = 8_000  # samples per second that are enough for a drawing


@attrs.frozen
class DecodedFrame:
    """
    The first frame of a video, its size in pixels as it is displayed, and the video's length.
    """

    image: Image.Image
    size: tuple[int, int]
    seconds: float | None


@attrs.frozen
class DecodedSound:
    """
    The samples of a sound, with one channel, and its length.
    """

    samples: "array.array[int]"
    seconds: float | None


def can_decode() -> bool:
    """
    Return whether PyAV is installed.
    """
    return importlib.util.find_spec("av") is not None


def decode_frame(path: Path, container: str, side: int) -> DecodedFrame | None:
    """
    Return the first frame of the video at *path*, at most *side* pixels wide and high; None if it cannot be decoded.

    Args:
        container: The format of the file, by FFmpeg's name.
    """
    return _decode(path, container, lambda opened: _first_frame(opened, side))


def decode_sound(path: Path, container: str) -> DecodedSound | None:
    """
    Return the samples of the sound at *path*; None if it cannot be decoded. A long sound has only its length.
    """
    return _decode(path, container, _sound)


def _decode(path: Path, container: str, read: "Callable[[av.container.InputContainer], T | None]") -> T | None:
    if not can_decode():
        return None
    import av  # noqa: PLC0415 (an extra, which takes a moment to load)

    try:
        with path.open("rb") as file, av.open(file, "r", format=container) as opened:
            return read(opened)
    except (av.FFmpegError, OSError, ValueError, MemoryError):
        return None


def _first_frame(opened: "av.container.InputContainer", side: int) -> DecodedFrame | None:
    if not opened.streams.video:
        return None
    stream = opened.streams.video[0]
    if not 0 < stream.width * stream.height <= _MAX_PIXELS:
        return None
    stream.codec_context.thread_count = 1  # other files are decoded at the same time
    frame = next(opened.decode(stream), None)
    if frame is None:
        return None
    scale = min(1.0, side / max(frame.width, frame.height))
    width, height = (max(1, round(scale * length)) for length in (frame.width, frame.height))
    image = frame.reformat(width=width, height=height, format="rgb24").to_image()  # type: ignore[no-untyped-call]
    size = frame.width, frame.height
    if turned := frame.rotation % 360:
        image = image.rotate(turned, expand=True)
        size = size[::-1] if turned % 180 else size
    return DecodedFrame(image, size, _seconds(opened))


def _sound(opened: "av.container.InputContainer") -> DecodedSound | None:
    if not opened.streams.audio:
        return None
    seconds = _seconds(opened)
    is_short = seconds is not None and seconds <= _MAX_SECONDS
    return DecodedSound(_samples(opened) if is_short else array.array("h"), seconds)


def _seconds(opened: "av.container.InputContainer") -> float | None:
    return opened.duration / 1_000_000 if opened.duration else None


def _samples(opened: "av.container.InputContainer") -> "array.array[int]":
    import av  # noqa: PLC0415

    resampler = av.AudioResampler(format="s16", layout="mono", rate=_RATE)
    samples = array.array("h")
    for frame in (*opened.decode(opened.streams.audio[0]), None):
        for part in resampler.resample(frame):
            samples.frombytes(bytes(part.planes[0])[: 2 * part.samples])
    return samples
