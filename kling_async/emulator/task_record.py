"""
One task of the emulated account: everything about it is decided when it is accepted.
"""

import math
from decimal import Decimal
from typing import Any

import attrs

from kling_async.wire.endpoints.base import Endpoint
from kling_async.wire.tasks import TaskStatus

__all__ = ["SUCCESS", "TaskOutcome", "TaskRecord"]


@attrs.frozen(kw_only=True)
class TaskOutcome:
    """
    How a task will go.

    Attributes:
        failure: Why it will fail; None lets it succeed.
        is_stuck: Whether it never ends, and keeps its slots.
        word: The word for its status in place of "processing".
        success_word: The word for its status in place of "succeed".
        files_after: Seconds after its success until it lists its files.
        missing: How many of the ordered files it does not make.
    """

    failure: str | None = None
    is_stuck: bool = False
    word: str = TaskStatus.PROCESSING.value
    success_word: str = TaskStatus.SUCCEEDED.value
    files_after: float = 0.0
    missing: int = 0


SUCCESS = TaskOutcome()


@attrs.frozen(kw_only=True)
class TaskRecord:
    """
    An accepted task. Its state at any moment follows from the record and the time.

    Attributes:
        endpoint: The endpoint that created it.
        request: Of the class that the endpoint takes.
        model_name: The model that runs: the one in the request, or the dialect's default.
        bucket: The name of the slots that it takes.
        ordinal: Counts accepted tasks from 1.
        created_at: Epoch seconds of its acceptance.
        started_at: Epoch seconds from which it is processed.
        done_at: Epoch seconds of its end; infinite for a stuck task.
        price: Units that it costs if it succeeds.
        seed: Makes its files differ from those of an equal request.
        outcome: Decided at acceptance.
        count: How many files it makes, in each list of results, if nothing goes wrong.
        seconds: How many seconds its videos and sounds last, if its inputs decide that; None if the request or the
            settings do.
        is_new: Whether it was created in the vendor's new standard, in which alone it is shown.
    """

    task_id: str
    endpoint: Endpoint[Any] = attrs.field(repr=lambda endpoint: endpoint.name)
    request: Any
    model_name: str
    bucket: str
    ordinal: int
    created_at: float
    started_at: float
    done_at: float
    price: Decimal
    seed: int
    outcome: TaskOutcome
    count: int
    seconds: float | None = None
    is_new: bool = False

    @property
    def watermark(self) -> bool | None:
        """
        Whether its files also come with a watermark; None if the request does not say.
        """
        wanted: bool | None = getattr(self.request, "watermark_info", None)
        return wanted

    @property
    def slots(self) -> int:
        """
        How many slots it takes until it ends.
        """
        return self.endpoint.slots(self.request) if self.endpoint.fewest_files is None else self.count

    @property
    def units(self) -> Decimal:
        """
        What it costs in the end: 0 if it fails.
        """
        return self.price if self.outcome.failure is None else Decimal(0)

    @property
    def changes(self) -> tuple[float, ...]:
        """
        When its status changes, acceptance included. A status that takes no time is left out.
        """
        return tuple(sorted({self.created_at, self.started_at, self.done_at} - {math.inf}))

    def status_at(self, now: float) -> TaskStatus:
        """
        Return its status at *now*, in epoch seconds.
        """
        if now >= self.done_at:
            return TaskStatus.FAILED if self.outcome.failure is not None else TaskStatus.SUCCEEDED
        return TaskStatus.PROCESSING if now >= self.started_at else TaskStatus.SUBMITTED

    def updated_at(self, now: float) -> float:
        """
        Return the time of its last change that the service shows.
        """
        steps = (self.started_at, self.done_at, self.done_at + self.outcome.files_after)
        return max((step for step in steps if step <= now), default=self.created_at)

    def files_at(self, now: float) -> int:
        """
        Return how many files each of its lists has.
        """
        if self.outcome.failure is not None or now < self.done_at + self.outcome.files_after:
            return 0
        return max(0, self.count - self.outcome.missing)
