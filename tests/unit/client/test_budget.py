"""
Budgets: what fits, what is refused, and what counts.
"""

import datetime as dt
import threading
from decimal import Decimal
from typing import Any

import attrs
import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from kling_async import OFFICIAL, Amount, Budget, ImageRequest, VideoEffect
from kling_async.client import reservations, spending
from kling_async.client.reservations import Reservation
from kling_async.client.spending import Charge, Spending
from kling_async.errors import BudgetExceeded, InvalidRequest
from kling_async.wire import endpoint_of
from kling_async.wire.endpoints.image_generation import IMAGE_GENERATION
from kling_async.wire.tasks import TaskSnapshot, TaskStatus

EFFECT = VideoEffect("hug", image="https://x.example/a.png")


def reserve(budget: Budget, units: float) -> Reservation:
    return budget.book.share().reserve(Amount(units))


def price(budget: Budget, request: Any) -> Amount:
    return budget.book.price_of(endpoint_of(type(request)), request, OFFICIAL)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "a budget needs a limit: units, cost, or both"),
        ({"units": -1}, "units=-1: must be a number of 0 or more"),
        ({"units": "many"}, "units='many': must be a number of 0 or more"),
        ({"cost": float("nan")}, "must be a number of 0 or more"),
        ({"units": 1, "per": 0}, "per=0: must be a finite number of seconds above 0"),
        ({"units": 1, "per": "day"}, "per='day': must be a finite number of seconds above 0"),
        ({"units": 1, "per": dt.timedelta(0)}, "per=0.0: must be a finite number of seconds above 0"),
        ({"units": 1, "unknown": 5}, "unknown=<int>: must be an Amount, or None"),
        ({"units": 1, "price": 5}, "price=<int>: must be a function that takes a request, or None"),
    ],
)
def test_argument_that_cannot_be_is_named(arguments: dict[str, Any], message: str) -> None:
    """
    With the rule that it breaks.
    """
    with pytest.raises(InvalidRequest) as raised:
        Budget(**arguments)

    assert message in str(raised.value)


def test_near_name_is_answered_by_the_right_one() -> None:
    """
    As by other constructors.
    """
    with pytest.raises(InvalidRequest, match="did you mean units"):
        Budget(unit=100)  # type: ignore[call-arg]


def test_what_is_reserved_is_not_left() -> None:
    """
    What is spent in its place may be less, and the rest is left again.
    """
    budget = Budget(units=20)
    first, second = reserve(budget, 8), reserve(budget, 8)

    assert (Amount(0, 0), Amount(16, 0), Amount(4)) == (budget.spent, budget.reserved, budget.left)
    first.spend(Amount(3))
    second.release()
    assert (Amount(3, 0), Amount(0, 0), Amount(17)) == (budget.spent, budget.reserved, budget.left)


def test_exactly_what_is_left_fits() -> None:
    """
    And not the smallest bit more.
    """
    budget = Budget(units=Decimal("0.3"))
    reserve(budget, 0.1)

    with pytest.raises(BudgetExceeded):
        budget.book.share().reserve(Amount("0.200000001"))
    reserve(budget, 0.2)
    assert Amount(0) == budget.left


def test_refusal_has_all_numbers() -> None:
    """
    In words and as values, and says that some may become free.
    """
    budget = Budget(units=100, cost=10)
    share = budget.book.share()
    share.reserve(Amount(88, 2)).spend(Amount(88, 2))
    share.reserve(Amount(8, 1))

    with pytest.raises(BudgetExceeded) as raised:
        share.reserve(Amount(8, 1))

    error = raised.value
    assert (Amount(8, 1), Amount(88, 2), Amount(8, 1), Amount(4, 7)) == (
        error.price,
        error.spent,
        error.reserved,
        error.left,
    )
    assert str(error) == (
        "this may cost 8 units or $1, and a budget of 100 units or $10 has 4 units or $7 left (88 units or $2 spent, "
        "8 units or $1 reserved); nothing was sent; some of what is reserved may become free when tasks end"
    )


def test_refusal_by_what_is_spent_asks_for_more() -> None:
    """
    Only of what is limited the numbers are named.
    """
    budget = Budget(cost="0.1")
    reserved = budget.book.share().reserve(Amount(None, "0.1"))
    reserved.spend(Amount(20, "0.1"))

    with pytest.raises(BudgetExceeded, match=r"\$0 left \(\$0.1 spent, \$0 reserved\).*use a larger budget to send it"):
        budget.book.share().reserve(Amount(8, "0.03"))


