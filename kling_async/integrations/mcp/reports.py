"""
What tools return: dataclasses, from which the SDK makes the schemas of structured results, and the same as text.

All numbers are floats or whole, since a `Decimal` arrives as text.
"""

import dataclasses
import datetime as dt
import itertools
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from mcp.types import CallToolResult, ContentBlock, TextContent

from kling_async.integrations.mcp.contents import mime_type_of
from kling_async.integrations.mcp.task_log import KnownTask
from kling_async.wire.library import Element, Voice
from kling_async.wire.redaction import hide_secrets, one_line
from kling_async.wire.tasks import File, TaskSnapshot, TaskStatus

__all__ = [
    "AccountReport",
    "CostReport",
    "FieldReport",
    "FileReport",
    "KindReport",
    "PackReport",
    "RecordList",
    "RecordReport",
    "TaskLine",
    "TaskList",
    "TaskReport",
    "as_lines",
    "line_of",
    "line_of_snapshot",
    "number_of",
    "record_report",
    "result_of",
    "status_word",
    "task_report",
]


@dataclasses.dataclass(frozen=True)
class FileReport:
    """
    A file of a task.
    """

    kind: str
    index: int
    id: str | None
    seconds: float | None
    path: str | None = None
    mime_type: str | None = None
    size_in_bytes: int | None = None

    def as_text(self) -> str:
        """
        Return the file in a line.
        """
        name = f"{self.kind} {self.index}{'' if self.id is None else f' (id {self.id})'}"
        if self.path is None:
            return f"{name} is not saved yet."
        return f"{name} is saved: {self.path} ({self.mime_type}, {self.size_in_bytes} bytes)."


@dataclasses.dataclass(frozen=True)
class RecordReport:
    """
    A voice or an element, which requests refer to by its id.
    """

    kind: str
    id: str
    name: str


@dataclasses.dataclass(frozen=True)
class RecordList:
    """
    Voices or elements.
    """

    records: list[RecordReport]
    has_more: bool


@dataclasses.dataclass(frozen=True)
class TaskReport:
    """
    A task. Its files have paths once they are saved, and ids if later requests can refer to them.
    """

    task_id: str
    kind: str
    status: str
    message: str = ""
    units_billed: float | None = None
    files: list[FileReport] = dataclasses.field(default_factory=list[FileReport])
    made: list[RecordReport] = dataclasses.field(default_factory=list[RecordReport])
    next_step: str = ""

    def as_text(self) -> str:
        """
        Return the report in a few lines.
        """
        lines = [f"Task {self.task_id} ({self.kind}): {self.status}."]
        if self.message:
            lines.append(f"The service says: {self.message}")
        if self.units_billed is not None:
            lines.append(f"Units billed: {self.units_billed:g}.")
        lines += (file.as_text() for file in self.files)
        lines += (f"Made {each.kind} {each.id} ({each.name})." for each in self.made)
        return "\n".join([*lines, *([self.next_step] if self.next_step else [])])


@dataclasses.dataclass(frozen=True)
class TaskLine:
    """
    A task in a list.
    """

    task_id: str | None
    kind: str
    status: str
    prompt: str
    created_at: str | None
    message: str = ""
    paths: list[str] = dataclasses.field(default_factory=list[str])


@dataclasses.dataclass(frozen=True)
class TaskList:
    """
    Tasks, the newest first.
    """

    tasks: list[TaskLine]
    has_more: bool


@dataclasses.dataclass(frozen=True)
class CostReport:
    """
    What a request would cost.
    """

    kind: str
    model: str | None
    units: float | None
    units_at_most: float | None
    dollars_at_most: float | None
    files_at_most: int
    fits_limit: bool
    note: str


@dataclasses.dataclass(frozen=True)
class FieldReport:
    """
    A field of a request.
    """

    name: str
    type: str
    is_required: bool
    description: str


@dataclasses.dataclass(frozen=True)
class KindReport:
    """
    A kind of task: what it makes, and the fields of its request.
    """

    kind: str
    description: str
    makes: list[str]
    fields: list[FieldReport]


@dataclasses.dataclass(frozen=True)
class PackReport:
    """
    A resource pack of the account.
    """

    name: str
    status: str
    units_total: float | None
    units_left: float | None
    valid_until: str | None


