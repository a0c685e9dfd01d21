"""
Reads a folder of files as gallery entries.
"""

import os
import re
from pathlib import Path
from typing import Final

from kling_async.gallery.entry import GalleryEntry
from kling_async.gallery.media_facts import read_media
from kling_async.gallery.thumbnails import open_picture

__all__ = ["read_folder"]

_PICTURES: Final = {".png", ".jpg", ".jpeg", ".webp"}
_VIDEOS: Final = {".mp4", ".mov", ".webm"}
_SUFFIXES: Final = _PICTURES | _VIDEOS | {".mp3", ".wav", ".m4a", ".aac", ".ogg"}
_EMULATED: Final = re.compile(r"(?P<model_name>\S+)  · {2}picture (?P<index>\d+)  · ")


def read_folder(directory: str | Path) -> list[GalleryEntry]:
    """
    Return an entry for each picture, video and sound in *directory* and its subfolders, sorted by name. Hidden files
    are left out.

    PNG files may contain their prompt, and MP4 files a title; PNG files of the emulator also contain model and index.

    Raises:
        OSError: The folder cannot be read.
    """
    return [_read(path) for path in _files(Path(directory))]


def _files(directory: Path) -> list[Path]:
    entries = [entry for entry in directory.iterdir() if not entry.name.startswith(".")]
    here = sorted(path for path in entries if path.suffix.lower() in _SUFFIXES and path.is_file())
    below = sorted(path for path in entries if path.is_dir() and not path.is_symlink())
    return here + [path for folder in below if os.access(folder, os.R_OK | os.X_OK) for path in _files(folder)]


def _read(path: Path) -> GalleryEntry:
    texts = _texts(path) if path.suffix.lower() in _PICTURES else {}
    emulated = _EMULATED.match(texts.get("Comment", "")) if texts.get("Software") == "kling_async emulator" else None
    return GalleryEntry(
        path=path,
        prompt=texts.get("Description", "") or (_title(path) if path.suffix.lower() in _VIDEOS else ""),
        model_name=emulated["model_name"] if emulated else None,
        index=int(emulated["index"]) if emulated else None,
    )


def _title(path: Path) -> str:
    media = read_media(path)
    return media.title if media is not None else ""


def _texts(path: Path) -> dict[str, str]:
    try:
        with open_picture(path) as image:
            return {name: text for name, text in image.info.items() if isinstance(name, str) and isinstance(text, str)}
    except ValueError:  # the page reports what is wrong with it
        return {}
