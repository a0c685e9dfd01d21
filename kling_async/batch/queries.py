"""
The SQL of a journal's rows: the changes of their states, adding them, and reading them.
"""

import os
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TypeAlias

import attrs

from kling_async.batch.database import Database, absolute, storable
from kling_async.batch.lock import LockFile
from kling_async.batch.records import (
    NewRow,
    Row,
    State,
    Summary,
    digest_of,
    may_follow,
    read_error,
    read_snapshot,
    read_stored_request,
    write_stored_request,
)
from kling_async.errors import BrokenRule, InvalidRequest, JournalLocked, StorageFull
from kling_async.media.naming import folded
from kling_async.media.saved_files import SavedFile

Change: TypeAlias = tuple[str, Sequence[object]]
"""
A statement with its values.
"""


def _guard(state: State, *, also: str = "") -> str:
    # Only a row from which *state* may follow changes; a late change has no effect.
    states = ", ".join(f"'{before.value}'" for before in may_follow(state))
    return f"WHERE position = ?{also} AND state IN ({states})"


_PRESENT_ACCOUNT: Final = "account = (SELECT account FROM journal)"
INTEND: Final = (
    "UPDATE row SET state = 'sending', attempts = ?, external_task_id = ?, submit_key = ?, sent_at = ?, error = NULL, "
    f"{_PRESENT_ACCOUNT} {_guard(State.SENDING)}"
)
WITHDRAW: Final = "UPDATE row SET state = 'queued' " + _guard(State.QUEUED)
ACCEPT: Final = (
    f"UPDATE row SET state = 'accepted', task_id = ?, accepted_at = ?, error = NULL, {_PRESENT_ACCOUNT} "
    + _guard(State.ACCEPTED)
)
CLAIM: Final = f"UPDATE row SET {_PRESENT_ACCOUNT} WHERE position = ? AND state = 'accepted'"
RECORD_CALLBACK: Final = "UPDATE row SET snapshot = ? WHERE position = ? AND state = 'accepted'"
FINISH: Final = "UPDATE row SET state = 'finished', snapshot = ?, units = ?, ended_at = ?, error = NULL " + _guard(
    State.FINISHED
)
SAVE: Final = "UPDATE row SET state = 'saved', saved_at = ? " + _guard(State.SAVED)
SAVE_PICTURE: Final = "INSERT OR REPLACE INTO picture SELECT position, ?, ?, ?, ?, ? FROM row " + _guard(State.SAVED)
SAVE_VALUE: Final = "UPDATE picture SET value = ? WHERE position = ? AND place = ?"
UNSAVE: Final = "UPDATE row SET state = 'finished', saved_at = NULL WHERE position = ? AND state = 'saved'"
DROP_PICTURES: Final = (
    "DELETE FROM picture WHERE position = (SELECT position FROM row WHERE position = ? AND state = 'saved')"
)
FAIL: Final = (
    "UPDATE row SET state = 'failed', error = ?, may_retry = ?, snapshot = ?, units = ?, ended_at = ? "
    + _guard(State.FAILED)
)
MARK_UNCERTAIN: Final = "UPDATE row SET state = 'uncertain', error = ? " + _guard(State.UNCERTAIN)
_RECORD_ATTEMPTS: Final = (
    "INSERT OR IGNORE INTO earlier SELECT position, attempts, external_task_id, task_id, error, units, sent_at, "
    "ended_at FROM row"
)
_TO_REQUEUE: Final = "WHERE position = ? AND state IN ('failed', 'uncertain')"
RECORD_ATTEMPT: Final = f"{_RECORD_ATTEMPTS} {_TO_REQUEUE} AND attempts > 0"
REQUEUE: Final = (
    "UPDATE row SET state = 'queued', external_task_id = NULL, submit_key = NULL, task_id = NULL, snapshot = NULL, "
    f"error = NULL, may_retry = 0, units = NULL, sent_at = NULL, accepted_at = NULL, ended_at = NULL {_TO_REQUEUE}"
)
SET_TOKEN_KEY: Final = "UPDATE journal SET token_key = ?"  # noqa: S105 (SQL, no token)

