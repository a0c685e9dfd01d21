"""
How many slots a model has, found by trying: fewer after a refusal, more while more is wanted and all goes well.

No clock and no waiting: `now` is passed in.
"""

import math
from typing import Final

import attrs

from kling_async.policy.policies import SlotPolicy

__all__ = ["AdaptiveLimit"]

REST_GROWTH: Final = 4.0
"""
By what the rest after a trial that fails again is longer than the one before.
"""


@attrs.define(eq=False)
class AdaptiveLimit:
    """
    The limit of one model as far as it is known. A *level* is a number of slots in use at one time.

    The vendor tells no number: a create above the limit is refused (1303), makes nothing and costs nothing. So above
    the limit one request at a time goes on trial, and only after a task was seen to end since the last: where no end
    is seen, as in an outage of the looks, a service would seem to take more and more.

    Attributes:
        limit: The highest level that may be used without further ado.
    """

    policy: SlotPolicy
    limit: int = attrs.field(init=False)
    _reach: float = attrs.field(default=0.0, init=False)  # the highest level that may be tried
    _proven: int = attrs.field(default=0, init=False)
    _ceiling: float = attrs.field(init=False)  # from the next level on all was refused, or is taken to be
    _rest: float = attrs.field(init=False)
    _rested_at: float | None = attrs.field(default=None, init=False)  # None until more was wanted for the first time

    def __attrs_post_init__(self) -> None:
        self.limit = self._ceiling = self.policy.start
        self._rest = self.policy.first_rest

    def allows(self, used: int, n: int, *, is_answered: bool) -> bool:
        """
        Tell whether *n* more may be used; *is_answered* where no create for those *used* is still on its way.
        """
        level = used + n
        return level <= self.limit or (is_answered and used <= self.limit and level <= self._reach)

    def is_news(self, level: int) -> bool:
        """
        Tell whether *level* was never accepted yet, so that a refusal which gives no reason may be for want of slots.
        """
        return level > self._proven

    def ended(self, now: float) -> None:
        """
        Learn that a task ended while more slots were wanted than there are: more may be tried.

        What was refused is tried again after a rest, and so is more than the policy starts with: nobody who has the
        usual number meets a refusal in a short run. What lies between is tried at once, though only half-way.
        """
        if self._rested_at is None:
            self._rested_at = now + self._rest
        self._reach = math.inf if now >= self._rested_at else (self.limit + self._ceiling + 1) / 2

    def accepted(self, level: int, now: float) -> None:
        """
        Learn from a create that was accepted, at a *level* that includes its own.
        """
        self._proven = max(self._proven, level)
        if level > self.limit:
            self.limit, self._reach = level, 0.0
            if level > self._ceiling:
                self._rested_at = now + self._rest
        if level > self._ceiling + 1:  # one more may be luck: a task of ours had ended, and we did not know yet
            self._ceiling = math.inf

    def refused(self, level: int, now: float) -> None:
        """
        Learn from a create that was refused for want of slots, at a *level* that includes its own.
        """
        if level > self._ceiling:
            self._rest = min(REST_GROWTH * self._rest, self.policy.max_rest)
        else:
            self._ceiling, self._rest = level - 1, self.policy.first_rest
        self._rested_at = now + self._rest
        self._reach = 0.0
        self._proven = min(self._proven, level - 1)
        if level <= self.limit:
            self.limit = max(1, self._proven)
