"""
Reference images: bytes, Base64, `data:` URLs, other URLs, paths, file objects and Pillow images.
"""

import base64
import contextlib
import functools
import io
import os
import warnings
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final
from urllib.parse import quote

from PIL import Image, ImageCms

from kling_async.media.input_files import Reference, read_reference
from kling_async.wire.dialects import GATEWAY, OFFICIAL
from kling_async.wire.endpoints.image_generation import ImageRequest
from kling_async.wire.endpoints.registry import broken_rules
from tests.fuzz.odd import MIB, big_text, damaged, text, url, value
from tests.fuzz.running import Case, Kind

__all__ = ["opened", "pictures"]

MODES: Final = (
    "1",
    "L",
    "LA",
    "La",
    "P",
    "PA",
    "RGB",
    "RGBA",
    "RGBa",
    "RGBX",
    "CMYK",
    "YCbCr",
    "HSV",
    "LAB",
    "I",
    "F",
    "I;16",
)
SIDES: Final = (1, 2, 40, 299, 300, 301, 700)
PIXELS_MAX: Final = 4_000_000
"""
Of an image that is decoded: whoever hands a Pillow image over has room for it.
"""


def _drawn(mode: str, size: tuple[int, int], color: Any = None) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Image.new(mode, size) if color is None else Image.new(mode, size, color)


