"""
Time limits of waits: one timer for all waits of a client. A timer for each would take three times the memory.
"""

import asyncio
import math
from typing import Final

import attrs

__all__ = ["Timeouts"]

EARLY: Final = 0.001
"""
Seconds by which a wait may end too early: timers of event loops are not more exact.
"""

PER_LENGTH: Final = 0.00001
"""
Seconds between two looks at the waits, for each different time limit: so looking takes a small share of the time even
if each wait has a limit of its own.
"""

LENGTHS: Final = 16
"""
Number of different time limits from which on those without waits are forgotten.
"""


@attrs.define(eq=False, repr=False)
class Timeouts:
    """
    The waits of one client that have a time limit.
    """

    # By the seconds that they may take: so each dictionary has them in the order in which they end. With those ends.
    _waits: dict[float, dict["asyncio.Future[None]", float]] = attrs.field(factory=dict, init=False)
    _timer: asyncio.TimerHandle | None = attrs.field(default=None, init=False)
    _most: int = attrs.field(default=LENGTHS, init=False)  # time limits, until those without waits are forgotten

    def begin(self, waiter: "asyncio.Future[None]", seconds: float) -> dict["asyncio.Future[None]", float]:
        """
        Set the result of *waiter* after *seconds*, unless it is done by then. Return the dictionary from which it must
        be removed when the wait ends.
        """
        loop = asyncio.get_running_loop()
        waits = self._waits.get(seconds)
        if waits is None:
            if len(self._waits) >= self._most:
                self._waits = {length: begun for length, begun in self._waits.items() if begun}
                self._most = max(LENGTHS, 2 * len(self._waits))
            waits = self._waits[seconds] = {}
        waits[waiter] = end = loop.time() + seconds
        if self._timer is None or end < self._timer.when():
            self._set_timer(loop, end)
        return waits

    def close(self) -> None:
        """
        Stop the timer, which may be set for long after the last wait. The next wait starts it again.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end_due(self) -> None:
        loop = asyncio.get_running_loop()
        now, next_end = loop.time(), math.inf
        for waits in self._waits.values():
            for waiter, end in waits.items():
                if end > now + EARLY:
                    next_end = min(next_end, end)
                    break
                if not waiter.done():
                    waiter.set_result(None)
        self._timer = None
        if next_end < math.inf:
            self._set_timer(loop, max(next_end, now + PER_LENGTH * len(self._waits)))

    def _set_timer(self, loop: asyncio.AbstractEventLoop, at: float) -> None:
        self.close()
        self._timer = loop.call_at(at, self._end_due)
