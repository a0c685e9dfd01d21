import os
from pathlib import Path

import pytest
from PIL import PngImagePlugin

from kling_async.emulator.drawing.picture import draw
from kling_async.gallery import GalleryEntry, read_folder
from tests.fakes.media_files import make_video
from tests.unit.gallery.conftest import Paint


def test_pictures_by_name(paint: Paint, tmp_path: Path) -> None:
    """
    PNG, JPEG and WebP files whatever the case of their ending, the folder's own first; nothing hidden, nothing else.
    """
    for name in ("b.png", "a.JPG", "c.webp", "d.jpeg", "task/0.png", ".part.png", ".hidden/0.png", "e.gif"):
        paint(name)
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "again").symlink_to(tmp_path)

    names = [entry.path.relative_to(tmp_path).as_posix() for entry in read_folder(tmp_path) if entry.path]

    assert ["a.JPG", "b.png", "c.webp", "d.jpeg", "task/0.png"] == names


def test_emulators_pictures_tell_their_prompt(tmp_path: Path) -> None:
    """
    What the emulator has drawn names its prompt, its model and its index.
    """
    path = tmp_path / "t-1.png"
    path.write_bytes(draw("ein Fuchs · <im Schnee>", index=1, seed=5, model_name="kling-v2", scale=0.05))

    (entry,) = read_folder(str(tmp_path))

    assert GalleryEntry(path=path, prompt="ein Fuchs · <im Schnee>", model_name="kling-v2", index=1) == entry


def test_comments_of_others_are_not_read_as_ours(paint: Paint, tmp_path: Path) -> None:
    """
    A description is a prompt; model and index are believed of the emulator alone.
    """
    about = PngImagePlugin.PngInfo()
    about.add_text("Description", "a fox")
    about.add_text("Comment", "kling-v2  \N{MIDDLE DOT}  picture 1  \N{MIDDLE DOT}  seed 5")
    path = paint("fox.png", pnginfo=about)

    assert [GalleryEntry(path=path, prompt="a fox")] == read_folder(tmp_path)


def test_videos_tell_their_title(tmp_path: Path) -> None:
    """
    The emulator writes the prompt there. A damaged one has none.
    """
    for name, content in {"a.mp4": make_video(title="a fox"), "b.webm": b"", "c.mp4": make_video()}.items():
        (tmp_path / name).write_bytes(content)

    assert ["a fox", "", ""] == [entry.prompt for entry in read_folder(tmp_path)]


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR"])
def test_damaged_file_is_an_entry(tmp_path: Path, content: bytes) -> None:
    """
    The page will show what is wrong with it.
    """
    (tmp_path / "x.png").write_bytes(content)

    assert [GalleryEntry(path=tmp_path / "x.png")] == read_folder(tmp_path)


def test_missing_folder(tmp_path: Path) -> None:
    """
    That is the caller's to hear.
    """
    with pytest.raises(FileNotFoundError):
        read_folder(tmp_path / "nowhere")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_forbidden_subfolder_is_left_out(paint: Paint, tmp_path: Path) -> None:
    """
    One that may not be read hides no other.
    """
    paint("a.png")
    forbidden = paint("closed/b.png").parent
    forbidden.chmod(0)
    try:
        assert ["a.png"] == [entry.name for entry in read_folder(tmp_path)]
    finally:
        forbidden.chmod(0o700)
