"""
A function that generates images; `test_thumbnailer.py` shows how to test it.
"""

from pathlib import Path

from PIL import Image

from kling_async import KlingClient


async def make_thumbnail(prompt: str, folder: Path, side: int = 64) -> Path:
    """
    Generate and save an image and a thumbnail whose longer side has *side* pixels; return the thumbnail's path.
    """
    async with KlingClient() as client:
        result = await client.generate(prompt, aspect_ratio="16:9")
        (path,) = await client.save(result, folder)
    thumbnail = path.with_suffix(".thumb.png")
    with Image.open(path) as picture:
        picture.thumbnail((side, side))
        picture.save(thumbnail)
    return thumbnail
