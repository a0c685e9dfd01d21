"""
A create is never sent a second time, though aiohttp repeats reads by itself.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import attrs
import pytest

WARM_UP = "OPTIONS"
"""
The method of a request that is answered, so that the next one goes on a connection that was kept.
"""


@attrs.define(eq=False)
class Breaker:
    """
    A server that takes each request in full, and breaks the connection in its answer's place.
    """

    way: str
    seen: list[str] = attrs.field(factory=list)
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            lines = head.decode().lower().splitlines()
            lengths = [int(line.partition(":")[2]) for line in lines if line.startswith("content-length:")]
            await reader.readexactly(sum(lengths))
            method = lines[0].partition(" ")[0].upper()
            if method != WARM_UP:
                self.seen.append(method)
                break
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        if self.way == "in the middle":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Le")
        if self.way == "reset":
            writer.transport.abort()
        writer.close()


@asynccontextmanager
async def breaking(way: str) -> AsyncIterator[Breaker]:
    breaker = Breaker(way)
    async with await asyncio.start_server(breaker.serve, "127.0.0.1", 0) as server:
        breaker.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        yield breaker


@pytest.mark.parametrize("way", ["closed", "reset", "in the middle"])
@pytest.mark.parametrize("is_kept", [False, True])
@pytest.mark.parametrize(
    ("method", "times"), [("POST", 1), ("PATCH", 1), ("GET", 2), ("HEAD", 2), ("PUT", 2), ("DELETE", 2)]
)
async def test_what_is_sent_again(method: str, times: int, way: str, *, is_kept: bool) -> None:
    """
    On a new connection as on one that was kept.
    """
    async with breaking(way) as breaker, aiohttp.ClientSession() as session:
        if is_kept:
            async with session.request(WARM_UP, breaker.url) as answer:
                await answer.read()
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await session.request(method, breaker.url, data=b"{}" if method in {"POST", "PATCH", "PUT"} else None)

        assert [method] * times == breaker.seen
