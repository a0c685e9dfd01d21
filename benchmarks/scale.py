"""
The cost of waiting, for few and many tasks: CPU and requests.

All tasks wait at the same time, and then end at once. The emulator has a slot for each and its own process, so only the
client's CPU is measured. One task has ended before, so polls are as frequent as possible.
"""

import asyncio
import gc
import itertools
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Final

import attrs

from benchmarks import apart
from benchmarks.figures import Figure, ratio
from kling_async import GATEWAY, OFFICIAL, Dialect, KlingClient
from kling_async.emulator import Emulator

if TYPE_CHECKING:
    from benchmarks.apart import Pipe

DIALECTS: Final = {
    "list reads": OFFICIAL,
    "list reads, no collector": OFFICIAL,
    "by ids": attrs.evolve(OFFICIAL, lists=False),
    "one by one": GATEWAY,
}
UNCOLLECTED: Final = "list reads, no collector"
"""
Without Python's garbage collector: the difference to the others is the cost of its scans.
"""
SIZES: Final = {
    "list reads": (100, 1_000, 10_000, 50_000),
    UNCOLLECTED: (1_000, 10_000, 50_000),
    "by ids": (100, 1_000, 10_000, 50_000),
    "one by one": (100, 1_000),
}
"""
One by one, at 40 polls per second, it would take twenty minutes to see 50,000 ends.
"""
ROUNDS: Final = 1

HOUR: Final = 3600.0
WATCHED: Final = 20.0
"""
Seconds of waiting only.
"""


@attrs.frozen
class Costs:
    """
    Attributes:
        submitting: CPU seconds until all tasks were accepted and waited for.
        waiting: CPU seconds of `WATCHED` seconds of waiting.
        ending: CPU seconds from the end of the tasks until all waits had ended.
        reads: Queries of tasks, as counted by the emulator.
    """

    submitting: float
    waiting: float
    ending: float
    reads: int


@attrs.frozen
class Service:
    """
    An emulator in another process.
    """

    url: str
    api_key: str
    _pipe: "Pipe"

    def end_tasks(self) -> None:
        """
        Advance its clock by an hour, in which every task ends.
        """
        self._pipe.send("end tasks")

    def reads(self) -> int:
        self._pipe.send("tell reads")
        reads: int = self._pipe.recv()
        return reads


async def serve(pipe: "Pipe", dialect: Dialect, slots: int) -> None:
    """
    Run the emulator until it is asked to close.
    """
    passed = 0.0
    async with Emulator(
        dialect=dialect, slots=slots, latency=(HOUR, HOUR), clock=lambda: time.time() + passed
    ) as server:
        pipe.send((server.url, server.api_key))
        while (order := await asyncio.to_thread(pipe.recv)) is not None:
            if order == "end tasks":
                passed += HOUR
            else:
                pipe.send(server.ledger.reads + server.ledger.list_reads)


@contextmanager
def service(dialect: Dialect, slots: int) -> Iterator[Service]:
    with apart.service(serve, dialect, slots) as pipe:
        url, api_key = pipe.recv()
        yield Service(url, api_key, pipe)


@asynccontextmanager
async def warm_client(server: Service, dialect: Dialect, slots: int) -> AsyncIterator[KlingClient]:
    """
    Yield a client that has seen a task end.
    """
    async with KlingClient(server.api_key, base_url=server.url, dialect=dialect, slots=slots) as client:
        first = await client.submit("a lighthouse")
        server.end_tasks()
        await first
        yield client


async def costs_of(tasks: int, dialect: Dialect, watched: float = WATCHED) -> Costs:
    with service(dialect, tasks + 1) as server:
        async with warm_client(server, dialect, tasks + 1) as client:
            reads = server.reads()
            marks = [time.process_time()]
            handles = await asyncio.gather(*(client.submit(f"lighthouse {number}") for number in range(tasks)))
            waits = [asyncio.ensure_future(handle.wait(HOUR)) for handle in handles]
            await asyncio.sleep(0)  # so that each has begun
            marks.append(time.process_time())
            await asyncio.sleep(watched)
            marks.append(time.process_time())
            server.end_tasks()
            await asyncio.gather(*waits)
            marks.append(time.process_time())
            submitting, waiting, ending = (later - earlier for earlier, later in itertools.pairwise(marks))
            return Costs(submitting, waiting, ending, server.reads() - reads)


def figures_of(way: str, tasks: int, costs: list[Costs]) -> list[Figure]:
    who = f"scale/{way}, {tasks}"
    working = tuple(1e6 * (cost.submitting + cost.ending) / tasks for cost in costs)
    waiting = tuple(1e6 * cost.waiting / tasks for cost in costs)
    return [
        Figure(f"{who}/CPU per task to submit and end", "µs", working),
        Figure(f"{who}/CPU per task to wait {WATCHED:.0f} s", "µs", waiting),
        Figure(f"{who}/share of a core while waiting", "", tuple(cost.waiting / WATCHED for cost in costs)),
        Figure(f"{who}/reads per task", "", tuple(cost.reads / tasks for cost in costs)),
    ]


def measure(rounds: int | None) -> list[Figure]:
    apart.pin(0)
    costs: dict[tuple[str, int], list[Costs]] = {(way, tasks): [] for way in DIALECTS for tasks in SIZES[way]}
    for _ in range(rounds or ROUNDS):
        for (way, tasks), of_size in costs.items():
            gc.collect()
            with apart.no_collector() if way == UNCOLLECTED else nullcontext():
                of_size.append(asyncio.run(costs_of(tasks, DIALECTS[way])))
    figures = {key: figures_of(*key, of_key) for key, of_key in costs.items()}
    few, many = 1_000, 50_000
    to_few = f"{many}/CPU per task to that of {few}"
    flat = [
        ratio(f"scale/{way}, {to_few}", figures[way, many][0], figures[way, few][0])
        for way in DIALECTS
        if (way, many) in figures
    ]
    collected = ratio(
        f"scale/list reads, {many}/CPU per task to that without collector",
        figures["list reads", many][0],
        figures[UNCOLLECTED, many][0],
    )
    return [*itertools.chain.from_iterable(figures.values()), *flat, collected]
