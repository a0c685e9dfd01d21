"""
The book of a budget: what is reserved for requests, and what has been spent.
"""

import asyncio
import collections
import contextlib
import enum
import functools
import heapq
import operator
import threading
from collections.abc import Callable, Coroutine, Iterable
from decimal import Decimal
from typing import Any, Final, NoReturn

import attrs

from kling_async.errors import BudgetExceeded
from kling_async.policy.arguments import check_kind
from kling_async.policy.spending import Amount, amount_of_call, amount_of_task
from kling_async.wire.calls.call import Call
from kling_async.wire.dialects import Dialect
from kling_async.wire.endpoints.base import Endpoint

__all__ = ["REMEMBERED", "Book", "Reservation", "ReservationState", "Share"]

REMEMBERED: Final = 10_000
"""
How many ended tasks are remembered. A batch that continues may pick up as many tasks as its last run had running.
"""

_NOTHING: Final = Amount(0, 0)

_OF_CLIENTS: Final = "clients"
"""
The share of all requests that belong to no journal.
"""


@attrs.define(eq=False, repr=False)
class Book:
    """
    The book of a budget: what is reserved and spent, by share. Every change is one step under the lock.

    Attributes:
        limit, per, price, unknown, clock: The arguments of `Budget`; `per` in seconds.
        lock: Clients of several threads may share a budget.
    """

    limit: Amount
    per: float | None
    price: Callable[[Any], Amount | None] | None
    unknown: Amount | None
    clock: Callable[[], float]
    lock: threading.RLock = attrs.field(factory=threading.RLock, init=False)
    _shares: "dict[str, Share]" = attrs.field(factory=dict, init=False)
    _waiters: "dict[asyncio.Future[None], asyncio.AbstractEventLoop]" = attrs.field(factory=dict, init=False)
    _left: "dict[str, list[Reservation]]" = attrs.field(factory=dict, init=False)  # by task id
    _ended: "dict[str, list[Reservation]]" = attrs.field(factory=dict, init=False)  # by task id, the oldest first

    def __str__(self) -> str:
        spent, reserved = _limited(self.spent, self.limit), _limited(self.reserved, self.limit)
        return f"of {self._limits()}: {spent} spent, {reserved} reserved"

    @property
    def spent(self) -> Amount:
        """
        As `Budget.spent`.
        """
        with self.lock:
            if self.per is not None:
                since = self.clock() - self.per
                for share in self._shares.values():
                    share.forget_until(since)
            return functools.reduce(Amount.plus, (share.spent for share in self._shares.values()), _NOTHING)

    @property
    def reserved(self) -> Amount:
        """
        As `Budget.reserved`.
        """
        with self.lock:
            return functools.reduce(Amount.plus, (share.reserved for share in self._shares.values()), _NOTHING)

    @property
    def left(self) -> Amount:
        """
        As `Budget.left`.
        """
        with self.lock:
            left = self.limit.minus(self.spent.plus(self.reserved))
        return _limited(left, self.limit)

    @property
    def may_free(self) -> bool:
        """
        Whether something is reserved for requests whose end will be seen, and may then be left.
        """
        with self.lock:
            return any(share.running for share in self._shares.values())

    def price_of(self, kind: Endpoint[Any] | Call[Any, Any], request: Any, dialect: Dialect) -> Amount:
        """
        Return what *request* counts at most.

        Raises:
            BudgetExceeded: It is not known.
        """
        own = None if self.price is None else self.price(request)
        check_kind("price", own, (Amount, type(None)), "must return an Amount, or None")
        listed = amount_of_call(kind) if isinstance(kind, Call) else amount_of_task(kind, request, dialect)
        amount = (own or listed).or_else(listed).or_else(self.unknown)
        if any(one is None for most, one in zip(_both(self.limit), _both(amount), strict=True) if most is not None):
            what = f"what this {kind.title} costs is not known, so it does not fit into a budget; nothing was sent"
            self._refuse(f"{what}. To send it, say what to count, as in Budget(unknown=Amount(units=5))", None)
        return amount

    def check(self, amount: Amount) -> None:
        """
        Raise BudgetExceeded if *amount* does not fit even if nothing that is reserved is spent.
        """
        with self.lock:
            if not self._fits(self.spent.plus(amount)):
                self._refuse_amount(amount)

    def has_room(self, amount: Amount) -> bool:
        """
        Return whether *amount* fits now.
        """
        with self.lock:
            return self._fits(self.spent.plus(self.reserved).plus(amount))

    async def wait_for_change(self, amount: Amount) -> None:
        """
        Wait until something that is reserved ends, so that *amount* may fit.

        Raises:
            BudgetExceeded: It does not fit even if nothing that is reserved is spent, or no task is running.
        """
        with self.lock:
            if not self.may_free or not self._fits(self.spent.plus(amount)):
                self._refuse_amount(amount)
            change = self.change()
        await change

    def change(self) -> Coroutine[Any, Any, None]:
        """
        Return a wait for the next end of something that is reserved.
        """
        loop = asyncio.get_running_loop()
        changed: asyncio.Future[None] = loop.create_future()
        with self.lock:
            self._waiters[changed] = loop
        return self._wait_for(changed)

    async def _wait_for(self, changed: "asyncio.Future[None]") -> None:
        try:
            await changed
        finally:
            with self.lock:
                self._waiters.pop(changed, None)

    def wake(self) -> None:
        """
        Wake those that wait for a change, in their event loops.
        """
        waiters, self._waiters = self._waiters, {}
        for changed, loop in waiters.items():
            with contextlib.suppress(RuntimeError):  # a loop that is closed waits no more
                loop.call_soon_threadsafe(_finish, changed)

    def extend(self, amount: Amount) -> None:
        """
        Raise the limits by *amount*, which somebody has agreed to spend. What is not limited stays so.
        """
        with self.lock:
            self.limit = _limited(self.limit.plus(amount), self.limit)
            self.wake()

    def reduce(self, amount: Amount) -> None:
        """
        Undo `extend`: what was agreed to was not spent.
        """
        with self.lock:
            self.limit = _limited(self.limit.minus(amount), self.limit)

    def share(self, name: str = _OF_CLIENTS) -> "Share":
        """
        Return the share of a journal, or that of all clients.
        """
        with self.lock:
            return self._shares.get(name) or self.renew(name)

    def renew(self, name: str, spent: Iterable[tuple[float, Amount]] = ()) -> "Share":
        """
        Return a new share that replaces the one called *name*, whose reservations count no more.

        Args:
            spent: What counts in it, and when it was spent in Unix time, the oldest first.
        """
        share = Share(self)
        for at, amount in spent:
            share.spend(at, amount)
        with self.lock:
            self._shares[name] = share
        return share

    def leave(self, task_id: str, reservation: "Reservation") -> None:
        """
        Remember what is reserved for a task that no client watches any more.
        """
        with self.lock:
            left = self._left.setdefault(task_id, [])
            if reservation not in left:
                left.append(reservation)

    def pick_up(self, task_id: str) -> "list[Reservation]":
        """
        Return what is reserved for a task that a client has left running, or was spent for one that has ended. It stays
        as it is until its end is seen: the client may never wait for that.
        """
        with self.lock:
            return [*self._left.get(task_id, ()), *self._ended.get(task_id, ())]

    def remember(self, task_id: str, reservation: "Reservation") -> None:
        """
        Remember what was spent for a task, so that it does not count twice if a client picks it up once more. The last
        `REMEMBERED` tasks are kept. Call it with the lock held.
        """
        self._ended.setdefault(task_id, []).append(reservation)
        if len(self._ended) > REMEMBERED:
            del self._ended[next(iter(self._ended))]

    def forget(self, task_id: str, reservation: "Reservation") -> None:
        """
        Undo `leave`: its end was seen. Call it with the lock held.
        """
        left = self._left.get(task_id, [])
        if reservation in left:
            left.remove(reservation)
        if not left:
            self._left.pop(task_id, None)

    def admit(self, amount: Amount) -> None:
        """
        Raise BudgetExceeded if *amount* does not fit. Call it with the lock held until *amount* is reserved.
        """
        if not self.has_room(amount):
            self._refuse_amount(amount)

    def _fits(self, amount: Amount) -> bool:
        pairs = zip(_both(self.limit), _both(amount), strict=True)
        return all(most is None or (one or 0) <= most for most, one in pairs)

    def _frees_in(self, amount: Amount) -> float | None:
        # Seconds until enough of what was spent no longer counts.
        if self.per is None:
            return None
        rest, now = self.spent.plus(self.reserved).plus(amount), self.clock()
        entries = (share.entries for share in self._shares.values())  # each the oldest first
        for at, spent in heapq.merge(*entries, key=operator.itemgetter(0)):
            rest = rest.minus(spent)
            if self._fits(rest):
                return max(0.0, at + self.per - now)
        return None

    def _refuse_amount(self, amount: Amount) -> NoReturn:
        frees_in = self._frees_in(amount)
        if frees_in is not None:
            advice = f"there is room in {frees_in:.0f} s"
        elif self._fits(self.spent.plus(amount)):
            advice = "some of what is reserved may become free when tasks end"
        else:
            advice = "use a larger budget to send it"
        facts = f"{_limited(self.spent, self.limit)} spent, {_limited(self.reserved, self.limit)} reserved"
        what = f"this may cost {_limited(amount, self.limit)}, and a budget of {self._limits()} has {self.left} left"
        self._refuse(f"{what} ({facts}); nothing was sent; {advice}", amount, frees_in)

    def _refuse(self, message: str, price: Amount | None, frees_in: float | None = None) -> NoReturn:
        spent, reserved, left = self.spent, self.reserved, self.left
        raise BudgetExceeded(message, price=price, spent=spent, reserved=reserved, left=left, frees_in=frees_in)

    def _limits(self) -> str:
        return f"{self.limit}" if self.per is None else f"{self.limit} per {self.per:g} s"


