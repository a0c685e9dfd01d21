"""
Turns of submits that come by the thousand: only some of them are sent at a time.
"""

import asyncio
from collections import OrderedDict

import attrs

__all__ = ["Turns"]


@attrs.define(eq=False, repr=False)
class Turns:
    """
    The submits that are being sent, and those that wait for their turn. A submit that is sent takes three times the
    memory of one that waits.

    Attributes:
        width: Number of submits that are sent at a time.
        taken: Number of submits that were begun and have neither ended nor paused. One that ends or pauses counts
            itself out, and then lets `admit` choose the next.
        waiting: Those that wait, by what ends their wait.
    """

    width: int
    taken: int = attrs.field(default=0, init=False)
    waiting: "OrderedDict[asyncio.Future[None], None]" = attrs.field(factory=OrderedDict, init=False)

    async def wait(self) -> None:
        """
        Wait until a submit ends or pauses, first come, first served. Cancelling this holds up no other.
        """
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting[place] = None
        try:
            await place
        except BaseException:
            self.waiting.pop(place, None)
            self.admit()  # its turn may have come just before
            raise

    def admit(self) -> None:
        """
        Give the first that waits its turn, unless too many are taken.
        """
        while self.waiting and self.taken < self.width:
            if self._end_first_wait():
                break
        if not self.waiting:
            self.waiting.clear()  # frees its table, which has the size of the largest crowd

    def end_waits(self) -> None:
        """
        End all waits, since the client is closed.
        """
        while self.waiting:
            self._end_first_wait()

    def _end_first_wait(self) -> bool:
        place, _ = self.waiting.popitem(last=False)
        if place.done():  # it was cancelled, and has not noticed that yet
            return False
        place.set_result(None)
        return True
