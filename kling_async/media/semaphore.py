"""
A semaphore whose waiters can be cancelled in constant time.

`asyncio.Semaphore` searches all its waiters for each one that is cancelled. If 20,000 of them are cancelled, the last
one first, this blocks the event loop for seconds.
"""

import asyncio
from collections import OrderedDict
from types import TracebackType

import attrs

from kling_async.policy.arguments import check_whole

__all__ = ["Semaphore"]


@attrs.define(eq=False, repr=False)
class Semaphore:
    """
    Admits *width* coroutines at a time, first come, first served: `async with semaphore: ...`.

    A released place goes directly to the first waiter, so that no later one can take it. A cancelled waiter takes no
    place. Like asyncio's own semaphore, it is bound to the event loop in which it is first waited for.

    Raises:
        InvalidRequest: *width* is not a whole number of at least 1.
    """

    width: int
    _free: int = attrs.field(init=False)
    _waiting: "OrderedDict[asyncio.Future[None], None]" = attrs.field(factory=OrderedDict, init=False)

    def __attrs_post_init__(self) -> None:
        check_whole("width", self.width)  # a validator of attrs would make each assignment slow
        self._free = self.width

    def locked(self) -> bool:
        """
        Return whether `acquire` would have to wait.
        """
        return not self._free

    async def acquire(self) -> None:
        """
        Wait for a place and take it. Cancelling takes none.
        """
        if self._free:
            self._free -= 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[place] = None
        try:
            await place
        except BaseException:
            self._waiting.pop(place, None)
            if place.done() and not place.cancelled():  # a place was given before the cancellation reached the waiter
                self.release()
            raise

    def release(self) -> None:
        """
        Give a place back; the first waiter gets it.
        """
        while self._waiting:
            place, _ = self._waiting.popitem(last=False)
            if not place.done():  # a cancelled waiter may still be in the queue
                place.set_result(None)
                return
        self._free += 1

    async def __aenter__(self) -> None:
        if self._free:
            self._free -= 1
        else:
            await self.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._waiting:
            self.release()
        else:
            self._free += 1
