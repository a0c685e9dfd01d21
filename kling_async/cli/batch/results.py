"""
`--results`: what became of each row of a journal, as a table or as JSON Lines.
"""

import csv
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from kling_async.batch.records import Row
from kling_async.cli.batch.journal_report import open_reader
from kling_async.cli.exit_codes import ExitCode
from kling_async.cli.input_options import Format
from kling_async.cli.json_output import number_of, result_line
from kling_async.cli.standard_streams import is_lost
from kling_async.cli.terminal import write_line
from kling_async.wire.endpoints.registry import caption_of
from kling_async.wire.redaction import one_line

__all__ = ["COLUMNS", "print_results"]

COLUMNS: Final = ("key", "prompt", "state", "task_id", "files", "units", "error")
"""
The columns of the table. Several files of a row are separated by semicolons; a voice or an element stands for a file.
"""


def print_results(journal: Path, form: Format) -> ExitCode:
    """
    Print each row of *journal* in the order of the input, in constant memory. The journal may be in use.

    Args:
        form: A table with a header, or JSON Lines.

    Raises:
        KlingError: It cannot be read.
        typer.BadParameter: It does not exist.
    """
    with open_reader(journal) as reader:
        write = _write_line if form is Format.JSONL else _start_table()
        for row in reader.rows():
            write(row)
            if is_lost(sys.stdout):  # the reader of a pipe, such as `head`, has seen enough
                break
    return ExitCode.SUCCESS


def _write_line(row: Row) -> None:
    write_line(sys.stdout, result_line(row))


def _start_table() -> Callable[[Row], None]:
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(COLUMNS)

    def write(row: Row) -> None:
        error = "" if row.error is None else one_line(f"{type(row.error).__name__}: {row.error}")
        units = None if row.snapshot is None else number_of(row.snapshot.final_unit_deduction)
        made = ";".join((*(file.place for file in row.files), *_records_of(row)))
        table.writerow((row.key, caption_of(row.request), row.state.value, row.task_id, made, units, error))

    return write


def _records_of(row: Row) -> Iterator[str]:
    if row.snapshot is not None:
        made = row.snapshot.task_result
        yield from (f"voice {voice.voice_id}" for voice in made.voices)
        yield from (f"element {element.element_id}" for element in made.elements)
