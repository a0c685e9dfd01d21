"""
The SQL that adds the rows of an input to a journal, except those that it has.
"""

import bisect
import collections
import contextlib
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from kling_async.batch.database import Database, NotUnique, absolute, storable
from kling_async.batch.records import NewRow, write_identity, write_stored_request
from kling_async.errors import BrokenRule, InvalidRequest
from kling_async.wire.endpoints.base import Endpoint, sources_of
from kling_async.wire.endpoints.registry import endpoint_of

__all__ = ["add", "begin_input"]

_IS_TAKEN: Final = "SELECT 1 FROM row WHERE key = ? AND generation = ?"
_ADD: Final = (
    "INSERT INTO row (position, key, digest, generation, occurrence, endpoint, request, queued_at) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_FIND: Final = "SELECT position, digest, generation FROM row WHERE key = ?"
_SEE_AGAIN: Final = "UPDATE row SET generation = ?, occurrence = ? WHERE position = ?"


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
    entries = [_Entry.of(new_row) for new_row in new_rows]
    count = None
    with contextlib.suppress(NotUnique):  # some are known, or equal to rows that came before in this input
        count = _add_new(database, entries, generation, now)
    if count is None:
        count = _add_unknown(database, entries, generation, now)
    return count, len(entries) - count


@attrs.frozen
class _Entry:
    # A new row, and what is written of it: the name of its endpoint, the digest that identifies it, and its request.
    new_row: NewRow
    endpoint: str
    digest: bytes
    request: str

    @classmethod
    def of(cls, new_row: NewRow) -> "_Entry":
        endpoint = endpoint_of(type(new_row.request))
        files = dict(_identify_files(new_row, endpoint))
        identity = write_identity(new_row.request, files)
        stored = write_stored_request(new_row.request) if files else identity.decode()
        return cls(new_row, endpoint.name, hashlib.sha256(identity).digest(), stored)


def _add_new(database: Database, entries: Sequence[_Entry], generation: int, now: float) -> int:
    # Add all rows, or none and raise NotUnique. Equal ones are numbered as if none came before them.
    equal: collections.Counter[bytes] = collections.Counter()
    with database.transaction():
        first = _begin_adding(database, entries)
        rows = []
        for position, entry in enumerate(entries, first):
            key, occurrence, digest = entry.new_row.key, None, entry.digest
            if key is None:
                occurrence = equal[digest]
                equal[digest] += 1
                key = _derived_key(digest, occurrence)
            rows.append((position, key, digest, generation, occurrence, entry.endpoint, entry.request, now))
        database.execute_many(_ADD, rows)
        for position, entry in enumerate(entries, first):
            _add_inputs(database, entry.new_row, position)
        database.execute("UPDATE journal SET positions = ?", first + len(entries))
    return len(entries)


def _add_unknown(database: Database, entries: Sequence[_Entry], generation: int, now: float) -> int:
    # Look for each row before it is added; return how many were new.
    with database.transaction():
        first = position = _begin_adding(database, entries)
        for entry in entries:
            key, occurrence = entry.new_row.key, None
            if key is None:
                key, occurrence = _derived_key(entry.digest, 0), 0
            known = database.execute(_FIND, key).fetchone()
            if known is not None and occurrence == 0 and known[2] == generation:  # an equal one came before
                occurrence = _next_occurrence(database, entry.digest, generation)
                key = _derived_key(entry.digest, occurrence)
                known = database.execute(_FIND, key).fetchone()
            if known is not None:
                _check_same(database, entry, key, known)
                database.execute(_SEE_AGAIN, generation, occurrence, known[0])
                continue
            facts = (key, entry.digest, generation, occurrence, entry.endpoint, entry.request, now)
            database.execute(_ADD, position, *facts)
            _add_inputs(database, entry.new_row, position)
            position += 1
        database.execute("UPDATE journal SET positions = ?", position)
    return position - first


def _begin_adding(database: Database, entries: Iterable[_Entry]) -> int:
    # Return the position of the next row. No position is used twice: our ids are derived from it.
    for endpoint in {entry.endpoint for entry in entries}:
        database.execute("INSERT OR IGNORE INTO endpoint VALUES (?)", endpoint)
    [position] = database.fetch_one("SELECT positions FROM journal")
    return int(position)


def _add_inputs(database: Database, new_row: NewRow, position: int) -> None:
    if not new_row.inputs:
        return
    sources = sources_of(endpoint_of(type(new_row.request)), new_row.request)
    for field, file in new_row.inputs.items():
        source = sources.get(field)
        path = storable(str(absolute(source))) if isinstance(source, Path) else None
        database.execute("INSERT INTO input VALUES (?, ?, ?, ?, ?)", position, field, path, file.sha256, file.is_kept)
        if file.is_kept:
            database.execute("INSERT OR IGNORE INTO reference VALUES (?, ?)", file.sha256, file.base64)


def _derived_key(digest: bytes, occurrence: int) -> str:
    return f"{digest.hex()[:24]}-{occurrence}"


def _next_occurrence(database: Database, digest: bytes, generation: int) -> int:
    # The number of equal requests before this one in the input. They are numbered without gaps, so that a few lookups
    # find the last, however many there are.
    def is_taken(occurrence: int) -> bool:
        return database.execute(_IS_TAKEN, _derived_key(digest, occurrence), generation).fetchone() is not None

    end = 0
    while is_taken(end):
        end = 2 * end or 1
    return bisect.bisect_right(range(end), False, lo=end // 2, key=lambda occurrence: not is_taken(occurrence))


def _identify_files(new_row: NewRow, endpoint: Endpoint[Any]) -> Iterator[tuple[str, str]]:
    for place, file in new_row.inputs.items():
        yield place, file.sha256
    for place, source in sources_of(endpoint, new_row.request).items():
        if isinstance(source, str | Path):  # a URL, or a path, is identified as it was given
            yield place, str(source).encode(errors="backslashreplace").decode()


def _check_same(database: Database, entry: _Entry, key: str, known: tuple[int, bytes, int]) -> None:
    new_row, (position, known_digest, _) = entry.new_row, known
    broken: list[BrokenRule] = []
    if entry.digest != known_digest:
        rule = "is the key of another request in this journal; give the changed request its own key"
        broken = [BrokenRule("key", repr(key), rule)]
    elif new_row.inputs:
        sources = sources_of(endpoint_of(type(new_row.request)), new_row.request)
        inputs = dict(database.execute("SELECT field, sha256 FROM input WHERE position = ?", position).fetchall())
        rule = "has changed since it was added to the journal; put the old file back, or begin a new journal"
        broken = [
            BrokenRule(place, repr(str(sources.get(place))), rule)
            for place, file in new_row.inputs.items()
            if file.sha256 != inputs.get(place)
        ]
    if broken:
        raise InvalidRequest("; ".join(map(str, broken)), broken=tuple(broken))
