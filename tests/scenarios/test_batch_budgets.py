"""
Budgets of batches: all runs of a journal count, also those that were killed.
"""

import asyncio
import itertools
import random
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import hypothesis
import pytest
from hypothesis import strategies as st

from kling_async import OFFICIAL, Amount, Batch, Budget, Done, Failed, ImageRequest, KlingClient, VideoEffect
from kling_async.batch import control
from kling_async.batch.journal import Reader
from kling_async.batch.spending import RowBudget
from kling_async.emulator import Emulator, faults
from kling_async.errors import BudgetExceeded, SubmissionUncertain
from kling_async.wire import endpoint_of
from kling_async.wire.tasks import TaskSnapshot, TaskStatus
from tests.fakes.batches import BRISK, EAGER, client_of, copied, counts_of, emulator, journal_of, until
from tests.fakes.socketless_service import SocketlessService

WITHOUT_IDS = attrs.evolve(OFFICIAL, external_ids=False)

SAMPLE = Path(__file__).parents[1] / "journals" / "version-3"


def pictures(count: int, model: str = "kling-v3") -> list[ImageRequest]:
    return [ImageRequest(f"a fox {number}", model_name=model) for number in range(count)]


class Service(SocketlessService):
    """
    One that is fast, and so are its clients.
    """

    def client(self, **options: Any) -> KlingClient:
        return super().client(**{"retry": BRISK, "polling": EAGER, **options})


def service(*rules: Any, **settings: Any) -> Service:
    return Service(*rules, **{"latency": (0.01, 0.02), "travel": (0.001, 0.002), **settings})


async def run(
    path: Path, client: KlingClient, budget: Budget | None, requests: list[Any] | None = None, **options: Any
) -> tuple[list[Done | Failed], BudgetExceeded | None]:
    """
    Run the batch as a program does that is started anew; return its outcomes, and what it raised at the end.
    """
    outcomes: list[Done | Failed] = []
    async with Batch(path, client, budget=budget) as batch:
        await batch.add(requests or [])
        try:
            async for outcome in batch.run(**options):
                outcomes.append(outcome)  # noqa: PERF401 (those before the error count)
        except BudgetExceeded as error:
            return outcomes, error
    return outcomes, None


def states(path: Path) -> dict[str, int]:
    return counts_of(Reader(path).summary())


async def test_batch_stops_when_its_budget_is_used_up(tmp_path: Path) -> None:
    """
    What runs is finished, the other rows wait, and a run with a larger budget goes on.
    """
    path, small, large = tmp_path / "run.kling", Budget(units=20), Budget(units=40)
    kling = service()
    async with kling.client() as client:
        _, error = await run(path, client, small, pictures(6))

        assert error is not None
        assert (Amount(16, "0.056"), Amount(4), Amount(8, "0.028")) == (error.spent, error.left, error.price)
        assert {"queued": 4, "finished": 2} == states(path)
        _, error = await run(path, client, large)
        assert error is not None
        assert Amount(40, "0.14") == large.spent
        assert {"queued": 1, "finished": 5} == states(path)
        _, error = await run(path, client, None)
    assert error is None
    assert 6 == len(kling.ledger.tasks)


async def test_all_runs_count_also_those_without_a_budget(tmp_path: Path) -> None:
    """
    Each has a budget of its own, as new programs do.
    """
    path, kling = tmp_path / "run.kling", service()
    async with kling.client() as client:
        await run(path, client, None, pictures(2))
        again = [*pictures(2), *pictures(4)[2:]]
        for limit, spent in ((16, 16), (16, 16), (24, 24), (100, 32)):
            budget = Budget(units=limit)
            await run(path, client, budget, again)
            assert (Decimal(spent), Amount(0, 0)) == (budget.spent.units, budget.reserved)
    assert 4 == len(kling.ledger.tasks)


