"""
Callbacks: the service tells of each change of a task by a POST to an address of ours, so that nobody has to ask.

One core judges each callback and knows no HTTP; three thin faces bring it there: a server of its own, an aiohttp
application and an ASGI application. Each submit has an address of its own, whose last segment is a token that nobody
else can make. So the address, not what the body says, tells whose callback it is; and it is judged first, so that
nothing a stranger sends to another address is read.
"""

import asyncio
import contextlib
import functools
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

import attrs

from kling_async.client.callbacks.bodies import Bodies, NoRoom, ReadPart, TooLarge, unpack
from kling_async.errors import BrokenRule, InvalidRequest
from kling_async.policy.arguments import check_kind, check_whole, shown_url, url_rule
from kling_async.wire.headers import find_header
from kling_async.wire.tasks import TaskSnapshot
from kling_async.wire.webhooks import Signature, check_secret, make_token, read_callback, read_token, verify

if TYPE_CHECKING:
    import aiohttp.web  # at run time only where it serves: most programs have no callbacks

__all__ = ["CallbackCounts", "CallbackReceiver", "CallbackServer", "Listener"]

MAX_BODY: Final = 2**20
"""
Bytes of the largest callback that is read; the largest real ones have a few thousand.
"""

PATIENCE: Final = 30.0
"""
Seconds in which a body has to arrive.
"""

QUIET: Final = 60.0
"""
Seconds between two warnings of the same kind. With a wrong clock each callback would cause one.
"""

MIN_TOKEN_KEY: Final = 16

Listener: TypeAlias = Callable[[str, TaskSnapshot, bool], object]
"""
What is told of a callback: the key of the submit, what the callback says, and whether it may be believed as it is.
"""

_Message: TypeAlias = MutableMapping[str, Any]  # these three are ASGI's own words
_Receive: TypeAlias = Callable[[], Awaitable[_Message]]
_Send: TypeAlias = Callable[[_Message], Awaitable[None]]

_STRANGE: Final = "its address is none of ours"

_log = logging.getLogger(__name__)


@attrs.define
class CallbackCounts:
    """
    What has arrived: each callback counts as received, and once more under what became of it.

    Attributes:
        forged: The token is none of ours (404), or the signature is wrong (401).
        unsigned: From a good address, without a signature that could be judged.
        signed: From a good address, with a good signature.
        too_large: Above 1 MiB, also once it is unpacked (413).
        not_json: No JSON, no task in it, or not packed by gzip as it says (400).
    """

    received: int = 0
    forged: int = 0
    unsigned: int = 0
    signed: int = 0
    too_large: int = 0
    not_json: int = 0


@attrs.frozen
class CallbackServer:
    """
    Where a receiver that serves itself is listening.
    """

    host: str
    port: int

    @property
    def url(self) -> str:
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"


@attrs.define
class _Repeats:
    # Limits warnings of one kind: the first is logged at once, then one a minute, with the number of events.
    _count: int = 0
    _told_at: float | None = None

    def add(self, now: float) -> int:
        # Return how many events to log now, 0 for none.
        self._count += 1
        if self._told_at is not None and 0 <= now - self._told_at < QUIET:  # below 0: the clock was put back
            return 0
        self._told_at = now
        count, self._count = self._count, 0
        return count


