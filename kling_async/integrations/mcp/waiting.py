"""
Waits for work while it reports progress.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from mcp.server.mcpserver import Context

__all__ = ["PROGRESS_EVERY", "wait_for"]

T = TypeVar("T")

PROGRESS_EVERY: Final = 3.0
"""
Seconds between two reports of progress.
"""


async def wait_for(
    work: Coroutine[Any, Any, T],
    seconds: float,
    context: Context[Any, Any],
    describe: Callable[[], str],
    stopping: asyncio.Event,
) -> T | None:
    """
    Wait for *work* and return what it returns; None if it is not done after so many *seconds*, or when the server is
    *stopping*. Then it is cancelled.

    The work runs in an asyncio task of its own, and cancelling this cancels it once. The SDK cancels a call again at
    each of its awaits, which would also interrupt what the work does to clean up.

    Args:
        describe: Returns what is going on, for the reports of progress.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    aio_task, stopped = loop.create_task(work), loop.create_task(stopping.wait())
    aio_task.add_done_callback(_retrieve)
    try:
        while True:
            spent = loop.time() - began
            pause = max(0.0, min(PROGRESS_EVERY, seconds - spent))
            await asyncio.wait({aio_task, stopped}, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
            if aio_task.done():
                return aio_task.result()
            if stopping.is_set() or loop.time() - began >= seconds:
                return None
            await context.report_progress(round(loop.time() - began, 1), seconds, describe())
    finally:
        aio_task.cancel()
        stopped.cancel()


def _retrieve(aio_task: "asyncio.Task[Any]") -> None:
    # Otherwise asyncio logs an error that came together with the cancellation.
    if not aio_task.cancelled():
        aio_task.exception()
