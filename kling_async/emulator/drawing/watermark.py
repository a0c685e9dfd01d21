"""
Writes the watermark on the second copy of a picture, if the request wants one.
"""

import math

from PIL import Image, ImageDraw, ImageFont

TEXT = "EMULATED"


def write_watermark(image: Image.Image) -> None:
    """
    Write the watermark into the upper right corner.
    """
    size = max(6, round(math.sqrt(image.width * image.height) / 24))
    font, margin = ImageFont.load_default(size), size // 2
    pen = ImageDraw.Draw(image, "RGBA")
    place = (image.width - margin - pen.textlength(TEXT, font=font), margin)
    pen.text(
        place, TEXT, font=font, fill=(255, 255, 255, 210), stroke_width=max(1, size // 16), stroke_fill=(0, 0, 0, 90)
    )
