"""
The journal of a batch: one SQLite file that knows of each request how far it has come, also after `kill -9`.

All SQL is here. What is about to be sent is on the disk before the bytes leave; everything else may be found out again.
"""

import asyncio
import contextlib
import errno
import logging
import os
import secrets
import sqlite3
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, Self, TypeAlias, TypeVar
from urllib.parse import quote

import attrs

from kling_async.batch.lock import LockFile
from kling_async.batch.records import (
    Row,
    State,
    Summary,
    digest_of,
    may_follow,
    read_error,
    read_snapshot,
    read_stored_request,
    write_error,
    write_snapshot,
    write_stored_request,
)
from kling_async.batch.writer import Commits
from kling_async.errors import (
    BrokenRule,
    InvalidRequest,
    JournalCorrupt,
    JournalLocked,
    JournalMismatch,
    KlingError,
    StorageFull,
)
from kling_async.media.local import OUT_OF_SPACE
from kling_async.media.naming import folded
from kling_async.media.saved_files import SavedFile
from kling_async.media.shielding import shielded
from kling_async.wire.endpoints.image_generation import ImageRequest
from kling_async.wire.tasks import TaskSnapshot

__all__ = ["Account", "Entry", "Journal", "Reader"]

APPLICATION_ID: Final = 0x4B4C4E47
"""
By which SQLite files that are journals are told from others ("KLNG").
"""

CONNECT_PATIENCE: Final = 10.0
"""
Seconds to wait for another program that holds the file.
"""

CLOSE_PATIENCE: Final = 1.0
"""
The same in seconds while closing: a program that only looks is done by then, and one that stays does no harm.
"""

_MIGRATIONS: Final = (
    """
    CREATE TABLE journal (
        id TEXT NOT NULL, base_url TEXT NOT NULL, dialect TEXT NOT NULL, fingerprint TEXT NOT NULL,
        token_key BLOB, generation INTEGER NOT NULL DEFAULT 0, positions INTEGER NOT NULL DEFAULT 0,
        in_use INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE row (
        position INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, state TEXT NOT NULL DEFAULT 'queued',
        digest BLOB NOT NULL, generation INTEGER NOT NULL, occurrence INTEGER,
        request TEXT NOT NULL, image_path TEXT, image_sha256 TEXT, is_image_kept INTEGER NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0, external_task_id TEXT, submit_key TEXT, task_id TEXT,
        snapshot TEXT, error TEXT, may_retry INTEGER NOT NULL DEFAULT 0, units REAL,
        queued_at REAL NOT NULL, sent_at REAL, accepted_at REAL, ended_at REAL, saved_at REAL
    );
    CREATE INDEX row_by_state ON row (state, position);
    CREATE INDEX row_by_digest ON row (digest, generation, occurrence);
    CREATE TABLE picture (
        position INTEGER NOT NULL, place INTEGER NOT NULL, path TEXT NOT NULL, bytes INTEGER NOT NULL,
        sha256 TEXT NOT NULL, PRIMARY KEY (position, place)
    ) WITHOUT ROWID;
    CREATE INDEX picture_by_path ON picture (path);
    CREATE TABLE image (sha256 TEXT PRIMARY KEY, base64 TEXT NOT NULL);
    CREATE TABLE earlier (
        position INTEGER NOT NULL, attempt INTEGER NOT NULL, external_task_id TEXT, task_id TEXT, error TEXT,
        units REAL, sent_at REAL, ended_at REAL, PRIMARY KEY (position, attempt)
    ) WITHOUT ROWID;
    """,
    "ALTER TABLE picture ADD COLUMN value BLOB;",
    """
    CREATE TABLE account (
        number INTEGER PRIMARY KEY, base_url TEXT NOT NULL, dialect TEXT NOT NULL, fingerprint TEXT NOT NULL
    );
    INSERT INTO account (number, base_url, dialect, fingerprint)
        SELECT 1, base_url, dialect, fingerprint FROM journal;
    ALTER TABLE journal ADD COLUMN account INTEGER NOT NULL DEFAULT 1;
    ALTER TABLE row ADD COLUMN account INTEGER NOT NULL DEFAULT 1;
    """,
)
"""
How a journal of each schema version becomes one of the next; the first makes it of nothing.
"""

_log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

_Change: TypeAlias = tuple[str, Sequence[object]]


@attrs.frozen
class Account:
    """
    Whose tasks a journal holds.

    Attributes:
        dialect: Its name.
        fingerprint: Makes of a salt what tells the account's key from others, and is of no use to who finds it.
    """

    base_url: str
    dialect: str
    fingerprint: Callable[[str], str] = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class Entry:
    """
    A request on its way into a journal.

    Attributes:
        request: Its image is a URL or a path, else None.
        key: The caller's own, None for one that is made of the request and its occurrence.
        image_sha256: Of its image, where that is not a URL.
        image_base64: The image, where the journal is to keep it.
    """

    request: ImageRequest
    key: str | None = None
    image_sha256: str | None = None
    image_base64: str | None = attrs.field(default=None, repr=False)


def _guard(state: State, *, also: str = "") -> str:
    # That a row may come to *state* from where it is; what comes late changes nothing.
    states = ", ".join(f"'{before.value}'" for before in may_follow(state))
    return f"WHERE position = ?{also} AND state IN ({states})"