async def test_rows_wait_for_what_running_tasks_may_leave(tmp_path: Path) -> None:
    """
    Tasks that fail cost nothing, so that no row is left out because of them.
    """
    budget, kling = Budget(units=16), service(faults.failing_task("invalid", times=6))
    async with kling.client() as client:
        outcomes, error = await run(tmp_path / "run.kling", client, budget, pictures(9))

    assert error is not None
    assert 6 == sum(isinstance(outcome, Failed) for outcome in outcomes)
    assert (Amount(16, "0.056"), 8) == (budget.spent, len(kling.ledger.tasks))
    assert {"queued": 1, "finished": 2, "failed": 6} == states(tmp_path / "run.kling")


async def test_smaller_rows_fit_behind_larger_ones(tmp_path: Path) -> None:
    """
    A row that does not fit does not keep others from being served.
    """
    path, budget = tmp_path / "run.kling", Budget(units=10)
    async with service().client() as client:
        _, error = await run(path, client, budget, [*pictures(3), *pictures(3, "kling-v1")])

    assert error is not None
    assert Amount(10, "0.035") == budget.spent
    assert {0, 3, 4} == {row.position for row in Reader(path).rows() if row.snapshot is not None}


async def test_many_rows_that_do_not_fit_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Rather than reading all of a large journal.
    """
    monkeypatch.setattr(control, "SKIPPED_ROWS", 5)
    path, budget, kling = tmp_path / "run.kling", Budget(units=7), service()
    async with kling.client() as client:
        _, error = await run(path, client, budget, [*pictures(40), *pictures(1, "kling-v1")])

    assert error is not None
    assert not kling.ledger.tasks


async def test_waiting_rows_can_be_stopped(tmp_path: Path) -> None:
    """
    They wait for a task that takes its time, and are left for the next run.
    """
    budget, kling = Budget(units=8), service(latency=(0.3, 0.3))
    async with kling.client() as client, Batch(tmp_path / "run.kling", client, budget=budget) as batch:
        await batch.add(pictures(3))
        running = asyncio.create_task(anext(batch.run()))
        await until(batch, accepted=1)
        batch.stop()
        assert isinstance(await running, Done)
        assert {"queued": 2, "finished": 1} == counts_of(await batch.summary())


async def test_budget_of_client_and_batch_counts_once_in_each(tmp_path: Path) -> None:
    """
    Both hold; one that is given to both counts each row once.
    """
    shared = Budget(units=16)
    async with service().client(budget=shared) as client:
        _, error = await run(tmp_path / "one.kling", client, shared, pictures(3))
        assert error is not None
        assert (Amount(16, "0.056"), Amount(0, 0)) == (shared.spent, shared.reserved)

    of_client, of_batch = Budget(units=8), Budget(units=100)
    async with service().client(budget=of_client) as client:
        _, error = await run(tmp_path / "two.kling", client, of_batch, pictures(3))
        assert error is not None
        assert (Decimal(8), Decimal(8)) == (of_client.spent.units, of_batch.spent.units)


async def test_rows_without_a_known_price_wait(tmp_path: Path) -> None:
    """
    For a budget that says what to count.
    """
    path, kling = tmp_path / "run.kling", service()
    requests = [VideoEffect("hug", image="https://x.example/a.png"), *pictures(1)]
    async with kling.client() as client:
        _, error = await run(path, client, Budget(units=100), requests)
        assert error is not None
        assert error.price is None
        assert {"queued": 1, "finished": 1} == states(path)
        budget = Budget(units=100, unknown=Amount(50))
        _, error = await run(path, client, budget)
    assert error is None
    assert 2 == len(kling.ledger.tasks)


async def test_uncertain_rows_stay_reserved_in_later_runs(tmp_path: Path) -> None:
    """
    If they are sent again, both count: each may have been charged.
    """
    path, budget = tmp_path / "run.kling", Budget(units=16)
    kling = service(faults.reset_after("create", times=1), dialect=WITHOUT_IDS)
    async with kling.client() as client:
        outcomes, _ = await run(path, client, budget, pictures(1))
        [failed] = outcomes
        assert isinstance(failed, Failed)
        assert isinstance(failed.error, SubmissionUncertain)
        later = Budget(units=15)
        await run(path, client, later)
        assert (Amount(0, 0), Decimal(8)) == (later.spent, later.reserved.units)
        _, error = await run(path, client, later, resend_uncertain=True)
        assert error is not None
        last = Budget(units=16)
        _, error = await run(path, client, last, resend_uncertain=True)
    assert error is None
    assert (Decimal(16), 2) == (last.spent.units, len(kling.ledger.tasks))


async def test_cash_counts_and_is_in_the_summary(tmp_path: Path) -> None:
    """
    Over all runs.
    """
    path, kling = tmp_path / "run.kling", service(paid_in="cash")
    async with kling.client() as client:
        await run(path, client, Budget(cost="0.06"), pictures(3))
        later = Budget(cost="0.06")
        _, error = await run(path, client, later)

    assert error is not None
    assert Amount(16, "0.056") == later.spent
    summary = Reader(path).summary()
    assert (Decimal(0), Decimal("0.056")) == (summary.units_billed, summary.cash_billed)


async def test_budget_for_a_time_counts_what_is_recent(tmp_path: Path) -> None:
    """
    By the times in the journal.
    """
    path = tmp_path / "run.kling"
    async with service().client() as client:
        for count, at in ((1, 1_000_000.0), (2, 1_003_600.0)):
            async with Batch(path, client, clock=itertools.repeat(at).__next__) as batch:
                await batch.add(pictures(count))
                assert [outcome async for outcome in batch.run()]
        recent = Budget(units=100, per=5400, clock=itertools.repeat(1_007_200.0).__next__)
        await run(path, client, recent)
        assert Decimal(8) == recent.spent.units


async def test_journal_of_an_earlier_version_counts_what_was_billed(tmp_path: Path) -> None:
    """
    At the list price, and what its open rows may cost, of which it has no prices.
    """
    path, kling = shutil.copytree(SAMPLE, tmp_path / "run") / "run.kling", service()
    async with kling.client() as client:
        for budget in (Budget(units=4, cost=1), Budget(units=4, per=1e9)):
            async with Batch(path, client) as batch:
                await RowBudget.open(journal_of(batch), client, budget)

            assert Amount(24, "0.084") == budget.reserved  # accepted, sending and uncertain
            assert Amount(0) == attrs.evolve(budget.left, cost=None)
            assert Amount(3, "0.0105") == budget.spent


async def test_rows_of_unknown_price_count_what_the_budget_says(tmp_path: Path) -> None:
    """
    Those that were sent by a run without a budget, and for which the service named no bill.
    """
    path, effect = tmp_path / "run.kling", VideoEffect("hug", image="https://x.example/a.png")
    silent = TaskSnapshot(task_id="t-1", task_status=TaskStatus.SUCCEEDED)
    async with service().client() as client:
        async with Batch(path, client) as batch:
            await batch.add([effect, VideoEffect("kiss", image="https://x.example/a.png"), effect])
            journal = journal_of(batch)
            for position in range(2):
                await journal.mark_sending(position, attempt=1, external_task_id=None, submit_key=None, now=1.0)
            journal.accept(0, "t-1", 2.0)
            await journal.finish(0, silent, 3.0)
        for unknown, expected in ((Amount(15), (15, 15)), (None, (0, 0))):
            budget = Budget(units=100, unknown=unknown)
            async with Batch(path, client) as batch:
                await RowBudget.open(journal_of(batch), client, budget)
            assert expected == (int(budget.spent.units or 0), int(budget.reserved.units or 0))


async def test_task_that_is_gone_counts_what_was_reserved(tmp_path: Path) -> None:
    """
    It was accepted, so it may have been charged, though the service does not show it any more.
    """
    path = tmp_path / "run.kling"
    async with service().client() as client, Batch(path, client) as batch:
        await batch.add(pictures(1))
        journal = journal_of(batch)
        reserved = Amount(8, "0.028")
        await journal.mark_sending(0, attempt=1, external_task_id=None, submit_key=None, now=1.0, reserved=reserved)
        journal.accept(0, "gone", 2.0)
        [failed] = [outcome async for outcome in batch.run()]
        assert isinstance(failed, Failed)
        budget = Budget(units=100)
        await RowBudget.open(journal, client, budget)

    assert reserved == budget.spent


async def test_row_that_was_never_sent_must_fit_as_a_new_one(tmp_path: Path) -> None:
    """
    An earlier run was about to send it, with a larger budget: it is looked up, does not exist, and waits.
    """
    path, kling = tmp_path / "run.kling", service()
    async with kling.client() as client:
        async with Batch(path, client) as batch:
            await batch.add(pictures(1))
            journal = journal_of(batch)
            facts: dict[str, Any] = {"external_task_id": "ours-1", "submit_key": None, "now": 1.0}
            await journal.mark_sending(0, attempt=1, reserved=Amount(8, "0.028"), **facts)
        _, error = await run(path, client, Budget(units=7))

        assert error is not None
        assert {"queued": 1} == states(path)
        assert not kling.ledger.tasks
        _, error = await run(path, client, Budget(units=8))
    assert error is None
    assert {"finished": 1} == states(path)


async def test_killed_run_counts_what_it_may_have_spent(tmp_path: Path) -> None:
    """
    Rows that were accepted or being sent are reserved, and settled when their tasks are found.
    """
    path = tmp_path / "run.kling"
    async with emulator(OFFICIAL, latency=(0.3, 0.4)) as server:
        async with client_of(server) as client, Batch(path, client, budget=Budget(units=24)) as batch:
            await batch.add(pictures(6))
            running = asyncio.create_task(anext(batch.run()))
            await until(batch, accepted=3)
            left = copied(path, "killed")
            running.cancel()
            await asyncio.wait([running])
        budget = Budget(units=32)
        async with client_of(server) as client:
            outcomes, error = await run(left, client, budget)

    assert error is not None
    assert (4, Decimal(32)) == (sum(isinstance(outcome, Done) for outcome in outcomes), budget.spent.units)
    assert 4 == len(server.ledger.tasks)
    assert Decimal(32) == server.ledger.units_billed


async def killed_runs(path: Path, dice: random.Random, server: Emulator, limit: int, requests: list[Any]) -> Path:
    """
    Begin some runs, and leave after each what a kill would leave.
    """
    for number in range(3):
        async with client_of(server) as client:
            async with Batch(path, client, budget=Budget(units=limit)) as batch:
                await batch.add(requests)
                running = asyncio.create_task(run_to_the_end(batch))
                await asyncio.sleep(dice.uniform(0.0, 0.15))
                path, old = copied(path, f"killed {number}"), path
                running.cancel()
                await asyncio.wait([running])
            old.unlink()
    return path


async def run_to_the_end(batch: Batch) -> None:
    try:
        async for _ in batch.run():
            pass
    except BudgetExceeded:
        pass


@hypothesis.settings(max_examples=5, deadline=None, phases=[hypothesis.Phase.generate])  # shrinking would take minutes
@hypothesis.given(
    seed=st.integers(0, 2**32),
    limit=st.integers(1, 150),
    failing=st.sampled_from([0.0, 0.4]),
    lost=st.sampled_from([0, 0.2]),
)
def test_killed_runs_never_pass_the_budget_together(
    tmp_path_factory: pytest.TempPathFactory, seed: int, limit: int, failing: float, lost: float
) -> None:
    """
    With random prices, failures, lost answers and kills: not by one unit, and at the end no row is left that fits.
    """
    dice, path = random.Random(seed), tmp_path_factory.mktemp("killed") / "run.kling"
    rules = (faults.failing_task("invalid", rate=failing), faults.reset_after("create", rate=lost))
    requests = [
        ImageRequest(f"a fox {number}", model_name=dice.choice(["kling-v1", "kling-v2", "kling-v3"]))
        for number in range(24)
    ]

    async def check() -> None:
        async with emulator(OFFICIAL, *rules, seed=seed, slots=None) as server:
            left = await killed_runs(path, dice, server, limit, requests)
            budget = Budget(units=limit)
            async with client_of(server) as client:
                await run(left, client, budget)
                waiting = [row.request for row in Reader(left).rows() if row.state.value == "queued"]
                prices = [budget.book.price_of(endpoint_of(ImageRequest), each, OFFICIAL) for each in waiting]
            cost = sum(task.units for task in server.ledger.tasks)

            assert cost <= limit
            assert cost == budget.spent.units
            assert budget.reserved == Amount(0, 0)
            assert all(not budget.book.has_room(price) for price in prices)

    asyncio.run(check())
