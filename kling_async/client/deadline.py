"""
A time limit for one request that expires only after the event loop has read what has already arrived.
"""

import asyncio
from types import TracebackType
from typing import Final, Self

import attrs

__all__ = ["Deadline", "is_cancelled"]

TURNS: Final = 3
"""
Iterations of the event loop between the end of the time and the cancelling. After the loop was blocked, its timers may
run before its sockets are read (uvloop's always do), and an answer that has arrived needs up to two iterations to reach
its task.
"""

TURN: Final = 0.001
"""
Seconds of such a turn: a timer, since the loop reads its sockets before it runs one that was set in the turn before.
"""


@attrs.define(eq=False)
class Deadline:
    """
    Cancels the code in its `with` block when the time is over, and turns that into a TimeoutError.

    Attributes:
        seconds: How long the block may take in all.
    """

    seconds: float
    _aio_task: "asyncio.Task[object]" = attrs.field(init=False)
    _timer: asyncio.TimerHandle = attrs.field(init=False)
    _end: float = attrs.field(init=False)
    _cancelling: int = attrs.field(init=False)  # how often others had cancelled the task before
    _has_expired: bool = attrs.field(default=False, init=False)

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        aio_task = asyncio.current_task()
        if aio_task is None:
            raise RuntimeError("a deadline needs a running asyncio task")
        self._aio_task, self._cancelling = aio_task, aio_task.cancelling()
        self._end = loop.time() + self.seconds
        self._timer = loop.call_at(self._end, self._wait, TURNS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._has_expired and self._aio_task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from None

    def expect_within(self, seconds: float) -> None:
        """
        End the block in *seconds* from now, or when its whole time is over, whichever comes first. Outside the block,
        and once the time is over, this does nothing.
        """
        if self._timer.cancelled() or self._has_expired:
            return
        loop = asyncio.get_running_loop()
        self._timer.cancel()
        self._timer = loop.call_at(min(self._end, loop.time() + seconds), self._wait, TURNS)

    def _wait(self, turns: int) -> None:
        if turns > 0:
            self._timer = asyncio.get_running_loop().call_later(TURN, self._wait, turns - 1)
        else:
            self._has_expired = True
            self._aio_task.cancel()


def is_cancelled() -> bool:
    """
    Tell whether somebody has cancelled the running task. Some libraries raise `CancelledError` where nobody did, such
    as aiohttp where a session is closed by its owner.
    """
    aio_task = asyncio.current_task()
    return aio_task is None or aio_task.cancelling() > 0
