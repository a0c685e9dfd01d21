"""
A small HTTP server for addresses that strangers can reach. It limits connections, and the time and size of headers.

Nearly all callbacks are POSTs that arrive in one piece, on connections that are kept. `_Connection` answers these
itself, with aiohttp's parser but without the rest of its server, which would take several times the CPU.
"""

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from email.utils import formatdate
from http import HTTPStatus
from typing import Final, TypeAlias, cast

from aiohttp import web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpRequestParser, HttpVersion11
from aiohttp.http_exceptions import HttpProcessingError

__all__ = ["serve"]

MAX_CONNECTIONS: Final = 256
"""
Maximum number of open connections. Few accounts have this many tasks that could end at once, and it is well below the
usual limit of 1,024 open files. Each may hold a quarter of a megabyte of incomplete headers.
"""

BACKLOG: Final = 32
"""
Maximum number of connections that are accepted in one iteration of the event loop. Requests are read in between, while
further connections wait in the system's backlog.
"""

HEADER_TIMEOUT: Final = 30.0
"""
Seconds that the headers of a request may take, and for which an idle connection is kept.
"""

MAX_HEADERS: Final = 64

MAX_HEADER_SIZE: Final = 4096
"""
Bytes of one header; callbacks and what proxies add have a few hundred.
"""

LINGER_TIMEOUT: Final = 2.0
"""
Seconds for which the rest of a body is read and thrown away after the answer, so that the sender can read the answer.
"""

SHUTDOWN_TIMEOUT: Final = 1.0
"""
Seconds that running requests get when the server stops.
"""

LARGEST_PIECE: Final = 2**16
"""
Maximum number of bytes that are read from a connection at once.
"""

Handler: TypeAlias = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

TakeWhole: TypeAlias = Callable[[str, Mapping[str, str], bytes], int]
"""
Handles a POST that has arrived, given its path, its headers and its body, and returns the HTTP status of the answer.
"""

_log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def serve(take_whole: TakeWhole, answer: Handler, host: str, port: int) -> AsyncIterator[int]:
    """
    Call *take_whole* for each POST at *host* and *port* that arrives in one piece, and *answer* for any other request,
    until the context ends; yield the port.

    Bodies are not decompressed.

    Raises:
        OSError: The port is taken.
    """
    server = _Server(take_whole, answer)
    runner = web.ServerRunner(server, shutdown_timeout=SHUTDOWN_TIMEOUT)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=BACKLOG).start()
        yield runner.addresses[0][1]
    finally:
        server.close_idle()
        await runner.cleanup()


class _Server(web.Server):
    # At the limit, the connection that has been idle longest is closed for a new one, so that idle connections cannot
    # keep real callers out.

    def __init__(self, take_whole: TakeWhole, answer: Handler) -> None:
        super().__init__(self._handle)
        self.take_whole = take_whole
        # One for all connections, since each piece is processed before the next is read. An `asyncio.Protocol` would be
        # given new bytes, cut from 256 KiB that the system may have to provide for each piece again.
        self.buffer = memoryview(bytearray(LARGEST_PIECE))
        self._answer = answer
        self._idle: dict[_Connection | web.RequestHandler, None] = {}  # the longest idle first
        self._busy: set[web.RequestHandler] = set()

    def __call__(self) -> asyncio.BufferedProtocol:  # type: ignore[override]  # it serves one connection, too
        return _Connection(self, self._loop)

    def make_handler(self) -> web.RequestHandler:
        """
        Make what reads any request, and any number of them, from one connection.
        """
        return _RequestHandler(
            self,
            loop=self._loop,
            access_log=None,  # type: ignore[arg-type]  # None is documented for runners; a log would show tokens
            auto_decompress=False,
            keepalive_timeout=HEADER_TIMEOUT,
            lingering_time=LINGER_TIMEOUT,
            max_headers=MAX_HEADERS,
            max_field_size=MAX_HEADER_SIZE,
            max_line_size=MAX_HEADER_SIZE,
        )

    def open(self, connection: "_Connection") -> None:
        """
        Make room for a new connection, if there is none.
        """
        if len(self._idle) + len(self._busy) >= MAX_CONNECTIONS:
            oldest = next(iter(self._idle), connection)
            self.forget(oldest)
            self._loop.call_soon(oldest.force_close)  # later, since aiohttp may not have begun with it yet
            if oldest is connection:
                return
        self._idle[connection] = None

    def note_used(self, connection: "_Connection") -> None:
        """
        A request of *connection* was answered.
        """
        if connection in self._idle:
            del self._idle[connection]
            self._idle[connection] = None

    def replace(self, connection: "_Connection", handler: web.RequestHandler) -> None:
        """
        Count *handler* in the place of *connection*, which it takes over.
        """
        self.forget(connection)
        self._idle[handler] = None

    def close_idle(self) -> None:
        """
        Close the connections that aiohttp does not know.
        """
        for connection in tuple(self._idle):
            if isinstance(connection, _Connection):
                connection.force_close()

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        self.forget(handler)
        super().connection_lost(handler, exc)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        if connection in self._idle:  # otherwise it was closed just now, to make room
            del self._idle[connection]
            self._busy.add(connection)
        try:
            return await self._answer(request)
        finally:
            if connection in self._busy:  # otherwise it was lost meanwhile
                self._busy.remove(connection)
                self._idle[connection] = None

    def forget(self, connection: "_Connection | web.RequestHandler") -> None:
        """
        Count *connection* no longer.
        """
        self._idle.pop(connection, None)
        if isinstance(connection, web.RequestHandler):
            self._busy.discard(connection)


