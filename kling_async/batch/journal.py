"""
The journal of a batch: one SQLite file with the state of each request, which survives `kill -9`.

A row that is about to be sent is on the disk before its bytes leave. All other facts can be recovered from the service.
"""

import asyncio
import contextlib
import errno
import logging
import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Concatenate, Final, ParamSpec, Self, TypeVar

from kling_async.batch import adding, queries, sums
from kling_async.batch.database import Database, beside
from kling_async.batch.opening import Account, find_file, open_database
from kling_async.batch.records import (
    NewRow,
    Row,
    State,
    Summary,
    write_counted,
    write_error,
    write_millionths,
    write_stored_snapshot,
)
from kling_async.batch.writer import Writer
from kling_async.errors import JournalMismatch, KlingError
from kling_async.media.saved_files import SavedFile
from kling_async.media.shielding import shielded
from kling_async.policy.spending import UNKNOWN_AMOUNT, Amount
from kling_async.wire.tasks import TaskSnapshot

__all__ = ["Journal", "Reader"]

_log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


class Reader:
    """
    Reads a journal, even while another process works on it, and changes nothing. Its methods block.

    Raises:
        FileNotFoundError: There is no such file.
        JournalCorrupt: It is not a journal, or is damaged.
        JournalMismatch: It was created by a later version.
    """

    def __init__(self, path: str | Path) -> None:
        self.path: Final = find_file(path)
        self._ask(queries.read_account)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass  # no connection stays open between two queries

    def summary(self) -> Summary:
        """
        Return the batch in numbers.
        """
        return self._ask(sums.summarize)

    def rows(self, *states: State) -> Iterator[Row]:
        """
        Yield the rows in *states* (none for all), in the order of the input.
        """
        after = -1
        while page := self._ask(queries.read_page, states, after, 500):
            yield from page
            after = page[-1].position

    def trace(self, path: str | Path) -> Row | None:
        """
        Return the row whose task created the file at *path*; None if there is none.
        """
        return self._ask(queries.trace, path)

    @property
    def account(self) -> tuple[str, str]:
        """
        The base URL and the dialect's name.
        """
        return self._ask(queries.read_account)

    def _ask(self, query: Callable[Concatenate[Database, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        while True:
            before = self._file_state()
            try:
                with contextlib.closing(Database.open_readonly(self.path)) as database:
                    if not database.is_current():
                        what = (
                            f"{str(self.path)!r} was created by an earlier version; its next run brings it up to date"
                        )
                        raise JournalMismatch(what)
                    answer = query(database, *args, **kwargs)
            except (KlingError, OSError):
                if self._file_state() == before:
                    raise
            else:
                if self._file_state() == before:
                    return answer

    def _file_state(self) -> tuple[int, int, int] | None:
        # A journal that is not in use is read without a lock: if a run begins or ends meanwhile, what was read may be
        # of two states.
        if not self.path.is_file():
            raise FileNotFoundError(errno.ENOENT, "there is no such journal", str(self.path))
        found = self.path.stat()
        return None if beside(self.path, "-wal").exists() else (found.st_ino, found.st_size, found.st_mtime_ns)


class Journal:
    """
    A journal that is open for work, by one process at a time. `open` returns one.

    Changes that arrive together share a commit. A method that returns nothing writes as soon as it can; its facts can
    be recovered, except for a task's id, which is kept until there is room for it.

    Attributes:
        id: Unique to this journal.
        token_key: The addresses of callbacks are derived from it; None until `save_token_key`.
    """

    def __init__(self, database: Database) -> None:
        self.path: Final = database.path
        self.id: str
        self.token_key: bytes | None
        self.id, self.token_key = queries.read_identity(database)
        self._database = database
        self._writer: Writer[queries.Change] = Writer(lambda changes: queries.write(database, changes))
        _open_journals.add(self)

    def __repr__(self) -> str:
        return f"<Journal {str(self.path)!r}{', closed' if self.is_closed else ''}>"

    @classmethod
    def open(cls, path: str | Path, account: Account, *, rebind: bool = False) -> Self:
        """
        Open the journal at *path*, or create it. This blocks: call it in a thread.

        A journal of another account is assigned to *account* if nothing that was sent has become a task, or may have,
        or if *rebind* is set. Rows that were sent with the other account are kept for it.

        Raises:
            JournalLocked: Another process has it open, or another program has been reading it.
            JournalMismatch: It is of another account, host or dialect, or of a later version.
            JournalCorrupt: It is no journal, is damaged, or is incomplete. The first change raises it for a large one.
            StorageFull: There is no room.
            OSError: It cannot be opened or written.
        """
        database = open_database(find_file(path), account, rebind=rebind)
        try:
            return cls(database)
        except BaseException:
            _close_file(database)
            raise

    @property
    def is_closed(self) -> bool:
        return self._writer.is_closed

    async def save_token_key(self, key: bytes) -> None:
        """
        Write the token key, for later runs.
        """
        await self._writer.add((queries.SET_TOKEN_KEY, (key,)))
        self.token_key = key

    async def begin_input(self) -> int:
        """
        Return a number for the next input.
        """
        return await self._run(adding.begin_input)

    async def add(self, new_rows: Sequence[NewRow], generation: int, now: float) -> tuple[int, int]:
        """
        Add those of *new_rows*, a part of input *generation*, that the journal lacks. Return how many were new, and how
        many were known.

        Raises:
            InvalidRequest: A key belongs to another request, or a reference image has changed since it was added.
            StorageFull: There is no room.
        """
        return await self._run(adding.add, new_rows, generation, now)

    async def count_missing(self, generation: int) -> int:
        """
        Return how many rows are still to be sent, and are not in input *generation*.
        """
        return await self._run(queries.count_missing, generation)

    async def drop_missing(self, generation: int) -> int:
        """
        Delete those rows and return how many they were. What was billed for them still counts.
        """
        return await self._run(queries.drop_missing, generation)

    async def read_page(self, states: Sequence[State], after: int, size: int) -> list[Row]:
        """
        Return up to *size* rows in *states* (none for all) behind position *after*, in the order of the input.
        """
        return await self._run(queries.read_page, states, after, size)

    async def find_colliding_keys(self) -> tuple[frozenset[int], int]:
        """
        Return the positions of rows whose key equals that of an earlier row on some file systems, and the last position
        that was compared. Rows that are added later do not change the result up to there.
        """
        return await self._run(queries.find_colliding_keys)

    async def read_input(self, sha256: str) -> str:
        """
        Return the file of a request that the journal holds, in Base64.
        """
        return await self._run(queries.read_input, sha256)

    async def summary(self) -> Summary:
        """
        Return the batch in numbers.
        """
        return await self._run(sums.summarize)

    async def read_counted(self, since: float | None) -> sums.Counted:
        """
        Return what the rows count in budgets: what is reserved, and what was spent, all of it or *since* a Unix time.
        """
        return await self._run(sums.read_counted, since)

    async def mark_sending(
        self,
        position: int,
        *,
        attempt: int,
        external_task_id: str | None,
        submit_key: str | None,
        now: float,
        reserved: Amount = UNKNOWN_AMOUNT,
    ) -> None:
        """
        Write that a row is about to be sent, and what it may cost; when this returns it is on the disk.

        Raises:
            StorageFull: There is no room: do not send.
            JournalCorrupt: The journal was moved away, or is damaged: do not send.
            JournalLocked: Another program has locked it, or its lock file was deleted: do not send.
            RuntimeError: The row does not wait to be sent.
        """
        facts = (attempt, external_task_id, submit_key, now, *write_counted(reserved), position)
        await self._writer.add((queries.MARK_SENDING, facts))

    def withdraw(self, position: int) -> None:
        """
        Write that no task was created from what was sent; the row waits to be sent again.
        """
        self._writer.add((queries.WITHDRAW, (position,)), durable=True)

    def accept(self, position: int, task_id: str, now: float) -> None:
        """
        Write that the service has accepted a row, as this task.
        """
        self._writer.add((queries.ACCEPT, (task_id, now, position)), durable=True)

    async def claim(self, position: int) -> None:
        """
        Write that the present account also finds the task of an accepted row that another account sent.
        """
        await self._writer.add((queries.CLAIM, (position,)))

    def record_callback(self, position: int, snapshot: TaskSnapshot) -> None:
        """
        Write the snapshot of an accepted row that a callback brought, for a later run to confirm.
        """
        self._writer.add((queries.RECORD_CALLBACK, (write_stored_snapshot(snapshot), position)))

    async def finish(self, position: int, snapshot: TaskSnapshot, now: float, counted: Amount = UNKNOWN_AMOUNT) -> None:
        """
        Write that a row's task has succeeded, and what it counts in budgets.
        """
        bill = _bill(snapshot, counted)
        await self._writer.add((queries.FINISH, (write_stored_snapshot(snapshot), *bill, now, position)))

    async def save(self, position: int, files: Iterable[SavedFile], now: float, *, is_all: bool) -> None:
        """
        Write which files of a row are saved, and with *is_all* that none is missing.
        """
        changes: list[queries.Change] = []
        for file in files:
            place = queries.stored_path(self._database, file.path) if file.path is not None else file.url
            facts = (file.kind, file.index, place, file.size_in_bytes, file.sha256, file.pickled, position)
            changes.append((queries.SAVE_FILE, facts))
        if is_all:
            changes.append((queries.SAVE, (now, position)))
        if changes:
            await self._writer.add(*changes)

    async def save_value(self, position: int, file: SavedFile, pickled: bytes) -> None:
        """
        Write what a function returned for a file of a row.
        """
        await self._writer.add((queries.SAVE_VALUE, (pickled, position, file.kind, file.index)))

    async def mark_unsaved(self, position: int) -> None:
        """
        Write that files of a saved row are gone.
        """
        await self._writer.add((queries.DROP_FILES, (position,)), (queries.UNSAVE, (position,)))

    async def fail(
        self,
        position: int,
        error: KlingError,
        snapshot: TaskSnapshot | None,
        now: float,
        *,
        may_retry: bool,
        counted: Amount = UNKNOWN_AMOUNT,
    ) -> None:
        """
        Write that a row failed, for good or until a run tries it again, and what it counts in budgets.
        """
        stored_snapshot = None if snapshot is None else write_stored_snapshot(snapshot)
        facts = (write_error(error), may_retry, stored_snapshot, *_bill(snapshot, counted), now, position)
        await self._writer.add((queries.FAIL, facts))

    async def mark_uncertain(self, position: int, error: KlingError) -> None:
        """
        Write that a task may exist for a row, and that there is no way to find out.
        """
        await self._writer.add((queries.MARK_UNCERTAIN, (write_error(error), position)))

    async def requeue(self, position: int) -> None:
        """
        Let a row that failed or is uncertain be sent again. Its last attempt stays on record.
        """
        await self._writer.add((queries.RECORD_ATTEMPT, (position,)), (queries.REQUEUE, (position,)))

    async def aclose(self) -> None:
        """
        Write the waiting changes, and close the file. Safe to call twice. Cancelling this takes effect when that is
        done, so that the file is free to be opened again.

        Raises:
            KlingError, OSError: Why ids of tasks could not be written, such as StorageFull; they are in the log.
        """
        closing = asyncio.ensure_future(self._writer.aclose(lambda: _close_file(self._database)))
        try:
            await shielded(closing)
        except asyncio.CancelledError:
            if (error := closing.exception()) is not None:
                _log.warning("the journal was not closed properly: %s", error)
            raise

    def abandon(self) -> None:
        """
        Close this without touching the file: for a child that was forked. The journal belongs to its parent.
        """
        self._writer.abandon()
        self._database.abandon()

    async def _run(self, query: Callable[Concatenate[Database, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._writer.run(_finding_damage(query), self._database, *args, **kwargs)


def _finding_damage(query: Callable[Concatenate[Database, P], T]) -> Callable[Concatenate[Database, P], T]:
    # What is read from a damaged file may cause any error.
    def ask(database: Database, /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return query(database, *args, **kwargs)
        except Exception:
            database.check_soundness()
            raise

    return ask


def _close_file(database: Database) -> None:
    if database.lock is None:
        raise AssertionError("a journal that is open for work is locked")
    is_good = False
    database.lock.free_reserve()  # closing needs disk space
    try:
        is_good = database.close_cleanly()
    finally:
        database.lock.release(keep=not is_good)


def _bill(snapshot: TaskSnapshot | None, counted: Amount) -> tuple[float | None, int | None, int | None, int | None]:
    units = snapshot.final_unit_deduction if snapshot is not None else None
    cash = snapshot.final_balance_deduction if snapshot is not None else None
    paid = None if cash is None else write_millionths(cash.quota)
    return None if units is None else float(units), paid, *write_counted(counted)


_open_journals: Final["weakref.WeakSet[Journal]"] = weakref.WeakSet()


def _abandon_in_child() -> None:
    for journal in list(_open_journals):
        journal.abandon()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_abandon_in_child)
