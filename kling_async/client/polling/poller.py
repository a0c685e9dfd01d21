"""
One poller for all tasks of a client: it polls each when the schedule says so, a limited number at a time.

There is no loop that waits: a timer wakes the poller when the next task is due, and the end of each poll wakes it too.
An idle poller uses no CPU.
"""

import asyncio
import logging
import math
from collections.abc import Callable
from typing import Any

import attrs

from kling_async.client.handle import TaskHandle
from kling_async.client.polling.endpoint_poller import EndpointPoller
from kling_async.client.polling.health import ServiceHealth
from kling_async.client.polling.queries import StatusQueries
from kling_async.client.polling.schedule import PollSchedule
from kling_async.client.polling.strategy import QueryStrategy
from kling_async.client.polling.watched import closed_error
from kling_async.policy.policies import PollPolicy
from kling_async.wire.endpoints.base import Endpoint

__all__ = ["Poller"]

_log = logging.getLogger(__name__)


@attrs.define(eq=False, repr=False)
class Poller:
    """
    Keeps handles up to date while something waits for them; a failed poll is never a failed task.

    Args:
        strategy_for: Makes the strategy for an endpoint: what the service offers for it.

    Attributes:
        health: What polls have shown of the service.
    """

    policy: PollPolicy
    _queries: StatusQueries
    _strategy_for: Callable[[Endpoint[Any]], QueryStrategy]
    health: ServiceHealth = attrs.field(init=False)
    _endpoints: dict[str, EndpointPoller] = attrs.field(factory=dict, init=False)  # by path
    _running: set["asyncio.Task[None]"] = attrs.field(factory=set, init=False)
    _timer: asyncio.TimerHandle | None = attrs.field(default=None, init=False)
    _is_closed: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.health = ServiceHealth(self.policy)

    def __len__(self) -> int:
        return sum(len(endpoint.watched) for endpoint in self._endpoints.values())

    def watch(self, handle: TaskHandle, *, expects_callbacks: bool = False) -> None:
        """
        Poll *handle*'s task while something waits for it; no effect if it is watched already.

        With *expects_callbacks* it is polled only when a callback is overdue.

        Raises:
            ClientClosed: The poller was closed.
        """
        if self._is_closed:
            raise closed_error(handle)
        poller = self._endpoints.get(handle.endpoint.path) or self._add(handle.endpoint)
        if handle.task_id in poller.watched:
            return
        poller.watch(handle, asyncio.get_running_loop().time(), expects_callbacks=expects_callbacks)
        self._wake_at(poller.schedule.next_poll_at())

    def note_callback(self, handle: TaskHandle) -> None:
        """
        A callback of *handle*'s task came: poll it only when the next one is overdue.
        """
        poller = self._endpoints.get(handle.endpoint.path)
        if poller is not None and (task := poller.watched.get(handle.task_id)) is not None:
            now = asyncio.get_running_loop().time()
            task.expects_callbacks = True
            if not poller.forget_if_over(task, now):
                poller.schedule.note_callback(handle.task_id, now)
                self._wake_at(poller.schedule.next_poll_at())

    def expedite(self, handle: TaskHandle) -> None:
        """
        Poll *handle*'s task now: it has probably ended.
        """
        poller = self._endpoints.get(handle.endpoint.path)
        if poller is not None and (task := poller.watched.get(handle.task_id)) is not None:
            task.expects_callbacks = False  # the end that the poll will find was reported
            poller.schedule.expedite(handle.task_id, asyncio.get_running_loop().time())
            self._wake_at(poller.schedule.next_poll_at())

    async def aclose(self) -> None:
        """
        Stop polling, and end every wait with ClientClosed. Safe to call twice.
        """
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        for poller in self._endpoints.values():
            for task in poller.watched.values():
                task.handle.fail(closed_error(task.handle))
                task.handle.release()
                task.handle.polled_in = None
            poller.watched.clear()
        polls = tuple(self._running)
        for poll in polls:
            poll.cancel()
        await asyncio.gather(*polls, return_exceptions=True)

    def _add(self, endpoint: Endpoint[Any]) -> EndpointPoller:
        strategy = self._strategy_for(endpoint)
        schedule = PollSchedule(self.policy, self.health, strategy.per_request, strategy.ids_per_read)
        added = EndpointPoller(endpoint, self.policy, self._queries, strategy, self.health, schedule)
        self._endpoints[endpoint.path] = added
        return added

    def _poll_due(self, ended: "asyncio.Task[None] | None" = None) -> None:
        # Start the polls that are due, then sleep until the next. The timer calls this, and each poll that has ended.
        if ended is None:
            self._timer = None
        else:
            self._running.discard(ended)
            if not ended.cancelled() and (error := ended.exception()) is not None:
                _log.error("polling failed for an unforeseen reason", exc_info=error)
        if self._is_closed:
            return
        loop = asyncio.get_running_loop()
        now, until = loop.time(), math.inf
        allowance = self.health.rate.allowance(now)
        for path, poller in tuple(self._endpoints.items()):
            limit = min(self.policy.width - len(self._running), allowance)
            polls = poller.due_polls(now, limit) if limit > 0 else ()
            allowance -= len(polls)
            for poll in polls:
                aio_task = loop.create_task(poll, name="kling_async poll")
                self._running.add(aio_task)
                aio_task.add_done_callback(self._poll_due)
            if polls:
                self._endpoints[path] = self._endpoints.pop(path)  # next time it comes last
            until = min(until, poller.schedule.next_poll_at())
        self._wake_at(until if len(self._running) < self.policy.width else math.inf)

    def _wake_at(self, until: float) -> None:
        # A timer that is early enough stays: a new one for each task would cost more than waking up for nothing.
        if self._timer is not None:
            if self._timer.when() <= until < math.inf:
                return
            self._timer.cancel()
            self._timer = None
        if until < math.inf:
            self._timer = asyncio.get_running_loop().call_at(until, self._poll_due)
