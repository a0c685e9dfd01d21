"""
A function of your own that makes pictures; `test_thumbnailer.py` shows how it is tested.
"""

from pathlib import Path

from PIL import Image

from kling_async import KlingClient


async def make_thumbnail(prompt: str, folder: Path, side: int = 64) -> Path:
    """
    Make a picture and save it with a thumbnail beside it, whose longer side has *side* pixels; return its path.
    """
    async with KlingClient() as client:
        result = await client.generate(prompt, aspect_ratio="16:9")
        (path,) = await client.save(result, folder)
    thumbnail = path.with_suffix(".thumb.png")
    with Image.open(path) as picture:
        picture.thumbnail((side, side))
        picture.save(thumbnail)
    return thumbnail
