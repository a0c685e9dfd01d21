"""
The SQL of a journal's rows: the changes of their states, and reading them.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from kling_async.batch.database import Database, absolute, storable
from kling_async.batch.lock import LockFile
from kling_async.batch.records import (
    InputFile,
    Row,
    State,
    may_follow,
    read_counted,
    read_error,
    read_stored_request,
    read_stored_snapshot,
)
from kling_async.errors import InvalidRequest, JournalLocked, JournalMismatch, StorageFull
from kling_async.media.naming import folded
from kling_async.media.saved_files import SavedFile
from kling_async.wire.endpoints.base import Endpoint
from kling_async.wire.endpoints.registry import endpoint_named

Change: TypeAlias = tuple[str, Sequence[object]]
"""
A statement with its values.
"""


def _guard(state: State, *, also: str = "") -> str:
    # Only a row from which *state* may follow changes; a late change has no effect.
    states = ", ".join(f"'{before.value}'" for before in may_follow(state))
    return f"WHERE position = ?{also} AND state IN ({states})"


_PRESENT_ACCOUNT: Final = "account = (SELECT account FROM journal)"
MARK_SENDING: Final = (
    "UPDATE row SET state = 'sending', attempts = ?, external_task_id = ?, submit_key = ?, sent_at = ?, "
    "counted_units = ?, counted_cost = ?, error = NULL, "
    f"{_PRESENT_ACCOUNT} {_guard(State.SENDING)}"
)
WITHDRAW: Final = "UPDATE row SET state = 'queued' " + _guard(State.QUEUED)
ACCEPT: Final = (
    f"UPDATE row SET state = 'accepted', task_id = ?, accepted_at = ?, error = NULL, {_PRESENT_ACCOUNT} "
    + _guard(State.ACCEPTED)
)
CLAIM: Final = f"UPDATE row SET {_PRESENT_ACCOUNT} WHERE position = ? AND state = 'accepted'"
RECORD_CALLBACK: Final = "UPDATE row SET snapshot = ? WHERE position = ? AND state = 'accepted'"
_BILL: Final = (
    "units = ?, cash = ?, counted_units = coalesce(?, counted_units), counted_cost = coalesce(?, counted_cost), "
    "ended_at = ? "
)
FINISH: Final = f"UPDATE row SET state = 'finished', error = NULL, snapshot = ?, {_BILL}" + _guard(State.FINISHED)
SAVE: Final = "UPDATE row SET state = 'saved', saved_at = ? " + _guard(State.SAVED)
SAVE_FILE: Final = "INSERT OR REPLACE INTO file SELECT position, ?, ?, ?, ?, ?, ? FROM row " + _guard(State.SAVED)
SAVE_VALUE: Final = "UPDATE file SET value = ? WHERE position = ? AND kind = ? AND number = ?"
UNSAVE: Final = "UPDATE row SET state = 'finished', saved_at = NULL WHERE position = ? AND state = 'saved'"
DROP_FILES: Final = (
    "DELETE FROM file WHERE position = (SELECT position FROM row WHERE position = ? AND state = 'saved')"
)
FAIL: Final = f"UPDATE row SET state = 'failed', error = ?, may_retry = ?, snapshot = ?, {_BILL}" + _guard(State.FAILED)
MARK_UNCERTAIN: Final = "UPDATE row SET state = 'uncertain', error = ? " + _guard(State.UNCERTAIN)
_RECORD_ATTEMPTS: Final = (
    "INSERT OR IGNORE INTO earlier SELECT position, attempts, external_task_id, task_id, error, units, sent_at, "
    "ended_at, cash, counted_units, counted_cost FROM row"
)
_TO_REQUEUE: Final = "WHERE position = ? AND state IN ('failed', 'uncertain')"
RECORD_ATTEMPT: Final = f"{_RECORD_ATTEMPTS} {_TO_REQUEUE} AND attempts > 0"
REQUEUE: Final = (
    "UPDATE row SET state = 'queued', external_task_id = NULL, submit_key = NULL, task_id = NULL, snapshot = NULL, "
    "error = NULL, may_retry = 0, units = NULL, cash = NULL, counted_units = NULL, counted_cost = NULL, "
    f"sent_at = NULL, accepted_at = NULL, ended_at = NULL {_TO_REQUEUE}"
)
SET_TOKEN_KEY: Final = "UPDATE journal SET token_key = ?"  # noqa: S105 (SQL, no token)

_PAID_FOR: Final = frozenset({WITHDRAW, ACCEPT})
"""
Changes that are written even to a file that was moved: nothing else holds these facts.
"""

_MISSING: Final = "WHERE (state = 'queued' OR (state = 'failed' AND may_retry)) AND generation <> ?"

IS_KEPT: Final = "state IN ('sending', 'accepted', 'uncertain') AND account <> (SELECT account FROM journal)"

_COLUMNS: Final = (
    "position, key, state, endpoint, request, attempts, "
    "external_task_id, submit_key, task_id, snapshot, error, may_retry, "
    "queued_at, sent_at, accepted_at, ended_at, saved_at, counted_units, counted_cost, "
    "EXISTS (SELECT 1 FROM input WHERE input.position = row.position), "
    f"CASE WHEN {IS_KEPT} THEN (SELECT base_url FROM account WHERE number = row.account) END"
)
"""
What `_read_row` reads, in its order.
"""

_COLLIDING_KEYS: Final = (
    "SELECT position FROM (SELECT position, row_number() OVER (PARTITION BY folded(key) ORDER BY position) AS number "
    "FROM row WHERE occurrence IS NULL AND position <= ?) WHERE number > 1"
)
"""
Compares only the caller's own keys: generated keys never differ only by case.
"""


def write(database: Database, changes: Sequence[Change]) -> None:
    """
    Write several changes, all or none.

    Raises:
        JournalLocked, StorageFull: A row may not be sent now.
        RuntimeError: A row that is to be sent is in the wrong state.
    """
    statements = {statement for statement, _ in changes}
    is_sending = MARK_SENDING in statements
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
            if statement is MARK_SENDING and not changed:
                raise RuntimeError(f"row {values[-1]} does not wait to be sent")


def _check_may_send(database: Database, lock: LockFile) -> None:
    if not lock.is_held():
        raise JournalLocked(f"{str(lock.path)!r} was deleted: another process may be working on this journal")
    if not lock.reserve():
        what = f"there is no room left beside {str(database.path)!r}: nothing more is sent"
        raise StorageFull(f"{what}; make room, then run again")


def check_endpoints(database: Database) -> None:
    """
    Raise JournalMismatch if rows are of an endpoint that is not registered.
    """
    with database.translating():
        for [name] in database.execute("SELECT name FROM endpoint").fetchall():
            try:
                _find_endpoint(database, name)
            except JournalMismatch:
                # The rows of this endpoint may have been dropped.
                if database.execute("SELECT 1 FROM row WHERE endpoint = ?", name).fetchone() is not None:
                    raise


def _find_endpoint(database: Database, name: str) -> Endpoint[Any]:
    try:
        return endpoint_named(name)
    except InvalidRequest as error:
        what = f"{str(database.path)!r} has rows of endpoint {name!r}, which is not registered"
        advice = "import the module that registers it, or upgrade kling_async; the journal is unchanged"
        raise JournalMismatch(f"{what}: {advice}") from error


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


def read_input(database: Database, sha256: str) -> str:
    """
    Return the file of a request that the journal holds, in Base64.
    """
    with database.translating():
        [base64] = database.fetch_one("SELECT base64 FROM reference WHERE sha256 = ?", sha256)
    return str(base64)


def read_page(database: Database, states: Sequence[State], after: int, size: int) -> list[Row]:
    """
    Return up to *size* rows in *states* (none for all) after position *after*, in the order of the input.
    """
    # The index has each state in order, and SQLite merges these few; with an IN it would sort all rows first.
    chosen_states = set(states)
    where = ["WHERE state = ? AND position > ?"] * len(chosen_states) or ["WHERE position > ?"]
    parts = " UNION ALL ".join(f"SELECT {_COLUMNS} FROM row {part}" for part in where)
    values = [value for state in chosen_states for value in (state, after)] or [after]
    with database.translating():
        rows = database.execute(f"{parts} ORDER BY position LIMIT ?", *values, size).fetchall()
        if not rows:
            database.check_soundness()  # damage may hide rows: the end is reported only if there is none
        return [_read_row(database, columns) for columns in rows]


def trace(database: Database, path: str | Path) -> Row | None:
    """
    Return the row whose task created the file at *path*; None if there is none.
    """
    statement = f"SELECT {_COLUMNS} FROM row WHERE position = (SELECT position FROM file WHERE path = ?)"
    with database.translating():
        columns = database.execute(statement, stored_path(database, Path(path))).fetchone()
        return None if columns is None else _read_row(database, columns)


def stored_path(database: Database, path: Path) -> str | bytes:
    """
    Return a file's path as it is stored: relative to the journal's folder if it is in there, so that both can be
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