@dataclasses.dataclass(frozen=True)
class AccountReport:
    """
    What this server has spent, and the packs of the account.
    """

    max_units: float | None
    units_spent: float
    units_reserved: float
    units_left: float | None
    max_dollars: float | None
    dollars_spent: float
    dollars_reserved: float
    dollars_left: float | None
    packs: list[PackReport]
    note: str


def task_report(
    task_id: str, kind: str, snapshot: TaskSnapshot | None, paths: Sequence[Path] = (), next_step: str = ""
) -> TaskReport:
    """
    Return the report on a task.

    Args:
        snapshot: None if the task was not seen yet.
        paths: Of its saved files, in the order of its result.
    """
    if snapshot is None:
        return TaskReport(task_id, kind, "unknown", next_step=next_step)
    output = snapshot.task_result
    return TaskReport(
        task_id=task_id,
        kind=kind,
        status=status_word(snapshot),
        message=hide_secrets(snapshot.task_status_msg),
        units_billed=number_of(snapshot.final_unit_deduction),
        files=[
            _file_report(file, path) for file, path in itertools.zip_longest(output.files, paths) if file is not None
        ],
        made=[*map(record_report, output.voices), *map(record_report, output.elements)],
        next_step=next_step,
    )


def record_report(record: Voice | Element) -> RecordReport:
    """
    Return the report on a voice or an element.
    """
    if isinstance(record, Voice):
        return RecordReport("voice", record.voice_id, record.voice_name)
    return RecordReport("element", str(record.element_id), record.element_name)


def _file_report(file: File, path: Path | None) -> FileReport:
    report = FileReport(file.kind, file.index, file.id, getattr(file, "duration", None))
    if path is None:
        return report
    return dataclasses.replace(
        report, path=str(path.absolute()), mime_type=mime_type_of(path), size_in_bytes=path.stat().st_size
    )


def line_of(task: KnownTask) -> TaskLine:
    """
    Return a task of this server as a line of a list.
    """
    return TaskLine(
        task_id=task.task_id,
        kind=task.kind,
        status="uncertain" if task.task_id is None else status_word(task.snapshot),
        prompt=task.prompt,
        created_at=dt.datetime.fromtimestamp(task.created_at, dt.UTC).isoformat(timespec="seconds"),
        message=task.problem or hide_secrets(task.snapshot.task_status_msg if task.snapshot is not None else ""),
        paths=[str(path) for path in task.paths],
    )


def line_of_snapshot(snapshot: TaskSnapshot, kind: str, prompt: str) -> TaskLine:
    """
    Return a task of the account as a line of a list.
    """
    return TaskLine(
        task_id=snapshot.task_id,
        kind=kind,
        status=status_word(snapshot),
        prompt=prompt,
        created_at=None if snapshot.created_at is None else snapshot.created_at.isoformat(timespec="seconds"),
        message=hide_secrets(snapshot.task_status_msg),
    )


def status_word(snapshot: TaskSnapshot | None) -> str:
    """
    Return a task's status as a word that models know: "succeeded" rather than the wire's "succeed".
    """
    if snapshot is None:
        return "unknown"
    match snapshot.task_status:
        case TaskStatus.SUCCEEDED:
            return "succeeded"
        case TaskStatus.UNKNOWN:
            return one_line(snapshot.status_word)
        case status:
            return str(status.value)


def number_of(amount: Decimal | None) -> float | None:
    """
    Return *amount* as a number of JSON.
    """
    return None if amount is None else float(amount)


def result_of(text: str, report: Any, *contents: ContentBlock) -> CallToolResult:
    """
    Return the result of a tool: text that a model reads, the report for programs, and other contents.
    """
    return CallToolResult(
        content=[TextContent(type="text", text=text), *contents], structured_content=dataclasses.asdict(report)
    )


def as_lines(tasks: Iterable[TaskLine]) -> str:
    """
    Return tasks as lines of text.
    """
    return "\n".join(
        f"{task.task_id or '(no id)'}  {task.kind}  {task.status}  {task.created_at or ''}  {task.prompt}"
        + (f"  {task.message}" if task.message else "")
        for task in tasks
    )
