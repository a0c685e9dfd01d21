"""
What a client spends: each request is charged to the budgets that apply, and to the sum of what was billed.
"""

from collections import OrderedDict
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import attrs

from kling_async.client.budget import Budget
from kling_async.client.reservations import REMEMBERED, Reservation
from kling_async.errors import BudgetExceeded
from kling_async.policy.spending import NOTHING_SPENT, Amount, Spent, counted
from kling_async.wire.calls.call import Call
from kling_async.wire.dialects import Dialect
from kling_async.wire.endpoints.base import Endpoint
from kling_async.wire.tasks import TaskSnapshot, TaskStatus

__all__ = ["Charge", "Spending"]


@attrs.define(eq=False, repr=False)
class Spending:
    """
    What one client spends.

    Attributes:
        dialect: Of its service.
        budget: Its own; None without.
        spent: What the service said that it billed.
        ended: The last charges whose end was counted, by task: if a task is picked up again, it must not count twice.
    """

    dialect: Dialect
    budget: Budget | None
    spent: Spent = attrs.field(default=NOTHING_SPENT, init=False)
    ended: "OrderedDict[str, Charge]" = attrs.field(factory=OrderedDict, init=False)

    def check(self, kind: Endpoint[Any], request: Any) -> None:
        """
        Raise BudgetExceeded if *request* does not fit into the budget even if nothing that is reserved is spent.
        """
        if self.budget is not None:
            self.budget.book.check(self.budget.book.price_of(kind, request, self.dialect))

    def pick_up(self, task_id: str, kind: Endpoint[Any]) -> "Charge | None":
        """
        Return the charge of a task that has ended, or that another client of the budget has left; None without one.
        """
        if task_id in self.ended:
            return self.ended[task_id]
        found = self.budget.book.pick_up(task_id) if self.budget is not None else ()
        return Charge(self, kind, tuple(found)) if found else None


@attrs.define(eq=False, repr=False, weakref_slot=False)
class Charge:
    """
    What one submit or paid call is charged: first the most that it may cost, in the end what was billed.

    Attributes:
        spending: That of its client.
        kind: Its endpoint, or the call.
        reservations: In the budgets that apply.
        has_ended: Whether its end was counted.
        has_bill: Whether the service has said what it billed.
    """

    spending: Spending
    kind: Endpoint[Any] | Call[Any, Any]
    reservations: tuple[Reservation, ...] = ()
    has_ended: bool = False
    has_bill: bool = False

    def reserve(self, request: Any, further: Callable[[], Reservation | None], *, forced: bool = False) -> None:
        """
        Reserve what *request* may cost, in all budgets or in none. No other submit can come between.

        Args:
            further: Reserves it in the caller's own budget, and returns None if there is none.
            forced: Whether it counts even if it does not fit, because it may have been charged already.

        Raises:
            BudgetExceeded: It does not fit, or its price is not known.
        """
        other, budget = further(), self.spending.budget
        self.reservations = () if other is None else (other,)
        if budget is not None and (other is None or other.share.book is not budget.book):  # it counts once in each
            try:
                self.reservations += (self._reserve(budget, request, forced=forced),)
            except BaseException:
                self.release()
                raise

    def _reserve(self, budget: Budget, request: Any, *, forced: bool) -> Reservation:
        try:
            amount = budget.book.price_of(self.kind, request, self.spending.dialect)
        except BudgetExceeded:
            if not forced:
                raise
            amount = Amount()  # its bill will show it
        return budget.book.share().reserve(amount, forced=forced)

    def settle(self, snapshot: TaskSnapshot) -> None:
        """
        Spend what was billed for the task of a final *snapshot*; once more if only a later one has the bill.
        """
        units, cash = snapshot.final_unit_deduction, snapshot.final_balance_deduction
        is_billed = units is not None or cash is not None
        has_succeeded = snapshot.task_status is TaskStatus.SUCCEEDED
        is_news = not self.has_bill and (is_billed or not self.has_ended)
        if is_news:
            spent = self.spending.spent
            self.spending.spent = Spent(
                spent.units + (units or 0),
                spent.cash + (0 if cash is None else cash.quota),
                spent.unknown + (not is_billed and has_succeeded) - self.has_ended,
            )
            self.has_ended, self.has_bill = True, is_billed
            if snapshot.task_id:
                self.spending.ended[snapshot.task_id] = self
                if len(self.spending.ended) > REMEMBERED:
                    self.spending.ended.popitem(last=False)
        for each in self.reservations if is_news else [one for one in self.reservations if one.spent is None]:
            each.spend(counted(snapshot, each.amount, self.kind.unit_price), snapshot.task_id)

    def settle_call(self, units: Decimal | None) -> None:
        """
        Spend *units* that a call was billed. None spends what was reserved: something was made, and nothing says what
        was billed for it.
        """
        self.settle(TaskSnapshot(task_id="", task_status=TaskStatus.SUCCEEDED, final_unit_deduction=units))

    def release(self) -> None:
        """
        Give back what is reserved: nothing was charged.
        """
        for each in self.reservations:
            each.release()

    def keep(self, task_id: str | None = None) -> None:
        """
        Keep what is reserved although its end is not watched: it may be charged.

        Args:
            task_id: Of its task; None if it is not known.
        """
        for each in self.reservations:
            each.keep(task_id)

    def take_over(self, earlier: "Charge") -> None:
        """
        Replace an earlier charge of the same task, which must not count twice.
        """
        shares = {each.share for each in earlier.reservations}
        for each in earlier.reservations:
            each.resume()  # its end is watched again
        for each in self.reservations:
            if each.share in shares and each not in earlier.reservations:
                each.release()
        self.reservations = (*earlier.reservations, *(each for each in self.reservations if each.share not in shares))
        self.has_ended, self.has_bill = earlier.has_ended, earlier.has_bill