def _read_row(database: Database, columns: Sequence[Any]) -> Row:
    position, key, state_name, endpoint_name, text, attempts, *of_submit, has_inputs, kept_for = columns
    external_task_id, submit_key, task_id, seen, failure, may_retry, *times, units, cost = of_submit
    queued_at, sent_at, accepted_at, ended_at, saved_at = times
    state = State(state_name)
    inputs, paths = _read_inputs(database, position) if has_inputs else ({}, {})
    request = read_stored_request(text, _find_endpoint(database, endpoint_name), paths)
    snapshot = read_stored_snapshot(seen)
    return Row(
        position=position,
        key=key,
        state=state,
        request=request,
        inputs=inputs,
        attempts=attempts,
        external_task_id=external_task_id,
        submit_key=submit_key,
        task_id=task_id,
        snapshot=snapshot,
        error=read_error(failure, request, snapshot),
        may_retry=bool(may_retry),
        files=tuple(_read_files(database, position)) if state in (State.FINISHED, State.SAVED) else (),
        queued_at=queued_at,
        sent_at=sent_at,
        accepted_at=accepted_at,
        ended_at=ended_at,
        saved_at=saved_at,
        counted=read_counted(units, cost),
        kept_for=kept_for,
    )


def _read_inputs(database: Database, position: int) -> tuple[dict[str, InputFile], dict[str, Path | None]]:
    inputs: dict[str, InputFile] = {}
    paths: dict[str, Path | None] = {}
    statement = "SELECT field, path, sha256, is_kept FROM input WHERE position = ?"
    for field, path, sha256, is_kept in database.execute(statement, position):
        inputs[field] = InputFile(sha256, bool(is_kept))
        paths[field] = None if path is None else Path(os.fsdecode(path))
    return inputs, paths


def _read_files(database: Database, position: int) -> Iterable[SavedFile]:
    statement = (
        "SELECT kind, number, path, bytes, sha256, value FROM file WHERE position = ? "
        "ORDER BY kind = 'audio', kind = 'video', number"  # as `TaskResult.files`
    )
    for kind, number, place, size, sha256, value in database.execute(statement, position):
        if isinstance(place, str) and "://" in place:  # none of our paths has two slashes in a row
            yield SavedFile(number, None, size, sha256, place, value, kind)
        else:
            yield SavedFile(number, database.home / os.fsdecode(place), size, sha256, None, value, kind)
