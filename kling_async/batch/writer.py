"""
Writes from many sides in few commits: while one commit is under way, what comes next gathers for the one after it.
"""

import asyncio
import concurrent.futures
import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar

import attrs

from kling_async.errors import KlingError

__all__ = ["Commits"]

C = TypeVar("C")
T = TypeVar("T")

_MAY_PASS: Final = (KlingError, OSError)
"""
Errors of the place that is written to, which all changes meet; any other is of a change itself.
"""

GATHERING: Final = 0.003
"""
Seconds for which a commit waits for company: many that come at one time are many times cheaper than one by one.
"""

_log = logging.getLogger(__name__)


@attrs.frozen(eq=False)
class _Write(Generic[C]):
    changes: Sequence[C]
    durable: bool
    written: "asyncio.Future[None]"


class Commits(Generic[C]):
    """
    Carries changes, in their order, to something slow that lives in a thread of its own.

    The thread ends what it has begun, whatever becomes of the loop and of those who wait.

    Args:
        apply: Writes several changes at once, all or none; called in that thread.

    Raises:
        RuntimeError: The system gives no thread.
    """

    def __init__(self, apply: Callable[[Sequence[C]], object]) -> None:
        self._apply = apply
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "kling_async journal")
        self._thread.submit(int)  # starts it: where there is none to be had, nothing was promised yet
        self._guard = threading.Lock()
        self._waiting: list[_Write[C]] = []
        self._is_due = False
        self._hindrance: Exception | None = None
        self._ending: concurrent.futures.Future[None] | None = None

    @property
    def is_closed(self) -> bool:
        return self._ending is not None

    def add(self, *changes: C, durable: bool = False) -> "asyncio.Future[None]":
        """
        Return what is done when *changes* are on the disk, all or none. It need not be awaited, and cancelling it
        changes nothing.

        With *must_last* they stay, whatever hinders the writing, and are tried again with all that comes later. Others
        are dropped, and their future tells why.

        Raises:
            RuntimeError: This is closed.
        """
        self._check_open()
        loop = asyncio.get_running_loop()
        write = _Write(changes, durable, loop.create_future())
        write.written.add_done_callback(_look_at)
        with self._guard:
            self._waiting.append(write)
            was_due, self._is_due = self._is_due, True
        if not was_due:
            loop.call_later(GATHERING, self._call)
        return write.written

    async def run(self, job: Callable[..., T], *args: Any) -> T:
        """
        Run *job* in the thread, after all changes that were added before. Cancelling this does not stop a job that has
        begun.

        Raises:
            RuntimeError: This is closed.
        """
        self._check_open()
        if self._waiting:
            self._call()
        return await asyncio.get_running_loop().run_in_executor(self._thread, job, *args)

    async def aclose(self, last: Callable[[], object]) -> None:
        """
        Write what waits, then run *last* in the thread, and end it. Safe to call twice; cancelling this stops only the
        waiting.

        Raises:
            KlingError, OSError: Why changes that must last could not be written; they are in the log.
        """
        if self._ending is None:
            self._ending = self._thread.submit(self._finish, last)
            self._thread.shutdown(wait=False)
        await asyncio.shield(asyncio.wrap_future(self._ending))

    def abandon(self) -> None:
        """
        Close this without writing anything: for a child that was forked, in which the thread does not exist.
        """
        self._ending = concurrent.futures.Future()
        self._ending.set_result(None)

    def _check_open(self) -> None:
        if self.is_closed:
            raise RuntimeError("this is closed: nothing more is written or read")

    def _call(self) -> None:
        if not self.is_closed:
            self._thread.submit(self._commit)

    # From here on in the thread.

    def _finish(self, last: Callable[[], object]) -> None:
        self._commit()
        last()
        if self._hindrance is not None:
            for write in self._waiting:
                _log.error("could not be written: %s", write.changes)
            _tell(self._waiting, self._hindrance)
            raise self._hindrance

    def _commit(self) -> None:
        with self._guard:
            writes, self._waiting = self._waiting, []
            self._is_due = False
        if not writes:
            return
        had_trouble, self._hindrance = self._hindrance is not None, None
        left = self._write(writes)
        if left:
            with self._guard:
                self._waiting[:0] = left
            if not had_trouble:
                _log.warning("what must be written waits for better times: %s", self._hindrance)

    def _write(self, writes: list[_Write[C]]) -> list[_Write[C]]:
        # What is left is what must last and could not be written.
        try:
            self._apply([change for write in writes for change in write.changes])
        except _MAY_PASS as error:
            _tell([write for write in writes if not write.durable], error)
            lasting = [write for write in writes if write.durable]
            if lasting and len(lasting) < len(writes):  # there may be room for these alone
                return self._write(lasting)
            if lasting:
                self._hindrance = error
            return lasting
        except Exception as error:  # noqa: BLE001 (it is told to those whose changes were not written)
            if len(writes) > 1:  # one of them is at fault, and the others shall not suffer for it
                return [left for write in writes for left in self._write([write])]
            if writes[0].durable:
                _log.exception("refused: %s", writes[0].changes)
            _tell(writes, error)
            return []
        _tell(writes, None)
        return []


def _tell(writes: Sequence[_Write[Any]], error: Exception | None) -> None:
    for loop in {write.written.get_loop() for write in writes}:
        told = [write.written for write in writes if write.written.get_loop() is loop]
        with contextlib.suppress(RuntimeError):  # a loop that is closed has nobody who waits
            loop.call_soon_threadsafe(_settle, told, error)


def _settle(told: Sequence["asyncio.Future[None]"], error: Exception | None) -> None:
    for written in told:
        if written.done():
            continue
        if error is None:
            written.set_result(None)
        else:
            written.set_exception(error)


def _look_at(written: "asyncio.Future[None]") -> None:
    # Else asyncio would complain of an exception that nobody retrieved: not everybody waits.
    if not written.cancelled() and (error := written.exception()) is not None:
        _log.debug("a change was not written: %s", error)
