"""
Receives callbacks: the service reports each change of a task by a POST to an address of ours, so that fewer polls are
needed.

One core checks each callback and knows no HTTP server; callbacks reach it through its own server, an aiohttp
application or an ASGI application. Each submit has its own address, whose last segment is a token that no one else can
make. So the address, not the body, identifies the task; and it is checked first, so that nothing that is sent to
another address is read.
"""

import asyncio
import contextlib
import functools
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

import attrs

from kling_async.client.callbacks.asgi import AsgiApp
from kling_async.client.callbacks.authenticator import Authenticator, secret_rules, secrets_of
from kling_async.client.callbacks.bodies import Bodies, NoRoom, ReadPart, TooLarge, unpack
from kling_async.errors import BrokenRule, InvalidRequest
from kling_async.policy.arguments import check_kind, check_whole, shown_url, url_rule
from kling_async.wire.constructors import explained
from kling_async.wire.headers import find_header
from kling_async.wire.tasks import TaskSnapshot
from kling_async.wire.webhooks import Signature, read_callback

if TYPE_CHECKING:
    from aiohttp import web  # at run time only while it serves: most programs have no callbacks

__all__ = ["CallbackCounts", "CallbackReceiver", "CallbackServer", "Listener"]

MAX_BODY: Final = 2**20
"""
Maximum size in bytes of a callback; real ones have a few thousand.
"""

BODY_TIMEOUT: Final = 30.0
"""
Seconds in which a body has to arrive.
"""

WARNING_INTERVAL: Final = 60.0
"""
Seconds between two warnings of the same kind. With a wrong clock, for example, each callback would cause one.
"""

Listener: TypeAlias = Callable[[str, TaskSnapshot, bool], object]
"""
Called with each callback: the key of the submit, what the callback says, and whether that is trusted without a poll.
"""

_log = logging.getLogger(__name__)


@attrs.define
class WarningThrottle:
    """
    Limits warnings of one kind: the first event is logged at once, later ones once a minute, with their number.
    """

    _count: int = attrs.field(default=0, init=False)
    _logged_at: float | None = attrs.field(default=None, init=False)

    def add(self, now: float) -> int:
        """
        Count an event, and return how many events to log now; 0 for none.
        """
        self._count += 1
        # Less than 0 s have passed if the clock was set back.
        if self._logged_at is not None and 0 <= now - self._logged_at < WARNING_INTERVAL:
            return 0
        self._logged_at = now
        count, self._count = self._count, 0
        return count


