"""
Which tasks to look at, and when. No clock and no waiting: `now` is passed in.

Tasks of a kind whose pace is known are first looked at shortly before their end, then densely. While the pace of a kind
is not known, its tasks are a crowd: they take turns at being looked at, until the first of them ends and tells it.
"""

import collections
import heapq
import itertools
import math
from collections.abc import Iterator
from typing import Final, TypeAlias

import attrs

from kling_async.client.polling.durations import DurationEstimate, Kind
from kling_async.policy.policies import PollPolicy

__all__ = ["PollPlan"]

SAMPLE: Final = 5
"""
So many tasks of a crowd are looked at in a turn, or as many as one request can tell of where those are more.
"""

OVERDUE: Final = 1.5
"""
How many times as long as its kind takes a task may be without news before its callback counts as overdue.
"""

SLOWER: Final = 1.25
"""
By how much each refusal slows looking down.
"""

QUICKER: Final = 0.98
"""
By how much each answer quickens it again.
"""

SLOWEST: Final = 8.0
"""
By how much looking slows down at most; it was right before that, or the service is out of order.
"""

HALF_LIFE: Final = 30.0
"""
Seconds after which looking is half as slow again in any case.
"""


@attrs.define(eq=False)
class _Entry:
    task_id: str
    crowd: "SampleGroup"
    since: float
    ticket: int = 0  # of the one booking that counts; 0 for none
    at: float = math.inf  # of that booking
    misses: int = 0
    told_at: float = -math.inf  # when a callback last told of it, where the next one is waited for
    is_hurried: bool = False  # in the middle of a look that may have come too early


@attrs.define(eq=False)
class SampleGroup:
    kind: Kind
    pace: DurationEstimate = attrs.field(factory=DurationEstimate)  # the crowd disperses for good once it is known
    entries: collections.OrderedDict[str, _Entry] = attrs.field(factory=collections.OrderedDict)  # not being looked at
    ticket: int = 0
    at: float = math.inf
    last_turn: float = -math.inf


_Turn: TypeAlias = tuple[float, int, _Entry | SampleGroup]


