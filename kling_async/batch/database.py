"""
The SQLite file of a journal: its schema, its transactions, and the translation of SQLite's errors.
"""

import contextlib
import errno
import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, Self
from urllib.parse import quote

from kling_async.batch.lock import LockFile
from kling_async.errors import JournalCorrupt, JournalLocked, JournalMismatch, KlingError, StorageFull

__all__ = [
    "APPLICATION_ID",
    "CONNECT_TIMEOUT",
    "MIGRATIONS",
    "Database",
    "NotUnique",
    "absolute",
    "beside",
    "storable",
]

APPLICATION_ID: Final = 0x4B4C4E47
"""
Identifies SQLite files that are journals ("KLNG").
"""

CONNECT_TIMEOUT: Final = 10.0
"""
Seconds to wait for another program that locks the file.
"""

CACHE_KIB: Final = 64 * 1024
"""
Memory for pages of a large journal, in KiB. New keys belong anywhere in their index: with SQLite's default of 2 MiB,
each new row of a million would read and write a page.
"""

CLOSE_TIMEOUT: Final = 1.0
"""
Seconds to wait for readers while closing. A program that reads a page is done by then; one that stays does no harm.
"""

MIGRATIONS: Final = (
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
    """
    CREATE TABLE input (
        position INTEGER NOT NULL, field TEXT NOT NULL, path TEXT, sha256 TEXT NOT NULL, is_kept INTEGER NOT NULL,
        PRIMARY KEY (position, field)
    ) WITHOUT ROWID;
    INSERT INTO input SELECT position, 'image', image_path, image_sha256, is_image_kept FROM row
        WHERE image_sha256 IS NOT NULL;
    CREATE TABLE row_4 (
        position INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, state TEXT NOT NULL DEFAULT 'queued',
        digest BLOB NOT NULL, generation INTEGER NOT NULL, occurrence INTEGER,
        endpoint TEXT NOT NULL, request TEXT NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0, external_task_id TEXT, submit_key TEXT, task_id TEXT,
        snapshot TEXT, error TEXT, may_retry INTEGER NOT NULL DEFAULT 0, units REAL,
        queued_at REAL NOT NULL, sent_at REAL, accepted_at REAL, ended_at REAL, saved_at REAL,
        account INTEGER NOT NULL DEFAULT 1
    );
    INSERT INTO row_4 SELECT position, key, state, digest, generation, occurrence, 'image-generation', request,
        attempts, external_task_id, submit_key, task_id, snapshot, error, may_retry, units,
        queued_at, sent_at, accepted_at, ended_at, saved_at, account FROM row;
    DROP TABLE row;
    ALTER TABLE row_4 RENAME TO row;
    CREATE INDEX row_by_state ON row (state, position);
    CREATE INDEX row_by_digest ON row (digest, generation, occurrence);
    CREATE TABLE file (
        position INTEGER NOT NULL, kind TEXT NOT NULL, number INTEGER NOT NULL, path TEXT NOT NULL,
        bytes INTEGER NOT NULL, sha256 TEXT NOT NULL, value BLOB, PRIMARY KEY (position, kind, number)
    ) WITHOUT ROWID;
    INSERT INTO file SELECT position, 'image', place, path, bytes, sha256, value FROM picture;
    DROP TABLE picture;
    CREATE INDEX file_by_path ON file (path);
    ALTER TABLE image RENAME TO reference;
    """,
    """
    ALTER TABLE row ADD COLUMN cash INTEGER;
    ALTER TABLE row ADD COLUMN counted_units INTEGER;
    ALTER TABLE row ADD COLUMN counted_cost INTEGER;
    ALTER TABLE earlier ADD COLUMN cash INTEGER;
    ALTER TABLE earlier ADD COLUMN counted_units INTEGER;
    ALTER TABLE earlier ADD COLUMN counted_cost INTEGER;
    UPDATE row SET counted_units = CAST(round(units * 1000000) AS INTEGER) WHERE units IS NOT NULL;
    UPDATE earlier SET counted_units = CAST(round(units * 1000000) AS INTEGER) WHERE units IS NOT NULL;
    """,
    """
    DROP INDEX row_by_digest;
    CREATE INDEX row_by_bill ON row (units, cash) WHERE units IS NOT NULL OR cash IS NOT NULL;
    CREATE TABLE endpoint (name TEXT PRIMARY KEY) WITHOUT ROWID;
    INSERT INTO endpoint SELECT DISTINCT endpoint FROM row;
    """,
)
"""
The SQL that brings a journal of each schema version to the next version; the first creates it. Before version 4 all
rows were of one endpoint, which has one file input. Version 5 has what a row counts in budgets, in millionths: what
was reserved for it, and from its end what its bill counts. Version 6 answers what a million rows are asked for without
reading them all: what was billed, and of which endpoints rows are, or were.
"""

