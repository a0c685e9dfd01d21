import sys
from pathlib import Path

import pytest

from kling_async.emulator.filming.sounds import write_wav
from kling_async.gallery.previews import Preview, make_preview
from tests.fakes.media_files import make_sound, make_video
from tests.unit.gallery.conftest import Paint


def test_picture(paint: Paint) -> None:
    """
    Its preview is its thumbnail.
    """
    preview = make_preview(paint("x.png", (80, 45)))

    assert ("image", (80, 45), None) == (preview.kind, preview.size, preview.seconds)
    assert (preview.picture or "").startswith("data:image/webp;base64,")


@pytest.mark.parametrize("container", ["mp4", "webm"])
def test_video_shows_a_frame(tmp_path: Path, container: str) -> None:
    """
    PyAV also knows size and length where the header is not read.
    """
    path = tmp_path / "x"
    path.write_bytes(make_video((64, 36), 1.5, container=container))

    preview = make_preview(path)

    assert ("video", (64, 36), 1.5) == (preview.kind, preview.size, preview.seconds)
    assert (preview.picture or "").startswith("data:image/webp;base64,")


@pytest.mark.parametrize(
    "content", [write_wav(1.0, 1), *(make_sound(1.0, codec=codec, container=form) for codec, form in (
        ("libmp3lame", "mp3"), ("pcm_f32le", "wav"), ("aac", "mp4")
    ))],
)  # fmt: skip
def test_sound_shows_its_waveform(tmp_path: Path, content: bytes) -> None:
    """
    WAV files need no decoder for it, unless their samples are floating-point numbers.
    """
    path = tmp_path / "x"
    path.write_bytes(content)

    preview = make_preview(path)

    assert ("audio", None) == (preview.kind, preview.size)
    assert preview.seconds == pytest.approx(1.0, abs=0.01)
    assert (preview.picture or "").startswith("data:image/svg+xml,")


def test_without_pyav(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What the header says is known; the waveform of a WAV file is drawn, and the rest is left to the browser.
    """
    monkeypatch.setitem(sys.modules, "av", None)
    for name, content in {
        "x.mp4": make_video((64, 36), 1.5),
        "x.webm": make_video(container="webm"),
        "x.mp3": make_sound(1.0, codec="libmp3lame", container="mp3"),
        "x.wav": write_wav(2.0, 1),
    }.items():
        (tmp_path / name).write_bytes(content)

    assert Preview("video", None, (64, 36), 1.5) == make_preview(tmp_path / "x.mp4")
    assert Preview("video") == make_preview(tmp_path / "x.webm")
    assert Preview("audio") == make_preview(tmp_path / "x.mp3")
    wav = make_preview(tmp_path / "x.wav")
    assert ("audio", 2.0) == (wav.kind, wav.seconds)
    assert wav.picture is not None


def test_damaged_video_has_no_picture(tmp_path: Path) -> None:
    """
    The browser may still play it.
    """
    path = tmp_path / "x.mp4"
    path.write_bytes(make_video((64, 36), 1.5)[:-300])

    assert make_preview(path).kind == "video"


def test_anything_else_is_refused(tmp_path: Path) -> None:
    """
    As a damaged picture.
    """
    (tmp_path / "x").write_text("words")

    with pytest.raises(ValueError, match="it is damaged, or not a PNG, JPEG, WebP or GIF picture"):
        make_preview(tmp_path / "x")
