"""
Pillow images of every kind, and that what is sent of them looks like what a viewer shows.
"""

import io
import struct
from pathlib import Path
from typing import Any, Final

import pytest
from PIL import Image, ImageCms

from kling_async import ImageRequest
from kling_async.errors import InvalidRequest
from kling_async.wire.pillow_images import as_seen

RED: Final = (200, 30, 40)


def sent(image: Any) -> Image.Image:
    """
    What a service opens of an image that was given to a request.
    """
    taken = ImageRequest("a cat", image=image).image
    assert isinstance(taken, bytes)
    picture: Image.Image = Image.open(io.BytesIO(taken), formats=("PNG",))
    picture.load()
    return picture


def refusal(image: Any) -> str:
    with pytest.raises(InvalidRequest) as caught:
        ImageRequest("a cat", image=image)
    (broken,) = caught.value.broken
    assert "image" == broken.field
    assert str(broken) == caught.value.message
    return broken.rule


def reopened(image: Image.Image, kind: str, **options: Any) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return Image.open(buffer)


def colour(image: Image.Image, at: tuple[int, int] = (0, 0)) -> tuple[int, ...]:
    pixel = image.convert("RGBA").getpixel(at)
    assert isinstance(pixel, tuple)
    return tuple(int(value) for value in pixel)


def is_near(one: tuple[int, ...], other: tuple[int, ...], most: int = 3) -> bool:
    return all(abs(mine - theirs) <= most for mine, theirs in zip(one, other, strict=True))


def profile_for_print() -> bytes:
    """
    A profile of a press whose first ink is green, so that nobody mistakes its colours for those of plain CMYK.
    """
    lab = {0: (255, 128, 128), 8: (120, 60, 190)}  # white paper, and paper under the first ink, for the first ink = 1
    grid = bytes(value for node in range(16) for value in lab.get(node, (0, 128, 128)))
    straight = bytes(range(256))
    unit = struct.pack(">9i", *(65536 * (place % 4 == 0) for place in range(9)))
    table = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + unit + 4 * straight + grid + 3 * straight
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    name = b"desc\0\0\0\0" + struct.pack(">I", 6) + b"press\0" + bytes(78)
    parts = {b"A2B0": table, b"wtpt": white, b"desc": name}
    at, index, content = 128 + 4 + 12 * len(parts), b"", b""
    for tag, part in parts.items():
        padded = part + bytes(-len(part) % 4)
        index += tag + struct.pack(">II", at + len(content), len(part))
        content += padded
    head = b"\0\0\0\0" + b"\x02\x40\0\0" + b"prtrCMYKLab " + struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp"
    head = head.ljust(64, b"\0") + struct.pack(">4i", 0, 63190, 65536, 54061)
    whole = (b"\0\0\0\0" + head).ljust(128, b"\0") + struct.pack(">I", len(parts)) + index + content
    return struct.pack(">I", len(whole)) + whole[4:]


def linear_profile() -> bytes:
    """
    A profile under which middle grey is much lighter than in sRGB: that of linear light, of whatever name.
    """
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for tag in (b"rTRC", b"gTRC", b"bTRC"):
        at = profile.index(tag) + 4
        start = int.from_bytes(profile[at : at + 4])
        profile[start : start + 12] = b"curv\0\0\0\0\0\0\0\0"  # no entries: linear
        profile[at + 4 : at + 8] = (12).to_bytes(4)
    return bytes(profile)


@pytest.mark.parametrize("kind", ["jpeg", "tiff", "webp", "png"])
def test_turned_as_its_exif_says(kind: str) -> None:
    """
    A camera held upright: what is on top stays on top, and nothing tells a reader to turn it again.
    """
    image = Image.new("RGB", (400, 300), "white")
    image.paste(RED, (0, 0, 200, 300))  # the left half, which Orientation 6 makes the upper one
    exif = Image.Exif()
    exif[0x0112] = 6

    seen = sent(reopened(image, kind, exif=exif))

    assert (300, 400) == seen.size
    assert is_near(RED, colour(seen, (150, 50))[:3], 12)
    assert is_near((255, 255, 255), colour(seen, (150, 350))[:3])
    assert not seen.getexif()