_log = logging.getLogger(__name__)


class NotUnique(Exception):
    """
    A row was to be inserted whose key is there already.
    """


class _Check(Protocol):  # a `SoundnessCheck`, which needs a `Database` itself
    def wait(self) -> None: ...

    def stop(self) -> None: ...

    def abandon(self) -> None: ...


class Database:
    """
    A connection to a journal's file. One thread uses it at a time.

    Attributes:
        home: The folder of the file; paths of files in it are stored relative to it.
        lock: Held while this is open for work; None if it is open for reading.
        soundness: A check that has to end before the file is changed; None if it was made before.
    """

    def __init__(self, path: Path, mode: str, lock: LockFile | None = None) -> None:
        self.path: Final = path
        self.home: Final = absolute(path).parent
        self.lock: Final = lock
        self.soundness: _Check | None = None
        self._connection = _connect(path, mode)
        self._files: Mapping[Path, os.stat_result] = {}

    @classmethod
    def open_readonly(cls, path: Path) -> Self:
        """
        Open the file for reading. If no program uses it, not even a helper file is created beside it.
        """
        is_in_use = beside(path, "-wal").exists()
        return cls(path, "mode=ro" if is_in_use else "immutable=1")

    def execute(self, statement: str, *values: object) -> sqlite3.Cursor:
        """
        Run one statement. Call it within `transaction` or `translating`.
        """
        return self._connection.execute(statement, values)

    def execute_many(self, statement: str, rows: Iterable[Sequence[object]]) -> None:
        """
        Run one statement for each of *rows*, within `transaction`.

        Raises:
            NotUnique: A row has a key that is there already.
        """
        try:
            self._connection.executemany(statement, rows)
        except sqlite3.IntegrityError as error:
            raise NotUnique from error

    def fetch_one(self, statement: str, *values: object) -> tuple[Any, ...]:
        """
        Run one statement and return its only row.

        Raises:
            JournalCorrupt: There is no such row.
        """
        row: tuple[Any, ...] | None = self.execute(statement, *values).fetchone()
        if row is None:
            raise JournalCorrupt(f"{str(self.path)!r} is damaged: something is missing in it")
        return row

    def define(self, name: str, function: Any) -> None:
        """
        Make a pure *function* of one argument callable in SQL.
        """
        self._connection.create_function(name, 1, function, deterministic=True)

    @contextlib.contextmanager
    def translating(self) -> Iterator[None]:
        """
        Raise SQLite's errors as errors of this package.
        """
        try:
            yield
        except sqlite3.Error as error:
            raise _translate(error, self.path) from error

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """
        Commit what is written within, all or nothing.
        """
        with self.translating():
            self.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self.execute("ROLLBACK")
                raise

    def read_version(self) -> int:
        """
        Return the version of the schema.

        Raises:
            JournalCorrupt: The file is not a journal.
            JournalMismatch: A later version of this package created it.
        """
        with self.translating():
            [version] = self.fetch_one("PRAGMA user_version")
            [kind] = self.fetch_one("PRAGMA application_id")
        if not version or kind != APPLICATION_ID:
            raise _no_journal(self.path)
        if version > len(MIGRATIONS):
            what = f"{str(self.path)!r} was created by a later version of kling_async; upgrade to work on it"
            raise JournalMismatch(what)
        return int(version)

    def is_current(self) -> bool:
        """
        Return whether the schema is of this version of the package, and not of an earlier one.

        Raises:
            JournalCorrupt, JournalMismatch: As `read_version` raises them.
        """
        return self.read_version() == len(MIGRATIONS)

    def migrate(self) -> None:
        """
        Bring the schema up to date. Call it within `transaction`.
        """
        [version] = self.fetch_one("PRAGMA user_version")
        for migration in MIGRATIONS[version:]:
            for statement in filter(None, map(str.strip, migration.split(";"))):
                self.execute(statement)
        self.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")

    def make_durable(self) -> None:
        """
        Set SQLite up to have each commit on the disk before it returns.
        """
        with self.translating():
            [mode] = self.fetch_one("PRAGMA journal_mode = WAL")
            if mode != "wal":
                raise OSError(errno.ENOTSUP, "a journal cannot be kept on this kind of disk", str(self.path))
            self.execute("PRAGMA synchronous = FULL")
            self.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            self.execute("PRAGMA fullfsync = ON")  # without it macOS leaves written data in the disk's own cache

    def mark_in_use(self) -> None:
        """
        Write into the file itself that it is in use, so that a copy without its log is recognized. Call it before
        anything is sent.

        Raises:
            JournalLocked: Another program has been reading the file.
        """
        with self.translating():
            is_whole = self._checkpoint()
        if not is_whole:
            what = f"another program has been reading {str(self.path)!r} for {CONNECT_TIMEOUT:g} s, so that it"
            raise JournalLocked(
                f"{what} cannot be marked as in use: end that program, then run again; nothing was sent"
            )
        self._files = {path: path.stat() for path in (self.path, beside(self.path, "-wal"))}

    def check_soundness(self) -> None:
        """
        Wait for the check of the file's soundness, and raise JournalCorrupt if it is damaged.
        """
        if self.soundness is not None:
            self.soundness.wait()

    def check_place(self) -> None:
        """
        Raise JournalCorrupt if the file is damaged, or was moved: SQLite would continue to write into a file without a
        name. This waits for the check of its soundness.
        """
        self.check_soundness()
        for path, found in self._files.items():
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(path.stat(), found):
                    continue
            raise JournalCorrupt(f"{str(path)!r} was moved or deleted while it was in use; put it back")

    def close_cleanly(self) -> bool:
        """
        Close the file, even if it was moved, and return whether it is complete by itself. If another program is reading
        it, the log has to stay beside it.
        """
        if self.soundness is not None:
            self.soundness.stop()
        try:
            with self.translating():
                self.execute(f"PRAGMA busy_timeout = {round(CLOSE_TIMEOUT * 1000)}")
                # Closing does no checkpoint if others read the file, or if it was moved.
                is_whole = self._checkpoint()
                self.execute("UPDATE journal SET in_use = 0")  # only now: a file that says so is complete
                is_whole = is_whole and self._checkpoint()
        except (KlingError, OSError) as error:
            _log.warning("the journal was not closed properly: %s", error)
            return False
        else:
            if not is_whole:
                log = beside(self.path, "-wal").name
                _log.warning(
                    "another program is reading %r: its log %r stays, so copy or move both together",
                    str(self.path),
                    log,
                )
            return True
        finally:
            self.close()

    def interrupt(self) -> None:
        """
        End a statement that runs in another thread, with an error.
        """
        with contextlib.suppress(sqlite3.Error):  # it is closed
            self._connection.interrupt()

    def close(self) -> None:
        """
        Close the connection. Safe to call twice.
        """
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()

    def abandon(self) -> None:
        """
        Keep the connection from ever being closed in this process, even by the end of the interpreter.

        SQLite allows neither the use nor the closing of a connection after a fork: the child would take itself for the
        last user of the journal, and delete the log that its parent or a later run uses.
        """
        if self.soundness is not None:
            self.soundness.abandon()
        import ctypes  # noqa: PLC0415 (only forked children need it)

        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._connection))

    def _checkpoint(self) -> bool:
        # Write the log into the file; return whether all of it is there, since SQLite raises no error if it is not.
        is_busy, *_ = self.fetch_one("PRAGMA wal_checkpoint(TRUNCATE)")
        return not is_busy


