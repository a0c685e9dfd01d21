"""
`kling-async gallery`: write a page of the files in a folder or of a batch.
"""

import importlib.util
import json
import os
import sys
import warnings
import webbrowser
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import attrs
import typer

from kling_async.batch.database import beside
from kling_async.batch.journal import Reader
from kling_async.cli.command_runner import end
from kling_async.cli.exit_codes import ExitCode
from kling_async.cli.options import AsJson
from kling_async.cli.task_board import TaskRow, TaskStage
from kling_async.cli.terminal import print_error, write_line
from kling_async.cli.text_input import is_database

if TYPE_CHECKING:
    from kling_async.gallery import GalleryEntry

__all__ = ["entries_of", "gallery", "not_written", "require_gallery"]

EXAMPLES: Final = """\
Examples:
  kling-async gallery pictures
  kling-async gallery pictures --title "Lighthouses" --open
  kling-async gallery run.kling --output batch.html
"""


@attrs.frozen
class _Content:
    """
    The content of a page, and its default path and title.
    """

    entries: "Iterable[GalleryEntry]"
    page: Path
    title: str
    note: str = ""


def gallery(
    *,
    source: Annotated[
        Path,
        typer.Argument(metavar="DIR|JOURNAL", exists=True, help="Folder of pictures, videos and sounds, or journal."),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Default: DIR/gallery.html, or JOURNAL with suffix .html."),
    ] = None,
    title: Annotated[str | None, typer.Option(metavar="TEXT", help="Heading (default: the name of the source)")] = None,
    as_json: AsJson = False,
    is_opened: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """
    Write a page to browse, search and play what was made.

    JOURNAL is the journal of a batch, which may be running.
    """
    require_gallery()
    end(lambda: _write(source, output, title, as_json=as_json, is_opened=is_opened))


def _write(source: Path, output: Path | None, title: str | None, *, as_json: bool, is_opened: bool) -> ExitCode:
    from PIL import Image  # noqa: PLC0415 (needs its own extra)

    from kling_async.gallery import write_gallery  # noqa: PLC0415

    warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the page reports pictures that are too large
    page = output
    count: Counter[bool] = Counter()
    try:
        content = _folder(source) if source.is_dir() else _journal(source)
        page = output or content.page
        write_gallery(_counted(content.entries, count), page, title=title or content.title, note=content.note)
    except OSError as error:
        raise typer.BadParameter(not_written(page or source, error)) from None
    # "pictures" is older than other kinds of files, and stays
    facts = {"path": str(page), "pictures": count[True], "files": count[True]}
    write_line(sys.stdout, json.dumps(facts) if as_json else str(page))
    if is_opened and not webbrowser.open(page.absolute().as_uri()):
        print_error("No browser was found: open the page yourself.")
    return ExitCode.SUCCESS


def _counted(entries: "Iterable[GalleryEntry]", count: Counter[bool]) -> "Iterator[GalleryEntry]":
    # Counts entries with a file and entries without.
    for entry in entries:
        count[entry.path is not None] += 1
        yield entry


def _folder(folder: Path) -> _Content:
    from kling_async.gallery import read_folder  # noqa: PLC0415

    entries = read_folder(folder)
    if not entries:
        raise typer.BadParameter(f"no picture, video or sound in {str(folder)!r}", param_hint="DIR")
    return _Content(entries, folder / "gallery.html", Path(os.path.realpath(folder)).name)


def _no_source(path: Path) -> str:
    wanted = f"{str(path)!r} is neither a folder with pictures, videos and sounds nor the journal of a batch"
    journal = beside(path, ".kling")
    nearest = journal if journal.is_file() else path.parent
    return wanted if nearest == Path() else f"{wanted}; did you mean {str(nearest)!r}?"


def _journal(path: Path) -> _Content:
    from kling_async.gallery import read_journal  # noqa: PLC0415

    if path.suffix != ".kling" and not is_database(path):
        raise typer.BadParameter(_no_source(path), param_hint="DIR|JOURNAL")
    with Reader(path) as reader:
        summary = reader.summary()
    if summary.queued == summary.rows:
        raise typer.BadParameter(f"no row of {str(path)!r} has been sent", param_hint="JOURNAL")
    if summary.files > 1000:
        print_error(f"Making thumbnails of {summary.files:,} files; the first time, this takes a while.")
    note = f"{summary.queued:,} of {summary.rows:,} rows not sent yet" if summary.queued else ""
    return _Content(read_journal(path), path.with_suffix(".html"), path.stem, note)


def not_written(page: Path, error: OSError) -> str:
    """
    Return the message for a page that could not be written, without the name of its temporary file.
    """
    return f"the page {str(page)!r} was not written: {error.strerror or error}"


def require_gallery() -> None:
    """
    End the command if a package that the gallery needs is not installed.
    """
    for module, name in (("jinja2", "Jinja"), ("PIL", "Pillow")):
        if importlib.util.find_spec(module) is None:
            print_error(f'The gallery needs {name}, which is not installed: pip install "kling-async[cli]"')
            raise typer.Exit(ExitCode.USAGE)


def entries_of(rows: Sequence[TaskRow], now: float, default_model: str) -> "Iterator[GalleryEntry]":
    """
    Yield an entry for each saved file of *rows*, and one for each row without files.

    Args:
        now: By the board's clock.
        default_model: The model of requests that name none.
    """
    from kling_async.gallery import GalleryEntry, entry_of  # noqa: PLC0415 (needs its own extra)

    for row in rows:
        asked = entry_of(row.request) if row.request is not None else GalleryEntry()
        about = attrs.evolve(
            asked,
            model_name=asked.model_name or default_model,
            task_id=row.task_id,
            seconds=row.seconds(now) if row.accepted_at is not None else None,
            units=row.units,
            cash=row.cash.quota if row.cash is not None else None,
            state="failed" if row.stage is TaskStage.FAILED else "done",
            error=f"{type(row.error).__name__}: {row.error}" if row.error is not None else None,
        )
        for index, path in enumerate(row.paths):
            is_whole = row.error is None  # after a failed download the indexes are unknown
            yield attrs.evolve(about, path=Path(path), index=index if is_whole else None)
        if not row.paths:
            yield about
