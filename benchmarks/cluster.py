"""
The cost of saving and processing images with this process alone, and with one and two workers of a Dask cluster.

The journal's tasks have ended, so only their images have to be downloaded, stored and processed by a function. The
scheduler runs in its own process, as in a real cluster. With two cores, everything shares them, including the service,
so the second worker cannot show its full effect.
"""

import asyncio
import contextlib
import logging
import multiprocessing
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import PIL.Image
from distributed import Client, LocalCluster

from benchmarks import apart, downloads
from benchmarks.figures import Figure, ratio
from kling_async import OFFICIAL, Batch, Done, Image, ImageRequest, KlingClient, TaskSnapshot, TaskStatus
from kling_async.batch.executors import FileInfo, LocalExecutor, Process
from kling_async.batch.journal import Journal
from kling_async.batch.opening import Account
from kling_async.batch.records import NewRow
from kling_async.integrations.dask import DaskExecutor
from kling_async.wire.tasks import TaskOutput

if TYPE_CHECKING:
    from benchmarks.apart import Pipe

ROUNDS: Final = 3
COUNT: Final = 400
WARM: Final = 24
"""
Images that are saved first, so that all processes have started and imported what they need.
"""
WORKERS: Final[Mapping[str, int]] = {"this process": 0, "1 worker": 1, "2 workers": 2}
"""
The first one calls functions in one process per core.
"""
MB: Final = 10**6


def light(source: Path | bytes, facts: FileInfo) -> tuple[int, int]:  # noqa: ARG001 (the signature of a `process=` function)
    """
    Read an image's header.
    """
    assert isinstance(source, Path)
    with PIL.Image.open(source) as image:
        return image.size


def heavy(source: Path | bytes, facts: FileInfo) -> tuple[int, int]:  # noqa: ARG001
    """
    Write a thumbnail beside it, and return its size and a perceptual hash.
    """
    assert isinstance(source, Path)
    with PIL.Image.open(source) as image:
        gray = image.convert("L").resize((9, 8), PIL.Image.Resampling.LANCZOS).tobytes()
        image.thumbnail((256, 256), PIL.Image.Resampling.LANCZOS)
        small = source.with_suffix(".webp")
        image.save(small, method=6)
    steps = (gray[at] > gray[at + 1] for at in range(len(gray)) if at % 9 < 8)
    return small.stat().st_size, sum(1 << bit for bit, is_down in enumerate(steps) if is_down)


WORKS: Final[Mapping[str, Process | None]] = {"only saved": None, "light": light, "heavy": heavy}


# The cluster


async def serve(pipe: "Pipe", workers: int) -> None:
    async with LocalCluster(  # type: ignore[no-untyped-call]
        n_workers=workers,
        threads_per_worker=1,
        dashboard_address=":0",
        silence_logs=logging.CRITICAL,
        asynchronous=True,
    ) as made:
        pipe.send(made.scheduler_address)
        await asyncio.to_thread(pipe.recv)


@contextlib.contextmanager
def cluster(workers: int) -> Iterator[str | None]:
    """
    Yield the address of a scheduler in another process, with worker processes; None for no cluster.
    """
    if not workers:
        yield None
        return
    with apart.service(serve, workers, is_pinned=False) as pipe:
        yield pipe.recv()


# One run


@attrs.frozen
class Cost:
    """
    The cost of one run.

    Attributes:
        driver: CPU seconds of the process with the journal.
        others: CPU seconds of all its helpers: a scheduler and workers, or the processes that call functions.
        scheduler: Of these, the scheduler's.
        driver_peak: Peak memory in bytes.
        worker_peak: Peak memory of the largest worker in bytes; 0 without workers.
        row_bytes: Bytes of the journal for each row, with one image.
    """

    seconds: float
    driver: float
    others: float
    scheduler: float
    driver_peak: int
    worker_peak: int
    row_bytes: float


def cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@attrs.define
class Helpers:
    """
    The process ids of the driver's helpers.
    """

    workers: list[int]
    scheduler: int | None = None

    def cpu(self) -> tuple[float, float]:
        """
        Return the CPU seconds so far of all of them, and of the scheduler.
        """
        of_scheduler = cpu_of(self.scheduler) if self.scheduler is not None else 0.0
        return sum(map(cpu_of, self.workers)) + of_scheduler, of_scheduler


@attrs.define
class Crew:
    """
    Yield an executor, and the client of the cluster if there is one.
    """

    executor: DaskExecutor | LocalExecutor
    dask_client: Client | None

    async def helpers(self) -> Helpers:
        if self.dask_client is not None:
            pids = await self.dask_client.run(os.getpid)
            return Helpers(list(pids.values()), await self.dask_client.run_on_scheduler(os.getpid))  # type: ignore[no-untyped-call]
        return Helpers([process.pid for process in multiprocessing.active_children() if process.pid is not None])


@contextlib.asynccontextmanager
async def crew_at(address: str | None) -> AsyncIterator[Crew]:
    if address is None:
        async with LocalExecutor() as local:
            yield Crew(local, None)
        return
    async with (
        Client(address, asynchronous=True) as dask_client,  # type: ignore[no-untyped-call]
        DaskExecutor(dask_client) as executor,
    ):
        yield Crew(executor, dask_client)


