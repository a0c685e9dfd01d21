"""
How long to wait and whether to send again.
"""

import asyncio
import inspect
import math
import warnings
from typing import Any

import attrs
import pytest
from hypothesis import given, strategies as st

from kling_async.client.retries import Step, may_exist, may_repeat, next_step, retry
from kling_async.errors import (
    AccountProblem,
    BudgetExceeded,
    ClientClosed,
    ContentRefused,
    DownloadFailed,
    ExecutorLost,
    InvalidRequest,
    JournalCorrupt,
    JournalLocked,
    JournalMismatch,
    KlingError,
    NoFreeSlot,
    NotAllowed,
    NotAuthenticated,
    NotSent,
    ProcessFailed,
    RateLimited,
    ServiceFailure,
    StorageFull,
    SubmissionUncertain,
    TaskFailed,
    TaskNotFound,
    UnexpectedAnswer,
    Unreachable,
    WaitTimeout,
)
from kling_async.policy.policies import PollPolicy, RetryPolicy
from tests.fakes.simulated_loop import simulated

SURELY_NOT_SENT = (Step.RESEND, Step.RESEND, False, True)
MAY_EXIST = (Step.LOOK_UP, Step.GIVE_UP, True, True)
SURELY_REFUSED = (Step.GIVE_UP, Step.GIVE_UP, False, False)

TABLE = [
    (NotSent("?"), SURELY_NOT_SENT),
    (NotSent("?", gives_up_in=3.0), SURELY_NOT_SENT),
    (NotSent("?", gives_up_in=0.0), SURELY_REFUSED),
    (RateLimited("?"), SURELY_NOT_SENT),
    (NoFreeSlot("?"), SURELY_NOT_SENT),
    (Unreachable("?"), MAY_EXIST),
    (ServiceFailure("?"), MAY_EXIST),
    (ServiceFailure("?", http_status=408), MAY_EXIST),
    (ServiceFailure("?", code=5002, http_status=504), MAY_EXIST),
    (ServiceFailure("?", http_status=501), SURELY_REFUSED),
    (UnexpectedAnswer("?"), MAY_EXIST),
    (UnexpectedAnswer("?", http_status=200), MAY_EXIST),
    (UnexpectedAnswer("?", http_status=301), SURELY_REFUSED),
    (UnexpectedAnswer("?", http_status=404), SURELY_REFUSED),
    (KlingError("?"), SURELY_REFUSED),
    (InvalidRequest("?"), SURELY_REFUSED),
    (NotAuthenticated("?"), SURELY_REFUSED),
    (NotAllowed("?"), SURELY_REFUSED),
    (AccountProblem("?"), SURELY_REFUSED),
    (BudgetExceeded("?"), SURELY_REFUSED),
    (ContentRefused("?"), SURELY_REFUSED),
    (TaskNotFound("?"), SURELY_REFUSED),
    (SubmissionUncertain("?"), SURELY_REFUSED),
    (TaskFailed("?"), SURELY_REFUSED),
    (WaitTimeout("?"), SURELY_REFUSED),
    (DownloadFailed("?"), SURELY_REFUSED),
    (ProcessFailed("?"), SURELY_REFUSED),
    (ExecutorLost("?"), SURELY_REFUSED),
    (ClientClosed("?"), SURELY_REFUSED),
    (JournalLocked("?"), SURELY_REFUSED),
    (JournalMismatch("?"), SURELY_REFUSED),
    (JournalCorrupt("?"), SURELY_REFUSED),
    (StorageFull("?"), SURELY_REFUSED),
]
"""
Each error, and what it means for a submit with an id of ours, for one without, for the money, and for a read.
"""

NO_SECONDS = [0, 0.0, -1.0, math.nan, math.inf, -math.inf, True, "1", None]

SECONDS = [
    (policy, field.name)
    for policy in (RetryPolicy, PollPolicy)
    for field in attrs.fields(policy)
    if field.name not in ("growth", "width", "early", "dense", "max_rate")
]


@pytest.mark.parametrize(("error", "decided"), TABLE)
def test_decisions(error: KlingError, decided: tuple[Step, Step, bool, bool]) -> None:
    """
    What follows each error: the whole table.
    """
    steps = next_step(error, can_look_up=True), next_step(error, can_look_up=False)

    assert decided == (*steps, may_exist(error), may_repeat(error))


def test_table_is_whole() -> None:
    """
    No class of error is without a decision.
    """

    def below(kind: type[KlingError]) -> set[type[KlingError]]:
        return {kind}.union(*map(below, kind.__subclasses__()))

    ours = {kind for kind in below(KlingError) if kind.__module__ == KlingError.__module__}

    assert ours == {type(error) for error, _ in TABLE}


@pytest.mark.parametrize("can_look_up", [True, False])
@pytest.mark.parametrize("error", [error for error, _ in TABLE])
def test_nothing_is_paid_twice(error: KlingError, *, can_look_up: bool) -> None:
    """
    What may exist is never just sent again.
    """
    assert not may_exist(error) or next_step(error, can_look_up=can_look_up) is not Step.RESEND


