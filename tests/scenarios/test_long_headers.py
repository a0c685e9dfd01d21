"""
Answers with more, and longer, headers than aiohttp reads by itself.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aiohttp
import pytest

from kling_async import GATEWAY, KlingClient, RetryPolicy
from kling_async.errors import KlingError
from kling_async.policy.http import MAX_HEADER, MAX_HEADERS

TASK = b'{"code":0,"data":{"task_id":"t-1","task_status":"submitted"},"request_id":"r-1"}'


@contextlib.asynccontextmanager
async def answering(count: int, length: int) -> AsyncIterator[str]:
    """
    A service whose answers have *count* headers more than usual, each of *length* bytes.
    """
    more = b"".join(b"X-%d: %s\r\n" % (number, b"v" * (length - len("X-9: ") - 4)) for number in range(count))

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        [size] = [line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")] or [b"0"]
        await reader.readexactly(int(size))
        end = b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(TASK)
        writer.write(b"HTTP/1.1 200 OK\r\n" + more + end + TASK)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()


async def test_borrowed_session_reads_long_headers() -> None:
    """
    The session's own limits are aiohttp's defaults.
    """
    async with (
        answering(200, 9000) as url,
        aiohttp.ClientSession() as session,
        KlingClient("sk-1", base_url=url, dialect=GATEWAY, session=session) as client,
    ):
        assert "t-1" == (await client.submit("a lighthouse")).task_id


@pytest.mark.parametrize(("count", "length"), [(101, 20), (400, 100), (1, 8300), (3, 60_000)])
async def test_long_headers_of_a_good_answer_are_read(count: int, length: int) -> None:
    """
    Relays and proxies add headers.
    """
    async with answering(count, length) as url, KlingClient("sk-1", base_url=url, dialect=GATEWAY) as client:
        handle = await client.submit("a lighthouse")
        assert "t-1" == handle.task_id
        assert "t-1" == (await client.get("t-1")).task_id


@pytest.mark.parametrize(
    ("count", "length", "told"), [(MAX_HEADERS + 1, 20, "Too many headers"), (1, 2 * MAX_HEADER, f"{MAX_HEADER} bytes")]
)
async def test_longer_headers_are_reported(count: int, length: int, told: str) -> None:
    """
    The text names the limit, and does not quote the header: it may be a cookie.
    """
    async with (
        answering(count, length) as url,
        KlingClient("sk-1", base_url=url, dialect=GATEWAY, retry=RetryPolicy(give_up_after=0.01)) as client,
    ):
        for verb in (client.submit("a lighthouse"), client.get("t-1")):
            with pytest.raises(KlingError, match=f"the head of the answer cannot be read .*{told}") as caught:
                await verb
            assert "vvv" not in str(caught.value)
