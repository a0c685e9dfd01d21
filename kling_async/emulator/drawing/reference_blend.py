"""
Blends a reference image into a picture: its colours, and the image itself.
"""

import io

from PIL import Image, ImageOps, ImageStat

from kling_async.emulator.drawing.canvas import radiance


def open_reference(content: bytes, size: tuple[int, int]) -> Image.Image:
    """
    Read a jpg or png file, rotated by its EXIF orientation and cropped to *size*.

    Raises:
        ValueError: It cannot be read.
    """
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as file:
            file.draft("RGB", (size[0] * 2, size[1] * 2))
            return ImageOps.fit(_in_rgb(ImageOps.exif_transpose(file)), size, Image.Resampling.BICUBIC)
    except Exception as error:  # each decoder raises its own errors, and warnings may be errors
        raise ValueError(f"the reference is not a readable jpg or png: {error}") from error


def _in_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits; the upper 8 are kept
        return image.convert("I").point(lambda level: level / 256).convert("L").convert("RGB")
    if image.has_transparency_data:
        paper = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(paper, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def shape(image: Image.Image, reference: Image.Image, fidelity: float) -> Image.Image:
    """
    Return *image* in the colours of *reference*, blended with it by *fidelity*, from 0 to 1.
    """
    # The reference is clearest in the middle, so that a picture of medium fidelity shows its subject in a scene.
    bend = (1 - fidelity) * fidelity
    middle = radiance(image.size, 255, 0.8)
    mask = middle.point(lambda level: 255 * (fidelity + bend * (level / 128 - 0.9)))
    return Image.composite(reference, _tinted(image, reference), mask)


def _tinted(image: Image.Image, reference: Image.Image) -> Image.Image:
    # Reinhard's colour transfer, with one table per channel of YCbCr: half of the lightness, all of the hue.
    scene = image.convert("YCbCr")
    here, there = ImageStat.Stat(scene.reduce(8)), ImageStat.Stat(reference.reduce(8).convert("YCbCr"))
    tables: list[float] = []
    for channel, share in enumerate((0.5, 1.0, 1.0)):
        stretch = min(1.8, max(0.4, (there.stddev[channel] + 2) / (here.stddev[channel] + 2)))
        moved = [(level - here.mean[channel]) * stretch + there.mean[channel] for level in range(256)]
        tables += [level + (new - level) * share for level, new in enumerate(moved)]
    return scene.point(tables).convert("RGB")
