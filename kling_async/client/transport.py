"""
Requests to the service: one session, our own bound on requests at a time, and `backoff` around what may be sent again.
"""

import asyncio
import functools
import logging
import math
import time
import uuid
from collections.abc import Awaitable, Callable, Generator, Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import aiohttp
import attrs
import backoff
from aiohttp.abc import AbstractStreamWriter
from aiohttp.hdrs import EXPECT
from yarl import URL

from kling_async.client.deadline import Deadline, is_cancelled
from kling_async.client.retries import Step, may_exist, may_repeat, next_step
from kling_async.client.submission import Submission, uncertain
from kling_async.errors import (
    ClientClosed,
    InvalidRequest,
    KlingError,
    NotSent,
    RateLimited,
    TaskNotFound,
    UnexpectedAnswer,
    Unreachable,
)
from kling_async.media.responses import describe_http_error
from kling_async.media.semaphore import Gate
from kling_async.policy.http import MAX_HEADER, MAX_HEADERS, HttpOptions
from kling_async.policy.policies import RetryPolicy
from kling_async.wire.answers import Answer
from kling_async.wire.auth import AccessKey, Credentials, Token, clock_offset, fingerprint, make_token
from kling_async.wire.headers import kept_for
from kling_async.wire.redaction import hide_secrets
from kling_async.wire.refusals import torn_id
from kling_async.wire.responses import Presence, is_whole, presence_of, read_created, read_sighting
from kling_async.wire.tasks import TaskSnapshot

__all__ = ["Transport", "decode", "is_small"]

T = TypeVar("T")


MAX_ANSWER: Final = 4 * 1024 * 1024
"""
Maximum size of an answer in bytes, after decompression. A page of 500 tasks with nine pictures each has two MiB.
Decoded, JSON of this size takes at most about 150 MB of memory.
"""

DECODE_INLINE_MAX: Final = 256 * 1024
"""
Maximum size in bytes of an answer that is decoded on the event loop. Larger ones would block the loop for too long.
"""

SECONDS_PER_MIB: Final = 4.0
"""
What each MiB of a request's body adds to the time it may take in all.
"""

REUSE_MARGIN: Final = 2.0
"""
Seconds for which a service must keep connections longer than we reuse them for what cannot be looked up: what it says
counts from its last byte, and ours must be there before that time is over.
"""


SECRET_LENGTH: Final = 8
"""
Characters from which on a key is a secret, and struck out of what the service says.
"""

_log = logging.getLogger(__name__)


