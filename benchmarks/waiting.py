"""
What waiting costs a client, for few tasks and for many: CPU, memory and requests.

    python benchmarks/waiting.py                         # 100, 1,000, 10,000 and 50,000 tasks; some ten minutes
    python benchmarks/waiting.py 100 5000 --dialect gateway

All tasks wait at the same time, and then end at the same moment. The emulator has as many slots, and a process of its
own, so that the CPU that is told is the client's alone. One task has ended before, so that looks are as dense as they
get. Memory is traced in a run of its own, since that takes time itself.
"""

import argparse
import asyncio
import itertools
import multiprocessing
import time
import tracemalloc
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final

import attrs

from kling_async import GATEWAY, OFFICIAL, Dialect, KlingClient
from kling_async.emulator import Emulator

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

DIALECTS: Final = {"official": OFFICIAL, "by-ids": attrs.evolve(OFFICIAL, lists=False), "gateway": GATEWAY}

HOUR: Final = 3600.0
WATCHED: Final = 20.0
"""
Seconds for which nothing happens but waiting.
"""

COLUMNS: Final = {
    "tasks waiting": "{:,}",
    "µs of CPU per task to submit and end": "{:,.0f}",
    f"... to wait for {WATCHED:.0f} s": "{:,.0f}",
    "of a core": "{:.1%}",
    "bytes per waiting task": "{:,.0f}",
    "requests per task": "{:.2f}",
}


@attrs.frozen
class Costs:
    """
    Attributes:
        submitting: CPU seconds until all tasks were accepted and waited for.
        waiting: CPU seconds of `WATCHED` seconds of waiting.
        ending: CPU seconds from the end of the tasks until all waits had ended.
        reads: Questions about tasks, as the emulator counts them.
        traced: Bytes while all waited, 0 where they were not traced.
    """

    submitting: float
    waiting: float
    ending: float
    reads: int
    traced: int


@attrs.frozen
class Service:
    """
    An emulator in another process.
    """

    url: str
    api_key: str
    _pipe: "Connection[Any, Any]"

    def end_tasks(self) -> None:
        """
        Let an hour pass there, in which every task ends.
        """
        self._pipe.send("end tasks")

    def reads(self) -> int:
        self._pipe.send("tell reads")
        reads: int = self._pipe.recv()
        return reads


async def serve(pipe: "Connection[Any, Any]", dialect: Dialect, slots: int) -> None:
    """
    Be the emulator, until told to close.
    """
    passed = 0.0
    async with Emulator(
        dialect=dialect, slots=slots, latency=(HOUR, HOUR), clock=lambda: time.time() + passed
    ) as server:
        pipe.send((server.url, server.api_key))
        while (order := await asyncio.to_thread(pipe.recv)) != "close":
            if order == "end tasks":
                passed += HOUR
            else:
                pipe.send(server.ledger.reads + server.ledger.list_reads)


def run_service(pipe: "Connection[Any, Any]", dialect: Dialect, slots: int) -> None:
    asyncio.run(serve(pipe, dialect, slots))


@contextmanager
def service(dialect: Dialect, slots: int) -> Iterator[Service]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=run_service, args=(theirs, dialect, slots))
    process.start()
    try:
        url, api_key = ours.recv()
        yield Service(url, api_key, ours)
    finally:
        ours.send("close")
        process.join()


@asynccontextmanager
async def warm_client(server: Service, dialect: Dialect, slots: int) -> AsyncIterator[KlingClient]:
    """
    A client that has seen a task end.
    """
    async with KlingClient(server.api_key, base_url=server.url, dialect=dialect, slots=slots) as client:
        first = await client.submit("a lighthouse")
        server.end_tasks()
        await first
        yield client


async def measure(tasks: int, dialect: Dialect, *, is_traced: bool) -> Costs:
    with service(dialect, tasks + 1) as server:
        async with warm_client(server, dialect, tasks + 1) as client:
            reads = server.reads()
            if is_traced:
                tracemalloc.start()
            marks = [time.process_time()]
            handles = await asyncio.gather(*(client.submit(f"lighthouse {number}") for number in range(tasks)))
            waits = [asyncio.ensure_future(handle.wait(HOUR)) for handle in handles]
            await asyncio.sleep(0)  # so that each has begun
            marks.append(time.process_time())
            await asyncio.sleep(WATCHED)
            marks.append(time.process_time())
            traced, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            server.end_tasks()
            await asyncio.gather(*waits)
            marks.append(time.process_time())
            submitting, waiting, ending = (later - earlier for earlier, later in itertools.pairwise(marks))
            return Costs(submitting, waiting, ending, server.reads() - reads, traced)


def row(tasks: int, dialect: Dialect) -> str:
    costs = asyncio.run(measure(tasks, dialect, is_traced=False))
    traced = asyncio.run(measure(tasks, dialect, is_traced=True)).traced
    values = (
        tasks,
        1e6 * (costs.submitting + costs.ending) / tasks,
        1e6 * costs.waiting / tasks,
        costs.waiting / WATCHED,
        traced / tasks,
        costs.reads / tasks,
    )
    cells = (form.format(value).rjust(len(title)) for (title, form), value in zip(COLUMNS.items(), values, strict=True))
    return " | ".join(cells)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="What waiting costs a client, for few tasks and for many.")
    parser.add_argument("tasks", nargs="*", type=int, default=[100, 1_000, 10_000, 50_000])
    parser.add_argument("--dialect", choices=DIALECTS, default="official")
    options = parser.parse_args(arguments)
    print(" | ".join(COLUMNS))
    for tasks in options.tasks:
        print(row(tasks, DIALECTS[options.dialect]), flush=True)


if __name__ == "__main__":
    main()
