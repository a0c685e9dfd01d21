"""
Polls the tasks of one endpoint: which of them to query now, with which requests, and what the answers change.
"""

import asyncio
import itertools
import logging
import math
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from typing import Any, Final

import attrs

from kling_async.client.handle import TaskHandle
from kling_async.client.polling.health import ServiceHealth
from kling_async.client.polling.queries import StatusQueries
from kling_async.client.polling.schedule import PollSchedule
from kling_async.client.polling.strategy import QueryMode, QueryPlan, QueryStrategy
from kling_async.client.polling.watched import STUCK_AFTER, WatchedTask
from kling_async.client.retries import may_repeat
from kling_async.errors import KlingError, NotSent, RateLimited
from kling_async.policy.policies import PollPolicy
from kling_async.wire.endpoints.base import Endpoint
from kling_async.wire.tasks import TaskSnapshot

__all__ = ["EndpointPoller"]

_ABOUT_A_TASK: Final = (1201, 1203, "task_not_exist")
"""
Error codes that may be about one of several tasks rather than about the kind of request.
"""

_log = logging.getLogger(__name__)


@attrs.frozen
class _Known(Mapping[str, TaskSnapshot | None]):
    # A view, not a copy, of the last snapshot of each watched task: there may be very many.
    _watched: dict[str, WatchedTask]

    def __getitem__(self, task_id: str) -> TaskSnapshot | None:
        return self._watched[task_id].handle.snapshot

    def __contains__(self, task_id: object) -> bool:
        return task_id in self._watched

    def __iter__(self) -> Iterator[str]:
        return iter(self._watched)

    def __len__(self) -> int:
        return len(self._watched)