def test_damaged_exif_turns_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Viewers show such a picture as it is stored.
    """
    image = reopened(Image.new("RGB", (4, 3), RED), "png")
    image.info["exif"] = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12"

    assert (4, 3) == sent(image).size


def test_print_colours_by_their_profile() -> None:
    """
    What this press prints green is green, and the PNG carries no profile for other colours than its own.
    """
    image = reopened(Image.new("CMYK", (8, 8), (255, 0, 0, 0)), "tiff", icc_profile=profile_for_print())
    seen = sent(image)

    assert "CMYK" == image.mode
    assert "RGB" == seen.mode
    assert "icc_profile" not in seen.info
    assert is_near((0, 136, 0, 255), colour(seen))  # plain CMYK has (0, 255, 255)


def test_print_colours_without_a_profile() -> None:
    """
    As every program shows them that knows no press; a profile that is damaged or of other colours is none.
    """
    plain = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    damaged, of_others = plain.copy(), plain.copy()
    damaged.info["icc_profile"] = b"no profile"
    of_others.info["icc_profile"] = linear_profile()

    for image in (plain, damaged, of_others):
        seen = sent(image)
        assert (0, 255, 255, 255) == colour(seen)
        assert "icc_profile" not in seen.info


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "LA"])
def test_every_profile_is_applied(mode: Any) -> None:
    """
    A service that ignores profiles shows the same as one that heeds them; what is transparent stays so.
    """
    image = Image.new("RGBA", (8, 8), (100, 100, 100, 90)).convert(mode)
    image.info["icc_profile"] = linear_profile()

    seen = sent(image)

    if mode in ("L", "LA"):  # a profile of other colours than its own
        assert (100, 100, 100) == colour(seen)[:3]
    else:
        assert is_near((168, 168, 168), colour(seen)[:3])
    assert (255 if mode in ("RGB", "L") else 90) == colour(seen)[3]


def test_srgb_changes_nothing() -> None:
    """
    Not by a single value.
    """
    noise = Image.effect_noise((60, 60), 90).convert("RGB")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

    assert noise.tobytes() == sent(reopened(noise, "png", icc_profile=profile)).tobytes()


@pytest.mark.parametrize("mode", ["I;16", "I;16L", "I;16B", "I"])
def test_sixteen_bits_are_scaled(mode: Any) -> None:
    """
    Black is black, white is white, and what is between stays there.
    """
    order = ">" if mode == "I;16B" else "<"
    values = (0, 128, 257, 32768, 65278, 65535)
    image = (
        Image.frombytes("I", (6, 1), struct.pack("=6i", *values))
        if mode == "I"
        else Image.frombytes(mode, (6, 1), struct.pack(f"{order}6H", *values))
    )

    seen = sent(image)

    assert "L" == seen.mode
    assert [0, 0, 1, 128, 254, 255] == list(seen.tobytes())


def test_sixteen_bits_of_a_file(tmp_path: Path) -> None:
    """
    As a scanner writes them; turned and transparent besides.
    """
    path = tmp_path / "scan.png"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("I;16", (4, 3), 40000).save(path, exif=exif, transparency=40000)

    seen = sent(Image.open(path))

    assert (3, 4) == seen.size
    assert {156} == set(seen.tobytes())


@pytest.mark.parametrize(("mode", "value", "grey"), [("I", 200, 200), ("F", 200.4, 200), ("F", 255.0, 255)])
def test_wide_values_of_eight_bits_stay(mode: Any, value: float, grey: int) -> None:
    """
    As Pillow itself shows them.
    """
    assert {grey} == set(sent(Image.new(mode, (3, 3), value)).tobytes())


@pytest.mark.parametrize(
    ("mode", "value"), [("I", -1), ("I", 70_000), ("F", 0.5), ("F", 300.0), ("F", -0.1), ("F", float("nan"))]
)
def test_values_without_a_known_white_are_refused(mode: Any, value: float) -> None:
    """
    They could be fractions, depths, temperatures: the caller says how they are shown.
    """
    assert "scale them to 0 to 255" in refusal(Image.new(mode, (3, 3), value))


@pytest.mark.parametrize(
    ("mode", "fill", "expected"),
    [
        ("1", 1, (255, 255, 255, 255)),
        ("L", 77, (77, 77, 77, 255)),
        ("LA", (77, 90), (77, 77, 77, 90)),
        ("La", (45, 128), (90, 90, 90, 128)),
        ("RGB", RED, (*RED, 255)),
        ("RGBX", (*RED, 0), (*RED, 255)),
        ("RGBA", (*RED, 90), (*RED, 90)),
        ("RGBa", (100, 15, 20, 128), (199, 30, 40, 128)),
        ("YCbCr", (81, 90, 240), (238, 14, 14, 255)),
        ("HSV", (0, 255, 255), (255, 0, 0, 255)),
        ("LAB", (255, 128, 128), (255, 255, 255, 255)),
    ],
)
def test_every_mode_keeps_its_looks(mode: Any, fill: Any, expected: tuple[int, ...]) -> None:
    """
    Colours and what shows through them.
    """
    assert is_near(expected, colour(sent(Image.new(mode, (5, 4), fill))))


def test_palette_keeps_what_is_transparent() -> None:
    """
    By one index of it, by one value of each, and by a palette that has an alpha of its own.
    """
    by_index = Image.new("P", (4, 4), 1)
    by_index.putpalette([0, 0, 0, *RED])
    by_value = by_index.copy()
    by_index.info["transparency"] = 1
    by_value.info["transparency"] = bytes([255, 90])
    of_its_own = Image.new("RGBA", (4, 4), (*RED, 90)).quantize(4)
    with_profile = by_value.copy()
    with_profile.info["icc_profile"] = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

    assert (*RED, 0) == colour(sent(by_index))
    assert (*RED, 90) == colour(sent(by_value))
    assert is_near((*RED, 90), colour(sent(of_its_own)))
    assert (*RED, 90) == colour(sent(with_profile))


def test_colour_that_stands_for_transparent() -> None:
    """
    As old PNGs have it.
    """
    image = reopened(Image.new("RGB", (4, 4), RED), "png", transparency=RED)

    assert (*RED, 0) == colour(sent(image))


@pytest.mark.parametrize("kind", ["gif", "png", "webp", "tiff"])
def test_first_of_several_frames(kind: str) -> None:
    """
    The one that a file shows at first, and nothing of the others.
    """
    frames = [Image.new("RGB", (30, 30), name) for name in ("red", "blue")]
    image = reopened(frames[0], kind, save_all=True, append_images=frames[1:])

    seen = sent(image)

    assert 2 == image.n_frames  # type: ignore[attr-defined]
    assert 1 == getattr(seen, "n_frames", 1)
    assert is_near((255, 0, 0, 255), colour(seen), 5)


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "gif", "tiff", "bmp"])
def test_cut_off_pictures_are_refused_in_words(kind: str) -> None:
    """
    Whatever Pillow raises of them.
    """
    buffer = io.BytesIO()
    Image.effect_noise((300, 300), 90).convert("RGB").save(buffer, kind)
    content = buffer.getvalue()[: len(buffer.getvalue()) // 2]
    try:
        image = Image.open(io.BytesIO(content))
    except OSError:
        pytest.skip("Pillow refuses it at once")

    assert "must be a Pillow image that can be decoded" in refusal(image)


def test_images_that_are_none_any_more_are_refused_in_words(tmp_path: Path) -> None:
    """
    A closed one, one without any pixels, and one whose file has gone.
    """
    path = tmp_path / "x.png"
    Image.new("RGB", (4, 4)).save(path)
    closed = Image.open(path)
    closed.close()

    assert "must be a Pillow image" in refusal(closed)
    assert "must be a Pillow image" in refusal(Image.new("RGB", (0, 4)))


def test_the_image_itself_is_left_as_it_is() -> None:
    """
    The program may go on with it.
    """
    image = reopened(Image.new("P", (4, 3), 1), "png", icc_profile=b"odd", transparency=1)
    image.load()
    before = (image.mode, image.size, dict(image.info))

    seen = as_seen(image)

    assert before == (image.mode, image.size, dict(image.info))
    assert seen is not image
