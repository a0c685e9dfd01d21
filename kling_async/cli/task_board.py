"""
The state of a command's tasks: a row for each request or task, and totals. It is independent of the terminal; the
clock is an argument.
"""

import enum
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import attrs

from kling_async.cli.formatting import FILE_NOUNS, count_files, format_units
from kling_async.client.handle import TaskHandle
from kling_async.errors import (
    BudgetExceeded,
    InvalidRequest,
    KlingError,
    NotAuthenticated,
    NotSent,
    SubmissionUncertain,
    WaitTimeout,
)
from kling_async.media.saved_files import FileKey
from kling_async.wire.endpoints.base import TaskRequest
from kling_async.wire.endpoints.registry import caption_of, endpoint_of
from kling_async.wire.tasks import BalanceDeduction, TaskResult, TaskStatus

__all__ = ["TaskBoard", "TaskRow", "TaskStage", "file_order"]


def file_order(key: FileKey) -> tuple[int, int]:
    """
    Return a sort key: images, then videos, then audios, each by index.
    """
    return tuple(FILE_NOUNS).index(key[0]), key[1]


class TaskStage(enum.Enum):
    """
    The stages of a row.
    """

    WAITING = "waiting"
    RUNNING = "running"
    SAVING = "saving"
    DONE = "done"
    FAILED = "failed"


@attrs.define(eq=False)
class TaskRow:
    """
    A request, or a task of an earlier run.

    Attributes:
        number: Counts from 1.
        request: None for a task of an earlier run.
        handle: None until the service has accepted the request.
        files: Paths or URLs of saved files, also if other files of the task could not be saved.
        accepted_at: Seconds of the board's clock, as `ended_at`.
    """

    number: int
    request: TaskRequest | None
    handle: TaskHandle | None = None
    result: TaskResult | None = None
    files: Mapping[FileKey, Path | str] = attrs.field(factory=dict)
    error: KlingError | None = None
    accepted_at: float | None = None
    ended_at: float | None = None

    @property
    def stage(self) -> TaskStage:
        if self.ended_at is not None:
            return TaskStage.DONE if self.error is None else TaskStage.FAILED
        if self.handle is None:
            return TaskStage.WAITING
        return TaskStage.RUNNING if self.result is None else TaskStage.SAVING

    @property
    def caption(self) -> str:
        """
        The caption of the request if there is one, otherwise the task id.
        """
        return caption_of(self.request) if self.request is not None else self.task_id or ""

    @property
    def paths(self) -> tuple[Path | str, ...]:
        """
        The saved files in order.
        """
        return tuple(self.files[key] for key in sorted(self.files, key=file_order))

    @property
    def records(self) -> tuple[str, ...]:
        """
        The voices and elements that the task has made, by their ids.
        """
        if self.result is None:
            return ()
        voices = (f"voice {voice.voice_id}" for voice in self.result.voices)
        return (*voices, *(f"element {element.element_id}" for element in self.result.elements))

    @property
    def task_id(self) -> str | None:
        if self.handle is not None:
            return self.handle.task_id
        return self.error.task_id if self.error is not None else None

    @property
    def external_task_id(self) -> str | None:
        """
        The external id that was sent, also if it is unknown whether the service received it.
        """
        if self.handle is not None and self.handle.request is not None:
            return self.handle.request.external_task_id
        sent = (self.error.request if isinstance(self.error, SubmissionUncertain) else None) or self.request
        return sent.external_task_id if sent is not None else None

    @property
    def endpoint(self) -> str:
        """
        The name of the endpoint.
        """
        endpoint = self.handle.endpoint if self.handle is not None else endpoint_of(type(self.request))
        return endpoint.name

    @property
    def status(self) -> TaskStatus:
        return self.handle.status if self.handle is not None else TaskStatus.UNKNOWN

    @property
    def word(self) -> str:
        """
        The service's word for the status; empty until there is a snapshot.
        """
        snapshot = self.handle.snapshot if self.handle is not None else None
        return snapshot.status_word if snapshot is not None else ""

    @property
    def units(self) -> Decimal | None:
        snapshot = self.handle.snapshot if self.handle is not None else None
        return snapshot.final_unit_deduction if snapshot is not None else None

    @property
    def cash(self) -> BalanceDeduction | None:
        snapshot = self.handle.snapshot if self.handle is not None else None
        return snapshot.final_balance_deduction if snapshot is not None else None

    @property
    def cost_nothing(self) -> bool:
        """
        Whether there is surely no task: the request was not sent, or was refused for itself or its key.
        """
        is_refused = isinstance(self.error, BudgetExceeded | InvalidRequest | NotAuthenticated | NotSent)
        return is_refused and self.handle is None and self.request is not None

    def seconds(self, now: float) -> float:
        """
        Return the seconds from acceptance to the last file, or to *now* if it has not ended; 0 before acceptance.
        """
        return 0.0 if self.accepted_at is None else (now if self.ended_at is None else self.ended_at) - self.accepted_at


