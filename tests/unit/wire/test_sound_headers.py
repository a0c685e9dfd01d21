"""
Sounds by their first bytes: as FFmpeg writes them, and what only looks like one.
"""

import itertools
import struct

import pytest
from hypothesis import given, strategies as st

from kling_async.wire.sound_headers import SoundFacts, find_sound
from tests.fakes.media_files import make_sound, make_video
from tests.fakes.sounds import silence

CUT = "is cut short: its end is missing"


def found(content: bytes) -> SoundFacts | None:
    """
    Return what is found in a whole file.
    """
    return find_sound(content, len(content))


@pytest.mark.parametrize(
    ("codec", "container", "kind"),
    [
        ("mp3", "mp3", "mp3"),
        ("aac", "adts", "aac"),
        ("aac", "ipod", "m4a"),
        ("pcm_s16le", "wav", "wav"),
        ("aac", "mp4", None),
        ("flac", "flac", None),
        ("libopus", "ogg", None),
    ],
)
def test_kind_is_known_by_content(codec: str, container: str, kind: str | None) -> None:
    """
    An MP4 that does not say that it is an M4A is none: the service refuses it.
    """
    sound = found(make_sound(0.5, codec=codec, container=container))

    assert kind == (None if sound is None else sound.kind)


def test_video_is_no_sound() -> None:
    """
    Although it is the same container as an M4A.
    """
    assert found(make_video()) is None


@pytest.mark.parametrize("codec", ["mp3", "aac"])
def test_tag_before_the_first_frame_does_not_matter(codec: str) -> None:
    """
    Frames follow it, also if the encoder has written no tag itself.
    """
    sound = make_sound(0.5, codec=codec, container={"mp3": "mp3", "aac": "adts"}[codec])
    bare = sound[sound.index(b"\xff") :]
    tag = b"ID3\x04\x00\x00\x00\x00\x01\x48" + bytes(200)

    assert [SoundFacts(codec)] * 2 == [found(bare), found(tag + bare)]  # type: ignore[arg-type]


@pytest.mark.parametrize("seconds", [0.5, 2, 3.25])
@pytest.mark.parametrize(("channels", "rate"), [(1, 16_000), (2, 44_100)])
def test_length_of_a_wav_is_read(seconds: float, channels: int, rate: int) -> None:
    """
    Whatever its rate and its channels.
    """
    assert SoundFacts("wav", seconds) == found(silence(seconds, channels=channels, rate=rate))


def test_chunks_before_the_samples_are_passed_over() -> None:
    """
    FFmpeg writes a list of tags there; a chunk of odd length is padded.
    """
    plain = silence(1)
    tagged = plain[:36] + b"LIST" + struct.pack("<I", 5) + b"abcde\0" + plain[36:]

    assert SoundFacts("wav", 1) == found(tagged)


def test_half_a_wav_has_a_flaw() -> None:
    """
    The length that it holds is told with it.
    """
    content = silence(1)
    half = content[: len(content) // 2]

    assert SoundFacts("wav", (len(half) - 44) / 2000, CUT) == found(half)
    assert SoundFacts("wav", None, CUT) == found(content[:40])


def test_wav_without_samples_is_damaged() -> None:
    """
    As when a program stopped after the format.
    """
    assert SoundFacts("wav", None, "is damaged: it holds no sound") == found(
        b"RIFF" + struct.pack("<I", 28) + b"WAVE" + silence(1)[12:36]
    )


@pytest.mark.parametrize("length", [0xFFFFFFFF, 0x7FFFF000])
def test_wav_that_was_written_to_a_pipe_is_whole(length: int) -> None:
    """
    Its length stands for "unknown".
    """
    content = bytearray(silence(2))
    content[4:8] = content[40:44] = struct.pack("<I", length)

    assert SoundFacts("wav", 2) == found(bytes(content))


def test_beginning_of_a_large_file_tells_its_length() -> None:
    """
    A file above the limit is not read to its end.
    """
    content = silence(3)

    assert SoundFacts("wav", 3) == find_sound(content[:1000], len(content))


@pytest.mark.parametrize("header", [b"\xff\xfb\x90\x64", b"\xff\xf1\x50\x80\x02\x1f\xfc"])
def test_one_frame_is_no_sound(header: bytes) -> None:
    """
    Its mark is short: other files have it by chance.
    """
    assert found(header + bytes(3000)) is None


@given(st.binary(max_size=60), st.sampled_from([b"RIFF\x24\0\0\0WAVE", b"\0\0\0\x20ftyp", b"ID3", b"\xff\xfb", b""]))
def test_no_content_breaks_the_reader(rest: bytes, beginning: bytes) -> None:
    """
    Whatever follows a signature.
    """
    sound = found(beginning + rest)

    assert sound is None or sound.seconds is None or sound.seconds >= 0


def test_text_is_no_sound() -> None:
    """
    Base64 of any path, of which some begin like a frame.
    """
    texts = itertools.product(["//uQ", "//vQ", "//Pk", "//F8", "SUQz"], ["", "pictures/cat", "a" * 400])

    assert all(found("".join(text).encode()) is None for text in texts)
