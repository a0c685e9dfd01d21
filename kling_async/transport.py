"""
Requests to the service: one session, our own bound on requests at a time, and `backoff` around what may be sent again.
"""

import asyncio
import functools
import io
import logging
import math
import time
from collections.abc import Awaitable, Callable, Generator
from http import HTTPStatus
from ssl import SSLContext
from types import TracebackType
from typing import Any, Final, NoReturn, Self, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import attrs
import backoff
from yarl import URL

from kling_async import __version__
from kling_async.errors import (
    ClientClosed,
    KlingError,
    NotSent,
    RateLimited,
    SubmissionUncertain,
    TaskNotFound,
    UnexpectedAnswer,
    Unreachable,
)
from kling_async.policy import RetryPolicy, Step, may_exist, may_repeat, next_step
from kling_async.wire.auth import AccessKey, Credentials, Token, clock_offset, fingerprint, make_token
from kling_async.wire.models import TaskSnapshot
from kling_async.wire.redaction import hide_secrets
from kling_async.wire.verdict import Answer, is_duplicate_id, read_created

__all__ = ["HttpOptions", "Submission", "Transport"]

T = TypeVar("T")

USER_AGENT: Final = f"kling-async/{__version__}"

MAX_ANSWER: Final = 32 * 1024 * 1024
"""
Bytes of the largest answer that is read; a page of 500 tasks has less than one MiB.
"""

SECONDS_PER_MIB: Final = 4.0
"""
What each MiB of a request's body adds to the time it may take in all.
"""

SECRET_LENGTH: Final = 8
"""
Characters from which on a key is a secret, and struck out of what the service says.
"""

_log = logging.getLogger(__name__)


def _with_scheme(proxy: str) -> str:
    return proxy if "://" in proxy else f"http://{proxy}"  # as curl and others read `HTTPS_PROXY=proxy:3128`


