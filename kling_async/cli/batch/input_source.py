"""
Opens an input: a file, or stdin or another pipe, which is copied to a temporary file so that it can be read twice.
"""

import contextlib
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, Final, Self

import attrs
import typer

from kling_async.cli.batch.input_parser import InputLine, format_of, parse
from kling_async.cli.input_options import Format
from kling_async.cli.text_input import START, TextKind, UnreadableText, check_start, detect_kind
from kling_async.wire.dialects import OFFICIAL

__all__ = ["STDIN", "InputSource", "open_input"]

STDIN = "-"

_SPREADSHEETS: Final = frozenset({".xlsx", ".xlsm", ".xlsb", ".xls", ".ods", ".numbers"})


@attrs.frozen
class InputSource:
    """
    An open input.

    Attributes:
        name: As it is shown.
        folder: What paths of reference images are relative to.
        ignored: Columns that are left out.
    """

    name: str
    form: Format
    folder: Path
    _file: IO[bytes] = attrs.field(repr=False)
    ignored: Collection[str] = ()

    def lines(self, image_max_bytes: int = OFFICIAL.image_max_bytes) -> Iterator[InputLine]:
        """
        Parse the whole input lazily. Only one iterator may be in use.

        Args:
            image_max_bytes: The largest reference image, before Base64.
        """
        self._file.seek(0)
        return parse(self._file, self.form, self.folder, image_max_bytes=image_max_bytes, ignored=self.ignored)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def open_input(name: str, form: Format | None, ignored: Collection[str] = ()) -> InputSource:
    """
    Open the file *name*, or stdin for "-". Without *form* the suffix decides, and stdin is text. Columns that are
    *ignored* are left out.

    Raises:
        typer.BadParameter: It cannot be read, its format is unknown, or its beginning contradicts the format: each line
            of a file that is not a list of prompts would be paid for as a prompt.
    """
    expected = form or (Format.TEXT if name == STDIN else format_of(name))
    if expected is None:
        raise typer.BadParameter(f"{name!r} {_advice_on(Path(name).suffix.lower())}", param_hint="INPUT")
    shown = "stdin" if name == STDIN else repr(name)
    try:
        with contextlib.ExitStack() as stack:
            file, folder = _open(name)
            stack.enter_context(file)
            _check_start(file, expected, is_sure=form is not None)
            stack.pop_all()
    except OSError as error:
        raise typer.BadParameter(f"{shown} cannot be read: {error.strerror or error}", param_hint="INPUT") from None
    except UnreadableText as error:
        raise typer.BadParameter(f"{shown} {error}", param_hint="INPUT") from None
    return InputSource("stdin" if name == STDIN else name, expected, folder, file, ignored)


def _advice_on(suffix: str) -> str:
    if suffix in _SPREADSHEETS:
        return "is a spreadsheet; export the table as CSV in UTF-8 (Excel: Save As, CSV UTF-8), and give that file"
    return "has an unknown format; use --format jsonl, csv or text"


def _open(name: str) -> tuple[IO[bytes], Path]:
    # Returns the file, and the folder that image paths are relative to: for pipes, the working directory.
    if name == STDIN:
        return _copy_to_temp(sys.stdin.buffer), Path()
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(Path(name).open("rb"))
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return _copy_to_temp(file), Path()
        stack.pop_all()
    return file, Path(name).parent


def _check_start(file: IO[bytes], form: Format, *, is_sure: bool) -> None:
    file.seek(0)
    kind = detect_kind(check_start(file.read(START)), "prompt")
    if form is Format.TEXT and not is_sure and kind is not TextKind.PLAIN:
        json = "--format jsonl, or "
        better = {TextKind.OBJECTS: json, TextKind.ARRAY: json, TextKind.TABLE: "--format csv, or "}.get(kind, "")
        raise UnreadableText(f"looks like {kind}; use {better}--format text if each line is a prompt")


def _copy_to_temp(file: IO[bytes]) -> IO[bytes]:
    copy = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as the source)
    shutil.copyfileobj(file, copy)
    return copy
