"""
A handle of one task: its last known state, and the callers that wait for its end.
"""

import asyncio
import enum
import math
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

import attrs

from kling_async.client.events import NULL_EVENTS, EventKind, TaskEvents
from kling_async.client.limits.bucket import SlotLease
from kling_async.client.spending import Charge
from kling_async.client.timeouts import Timeouts
from kling_async.errors import KlingError, TaskFailed, WaitTimeout
from kling_async.policy.arguments import check_timeout
from kling_async.wire.endpoints.base import Endpoint, TaskRequest
from kling_async.wire.endpoints.registry import DEFAULT_ENDPOINT
from kling_async.wire.notebook_html import html_of
from kling_async.wire.status import has_succeeded, is_final, is_settled, merge, reason_of
from kling_async.wire.tasks import TaskResult, TaskSnapshot, TaskStatus

__all__ = ["TaskHandle", "Timeout", "failure_of"]


class Timeout(enum.Enum):
    """
    How long to wait, if no seconds are given.
    """

    OF_ENDPOINT = "the endpoint's"


@attrs.define(eq=False, repr=False)
class TaskHandle:
    """
    One task of the service. Returned by `client.submit` and `client.handle`; lives as long as you keep it, and in
    `client.unfinished` until the task is final.

    Any number of callers may wait at once. Cancelling a wait stops only that wait: the task keeps running.

    Attributes:
        endpoint: The endpoint that it belongs to; `endpoint.name` is "image-generation", for example.
        request: What was sent; None for a task picked up by its id.
        snapshot: The last known state; None until a task that was picked up has first been polled.
        is_final: Whether it has succeeded or failed; `done` is the same.
        is_settled: Whether it has ended, and its files are known.
        events: Publishes what happens to the task.
        unconfirmed: What callbacks without a valid signature have said; None if none came.
        unconfirmed_at: When the last of them came, in seconds of the loop's clock.
        polled_in: The event loop in which it is polled; None if it is not.
        charge: What is reserved for the task in budgets; None for most of those that were picked up.
    """

    task_id: str
    request: TaskRequest | None
    _watch: Callable[["TaskHandle"], None]
    events: TaskEvents = NULL_EVENTS
    endpoint: Endpoint[Any] = DEFAULT_ENDPOINT
    _timeouts: Timeouts = attrs.field(factory=Timeouts)
    snapshot: TaskSnapshot | None = attrs.field(default=None, init=False)
    is_final: bool = attrs.field(default=False, init=False)
    is_settled: bool = attrs.field(default=False, init=False)
    unconfirmed: TaskSnapshot | None = attrs.field(default=None, init=False)
    unconfirmed_at: float = attrs.field(default=-math.inf, init=False)
    polled_in: asyncio.AbstractEventLoop | None = attrs.field(default=None, init=False)
    watched_since: float | None = attrs.field(default=None, init=False)
    _lease: SlotLease | None = attrs.field(default=None, init=False)
    charge: Charge | None = attrs.field(default=None, init=False)
    _on_final: Callable[["TaskHandle"], object] | None = attrs.field(default=None, init=False)
    _on_unconfirmed: Callable[[TaskSnapshot], object] | None = attrs.field(default=None, init=False)
    _waiter: "asyncio.Future[None] | None" = attrs.field(default=None, init=False)  # one needs no dict
    _others: dict["asyncio.Future[None]", None] | None = attrs.field(default=None, init=False)  # an ordered set
    _listeners: dict["asyncio.Queue[TaskSnapshot | KlingError]", None] | None = attrs.field(default=None, init=False)

    def __repr__(self) -> str:
        word = self.snapshot.status_word if self.snapshot else "not seen yet"
        return f"<TaskHandle {self.task_id!r}: {word}>"

    def _repr_html_(self) -> str:
        return html_of(self)

    @property
    def status(self) -> TaskStatus:
        """
        The last known status; `UNKNOWN` until a task that was picked up has first been polled.
        """
        return self.snapshot.task_status if self.snapshot else TaskStatus.UNKNOWN

    @property
    def done(self) -> bool:
        """
        Whether the task has succeeded or failed.
        """
        return self.is_final

    def __await__(self) -> Generator[Any, None, TaskResult]:
        return self.wait().__await__()

    async def wait(self, timeout: "float | Timeout | None" = Timeout.OF_ENDPOINT) -> TaskResult:
        """
        Wait until the task is final and return its result. Cancelling this stops only the wait.

        Args:
            timeout:
                Seconds from now; 0 does not wait, and None waits for ever. The default is the `timeout` of the
                endpoint: 600 for images, which is ten times the slowest known image.

        Raises:
            InvalidRequest: *timeout* is not a number of seconds.
            TaskFailed: The service gave up on the task; its reason is the message.
            WaitTimeout: Not final in time. The task may still finish, and this handle stays usable.
            TaskNotFound: The service has said for a while that there is no such task, and no callback brought its
                files. If one did, they are the result, and its snapshot says `is_confirmed=False`.
            NotAuthenticated: The key is no longer accepted.
            UnexpectedAnswer: The task succeeded, and its files were not shown for 30 s.
            ClientClosed: The client was closed meanwhile.
        """
        if isinstance(timeout, Timeout):
            timeout = self.endpoint.timeout
        else:
            check_timeout("timeout", timeout)
        if not self.is_settled:
            loop = asyncio.get_running_loop()
            if self.polled_in is not loop:  # this comes first: it refuses a loop that is not the client's
                self._watch(self)
            waiter: asyncio.Future[None] = loop.create_future()
            timed = self._timeouts.begin(waiter, timeout) if timeout is not None else None
            if self._waiter is None:
                self._waiter = waiter
            else:
                others = self._others = self._others or {}
                others[waiter] = None
            try:
                await waiter
            finally:
                if self._waiter is waiter:
                    self._waiter = None
                elif self._others is not None:
                    del self._others[waiter]
                if timed is not None:
                    del timed[waiter]
                del waiter, timed  # otherwise an error's traceback holds them and they hold the error, until a gc
        if self.is_settled and (snapshot := self.snapshot) and snapshot.task_status is TaskStatus.SUCCEEDED:
            prompt = "" if self.request is None else self.endpoint.caption(self.request)
            number = self.events.number
            return TaskResult.of(snapshot, self.task_id, endpoint=self.endpoint.name, prompt=prompt, number=number)
        raise _error_of(self, timeout)

    async def updates(self) -> AsyncGenerator[TaskSnapshot, None]:
        """
        Yield the last known state, then each change of status, message or files, until the task is final.

        A failed task is yielded like any other, not raised. Leaving the loop early stops only this iterator.

        Raises:
            KlingError: As `wait`, except TaskFailed and WaitTimeout.
        """
        news: asyncio.Queue[TaskSnapshot | KlingError] = asyncio.Queue()
        if self.snapshot is not None:
            news.put_nowait(self.snapshot)
        listeners = self._listeners = self._listeners or {}
        listeners[news] = None
        try:
            if not self.is_settled:
                self._watch(self)
            while True:
                item = await news.get()
                if isinstance(item, KlingError):
                    try:
                        raise item
                    finally:
                        del item  # otherwise its traceback holds it
                yield item
                if is_settled(item):
                    return
        finally:
            del listeners[news]

    @property
    def is_wanted(self) -> bool:
        """
        Whether a caller waits, or slots are held until the task's end is seen.
        """
        if self._waiter is not None or self._others or self._listeners:
            return True
        return self._lease is not None and not self._lease.is_released

    def accept(
        self,
        request: TaskRequest,
        lease: SlotLease,
        *,
        charge: Charge | None = None,
        on_final: Callable[["TaskHandle"], object],
        on_unconfirmed: Callable[[TaskSnapshot], object] | None = None,
        events: TaskEvents = NULL_EVENTS,
    ) -> None:
        """
        Take over the slots, the charge and the events of the submit that became this task. At its end the slots are
        given back, and the charge is settled.
        """
        if self._lease is not None:
            self._lease.release()
        if self.charge is not None and charge is not None:
            charge.take_over(self.charge)
        self.request, self.events = request, events
        self._lease, self.charge = lease, charge
        self._on_final, self._on_unconfirmed = on_final, on_unconfirmed
        if self.snapshot is not None:  # its end may have been seen before the submit was answered
            self._report(self.snapshot, None)

    def apply(self, snapshot: TaskSnapshot) -> None:
        """
        Apply a new state of the task, from a poll or a callback; a late or repeated one changes nothing.
        """
        held = self.snapshot
        self.snapshot = later = merge(held, snapshot)
        if later is held:
            return
        self.is_final, self.is_settled = is_final(later.task_status), is_settled(later)
        if self._listeners and (held is None or _visible_fields(held) != _visible_fields(later)):
            for news in self._listeners:
                news.put_nowait(later)
        if self.is_settled:
            for waiter in (self._waiter, *(self._others or ())):
                if waiter is not None and not waiter.done():
                    waiter.set_result(None)
        self._report(later, held)

    def note_unconfirmed(self, snapshot: TaskSnapshot, now: float) -> None:
        """
        Keep what a callback without a valid signature said at *now*. Files that it named stay.
        """
        self.unconfirmed_at = now
        if self.unconfirmed is not None and has_succeeded(self.unconfirmed):
            return
        has_files = has_succeeded(snapshot)
        self.unconfirmed = snapshot if has_files else merge(self.unconfirmed, snapshot)
        if has_files and not self.is_final and self._on_unconfirmed is not None:
            self._on_unconfirmed(snapshot)

    def fail(self, error: KlingError) -> None:
        """
        End every current wait with *error*; the handle can still be used. A task that has ended cannot fail later.
        """
        if self.is_settled:
            return
        for waiter in (self._waiter, *(self._others or ())):
            if waiter is not None and not waiter.done():
                waiter.set_exception(attrs.evolve(error))  # a copy for each: a traceback belongs to one `raise`
        for news in self._listeners or ():
            news.put_nowait(attrs.evolve(error))
        self.events.publish(EventKind.TROUBLE, snapshot=self.snapshot, error=error)

    def release(self) -> bool:
        """
        Give the task's slots back, since its end may never be seen, and return whether it still held some. What is
        reserved for it stays reserved.
        """
        if self.charge is not None:
            self.charge.keep(self.task_id)
        lease, self._lease = self._lease, None
        if lease is None or lease.is_released:
            return False
        lease.release()
        return True

    def _report(self, snapshot: TaskSnapshot, before: TaskSnapshot | None) -> None:
        # Report what is new since *before* to the client and to its events: each step once, however often it is seen.
        if self.is_final and self._lease is not None:  # the client keeps it until its files are known
            self._lease.release()
        if self.is_final and self.charge is not None:
            self.charge.settle(snapshot)
        if self.is_settled:
            on_final, self._on_final = self._on_final, None
            if on_final is not None:
                on_final(self)
            spent = self.charge.spending.spent if self.charge is not None else None
            self.events.publish(EventKind.FINAL, snapshot=snapshot, spent=spent)
        elif snapshot.task_status is TaskStatus.PROCESSING and (
            before is None or before.task_status is not snapshot.task_status
        ):
            self.events.publish(EventKind.PROCESSING, snapshot=snapshot)


def _error_of(handle: TaskHandle, timeout: float | None) -> TaskFailed | WaitTimeout:
    snapshot = handle.snapshot
    if snapshot is None:
        what = f"the service has not shown this task within {timeout:g} s; check its id, or wait again"
        return WaitTimeout(what, handle.task_id)
    if handle.is_settled:
        return failure_of(snapshot)
    word = f"last seen as {snapshot.status_word!r}"
    what = f"the task was not final after {timeout:g} s, {word}; it is still running: wait again"
    return WaitTimeout(what, handle.task_id, snapshot.request_id, snapshot=snapshot)


def failure_of(snapshot: TaskSnapshot) -> TaskFailed:
    """
    Return the error that waiting for a failed task raises.
    """
    return TaskFailed(
        f"the task failed: {reason_of(snapshot)}", snapshot.task_id, snapshot.request_id, snapshot=snapshot
    )


def _visible_fields(snapshot: TaskSnapshot) -> tuple[object, ...]:
    return snapshot.status_word, snapshot.task_status_msg, snapshot.task_result