@attrs.define(eq=False, repr=False)
class Share:
    """
    A part of what counts in a budget: that of one journal, or of all clients. The budget's lock guards it.

    Attributes:
        spent: By final tasks and paid calls.
        reserved: For requests whose bill is not known yet.
        running: How many of these will be settled or released.
        entries: What was spent at which time, if the budget holds for a time.
    """

    book: Book
    spent: Amount = _NOTHING
    reserved: Amount = _NOTHING
    running: int = 0
    entries: collections.deque[tuple[float, Amount]] = attrs.field(factory=collections.deque)

    def reserve(self, amount: Amount, *, forced: bool = False) -> "Reservation":
        """
        Reserve *amount*; with *forced* even if it does not fit, because it may have been charged already.

        Raises:
            BudgetExceeded: It does not fit.
        """
        with self.book.lock:
            if not forced:
                self.book.admit(amount)
            self.reserved = self.reserved.plus(amount)
            self.running += 1
        return Reservation(self, amount)

    def spend(self, at: float, amount: Amount) -> None:
        """
        Count what was spent at a Unix time.
        """
        self.spent = self.spent.plus(amount)
        if self.book.per is not None:
            self.entries.append((at, amount))

    def forget_until(self, since: float) -> None:
        """
        Count no more what was spent until a Unix time.
        """
        while self.entries and self.entries[0][0] <= since:
            self.spent = self.spent.minus(self.entries.popleft()[1])

    def correct(self, entry: tuple[float, Amount], amount: Amount) -> None:
        """
        Count *amount* in place of an earlier entry, unless that counts no more.
        """
        if self.book.per is not None:
            if entry not in self.entries:
                return
            self.entries[self.entries.index(entry)] = (entry[0], amount)
        self.spent = self.spent.minus(entry[1]).plus(amount)