async def write_journal(path: Path, client: KlingClient, url: str, count: int) -> None:
    """
    Write a journal of *count* tasks that have ended.
    """
    journal = Journal.open(path, Account(client.base_url, client.dialect.name, client.core.transport.fingerprint))
    generation = await journal.begin_input()
    requests = [ImageRequest(f"a lighthouse at dusk, painted for the {number}th time") for number in range(count)]
    await journal.add([NewRow(request=request) for request in requests], generation, time.time())
    for position in range(count):
        task_id = f"task-{path.stem}-{position:08}"
        image = Image(0, f"{url}/{position}.png?Expires=1767225600&Signature={'x' * 40}")
        snapshot = TaskSnapshot(task_id=task_id, task_status=TaskStatus.SUCCEEDED, task_result=TaskOutput((image,)))
        await journal.mark_sending(position, attempt=1, external_task_id=None, submit_key=None, now=time.time())
        journal.accept(position, task_id, time.time())
        await journal.finish(position, snapshot, time.time())
    await journal.aclose()


async def save(path: Path, client: KlingClient, crew: Crew, process: Process | None) -> int:
    """
    Save the images of a journal's tasks, and return their number.
    """
    executor = None if process is None and crew.dask_client is None else crew.executor
    count = 0
    async with Batch(path, client) as batch:
        async for outcome in batch.run(path.with_suffix(""), process=process, executor=executor):
            assert isinstance(outcome, Done), outcome
            count += 1
    return count


async def run(url: str, address: str | None, work: str, count: int) -> Cost:
    with tempfile.TemporaryDirectory() as folder:
        warm, journal = Path(folder) / "warm.kling", Path(folder) / "run.kling"
        async with KlingClient("sk-x", base_url=url, dialect=OFFICIAL) as client, crew_at(address) as crew:
            await write_journal(warm, client, url, WARM)
            await write_journal(journal, client, url, 0)
            empty = journal.stat().st_size
            await write_journal(journal, client, url, count)
            await save(warm, client, crew, WORKS[work])
            helpers = await crew.helpers()
            began, driver, (others, scheduler) = time.monotonic(), time.process_time(), helpers.cpu()
            assert count == await save(journal, client, crew, WORKS[work])
            seconds, driver = time.monotonic() - began, time.process_time() - driver
            others, scheduler = (now - then for now, then in zip(helpers.cpu(), (others, scheduler), strict=True))
            peak = max((downloads.held("VmHWM", pid) for pid in helpers.workers), default=0)
            grown = (journal.stat().st_size - empty) / count
            return Cost(seconds, driver, others, scheduler, downloads.held("VmHWM"), peak, grown)


def run_apart(url: str, address: str | None, work: str, count: int) -> Cost:
    return asyncio.run(run(url, address, work, count))


# The rounds


def figures_of(who: str, costs: list[Cost], count: int) -> list[Figure]:
    measured = {
        "rate": ("pictures/s", [count / cost.seconds for cost in costs]),
        "CPU of all per picture": ("ms", [1e3 * (cost.driver + cost.others) / count for cost in costs]),
        "CPU of the driver per picture": ("ms", [1e3 * cost.driver / count for cost in costs]),
        "CPU of the scheduler per picture": ("ms", [1e3 * cost.scheduler / count for cost in costs]),
        "peak memory of the driver": ("MB", [cost.driver_peak / MB for cost in costs]),
        "peak memory of a worker": ("MB", [cost.worker_peak / MB for cost in costs]),
        "journal per picture": ("bytes", [cost.row_bytes for cost in costs]),
    }
    return [Figure(f"cluster/{who}/{what}", unit, tuple(values)) for what, (unit, values) in measured.items()]


def difference(name: str, ours: Figure, others: Figure) -> Figure:
    pairs = zip(ours.values, others.values, strict=True)
    return Figure(name, ours.unit, tuple(our - other for our, other in pairs))


def measure(rounds: int | None, count: int = COUNT, side: int = downloads.SIDE) -> list[Figure]:
    ways = [(work, who) for work in WORKS for who in WORKERS]
    costs: dict[tuple[str, str], list[Cost]] = {way: [] for way in ways}
    with downloads.service(downloads.picture(side)) as server:
        for _ in range(rounds or ROUNDS):
            for work, who in ways:
                with cluster(WORKERS[who]) as address:
                    costs[work, who].append(apart.fresh(run_apart, server.url, address, work, count))
    figures = {way: figures_of(f"{way[1]}, {way[0]}", of_way, count) for way, of_way in costs.items()}
    compared = []
    for work in WORKS:
        alone, one, two = (figures[work, who] for who in WORKERS)
        compared += [
            ratio(f"cluster/2 workers, {work}/rate to 1 worker's", two[0], one[0]),
            difference(f"cluster/1 worker, {work}/CPU above this process", one[1], alone[1]),
        ]
    return [*(figure for of_way in figures.values() for figure in of_way), *compared]
