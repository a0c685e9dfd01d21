"""
Requests to the service: sessions, signing, and a bound on requests at a time. It only sends and reads; callers decide.
"""

import asyncio
import contextlib
import functools
import logging
import time
import uuid
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlsplit

import aiohttp
import attrs
from multidict import CIMultiDict
from yarl import URL

from kling_async.client.exchange import (
    NEVER_SENT,
    Deadline,
    Deadlines,
    PartialAnswer,
    RequestBody,
    is_cancelled,
)
from kling_async.client.first_contact import FirstContact
from kling_async.client.retries import may_repeat, retry_after
from kling_async.errors import ClientClosed, InvalidRequest, KlingError, NotSent, UnexpectedAnswer, Unreachable
from kling_async.media.freed_memory import keep_freed_memory
from kling_async.media.responses import describe_http_error
from kling_async.media.semaphore import Semaphore
from kling_async.policy.http import MAX_HEADER, MAX_HEADERS, HttpOptions
from kling_async.policy.policies import RetryPolicy
from kling_async.wire.auth import AccessKey, Credentials, Token, clock_offset, fingerprint, make_token
from kling_async.wire.error_answers import torn_id
from kling_async.wire.headers import kept_for
from kling_async.wire.http_answer import Answer
from kling_async.wire.redaction import hide_secrets
from kling_async.wire.responses import Presence, presence_of, read_created, read_snapshot

__all__ = ["DECODE_INLINE_MAX", "Transport", "decode"]

T = TypeVar("T")

_log = logging.getLogger(__name__)

MAX_ANSWER: Final = 4 * 1024 * 1024
"""
Maximum size of an answer in bytes, after decompression. A page of 500 tasks with nine pictures each has two MiB.
Decoded, JSON of this size takes at most about 150 MB of memory.
"""

DECODE_INLINE_MAX: Final = 256 * 1024
"""
Maximum size in bytes of an answer that is decoded on the event loop. Larger ones would block the loop for too long.
"""

REUSE_MARGIN: Final = 2.0
"""
Seconds for which a service must keep connections longer than we reuse them for requests that cannot be looked up: the
service counts from its last byte, and our request must arrive before the time is over.
"""

_OPEN_GATE: Final = contextlib.nullcontext()

SECRET_LENGTH: Final = 8
"""
Keys of at least this many characters are secrets, and removed from what the service says. A shorter one, as in tests,
could be a part of any word.
"""