def test_both_limits_hold() -> None:
    """
    What fits into one and not into the other is refused.
    """
    budget = Budget(units=100, cost=1)

    with pytest.raises(BudgetExceeded):
        budget.book.share().reserve(Amount(1, 2))
    with pytest.raises(BudgetExceeded):
        budget.book.share().reserve(Amount(101, 1))
    assert Amount(0, 0) == budget.reserved


def test_kept_reservation_stays_until_it_is_settled() -> None:
    """
    Nothing waits for it, but a bill that comes after all replaces it.
    """
    budget = Budget(units=10)
    uncertain = reserve(budget, 8)
    uncertain.keep()

    assert (False, Amount(8, 0)) == (budget.book.may_free, budget.reserved)
    uncertain.spend(Amount(1))
    assert (Amount(1, 0), Amount(9)) == (budget.spent, budget.left)


def test_each_reservation_ends_once() -> None:
    """
    What was spent is not given back, and what was given back is not spent; a later bill corrects the first.
    """
    budget = Budget(units=10)
    spent, released = reserve(budget, 4), reserve(budget, 4)
    spent.spend(Amount(4))
    released.release()

    spent.release()
    released.spend(Amount(4))
    spent.keep()
    assert (Amount(4, 0), Amount(0, 0)) == (budget.spent, budget.reserved)
    spent.spend(Amount(3))
    assert (Amount(3, 0), False) == (budget.spent, budget.book.may_free)


def test_forced_reservation_may_pass_the_limit() -> None:
    """
    A task that runs already counts; nothing more fits then, and what is left is 0.
    """
    budget = Budget(units=10)
    budget.book.share().reserve(Amount(25), forced=True)

    assert Amount(0) == budget.left
    with pytest.raises(BudgetExceeded):
        reserve(budget, 0.1)


@pytest.mark.parametrize("per", [3600, dt.timedelta(hours=1)])
def test_limit_for_a_time_frees_what_is_older(per: Any) -> None:
    """
    From when it was spent, not when it was reserved; the refusal says when there is room.
    """
    now = 1000.0
    budget = Budget(units=10, per=per, clock=lambda: now)
    first, running = reserve(budget, 4), reserve(budget, 4)
    now = 2000.0
    first.spend(Amount(4))

    now = 5599.0
    with pytest.raises(BudgetExceeded, match="per 3600 s has 2 units left.*there is room in 1 s") as raised:
        reserve(budget, 6)
    assert 1.0 == raised.value.frees_in
    now = 5600.0
    assert (Amount(0, 0), Amount(4, 0)) == (budget.spent, budget.reserved)
    running.spend(Amount(4))
    reserve(budget, 6)


def test_late_bill_of_what_no_longer_counts_changes_nothing() -> None:
    """
    One that still counts is corrected.
    """
    now = 0.0
    budget = Budget(units=10, per=10, clock=lambda: now)
    first, second = reserve(budget, 4), reserve(budget, 4)
    first.spend(Amount(4))
    now = 9.0
    second.spend(Amount(4))
    now = 11.0

    assert Amount(4, 0) == budget.spent
    first.spend(Amount(1))
    second.spend(Amount(3))
    assert Amount(3, 0) == budget.spent


def test_refusal_of_more_than_the_whole_names_no_time() -> None:
    """
    It never fits.
    """
    budget = Budget(units=10, per=60)

    with pytest.raises(BudgetExceeded, match="use a larger budget") as raised:
        reserve(budget, 11)
    assert raised.value.frees_in is None


def test_unknown_price_is_refused() -> None:
    """
    Unless the budget says what to count, or does not limit it.
    """
    with pytest.raises(BudgetExceeded, match="what this video effect costs is not known.*unknown=Amount") as raised:
        price(Budget(units=100), EFFECT)

    assert raised.value.price is None
    assert Amount(3) == price(Budget(units=100, unknown=Amount(3)), EFFECT)
    with pytest.raises(BudgetExceeded):
        price(Budget(units=100, cost=1, unknown=Amount(3)), EFFECT)


