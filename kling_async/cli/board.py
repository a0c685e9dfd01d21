"""
What a display shows: a row for each request and the counts over all, without a terminal and without a clock of its own.
"""

import enum
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path

import attrs

from kling_async.errors import DownloadFailed, KlingError, SubmissionUncertain
from kling_async.task import TaskHandle
from kling_async.wire.models import ImageRequest, TaskResult

__all__ = ["Board", "Row", "Stage"]


class Stage(enum.Enum):
    """
    How far a request has come.
    """

    WAITING = "waiting"
    RUNNING = "running"
    SAVING = "saving"
    DONE = "done"
    FAILED = "failed"


@attrs.define(eq=False)
class Row:
    """
    One request on its way from the prompt to the files.

    Attributes:
        number: Counts from 1.
        handle: From acceptance on; the row tells what it has last seen.
        paths: Pictures on the disk, also those of a task whose other pictures could not be fetched.
        accepted_at: Seconds of the board's clock; so is `ended_at`.
    """

    number: int
    request: ImageRequest
    handle: TaskHandle | None = None
    result: TaskResult | None = None
    paths: tuple[Path, ...] = ()
    error: KlingError | None = None
    accepted_at: float | None = None
    ended_at: float | None = None

    @property
    def stage(self) -> Stage:
        if self.ended_at is not None:
            return Stage.DONE if self.error is None else Stage.FAILED
        if self.handle is None:
            return Stage.WAITING
        return Stage.RUNNING if self.result is None else Stage.SAVING

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
        sent = self.error.request if isinstance(self.error, SubmissionUncertain) else None
        return (sent or self.request).external_task_id

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
class Board:
    """
    All requests of one command.

    Attributes:
        trouble: Why nothing seems to happen; None while all goes well.
    """

    rows: tuple[Row, ...]
    clock: Callable[[], float] = time.monotonic
    trouble: str | None = attrs.field(default=None, init=False)
    _started_at: float = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._started_at = self.clock()

    @classmethod
    def of(cls, requests: Sequence[ImageRequest], clock: Callable[[], float] = time.monotonic) -> "Board":
        """
        Return a board with a row for each of *requests*.
        """
        return cls(tuple(Row(number, request) for number, request in enumerate(requests, 1)), clock)

    def accept(self, row: Row, handle: TaskHandle) -> None:
        self.trouble = None
        row.handle, row.accepted_at = handle, self.clock()

    def succeed(self, row: Row, result: TaskResult) -> None:
        row.result = result

    def finish(self, row: Row, paths: Sequence[Path]) -> None:
        row.paths, row.ended_at = tuple(paths), self.clock()

    def fail(self, row: Row, error: KlingError) -> None:
        if isinstance(error, DownloadFailed):
            row.paths = error.paths
        row.error, row.ended_at = error, self.clock()

    def at(self, *stages: Stage) -> list[Row]:
        """
        Return the rows that have come to one of *stages*, in their order.
        """
        return [row for row in self.rows if row.stage in stages]

    @property
    def ended(self) -> int:
        return len(self.at(Stage.DONE, Stage.FAILED))

    @property
    def pictures(self) -> int:
        return sum(len(row.paths) for row in self.rows)

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
        done, failed = len(self.at(Stage.DONE)), len(self.at(Stage.FAILED))
        return {
            "tasks": f"{done} done" + (f", {failed} failed" if failed else ""),
            "pictures": str(self.pictures),
            "units": "not told" if self.units is None else f"{self.units.normalize():f}",
            "seconds": f"{self.seconds:.1f}",
        }
