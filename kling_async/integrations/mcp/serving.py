"""
Serves over stdio, or over streamable HTTP.
"""

import asyncio
import contextlib
import hmac
import os
import socket
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, Final

import uvicorn
from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["HTTP_PATH", "http_app", "listen", "serve_http", "serve_stdio"]

HTTP_PATH: Final = "/mcp"

_GRACE: Final = 1
"""
Seconds that running calls get to end when an HTTP server is stopped.
"""


async def serve_stdio(server: MCPServer[Any]) -> None:
    """
    Serve the program that has started this one, until it closes stdin. Nothing else may write to stdout.

    Cancelling this ends the server as the end of stdin does.
    """
    with _closable_stdin() as close_stdin:
        await _ended_by(close_stdin, server.run_stdio_async())


async def serve_http(
    server: MCPServer[Any],
    listener: socket.socket,
    *,
    token: str | None = None,
    host_names: Sequence[str] = (),
    on_stop: Callable[[], object] = bool,
) -> None:
    """
    Serve streamable HTTP at the path /mcp of the address of *listener*, until this is cancelled. Then running calls get
    a moment to end. What they have begun goes on: the log of tasks has it.

    Args:
        on_stop: Called when this is cancelled, to end calls that wait: `AgentService.stopping.set`.
        token: What clients send as a Bearer token; None lets everybody in.
        host_names: Further names by which clients may call the server, such as that of a proxy.
    """
    app = http_app(server, listener.getsockname()[0], token=token, host_names=host_names)
    config = uvicorn.Config(
        app, log_config=None, log_level="warning", access_log=False, timeout_graceful_shutdown=_GRACE
    )
    http_server = _HttpServer(config)

    def stop() -> None:
        on_stop()
        http_server.should_exit = True

    await _ended_by(stop, http_server.serve(sockets=[listener]))


def listen(host: str, port: int) -> socket.socket:
    """
    Return a socket that listens; port 0 chooses a free one.

    Raises:
        OSError: The address cannot be used.
    """
    return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)


def http_app(server: MCPServer[Any], host: str, *, token: str | None = None, host_names: Sequence[str] = ()) -> ASGIApp:
    """
    Return the application that `serve_http` serves.

    Requests with other host names are refused: a page in a browser could otherwise reach a server on this machine under
    a name of its own.
    """
    names = ["127.0.0.1", "localhost", "[::1]", _in_url(host), *host_names]
    security = TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=[entry for name in names for entry in (name, f"{name}:*")],
        allowed_origins=[
            f"{scheme}://{name}{port}" for name in names for scheme in ("http", "https") for port in ("", ":*")
        ],
    )
    app = server.streamable_http_app(streamable_http_path=HTTP_PATH, host=host, transport_security=security)
    return app if token is None else _with_token(app, token)


def _with_token(app: ASGIApp, token: str) -> ASGIApp:
    expected = f"Bearer {token}".encode()

    async def checked(scope: Scope, receive: Receive, send: Send) -> None:
        given = dict(scope["headers"]).get(b"authorization", b"") if scope["type"] == "http" else expected
        if hmac.compare_digest(given, expected):
            await app(scope, receive, send)
        else:
            refusal = PlainTextResponse(
                "The token is missing or wrong: send it as Authorization: Bearer TOKEN.\n",
                401,
                {"WWW-Authenticate": "Bearer"},
            )
            await refusal(scope, receive, send)

    return checked


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


class _HttpServer(uvicorn.Server):
    # Signals are the business of the program, which cancels `serve_http`.

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _ended_by(end: Callable[[], object], work: Coroutine[Any, Any, None]) -> None:
    # Await *work*. Cancelling this calls *end*, and waits until the work has ended by itself: what it has begun is
    # closed in order.
    aio_task = asyncio.create_task(work)
    try:
        await asyncio.wait({aio_task})
    except asyncio.CancelledError:
        end()
        await aio_task
        raise
    aio_task.result()


@contextlib.contextmanager
def _closable_stdin() -> Iterator[Callable[[], None]]:
    # Yield a function that ends stdin. The SDK reads it in a thread that cannot be interrupted, so that a terminated
    # server would otherwise live until its parent closes stdin.
    if sys.platform == "win32":
        yield bool
        return
    source = os.dup(0)
    reader, writer = socket.socketpair()
    os.dup2(reader.fileno(), 0)
    reader.close()
    threading.Thread(target=_pump, args=(source, writer), name="kling_async stdin", daemon=True).start()
    try:
        yield lambda: _end(writer)
    finally:
        _end(writer)
        os.dup2(source, 0)


def _pump(source: int, writer: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := os.read(source, 1 << 16):
            writer.sendall(data)
    _end(writer)


def _end(writer: socket.socket) -> None:
    # Not `close`, since another file would get the number while the thread still uses it.
    with contextlib.suppress(OSError):
        writer.shutdown(socket.SHUT_WR)
