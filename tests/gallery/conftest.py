"""
Small pictures to show.
"""

import html
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from PIL import Image

from kling_async.gallery import GalleryEntry, write_gallery

Paint: TypeAlias = Callable[..., Path]


@pytest.fixture
def paint(tmp_path: Path) -> Paint:
    """
    Put a picture of one colour at a path of its own below `tmp_path`.
    """
    return painter(tmp_path)


def painter(folder: Path) -> Paint:
    def paint(name: str, size: tuple[int, int] = (64, 36), colour: str = "teal", **saving: Any) -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, colour).save(path, **saving)
        return path

    return paint


def write(folder: Path, *entries: GalleryEntry, title: str = "Pictures") -> str:
    """
    Return the page of *entries* that lies in *folder*.
    """
    write_gallery(entries, folder / "page.html", title=title)
    return (folder / "page.html").read_text(encoding="utf-8")


def read_data(page: str) -> list[dict[str, Any]]:
    """
    Return what the page's script is told of each entry, as a browser reads it.
    """
    return [json.loads(html.unescape(text)) for text in re.findall(r"data-of='([^']*)'", page)]
