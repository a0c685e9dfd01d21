"""
Since when requests have been refused: each is patient with a full account, but one is enough to find out what is too
large for it.

No clock and no waiting: `now` is passed in.
"""

import attrs

__all__ = ["RejectionTracker"]


@attrs.define(eq=False)
class RejectionTracker:
    """
    Requests for slots of one model that the service refused while nothing of ours was running.

    As many slots as a request was granted before are there, and will be free again. Of more nobody knows; so all
    requests for more share one patience.
    """

    _most_granted: int = attrs.field(default=1, init=False)  # no account has none
    _since: dict[int, float] = attrs.field(factory=dict, init=False)

    def accepted(self, n: int) -> None:
        """
        Learn that a request for *n* slots was accepted.
        """
        if n > self._most_granted:
            self._most_granted = n
            self._since = {larger: since for larger, since in self._since.items() if larger > n}

    def refused(self, n: int, now: float) -> float:
        """
        Learn that a request for *n* slots was refused, and return since when such requests have been.
        """
        if n <= self._most_granted:
            return now
        self._since.setdefault(n, now)
        return min(since for smaller, since in self._since.items() if smaller <= n)