_PRESENT_ACCOUNT: Final = "account = (SELECT account FROM journal)"
_INTEND: Final = (
    "UPDATE row SET state = 'sending', attempts = ?, external_task_id = ?, submit_key = ?, sent_at = ?, error = NULL, "
    f"{_PRESENT_ACCOUNT} {_guard(State.SENDING)}"
)
_WITHDRAW: Final = "UPDATE row SET state = 'queued' " + _guard(State.QUEUED)
_ACCEPT: Final = (
    f"UPDATE row SET state = 'accepted', task_id = ?, accepted_at = ?, error = NULL, {_PRESENT_ACCOUNT} "
    + _guard(State.ACCEPTED)
)
_CLAIM: Final = f"UPDATE row SET {_PRESENT_ACCOUNT} WHERE position = ? AND state = 'accepted'"
_FINISH: Final = "UPDATE row SET state = 'finished', snapshot = ?, units = ?, ended_at = ?, error = NULL " + _guard(
    State.FINISHED
)
_HEAR: Final = "UPDATE row SET snapshot = ? WHERE position = ? AND state = 'accepted'"
_UNSAVE: Final = "UPDATE row SET state = 'finished', saved_at = NULL WHERE position = ? AND state = 'saved'"
_FAIL: Final = (
    "UPDATE row SET state = 'failed', error = ?, may_retry = ?, snapshot = ?, units = ?, ended_at = ? "
    + _guard(State.FAILED)
)
_DOUBT: Final = "UPDATE row SET state = 'uncertain', error = ? " + _guard(State.UNCERTAIN)
_SAVE: Final = "UPDATE row SET state = 'saved', saved_at = ? " + _guard(State.SAVED)
_KEEP_PICTURE: Final = "INSERT OR REPLACE INTO picture SELECT position, ?, ?, ?, ?, ? FROM row " + _guard(State.SAVED)
_KEEP_VALUE: Final = "UPDATE picture SET value = ? WHERE position = ? AND place = ?"
_DROP_PICTURES: Final = (
    "DELETE FROM picture WHERE position = (SELECT position FROM row WHERE position = ? AND state = 'saved')"
)
_KEEP_ATTEMPTS: Final = (
    "INSERT OR IGNORE INTO earlier SELECT position, attempts, external_task_id, task_id, error, units, sent_at, "
    "ended_at FROM row"
)
_TO_REQUEUE: Final = "WHERE position = ? AND state IN ('failed', 'uncertain')"
_KEEP_ATTEMPT: Final = f"{_KEEP_ATTEMPTS} {_TO_REQUEUE} AND attempts > 0"
_REQUEUE: Final = (
    "UPDATE row SET state = 'queued', external_task_id = NULL, submit_key = NULL, task_id = NULL, snapshot = NULL, "
    f"error = NULL, may_retry = 0, units = NULL, sent_at = NULL, accepted_at = NULL, ended_at = NULL {_TO_REQUEUE}"
)
_PAID_FOR: Final = frozenset({_WITHDRAW, _ACCEPT})
"""
What is written whatever hinders it: nothing else knows of it.
"""


