import base64
import io
import os
import random
import warnings
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from kling_async.gallery import GalleryEntry, read_folder
from kling_async.gallery.thumbnails import Thumbnail, make_thumbnail
from tests.unit.gallery.conftest import Paint, read_data, write


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


@pytest.mark.parametrize("size", [(1001, 1000), (1000, 1001), (5000, 1)])
def test_size_is_that_of_the_picture(paint: Paint, size: tuple[int, int]) -> None:
    """
    The thumbnail of what is nearly a square is a square.
    """
    thumbnail = make_thumbnail(paint("x.png", size))

    assert size == (thumbnail.width, thumbnail.height)


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


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.webp"])
def test_half_a_picture_is_not_called_none(paint: Paint, name: str) -> None:
    """
    What is cut off in the middle of its pixels was a picture.
    """
    path = paint(name, (500, 500))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    with pytest.raises(ValueError, match=r"cannot be shown: it is (cut short, or damaged|damaged, or not a .*)$"):
        make_thumbnail(path)


def test_bomb_is_not_unpacked(paint: Paint, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A file that claims more pixels than any picture has is refused as Pillow refuses it.
    """
    path = paint("x.png", (100, 100))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)

    with pytest.raises(ValueError, match="cannot be shown: it has too many pixels"):
        make_thumbnail(path)


def test_warning_of_a_bomb_is_an_error_of_ours(tmp_path: Path) -> None:
    """
    A large picture is shown; where warnings are errors it cannot be, and that is said as it is of any other file.
    """
    path = tmp_path / "x.png"
    Image.new("1", (10_000, 9_500)).save(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="cannot be shown: it has too many pixels"):
            make_thumbnail(path)
        assert [GalleryEntry(path=path)] == read_folder(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert (10_000, 9_500) == ((thumbnail := make_thumbnail(path)).width, thumbnail.height)


@pytest.mark.parametrize(("value", "grey"), [(0, 0), (16_384, 64), (40_000, 156), (65_535, 255)])
def test_sixteen_bits_are_scaled(tmp_path: Path, value: int, grey: int) -> None:
    """
    What is grey is not white.
    """
    Image.new("I;16", (900, 600), value).save(tmp_path / "x.png")

    shown = opened(make_thumbnail(tmp_path / "x.png")).convert("L").getpixel((9, 9))

    assert isinstance(shown, int)
    assert abs(shown - grey) <= 2


@pytest.mark.parametrize("kind", ["eps", "tiff", "bmp", "ppm", "pcx", "ico"])
def test_other_decoders_are_not_used(tmp_path: Path, kind: str) -> None:
    """
    For any name of the file, formats that only Pillow's other decoders read are not pictures here. One of them starts a
    program.
    """
    Image.new("RGB", (30, 30)).save(tmp_path / "x.png", kind)

    with pytest.raises(ValueError, match="it is damaged, or not a PNG, JPEG, WebP or GIF picture"):
        make_thumbnail(tmp_path / "x.png")


@pytest.mark.parametrize("error", [RuntimeError("odd"), IndexError(), MemoryError(), RecursionError("deep")])
def test_every_error_of_a_decoder_is_one_of_ours(
    paint: Paint, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """
    Decoders raise what they like, and late.
    """

    def fail(_: object) -> None:
        raise error

    path = paint("x.png")
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load_prepare", fail)

    with pytest.raises(ValueError, match="The file cannot be shown: .+"):
        make_thumbnail(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """
    It is no file.
    """
    os.mkfifo(tmp_path / "x.png")

    with pytest.raises(ValueError, match="is not where it was"):
        make_thumbnail(tmp_path / "x.png")


def test_one_invalid_file_never_stops_the_page(paint: Paint, tmp_path: Path) -> None:
    """
    Each invalid file is shown as such, beside the valid ones.
    """
    good = paint("good.png")
    content = good.read_bytes()
    odd = [tmp_path / f"odd-{size}.png" for size in range(0, len(content), 7)]
    for size, path in enumerate(odd):
        spoiled = bytearray(content)
        spoiled[size * 7] ^= 0xFF
        path.write_bytes(spoiled)

    data = read_data(write(tmp_path, *read_folder(tmp_path)))

    assert len(odd) + 1 == len(data)
    assert [(64, 36)] == [tuple(each["size"]) for each in data if each["name"] == "good.png"]
