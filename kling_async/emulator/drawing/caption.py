"""
Writes the caption at the bottom of a picture: the prompt in at most two lines, and the facts.
"""

import functools
import math
import re

from PIL import Image, ImageDraw, ImageFilter, ImageFont

from kling_async.emulator.drawing.canvas import spread

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def write_caption(image: Image.Image, prompt: str, facts: str, *, is_frosted: bool) -> None:
    """
    Write *prompt* and *facts*, unless the picture is too small for letters.

    Args:
        is_frosted: Whether to blur the background, which may have its own caption.
    """
    large = round(math.sqrt(image.width * image.height) / 46)
    if large < 7:
        return  # too small to read
    small, margin = max(6, round(large * 0.62)), round(large * 1.1)
    lines = wrapped(prompt, _font(large), image.width - 2 * margin)
    strip = round(margin * 2.2 + small * 1.5 + large * 1.25 * len(lines))
    _darken(image, min(strip, image.height), frost=large if is_frosted else 0)
    pen = ImageDraw.Draw(image, "RGBA")
    y = image.height - margin - small
    pen.text((margin, y), _writable(facts)[:120], font=_font(small), fill=(255, 255, 255, 150))
    for line in reversed(lines):
        y -= round(large * 1.25)
        pen.text((margin, y - large * 0.1), line, font=_font(large), fill=(255, 255, 255, 232))


def _darken(image: Image.Image, strip: int, *, frost: int) -> None:
    box = 0, image.height - strip, image.width, image.height
    slope = Image.linear_gradient("L")
    if frost:
        blurred = image.crop(box).filter(ImageFilter.BoxBlur(frost))
        image.paste(blurred, box, slope.point(lambda level: level * 4).resize(blurred.size))
    dark = slope.point(lambda level: 170 * (level / 255) ** 1.4)
    column = dark.resize((1, strip), box=(0, 0, 1, 256))
    spread(image, (8, 8, 18), box[:2], column.resize((image.width, strip), Image.Resampling.NEAREST))


@functools.cache
def _font(size: int) -> Font:
    return ImageFont.load_default(size)


@functools.lru_cache(maxsize=4096)
def _can_write(character: str) -> bool:
    font = _font(20)
    return character.isprintable() and bytes(font.getmask(character)) != bytes(font.getmask("\uffff"))


def _writable(text: str) -> str:
    # Characters that the font lacks become an ellipsis, several in a row only one.
    shown = "".join(character if _can_write(character) else "…" for character in " ".join(text.split()))
    return re.sub("…[… ]*…", "…", shown)


def wrapped(prompt: str, font: Font, room: float) -> list[str]:
    """
    Return at most two lines that fit into *room* pixels; none if the prompt has no letters.
    """
    shown = _writable(prompt[:300])
    words = shown.split() if any(map(str.isalnum, shown)) else []
    full = 0
    while full < len(words) and font.getlength(" ".join(words[: full + 1])) <= room:
        full += 1
    lines = " ".join(words[:full]), _shortened(" ".join(words[full:]), font, room)
    return [line for line in lines if line]


def _shortened(line: str, font: Font, room: float) -> str:
    if font.getlength(line) <= room:
        return line
    while line and font.getlength(f"{line}…") > room:
        line = line[:-1]
    return f"{line.rstrip()}…"
