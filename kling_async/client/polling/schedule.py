"""
When to poll which task. No clock and no waiting: `now` is passed in.

A task whose kind has a known duration is first polled shortly before it should end, then frequently. While the duration
of a kind is unknown, its tasks form a sample group: a few of them are polled at a time, in rotation, until the first
one ends.
"""

import collections
import functools
import heapq
import itertools
import math
from collections.abc import Iterator
from typing import Final

import attrs

from kling_async.client.polling.durations import DurationEstimate, Kind
from kling_async.client.polling.health import ServiceHealth
from kling_async.client.polling.strategy import FEW_TASKS
from kling_async.policy.policies import PollPolicy

__all__ = ["PollSchedule"]

SAMPLE_SIZE: Final = 5
"""
Number of tasks of a sample group that are polled at a time, unless one request can query more.
"""

SAMPLE_PRICE: Final = 0.25
"""
Seconds by which all tasks of a group may be noticed later if that saves one request for each of them.
"""

HEAD_START: Final = 0.25
"""
Share of the delay between polls that the other tasks of a group get when the first one has ended: it is among the
quickest, and the service's rate is found meanwhile.
"""

CROWD: Final = 3
CROWD_DELAY: Final = 0.185
"""
If a poll of all tasks takes many requests, the seconds between two polls of a task grow with the logarithm of their
number: from three requests on, so many more for each 2.7 times as many.
"""

MOST_REQUESTS: Final = 1000.0
MOST_TASKS: Final = 10_000.0
"""
Requests per second, and tasks per second that their answers show, above which a client does not poll, even if the
service takes more. To poll a task among thousands costs about 10 µs of CPU.
"""

MANY_DELAY: Final = 0.2
"""
Seconds between two polls of a task of more than `FEW_TASKS`, at least.
"""

FEW: Final = 0.8
"""
Share of the usual delay between polls for up to `FEW_TASKS`.
"""

EARLY: Final = 2.0
"""
The usual delay between polls is that many times as long while a task is younger than any that ended lately.
"""

ALONE: Final = 0.5
SHARED: Final = 0.35
"""
The same for a task alone, and for several that one request shows.
"""


@attrs.define(eq=False, repr=False, weakref_slot=False)
class _Entry:
    task_id: str
    group: "SampleGroup"
    since: float
    ticket: int = 0  # of its valid place in the heap; 0 for none
    at: float = math.inf  # when it is due, if it has a ticket
    failures: int = 0  # polls in a row
    callback_at: float = -math.inf  # of the last callback, while the next one is waited for
    is_expedited: bool = False  # while a poll that may be too early is running

    def overdue_at(self, grace: float) -> float:
        # A callback is overdue 1.5 times the usual duration after the last one.
        duration = self.group.duration
        return self.callback_at + 1.5 * (duration.typical if duration.is_known else grace)


@attrs.define(eq=False, repr=False)
class SampleGroup:
    """
    The tasks of one kind whose duration is unknown; it is dissolved once the duration is known.

    Attributes:
        first_delay: Seconds from the acceptance of a task to its first poll.
    """

    kind: Kind
    first_delay: float
    duration: DurationEstimate = attrs.field(factory=DurationEstimate)
    entries: collections.OrderedDict[str, _Entry] = attrs.field(factory=collections.OrderedDict)  # not being polled
    ticket: int = 0
    at: float = math.inf
    last_polled_at: float = -math.inf


