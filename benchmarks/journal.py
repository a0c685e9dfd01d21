"""
The cost of a batch's journal: the same requests through the same fast service, with and without a journal.

The service runs in its own process. Rounds alternate (with, without).
"""

import asyncio
import contextlib
import resource
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from benchmarks import apart
from benchmarks.figures import Figure, ratio
from kling_async import OFFICIAL, Batch, Done, KlingClient, PollPolicy
from kling_async.emulator import Emulator

if TYPE_CHECKING:
    from benchmarks.apart import Pipe

ROUNDS: Final = 3
ROWS: Final = 20_000
SLOTS: Final = 64
EAGER: Final = PollPolicy(first_delay=0.01, min_delay=0.01, max_rate=400.0)


@attrs.frozen
class Cost:
    """
    The cost of one run: elapsed seconds, CPU seconds, and MiB of memory after a tenth of the rows and at the end.
    """

    seconds: float
    cpu: float
    early_mib: float
    late_mib: float


async def serve(pipe: "Pipe") -> None:
    async with Emulator(dialect=OFFICIAL, latency=(0.002, 0.005), slots=SLOTS) as server:
        pipe.send((server.url, server.api_key))
        await asyncio.to_thread(pipe.recv)


@contextlib.contextmanager
def service() -> Iterator[tuple[str, str]]:
    """
    Run a new service for each run, so that the tasks it remembers do not slow down later runs.
    """
    with apart.service(serve) as pipe:
        yield pipe.recv()


def prompts(count: int) -> Iterator[str]:
    return (f"lighthouse {number}" for number in range(count))


def memory_mib() -> float:
    """
    Return the current memory use of this process.
    """
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


async def run(count: int, *, has_journal: bool) -> Cost:
    with service() as (url, key), tempfile.TemporaryDirectory() as folder:
        async with KlingClient(key, base_url=url, dialect=OFFICIAL, slots=SLOTS, polling=EAGER) as client:
            if not has_journal:
                return await follow(client.stream(prompts(count), concurrency=2 * SLOTS + 8), count, time.monotonic())
            started = time.monotonic()
            async with Batch(Path(folder) / "run.kling", client) as batch:
                await batch.add(prompts(count))
                return await follow(batch.run(), count, started)


async def follow(outcomes: AsyncIterator[object], count: int, started: float) -> Cost:
    cpu = time.process_time()
    seen, early = 0, 0.0
    async for outcome in outcomes:
        assert isinstance(outcome, Done), outcome
        seen += 1
        if seen == count // 10:
            early = memory_mib()
    assert count == seen
    return Cost(time.monotonic() - started, time.process_time() - cpu, early, memory_mib())


def measure(rounds: int | None) -> list[Figure]:
    apart.pin(0)
    costs: dict[str, list[Cost]] = {"with journal": [], "without": []}
    for _ in range(rounds or ROUNDS):
        for who, of_who in costs.items():
            of_who.append(asyncio.run(run(ROWS, has_journal=who == "with journal")))
    figures = []
    for who, of_who in costs.items():
        figures += [
            Figure(f"journal/{who}/time per row", "µs", tuple(1e6 * cost.seconds / ROWS for cost in of_who)),
            Figure(f"journal/{who}/CPU per row", "µs", tuple(1e6 * cost.cpu / ROWS for cost in of_who)),
            Figure(f"journal/{who}/memory after a tenth", "MiB", tuple(cost.early_mib for cost in of_who)),
            Figure(f"journal/{who}/memory at the end", "MiB", tuple(cost.late_mib for cost in of_who)),
        ]
    return [
        *figures,
        ratio("journal/with journal/time to that without", figures[0], figures[4]),
        ratio("journal/with journal/CPU to that without", figures[1], figures[5]),
    ]
