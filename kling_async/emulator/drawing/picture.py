"""
The emulator's pictures: real PNG files, painted from the prompt's words and determined by the arguments alone.

A picture is built from back to front: scene, motifs, reference, caption; `painting` has a room for each.
"""

import hashlib
import io
import math
import random

from PIL import Image, PngImagePlugin

from kling_async.emulator.drawing.canvas import Canvas
from kling_async.emulator.drawing.caption import write_caption
from kling_async.emulator.drawing.motifs import place_motif
from kling_async.emulator.drawing.palettes import PALETTES
from kling_async.emulator.drawing.prompt_keywords import SCENE_PALETTES, choose_scene, read_hints
from kling_async.emulator.drawing.reference_blend import open_reference, shape
from kling_async.emulator.drawing.scenes import SCENES
from kling_async.emulator.drawing.watermark import write_watermark
from kling_async.wire.endpoints.image_generation import AspectRatio, Resolution

__all__ = ["draw", "size_in_pixels"]


def size_in_pixels(aspect_ratio: str, resolution: str) -> tuple[int, int]:
    """
    Return width and height: about a megapixel for "1k" and four for "2k", the sides in multiples of 8.

    Raises:
        ValueError: The ratio or the resolution is not known.
    """
    try:
        across, down = map(int, AspectRatio(aspect_ratio).split(":"))
        enlarged = int(Resolution(resolution).removesuffix("k"))
    except ValueError as error:
        raise ValueError(f"no picture of {aspect_ratio!r} at {resolution!r}: {error}") from None
    width = 1024 * math.sqrt(across / down)
    return round(width / 8) * 8 * enlarged, round(width * down / across / 8) * 8 * enlarged


def draw(
    prompt: str,
    *,
    index: int,
    seed: int,
    model_name: str,
    aspect_ratio: str = "16:9",
    resolution: str = "1k",
    reference: bytes | None = None,
    fidelity: float = 0.5,
    scale: float = 1.0,
    has_watermark: bool = False,
) -> bytes:
    """
    Paint a picture and return it as a PNG file; the same arguments give the same bytes.

    Some words of the prompt, English or Chinese, choose the scene, the light and a motif; what they leave open, the
    prompt's hash chooses.

    Args:
        index: Which of a task's pictures; neighbours differ in composition and light.
        reference: A jpg or png file that shapes the picture.
        fidelity: How much it does: 1 nearly repeats it, 0 takes its colours only.
        scale: Multiplies the sides, none of which becomes less than 16 pixels.
        has_watermark: Whether to mark it: the same picture otherwise.

    Raises:
        ValueError: The reference cannot be read, or there is no such ratio or resolution.
    """
    width, height = (max(16, round(side * scale)) for side in size_in_pixels(aspect_ratio, resolution))
    given = None if reference is None else open_reference(reference, (width, height))
    image = _paint(prompt, index, seed, model_name, (width, height))
    if given is not None:
        image = shape(image, given, min(1.0, max(0.0, fidelity)))
    facts = f"{model_name}  ·  picture {index}  ·  seed {seed}"
    write_caption(image, prompt, facts, is_frosted=given is not None)
    if has_watermark:
        write_watermark(image)
    return _encode(image, prompt, facts)


def _paint(prompt: str, index: int, seed: int, model_name: str, size: tuple[int, int]) -> Image.Image:
    hints, theme, dice = read_hints(prompt), _dice(prompt), _dice(prompt, index, seed, model_name)
    scene = choose_scene(hints, theme)
    choice = hints.palettes or SCENE_PALETTES[scene].split()
    palette = PALETTES[choice[(theme.randrange(len(choice)) + index + seed) % len(choice)]]
    canvas = Canvas(size, palette.varied(dice), dice)
    SCENES[scene](canvas)
    for motif in hints.motifs[:2]:
        place_motif(canvas, motif)
    return canvas.image


def _dice(*facts: object) -> random.Random:
    digest = hashlib.sha256(repr(facts).encode("ascii", "backslashreplace")).digest()
    return random.Random(digest)  # noqa: S311 - pictures are no secret


def _encode(image: Image.Image, prompt: str, facts: str) -> bytes:
    about = PngImagePlugin.PngInfo()
    about.add_itxt("Description", prompt.encode("utf-8", "replace").decode())
    about.add_itxt("Comment", facts.encode("utf-8", "replace").decode())
    about.add_text("Software", "kling_async emulator")
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=4, pnginfo=about)
    return file.getvalue()
