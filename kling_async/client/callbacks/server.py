"""
A small HTTP server for addresses that strangers can reach. It limits connections, and the time and size of headers.
"""

import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, TypeAlias

from aiohttp import web

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
Seconds that the headers of a request may take, from the opening of the connection or from the last answer. So this is
also how long an idle connection is kept.
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

Handler: TypeAlias = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def serve(answer: Handler, host: str, port: int) -> AsyncIterator[int]:
    """
    Call *answer* for each request at *host* and *port* until the context ends; yield the port.

    Bodies are not decompressed.

    Raises:
        OSError: The port is taken.
    """
    runner = web.ServerRunner(_Server(answer), shutdown_timeout=SHUTDOWN_TIMEOUT)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=BACKLOG).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


class _Server(web.Server):
    # At the limit, the connection that has been idle longest is closed for a new one, so that idle connections cannot
    # keep real callers out.

    def __init__(self, answer: Handler) -> None:
        super().__init__(self._handle)
        self._answer = answer
        self._idle: dict[web.RequestHandler, None] = {}  # the longest idle first
        self._busy: set[web.RequestHandler] = set()

    def __call__(self) -> web.RequestHandler:
        return _Connection(
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

    def connection_made(self, handler: web.RequestHandler, transport: Any) -> None:
        super().connection_made(handler, transport)
        if len(self._idle) + len(self._busy) >= MAX_CONNECTIONS:
            oldest = next(iter(self._idle), handler)
            self._forget(oldest)
            self._loop.call_soon(oldest.force_close)  # later, since aiohttp has not yet begun with the new one
            if oldest is handler:
                return
        self._idle[handler] = None

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        self._forget(handler)
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

    def _forget(self, connection: web.RequestHandler) -> None:
        self._idle.pop(connection, None)
        self._busy.discard(connection)


class _Connection(web.RequestHandler):
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