class CallbackReceiver:
    """
    Takes the service's callbacks. Give it to a client as `callbacks=`, and serve it in one of three ways:

        async with receiver.serve(port=8080): ...           # by itself
        app.add_subapp("/kling", receiver.aiohttp_app())    # inside an aiohttp application
        app.mount("/kling", receiver.asgi_app)              # inside FastAPI, Starlette or any other ASGI application

    Several clients may share one. Whatever stands in front of it may change the path, but for its last segment. That
    segment is a secret: switch off access logs that show it.

    A request to an address that it has not made is answered with 404, and its body is not read. A body has 30 s to
    arrive, and all that are being read have 16 MiB together; one that finds no room is answered with 503.

    Args:
        public_url: Where the service reaches this receiver from outside, for example "https://example.org/kling".
        secret: The signing secret of the vendor's console, or several during a rotation.
        token_key:
            At least 16 bytes from which the addresses are made. None is random, so that callbacks of tasks of an
            earlier run are unknown; give one to keep them.
        confirm:
            Which callbacks one read confirms before they count: "unsigned" ones, or "always" all.

    Attributes:
        counts: What has arrived, and what became of it.

    Raises:
        InvalidRequest: One of these cannot be what it should.
    """

    def __init__(
        self,
        public_url: str,
        *,
        secret: str | Iterable[str] | None = None,
        token_key: bytes | None = None,
        confirm: Literal["always", "unsigned"] = "unsigned",
    ) -> None:
        given = _all_of(secret)
        broken = tuple(_broken_rules(public_url, given, token_key, confirm))
        if broken:
            raise InvalidRequest("; ".join(map(str, broken)), broken=broken)
        self.public_url: Final = public_url.rstrip("/")
        self.counts: Final = CallbackCounts()
        self._secrets = given
        self._token_keys = [token_key or secrets.token_bytes(32)]
        self._confirms_all = confirm == "always"
        self._listeners: dict[Listener, asyncio.AbstractEventLoop | None] = {}
        self._clock = time.time
        self._bodies = Bodies(MAX_BODY)
        self._refusals = _Repeats()
        self._failures = _Repeats()
        self._crowds = _Repeats()

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in attrs.asdict(self.counts).items())
        return f"<CallbackReceiver {urlsplit(self.public_url).netloc}: {counts}>"

    def address_of(self, submit_key: str) -> str:
        """
        Return the address for the callbacks of one submit. It is a secret between us and the service.

        Raises:
            ValueError: *submit_key* is not 1 to 64 letters, digits, `-` and `_`.
        """
        return f"{self.public_url}/{make_token(self.token_key, submit_key)}"

    @property
    def token_key(self) -> bytes:
        """
        From which addresses are made. It is a secret; keep it to know the callbacks of tasks in a later run.
        """
        return self._token_keys[0]

    def use_token_key(self, key: bytes) -> None:
        """
        Make addresses from *key* from now on; those that were made from others stay good.
        """
        self._token_keys = [key, *(other for other in self._token_keys if other != key)]

    def attach(self, listener: Listener) -> None:
        """
        Tell *listener* of every callback from now on, in the loop that runs now (without one: in the loop in which the
        callback arrives). It is told of all submits, also of those of other clients, and should return at once.
        """
        try:
            self._listeners[listener] = asyncio.get_running_loop()
        except RuntimeError:
            self._listeners[listener] = None

    def detach(self, listener: Listener) -> None:
        """
        Tell *listener* no more, not even of callbacks that have arrived; one that is not attached is no error.
        """
        self._listeners.pop(listener, None)

    def receive(self, token: str, headers: Mapping[str, str], body: bytes) -> int:
        """
        Judge one callback, and return the HTTP status to answer with: the address first, then the size, the signature
        and what the body says. Who listens is told in a later turn of the loop, so that no answer waits for it.

        Args:
            token: The last segment of the path.
            headers: Their names may have any case.
            body: As it came, or unpacked where it came packed by gzip; its signature is one of what was packed. Of one
                above 1 MiB the first bytes beyond that are enough.
        """
        submit_key = self._submit_key_of(token)
        if submit_key is None:
            return self._refuse(404, _STRANGE)
        if len(body) > MAX_BODY:
            return self._refuse(413, "it is too large")
        try:
            body = unpack(headers, body, MAX_BODY)
        except TooLarge:
            return self._refuse(413, "it is too large")
        except ValueError as error:
            return self._refuse(400, str(error))
        return self._judge(submit_key, headers, body)

    def _judge(self, submit_key: str, headers: Mapping[str, str], body: bytes) -> int:
        signature = verify(self._secrets, headers, body, self._clock())
        if signature is Signature.WRONG:
            self._warn_of_forgery()
            return self._refuse(401)
        try:
            snapshot = read_callback(body)
        except ValueError as error:
            return self._refuse(400, type(error).__name__)
        is_signed = signature is Signature.SIGNED
        self.counts.received += 1
        self.counts.signed += is_signed
        self.counts.unsigned += not is_signed
        _log.debug("a callback for submit %s (%s): %r", submit_key, signature.value, snapshot)
        self._deliver(submit_key, snapshot, is_signed and not self._confirms_all)
        return 200

    def _submit_key_of(self, token: str) -> str | None:
        found = (read_token(key, token) for key in self._token_keys)
        return next((submit_key for submit_key in found if submit_key is not None), None)

    def _refuse(self, status: int, why: str = "") -> int:
        self.counts.received += 1
        self.counts.forged += status in (401, 404)
        self.counts.too_large += status == 413
        self.counts.not_json += status == 400
        if why:
            _log.debug("a callback is refused (%d): %s", status, why)
        return status

    def _warn_of_forgery(self) -> None:
        count = self._refusals.add(self._clock())
        if count == 1:
            _log.warning("a callback to an address of ours has a wrong signature or time; check secret and clock")
        elif count:
            _log.warning("%d more callbacks had a wrong signature or time; check secret and clock", count)

    async def _take(self, path: str, headers: Mapping[str, str], read_part: ReadPart) -> int:
        # What each face does with a POST; what `read_part` raises is its own.
        token = path.rpartition("/")[2]
        if self._submit_key_of(token) is None:
            return self._refuse(404, _STRANGE)
        try:
            body = await self._bodies.read(read_part, _declared_length(headers), PATIENCE)
        except TooLarge:
            return self._refuse(413, "it is too large")
        except NoRoom:  # it was not read, so it is not counted
            if count := self._crowds.add(self._clock()):
                _log.warning("%d callbacks were answered with 503: too many were arriving at one moment", count)
            return 503
        except TimeoutError:  # likewise
            return 400
        return self.receive(token, headers, body)

    @contextlib.asynccontextmanager
    async def serve(self, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[CallbackServer]:
        """
        Listen at *host* and *port* (0 is a free one) for as long as the context lasts.

        It speaks plain HTTP: the vendor asks for https, so put something that speaks it in front. At most 256
        connections are open; when there are more, the one that has waited longest without a request is closed. The
        headers of a request have 30 s to arrive.

        Raises:
            InvalidRequest: *port* is no whole number from 0 to 65535, or *host* no text.
            OSError: The port is taken.
        """
        from kling_async.client.callbacks import server  # noqa: PLC0415 (aiohttp's server takes long to load, and few need it)

        check_kind("host", host, str, "must be text: the name or number of an address of this machine")
        check_whole("port", port, least=0, most=65535)
        async with server.serve(self._answer_aiohttp, host, port) as bound_port:
            yield CallbackServer(host, bound_port)

    def aiohttp_app(self) -> "aiohttp.web.Application":
        """
        Make an aiohttp application, for `add_subapp` or to be run by itself.
        """
        from aiohttp import web  # noqa: PLC0415

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer_aiohttp)
        return app

    @functools.cached_property
    def asgi_app(self) -> "_AsgiFace":
        """
        The receiver as an ASGI application, to be mounted or to be run by itself.
        """
        return _AsgiFace(self._take)

    async def _answer_aiohttp(self, request: "aiohttp.web.BaseRequest") -> "aiohttp.web.Response":
        from aiohttp import web  # noqa: PLC0415

        if request.method != "POST":
            return web.Response(status=405, headers={"Allow": "POST"})
        try:
            status = await self._take(request.path, request.headers, functools.partial(_read_aiohttp, request))
        except (ConnectionError, web.RequestPayloadError):  # it has gone, or speaks HTTP badly
            status = 400
        return web.Response(status=status)

    def _deliver(self, submit_key: str, snapshot: TaskSnapshot, trusted: bool) -> None:  # noqa: FBT001 (as listeners)
        for listener, home in tuple(self._listeners.items()):
            loop = home or asyncio.get_running_loop()
            try:
                loop.call_soon_threadsafe(self._tell, listener, submit_key, snapshot, trusted)
            except RuntimeError:  # its loop is closed, and with it whoever waited there
                self.detach(listener)

    def _tell(self, listener: Listener, submit_key: str, snapshot: TaskSnapshot, trusted: bool) -> None:  # noqa: FBT001
        if listener not in self._listeners:
            return
        try:
            listener(submit_key, snapshot, trusted)
        except Exception:  # noqa: BLE001 (whatever it is, it is theirs, and it is logged)
            if count := self._failures.add(self._clock()):
                more = f", and at {count - 1} others since this was last logged" if count > 1 else ""
                _log.exception("who listens for callbacks failed at one for submit %s%s", submit_key, more)


