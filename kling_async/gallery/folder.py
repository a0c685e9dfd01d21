"""
A folder of pictures, and what its files tell of themselves.
"""

import os
import re
from pathlib import Path
from typing import Final

from kling_async.gallery.entry import GalleryEntry
from kling_async.gallery.thumbnails import open_picture

__all__ = ["read_folder"]

_ENDINGS: Final = {".png", ".jpg", ".jpeg", ".webp"}
_DRAWN: Final = re.compile(r"(?P<model_name>\S+)  · {2}picture (?P<index>\d+)  · ")


def read_folder(directory: str | Path) -> list[GalleryEntry]:
    """
    Return an entry for each PNG, JPEG and WebP file in *directory* and its subfolders, by name; none for hidden ones.

    PNG files may tell their prompt, and those of the emulator their model and index too.

    Raises:
        OSError: The folder cannot be read.
    """
    return [_read(path) for path in _pictures(Path(directory))]


def _pictures(directory: Path) -> list[Path]:
    found = [entry for entry in directory.iterdir() if not entry.name.startswith(".")]
    here = sorted(path for path in found if path.suffix.lower() in _ENDINGS and path.is_file())
    below = sorted(path for path in found if path.is_dir() and not path.is_symlink())
    return here + [path for folder in below if os.access(folder, os.R_OK | os.X_OK) for path in _pictures(folder)]


def _read(path: Path) -> GalleryEntry:
    told = _texts(path)
    drawn = _DRAWN.match(told.get("Comment", "")) if told.get("Software") == "kling_async emulator" else None
    return GalleryEntry(
        path=path,
        prompt=told.get("Description", ""),
        model_name=drawn["model_name"] if drawn else None,
        index=int(drawn["index"]) if drawn else None,
    )


def _texts(path: Path) -> dict[str, str]:
    try:
        with open_picture(path) as image:
            return {name: text for name, text in image.info.items() if isinstance(name, str) and isinstance(text, str)}
    except ValueError:  # the page shows that it is no picture
        return {}
