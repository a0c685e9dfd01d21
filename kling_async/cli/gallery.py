"""
`kling-async gallery`: a page of a folder's pictures.
"""

import importlib.util
import json
import sys
import webbrowser
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import attrs
import typer

from kling_async.cli.board import Row, Stage
from kling_async.cli.exits import ExitCode
from kling_async.cli.options import AsJson
from kling_async.cli.screen import complain, write_line

if TYPE_CHECKING:
    from kling_async.gallery import GalleryEntry

__all__ = ["entries_of", "gallery", "not_written", "require_gallery"]

EXAMPLES: Final = """\
Examples:
  kling-async gallery pictures
  kling-async gallery pictures --title "Lighthouses" --open
  kling-async gallery pictures --output pages/lighthouses.html
"""


def gallery(
    *,
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", exists=True, file_okay=False, help="PNG, JPEG and WebP files are shown.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="The page; else gallery.html in DIR.")
    ] = None,
    title: Annotated[str | None, typer.Option(metavar="TEXT", help="Its heading; else the folder's name.")] = None,
    as_json: AsJson = False,
    is_opened: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
) -> None:
    """
    Write a page of the pictures in DIR, to look through.
    """
    require_gallery()
    from kling_async.gallery import read_folder, write_gallery  # noqa: PLC0415 (needs an extra of its own)

    page = output or directory / "gallery.html"
    try:
        entries = read_folder(directory)
        if not entries:
            raise typer.BadParameter(f"there is no PNG, JPEG or WebP file in {str(directory)!r}", param_hint="DIR")
        write_gallery(entries, page, title=title or directory.resolve().name)
    except OSError as error:
        raise typer.BadParameter(not_written(page, error)) from None
    facts = {"path": str(page), "pictures": len(entries)}
    write_line(sys.stdout, json.dumps(facts) if as_json else str(page))
    if is_opened and not webbrowser.open(page.resolve().as_uri()):
        complain("No browser was found here: open the page yourself.")


def not_written(page: Path, error: OSError) -> str:
    """
    Return why there is no page, without the name of the file that it was first written to.
    """
    return f"the page {str(page)!r} was not written: {error.strerror or error}"


def require_gallery() -> None:
    """
    End the command kindly where no page can be made.
    """
    for module, name in (("jinja2", "Jinja"), ("PIL", "Pillow")):
        if importlib.util.find_spec(module) is None:
            complain(f'The gallery needs {name}, which is not installed: pip install "kling-async[cli]"')
            raise typer.Exit(ExitCode.USAGE)


def entries_of(rows: Sequence[Row], now: float, default_model: str) -> "Iterator[GalleryEntry]":
    """
    Yield what became of *rows*: an entry for each picture on the disk, and one for each task that has none.

    Args:
        now: By the board's clock.
        default_model: What made the pictures where a request names no model.
    """
    from kling_async.gallery import GalleryEntry, entry_of  # noqa: PLC0415 (needs an extra of its own)

    for row in rows:
        asked = entry_of(row.request) if row.request is not None else GalleryEntry()
        about = attrs.evolve(
            asked,
            model_name=asked.model_name or default_model,
            task_id=row.task_id,
            seconds=row.seconds(now) if row.accepted_at is not None else None,
            units=row.units,
            state="failed" if row.stage is Stage.FAILED else "done",
            error=f"{type(row.error).__name__}: {row.error}" if row.error is not None else None,
        )
        for index, path in enumerate(row.paths):
            is_whole = row.error is None  # a failed download leaves gaps
            yield attrs.evolve(about, path=path, index=index if is_whole else None)
        if not row.paths:
            yield about