@attrs.define(eq=False, repr=False)
class PollSchedule:
    """
    The next poll of each watched task. A task that was due has no next poll until `note_polled` schedules it.

    Times are seconds of any monotonic clock.

    Attributes:
        per_request: How many tasks one request can query.
        per_sample: How many of them by their ids, which is enough for a sample of more tasks than that.
    """

    policy: PollPolicy
    health: ServiceHealth
    per_request: int = 1
    per_sample: int = 1
    _entries: dict[str, _Entry] = attrs.field(factory=dict, init=False)
    _being_polled: dict[str, _Entry] = attrs.field(factory=dict, init=False)  # were due, and have no next poll yet
    _groups: dict[Kind, SampleGroup] = attrs.field(factory=dict, init=False)
    # By time; an item whose time changes keeps its old place until that comes up. Tickets keep ties in order.
    _heap: list[tuple[float, int, _Entry | SampleGroup]] = attrs.field(factory=list, init=False)
    _tickets: Iterator[int] = attrs.field(factory=functools.partial(itertools.count, 1), init=False)

    def __len__(self) -> int:
        return len(self._entries)

    def add(
        self,
        task_id: str,
        now: float,
        *,
        kind: Kind = None,
        since: float | None = None,
        is_due: bool = False,
        expects_callbacks: bool = False,
    ) -> None:
        """
        Schedule the first poll of a task.

        Args:
            kind: Shared with tasks that take about the same time; None shares it with none.
            since: When the task was accepted; None for now.
            is_due: Poll it now, because its age is unknown.
            expects_callbacks: Poll it only when a callback is overdue.
        """
        if task_id in self._entries:
            self.remove(task_id)
        if kind not in self._groups:
            self._groups[kind] = SampleGroup(kind, self.policy.first_delay)
        entry = self._entries[task_id] = _Entry(task_id, self._groups[kind], now if since is None else since)
        if is_due:
            self._book(entry, now)
        elif expects_callbacks:
            entry.callback_at = now
            self._book(entry, entry.overdue_at(self.policy.callback_grace))
        elif kind is None or entry.group.duration.is_known:
            self._book(entry, max(now, entry.since + entry.group.first_delay))
        else:
            self._join_group(entry, now)

    def remove(self, task_id: str) -> None:
        """
        Forget a task; no effect if it is unknown.
        """
        entry = self._entries.pop(task_id, None)
        if entry is not None:
            entry.ticket = 0
            self._being_polled.pop(task_id, None)
            if task_id in entry.group.entries:
                self._leave_group(entry)

    def due(self, now: float, limit: float = math.inf) -> list[str]:
        """
        Return the tasks to poll now, up to *limit*, those that are due longest first; the others stay due.

        If several tasks share a request, tasks that are due soon are included, so that they stay together.
        """
        due: list[_Entry] = []
        ahead = 0.0
        while len(due) < limit and self.next_poll_at() <= now + ahead:
            item = heapq.heappop(self._heap)[2]
            item.ticket = 0
            if isinstance(item, SampleGroup):
                self._sample(item, now, limit, due)
                continue
            item.is_expedited = False
            item.group.last_polled_at = now
            due.append(item)
            if self.per_request > 1:
                ahead = max(ahead, self._interval(item, now) / 2)
        task_ids = [entry.task_id for entry in due]
        self._being_polled.update(zip(task_ids, due, strict=True))
        return task_ids

    def next_poll_at(self) -> float:
        """
        Return when to call `due` again, or infinity.
        """
        while self._heap:
            at, ticket, item = self._heap[0]
            if item.ticket != ticket:
                heapq.heappop(self._heap)
            elif at < item.at:
                heapq.heapreplace(self._heap, (item.at, ticket, item))
            else:
                return max(at, self.health.rate.ready_at)
        return math.inf

    def schedule_now(self, task_id: str, now: float) -> None:
        """
        Schedule a task that was due for now; no effect if its next poll is scheduled already.
        """
        if (entry := self._being_polled.pop(task_id, None)) is not None:
            self._book(entry, now)

    def note_polled(self, task_id: str, now: float, took: float = 0.0) -> None:
        """
        A poll of a task was answered after *took* seconds: schedule the next one; no effect if it is scheduled already.
        """
        entry = self._being_polled.pop(task_id, None)
        if entry is None:
            return
        entry.failures = 0
        if entry.is_expedited:
            self._book(entry, now)
        elif entry.callback_at > -math.inf and now < (overdue_at := entry.overdue_at(self.policy.callback_grace)):
            self._book(entry, overdue_at)
        elif entry.group.duration.is_known or entry.group.kind is None:
            interval = self._interval(entry, now)
            self._book(entry, now + max(interval - took, interval / 2))  # a slow service is not asked without a break
        else:
            self._join_group(entry, now)

    def note_failed(self, task_id: str, now: float) -> None:
        """
        A poll of a task failed: schedule the next one soon, but later after each failure in a row.
        """
        if (entry := self._being_polled.pop(task_id, None)) is not None:
            entry.failures += 1
            self._book(entry, now + self.policy.after_misses(entry.failures))

    def mark_seen(self, task_id: str, now: float) -> None:
        """
        A task was seen in the answer to a poll of others: postpone its next poll.
        """
        entry = self._entries.get(task_id)
        if entry is None:
            return
        if task_id in entry.group.entries:
            entry.group.entries.move_to_end(task_id)
        elif entry.ticket and (later := now + self._interval(entry, now)) > entry.at:
            self._book(entry, later)

    def note_callback(self, task_id: str, now: float) -> None:
        """
        A callback of a task came: poll it only when the next callback is overdue.
        """
        entry = self._entries.get(task_id)
        if entry is not None:
            entry.callback_at = now
            if task_id not in self._being_polled:
                self._leave_group(entry)
                self._book(entry, entry.overdue_at(self.policy.callback_grace))

    def expedite(self, task_id: str, now: float) -> None:
        """
        Poll a task now, and as usual from then on; if a poll of it is running, once more after that.
        """
        entry = self._entries.get(task_id)
        if entry is not None:
            entry.callback_at = -math.inf
            if task_id in self._being_polled:
                entry.is_expedited = True
            else:
                self._leave_group(entry)
                self._book(entry, now)

    def add_duration(self, task_id: str, seconds: float, now: float) -> None:
        """
        A task took *seconds* until it succeeded: schedule those of its kind by that.
        """
        entry = self._entries.get(task_id)
        if entry is None or entry.group.kind is None:
            return
        group = entry.group
        waiting: list[_Entry] = []
        if not group.duration.is_known:  # those that wait for a callback were scheduled without an estimate
            waiting = [
                other
                for other in self._entries.values()
                if other.group is group and other.ticket and other.at == other.overdue_at(self.policy.callback_grace)
            ]
        group.duration.add(seconds)
        group.first_delay = min(self.policy.early * group.duration.typical, group.duration.shortest)
        group.ticket = 0
        later = now + HEAD_START * self._interval(entry, now) if group.entries else now
        while group.entries:
            _, sampled = group.entries.popitem(last=False)
            self._book(sampled, max(later, sampled.since + group.first_delay))
        for other in waiting:
            self._book(other, max(now, other.overdue_at(self.policy.callback_grace)))

    def _book(self, item: _Entry | SampleGroup, at: float) -> None:
        if item.ticket and at >= item.at:
            item.at = at  # a second place would be one more to drop later: there may be very many
            return
        item.ticket, item.at = next(self._tickets), at
        heapq.heappush(self._heap, (at, item.ticket, item))

    def _sample(self, group: SampleGroup, now: float, limit: float, due: list[_Entry]) -> None:
        # Add the tasks that were not seen for longest; while they are polled they are not in the group.
        group.last_polled_at = now
        start, size = len(due), self._sample_size(group, now)
        while group.entries and len(due) < min(start + size, limit):
            due.append(group.entries.popitem(last=False)[1])
        self._book_group(group, now, (len(due) - start) / size)

    def _join_group(self, entry: _Entry, now: float) -> None:
        entry.group.entries[entry.task_id] = entry
        if not entry.group.ticket:
            self._book_group(entry.group, now)

    def _leave_group(self, entry: _Entry) -> None:
        entry.group.entries.pop(entry.task_id, None)
        if not entry.group.entries:
            entry.group.ticket = 0

    def _book_group(self, group: SampleGroup, now: float, share: float = 1.0) -> None:
        # If the last poll was only a share of a sample, the next comes sooner.
        if not group.entries:
            return
        oldest, count = next(iter(group.entries.values())), len(group.entries)
        first, age = oldest.since + group.first_delay, now - oldest.since
        worth = _sample_interval(self.policy, max(age, group.first_delay), age, count, self._sample_size(group, now))
        self._book(group, max(now, first, group.last_polled_at + share * min(self._interval(oldest, now), worth)))

    def _sample_size(self, group: SampleGroup, now: float) -> int:
        oldest = next(iter(group.entries.values()), None)
        is_young = oldest is None or now - oldest.since < self.policy.max_delay  # later each task has its turn in time
        is_by_ids = len(group.entries) > self.per_request and self.per_sample > 1 and is_young  # not by many pages
        return self.per_sample if is_by_ids else max(SAMPLE_SIZE, self.per_request)

    def _interval(self, entry: _Entry, now: float) -> float:
        policy, duration, age = self.policy, entry.group.duration, now - entry.since
        if not duration.is_known:
            return min(max(policy.first_delay, (policy.growth - 1) * age), policy.max_delay)
        share, crowded = _crowding(len(self._entries), self.per_request)
        if age < duration.shortest:
            share *= EARLY
        usual = share * policy.dense * max(age, duration.typical)
        return min(max(policy.min_delay, usual, crowded), policy.max_delay)


@functools.lru_cache(maxsize=16)
def _crowding(count: int, per_request: int) -> tuple[float, float]:
    # The share of the usual delay between two polls of one of *count* tasks, and the least delay.
    share = FEW if count <= FEW_TASKS else 1.0
    if count <= per_request:
        share = ALONE if count == 1 else SHARED
    requests = count / per_request
    crowded = max(CROWD_DELAY * math.log1p(requests / CROWD), requests / MOST_REQUESTS, count / MOST_TASKS)
    return share, max(crowded, MANY_DELAY) if count > FEW_TASKS else crowded


def _sample_interval(policy: PollPolicy, wait: float, age: float, count: int, size: int) -> float:
    # To poll k tasks a second costs k requests a second until an end is found, which then is about 1 / k s old for each
    # of the group's *count* tasks. The best k is the square root of their number by the *wait*.
    worth = size * math.sqrt(SAMPLE_PRICE * wait / count)
    if size > SAMPLE_SIZE or age >= policy.max_delay:  # each task is polled at least that often
        worth = min(worth, policy.max_delay * min(size, count) / count)
    return worth
