"""
Work that is finished even if its caller is cancelled.
"""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

__all__ = ["shielded"]


async def shielded(work: Coroutine[Any, Any, None] | asyncio.Future[None]) -> None:
    """
    Await *work*. A cancellation is raised only after its end, and then an error of the work is dropped.
    """
    aio_task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(aio_task)
    except asyncio.CancelledError:
        while not aio_task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({aio_task})
        raise
