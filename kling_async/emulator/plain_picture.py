"""
Makes pictures of one colour, as PNG files. They cost some microseconds each, whatever their size.

The first row is filtered by "Sub" and all others by "Up" (PNG, section 9), so that of the pixels only the first has a
value, and all that follows is the same for every picture of a size.
"""

import functools
import hashlib
import struct
import zlib
from typing import Final

__all__ = ["plain_picture"]

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_DEFLATE: Final = b"\x78\x9c"
_SUB, _UP = b"\x01", b"\x02"
_RGB: Final = 3  # bytes of a pixel
_ADLER: Final = 65_521


def plain_picture(size: tuple[int, int], prompt: str, identity: str) -> bytes:
    """
    Return a picture of this size in pixels, with *prompt* as its description.

    Its colour follows from *identity*, which is its comment: different ones give different files, and equal arguments
    the same.
    """
    digest = hashlib.sha256(identity.encode("utf-8", "replace")).digest()
    first_row = _SUB + digest[:_RGB]
    rest, checksum, length = _after_first_pixel(size)
    stored = struct.pack("<BHH", 0, len(first_row), len(first_row) ^ 0xFFFF) + first_row
    adler = _adler_of_both(zlib.adler32(first_row), checksum, length)
    return b"".join(
        (
            _SIGNATURE,
            _chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)),
            _text("Description", prompt),
            _text("Comment", identity),
            _text("Software", "kling_async emulator"),
            _chunk(b"IDAT", _DEFLATE + stored + rest + struct.pack(">I", adler)),
            _chunk(b"IEND", b""),
        )
    )


@functools.lru_cache(maxsize=64)
def _after_first_pixel(size: tuple[int, int]) -> tuple[bytes, int, int]:
    # Compressed; and checksum and length of what it was.
    width, height = size
    packer = zlib.compressobj(wbits=-15)
    first, row = bytes((width - 1) * _RGB), _UP + bytes(width * _RGB)
    packed, checksum = [packer.compress(first)], zlib.adler32(first)
    for _ in range(height - 1):
        packed.append(packer.compress(row))
        checksum = zlib.adler32(row, checksum)
    packed.append(packer.flush())
    return b"".join(packed), checksum, len(first) + len(row) * (height - 1)


def _adler_of_both(one: int, other: int, length: int) -> int:
    # The checksum of two texts, from theirs and the length of the other (RFC 1950, section 9).
    low, high = one & 0xFFFF, one >> 16
    both_high = (high + (other >> 16) + length * (low - 1)) % _ADLER
    return both_high << 16 | (low + (other & 0xFFFF) - 1) % _ADLER


def _text(name: str, value: str) -> bytes:
    return _chunk(b"iTXt", name.encode() + bytes(5) + value.encode("utf-8", "replace"))


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(name)))
