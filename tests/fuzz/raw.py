"""
A server that sends any bytes as an answer, and answers in HTTP that are well or badly formed.
"""

import asyncio
import contextlib
import enum
import functools
import gzip
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from random import Random
from typing import Final, Self

import attrs

from tests.fuzz.odd import MIB, damaged, text, url

__all__ = ["Ending", "RawServer", "Reply", "exchange", "well_formed", "written"]

HEAD_MAX: Final = 256 * 1024

REQUEST: Final = 8192
"""
Bytes that a request and its answer count as beside its content: what a connection costs does not grow with that.
"""


class Ending(enum.Enum):
    """
    What a server does behind an answer.
    """

    KEEP = enum.auto()
    CLOSE = enum.auto()
    RESET = enum.auto()
    STALL = enum.auto()


@attrs.frozen
class Reply:
    """
    What a server sends for one request.

    Attributes:
        pieces: In how many it is sent, each in a turn of the loop of its own.
        packed: Bytes that it has more once it is unpacked, as far as they are read.
    """

    data: bytes = attrs.field(repr=False)
    ending: Ending = Ending.CLOSE
    pieces: int = 1
    packed: int = 0


@attrs.define
class RawServer:
    """
    Answers requests, on any path, with one reply after the other; the last is repeated.
    """

    port: int = 0
    replies: list[Reply] = attrs.field(factory=list)
    served: int = 0
    sent: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def say(self, replies: Iterable[Reply]) -> None:
        """
        Answer with these from now on.
        """
        self.replies[:] = replies
        self.served = self.sent = 0

    def taken(self) -> int:
        """
        Return how many bytes were sent since then, with what requests cost.
        """
        return self.sent + self.served * REQUEST

    @classmethod
    @contextlib.asynccontextmanager
    async def listening(cls) -> AsyncIterator[Self]:
        """
        Serve for as long as the context lasts.
        """
        server = cls()
        async with await asyncio.start_server(server._serve, "127.0.0.1", 0, limit=HEAD_MAX) as listening:
            server.port = listening.sockets[0].getsockname()[1]
            yield server

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while await self._answer(reader, writer):
                pass
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        _, found, length = head.partition(b"content-length:")
        if found:
            await reader.readexactly(int(length.split()[0]))
        reply = self.replies[min(self.served, len(self.replies) - 1)]
        self.served += 1
        self.sent += len(reply.data) + reply.packed
        step = -(-len(reply.data) // reply.pieces) or 1
        for start in range(0, len(reply.data), step):
            writer.write(reply.data[start : start + step])
            await writer.drain()
            if reply.pieces > 1:
                await asyncio.sleep(0)
        match reply.ending:
            case Ending.STALL:
                await reader.read()
            case Ending.RESET:
                writer.transport.abort()
        return reply.ending is Ending.KEEP


async def exchange(port: int, parts: Sequence[bytes], seconds: float = 120.0) -> bytes:
    """
    Send *parts* to a port of this machine, and return what comes back until the connection ends, or time is up.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(seconds):
            for part in parts:
                writer.write(part)
                await writer.drain()
            writer.write_eof()
            while piece := await reader.read(65536):
                answer += piece
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return answer


def well_formed(status: int, headers: Iterable[tuple[str, str]], body: bytes) -> bytes:
    """
    Write an answer in HTTP, as servers do.
    """
    return _head(f"HTTP/1.1 {status} X", [*headers, ("Content-Length", str(len(body)))]) + body


def written(rng: Random, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> Reply:
    """
    Write an answer in HTTP in one of the ways in which servers do, or badly.
    """
    unpacked = len(body)
    packing, body = _packed(rng, body)
    framing, framed = _framed(rng, body)
    extra = _odd_headers(rng) if rng.random() < 0.3 else []
    data = _head(_first_line(rng, status), [*headers, *packing, *framing, *extra]) + framed
    if rng.random() < 0.15:
        data = damaged(rng, data, rng.randrange(1, 4))
    if rng.random() < 0.05:  # an answer before the answer
        data = (
            rng.choice((b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 X\r\nLink: </a>\r\n\r\n", b"\r\n\r\n")) + data
        )
    ending = rng.choice((Ending.CLOSE,) * 6 + (Ending.KEEP, Ending.RESET, Ending.STALL))
    return Reply(data, ending, rng.choice((1, 1, 1, 2, 7)), 4 * MIB if zeros() in data else unpacked)


def _head(first: str, headers: Iterable[tuple[str, str]]) -> bytes:
    lines = [first, *(f"{name}: {said}" for name, said in headers)]
    return "\r\n".join(lines).encode("utf-8", "surrogatepass") + b"\r\n\r\n"


def _first_line(rng: Random, status: int) -> str:
    if rng.random() < 0.9:
        return f"HTTP/1.1 {status} X"
    return rng.choice(
        (
            f"HTTP/1.0 {status} X",
            f"HTTP/1.1 {status}",
            f"HTTP/2 {status} X",
            f"HTTP/1.1 {status} {'X' * rng.choice((10, 9000))}",
            "HTTP/1.1 099 X",
            "HTTP/1.1 1000 X",
            "HTTP/1.1 -1 X",
            "HTTP/1.1 999 X",
            "HTTP/1.1 101 Switching Protocols",
            "HTTP/1.1 204 X",
            "HTTP/1.1 304 X",
            "ICY 200 OK",
            "",
        )
    )


def _packed(rng: Random, body: bytes) -> tuple[list[tuple[str, str]], bytes]:
    if rng.random() < 0.7:
        return [], body
    ways: Sequence[tuple[str, Callable[[], bytes]]] = (
        ("gzip", lambda: gzip.compress(body, 1, mtime=0)),
        ("gzip", lambda: damaged(rng, gzip.compress(body, 1, mtime=0), 1)),
        ("gzip", lambda: gzip.compress(body, 1, mtime=0) * 2),
        ("gzip", lambda: body),
        ("gzip", zeros),
        ("x-gzip", lambda: gzip.compress(body, 1, mtime=0)),
        ("deflate", lambda: zlib.compress(body, 1)),
        ("deflate", lambda: zlib.compress(body, 1)[2:-4]),
        ("br", lambda: body),
        ("zstd", lambda: body),
        ("identity", lambda: body),
        ("gzip, gzip", lambda: gzip.compress(gzip.compress(body, 1, mtime=0), 1, mtime=0)),
        ("nonsense", lambda: body),
    )
    name, packed = rng.choice(ways)
    return [("Content-Encoding", name)], packed()


@functools.cache
def zeros() -> bytes:
    """
    Return 32 MiB of zeros, compressed.
    """
    return gzip.compress(bytes(32 * 1024 * 1024), 6, mtime=0)


def _framed(rng: Random, body: bytes) -> tuple[list[tuple[str, str]], bytes]:
    right = [("Content-Length", str(len(body)))]
    match rng.randrange(14):
        case 0:
            return [("Content-Length", str(max(0, len(body) - rng.randrange(1, 20))))], body
        case 1:
            return [("Content-Length", str(len(body) + rng.randrange(1, 20)))], body
        case 2:
            return [("Content-Length", rng.choice(("-1", "+5", "1_0", "0x5", "٣", "9" * 30, "", "5, 5")))], body
        case 3:
            return [], body
        case 4 | 5:
            return [("Transfer-Encoding", "chunked")], chunks(rng, body) + b"0\r\n\r\n"
        case 6:
            return [("Transfer-Encoding", "chunked")], chunks(rng, body)
        case 7:
            bad = rng.choice((b"zz\r\n", b"-5\r\n", b"f" * 20 + b"\r\n", b"5;" + b"a" * 5000 + b"\r\nabcde\r\n"))
            return [("Transfer-Encoding", "chunked")], chunks(rng, body) + bad
        case 8:
            return [*right, ("Transfer-Encoding", "chunked")], chunks(rng, body) + b"0\r\nA: b\r\n\r\n"
        case _:
            return right, body


def chunks(rng: Random, body: bytes) -> bytes:
    """
    Write *body* in chunks, without the last that ends them.
    """
    size = rng.choice((1, 7, 1000, 65536)) if len(body) < 2000 else 65536
    parts = (body[start : start + size] for start in range(0, len(body), size))
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)


def _odd_headers(rng: Random) -> list[tuple[str, str]]:
    match rng.randrange(6):
        case 0:
            return [(f"X-{number}", "a") for number in range(rng.choice((20, 90, 150, 5000)))]
        case 1:
            return [("X-Long", "a" * rng.choice((1000, 9000, 60_000, 200_000)))]
        case 2:
            return [("Set-Cookie", text(rng)), ("Set-Cookie", "a=b; domain=.example; path=/")]
        case 3:
            return [("Location", url(rng))]
        case 4:
            return [(rng.choice(("Content-Type", "Retry-After", "Date", "Connection", "Keep-Alive")), text(rng))]
        case _:
            return [(text(rng, 20), text(rng))]
