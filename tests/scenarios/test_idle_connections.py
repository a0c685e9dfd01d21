"""
Servers close idle connections when they like: no submit may be lost to that where nothing could find it again.
"""

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator

import attrs
import pytest

from kling_async.client.transport import Transport
from kling_async.errors import SubmissionUncertain
from kling_async.policy.http import HttpOptions
from kling_async.policy.policies import RetryPolicy
from kling_async.wire.auth import ApiKey
from kling_async.wire.endpoints.image_generation import IMAGE_GENERATION
from kling_async.wire.responses import read_snapshot
from tests.fakes.deliveries import Recorder, delivery, submit
from tests.fakes.scripted_server import raw_server
from tests.fakes.simulated_loop import simulate

TASK = json.dumps({"code": 0, "data": {"task_id": "t-1", "task_status": "submitted"}}).encode()


@attrs.define
class FarService:
    """
    A service that closes connections which were idle for so many seconds, behind a network that takes its time.

    Attributes:
        says: Whether it says in `Keep-Alive` for how long it keeps them.
        claims: What it says instead of the truth; None for the truth.
    """

    idle: float
    delay: float
    says: bool = False
    claims: float | None = None
    url: str = ""
    connections: int = 0
    creates: int = 0
    _inner: int = 0  # the port behind the network
    _writers: list[asyncio.StreamWriter] = attrs.field(factory=list)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        with contextlib.suppress(TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            while True:
                async with asyncio.timeout(self.idle):
                    head = await reader.readuntil(b"\r\n\r\n")
                lines = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
                await reader.readexactly(int(lines.get(b"Content-Length", b"0")))
                self.creates += head.startswith(b"POST")
                kept = f"Keep-Alive: timeout={self.claims or self.idle:.0f}\r\n" if self.says else ""
                start = f"HTTP/1.1 200 OK\r\n{kept}Content-Length: {len(TASK)}\r\n\r\n"
                writer.write(start.encode() + TASK)
        writer.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._inner)
        self._writers += [writer, inner_writer]
        async with asyncio.TaskGroup() as group:
            group.create_task(self._carry(reader, inner_writer))
            group.create_task(self._carry(inner_reader, writer))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Each piece, and the end, arrives `delay` seconds after it was sent.
        loop = asyncio.get_running_loop()
        is_over = loop.create_future()

        def end() -> None:
            writer.close()
            is_over.set_result(None)

        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(65536):
                loop.call_later(self.delay, writer.write, piece)
        loop.call_later(self.delay, end)
        await is_over

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator["FarService"]:
        inner = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        outer = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self._inner = inner.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{outer.sockets[0].getsockname()[1]}"
        others = asyncio.all_tasks()
        try:
            yield self
        finally:
            for server in (outer, inner):
                server.close()
            for writer in self._writers:
                writer.transport.abort()
            if late := asyncio.all_tasks() - others:
                await asyncio.wait(late)
            await asyncio.sleep(0.1)


async def lost_of(service: FarService, count: int, *, mean: float, looks: bool = False) -> int:
    """
    Send *count* creates after random gaps of so many seconds on average, and count those of unknown fate. With *looks*
    there is a read before each.
    """
    lot = random.Random(f"{service.idle} {service.delay}")
    http, retry = HttpOptions(connect_timeout=5.0, read_timeout=5.0), RetryPolicy(first_delay=0.1)
    lost = 0
    async with service.serving(), Transport(service.url, http, retry, 25.0, ApiKey("sk-x")) as transport:
        for _ in range(count):
            await asyncio.sleep(lot.expovariate(1 / mean))
            if looks:
                await transport.read(IMAGE_GENERATION.one("t-1"), read_snapshot)
            try:
                await submit(transport, delivery())
            except SubmissionUncertain:
                lost += 1
    return lost


def run(service: FarService, count: int, **how: object) -> int:
    results: list[int] = []

    async def story() -> None:
        results.append(await lost_of(service, count, **how))  # type: ignore[arg-type]

    simulate(story())
    return results[0]


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.1], ids="{} s away".format)
@pytest.mark.parametrize("idle", [0.2, 1.0, 2.0, 5.0], ids="closed after {} s".format)
@pytest.mark.parametrize("says", [False, True], ids=["silent", "Keep-Alive"])
def test_no_create_is_lost_to_a_connection_that_ends(*, idle: float, delay: float, says: bool) -> None:
    """
    Creates at random moments, which a look-up could not find: none is of unknown fate, whenever the server closes.
    """
    service = FarService(idle, delay, says)

    assert 0 == run(service, 25, mean=idle)
    assert 25 == service.creates


@pytest.mark.parametrize(("says", "are_shared"), [(False, False), (True, True)], ids=["silent", "Keep-Alive"])
def test_connections_are_used_again_where_the_service_keeps_them(*, says: bool, are_shared: bool) -> None:
    """
    A service that says it keeps connections for five seconds gets creates in quick succession on one of them.
    """
    service = FarService(5.0, 0.0, says)

    run(service, 20, mean=0.05)

    assert are_shared is (service.connections < 10)


@pytest.mark.parametrize("looks", [False, True], ids=["creates", "reads between"])
def test_service_that_closes_connections_early_loses_one_create(*, looks: bool) -> None:
    """
    It closes connections after half a second, and announces that it keeps them for a minute. After the first loss each
    create opens its own connection, regardless of the announcement.
    """
    service = FarService(0.5, 0.1, says=True, claims=60.0)

    assert 1 == run(service, 200, mean=0.5, looks=looks)


STRAYS = {
    "408": b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n",
    "400": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\n{}",
    "another answer": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(TASK), TASK),
    "head alone": b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 100\r\n\r\n",
    "no HTTP": b"bye\r\n",
}


@pytest.mark.parametrize("stray", STRAYS.values(), ids=STRAYS)
@pytest.mark.parametrize("external_id", [None, "ours"])
def test_bytes_on_an_idle_connection_are_not_the_answer_to_a_create(stray: bytes, external_id: str | None) -> None:
    """
    Some servers send the reason why they close an idle connection. The next create is sent on another connection.
    """
    made: list[str] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0]))
                made.append(f"t-{len(made)}")
                told = TASK.replace(b"t-1", made[-1].encode())
                start = f"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=60\r\nContent-Length: {len(told)}\r\n\r\n"
                writer.write(start.encode() + told)
                await asyncio.sleep(0.1)
                writer.write(stray)

    async def story() -> None:
        retry = RetryPolicy(first_delay=0.1)
        async with raw_server(talk) as url, Transport(url, HttpOptions(), retry, 25.0, ApiKey("sk-x")) as transport:
            for _ in range(4):
                observer = Recorder()
                accepted = await submit(transport, delivery(external_id, observer=observer))
                assert (made[-1], "sending") == (accepted.task_id, observer.steps[-1])
                await asyncio.sleep(0.3)

    simulate(story())

    assert 4 == len(made)


def test_creates_that_can_be_looked_up_share_connections() -> None:
    """
    Where an id of ours is known, a lost answer costs a look-up, so that connections are used again as for reads.
    """
    service = FarService(5.0, 0.0)

    async def story() -> None:
        retry = RetryPolicy(first_delay=0.1)
        async with service.serving(), Transport(service.url, HttpOptions(), retry, 25.0, ApiKey("sk-x")) as transport:
            for number in range(10):
                await submit(transport, delivery(f"ours-{number}"))

    simulate(story())

    assert (10, 1) == (service.creates, service.connections)
