"""
Saved files as the contents of a tool's result: small pictures that a model can look at, and links to all files.
"""

import asyncio
import base64
import io
import mimetypes
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from mcp.types import ContentBlock, ImageContent, ResourceLink
from PIL import Image

from kling_async.gallery.thumbnails import open_picture
from kling_async.wire.pillow_images import as_seen

__all__ = ["contents_of", "link_to", "mime_type_of"]

_ALL_PREVIEWS: Final = 450_000
"""
Bytes of all pictures of a result before Base64. Over HTTP, clients refuse an event of more than 1 MiB.
"""

_TRIALS: Final = ((1024, 85), (1024, 70), (768, 70), (512, 65), (384, 55), (256, 45))
"""
The longer side in pixels and the quality of JPEG to try, until a picture has its share of the bytes.
"""

_PICTURES: Final = ("image/png", "image/jpeg", "image/webp", "image/gif")


async def contents_of(paths: Sequence[Path]) -> list[ContentBlock]:
    """
    Return a preview of each picture among the files at *paths*, then a link to each file. A picture that cannot be made
    small enough is only linked.
    """
    pictures = [path for path in paths if mime_type_of(path) in _PICTURES]
    share = _ALL_PREVIEWS // max(1, len(pictures))
    previews = [await asyncio.to_thread(_preview, path, share) for path in pictures]
    shown = [
        ImageContent(type="image", data=base64.b64encode(data).decode("ascii"), mime_type="image/jpeg")
        for data in previews
        if data is not None
    ]
    return [*shown, *(link_to(path) for path in paths)]


def link_to(path: Path) -> ResourceLink:
    """
    Return a link to a saved file.
    """
    return ResourceLink(
        type="resource_link",
        name=path.name,
        uri=path.absolute().as_uri(),
        mime_type=mime_type_of(path),
        size=path.stat().st_size,
    )


def mime_type_of(path: Path) -> str:
    """
    Return the media type that the name of a saved file says. `save` names files by their content.
    """
    return mimetypes.guess_type(path.name)[0] or "application/octet-stream"


def _preview(path: Path, most: int) -> bytes | None:
    # None if it is not small enough, or cannot be decoded.
    try:
        with open_picture(path) as image:
            side, _ = _TRIALS[0]
            image.thumbnail((side, side), reducing_gap=2.0)
            small = _on_white(as_seen(image))
    except ValueError:
        return None
    for side, quality in _TRIALS:
        small.thumbnail((side, side))
        file = io.BytesIO()
        small.save(file, "JPEG", quality=quality, optimize=True)
        if file.tell() <= most:
            return file.getvalue()
    return None


def _on_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")
