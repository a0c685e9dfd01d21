"""
Events: one value for each step of a submit and its task, passed to the client's `on_event`.
"""

import asyncio
import enum
import inspect
import itertools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import attrs

from kling_async.errors import KlingError
from kling_async.policy.spending import Spent
from kling_async.wire.endpoints.base import Endpoint, TaskRequest
from kling_async.wire.endpoints.registry import DEFAULT_ENDPOINT
from kling_async.wire.tasks import TaskSnapshot

__all__ = ["NULL_EVENTS", "EventKind", "EventPublisher", "OnEvent", "TaskEvent", "TaskEvents"]

_log = logging.getLogger(__name__)


class EventKind(enum.Enum):
    """
    What happened.

    A submit has any number of WAITING, SENDING and RETRY events, then either SUBMITTED or NO_TASK. Its task has
    PROCESSING (not always, because polling may miss it), any number of TROUBLE, and one FINAL. In a batch, a task of an
    earlier run begins with RESUMED. A task picked up by its id begins with its first status.
    """

    WAITING = "waiting"
    """
    It waits for free slots. After a rejection for lack of slots, `error` is that rejection.
    """

    SENDING = "sending"
    """
    It has its slots and is sent to the service; once more after each rejection.
    """

    RETRY = "retry"
    """
    It failed with `error` and is tried again in `delay` seconds: sent again, or looked up if it may have arrived.
    """

    SUBMITTED = "submitted"
    """
    The service accepted it. From here on there is a `task_id`, and it may cost units.
    """

    NO_TASK = "no_task"
    """
    It ended without a known task. `error` is the reason; None if the caller cancelled it or another library's exception
    ended it. After `SubmissionUncertain` a callback may still show a task: then SUBMITTED follows.
    """

    RESUMED = "resumed"
    """
    A task that an earlier run had submitted is polled again.
    """

    PROCESSING = "processing"
    """
    The service works on it.
    """

    FINAL = "final"
    """
    It succeeded or failed, see `snapshot`; its slots are free.
    """

    TROUBLE = "trouble"
    """
    Every wait for it ended with `error`, such as a closed client or a rejected key. The task itself may still be
    running.
    """

    SAVED = "saved"
    """
    Its files are saved, at `paths` or `urls`; `error` if some could not be fetched.
    """


@attrs.frozen(kw_only=True)
class TaskEvent:
    """
    One step of one submit and its task.

    Attributes:
        at: Unix time in seconds.
        number: Counts the submits of the client from 1; None for a task picked up by its id.
        endpoint: The name of its endpoint, such as "image-generation".
        task_id: None until the service accepts the task.
        request: What was asked for; None for a task picked up by its id.
        snapshot: The task as the service showed it, from SUBMITTED on.
        error: What went wrong. Errors hide keys and queries of URLs.
        delay: Seconds until the next attempt; with RETRY only.
        paths: Saved files in the order of the result; with SAVED only.
        urls: URLs of files saved to a storage; with SAVED only.
        spent: What the client's tasks have cost so far, this one included, as `client.spent`; with FINAL only. None for
            a task picked up by its id.
    """

    kind: EventKind
    at: float
    endpoint: str = DEFAULT_ENDPOINT.name
    number: int | None = None
    task_id: str | None = None
    request: TaskRequest | None = None
    snapshot: TaskSnapshot | None = None
    error: KlingError | None = None
    delay: float | None = None
    paths: tuple[Path, ...] = ()
    urls: tuple[str, ...] = ()
    spent: Spent | None = None

    @property
    def key(self) -> int | str | None:
        """
        The same for all events of one submit and its task: the `number`, or the `task_id` if there is no number.
        """
        return self.task_id if self.number is None else self.number


OnEvent: TypeAlias = Callable[[TaskEvent], object]


@attrs.define(eq=False, repr=False, weakref_slot=False)
class TaskEvents:
    """
    Publishes the events of one submit and its task.

    Attributes:
        number, request, task_id, endpoint: As in every event that is published from now on.
    """

    _on_event: OnEvent | None
    number: int | None = None
    request: TaskRequest | None = None
    task_id: str | None = None
    endpoint: str = DEFAULT_ENDPOINT.name

    def publish(
        self,
        kind: EventKind,
        *,
        snapshot: TaskSnapshot | None = None,
        error: BaseException | None = None,
        delay: float | None = None,
        paths: Sequence[Path] = (),
        urls: Sequence[str] = (),
        spent: Spent | None = None,
    ) -> None:
        """
        Publish one event. Only a KlingError is passed on as *error*. Exceptions in the listener are logged and ignored.
        """
        if self._on_event is None:
            return
        event = TaskEvent(
            kind=kind,
            at=time.time(),
            endpoint=self.endpoint,
            number=self.number,
            task_id=self.task_id,
            request=self.request,
            snapshot=snapshot,
            error=attrs.evolve(error) if isinstance(error, KlingError) else None,  # a copy: tracebacks keep all alive
            delay=delay,
            paths=tuple(paths),
            urls=tuple(urls),
            spent=spent,
        )
        try:
            self._on_event(event)
        # A listener may raise anything, also a CancelledError: the result of a cancelled future is one.
        except (Exception, asyncio.CancelledError):  # noqa: BLE001
            _log.exception("on_event failed for %s of task %s", kind.value, self.task_id)


NULL_EVENTS: Final = TaskEvents(None)
"""
Publishes nothing.
"""


@attrs.define(eq=False, repr=False)
class EventPublisher:
    """
    Publishes to one client's listener, if it has one.

    Raises:
        TypeError: The listener is not a plain function. The result of a coroutine function would never be awaited.
    """

    _on_event: OnEvent | None
    _numbers: Iterator[int] = attrs.field(factory=lambda: itertools.count(1), init=False)

    def __attrs_post_init__(self) -> None:
        if self._on_event is not None and not callable(self._on_event):
            raise TypeError(f"on_event must be a function, and is <{type(self._on_event).__name__}>")
        if inspect.iscoroutinefunction(self._on_event):
            raise TypeError("on_event must be a plain function: put the events into a queue, and await elsewhere")

    def begin(self, endpoint: Endpoint[Any], request: TaskRequest) -> TaskEvents:
        """
        Return the events of a new submit.
        """
        return TaskEvents(self._on_event, next(self._numbers), request, endpoint=endpoint.name)

    def pick_up(self, task_id: str, endpoint: Endpoint[Any] = DEFAULT_ENDPOINT) -> TaskEvents:
        """
        Return the events of a task that another program may have submitted.
        """
        return TaskEvents(self._on_event, task_id=task_id, endpoint=endpoint.name)
