"""
Opens a journal's file for work: creates a new one, refuses a damaged or foreign one, and records which account uses it.
"""

import contextlib
import errno
import logging
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import attrs

from kling_async.batch.database import APPLICATION_ID, Database, beside
from kling_async.batch.lock import LockFile
from kling_async.batch.queries import check_endpoints
from kling_async.batch.soundness import SoundnessCheck, check_sound
from kling_async.errors import JournalCorrupt, JournalLocked, JournalMismatch, StorageFull
from kling_async.media.local import OUT_OF_SPACE

__all__ = ["Account", "find_file", "open_database"]

CHECKED_AT_ONCE: Final = 2**22
"""
Bytes of a file that is checked for damage before it is opened, which takes some milliseconds. A larger one is checked
beside the first work on it.
"""

_log = logging.getLogger(__name__)


@attrs.frozen
class Account:
    """
    The account whose tasks a journal holds.

    Attributes:
        dialect: Its name.
        fingerprint: Hashes the account's key with a salt: it distinguishes keys and does not reveal them.
    """

    base_url: str
    dialect: str
    fingerprint: Callable[[str], str] = attrs.field(repr=False)


def find_file(path: str | Path) -> Path:
    """
    Return *path* with symbolic links resolved: the log and the lock lie beside the file itself.
    """
    path = Path(path)
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    if target.is_symlink():  # a loop of links, for which only some versions of `Path.resolve` raise an error
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    return target


def open_database(path: Path, account: Account, *, rebind: bool) -> Database:
    """
    Open the journal at *path* for work, or create it; see `Journal.open`.
    """
    if path.exists() and not path.is_file():  # also a path without a name, such as "." or an empty one
        raise OSError(errno.EISDIR if path.is_dir() else errno.EINVAL, "must be a regular file", str(path))
    with _translating_full_disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = LockFile.take(beside(path, ".lock"))
        if lock is None:
            raise JournalLocked(f"another process works on {str(path)!r}: wait for its end, or stop it")
        was_left = lock.was_left or beside(path, "-wal").exists()
        try:
            return _open_locked(path, account, lock, was_left=was_left, rebind=rebind)
        except BaseException:
            lock.release(keep=was_left)  # it may be the only sign of the crash
            raise


def _open_locked(path: Path, account: Account, lock: LockFile, *, was_left: bool, rebind: bool) -> Database:
    if _is_new(path):
        _make(path, account)
    with contextlib.closing(Database.open_readonly(path)) as database:  # a journal that is refused stays unchanged
        is_checked_later = _check(database, account, was_left=was_left, rebind=rebind)
    database = Database(path, "mode=rw", lock)
    try:
        database.make_durable()
        with database.transaction():
            database.migrate()
            if differs := _difference(database, account):
                _switch_account(database, account)
                _log.info("%r now belongs to another account or service: %s", str(path), differs)
            database.execute("UPDATE journal SET in_use = 1")
    except BaseException:
        database.close()
        raise
    try:
        database.mark_in_use()
        if is_checked_later:
            database.soundness = SoundnessCheck(Database.open_readonly(path))
    except BaseException:
        database.close_cleanly()
        raise
    return database


def _is_new(path: Path) -> bool:
    # A journal that lost its content must not count as a new one: all would be sent, and paid for, again.
    log = beside(path, "-wal")
    has_content = path.exists() and path.stat().st_size > 0
    if not has_content and log.exists() and log.stat().st_size:
        raise JournalCorrupt(f"{str(log)!r} is of a journal that is not there: bring it back, or delete this too")
    if not has_content and path.exists():
        raise JournalCorrupt(f"{str(path)!r} is empty: restore it from a copy, or delete it to begin a new journal")
    return not has_content


def _make(path: Path, account: Account) -> None:
    # Create a complete journal or none.
    draft = beside(path, ".new")
    draft.unlink(missing_ok=True)
    try:
        os.close(
            os.open(draft, os.O_WRONLY | os.O_CREAT, 0o600)
        )  # addresses of callbacks are derived from its token key
        with contextlib.closing(Database(draft, "mode=rw")) as database:
            _fill(database, account)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _fill(database: Database, account: Account) -> None:
    with database.translating():
        database.execute("PRAGMA journal_mode = MEMORY")  # a draft needs no file beside it
    with database.transaction():
        database.migrate()
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        journal_id = secrets.token_hex(8)
        facts = (journal_id, account.base_url, account.dialect, account.fingerprint(journal_id))
        database.execute("INSERT INTO journal (id, base_url, dialect, fingerprint) VALUES (?, ?, ?, ?)", *facts)
        database.execute("INSERT INTO account (base_url, dialect, fingerprint) VALUES (?, ?, ?)", *facts[1:])


