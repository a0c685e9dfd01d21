"""
Responses to downloads: checked by their status, and read within time limits; errors are described in words.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterator
from http import HTTPStatus
from typing import Final, Self

import aiohttp
import attrs

from kling_async.media.fetch_errors import FetchRefused, LinkExpired, TransferBroken
from kling_async.media.transfer_rate import TransferRate
from kling_async.wire.headers import retry_after
from kling_async.wire.redaction import hide_query, hide_secrets

__all__ = ["MAX_PAUSE", "ResponseSource", "check_status", "describe_http_error", "within"]

MAX_PAUSE: Final = 60.0
"""
The longest `Retry-After` in seconds that is waited for. If a server asks for more, a later `save` fetches the file.
"""
_RETRYABLE: Final = frozenset({408, 425, 429})  # the 4xx that mean "later"
_SUCCESS: Final = frozenset({200, 203})  # 203: a 200 whose body or headers a proxy has changed
_CONTENT_RANGE: Final = re.compile(r"bytes 0-(\d{1,18})/(?:(\d{1,18})|\*)", re.ASCII)


def describe_http_error(error: Exception) -> str:
    """
    Return the text of an error of aiohttp's. Of a response that cannot be parsed it leaves out what was read, which may
    be a cookie, and the status 400, which is the parser's own.
    """
    if isinstance(error, aiohttp.ClientHttpProxyError):  # of the proxy, whose URL may hold a password
        return f"the proxy answered {error.status} {error.message}".rstrip()
    if isinstance(error, aiohttp.ClientResponseError) and error.status == HTTPStatus.BAD_REQUEST:
        what = error.message.partition("when reading")[0].strip()
        return f"the head of the answer cannot be read ({what})" if what else str(error)
    return str(error)


@contextlib.asynccontextmanager
async def within(seconds: float, what: str) -> AsyncIterator[None]:
    """
    Limit the time for *what*, and raise errors of the network as `FetchError`.

    aiohttp's limit between two bytes does not stop a server that sends a byte now and then, or bytes without content:
    parts of a header, or empty compressed blocks. Errors are not chained, because their texts may hold a whole URL.
    """
    try:
        async with asyncio.timeout(seconds):
            with _fetch_errors():
                yield
    except TimeoutError:
        raise TransferBroken(f"{what} did not arrive within {seconds:g} s") from None


@contextlib.contextmanager
def _fetch_errors() -> Iterator[None]:
    try:
        yield
    except (ValueError, aiohttp.NonHttpUrlClientError, aiohttp.ClientSSLError) as error:
        raise FetchRefused(_describe(error)) from None
    except (aiohttp.ClientError, OSError) as error:  # OSError: also timeouts and resets that are not wrapped
        raise TransferBroken(_describe(error)) from None


def _describe(error: Exception) -> str:
    text = hide_secrets(describe_http_error(error), limit=200)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def check_status(response: aiohttp.ClientResponse) -> None:
    """
    Raise unless the response brings the whole file.

    Raises:
        LinkExpired: The URL is no longer valid.
        TransferBroken: It may work later.
    """
    status = response.status
    if status in _SUCCESS or (status == HTTPStatus.PARTIAL_CONTENT and _is_all(response.headers.get("Content-Range"))):
        return
    text = f"HTTP {status} from {hide_query(str(response.url))}"
    if 400 <= status < 500 and status not in _RETRYABLE:
        raise LinkExpired(text)
    pause = retry_after(response.headers) or 0.0
    raise TransferBroken(f"{text}, which asks to wait {pause:.0f} s" if pause > MAX_PAUSE else text, pause)


def _is_all(content_range: str | None) -> bool:
    # No range was requested, so all of it should arrive. If no total length is given, the file's own end decides.
    match = _CONTENT_RANGE.fullmatch((content_range or "bytes 0-0/*").strip())
    return match is not None and (match[2] is None or int(match[1]) + 1 == int(match[2]))


@attrs.define(eq=False, repr=False)
class ResponseSource:
    """
    The body of a response, which must not be too slow. Use it in `with`.

    One timer serves all reads of a response, since hundreds of pieces may arrive in a second: when it fires, it looks
    how long the current read has waited.
    """

    _response: aiohttp.ClientResponse
    _rate: TransferRate
    _loop: asyncio.AbstractEventLoop = attrs.field(factory=asyncio.get_running_loop, init=False)
    _timer: asyncio.TimerHandle | None = attrs.field(default=None, init=False)
    _waits_since: float | None = attrs.field(default=None, init=False)

    def __enter__(self) -> Self:
        self._timer = self._loop.call_later(self._rate.window, self._check)
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._timer is not None:
            self._timer.cancel()

    @property
    def size(self) -> int:
        return self._response.content_length or 0

    @property
    def content_type(self) -> str:
        return hide_secrets(self._response.content_type, limit=60)

    async def read(self) -> bytes:
        began = self._waits_since = self._loop.time()
        with _fetch_errors():
            piece = await self._response.content.readany()
        self._waits_since = None
        self._rate.add(len(piece), self._loop.time() - began)
        problem = self._rate.problem() if piece else None
        if problem is not None:
            raise TransferBroken(problem)
        return piece

    def _check(self) -> None:
        now, window = self._loop.time(), self._rate.window
        ends = (now if self._waits_since is None else self._waits_since) + window
        if ends > now:
            self._timer = self._loop.call_at(ends, self._check)
        else:
            self._response.content.set_exception(TransferBroken(f"more of it did not arrive within {window:g} s"))
