"""
One watcher for all tasks of a client: it looks at each when the plan says so, a bounded number at a time.

There is no loop that waits: a timer wakes the watcher at the plan's next turn, and each look that ends wakes it too, so
an idle watcher is nothing but a dictionary.
"""

import asyncio
import functools
import logging
import math
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import attrs

from kling_async.client.handle import TaskHandle
from kling_async.client.polling.queries import StatusQueries
from kling_async.client.polling.schedule import PollPlan
from kling_async.client.polling.strategy import QueryMode, QueryPlan, QueryStrategy
from kling_async.client.retries import may_repeat
from kling_async.errors import (
    ClientClosed,
    KlingError,
    NotAuthenticated,
    RateLimited,
    ServiceFailure,
    TaskNotFound,
    UnexpectedAnswer,
)
from kling_async.policy.policies import PollPolicy
from kling_async.wire.status import is_final, is_settled, is_settled_well
from kling_async.wire.tasks import TaskSnapshot, TaskStatus

__all__ = ["Poller"]

TROUBLE_FROM: Final = 5
"""
Looks in a row that have to fail before the log warns of it; fewer are everyday life.
"""

STUCK_AFTER: Final = 3600.0
"""
Seconds after which a task that never ends gives its slots back; the slowest picture we heard of took about one minute.
"""

SPOKEN_OF: Final = 120.0
"""
Seconds since the last callback of a task on its way for which the next one is waited for, though the service says that
there is no such task. It is twice as long as the slowest picture that we heard of took.
"""

_ABOUT_A_TASK: Final = (1201, 1203, "task_not_exist")  # rather than about the way of asking, perhaps

_log = logging.getLogger(__name__)


@attrs.define(eq=False)
class _Watch:
    handle: TaskHandle
    number: int
    since: float
    is_told_of: bool = False
    is_seen_late: bool = False  # its end was waited for in vain before it was looked for
    missing_since: float | None = None
    refused_since: float | None = None  # as missing, or the service does not tell of it for another reason
    bare_since: float | None = None


@attrs.frozen
class _Held(Mapping[str, TaskSnapshot | None]):
    # What is known of each watched task, looked up as it is asked for: there may be very many.
    _watches: dict[str, _Watch]

    def __getitem__(self, task_id: str) -> TaskSnapshot | None:
        return self._watches[task_id].handle.snapshot

    def __iter__(self) -> Iterator[str]:
        return iter(self._watches)

    def __len__(self) -> int:
        return len(self._watches)


