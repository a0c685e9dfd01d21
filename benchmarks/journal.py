"""
What the journal of a batch costs: the same requests through the same quick service, with a journal and without.

    python benchmarks/journal.py [ROWS] [ROUNDS]

The service is in a process of its own. Rounds alternate (with, without), and the ratio is that of the medians.
"""

import asyncio
import contextlib
import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import attrs

from kling_async import OFFICIAL, Batch, Done, KlingClient, PollPolicy
from kling_async.emulator import Emulator

SLOTS: Final = 64
EAGER: Final = PollPolicy(first_delay=0.01, min_delay=0.01, max_rate=400.0)


@attrs.frozen
class Cost:
    """
    Of one run: seconds on the clock, seconds of CPU, and MiB of memory after a tenth of the rows and at the end.
    """

    seconds: float
    cpu: float
    early_mib: float
    late_mib: float


def serve(pipe: Connection) -> None:
    async def story() -> None:
        async with Emulator(dialect=OFFICIAL, latency=(0.002, 0.005), slots=SLOTS) as server:
            pipe.send((server.url, server.api_key))
            await asyncio.to_thread(pipe.recv)

    asyncio.run(story())


@contextlib.contextmanager
def service() -> Iterator[tuple[str, str]]:
    """
    A service of its own for each run: its memory of tasks makes none slower than the one before.
    """
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,))
    process.start()
    try:
        yield ours.recv()
    finally:
        ours.send(None)
        process.join()


def prompts(count: int) -> Iterator[str]:
    return (f"lighthouse {number}" for number in range(count))


def memory_mib() -> float:
    """
    Return what this process holds in memory now.
    """
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


async def measure(count: int, *, has_journal: bool) -> Cost:
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


def main(count: int = 100_000, rounds: int = 2) -> None:
    costs: dict[bool, list[Cost]] = {True: [], False: []}
    print(f"{count} rows, {SLOTS} slots\n")
    print(f"{'':<16}{'seconds':>10}{'CPU s':>10}{'MiB at 10 %':>14}{'MiB at the end':>16}")
    for _ in range(rounds):
        for has_journal in (True, False):
            cost = asyncio.run(measure(count, has_journal=has_journal))
            costs[has_journal].append(cost)
            name = "with journal" if has_journal else "without"
            print(f"{name:<16}{cost.seconds:>10.1f}{cost.cpu:>10.1f}{cost.early_mib:>14.0f}{cost.late_mib:>16.0f}")
    kept, bare = (statistics.median(cost.seconds for cost in costs[has_journal]) for has_journal in (True, False))
    print(f"\nThe journal costs {100 * (kept / bare - 1):.1f} % of the time without it.")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
