"""
How an input of requests is read: its formats, and the options. `doctor` has them too, without loading `batch`.
"""

import csv
import enum
from typing import Annotated

import attrs
import typer

__all__ = ["Format", "InputOptions"]


class Format(enum.StrEnum):
    """
    The formats of an input: objects (one per line, or in an array), a table with a header, a prompt per line.
    """

    JSONL = "jsonl"
    CSV = "csv"
    TEXT = "text"


@attrs.frozen(kw_only=True)
class InputOptions:
    """
    The options of commands that read an input.

    Attributes:
        form: None: it follows from the suffix of the input's name.
    """

    form: Annotated[
        Format | None, typer.Option("--format", metavar="KIND", help="jsonl, csv or text (default by name)")
    ] = None
    ignore_columns: Annotated[
        list[str] | None, typer.Option(metavar="NAMES", help="Extra columns to leave out: a,b")
    ] = None
    skip_invalid: Annotated[bool, typer.Option("--skip-invalid", help="Skip lines that break rules.")] = False

    @property
    def ignored(self) -> frozenset[str]:
        """
        The names in `ignore_columns`, which are separated by commas; one that has a comma itself is quoted, as in CSV.
        """
        rows = csv.reader(self.ignore_columns or (), skipinitialspace=True)
        return frozenset(name.strip() for row in rows for name in row)
