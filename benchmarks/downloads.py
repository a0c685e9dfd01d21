"""
Saving pictures, beside `curl --parallel` and a bare aiohttp loop: rate, CPU, memory, and how long the loop is blocked.

Each way is run with every file synced to the disk, as the client does, and with none synced: curl cannot sync, so what
it wrote is synced after it. Every run has a fresh process, on a core apart from the server's. What "nothing kept"
reaches is what the network and aiohttp leave to all of them.
"""

import asyncio
import contextlib
import functools
import multiprocessing
import os
import resource
import shutil
import subprocess
import tempfile
import time
import zlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

import aiohttp
import attrs

from benchmarks import figures
from benchmarks.apart import pin, service
from benchmarks.figures import Figure
from kling_async import OFFICIAL, Image, KlingClient, TaskResult, TaskSnapshot, TaskStatus

if TYPE_CHECKING:
    from benchmarks.apart import Pipe

FILES: Final = 200
ROUNDS: Final = 5
AT_ONCE: Final = 16
"""
Transfers of curl and of the bare loop; the client has a width of its own.
"""

TICK: Final = 0.005
MB: Final = 10**6


# The server


def picture(side: int = 816) -> bytes:
    """
    Return a PNG of noise, of a little less than 2 MB by default.
    """

    def chunk(kind: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4)

    lines = b"".join(b"\0" + os.urandom(3 * side) for _ in range(side))
    header = side.to_bytes(4) * 2 + b"\x08\x02\0\0\0"  # 8 bits of red, green and blue
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines, 0)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


async def serve(pipe: "Pipe", content: bytes) -> None:
    """
    Answer every question with *content*, which the kernel itself copies; tell the CPU seconds so far when asked.
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


# What is measured


@attrs.frozen
class Cost:
    """
    Of one run.

    Attributes:
        cpu: Seconds, child processes included.
        peak: Bytes of memory above what the process held before.
        lag: Seconds for which the loop was blocked at worst; 0 where there is none.
    """

    seconds: float
    cpu: float
    peak: int
    lag: float = 0.0


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


def _held(which: str) -> int:
    # VmRSS is what is held now, VmHWM the most that was; `ru_maxrss` would tell of the parent's as well.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(which))


@attrs.define
class Watch:
    """
    Measures what happens between `begin` and `end`.
    """

    _began: float = attrs.field(factory=time.monotonic)
    _cpu: float = attrs.field(factory=_cpu)
    _held: int = attrs.field(factory=functools.partial(_held, "VmRSS"))

    def cost(self, lag: float = 0.0) -> Cost:
        seconds, cpu = time.monotonic() - self._began, _cpu() - self._cpu
        return Cost(seconds, cpu, _held("VmHWM") - self._held, lag)


async def of_loop(work: Coroutine[Any, Any, object]) -> Cost:
    lag = _Lag()
    ticker = asyncio.create_task(lag.watch())
    await asyncio.sleep(0)
    watch = Watch()
    await work
    cost = watch.cost(lag.worst)
    ticker.cancel()
    return cost


# The ways


async def ours(url: str, folder: Path, count: int, *, is_synced: bool) -> Cost:
    """
    As users of the client save.
    """

    def result(number: int) -> TaskResult:
        images = (Image(0, f"{url}/{number}.png"),)
        return TaskResult(f"task-{number}", images, TaskSnapshot(task_id="", task_status=TaskStatus.SUCCEEDED))

    unsynced = contextlib.nullcontext() if is_synced else mock.patch("os.fsync")
    async with KlingClient("sk-x", base_url=url, dialect=OFFICIAL) as client:
        with unsynced:
            saving = (client.save(result(number), folder) for number in range(count))
            return await of_loop(asyncio.gather(*saving))


async def bare(url: str, folder: Path, count: int, *, is_synced: bool) -> Cost:
    """
    As one writes it with aiohttp alone: nothing is checked, and a half file has its final name.
    """
    turn = asyncio.Semaphore(AT_ONCE)

    async def save(session: aiohttp.ClientSession, number: int) -> None:
        async with turn, session.get(f"{url}/{number}.png") as response:
            with (folder / f"{number}.png").open("wb") as file:
                async for piece in response.content.iter_any():
                    file.write(piece)
                if is_synced:
                    file.flush()
                    await asyncio.to_thread(os.fsync, file.fileno())

    async with aiohttp.ClientSession() as session:
        return await of_loop(asyncio.gather(*(save(session, number) for number in range(count))))


async def nothing_kept(url: str, folder: Path, count: int, *, is_synced: bool) -> Cost:
    turn = asyncio.Semaphore(AT_ONCE)

    async def read(session: aiohttp.ClientSession, number: int) -> None:
        async with turn, session.get(f"{url}/{number}.png") as response:
            async for _ in response.content.iter_any():
                pass

    async with aiohttp.ClientSession() as session:
        return await of_loop(asyncio.gather(*(read(session, number) for number in range(count))))


async def curl(url: str, folder: Path, count: int, *, is_synced: bool) -> Cost:
    watch = Watch()
    program = [
        "curl",
        "--silent",
        "--fail",
        "--no-progress-meter",
        "--parallel",
        "--parallel-immediate",
        "--parallel-max",
        str(AT_ONCE),
    ]
    addresses = f"{url}/[0-{count - 1}].png"
    subprocess.run([*program, addresses, "--output", f"{folder}/#1.png"], check=True)  # noqa: S603, ASYNC221
    if is_synced:
        with ThreadPoolExecutor(AT_ONCE) as threads:
            list(threads.map(_sync, folder.iterdir()))
    return watch.cost()


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
