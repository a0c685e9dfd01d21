"""
What the client adds to aiohttp: CPU of a submit and one look, beside a bare loop that sends the same two requests.

    python benchmarks/overhead.py                # seven pairs, some twenty seconds
    python benchmarks/overhead.py --pairs 21

Both run 16 at a time in this process, one after the other, A B A B; what is told is the median of the pairs' ratios and
how far they spread. The service answers with what it always answers, in a process of its own: its CPU is told too, and
as long as that is well below the client's it is not what is measured.
"""

import argparse
import asyncio
import itertools
import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from kling_async import OFFICIAL, KlingClient

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

AT_ONCE: Final = 16
WARM_UP: Final = 200
PATH: Final = "/v1/images/generations"

TIMES: Final = {"created_at": 1722769557708, "updated_at": 1722769559708}
ENVELOPE: Final = {"code": 0, "message": "SUCCEED", "request_id": "8f1e3a52-2c1f-4b8e-9f0e-7a1d2c3b4e5f"}


class Service(asyncio.Protocol):
    """
    Answers a POST with a new task, and a GET with one that has succeeded.
    """

    numbers = itertools.count(10**17)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, rest = self._received.partition(b"\r\n\r\n")
        length = 0
        if (at := head.lower().find(b"content-length:")) >= 0:
            length = int(head[at + 15 :].split(b"\r", 1)[0])
        if not end or len(rest) < length:
            return
        self._received = rest[length:]
        if head.startswith(b"POST"):
            task: dict[str, Any] = {"task_id": str(next(self.numbers)), "task_status": "submitted", **TIMES}
        else:
            task_id = head.split(b" ", 2)[1].rpartition(b"/")[2].decode()
            images = [{"index": 0, "url": f"https://pictures.example/{task_id}-0.png?sign=0123456789abcdef"}]
            task = {"task_id": task_id, "task_status": "succeed", "task_result": {"images": images}, **TIMES}
        body = json.dumps({**ENVELOPE, "data": task}).encode()
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        )


async def serve(pipe: "Connection[Any, Any]") -> None:
    server = await asyncio.get_running_loop().create_server(Service, "127.0.0.1", 0)
    pipe.send(server.sockets[0].getsockname()[1])
    while await asyncio.to_thread(pipe.recv) == "tell CPU":
        pipe.send(time.process_time())


def run_service(pipe: "Connection[Any, Any]") -> None:
    pin(-1)
    asyncio.run(serve(pipe))


def pin(which: int) -> None:
    """
    Keep this process on one core, where the system can: client and service apart.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[which]})


@contextmanager
def service() -> Iterator[tuple[str, "Connection[Any, Any]"]]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=run_service, args=(theirs,))
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}", ours
    finally:
        ours.send("close")
        process.join()


async def cpu_of(job: Callable[[], Awaitable[object]], count: int) -> float:
    """
    Return the CPU seconds that *job* takes, when it was done so often.
    """

    async def work(turns: Iterator[int]) -> None:
        for _ in turns:
            await job()

    for times in (WARM_UP, count):
        turns = iter(range(times))
        began = time.process_time()
        await asyncio.gather(*(work(turns) for _ in range(AT_ONCE)))
    return (time.process_time() - began) / count


async def bare(url: str, count: int) -> float:
    """
    As one writes it with aiohttp alone.
    """
    headers = {"Authorization": "Bearer sk-x"}
    body = {"prompt": "a lighthouse", "n": 1, "model_name": OFFICIAL.default_model, "external_task_id": "x" * 36}
    async with aiohttp.ClientSession() as session:

        async def job() -> str:
            async with session.post(url + PATH, json=body, headers=headers) as answer:
                task_id = (await answer.json())["data"]["task_id"]
            async with session.get(f"{url}{PATH}/{task_id}", headers=headers) as answer:
                address: str = (await answer.json())["data"]["task_result"]["images"][0]["url"]
            return address

        return await cpu_of(job, count)


async def ours(url: str, count: int) -> float:
    async with KlingClient("sk-x", base_url=url, dialect=OFFICIAL, slots=1000) as client:

        async def job() -> str:
            handle = await client.submit("a lighthouse")
            return (await client.get(handle.task_id)).task_result.images[0].url

        return await cpu_of(job, count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--count", type=int, default=2000, help="submits in one run")
    given = parser.parse_args()
    pin(0)
    ratios = []
    with service() as (url, pipe):
        for _ in range(given.pairs):
            floor, cost = asyncio.run(bare(url, given.count)), asyncio.run(ours(url, given.count))
            ratios.append(cost / floor)
            print(f"bare {floor * 1e6:4.0f} µs, kling_async {cost * 1e6:4.0f} µs: {ratios[-1]:.2f}")
        pipe.send("tell CPU")
        requests = 2 * 2 * given.pairs * (given.count + WARM_UP)
        print(f"the service took {pipe.recv() / requests * 2e6:.0f} µs for the same two requests")
    low, median, high = statistics.quantiles(ratios, n=4)
    print(f"submit and one look: {median:.2f} times a bare loop (quartiles {low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