@functools.cache
def pictures() -> Sequence[bytes]:
    """
    Return pictures of several formats, as programs write them.
    """
    drawn = []
    for form, options in (
        ("PNG", {}),
        ("PNG", {"compress_level": 0}),
        ("JPEG", {}),
        (
            "JPEG",
            {"progressive": True, "icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()},
        ),
        ("WEBP", {}),
        ("GIF", {}),
        ("BMP", {}),
        ("TIFF", {}),
    ):
        for size in ((16, 9), (320, 310)):
            buffer = io.BytesIO()
            _drawn("RGB", size, (20, 90, 200)).save(buffer, form, **options)
            drawn.append(buffer.getvalue())
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    _drawn("RGB", (310, 400)).save(buffer, "JPEG", exif=exif)
    return (*drawn, buffer.getvalue())


def _bytes(rng: Random, most: int = 2 * MIB) -> bytes:
    picture = rng.choice(pictures())
    match rng.randrange(12):
        case 0:
            return picture
        case 1:
            return rng.randbytes(rng.randrange(100))
        case 2:
            return picture + rng.randbytes(rng.choice((1, 100, 5000)))
        case 3:
            return picture[: rng.randrange(len(picture) + 1)]
        case 4 if rng.random() < 0.2:
            return picture[:50] + bytes(rng.randrange(most))
        case 5 if rng.random() < 0.2:
            head = rng.choice((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"\xff\xd8"))
            part = rng.choice((b"\xff\xd8", b"\xff\xe1\0\x02", b"\0\0\0\0IDAT", b"\xff", b"\0\0\0\0", b"\xff\xda\0\2"))
            return head + part * (rng.randrange(most) // len(part))
        case _:
            return damaged(rng, picture, rng.randrange(1, 5))


def _text(rng: Random) -> str:
    picture = _bytes(rng)
    written = base64.b64encode(picture).decode()
    match rng.randrange(12):
        case 0:
            written = base64.urlsafe_b64encode(picture).decode().rstrip("=")
        case 1:
            written = base64.encodebytes(picture).decode()
        case 2:
            written = written.replace("+", " ")
        case 3:
            at = rng.randrange(len(written) + 1)
            written = written[:at] + text(rng, 10) + written[at + rng.randrange(3) :]
        case 4:
            written = written[: rng.randrange(len(written) + 1)]
        case 5:
            written = written + "=" * rng.randrange(6)
        case 6:
            return rng.choice((text(rng), url(rng), "pictures/cat", "cat.png", text(rng, 5000)))
        case 7 if rng.random() < 0.2:
            return big_text(rng, 2 * MIB)
        case 8:
            written = quote(written)
    prefixes = (
        "",
        "",
        "data:image/png;base64,",
        "data:;base64,",
        "DATA:image/jpeg;BASE64,",
        "data:image/png,",
        "data:",
    )
    return rng.choice((*prefixes, f"data:{text(rng)};base64,")) + written


async def _read(image: Any, max_bytes: int) -> None:
    # As a submit does it: the request, what is sent of its picture, and the rules of each dialect.
    request = ImageRequest("a lighthouse", image=image)
    repr(request)
    if request.image is None:
        return
    found: Reference = await read_reference(request.image, field="image", max_bytes=max_bytes)
    repr(found)
    is_url = found.facts is None
    if not is_url and found.text:
        base64.b64decode(found.text, validate=True)
    if len(found.text) > 4 * (max_bytes // 3 + 1) and not is_url:
        raise AssertionError(f"{len(found.text)} characters of a picture of at most {max_bytes} bytes")
    for dialect in (GATEWAY, OFFICIAL):
        list(map(str, broken_rules(dialect, request, {} if found.facts is None else {"image": found.facts})))


def _case(image: Any, size: int, rng: Random, shown: object) -> Case:
    max_bytes = rng.choice((10 * MIB, 10 * MIB, 10_000, 0))
    return Case(size, functools.partial(_read, image, max_bytes), f"{max_bytes} {shown!r:.500}")


def _as_bytes(rng: Random) -> Case:
    content = _bytes(rng)
    image = rng.choice((content, content, bytearray(content), memoryview(content)))
    return _case(image, len(content), rng, content[:300])


def _as_text(rng: Random) -> Case:
    written = _text(rng)
    return _case(written, len(written), rng, written)


def _as_path(folder: Path, rng: Random) -> Case:
    content = _bytes(rng)
    path = folder / rng.choice(("a.png", "b", "é.jpg", "a b.png"))
    path.write_bytes(content)
    odd = (
        folder,
        folder / "fifo",
        folder / "loop",
        folder / "gone",
        Path(text(rng, 300)),
        folder / ("a" * 300),
        Path(),
    )
    if rng.random() < 0.3:
        path = rng.choice(odd)
    return _case(path, len(content), rng, path)


def _as_file(rng: Random) -> Case:
    content: Any = _bytes(rng)
    if rng.random() < 0.1:
        content = text(rng)
    file = io.StringIO(content) if isinstance(content, str) else io.BytesIO(content)

    async def run() -> None:
        file.seek(0)
        await _read(file, 10 * MIB)

    return Case(len(content), run, repr(content[:300]))


def _as_anything(rng: Random) -> Case:
    image = rng.choice((value(rng), object(), 5, float("nan"), io.BytesIO, lambda: b"", [b""], {}, b"", ""))
    return _case(image, 0, rng, image)


def _as_pillow(rng: Random) -> Case:
    image: Image.Image | None = None
    content = b""
    while image is None:
        content, image = (b"", _made(rng)) if rng.random() < 0.4 else _loaded(rng)
    width, height = image.size

    async def run() -> None:
        again = _opened(content) if content else image
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own, of broken files
            await _read(again, 10 * MIB)

    size = 4 * width * height + len(content)
    return Case(size, run, f"{image.mode} {image.size} {image.format} {list(image.info)} {content[:200]!r}")


def _made(rng: Random) -> Image.Image | None:
    with contextlib.suppress(ValueError):
        image = _drawn(rng.choice(MODES), (rng.choice(SIDES), rng.choice(SIDES)))
        odd: Sequence[tuple[str, Any]] = (
            ("icc_profile", rng.randbytes(rng.randrange(300))),
            ("icc_profile", text(rng)),
            ("exif", rng.randbytes(rng.randrange(100))),
            ("transparency", rng.choice((0, 255, 300, -1, (1, 2, 3), b"\0\1", text(rng)))),
            ("dpi", (rng.choice((0, -1, float("nan"))), 72)),
            ("gamma", text(rng)),
            ("xmp", rng.choice((b"", rng.randbytes(50), b'<a tiff:Orientation="6"/>'))),
        )
        for name, said in rng.sample(odd, rng.randrange(3)):
            image.info[name] = said
        return image
    return None


def _loaded(rng: Random) -> tuple[bytes, Image.Image | None]:
    content = _bytes(rng, most=100_000)
    return content, _opened(content)


def _opened(content: bytes) -> Image.Image | None:
    # What Pillow itself refuses never becomes an image.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = Image.open(io.BytesIO(content), formats=("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"))
        except Exception:  # noqa: BLE001 (any of Pillow's)
            return None
    width, height = image.size
    return image if width * height <= PIXELS_MAX else None


@contextlib.asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Sequence[Kind]]:
    """
    The kinds of this part.
    """
    os.mkfifo(folder / "fifo")
    (folder / "loop").symlink_to(folder / "loop")
    documented = (TypeError,)
    makers: Sequence[tuple[str, int, Callable[[Random], Case]]] = (
        ("bytes", 30, _as_bytes),
        ("text", 35, _as_text),
        ("path", 10, functools.partial(_as_path, folder)),
        ("file", 5, _as_file),
        ("anything", 2, _as_anything),
        ("pillow", 18, _as_pillow),
    )
    yield [Kind(name, weight, make, documented if name == "anything" else ()) for name, weight, make in makers]
