"""
Previews of pictures and links to files.
"""

import base64
import io
import os
from pathlib import Path

import pytest
from mcp.types import ContentBlock, ImageContent, ResourceLink
from PIL import Image

from kling_async.integrations.mcp.contents import contents_of

EVENT_MAX = 700_000
"""
Characters of all previews of a result: over HTTP, clients refuse an event of more than 1 MiB.
"""


def noise(path: Path, width: int, height: int) -> Path:
    """
    Write a picture that hardly can be compressed.
    """
    Image.frombytes("RGB", (width, height), os.urandom(3 * width * height)).save(path)
    return path


def opened(content: ContentBlock) -> Image.Image:
    assert isinstance(content, ImageContent)
    assert content.mime_type == "image/jpeg"
    return Image.open(io.BytesIO(base64.b64decode(content.data)))


@pytest.mark.parametrize(("count", "size"), [(1, (1600, 900)), (9, (560, 315))])
async def test_large_pictures_are_scaled_down_to_fit_together(
    count: int, size: tuple[int, int], tmp_path: Path
) -> None:
    """
    However many there are, and even if they are noise; the links lead to the files as they are.
    """
    paths = [noise(tmp_path / f"{index}.png", *size) for index in range(count)]

    contents = await contents_of(paths)

    pictures, links = contents[:count], contents[count:]
    assert sum(len(each.data) for each in pictures if isinstance(each, ImageContent)) < EVENT_MAX
    assert [path.stat().st_size for path in paths] == [each.size for each in links if isinstance(each, ResourceLink)]
    for picture in map(opened, pictures):
        assert 256 <= picture.width < size[0]
        assert abs(picture.width / picture.height - 16 / 9) < 0.02


async def test_small_pictures_keep_their_size(tmp_path: Path) -> None:
    """
    And what is transparent is shown on white, since JPEG has no transparency.
    """
    Image.new("RGBA", (64, 32), (255, 0, 0, 0)).save(tmp_path / "clear.png")

    picture = opened((await contents_of([tmp_path / "clear.png"]))[0])

    assert (64, 32) == picture.size
    assert (255, 255, 255) == picture.convert("RGB").getpixel((10, 10))


async def test_what_cannot_be_shown_is_only_linked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A damaged picture, a picture that cannot be made small enough, a video, a file of an unknown kind.
    """
    names = ["damaged.png", "clip.mp4", "sound.mp3", "thing.nothing"]
    for name in names:
        (tmp_path / name).write_bytes(b"no picture")
    monkeypatch.setattr("kling_async.integrations.mcp.contents._ALL_PREVIEWS", 1000)
    paths = [*(tmp_path / name for name in names), noise(tmp_path / "noise.png", 600, 600)]

    contents = await contents_of(paths)

    links = [each for each in contents if isinstance(each, ResourceLink)]
    assert contents == links
    assert ["image/png", "video/mp4", "audio/mpeg", "application/octet-stream"] == [
        each.mime_type for each in links[:4]
    ]


async def test_addresses_of_files_are_quoted(tmp_path: Path) -> None:
    """
    The SDK passes them on as they are.
    """
    (tmp_path / "a b#ü.mp4").write_bytes(b"x")

    [link] = await contents_of([tmp_path / "a b#ü.mp4"])

    assert isinstance(link, ResourceLink)
    assert link.uri.endswith("/a%20b%23%C3%BC.mp4")
    assert link.uri.startswith("file:///")
