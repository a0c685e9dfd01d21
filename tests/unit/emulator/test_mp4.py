"""
The emulator's videos, read by hand as the standards have it; and where PyAV is installed, by a real decoder.
"""

import io
import struct
from collections.abc import Iterator

import pytest
from PIL import Image, ImageChops, ImageStat

from kling_async.emulator.h264 import encode_frame, parameter_sets
from kling_async.emulator.mp4 import write_mp4

CONTAINERS = {"moov", "trak", "mdia", "minf", "stbl"}


def frames(count: int, size: tuple[int, int] = (48, 34)) -> list[Image.Image]:
    slope = Image.linear_gradient("L").resize(size)
    return [Image.merge("RGB", [slope, slope.rotate(180), Image.new("L", size, 20 * n)]) for n in range(count)]


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[str, int, bytes]]:
    """
    Yield name, place and content of each box of an MP4 file, those within others too.
    """
    end = len(data) if end is None else end
    while start < end:
        length, name = struct.unpack_from(">I4s", data, start)
        assert 8 <= length <= end - start
        yield name.decode(), start, data[start + 8 : start + length]
        if name.decode() in CONTAINERS:
            yield from boxes(data, start + 8, start + length)
        start += length


def test_boxes_are_whole() -> None:
    """
    The file is made of boxes alone, the index before the samples, so that a player can begin early.
    """
    data = write_mp4(frames(3), 2.0)
    found = {name: content for name, _, content in boxes(data)}

    assert ["ftyp", "moov", "mdat"] == [name for name, _, _ in boxes(data) if name in ("ftyp", "moov", "mdat")]
    assert (1000, 2000) == struct.unpack_from(">2I", found["mdhd"], 12)
    assert (48 << 16, 34 << 16) == struct.unpack(">2I", found["tkhd"][-8:])
    assert b"avc1" == found["stsd"][12:16]


def test_index_leads_to_the_samples() -> None:
    """
    Sizes and the first place are those of the samples in the file, and their times add up to its length.
    """
    data = write_mp4(frames(3), 2.0)
    found = {name: (place, content) for name, place, content in boxes(data)}
    _, count, *sizes = struct.unpack(">2I3I", found["stsz"][1][4:])
    at = struct.unpack_from(">I", found["stco"][1], 8)[0]
    steps = struct.unpack_from(">6I", found["stts"][1], 8)

    assert found["mdat"][0] + 8 == at
    assert 3 == count
    assert sum(sizes) == len(data) - at
    assert ([1, 1, 1], 2000) == (list(steps[::2]), sum(steps[1::2]))
    for size, frame in zip(sizes, frames(3), strict=True):
        unit = encode_frame(frame, sizes.index(size))
        assert (size - 4, 0x65) == (struct.unpack_from(">I", data, at)[0], data[at + 4])
        assert len(unit) == size - 4
        at += size


def test_no_start_code_within_a_unit() -> None:
    """
    Black pictures have no zeros side by side in a unit but those that a 3 follows.
    """
    unit = encode_frame(Image.new("RGB", (16, 16)), 0)
    sets = parameter_sets((4096, 2160))

    assert not any(code in data for data in (unit, *sets) for code in (b"\0\0\0", b"\0\0\1", b"\0\0\2"))


def test_neighbours_differ() -> None:
    """
    Two frames in a row are told apart by their header, as the standard wants it, also where they show the same.
    """
    frame = Image.new("RGB", (16, 16), "white")

    assert encode_frame(frame, 0) == encode_frame(frame, 2) != encode_frame(frame, 1)


@pytest.mark.parametrize("size", [(16, 16), (34, 18), (480, 270)])
def test_decoder_shows_the_frames(size: tuple[int, int]) -> None:
    """
    A real decoder gives back the pictures, their size and their times.
    """
    av = pytest.importorskip("av", reason="PyAV is not installed")
    drawn = frames(4, size)
    with av.open(io.BytesIO(write_mp4(drawn, 2.0))) as file:
        seen = list(file.decode(video=0))

    assert [0.0, 0.5, 1.0, 1.5] == [frame.time for frame in seen]
    for picture, frame in zip(drawn, seen, strict=True):
        shown = frame.to_image()
        assert size == shown.size
        assert max(ImageStat.Stat(ImageChops.difference(picture, shown)).mean) < 12
