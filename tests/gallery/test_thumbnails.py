import base64
import io
import random
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from kling_async.gallery.thumbnails import Thumbnail, make_thumbnail
from tests.gallery.conftest import Paint


def opened(thumbnail: Thumbnail) -> Image.Image:
    kind, _, data = thumbnail.data_url.partition(",")
    assert "data:image/webp;base64" == kind
    return Image.open(io.BytesIO(base64.b64decode(data)))


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.webp"])
def test_large_becomes_small(paint: Paint, name: str) -> None:
    """
    In its own shape, and telling the size of the original.
    """
    thumbnail = make_thumbnail(paint(name, (1344, 768)))

    assert (1344, 768) == (thumbnail.width, thumbnail.height)
    assert (480, 274) == opened(thumbnail).size


def test_small_stays_as_it_is(paint: Paint) -> None:
    """
    Nothing is blown up.
    """
    assert (20, 10) == opened(make_thumbnail(paint("x.png", (20, 10)))).size


def test_noise_is_bounded(tmp_path: Path) -> None:
    """
    What does not compress becomes smaller still, so that a page of thousands opens.
    """
    noise = random.Random(0).randbytes(900 * 900 * 3)
    Image.frombytes("RGB", (900, 900), noise).save(tmp_path / "x.png")

    assert len(make_thumbnail(tmp_path / "x.png").data_url) < 25_000


def test_camera_held_upright(paint: Paint) -> None:
    """
    A picture that says it is to be turned is turned, and its sides with it.
    """
    exif = Image.Exif()
    exif[0x0112] = 6
    thumbnail = make_thumbnail(paint("x.jpg", (800, 400), exif=exif))

    assert (400, 800) == (thumbnail.width, thumbnail.height)
    assert (240, 480) == opened(thumbnail).size


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_every_kind_of_colour(tmp_path: Path, mode: Any) -> None:
    """
    What is transparent stays so.
    """
    path = tmp_path / ("x.jpg" if mode == "CMYK" else "x.png")
    Image.new(mode, (30, 30)).save(path)

    assert (mode in ("LA", "RGBA")) == opened(make_thumbnail(path)).has_transparency_data


@pytest.mark.parametrize("content", [None, b"", b"no picture", "cut"])
def test_what_is_no_picture_is_said(paint: Paint, tmp_path: Path, content: bytes | str | None) -> None:
    """
    Missing, empty, something else, and cut off in the middle.
    """
    path = tmp_path / "x.png"
    if content == "cut":
        path.write_bytes(paint("x.png", (500, 500)).read_bytes()[:100])
    elif isinstance(content, bytes):
        path.write_bytes(content)

    with pytest.raises(ValueError, match="is not where it was" if content is None else "cannot be shown"):
        make_thumbnail(path)


def test_bomb_is_not_unpacked(paint: Paint, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A file that claims more pixels than any picture has is refused as Pillow refuses it.
    """
    path = paint("x.png", (100, 100))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)

    with pytest.raises(ValueError, match="cannot be shown: .*bomb"):
        make_thumbnail(path)
