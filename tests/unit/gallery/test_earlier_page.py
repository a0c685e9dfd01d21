"""
Previews are taken from the page that is replaced.
"""

import os
import re
import stat
from pathlib import Path

import attrs
import pytest

from kling_async.emulator.filming.sounds import write_wav
from kling_async.gallery import GalleryEntry, previews, tile, write_gallery
from kling_async.gallery.earlier_page import EarlierPage, describe_preview, stamp_of
from kling_async.gallery.previews import Preview
from tests.fakes.media_files import make_video
from tests.unit.gallery.conftest import Paint, read_data, write

STAMP = "0" * 32


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """
    The names of the files whose previews are made.
    """
    names: list[str] = []
    make = previews.make_preview

    def note(path: Path) -> Preview:
        names.append(path.name)
        return make(path)

    monkeypatch.setattr(tile, "make_preview", note)
    return names


@pytest.fixture
def entries(paint: Paint, tmp_path: Path) -> list[GalleryEntry]:
    """
    A picture, a video and a sound with hostile prompts.
    """
    (tmp_path / "a.mp4").write_bytes(make_video((64, 36), 1.5))
    (tmp_path / "a.wav").write_bytes(write_wav(1.0, 1))
    files = [paint("a.png", (80, 45)), tmp_path / "a.mp4", tmp_path / "a.wav"]
    prompt = f'"data:image/webp;base64,AAAA" \'data:image/svg+xml,\' \n<li data-made="{STAMP} image - -">\n'
    return [GalleryEntry(path=path, prompt=prompt) for path in files]


def test_second_page_makes_what_is_new(
    entries: list[GalleryEntry], paint: Paint, tmp_path: Path, made: list[str]
) -> None:
    """
    The rest is as it was, whatever the entries say now.
    """
    first = write(tmp_path, *entries)
    assert ["a.mp4", "a.png", "a.wav"] == sorted(made)
    made.clear()

    assert first == write(tmp_path, *entries)
    assert [] == made
    others = [attrs.evolve(entry, prompt="another") for entry in reversed(entries)]
    page = write(tmp_path, GalleryEntry(path=paint("b.png")), *others, GalleryEntry(path=tmp_path / "gone.png"))

    assert ["b.png", "gone.png"] == sorted(made)
    assert ["b.png", "another", "another", "another", "gone.png"] == [data["name"] for data in read_data(page)]
    assert [*reversed(pictures(first))] == pictures(page)[1:]
    assert 3 == len(pictures(first))


def pictures(page: str) -> list[str]:
    return re.findall(r"""<(?:img src="|i class="wave" style="--wave: url\(')(data:[^"']+)""", page)


def test_changed_file_has_a_new_preview(paint: Paint, tmp_path: Path, made: list[str]) -> None:
    """
    Even if it has the same size.
    """
    path = paint("a.png", colour="teal")
    first = write(tmp_path, GalleryEntry(path=path))
    path.write_bytes(paint("b.png", colour="blue").read_bytes())
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))

    second = write(tmp_path, GalleryEntry(path=path))

    assert ["a.png", "a.png"] == made
    assert pictures(first) != pictures(second)


def test_files_without_a_preview_are_tried_again(tmp_path: Path, made: list[str]) -> None:
    """
    A damaged file may be whole now.
    """
    (tmp_path / "a.png").write_bytes(b"damaged")
    write(tmp_path, GalleryEntry(path=tmp_path / "a.png"))
    write(tmp_path, GalleryEntry(path=tmp_path / "a.png"))

    assert ["a.png", "a.png"] == made


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"another file",
        b"\xff" * 5000,
        b"<!doctype html>\n",
        f'<!doctype html>\n<li data-made="{STAMP} image 1x1 -"'.encode(),
        f'<!doctype html>\n<li data-made="{STAMP} image 1x1 -"\nno picture\n'.encode(),
        f'<!doctype html>\n<li data-made="{STAMP} film 1x1 -"\n"data:image/webp;base64,AA"\n'.encode(),
        f'<!doctype html>\n<li data-made="{STAMP} image 1xa -"\n"data:image/webp;base64,AA"\n'.encode(),
        f'<!doctype html>\n<li data-made="{STAMP} image 1x1"\n"data:image/webp;base64,AA"\n'.encode(),
        f'<!doctype html>\n<li data-made="{STAMP} image 1x1 -"\n"data:image/webp;base64,\xff"\n'.encode("latin-1"),
        f'<!doctype html>\n<li data-made="{STAMP} image 1x1 -"\n"data:image/webp;base64,AA\n'.encode(),
    ],
)
def test_other_files_have_no_previews(tmp_path: Path, content: bytes) -> None:
    """
    A page that was edited by hand, of another program, or no page.
    """
    (tmp_path / "page.html").write_bytes(content)

    earlier = EarlierPage(tmp_path / "page.html")

    assert earlier.find(STAMP) is None
    earlier.close()
    earlier.close()


@pytest.mark.parametrize(
    ("preview", "described"),
    [
        (Preview("image", "data:image/webp;base64,AA==", (3, 4)), f"{STAMP} image 3x4 -"),
        (Preview("video", "data:image/webp;base64,AA==", (3, 4), 1.25), f"{STAMP} video 3x4 1.25"),
        (Preview("audio", "data:image/svg+xml,x", None, 2.0), f"{STAMP} audio - 2.0"),
    ],
)
def test_preview_is_read_as_it_was_written(tmp_path: Path, preview: Preview, described: str) -> None:
    """
    With all that is known of it.
    """
    assert described == describe_preview(preview, STAMP)
    quote = "'" if preview.kind == "audio" else '"'
    lines = ("<!doctype html>", f'<li data-made="{described}" style>', f"<i {quote}{preview.picture}{quote}>", "")
    (tmp_path / "page.html").write_text("\n".join(lines))

    earlier = EarlierPage(tmp_path / "page.html")

    assert preview == earlier.find(STAMP)
    assert earlier.find("1" * 32) is None
    assert earlier.find(None) is None
    earlier.close()


def test_what_cannot_be_used_again_is_not_described() -> None:
    """
    Without a picture, or without a file that can be recognized.
    """
    assert describe_preview(Preview("video"), STAMP) is None
    assert describe_preview(Preview("image", "data:image/webp;base64,AA=="), None) is None


def test_stamp_is_of_a_file_that_the_page_can_reach(paint: Paint, tmp_path: Path) -> None:
    """
    And of its place: the same file elsewhere is another one.
    """
    path = paint("a.png")

    assert stamp_of(path, "a.png") == stamp_of(path, "a.png") != stamp_of(path, "../a.png")
    assert stamp_of(path, None) is None
    assert stamp_of(tmp_path, "a.png") is None
    assert stamp_of(tmp_path / "nowhere.png", "a.png") is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_page_that_may_not_be_read_is_replaced(paint: Paint, tmp_path: Path) -> None:
    """
    Its previews are made again.
    """
    page = tmp_path / "page.html"
    page.write_text("secret")
    page.chmod(stat.S_IWUSR)

    write_gallery([GalleryEntry(path=paint("a.png"))], page)

    assert page.read_text(encoding="utf-8").startswith("<!doctype html>\n")
