"""
Saving images, compared with `curl --parallel` and a bare aiohttp loop: rate, CPU, memory, and blocking of the loop.

On disk, every file is synced, as the client does; curl cannot, so its files are synced afterwards. In memory, there is
nothing to sync, and the disk has no influence. Only the client computes a digest of each file.

Every run is a new process that may use all cores, as a user's does: the client writes and digests in threads. It has
downloaded a file before, so that neither loading modules nor the collector's look at them blocks the loop. The server
is pinned to one of them; as long as that core is hardly used, the server is not the bottleneck.
"""

import asyncio
import contextlib
import functools
import gc
import itertools
import os
import resource
import subprocess
import tempfile
import time
import zlib
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import aiohttp
import attrs

from benchmarks import apart
from benchmarks.figures import Figure, ratio
from kling_async import OFFICIAL, Image, KlingClient, TaskResult, TaskSnapshot, TaskStatus

if TYPE_CHECKING:
    from benchmarks.apart import Pipe

FILES: Final = 200
ROUNDS: Final = 5
AT_ONCE: Final = 16
"""
Concurrent transfers of curl and of the bare loop; the client has its own limit.
"""

PLACES: Final[Mapping[str, str | None]] = {"synced": None, "in memory": "/dev/shm"}  # noqa: S108 (a new folder in it)
"""
The folder for files; None is the system's temporary folder, which should be on a disk.
"""

SIDE: Final = 816
"""
Side length in pixels: a little less than 2 MB.
"""

TICK: Final = 0.005
MB: Final = 10**6


# The server


def picture(side: int = SIDE) -> bytes:
    """
    Return a PNG of noise.
    """

    def chunk(kind: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4)

    lines = b"".join(b"\0" + os.urandom(3 * side) for _ in range(side))
    header = side.to_bytes(4) * 2 + b"\x08\x02\0\0\0"  # 8 bits of red, green and blue
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines, 0)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


async def serve(pipe: "Pipe", content: bytes) -> None:
    """
    Respond to every request with *content*, which the kernel copies; send the CPU seconds so far when asked.
    """
    head = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n" % len(content)
    loop = asyncio.get_running_loop()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(head)
                await loop.sendfile(writer.transport, file)
        writer.close()

    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            pipe.send(server.sockets[0].getsockname()[1])
            while await asyncio.to_thread(pipe.recv) is not None:
                pipe.send(time.process_time())


# Measurement


@attrs.frozen
class Cost:
    """
    The cost of one run.

    Attributes:
        cpu: CPU seconds, including child processes.
        peak: Peak memory in bytes, above the use before the run.
        lag: Longest time in seconds for which the loop was blocked; 0 without a loop.
        served: CPU seconds of the server.
    """

    seconds: float
    cpu: float
    peak: int
    lag: float = 0.0
    served: float = 0.0


@attrs.define
class _Lag:
    worst: float = 0.0

    async def watch(self) -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(TICK)
            self.worst = max(self.worst, time.monotonic() - began - TICK)


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def held(which: str, pid: int | str = "self") -> int:
    # VmRSS is the current use, VmHWM the peak; `ru_maxrss` would include the parent's.
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(which))


@attrs.define
class Watch:
    """
    Measures from its creation to the call of `cost`.
    """

    _began: float = attrs.field(factory=time.monotonic)
    _cpu: float = attrs.field(factory=_cpu)
    _held: int = attrs.field(factory=functools.partial(held, "VmRSS"))

    def cost(self) -> Cost:
        seconds, cpu = time.monotonic() - self._began, _cpu() - self._cpu
        return Cost(seconds, cpu, held("VmHWM") - self._held)


async def of_loop(work: Awaitable[object]) -> Cost:
    """
    Measure *work* in a program that has downloaded a file before: what it loaded is not in the way of the collector.
    """
    gc.collect()
    gc.freeze()
    lag = _Lag()
    ticker = asyncio.create_task(lag.watch())
    await asyncio.sleep(0)
    watch = Watch()
    await work
    cost = watch.cost()
    await asyncio.sleep(TICK)  # the last tick may be late, too
    ticker.cancel()
    gc.unfreeze()
    return attrs.evolve(cost, lag=lag.worst)


# The ways

QueryMode: TypeAlias = Callable[[str, Path, int], Coroutine[Any, Any, Cost]]


def results(url: str, count: int) -> Iterator[TaskResult]:
    for number in range(count):
        snapshot = TaskSnapshot(task_id=f"task-{number}", task_status=TaskStatus.SUCCEEDED)
        yield TaskResult(snapshot.task_id, (Image(0, f"{url}/{number}.png"),), snapshot)


async def ours(url: str, folder: Path, count: int) -> Cost:
    """
    Save as users of the client do. Each file is checked up to its own end, and its digest is computed.
    """
    async with KlingClient("sk-x", base_url=url, dialect=OFFICIAL) as client:
        first, *others = results(url, count + 1)
        [path] = await client.save(first, folder)
        path.unlink()
        return await of_loop(asyncio.gather(*(client.save(result, folder) for result in others)))