def _check(database: Database, account: Account, *, was_left: bool, rebind: bool) -> bool:
    # Refuse a file that is not a journal, is damaged or incomplete, and without *rebind* one from which another account
    # has sent something. Return whether it is still to be checked for damage.
    path, is_current = database.path, database.is_current()
    with database.translating():
        [in_use] = database.fetch_one("SELECT in_use FROM journal")
        if in_use and not was_left:  # first: the log may also have what the file lacks to be sound
            raise JournalCorrupt(
                f"{str(path)!r} was copied while it was in use, or lost its log: "
                f"what was sent last is not in it. Bring {beside(path, '-wal').name!r} along from where it came"
            )
        differs = _difference(database, account)
        # Later, if until then nothing changes but that it is in use. With a log that a crash has left it is checked
        # first: opening writes the log into the file, and the two may not belong together.
        is_checked_later = path.stat().st_size > CHECKED_AT_ONCE and is_current and not differs and not was_left
        if not is_checked_later:
            check_sound(database)
        if differs and not rebind and _may_have_tasks(database):
            raise JournalMismatch(
                f"{str(path)!r} belongs to another account or service: {differs}. Continue with the old "
                "one; or, if it was replaced, with rebind=True (--new-key), which keeps apart what was sent before"
            )
    if is_current:
        check_endpoints(database)
    return is_checked_later


def _difference(database: Database, account: Account) -> str:
    # Return how *account* differs from the journal's; empty if it does not.
    facts = database.fetch_one("SELECT id, base_url, dialect, fingerprint FROM journal")
    journal_id, base_url, dialect, fingerprint = facts
    if account.base_url != base_url:
        return f"its host is {base_url}, not {account.base_url}"
    if account.dialect != dialect:
        return f"its dialect is {dialect}, not {account.dialect}"
    return "another key was used" if account.fingerprint(journal_id) != fingerprint else ""


def _may_have_tasks(database: Database) -> bool:
    # Return whether the service has accepted anything, or may have: refused requests belong to no account.
    [may_have] = database.fetch_one(
        "SELECT EXISTS (SELECT 1 FROM row WHERE state NOT IN ('queued', 'failed') OR task_id IS NOT NULL) "
        "OR EXISTS (SELECT 1 FROM earlier WHERE task_id IS NOT NULL OR error IS NULL "
        "OR error LIKE '%SubmissionUncertain%')"
    )
    return bool(may_have)


def _switch_account(database: Database, account: Account) -> None:
    [journal_id] = database.fetch_one("SELECT id FROM journal")
    facts = (account.base_url, account.dialect, account.fingerprint(journal_id))
    known = "FROM account WHERE (base_url, dialect, fingerprint) = (?, ?, ?)"
    database.execute(
        f"INSERT INTO account (base_url, dialect, fingerprint) SELECT ?, ?, ? WHERE NOT EXISTS (SELECT 1 {known})",
        *facts,
        *facts,
    )
    [number] = database.fetch_one(f"SELECT number {known}", *facts)
    database.execute("UPDATE journal SET base_url = ?, dialect = ?, fingerprint = ?, account = ?", *facts, number)
    # A submit that was withdrawn does not count: another dialect may accept no id of ours.
    database.execute(
        "UPDATE row SET attempts = attempts - 1, external_task_id = NULL, submit_key = NULL "
        "WHERE state = 'queued' AND external_task_id IS NOT NULL"
    )


@contextlib.contextmanager
def _translating_full_disk(path: Path) -> Iterator[None]:
    # The files beside the journal are not SQLite's.
    try:
        yield
    except OSError as error:
        if error.errno not in OUT_OF_SPACE:
            raise
        what = f"there is no room for {str(path)!r} and the files beside it ({error.strerror})"
        raise StorageFull(f"{what}; make room, then run again: nothing was sent") from error