def test_price_of_the_user_counts_before_the_list() -> None:
    """
    For what it does not know, the list counts, then the amount for unknown prices.
    """
    prices = {EFFECT: Amount(7), ImageRequest("a fox"): None}
    budget = Budget(units=100, cost=9, price=prices.get, unknown=Amount(1, "0.5"))

    assert Amount(7, "0.5") == price(budget, EFFECT)
    assert Amount(8, "0.028") == price(budget, ImageRequest("a fox"))


def test_price_that_is_no_amount_is_named() -> None:
    """
    Before anything is sent.
    """
    with pytest.raises(InvalidRequest, match="price=<int>: must return an Amount, or None"):
        price(Budget(units=100, price=lambda _: 8), ImageRequest("a fox"))  # type: ignore[arg-type,return-value]


def test_hopeless_request_is_known_before_its_turn() -> None:
    """
    One that may fit when tasks end is not.
    """
    budget = Budget(units=10)
    running = reserve(budget, 8)

    budget.book.check(Amount(8))
    running.spend(Amount(8))
    with pytest.raises(BudgetExceeded):
        budget.book.check(Amount(8))


def test_renewed_share_replaces_the_old_one() -> None:
    """
    Reservations of the old one count no more, whatever becomes of them; others stay.
    """
    budget = Budget(units=100)
    other = reserve(budget, 1)
    share = budget.book.share("a journal")
    old = share.reserve(Amount(8))
    share.reserve(Amount(4)).spend(Amount(4))

    assert share is budget.book.share("a journal")
    renewed = budget.book.renew("a journal", [(0.0, Amount(5)), (1.0, Amount(6))])
    old.spend(Amount(8))
    assert (Amount(11, 0), Amount(1, 0)) == (budget.spent, budget.reserved)
    assert renewed is budget.book.share("a journal")
    other.release()


def test_representation_is_for_people() -> None:
    """
    It shows the limits and what counts.
    """
    budget = Budget(units=10, per=60)
    reserve(budget, 8)

    assert "<Budget of 10 units per 60 s: 0 units spent, 8 units reserved>" == repr(budget)


def test_threads_cannot_pass_the_limit_together() -> None:
    """
    Each reserves as much as it can.
    """
    budget, begin, got = Budget(units=500), threading.Barrier(4), []

    def take() -> None:
        begin.wait()
        for _ in range(500):
            try:
                got.append(reserve(budget, 1))
            except BudgetExceeded:
                return

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 500 == len(got)
    assert (Amount(500, 0), Amount(0)) == (budget.reserved, budget.left)


AMOUNTS = st.decimals("0", "40", places=2)


class AnyUse(RuleBasedStateMachine):
    """
    A budget in any use: it is never passed, and what ends is left again.
    """

    running = Bundle("running")
    ended = Bundle("ended")

    def __init__(self) -> None:
        super().__init__()
        self.budget = Budget(units=100)
        self.reserved: dict[Reservation, Decimal] = {}
        self.spent: dict[Reservation, Decimal] = {}

    @rule(target=running, units=AMOUNTS)
    def reserve(self, units: Decimal) -> Any:
        left = self.budget.left.units
        try:
            made = self.budget.book.share().reserve(Amount(units))
        except BudgetExceeded:
            assert left is not None
            assert units > left
            return hypothesis.stateful.multiple()
        self.reserved[made] = units
        return made

    @rule(target=ended, reservation=consumes(running), share=st.fractions(0, 1))
    def spend(self, reservation: Reservation, share: Any) -> Reservation:
        self.spent[reservation] = self.reserved.pop(reservation) * share.numerator / share.denominator
        reservation.spend(Amount(self.spent[reservation]))
        return reservation

    @rule(reservation=consumes(running))
    def release(self, reservation: Reservation) -> None:
        del self.reserved[reservation]
        reservation.release()

    @rule(reservation=running)
    def keep(self, reservation: Reservation) -> None:
        reservation.keep()

    @rule(reservation=ended, again=st.sampled_from(["release", "keep", "smaller bill"]))
    def end_again(self, reservation: Reservation, again: str) -> None:
        if again == "smaller bill":
            self.spent[reservation] /= 2
            reservation.spend(Amount(self.spent[reservation]))
        else:
            getattr(reservation, again)()

    @invariant()
    def is_never_passed(self) -> None:
        spent, reserved = sum(self.spent.values(), Decimal(0)), sum(self.reserved.values(), Decimal(0))
        assert pytest.approx(spent, abs=Decimal("1e-20")) == self.budget.spent.units
        assert reserved == self.budget.reserved.units
        assert spent + reserved <= 100
        assert pytest.approx(100 - spent - reserved, abs=Decimal("1e-20")) == self.budget.left.units


