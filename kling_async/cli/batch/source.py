"""
Where an input comes from: a file, or stdin and other pipes by way of a temporary file, so that it can be read twice.
"""

import contextlib
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Self

import attrs
import typer

from kling_async.cli.batch.inputs import Format, Line, format_of, parse

__all__ = ["STDIN", "Source", "open_source"]

STDIN = "-"


@attrs.frozen
class Source:
    """
    An input that is open for reading.

    Attributes:
        name: As it is told.
        form: How it is written.
        folder: Where relative paths of reference images begin.
    """

    name: str
    form: Format
    folder: Path
    _file: IO[bytes] = attrs.field(repr=False)

    def lines(self) -> Iterator[Line]:
        """
        Read all of it, lazily. One reader at a time.
        """
        self._file.seek(0)
        return parse(self._file, self.form, self.folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def open_source(name: str, form: Format | None) -> Source:
    """
    Open the file *name*, or stdin for "-". Without *form* it follows from the name's end, and is text for stdin.

    Raises:
        typer.BadParameter: It cannot be read, or nothing tells how it is written.
    """
    if name == STDIN:
        return _open_stdin(form)
    form = form or format_of(name)
    if form is None:
        raise typer.BadParameter(f"the end of {name!r} does not tell how it is written; give --format")
    try:
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(Path(name).open("rb"))
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return Source(name, form, Path(), _spooled(file))
            stack.pop_all()
    except OSError as error:
        raise typer.BadParameter(f"{name!r} cannot be read: {error.strerror or error}", param_hint="INPUT") from None
    return Source(name, form, Path(name).parent, file)


def _open_stdin(form: Format | None) -> Source:
    with contextlib.ExitStack() as stack:
        spool = stack.enter_context(_spooled(sys.stdin.buffer))
        spool.seek(0)
        if form is None and spool.read(1) == b"{":  # each of them would be paid for as a prompt
            raise typer.BadParameter("stdin looks like JSON Lines; say jsonl, or text if it is", param_hint="--format")
        stack.pop_all()
    return Source("stdin", form or Format.TEXT, Path(), spool)


def _spooled(file: IO[bytes]) -> IO[bytes]:
    spool = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as the source)
    shutil.copyfileobj(file, spool)
    return spool