async def bare(url: str, folder: Path, count: int) -> Cost:
    """
    Save with plain aiohttp: nothing is checked, and a partial file has its final name.
    """
    turn = asyncio.Semaphore(AT_ONCE)

    async def save(session: aiohttp.ClientSession, number: int) -> None:
        async with turn, session.get(f"{url}/{number}.png") as response:
            with (folder / f"{number}.png").open("wb") as file:
                async for piece in response.content.iter_any():
                    file.write(piece)
                file.flush()
                await asyncio.to_thread(os.fsync, file.fileno())

    async with aiohttp.ClientSession() as session:
        await save(session, count)
        (folder / f"{count}.png").unlink()
        return await of_loop(asyncio.gather(*(save(session, number) for number in range(count))))


async def nothing_kept(url: str, _: Path, count: int) -> Cost:
    turn = asyncio.Semaphore(AT_ONCE)

    async def read(session: aiohttp.ClientSession, number: int) -> None:
        async with turn, session.get(f"{url}/{number}.png") as response:
            async for _ in response.content.iter_any():
                pass

    async with aiohttp.ClientSession() as session:
        await read(session, count)
        return await of_loop(asyncio.gather(*(read(session, number) for number in range(count))))


async def curl(url: str, folder: Path, count: int) -> Cost:
    return await asyncio.to_thread(_curl, url, folder, count)


def _curl(url: str, folder: Path, count: int) -> Cost:
    watch = Watch()
    program = ["curl", "--silent", "--fail", "--no-progress-meter", "--parallel", "--parallel-immediate"]
    arguments = ["--parallel-max", str(AT_ONCE), f"{url}/[0-{count - 1}].png", "--output", f"{folder}/#1.png"]
    subprocess.run(program + arguments, check=True)  # noqa: S603 (our own)
    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(_sync, folder.iterdir()))
    return watch.cost()


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


WAYS: Final[Mapping[str, QueryMode]] = {
    "kling_async": ours,
    "bare aiohttp loop": bare,
    "curl": curl,
}


# The rounds


@attrs.frozen
class Server:
    """
    Run the server in another process.
    """

    url: str
    _pipe: "Pipe"

    def cpu(self) -> float:
        self._pipe.send("tell CPU")
        cpu: float = self._pipe.recv()
        return cpu


@contextlib.contextmanager
def service(content: bytes) -> Iterator[Server]:
    with apart.service(serve, content) as pipe:
        yield Server(f"http://127.0.0.1:{pipe.recv()}", pipe)


def run(way: QueryMode, url: str, folder: Path, count: int) -> Cost:
    return asyncio.run(way(url, folder, count))


def cost_of(way: QueryMode, place: str | None, server: Server, count: int) -> Cost:
    """
    Run *way* in a new process, and return its cost, including the server's CPU.
    """
    os.sync()  # flush earlier writes
    with tempfile.TemporaryDirectory(dir=place) as folder:
        before = server.cpu()
        cost = apart.fresh(run, way, server.url, Path(folder), count)
        return attrs.evolve(cost, served=server.cpu() - before)


def figures_of(who: str, costs: list[Cost], count: int, size: int) -> list[Figure]:
    measured = {
        "rate": ("MB/s", [count * size / MB / cost.seconds for cost in costs]),
        "CPU per file": ("ms", [1e3 * cost.cpu / count for cost in costs]),
        "peak memory": ("MB", [cost.peak / MB for cost in costs]),
        "share of the server's core": ("", [cost.served / cost.seconds for cost in costs]),
    }
    if any(cost.lag for cost in costs):
        measured["worst loop lag"] = ("ms", [1e3 * cost.lag for cost in costs])
    return [Figure(f"downloads/{who}/{what}", unit, tuple(values)) for what, (unit, values) in measured.items()]


def measure(rounds: int | None, count: int = FILES, side: int = SIDE) -> list[Figure]:
    content = picture(side)
    runs = {f"{who}, {place}": (way, PLACES[place]) for place in PLACES for who, way in WAYS.items()}
    runs["nothing kept"] = (nothing_kept, None)
    costs: dict[str, list[Cost]] = {who: [] for who in runs}
    with service(content) as server:
        for _ in range(rounds or ROUNDS):
            for who, (way, place) in runs.items():
                costs[who].append(cost_of(way, place, server, count))
    figures = {who: figures_of(who, of_who, count, len(content)) for who, of_who in costs.items()}
    to_curl = [
        ratio(f"downloads/{who}, {place}/rate to curl's", figures[f"{who}, {place}"][0], figures[f"curl, {place}"][0])
        for place in PLACES
        for who in WAYS
        if who != "curl"
    ]
    return [*itertools.chain.from_iterable(figures.values()), *to_curl]