TestAnyUse = AnyUse.TestCase
TestAnyUse.settings = hypothesis.settings(max_examples=40, stateful_step_count=30, deadline=None)


def test_limit_can_be_extended_and_reduced_again() -> None:
    """
    By what somebody agrees to spend. What is not limited stays so.
    """
    budget = Budget(units=5)
    price = Amount(8, Decimal("0.028"))

    with pytest.raises(BudgetExceeded):
        budget.book.share().reserve(price)
    budget.book.extend(price)
    reservation = budget.book.share().reserve(price)

    assert (Amount(13), Amount(5)) == (budget.limit, budget.left)
    reservation.release()
    budget.book.reduce(price)
    assert (Amount(5), Amount(5)) == (budget.limit, budget.left)


def charge(budget: Budget) -> Charge:
    made = Charge(Spending(OFFICIAL, budget), IMAGE_GENERATION)
    made.reserve(ImageRequest("a fox"), lambda: None)
    return made


DONE = TaskSnapshot(task_id="t", task_status=TaskStatus.SUCCEEDED, final_unit_deduction=Decimal(8))


def test_task_that_is_picked_up_and_not_watched_to_its_end_keeps_nobody_waiting() -> None:
    """
    What is reserved for it can be picked up again, and is settled once.
    """
    budget = Budget(units=20)
    charge(budget).keep("t")
    first = Spending(OFFICIAL, budget).pick_up("t", IMAGE_GENERATION)
    assert first is not None
    del first
    assert not budget.book.may_free
    assert Amount(8) == Amount(budget.reserved.units)

    second, third = (Spending(OFFICIAL, budget).pick_up("t", IMAGE_GENERATION) for _ in range(2))
    assert second is not None
    assert third is not None
    second.settle(DONE)
    third.settle(DONE)
    fourth = Spending(OFFICIAL, budget).pick_up("t", IMAGE_GENERATION)
    assert fourth is not None
    fourth.settle(DONE)
    assert [8, 0, 12] == [budget.spent.units, budget.reserved.units, budget.left.units]


def test_ended_tasks_are_forgotten_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The oldest first, by the budget and by the client.
    """
    monkeypatch.setattr(reservations, "REMEMBERED", 2)
    monkeypatch.setattr(spending, "REMEMBERED", 2)
    client = Spending(OFFICIAL, Budget(units=100))
    for task_id in ("1", "2", "3"):
        ending = Charge(client, IMAGE_GENERATION)
        ending.reserve(ImageRequest("a fox", model_name="kling-v3"), lambda: None)
        ending.settle(attrs.evolve(DONE, task_id=task_id))

    other = Spending(OFFICIAL, client.budget)
    assert [False, True, True] == [client.pick_up(one, IMAGE_GENERATION) is not None for one in "123"]
    assert [False, True, True] == [other.pick_up(one, IMAGE_GENERATION) is not None for one in "123"]


def test_charge_that_takes_over_an_ended_one_is_settled_too() -> None:
    """
    A run of a journal takes up a task whose end the client has seen: what the run reserved for it does not stay so.
    """
    of_client, of_batch = Budget(units=20), Budget(units=20)
    earlier = charge(of_client)
    earlier.settle(DONE)
    later = charge(of_client)
    later.reservations += (of_batch.book.share("a-journal").reserve(Amount(8)),)
    later.take_over(earlier)
    later.settle(DONE)

    assert [8, 0] == [of_client.spent.units, of_client.reserved.units]
    assert [8, 0, False] == [of_batch.spent.units, of_batch.reserved.units, of_batch.book.may_free]


def test_charge_that_takes_over_one_that_was_left_is_waited_for() -> None:
    """
    Its task is watched again.
    """
    budget = Budget(units=20)
    earlier = charge(budget)
    earlier.keep("t")
    assert not budget.book.may_free
    later = charge(budget)
    later.take_over(earlier)

    assert budget.book.may_free
    assert 8 == budget.reserved.units
    later.settle(DONE)
    assert [8, 0, False] == [budget.spent.units, budget.reserved.units, budget.book.may_free]
