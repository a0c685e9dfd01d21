"""
Spending: a client's budget is never passed and never stuck below its limit, whatever happens to its tasks.
"""

import asyncio
import contextlib
import gc
import random
from decimal import Decimal
from typing import Any

import attrs
import hypothesis
import pytest
from hypothesis import strategies as st

from kling_async import (
    OFFICIAL,
    Amount,
    Budget,
    Done,
    EventKind,
    Failed,
    ImageRequest,
    KlingClient,
    OmniImage,
    Spent,
    TaskEvent,
    TaskResult,
    VideoEffect,
)
from kling_async.client.delivery import SubmitObserver
from kling_async.emulator import faults
from kling_async.errors import (
    BudgetExceeded,
    ClientClosed,
    ContentRefused,
    InvalidRequest,
    RateLimited,
    SubmissionUncertain,
    TaskFailed,
    WaitTimeout,
)
from kling_async.wire.tasks import Image, TaskOutput, TaskSnapshot, TaskStatus
from tests.fakes.clients import client_of, emulator
from tests.fakes.simulated_loop import simulate, simulated
from tests.fakes.socketless_service import SocketlessService

PRICES = {"kling-v1": 1, "kling-v2": 4, "kling-v3": 8}
MODELS = sorted(PRICES)

WITHOUT_IDS = attrs.evolve(OFFICIAL, external_ids=False)
"""
A service where the task of a lost answer cannot be found.
"""


def picture(model: str = "kling-v3", n: int = 1, prompt: str = "a fox") -> ImageRequest:
    return ImageRequest(prompt, model_name=model, n=n)


@simulated
async def test_request_that_does_not_fit_is_not_sent() -> None:
    """
    Even while what is reserved is not spent; the refusal says what is spent, reserved and left.
    """
    service, budget = SocketlessService(), Budget(units=20)
    async with service.client(budget=budget) as client:
        await client.generate(picture("kling-v2"))
        await client.submit(picture())
        with pytest.raises(BudgetExceeded) as raised:
            await client.submit(picture(n=2))

    error = raised.value
    assert (Amount(16, "0.056"), Amount(4, "0.014"), Amount(8, "0.028"), Amount(8)) == (
        error.price,
        error.spent,
        error.reserved,
        error.left,
    )
    assert 2 == len(service.ledger.tasks)


@simulated
async def test_tasks_are_settled_by_their_bill() -> None:
    """
    A series reserves as much as the longest, and what it does not cost is left again.
    """
    service, budget = SocketlessService(), Budget(units=72)
    async with service.client(budget=budget) as client:
        handle = await client.submit(OmniImage("a tree", result_type="series", series_amount="auto"))
        assert (Amount(72, "0.252"), Amount(0)) == (budget.reserved, budget.left)
        result = await handle.wait()

        billed = Decimal(8 * len(result.images))
        assert (billed, Amount(0, 0)) == (budget.spent.units, budget.reserved)
        assert Spent(billed) == client.spent
    assert [billed] == [task.units for task in service.ledger.tasks]


@simulated
async def test_failed_task_costs_nothing() -> None:
    """
    What was reserved for it is left again.
    """
    service, budget = SocketlessService(faults.failing_task()), Budget(units=8)
    async with service.client(budget=budget) as client:
        for _ in range(3):
            with pytest.raises(TaskFailed):
                await client.generate(picture())

        assert (Amount(0, 0), Amount(8), Spent()) == (budget.spent, budget.left, client.spent)


@simulated
async def test_task_that_is_paid_in_cash_counts_dollars_and_the_units_that_it_would_take() -> None:
    """
    So that either limit holds.
    """
    service, budget = SocketlessService(paid_in="cash"), Budget(units=20, cost="0.06")
    async with service.client(budget=budget) as client:
        await client.generate(picture())
        assert Spent(cash=Decimal("0.028")) == client.spent
        await client.generate(picture())

        assert Amount(16, "0.056") == budget.spent
        with pytest.raises(BudgetExceeded):
            await client.submit(picture("kling-v2"))


