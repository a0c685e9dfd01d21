"""
The page: a file that needs nothing but itself, and the pictures where they lie.
"""

import base64
import errno
import hashlib
import os
import secrets
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import Final
from urllib.parse import quote

import attrs
import jinja2
from markupsafe import Markup

from kling_async import __version__
from kling_async.gallery.entry import GalleryEntry
from kling_async.gallery.thumbnails import Thumbnail, make_thumbnail

__all__ = ["write_gallery"]

_WORKERS: Final = min(8, os.cpu_count() or 1)
_AHEAD: Final = 4 * _WORKERS  # thumbnails in memory
_LABELS: Final = {"n": "Pictures"}


def write_gallery(
    entries: Iterable[GalleryEntry], path: str | Path, *, title: str = "Pictures", note: str = ""
) -> None:
    """
    Write *entries* as one HTML page, replacing the file at *path* only once all is written. *note* stands behind the
    title.

    Style, script and thumbnails are inside, and nothing is fetched from anywhere. The large pictures are not inside:
    the page points to where they lie, seen from where it lies, so move them together. A picture that cannot be read is
    shown as such. Takes a few hundredths of a second for each picture, and memory for a few at a time: in an event
    loop, call it by `asyncio.to_thread`.

    Raises:
        OSError: The page cannot be written.
    """
    target = Path(path)
    if target.is_dir():  # also a path without a name, such as "." or an empty one
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    part = target.with_name(f".{target.name}.{secrets.token_hex(8)}.part")
    try:
        with part.open("x", encoding="utf-8", errors="replace") as file, ThreadPoolExecutor(_WORKERS) as threads:
            file.writelines(_render(title, note, _in_order(entries, target.parent, threads)))
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


@attrs.frozen
class _Tile:
    """
    What the page is told of an entry.

    Attributes:
        href: Where the file lies, seen from the page; None where there is none to be reached.
        facts: Labels and texts, for those who look closer.
        trouble: Why there is nothing to be seen, or less than was asked for.
    """

    entry: GalleryEntry
    href: str | None
    thumbnail: Thumbnail | None
    facts: Mapping[str, str]
    trouble: str | None

    @property
    def ratio(self) -> float:
        """
        Width to height, within what a row of pictures can bear.
        """
        thumbnail = self.thumbnail
        return round(min(3.0, max(0.5, thumbnail.width / thumbnail.height)), 4) if thumbnail else 1.0

    @property
    def data(self) -> dict[str, object]:
        """
        What the script knows of it.
        """
        return {
            "name": self.entry.name,
            "is_prompt": bool(self.entry.prompt),
            "negative": self.entry.negative_prompt,
            "model": self.entry.model_name,
            "state": self.entry.state,
            "trouble": self.trouble,
            "facts": list(self.facts.items()),
            "size": (self.thumbnail.width, self.thumbnail.height) if self.thumbnail else None,
        }


def _in_order(entries: Iterable[GalleryEntry], folder: Path, threads: ThreadPoolExecutor) -> Iterator[_Tile]:
    under_way: deque[Future[_Tile]] = deque()
    for entry in entries:
        under_way.append(threads.submit(_make_tile, entry, folder))
        if len(under_way) > _AHEAD:
            yield under_way.popleft().result()
    while under_way:
        yield under_way.popleft().result()


def _make_tile(entry: GalleryEntry, folder: Path) -> _Tile:
    thumbnail, trouble = None, entry.error
    if entry.path is not None:
        try:
            thumbnail = make_thumbnail(entry.path)
        except ValueError as error:
            trouble = trouble or str(error)
    href = _href(entry.path, folder) if entry.path is not None and thumbnail is not None else None
    return _Tile(entry, href, thumbnail, dict(_facts(entry, folder, thumbnail)), trouble)


def _href(path: Path, folder: Path) -> str | None:
    try:
        return quote(os.fsencode(os.path.relpath(path, folder).replace(os.sep, "/")))
    except ValueError:  # on another drive of Windows
        return None


def _facts(entry: GalleryEntry, folder: Path, thumbnail: Thumbnail | None) -> Iterator[tuple[str, str]]:
    if entry.model_name is not None:
        yield "Model", entry.model_name
    for name, value in entry.settings.items():
        yield _LABELS.get(name, name.replace("_", " ").capitalize()), str(value)
    if thumbnail is not None:
        yield "Size", f"{thumbnail.width} \N{MULTIPLICATION SIGN} {thumbnail.height}"
    if entry.index is not None:
        yield "Index", str(entry.index)
    yield "State", entry.state
    if entry.seconds is not None:
        yield "Took", f"{entry.seconds:.1f} s"
    if entry.units is not None:
        n = entry.settings.get("n", 1)
        yield "Units", f"{entry.units.normalize():f}" + ("" if n == 1 else f" for {n} pictures")
    if entry.task_id is not None:
        yield "Task", entry.task_id
    if entry.path is not None:
        is_below = entry.path.is_relative_to(folder)
        yield "File", entry.path.relative_to(folder).as_posix() if is_below else entry.path.name


def _render(title: str, note: str, tiles: Iterator[_Tile]) -> Iterator[str]:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    style, script = _ours("page.css"), _ours("page.js")
    policy = {
        "default-src": "'none'",
        "img-src": "'self' file: data:",
        "style-src-elem": _fingerprint(style),
        "style-src-attr": "'unsafe-inline'",  # the shape of each picture
        "script-src": _fingerprint(script),
        "base-uri": "'none'",
        "form-action": "'none'",
        "require-trusted-types-for": "'script'",
    }
    return environment.from_string(_ours("page.html")).generate(
        title=title,
        note=note,
        policy="; ".join(f"{name} {value}" for name, value in policy.items()),
        style=Markup(style),  # noqa: S704 (our own file)
        script=Markup(script),  # noqa: S704
        version=__version__,
        tiles=tiles,
    )


def _ours(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _fingerprint(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
