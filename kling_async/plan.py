"""
Which tasks to look at, and when. No clock and no waiting: `now` is passed in.
"""

import heapq
import itertools
import math
from collections.abc import Iterator

import attrs

from kling_async.policy import PollPolicy

__all__ = ["PollPlan"]


@attrs.define(eq=False)
class PollPlan:
    """
    A turn for each watched task; after its turn a task has none until `looked` books the next.

    Times are seconds of any clock that only goes forward.
    """

    policy: PollPolicy
    _delays: dict[str, Iterator[float]] = attrs.field(factory=dict, init=False)
    _turns: list[tuple[float, int, str]] = attrs.field(factory=list, init=False)
    _booked: dict[str, int] = attrs.field(factory=dict, init=False)  # the one turn of a task that counts
    _misses: dict[str, int] = attrs.field(factory=dict, init=False)
    _tickets: Iterator[int] = attrs.field(factory=itertools.count, init=False)  # ties keep their order
    _paused_until: float = attrs.field(default=-math.inf, init=False)

    def __len__(self) -> int:
        return len(self._delays)

    def add(self, task_id: str, now: float, *, at_once: bool = False) -> None:
        """
        Plan the first look at a task that was accepted just now, or, *at_once*, at one of unknown age.
        """
        self._delays[task_id] = self.policy.delays()
        self._book(task_id, now if at_once else now + next(self._delays[task_id]))

    def drop(self, task_id: str) -> None:
        """
        Forget a task; one that is not planned is no error.
        """
        self._delays.pop(task_id, None)
        self._booked.pop(task_id, None)
        self._misses.pop(task_id, None)

    def due(self, now: float, most: float = math.inf, *, ahead: float = 0.0) -> list[str]:
        """
        Return the tasks whose turn has come, the longest due first, and *most* of them; the others keep their turns.

        Where one is due, those whose turn comes within *ahead* seconds come along, so that tasks share requests.
        """
        due: list[str] = []
        if now < self._paused_until or self.next_turn() > now:
            return due
        while len(due) < most and self._turns and self._turns[0][0] <= now + ahead:
            _, ticket, task_id = heapq.heappop(self._turns)
            if self._booked.get(task_id) == ticket:
                del self._booked[task_id]
                due.append(task_id)
        return due

    def at_once(self, task_id: str, now: float) -> None:
        """
        Book the next look at a task for now; without effect where it is booked already.
        """
        if task_id in self._delays and task_id not in self._booked:
            self._book(task_id, now)

    def looked(self, task_id: str, now: float) -> None:
        """
        Book the next look at a task, after one that was answered; without effect where it is booked already.
        """
        if task_id in self._delays and task_id not in self._booked:
            self._misses[task_id] = 0
            self._book(task_id, now + next(self._delays[task_id]))

    def missed(self, task_id: str, now: float) -> None:
        """
        Book the next look at a task, after one that broke: soon, and less so each time in a row.
        """
        if task_id in self._delays and task_id not in self._booked:
            misses = self._misses[task_id] = self._misses.get(task_id, 0) + 1
            self._book(task_id, now + self.policy.after_misses(misses))

    def pause(self, until: float) -> None:
        """
        Look at nothing before *until*: the service asked for a rest.
        """
        self._paused_until = max(self._paused_until, until)

    def next_turn(self) -> float:
        """
        Return when to call `due` again, or infinity.
        """
        while self._turns and self._booked.get(self._turns[0][2]) != self._turns[0][1]:
            heapq.heappop(self._turns)
        return max(self._turns[0][0], self._paused_until) if self._turns else math.inf

    def _book(self, task_id: str, at: float) -> None:
        ticket = next(self._tickets)
        self._booked[task_id] = ticket
        heapq.heappush(self._turns, (at, ticket, task_id))
