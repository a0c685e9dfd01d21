"""
Callbacks through aiohttp's server.
"""

import functools

from aiohttp import web

from kling_async.client.callbacks.bodies import TakeCallback

__all__ = ["answer", "make_app"]


def make_app(take: TakeCallback) -> web.Application:
    """
    Make an application that passes each POST to *take*.
    """
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", functools.partial(answer, take))
    return app


async def answer(take: TakeCallback, request: web.BaseRequest) -> web.Response:
    """
    Answer one request.
    """
    if request.method != "POST":
        return web.Response(status=405, headers={"Allow": "POST"})
    try:
        status = await take(request.path, request.headers, functools.partial(_read_part, request))
    except (ConnectionError, web.RequestPayloadError):  # the client has disconnected, or sent invalid HTTP
        status = 400
    return web.Response(status=status)


async def _read_part(request: web.BaseRequest) -> bytes:
    try:
        return await request.content.readany()
    except RuntimeError:  # the connection was closed before the body was read
        if request.transport is not None:
            raise
        raise ConnectionResetError from None
