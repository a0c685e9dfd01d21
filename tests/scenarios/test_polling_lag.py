"""
What polling costs and how late it notices: requests as the emulator's ledger counts them, lags in simulated time.
"""

import asyncio
import statistics
from typing import Final

import attrs
import pytest

from kling_async import GATEWAY, OFFICIAL, Dialect, KlingClient
from kling_async.emulator import Emulator, faults
from kling_async.emulator.account import Account
from tests.fakes.simulated_loop import epoch_now, simulate

ROUND_TRIP: Final = [faults.delay_before("any", 0.025), faults.delay_after("any", 0.025)]
"""
Loopback takes no simulated time at all; the way to a service does.
"""

BY_IDS: Final = attrs.evolve(OFFICIAL, lists=False)
BY_LIST: Final = attrs.evolve(OFFICIAL, ids_per_read=1)


SEEDS: Final = (1, *(pytest.param(seed, marks=pytest.mark.thorough) for seed in (2, 3)))


@attrs.frozen
class Cost:
    """
    Attributes:
        lags: Seconds from each task's end until its waiter knew.
        seconds: What all tasks took together.
    """

    reads: int
    lags: tuple[float, ...]
    connections: int
    seconds: float

    @property
    def mean(self) -> float:
        return statistics.mean(self.lags)

    def asked_by_loops(self) -> float:
        """
        Tell how many requests a loop for each task would make to be as early: it is late by half its pause.
        """
        return self.seconds / (2 * self.mean)


def cost_of(
    dialect: Dialect, *, seed: int = 1, count: int = 100, slots: int = 100, latency: tuple[float, float] = (16.0, 24.0)
) -> Cost:
    """
    Make *count* pictures, *slots* at a time, without knowing beforehand how long that takes.
    """

    async def story() -> Cost:
        lags: list[float] = []
        async with (
            Emulator(
                dialect=dialect, latency=latency, slots=slots, seed=seed, faults=ROUND_TRIP, clock=epoch_now
            ) as server,
            KlingClient(server.api_key, base_url=server.url, dialect=dialect, slots=slots) as client,
        ):

            async def make(number: int) -> float:
                task_id = (await client.generate(f"lighthouse {number}")).task_id
                record = server.account.find_task(task_id)
                assert record is not None
                lags.append(epoch_now() - record.done_at)
                return record.done_at - record.created_at

            seconds = await asyncio.gather(*(make(number) for number in range(count)))
            ledger = server.ledger
            return Cost(ledger.reads + ledger.list_reads, tuple(lags), ledger.connections, sum(seconds))

    return simulate(story())


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("dialect", [BY_IDS, BY_LIST, OFFICIAL], ids=["by ids", "by list", "by both"])
def test_hundred_tasks_cost_few_requests_and_little_time(dialect: Dialect, seed: int) -> None:
    """
    A hundred tasks of 16 to 24 s, of a kind never seen before: at most 60 reads, and on average half a second late.
    """
    cost = cost_of(dialect, seed=seed)

    assert cost.reads <= 60
    assert cost.mean < 0.5
    assert max(cost.lags) <= 2.0
    assert cost.connections <= 16


@pytest.mark.parametrize(("dialect", "reads"), [(OFFICIAL, 60), (BY_LIST, 70)], ids=["by both", "by list"])
def test_first_end_of_many_is_found_by_small_reads(dialect: Dialect, reads: int) -> None:
    """
    Six hundred tasks need two pages: while none has ended, twenty at a time are queried by their ids where that can be
    done.
    """
    cost = cost_of(dialect, count=600, slots=600, latency=(4.0, 8.0))

    assert cost.reads <= reads
    assert cost.mean < 0.3


@pytest.mark.parametrize("seed", SEEDS)
def test_one_by_one_costs_less_than_a_loop_per_task(seed: int) -> None:
    """
    Where tasks can only be asked for one by one, loops would make twice the requests for the same lag.
    """
    cost = cost_of(GATEWAY, seed=seed)

    assert 2 * cost.reads < cost.asked_by_loops()
    assert cost.connections <= 16 + len(cost.lags)  # one for each submit, since none could be looked up


@pytest.mark.parametrize("dialect", [OFFICIAL, GATEWAY], ids=["by ids", "one by one"])
def test_nine_at_a_time(dialect: Dialect) -> None:
    """
    At the usual width, over many tasks, lags stay as small, and fewer requests are made than by a loop for each task.
    """
    cost = cost_of(dialect, slots=9)

    assert cost.mean < 0.5
    assert max(cost.lags) <= 2.0
    assert 2 * cost.reads < cost.asked_by_loops()


def test_tasks_of_very_different_lengths_are_not_noticed_late() -> None:
    """
    Where the quickest took a tenth of the usual time, that is when the polls begin.
    """
    cost = cost_of(BY_IDS, slots=20, latency=(4.0, 60.0))

    assert cost.mean < 1.0


def test_list_in_another_order_delays_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The vendor does not promise the newest first.
    """

    def oldest_first(account: Account, number: int, size: int, _: object = None) -> list[object]:
        return list(account._records[size * (number - 1) : size * number])

    monkeypatch.setattr(Account, "page", oldest_first)
    cost = cost_of(OFFICIAL, count=120, slots=60)

    assert cost.mean < 0.5
    assert max(cost.lags) <= 2.0