def test_delays_double_up_to_a_limit() -> None:
    """
    Each delay is scattered between half and the whole of twice the one before.
    """
    delays = RetryPolicy(first_delay=1, max_delay=5).delays()
    next(delays)

    for whole in (1, 2, 4, 5, 5):
        assert whole / 2 <= delays.send(None) <= whole


@given(st.floats(0.001, 100), st.floats(0.001, 100))
def test_delays_stay_in_bounds(first: float, highest: float) -> None:
    """
    No policy makes a busy loop or an endless pause.
    """
    delays = RetryPolicy(first_delay=first, max_delay=highest).delays()
    next(delays)

    taken = [delays.send(None) for _ in range(50)]

    assert min(first, highest) / 2 <= min(taken)
    assert max(taken) <= max(first, highest)


@pytest.mark.parametrize("kind", [RateLimited, NoFreeSlot, ServiceFailure])
def test_retry_after_is_honoured(kind: type[RateLimited | ServiceFailure]) -> None:
    """
    The service's hint is waited for where it is longer than our own delay; an error without one changes nothing.
    """
    delays = RetryPolicy().delays()
    next(delays)

    assert 40.0 == delays.send(kind("?", retry_after=40.0))
    assert delays.send(kind("?", retry_after=0.1)) >= 1.0
    assert delays.send(kind("?")) <= 4.0
    assert delays.send(NotSent("?")) <= 8.0


@pytest.mark.parametrize(
    ("error", "too_long"),
    [
        (RateLimited("?", retry_after=120.0), False),
        (RateLimited("?", retry_after=121.0), True),
        (ServiceFailure("?", retry_after=31_536_000.0), True),
        (RateLimited("?"), False),
        (NotSent("?"), False),
    ],
)
def test_pause_that_is_too_long(error: KlingError, *, too_long: bool) -> None:
    """
    Above two minutes the caller is told instead of kept.
    """
    assert too_long is RetryPolicy().is_too_long(error)


@pytest.mark.parametrize(("misses", "seconds"), [(1, 0.25), (2, 0.3), (3, 0.36), (30, 5.0), (10_000, 5.0)])
def test_looks_after_a_miss(misses: int, seconds: float) -> None:
    """
    A look that broke is made up for soon; many in a row are not.
    """
    assert seconds == pytest.approx(PollPolicy(miss_delay=0.25, max_delay=5).after_misses(misses))


@pytest.mark.parametrize("wrong", NO_SECONDS)
@pytest.mark.parametrize(("policy", "field"), SECONDS)
def test_seconds_are_checked(policy: Any, field: str, wrong: object) -> None:
    """
    Every number of seconds is finite and above 0, and the refusal names it.
    """
    with pytest.raises(ValueError, match=f"{field}="):
        policy(**{field: wrong})


@pytest.mark.parametrize(("policy", "field"), SECONDS)
def test_seconds_may_be_whole(policy: Any, field: str) -> None:
    """
    A whole number is a number of seconds.
    """
    assert 7 == getattr(policy(**{field: 7}), field)


@pytest.mark.parametrize("wrong", NO_SECONDS)
def test_shares_and_rates_are_checked(wrong: Any) -> None:
    """
    A share is above 0 and up to 1, a rate above 0, and neither is NaN, infinite or no number.
    """
    for field in ("early", "dense", *(() if wrong is None else ("max_rate",))):
        with pytest.raises(ValueError, match=f"{field}="):
            PollPolicy(**{field: wrong})
    with pytest.raises(ValueError, match="early="):
        PollPolicy(early=1.1)


@pytest.mark.parametrize("wrong", [0.99, 0, -2.0, math.nan, math.inf, True, "2", None])
def test_growth_is_checked(wrong: Any) -> None:
    """
    Delays may stay equal, but not shrink.
    """
    with pytest.raises(ValueError, match="growth="):
        PollPolicy(growth=wrong)


@pytest.mark.parametrize("wrong", [0, -1, 1.0, math.nan, math.inf, True, "2", None])
def test_width_is_checked(wrong: Any) -> None:
    """
    At least one look at a time.
    """
    with pytest.raises(ValueError, match="width="):
        PollPolicy(width=wrong)


@pytest.mark.parametrize("policy", [RetryPolicy, PollPolicy])
def test_policies_are_values(policy: Any) -> None:
    """
    Policies are frozen, and equal by what they say; `attrs.evolve` checks anew.
    """
    assert policy() == policy()

    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        policy().first_delay = 2.0

    with pytest.raises(ValueError, match="first_delay="):
        attrs.evolve(policy(), first_delay=math.nan)


@simulated
async def test_warning_ends_no_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where warnings are errors, as here, a call of backoff that Python 3.14 deprecates would end a submit in its middle.
    """

    def deprecated(target: object) -> bool:
        warnings.warn("it is deprecated", DeprecationWarning, stacklevel=2)
        return inspect.iscoroutinefunction(target)

    async def fail() -> str:
        raise Unreachable("it broke")

    async def succeed() -> str:
        return "found"

    monkeypatch.setattr(asyncio, "iscoroutinefunction", deprecated)

    assert "found" == await retry(fail, succeed, RetryPolicy(), lambda _: False)