@attrs.define(eq=False, repr=False)
class Transport:
    """
    Speaks HTTP for one account at one host; lives as long as its client.

    A borrowed session is never closed.

    Attributes:
        keepalive: Seconds for which an idle connection is kept, in an own session.
        is_kling_api: Whether an answer has shown that there is a Kling API at `base_url`.
    """

    base_url: str
    http: HttpOptions
    retry: RetryPolicy
    keepalive: float
    _credentials: Credentials
    _borrowed: aiohttp.ClientSession | None = None
    is_kling_api: bool = attrs.field(default=False, init=False)
    _sessions: dict[float, aiohttp.ClientSession] = attrs.field(factory=dict, init=False)
    _kept_for: float | None = attrs.field(default=None, init=False)  # seconds, as the service said last
    _is_kept: bool = attrs.field(default=True, init=False)  # no create was lost, which could disprove that
    _contact: FirstContact = attrs.field(init=False)
    _deadlines: Deadlines = attrs.field(factory=Deadlines, init=False)
    _gate: Semaphore = attrs.field(init=False)
    _creates: Semaphore = attrs.field(init=False)  # creates that wait at the gate
    _secrets: tuple[str, ...] = attrs.field(init=False)
    _token: Token | None = attrs.field(default=None, init=False)
    _headers: CIMultiDict[str] = attrs.field(factory=CIMultiDict[str], init=False)  # with that token
    _clock_offset: float = attrs.field(default=0.0, init=False)
    _is_closed: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._contact = FirstContact(min(self.retry.connect_for, self.retry.give_up_after), 2 * self.retry.max_delay)
        self._gate = Semaphore(self.http.max_connections)
        self._creates = Semaphore(self.http.max_connections)
        self._secrets = tuple(secret for secret in attrs.astuple(self._credentials) if len(secret) >= SECRET_LENGTH)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """
        Close the session, if it is our own. Safe to call twice.
        """
        self._is_closed = True
        self._deadlines.close()
        while self._sessions:
            _, session = self._sessions.popitem()
            await session.close()

    def fingerprint(self, salt: str) -> str:
        """
        Return a digest that distinguishes keys under the same *salt*, and from which the key cannot be computed.
        """
        return fingerprint(self._credentials, salt)

    async def read(self, path: str, parse: Callable[[Answer], T]) -> T:
        """
        Ask for *path* and return what *parse* returns for the answer; passing errors are retried for `give_up_after`.

        Raises:
            KlingError: From *parse* or the connection; the last of several.
        """
        until = asyncio.get_running_loop().time() + self.retry.give_up_after
        try:
            return await decode(await self.send("GET", path), parse)
        except KlingError as error:
            failed = [error]
        return await _read_again(self, failed, path, parse, until)

    async def send(
        self, method: str, path: str, body: RequestBody | None = None, *, limit: float | None = None
    ) -> Answer:
        """
        Send one request, once, and return its answer, with any status. If the service rejects a token because our
        clock is wrong, the token is renewed and the request sent once more: the service did not process it.

        *limit* is in seconds for the whole request; None is the sum of the limits for connecting and reading, and more
        for a large body.

        Raises:
            NotSent: No connection was established.
            Unreachable: It broke or timed out, and the request may have arrived.
            UnexpectedAnswer: The answer is larger than any sensible one.
            ClientClosed: The session was closed.
        """
        # No more creates queue at the gate than can pass it, so that a read never waits behind many of them.
        async with self._creates if body is not None else _OPEN_GATE, self._gate:
            answer = await self._send_once(method, path, body, limit)
            if isinstance(self._credentials, AccessKey) and _is_clock_trouble(answer):
                if body is not None:
                    body.has_left = False
                self._clock_offset = clock_offset(answer.headers, time.time())
                self._token = None
                answer = await self._send_once(method, path, body, limit)
            return answer

    async def is_no_api(self, path: str) -> bool:
        """
        Return whether there is certainly no Kling API at *path*, by asking for a task that cannot exist.
        """
        if self.is_kling_api:
            return False
        try:
            read_snapshot(await self.send("GET", f"{path}/{uuid.uuid4()}"))
        except KlingError as error:
            presence = presence_of(error)
            self.is_kling_api = presence is Presence.HERE
            return presence is Presence.ABSENT
        return False

    async def _send_once(self, method: str, path: str, body: RequestBody | None, limit: float | None) -> Answer:
        now = time.time() + self._clock_offset
        if self._token is None or now >= self._token.renew_at:
            self._token = make_token(self._credentials, now)
            # In the form that aiohttp copies fastest.
            bearer = f"Bearer {self._token.text}"
            self._headers = CIMultiDict({"Authorization": bearer, "User-Agent": self.http.user_agent})
        silence = self.http.read_timeout if body is None else max(self.http.read_timeout, body.patience)
        seconds = self.http.connect_timeout + silence + (0 if body is None else body.extra_seconds)
        arrived = PartialAnswer()
        failure: Exception | None = None
        try:
            with Deadline(self._deadlines, asyncio.get_running_loop(), limit or seconds, silence) as deadline:
                await self._exchange(method, path, body, deadline, arrived)
        except KlingError:
            raise
        except asyncio.CancelledError:
            if is_cancelled():
                raise
            failure = aiohttp.ClientConnectionError("the session was closed by its owner")
        except Exception as error:  # noqa: BLE001 (libraries raise what they like, and only the bytes sent count)
            failure = error
        if failure is not None and (body is None or not arrived.is_whole):
            try:
                raise self._translate(failure, f"{method} {self.base_url}{path.partition('?')[0]}", body, arrived)
            finally:
                del failure  # otherwise its traceback holds it
        keep_alive = arrived.headers.get("Keep-Alive")
        self._kept_for = kept_for(keep_alive) if keep_alive else None
        text = b"".join(arrived.pieces)
        for secret in self._secrets:  # some services repeat the key that they reject
            text = text.replace(secret.encode(), "…".encode())
        return Answer(arrived.status, arrived.headers, text)

    async def _exchange(
        self, method: str, path: str, body: RequestBody | None, deadline: Deadline, arrived: PartialAnswer
    ) -> None:
        session = self._session_for(body)
        options: dict[str, Any] = {} if self._borrowed is None else _rules(self.http)
        connecting = self.http.connect_timeout
        if not self._contact.was_reached:
            connecting = min(connecting, self._contact.begin(asyncio.get_running_loop().time()))
        if body is not None:
            body.deadline = deadline
            own = getattr(session, "_middlewares", None)  # aiohttp has no public way to ask for them
            # Also if there are no others: it protects money. None leaves those of the session as they are.
            options["middlewares"] = None if own is None else (*own, body.watch)
        response = await session.request(
            method,
            URL(self.base_url + path, encoded=True),
            data=body,
            headers=self._headers,
            allow_redirects=False,  # a redirect would carry the key elsewhere, and turn a POST into a GET
            timeout=_connecting_within(connecting),
            proxy=self.http.proxy_for(self.base_url) if self.http.trust_env else self.http.proxy,
            **options,
        )
        try:
            arrived.status, arrived.headers = response.status, response.headers
            self._contact.was_reached, self._contact.is_failing = True, False
            is_over, size = False, 0
            while not is_over:
                deadline.expect_answer()
                piece = await response.content.readany()
                arrived.pieces.append(piece)
                size += len(piece)
                if size > MAX_ANSWER:
                    what = f"the answer is larger than {MAX_ANSWER} bytes; ask for smaller pages, or check base_url"
                    raise UnexpectedAnswer(what, http_status=response.status)
                is_over = response.content.at_eof()
        finally:
            if not response.closed:  # one that is read to its end has given its connection back
                response.close()

    def _session_for(self, body: RequestBody | None) -> aiohttp.ClientSession:
        # The borrowed session, or an own one for each number of seconds that it keeps idle connections.
        if self._is_closed or (self._borrowed is not None and self._borrowed.closed):
            raise ClientClosed("the client is closed; create a new one")
        if self._borrowed is not None:
            return self._borrowed
        keepalive = self.keepalive
        if body is not None and not body.is_traceable:
            # A server closes an idle connection when it likes, and a request that meets that on the way is lost. What
            # could not be looked up then goes out on a connection that is new, or certainly open for some time to come.
            # Once a create was lost all the same, the service may not keep connections as long as it says.
            reuse, announced = self.http.reuse_within, self._kept_for or 0.0
            keepalive = reuse if self._is_kept and announced >= reuse + REUSE_MARGIN else 0.0
        session = self._sessions.get(keepalive)
        if session is None:
            # Our gate is the bound: waiting in aiohttp's pool would count against the time limit of a request.
            kept: dict[str, Any] = {"keepalive_timeout": keepalive} if keepalive else {"force_close": True}
            keep_freed_memory()
            rules = _rules(self.http)
            connector = aiohttp.TCPConnector(limit=0, ssl=rules.pop("ssl"), **kept)
            session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), **rules)
            self._sessions[keepalive] = session
        return session

    def _translate(self, error: Exception, where: str, body: RequestBody | None, arrived: PartialAnswer) -> KlingError:
        # No exception of aiohttp's gets further than here: its repr may hold the request's headers.
        reason = describe_http_error(error)
        for secret in self._secrets:
            reason = reason.replace(secret, "…")
        reason = hide_secrets(reason) or type(error).__name__
        is_of_network = isinstance(error, aiohttp.ClientError | OSError)  # TimeoutError is an OSError
        may_have_left = is_of_network and not isinstance(error, NEVER_SENT) if body is None else body.has_left
        if not may_have_left:
            if self._is_closed or (self._borrowed is not None and self._borrowed.closed):
                return ClientClosed(f"the session was closed before {where} was sent; create a new client")
            if isinstance(error, ValueError | TypeError) and not is_of_network:
                return InvalidRequest(f"{where} cannot be sent: {reason}; check base_url, proxy and headers")
            return self._not_sent(where, reason)
        self._contact.was_reached, self._contact.is_failing = True, False
        task_id = None
        if body is not None:
            self._is_kept = False
            task_id = torn_id(arrived.body)
        if isinstance(error, TimeoutError):
            return Unreachable(f"no answer in time to {where}: {reason}", task_id)
        return Unreachable(f"the connection broke during {where}: {reason}", task_id)

    def _not_sent(self, where: str, reason: str) -> NotSent:
        was_failing = self._contact.is_failing
        left = self._contact.fail(asyncio.get_running_loop().time())
        seconds = self.retry.give_up_after if left is None else left
        if seconds and not was_failing:
            _log.warning(
                "no connection to %s; giving up in %.0f s: %s", urlsplit(self.base_url).netloc, seconds, reason
            )
        what = f"no connection for {where}: {reason}"
        if left == 0:
            what += f"; the host was never reached in {self._contact.seconds:g} s: check base_url and the network"
        return NotSent(what, gives_up_in=left)


