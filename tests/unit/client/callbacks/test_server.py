"""
The receiver's own server: what it answers itself, and what it leaves to aiohttp's.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Final

import attrs
import pytest

from kling_async.client.callbacks import server as serving
from kling_async.client.callbacks.receiver import CallbackReceiver
from tests.fakes.simulated_loop import now, simulated

BODY: Final = b'{"task_id": "t-1", "task_status": "processing"}'
GET: Final = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@attrs.frozen
class Caller:
    """
    One connection to a receiver.
    """

    receiver: CallbackReceiver
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def post(self, headers: str = f"Content-Length: {len(BODY)}\r\n", body: bytes = BODY) -> bytes:
        token = self.receiver.address_of("a-submit").rpartition("/")[2]
        return f"POST /kling/{token} HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode() + body

    async def ask(self, *pieces: bytes) -> bytes:
        """
        Send a request in pieces, and return the headers of the answer.
        """
        for piece in pieces:
            self.writer.write(piece)
            await asyncio.sleep(0.01)
        async with asyncio.timeout(20):
            return await self.reader.readuntil(b"\r\n\r\n")


@contextlib.asynccontextmanager
async def calling() -> AsyncIterator[Caller]:
    receiver = CallbackReceiver("https://bots.example/kling")
    async with receiver.serve() as server:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        try:
            yield Caller(receiver, reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@pytest.fixture
def handlers(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """
    What aiohttp's server is asked to read.
    """
    made: list[object] = []
    make = serving._Server.make_handler

    def make_and_note(server: serving._Server) -> object:
        made.append(make(server))
        return made[-1]

    monkeypatch.setattr(serving._Server, "make_handler", make_and_note)
    return made


def test_whole_callbacks_are_answered_without_aiohttp(handlers: list[object]) -> None:
    """
    Any number of them on one connection; a chunked body is whole, too.
    """

    @simulated
    async def story() -> None:
        async with calling() as caller:
            chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
            for request in (caller.post(), caller.post(), caller.post("Transfer-Encoding: chunked\r\n", chunked)):
                answer = await caller.ask(request)
                assert answer.startswith(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nDate: ")
                assert b"GMT" in answer
            assert b"404 Not Found" in await caller.ask(caller.post().replace(b"a-submit", b"another"))
            assert 3 == caller.receiver.counts.unsigned
            assert 1 == caller.receiver.counts.forged

    story()
    assert [] == handlers


@pytest.mark.parametrize(
    ("pieces", "status"),
    [
        (lambda caller: [GET], b"405"),
        (lambda caller: [caller.post()[:30], caller.post()[30:]], b"200"),
        (lambda caller: [caller.post()[:-9], caller.post()[-9:]], b"200"),
        (lambda caller: [caller.post(f"Content-Length: {len(BODY)}\r\nConnection: close\r\n")], b"200"),
        (lambda caller: [caller.post().replace(b"HTTP/1.1", b"HTTP/1.0")], b"200"),
        (lambda caller: [b"no HTTP\r\n\r\n"], b"400"),
    ],
    ids=["GET", "broken headers", "broken body", "last request", "old HTTP", "no HTTP"],
)
def test_other_requests_are_left_to_aiohttp(
    pieces: Callable[[Caller], list[bytes]], status: bytes, handlers: list[object]
) -> None:
    """
    They are answered as ever, although the connection brought a whole callback before.
    """

    @simulated
    async def story() -> None:
        async with calling() as caller:
            assert b"200" in await caller.ask(caller.post())
            assert status in (await caller.ask(*pieces(caller))).splitlines()[0]

    story()
    assert 1 == len(handlers)


@simulated
async def test_connection_serves_on_after_another_request() -> None:
    """
    What follows a request that is left to aiohttp is answered, too; several requests at once are.
    """
    async with calling() as caller:
        assert b"200" in await caller.ask(caller.post())
        assert b"405" in await caller.ask(GET)
        assert b"200" in await caller.ask(caller.post())
        assert b"200" in await caller.ask(caller.post() + caller.post())
        assert b"200" in await caller.ask()
        await asyncio.sleep(0)
        assert 4 == caller.receiver.counts.unsigned


@simulated
async def test_idle_connection_is_closed_thirty_seconds_after_its_last_callback() -> None:
    """
    The time counts from the last callback, not from the opening.
    """
    async with calling() as caller:
        for _ in range(3):
            assert b"200" in await caller.ask(caller.post())
            await asyncio.sleep(20)
        assert b"200" in await caller.ask(caller.post())
        last = now()

        assert b"" == await caller.reader.read()
        assert serving.HEADER_TIMEOUT == pytest.approx(now() - last, abs=1)


async def test_caller_that_reads_no_answers_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Their answers would fill the memory.
    """
    monkeypatch.setattr(serving, "_answer", lambda _status, _now: bytes(2**24))
    async with calling() as caller:
        caller.writer.write(caller.post())

        received = 0
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(20):
                while piece := await caller.reader.read(2**16):
                    received += len(piece)
        assert received < 2**24


async def test_open_connections_are_closed_with_the_server() -> None:
    """
    Those that aiohttp has never seen, too.
    """
    receiver = CallbackReceiver("https://bots.example/kling")
    async with receiver.serve() as server:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        caller = Caller(receiver, reader, writer)
        assert b"200" in await caller.ask(caller.post())
    try:
        async with asyncio.timeout(20):
            assert b"" == await reader.read()
    except ConnectionError:
        pass
    finally:
        writer.close()


@pytest.mark.parametrize("cut", [1, 30, -len(BODY), -1])
async def test_next_request_that_has_begun_in_the_same_piece_is_read_whole(cut: int) -> None:
    """
    Wherever it is cut, and however many pieces follow.
    """
    async with calling() as caller:
        whole = caller.post()
        rest = whole[cut:]
        first = await caller.ask(whole + whole[:cut])
        second = await caller.ask(rest[: len(rest) // 2], rest[len(rest) // 2 :])

        assert first.startswith(b"HTTP/1.1 200")
        assert second.startswith(b"HTTP/1.1 200")
        assert 2 == caller.receiver.counts.received
