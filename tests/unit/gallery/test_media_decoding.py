"""
What PyAV decodes for the page.
"""

import socket
import sys
from pathlib import Path

import pytest

from kling_async.gallery.media_decoding import can_decode, decode_frame, decode_sound
from tests.fakes.media_files import make_sound, make_video


@pytest.mark.parametrize(("suffix", "container"), [("mp4", "mp4"), ("mov", "mp4"), ("webm", "matroska")])
def test_first_frame(tmp_path: Path, suffix: str, container: str) -> None:
    """
    It is no larger than asked for and has the shape of the video.
    """
    path = tmp_path / "x"
    path.write_bytes(make_video((160, 90), 2.0, ("teal", "orange"), container=suffix))

    frame = decode_frame(path, container, 80)

    assert frame is not None
    assert ((80, 45), (160, 90), 2.0) == (frame.image.size, frame.size, frame.seconds)
    colour = frame.image.getpixel((40, 20))
    assert isinstance(colour, tuple)
    assert [0, 128, 128] == [pytest.approx(part, abs=12) for part in colour]


def test_frame_is_turned_as_the_video_is(tmp_path: Path) -> None:
    """
    Telephones film in one direction, and note how it is to be turned.
    """
    path = tmp_path / "x.mp4"
    path.write_bytes(make_video((64, 36), rotation=90))

    frame = decode_frame(path, "mp4", 480)

    assert frame is not None
    assert ((36, 64), (36, 64)) == (frame.image.size, frame.size)


@pytest.mark.parametrize(
    ("codec", "form", "container"),
    [
        ("libmp3lame", "mp3", "mp3"),
        ("aac", "ipod", "mp4"),
        ("aac", "adts", "aac"),
        ("libopus", "ogg", "ogg"),
        ("pcm_f32le", "wav", "wav"),
    ],
)
def test_samples(tmp_path: Path, codec: str, form: str, container: str) -> None:
    """
    They are loud where the sound is, and silent where it is silent.
    """
    path = tmp_path / "x"
    path.write_bytes(make_sound(1.0, codec=codec, container=form))

    sound = decode_sound(path, container)

    assert sound is not None
    assert sound.seconds == pytest.approx(1.0, abs=0.05)
    quarter = len(sound.samples) // 4
    assert max(sound.samples[:quarter]) > 10_000
    assert max(sound.samples[-quarter:]) < 500


def test_long_sound_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    It has its length alone.
    """
    monkeypatch.setattr("kling_async.gallery.media_decoding._MAX_SECONDS", 0.5)
    path = tmp_path / "x.mp3"
    path.write_bytes(make_sound(1.0, codec="libmp3lame", container="mp3"))

    sound = decode_sound(path, "mp3")

    assert sound is not None
    assert (0, 1.0) == (len(sound.samples), sound.seconds)


@pytest.mark.parametrize("content", [b"", b"no video", make_video()[:600], make_video(container="webm")])
def test_what_cannot_be_decoded(tmp_path: Path, content: bytes) -> None:
    """
    Neither a damaged file nor one of another format is an error: the page does without.
    """
    path = tmp_path / "x.mp4"
    path.write_bytes(content)

    assert decode_frame(path, "mp4", 480) is None
    assert decode_sound(path, "mp4") is None
    assert decode_frame(tmp_path / "nowhere.mp4", "mp4", 480) is None


def test_frame_of_too_many_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    It is not decoded.
    """
    monkeypatch.setattr("kling_async.gallery.media_decoding._MAX_PIXELS", 64 * 36 - 1)
    path = tmp_path / "x.mp4"
    path.write_bytes(make_video((64, 36)))

    assert decode_frame(path, "mp4", 480) is None


def test_sound_is_no_video_and_silent_video_no_sound(tmp_path: Path) -> None:
    """
    A track that is not there is not decoded.
    """
    (tmp_path / "x.mp3").write_bytes(make_sound(0.2, codec="libmp3lame", container="mp3"))
    (tmp_path / "x.mp4").write_bytes(make_video())

    assert decode_frame(tmp_path / "x.mp3", "mp3", 480) is None
    assert decode_sound(tmp_path / "x.mp4", "mp4") is None


def test_files_lead_nowhere_else(tmp_path: Path) -> None:
    """
    A playlist in place of a video is not followed.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        path = tmp_path / "x.mp4"
        path.write_text(f"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:{server.getsockname()[1]}/a.ts\n", encoding="ascii")

        assert decode_frame(path, "mp4", 480) is None
        with pytest.raises(BlockingIOError):
            server.accept()


def test_nothing_is_decoded_without_pyav(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    That is no error either.
    """
    path = tmp_path / "x.mp4"
    path.write_bytes(make_video())
    assert can_decode()

    monkeypatch.setitem(sys.modules, "av", None)

    assert not can_decode()
    assert decode_frame(path, "mp4", 480) is None
    assert decode_sound(path, "mp4") is None
