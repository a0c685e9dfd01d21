"""
One entry as the page shows it.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

import attrs

from kling_async.gallery.earlier_page import describe_preview
from kling_async.gallery.entry import GalleryEntry
from kling_async.gallery.previews import FileKind, Preview, make_preview

__all__ = ["Tile", "address_from", "make_tile", "tile_of"]

_LABELS: Final = {"n": "Pictures"}
_UNITS: Final = {"duration": " s"}
_RATIOS: Final = {"image": 1.0, "video": 16 / 9, "audio": 1.4}  # of files whose size is unknown


@attrs.frozen(kw_only=True)
class Tile:
    """
    One entry as the page shows it.

    Attributes:
        kind: Of the file; None if there is none that can be shown.
        href: The file's address relative to the page; None if the page cannot reach it.
        picture: Of the preview, as a `data:` URL.
        size: Width and height in pixels, if they are known.
        length: Seconds of a video or a sound, if they are known.
        made: What the next page needs to use the preview again.
        facts: Labels and texts for the viewer.
        trouble: Why there is nothing to show, or less than was requested.
    """

    entry: GalleryEntry
    kind: FileKind | None = None
    href: str | None = None
    picture: str | None = None
    size: tuple[int, int] | None = None
    length: float | None = None
    made: str | None = None
    facts: Mapping[str, str] = attrs.field(factory=dict)
    trouble: str | None = None

    @property
    def ratio(self) -> float:
        """
        Width to height, limited to what fits into a row.
        """
        if self.size is None:
            return round(_RATIOS[self.kind or "image"], 4)
        return round(min(3.0, max(0.5, self.size[0] / self.size[1])), 4)

    @property
    def clock(self) -> str:
        """
        The length as players show it: "1:05"; empty if it is unknown.
        """
        if self.length is None:
            return ""
        minutes, seconds = divmod(round(self.length), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"

    @property
    def label(self) -> str:
        """
        What its button does, in one line: the next page looks for the preview in the line of this text.
        """
        noun = "video" if self.kind == "video" else "sound"
        length = "" if self.length is None else f", {self.length:.1f} seconds"
        return f"Play {noun}: {' '.join(self.entry.name.split())}{length}"

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
            "length": self.length,
        }


def make_tile(entry: GalleryEntry, path: Path, folder: Path, href: str | None, stamp: str | None) -> Tile:
    """
    Return the tile of *entry*, whose file is at *path*, with a new preview. The page will be in *folder*.
    """
    try:
        preview = make_preview(path)
    except ValueError as error:
        return Tile(entry=entry, trouble=entry.error or str(error), facts=dict(_facts(entry, folder)))
    return tile_of(entry, folder, preview, href, stamp)


def tile_of(
    entry: GalleryEntry, folder: Path, preview: Preview | None = None, href: str | None = None, stamp: str | None = None
) -> Tile:
    """
    Return the tile of *entry* with *preview*, or without any if it has no file.
    """
    facts = dict(_facts(entry, folder, preview))
    if preview is None:
        return Tile(entry=entry, trouble=entry.error, facts=facts)
    return Tile(
        entry=entry,
        kind=preview.kind,
        href=href,
        picture=preview.picture,
        size=preview.size,
        length=preview.seconds,
        made=describe_preview(preview, stamp),
        facts=facts,
        trouble=entry.error,
    )


def address_from(folder: Path, path: Path) -> str | None:
    """
    Return the address of the file at *path* for a page in *folder*; None if no relative path leads there.
    """
    try:
        return quote(os.fsencode(os.path.relpath(path, folder).replace(os.sep, "/")))
    except ValueError:  # on another drive of Windows
        return None


def _facts(entry: GalleryEntry, folder: Path, preview: Preview | None = None) -> Iterator[tuple[str, str]]:
    if entry.model_name is not None:
        yield "Model", entry.model_name
    if entry.endpoint is not None:
        yield "Endpoint", entry.endpoint
    for name, value in entry.settings.items():
        yield _LABELS.get(name, name.replace("_", " ").capitalize()), f"{value}{_UNITS.get(name, '')}"
    if preview is not None:
        yield from _measures(preview)
    if entry.index is not None:
        yield "Index", str(entry.index)
    yield "State", entry.state
    if entry.seconds is not None:
        yield "Took", f"{entry.seconds:.1f} s"
    yield from _bill(entry)
    if entry.task_id is not None:
        yield "Task", entry.task_id
    if entry.path is not None:
        is_below = entry.path.is_relative_to(folder)
        yield "File", entry.path.relative_to(folder).as_posix() if is_below else entry.path.name


def _bill(entry: GalleryEntry) -> Iterator[tuple[str, str]]:
    if entry.units is not None:
        n = entry.settings.get("n", 1)
        yield "Units", f"{entry.units.normalize():f}" + ("" if n == 1 else f" for {n} pictures")
    if entry.cash is not None:
        yield "Cash", f"{entry.cash.normalize():f}"


def _measures(preview: Preview) -> Iterator[tuple[str, str]]:
    if preview.size is not None:
        yield "Size", f"{preview.size[0]} \N{MULTIPLICATION SIGN} {preview.size[1]}"
    if preview.seconds is not None:
        yield "Length", f"{preview.seconds:.1f} s"
