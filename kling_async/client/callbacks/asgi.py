"""
Callbacks through an ASGI application.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

import attrs

from kling_async.client.callbacks.bodies import TakeCallback

__all__ = ["AsgiApp"]

_Message: TypeAlias = MutableMapping[str, Any]  # these three are ASGI's own terms
_Receive: TypeAlias = Callable[[], Awaitable[_Message]]
_Send: TypeAlias = Callable[[_Message], Awaitable[None]]


@attrs.frozen
class AsgiApp:
    """
    An ASGI application that passes each POST to *take*.

    It is an object rather than a function because servers recognize ASGI 3 by a `__call__` that is a coroutine
    function.
    """

    _take: TakeCallback

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        match scope["type"]:
            case "http":
                await self._answer(scope, receive, send)
            case "lifespan":
                while (await receive())["type"] == "lifespan.startup":
                    await send({"type": "lifespan.startup.complete"})
                await send({"type": "lifespan.shutdown.complete"})
            case "websocket":
                await receive()
                await send({"type": "websocket.close"})
            case other:
                raise ValueError(f"a callback receiver does not support {other!r}")

    async def _answer(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        headers = [(b"content-length", b"0")]
        if scope["method"] == "POST":
            given = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            try:
                status = await self._take(scope["path"], given, _BodyReader(receive))
            except ConnectionResetError:
                return
        else:
            status = 405
            headers.append((b"allow", b"POST"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


@attrs.define
class _BodyReader:
    # Reads a body part by part; raises ConnectionResetError if the client has disconnected.
    _receive: _Receive
    _is_more: bool = True

    async def __call__(self) -> bytes:
        part = b""
        while self._is_more and not part:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ConnectionResetError
            part = message.get("body", b"")
            self._is_more = message.get("more_body", False)
        return part
