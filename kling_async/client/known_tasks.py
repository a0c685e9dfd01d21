"""
The tasks that a client knows, by their ids, and reads of tasks by their ids.
"""

import functools
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import attrs

from kling_async.client.events import EventPublisher, TaskEvents
from kling_async.client.handle import TaskHandle
from kling_async.client.retries import find_in
from kling_async.client.spending import Spending
from kling_async.client.submission import may_be_task_of
from kling_async.client.timeouts import Timeouts
from kling_async.client.transport import Transport
from kling_async.errors import InvalidRequest, TaskNotFound
from kling_async.wire.dialects import Dialect
from kling_async.wire.endpoints.base import LAST_PAGE, Endpoint
from kling_async.wire.endpoints.registry import DEFAULT_ENDPOINT
from kling_async.wire.responses import read_only_task, read_page, read_snapshot
from kling_async.wire.tasks import TaskSnapshot

__all__ = ["KnownTasks"]


@attrs.define(eq=False, repr=False)
class KnownTasks:
    """
    One handle for each task, for as long as a program or the client itself keeps it.

    Args:
        open: Opens the client, or raises what keeps it from being used.
        watch: Has a handle's task polled.

    Attributes:
        timeouts: The time limits of all waits.
        running: The handles of running tasks that this client has submitted or taken over: it keeps them itself.
    """

    _transport: Transport
    _dialect: Dialect
    _spending: Spending
    _publisher: EventPublisher
    _open: Callable[[], None]
    _watch: Callable[[TaskHandle], None]
    timeouts: Timeouts = attrs.field(factory=Timeouts, init=False)
    running: dict[str, TaskHandle] = attrs.field(factory=dict, init=False)
    _handles: "weakref.WeakValueDictionary[str, TaskHandle]" = attrs.field(
        factory=weakref.WeakValueDictionary, init=False
    )

    @property
    def unfinished(self) -> tuple[TaskHandle, ...]:
        """
        As `KlingClient.unfinished`.
        """
        known = dict(self._handles.items()) | self.running
        return tuple(handle for handle in known.values() if not handle.is_settled)

    def handle(
        self,
        task_id: str,
        endpoint: Endpoint[Any] = DEFAULT_ENDPOINT,
        events: TaskEvents | None = None,
        *,
        is_running: bool = False,
    ) -> TaskHandle:
        """
        Return the handle of a task; *endpoint* and *events* are those of a new one. With *is_running*, it is one of
        `running` from now on, until `forget` is called.

        Raises:
            InvalidRequest: No task can have this id.
        """
        handle = self.running.get(task_id) or self._handles.get(task_id)
        if handle is None:
            endpoint.one(task_id)  # rejects text that cannot be an id
            if events is None:
                events = self._publisher.pick_up(task_id, endpoint)
            handle = TaskHandle(task_id, None, self._watch, events, endpoint, self.timeouts)
            if self._spending.budget is not None:
                handle.charge = self._spending.pick_up(task_id, endpoint)
            else:
                handle.charge = self._spending.ended.get(task_id)
            if not is_running:
                self._handles[task_id] = handle
        if is_running:
            self.running[task_id] = handle
        return handle

    def forget(self, handle: TaskHandle) -> None:
        """
        Keep the handle of a running task only for as long as a program does.
        """
        del self.running[handle.task_id]
        self._handles[handle.task_id] = handle

    def events_of(self, task_id: str) -> TaskEvents:
        """
        Return the events of a task.
        """
        handle = self.running.get(task_id) or self._handles.get(task_id)
        return handle.events if handle is not None else self._publisher.pick_up(task_id)

    async def get(self, task_id: str, endpoint: Endpoint[Any] = DEFAULT_ENDPOINT) -> TaskSnapshot:
        """
        As `KlingClient.get`.
        """
        handle = self.handle(task_id, endpoint)
        self._open()
        read = functools.partial(self._read, task_id, None)
        snapshot = await find_in(read, handle.endpoint, handle.endpoint.counterpart(self._dialect))
        handle.apply(snapshot)
        return snapshot

    async def look_up(self, external_task_id: str, endpoint: Endpoint[Any] = DEFAULT_ENDPOINT) -> TaskSnapshot:
        """
        Ask the service for the task that was sent under an id of ours.

        Raises:
            TaskNotFound: This account has no task with this id.
            KlingError: Passing failures are retried for `retry.give_up_after` seconds; then the last is raised.
        """
        self._open()
        read = functools.partial(self._read, None, external_task_id)
        snapshot = await find_in(read, endpoint, endpoint.counterpart(self._dialect))
        if not may_be_task_of(snapshot, external_task_id, sent_ago=None, made_ago=None):
            what = f"the service answered with another task than that of external_task_id {external_task_id!r}"
            raise TaskNotFound(what, snapshot.task_id, snapshot.request_id)
        return snapshot

    def _read(self, task_id: str | None, external_id: str | None, endpoint: Endpoint[Any]) -> Awaitable[TaskSnapshot]:
        # Not a coroutine of its own, but that of the transport.
        path = endpoint.one(task_id) if task_id is not None else endpoint.sent_as(external_id or "")
        if endpoint.legacy is None:
            return self._transport.read(path, functools.partial(read_snapshot, task_id=task_id))
        parse = functools.partial(read_only_task, task_id=task_id, external_id=external_id)
        return self._transport.read(path, parse)

    async def listed(self, endpoint: Endpoint[Any], page_size: int) -> AsyncGenerator[TaskSnapshot, None]:
        """
        Yield the account's tasks of *endpoint*, each once although a list may grow while it is read.

        Raises:
            InvalidRequest: The service does not list them.
        """
        if not (self._dialect.lists and endpoint.lists):
            what = f"{self._dialect.name} services do not list {endpoint.title} tasks; keep the task ids yourself"
            raise InvalidRequest(what)
        self._open()
        yielded_ids: set[str] = set()
        for number in range(1, LAST_PAGE + 1):
            page = await self._transport.read(endpoint.page(number, page_size), read_page)
            for snapshot in page:
                if snapshot.task_id not in yielded_ids:
                    yielded_ids.add(snapshot.task_id)
                    yield snapshot
            if len(page) < page_size:
                return
