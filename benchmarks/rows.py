"""
A journal of a million rows of which few have ended: adding them, opening it, its summary, outcomes and first request.

"Bare insert" writes the same columns with `sqlite3` alone, into a table without an index, in equal commits.
"""

import asyncio
import contextlib
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from pathlib import Path
from typing import Final

import attrs

from benchmarks import apart
from benchmarks.figures import Figure, ratio
from kling_async import OFFICIAL, Batch, KlingClient, TaskSnapshot, TaskStatus
from kling_async.batch.inputs import CHUNK_ROWS
from kling_async.batch.journal import Journal, Reader
from kling_async.batch.opening import Account
from kling_async.errors import NotAuthenticated

ROUNDS: Final = 1
ROWS: Final = 1_000_000
ENDED: Final = 20_000
AT_ONCE: Final = 1_000

COLUMNS: Final = "position, key, digest, generation, occurrence, endpoint, request, queued_at"
READ: Final = f"SELECT {COLUMNS} FROM row ORDER BY position"  # noqa: S608 (a constant)
WRITE: Final = "INSERT INTO row VALUES (?, ?, ?, ?, ?, ?, ?, ?)"


@attrs.define
class Cost:
    """
    Elapsed seconds, and CPU seconds of this process.
    """

    seconds: float = 0.0
    cpu: float = 0.0


async def cost_of(work: Awaitable[object]) -> Cost:
    began, cpu = time.monotonic(), time.process_time()
    await work
    return Cost(time.monotonic() - began, time.process_time() - cpu)


def prompts(count: int) -> Iterator[str]:
    return (f"lighthouse {number} in the evening light, seen from the sea" for number in range(count))


@contextlib.asynccontextmanager
async def refusing_service() -> AsyncIterator[tuple[str, list[float]]]:
    """
    Yield the URL of a service that accepts no key, and the list of the times at which its requests arrive.
    """
    arrivals: list[float] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        arrivals.append(time.monotonic())
        writer.write(b"HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(listen, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", arrivals


async def end_some(path: Path, client: KlingClient, count: int, of: int) -> None:
    """
    Bring *count* rows to their end, spread over the whole journal.
    """
    journal = Journal.open(path, Account(client.base_url, client.dialect.name, client.core.transport.fingerprint))

    async def end(position: int) -> None:
        task_id = f"task-{position}"
        snapshot = TaskSnapshot(task_id=task_id, task_status=TaskStatus.SUCCEEDED)
        await journal.mark_sending(position, attempt=1, external_task_id=task_id, submit_key=None, now=1.0)
        journal.accept(position, task_id, 2.0)
        await journal.finish(position, snapshot, 3.0)

    for first in range(0, count, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, count))
        await asyncio.gather(*(end(number * of // count) for number in numbers))
    await journal.aclose()


async def read_outcomes(batch: Batch, count: int) -> None:
    found = [outcome async for outcome in batch.outcomes()]
    assert count == len(found)


async def send_first(path: Path, client: KlingClient, arrivals: list[float]) -> Cost:
    """
    Open the journal and run it; return how long it took until the first request arrived.
    """
    began = time.monotonic()
    with contextlib.suppress(NotAuthenticated):
        async with Batch(path, client) as batch:
            async for _ in batch.run():
                pass
    return Cost(seconds=arrivals[0] - began)


def insert_bare(journal: Path, path: Path) -> Cost:
    """
    Write the columns of the rows of *journal* into a new file.
    """
    with (
        contextlib.closing(sqlite3.connect(journal)) as source,
        contextlib.closing(sqlite3.connect(path, isolation_level=None)) as target,
    ):
        target.execute("PRAGMA journal_mode = WAL")
        target.execute("PRAGMA synchronous = FULL")
        target.execute(f"CREATE TABLE row ({COLUMNS})")
        rows = source.execute(READ)
        cost = Cost()
        while chunk := rows.fetchmany(CHUNK_ROWS):
            began, cpu = time.monotonic(), time.process_time()
            target.execute("BEGIN IMMEDIATE")
            target.executemany(WRITE, chunk)
            target.execute("COMMIT")
            cost.seconds += time.monotonic() - began
            cost.cpu += time.process_time() - cpu
    return cost


async def run(count: int, ended: int) -> dict[str, Cost]:
    costs: dict[str, Cost] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.kling"
        async with refusing_service() as (url, arrivals), KlingClient("sk-x", base_url=url, dialect=OFFICIAL) as client:
            async with Batch(path, client) as batch:
                costs["add"] = await cost_of(batch.add(prompts(count)))
            costs["bare insert"] = insert_bare(path, path.with_name("bare"))
            await end_some(path, client, ended, count)
            batch = Batch(path, client)
            costs["open"] = await cost_of(batch.__aenter__())
            costs["outcomes"] = await cost_of(read_outcomes(batch, ended))
            await batch.aclose()
            costs["summary"] = await cost_of(asyncio.to_thread(lambda: Reader(path).summary()))
            costs["import"] = Cost(cpu=cpu_of_import())
            costs["first request"] = await send_first(path, client, arrivals)
    return costs


def cpu_of_import() -> float:
    program = "import time; from kling_async import KlingClient; print(time.process_time())"
    ended = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)  # noqa: S603
    return float(ended.stdout)


def measure(rounds: int | None, count: int = ROWS, ended: int = ENDED) -> list[Figure]:
    apart.pin(0)
    runs = [asyncio.run(run(count, ended)) for _ in range(rounds or ROUNDS)]
    figures: dict[tuple[str, str], Figure] = {}
    for who in runs[0]:
        for what, values in (("time", [each[who].seconds for each in runs]), ("CPU", [each[who].cpu for each in runs])):
            if any(values):
                figures[who, what] = Figure(f"rows/{who}/{what}", "s", tuple(values))
    return [
        *figures.values(),
        ratio("rows/add/CPU to a bare insert", figures["add", "CPU"], figures["bare insert", "CPU"]),
        ratio("rows/summary/CPU to import kling_async", figures["summary", "CPU"], figures["import", "CPU"]),
    ]
