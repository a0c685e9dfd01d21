"""
How long a host that was never reached is tried, and when a failing connection is worth a warning. No clock: times are
seconds of the loop's.
"""

from typing import Final

import attrs

__all__ = ["FirstContact"]

LAST_ATTEMPT: Final = 1.0
"""
Minimum seconds for an attempt to connect, also for the last one.
"""


@attrs.define(eq=False, repr=False)
class FirstContact:
    """
    The connections to one host.

    Its time begins with the first attempt. It begins again after a pause, so that a program that found no network at
    its start does not give up at once ever after.

    Attributes:
        seconds: How long a host that was never reached is tried.
        pause: Seconds without an attempt after which the time begins again; more than between two attempts.
        was_reached: Whether a connection was ever made.
        is_failing: Whether the last connection could not be made.
    """

    seconds: float
    pause: float
    was_reached: bool = False
    is_failing: bool = False
    _began_at: float | None = attrs.field(default=None, init=False)
    _tried_at: float = attrs.field(default=0.0, init=False)

    def begin(self, now: float) -> float:
        """
        Note an attempt to connect to a host that was never reached; return how many seconds it may take.
        """
        if self._began_at is None or now - self._tried_at > self.pause:
            self._began_at, self.is_failing = now, False
        self._tried_at = now
        return max(self._left(now), LAST_ATTEMPT)

    def fail(self, now: float) -> float | None:
        """
        Note that no connection was made. Return the seconds until the client gives up, 0 if that is now; None if the
        host was reached before.
        """
        self.is_failing = True
        if self.was_reached:
            return None
        self._tried_at = now
        return self._left(now)

    def _left(self, now: float) -> float:
        return max(0.0, self.seconds - (now - (self._began_at if self._began_at is not None else now)))