async def _read_aiohttp(request: "aiohttp.web.BaseRequest") -> bytes:
    try:
        return await request.content.readany()
    except RuntimeError:  # of a connection that was closed before it was read
        if request.transport is not None:
            raise
        raise ConnectionResetError from None


@attrs.frozen
class _AsgiFace:
    # An object rather than a method: servers tell ASGI 3 by a `__call__` that is a coroutine function.
    _take: Callable[[str, Mapping[str, str], ReadPart], Awaitable[int]]

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
                raise ValueError(f"a callback receiver does not speak {other!r}")

    async def _answer(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        headers = [(b"content-length", b"0")]
        if scope["method"] == "POST":
            given = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            try:
                status = await self._take(scope["path"], given, _AsgiBody(receive))
            except ConnectionResetError:
                return
        else:
            status = 405
            headers.append((b"allow", b"POST"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


@attrs.define
class _AsgiBody:
    # Reads a body part by part; raises ConnectionResetError where who called has gone.
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


def _all_of(secret: Any) -> tuple[Any, ...]:
    if secret is None:
        return ()
    is_several = isinstance(secret, Iterable) and not isinstance(secret, str | bytes)
    return tuple(secret) if is_several else (secret,)


def _declared_length(headers: Mapping[str, str]) -> int | None:
    text = find_header(headers, "Content-Length")
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 20 else None


def _broken_rules(public_url: Any, given: tuple[Any, ...], token_key: Any, confirm: Any) -> Iterable[BrokenRule]:
    if rule := _broken_rule_of_url(public_url):
        yield BrokenRule("public_url", shown_url(public_url), rule)
    for secret in given:
        try:
            check_secret(secret)
        except (ValueError, TypeError, AttributeError):
            yield BrokenRule("secret", "…", "must be Base64 text, with or without 'whsec_' before it; copy it again")
    if token_key is not None and (not isinstance(token_key, bytes) or len(token_key) < MIN_TOKEN_KEY):
        yield BrokenRule("token_key", "…", f"must be at least {MIN_TOKEN_KEY} bytes, or None for random ones")
    if confirm not in ("always", "unsigned"):
        yield BrokenRule("confirm", repr(confirm), 'must be "always" or "unsigned"')


def _broken_rule_of_url(url: Any) -> str | None:
    if (rule := url_rule(url)) is not None:
        return rule
    if "?" in url or "#" in url or "@" in urlsplit(url).netloc:
        return "must have no user, query or fragment: a token is added to its path"
    return None
