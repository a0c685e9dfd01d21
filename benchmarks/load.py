"""
How busy a process keeps its core.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Final

import attrs

WINDOW: Final = 0.25
"""
Seconds over which the busiest moment is averaged; more where the loop itself comes late.
"""


@attrs.frozen
class Mark:
    """
    CPU seconds of this process, all its threads together, and seconds on the clock.
    """

    cpu: float = attrs.field(factory=time.process_time)
    at: float = attrs.field(factory=time.monotonic)

    def share_since(self, earlier: "Mark") -> float:
        """
        Return which share of a core this process has taken since *earlier*.
        """
        return (self.cpu - earlier.cpu) / (self.at - earlier.at)


@attrs.define
class Load:
    """
    Attributes:
        began: When measuring began.
        ended: The latest mark.
        peak: The share of a core in the busiest moment.
    """

    began: Mark = attrs.field(factory=Mark, init=False)
    ended: Mark = attrs.field(init=False)
    peak: float = attrs.field(default=0.0, init=False)

    def __attrs_post_init__(self) -> None:
        self.ended = self.began

    @property
    def cpu(self) -> float:
        return self.ended.cpu - self.began.cpu

    @property
    def seconds(self) -> float:
        return self.ended.at - self.began.at

    @property
    def share(self) -> float:
        return self.ended.share_since(self.began)

    def mark(self) -> None:
        """
        Take in what has passed since the last mark.
        """
        last, self.ended = self.ended, Mark()
        if self.ended.at - last.at >= WINDOW / 2:
            self.peak = max(self.peak, self.ended.share_since(last))


@contextlib.asynccontextmanager
async def metered() -> AsyncIterator[Load]:
    """
    Measure this process for as long as the context lasts.
    """
    load = Load()

    async def sample() -> None:
        while True:
            await asyncio.sleep(WINDOW)
            load.mark()

    sampling = asyncio.create_task(sample())
    try:
        yield load
    finally:
        sampling.cancel()
        load.mark()