@attrs.define(eq=False)
class Poller:
    """
    Feeds handles with sightings for as long as somebody wants them; a failed look is never a failed task.

    Attributes:
        has_missed_news: Whether a look found an end that a callback should have told of; unset by whoever hears of one.
    """

    policy: PollPolicy
    _looks: StatusQueries
    _ways: QueryStrategy = attrs.field(factory=QueryStrategy)
    has_missed_news: bool = attrs.field(default=False, init=False)
    _alone: set[str] = attrs.field(factory=set, init=False)  # tasks to be asked for alone the next time
    _plan: PollPlan = attrs.field(init=False)
    _watches: dict[str, _Watch] = attrs.field(factory=dict, init=False)
    _under_way: set["asyncio.Task[None]"] = attrs.field(factory=set, init=False)
    _timer: asyncio.TimerHandle | None = attrs.field(default=None, init=False)
    _count: int = attrs.field(default=0, init=False)  # of all that were ever watched
    _broken: int = attrs.field(default=0, init=False)  # looks since the last that was answered
    _is_closed: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._plan = PollPlan(self.policy, self._ways.per_request)

    def __len__(self) -> int:
        return len(self._watches)

    def watch(self, handle: TaskHandle, *, is_told_of: bool = False) -> None:
        """
        Look at *handle*'s task until nobody wants it; one that is watched already is no error.

        With *is_told_of* callbacks are expected, and looks come only where they are overdue.

        Raises:
            ClientClosed: The watcher was closed.
        """
        if self._is_closed:
            raise _closed(handle)
        if handle.task_id in self._watches:
            return
        now = asyncio.get_running_loop().time()
        if handle.watched_since is None:
            handle.watched_since = now
        self._count += 1
        self._watches[handle.task_id] = _Watch(handle, self._count, handle.watched_since, is_told_of)
        is_of_unknown_age = handle.request is None or handle.snapshot is None
        kind = None if handle.request is None else (handle.request.model_name, handle.request.n)
        self._plan.add(
            handle.task_id,
            now,
            kind=kind,
            since=handle.watched_since,
            schedule_now=is_of_unknown_age,
            is_told_of=is_told_of,
        )
        self._turn()

    def heard(self, handle: TaskHandle) -> None:
        """
        Learn that a callback told of *handle*'s task: looks come only when the next one is overdue.
        """
        watch = self._watches.get(handle.task_id)
        if watch is None:
            return
        now = asyncio.get_running_loop().time()
        watch.is_told_of = True
        if not self._is_over(watch, now):
            self._plan.heard(handle.task_id, now)
            self._turn()

    def expedite(self, handle: TaskHandle) -> None:
        """
        Look at *handle*'s task now: there is a hint that it has ended.
        """
        watch = self._watches.get(handle.task_id)
        if watch is not None:
            watch.is_told_of = False  # what the look will find was told
            self._plan.expedite(handle.task_id, asyncio.get_running_loop().time())
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
        looks = tuple(self._under_way)
        for look in looks:
            look.cancel()
        await asyncio.gather(*looks, return_exceptions=True)

    def _turn(self) -> None:
        # Start what is due, then sleep until the next turn; without a free place the end of a look comes back here.
        if self._is_closed:
            return
        loop = asyncio.get_running_loop()
        self._plan.per_request = self._ways.per_request
        due = self._plan.due(loop.time(), self._most_due())
        watches = [watch for watch in map(self._watches.__getitem__, due) if not self._is_over(watch, loop.time())]
        for look in self._looks_at(watches) if watches else ():
            aio_task = loop.create_task(look, name="kling_async look")
            self._under_way.add(aio_task)
            aio_task.add_done_callback(self._looked)
        self._sleep(self._plan.next_turn() if self._most_due() else math.inf)

    def _sleep(self, until: float) -> None:
        # A timer that is early enough is left alone: to make one for each task would cost more than a turn in vain.
        if self._timer is not None:
            if self._timer.when() <= until < math.inf:
                return
            self._timer.cancel()
            self._timer = None
        if until < math.inf:
            self._timer = asyncio.get_running_loop().call_at(until, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._turn()

    def _most_due(self) -> int:
        return max(0, self.policy.width - len(self._under_way)) * self._ways.per_request

    def _looked(self, aio_task: "asyncio.Task[None]") -> None:
        self._under_way.discard(aio_task)
        if not aio_task.cancelled() and (error := aio_task.exception()) is not None:
            _log.error("a look at a task failed in an unforeseen way", exc_info=error)
        self._turn()

    def _looks_at(self, watches: Sequence[_Watch]) -> Iterator[Coroutine[Any, Any, None]]:
        alone = [watch for watch in watches if watch.handle.task_id in self._alone]
        others = [watch for watch in watches if watch.handle.task_id not in self._alone]
        choice = self._ways.choose([self._depth(watch) for watch in others])
        if choice.way is QueryMode.PAGES:
            yield self._ended(others, functools.partial(self._look_at_pages, choice))
            others = []
        for group in (*((watch,) for watch in alone), *self._groups(others)):
            if len(self._under_way) < self.policy.width:
                yield self._ended(group, self._look_at)
            else:
                self._put_off(group, asyncio.get_running_loop().time())

    def _groups(self, watches: Sequence[_Watch]) -> Iterator[Sequence[_Watch]]:
        size = self._ways.ids_per_read
        return (watches[start : start + size] for start in range(0, len(watches), size))

    def _put_off(self, watches: Iterable[_Watch], now: float) -> None:
        for watch in watches:
            self._plan.schedule_now(watch.handle.task_id, now)

    async def _ended(
        self, watches: Sequence[_Watch], look: Callable[[Sequence[_Watch]], Coroutine[Any, Any, None]]
    ) -> None:
        try:
            await look(watches)
        finally:
            now = asyncio.get_running_loop().time()
            for watch in watches:
                self._plan.looked(watch.handle.task_id, now)  # unless its next look is booked already
                self._is_over(watch, now)

    async def _look_at(self, watches: Sequence[_Watch]) -> None:
        now = asyncio.get_running_loop().time
        way = QueryMode.SEVERAL if len(watches) > 1 else QueryMode.ONE
        self._plan.asked(now())
        try:
            if way is QueryMode.ONE:
                [watch] = watches
                seen = {watch.handle.task_id: await self._looks.one(watch.handle.task_id)}
                self._alone.discard(watch.handle.task_id)
            else:
                seen = await self._looks.several({watch.handle.task_id: watch.handle.snapshot for watch in watches})
        except KlingError as error:
            self._apply_backpressure(error, now())
            if way is QueryMode.SEVERAL and self._is_to_be_asked_otherwise(way, error):
                # Whether it is the way of asking that was refused, or the question, asking for each alone will tell.
                self._ask_singly(watches, now())
            else:
                for watch in watches:
                    self._missed(watch, error, now())
            return
        self._answered()
        self._ways.worked(way)
        for watch in watches:
            if (snapshot := seen.get(watch.handle.task_id)) is not None:
                self._record(watch, snapshot, now())
        # A task that was left out is unknown, or not shown in company: again only asking for it alone can tell.
        self._ask_singly([watch for watch in watches if watch.handle.task_id not in seen], now())

    async def _look_at_pages(self, choice: QueryPlan, watches: Sequence[_Watch]) -> None:
        # Pages show all tasks of the account, so that those which are not due yet are seen as well.
        now = asyncio.get_running_loop().time
        expected = [watch for watch in watches if self._ways.is_within(self._depth(watch), choice)]
        missing = {watch.handle.task_id: watch for watch in watches}
        try:
            for number in range(1, choice.pages + 1):
                self._plan.asked(now())
                seen, is_last = await self._looks.page(number, choice.page_size, _Held(self._watches))
                self._answered()
                for task_id, snapshot in seen.items():
                    self._saw_on_page(task_id, snapshot, now(), is_due=missing.pop(task_id, None) is not None)
                if is_last or not missing:
                    break
        except KlingError as error:
            self._apply_backpressure(error, now())
            if not self._is_to_be_asked_otherwise(QueryMode.PAGES, error):
                for watch in missing.values():
                    self._missed(watch, error, now())
                return
        else:
            self._ways.worked(QueryMode.PAGES)
            self._ways.looked_at_pages(len(expected), sum(watch.handle.task_id in missing for watch in expected))
        for group in self._groups([watch for watch in missing.values() if not self._is_over(watch, now())]):
            await self._look_at(group)

    def _saw_on_page(self, task_id: str, snapshot: TaskSnapshot, now: float, *, is_due: bool) -> None:
        watch = self._watches.get(task_id)
        if watch is not None:
            self._record(watch, snapshot, now)
            if not is_due:
                self._plan.mark_seen(task_id, now)
                self._is_over(watch, now)

    def _depth(self, watch: _Watch) -> int:
        return self._count - watch.number

    def _is_to_be_asked_otherwise(self, way: QueryMode, error: KlingError) -> bool:
        if may_repeat(error):
            return self._ways.broke(way) and not isinstance(error, RateLimited)
        if error.code in _ABOUT_A_TASK and not self._ways.broke(way):
            return True
        _log.info("this service is not asked for several tasks in this way again (%s): %s", way.name, error)
        self._ways.refused(way)
        return True

    def _ask_singly(self, watches: Sequence[_Watch], now: float) -> None:
        self._alone.update(watch.handle.task_id for watch in watches)
        self._put_off(watches, now)

    def _record(self, watch: _Watch, seen: TaskSnapshot, now: float) -> None:
        watch.missing_since = watch.refused_since = None
        was_done = watch.handle.done
        watch.handle.apply(seen)
        if watch.is_told_of and watch.handle.done and not was_done:
            watch.is_seen_late = self.has_missed_news = True
        self._check_pictures(watch, now)

    def _answered(self) -> None:
        self._plan.answered()
        if self._broken >= TROUBLE_FROM:
            _log.info("looks at tasks are answered again")
        self._broken = 0

    def _apply_backpressure(self, error: KlingError, now: float) -> None:
        # What the service says of too many requests concerns them all, whatever this one was for.
        if may_repeat(error) and not isinstance(error, RateLimited):
            self._broken += 1
            if self._broken == TROUBLE_FROM:
                _log.warning("%d looks at tasks in a row have failed; they go on: %s", self._broken, error)
        match error:
            case RateLimited(retry_after=float(rest)) | ServiceFailure(retry_after=float(rest)):
                self._plan.pause(now + min(rest, self.policy.max_rest))
            case RateLimited():
                self._plan.slow_down(now)

    def _missed(self, watch: _Watch, error: KlingError, now: float) -> None:
        handle = watch.handle
        match error:
            case NotAuthenticated():
                handle.fail(attrs.evolve(error, task_id=handle.task_id))
            case ClientClosed():  # the session was closed by its owner, so that no look will ever be answered
                handle.fail(_closed(handle))
                handle.release()
            case _ if not may_repeat(error):
                self._refused(watch, error, now)
        if may_repeat(error):
            self._plan.missed(handle.task_id, now)
        _log.debug("a look at task %s failed: %s", handle.task_id, error)

    def _refused(self, watch: _Watch, error: KlingError, now: float) -> None:
        # The service does not tell of the task, and asking again will hardly help.
        told, grace = watch.handle.unconfirmed, self.policy.not_found_grace
        watch.refused_since = now if watch.refused_since is None else watch.refused_since
        if told is not None and is_settled_well(told):
            if now - watch.refused_since >= grace:
                self._take_as_told(watch, told, error)
        elif _is_unknown(error):
            watch.missing_since = now if watch.missing_since is None else watch.missing_since
            until = watch.missing_since + grace
            if told is not None and not is_final(told.task_status):
                until = max(until, watch.handle.unconfirmed_at + SPOKEN_OF)
            if now >= until:
                watch.handle.fail(_not_found(error, watch.handle.task_id, told))
                watch.handle.release()

    def _take_as_told(self, watch: _Watch, told: TaskSnapshot, error: KlingError) -> None:
        # Only who was given the task's own address could tell of its pictures, and the service does not know better.
        what = "the service does not tell of task %s; its pictures are those of a callback, and not confirmed: %s"
        _log.warning(what, told.task_id, error)
        watch.is_seen_late = True
        watch.handle.apply(told)

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
        if is_settled_now and handle.task_id in self._watches:
            self._learn(watch, now)
        if is_settled_now or not handle.is_wanted:
            self._plan.drop(handle.task_id)
            self._watches.pop(handle.task_id, None)
            self._alone.discard(handle.task_id)
            return True
        return False

    def _learn(self, watch: _Watch, now: float) -> None:
        # The service's own clock knows better than our looks; failures come at any time and teach nothing.
        seen, seconds = watch.handle.snapshot, now - watch.since
        if seen is None or seen.task_status is not TaskStatus.SUCCEEDED:
            return
        told = 0.0
        if seen.created_at is not None and seen.updated_at is not None:
            told = (seen.updated_at - seen.created_at).total_seconds()
        if 0 < told < seconds:
            self._plan.learn(watch.handle.task_id, told, now)
        elif not watch.is_seen_late:
            self._plan.learn(watch.handle.task_id, seconds, now)


def _is_unknown(error: KlingError) -> bool:
    match error:
        case TaskNotFound() | UnexpectedAnswer(is_other_api=True, http_status=404):
            return True
        case _:
            return False


def _not_found(error: KlingError, task_id: str, told: TaskSnapshot | None) -> KlingError:
    if told is None or not isinstance(error, TaskNotFound):
        return attrs.evolve(error, task_id=task_id)
    reason = f" ({told.task_status_msg})" if told.task_status_msg else ""
    what = (
        f"the service knows no task {task_id}, but a callback told of it as {told.status_word!r}{reason}; "
        "it may be known there by another id, so look for it before you pay again"
    )
    return attrs.evolve(error, message=what, task_id=task_id, snapshot=told)


def _closed(handle: TaskHandle) -> ClientClosed:
    what = "the client was closed; the task goes on, and another client's handle(task_id) picks it up"
    return ClientClosed(what, handle.task_id, task_ids=(handle.task_id,))