@attrs.define(eq=False)
class Transport:
    """
    Speaks HTTP for one account at one host; lives as long as its client.

    A borrowed session is never closed. `keepalive` is how many seconds an idle connection is kept, for an own session.
    """

    base_url: str
    http: HttpOptions
    retry: RetryPolicy
    keepalive: float
    _credentials: Credentials = attrs.field(repr=False)
    _borrowed: aiohttp.ClientSession | None = attrs.field(default=None, repr=False)
    _sessions: dict[float, aiohttp.ClientSession] = attrs.field(factory=dict, init=False, repr=False)
    _is_there: bool = attrs.field(default=False, init=False)  # an answer has shown that this is a Kling API
    _kept_for: float | None = attrs.field(default=None, init=False)  # by what the service said last
    _is_kept: bool = attrs.field(default=True, init=False)  # no create was lost that might show it to be untrue
    _gate: Gate = attrs.field(init=False, repr=False)
    _creates: Gate = attrs.field(init=False, repr=False)  # at the gate
    _secrets: tuple[str, ...] = attrs.field(init=False, repr=False)
    _token: Token | None = attrs.field(default=None, init=False, repr=False)
    _clock_offset: float = attrs.field(default=0.0, init=False, repr=False)
    _is_retired: bool = attrs.field(default=False, init=False)
    _is_closed: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._gate = Gate(self.http.max_connections)
        self._creates = Gate(self.http.max_connections)
        # A toy of a key could be a part of any word; a token is known by its form.
        self._secrets = tuple(secret for secret in attrs.astuple(self._credentials) if len(secret) >= SECRET_LENGTH)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """
        Close the session, if it is our own. Safe to call twice.
        """
        self._is_closed = True
        while self._sessions:
            _, session = self._sessions.popitem()
            await session.close()

    def retire(self) -> None:
        """
        Send nothing again from now on, but for finding out about submits whose fate is in doubt.
        """
        self._is_retired = True

    def fingerprint(self, salt: str) -> str:
        """
        Return what tells the key from others, where the same *salt* is used; of no use to who finds it.
        """
        return fingerprint(self._credentials, salt)

    async def read(self, path: str, judge: Callable[[Answer], T]) -> T:
        """
        Ask for *path* and return what *judge* makes of the answer; passing errors are repeated for `give_up_after`.

        Raises:
            KlingError: What *judge* raised, or the connection; the last of several.
        """
        now = asyncio.get_running_loop().time
        until = now() + self.retry.give_up_after

        async def attempt() -> T:
            return await decode(await self.send("GET", path), judge)

        def is_over(error: KlingError) -> bool:
            return not may_repeat(error) or self.retry.is_too_long(error) or now() > until

        return await self._repeat(attempt, is_over)

    async def submit(self, submission: Submission, look_up: Callable[[], Awaitable[TaskSnapshot]]) -> TaskSnapshot:
        """
        Send *submission* until it is a task, exactly once as far as the service makes that possible.

        After an ambiguous attempt the task is looked up by its external id. It is sent again, under the same id, only
        where the service has said for `retry.look_for` seconds that there is none; and once it is refused then, it is
        only looked for, since the refusal may be due to the task that the first attempt made.

        Raises:
            SubmissionUncertain: A task may exist, and it could not be found out.
            KlingError: Surely no task was made.
        """

        async def attempt() -> TaskSnapshot:
            found = None if submission.doubt is None else await self._search(submission, look_up)
            return found if found is not None else await self._post(submission)

        def is_over(error: KlingError) -> bool:
            return self._is_given_up(submission, error)

        try:
            return await self._repeat(attempt, is_over, submission.retrying)
        except KlingError as error:
            if submission.doubt is not None and not submission.is_kept_back:
                raise uncertain(submission, submission.doubt) from error
            if self._is_retired and next_step(error, can_look_up=False) is Step.RESEND:
                raise ClientClosed("the client is closed; make a new one") from error
            raise

    async def _post(self, submission: Submission) -> TaskSnapshot:
        while True:
            await submission.regain()
            try:
                return await self._post_once(submission)
            except RateLimited as error:
                if self._is_last_try(submission) or not submission.refused(error):
                    raise

    async def _post_once(self, submission: Submission) -> TaskSnapshot:
        try:
            if not submission.is_intended:
                submission.is_intended = True
                await _intend(submission)
            # No more creates come to the gate than could pass it, so that a read is next, however many are to be sent.
            async with self._creates, self._gate:
                answer = await self._send_in_step("POST", submission.path, _Outgoing(submission.body, submission), None)
            accepted = await decode(answer, read_created)
        except KlingError as error:
            if submission.is_kept_back:
                raise
            judged = await self._judge(submission.path, error)
            submission.learn_from(judged, asyncio.get_running_loop().time())
            self._is_kept = self._is_kept and not isinstance(judged, Unreachable)
            try:
                raise judged from None
            finally:
                del judged  # else its traceback holds it
        finally:
            if not submission.is_exposed:  # it is while an answer that is good has just been read
                submission.is_intended = False
                submission.withdraw()
        submission.has_left = False
        self._is_there = True
        return accepted

    async def _judge(self, path: str, error: KlingError) -> KlingError:
        # An answer that no Kling API gives leaves no doubt where there is none, and a free read tells.
        if not isinstance(error, UnexpectedAnswer) or not error.is_other_api or not may_exist(error):
            return error
        try:
            if not self._is_there:
                read_sighting(await self.send("GET", f"{path}/{uuid.uuid4()}"))
        except KlingError as said:
            presence = presence_of(said)
            self._is_there = presence is Presence.HERE
            return attrs.evolve(error, is_confirmed=True) if presence is Presence.ABSENT else error
        return error

    async def _search(
        self, submission: Submission, look_up: Callable[[], Awaitable[TaskSnapshot]]
    ) -> TaskSnapshot | None:
        # None where there is no such task, and it may be sent again.
        submission.is_looking = True
        try:
            return await look_up()
        except TaskNotFound:
            now = asyncio.get_running_loop().time()
            submission.miss(now)
            if not self._may_be_sent_again(submission, now):
                raise
        submission.is_looking = False
        return None

    def _may_be_sent_again(self, submission: Submission, now: float) -> bool:
        return not self._is_retired and submission.may_be_sent_again(self.retry.look_for, now)

    def _is_last_try(self, submission: Submission) -> bool:
        return self._is_retired or submission.is_abandoned

    def _is_given_up(self, submission: Submission, error: KlingError) -> bool:
        if self.retry.is_too_long(error) or (self._is_last_try(submission) and submission.doubt is None):
            return True
        now = asyncio.get_running_loop().time()
        if submission.is_looking:
            if isinstance(error, TaskNotFound):  # it may not be shown yet, or may be sent again by now
                is_missing = submission.has_been_missing(self.retry.look_for, now)
                is_final = is_missing and not self._may_be_sent_again(submission, now)
            else:
                is_final = not may_repeat(error)
            return is_final or self._is_past(submission.troubled_since, self.retry.give_up_after, now)
        can_look_up = submission.external_id is not None
        is_looked_up = submission.doubt is not None and can_look_up and not submission.is_kept_back
        if next_step(error, can_look_up=can_look_up) is Step.GIVE_UP and not is_looked_up:
            return True
        if isinstance(error, RateLimited):
            if submission.doubt is None:
                submission.troubled_since = None  # the service is there
            return submission.refused_for() > self.retry.refused_for
        submission.trouble(now)
        return self._is_past(submission.troubled_since, self.retry.give_up_after, now)

    @staticmethod
    def _is_past(since: float | None, seconds: float, now: float) -> bool:
        return since is not None and now - since > seconds

    async def _repeat(
        self,
        attempt: Callable[[], Awaitable[T]],
        is_over: Callable[[Any], bool],
        retrying: Callable[[KlingError, float], object] | None = None,
    ) -> T:
        try:
            return await attempt()  # nearly all go well; to get backoff ready for each would cost more than sending it
        except KlingError as error:
            failed = [error]

        async def again() -> T:
            if failed:
                raise failed.pop()
            return await attempt()

        def on_backoff(details: Any) -> None:
            if retrying is not None:
                retrying(details["exception"], details["wait"])

        # The decision is all in `is_over`; backoff carries it out. Its own limits go unused: they read the wall clock.
        repeating = backoff.on_exception(
            self._waits,
            KlingError,
            giveup=is_over,
            on_backoff=on_backoff,
            jitter=None,
            logger=_log,
            backoff_log_level=logging.INFO,
            giveup_log_level=logging.DEBUG,  # it is raised, so it is the caller's to report
        )
        result: T = await repeating(again)()
        return result

    def _waits(self) -> Generator[float, Any, None]:
        return self.retry.delays()

    async def send(self, method: str, path: str, body: bytes | None = None, *, limit: float | None = None) -> Answer:
        """
        Send one request, once, and return its answer whatever that says; a token out of step with the clock is renewed
        and the request sent once more, since the service refused to look at it.

        *limit* is in seconds for all of the request; None is the limits of connecting and reading together, and more
        for a large body.

        Raises:
            NotSent: The connection was never made.
            Unreachable: It broke or timed out, and the request may have arrived.
            UnexpectedAnswer: The answer is larger than any sensible one.
            ClientClosed: The session was closed.
        """
        async with self._gate:
            return await self._send_in_step(method, path, None if body is None else _Outgoing(body), limit)

    async def _send_in_step(self, method: str, path: str, body: "_Outgoing | None", limit: float | None) -> Answer:
        answer = await self._send_signed(method, path, body, limit)
        if isinstance(self._credentials, AccessKey) and _is_clock_trouble(answer):
            if body is not None:
                body.mark_answered()
            self._clock_offset = clock_offset(answer.headers, time.time())
            self._token = None
            answer = await self._send_signed(method, path, body, limit)
        return answer

    async def _send_signed(self, method: str, path: str, body: "_Outgoing | None", limit: float | None) -> Answer:
        session = self._open_for_creates() if body is not None and body.is_sent_once else self._open()
        headers = {"Authorization": f"Bearer {self._sign()}", "User-Agent": self.http.user_agent}
        where = f"{method} {self.base_url}{path.partition('?')[0]}"
        reply = _Reply()
        try:
            with Deadline(self._limit_of(body, limit)) as deadline:
                await self._exchange(session, method, path, body, headers, deadline, reply)
        except KlingError:
            raise
        except asyncio.CancelledError:
            if is_cancelled():
                raise
            if body is None or not reply.is_whole:
                closed = aiohttp.ClientConnectionError("the session was closed by its owner")
                raise self._ours(closed, where, body, reply) from None
        except Exception as error:  # noqa: BLE001 (libraries raise what they like, and only the bytes sent count)
            if body is None or not reply.is_whole:
                raise self._ours(error, where, body, reply) from None
        self._kept_for = kept_for(reply.headers.get("Keep-Alive", ""))
        said = reply.body
        for secret in self._secrets:  # some services repeat the key that they refuse
            said = said.replace(secret.encode(), "…".encode())
        return Answer(reply.status, reply.headers, said)

    async def _exchange(
        self,
        session: aiohttp.ClientSession,
        method: str,
        path: str,
        body: "_Outgoing | None",
        headers: Mapping[str, str],
        deadline: Deadline,
        reply: "_Reply",
    ) -> None:
        async with session.request(
            method,
            URL(self.base_url + path, encoded=True),
            data=None if body is None else body.begin(deadline, self.http.read_timeout),
            headers=headers,
            allow_redirects=False,  # a redirect would carry the key elsewhere, and turn a POST into a GET
            raise_for_status=False,
            max_line_size=MAX_HEADER,  # here, since borrowed sessions have limits of their own
            max_field_size=MAX_HEADER,
            max_headers=MAX_HEADERS,
            timeout=_connecting_within(self.http.connect_timeout),
            proxy=self.http.proxy_for(self.base_url),
            ssl=self.http.ssl,
            middlewares=_with_watch(session, body),
        ) as response:
            reply.status, reply.headers = response.status, response.headers
            is_over, size = False, 0
            while not is_over:
                deadline.expect_within(self.http.read_timeout)
                piece = await response.content.readany()
                reply.pieces.append(piece)
                size += len(piece)
                _check_size(size, response.status)
                is_over = response.content.at_eof()

    def _open(self) -> aiohttp.ClientSession:
        return self._session(self.keepalive)

    def _open_for_creates(self) -> aiohttp.ClientSession:
        # A server closes an idle connection when it likes, and a request that meets that on the way is lost. Where it
        # could not be looked up then, it goes out on a connection that is new, or open for some time to come.
        # One that was lost all the same may have met a service that does not do as it says.
        reuse, told = self.http.reuse_within, self._kept_for or 0.0
        return self._session(reuse if self._is_kept and told >= reuse + REUSE_MARGIN else 0.0)

    def _session(self, keepalive: float) -> aiohttp.ClientSession:
        # One of our own for each number of seconds that it keeps idle connections, or the one that is borrowed.
        if self._is_closed or (self._borrowed is not None and self._borrowed.closed):
            raise ClientClosed("the client is closed; make a new one")
        if self._borrowed is not None:
            return self._borrowed
        session = self._sessions.get(keepalive)
        if session is None:
            # Our gate is the bound; waiting in aiohttp's pool would count against the time of a request.
            kept: dict[str, Any] = {"keepalive_timeout": keepalive} if keepalive else {"force_close": True}
            connector = aiohttp.TCPConnector(limit=0, **kept)
            session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
            self._sessions[keepalive] = session
        return session

    def _sign(self) -> str:
        now = time.time() + self._clock_offset
        if self._token is None or now >= self._token.renew_at:
            self._token = make_token(self._credentials, now)
        return self._token.text

    def _limit_of(self, body: "_Outgoing | None", limit: float | None) -> float:
        http = self.http
        more = 0 if body is None else math.ceil(SECONDS_PER_MIB * len(body.content) / 2**20)
        return limit or http.connect_timeout + http.read_timeout + more

    def _ours(self, error: Exception, where: str, body: "_Outgoing | None", reply: "_Reply") -> KlingError:
        # At the border: nobody above meets an exception of aiohttp's, whose repr may hold the request's headers.
        said = describe_http_error(error)
        for secret in self._secrets:
            said = said.replace(secret, "…")
        reason = hide_secrets(said) or type(error).__name__
        is_of_network = isinstance(error, _OF_NETWORK)
        may_have_left = is_of_network and not isinstance(error, _NEVER_SENT) if body is None else body.has_left
        if not may_have_left:
            if self._is_closed or (self._borrowed is not None and self._borrowed.closed):
                return ClientClosed(f"the session was closed before {where} was sent; make a new client")
            if isinstance(error, ValueError | TypeError) and not is_of_network:
                return InvalidRequest(f"{where} cannot be sent: {reason}; check base_url, proxy and headers")
            return NotSent(f"no connection for {where}: {reason}")
        task_id = torn_id(reply.body) if body is not None else None
        if isinstance(error, TimeoutError):
            return Unreachable(f"no answer in time to {where}: {reason}", task_id)
        return Unreachable(f"the connection broke during {where}: {reason}", task_id)


