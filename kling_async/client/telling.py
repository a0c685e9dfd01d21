"""
Telling a program of the steps of submits and tasks, so that whatever it does with them harms none.
"""

import asyncio
import inspect
import itertools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import attrs

from kling_async.client.events import EventKind, TaskEvent
from kling_async.errors import KlingError
from kling_async.wire.endpoints.image_generation import ImageRequest
from kling_async.wire.tasks import TaskSnapshot

__all__ = ["NULL_EVENTS", "EventPublisher", "OnEvent", "TaskEvents"]

OnEvent: TypeAlias = Callable[[TaskEvent], object]

_log = logging.getLogger(__name__)


@attrs.define(eq=False)
class TaskEvents:
    """
    What is told of one submit and its task, always with what tells it from others.
    """

    _on_event: OnEvent | None
    number: int | None = None
    request: ImageRequest | None = None
    task_id: str | None = None

    def learn(self, *, request: ImageRequest | None = None, task_id: str | None = None) -> None:
        """
        Learn what is sent in full, or which task it became; all that is told from now on says so.
        """
        if self._on_event is not None:
            self.request, self.task_id = request or self.request, task_id or self.task_id

    def tell(
        self,
        kind: EventKind,
        *,
        snapshot: TaskSnapshot | None = None,
        error: BaseException | None = None,
        delay: float | None = None,
        paths: Sequence[Path] = (),
        urls: Sequence[str] = (),
    ) -> None:
        """
        Tell of one step; of errors only ours are told. What the listener raises goes to the log, and nowhere else.
        """
        if self._on_event is None:
            return
        event = TaskEvent(
            kind=kind,
            at=time.time(),
            number=self.number,
            task_id=self.task_id,
            request=self.request,
            snapshot=snapshot,
            error=attrs.evolve(error) if isinstance(error, KlingError) else None,  # a copy: tracebacks keep all alive
            delay=delay,
            paths=tuple(paths),
            urls=tuple(urls),
        )
        try:
            self._on_event(event)
        # It is the program's, and may be any: also a CancelledError, as the result of a cancelled future is.
        except (Exception, asyncio.CancelledError):  # noqa: BLE001
            _log.exception("on_event failed for %s of task %s", kind.value, self.task_id)


NULL_EVENTS: Final = TaskEvents(None)
"""
The story of whatever nobody listens to.
"""


@attrs.define(eq=False)
class EventPublisher:
    """
    Tells one client's listener; where there is none, all stories are one and the same, and silent.

    Raises:
        TypeError: The listener is no function, or a coroutine function, which nobody would await.
    """

    _on_event: OnEvent | None
    _numbers: Iterator[int] = attrs.field(factory=lambda: itertools.count(1), init=False)

    def __attrs_post_init__(self) -> None:
        if self._on_event is not None and not callable(self._on_event):
            raise TypeError(f"on_event must be a function, and is <{type(self._on_event).__name__}>")
        if inspect.iscoroutinefunction(self._on_event):
            raise TypeError("on_event must be a plain function: put the events into a queue, and await elsewhere")

    def begin(self, request: ImageRequest) -> TaskEvents:
        """
        Begin the story of a submit.
        """
        return NULL_EVENTS if self._on_event is None else TaskEvents(self._on_event, next(self._numbers), request)

    def pick_up(self, task_id: str) -> TaskEvents:
        """
        Begin the story of a task that some other program may have submitted.
        """
        return NULL_EVENTS if self._on_event is None else TaskEvents(self._on_event, task_id=task_id)
