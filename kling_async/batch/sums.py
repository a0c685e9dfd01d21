"""
The SQL of sums over all rows of a journal: the summary, and what counts in budgets.
"""

from collections.abc import Sequence
from typing import Final

import attrs

from kling_async.batch.database import Database
from kling_async.batch.queries import IS_KEPT
from kling_async.batch.records import Summary, read_counted as read_amount, read_millionths
from kling_async.errors import InvalidRequest
from kling_async.policy.spending import Amount
from kling_async.wire.endpoints.registry import endpoint_named

__all__ = ["Counted", "read_counted", "summarize"]

_FILES: Final = (
    "SELECT coalesce(sum(kind = 'image'), 0), coalesce(sum(kind = 'video'), 0), coalesce(sum(kind = 'audio'), 0), "
    "coalesce(sum(bytes), 0) FROM file"
)
"""
One pass: to group by kind, SQLite would sort all files.
"""

_IS_BILLED: Final = "WHERE units IS NOT NULL OR cash IS NOT NULL"
"""
The condition of the index `row_by_bill`, which has what is summed: no other row is read.
"""

_BILLED: Final = (
    "SELECT coalesce(sum(whole), 0), coalesce(sum(CAST(round((units - whole) * 1000000) AS INTEGER)), 0) FROM "
    "(SELECT units, CAST(units AS INTEGER) AS whole FROM "
    f"(SELECT units FROM row {_IS_BILLED} UNION ALL SELECT units FROM earlier))"
)
"""
Sums whole units and millionths as integers: a sum of floats drifts, and a single sum of millionths may exceed 64 bits.
"""

_PAID: Final = (
    f"SELECT coalesce(sum(cash), 0) FROM (SELECT cash FROM row {_IS_BILLED} UNION ALL SELECT cash FROM earlier)"
)


def summarize(database: Database) -> Summary:
    """
    Return the batch in numbers.
    """
    with database.translating():
        counts = dict(database.execute("SELECT state, count(*) FROM row GROUP BY state").fetchall())
        [may_retry] = database.fetch_one("SELECT count(*) FROM row WHERE state = 'failed' AND may_retry")
        whole, millionths = database.fetch_one(_BILLED)
        images, videos, audios, size = database.fetch_one(_FILES)
        [cash] = database.fetch_one(_PAID)
        [kept] = database.fetch_one(f"SELECT count(*) FROM row WHERE {IS_KEPT}")
    return Summary(
        **counts,
        kept=kept,
        may_retry=may_retry,
        units_billed=read_millionths(whole * 1_000_000 + millionths),
        cash_billed=read_millionths(cash),
        images=images,
        videos=videos,
        audios=audios,
        bytes=size,
    )


@attrs.frozen
class Counted:
    """
    What the rows of a journal count in budgets.

    Attributes:
        spent: By attempts that have ended, and when in Unix time, the oldest first.
        reserved: For rows that are at the service, or may be, by position.
        unknown: Positions of rows that are or were at the service and whose price was not known.
    """

    spent: Sequence[tuple[float, Amount]]
    reserved: dict[int, Amount]
    unknown: Sequence[int]


_ENDED: Final = """
    SELECT coalesce(ended_at, sent_at, 0) AS at, endpoint, counted_units, counted_cost FROM row
        WHERE state IN ('finished', 'saved', 'failed')
    UNION ALL
    SELECT coalesce(earlier.ended_at, earlier.sent_at, 0), row.endpoint, earlier.counted_units, earlier.counted_cost
        FROM earlier LEFT JOIN row USING (position)
"""
_SPENT: Final = f"""
    SELECT max(at), endpoint, counted_cost IS NULL, sum(counted_units), sum(counted_cost) FROM ({_ENDED})
    GROUP BY endpoint, counted_cost IS NULL
"""
_SPENT_SINCE: Final = f"""
    SELECT at, endpoint, counted_cost IS NULL, counted_units, counted_cost FROM ({_ENDED}) WHERE at > ? ORDER BY at
"""
_RESERVED: Final = """
    SELECT position, counted_units, counted_cost FROM row WHERE state IN ('sending', 'accepted', 'uncertain')
"""
_UNKNOWN: Final = """
    SELECT position FROM row WHERE counted_units IS NULL
        AND state IN ('sending', 'accepted', 'uncertain', 'finished', 'saved')
"""


def read_counted(database: Database, since: float | None) -> Counted:
    """
    Return what the rows count in budgets, of what was spent only that after the Unix time *since*; None counts all.

    Journals of earlier versions have only the units that were billed: they count dollars at the list price.
    """
    with database.translating():
        spent = database.execute(_SPENT) if since is None else database.execute(_SPENT_SINCE, since)
        entries = [
            (at, _at_list_price(endpoint, read_amount(units, cost)) if has_no_cost else read_amount(units, cost))
            for at, endpoint, has_no_cost, units, cost in spent.fetchall()
        ]
        reserved = {position: read_amount(*counted) for position, *counted in database.execute(_RESERVED).fetchall()}
        unknown = [position for [position] in database.execute(_UNKNOWN).fetchall()]
    return Counted(sorted(entries, key=lambda entry: entry[0]), reserved, unknown)


def _at_list_price(endpoint: str | None, amount: Amount) -> Amount:
    if endpoint is None or amount.units is None:  # the row was dropped
        return amount
    try:
        unit_price = endpoint_named(endpoint).unit_price
    except InvalidRequest:  # not registered in this program
        return amount
    return amount if unit_price is None else Amount(amount.units, amount.units * unit_price)
