"""
One watcher for all tasks of a client: it looks at each when the plan says so, a bounded number at a time.

There is no loop that waits: a timer wakes the watcher at the plan's next turn, and each look that ends wakes it too, so
an idle watcher is nothing but a dictionary.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final

import attrs

from kling_async.errors import (
    ClientClosed,
    KlingError,
    NotAuthenticated,
    RateLimited,
    ServiceFailure,
    TaskNotFound,
    UnexpectedAnswer,
)
from kling_async.plan import PollPlan
from kling_async.policy import PollPolicy, may_repeat
from kling_async.task import TaskHandle
from kling_async.wire.lifecycle import is_settled
from kling_async.wire.models import TaskSnapshot, TaskStatus

__all__ = ["Watcher"]

STUCK_AFTER: Final = 3600.0
"""
Seconds after which a task that never ends gives its slots back; the slowest picture we heard of took about one minute.
"""

BATCHES_TO_BREAK: Final = 4
"""
From so many looks at several tasks that broke in a row, the tasks in them are looked at one by one until one goes well.
"""

_log = logging.getLogger(__name__)


@attrs.define(eq=False)
class _Watch:
    handle: TaskHandle
    since: float
    missing_since: float | None = None
    bare_since: float | None = None


@attrs.define(eq=False)
class Watcher:
    """
    Feeds handles with sightings for as long as somebody wants them; a failed look is never a failed task.
    """

    policy: PollPolicy
    _look: Callable[[str], Awaitable[TaskSnapshot]]
    _look_at_several: Callable[[Sequence[str]], Awaitable[list[TaskSnapshot]]] | None = None
    _batch: int = 1
    _broken_batches: int = attrs.field(default=0, init=False)  # in a row
    _alone: set[str] = attrs.field(factory=set, init=False)  # tasks to be asked for alone the next time
    _plan: PollPlan = attrs.field(init=False)
    _watches: dict[str, _Watch] = attrs.field(factory=dict, init=False)
    _looks: set["asyncio.Task[None]"] = attrs.field(factory=set, init=False)
    _timer: asyncio.TimerHandle | None = attrs.field(default=None, init=False)
    _is_closed: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._plan = PollPlan(self.policy)

    def __len__(self) -> int:
        return len(self._watches)

    def watch(self, handle: TaskHandle) -> None:
        """
        Look at *handle*'s task until nobody wants it; one that is watched already is no error.

        Raises:
            ClientClosed: The watcher was closed.
        """
        if self._is_closed:
            raise _closed(handle)
        if handle.task_id in self._watches:
            return
        now = asyncio.get_running_loop().time()
        self._watches[handle.task_id] = _Watch(handle, now)
        self._plan.add(handle.task_id, now, at_once=handle.request is None or handle.snapshot is None)
        self._turn()

    async def aclose(self) -> None:
        """
        Stop looking, and end every wait with ClientClosed. Safe to call twice.
        """
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        for watch in self._watches.values():
            watch.handle.fail(_closed(watch.handle))
            watch.handle.release()
        self._watches.clear()
        looks = tuple(self._looks)
        for look in looks:
            look.cancel()
        await asyncio.gather(*looks, return_exceptions=True)

    def _turn(self) -> None:
        # Start what is due, then sleep until the next turn; without a free place the end of a look comes back here.
        if self._is_closed:
            return
        loop = asyncio.get_running_loop()
        ahead = self.policy.ahead if self._batch > 1 else 0.0
        while due := self._plan.due(loop.time(), (self.policy.width - len(self._looks)) * self._batch, ahead=ahead):
            watches = [watch for watch in map(self._watches.__getitem__, due) if not self._is_over(watch, loop.time())]
            for group in self._groups(watches):
                if len(self._looks) >= self.policy.width:
                    self._put_off(group, loop.time())
                    continue
                aio_task = loop.create_task(self._look_at(group), name=f"kling_async look at {len(group)}")
                self._looks.add(aio_task)
                aio_task.add_done_callback(self._looked)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        when = self._plan.next_turn()
        if when < float("inf") and len(self._looks) < self.policy.width:
            self._timer = loop.call_at(when, self._turn)

    def _put_off(self, watches: Sequence[_Watch], now: float) -> None:
        for watch in watches:
            self._plan.at_once(watch.handle.task_id, now)

    def _looked(self, aio_task: "asyncio.Task[None]") -> None:
        self._looks.discard(aio_task)
        if not aio_task.cancelled() and (error := aio_task.exception()) is not None:
            _log.error("a look at a task failed in an unforeseen way", exc_info=error)
        self._turn()

    def _groups(self, watches: Sequence[_Watch]) -> Iterator[Sequence[_Watch]]:
        alone = [watch for watch in watches if watch.handle.task_id in self._alone]
        others = [watch for watch in watches if watch.handle.task_id not in self._alone]
        for watch in alone:
            yield (watch,)
        for start in range(0, len(others), self._batch):
            yield others[start : start + self._batch]

    async def _look_at(self, watches: Sequence[_Watch]) -> None:
        now = asyncio.get_running_loop().time
        try:
            if len(watches) == 1:
                self._saw(watches[0], await self._look(watches[0].handle.task_id), now())
                self._alone.discard(watches[0].handle.task_id)
            elif self._look_at_several is not None:
                seen = await self._look_at_several([watch.handle.task_id for watch in watches])
                self._saw_several(watches, seen, now())
        except KlingError as error:
            self._broken_batches += len(watches) > 1
            if len(watches) > 1 and (not may_repeat(error) or self._broken_batches >= BATCHES_TO_BREAK):
                self._ask_singly(watches, error, now())
            else:
                for watch in watches:
                    self._missed(watch, error, now())
        finally:
            for watch in watches:
                self._plan.looked(watch.handle.task_id, now())  # unless its next look is booked already
                self._is_over(watch, now())

    def _saw(self, watch: _Watch, seen: TaskSnapshot, now: float) -> None:
        watch.missing_since = None
        watch.handle.see(seen)
        self._check_pictures(watch, now)

    def _saw_several(self, watches: Sequence[_Watch], seen: Sequence[TaskSnapshot], now: float) -> None:
        self._broken_batches = 0
        by_id = {snapshot.task_id: snapshot for snapshot in seen}
        for watch in watches:
            snapshot = by_id.get(watch.handle.task_id)
            if snapshot is not None:
                self._saw(watch, snapshot, now)
            else:  # unknown, or not shown in company: only asking for it alone can tell
                self._alone.add(watch.handle.task_id)
                self._plan.at_once(watch.handle.task_id, now)

    def _ask_singly(self, watches: Sequence[_Watch], error: KlingError, now: float) -> None:
        # Whether it is the way of asking that was refused, or the question, is told by asking for each task alone.
        if not may_repeat(error):
            _log.info("this service is asked for one task at a time: %s", error)
            self._batch = 1
        self._alone.update(watch.handle.task_id for watch in watches)
        self._put_off(watches, now)

    def _missed(self, watch: _Watch, error: KlingError, now: float) -> None:
        handle = watch.handle
        match error:
            case NotAuthenticated():
                handle.fail(attrs.evolve(error, task_id=handle.task_id))
            case TaskNotFound():
                watch.missing_since = now if watch.missing_since is None else watch.missing_since
                if now - watch.missing_since >= self.policy.not_found_grace:
                    handle.fail(attrs.evolve(error, task_id=handle.task_id))
                    handle.release()
            case RateLimited(retry_after=float(rest)) | ServiceFailure(retry_after=float(rest)):
                self._plan.pause(now + min(rest, self.policy.max_rest))
        if may_repeat(error):
            self._plan.missed(handle.task_id, now)
        _log.debug("a look at task %s failed: %s", handle.task_id, error)

    def _check_pictures(self, watch: _Watch, now: float) -> None:
        seen = watch.handle.snapshot  # rather than this look's: a later one may contradict the success
        if seen is None or seen.task_status is not TaskStatus.SUCCEEDED or is_settled(seen):
            return
        watch.bare_since = now if watch.bare_since is None else watch.bare_since
        if now - watch.bare_since >= self.policy.pictures_grace:
            what = f"the task succeeded, but its pictures were not told for {self.policy.pictures_grace:g} s"
            watch.handle.fail(UnexpectedAnswer(what, watch.handle.task_id, seen.request_id))

    def _is_over(self, watch: _Watch, now: float) -> bool:
        # Whether nobody wants to know more; then the task is forgotten here.
        handle = watch.handle
        if now - watch.since >= STUCK_AFTER and handle.release():
            what = "task %s has not ended for %.0f s; its slots are given to others"
            _log.warning(what, handle.task_id, now - watch.since)
        is_settled_now = handle.snapshot is not None and is_settled(handle.snapshot)
        if is_settled_now or not handle.is_wanted:
            self._plan.drop(handle.task_id)
            self._watches.pop(handle.task_id, None)
            self._alone.discard(handle.task_id)
            return True
        return False


def _closed(handle: TaskHandle) -> ClientClosed:
    what = "the client was closed; the task goes on, and another client's handle(task_id) picks it up"
    return ClientClosed(what, handle.task_id, task_ids=(handle.task_id,))