@simulated
async def test_dollars_are_limited_by_the_price_list() -> None:
    """
    For services that take units.
    """
    budget = Budget(cost="0.03")
    async with SocketlessService().client(budget=budget) as client:
        await client.generate(picture())
        with pytest.raises(BudgetExceeded, match=r"\$0.002 left"):
            await client.submit(picture("kling-v1"))


@simulated
async def test_unknown_price_is_refused_unless_the_budget_has_one() -> None:
    """
    Nothing is sent.
    """
    effect = VideoEffect("hug", image="https://x.example/a.png")
    service = SocketlessService()
    async with service.client(budget=Budget(units=20)) as client:
        with pytest.raises(BudgetExceeded, match="not known"):
            await client.submit(effect)
    assert not service.ledger.tasks

    service, budget = SocketlessService(), Budget(units=20, unknown=Amount(15))
    async with service.client(budget=budget) as client:
        await client.generate(effect)
    assert 1 == len(service.ledger.tasks)


@simulated
async def test_waiting_for_slots_reserves_nothing() -> None:
    """
    So that a queue is not refused for what tasks before it may cost at most.
    """
    series = OmniImage("a tree", result_type="series", series_amount="auto")
    service, budget = SocketlessService(slots=9), Budget(units=72 + 3 * 71)
    async with service.client(slots=9, budget=budget) as client:
        results = await asyncio.gather(*(client.generate(series) for _ in range(4)))

    assert sum(8 * len(result.images) for result in results) == budget.spent.units
    assert 4 == len(service.ledger.tasks)


@simulated
async def test_hopeless_request_does_not_wait_for_slots() -> None:
    """
    One that cannot fit even if nothing that is reserved is spent.
    """
    service, budget = SocketlessService(slots=1), Budget(units=11)
    async with service.client(slots=1, budget=budget) as client:
        await client.generate(picture("kling-v2"))
        running = await client.submit(picture("kling-v2"))
        may_fit = asyncio.create_task(client.submit(picture("kling-v2")))  # 4 spent, 4 reserved
        with pytest.raises(BudgetExceeded):
            await client.submit(picture("kling-v2"), image="https://x.example/a.png")  # costs 8

        assert not running.done
        with pytest.raises(BudgetExceeded):
            await may_fit
        assert running.done


@simulated
async def test_submit_that_is_cancelled_in_the_queue_reserves_nothing() -> None:
    """
    And one whose caller leaves after it was sent stays reserved until its task has ended.
    """
    service, budget = SocketlessService(slots=1), Budget(units=24)
    async with service.client(slots=1, budget=budget) as client:
        sent = asyncio.create_task(client.generate(picture()))
        waiting = asyncio.create_task(client.generate(picture()))
        await asyncio.sleep(1)
        waiting.cancel()
        sent.cancel()
        await asyncio.wait([sent, waiting])

        assert Amount(8, "0.028") == budget.reserved
        [handle] = client.unfinished
        await handle.wait()
        assert (Amount(8, "0.028"), Amount(0, 0)) == (budget.spent, budget.reserved)


@simulated
async def test_task_that_nobody_waits_for_stays_reserved() -> None:
    """
    Also when a wait has timed out, and when the client is closed.
    """
    service, budget = SocketlessService(), Budget(units=16)
    async with service.client(budget=budget) as client:
        with pytest.raises(WaitTimeout):
            await client.generate(picture(), timeout=1)
        assert Amount(8, "0.028") == budget.reserved
        await asyncio.sleep(60)
        assert (Amount(8, "0.028"), Amount(8)) == (budget.spent, budget.left)
        await client.submit(picture())
    assert (Amount(8, "0.028"), Amount(0), False) == (budget.reserved, budget.left, budget.book.may_free)


