"""
How long many requests take in all, in simulated time, compared with strict FIFO without any lag.
"""

import asyncio
from typing import Final

import pytest

from benchmarks.makespan import LONGEST, TRAVEL, fifo, mixed, run
from kling_async import GATEWAY, OFFICIAL, Dialect
from kling_async.emulator import faults
from kling_async.errors import KlingError, NoFreeSlot, RateLimited
from tests.fakes.simulated_loop import now, simulate
from tests.fakes.socketless_service import SocketlessService

SEEDS: Final = (0, *(pytest.param(seed, marks=pytest.mark.thorough) for seed in (1, 2)))


@pytest.mark.parametrize("seed", SEEDS)
def test_with_a_number_given_width_is_full(seed: int) -> None:
    """
    100 or 300 requests of 1 to 9 pictures against nine slots take hardly longer than by the yardstick; nothing is
    refused, and a request for nine waits at the head of the queue for no longer than the tasks before it take.
    """
    outcome = run(mixed(9, 300 if seed else 100, seed), 9, 9, seed)

    assert outcome.makespan <= 1.1 * outcome.fifo + outcome.lag
    assert 0.0 == outcome.refused
    assert outcome.longest_at_head < LONGEST + 2.0


@pytest.mark.parametrize(("dialect", "most"), [(GATEWAY, 1.035), (OFFICIAL, 1.025)], ids=["one by one", "by ids"])
def test_slots_are_hardly_ever_empty(dialect: Dialect, most: float) -> None:
    """
    What 300 requests for one picture take longer than by the yardstick is mostly the way to the service and back.
    """
    outcome = run([1] * 300, 9, 9, 1, dialect)

    assert outcome.makespan <= most * outcome.fifo


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("truth", [5, 9, 20])
def test_with_a_number_to_be_found_width_is_full_too(truth: int, seed: int) -> None:
    """
    300 take as long, finding included, and under 3 % of the creates are refused; one that was waits for one more task.
    """
    outcome = run(mixed(min(truth, 9), 300, seed), truth, None, seed)

    assert outcome.makespan <= 1.1 * outcome.fifo + outcome.lag
    assert outcome.refused < 0.03
    assert outcome.longest_at_head < 2 * (LONGEST + 2.0)


@pytest.mark.parametrize("slots", [None, 9])
def test_what_is_too_large_for_the_account_is_found_out_once(slots: int | None) -> None:
    """
    Nine pictures at a time on an account with five slots: the first request is patient for 300 s, and the other 49
    know after one refusal each.
    """
    service = SocketlessService(slots=5, travel=TRAVEL)

    async def story() -> None:
        async with service.client(slots=slots) as client:
            jobs = (client.submit(f"fleet {number}", n=9) for number in range(50))
            outcomes = await asyncio.gather(*jobs, return_exceptions=True)

        assert all(isinstance(outcome, NoFreeSlot) for outcome in outcomes)
        assert 300 < now() < 300 + 30 + 50 * 0.3

    simulate(story())
    assert service.ledger.arrivals["create"] < 50 + 30


def test_what_is_too_large_does_not_stop_the_rest() -> None:
    """
    Of 100 requests of 1 to 9 pictures on an account with five slots, those of up to five are made, and almost as fast
    as if they were alone; the others hear that there are not so many slots.
    """
    wanted = mixed(9, 100, 1)
    service = SocketlessService(slots=5, travel=TRAVEL)
    made_at: list[float] = []

    async def story() -> None:
        async with service.client(slots=None) as client:

            async def one(number: int, n: int) -> KlingError | None:
                try:
                    await client.generate(f"lighthouse {number}", n=n)
                except NoFreeSlot as error:
                    return error
                made_at.append(now())
                return None

            outcomes = await asyncio.gather(*(one(number, n) for number, n in enumerate(wanted)))
            assert [n > 5 for n in wanted] == [outcome is not None for outcome in outcomes]

    simulate(story())
    tasks = service.account.page(1, 100)[::-1]
    assert max(made_at) < 1.5 * fifo(tasks, 5)


def test_a_full_account_is_waited_for() -> None:
    """
    While others take all slots for ten minutes, only those that were refused for 300 s hear of it: one for each slot
    that there might have been. The others are made.
    """
    service = SocketlessService(slots=9, latency=(600.0, 600.0), travel=TRAVEL)
    service.occupy(9)

    async def story() -> None:
        async with service.client(slots=None) as client:
            jobs = (client.submit(f"lighthouse {number}") for number in range(30))
            outcomes = await asyncio.gather(*jobs, return_exceptions=True)

        assert [number < 9 for number in range(30)] == [isinstance(outcome, NoFreeSlot) for outcome in outcomes]

    simulate(story())


def test_refusals_without_end_are_reported() -> None:
    """
    Where a gateway refuses whatever is sent, submits that pause side by side do not take each other for tasks that run.
    """
    service = SocketlessService(faults.bare_429("create"), slots=9, travel=TRAVEL)

    async def story() -> None:
        async with service.client(slots=None) as client:
            jobs = (client.submit(f"lighthouse {number}") for number in range(9))
            outcomes = await asyncio.gather(*jobs, return_exceptions=True)

        assert all(type(outcome) is RateLimited for outcome in outcomes)
        assert 300 < now() < 340

    simulate(story())