def _check_seconds(_: object, attribute: "attrs.Attribute[float]", value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(f"{attribute.name}={value!r}: must be a finite number of seconds above 0")


@attrs.frozen(kw_only=True)
class HttpOptions:
    """
    How connections are made.

    Attributes:
        trust_env: Whether to use the proxies named by `HTTPS_PROXY` and its kin; `~/.netrc` is never read.
        proxy: URL of an HTTP proxy, used for every request; without a scheme it is taken for "http://".
        ssl: True checks certificates against the system's; a context brings its own rules; False checks nothing.
        connect_timeout: Seconds to make a connection, TLS included.
        read_timeout: Seconds without a byte from the service.
        max_connections: Requests to the service at one time; more wait, with no clock running.
        user_agent: What the service is told of us.
    """

    trust_env: bool = False
    proxy: str | None = attrs.field(default=None, converter=attrs.converters.optional(_with_scheme), repr=False)
    ssl: SSLContext | bool = True
    connect_timeout: float = attrs.field(default=10.0, validator=_check_seconds)
    read_timeout: float = attrs.field(default=30.0, validator=_check_seconds)
    max_connections: int = attrs.field(default=16)
    user_agent: str = USER_AGENT

    @proxy.validator
    def _check_proxy(self, _: object, proxy: str | None) -> None:
        # A proxy without a host would be passed by in silence. Its password is not shown.
        if proxy is not None and not _is_http(proxy):
            raise ValueError("proxy: must be an http(s) URL with a host")

    @max_connections.validator
    def _check_max_connections(self, _: object, number: int) -> None:
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise ValueError(f"max_connections={number!r}: must be a whole number of at least 1")

    def proxy_for(self, url: str) -> str | None:
        """
        Return the proxy to use for *url*, or None.
        """
        proxy = self.proxy
        if proxy is None and self.trust_env:
            parts = urlsplit(url)
            if not proxy_bypass(parts.hostname or ""):
                proxy = getproxies().get(parts.scheme)
        return _with_scheme(proxy) if proxy else None


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool((parts.hostname or "").strip()) and parts.port != 0
    except ValueError:
        return False


async def _at_once() -> None:
    pass


def _in_silence() -> None:
    pass


def _heedless(_: KlingError, __: float) -> None:
    pass


@attrs.define(eq=False)
class Submission:
    """
    One submit on its way: what is sent, and what is known of its fate so far.

    Attributes:
        external_id: The id of ours it carries, None where the service takes none.
        refused: Takes in a refusal, and tells whether it may be sent again after `regain` alone, with no pause before.
        refused_for: Returns the seconds for which it has been refused while nothing of ours was under way.
        regain: Waits until it may be sent again.
        intend: Awaited before it is sent, and again where it is sent anew after `withdraw`; what it raises goes up.
        withdraw: Called where nothing came of what was intended, for sure.
        retrying: Called with an error after which it goes on, and the seconds until then.
        owns_id: Whether nobody else could have used `external_id`, so that "already exists" is an earlier run's task.
        doubt: The first error after which a task may exist; None while surely none does.
        is_intended: Whether `intend` stands.
        is_sending: Whether a POST is under way right now; it is not while it waits for its turn among the connections.
        is_looking: Whether the last attempt was a look-up that found out nothing.
        is_abandoned: Whether nobody wants it any more: its fate is found out, and it is not sent again.
        troubled_since: When it first went wrong, in seconds of the loop's clock.
    """

    path: str
    body: bytes = attrs.field(repr=False)
    external_id: str | None
    refused: Callable[[RateLimited], bool]
    refused_for: Callable[[], float]
    regain: Callable[[], Awaitable[None]]
    intend: Callable[[], Awaitable[None]] = _at_once
    withdraw: Callable[[], object] = _in_silence
    retrying: Callable[[KlingError, float], object] = _heedless
    owns_id: bool = False
    doubt: KlingError | None = None
    is_intended: bool = False
    is_sending: bool = False
    is_looking: bool = False
    is_abandoned: bool = False
    troubled_since: float | None = None

    @property
    def is_exposed(self) -> bool:
        """
        Whether the service may have a task of this that nobody knows of yet.
        """
        return self.is_sending or self.doubt is not None

    def trouble(self, now: float) -> None:
        """
        Remember when the trouble began.
        """
        self.troubled_since = now if self.troubled_since is None else self.troubled_since


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
    _session: aiohttp.ClientSession | None = attrs.field(default=None, init=False, repr=False)
    _gate: asyncio.Semaphore = attrs.field(init=False, repr=False)
    _secrets: tuple[str, ...] = attrs.field(init=False, repr=False)
    _token: Token | None = attrs.field(default=None, init=False, repr=False)
    _clock_offset: float = attrs.field(default=0.0, init=False, repr=False)
    _is_retired: bool = attrs.field(default=False, init=False)
    _is_closed: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._gate = asyncio.Semaphore(self.http.max_connections)
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
        session, self._session = self._session, None
        if session is not None and session is not self._borrowed:
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
            return judge(await self.send("GET", path))

        def is_over(error: KlingError) -> bool:
            return not may_repeat(error) or self.retry.is_too_long(error) or now() > until

        return await self._repeat(attempt, is_over)

    async def submit(self, submission: Submission, look_up: Callable[[], Awaitable[TaskSnapshot]]) -> TaskSnapshot:
        """
        Send *submission* until it is a task, exactly once as far as the service makes that possible.

        After an ambiguous attempt the task is looked up by its external id, and sent again under the same id only where
        the service says that there is none.

        Raises:
            SubmissionUncertain: A task may exist, and it could not be found out.
            KlingError: Surely no task was made.
        """

        async def attempt() -> TaskSnapshot:
            if submission.doubt is None:
                return await self._post(submission)
            try:
                return await self._search(submission, look_up)
            except TaskNotFound as error:
                if self._is_last_try(submission):  # found out as far as can be, and not to be sent again
                    raise _uncertain(submission, submission.doubt) from error
                return await self._post(submission)

        def is_over(error: KlingError) -> bool:
            return self._is_given_up(submission, error)

        try:
            return await self._repeat(attempt, is_over, submission.retrying)
        except KlingError as error:
            if submission.doubt is None and self._is_retired and next_step(error, can_look_up=False) is Step.RESEND:
                raise ClientClosed("the client is closed; make a new one") from error
            if submission.doubt is None or (not submission.is_looking and _is_clear_refusal(error)):
                raise
            raise _uncertain(submission, submission.doubt) from error

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
                await submission.intend()
            async with self._gate:
                submission.is_sending = True  # and stays so where this is cancelled on the way: its fate is unknown
                answer = await self._send_in_step("POST", submission.path, submission.body, None)
            accepted = read_created(answer)
        except KlingError as error:
            submission.is_sending = False
            if is_duplicate_id(error) and submission.owns_id and submission.doubt is None:
                submission.doubt = Unreachable("an earlier run has sent it, and did not learn what came of it")
            if is_duplicate_id(error) and submission.doubt is not None:
                # It had arrived after all, and was not to be seen yet when it was looked up.
                raise attrs.evolve(submission.doubt) from error
            if may_exist(error):
                # A copy: the error's own traceback holds the submission with its body, and it would hold the error.
                submission.doubt = submission.doubt or attrs.evolve(error)
                submission.trouble(asyncio.get_running_loop().time())
            raise
        finally:
            if not submission.is_exposed:  # it is while an answer that is good has just been read
                submission.is_intended = False
                submission.withdraw()
        submission.is_sending = False
        return accepted

    @staticmethod
    async def _search(submission: Submission, look_up: Callable[[], Awaitable[TaskSnapshot]]) -> TaskSnapshot:
        submission.is_looking = True
        try:
            return await look_up()
        except TaskNotFound:
            submission.is_looking = False
            raise

    def _is_last_try(self, submission: Submission) -> bool:
        return self._is_retired or submission.is_abandoned

    def _is_given_up(self, submission: Submission, error: KlingError) -> bool:
        if self.retry.is_too_long(error) or (self._is_last_try(submission) and submission.doubt is None):
            return True
        now = asyncio.get_running_loop().time()
        if submission.is_looking:
            return not may_repeat(error) or self._is_past(submission.troubled_since, self.retry.give_up_after, now)
        if next_step(error, can_look_up=submission.external_id is not None) is Step.GIVE_UP:
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
        retrying: Callable[[KlingError, float], object] = _heedless,
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
            return await self._send_in_step(method, path, body, limit)

    async def _send_in_step(self, method: str, path: str, body: bytes | None, limit: float | None) -> Answer:
        answer = await self._send_signed(method, path, body, limit)
        if isinstance(self._credentials, AccessKey) and _is_clock_trouble(answer):
            self._clock_offset = clock_offset(answer.headers, time.time())
            self._token = None
            answer = await self._send_signed(method, path, body, limit)
        return answer

    async def _send_signed(self, method: str, path: str, body: bytes | None, limit: float | None) -> Answer:
        session = self._open()
        headers = {"Authorization": f"Bearer {self._sign()}", "User-Agent": self.http.user_agent}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            async with session.request(
                method,
                URL(self.base_url + path, encoded=True),
                data=_in_pieces(body),
                headers=headers,
                allow_redirects=False,  # a redirect would carry the key elsewhere, and turn a POST into a GET
                raise_for_status=False,
                timeout=self._limits(body, limit),
                proxy=self.http.proxy_for(self.base_url),
                ssl=self.http.ssl,
            ) as response:
                said = await _read_body(response)
                for secret in self._secrets:  # some services repeat the key that they refuse
                    said = said.replace(secret.encode(), "…".encode())
                return Answer(response.status, response.headers, said)
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            self._raise_ours(error, f"{method} {self.base_url}{path.partition('?')[0]}")

    def _open(self) -> aiohttp.ClientSession:
        if self._is_closed or (self._borrowed is not None and self._borrowed.closed):
            raise ClientClosed("the client is closed; make a new one")
        if self._session is None:
            self._session = self._borrowed or aiohttp.ClientSession(
                # Our gate is the bound; waiting in aiohttp's pool would count against the time of a request.
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=self.keepalive),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    def _sign(self) -> str:
        now = time.time() + self._clock_offset
        if self._token is None or now >= self._token.renew_at:
            self._token = make_token(self._credentials, now)
        return self._token.text

    def _limits(self, body: bytes | None, limit: float | None) -> aiohttp.ClientTimeout:
        http = self.http
        more = math.ceil(SECONDS_PER_MIB * len(body or b"") / 2**20)
        return _timeouts(
            limit or http.connect_timeout + http.read_timeout + more, http.connect_timeout, http.read_timeout
        )

    def _raise_ours(self, error: Exception, where: str) -> NoReturn:
        # At the border: nobody above meets an exception of aiohttp's, whose repr may hold the request's headers.
        said = str(error)
        for secret in self._secrets:
            said = said.replace(secret, "…")
        reason = hide_secrets(said) or type(error).__name__
        if isinstance(error, _NEVER_SENT):
            raise NotSent(f"no connection for {where}: {reason}") from None
        if isinstance(error, TimeoutError):
            raise Unreachable(f"no answer in time to {where}: {reason}") from None
        raise Unreachable(f"the connection broke during {where}: {reason}") from None


_NEVER_SENT: Final = (
    aiohttp.ClientConnectorError,
    aiohttp.ClientHttpProxyError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ServerFingerprintMismatch,
    aiohttp.InvalidURL,
    aiohttp.NonHttpUrlClientError,
)


def _in_pieces(body: bytes | None) -> bytes | io.BytesIO | None:
    # aiohttp warns of more bytes than this at once, since the loop would wait for them; of a stream it takes pieces.
    return body if body is None or len(body) <= 2**20 else io.BytesIO(body)


@functools.lru_cache(maxsize=64)
def _timeouts(total: float, connect: float, read: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=total, sock_connect=connect, sock_read=read)


async def _read_body(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_ANSWER:
            raise _too_large(response.status)
    return bytes(body)


def _too_large(status: int) -> UnexpectedAnswer:
    return UnexpectedAnswer(f"the answer is larger than {MAX_ANSWER} bytes; check base_url", http_status=status)


def _is_clock_trouble(answer: Answer) -> bool:
    if answer.status != HTTPStatus.UNAUTHORIZED:
        return False
    try:
        read_created(answer)
    except KlingError as error:
        return error.code in {1003, 1004}
    return False


def _is_clear_refusal(error: KlingError) -> bool:
    # The same refusal would have met the attempt in doubt: wrong key, no money, refused content, broken rule.
    return next_step(error, can_look_up=False) is Step.GIVE_UP and not may_exist(error)


def _uncertain(submission: Submission, doubt: KlingError) -> SubmissionUncertain:
    if submission.external_id is None:
        what = "this service takes no id of ours by which to find it"
    else:
        what = f"it was not found by its external_task_id {submission.external_id!r} in time"
    return SubmissionUncertain(
        f"the task may have been accepted, and {what}; it was not sent again. The first error was: {doubt.message}",
        doubt.task_id,
        doubt.request_id,
        doubt.code,
        doubt.http_status,
    )