class ReservationState(enum.Enum):
    """
    What became of a reservation.
    """

    RUNNING = enum.auto()
    KEPT = enum.auto()  # it may have been charged, and no client watches its end
    SPENT = enum.auto()
    RELEASED = enum.auto()


@attrs.define(eq=False, repr=False)
class Reservation:
    """
    What is reserved in a budget for one request.

    Attributes:
        share: Where it counts.
        amount: What was reserved.
        state: What became of it.
        spent: What was spent in its place, and when in Unix time; None while nothing was.
    """

    share: Share
    amount: Amount
    state: ReservationState = ReservationState.RUNNING
    spent: tuple[float, Amount] | None = None
    _task_id: str | None = attrs.field(default=None, init=False)  # under which the book has left it

    def spend(self, amount: Amount, task_id: str = "") -> None:
        """
        Spend *amount* in place of what was reserved. If a bill comes later, it replaces what was spent.

        Args:
            task_id: Of its task; empty for what is no task.
        """
        share = self.share
        with share.book.lock:
            if self.spent is not None:
                share.correct(self.spent, amount)
                self.spent = (self.spent[0], amount)
            elif self._end(ReservationState.SPENT):
                self.spent = (share.book.clock(), amount)
                share.spend(*self.spent)
                if task_id:
                    share.book.remember(task_id, self)

    def release(self) -> None:
        """
        Give back what is reserved: nothing was charged. No effect on what was spent.
        """
        with self.share.book.lock:
            self._end(ReservationState.RELEASED)

    def keep(self, task_id: str | None = None) -> None:
        """
        Keep what is reserved although no client watches its end: it may have been charged.

        Args:
            task_id: Of its task, which a client may pick up; None if it is not known.
        """
        book = self.share.book
        with book.lock:
            if self.state is ReservationState.RUNNING:
                self.share.running -= 1
                self.state = ReservationState.KEPT
                if task_id is not None:
                    self._task_id = task_id
                    book.leave(task_id, self)
                book.wake()

    def resume(self) -> None:
        """
        Expect the end of what was kept, which is watched again.
        """
        with self.share.book.lock:
            if self.state is ReservationState.KEPT:
                self.share.running += 1
                self.state = ReservationState.RUNNING

    def _end(self, state: ReservationState) -> bool:
        if self.state in (ReservationState.SPENT, ReservationState.RELEASED):
            return False
        self.share.running -= self.state is ReservationState.RUNNING
        self.share.reserved = self.share.reserved.minus(self.amount)
        self.state = state
        if self._task_id is not None:
            self.share.book.forget(self._task_id, self)
        self.share.book.wake()
        return True


def _finish(changed: "asyncio.Future[None]") -> None:
    if not changed.done():
        changed.set_result(None)


def _both(amount: Amount) -> tuple[Decimal | None, Decimal | None]:
    return amount.units, amount.cost


def _limited(amount: Amount, limit: Amount) -> Amount:
    # Only what is limited, since the budget of a user who counts units may know few costs.
    return Amount(*(None if most is None else one for most, one in zip(_both(limit), _both(amount), strict=True)))