class Reader:
    """
    Reads journals, also one that another process works on, and changes nothing. Waits for the disk: not for a loop.

    Raises:
        FileNotFoundError: There is no such file.
        JournalCorrupt: It is no journal, or damaged.
        JournalMismatch: It was made by a later version.
    """

    def __init__(self, path: str | Path) -> None:
        self.path: Final = _located(path)
        self._ask(_Tables.account)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass  # nothing stays open between two questions

    def summary(self) -> Summary:
        """
        Return the batch in numbers.
        """
        return self._ask(_Tables.summary)

    def rows(self, *states: State) -> Iterator[Row]:
        """
        Yield the rows in *states* (none for all), in the order of the input.
        """
        after = -1
        while page := self._ask(_Tables.page, states, after, 500):
            yield from page
            after = page[-1].position

    def trace(self, path: str | Path) -> Row | None:
        """
        Return the row that made the picture at *path*, None where none did.
        """
        return self._ask(_Tables.trace, path)

    @property
    def account(self) -> tuple[str, str]:
        """
        The base URL and the dialect's name.
        """
        return self._ask(_Tables.account)

    def _ask(self, question: Callable[Concatenate["_Tables", P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        while True:
            moment = self._moment()
            try:
                with contextlib.closing(_Tables.look(self.path)) as tables:
                    if tables.check_kind() < len(_MIGRATIONS):
                        what = f"{str(self.path)!r} was made by an earlier version; its next run brings it up to date"
                        raise JournalMismatch(what)
                    answer = question(tables, *args, **kwargs)
            except (KlingError, OSError):
                if self._moment() == moment:
                    raise
            else:
                if self._moment() == moment:
                    return answer

    def _moment(self) -> tuple[int, int, int] | None:
        # At rest nobody locks the file: had a run begun or ended meanwhile, what was read could be of two moments.
        if not self.path.is_file():
            raise FileNotFoundError(errno.ENOENT, "there is no such journal", str(self.path))
        found = self.path.stat()
        return None if _beside(self.path, "-wal").exists() else (found.st_ino, found.st_size, found.st_mtime_ns)


class Journal:
    """
    A journal that is open for work, by one process at a time. Made by `open`.

    Changes that arrive together share a commit. A method that returns nothing writes as soon as it can; what it has to
    say can be found out again, but for a task's id: that is kept until there is room for it.
    """

    def __init__(self, path: Path, tables: "_Tables", lock: LockFile) -> None:
        self.path: Final = path
        self._tables = tables
        self._lock = lock
        self._commits: Commits[_Change] = Commits(tables.apply)
        _open_journals.add(self)

    def __repr__(self) -> str:
        return f"<Journal {str(self.path)!r}{', closed' if self._commits.is_closed else ''}>"

    @classmethod
    def open(cls, path: str | Path, account: Account, *, rebind: bool = False) -> "Journal":
        """
        Open the journal at *path*, or make it. Waits for the disk: call it in a thread.

        A journal of another account goes over to *account* where nothing that was sent has become a task, or may have,
        or where *rebind* says so. Rows that were sent with the other account are kept for it.

        Raises:
            JournalLocked: Another process has it open, or another program has been reading it.
            JournalMismatch: It is of another account, host or dialect, or of a later version.
            JournalCorrupt: It is no journal, is damaged, or lacks a part.
            StorageFull: There is no room.
            OSError: It cannot be opened or written.
        """
        path = _located(path)
        if path.exists() and not path.is_file():  # also a path without a name, such as "." or an empty one
            raise OSError(errno.EISDIR if path.is_dir() else errno.EINVAL, "must be a regular file", str(path))
        with _room_in_our_words(path):
            return cls._open(path, account, rebind=rebind)

    @classmethod
    def _open(cls, path: Path, account: Account, *, rebind: bool) -> "Journal":
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = LockFile.take(_beside(path, ".lock"))
        if lock is None:
            raise JournalLocked(f"another process works on {str(path)!r}: wait for its end, or stop it")
        was_left = lock.was_left or _beside(path, "-wal").exists()
        try:
            tables = _Tables.open(path, account, lock, was_left=was_left, rebind=rebind)
            try:
                return cls(path, tables, lock)
            except BaseException:
                tables.retire()
                raise
        except BaseException:
            lock.release(keep=was_left)  # it may be the last that tells of the crash
            raise

    @property
    def is_closed(self) -> bool:
        return self._commits.is_closed

    @property
    def id(self) -> str:
        """
        A word that no other journal has.
        """
        return self._tables.id

    @property
    def token_key(self) -> bytes | None:
        """
        From which the addresses of callbacks are made; None until `keep_token_key`.
        """
        return self._tables.token_key

    async def keep_token_key(self, key: bytes) -> None:
        """
        Keep *key* for later runs.
        """
        await self._commits.add(("UPDATE journal SET token_key = ?", (key,)))
        self._tables.token_key = key

    async def begin_input(self) -> int:
        """
        Return a number for the input that is about to be added.
        """
        return await self._commits.run(self._tables.begin_input)

    async def add(self, entries: Sequence[Entry], generation: int, now: float) -> tuple[int, int]:
        """
        Add what is new of *entries*, which are a part of input *generation*; return how many were new, and were not.

        Raises:
            InvalidRequest: A key belongs to another request, or a reference image has changed since it was added.
            StorageFull: There is no room.
        """
        return await self._commits.run(self._tables.add, entries, generation, now)

    async def missing(self, generation: int) -> int:
        """
        Return how many rows are still to be sent, and are not in input *generation*.
        """
        return await self._commits.run(self._tables.missing, generation)

    async def drop_missing(self, generation: int) -> int:
        """
        Forget the rows that are still to be sent, and are not in input *generation*; return how many they were. What
        was billed for them is still counted.
        """
        return await self._commits.run(self._tables.drop_missing, generation)

    async def page(self, states: Sequence[State], after: int, size: int) -> list[Row]:
        """
        Return up to *size* rows in *states* (none for all) behind position *after*, in the order of the input.
        """
        return await self._commits.run(self._tables.page, states, after, size)

    async def colliding_keys(self) -> tuple[frozenset[int], int]:
        """
        Return the positions of rows whose key equals that of an earlier row on some file systems, and the last position
        that was compared. Rows that are added later do not change the result up to there.
        """
        return await self._commits.run(self._tables.colliding_keys)

    async def image(self, sha256: str) -> str:
        """
        Return a reference image that the journal keeps, in Base64.
        """
        return await self._commits.run(self._tables.image, sha256)

    async def summary(self) -> Summary:
        """
        Return the batch in numbers.
        """
        return await self._commits.run(self._tables.summary)

    async def intend(
        self, position: int, *, attempt: int, external_task_id: str | None, submit_key: str | None, now: float
    ) -> None:
        """
        Write that a row is about to be sent; when this returns it is on the disk.

        Raises:
            StorageFull: There is no room: do not send.
            JournalCorrupt: The journal was moved away: do not send.
            JournalLocked: Another program holds on to it, or its lock file was deleted: do not send.
            RuntimeError: The row does not wait to be sent.
        """
        await self._commits.add((_INTEND, (attempt, external_task_id, submit_key, now, position)))

    def withdraw(self, position: int) -> None:
        """
        Write that nothing came of what was sent, for sure.
        """
        self._commits.add((_WITHDRAW, (position,)), durable=True)

    def accept(self, position: int, task_id: str, now: float) -> None:
        """
        Write that the service has accepted a row as a task.
        """
        self._commits.add((_ACCEPT, (task_id, now, position)), durable=True)

    async def claim(self, position: int) -> None:
        """
        Write that the task of an accepted row, which was sent with another account, is known to the present one too.
        """
        await self._commits.add((_CLAIM, (position,)))

    def hear(self, position: int, snapshot: TaskSnapshot) -> None:
        """
        Write what a callback told of an accepted row, so that it outlives the program until something confirms it.
        """
        self._commits.add((_HEAR, (write_snapshot(snapshot), position)))

    async def finish(self, position: int, snapshot: TaskSnapshot, now: float) -> None:
        """
        Write that a row's task has succeeded.
        """
        await self._commits.add((_FINISH, (write_snapshot(snapshot), _units(snapshot), now, position)))

    async def save(self, position: int, pictures: Sequence[SavedFile], now: float, *, is_all: bool) -> None:
        """
        Write which pictures of a row are on the disk, and with *is_all* that none is missing.
        """
        changes: list[_Change] = []
        for picture in pictures:
            place = self._tables.stored(picture.path) if picture.path is not None else picture.url
            facts = (picture.index, place, picture.size_in_bytes, picture.sha256, picture.pickled, position)
            changes.append((_KEEP_PICTURE, facts))
        if is_all:
            changes.append((_SAVE, (now, position)))
        if changes:
            await self._commits.add(*changes)

    async def keep_value(self, position: int, index: int, pickled: bytes) -> None:
        """
        Write what a function has made of a picture.
        """
        await self._commits.add((_KEEP_VALUE, (pickled, position, index)))

    async def unsave(self, position: int) -> None:
        """
        Write that pictures of a row that was saved are not there any more.
        """
        await self._commits.add((_DROP_PICTURES, (position,)), (_UNSAVE, (position,)))

    async def fail(
        self, position: int, error: KlingError, snapshot: TaskSnapshot | None, now: float, *, may_retry: bool
    ) -> None:
        """
        Write that nothing will come of a row, or with *may_retry* that another run may try it again.
        """
        told = None if snapshot is None else write_snapshot(snapshot)
        units = None if snapshot is None else _units(snapshot)
        await self._commits.add((_FAIL, (write_error(error), may_retry, told, units, now, position)))

    async def doubt(self, position: int, error: KlingError) -> None:
        """
        Write that a row may have become a task, and that it could not be found out.
        """
        await self._commits.add((_DOUBT, (write_error(error), position)))

    async def requeue(self, position: int) -> None:
        """
        Let a row that failed, or whose fate is unknown, be sent again; its last attempt is kept on record.
        """
        await self._commits.add((_KEEP_ATTEMPT, (position,)), (_REQUEUE, (position,)))

    async def aclose(self) -> None:
        """
        Write what waits, and close the file. Safe to call twice; cancelling this takes effect when that is done, so
        that whoever opens the journal next finds it free.

        Raises:
            KlingError, OSError: Why ids of tasks could not be written, such as StorageFull; they are in the log.
        """
        closing = asyncio.ensure_future(self._commits.aclose(self._end))
        try:
            await shielded(closing)
        except asyncio.CancelledError:
            if (error := closing.exception()) is not None:
                _log.warning("the journal was not closed in good order: %s", error)
            raise

    def abandon(self) -> None:
        """
        Close this without touching the file: for a child that was forked. The journal belongs to its parent.
        """
        self._commits.abandon()
        self._tables.abandon()

    def _end(self) -> None:
        is_good = False
        self._lock.spend()  # to close takes room
        try:
            is_good = self._tables.retire()
        finally:
            self._lock.release(keep=not is_good)


class _Tables:
    """
    The tables of one journal: every statement, over one connection, in one thread at a time.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, lock: LockFile | None = None) -> None:
        self.id: str = ""
        self.token_key: bytes | None = None
        self._connection = connection
        self._path = path
        self._home = _absolute(path).parent
        self._lock = lock
        self._files: Mapping[Path, os.stat_result] = {}

    @classmethod
    def open(cls, path: Path, account: Account, lock: LockFile, *, was_left: bool, rebind: bool) -> Self:
        """
        Open the tables for work, or make them.
        """
        if _is_new(path):
            cls.make(path, account)
        with contextlib.closing(cls.look(path)) as tables:  # what is refused stays as it is
            tables.check(account, may_lack_log=was_left, rebind=rebind)
        tables = cls(_connect(path, "mode=rw"), path, lock)
        try:
            tables._prepare(account)
        except BaseException:
            tables.close()
            raise
        try:
            tables._begin()
        except BaseException:
            tables.retire()
            raise
        return tables

    @classmethod
    def make(cls, path: Path, account: Account) -> None:
        """
        Make new tables at *path*, as a whole or not at all.
        """
        draft = _beside(path, ".new")
        draft.unlink(missing_ok=True)
        try:
            os.close(os.open(draft, os.O_WRONLY | os.O_CREAT, 0o600))  # what is in it makes addresses of callbacks
            with contextlib.closing(cls(_connect(draft, "mode=rw"), draft)) as tables:
                tables.fill(account)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)

    def fill(self, account: Account) -> None:
        """
        Make the tables, with what is known of whose they are.
        """
        with _in_our_words(self._path):
            self._run("PRAGMA journal_mode = MEMORY")  # a draft needs no file beside it
        with self._committed():
            self._migrate()
            self._run(f"PRAGMA application_id = {APPLICATION_ID}")
            journal_id = secrets.token_hex(8)
            facts = (journal_id, account.base_url, account.dialect, account.fingerprint(journal_id))
            self._run("INSERT INTO journal (id, base_url, dialect, fingerprint) VALUES (?, ?, ?, ?)", *facts)
            self._run("INSERT INTO account (base_url, dialect, fingerprint) VALUES (?, ?, ?)", *facts[1:])

    @classmethod
    def look(cls, path: Path) -> Self:
        """
        Open the tables for reading alone.
        """
        is_at_rest = not _beside(path, "-wal").exists()  # then not even a helper file is made beside it
        return cls(_connect(path, "immutable=1" if is_at_rest else "mode=ro"), path)

    def check_kind(self) -> int:
        """
        Return the version, and refuse what is no journal, and what a later version has made.
        """
        with _in_our_words(self._path):
            [version] = self._one("PRAGMA user_version")
            [kind] = self._one("PRAGMA application_id")
        if not version or kind != APPLICATION_ID:
            raise _no_journal(self._path)
        if version > len(_MIGRATIONS):
            what = f"{str(self._path)!r} was made by a later version of kling_async; upgrade to work on it"
            raise JournalMismatch(what)
        return int(version)

    def check(self, account: Account, *, may_lack_log: bool, rebind: bool) -> None:
        """
        Refuse what is no journal, what is damaged or not whole, and without *rebind* what another account than
        *account* has sent something from.
        """
        self.check_kind()
        with _in_our_words(self._path):
            [verdict] = self._one("PRAGMA quick_check(1)")
            [in_use] = self._one("SELECT in_use FROM journal")
        if verdict != "ok":
            raise JournalCorrupt(f"{str(self._path)!r} is damaged ({verdict}); restore it from a copy")
        with _in_our_words(self._path):
            if (differs := self._difference(account)) and not rebind and self._may_have_tasks():
                raise JournalMismatch(
                    f"{str(self._path)!r} belongs to another account or service: {differs}. Go on with the old "
                    "one; or, if it was replaced, with rebind=True (--new-key), which keeps apart what was sent before"
                )
        if in_use and not may_lack_log:
            raise JournalCorrupt(
                f"{str(self._path)!r} was copied while it was in use, or lost its log: "
                f"what was sent last is not in it. Bring {_beside(self._path, '-wal').name!r} along from where it came"
            )

    def _difference(self, account: Account) -> str:
        # How *account* differs from the journal's, in words; empty where it does not.
        journal_id, base_url, dialect, fingerprint = self._one("SELECT id, base_url, dialect, fingerprint FROM journal")
        if account.base_url != base_url:
            return f"its host is {base_url}, not {account.base_url}"
        if account.dialect != dialect:
            return f"its dialect is {dialect}, not {account.dialect}"
        return "another key was used" if account.fingerprint(journal_id) != fingerprint else ""

    def _may_have_tasks(self) -> bool:
        # Whether the service has accepted anything, or may have: what it refused belongs to no account.
        [may_have] = self._one(
            "SELECT EXISTS (SELECT 1 FROM row WHERE state NOT IN ('queued', 'failed') OR task_id IS NOT NULL) "
            "OR EXISTS (SELECT 1 FROM earlier WHERE task_id IS NOT NULL OR error IS NULL "
            "OR error LIKE '%SubmissionUncertain%')"
        )
        return bool(may_have)

    def account(self) -> tuple[str, str]:
        with _in_our_words(self._path):
            base_url, dialect = self._one("SELECT base_url, dialect FROM journal")
        return base_url, dialect

    def begin_input(self) -> int:
        self._check_place()
        with self._committed():
            self._run("UPDATE journal SET generation = generation + 1")
            [generation] = self._one("SELECT generation FROM journal")
        return int(generation)

    def add(self, entries: Sequence[Entry], generation: int, now: float) -> tuple[int, int]:
        self._check_place()
        with self._committed():
            [position] = self._one("SELECT positions FROM journal")  # none is used twice: ids of ours follow from it
            new = 0
            for entry in entries:
                new += self._add_one(entry, position + new, generation, now)
            self._run("UPDATE journal SET positions = ?", position + new)
        return new, len(entries) - new

    def missing(self, generation: int) -> int:
        with _in_our_words(self._path):
            [count] = self._one(f"SELECT count(*) FROM row {_MISSING}", generation)
        return int(count)

    def drop_missing(self, generation: int) -> int:
        self._check_place()
        with self._committed():
            self._run(f"{_KEEP_ATTEMPTS} {_MISSING} AND state = 'failed'", generation)
            return self._run(f"DELETE FROM row {_MISSING}", generation).rowcount

    def apply(self, changes: Sequence[_Change]) -> None:
        """
        Write several changes, all or none.
        """
        statements = {statement for statement, _ in changes}
        is_sending = _INTEND in statements
        if not statements <= _PAID_FOR:  # that is well kept wherever the file may be by now
            self._check_place()
        if is_sending and self._lock is not None:
            self._check_may_send(self._lock)
        try:
            self._apply(changes)
        except StorageFull:
            if is_sending or self._lock is None:
                raise
            self._lock.spend()  # what is left to write is what was paid for
            self._apply(changes)

    def page(self, states: Sequence[State], after: int, size: int) -> list[Row]:
        # Each state is in order by its index, and SQLite merges the few; of an IN it would sort all before the first.
        wanted = set(states)
        where = ["WHERE state = ? AND position > ?"] * len(wanted) or ["WHERE position > ?"]
        parts = " UNION ALL ".join(f"SELECT {_COLUMNS} FROM row {part}" for part in where)
        values = [value for state in wanted for value in (state, after)] or [after]
        with _in_our_words(self._path):
            found = self._run(f"{parts} ORDER BY position LIMIT ?", *values, size).fetchall()
            return [self._read(columns) for columns in found]

    def stored(self, path: Path) -> str | bytes:
        """
        Return a picture's path as it is kept: seen from the journal's folder where it is in there, so that both can be
        moved together.
        """
        absolute, home = _absolute(path), self._home
        return _storable(absolute.relative_to(home).as_posix() if absolute.is_relative_to(home) else str(absolute))

    def colliding_keys(self) -> tuple[frozenset[int], int]:
        with _in_our_words(self._path):
            self._connection.create_function("folded", 1, folded, deterministic=True)
            [last] = self._one("SELECT coalesce(max(position), -1) FROM row")
            found = self._run(_COLLIDING_KEYS, last).fetchall()
        return frozenset(position for [position] in found), int(last)

    def image(self, sha256: str) -> str:
        with _in_our_words(self._path):
            [base64] = self._one("SELECT base64 FROM image WHERE sha256 = ?", sha256)
        return str(base64)

    def trace(self, path: str | Path) -> Row | None:
        statement = f"SELECT {_COLUMNS} FROM row WHERE position = (SELECT position FROM picture WHERE path = ?)"
        with _in_our_words(self._path):
            columns = self._run(statement, self.stored(Path(path))).fetchone()
            return None if columns is None else self._read(columns)

    def summary(self) -> Summary:
        with _in_our_words(self._path):
            counts = dict(self._run("SELECT state, count(*) FROM row GROUP BY state").fetchall())
            [may_retry] = self._one("SELECT count(*) FROM row WHERE state = 'failed' AND may_retry")
            whole, rest = self._one(_BILLED)
            pictures, size = self._one("SELECT count(*), coalesce(sum(bytes), 0) FROM picture")
            [kept] = self._one(f"SELECT count(*) FROM row WHERE {_IS_KEPT}")
        return Summary(
            **counts,
            kept=kept,
            may_retry=may_retry,
            units_billed=_decimal_of(whole * 1_000_000 + rest),
            pictures=pictures,
            bytes=size,
        )

    def retire(self) -> bool:
        """
        Close in good order, wherever the file may be by now, and tell whether that was possible. Where another program
        is reading the file, the log has to stay beside it.
        """
        try:
            with _in_our_words(self._path):
                self._run(f"PRAGMA busy_timeout = {round(CLOSE_PATIENCE * 1000)}")
                # Closing does no checkpoint where others read the file, or where it was moved.
                is_whole = self._checkpoint()
                self._run("UPDATE journal SET in_use = 0")  # only now: a file that says so lacks nothing
                is_whole = is_whole and self._checkpoint()
        except (KlingError, OSError) as error:
            _log.warning("the journal was not closed in good order: %s", error)
            return False
        else:
            if not is_whole:
                log = _beside(self._path, "-wal").name
                _log.warning(
                    "another program is reading %r: its log %r stays, so copy or move both together",
                    str(self._path),
                    log,
                )
            return True
        finally:
            self.close()

    def close(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()

    def abandon(self) -> None:
        """
        Keep the connection from ever being closed in this process, even by the end of the interpreter.

        SQLite allows neither the use nor the closing of a connection behind a fork: it would take itself for the last
        user of the journal, and delete the log under its parent or under a later run.
        """
        import ctypes  # noqa: PLC0415 (forked children alone need it)

        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._connection))

    def _prepare(self, account: Account) -> None:
        with _in_our_words(self._path):
            [mode] = self._one("PRAGMA journal_mode = WAL")
            if mode != "wal":
                raise OSError(errno.ENOTSUP, "a journal cannot be kept on this kind of disk", str(self._path))
            self._run("PRAGMA synchronous = FULL")
            self._run("PRAGMA fullfsync = ON")  # without it macOS leaves what is written in the disk's own memory
        with self._committed():
            self._migrate()
            if differs := self._difference(account):
                self._go_over_to(account)
                _log.info("%r goes over to another account or service: %s", str(self._path), differs)
            self._run("UPDATE journal SET in_use = 1")
            self.id, self.token_key = self._one("SELECT id, token_key FROM journal")

    def _go_over_to(self, account: Account) -> None:
        [journal_id] = self._one("SELECT id FROM journal")
        facts = (account.base_url, account.dialect, account.fingerprint(journal_id))
        known = "FROM account WHERE (base_url, dialect, fingerprint) = (?, ?, ?)"
        self._run(
            f"INSERT INTO account (base_url, dialect, fingerprint) SELECT ?, ?, ? WHERE NOT EXISTS (SELECT 1 {known})",
            *facts,
            *facts,
        )
        [number] = self._one(f"SELECT number {known}", *facts)
        self._run("UPDATE journal SET base_url = ?, dialect = ?, fingerprint = ?, account = ?", *facts, number)
        # What was withdrawn is sent as if for the first time: another dialect may take no id of ours.
        self._run(
            "UPDATE row SET attempts = attempts - 1, external_task_id = NULL, submit_key = NULL "
            "WHERE state = 'queued' AND external_task_id IS NOT NULL"
        )

    def _begin(self) -> None:
        # Before anything is sent the file itself says that it is in use, so that a copy without the log is recognized.
        with _in_our_words(self._path):
            is_whole = self._checkpoint()
        if not is_whole:
            what = f"another program has been reading {str(self._path)!r} for {CONNECT_PATIENCE:g} s, so that it"
            raise JournalLocked(
                f"{what} cannot be marked as in use: end that program, then run again; nothing was sent"
            )
        self._files = {path: path.stat() for path in (self._path, _beside(self._path, "-wal"))}

    def _checkpoint(self) -> bool:
        # Write the log into the file, and tell whether all of it is there: SQLite raises no error where it is not.
        is_busy, *_ = self._one("PRAGMA wal_checkpoint(TRUNCATE)")
        return not is_busy

    def _migrate(self) -> None:
        [version] = self._one("PRAGMA user_version")
        for migration in _MIGRATIONS[version:]:
            for statement in filter(None, map(str.strip, migration.split(";"))):
                self._run(statement)
        self._run(f"PRAGMA user_version = {len(_MIGRATIONS)}")

    def _add_one(self, entry: Entry, position: int, generation: int, now: float) -> bool:
        path = str(entry.request.image) if isinstance(entry.request.image, Path) else None  # as it was given
        url = entry.request.image if isinstance(entry.request.image, str) else None
        known_by = url or entry.image_sha256 if path is None else path.encode(errors="backslashreplace").decode()
        digest = digest_of(entry.request, known_by)
        occurrence, key = None, entry.key
        if key is None:
            [last] = self._one(
                "SELECT max(occurrence) FROM row WHERE digest = ? AND generation = ?", digest, generation
            )
            occurrence = 0 if last is None else last + 1
            key = f"{digest.hex()[:24]}-{occurrence}"
        known = self._run("SELECT digest, image_sha256 FROM row WHERE key = ?", key).fetchone()
        if known is not None:
            _check_same(entry, key, digest, known)
            self._run("UPDATE row SET generation = ?, occurrence = ? WHERE key = ?", generation, occurrence, key)
            return False
        is_kept = entry.image_base64 is not None
        if is_kept:
            self._run("INSERT OR IGNORE INTO image VALUES (?, ?)", entry.image_sha256, entry.image_base64)
        file = None if path is None else _storable(str(_absolute(Path(path))))
        text = write_stored_request(attrs.evolve(entry.request, image=url))
        self._run(
            "INSERT INTO row (position, key, digest, generation, occurrence, request, image_path, image_sha256, "
            "is_image_kept, queued_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *(position, key, digest, generation, occurrence, text),
            *(file, entry.image_sha256, is_kept, now),
        )
        return True

    def _apply(self, changes: Sequence[_Change]) -> None:
        with self._committed():
            for statement, values in changes:
                changed = self._connection.execute(statement, values).rowcount
                if statement is _INTEND and not changed:
                    raise RuntimeError(f"row {values[-1]} does not wait to be sent")

    @contextlib.contextmanager
    def _committed(self) -> Iterator[None]:
        with _in_our_words(self._path):
            self._run("BEGIN IMMEDIATE")
            try:
                yield
                self._run("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._run("ROLLBACK")
                raise

    def _check_place(self) -> None:
        # SQLite would write on into files that nobody will find again.
        for path, found in self._files.items():
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(path.stat(), found):
                    continue
            raise JournalCorrupt(f"{str(path)!r} was moved or deleted while it was in use; put back what was there")

    def _check_may_send(self, lock: LockFile) -> None:
        if not lock.is_held():
            raise JournalLocked(f"{str(lock.path)!r} was deleted: another process may work on this journal by now")
        if not lock.reserve():
            what = f"there is no room left beside {str(self._path)!r}: nothing more is sent"
            raise StorageFull(f"{what}; make room, then run again")

    def _run(self, statement: str, *values: object) -> sqlite3.Cursor:
        return self._connection.execute(statement, values)

    def _one(self, statement: str, *values: object) -> tuple[Any, ...]:
        found: tuple[Any, ...] | None = self._run(statement, *values).fetchone()
        if found is None:
            raise JournalCorrupt(f"{str(self._path)!r} is damaged: something is missing in it")
        return found

    def _read(self, columns: Sequence[Any]) -> Row:
        fields: dict[str, Any] = dict(zip(_FIELDS, columns, strict=True))
        image_path = fields.pop("image_path")
        request = read_stored_request(fields.pop("request"), None if image_path is None else os.fsdecode(image_path))
        snapshot = read_snapshot(fields["snapshot"])
        state = State(fields["state"])
        pictures: Iterable[tuple[Any, ...]] = ()
        if state in (State.FINISHED, State.SAVED):
            pictures = self._run(
                "SELECT place, path, bytes, sha256, value FROM picture WHERE position = ? ORDER BY place",
                fields["position"],
            )
        told: Mapping[str, Any] = {
            **fields,
            "state": state,
            "request": request,
            "is_image_kept": bool(fields["is_image_kept"]),
            "may_retry": bool(fields["may_retry"]),
            "snapshot": snapshot,
            "error": read_error(fields["error"], request, snapshot),
            "pictures": tuple(
                SavedFile(index, None, size, sha256, place, value)
                if isinstance(place, str) and "://" in place  # in no path of ours are two slashes next to each other
                else SavedFile(index, self._home / os.fsdecode(place), size, sha256, None, value)
                for index, place, size, sha256, value in pictures
            ),
        }
        return Row(**told)


_open_journals: Final["weakref.WeakSet[Journal]"] = weakref.WeakSet()


def _abandon_in_child() -> None:
    for journal in list(_open_journals):
        journal.abandon()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_abandon_in_child)


_BILLED: Final = (
    "SELECT coalesce(sum(whole), 0), coalesce(sum(CAST(round((units - whole) * 1000000) AS INTEGER)), 0) FROM "
    "(SELECT units, CAST(units AS INTEGER) AS whole FROM (SELECT units FROM row UNION ALL SELECT units FROM earlier))"
)
"""
Sums whole units and millionths as integers: a sum of floats drifts, and a single sum of millionths may exceed 64 bits.
"""

_COLLIDING_KEYS: Final = (
    "SELECT position FROM (SELECT position, row_number() OVER (PARTITION BY folded(key) ORDER BY position) AS number "
    "FROM row WHERE occurrence IS NULL AND position <= ?) WHERE number > 1"
)
"""
Compares only the caller's own keys: generated keys never differ by case alone.
"""

_MISSING: Final = "WHERE (state = 'queued' OR (state = 'failed' AND may_retry)) AND generation <> ?"

_IS_KEPT: Final = "state IN ('sending', 'accepted', 'uncertain') AND account <> (SELECT account FROM journal)"

_FIELDS: Final = (
    *("position", "key", "state", "request", "image_path", "image_sha256", "is_image_kept", "attempts"),
    *("external_task_id", "submit_key", "task_id", "snapshot", "error", "may_retry"),
    *("queued_at", "sent_at", "accepted_at", "ended_at", "saved_at"),
    "kept_for",
)
_COLUMNS: Final = (
    ", ".join(_FIELDS[:-1])
    + f", CASE WHEN {_IS_KEPT} THEN (SELECT base_url FROM account WHERE number = row.account) END AS kept_for"
)


def _check_same(entry: Entry, key: str, digest: bytes, known: tuple[bytes, str | None]) -> None:
    known_digest, known_sha256 = known
    if digest != known_digest:
        rule = "is the key of another request in this journal; give the changed request a key of its own"
        broken = BrokenRule("key", repr(key), rule)
    elif entry.image_sha256 != known_sha256:
        rule = "has changed since it was added to the journal; put the old file back, or begin a new journal"
        broken = BrokenRule("image", repr(str(entry.request.image)), rule)
    else:
        return
    raise InvalidRequest(str(broken), broken=(broken,))


def _decimal_of(millionths: int) -> Decimal:
    return Decimal(f"{Decimal(millionths).scaleb(-6):f}".rstrip("0").rstrip("."))


def _units(snapshot: TaskSnapshot) -> float | None:
    return None if snapshot.final_unit_deduction is None else float(snapshot.final_unit_deduction)


def _located(path: str | Path) -> Path:
    # The log and the lock lie beside the file itself, by whatever link it is known.
    path = Path(path)
    located = Path(os.path.realpath(path)) if path.is_symlink() else path
    if located.is_symlink():  # a loop of links, for which only some versions of `Path.resolve` raise an error
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    return located


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 (`resolve` would follow links, which may change)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _is_new(path: Path) -> bool:
    # What has lost its content must not pass for new: all would be sent, and paid, again.
    log = _beside(path, "-wal")
    has_content = path.exists() and path.stat().st_size > 0
    if not has_content and log.exists() and log.stat().st_size:
        raise JournalCorrupt(f"{str(log)!r} is of a journal that is not there: bring it back, or delete this too")
    if not has_content and path.exists():
        raise JournalCorrupt(f"{str(path)!r} is empty: restore it from a copy, or delete it to begin a new journal")
    return not has_content


def _storable(path: str) -> str | bytes:
    # SQLite's text is Unicode, and names of files need not be.
    try:
        path.encode()
    except UnicodeEncodeError:
        return os.fsencode(path)
    return path


def _no_journal(path: Path) -> JournalCorrupt:
    what = "is not a journal of kling_async, or was overwritten; give another path, or restore it from a copy"
    return JournalCorrupt(f"{str(path)!r} {what}")


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    address = f"file:{quote(os.fsencode(path.absolute()))}?{mode}"
    with _in_our_words(path):
        return sqlite3.connect(
            address, uri=True, isolation_level=None, check_same_thread=False, timeout=CONNECT_PATIENCE
        )


@contextlib.contextmanager
def _room_in_our_words(path: Path) -> Iterator[None]:
    # The files beside the journal are not SQLite's.
    try:
        yield
    except OSError as error:
        if error.errno not in OUT_OF_SPACE:
            raise
        what = f"there is no room for {str(path)!r} and the files beside it ({error.strerror})"
        raise StorageFull(f"{what}; make room, then run again: nothing was sent") from error


@contextlib.contextmanager
def _in_our_words(path: Path) -> Iterator[None]:
    # SQLite's errors end here.
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")
        told = f"{str(path)!r}: {error}"
        if name == "SQLITE_FULL":
            raise StorageFull(f"the disk takes no more of {told}; make room, then run again") from error
        if name.startswith("SQLITE_IOERR"):
            what = f"the disk is full or failing at {told}; make room, or replace the disk, then run again"
            raise StorageFull(what) from error
        if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
            raise PermissionError(
                errno.EACCES, f"the journal cannot be opened or written ({error})", str(path)
            ) from error
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            raise JournalLocked(f"another program holds on to {told}") from error
        if name == "SQLITE_NOTADB":
            raise _no_journal(path) from error
        raise JournalCorrupt(f"the journal cannot be read: {told}; restore it from a copy") from error
