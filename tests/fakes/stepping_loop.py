"""
An event loop that cancels a job after a given turn.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from kling_async import KlingClient

Job = Callable[[KlingClient, Path], Awaitable[object]]


class SteppingLoop(asyncio.SelectorEventLoop):
    """
    A loop that counts its turns, and cancels a victim after a given one.
    """

    victim: "asyncio.Task[object] | None" = None
    turns_left = 0

    def _run_once(self) -> None:
        super()._run_once()  # type: ignore[misc]  # asyncio's own turn of the loop; there is no public hook
        self.turns_left -= 1
        if self.turns_left == 0 and self.victim is not None:
            self.victim.cancel()


async def is_cut_at(step: int, job: Job, client: KlingClient, folder: Path) -> bool:
    """
    Cancel *job* after the loop's *step*-th turn, and tell whether it was still running then.
    """
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SteppingLoop)
    loop.victim = asyncio.ensure_future(job(client, folder))
    loop.turns_left = step
    try:
        await loop.victim
    except asyncio.CancelledError:
        return True
    finally:
        loop.victim = None
    return False