@attrs.define(eq=False)
class PollPlan:
    """
    A turn for each watched task; after its turn a task has none until `looked` books the next.

    Times are seconds of any clock that only goes forward. `per_request` is how many tasks one request can ask for.
    """

    policy: PollPolicy
    per_request: int = 1
    _entries: dict[str, _Entry] = attrs.field(factory=dict, init=False)
    _crowds: dict[Kind, SampleGroup] = attrs.field(factory=dict, init=False)
    _turns: list[_Turn] = attrs.field(factory=list, init=False)
    _tickets: Iterator[int] = attrs.field(factory=lambda: itertools.count(1), init=False)  # ties keep their order
    _busy_until: float = attrs.field(default=-math.inf, init=False)  # with what was asked last
    _paused_until: float = attrs.field(default=-math.inf, init=False)
    _slowness: float = attrs.field(default=1.0, init=False)
    _slowed_at: float = attrs.field(default=-math.inf, init=False)

    def __len__(self) -> int:
        return len(self._entries)

    def add(
        self,
        task_id: str,
        now: float,
        *,
        kind: Kind = None,
        since: float | None = None,
        schedule_now: bool = False,
        is_told_of: bool = False,
    ) -> None:
        """
        Plan the first look at a task.

        Args:
            kind: What it has in common with tasks that take as long; None is like no other.
            since: When it was accepted, None for now.
            at_once: Look now; its age is not known.
            is_told_of: Callbacks are expected to tell of it, and looks only where they are overdue.
        """
        self.drop(task_id)
        if kind not in self._crowds:
            self._crowds[kind] = SampleGroup(kind)
        entry = self._entries[task_id] = _Entry(task_id, self._crowds[kind], now if since is None else since)
        if schedule_now:
            self._book(entry, now)
        elif is_told_of:
            entry.told_at = now
            self._book(entry, self._overdue_at(entry))
        else:
            self._book_first(entry, now)

    def drop(self, task_id: str) -> None:
        """
        Forget a task; one that is not planned is no error.
        """
        entry = self._entries.pop(task_id, None)
        if entry is not None:
            entry.ticket = 0
            self._leave_crowd(entry)

    def due(self, now: float, most: float = math.inf) -> list[str]:
        """
        Return the tasks whose turn has come, the longest due first, and *most* of them; the others keep their turns.

        Where several tasks share a request, those that are due soon come along, so that their turns fall together.
        """
        due: list[str] = []
        if self.next_turn() > now:
            return due
        ahead = 0.0
        while len(due) < most and self._first_turn() <= now + ahead:
            _, _, holder = heapq.heappop(self._turns)
            holder.ticket = 0
            if isinstance(holder, SampleGroup):
                due += self._from_crowd(holder, now, most - len(due))
                continue
            holder.is_hurried = False
            holder.crowd.last_turn = now
            due.append(holder.task_id)
            if self.per_request > 1:
                ahead = max(ahead, self._interval(holder, now) / 2)
        return due

    def asked(self, now: float) -> None:
        """
        Learn that a request is made: the next turn comes no sooner than the rate allows.
        """
        self._busy_until = max(self._busy_until, now) + 1 / self.policy.max_rate

    def answered(self) -> None:
        """
        Learn that a request was answered: what slowed looking down wears off a little.
        """
        self._slowness = max(1.0, QUICKER * self._slowness)

    def schedule_now(self, task_id: str, now: float) -> None:
        """
        Book the next look at a task for now; without effect where it is booked already.
        """
        if (entry := self._looked_at(task_id)) is not None:
            self._book(entry, now)

    def looked(self, task_id: str, now: float) -> None:
        """
        Book the next look at a task, after one that was answered; without effect where it is booked already.
        """
        if (entry := self._looked_at(task_id)) is not None:
            entry.misses = 0
            self._book_next(entry, now)

    def missed(self, task_id: str, now: float) -> None:
        """
        Book the next look at a task, after one that broke: soon, and less so each time in a row.
        """
        if (entry := self._looked_at(task_id)) is not None:
            entry.misses += 1
            self._book(entry, now + self.policy.after_misses(entry.misses))

    def mark_seen(self, task_id: str, now: float) -> None:
        """
        Put the next look at a task off: it was seen just now, beside others that were asked for.
        """
        entry = self._entries.get(task_id)
        if entry is None:
            return
        crowd = entry.crowd
        if task_id in crowd.entries:
            crowd.entries.move_to_end(task_id)
        elif entry.ticket and (later := now + self._interval(entry, now)) > entry.at:
            self._book(entry, later)

    def heard(self, task_id: str, now: float) -> None:
        """
        Leave a task alone until its next callback is overdue: one has come.
        """
        entry = self._entries.get(task_id)
        if entry is not None:
            entry.told_at = now
            if self._leave_crowd(entry) or entry.ticket:
                self._book(entry, self._overdue_at(entry))

    def expedite(self, task_id: str, now: float) -> None:
        """
        Look at a task now, and as usual from then on; where a look is under way, once more after it.
        """
        entry = self._entries.get(task_id)
        if entry is not None:
            entry.told_at = -math.inf
            if self._leave_crowd(entry) or entry.ticket:
                self._book(entry, now)
            else:
                entry.is_hurried = True

    def learn(self, task_id: str, seconds: float, now: float) -> None:
        """
        Learn how long a task took that ended well; those of its kind have a time of their own from now on.
        """
        entry = self._entries.get(task_id)
        if entry is None or entry.crowd.kind is None:
            return
        crowd = entry.crowd
        is_first = not crowd.pace.is_known
        resting = [other for other in self._entries.values() if self._is_resting(other, crowd)] if is_first else ()
        crowd.pace.learn(seconds)
        crowd.ticket = 0
        while crowd.entries:
            _, waiting = crowd.entries.popitem(last=False)
            self._book_first(waiting, now)
        for other in resting:
            self._book(other, max(now, self._overdue_at(other)))

    def pause(self, until: float) -> None:
        """
        Look at nothing before *until*: the service asked for a rest.
        """
        self._paused_until = max(self._paused_until, until)

    def slow_down(self, now: float) -> None:
        """
        Rest for a little, then look less often at everything: the service refused a look as one too many. Answers and
        time wear it off, so that refusals now and then cost little, and many in a row much.

        Looks that were under way together count once.
        """
        if now >= self._paused_until:
            self._slowness = min(SLOWER * self._slowness_at(now), SLOWEST)
            self._slowed_at = now
            self.pause(now + self.policy.min_delay * self._slowness)

    def next_turn(self) -> float:
        """
        Return when to call `due` again, or infinity.
        """
        return max(self._first_turn(), self._busy_until, self._paused_until)

    def _first_turn(self) -> float:
        while self._turns:
            at, ticket, holder = self._turns[0]
            if holder.ticket != ticket:
                heapq.heappop(self._turns)
            elif at < holder.at:
                heapq.heapreplace(self._turns, (holder.at, ticket, holder))
            else:
                return at
        return math.inf

    def _looked_at(self, task_id: str) -> _Entry | None:
        # The entry of a task that has no next turn yet.
        entry = self._entries.get(task_id)
        if entry is None or entry.ticket or task_id in entry.crowd.entries:
            return None
        return entry

    def _from_crowd(self, crowd: SampleGroup, now: float, most: float) -> list[str]:
        # The longest unseen first; a task that is looked at is out of its crowd until then.
        crowd.last_turn = now
        count = int(min(self._sample_of(crowd), most))
        taken = [crowd.entries.popitem(last=False)[0] for _ in range(count)]
        self._book_crowd(crowd, now)
        return taken

    def _sample_of(self, crowd: SampleGroup) -> int:
        return min(max(SAMPLE, self.per_request), len(crowd.entries))

    def _book_first(self, entry: _Entry, now: float) -> None:
        crowd = entry.crowd
        if crowd.pace.is_known:
            early = min(self.policy.early * crowd.pace.typical, crowd.pace.shortest)
            self._book(entry, max(now, entry.since + early))
        elif crowd.kind is None:
            self._book(entry, max(now, entry.since + self.policy.first_delay))
        else:
            self._join(crowd, entry, now)

    def _book_next(self, entry: _Entry, now: float) -> None:
        crowd = entry.crowd
        if entry.is_hurried:
            self._book(entry, now)
        elif now < self._overdue_at(entry):
            self._book(entry, self._overdue_at(entry))
        elif crowd.pace.is_known or crowd.kind is None:
            self._book(entry, now + self._interval(entry, now))
        else:
            self._join(crowd, entry, now)

    def _join(self, crowd: SampleGroup, entry: _Entry, now: float) -> None:
        crowd.entries[entry.task_id] = entry
        if not crowd.ticket:
            self._book_crowd(crowd, now)

    def _leave_crowd(self, entry: _Entry) -> bool:
        crowd = entry.crowd
        was_there = crowd.entries.pop(entry.task_id, None) is not None
        if not crowd.entries:
            crowd.ticket = 0
        return was_there

    def _book_crowd(self, crowd: SampleGroup, now: float) -> None:
        if crowd.entries:
            longest_unseen = next(iter(crowd.entries.values()))
            first = longest_unseen.since + self.policy.first_delay
            # However large it is, each of its tasks has its look in time.
            latest = self.policy.max_delay * self._sample_of(crowd) / len(crowd.entries)
            self._book(crowd, max(now, first, crowd.last_turn + min(self._interval(longest_unseen, now), latest)))

    def _book(self, holder: "_Entry | SampleGroup", at: float) -> None:
        if holder.ticket and at >= holder.at:
            holder.at = at  # its turn is put off when it comes up: else many that are over would lie there until then
            return
        holder.ticket, holder.at = next(self._tickets), at
        heapq.heappush(self._turns, (at, holder.ticket, holder))

    def _overdue_at(self, entry: _Entry) -> float:
        pace = entry.crowd.pace
        typical = pace.typical if pace.is_known else self.policy.callback_grace
        return entry.told_at + OVERDUE * typical

    def _is_resting(self, entry: _Entry, crowd: SampleGroup) -> bool:
        return entry.crowd is crowd and entry.ticket > 0 and entry.at == self._overdue_at(entry)

    def _interval(self, entry: _Entry, now: float) -> float:
        policy, pace, age = self.policy, entry.crowd.pace, now - entry.since
        if pace.is_known:
            wanted = max(policy.min_delay, policy.dense * max(age, pace.typical))
        else:
            wanted = max(policy.first_delay, (policy.growth - 1) * age)
        return min(wanted * self._slowness_at(now), policy.max_delay)

    def _slowness_at(self, now: float) -> float:
        half_lives = (now - self._slowed_at) / HALF_LIFE
        return max(1.0, self._slowness * math.pow(0.5, half_lives))
