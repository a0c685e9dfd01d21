"""
Budgets: what a client or a batch may spend.
"""

import datetime as dt
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from kling_async.client.reservations import Book
from kling_async.policy.arguments import check_kind, check_seconds, refuse
from kling_async.policy.spending import Amount
from kling_async.wire.constructors import explained

__all__ = ["Budget"]


@explained
class Budget:
    """
    A limit of what may be spent, for a client or a batch. Several may share one.

    Before a request leaves, the most that it may cost is reserved. When its task is final, what was billed is spent: a
    failed task costs nothing, and one for which the service names no bill costs what was reserved. So requests that are
    sent at the same time cannot pass the limit together.

    Args:
        units: Maximum units; None does not limit them. A unit for videos costs as much as 40 units for images.
        cost: Maximum US dollars; None does not limit them. Units count at the vendor's list price, and a task that is
            paid in cash counts what was billed in dollars.
        per: The time for which the limits hold, as a `timedelta` or in seconds: what was spent counts for that time,
            so that no period of this length has more. None limits all that is ever spent.
        price: A function that returns what a request costs at most, as an `Amount`, or None for the vendor's price
            list. Use it for services with other prices. It also gets the requests of paid calls, such as speech.
        unknown: What to count for a request whose price is known neither from `price` nor from the list. None refuses
            such requests.
        clock: Returns Unix time in seconds.

    Attributes:
        per: The time for which they hold, in seconds; None for all time.
        book: The interface for clients. It is not public and may change.

    Raises:
        InvalidRequest: Neither `units` nor `cost` is given, or a value is out of range.
    """

    def __init__(
        self,
        units: Decimal | float | str | None = None,
        cost: Decimal | float | str | None = None,
        *,
        per: dt.timedelta | float | None = None,
        price: Callable[[Any], Amount | None] | None = None,
        unknown: Amount | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        limit = Amount(units, cost)
        if limit.units is None and limit.cost is None:
            refuse("units", "None", "a budget needs a limit: units, cost, or both")
        if price is not None and not callable(price):
            refuse("price", f"<{type(price).__name__}>", "must be a function that takes a request, or None")
        check_kind("unknown", unknown, (Amount, type(None)), "must be an Amount, or None")
        seconds = per.total_seconds() if isinstance(per, dt.timedelta) else per
        if seconds is not None:
            check_seconds("per", seconds)
        self.per: Final = seconds
        self.book: Final = Book(limit, seconds, price, unknown, clock)

    def __repr__(self) -> str:
        return f"<Budget {self.book}>"

    @property
    def limit(self) -> Amount:
        """
        The limits; None in it for what is not limited.
        """
        return self.book.limit

    @property
    def spent(self) -> Amount:
        """
        What has been spent: by final tasks and paid calls, within `per` if that is set.
        """
        return self.book.spent

    @property
    def reserved(self) -> Amount:
        """
        What is reserved: for requests that are being sent, for running tasks, and for uncertain submits, which may have
        been charged.
        """
        return self.book.reserved

    @property
    def left(self) -> Amount:
        """
        What further requests may cost, 0 or more; None in it for what is not limited.
        """
        return self.book.left
