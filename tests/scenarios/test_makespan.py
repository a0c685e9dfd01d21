"""
How long many requests of mixed sizes take in all, in simulated time.

The yardstick is a service that starts each request in their order as soon as there is room, with nobody between:
strict FIFO without any lag, for tasks that take exactly as long.
"""

import asyncio
import heapq
import itertools
import random
import statistics
from collections.abc import Sequence
from typing import Final

import attrs
import pytest

from kling_async.emulator import faults
from kling_async.emulator.task_record import TaskRecord
from kling_async.errors import KlingError, NoFreeSlot, RateLimited
from tests.fakes.simulated_loop import EPOCH, now, simulate
from tests.fakes.socketless_service import SocketlessService

TRAVEL: Final = (0.05, 0.15)
"""
Seconds that each request takes, and its answer.
"""


LONGEST = 24.0
"""
Seconds that a task takes at most.
"""


@attrs.frozen
class Run:
    """
    What became of a gather.

    Attributes:
        makespan: Seconds until all was done; so `fifo` by the yardstick.
        lag: Seconds from the end of a task until its caller knew, on average.
        longest_at_head: Seconds between the starts of the largest requests and of those before them, at most.
        refused: Share of the creates that were refused.
    """

    makespan: float
    fifo: float
    lag: float
    longest_at_head: float
    refused: float


def mixed(most: int, count: int, seed: int) -> list[int]:
    lot = random.Random(seed)
    return [lot.randint(1, most) for _ in range(count)]


def fifo(tasks: Sequence[TaskRecord], limit: int) -> float:
    """
    Return the makespan of *tasks* where each starts as soon as there is room and all before it have started.
    """
    time, used, last = 0.0, 0, 0.0
    running: list[tuple[float, int]] = []
    for task in tasks:
        while used + task.request.n > limit:
            time, n = heapq.heappop(running)
            used -= n
        end = time + task.done_at - task.created_at
        used += task.request.n
        last = max(last, end)
        heapq.heappush(running, (end, task.request.n))
    return last


def run(wanted: Sequence[int], truth: int, slots: int | None, seed: int) -> Run:
    """
    Gather one task for each of *wanted*, a number of pictures, from a service with *truth* slots.
    """
    service = SocketlessService(slots=truth, seed=seed, latency=(16.0, LONGEST), travel=TRAVEL)
    done_at: dict[str, float] = {}

    async def story() -> None:
        async with service.client(slots=slots) as client:

            async def one(number: int, n: int) -> None:
                await client.generate(f"lighthouse {number}", n=n)
                done_at[f"lighthouse {number}"] = EPOCH + now()

            await asyncio.gather(*(one(number, n) for number, n in enumerate(wanted)))

    simulate(story())
    by_prompt = {task.request.prompt: task for task in service.account.page(1, len(wanted))}
    tasks = [by_prompt[f"lighthouse {number}"] for number in range(len(wanted))]
    largest = max(wanted)
    return Run(
        makespan=max(done_at.values()) - EPOCH,
        fifo=fifo(tasks, truth),
        lag=statistics.mean(done_at[task.request.prompt] - task.done_at for task in tasks),
        longest_at_head=max(
            task.created_at - before.created_at
            for before, task in itertools.pairwise(tasks)
            if task.request.n == largest
        ),
        refused=service.refused / service.ledger.arrivals["create"],
    )


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
