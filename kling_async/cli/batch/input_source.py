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

from kling_async.cli.batch.input_parser import Format, InputLine, format_of, parse
from kling_async.cli.text_input import START, TextKind, UnreadableText, check_start, detect_kind
from kling_async.wire.dialects import OFFICIAL

__all__ = ["STDIN", "InputSource", "open_input"]

STDIN = "-"


@attrs.frozen
class InputSource:
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

    def lines(self, image_max_bytes: int = OFFICIAL.image_max_bytes) -> Iterator[InputLine]:
        """
        Read all of it, lazily. One reader at a time.

        Args:
            image_max_bytes: Of a reference image, before Base64.
        """
        self._file.seek(0)
        return parse(self._file, self.form, self.folder, image_max_bytes=image_max_bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def open_input(name: str, form: Format | None) -> InputSource:
    """
    Open the file *name*, or stdin for "-". Without *form* it follows from the name's end, and is text for stdin.

    Raises:
        typer.BadParameter: It cannot be read, nothing tells how it is written, or its beginning tells otherwise: each
            line of what is no list of prompts would be paid for as a prompt.
    """
    expected = form or (Format.TEXT if name == STDIN else format_of(name))
    if expected is None:
        raise typer.BadParameter(f"the end of {name!r} does not tell how it is written; give --format")
    told = "stdin" if name == STDIN else repr(name)
    try:
        with contextlib.ExitStack() as stack:
            file, folder = _open(name)
            stack.enter_context(file)
            _check_start(file, expected, is_sure=form is not None)
            stack.pop_all()
    except OSError as error:
        raise typer.BadParameter(f"{told} cannot be read: {error.strerror or error}", param_hint="INPUT") from None
    except UnreadableText as error:
        raise typer.BadParameter(f"{told} {error}", param_hint="INPUT") from None
    return InputSource("stdin" if name == STDIN else name, expected, folder, file)


def _open(name: str) -> tuple[IO[bytes], Path]:
    # The input, and the folder from which it names its pictures: for pipes that is where the command runs.
    if name == STDIN:
        return _spooled(sys.stdin.buffer), Path()
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(Path(name).open("rb"))
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return _spooled(file), Path()
        stack.pop_all()
    return file, Path(name).parent


def _check_start(file: IO[bytes], form: Format, *, is_sure: bool) -> None:
    file.seek(0)
    look = detect_kind(check_start(file.read(START)), "prompt")
    if look is TextKind.ARRAY and (form is Format.JSONL or not is_sure):
        raise UnreadableText(f"looks like {look}; write one object per line, as jq -c '.[]' does")
    if form is Format.TEXT and not is_sure and look is not TextKind.PLAIN:
        better = {TextKind.OBJECTS: "--format jsonl, or ", TextKind.TABLE: "--format csv, or "}.get(look, "")
        raise UnreadableText(f"looks like {look}; say {better}--format text if each line is a prompt")


def _spooled(file: IO[bytes]) -> IO[bytes]:
    spool = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as the source)
    shutil.copyfileobj(file, spool)
    return spool
