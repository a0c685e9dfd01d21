"""
How a reference shapes a picture: by its colours, and by itself.
"""

import io

from PIL import Image, ImageOps, ImageStat

from kling_async.emulator.drawing.canvas import radiance


def open_reference(content: bytes, size: tuple[int, int]) -> Image.Image:
    """
    Read a jpg or png file, upright and cut to *size*.

    Raises:
        ValueError: It cannot be read.
    """
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as file:
            file.draft("RGB", (size[0] * 2, size[1] * 2))
            return ImageOps.fit(_in_rgb(ImageOps.exif_transpose(file)), size, Image.Resampling.BICUBIC)
    except Exception as error:  # each decoder raises its own errors, and warnings may be errors
        raise ValueError(f"the reference is no jpg or png that can be read: {error}") from error


def _in_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits, of which the upper 8 are wanted
        return image.convert("I").point(lambda level: level / 256).convert("L").convert("RGB")
    if image.has_transparency_data:
        paper = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(paper, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def shape(image: Image.Image, reference: Image.Image, fidelity: float) -> Image.Image:
    """
    Return *image* in the colours of *reference*, and overlaid by it as *fidelity* says, from 0 to 1.
    """
    # The reference is clearest in the middle, so that a half-true picture is a scene with its subject in it.
    bend = (1 - fidelity) * fidelity
    middle = radiance(image.size, 255, 0.8)
    mask = middle.point(lambda level: 255 * (fidelity + bend * (level / 128 - 0.9)))
    return Image.composite(reference, _tinted(image, reference), mask)


def _tinted(image: Image.Image, reference: Image.Image) -> Image.Image:
    # Reinhard's colour transfer, by one table for each channel of YCbCr: lightness partly, hue wholly.
    scene = image.convert("YCbCr")
    here, there = ImageStat.Stat(scene.reduce(8)), ImageStat.Stat(reference.reduce(8).convert("YCbCr"))
    tables: list[float] = []
    for channel, share in enumerate((0.5, 1.0, 1.0)):
        stretch = min(1.8, max(0.4, (there.stddev[channel] + 2) / (here.stddev[channel] + 2)))
        moved = [(level - here.mean[channel]) * stretch + there.mean[channel] for level in range(256)]
        tables += [level + (new - level) * share for level, new in enumerate(moved)]
    return scene.point(tables).convert("RGB")
