"""
Checks the `Host` header of requests to the emulator. Without this, any web page could make a browser send requests to
127.0.0.1 under the page's own host name (DNS rebinding), and read the answers.
"""

import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Middleware

from kling_async.emulator.settings import Settings

_LOOPBACK: Final = "localhost"
_HOST: Final = re.compile(r"(?:\[(?P<address>[^\]]*)\]|(?P<name>[^:]*))(?::[0-9]*)?")


def host_check(settings: Settings) -> Middleware:
    """
    Return a middleware that refuses requests whose `Host` is not a name of the emulator, before their body is read.
    """
    own = {name.casefold() for name in (settings.host, socket.gethostname(), *settings.host_names)}

    @web.middleware
    async def check(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        host = request.headers.get("Host", "")
        if is_own_name(host, own):
            return await handler(request)
        what = (
            "This is not a name of this emulator: use its address, or add the name with host_names= or --host-name.\n"
        )
        return web.Response(status=HTTPStatus.MISDIRECTED_REQUEST, text=what)

    return check


def is_own_name(host: str, own: set[str]) -> bool:
    """
    Return whether *host*, the header of that name, may be the emulator's: one of *own*, "localhost" and its subdomains,
    or any IP address. Only a name can be set up to resolve to this machine. Browsers always send the header.
    """
    parts = _HOST.fullmatch(host.strip())
    if parts is None:
        return False
    name = (parts["address"] or parts["name"] or "").casefold().rstrip(".")
    if not name or name in own or name == _LOOPBACK or name.endswith(f".{_LOOPBACK}"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
