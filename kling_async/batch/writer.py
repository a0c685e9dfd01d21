"""
Group commits: changes that come while a commit runs are written together by the next one.
"""

import asyncio
import concurrent.futures
import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Final, Generic, ParamSpec, TypeVar

import attrs

from kling_async.errors import KlingError

__all__ = ["Writer"]

C = TypeVar("C")
P = ParamSpec("P")
T = TypeVar("T")

_OF_THE_PLACE: Final = (KlingError, OSError)
"""
Errors of the disk, which all changes meet and which may pass; any other error concerns one change.
"""

COMMIT_DELAY: Final = 0.003
"""
Seconds that a commit waits for further changes: one commit of many is far cheaper than a commit for each.
"""

_log = logging.getLogger(__name__)


@attrs.frozen(eq=False, repr=False)
class _Write(Generic[C]):
    changes: Sequence[C]
    is_durable: bool
    done: "asyncio.Future[None]"


class Writer(Generic[C]):
    """
    Writes changes in their order, in its own thread. The thread finishes what it has begun, even if the loop ends
    or a caller is cancelled.

    Args:
        apply: Writes several changes, all or none; called in that thread.

    Raises:
        RuntimeError: The system gives no thread.
    """

    def __init__(self, apply: Callable[[Sequence[C]], object]) -> None:
        self._apply = apply
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "kling_async journal")
        self._thread.submit(int)  # starts it now: if that fails, no change was taken yet
        self._guard = threading.Lock()
        self._pending: list[_Write[C]] = []
        self._is_due = False
        self._error: Exception | None = None  # why durable changes still wait
        self._closing: concurrent.futures.Future[None] | None = None

    @property
    def is_closed(self) -> bool:
        return self._closing is not None

    def add(self, *changes: C, durable: bool = False) -> "asyncio.Future[None]":
        """
        Return a future that is done when *changes* are on the disk, all or none. It need not be awaited, and cancelling
        it changes nothing.

        Args:
            durable: If writing fails, keep the changes and write them together with later ones. Others are dropped,
                and their future holds the error.

        Raises:
            RuntimeError: This is closed.
        """
        self._check_open()
        loop = asyncio.get_running_loop()
        write = _Write(changes, durable, loop.create_future())
        with self._guard:
            self._pending.append(write)
            was_due, self._is_due = self._is_due, True
        if not was_due:
            loop.call_later(COMMIT_DELAY, self._schedule_commit)
        return write.done

    async def run(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """
        Run *job* in the thread, after all changes that were added before. Cancelling this does not stop a job that has
        begun.

        Raises:
            RuntimeError: This is closed.
        """
        self._check_open()
        if self._pending:
            self._schedule_commit()
        return await asyncio.wrap_future(self._thread.submit(job, *args, **kwargs))

    async def aclose(self, last: Callable[[], object]) -> None:
        """
        Write the waiting changes, run *last* in the thread, and end it. Safe to call twice; cancelling this stops only
        the waiting.

        Raises:
            KlingError, OSError: Why durable changes could not be written; they are in the log.
        """
        if self._closing is None:
            self._closing = self._thread.submit(self._finish, last)
            self._thread.shutdown(wait=False)
        await asyncio.shield(asyncio.wrap_future(self._closing))

    def abandon(self) -> None:
        """
        Close this and write nothing: for a child that was forked, in which the thread does not exist.
        """
        self._closing = concurrent.futures.Future()
        self._closing.set_result(None)

    def _check_open(self) -> None:
        if self._closing is not None:
            raise RuntimeError("this is closed: it neither writes nor reads")

    def _schedule_commit(self) -> None:
        if not self.is_closed:
            self._thread.submit(self._commit)

    # The methods below run in the thread.

    def _finish(self, last: Callable[[], object]) -> None:
        self._commit()
        last()
        if self._error is not None:
            for write in self._pending:
                _log.error("could not be written: %s", write.changes)
            _report(self._pending, self._error)
            raise self._error

    def _commit(self) -> None:
        with self._guard:
            writes, self._pending = self._pending, []
            self._is_due = False
        if not writes:
            return
        had_failed, self._error = self._error is not None, None
        unwritten = self._write(writes)
        if unwritten:
            with self._guard:
                self._pending[:0] = unwritten
            if not had_failed:
                _log.warning("changes that must be written wait for the next commit: %s", self._error)

    def _write(self, writes: list[_Write[C]]) -> list[_Write[C]]:
        # Return the durable changes that could not be written.
        try:
            self._apply([change for write in writes for change in write.changes])
        except _OF_THE_PLACE as error:
            _report([write for write in writes if not write.is_durable], error)
            durable = [write for write in writes if write.is_durable]
            if durable and len(durable) < len(writes):  # there may be room for only these
                return self._write(durable)
            if durable:
                self._error = error
            return durable
        except Exception as error:  # noqa: BLE001 (the futures of these changes raise it)
            if len(writes) > 1:  # one of them is at fault: write each separately
                return [unwritten for write in writes for unwritten in self._write([write])]
            if writes[0].is_durable:
                _log.exception("refused: %s", writes[0].changes)
            _report(writes, error)
            return []
        _report(writes, None)
        return []


def _report(writes: Sequence[_Write[C]], error: Exception | None) -> None:
    for loop in {write.done.get_loop() for write in writes}:
        futures = [write.done for write in writes if write.done.get_loop() is loop]
        with contextlib.suppress(RuntimeError):  # the loop is closed: no caller waits
            loop.call_soon_threadsafe(_resolve, futures, error)


def _resolve(futures: Sequence["asyncio.Future[None]"], error: Exception | None) -> None:
    for done in futures:
        if done.done():
            continue
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)
            _log.debug("a change was not written: %s", done.exception())  # asked for: not every caller waits
