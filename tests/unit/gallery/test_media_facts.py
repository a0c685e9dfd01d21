"""
Videos and sounds, known by their content.
"""

import io
import struct
from pathlib import Path

import pytest

from kling_async.emulator.filming.sounds import write_wav
from kling_async.gallery.media_facts import MediaFacts, read_media
from tests.fakes.media_files import make_sound, make_video

VIDEO = make_video((64, 36), 1.5)


def box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content) + 8, name) + content


def split(data: bytes) -> dict[bytes, bytes]:
    """
    Return the boxes of a file, each as a whole, by name.
    """
    boxes = {}
    while data:
        length, name = struct.unpack_from(">I4s", data)
        boxes[name], data = data[:length], data[length:]
    return boxes


def index_first(data: bytes) -> bytes:
    boxes = split(data)
    return boxes[b"ftyp"] + boxes[b"moov"] + boxes[b"mdat"]


def index_last(data: bytes) -> bytes:
    """
    Return a video with its index behind the samples, whose box says its length in 64 bits.
    """
    boxes = split(data)
    samples = boxes[b"mdat"][8:]
    return boxes[b"ftyp"] + struct.pack(">I4sQ", 1, b"mdat", len(samples) + 16) + samples + boxes[b"moov"]


def sound(rate: int) -> bytes:
    file = io.BytesIO(write_wav(1.0, 1))
    content = bytearray(file.getvalue())
    struct.pack_into("<I", content, 24, rate)
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "facts"),
    [
        (index_first(VIDEO), MediaFacts("video", "mp4", (64, 36), 1.5)),
        (index_last(VIDEO), MediaFacts("video", "mp4", (64, 36), 1.5)),
        (VIDEO[:8] + b"M4A " + VIDEO[12:], MediaFacts("audio", "mp4", seconds=1.5)),
        (VIDEO[:40], MediaFacts("video", "mp4")),
        (VIDEO[: VIDEO.index(b"trak")], MediaFacts("video", "mp4", None, 1.5)),
        (box(b"ftyp", b"isom") + bytes(20), MediaFacts("video", "mp4")),
        (box(b"ftyp", b"isom") + box(b"moov", box(b"mvhd", bytes(100))), MediaFacts("video", "mp4")),
        (box(b"ftyp", b"isom") + box(b"moov", box(b"mvhd", b"")), MediaFacts("video", "mp4")),
        (make_video((64, 36), title="ein Füchslein"), MediaFacts("video", "mp4", (64, 36), 1.0, "ein Füchslein")),
        (make_video((64, 36), rotation=90), MediaFacts("video", "mp4", (36, 64), 1.0)),
        (make_sound(codec="aac", container="mp4"), MediaFacts("audio", "mp4", seconds=1.0)),
        (write_wav(2.0, 1), MediaFacts("audio", "wav", seconds=2.0)),
        (sound(0), MediaFacts("audio", "wav")),
        (b"RIFF\0\0\0\0WAVE", MediaFacts("audio", "wav")),
        (b"ID3\x04" + bytes(20), MediaFacts("audio", "mp3")),
        (b"\xff\xfb\x90\x00", MediaFacts("audio", "mp3")),
        (b"\xff\xf1\x50\x80", MediaFacts("audio", "aac")),
        (b"\x1aE\xdf\xa3" + bytes(8), MediaFacts("video", "matroska")),
        (b"OggS" + bytes(8), MediaFacts("audio", "ogg")),
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


def test_boxes_in_boxes_end(tmp_path: Path) -> None:
    """
    A file of a thousand of them is read as far as it makes sense.
    """
    content = box(b"mvhd", bytes(100))
    for _ in range(5_000):
        content = box(b"trak", content)
    path = tmp_path / "x.mp4"
    path.write_bytes(box(b"ftyp", b"isom") + box(b"moov", content))

    assert MediaFacts("video", "mp4") == read_media(path)
