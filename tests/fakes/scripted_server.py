"""
Servers on real sockets that answer with given bytes.
"""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import attrs

Answering = Callable[["ReceivedRequest"], Awaitable[bytes | None] | bytes | None]


@attrs.frozen
class ReceivedRequest:
    """
    One request as it came: its first line, headers in lower case, body, and the number of its connection.
    """

    line: str
    headers: dict[str, str]
    body: bytes
    connection: int


@attrs.define
class Server:
    """
    Answers each request with the bytes that `say` returns; None resets the connection.
    """

    say: Answering
    url: str = ""
    served: list[ReceivedRequest] = attrs.field(factory=list)
    connections: int = 0
    under_way: int = 0
    most_under_way: int = 0
    talks: dict[asyncio.Task[None] | None, asyncio.StreamWriter] = attrs.field(factory=dict)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        self.talks[asyncio.current_task()] = writer
        try:
            while (said := await self._answer(reader, number)) is not None:
                writer.write(said)
                await writer.drain()
                if b"Connection: close" in said:
                    writer.close()
                    return
            writer.transport.abort()
        except (ConnectionError, asyncio.IncompleteReadError):
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, connection: int) -> bytes | None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.served.append(served := ReceivedRequest(head[0], headers, body, connection))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            said = self.say(served)
            return said if said is None or isinstance(said, bytes) else await said
        finally:
            self.under_way -= 1


def http_response(payload: Any, status: str = "200 OK", **headers: str) -> bytes:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


@contextlib.asynccontextmanager
async def scripted_server(say: Answering, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server(say)
    listener = await asyncio.start_server(server.talk, "127.0.0.1", 0, ssl=tls)
    host, port = listener.sockets[0].getsockname()[:2]
    server.url = f"http{'s' if tls else ''}://{host}:{port}"
    try:
        yield server
    finally:
        listener.close()
        await end(server.talks)
        await listener.wait_closed()


Conversation = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def raw_server(talk: Conversation) -> AsyncIterator[str]:
    """
    Serve each connection by *talk*, and close it then; what still talks at the end is cancelled.
    """
    talks: dict[asyncio.Task[None] | None, asyncio.StreamWriter] = {}

    async def talk_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks[asyncio.current_task()] = writer
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await talk(reader, writer)
        writer.close()

    server = await asyncio.start_server(talk_and_close, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await end(talks)


async def end(talks: Mapping[asyncio.Task[None] | None, asyncio.StreamWriter]) -> None:
    """
    Abort connections, and wait until nothing is left of them.
    """
    for aio_task, writer in talks.items():
        writer.transport.abort()
        if aio_task is not None:
            aio_task.cancel()
    await asyncio.gather(*filter(None, talks), return_exceptions=True)
    for writer in talks.values():
        with contextlib.suppress(OSError):
            await writer.wait_closed()