def absolute(path: Path) -> Path:
    """
    Return *path* from the root on. Links are not followed, because they may change.
    """
    return Path(os.path.abspath(path))  # noqa: PTH100 (`resolve` follows links)


def beside(path: Path, suffix: str) -> Path:
    """
    Return the path of a file that belongs to the journal at *path*.
    """
    return path.with_name(path.name + suffix)


def storable(path: str) -> str | bytes:
    """
    Return *path* as SQLite can store it: its text is Unicode, which names of files need not be.
    """
    try:
        path.encode()
    except UnicodeEncodeError:
        return os.fsencode(path)
    return path


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    address = f"file:{quote(os.fsencode(path.absolute()))}?{mode}"
    try:
        return sqlite3.connect(
            address, uri=True, isolation_level=None, check_same_thread=False, timeout=CONNECT_TIMEOUT
        )
    except sqlite3.Error as error:
        raise _translate(error, path) from error


def _no_journal(path: Path) -> JournalCorrupt:
    what = "is not a journal of kling_async, or was overwritten; give another path, or restore it from a copy"
    return JournalCorrupt(f"{str(path)!r} {what}")


def _translate(error: sqlite3.Error, path: Path) -> Exception:
    name = getattr(error, "sqlite_errorname", "")
    what = f"{str(path)!r}: {error}"
    if name == "SQLITE_FULL":
        return StorageFull(f"the disk is full at {what}; make room, then run again")
    if name.startswith("SQLITE_IOERR"):
        return StorageFull(f"the disk is full or failing at {what}; make room, or replace the disk, then run again")
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return PermissionError(errno.EACCES, f"the journal cannot be opened or written ({error})", str(path))
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return JournalLocked(f"another program has locked {what}")
    if name == "SQLITE_NOTADB":
        return _no_journal(path)
    return JournalCorrupt(f"the journal cannot be read: {what}; restore it from a copy")
