"""
What the rows of a journal count in budgets: all runs of it together, in the batch's budget.
"""

import contextlib
import operator
from collections.abc import Coroutine, Sequence
from typing import Any, Self

import attrs

from kling_async.batch.journal import Journal
from kling_async.batch.records import Row
from kling_async.client.budget import Budget
from kling_async.client.client import KlingClient
from kling_async.client.reservations import Book, Reservation, Share
from kling_async.errors import BudgetExceeded
from kling_async.policy.spending import Amount, amount_of_task, counted
from kling_async.wire.dialects import Dialect
from kling_async.wire.endpoints.registry import endpoint_of
from kling_async.wire.tasks import TaskSnapshot

__all__ = ["RowBudget", "count_end"]


@attrs.define(eq=False, repr=False)
class RowBudget:
    """
    The budget for the rows of one run.

    Attributes:
        share: The journal's, in the batch's budget; None without.
        books: Those in which each row must fit: the batch's and the client's.
    """

    share: Share | None
    books: Sequence[Book]
    _dialect: Dialect
    _held: dict[int, Reservation] = attrs.field(factory=dict, init=False)  # of rows that earlier runs have sent

    @classmethod
    async def open(cls, journal: Journal, client: KlingClient, budget: Budget | None) -> Self:
        """
        Return the budget of a run, in which counts what earlier runs have spent or may have.
        """
        of_client = client.core.spending.budget
        books = {each.book: None for each in (budget, of_client) if each is not None}
        if budget is None:
            return cls(None, tuple(books), client.dialect)
        book = budget.book
        found = await journal.read_counted(None if book.per is None else book.clock() - book.per)
        entries = list(found.spent)
        for position in found.unknown:
            [row] = await journal.read_page((), position - 1, 1)
            if position in found.reserved:
                found.reserved[position] = _price_of(row, book, client.dialect)
            else:
                entries.append((row.ended_at or 0.0, _price_of(row, book, client.dialect)))
        share = book.renew(journal.id, sorted(entries, key=operator.itemgetter(0)))
        opened = cls(share, tuple(books), client.dialect)
        for position, amount in found.reserved.items():
            held = opened._held[position] = share.reserve(amount, forced=True)
            held.keep()
        return opened

    def change(self) -> Coroutine[Any, Any, None] | None:
        """
        Return a wait for the end of a running task, which may leave some of what is reserved; None if none is running.
        """
        return next((book.change() for book in self.books if book.may_free), None)

    def price_of(self, row: Row) -> Amount:
        """
        Return what *row* counts at most, for the journal; what is unknown is None in it.
        """
        return _price_of(row, None if self.share is None else self.share.book, self._dialect)

    def reserve(self, row: Row, *, is_sent: bool) -> Reservation | None:
        """
        Reserve what *row* may cost in the batch's budget.

        Args:
            is_sent: Whether an earlier run has sent it: then its reservation is there.

        Raises:
            BudgetExceeded: It does not fit.
        """
        if self.share is None:
            return None
        if is_sent and (held := self._held.pop(row.position, None)) is not None:
            held.resume()
            return held
        amount = self.share.book.price_of(endpoint_of(type(row.request)), row.request, self._dialect)
        return self.share.reserve(amount, forced=is_sent)

    async def wait_for_room(self, row: Row) -> None:
        """
        Wait until *row* fits into all budgets, for as long as running tasks may leave some of what is reserved.

        Raises:
            BudgetExceeded: It does not fit, and no end of a task can change that.
        """
        endpoint = endpoint_of(type(row.request))
        prices = [(book, book.price_of(endpoint, row.request, self._dialect)) for book in self.books]
        while full := [(book, price) for book, price in prices if not book.has_room(price)]:
            book, price = full[0]
            await book.wait_for_change(price)


def _price_of(row: Row, book: Book | None, dialect: Dialect) -> Amount:
    endpoint = endpoint_of(type(row.request))
    if book is not None:
        with contextlib.suppress(BudgetExceeded):  # it may have been sent by a run without this budget
            return book.price_of(endpoint, row.request, dialect)
    return amount_of_task(endpoint, row.request, dialect)


def count_end(row: Row, reserved: Amount, snapshot: TaskSnapshot) -> Amount:
    """
    Return what a row counts whose task has ended as in *snapshot*.
    """
    return counted(snapshot, reserved, endpoint_of(type(row.request)).unit_price)
