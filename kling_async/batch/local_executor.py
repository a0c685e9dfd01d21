"""
The executor of this machine: it calls functions in processes, so that heavy work does not block the event loop.
"""

import asyncio
import concurrent.futures
import contextlib
import os
import pickle
import signal
import sys
from pathlib import Path
from typing import Final, Self

from kling_async.batch.function_calls import FileInfo, Process, call_pickled, describe_error
from kling_async.media.destinations import Destination
from kling_async.media.semaphore import Semaphore
from kling_async.media.shielding import shielded
from kling_async.policy.arguments import check_whole
from kling_async.wire.async_with import UsedWithAsyncWith

__all__ = ["LocalExecutor"]

ATTEMPTS: Final = 2
"""
How often a call runs if its process dies: the number of runs beside other calls, one of which may be the cause, and the
number of runs in its own process.
"""
_AT_THE_TOP: Final = "`process=` must be a function at the top of a module, so that it can be called elsewhere"


class LocalExecutor(UsedWithAsyncWith):
    """
    Processes on this machine, started when they are needed; use it in `async with`.

    Each is a new Python that loads the program's main module as well as the function's module. So the program must
    begin under `if __name__ == "__main__":`, even if the function is elsewhere. A process that dies is replaced, and
    its calls run again, the last time each in its own process.

    Args:
        workers: Number of processes; None is one per core.
    """

    def __init__(self, workers: int | None = None) -> None:
        if workers is not None:
            check_whole("workers", workers)
        self._workers = workers or os.cpu_count() or 1
        self._slots = Semaphore(2 * self._workers)  # a file may be given as bytes: few are held in memory
        self._pool: concurrent.futures.ProcessPoolExecutor | None = None
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<LocalExecutor {'closed' if self._is_closed else 'open'}, workers {self._workers}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """
        Finish the running calls, then end the processes. Safe to call twice.
        """
        self._is_closed = True
        pool, self._pool = self._pool, None
        if pool is not None:
            await shielded(asyncio.to_thread(pool.shutdown, cancel_futures=True))

    async def check(self, function: Process | None, destination: Destination) -> None:  # noqa: ARG002 (any will do)
        """
        Check that another process can load *function*. The process that is started for this is kept.

        Raises:
            RuntimeError: The executor is closed.
            ValueError: It cannot be loaded, or there is no function: this executor does not save files.
        """
        if function is None:
            raise ValueError("LocalExecutor only calls functions: pass `process=`")
        is_of_main = getattr(function, "__module__", None) == "__main__"
        if is_of_main and not hasattr(sys.modules["__main__"], "__file__"):
            what = "`process=` was defined in an interpreter or a notebook, which other processes cannot load"
            raise ValueError(f"{what}: put it into a module")
        try:
            pickled = pickle.dumps(function)
        except Exception as error:  # noqa: BLE001 (what cannot be pickled raises anything)
            raise ValueError(f"{_AT_THE_TOP}: {error}") from None
        try:
            problem = await asyncio.get_running_loop().run_in_executor(self._open(), _load_problem, pickled)
        except concurrent.futures.BrokenExecutor:
            self._pool = None
            guard = 'a program that calls functions elsewhere must begin under `if __name__ == "__main__":`'
            raise ValueError(f"{_AT_THE_TOP}. A process that loads it dies; {guard}") from None
        if problem is not None:
            raise ValueError(f"{_AT_THE_TOP}: {problem}")

    async def call(self, function: Process, source: Path | bytes, info: FileInfo) -> bytes:
        """
        Return what *function* returns, pickled, or raise what it raises.

        Raises:
            RuntimeError: The executor is closed.
            BrokenExecutor: The process died during this call each time, the last time in its own process.
        """
        async with self._slots:
            for _ in range(ATTEMPTS):
                pool = self._open()
                try:
                    return await _call_in(pool, function, source, info)
                except concurrent.futures.BrokenExecutor:  # caused by this call or by another
                    if self._pool is pool:
                        self._pool = None
            for _ in range(ATTEMPTS - 1):
                with contextlib.suppress(concurrent.futures.BrokenExecutor):
                    return await _call_alone(function, source, info)
            return await _call_alone(function, source, info)

    def _open(self) -> "concurrent.futures.ProcessPoolExecutor":  # in quotes: its module is loaded at first use
        if self._is_closed:
            raise RuntimeError("this executor is closed; create a new one")
        if self._pool is None:
            self._pool = _new_pool(self._workers)
        return self._pool


def _new_pool(workers: int) -> "concurrent.futures.ProcessPoolExecutor":
    import multiprocessing  # noqa: PLC0415 (most batches call no function)

    context = multiprocessing.get_context("spawn")  # a fork would copy threads and locks
    # Ctrl-C in a terminal goes to every process; only the program handles it.
    return concurrent.futures.ProcessPoolExecutor(
        workers, context, initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN)
    )


def _load_problem(pickled: bytes) -> str | None:
    try:
        pickle.loads(pickled)  # noqa: S301 (our own)
    except Exception as error:  # noqa: BLE001 (a module that is loaded can raise anything)
        return describe_error(error)
    return None


async def _call_alone(function: Process, source: Path | bytes, info: FileInfo) -> bytes:
    # In its own process, a crash affects no other call.
    pool = _new_pool(1)
    try:
        return await _call_in(pool, function, source, info)
    finally:
        await shielded(asyncio.to_thread(pool.shutdown, cancel_futures=True))


async def _call_in(
    pool: "concurrent.futures.ProcessPoolExecutor", function: Process, source: Path | bytes, info: FileInfo
) -> bytes:
    return await asyncio.get_running_loop().run_in_executor(pool, call_pickled, function, source, info)