@simulated
async def test_task_that_another_client_picks_up_is_settled() -> None:
    """
    If it has the same budget; one without pays no attention to it.
    """
    service, budget = SocketlessService(), Budget(units=16)
    async with service.client(budget=budget) as client:
        first = await client.submit(picture())
        other = await client.submit(picture())
    async with service.client(budget=budget) as client, service.client() as stranger:
        await stranger.handle(other.task_id).wait()
        assert Amount(16, "0.056") == budget.reserved
        await client.handle(first.task_id).wait()

        assert (Amount(8, "0.028"), Amount(8, "0.028"), Spent()) == (budget.spent, budget.reserved, stranger.spent)
        assert Spent(Decimal(8)) == client.spent


@simulated
async def test_events_say_what_was_spent() -> None:
    """
    Each end of a task, with the sum so far; that of a task of another program does not.
    """
    events: list[TaskEvent] = []
    service = SocketlessService()
    async with service.client(on_event=events.append) as client:
        first = await client.generate(picture())
        await client.generate(picture("kling-v2"))
    async with service.client(on_event=events.append) as client:
        await client.handle(first.task_id).wait()

    ends = [event.spent for event in events if event.kind is EventKind.FINAL]
    assert [Spent(Decimal(8)), Spent(Decimal(12)), None] == ends
    assert {None} == {event.spent for event in events if event.kind is not EventKind.FINAL}


@simulated
async def test_request_that_created_no_task_is_not_charged() -> None:
    """
    What was reserved for it is left again: the service refuses it at once, or for as long as it is retried.
    """
    services = {
        ContentRefused: SocketlessService(refused_words=["fox"]),
        RateLimited: SocketlessService(faults.bare_429()),
    }
    for kind, service in services.items():
        budget = Budget(units=8)
        async with service.client(budget=budget) as client:
            with pytest.raises(kind):
                await client.submit(picture())
            assert (Amount(0, 0), Amount(8)) == (budget.reserved, budget.left)


@simulated
async def test_uncertain_submit_stays_reserved_and_says_so() -> None:
    """
    It may have been charged, so that what it may cost is not left.
    """
    service, budget = SocketlessService(faults.reset_after(times=1), dialect=WITHOUT_IDS), Budget(units=16)
    async with service.client(budget=budget) as client:
        with pytest.raises(SubmissionUncertain, match="what it may cost stays reserved in the budget"):
            await client.submit(picture())
        await client.generate(picture())

        assert (Amount(8, "0.028"), Amount(8, "0.028")) == (budget.spent, budget.reserved)
        with pytest.raises(BudgetExceeded, match="use a larger budget|some of what"):
            await client.submit(picture("kling-v1"))


@simulated
async def test_lost_answer_is_charged_once() -> None:
    """
    The task that is found by its id settles what was reserved.
    """
    service, budget = SocketlessService(faults.reset_after("create", times=1)), Budget(units=8)
    async with service.client(budget=budget) as client:
        await client.generate(picture())

        assert (Amount(8, "0.028"), Amount(0, 0), Spent(Decimal(8))) == (budget.spent, budget.reserved, client.spent)


@simulated
async def test_late_callback_of_an_uncertain_submit_settles_it() -> None:
    """
    Its bill replaces what was kept for it.
    """
    rules = (faults.reset_after("create", times=1), faults.callback_delayed(100.0))
    service, budget = SocketlessService(*rules, dialect=WITHOUT_IDS), Budget(units=16)
    service.listening()
    async with service.client(budget=budget) as client:
        with pytest.raises(SubmissionUncertain):
            await client.submit(picture())
        assert Amount(8, "0.028") == budget.reserved
        await asyncio.sleep(200)

        assert (Amount(8, "0.028"), Amount(0, 0)) == (budget.spent, budget.reserved)


@simulated
async def test_clients_share_a_budget() -> None:
    """
    What one spends is not left for the other; each knows what it spent itself.
    """
    service, budget = SocketlessService(), Budget(units=16)
    async with service.client(budget=budget) as one, service.client(budget=budget) as other:
        await asyncio.gather(one.generate(picture()), other.generate(picture()))
        with pytest.raises(BudgetExceeded):
            await one.generate(picture("kling-v1"))

    assert (Spent(Decimal(8)), Spent(Decimal(8))) == (one.spent, other.spent)