@attrs.define(eq=False)
class TaskBoard:
    """
    All requests or tasks of one command.

    Attributes:
        trouble: The error that is being retried; None if there is none.
    """

    rows: tuple[TaskRow, ...]
    clock: Callable[[], float] = time.monotonic
    trouble: str | None = attrs.field(default=None, init=False)
    _started_at: float = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._started_at = self.clock()

    @classmethod
    def of(cls, requests: Sequence[TaskRequest], clock: Callable[[], float] = time.monotonic) -> "TaskBoard":
        """
        Return a board with a row for each of *requests*.
        """
        return cls(tuple(TaskRow(number, request) for number, request in enumerate(requests, 1)), clock)

    @classmethod
    def of_tasks(cls, handles: Sequence[TaskHandle], clock: Callable[[], float] = time.monotonic) -> "TaskBoard":
        """
        Return a board with a row for each of *handles*, which are tasks of earlier runs.
        """
        rows = (TaskRow(number, None, handle, accepted_at=clock()) for number, handle in enumerate(handles, 1))
        return cls(tuple(rows), clock)

    def accept(self, row: TaskRow, handle: TaskHandle) -> None:
        self.trouble = None
        row.handle, row.accepted_at = handle, self.clock()

    def succeed(self, row: TaskRow, result: TaskResult) -> None:
        row.result = result

    def finish(self, row: TaskRow, files: Mapping[FileKey, Path | str], error: KlingError | None = None) -> None:
        """
        Record that a row has ended with *files* saved, and with *error* if something is missing.
        """
        row.files, row.error, row.ended_at = files, error, self.clock()

    def fail(self, row: TaskRow, error: KlingError) -> None:
        self.finish(row, {}, error)

    def at(self, *stages: TaskStage) -> list[TaskRow]:
        """
        Return the rows that are in one of *stages*, in order.
        """
        return [row for row in self.rows if row.stage in stages]

    @property
    def ended(self) -> int:
        return len(self.at(TaskStage.DONE, TaskStage.FAILED))

    @property
    def files_saved(self) -> dict[str, int]:
        """
        The number of saved files by kind, such as "pictures"; only kinds of which there are some, or no "files".
        """
        return count_files(Counter(kind for row in self.rows for kind, _ in row.files))

    @property
    def files_made(self) -> dict[str, int]:
        """
        The number of files that tasks have made, by kind.
        """
        results = (row.result for row in self.rows if row.result is not None)
        return count_files(Counter(file.kind for result in results for file in result.files))

    @property
    def units(self) -> str:
        """
        The units that the service reports as billed. Those of packs that cost differently are not added up.
        """
        packs: dict[Decimal | None, Decimal] = {}
        titles: dict[Decimal | None, str] = {}
        for row in self.rows:
            if row.handle is not None and row.units is not None:
                pack = row.handle.endpoint.unit_price
                packs[pack] = packs.get(pack, Decimal(0)) + row.units
                titles.setdefault(pack, row.handle.endpoint.title)
        if not packs and all(row.cost_nothing for row in self.rows):
            return "0"
        if len(packs) < 2:
            return format_units(next(iter(packs.values()), None))
        return ", ".join(f"{format_units(units)} for {titles[pack]}" for pack, units in packs.items())

    @property
    def cash(self) -> str:
        """
        The money that the service reports as taken from the balance; empty if there was none.
        """
        paid: dict[str | None, Decimal] = {}
        for cash in (row.cash for row in self.rows):
            if cash is not None and cash.quota:
                paid[cash.currency] = paid.get(cash.currency, Decimal(0)) + cash.quota
        return ", ".join(f"{format_units(amount)} {currency or ''}".rstrip() for currency, amount in paid.items())

    @property
    def errors(self) -> list[KlingError]:
        return [row.error for row in self.rows if row.error is not None]

    @property
    def seconds(self) -> float:
        """
        Seconds since the start of the command.
        """
        return self.clock() - self._started_at

    def facts(self, *, is_saved: bool = True) -> dict[str, str]:
        """
        Return the lines of the summary, by name. With *is_saved* False the files are those that tasks have made.
        """
        files = {nouns: str(count) for nouns, count in self.files_saved.items()}
        if not is_saved:
            files = {nouns: f"{count}, not saved" for nouns, count in self.files_made.items()}
        left = sum(isinstance(error, WaitTimeout) for error in self.errors)
        failed = len(self.errors) - left
        counts = f"{len(self.at(TaskStage.DONE))} done"
        counts += f", {failed} failed" if failed else ""
        counts += f", {left} unfinished" if left else ""
        return {
            "tasks": counts,
            **files,
            "units": self.units,
            **({"cash": self.cash} if self.cash else {}),
            "seconds": f"{self.seconds:.1f}",
        }
