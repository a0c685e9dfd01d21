"""
Counts the events of a client: how many submits wait, run and have ended.
"""

import collections
import enum
from collections.abc import Mapping
from typing import Final

import attrs

from kling_async.client.events import EventKind, TaskEvent
from kling_async.errors import KlingError, TaskFailed
from kling_async.wire.status import reason_of
from kling_async.wire.tasks import TaskStatus

__all__ = ["Stage", "Tally"]


class Stage(enum.Enum):
    """
    The progress of a submit.
    """

    WAITING = "waiting"
    """
    For slots, or to be accepted.
    """

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    LEFT = "left"
    """
    Not watched any more; the task may still run.
    """

    CANCELLED = "cancelled"
    """
    Before it had a task.
    """


BUSY: Final = frozenset({Stage.WAITING, Stage.RUNNING})

_STAGES: Final[Mapping[EventKind, Stage]] = {
    EventKind.WAITING: Stage.WAITING,
    EventKind.SENDING: Stage.WAITING,
    EventKind.RETRY: Stage.WAITING,
    EventKind.SUBMITTED: Stage.RUNNING,
    EventKind.RESUMED: Stage.RUNNING,
    EventKind.PROCESSING: Stage.RUNNING,
    EventKind.TROUBLE: Stage.LEFT,
}


@attrs.define(eq=False)
class Tally:
    """
    Counters of the events of one client.

    Attributes:
        counts: Number of submits by stage.
        files: Number of saved files.
        failure: The last failure.
        hindrance: The last error after which a submit is retried; None once a submit was accepted after it.
    """

    counts: collections.Counter[Stage] = attrs.field(factory=collections.Counter, init=False)
    files: int = attrs.field(default=0, init=False)
    failure: KlingError | None = attrs.field(default=None, init=False)
    hindrance: KlingError | None = attrs.field(default=None, init=False)
    _began_at: float | None = attrs.field(default=None, init=False)
    _moved_at: float = attrs.field(default=0.0, init=False)
    _stages: dict[int | str | None, Stage] = attrs.field(factory=dict, init=False)

    @property
    def is_busy(self) -> bool:
        """
        Whether a submit waits or runs.
        """
        return any(self.counts[stage] for stage in BUSY)

    @property
    def known(self) -> int:
        return len(self._stages)

    def seconds(self, now: float) -> float:
        """
        Return the seconds from the first event to *now*, or to the last event if nothing runs; *now* is Unix time.
        """
        if self._began_at is None:
            return 0.0
        return max(0.0, (now if self.is_busy else self._moved_at) - self._began_at)

    def is_new(self, event: TaskEvent) -> bool:
        """
        Return whether *event* is the first of its submit.
        """
        return event.kind is not EventKind.SAVED and event.key not in self._stages

    def take(self, event: TaskEvent) -> None:
        """
        Count *event*.
        """
        if self._began_at is None:
            self._began_at = self._moved_at = event.at
        if event.kind is EventKind.SAVED:  # the result may be an old one, whose task is not counted
            self.files += len(event.paths) + len(event.urls)
        else:
            self._move(event.key, _stage_of(event))
            self._moved_at = event.at
        match event.kind:
            case EventKind.RETRY:
                self.hindrance = event.error
            case EventKind.SUBMITTED:
                self.hindrance = None
            case EventKind.NO_TASK | EventKind.TROUBLE | EventKind.SAVED | EventKind.FINAL:
                self.failure = _error_of(event) or self.failure

    def _move(self, key: int | str | None, stage: Stage) -> None:
        before = self._stages.get(key)
        if before is not None:
            self.counts[before] -= 1
        self._stages[key] = stage
        self.counts[stage] += 1


def _stage_of(event: TaskEvent) -> Stage:
    if event.kind is EventKind.NO_TASK:
        return Stage.CANCELLED if event.error is None else Stage.FAILED
    if event.kind is EventKind.FINAL:
        return Stage.FAILED if _is_failed(event) else Stage.DONE
    return _STAGES[event.kind]


def _is_failed(event: TaskEvent) -> bool:
    return event.snapshot is not None and event.snapshot.task_status is TaskStatus.FAILED


def _error_of(event: TaskEvent) -> KlingError | None:
    if event.kind is EventKind.FINAL and event.snapshot is not None and _is_failed(event):
        return TaskFailed(reason_of(event.snapshot), event.task_id)
    return event.error
