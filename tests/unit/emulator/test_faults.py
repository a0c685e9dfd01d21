"""
Rules of trouble: which requests they strike, and how they are written.
"""

from typing import get_args

import pytest
from hypothesis import given, strategies as st

from kling_async.emulator import Fault, FaultPlan, faults, parse_fault
from kling_async.emulator.fault_rule import Kind, Where
from kling_async.emulator.ledger import Route

ROUTES: tuple[Route, ...] = get_args(Route)

KINDS = sorted(get_args(Kind))


def struck(plan: FaultPlan, route: Route, requests: int, prompt: str = "") -> list[int]:
    return [place for place in range(requests) if plan.next_faults(route, prompt)]


def test_rule_spares_the_first_and_stops_in_time() -> None:
    """
    A rule lets `after` requests pass, then applies `times` times.
    """
    plan = FaultPlan([faults.reset_before("query", after=2, times=3)], seed=0)

    assert [] == struck(plan, "create", 5)
    assert [2, 3, 4] == struck(plan, "query", 9)


@pytest.mark.parametrize(
    ("where", "routes"),
    [
        ("create", ["create"]),
        ("query", ["query"]),
        ("list", ["list", "tasks"]),
        ("tasks", ["tasks"]),
        ("download", ["download"]),
        ("any", list(ROUTES)),
    ],
)
def test_rule_applies_to_its_routes(where: Where, routes: list[str]) -> None:
    """
    Each word for a place covers its routes: "list" covers both ways of asking for many tasks.
    """
    plan = FaultPlan([faults.bare_429(where)], seed=0)

    assert routes == [route for route in ROUTES if plan.next_faults(route)]


def test_rule_may_pick_prompts() -> None:
    """
    A rule with a prompt matches only creates whose prompt contains it.
    """
    plan = FaultPlan([faults.reset_before("any", prompt="storm", times=1)], seed=0)

    assert [] == plan.next_faults("create", "a calm sea")
    assert [] == plan.next_faults("query", "a storm")
    assert 1 == len(plan.next_faults("create", "a storm at sea"))


def test_callbacks_are_no_requests() -> None:
    """
    Rules for callbacks apply only to those, and rules for any request do not apply to callbacks.
    """
    plan = FaultPlan([faults.reset_before("any"), faults.callback_lost(prompt="storm", times=1)], seed=0)

    assert [] == plan.next_faults("callback", "a calm sea")
    assert ["callback_lost"] == [fault.kind for fault in plan.next_faults("callback", "a storm")]
    assert ["reset_before"] == [fault.kind for fault in plan.next_faults("create", "a storm")]


def test_callback_has_one_shape() -> None:
    """
    A callback is enveloped or new-standard, not both.
    """
    rules = [faults.callback_enveloped(), faults.callback_new_standard(), faults.callback_doubled()]

    assert [rules[0], rules[2]] == FaultPlan(rules, seed=0).next_faults("callback")


@given(st.integers(0, 2**32), st.floats(0, 1))
def test_luck_follows_from_the_seed(seed: int, rate: float) -> None:
    """
    Equal seeds strike the same requests, at about the rate that was asked for.
    """
    rules = [faults.reset_after("create", rate=rate)]
    hits = struck(FaultPlan(rules, seed), "create", 400)

    assert hits == struck(FaultPlan(rules, seed), "create", 400)
    assert abs(len(hits) - 400 * rate) < 70


def test_two_rules_have_luck_of_their_own() -> None:
    """
    Rules of equal rate do not strike the same requests.
    """
    first = FaultPlan([faults.failing_task(rate=0.5)], seed=0)
    second = FaultPlan([faults.failing_task(times=0), faults.failing_task(rate=0.5)], seed=0)

    assert struck(first, "create", 50) != struck(second, "create", 50)


def test_first_rule_takes_the_answer() -> None:
    """
    Of two rules that take the answer's place the first wins, and the other one keeps its turn.
    """
    plan = FaultPlan([faults.bare_429("create", times=1), faults.html("create", times=1)], seed=0)

    assert [["bare_429"], ["html"], []] == [[fault.kind for fault in plan.next_faults("create")] for _ in range(3)]


def test_one_shape_at_a_time() -> None:
    """
    An answer is re-shaped once at most; what spoils it comes on top.
    """
    rules = [faults.crazy_shape(), faults.new_api_shape(), faults.seconds_for_times(), faults.reset_after("any")]

    assert [rules[0], rules[3]] == FaultPlan(rules, seed=0).next_faults("query")


def test_delays_fates_and_answers_go_together() -> None:
    """
    Kinds that do not exclude each other strike together.
    """
    rules = [faults.delay_before("create"), faults.stuck_task(), faults.reset_after("create"), faults.delay_after()]

    assert rules == FaultPlan(rules, seed=0).next_faults("create")


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_its_function(kind: str) -> None:
    """
    Each kind is made by the function of its name, and its name alone is a rule as text.
    """
    assert kind == getattr(faults, kind)().kind
    assert getattr(faults, kind)() == parse_fault(kind)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("create:reset_after:rate=0.3", faults.reset_after("create", rate=0.3)),
        ("reset_after:rate=0.3", faults.reset_after("create", rate=0.3)),
        ("query:status:status=503:times=2:after=1", faults.status("query", 503, times=2, after=1)),
        ("any:bare_429:retry_after=7", faults.bare_429(retry_after="7")),
        ("create:delay_before:seconds=2.5", faults.delay_before("create", 2.5)),
        ("failing_task:prompt=storm:message=too wet", faults.failing_task("too wet", prompt="storm")),
        ("unknown_status:message=dreaming", faults.unknown_status("dreaming")),
        ("success_word:message=finished", faults.success_word("finished")),
        ("fewer_files:count=2", faults.fewer_files(2)),
        ("download:expired_url:times=1", faults.expired_url(times=1)),
        ("download:truncated:share=0.6:times=1", faults.truncated("download", 0.6, times=1)),
        ("other_version:after=1", faults.other_version(after=1)),
        ("callback:callback_delayed:seconds=2.5", faults.callback_delayed(2.5)),
        ("callback_lost:rate=0.5:prompt=storm", faults.callback_lost(rate=0.5, prompt="storm")),
    ],
)
def test_rules_can_be_written_as_text(text: str, fault: Fault) -> None:
    """
    What a function makes can be said on a command line.
    """
    assert fault == parse_fault(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "write where:kind"),
        ("create", "write where:kind"),
        ("create:explosion", "kind of bare_429"),
        ("nowhere:reset_after", "write where:kind"),
        ("reset_after:rate=often", "could not convert"),
        ("reset_after:rate=2", "<= 1"),
        ("reset_after:loudly", "'loudly' should be name=value"),
        ("reset_after:volume=11", "rate, times"),
        ("query:stuck_task", "where='create'"),
        ("create:expired_url", "where='download'"),
        ("any:callback_lost", "where='callback'"),
        ("callback:reset_after", "callback_delayed, callback_doubled"),
    ],
)
def test_text_that_is_no_rule_is_refused_in_words(text: str, reason: str) -> None:
    """
    A slip in a rule is a ValueError that says what would be right.
    """
    with pytest.raises(ValueError, match=reason) as caught:
        parse_fault(text)

    assert repr(text) in str(caught.value)


def test_all_names_are_listed() -> None:
    """
    `__all__` is sorted, and names every kind's function.
    """
    assert sorted(faults.__all__) == faults.__all__
    assert {"parse_fault", *KINDS} == set(faults.__all__)
