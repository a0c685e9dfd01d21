"""
Writes from many sides in few commits: while one commit is under way, what comes next gathers for the one after it.
"""

import asyncio
import concurrent.futures
import logging
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import attrs

from kling_async.errors import StorageFull

__all__ = ["Commits"]

C = TypeVar("C")
T = TypeVar("T")

_log = logging.getLogger(__name__)


@attrs.frozen(eq=False)
class _Write(Generic[C]):
    change: C
    must_last: bool
    written: "asyncio.Future[None]"


class Commits(Generic[C]):
    """
    Carries changes, in their order, to something slow that lives in a thread of its own.

    Args:
        apply: Writes several changes at once, all or none; called in that thread.
    """

    def __init__(self, apply: Callable[[Sequence[C]], object]) -> None:
        self._apply = apply
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "kling_async journal")
        self._waiting: list[_Write[C]] = []
        self._committing: asyncio.Task[None] | None = None

    def add(self, change: C, *, must_last: bool = False) -> "asyncio.Future[None]":
        """
        Return what is done when *change* is on the disk. It need not be awaited, and cancelling it changes nothing.

        With *must_last* a change for which there is no room stays, and is written as soon as there is; any other is
        dropped with StorageFull.
        """
        loop = asyncio.get_running_loop()
        written: asyncio.Future[None] = loop.create_future()
        written.add_done_callback(_look_at)
        self._waiting.append(_Write(change, must_last, written))
        if self._committing is None:
            self._committing = loop.create_task(self._commit_all(), name="kling_async commits")
        return written

    async def run(self, job: Callable[..., T], *args: Any) -> T:
        """
        Run *job* in the thread, after all changes that were added before. Cancelling this does not stop the job.
        """
        if self._committing is not None and self._waiting:  # those under way are in the thread's queue already
            last = self._waiting[-1].written
            await asyncio.wait({last, self._committing}, return_when=asyncio.FIRST_COMPLETED)
        return await asyncio.get_running_loop().run_in_executor(self._thread, job, *args)

    async def aclose(self, last: Callable[[], object]) -> None:
        """
        Write what waits, then run *last* in the thread, and end it.

        Raises:
            StorageFull: Changes that must last could not be written; *last* was run all the same.
        """
        try:
            while self._committing is not None:
                await asyncio.wait({self._committing})
            await self._commit_all()
        finally:
            loop = asyncio.get_running_loop()
            try:
                await loop.run_in_executor(self._thread, last)
            finally:
                self._thread.shutdown(wait=False)
        if self._waiting:
            raise StorageFull(f"{len(self._waiting)} changes could not be written")

    async def _commit_all(self) -> None:
        try:
            is_stuck = False
            while self._waiting and not is_stuck:
                writes, self._waiting = self._waiting, []
                is_stuck = not await self._commit(writes)
        finally:
            self._committing = None

    async def _commit(self, writes: list[_Write[C]]) -> bool:
        # Whether all is written that must be.
        error = await self._try(writes)
        lasting = [write for write in writes if write.must_last]
        if isinstance(error, StorageFull) and lasting:
            # There may be room for these alone; then the others' refusal is all that happened.
            _settle([write for write in writes if not write.must_last], error)
            if (error := await self._try(lasting)) is None:
                _settle(lasting, None)
                return True
            if isinstance(error, StorageFull):
                _log.warning("what must be written has no room on the disk; it is tried again: %s", error)
                self._waiting[:0] = lasting
                return False
            writes = lasting
        _settle(writes, error)
        return True

    async def _try(self, writes: Sequence[_Write[C]]) -> BaseException | None:
        changes = [write.change for write in writes]
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._apply, changes)
        except Exception as error:  # noqa: BLE001 (it is told to all whose changes were not written)
            return error
        return None


def _settle(writes: Sequence[_Write[Any]], error: BaseException | None) -> None:
    for write in writes:
        if write.written.done():
            continue
        if error is None:
            write.written.set_result(None)
        else:
            write.written.set_exception(error)


def _look_at(written: "asyncio.Future[None]") -> None:
    # Else asyncio would complain of an exception that nobody retrieved: not everybody waits.
    if not written.cancelled() and (error := written.exception()) is not None:
        _log.debug("a change was not written: %s", error)
