"""
Measures how much of a core a process uses.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Final

import attrs

WINDOW: Final = 0.25
"""
Seconds over which the peak is averaged; more if the event loop is late.
"""


@attrs.frozen
class Mark:
    """
    CPU seconds of this process with all its threads, and elapsed seconds.
    """

    cpu: float = attrs.field(factory=time.process_time)
    at: float = attrs.field(factory=time.monotonic)

    def share_since(self, earlier: "Mark") -> float:
        """
        Return the share of a core that this process used since *earlier*.
        """
        return (self.cpu - earlier.cpu) / (self.at - earlier.at)


@attrs.define
class Load:
    """
    Attributes:
        began: When measuring began.
        ended: The latest mark.
        peak: The largest share of a core in a window.
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
        Update with the time since the last mark.
        """
        last, self.ended = self.ended, Mark()
        if self.ended.at - last.at >= WINDOW / 2:
            self.peak = max(self.peak, self.ended.share_since(last))


@contextlib.asynccontextmanager
async def metered() -> AsyncIterator[Load]:
    """
    Measure this process within the context.
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
