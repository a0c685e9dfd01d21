"""
Recognizes the kind of a sound by its first bytes, and reads from the header of a WAV how long it is. Decodes nothing.
"""

from collections.abc import Callable, Iterator
from typing import Final, Literal, TypeAlias

import attrs

__all__ = ["SoundFacts", "SoundKind", "find_sound", "mp3_frame_length"]

SoundKind: TypeAlias = Literal["mp3", "wav", "m4a", "aac"]

_CUT_SHORT: Final = "is cut short: its end is missing"

_PLACEHOLDER: Final = 0x7FFFF000
"""
From this length on, it stands for one that was not known when the header was written, as into a pipe.
"""

_M4A_BRANDS: Final = frozenset((b"M4A ", b"M4B ", b"M4P "))
"""
The words by which an MP4 file says that it is a sound.
"""

_BRANDS_END: Final = 256  # bytes; no file has so many brands


@attrs.frozen
class SoundFacts:
    """
    What the header of a sound says.

    Attributes:
        kind: By its content.
        seconds: Its length; None if it is not a WAV, or its header is damaged.
        flaw: Why a WAV is truncated or damaged, worded as a broken rule; None otherwise.
    """

    kind: SoundKind
    seconds: float | None = None
    flaw: str | None = None


def find_sound(content: bytes, size: int) -> SoundFacts | None:
    """
    Return what the header of a sound says; None if *content* is no MP3, WAV, M4A or AAC.

    An MP4 file is an M4A only if it says so: the service refuses others, even if they hold nothing but sound.

    Args:
        size: Bytes of the whole file, of which *content* may be only the beginning.
    """
    if content[:4] == b"RIFF" and content[8:12] == b"WAVE":
        return _read_wav(content, size)
    if content[4:8] == b"ftyp":
        return SoundFacts("m4a") if _is_m4a(content) else None
    start = _tag_length(content)
    if _has_two_frames(content, start, _aac_frame_length):
        return SoundFacts("aac")
    return SoundFacts("mp3") if start or _has_two_frames(content, start, mp3_frame_length) else None


def _is_m4a(content: bytes) -> bool:
    # The main brand, a version, and compatible brands up to the end of the box.
    end = min(int.from_bytes(content[:4]), _BRANDS_END)
    return content[8:12] in _M4A_BRANDS or any(content[at : at + 4] in _M4A_BRANDS for at in range(16, end, 4))


def _tag_length(content: bytes) -> int:
    # Of an ID3 tag, which may stand before the first frame.
    if content[:3] != b"ID3" or len(content) < 10:
        return 0
    size = 0
    for digit in content[6:10]:
        size = size << 7 | digit & 0x7F
    return size + (20 if content[5] & 0x10 else 10)


def _has_two_frames(content: bytes, start: int, length_of: Callable[[bytes], int]) -> bool:
    # One is not enough: its mark has 12 bits, which other files have by chance.
    length = length_of(content[start : start + _HEADER])
    following = content[start + length : start + length + _HEADER]
    return length > 0 and length_of(following) > 0


_HEADER: Final = 7  # bytes of an AAC frame; of an MP3 frame it is 4

_BIT_RATES: Final = {  # kbit/s of layer III, by whether it is MPEG 1
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_SAMPLE_RATES: Final = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # by version


def mp3_frame_length(header: bytes) -> int:
    """
    Return the length in bytes of the MP3 frame with this header of 4 bytes; 0 if it is none.
    """
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:  # 11 bits of sync, and layer III
        return 0
    version, rate, bits = header[1] >> 3 & 3, header[2] >> 2 & 3, header[2] >> 4
    if version not in _SAMPLE_RATES or rate > 2 or not 0 < bits < 15:
        return 0
    is_mpeg1 = version == 3
    padding = header[2] >> 1 & 1
    return (144 if is_mpeg1 else 72) * 1000 * _BIT_RATES[is_mpeg1][bits] // _SAMPLE_RATES[version][rate] + padding


def _aac_frame_length(header: bytes) -> int:
    # In an ADTS stream, which is what files named .aac are: 12 bits of sync, and layer 0; 13 sample rates.
    if len(header) < _HEADER or header[0] != 0xFF or header[1] & 0xF6 != 0xF0 or header[2] >> 2 & 15 > 12:
        return 0
    length = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    return length if length >= _HEADER else 0


def _read_wav(content: bytes, size: int) -> SoundFacts:
    # Chunks of a name, a length and content. The format says how many bytes a second has.
    rate = 0
    for name, at, length in _chunks(content):
        if name == b"fmt ":
            rate = int.from_bytes(content[at + 8 : at + 12], "little")
        elif name == b"data":
            held = min(length, size - at)
            flaw = _CUT_SHORT if held < length < _PLACEHOLDER else None
            return SoundFacts("wav", held / rate if rate else None, flaw)
    is_all = size <= len(content)
    is_longer = int.from_bytes(content[4:8], "little") + 8 > size
    return SoundFacts("wav", None, (_CUT_SHORT if is_longer else "is damaged: it holds no sound") if is_all else None)


def _chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    # Yields the name of each chunk, where its content begins, and how long it says that is.
    at = 12
    while at + 8 <= len(content):
        length = int.from_bytes(content[at + 4 : at + 8], "little")
        yield content[at : at + 4], at + 8, length
        at += 8 + length + length % 2
