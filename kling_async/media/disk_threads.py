"""
Threads for files that are written: a disk may keep a thread busy for seconds, and the event loop's own threads are few
and resolve the names of hosts.
"""

import asyncio
import functools
import os
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Final

from kling_async.media.shielding import shielded

__all__ = ["in_disk_thread"]

THREADS: Final = 16


async def in_disk_thread(work: Callable[[], None]) -> None:
    """
    Call *work* in a thread. A cancellation is raised only after its end.
    """
    await shielded(asyncio.get_running_loop().run_in_executor(_threads(), work))


@functools.cache
def _threads() -> Executor:
    return ThreadPoolExecutor(THREADS, "kling-disk")


if hasattr(os, "register_at_fork"):  # a child has the pool, and none of its threads
    os.register_at_fork(after_in_child=_threads.cache_clear)
