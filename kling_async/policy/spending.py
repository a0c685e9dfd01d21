"""
What requests cost: by the vendor's price list before they are sent, and by the bill when their task has ended.
"""

import functools
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import attrs

from kling_async.policy.arguments import refuse
from kling_async.wire.calls.call import Call
from kling_async.wire.dialects import Dialect
from kling_async.wire.endpoints.base import Endpoint
from kling_async.wire.redaction import shorten
from kling_async.wire.tasks import TaskSnapshot, TaskStatus

__all__ = [
    "NOTHING_SPENT",
    "UNKNOWN_AMOUNT",
    "Amount",
    "Spent",
    "amount_of_call",
    "amount_of_task",
    "counted",
    "read_money",
]

_DIGITS: Final = 15
"""
An amount is below 10 to this power, so that sums of millions of them are exact.
"""


def read_money(value: Decimal | float | str | None) -> Any:
    """
    Return a number exactly as it is written; what is no number of 0 or more is returned as it is, for validation.
    """
    if value is None or isinstance(value, Decimal | bool):
        return value
    try:
        return Decimal(str(value))
    except InvalidOperation:
        return value


def _valid_money(_: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
    if value is not None and not (isinstance(value, Decimal) and value.is_finite() and 0 <= value < 10**_DIGITS):
        shown = str(value) if isinstance(value, Decimal) else shorten(repr(value))
        refuse(attribute.name, shown, "must be a number of 0 or more, or None")


@attrs.frozen
class Amount:
    """
    A sum in the vendor's units and in US dollars.

    Attributes:
        units: Units of packs. One for videos costs as much as 40 for images, so limit the cost if you use both.
        cost: US dollars: what was billed in cash, or units at the vendor's list price. None, as for `units`, if it is
            not known or not limited.
    """

    units: Decimal | None = attrs.field(default=None, converter=read_money, validator=_valid_money)
    cost: Decimal | None = attrs.field(default=None, converter=read_money, validator=_valid_money)

    def __str__(self) -> str:
        parts = [] if self.units is None else [f"{_plain(self.units)} unit{'' if self.units == 1 else 's'}"]
        if self.cost is not None:
            parts.append(f"${_plain(self.cost)}")
        return " or ".join(parts) or "an unknown amount"

    def plus(self, other: "Amount") -> "Amount":
        """
        Return the sum; what is unknown counts nothing.
        """
        return Amount((self.units or 0) + (other.units or 0), (self.cost or 0) + (other.cost or 0))

    def minus(self, other: "Amount") -> "Amount":
        """
        Return the difference, at least 0; what is unknown counts nothing.
        """
        units, cost = (self.units or 0) - (other.units or 0), (self.cost or 0) - (other.cost or 0)
        return Amount(max(units, Decimal(0)), max(cost, Decimal(0)))

    def or_else(self, other: "Amount | None") -> "Amount":
        """
        Return this amount, with the values of *other* for what is unknown.
        """
        if other is None or (self.units is not None and self.cost is not None):
            return self
        return Amount(other.units if self.units is None else self.units, other.cost if self.cost is None else self.cost)


@attrs.frozen
class Spent:
    """
    What the service said that it billed.

    Attributes:
        units: Units of packs.
        cash: Money from the account's balance, in the account's currency: US dollars, or yuan in China.
        unknown: How many tasks and paid calls succeeded without the service saying what it billed for them.
    """

    units: Decimal = Decimal(0)
    cash: Decimal = Decimal(0)
    unknown: int = 0


NOTHING_SPENT: Final = Spent()


UNKNOWN_AMOUNT: Final = Amount()


def amount_of_task(endpoint: Endpoint[Any], request: Any, dialect: Dialect) -> Amount:
    """
    Return what *request* costs at most, by the vendor's price list; None in it for what that does not say.
    """
    units = endpoint.units(request, dialect)
    return _listed(endpoint.units_at_most(request, dialect) if units is None else units, endpoint.unit_price)


def amount_of_call(call: Call[Any, Any]) -> Amount:
    """
    Return what a call costs, as `amount_of_task`.
    """
    return _listed(call.units, call.unit_price)


def counted(snapshot: TaskSnapshot, reserved: Amount, unit_price: Decimal | None) -> Amount:
    """
    Return what a task that has ended counts in a budget, by what was billed for it.

    Units count as dollars at the list price, and a task that is paid in cash counts the units that were reserved for
    it: so both limits hold however the account pays. A failed task counts only what was billed. A success without a
    bill counts what was reserved.

    Args:
        snapshot: Its end.
        reserved: What was reserved for it.
        unit_price: Of its endpoint.
    """
    units, cash = snapshot.final_unit_deduction, snapshot.final_balance_deduction
    if units is None and cash is None:
        return reserved if snapshot.task_status is TaskStatus.SUCCEEDED else Amount(0, 0)
    by_units = _listed(max(units or Decimal(0), Decimal(0)), unit_price).or_else(reserved)
    if cash is None or cash.quota <= 0:
        return by_units
    if cash.currency not in (None, "USD"):  # no rate of exchange is known here
        return Amount(max(by_units.units or 0, reserved.units or 0), reserved.cost)
    return Amount(max(by_units.units or 0, reserved.units or 0), cash.quota + (by_units.cost or 0 if units else 0))


@functools.lru_cache(256)  # each task is asked for thrice, and there are few prices
def _listed(units: Decimal | None, unit_price: Decimal | None) -> Amount:
    if units is None or unit_price is None:
        return Amount(units, None if units is None or units else 0)
    return Amount(units, units * unit_price)


def _plain(number: Decimal) -> str:
    return f"{number.normalize():,f}"