def _rules(http: HttpOptions) -> dict[str, Any]:
    # What holds for all requests: an own session is created with it, a borrowed one may have other rules.
    return {
        "ssl": http.ssl,
        "raise_for_status": False,
        "max_line_size": MAX_HEADER,
        "max_field_size": MAX_HEADER,
        "max_headers": MAX_HEADERS,
    }


async def _read_again(
    transport: Transport, failed: list[KlingError], path: str, parse: Callable[[Answer], T], until: float
) -> T:
    now = asyncio.get_running_loop().time

    async def attempt() -> T:
        return await decode(await transport.send("GET", path), parse)

    def is_over(error: KlingError) -> bool:
        return not may_repeat(error) or transport.retry.is_too_long(error) or now() > until

    return await retry_after(failed, attempt, transport.retry, is_over)


@functools.lru_cache(maxsize=64)
def _connecting_within(seconds: float) -> aiohttp.ClientTimeout:
    # Name lookup, each address, proxy and TLS together; the rest of the time is kept by our own deadline.
    return aiohttp.ClientTimeout(total=None, connect=seconds, sock_connect=seconds, sock_read=None)


async def decode(answer: Answer, parse: Callable[[Answer], T]) -> T:
    """
    Return `parse(answer)`. For a large answer, *parse* runs in a thread: it must not read anything that the event loop
    changes. Cancelling this returns at once; the thread finishes and its result is dropped.
    """
    if len(answer.body) <= DECODE_INLINE_MAX:
        return parse(answer)
    try:
        return await asyncio.to_thread(parse, answer)
    except RuntimeError:  # no thread could be started
        return parse(answer)


def _is_clock_trouble(answer: Answer) -> bool:
    if answer.status != HTTPStatus.UNAUTHORIZED:
        return False
    try:
        read_created(answer)
    except KlingError as error:
        return error.code in {1003, 1004}
    return False