@attrs.define
class CallbackCounts:
    """
    How many callbacks have arrived: each counts as received, and once more by its outcome.

    Attributes:
        forged: The token is not genuine (404), or the signature is wrong (401).
        unsigned: The address is genuine, and there is no signature, or no secret to check it with.
        signed: The address and the signature are genuine.
        too_large: Larger than 1 MiB, as sent or decompressed (413).
        not_json: Not JSON, without a task, or not compressed by gzip as announced (400).
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


@explained
class CallbackReceiver:
    """
    Receives the service's callbacks. Give it to a client as `callbacks=`, and serve it in one of three ways:

        async with receiver.serve(port=8080): ...           # by itself
        app.add_subapp("/kling", receiver.aiohttp_app())    # inside an aiohttp application
        app.mount("/kling", receiver.asgi_app)              # inside FastAPI, Starlette or any other ASGI application

    Several clients may share one. A proxy in front of it may change the path, except for its last segment. That segment
    is a secret: switch off access logs that show it.

    A request to an address that the receiver did not create is answered with 404, and its body is not read. A body has
    30 s to arrive. The bodies that are being read may have 16 MiB together; further ones are answered with 503.

    Args:
        public_url: Where the service reaches this receiver from outside, for example "https://example.org/kling".
        secret: The signing secret from the vendor's console, or several during a rotation.
        token_key:
            At least 16 bytes that the addresses are derived from. None uses random bytes, so that callbacks of tasks
            of an earlier run are not recognized; give a key to recognize them.
        confirm:
            Which callbacks are confirmed by a poll before they count: "unsigned" ones, or "always" all.

    Attributes:
        counts: How many callbacks have arrived, by outcome.

    Raises:
        InvalidRequest: An argument is invalid.
    """

    def __init__(
        self,
        public_url: str,
        *,
        secret: str | Iterable[str] | None = None,
        token_key: bytes | None = None,
        confirm: Literal["always", "unsigned"] = "unsigned",
    ) -> None:
        given = secrets_of(secret)
        broken = tuple(_broken_rules(public_url, given, token_key, confirm))
        if broken:
            raise InvalidRequest("; ".join(map(str, broken)), broken=broken)
        self.public_url: Final = public_url.rstrip("/")
        self.counts: Final = CallbackCounts()
        self._authenticator = Authenticator(given, token_key)
        self._confirms_all = confirm == "always"
        self._listeners: dict[Listener, asyncio.AbstractEventLoop | None] = {}
        self._bodies = Bodies(MAX_BODY)
        self._forgeries = WarningThrottle()
        self._listener_errors = WarningThrottle()
        self._overloads = WarningThrottle()

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in attrs.asdict(self.counts).items())
        return f"<CallbackReceiver {urlsplit(self.public_url).netloc}: {counts}>"

    def address_of(self, submit_key: str) -> str:
        """
        Return the address for the callbacks of one submit. It is a secret between this program and the service.

        Raises:
            ValueError: *submit_key* is not 1 to 64 letters, digits, `-` and `_`.
        """
        return f"{self.public_url}/{self._authenticator.make_token(submit_key)}"

    @property
    def token_key(self) -> bytes:
        """
        The key that addresses are derived from. It is a secret; keep it to recognize callbacks of these tasks in a
        later run.
        """
        return self._authenticator.token_key

    def use_token_key(self, key: bytes) -> None:
        """
        Derive addresses from *key* from now on; existing addresses stay valid.
        """
        self._authenticator.use_token_key(key)

    def attach(self, listener: Listener) -> None:
        """
        Call *listener* for every callback from now on, in the running event loop (without one: in the loop in which the
        callback arrives). It is called for all submits, also those of other clients, and should return at once.
        """
        try:
            self._listeners[listener] = asyncio.get_running_loop()
        except RuntimeError:
            self._listeners[listener] = None

    def detach(self, listener: Listener) -> None:
        """
        Stop calling *listener*, even for callbacks that have arrived; no effect if it is not attached.
        """
        self._listeners.pop(listener, None)

    def receive(self, token: str, headers: Mapping[str, str], body: bytes) -> int:
        """
        Check one callback, and return the HTTP status of the answer: the address first, then the size, the signature
        and the content. Listeners are called in a later iteration of the event loop, so that they delay no answer.

        Args:
            token: The last segment of the path.
            headers: In any case.
            body: As it was sent; or decompressed, if the server does that itself: the signature is of the compressed
                one. Of a body above 1 MiB the first bytes beyond that are enough.
        """
        submit_key = self._authenticator.submit_key_of(token)
        if submit_key is None:
            return self._refuse(404, "its address was not created here")
        if len(body) > MAX_BODY:
            return self._refuse(413, "it is too large")
        try:
            body = unpack(headers, body, MAX_BODY)
        except TooLarge:
            return self._refuse(413, "it is too large")
        except ValueError as error:
            return self._refuse(400, str(error))
        signature = self._authenticator.check_signature(headers, body)
        if signature is Signature.WRONG:
            self._warn_of_forgery()
            return self._refuse(401)
        try:
            snapshot = read_callback(body)
        except ValueError as error:
            return self._refuse(400, type(error).__name__)  # its message may show what a stranger sent
        is_signed = signature is Signature.SIGNED
        word = "signed" if is_signed else "unsigned"
        self.counts.received += 1
        self.counts.signed += is_signed
        self.counts.unsigned += not is_signed
        _log.debug("a callback for submit %s (%s): %r", submit_key, word, snapshot)
        self._deliver(submit_key, snapshot, is_signed and not self._confirms_all)
        return 200

    @contextlib.asynccontextmanager
    async def serve(self, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[CallbackServer]:
        """
        Listen at *host* and *port* (0 is a free one) while the context lasts.

        This is plain HTTP, and the vendor requires https: put a proxy that speaks it in front. At most 256 connections
        are open; for a new one, the connection that has been idle longest is closed. The headers of a request have
        30 s to arrive.

        Raises:
            InvalidRequest: *port* is not a whole number from 0 to 65535, or *host* is not text.
            OSError: The port is taken.
        """
        from kling_async.client.callbacks import aiohttp_app, server  # noqa: PLC0415 (aiohttp's server loads slowly)

        check_kind("host", host, str, "must be text: the name or number of an address of this machine")
        check_whole("port", port, least=0, most=65535)
        answer = functools.partial(aiohttp_app.answer, self._take)
        async with server.serve(self._take_whole, answer, host, port) as bound_port:
            yield CallbackServer(host, bound_port)

    def aiohttp_app(self) -> "web.Application":
        """
        Return an aiohttp application, for `add_subapp` or to be run by itself.
        """
        from kling_async.client.callbacks import aiohttp_app  # noqa: PLC0415 (aiohttp's server loads slowly)

        return aiohttp_app.make_app(self._take)

    @functools.cached_property
    def asgi_app(self) -> AsgiApp:
        """
        The receiver as an ASGI application, to be mounted or to be run by itself.
        """
        return AsgiApp(self._take)

    def _take_whole(self, path: str, headers: Mapping[str, str], body: bytes) -> int:
        # Handles a POST whose body has arrived.
        token = path.rpartition("/")[2]
        return self.receive(token, headers, body) if self._bodies.has_room(len(body)) else self._refuse_overload()

    async def _take(self, path: str, headers: Mapping[str, str], read_part: ReadPart) -> int:
        # Handles a POST of any server; exceptions of `read_part` are passed on.
        token = path.rpartition("/")[2]
        if self._authenticator.submit_key_of(token) is None:
            return self._refuse(404, "its address was not created here")
        try:
            body = await self._bodies.read(read_part, _declared_length(headers), BODY_TIMEOUT)
        except TooLarge:
            return self._refuse(413, "it is too large")
        except NoRoom:
            return self._refuse_overload()
        except TimeoutError:  # it was not read either
            return 400
        return self.receive(token, headers, body)

    def _refuse(self, status: int, why: str = "") -> int:
        self.counts.received += 1
        self.counts.forged += status in (401, 404)
        self.counts.too_large += status == 413
        self.counts.not_json += status == 400
        if why:
            _log.debug("a callback is refused (%d): %s", status, why)
        return status

    def _refuse_overload(self) -> int:
        # It was not read, so it is not counted.
        if count := self._overloads.add(self._authenticator.clock()):
            _log.warning("%d callbacks were answered with 503: too many were arriving at a time", count)
        return 503

    def _warn_of_forgery(self) -> None:
        count = self._forgeries.add(self._authenticator.clock())
        if count == 1:
            _log.warning("a callback to a genuine address has a wrong signature or time; check secret and clock")
        elif count:
            _log.warning("%d more callbacks had a wrong signature or time; check secret and clock", count)

    def _deliver(self, submit_key: str, snapshot: TaskSnapshot, trusted: bool) -> None:  # noqa: FBT001 (as listeners)
        for listener, home in tuple(self._listeners.items()):
            loop = home or asyncio.get_running_loop()
            schedule = loop.call_soon if _is_running(loop) else loop.call_soon_threadsafe  # which wakes the loop
            try:
                schedule(self._call, listener, submit_key, snapshot, trusted)
            except RuntimeError:  # its loop is closed, so nothing waits there any more
                self.detach(listener)

    def _call(self, listener: Listener, submit_key: str, snapshot: TaskSnapshot, trusted: bool) -> None:  # noqa: FBT001
        if listener not in self._listeners:
            return
        try:
            listener(submit_key, snapshot, trusted)
        except Exception:  # noqa: BLE001 (a listener may raise anything; it is logged)
            if count := self._listener_errors.add(self._authenticator.clock()):
                more = f", and for {count - 1} others since this was last logged" if count > 1 else ""
                _log.exception("a callback listener failed for submit %s%s", submit_key, more)


def _is_running(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:  # none is running here
        return False


def _declared_length(headers: Mapping[str, str]) -> int | None:
    text = find_header(headers, "Content-Length")
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 20 else None


def _broken_rules(public_url: Any, given: tuple[Any, ...], token_key: Any, confirm: Any) -> Iterator[BrokenRule]:
    if rule := _url_rule(public_url):
        yield BrokenRule("public_url", shown_url(public_url), rule)
    yield from secret_rules(given, token_key)
    if confirm not in ("always", "unsigned"):
        yield BrokenRule("confirm", repr(confirm), 'must be "always" or "unsigned"')


def _url_rule(url: Any) -> str | None:
    if (rule := url_rule(url)) is not None:
        return rule
    if "?" in url or "#" in url or "@" in urlsplit(url).netloc:
        return "must have no user, query or fragment: a token is added to its path"
    return None
