"""
Tasks one after the other: JSON or plain lines for programs, and a table on a terminal.
"""

import json
import sys
from decimal import Decimal
from types import TracebackType
from typing import Self

import attrs
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kling_async.cli.json_output import seconds_of, status_of, task_facts
from kling_async.cli.screen import STYLES, is_interactive, write_line
from kling_async.client.handle import failure_of
from kling_async.errors import KlingError
from kling_async.wire.redaction import one_line
from kling_async.wire.tasks import TaskSnapshot, TaskStatus

__all__ = ["ListedTask", "TaskListing"]


@attrs.frozen
class ListedTask:
    """
    What there is to say of a task.

    Attributes:
        snapshot: None where it was not seen.
        error: Why it was not seen, or that it has failed.
    """

    task_id: str
    snapshot: TaskSnapshot | None
    error: KlingError | None

    @classmethod
    def of(cls, seen: TaskSnapshot) -> Self:
        """
        Return what a sighting tells.
        """
        return cls(seen.task_id, seen, failure_of(seen) if seen.task_status is TaskStatus.FAILED else None)

    @property
    def cells(self) -> tuple[str, str, str, str, str]:
        """
        Its status, seconds, pictures, units and message; "-" is what nobody knows.
        """
        seconds = seconds_of(self.snapshot)
        units = self.snapshot.final_unit_deduction if self.snapshot is not None else None
        return (
            one_line(status_of(self.snapshot) or "-"),
            "-" if seconds is None else f"{seconds:.1f}",
            "-" if self.snapshot is None else str(len(self.snapshot.task_result.images)),
            "-" if units is None else _plain(units),
            one_line(self._message),
        )

    @property
    def _message(self) -> str:
        if self.snapshot is not None:
            return self.snapshot.task_status_msg
        return type(self.error).__name__ if self.error is not None else ""


class TaskListing:
    """
    Prints tasks as they are told, or as a table at the end of the block where stdout is a terminal.
    """

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._table = None if as_json or not is_interactive(sys.stdout) else _table()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._table is not None and self._table.row_count:
            Console(file=sys.stdout).print(self._table)

    def add(self, told: ListedTask) -> None:
        if self._as_json:
            write_line(sys.stdout, json.dumps(task_facts(told.task_id, told.snapshot, error=told.error)))
        elif self._table is None:
            write_line(sys.stdout, _line(told))
        else:
            status, *numbers, message = told.cells
            style = STYLES.get(status, "")
            self._table.add_row(one_line(told.task_id), Text(status, style), *numbers, Text(message))


def _line(told: ListedTask) -> str:
    status, seconds, pictures, units, message = told.cells
    numbers = (f"{seconds:>6} s", f"{pictures:>2} pictures", f"{units:>3} units")
    return "  ".join((one_line(told.task_id), f"{status:<10}", *numbers, message)).rstrip()


def _table() -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("Task", no_wrap=True)
    table.add_column("Status", no_wrap=True)
    for name in ("Seconds", "Pictures", "Units"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("Message", ratio=1, overflow="fold")
    return table


def _plain(units: Decimal) -> str:
    return f"{units.normalize():f}"
