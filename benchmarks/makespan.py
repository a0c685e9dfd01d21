"""
How long many requests of mixed sizes take in all, in simulated time.

The yardstick is a service that starts each request in their order as soon as there is room, with no client in
between: strict FIFO without any lag, for tasks that take exactly as long.
"""

import asyncio
import heapq
import itertools
import random
import statistics
from collections.abc import Sequence
from typing import Final

import attrs

from benchmarks.figures import Figure
from kling_async import GATEWAY, OFFICIAL, Dialect
from kling_async.emulator.task_record import TaskRecord
from tests.fakes.simulated_loop import EPOCH, now, simulate
from tests.fakes.socketless_service import SocketlessService

ROUNDS: Final = 5
SLOTS: Final = 9
REQUESTS: Final = 300
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
        reads: Requests that asked for the status of tasks, for each task.
    """

    makespan: float
    fifo: float
    lag: float
    longest_at_head: float
    refused: float
    reads: float


def mixed(most: int, count: int, seed: int) -> list[int]:
    lot = random.Random(seed)  # noqa: S311 (the same in each run)
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


def run(wanted: Sequence[int], truth: int, slots: int | None, seed: int, dialect: Dialect = OFFICIAL) -> Run:
    """
    Gather one task for each of *wanted*, a number of pictures, from a service with *truth* slots.
    """
    service = SocketlessService(slots=truth, seed=seed, latency=(16.0, LONGEST), travel=TRAVEL, dialect=dialect)
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
        reads=service.reads / len(wanted),
    )


def measure(rounds: int | None) -> list[Figure]:
    figures = []
    for name, dialect in (("GATEWAY", GATEWAY), ("OFFICIAL", OFFICIAL)):
        for sizes, most in (("one picture each", 1), ("one to nine pictures", SLOTS)):
            runs = [run(mixed(most, REQUESTS, seed), SLOTS, SLOTS, seed, dialect) for seed in range(rounds or ROUNDS)]
            who = f"makespan/{name}, {sizes}"
            figures += [
                Figure(f"{who}/makespan to strict FIFO", "times", tuple(each.makespan / each.fifo for each in runs)),
                Figure(f"{who}/mean lag", "ms", tuple(1e3 * each.lag for each in runs)),
                Figure(f"{who}/reads per task", "requests", tuple(each.reads for each in runs)),
            ]
    return figures
