"""
Draws a picture from the words of a prompt. The same arguments give the same picture.

A picture is drawn from back to front: the scene, motifs, the reference image, the caption.
"""

import hashlib
import io
import random
import zlib

from PIL import Image, PngImagePlugin

from kling_async.emulator.drawing.canvas import Canvas
from kling_async.emulator.drawing.caption import write_caption
from kling_async.emulator.drawing.motifs import place_motif
from kling_async.emulator.drawing.moving_parts import MovingParts
from kling_async.emulator.drawing.palettes import PALETTES
from kling_async.emulator.drawing.prompt_keywords import SCENE_PALETTES, choose_scene, read_hints
from kling_async.emulator.drawing.reference_blend import open_reference, shape
from kling_async.emulator.drawing.scenes import SCENES
from kling_async.emulator.drawing.watermark import write_watermark
from kling_async.emulator.picture_size import size_in_pixels

__all__ = ["draw", "draw_image", "paint"]


def draw(
    prompt: str,
    *,
    index: int,
    seed: int,
    model_name: str,
    aspect_ratio: str = "16:9",
    resolution: str = "1k",
    scale: float = 1.0,
    reference: bytes | None = None,
    fidelity: float = 0.5,
    has_watermark: bool = False,
) -> bytes:
    """
    Return a picture as a PNG file. See `draw_image`.

    Args:
        scale: Multiplies the sides; no side becomes less than 16 pixels.

    Raises:
        ValueError: The reference cannot be read, or the ratio or the resolution is unknown.
    """
    image = draw_image(
        prompt,
        index=index,
        seed=seed,
        model_name=model_name,
        size=size_in_pixels(aspect_ratio, resolution, scale),
        reference=reference,
        fidelity=fidelity,
        has_watermark=has_watermark,
    )
    return _encode(image, prompt, _facts(model_name, index, seed))


def draw_image(
    prompt: str,
    *,
    index: int,
    seed: int,
    model_name: str,
    size: tuple[int, int],
    reference: bytes | None = None,
    fidelity: float = 0.5,
    has_watermark: bool = False,
) -> Image.Image:
    """
    Return a picture of this size.

    Some English and Chinese words of the prompt choose the scene, the light and motifs. The prompt's hash chooses the
    rest.

    Args:
        index: The place among the task's pictures; neighbours differ in composition and light.
        reference: A jpg or png file that shapes the picture.
        fidelity: How strongly it does: 1 nearly repeats it, 0 takes only its colours.
        has_watermark: Whether to add the watermark; the picture is the same otherwise.

    Raises:
        ValueError: The reference cannot be read.
    """
    given = None if reference is None else open_reference(reference, size)
    image = paint(prompt, index=index, seed=seed, model_name=model_name, size=size).image
    if given is not None:
        image = shape(image, given, min(1.0, max(0.0, fidelity)))
    write_caption(image, prompt, _facts(model_name, index, seed), is_frosted=given is not None)
    if has_watermark:
        write_watermark(image)
    return image


def _facts(model_name: str, index: int, seed: int) -> str:
    return f"{model_name}  ·  picture {index}  ·  seed {seed}"


def paint(
    prompt: str,
    *,
    index: int,
    seed: int,
    model_name: str,
    size: tuple[int, int],
    moving: MovingParts | None = None,
) -> Canvas:
    """
    Paint the scene and the motifs of a picture, without reference and caption. See `draw_image`.

    Args:
        moving: Takes what moves in a video, which is left out.
    """
    hints, theme, dice = read_hints(prompt), _dice(prompt), _dice(prompt, index, seed, model_name)
    scene = choose_scene(hints, theme)
    choice = hints.palettes or SCENE_PALETTES[scene].split()
    palette = PALETTES[choice[(theme.randrange(len(choice)) + index + seed) % len(choice)]]
    canvas = Canvas(size, palette.varied(dice), dice, moving)
    SCENES[scene](canvas)
    for motif in hints.motifs[:2]:
        place_motif(canvas, motif)
    return canvas


def _dice(*facts: object) -> random.Random:
    digest = hashlib.sha256(repr(facts).encode("ascii", "backslashreplace")).digest()
    return random.Random(digest)  # noqa: S311 - pictures are no secret


def _encode(image: Image.Image, prompt: str, facts: str) -> bytes:
    about = PngImagePlugin.PngInfo()
    about.add_itxt("Description", prompt.encode("utf-8", "replace").decode())
    about.add_itxt("Comment", facts.encode("utf-8", "replace").decode())
    about.add_text("Software", "kling_async emulator")
    file = io.BytesIO()
    # What is left of gradients by the filters of PNG are long runs of equal bytes.
    image.save(file, "PNG", compress_type=zlib.Z_RLE, pnginfo=about)
    return file.getvalue()