async def _intend(submission: Submission) -> None:
    try:
        await submission.intend()
    except KlingError:
        submission.is_kept_back = True
        raise


_OF_NETWORK: Final = (aiohttp.ClientError, OSError)  # TimeoutError is an OSError

_NEVER_SENT: Final = (
    aiohttp.ClientConnectorError,
    aiohttp.ClientHttpProxyError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ServerFingerprintMismatch,
    aiohttp.InvalidURL,
    aiohttp.NonHttpUrlClientError,
)
"""
What shows of a read, which has no body of ours, that no connection was made for it. A read may be repeated in any case.
"""

PIECE: Final = 2**16
"""
Bytes of a request's body that are handed to a connection at a time; aiohttp warns of more than a MiB at once.
"""


@attrs.define(eq=False)
class _Reply:
    """
    What has come of an answer so far.
    """

    status: int = 0
    headers: Mapping[str, str] = attrs.field(factory=dict)
    pieces: list[bytes] = attrs.field(factory=list)

    @property
    def body(self) -> bytes:
        """
        The bytes of its body.
        """
        return b"".join(self.pieces)

    @property
    def is_whole(self) -> bool:
        """
        Whether all of the body is there, though the connection broke before the answer had ended.
        """
        return is_whole(self.body)


@attrs.define(eq=False)
class _Outgoing:
    """
    The body of a POST, and whether bytes of the request have left. aiohttp sends the headers together with the first
    piece of the body, and asks for that only when there is a connection: behind proxies too, and in borrowed sessions.
    """

    content: bytes
    _submission: Submission | None = None
    has_left: bool = attrs.field(default=False, init=False)
    _body: "_Body | None" = attrs.field(default=None, init=False)

    @property
    def is_sent_once(self) -> bool:
        """
        Whether nothing can find out what became of it, should its answer be lost.
        """
        return self._submission is not None and self._submission.external_id is None

    def begin(self, deadline: Deadline, read_timeout: float) -> "_Body":
        """
        Return what aiohttp is to send; each request needs one of its own.
        """
        self._body = _Body(self.content, self._leave, lambda: deadline.expect_within(read_timeout))
        return self._body

    async def watch(self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        """
        A middleware that runs last. An answer that is there before the request has left is of something else: some
        servers say why they close an idle connection, and aiohttp takes that for the answer to the next request.

        If another middleware has replaced the body, ours does not tell when it leaves: the request counts as sent from
        here on, unless there was no connection for it.
        """
        if request.body is not self._body:
            return await self._watch_replaced(request, handler)
        response = await handler(request)
        if not self.has_left and EXPECT not in request.headers:  # which has the head leave before the body
            response.close()
            raise aiohttp.ClientConnectionError("the connection held an answer before the request was sent")
        return response

    async def _watch_replaced(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        had_left = self.has_left
        self._leave()
        try:
            return await handler(request)
        except _NEVER_SENT:
            self._set(has_left=had_left)
            raise

    def mark_answered(self) -> None:
        """
        An answer has told that nothing came of it.
        """
        self._set(has_left=False)

    def _leave(self) -> None:
        # Called by a task of aiohttp's own, which may be about to run when the submit is cancelled.
        if self._submission is not None and self._submission.is_called_off:
            raise aiohttp.ClientConnectionError("the submit was cancelled before it was sent")
        self._set(has_left=True)

    def _set(self, *, has_left: bool) -> None:
        self.has_left = has_left
        if self._submission is not None:
            self._submission.has_left = has_left


def _with_watch(
    session: aiohttp.ClientSession, body: _Outgoing | None
) -> tuple[aiohttp.ClientMiddlewareType, ...] | None:
    # None leaves the session's own middlewares as they are. aiohttp has no public way to ask for them.
    middlewares = getattr(session, "_middlewares", None)
    return None if body is None or middlewares is None else (*middlewares, body.watch)


class _Body(aiohttp.Payload):
    """
    Bytes for aiohttp to send, which tell when the first of them is taken and when the last is.
    """

    _autoclose = True  # there is nothing to close; else aiohttp warns when a middleware replaces this

    def __init__(self, content: bytes, on_leaving: Callable[[], object], on_sent: Callable[[], object]) -> None:
        super().__init__(content, content_type="application/json")
        self._size = len(content)
        self._on_leaving = on_leaving
        self._on_sent = on_sent

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return bytes(self._value).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        transport = getattr(writer, "transport", None)
        if transport is None or transport.is_closing():
            raise aiohttp.ClientConnectionResetError("the connection was closed before it was used")
        if getattr(getattr(writer, "protocol", None), "should_close", False):
            raise aiohttp.ClientConnectionResetError("the connection holds what is no answer to this")
        self._on_leaving()
        for start in range(0, len(self._value), PIECE):
            await writer.write(self._value[start : start + PIECE])
        self._on_sent()


@functools.lru_cache(maxsize=64)
def _connecting_within(seconds: float) -> aiohttp.ClientTimeout:
    # Name look-up, each address, proxy and TLS together; the rest of the time is kept by our own deadline.
    return aiohttp.ClientTimeout(total=None, connect=seconds, sock_connect=seconds, sock_read=None)


async def decode(answer: Answer, judge: Callable[[Answer], T]) -> T:
    """
    Return `judge(answer)`. For a large answer, *judge* runs in a thread: it must not read anything that the event loop
    changes. Cancelling this returns at once; the thread finishes and its result is dropped.
    """
    if is_small(answer):
        return judge(answer)
    try:
        return await asyncio.to_thread(judge, answer)
    except RuntimeError:  # no thread could be started
        return judge(answer)


def is_small(answer: Answer) -> bool:
    """
    Return whether `decode` handles *answer* on the event loop.
    """
    return len(answer.body) <= DECODE_INLINE_MAX


def _check_size(size: int, status: int) -> None:
    if size > MAX_ANSWER:
        what = f"the answer is larger than {MAX_ANSWER} bytes; ask for smaller pages, or check base_url"
        raise UnexpectedAnswer(what, http_status=status)


def _is_clock_trouble(answer: Answer) -> bool:
    if answer.status != HTTPStatus.UNAUTHORIZED:
        return False
    try:
        read_created(answer)
    except KlingError as error:
        return error.code in {1003, 1004}
    return False
