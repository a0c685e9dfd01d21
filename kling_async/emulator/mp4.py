"""
Writes MP4 files with one video track: a container of the ISO base media file format (ISO/IEC 14496-12).
"""

import itertools
import struct
from collections.abc import Sequence
from typing import Final

from PIL import Image

from kling_async.emulator.h264 import encode_frame, parameter_sets

__all__ = ["write_mp4"]

_TICKS: Final = 1000  # units of time in a second

_MATRIX: Final = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)  # no rotation


def write_mp4(frames: Sequence[Image.Image], seconds: float) -> bytes:
    """
    Return a video that shows *frames*, all of the same even size, for equal parts of *seconds*.
    """
    samples = [struct.pack(">I", len(unit)) + unit for unit in map(encode_frame, frames, range(len(frames)))]
    head = _box("ftyp", b"isom", struct.pack(">I", 0x200), b"isomiso2avc1mp41")
    movie = _movie(frames[0].size, samples, seconds, first_byte=0)
    # The tables have a fixed size, so where the samples begin is known once they are written.
    movie = _movie(frames[0].size, samples, seconds, first_byte=len(head) + len(movie) + 8)
    return head + movie + _box("mdat", *samples)


def _movie(size: tuple[int, int], samples: Sequence[bytes], seconds: float, *, first_byte: int) -> bytes:
    length = round(seconds * _TICKS)
    header = struct.pack(">4I", 0, 0, _TICKS, length) + struct.pack(">IH10x", 0x10000, 0x100) + _MATRIX
    track = struct.pack(">5I8x4H", 0, 0, 1, 0, length, 0, 0, 0, 0) + _MATRIX + struct.pack(">2I", *_fixed(size))
    media = struct.pack(">4I2H", 0, 0, _TICKS, length, 0x55C4, 0)  # language "und"
    return _box(
        "moov",
        _full_box("mvhd", header, bytes(24), struct.pack(">I", 2)),
        _box(
            "trak",
            _full_box("tkhd", track, flags=3),  # enabled, in the presentation
            _box(
                "mdia",
                _full_box("mdhd", media),
                _full_box("hdlr", bytes(4), b"vide", bytes(12), b"video\0"),
                _box(
                    "minf",
                    _full_box("vmhd", bytes(8), flags=1),
                    _box("dinf", _full_box("dref", struct.pack(">I", 1), _full_box("url ", flags=1))),
                    _sample_table(size, samples, length, first_byte),
                ),
            ),
        ),
    )


def _sample_table(size: tuple[int, int], samples: Sequence[bytes], length: int, first_byte: int) -> bytes:
    count = len(samples)
    edges = [length * place // count for place in range(count + 1)]
    steps = [(1, after - before) for before, after in itertools.pairwise(edges)]
    return _box(
        "stbl",
        _full_box("stsd", struct.pack(">I", 1), _sample_entry(size)),
        _full_box("stts", struct.pack(">I", count), *(struct.pack(">2I", *step) for step in steps)),
        _full_box("stsc", struct.pack(">4I", 1, 1, count, 1)),  # one chunk with all samples
        _full_box("stsz", struct.pack(">2I", 0, count), *(struct.pack(">I", len(sample)) for sample in samples)),
        _full_box("stco", struct.pack(">2I", 1, first_byte)),
    )


def _sample_entry(size: tuple[int, int]) -> bytes:
    sequence, picture = parameter_sets(size)
    configuration = b"".join(
        [
            bytes([1]) + sequence[1:4] + b"\xff\xe1",  # lengths of 4 bytes, one sequence set
            struct.pack(">H", len(sequence)) + sequence,
            b"\x01" + struct.pack(">H", len(picture)) + picture,
        ]
    )
    dots_per_inch = 72 << 16
    return _box(
        "avc1",
        struct.pack(">6xH16x", 1),
        struct.pack(">2H3IH32xHh", *size, dots_per_inch, dots_per_inch, 0, 1, 24, -1),
        _box("avcC", configuration),
    )


def _fixed(size: tuple[int, int]) -> tuple[int, int]:
    return size[0] << 16, size[1] << 16


def _box(name: str, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return struct.pack(">I4s", len(content) + 8, name.encode()) + content


def _full_box(name: str, *parts: bytes, flags: int = 0) -> bytes:
    return _box(name, struct.pack(">I", flags), *parts)
