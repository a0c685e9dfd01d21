"""
Amounts, prices, and what a bill counts.
"""

from decimal import Decimal
from typing import Any

import attrs
import pytest

from kling_async import GATEWAY, OFFICIAL, Amount, ImageRequest, OmniImage, VideoEffect
from kling_async.errors import InvalidRequest
from kling_async.policy.spending import amount_of_call, amount_of_task, counted
from kling_async.wire import Endpoint, endpoint_of
from kling_async.wire.calls.speech import SPEECH
from kling_async.wire.tasks import BalanceDeduction, TaskSnapshot, TaskStatus

RESERVED = Amount(8, "0.028")
PICTURE_UNIT = Decimal("0.0035")


@pytest.mark.parametrize("value", [8, "8", 8.0, Decimal(8)])
def test_amount_takes_every_kind_of_number(value: Any) -> None:
    """
    And is exact: 0.1 means one tenth.
    """
    assert Amount(8) == Amount(value)
    assert Decimal("0.3") == Amount(0.1).plus(Amount("0.2")).units


@pytest.mark.parametrize("value", [-1, "much", float("nan"), float("inf"), True, b"8", 10**15, [8]])
def test_amount_refuses_what_is_no_sum(value: Any) -> None:
    """
    The error names the field and its value.
    """
    with pytest.raises(InvalidRequest, match=r"cost=.*must be a number of 0 or more"):
        Amount(1, value)


def test_amount_reads_well() -> None:
    """
    In messages.
    """
    assert ["1 unit", "2,500 units or $8.75", "$0.1", "an unknown amount"] == [
        str(amount) for amount in (Amount("1.0"), Amount(2500, "8.750"), Amount(None, 0.1), Amount())
    ]


def test_difference_is_never_negative() -> None:
    """
    And what is unknown counts nothing.
    """
    assert Amount(0, 3) == Amount(2, 3).minus(Amount(5))


def endpoint(request: Any) -> Endpoint[Any]:
    return endpoint_of(type(request))


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (ImageRequest("a fox", n=3, model_name="kling-v3"), Amount(24, "0.084")),
        (OmniImage("a tree", result_type="series", series_amount="auto"), Amount(72, "0.252")),
    ],
)
def test_price_of_a_task_is_the_most_that_it_may_cost(request_: Any, expected: Amount) -> None:
    """
    A series whose number the service decides costs as much as the longest.
    """
    assert expected == amount_of_task(endpoint(request_), request_, OFFICIAL)


def test_unknown_price_is_no_amount() -> None:
    """
    Neither in units nor in dollars.
    """
    effect = VideoEffect("hug", image="https://x.example/a.png")

    assert Amount() == amount_of_task(endpoint(effect), effect, OFFICIAL)


def test_price_in_dollars_needs_that_of_a_unit() -> None:
    """
    Except for what costs nothing.
    """
    pictures = attrs.evolve(endpoint(ImageRequest("a fox")), unit_price=None)
    free = attrs.evolve(pictures, units=lambda *_: Decimal(0))

    assert [None, Decimal(0)] == [
        amount_of_task(each, ImageRequest("a fox"), GATEWAY).cost for each in (pictures, free)
    ]


def test_calls_have_prices_too() -> None:
    """
    They take units for videos.
    """
    assert Amount("0.05", "0.007") == amount_of_call(SPEECH)


@pytest.mark.parametrize(
    ("units", "cash", "has_succeeded", "expected"),
    [
        (None, None, True, RESERVED),
        (None, None, False, Amount(0, 0)),
        (0, None, False, Amount(0, 0)),
        (0, None, True, Amount(0, 0)),
        (4, None, True, Amount(4, "0.014")),
        (4, None, False, Amount(4, "0.014")),
        (16, None, True, Amount(16, "0.056")),
        (4, BalanceDeduction(Decimal(0)), True, Amount(4, "0.014")),
        (None, BalanceDeduction(Decimal("0.02"), currency="USD"), True, Amount(8, "0.02")),
        (None, BalanceDeduction(Decimal("0.02")), True, Amount(8, "0.02")),
        (None, BalanceDeduction(Decimal("0.2"), currency="CNY"), True, RESERVED),
        (4, BalanceDeduction(Decimal("0.01"), currency="USD"), True, Amount(8, "0.024")),
    ],
)
def test_bill_counts_in_units_and_dollars(
    units: int | None, cash: BalanceDeduction | None, has_succeeded: Any, expected: Amount
) -> None:
    """
    However the account pays: units at their list price, and cash as the units that were reserved.
    """
    snapshot = TaskSnapshot(
        task_id="t-1",
        task_status=TaskStatus.SUCCEEDED if has_succeeded else TaskStatus.FAILED,
        final_unit_deduction=None if units is None else Decimal(units),
        final_balance_deduction=cash,
    )

    assert expected == counted(snapshot, RESERVED, PICTURE_UNIT)


def test_bill_of_an_unknown_price_counts_what_is_known() -> None:
    """
    Dollars stay unknown if the price of a unit is.
    """
    snapshot = TaskSnapshot(task_id="t-1", task_status=TaskStatus.SUCCEEDED, final_unit_deduction=Decimal(4))

    assert Amount(4) == counted(snapshot, Amount(), None)
