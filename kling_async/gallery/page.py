"""
Writes the gallery page: one HTML file that needs only the files that it shows.
"""

import base64
import contextlib
import errno
import hashlib
import os
import secrets
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import Final

import jinja2
from markupsafe import Markup

from kling_async import __version__
from kling_async.gallery.bill import Bill
from kling_async.gallery.earlier_page import EarlierPage, stamp_of
from kling_async.gallery.entry import GalleryEntry
from kling_async.gallery.tile import Tile, address_from, make_tile, tile_of

__all__ = ["write_gallery"]

_WORKERS: Final = min(8, os.cpu_count() or 1)
_AHEAD: Final = 4 * _WORKERS  # previews in memory


def write_gallery(entries: Iterable[GalleryEntry], path: str | Path, *, title: str = "Gallery", note: str = "") -> None:
    """
    Write *entries* as one HTML page, and replace the file at *path* once everything is written. *note* is shown beside
    the title.

    The page contains its style, its script and thumbnails, and fetches nothing from other hosts. Full-size pictures,
    videos and sounds are not included: the page links to them relative to its own place, so move them together. A
    file that cannot be read is shown as such. A video shows a frame if PyAV is installed (extra "video"), otherwise
    its first frame in the browser; a sound shows its waveform.

    Takes a few hundredths of a second per file, and memory for a few files at a time. Thumbnails of files that have
    not changed are taken from the page that is replaced. In an event loop, call it through `asyncio.to_thread`.

    Raises:
        OSError: The page cannot be written.
    """
    target = Path(path)
    if target.is_dir():  # also a path without a name, such as "." or an empty one
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    part = target.with_name(f".{target.name}.{secrets.token_hex(8)}.part")
    try:
        with (
            contextlib.closing(EarlierPage(target)) as earlier,
            part.open("x", encoding="utf-8", errors="replace") as file,
            ThreadPoolExecutor(_WORKERS) as threads,
        ):
            bill = Bill()
            tiles = _in_order(bill.adding(entries), target.parent, earlier, threads)
            file.writelines(_render(title, note, tiles, bill))
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _in_order(
    entries: Iterable[GalleryEntry], folder: Path, earlier: EarlierPage, threads: ThreadPoolExecutor
) -> Iterator[Tile]:
    running: deque[Future[Tile] | Tile] = deque()
    for entry in entries:
        running.append(_begin_tile(entry, folder, earlier, threads))
        while running and (len(running) > _AHEAD or isinstance(running[0], Tile)):
            yield _finished(running.popleft())
    while running:
        yield _finished(running.popleft())


def _begin_tile(
    entry: GalleryEntry, folder: Path, earlier: EarlierPage, threads: ThreadPoolExecutor
) -> Future[Tile] | Tile:
    if entry.path is None:
        return tile_of(entry, folder)
    href = address_from(folder, entry.path)
    stamp = stamp_of(entry.path, href)
    if preview := earlier.find(stamp):
        return tile_of(entry, folder, preview, href, stamp)
    return threads.submit(make_tile, entry, entry.path, folder, href, stamp)


def _finished(tile: Future[Tile] | Tile) -> Tile:
    return tile if isinstance(tile, Tile) else tile.result()


def _render(title: str, note: str, tiles: Iterator[Tile], bill: Bill) -> Iterator[str]:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    style, script = _read_resource("page.css"), _read_resource("page.js")
    policy = {
        "default-src": "'none'",
        "img-src": "'self' file: data:",
        "media-src": "'self' file:",
        "style-src-elem": _fingerprint(style),
        "style-src-attr": "'unsafe-inline'",  # the shape of each tile, and the waveform of a sound
        "script-src": _fingerprint(script),
        "base-uri": "'none'",
        "form-action": "'none'",
        "require-trusted-types-for": "'script'",
    }
    return environment.from_string(_read_resource("page.html")).generate(
        title=title,
        note=note,
        policy="; ".join(f"{name} {value}" for name, value in policy.items()),
        style=Markup(style),  # noqa: S704 (our own file)
        script=Markup(script),  # noqa: S704
        version=__version__,
        tiles=tiles,
        bill=bill,  # complete when all tiles are
    )


def _read_resource(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _fingerprint(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