@simulated
async def test_budget_for_a_time_has_room_again() -> None:
    """
    When what was spent is older than that.
    """
    loop = asyncio.get_running_loop()
    service, budget = SocketlessService(), Budget(units=8, per=3600, clock=loop.time)
    async with service.client(budget=budget) as client:
        await client.generate(picture())
        with pytest.raises(BudgetExceeded) as raised:
            await client.submit(picture())
        assert raised.value.frees_in is not None
        await asyncio.sleep(raised.value.frees_in + 0.001)
        await client.submit(picture())


@simulated
async def test_refused_requests_are_outcomes_of_a_stream() -> None:
    """
    The others are served.
    """
    budget = Budget(units=16)
    async with SocketlessService().client(budget=budget) as client:
        outcomes = [outcome async for outcome in client.stream([picture()] * 5)]

    assert 2 == sum(isinstance(outcome, Done) for outcome in outcomes)
    assert {BudgetExceeded} == {type(outcome.error) for outcome in outcomes if isinstance(outcome, Failed)}


async def speak(client: KlingClient) -> Any:
    return await client.speech.generate("Hello", voice_id="oversea_male1", voice_language="en")


async def test_paid_calls_count() -> None:
    """
    What they cost is reserved, settled by their bill, and kept if it may have been charged.
    """
    budget = Budget(units="0.14")
    async with (
        emulator(OFFICIAL, faults.reset_after("call", after=1)) as server,
        client_of(server, budget=budget) as client,
    ):
        await speak(client)
        assert (Amount("0.05", "0.007"), Spent(Decimal("0.05"))) == (budget.spent, client.spent)
        with pytest.raises(SubmissionUncertain):
            await speak(client)
        assert Amount("0.05", "0.007") == budget.reserved
        with pytest.raises(BudgetExceeded):
            await speak(client)
    assert {"speech": 2} == dict(server.ledger.calls)


async def test_refused_call_costs_nothing() -> None:
    """
    Neither one that the service refuses nor one that never began.
    """
    budget = Budget(units=1)
    async with emulator(OFFICIAL, faults.status("call", 400)) as server:
        async with client_of(server, budget=budget) as client:
            with pytest.raises(InvalidRequest):
                await speak(client)
        with pytest.raises(ClientClosed):
            await speak(client)

    assert (Amount(0, 0), Amount(0, 0)) == (budget.spent, budget.reserved)


@simulated
async def test_task_without_a_bill_costs_what_was_reserved() -> None:
    """
    The client counts such tasks apart, and calls no number a bill that is none.
    """
    service, budget = SocketlessService(), Budget(units=20)
    async with service.client(budget=budget) as client:
        handle = await client.submit(picture())
        silent = TaskSnapshot(task_id=handle.task_id, task_status=TaskStatus.SUCCEEDED)
        handle.apply(silent)
        assert (Amount(8, "0.028"), Spent(unknown=1)) == (budget.spent, client.spent)

        bill = attrs.evolve(silent, final_unit_deduction=Decimal(4), task_result=TaskOutput((Image(0, "https://x/y"),)))
        handle.apply(bill)
        assert (Amount(4, "0.014"), Spent(Decimal(4))) == (budget.spent, client.spent)


@pytest.mark.parametrize("budget", [None, Budget(units=100)])
@simulated
async def test_task_that_is_resumed_after_its_end_counts_once(budget: Budget | None) -> None:
    """
    As a row of a batch whose wait was over too early, when nobody knows the task any more: neither in what the client
    has spent nor in its budget, nor in that of another client which continues.
    """
    service, request = SocketlessService(), picture()

    async def resume(client: KlingClient, task_id: str) -> None:
        assert isinstance(await client.core.resume(task_id, request, SubmitObserver()).wait(), TaskResult)

    async with service.client(budget=budget) as client:
        task_id = (await client.generate(request)).task_id
        gc.collect()
        assert task_id not in client.core.tasks._handles
        await resume(client, task_id)
        assert Spent(Decimal(8)) == client.spent
    async with service.client(budget=budget) as other:
        await resume(other, task_id)
        assert Spent(Decimal(8)) == other.spent

    if budget is not None:
        assert (Amount(8, "0.028"), Amount(0, 0)) == (budget.spent, budget.reserved)


