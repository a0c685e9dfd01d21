"""
Videos and sounds, known by their content.
"""

import io
import struct
from pathlib import Path

import pytest
from PIL import Image

from kling_async.emulator.filming.sounds import write_wav
from kling_async.gallery.media_facts import MediaFacts, read_media
from tests.fakes.videos import write_mp4

VIDEO = write_mp4([Image.new("RGB", (64, 36), "teal")] * 2, 1.5)


def box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content) + 8, name) + content


def index_last(data: bytes) -> bytes:
    """
    Return a video with its index behind the samples, whose box says its length in 64 bits.
    """
    ends = [8 + struct.unpack_from(">I", data)[0] - 8]
    ends.append(ends[0] + struct.unpack_from(">I", data, ends[0])[0])
    head, movie, samples = data[: ends[0]], data[ends[0] : ends[1]], data[ends[1] + 8 :]
    return head + struct.pack(">I4sQ", 1, b"mdat", len(samples) + 16) + samples + movie


def sound(rate: int) -> bytes:
    file = io.BytesIO(write_wav(1.0, 1))
    content = bytearray(file.getvalue())
    struct.pack_into("<I", content, 24, rate)
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "facts"),
    [
        (VIDEO, MediaFacts("video", (64, 36), 1.5)),
        (index_last(VIDEO), MediaFacts("video", (64, 36), 1.5)),
        (VIDEO[:8] + b"M4A " + VIDEO[12:], MediaFacts("audio", seconds=1.5)),
        (VIDEO[:40], MediaFacts("video")),
        (VIDEO[:150], MediaFacts("video", None, 1.5)),
        (box(b"ftyp", b"isom") + bytes(20), MediaFacts("video")),
        (box(b"ftyp", b"isom") + box(b"moov", box(b"mvhd", bytes(100))), MediaFacts("video")),
        (box(b"ftyp", b"isom") + box(b"moov", box(b"mvhd", b"")), MediaFacts("video")),
        (write_wav(2.0, 1), MediaFacts("audio", seconds=2.0)),
        (sound(0), MediaFacts("audio")),
        (b"RIFF\0\0\0\0WAVE", MediaFacts("audio")),
        (b"ID3\x04" + bytes(20), MediaFacts("audio")),
        (b"\xff\xfb\x90\x00", MediaFacts("audio")),
        (b"\x1aE\xdf\xa3" + bytes(8), MediaFacts("video")),
        (b"OggS" + bytes(8), MediaFacts("audio")),
        (b"", None),
        (b"\xff", None),
        (b"\xff\xd8\xff\xe0", None),
        (b"\x89PNG\r\n\x1a\n", None),
    ],
)
def test_facts_are_in_the_header(tmp_path: Path, content: bytes, facts: MediaFacts | None) -> None:
    """
    The kind is known by the first bytes, size and length are read where they are there; pictures are neither.
    """
    path = tmp_path / "file"
    path.write_bytes(content)

    assert facts == read_media(path)


def test_no_file_has_no_facts(tmp_path: Path) -> None:
    """
    Folders and files that are gone are reported by whoever opens them next.
    """
    assert read_media(tmp_path) is None
    assert read_media(tmp_path / "nowhere") is None