class _Connection(asyncio.BufferedProtocol):
    # Answers POSTs that arrive in one piece; with the first other bytes aiohttp takes the connection over, for good.

    def __init__(self, server: _Server, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop
        self._used_at = loop.time()
        self._timer = loop.call_later(HEADER_TIMEOUT, self._close_if_idle)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # those of uvloop do not inherit from it
        self._requests = HttpRequestParser(
            BaseProtocol(self._loop),  # which it would pause for pieces that are larger
            self._loop,
            LARGEST_PIECE,
            max_line_size=MAX_HEADER_SIZE,
            max_field_size=MAX_HEADER_SIZE,
            max_headers=MAX_HEADERS,
            auto_decompress=False,
        )
        self._server.open(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio names it)
        self._timer.cancel()
        self._server.forget(self)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 (asyncio names it)
        return self._server.buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._transport.is_closing():
            return
        data = bytes(self._server.buffer[:nbytes])
        try:
            messages, _, _ = self._requests.feed_data(data)
        except HttpProcessingError:
            messages = []
        if len(messages) == 1:
            [(message, payload)] = messages
            is_plain = message.method == "POST" and message.version == HttpVersion11 and not message.should_close
            body = payload.read_nowait() if payload.is_eof() else b""
            # If the next request has begun already, the parser has its first bytes, and aiohttp would not get them.
            is_last = data.endswith(b"0\r\n\r\n" if message.chunked else body or b"\r\n\r\n")
            if is_plain and payload.is_eof() and is_last and not message.upgrade:
                status = self._server.take_whole(message.url.path, message.headers, body)
                self._transport.write(_answer(status, int(time.time())))
                self._used_at = self._loop.time()
                self._server.note_used(self)
                return
        self._hand_over(data)

    def pause_writing(self) -> None:
        self.force_close()  # hundreds of answers were not read

    def force_close(self) -> None:
        """
        Close the connection at once.
        """
        self._transport.abort()

    def _hand_over(self, data: bytes) -> None:
        self._timer.cancel()
        handler = self._server.make_handler()
        self._server.replace(self, handler)
        self._transport.set_protocol(handler)
        handler.connection_made(self._transport)
        handler.data_received(data)

    def _close_if_idle(self) -> None:
        left = self._used_at + HEADER_TIMEOUT - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._close_if_idle)
        else:
            self._transport.close()


@functools.lru_cache(maxsize=16)
def _answer(status: int, now: int) -> bytes:
    phrase, date = HTTPStatus(status).phrase, formatdate(now, usegmt=True)
    return f"HTTP/1.1 {status} {phrase}\r\nContent-Length: 0\r\nDate: {date}\r\n\r\n".encode()


class _RequestHandler(web.RequestHandler):
    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        # Scanners send broken HTTP to every public address; that deserves no traceback in the log.
        if status >= 500:
            return super().handle_error(request, status, exc, message)
        _log.debug("a request cannot be read: %s", type(exc).__name__)
        response = web.Response(status=status)
        response.force_close()
        return response
