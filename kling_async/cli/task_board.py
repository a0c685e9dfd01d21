"""
What a display shows: a row for each request and the counts over all, without a terminal and without a clock of its own.
"""

import enum
import time
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import attrs

from kling_async.client.handle import TaskHandle
from kling_async.errors import KlingError, SubmissionUncertain, WaitTimeout
from kling_async.wire.endpoints.image_generation import ImageRequest
from kling_async.wire.tasks import TaskResult

__all__ = ["TaskBoard", "TaskRow", "TaskStage"]


class TaskStage(enum.Enum):
    """
    How far a request has come.
    """

    WAITING = "waiting"
    RUNNING = "running"
    SAVING = "saving"
    DONE = "done"
    FAILED = "failed"


@attrs.define(eq=False)
class TaskRow:
    """
    One request on its way from the prompt to the files, or one task that was picked up by its id.

    Attributes:
        number: Counts from 1.
        request: None for a task that was picked up.
        handle: From acceptance on; the row tells what it has last seen.
        files: Pictures on the disk by their index, also those of a task whose other pictures could not be fetched.
        accepted_at: Seconds of the board's clock; so is `ended_at`.
    """

    number: int
    request: ImageRequest | None
    handle: TaskHandle | None = None
    result: TaskResult | None = None
    files: Mapping[int, Path | str] = attrs.field(factory=dict)
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
    def title(self) -> str:
        """
        What the row is called: its prompt, else its task's id.
        """
        return self.request.prompt if self.request is not None else self.task_id or ""

    @property
    def paths(self) -> tuple[Path | str, ...]:
        """
        The files in the pictures' order.
        """
        return tuple(self.files[index] for index in sorted(self.files))

    @property
    def task_id(self) -> str | None:
        if self.handle is not None:
            return self.handle.task_id
        return self.error.task_id if self.error is not None else None

    @property
    def external_task_id(self) -> str | None:
        """
        The id of ours that was sent, also with a submit of which nobody knows whether it arrived.
        """
        if self.handle is not None and self.handle.request is not None:
            return self.handle.request.external_task_id
        sent = (self.error.request if isinstance(self.error, SubmissionUncertain) else None) or self.request
        return sent.external_task_id if sent is not None else None

    @property
    def word(self) -> str:
        """
        The service's own word for the task's status; empty while there is no task.
        """
        snapshot = self.handle.snapshot if self.handle is not None else None
        return snapshot.status_word if snapshot is not None else ""

    @property
    def units(self) -> Decimal | None:
        snapshot = self.handle.snapshot if self.handle is not None else None
        return snapshot.final_unit_deduction if snapshot is not None else None

    def seconds(self, now: float) -> float:
        """
        Return how long it took from acceptance to the last file, or has taken up to *now*; 0 before acceptance.
        """
        return 0.0 if self.accepted_at is None else (now if self.ended_at is None else self.ended_at) - self.accepted_at


@attrs.define(eq=False)
class TaskBoard:
    """
    All requests of one command, or all tasks.

    Attributes:
        trouble: Why nothing seems to happen; None while all goes well.
    """

    rows: tuple[TaskRow, ...]
    clock: Callable[[], float] = time.monotonic
    trouble: str | None = attrs.field(default=None, init=False)
    _started_at: float = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._started_at = self.clock()

    @classmethod
    def of(cls, requests: Sequence[ImageRequest], clock: Callable[[], float] = time.monotonic) -> "TaskBoard":
        """
        Return a board with a row for each of *requests*.
        """
        return cls(tuple(TaskRow(number, request) for number, request in enumerate(requests, 1)), clock)

    @classmethod
    def of_tasks(cls, handles: Sequence[TaskHandle], clock: Callable[[], float] = time.monotonic) -> "TaskBoard":
        """
        Return a board with a row for each of *handles*, whose tasks were accepted before.
        """
        rows = (TaskRow(number, None, handle, accepted_at=clock()) for number, handle in enumerate(handles, 1))
        return cls(tuple(rows), clock)

    def accept(self, row: TaskRow, handle: TaskHandle) -> None:
        self.trouble = None
        row.handle, row.accepted_at = handle, self.clock()

    def succeed(self, row: TaskRow, result: TaskResult) -> None:
        row.result = result

    def finish(self, row: TaskRow, files: Mapping[int, Path | str], error: KlingError | None = None) -> None:
        """
        Note that a row has ended with *files* on the disk, and with *error* where that is not all.
        """
        row.files, row.error, row.ended_at = files, error, self.clock()

    def fail(self, row: TaskRow, error: KlingError) -> None:
        self.finish(row, {}, error)

    def at(self, *stages: TaskStage) -> list[TaskRow]:
        """
        Return the rows that have come to one of *stages*, in their order.
        """
        return [row for row in self.rows if row.stage in stages]

    @property
    def ended(self) -> int:
        return len(self.at(TaskStage.DONE, TaskStage.FAILED))

    @property
    def pictures(self) -> int:
        return sum(len(row.paths) for row in self.rows)

    @property
    def pictures_made(self) -> int:
        return sum(len(row.result.images) for row in self.rows if row.result is not None)

    @property
    def units(self) -> Decimal | None:
        """
        What the service said it took; None where it said nothing at all.
        """
        told = [row.units for row in self.rows if row.units is not None]
        return sum(told, Decimal(0)) if told else None

    @property
    def errors(self) -> list[KlingError]:
        return [row.error for row in self.rows if row.error is not None]

    @property
    def seconds(self) -> float:
        """
        How long the command has been at work.
        """
        return self.clock() - self._started_at

    def facts(self) -> dict[str, str]:
        """
        Return what a summary tells, ready to be shown.
        """
        left = sum(isinstance(error, WaitTimeout) for error in self.errors)
        failed = len(self.errors) - left
        counts = f"{len(self.at(TaskStage.DONE))} done"
        counts += f", {failed} failed" if failed else ""
        counts += f", {left} not ended" if left else ""
        return {
            "tasks": counts,
            "pictures": str(self.pictures),
            "units": "not told" if self.units is None else f"{self.units.normalize():f}",
            "seconds": f"{self.seconds:.1f}",
        }
