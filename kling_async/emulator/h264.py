"""
Encodes pictures as H.264 without compression (I_PCM macroblocks), which every player and browser can decode.

It needs no codec library. A frame takes 1.5 bytes per pixel, so frames should be small.
"""

import re
from collections.abc import Iterator
from typing import Final

from PIL import Image

__all__ = ["encode_frame", "parameter_sets"]

_SIDE: Final = 16  # pixels of a macroblock
_I_PCM: Final = 25  # as `mb_type` in an I slice
_NEXT_MACROBLOCK: Final = bytes.fromhex("0d00")  # `_golomb(_I_PCM)`, padded to whole bytes


def parameter_sets(size: tuple[int, int]) -> tuple[bytes, bytes]:
    """
    Return the sequence and the picture parameter set (7.3.2.1 and 7.3.2.2 of the standard). Both sides must be even.
    """
    across, down = (-(-side // _SIDE) for side in size)
    crop = ((across * _SIDE - size[0]) // 2, (down * _SIDE - size[1]) // 2)
    sequence = (
        f"{66:08b}{0xC0:08b}{40:08b}"  # constrained baseline profile, level 4.0
        f"{_golomb(0, 0, 2, 0)}0"  # set 0, 4 bits of frame number, output in decoding order, no reference frames
        f"{_golomb(across - 1, down - 1)}11"  # no interlacing
        f"1{_golomb(0, crop[0], 0, crop[1])}"  # cropped to the size
        f"1001{5:03b}11"  # usability information: the signal type, any format, full range, with colours:
        f"{6:08b}{6:08b}{6:08b}"  # BT.601, as in JPEG
        "000000"  # nothing else
    )
    picture = f"{_golomb(0, 0)}00{_golomb(0, 0, 0)}000{_golomb(0, 0, 0)}000"  # all defaults
    return _unit(0x67, _padded(sequence + "1")), _unit(0x68, _padded(picture + "1"))


def encode_frame(image: Image.Image, number: int) -> bytes:
    """
    Return *image* as an independent frame (an IDR slice, 7.3.3); *number* counts frames. Both sides must be even.
    """
    identifier = number % 2  # consecutive frames must differ
    header = f"{_golomb(0, 7, 0)}{0:04b}{_golomb(identifier)}00{_golomb(0, _I_PCM)}"
    samples = _NEXT_MACROBLOCK.join(_macroblocks(image))
    return _unit(0x65, _padded(header) + samples + b"\x80")


def _macroblocks(image: Image.Image) -> Iterator[bytes]:
    # Luma at full and both chroma channels at half the resolution.
    width, height = (-(-side // _SIDE) * _SIDE for side in image.size)
    padded = Image.new("RGB", (width, height))
    padded.paste(image)
    luma, *chroma = padded.convert("YCbCr").split()
    planes = [(luma.tobytes(), width, _SIDE), *((half.reduce(2).tobytes(), width // 2, _SIDE // 2) for half in chroma)]
    for down in range(height // _SIDE):
        for across in range(width // _SIDE):
            starts = (
                (plane, (down * side + row) * step + across * side, side)
                for plane, step, side in planes
                for row in range(side)
            )
            yield b"".join([plane[start : start + side] for plane, start, side in starts])


def _golomb(*values: int) -> str:
    # Exp-Golomb codes (9.1)
    digits = [f"{value + 1:b}" for value in values]
    return "".join("0" * (len(code) - 1) + code for code in digits)


def _padded(bits: str) -> bytes:
    return bytes(int(bits[at : at + 8].ljust(8, "0"), 2) for at in range(0, len(bits), 8))


def _unit(kind: int, payload: bytes) -> bytes:
    # Two zero bytes before a small byte would look like a start code (7.4.1): a 3 keeps them apart.
    return bytes([kind]) + re.sub(rb"\x00\x00(?=[\x00-\x03])", b"\x00\x00\x03", payload)
