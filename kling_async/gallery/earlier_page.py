"""
Takes the previews of unchanged files from the page that is about to be replaced, so that only new ones are made.
"""

import contextlib
import hashlib
import os
import stat
from pathlib import Path
from typing import BinaryIO, Final, cast

from kling_async.gallery.previews import FileKind, Preview

__all__ = ["EarlierPage", "describe_preview", "stamp_of"]

_RECIPE: Final = "1"  # to be increased if previews are made in another way
_DOCTYPE: Final = b"<!doctype html>\n"
_TILE: Final = b'<li data-made="'
_PICTURES: Final = ((b'"data:image/webp;base64,', b'"'), (b"'data:image/svg+xml,", b"'"))
_STAMP_LENGTH: Final = 32


def stamp_of(path: Path, href: str | None) -> str | None:
    """
    Return a text that changes if the file at *path* does; None if there is no such file, or the page cannot reach it.
    """
    if href is None:
        return None
    try:
        facts = os.stat(path)  # noqa: PTH116 (half as long as by way of Path, for each of thousands)
    except OSError:
        return None
    if not stat.S_ISREG(facts.st_mode):
        return None
    text = f"{_RECIPE}\n{facts.st_size}\n{facts.st_mtime_ns}\n{href}"
    return hashlib.blake2b(text.encode(), digest_size=_STAMP_LENGTH // 2).hexdigest()


def describe_preview(preview: Preview, stamp: str | None) -> str | None:
    """
    Return what a page says of a preview, besides its picture, so that the next page can use it; None if it cannot.
    """
    if stamp is None or preview.picture is None:
        return None
    size = "x".join(map(str, preview.size)) if preview.size else "-"
    return f"{stamp} {preview.kind} {size} {'-' if preview.seconds is None else preview.seconds}"


class EarlierPage:
    """
    The page that was written before. It is read once, and previews are read again as they are asked for, so that
    only their places are held in memory.
    """

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO | None = None
        self._places: dict[bytes, int] = {}
        if not path.is_file():
            return
        with contextlib.suppress(OSError):  # one that may not be read can be replaced nevertheless
            self._file = path.open("rb")
            self._places = _places(self._file)

    def close(self) -> None:
        """
        Close its file. Does nothing if it is closed.
        """
        if self._file is not None:
            self._file.close()

    def find(self, stamp: str | None) -> Preview | None:
        """
        Return the preview of the file with *stamp*; None if it is not in the page.
        """
        place = self._places.get(stamp.encode()) if stamp is not None else None
        if self._file is None or place is None:
            return None
        self._file.seek(place)
        try:
            return _parse(self._file.readline(), self._file.readline())
        except ValueError:  # edited by hand
            return None


def _places(file: BinaryIO) -> dict[bytes, int]:
    # Where the tile of each stamp begins.
    places: dict[bytes, int] = {}
    place = len(_DOCTYPE)
    if file.readline(place) != _DOCTYPE:  # another file, which may be a single line of any length
        return places
    for line in file:
        if line.startswith(_TILE):
            places[line[len(_TILE) : len(_TILE) + _STAMP_LENGTH]] = place
        place += len(line)
    return places


def _parse(head: bytes, body: bytes) -> Preview:
    described = head.removeprefix(_TILE).partition(b'"')[0].decode()
    _, kind, sides, length = described.split(" ")
    width, _, height = sides.partition("x")
    size = (int(width), int(height)) if height else None
    seconds = None if length == "-" else float(length)
    if kind not in ("image", "video", "audio"):
        raise ValueError(kind)
    return Preview(cast("FileKind", kind), _picture(body), size, seconds)


def _picture(body: bytes) -> str:
    for start, end in _PICTURES:
        if (place := body.find(start)) >= 0:
            return body[place + 1 : body.index(end, place + 1)].decode("ascii")
    raise ValueError("there is no picture")
