"""
Writes the gallery page: one HTML file that needs only the files that it shows.
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
from typing import Final, Literal
from urllib.parse import quote

import attrs
import jinja2
from markupsafe import Markup

from kling_async import __version__
from kling_async.gallery.entry import GalleryEntry
from kling_async.gallery.media_facts import read_media
from kling_async.gallery.thumbnails import make_thumbnail

__all__ = ["write_gallery"]

_WORKERS: Final = min(8, os.cpu_count() or 1)
_AHEAD: Final = 4 * _WORKERS  # thumbnails in memory
_LABELS: Final = {"n": "Pictures"}


def write_gallery(
    entries: Iterable[GalleryEntry], path: str | Path, *, title: str = "Pictures", note: str = ""
) -> None:
    """
    Write *entries* as one HTML page, and replace the file at *path* once everything is written. *note* is shown beside
    the title.

    The page contains its style, its script and thumbnails, and fetches nothing from other hosts. Full-size pictures,
    videos and sounds are not included: the page links to them relative to its own place, so move them together. A
    file that cannot be read is shown as such. Takes a few hundredths of a second per picture, and memory for a few
    pictures at a time. In an event loop, call it through `asyncio.to_thread`.

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


@attrs.frozen(kw_only=True)
class _Tile:
    """
    One entry as the page shows it.

    Attributes:
        kind: Of the file; None if there is none that can be shown.
        href: The file's address relative to the page; None if the page cannot reach it.
        thumbnail: The thumbnail of a picture, as a `data:` URL.
        size: Width and height in pixels, if they are known.
        facts: Labels and texts for the viewer.
        trouble: Why there is nothing to show, or less than was requested.
    """

    entry: GalleryEntry
    kind: Literal["image", "video", "audio"] | None = None
    href: str | None = None
    thumbnail: str | None = None
    size: tuple[int, int] | None = None
    facts: Mapping[str, str] = attrs.field(factory=dict)
    trouble: str | None = None

    @property
    def ratio(self) -> float:
        """
        Width to height, limited to what fits into a row.
        """
        if self.size is None:
            return 16 / 9 if self.kind == "video" else 1.0
        return round(min(3.0, max(0.5, self.size[0] / self.size[1])), 4)

    @property
    def data(self) -> dict[str, object]:
        """
        The data for the page's script.
        """
        return {
            "name": self.entry.name,
            "is_prompt": bool(self.entry.prompt),
            "negative": self.entry.negative_prompt,
            "model": self.entry.model_name,
            "state": self.entry.state,
            "trouble": self.trouble,
            "facts": list(self.facts.items()),
            "kind": self.kind,
            "size": self.size,
        }


def _in_order(entries: Iterable[GalleryEntry], folder: Path, threads: ThreadPoolExecutor) -> Iterator[_Tile]:
    running: deque[Future[_Tile]] = deque()
    for entry in entries:
        running.append(threads.submit(_make_tile, entry, folder))
        if len(running) > _AHEAD:
            yield running.popleft().result()
    while running:
        yield running.popleft().result()


def _make_tile(entry: GalleryEntry, folder: Path) -> _Tile:
    if entry.path is None:
        return _Tile(entry=entry, trouble=entry.error, facts=dict(_facts(entry, folder)))
    href = _href(entry.path, folder)
    if media := read_media(entry.path):
        facts = dict(_facts(entry, folder, media.size, media.seconds))
        return _Tile(entry=entry, kind=media.kind, href=href, size=media.size, facts=facts, trouble=entry.error)
    try:
        thumbnail = make_thumbnail(entry.path)
    except ValueError as error:
        return _Tile(entry=entry, trouble=entry.error or str(error), facts=dict(_facts(entry, folder)))
    size = thumbnail.width, thumbnail.height
    facts = dict(_facts(entry, folder, size))
    return _Tile(
        entry=entry, kind="image", href=href, thumbnail=thumbnail.data_url, size=size, facts=facts, trouble=entry.error
    )


def _href(path: Path, folder: Path) -> str | None:
    try:
        return quote(os.fsencode(os.path.relpath(path, folder).replace(os.sep, "/")))
    except ValueError:  # on another drive of Windows
        return None


def _facts(
    entry: GalleryEntry, folder: Path, size: tuple[int, int] | None = None, length: float | None = None
) -> Iterator[tuple[str, str]]:
    if entry.model_name is not None:
        yield "Model", entry.model_name
    for name, value in entry.settings.items():
        yield _LABELS.get(name, name.replace("_", " ").capitalize()), str(value)
    if size is not None:
        yield "Size", f"{size[0]} \N{MULTIPLICATION SIGN} {size[1]}"
    if length is not None:
        yield "Length", f"{length:.1f} s"
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
    style, script = _read_resource("page.css"), _read_resource("page.js")
    policy = {
        "default-src": "'none'",
        "img-src": "'self' file: data:",
        "media-src": "'self' file:",
        "style-src-elem": _fingerprint(style),
        "style-src-attr": "'unsafe-inline'",  # the shape of each tile
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
    )


def _read_resource(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _fingerprint(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
