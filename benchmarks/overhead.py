"""
The client's overhead over aiohttp: CPU of a submit and one poll, compared with a loop that sends the same requests.

Both run 16 at a time in this process, alternating (A B A B). The service gives constant responses from its own process.
Its CPU is reported, too; as long as that is well below the client's, the service is not the bottleneck.
"""

import asyncio
import functools
import itertools
import json
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import attrs

from benchmarks import apart
from benchmarks.figures import Figure, ratio
from kling_async import OFFICIAL, HttpOptions, KlingClient, RetryPolicy
from kling_async.client.exchange import RequestBody
from kling_async.client.transport import Transport
from kling_async.wire.auth import ApiKey
from kling_async.wire.json_text import dumps
from kling_async.wire.responses import read_created, read_snapshot

if TYPE_CHECKING:
    from benchmarks.apart import Pipe

AT_ONCE: Final = 16
WARM_UP: Final = 200
COUNT: Final = 2000
"""
Jobs in one run.
"""
ROUNDS: Final = 9
PATH: Final = "/v1/images/generations"

TIMES: Final = {"created_at": 1722769557708, "updated_at": 1722769559708}
ENVELOPE: Final = {"code": 0, "message": "SUCCEED", "request_id": "8f1e3a52-2c1f-4b8e-9f0e-7a1d2c3b4e5f"}


class Answers(asyncio.Protocol):
    """
    Responds to a POST with a new task, and to a GET with one that has succeeded.
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


async def serve(pipe: "Pipe") -> None:
    server = await asyncio.get_running_loop().create_server(Answers, "127.0.0.1", 0)
    pipe.send(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    while await asyncio.to_thread(pipe.recv) is not None:
        pipe.send(time.process_time())


class Service:
    """
    The process of the service; `url` is its address.
    """

    def __init__(self, pipe: "Pipe") -> None:
        self._pipe = pipe
        self.url: str = pipe.recv()

    def cpu(self) -> float:
        """
        Return the CPU seconds that the service has used so far.
        """
        self._pipe.send("CPU")
        seconds: float = self._pipe.recv()
        return seconds


@contextmanager
def service() -> Iterator[Service]:
    with apart.service(serve) as pipe:
        yield Service(pipe)


@attrs.frozen
class Cost:
    """
    The cost of one job: CPU seconds, and elapsed seconds while others were running.
    """

    cpu: float
    clock: float


async def cost_of(job: Callable[[], Awaitable[object]], count: int | None = None) -> Cost:
    """
    Return the cost of *job*, averaged over many runs.
    """

    async def work(turns: Iterator[int]) -> None:
        for _ in turns:
            await job()

    count = count or COUNT
    for times in (WARM_UP, count):
        turns = iter(range(times))
        cpu, clock = time.process_time(), time.monotonic()
        await asyncio.gather(*(work(turns) for _ in range(AT_ONCE)))
    return Cost((time.process_time() - cpu) / count, (time.monotonic() - clock) / count)


async def bare(url: str, *, looks: bool = True) -> Cost:
    """
    The same with plain aiohttp.
    """
    headers = {"Authorization": "Bearer sk-x"}
    body = {"prompt": "a lighthouse", "n": 1, "model_name": OFFICIAL.default_model, "external_task_id": "x" * 36}
    async with aiohttp.ClientSession() as session:

        async def job() -> str:
            async with session.post(url + PATH, json=body, headers=headers) as answer:
                task_id: str = (await answer.json())["data"]["task_id"]
            if not looks:
                return task_id
            async with session.get(f"{url}{PATH}/{task_id}", headers=headers) as answer:
                address: str = (await answer.json())["data"]["task_result"]["images"][0]["url"]
            return address

        return await cost_of(job)


async def ours(url: str, *, looks: bool = True) -> Cost:
    async with KlingClient("sk-x", base_url=url, dialect=OFFICIAL, slots=2 * COUNT) as client:

        async def job() -> str:
            handle = await client.submit("a lighthouse")
            if not looks:
                return handle.task_id
            return (await client.get(handle.task_id)).task_result.images[0].url

        return await cost_of(job)


async def floors_of_ours(url: str, *, reads: bool) -> Cost:
    """
    Only the transport of `ours`, one request each. Responses are parsed by the package if *reads*, otherwise by `json`.
    No slots, no handles, no polling, no protection against paying twice.
    """
    async with Transport(url, HttpOptions(), RetryPolicy(), keepalive=30.0, credentials=ApiKey("sk-x")) as transport:
        body = dumps({"prompt": "a lighthouse", "n": 1, "external_task_id": "x" * 36})

        async def job() -> str:
            answer = await transport.send("POST", PATH, RequestBody(body))
            task_id = read_created(answer).task_id if reads else json.loads(answer.body)["data"]["task_id"]
            answer = await transport.send("GET", f"{PATH}/{task_id}")
            if reads:
                return read_snapshot(answer, task_id).task_result.images[0].url
            address: str = json.loads(answer.body)["data"]["task_result"]["images"][0]["url"]
            return address

        return await cost_of(job)


async def uncollected(url: str) -> Cost:
    """
    As `ours`, without Python's garbage collector: the difference is the cost of its scans.
    """
    with apart.no_collector():
        return await ours(url)


WAYS: Final[dict[str, Callable[[str], Coroutine[Any, Any, Cost]]]] = {
    "bare aiohttp loop": bare,
    "kling_async, its transport alone": functools.partial(floors_of_ours, reads=False),
    "kling_async, its transport and codec": functools.partial(floors_of_ours, reads=True),
    "kling_async, no collector": uncollected,
    "kling_async": ours,
}


def measure(rounds: int | None) -> list[Figure]:
    apart.pin(0)
    costs: dict[str, list[float]] = {who: [] for who in WAYS}
    services = []
    for _ in range(rounds or ROUNDS):
        with service() as server:
            for who, way in WAYS.items():
                before = server.cpu()
                costs[who].append(1e6 * asyncio.run(way(server.url)).cpu)
            services.append(1e6 * (server.cpu() - before) / (COUNT + WARM_UP))
    floor, *others = (Figure(f"overhead/{who}/CPU", "µs", tuple(of_who)) for who, of_who in costs.items())
    ratios = (ratio(f"{other.name} to a bare loop", other, floor) for other in others)
    return [floor, *others, *ratios, Figure("overhead/service/CPU", "µs", tuple(services))]