@attrs.define(eq=False, repr=False)
class EndpointPoller:
    """
    The watched tasks of one endpoint.

    Attributes:
        watched: The tasks by their ids.
        schedule: When to poll each.
    """

    endpoint: Endpoint[Any]
    policy: PollPolicy
    _queries: StatusQueries
    _strategy: QueryStrategy
    _health: ServiceHealth
    schedule: PollSchedule
    watched: dict[str, WatchedTask] = attrs.field(factory=dict, init=False)
    _count: int = attrs.field(default=0, init=False)  # of all tasks that were ever watched

    def watch(self, handle: TaskHandle, now: float, *, expects_callbacks: bool) -> None:
        """
        Schedule the first poll of a task.
        """
        if handle.watched_since is None:
            handle.watched_since = now
        handle.polled_in = asyncio.get_running_loop()
        self._count += 1
        self.watched[handle.task_id] = WatchedTask(handle, self._count, handle.watched_since, expects_callbacks)
        self.schedule.add(
            handle.task_id,
            now,
            kind=None if handle.request is None else self.endpoint.duration_key(handle.request),
            since=handle.watched_since,
            is_due=handle.request is None or handle.snapshot is None,
            expects_callbacks=expects_callbacks,
        )

    def due_polls(self, now: float, limit: int) -> list[Coroutine[Any, Any, None]]:
        """
        Return the polls to run now, *limit* at most; tasks that they do not cover stay due.
        """
        per_request = self.schedule.per_request
        is_by_pages = per_request > self._strategy.ids_per_read  # those for the oldest task show all others as well
        due = self.schedule.due(now, math.inf if is_by_pages else limit * per_request)
        if not due:
            return []
        tasks = [task for task in map(self.watched.__getitem__, due) if not self.forget_if_over(task, now)]
        if len(tasks) <= 1:
            return [self._run(None, tasks)] if tasks else []
        polls = self._plan(tasks)
        for _, batch in polls[limit:]:
            for task in batch:
                self.schedule.schedule_now(task.handle.task_id, now)
        return [self._run(plan, batch) for plan, batch in polls[:limit]]

    def forget_if_over(self, task: WatchedTask, now: float) -> bool:
        """
        Stop watching a task whose end is known or that nothing waits for; return whether that is so.
        """
        handle = task.handle
        if now - task.since >= STUCK_AFTER:
            task.release_stuck(now)
        is_settled = handle.is_settled
        if not is_settled and handle.is_wanted:
            return False
        task_id = handle.task_id
        if is_settled and task_id in self.watched and (seconds := task.duration(now)) is not None:
            self.schedule.add_duration(task_id, seconds, now)
        self.schedule.remove(task_id)
        self.watched.pop(task_id, None)
        handle.polled_in = None
        return True

    def _plan(self, tasks: Sequence[WatchedTask]) -> list[tuple[QueryPlan | None, Sequence[WatchedTask]]]:
        # The requests that query all *tasks*: those with a plan by pages, the others by ids.
        single = [task for task in tasks if task.is_polled_singly]
        others = [task for task in tasks if not task.is_polled_singly] if single else tasks
        plan = self._strategy.plan([self._depth(task) for task in others])
        self.schedule.per_request, self.schedule.per_sample = self._strategy.per_request, self._strategy.ids_per_read
        batches = [(task,) for task in single]
        if plan.mode is QueryMode.PAGES:
            return [(plan, others), *((None, batch) for batch in batches)]
        return [(None, batch) for batch in (*batches, *self._batches(others))]

    def _batches(self, tasks: Sequence[WatchedTask]) -> Iterator[Sequence[WatchedTask]]:
        size = self._strategy.ids_per_read
        return (tasks[start : start + size] for start in range(0, len(tasks), size))

    async def _run(self, plan: QueryPlan | None, tasks: Sequence[WatchedTask]) -> None:
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        try:
            if plan is not None:
                await self._poll_pages(plan, tasks)
            else:
                await self._poll_by_ids(tasks)
        finally:
            now = loop.time()
            for task in tasks:
                if not self.forget_if_over(task, now):
                    self.schedule.note_polled(task.handle.task_id, now, now - began_at)  # no effect if it failed

    async def _poll_by_ids(self, tasks: Sequence[WatchedTask]) -> None:
        now = asyncio.get_running_loop().time
        known = {task.handle.task_id: task.handle.snapshot for task in tasks}
        is_single = len(tasks) == 1
        sent_at = now()
        self._health.rate.note_sent(sent_at)
        try:
            if is_single:
                [task_id] = known
                snapshots = {task_id: await self._queries.one(self.endpoint, task_id)}
            else:
                snapshots = await self._queries.several(self.endpoint, known)
        except KlingError as error:
            self._health.apply_backpressure(error, now(), sent_at)
            if not is_single and self._should_change_mode(QueryMode.SEVERAL, error):
                # Querying each task singly will show whether the mode was refused or one of the tasks.
                self._poll_singly(tasks, now())
            else:
                self._note_failure(tasks, error, now())
            return
        self._health.rate.note_answered(now(), sent_at)
        if self._health.failures:
            self._health.note_recovery()
        if not is_single:
            self._strategy.note_answer(QueryMode.SEVERAL)
        for task in tasks:
            if (snapshot := snapshots.get(task.handle.task_id)) is None:
                self._poll_singly((task,), now())  # it is unknown, or shown only when it is queried singly
                continue
            task.is_polled_singly = False
            if task.record(snapshot, now(), self.policy):
                self._health.has_missed_callbacks = True

    async def _poll_pages(self, plan: QueryPlan, tasks: Sequence[WatchedTask]) -> None:
        # Pages show all tasks of the account, so tasks that are not due yet are seen as well.
        now = asyncio.get_running_loop().time
        expected = [task for task in tasks if plan.covers(self._depth(task))]
        missing = {task.handle.task_id: task for task in tasks}
        sent_at = now()
        try:
            for number in range(1, plan.pages + 1):
                if number > 1 and self._health.rate.was_refused:  # otherwise it may refuse the same page each time
                    await asyncio.sleep(self._health.rate.ready_at - now())
                sent_at = now()
                self._health.rate.note_sent(sent_at)
                snapshots, is_last = await self._queries.page(
                    self.endpoint, number, plan.page_size, _Known(self.watched)
                )
                self._health.rate.note_answered(now(), sent_at, is_typical=False)  # pages take longer than other polls
                if self._health.failures:
                    self._health.note_recovery()
                for task_id, snapshot in snapshots.items():
                    self._record_from_page(task_id, snapshot, now(), is_due=missing.pop(task_id, None) is not None)
                if is_last or not missing:
                    break
        except KlingError as error:
            self._health.apply_backpressure(error, now(), sent_at)
            if not self._should_change_mode(QueryMode.PAGES, error):
                self._note_failure(tuple(missing.values()), error, now())
                return
        else:
            self._strategy.note_answer(QueryMode.PAGES)
            self._strategy.note_pages(len(expected), sum(task.handle.task_id in missing for task in expected))
        # Several reads at a time: one after another, each task would wait for all others.
        batches = self._batches([task for task in missing.values() if not self.forget_if_over(task, now())])
        while some := tuple(itertools.islice(batches, self.policy.width)):
            await asyncio.gather(*map(self._poll_by_ids, some))

    def _record_from_page(self, task_id: str, snapshot: TaskSnapshot, now: float, *, is_due: bool) -> None:
        task = self.watched.get(task_id)
        if task is not None:
            if task.record(snapshot, now, self.policy):
                self._health.has_missed_callbacks = True
            if not is_due:
                self.schedule.mark_seen(task_id, now)
                self.forget_if_over(task, now)

    def _depth(self, task: WatchedTask) -> int:
        return self._count - task.number

    def _should_change_mode(self, mode: QueryMode, error: KlingError) -> bool:
        if may_repeat(error) or isinstance(error, NotSent):
            return self._strategy.note_failure(mode) and not isinstance(error, RateLimited)
        if error.code in _ABOUT_A_TASK and not self._strategy.note_failure(mode):
            return True
        _log.info("this service is not asked for several tasks in this way again (%s): %s", mode.name, error)
        self._strategy.note_refused(mode)
        self.schedule.per_request, self.schedule.per_sample = self._strategy.per_request, self._strategy.ids_per_read
        return True

    def _poll_singly(self, tasks: Sequence[WatchedTask], now: float) -> None:
        for task in tasks:
            task.is_polled_singly = True
            self.schedule.schedule_now(task.handle.task_id, now)

    def _note_failure(self, tasks: Sequence[WatchedTask], error: KlingError, now: float) -> None:
        for task in tasks:
            task.note_failure(error, now, self.policy)
            if may_repeat(error):
                self.schedule.note_failed(task.handle.task_id, now)
