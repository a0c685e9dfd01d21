"""
How many slots a model has, found by trying: fewer after a refusal, a few more while all goes well.

No clock and no waiting: `now` is passed in.
"""

import math

import attrs

from kling_async.policy import SlotPolicy

__all__ = ["Width"]


@attrs.define(eq=False)
class Width:
    """
    The limit of one model as far as it is known. A *level* is a number of slots in use at one time.

    The vendor tells no number: a create above the limit is refused (1303), makes nothing and costs nothing. So a level
    that was refused says that the limit is below it, and one that was accepted that it is not.
    """

    policy: SlotPolicy
    limit: int = attrs.field(init=False)
    _proven: int = attrs.field(default=0, init=False)
    _ceiling: float = attrs.field(default=math.inf, init=False)  # the limit as of the last refusal
    _rest: float = attrs.field(init=False)
    _trial_at: float | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.limit = self.policy.start
        self._rest = self.policy.first_rest

    def is_news(self, level: int) -> bool:
        """
        Tell whether *level* was never accepted yet, so that a refusal which gives no reason may be for want of slots.
        """
        return level > self._proven

    def accepted(self, level: int, now: float, *, is_full: bool) -> None:
        """
        Learn from a create that was accepted; *is_full* where more slots were wanted than the limit allows.

        At full width the limit grows by one for each rest that passes without a refusal.
        """
        self._proven = max(self._proven, level)
        if level > self._ceiling:  # what was refused once is no limit any more
            self._ceiling, self._rest = math.inf, self.policy.first_rest
        if not is_full:
            return
        if self._trial_at is None:
            self._trial_at = now + self._rest
        elif now >= self._trial_at:
            self.limit += 1
            self._trial_at = now + self._rest

    def refused(self, level: int, now: float) -> None:
        """
        Learn from a create that was refused for want of slots, at a *level* that includes its own.

        Above what was refused nothing is tried for a rest, which doubles each time the trial fails.
        """
        if level - 1 >= self._ceiling:
            self._rest = min(2 * self._rest, self.policy.max_rest)
        self.limit = max(1, min(self.limit, level - 1))
        self._ceiling = self.limit
        self._proven = min(self._proven, self.limit)
        self._trial_at = now + self._rest
