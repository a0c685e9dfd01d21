"""
Converts Pillow images to what a viewer displays: upright, sRGB, 8 bits per channel. Needs Pillow.
"""

import io
from typing import Any, Final

from PIL import Image, ImageCms, ImageOps

__all__ = ["as_seen", "png_of"]

_STORED_OTHERWISE: Final = {
    "La": "LA",
    "PA": "RGBA",
    "RGBa": "RGBA",
    "RGBX": "RGB",
    "YCbCr": "RGB",
    "HSV": "RGB",
}
"""
Modes that store the same pixels differently, and the mode to convert them to.
"""

_FOR_PRINT: Final = ("CMYK", "LAB")
_GREY: Final = ("1", "L", "LA")
_OF_PNG: Final = ("1", "L", "LA", "P", "RGB", "RGBA")


def png_of(image: Image.Image) -> bytes:
    """
    Encode *image* as a PNG that looks the same. An image with several frames gives the current frame.

    Raises:
        ValueError: The range of its values is unknown, or its mode cannot be displayed.
        Exception: Pillow cannot decode it. Each of its decoders raises its own errors.
    """
    buffer = io.BytesIO()
    as_seen(image).save(buffer, format="PNG")
    return buffer.getvalue()


def as_seen(image: Image.Image) -> Image.Image:
    """
    Return a copy of *image* as a viewer displays it: rotated by its EXIF orientation, in sRGB, with 8 bits per channel.
    Its mode is "1", "L", "LA", "P", "RGB" or "RGBA". Of its `info`, only the transparency is kept.

    Raises:
        ValueError, Exception: As `png_of` does.
    """
    image.load()
    converted = _in_srgb(_in_a_plain_mode(_in_8_bits(_upright(image))))
    if converted.mode in _FOR_PRINT:
        converted = converted.convert("RGB")
    if converted.mode not in _OF_PNG:
        raise ValueError(f"its mode {converted.mode!r} cannot be displayed; convert it to RGB first")
    converted.info = {name: value for name, value in converted.info.items() if name == "transparency"}
    return converted


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # noqa: BLE001 (viewers ignore damaged EXIF data)
        return image.copy()


def _in_8_bits(image: Image.Image) -> Image.Image:
    if image.mode[0] not in "IF":
        return image
    wide = image if image.mode in ("I", "F") else image.convert("I")
    scale = 255 / _white_of(wide, is_of_16_bits=wide is not image)
    grey = wide.point(lambda value: value * scale + 0.5).convert("L")
    grey.info.pop("transparency", None)  # a 16-bit value, useless after scaling
    return grey


def _white_of(image: Image.Image, *, is_of_16_bits: bool) -> int:
    # Only the 16-bit modes define which value is white. For "I" and "F" it follows from the values.
    if is_of_16_bits:
        return 65535
    extrema: Any = image.getextrema()  # typed for all modes at once
    low, high = extrema
    if low >= 0 and high <= 255 and (image.mode == "I" or high > 1):
        return 255
    if low >= 0 and high <= 65535 and image.mode == "I":
        return 65535
    raise ValueError(
        f"it is unclear which value is white: mode {image.mode!r} with values from {low:g} to {high:g}; "
        "scale them to 0 to 255 and convert it to L first"
    )


def _in_a_plain_mode(image: Image.Image) -> Image.Image:
    mode = _STORED_OTHERWISE.get(image.mode)
    return image if mode is None else image.convert(mode)


def _in_srgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if not profile:
        return image
    clear = image.convert("RGBA") if image.has_transparency_data else None
    colours = _colours_of(image if clear is None or image.mode in _GREY else clear)
    try:
        given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        seen = ImageCms.buildTransform(given, ImageCms.createProfile("sRGB"), colours.mode, "RGB").apply(colours)
    except (ImageCms.PyCMSError, ImportError, OSError, TypeError, ValueError):
        return image  # viewers ignore a profile that is damaged or of another colour space
    if clear is not None:
        seen.putalpha(clear.getchannel("A"))
        seen.info.pop("transparency", None)
    return seen


def _colours_of(image: Image.Image) -> Image.Image:
    if image.mode in _GREY:
        return image.convert("L")
    return image.convert("RGB") if image.mode in ("P", "RGBA") else image