@simulated
async def test_client_without_a_budget_knows_what_it_spent() -> None:
    """
    In units and in cash.
    """
    for paid_in, spent in {"units": Spent(Decimal(16)), "cash": Spent(cash=Decimal("0.056"))}.items():
        async with SocketlessService(paid_in=paid_in).client() as client:
            assert Spent() == client.spent
            await asyncio.gather(client.generate(picture()), client.generate(picture()))
            assert spent == client.spent


async def gather(client: KlingClient, requests: list[ImageRequest], dice: random.Random, cancelled: float) -> list[Any]:
    """
    Generate all at the same time; some of the callers leave early.
    """
    aio_tasks = [asyncio.create_task(client.generate(request)) for request in requests]
    for aio_task in aio_tasks:
        if dice.random() < cancelled:
            asyncio.get_running_loop().call_later(dice.uniform(0, 60), aio_task.cancel)
    return await asyncio.gather(*aio_tasks, return_exceptions=True)


@hypothesis.settings(max_examples=6, deadline=None, phases=[hypothesis.Phase.generate])  # shrinking would take minutes
@hypothesis.given(
    seed=st.integers(0, 2**32),
    limit=st.integers(1, 3000),
    failing=st.sampled_from([0.0, 0.2, 0.9]),
    lost=st.sampled_from([0.0, 0.05]),
    cancelled=st.sampled_from([0.0, 0.2]),
    dialect=st.sampled_from([OFFICIAL, WITHOUT_IDS]),
    slots=st.sampled_from([9, 1000]),
)
def test_thousand_submits_never_pass_the_budget(
    seed: int, limit: int, failing: float, lost: float, cancelled: float, dialect: Any, slots: int
) -> None:
    """
    With random prices, failures, lost answers and callers that leave: not by one unit, and at the end all that is not
    spent or uncertain is left.
    """
    dice = random.Random(seed)
    rules = (faults.failing_task(rate=failing), faults.reset_after("create", rate=lost))
    requests = [picture(dice.choice(MODELS), dice.randint(1, 3)) for _ in range(1000)]

    async def run() -> None:
        service, budget = SocketlessService(*rules, dialect=dialect, seed=seed, slots=None), Budget(units=limit)

        def check(_: object) -> None:
            assert budget.spent.plus(budget.reserved).units <= limit  # type: ignore[operator]

        failures: list[Any] = []
        async with service.client(budget=budget, slots=slots, on_event=check) as client:
            outcomes = await gather(client, requests, dice, cancelled)
            while client.unfinished:
                await asyncio.gather(*(handle.wait() for handle in client.unfinished), return_exceptions=True)
            failures = [outcome for outcome in outcomes if not isinstance(outcome, TaskResult)]
            refused: list[Any] = [error for error in failures if isinstance(error, BudgetExceeded)]
            uncertain, left = budget.reserved.units or Decimal(0), budget.left.units or Decimal(0)

            cost = sum(task.units for task in service.ledger.tasks)  # of all that exist, seen by the client or not

            assert budget.spent.units == client.spent.units <= cost <= client.spent.units + uncertain <= limit
            assert all(error.left.units < error.price.units for error in refused)
            assert bool(uncertain) == any(isinstance(error, SubmissionUncertain) for error in failures) or cancelled
            if refused and not failing:
                assert left < max(error.price.units for error in refused)
            for _ in range(min(int(left), 3)):  # it is not stuck
                with contextlib.suppress(SubmissionUncertain):
                    await client.submit(picture("kling-v1", prompt="a prompt of its own"))

    simulate(run())
