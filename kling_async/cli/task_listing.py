"""
Prints tasks: as a table on a terminal, otherwise as JSON or plain lines.
"""

import json
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

import attrs

from kling_async.cli.formatting import format_units
from kling_async.cli.json_output import seconds_of, status_of, task_facts
from kling_async.cli.terminal import STATUS_STYLES, is_interactive, write_line
from kling_async.client.handle import failure_of
from kling_async.errors import KlingError
from kling_async.wire.redaction import one_line
from kling_async.wire.tasks import TaskSnapshot, TaskStatus

if TYPE_CHECKING:
    from kling_async.cli.task_table import TaskTable

__all__ = ["ListedTask", "TaskListing"]


@attrs.frozen
class ListedTask:
    """
    A task as it is listed.

    Attributes:
        snapshot: None if it could not be read.
        error: Why it could not be read, or why it failed.
        endpoint: The name of its endpoint.
    """

    task_id: str
    snapshot: TaskSnapshot | None
    error: KlingError | None
    endpoint: str

    @classmethod
    def of(cls, snapshot: TaskSnapshot, endpoint: str) -> Self:
        """
        Return the task that *snapshot* shows.
        """
        error = failure_of(snapshot) if snapshot.task_status is TaskStatus.FAILED else None
        return cls(snapshot.task_id, snapshot, error, endpoint)

    @property
    def cells(self) -> tuple[str, str, str, str, str]:
        """
        Its status, seconds, files, units and message, with "-" for what is unknown.
        """
        seconds = seconds_of(self.snapshot)
        units = self.snapshot.final_unit_deduction if self.snapshot is not None else None
        return (
            one_line(status_of(self.snapshot) or "-"),
            "-" if seconds is None else f"{seconds:.1f}",
            "-" if self.snapshot is None else str(len(self.snapshot.task_result.files)),
            format_units(units, unknown="-"),
            one_line(self._message),
        )

    @property
    def _message(self) -> str:
        if self.snapshot is not None:
            return self.snapshot.task_status_msg
        return type(self.error).__name__ if self.error is not None else ""


class TaskListing:
    """
    Prints each task as it is added; on a terminal, a table at the end of the block.
    """

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._table = None if as_json or not is_interactive(sys.stdout) else _make_table()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._table is not None:
            self._table.print(sys.stdout)

    def add(self, task: ListedTask) -> None:
        if self._as_json:
            facts = task_facts(task.task_id, task.snapshot, endpoint=task.endpoint, error=task.error)
            write_line(sys.stdout, json.dumps(facts))
        elif self._table is None:
            write_line(sys.stdout, _line(task))
        else:
            status = task.snapshot.task_status if task.snapshot is not None else None
            self._table.add(one_line(task.task_id), *task.cells, style="" if status is None else STATUS_STYLES[status])


def _line(task: ListedTask) -> str:
    status, seconds, files, units, message = task.cells
    numbers = (f"{seconds:>6} s", f"{files:>2} {_nouns(files, 'file')}", f"{units:>3} {_nouns(units, 'unit')}")
    return "  ".join((one_line(task.task_id), f"{status:<10}", *numbers, message)).rstrip()


def _nouns(count: str, noun: str) -> str:
    # as wide as the plural
    return f"{noun} " if count == "1" else f"{noun}s"


def _make_table() -> "TaskTable":
    from kling_async.cli.task_table import TaskTable  # noqa: PLC0415 (plain lines do without rich)

    return TaskTable()
