"""
Finds the number of slots of a bucket by trial: fewer after a refusal, more while requests wait and none is refused.

No clock and no waiting: `now` is passed in.
"""

import math

import attrs

from kling_async.policy.policies import SlotPolicy

__all__ = ["AdaptiveLimit", "RejectionTracker"]


@attrs.define(eq=False, repr=False)
class AdaptiveLimit:
    """
    The limit of one bucket, as far as it is known. A *level* is a number of slots that are in use at a time.

    The vendor publishes no number: it refuses a create above the limit (1303), which creates no task and costs nothing.
    So one request at a time probes above the limit, and the next one only after a task has been seen to end. If no end
    is seen, for example while polls fail, the limit must not grow: more tasks would seem to fit than really do.

    Attributes:
        limit: The highest level that may be used without a probe.
    """

    policy: SlotPolicy
    limit: int = attrs.field(init=False)
    _probe_up_to: float = attrs.field(default=0.0, init=False)
    _proven: int = attrs.field(default=0, init=False)  # the highest level that was accepted
    _ceiling: float = attrs.field(init=False)  # the highest level not known or assumed to be refused
    _rest: float = attrs.field(init=False)
    _rest_ends_at: float | None = attrs.field(default=None, init=False)  # None until requests had to wait

    def __attrs_post_init__(self) -> None:
        self.limit = self._ceiling = self.policy.start
        self._rest = self.policy.first_rest

    def allows(self, used: int, n: int, *, is_answered: bool) -> bool:
        """
        Return whether *n* more slots may be used; *is_answered* says that no create for those *used* is unanswered.
        """
        level = used + n
        return level <= self.limit or (is_answered and used <= self.limit and level <= self._probe_up_to)

    def is_unproven(self, level: int) -> bool:
        """
        Return whether *level* was never accepted, so that a refusal without a reason may mean a lack of slots.
        """
        return level > self._proven

    def note_ended(self, now: float) -> None:
        """
        A task ended while requests wait for slots: allow a probe.

        A level that was refused, and any level above the start, is tried only after a rest: short runs on accounts with
        the usual number of slots meet no refusal. Between the limit and the ceiling, probe the midpoint at once.
        """
        if self._rest_ends_at is None:
            self._rest_ends_at = now + self._rest
        self._probe_up_to = math.inf if now >= self._rest_ends_at else (self.limit + self._ceiling + 1) / 2

    def note_accepted(self, level: int, now: float) -> None:
        """
        A create was accepted at *level*, which includes its own slots.
        """
        self._proven = max(self._proven, level)
        if level > self.limit:
            self.limit, self._probe_up_to = level, 0.0
            if level > self._ceiling:
                self._rest_ends_at = now + self._rest
        if level > self._ceiling + 1:  # one above may be luck: a task of ours had ended, and its end was not seen yet
            self._ceiling = math.inf

    def note_refused(self, level: int, now: float) -> None:
        """
        A create was refused for lack of slots at *level*, which includes its own slots.
        """
        if level > self._ceiling:
            self._rest = min(4 * self._rest, self.policy.max_rest)
        else:
            self._ceiling, self._rest = level - 1, self.policy.first_rest
        self._rest_ends_at = now + self._rest
        self._probe_up_to = 0.0
        self._proven = min(self._proven, level - 1)
        if level <= self.limit:
            self.limit = max(1, self._proven)


@attrs.define(eq=False, repr=False)
class RejectionTracker:
    """
    Since when the service has refused requests for slots of one bucket while no other task of this client was running.

    As many slots as were granted to one request before will be free again. Whether the account has more is unknown, so
    all larger requests share one start of refusals: only one of them has to wait to learn that it is too large.
    """

    _since: dict[int, float] = attrs.field(factory=dict, init=False)

    def note_refused(self, n: int, now: float, most_granted: int) -> float:
        """
        A request for *n* slots was refused; return since when such requests have been refused.

        Args:
            most_granted: Slots of the largest request that was accepted so far.
        """
        if n <= most_granted:
            return now
        self._since.setdefault(n, now)
        return min(since for smaller, since in self._since.items() if most_granted < smaller <= n)
