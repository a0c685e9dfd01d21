"""
Pictures that are whole, and what may be wrong with others: as Pillow writes them, cut and damaged byte by byte.
"""

import io
import zlib
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image

from kling_async.wire.image_headers import find_flaw

CUT = "is cut short: its end is missing"


def written(kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((60, 50), 60).convert("RGB").save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    return len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4)


def two_frames(kind: str) -> bytes:
    frames = [Image.effect_noise((60, 50), 60).convert("RGB") for _ in range(2)]
    buffer = io.BytesIO()
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:])
    return buffer.getvalue()


WHOLE = {
    "png": written("png"),
    "animated png": two_frames("png"),
    "jpeg": written("jpeg"),
    "progressive jpeg": written("jpeg", progressive=True),
    "jpeg with restarts": written("jpeg", restart_marker_blocks=1),
    "jpeg with end marks in its comment": written("jpeg", comment=b"\xff\xd9 and so on \xff\xd9"),
    "two jpegs in one file": two_frames("mpo"),
    "webp": written("webp"),
    "lossless webp": written("webp", lossless=True),
    "webp with a profile": written("webp", icc_profile=b"odd"),
    "animated webp": two_frames("webp"),
}


@pytest.mark.parametrize("name", WHOLE)
def test_whole_pictures_have_no_flaw(name: str) -> None:
    """
    Nor do they with what cameras and tools put behind their end.
    """
    assert find_flaw(WHOLE[name]) is None
    assert find_flaw(WHOLE[name] + b"SEFT and so on") is None


@pytest.mark.parametrize("name", WHOLE)
def test_every_cut_is_found(name: str) -> None:
    """
    Wherever it is made from the first byte behind the signature on.
    """
    whole = WHOLE[name]
    end = whole.index(b"\xff\xd9\xff\xd8") + 2 if name == "two jpegs in one file" else len(whole)

    assert [] == [size for size in range(12, end) if find_flaw(whole[:size]) is None]
    assert CUT == find_flaw(whole[: end // 2])


@pytest.mark.parametrize("name", ["png", "animated png"])
def test_every_damaged_byte_of_a_png_is_found(name: str) -> None:
    """
    In lengths, names, content and checksums alike.
    """
    whole = WHOLE[name]
    spoiled = (whole[:at] + bytes([whole[at] ^ 0x20]) + whole[at + 1 :] for at in range(8, len(whole)))

    assert None not in map(find_flaw, spoiled)


@pytest.mark.parametrize("name", ["png", "jpeg", "webp with a profile"])
def test_header_before_zeros_is_no_picture(name: str) -> None:
    """
    As a download leaves it whose file was given its length before its content.
    """
    whole = WHOLE[name]

    assert find_flaw(whole[:36] + bytes(len(whole) - 36)) is not None


@pytest.mark.parametrize(
    "content",
    [
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", bytes(13)) + chunk(b"IEND"),
        b"\xff\xd8\xff\xe0\x00\x04ab\xff\xd9",
        b"RIFF\x10\x00\x00\x00WEBPEXIF\x04\x00\x00\x00abcd",
    ],
    ids=["png", "jpeg", "webp"],
)
def test_picture_without_pixels_is_damaged(content: bytes) -> None:
    """
    Though it has its end mark.
    """
    assert "is damaged: it holds no pixels" == find_flaw(content)


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"<html>", b"RIFF\x04\0\0\0WAVE", b"\x89PNG"])
def test_other_content_is_not_judged(content: bytes) -> None:
    """
    What is no picture of these kinds is for others to refuse.
    """
    assert find_flaw(content) is None


@settings(max_examples=3 * settings().max_examples, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\xff\0\0\0WEBP"]))
def test_every_content_is_judged(content: bytes, signature: bytes) -> None:
    """
    Whatever follows a signature: an answer comes, and noise is never a whole PNG.
    """
    flaw = find_flaw(signature + content)

    assert flaw is not None or signature[:4] != b"\x89PNG"


@pytest.mark.parametrize(
    ("beginning", "part"),
    [
        (b"\xff\xd8\xff", b"\xff"),
        (b"\xff\xd8", b"\xff\xe0\x00\x02"),
        (b"\xff\xd8", b"\xff\xd0"),
        (b"\xff\xd8", b"\xff\xda\x00\x02\x00"),
        (b"\x89PNG\r\n\x1a\n", chunk(b"abcd")),
    ],
    ids=["fill bytes", "empty parts", "restarts", "scans", "chunks"],
)
def test_many_parts_are_walked_through_once(beginning: bytes, part: bytes) -> None:
    """
    A MiB of the smallest parts there are has no end mark, and that is found out; each part is met once.
    """
    assert CUT == find_flaw(beginning + part * (2**20 // len(part)))
