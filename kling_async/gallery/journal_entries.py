"""
Reads the journal of a batch as gallery entries.
"""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Final

import attrs

from kling_async.batch.journal import Reader
from kling_async.batch.records import Row, State
from kling_async.gallery.entry import GalleryEntry, entry_of
from kling_async.wire.dialects import DIALECTS, Dialect
from kling_async.wire.endpoints.registry import model_of

__all__ = ["entries_of_row", "read_journal"]

_BEGUN: Final = tuple(state for state in State if state is not State.QUEUED)


def read_journal(path: str | Path) -> Iterator[GalleryEntry]:
    """
    Yield an entry for each saved file of the batch whose journal is at *path*, and one for each row without files, in
    the order of the input. Queued rows are left out.

    The journal is read in small parts. A process that works on it is not blocked.

    Raises:
        FileNotFoundError: There is no such file.
        JournalCorrupt: The file is not a journal, or is damaged.
        JournalMismatch: Another version created it.
    """
    with Reader(path) as reader:
        _, dialect = reader.account
        for row in reader.rows(*_BEGUN):
            yield from entries_of_row(row, DIALECTS.get(dialect))


def entries_of_row(row: Row, dialect: Dialect | None) -> Iterator[GalleryEntry]:
    """
    Yield an entry for each saved file of *row*, or one entry if there is none.

    Args:
        dialect: Says which model a request runs on that names none; None if it is not known.
    """
    about = attrs.evolve(
        entry_of(row.request),
        model_name=getattr(row.request, "model_name", None) if dialect is None else model_of(row.request, dialect),
        task_id=row.task_id,
        seconds=_seconds(row),
        units=row.snapshot.final_unit_deduction if row.snapshot is not None else None,
        cash=_cash(row),
        state=row.state.value,
        error=_error(row),
    )
    given = {field: "given" for field, file in row.inputs.items() if file.is_kept}
    if given:
        about = attrs.evolve(about, settings={**about.settings, **given})
    for picture in row.files:
        yield attrs.evolve(about, path=picture.path, index=picture.index)
    if not row.files:
        yield about


def _seconds(row: Row) -> float | None:
    return row.ended_at - row.accepted_at if row.accepted_at is not None and row.ended_at is not None else None


def _cash(row: Row) -> Decimal | None:
    cash = row.snapshot.final_balance_deduction if row.snapshot is not None else None
    return cash.quota if cash is not None else None


def _error(row: Row) -> str | None:
    if row.error is not None:
        return f"{type(row.error).__name__}: {row.error}"
    count = len(row.snapshot.task_result.files) if row.snapshot is not None else 0
    if row.state is State.FINISHED and (missing := count - len(row.files)) > 0:
        return f"{missing} of {count} files not saved yet: the next run of the batch fetches them"
    return None