_PAID_FOR: Final = frozenset({WITHDRAW, ACCEPT})
"""
Changes that are written even to a file that was moved: nothing else holds these facts.
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


def write(database: Database, changes: Sequence[Change]) -> None:
    """
    Write several changes, all or none.

    Raises:
        JournalLocked, StorageFull: A row may not be sent now.
        RuntimeError: A row that is to be sent is in no state for that.
    """
    statements = {statement for statement, _ in changes}
    is_sending = INTEND in statements
    if not statements <= _PAID_FOR:
        database.check_place()
    if is_sending and database.lock is not None:
        _check_may_send(database, database.lock)
    try:
        commit(database, changes)
    except StorageFull:
        if is_sending or database.lock is None:
            raise
        database.lock.free_reserve()  # for what was paid for
        commit(database, changes)


def commit(database: Database, changes: Sequence[Change]) -> None:
    """
    Write several changes in one transaction.
    """
    with database.transaction():
        for statement, values in changes:
            changed = database.execute(statement, *values).rowcount
            if statement is INTEND and not changed:
                raise RuntimeError(f"row {values[-1]} does not wait to be sent")


def _check_may_send(database: Database, lock: LockFile) -> None:
    if not lock.is_held():
        raise JournalLocked(f"{str(lock.path)!r} was deleted: another process may work on this journal by now")
    if not lock.reserve():
        what = f"there is no room left beside {str(database.path)!r}: nothing more is sent"
        raise StorageFull(f"{what}; make room, then run again")


def begin_input(database: Database) -> int:
    """
    Return a number for the next input.
    """
    database.check_place()
    with database.transaction():
        database.execute("UPDATE journal SET generation = generation + 1")
        [generation] = database.fetch_one("SELECT generation FROM journal")
    return int(generation)


def add(database: Database, new_rows: Sequence[NewRow], generation: int, now: float) -> tuple[int, int]:
    """
    Add the rows that are not in the journal; return how many were new, and how many were known.
    """
    database.check_place()
    with database.transaction():
        [position] = database.fetch_one("SELECT positions FROM journal")  # none is used twice: our ids follow from it
        count = 0
        for new_row in new_rows:
            count += _add_one(database, new_row, position + count, generation, now)
        database.execute("UPDATE journal SET positions = ?", position + count)
    return count, len(new_rows) - count


def _add_one(database: Database, new_row: NewRow, position: int, generation: int, now: float) -> bool:
    image = new_row.request.image
    path = str(image) if isinstance(image, Path) else None  # as it was given
    url = image if isinstance(image, str) else None
    known_by = url or new_row.image_sha256 if path is None else path.encode(errors="backslashreplace").decode()
    digest = digest_of(new_row.request, known_by)
    occurrence, key = None, new_row.key
    if key is None:
        [last] = database.fetch_one(
            "SELECT max(occurrence) FROM row WHERE digest = ? AND generation = ?", digest, generation
        )
        occurrence = 0 if last is None else last + 1
        key = f"{digest.hex()[:24]}-{occurrence}"
    known = database.execute("SELECT digest, image_sha256 FROM row WHERE key = ?", key).fetchone()
    if known is not None:
        _check_same(new_row, key, digest, known)
        database.execute("UPDATE row SET generation = ?, occurrence = ? WHERE key = ?", generation, occurrence, key)
        return False
    is_kept = new_row.image_base64 is not None
    if is_kept:
        database.execute("INSERT OR IGNORE INTO image VALUES (?, ?)", new_row.image_sha256, new_row.image_base64)
    file = None if path is None else storable(str(absolute(Path(path))))
    text = write_stored_request(attrs.evolve(new_row.request, image=url))
    database.execute(
        "INSERT INTO row (position, key, digest, generation, occurrence, request, image_path, image_sha256, "
        "is_image_kept, queued_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        *(position, key, digest, generation, occurrence, text),
        *(file, new_row.image_sha256, is_kept, now),
    )
    return True


def _check_same(new_row: NewRow, key: str, digest: bytes, known: tuple[bytes, str | None]) -> None:
    known_digest, known_sha256 = known
    if digest != known_digest:
        rule = "is the key of another request in this journal; give the changed request a key of its own"
        broken = BrokenRule("key", repr(key), rule)
    elif new_row.image_sha256 != known_sha256:
        rule = "has changed since it was added to the journal; put the old file back, or begin a new journal"
        broken = BrokenRule("image", repr(str(new_row.request.image)), rule)
    else:
        return
    raise InvalidRequest(str(broken), broken=(broken,))


def count_missing(database: Database, generation: int) -> int:
    """
    Return how many rows are still to be sent, and are not in input *generation*.
    """
    with database.translating():
        [count] = database.fetch_one(f"SELECT count(*) FROM row {_MISSING}", generation)
    return int(count)


def drop_missing(database: Database, generation: int) -> int:
    """
    Delete those rows, and return how many they were. What was billed for them stays on record.
    """
    database.check_place()
    with database.transaction():
        database.execute(f"{_RECORD_ATTEMPTS} {_MISSING} AND state = 'failed'", generation)
        return database.execute(f"DELETE FROM row {_MISSING}", generation).rowcount


def read_account(database: Database) -> tuple[str, str]:
    """
    Return the base URL and the dialect's name.
    """
    with database.translating():
        base_url, dialect = database.fetch_one("SELECT base_url, dialect FROM journal")
    return base_url, dialect


def read_identity(database: Database) -> tuple[str, bytes | None]:
    """
    Return the journal's id and its token key.
    """
    with database.translating():
        journal_id, token_key = database.fetch_one("SELECT id, token_key FROM journal")
    return journal_id, token_key


def read_image(database: Database, sha256: str) -> str:
    """
    Return a reference image that the journal holds, in Base64.
    """
    with database.translating():
        [base64] = database.fetch_one("SELECT base64 FROM image WHERE sha256 = ?", sha256)
    return str(base64)


def read_page(database: Database, states: Sequence[State], after: int, size: int) -> list[Row]:
    """
    Return up to *size* rows in *states* (none for all) behind position *after*, in the order of the input.
    """
    # The index has each state in order, and SQLite merges these few; with an IN it would sort all rows first.
    wanted = set(states)
    where = ["WHERE state = ? AND position > ?"] * len(wanted) or ["WHERE position > ?"]
    parts = " UNION ALL ".join(f"SELECT {_COLUMNS} FROM row {part}" for part in where)
    values = [value for state in wanted for value in (state, after)] or [after]
    with database.translating():
        found = database.execute(f"{parts} ORDER BY position LIMIT ?", *values, size).fetchall()
        return [_read_row(database, columns) for columns in found]


def trace(database: Database, path: str | Path) -> Row | None:
    """
    Return the row that made the picture at *path*, None where none did.
    """
    statement = f"SELECT {_COLUMNS} FROM row WHERE position = (SELECT position FROM picture WHERE path = ?)"
    with database.translating():
        columns = database.execute(statement, stored_path(database, Path(path))).fetchone()
        return None if columns is None else _read_row(database, columns)


def stored_path(database: Database, path: Path) -> str | bytes:
    """
    Return a picture's path as it is stored: relative to the journal's folder where it is in there, so that both can be
    moved together.
    """
    full, home = absolute(path), database.home
    return storable(full.relative_to(home).as_posix() if full.is_relative_to(home) else str(full))


def find_colliding_keys(database: Database) -> tuple[frozenset[int], int]:
    """
    Return the positions of rows whose key equals that of an earlier row on some file systems, and the last position
    that was compared.
    """
    database.define("folded", folded)
    with database.translating():
        [last] = database.fetch_one("SELECT coalesce(max(position), -1) FROM row")
        found = database.execute(_COLLIDING_KEYS, last).fetchall()
    return frozenset(position for [position] in found), int(last)


def summarize(database: Database) -> Summary:
    """
    Return the batch in numbers.
    """
    with database.translating():
        counts = dict(database.execute("SELECT state, count(*) FROM row GROUP BY state").fetchall())
        [may_retry] = database.fetch_one("SELECT count(*) FROM row WHERE state = 'failed' AND may_retry")
        whole, millionths = database.fetch_one(_BILLED)
        pictures, size = database.fetch_one("SELECT count(*), coalesce(sum(bytes), 0) FROM picture")
        [kept] = database.fetch_one(f"SELECT count(*) FROM row WHERE {_IS_KEPT}")
    billed = Decimal(whole * 1_000_000 + millionths).scaleb(-6)
    return Summary(
        **counts,
        kept=kept,
        may_retry=may_retry,
        units_billed=Decimal(f"{billed:f}".rstrip("0").rstrip(".")),
        pictures=pictures,
        bytes=size,
    )


def _read_row(database: Database, columns: Sequence[Any]) -> Row:
    fields: dict[str, Any] = dict(zip(_FIELDS, columns, strict=True))
    image_path = fields.pop("image_path")
    request = read_stored_request(fields.pop("request"), None if image_path is None else os.fsdecode(image_path))
    state, snapshot = State(fields["state"]), read_snapshot(fields["snapshot"])
    has_pictures = state in (State.FINISHED, State.SAVED)
    read: dict[str, Any] = {
        **fields,
        "state": state,
        "request": request,
        "is_image_kept": bool(fields["is_image_kept"]),
        "may_retry": bool(fields["may_retry"]),
        "snapshot": snapshot,
        "error": read_error(fields["error"], request, snapshot),
        "pictures": tuple(_read_pictures(database, fields["position"])) if has_pictures else (),
    }
    return Row(**read)


def _read_pictures(database: Database, position: int) -> Iterable[SavedFile]:
    statement = "SELECT place, path, bytes, sha256, value FROM picture WHERE position = ? ORDER BY place"
    for index, place, size, sha256, value in database.execute(statement, position):
        if isinstance(place, str) and "://" in place:  # none of our paths has two slashes in a row
            yield SavedFile(index, None, size, sha256, place, value)
        else:
            yield SavedFile(index, database.home / os.fsdecode(place), size, sha256, None, value)
