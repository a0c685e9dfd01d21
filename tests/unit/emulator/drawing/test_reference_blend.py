import io
from typing import Final

import pytest
from PIL import Image, ImageChops, ImageStat

from kling_async.emulator.drawing.reference_blend import open_reference, shape

SIZE: Final = (160, 90)


def distance(one: Image.Image, other: Image.Image) -> float:
    """
    The mean difference of two pictures, in levels of 0 to 255.
    """
    return sum(ImageStat.Stat(ImageChops.difference(one, other)).mean) / 3


def in_format(image: Image.Image, name: str) -> bytes:
    file = io.BytesIO()
    image.save(file, name)
    return file.getvalue()


def harlequin() -> Image.Image:
    # Four fields of strong colours, as no scene has them.
    colours = [(230, 20, 30), (20, 200, 40), (20, 40, 220), (240, 220, 20)]
    image = Image.new("RGB", SIZE)
    for place, colour in enumerate(colours):
        image.paste(colour, (80 * (place % 2), 45 * (place // 2), 80 * (place % 2 + 1), 45 * (place // 2 + 1)))
    return image


def scene() -> Image.Image:
    return Image.linear_gradient("L").resize(SIZE).convert("RGB")


def test_fidelity_draws_the_picture_to_its_reference() -> None:
    """
    The more fidelity the less distance, and at 1 the reference is repeated.
    """
    distances = [distance(shape(scene(), harlequin(), fidelity), harlequin()) for fidelity in (0, 0.3, 0.6, 1)]

    assert sorted(distances, reverse=True) == distances
    assert distances[0] > 40
    assert 0 == distances[-1]


def test_reference_is_clearest_in_the_middle() -> None:
    """
    Half true, a picture shows more of its reference in the middle than in the corners.
    """
    half = ImageChops.difference(shape(scene(), harlequin(), 0.5), harlequin())
    middle, corner = (sum(ImageStat.Stat(half.crop(box)).mean) for box in ((75, 40, 85, 50), (0, 0, 10, 10)))

    assert middle < corner


def test_reference_tints_the_picture_even_without_fidelity() -> None:
    """
    Fidelity 0 takes the colours alone: of a green reference comes a green picture, which is still the scene.
    """
    tinted = shape(scene(), Image.new("RGB", SIZE, (30, 160, 60)), 0)
    red, green, blue = ImageStat.Stat(tinted).mean

    assert green > max(red, blue) + 30
    assert ImageStat.Stat(tinted.convert("L")).stddev[0] > 10


@pytest.mark.parametrize("name", ["PNG", "JPEG"])
def test_reference_is_cut_to_size(name: str) -> None:
    """
    Its middle is kept, and as much of it as goes in.
    """
    wide = Image.new("RGB", (SIZE[0] * 3, SIZE[1]))
    wide.paste(harlequin(), (SIZE[0], 0))

    assert distance(open_reference(in_format(wide, name), SIZE), harlequin()) < 8


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
def test_reference_may_have_any_mode(mode: str) -> None:
    """
    Grey, indexed, deep and transparent PNG files are references as good as any.
    """
    image = Image.new("I;16", SIZE, 9000) if mode == "I;16" else harlequin().convert("RGBA").convert(mode)
    reference = open_reference(in_format(image, "PNG"), SIZE)

    assert ("RGB", SIZE) == (reference.mode, reference.size)
    assert distance(reference, Image.new("RGB", SIZE)) > 30


def test_transparent_reference_lies_on_white() -> None:
    """
    Where nothing is seen, paper is, whatever colour the file has there.
    """
    reference = open_reference(in_format(Image.new("RGBA", SIZE, (9, 9, 9, 0)), "PNG"), SIZE)

    assert [(SIZE[0] * SIZE[1], (255, 255, 255))] == reference.getcolors()


def test_reference_lies_as_its_camera_meant() -> None:
    """
    A jpg that is stored turned, and says so, is turned back.
    """
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    file = io.BytesIO()
    harlequin().rotate(180).save(file, "JPEG", exif=exif)

    assert distance(open_reference(file.getvalue(), SIZE), harlequin()) < 8


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a picture",
        in_format(harlequin(), "PNG")[:90],
        in_format(harlequin(), "JPEG")[:90],
        in_format(harlequin(), "GIF"),
        in_format(harlequin(), "PNG").replace(b"IDAT", b"IDAX"),
    ],
    ids=["empty", "text", "cut png", "cut jpg", "gif", "damaged png"],
)
def test_broken_reference_is_refused(content: bytes) -> None:
    """
    What is no whole jpg or png is a ValueError, not a picture.
    """
    with pytest.raises(ValueError, match="the reference is not a readable jpg or png"):
        open_reference(content, SIZE)


def test_huge_reference_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A small file that would unfold to more pixels than Pillow thinks safe is refused as broken.
    """
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)

    with pytest.raises(ValueError, match="the reference is not a readable jpg or png"):
        open_reference(in_format(harlequin(), "PNG"), SIZE)
