"""
Keeps events that a stranger can cause from filling the log.
"""

from typing import Final

import attrs

__all__ = ["WarningThrottle"]

INTERVAL: Final = 60.0
"""
Seconds between two warnings of the same kind. With a wrong clock, for example, each callback would cause one.
"""


@attrs.define
class WarningThrottle:
    """
    Limits warnings of one kind: the first event is logged at once, later ones once a minute, with their number.
    """

    _count: int = attrs.field(default=0, init=False)
    _logged_at: float | None = attrs.field(default=None, init=False)

    def add(self, now: float) -> int:
        """
        Count an event, and return how many events to log now; 0 for none.
        """
        self._count += 1
        if self._logged_at is not None and 0 <= now - self._logged_at < INTERVAL:  # below 0: the clock was set back
            return 0
        self._logged_at = now
        count, self._count = self._count, 0
        return count
