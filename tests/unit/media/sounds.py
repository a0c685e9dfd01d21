"""
Small videos and sounds, made by hand.
"""

import io
import struct
import wave

__all__ = ["box", "chunk", "mov", "mp3", "mp4", "riff", "wav", "wav_of_a_pipe"]


def box(kind: bytes, content: bytes = b"", *, wide: bool = False) -> bytes:
    """
    A box of an MP4 file; *wide* states its length in 64 bits.
    """
    if wide:
        return struct.pack(">I4sQ", 1, kind, 16 + len(content)) + content
    return struct.pack(">I4s", 8 + len(content), kind) + content


def mp4(*, brand: bytes = b"isom", moov_first: bool = True, wide: bool = False) -> bytes:
    """
    The boxes of a video whose frames are not there.
    """
    moov = box(b"moov", box(b"mvhd", bytes(100)))
    mdat = box(b"mdat", bytes(range(256)) * 8, wide=wide)
    rest = moov + mdat if moov_first else box(b"free") + mdat + moov
    return box(b"ftyp", brand + bytes(4) + brand) + rest


def mov() -> bytes:
    return mp4(brand=b"qt  ")


def mp3(frames: int = 10, *, tagged: bool = True, counted: bool = True) -> bytes:
    """
    Silent frames of 128 kbit/s at 44.1 kHz, behind an ID3 tag, the first with their number and bytes, as LAME does.
    """
    header = b"\xff\xfb\x90\x64"
    frame = header + bytes(413)
    counts = b"Info\0\0\0\3" + frames.to_bytes(4) + (417 * (frames + 1)).to_bytes(4)
    info = (header + bytes(32) + counts).ljust(417, b"\0")
    tag = b"ID3\4\0\0\0\0\1\1" + bytes(129)
    return (tag if tagged else b"") + (info if counted else b"") + frame * frames


def chunk(kind: bytes, content: bytes, *, size: int | None = None, is_padded: bool = True) -> bytes:
    """
    A chunk of a WAV file; *size* is the one that it states.
    """
    stated = len(content) if size is None else size
    return kind + struct.pack("<I", stated) + content + b"\0" * (is_padded * len(content) % 2)


def riff(*chunks: bytes, size: int | None = None) -> bytes:
    """
    A WAV file of these chunks; *size* is the one that it states.
    """
    content = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(content) if size is None else size) + content


def wav() -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(range(256)) * 8)
    return buffer.getvalue()


def wav_of_a_pipe() -> bytes:
    """
    A WAV file as encoders write it that cannot go back to state its length.
    """
    content = bytearray(wav())
    content[4:8] = content[40:44] = b"\xff" * 4
    return bytes(content)
