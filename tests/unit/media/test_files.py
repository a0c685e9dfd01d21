"""
Where a file ends by its own structure, whatever its length was said to be.
"""

import io
import time

import PIL.Image
import pytest
from hypothesis import given, strategies as st

from kling_async.media.files import FileEnd, find_ext


def drawn(kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture = PIL.Image.effect_noise((120, 90), 60)
    if kind == "jpeg":
        small = io.BytesIO()
        picture.resize((32, 24)).save(small, "jpeg")
        # a thumbnail within: a picture of its own, with an end of its own
        options = {"exif": b"Exif\0\0" + small.getvalue(), **options}
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


WHOLE = {
    ".png": drawn("png"),
    ".jpg": drawn("jpeg"),
    ".jpg, progressive": drawn("jpeg", progressive=True),
    ".jpg, with restarts": drawn("jpeg", restart_marker_blocks=1),
    ".gif": drawn("gif"),
    ".gif, moving": drawn("gif", save_all=True, append_images=[PIL.Image.effect_noise((120, 90), 60)], comment=b"c"),
    ".webp": drawn("webp"),
    ".webp, lossless": drawn("webp", lossless=True),
}


def is_whole(content: bytes, *, by: int = 4096) -> bool:
    ext = find_ext(content[:12], "image")
    assert ext is not None
    end = FileEnd.of(ext)
    for start in range(0, len(content), by):
        end.feed(content[start : start + by])
    return end.is_reached


@pytest.mark.parametrize("by", [1, 2, 3, 5, 64, 10**6])
@pytest.mark.parametrize("content", WHOLE.values(), ids=WHOLE)
def test_whole(content: bytes, by: int) -> None:
    """
    Every kind is followed to its end, in pieces of any size, and what was appended to it does no harm.
    """
    assert is_whole(content, by=by)
    assert is_whole(content + b"\0" * 3000 + b"what a camera appends", by=by)


@pytest.mark.parametrize("content", WHOLE.values(), ids=WHOLE)
def test_cut_anywhere(content: bytes) -> None:
    """
    Without its last byte, or any more of them, none is whole: neither behind a thumbnail within nor at the end of a
    part.
    """
    shortest = 12
    ext = find_ext(content, "image")
    assert ext is not None
    end = FileEnd.of(ext)
    end.feed(content[:shortest])
    for at in range(shortest, len(content)):
        assert not end.is_reached, at
        end.feed(content[at : at + 1])
    assert end.is_reached


@pytest.mark.parametrize("content", WHOLE.values(), ids=WHOLE)
def test_header_before_zeros(content: bytes) -> None:
    """
    The right length is no proof: what a broken disk or a sparse file holds behind the header is no picture.
    """
    if not content.startswith(b"RIFF"):  # whose length is all that it tells
        assert not is_whole(content[:200] + bytes(len(content) - 200))


@given(st.sampled_from([*WHOLE.values()]), st.data())
def test_pieces_change_nothing(content: bytes, data: st.DataObject) -> None:
    """
    However a file is cut into pieces, also a damaged one, the verdict is that of the whole.
    """
    at = data.draw(st.integers(12, len(content) - 1))
    damaged = content[:at] + data.draw(st.binary(max_size=40)) + content[at:]

    assert is_whole(damaged, by=len(damaged)) == is_whole(damaged, by=data.draw(st.integers(1, 700)))


@pytest.mark.parametrize(
    "content",
    [
        b"GIF89a" + bytes(7) + b"!\xf9" + b"\1\0" * 2**19,
        b"GIF89a" + bytes(7) + b"!\xf9" + b"\1x" * 2**19,
        b"GIF89a" + bytes(7) + b"\0" * 2**20,
        b"GIF89a" + bytes(7) + b"?" * 2**20,
        b"\x89PNG\r\n\x1a\n" + b"\0\0\0\0abcd\0\0\0\0" * (2**20 // 12),
        b"\x89PNG\r\n\x1a\n" + b"\0" * 2**20,
        b"\xff\xd8" + b"\xff" * 2**20,
        b"\xff\xd8" + b"\xff\xe0\0\2" * 2**18,
        b"\xff\xd8" + b"\xff\xd8" * 2**19,
        b"\xff\xd8\xff" + b"\xff\0" * 2**19,
    ],
    ids=range(10),
)
def test_worst_input(content: bytes) -> None:
    """
    A MiB of whatever takes long takes less than a second of CPU, and has no end.
    """
    began = time.process_time()

    assert not is_whole(content, by=2**16)
    assert time.process_time() - began < 1.0


@pytest.mark.parametrize("head", [b"", b"<html>", b"\x89PNG", b"RIFF\0\0\0\0WAVE", b"BM" + bytes(20)])
def test_no_picture(head: bytes) -> None:
    """
    What is none of the kinds is none.
    """
    assert find_ext(head, "image") is None
