"""
Work that is not broken off in the middle, though whoever waits for it is.
"""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

__all__ = ["shielded"]


async def shielded(work: Coroutine[Any, Any, None] | asyncio.Future[None]) -> None:
    """
    Await *work*; a cancellation goes on only after its end, and then whatever the work raised is not seen here.
    """
    aio_task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(aio_task)
    except asyncio.CancelledError:
        while not aio_task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({aio_task})
        raise
