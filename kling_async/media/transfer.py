"""
The bytes of one file, over as many requests as it takes: a transfer that breaks continues where it stopped.
"""

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, Protocol, Self

import attrs

from kling_async.media.fetch_errors import FetchRefused, LinkExpired, TransferBroken
from kling_async.media.responses import MAX_PAUSE
from kling_async.media.resumption import FileVersion, Resumption
from kling_async.media.streams import ByteSource
from kling_async.wire.redaction import hide_query

__all__ = ["Answer", "Transfer"]

_log = logging.getLogger(__name__)

PROGRESS: Final = 1024 * 1024
"""
Bytes since the last break after which a transfer has all its attempts again. With any number, a server that sends a
byte for each request could keep a transfer alive.
"""


@attrs.frozen
class Answer:
    """
    An answer to a request for a file.

    Attributes:
        source: Its body.
        version: Of the file, if the answer has all of it; None if it cannot be resumed.
        resumption: What the answer means if the rest of a file was requested.
        is_final: Whether another request would bring the same.
    """

    source: ByteSource
    version: FileVersion | None = None
    resumption: Resumption = Resumption.WHOLE
    is_final: bool = False


class Ask(Protocol):
    """
    Requests a file; or its rest from *start* on, if it is still this *version*. Entering it raises a `FetchError` if
    there is no answer that can be used.
    """

    def __call__(
        self, url: str, version: FileVersion | None, start: int, /
    ) -> contextlib.AbstractAsyncContextManager[Answer]: ...


class _NoRest(TransferBroken):
    """
    The rest of the file cannot be requested.
    """


@attrs.define(eq=False, repr=False)
class Transfer:
    """
    A `ByteSource` that asks for the rest after a break, if the server can tell that it is of the same version; use it
    in `async with`. If that is impossible, `read` raises `TransferBroken`; `begin_anew` follows.

    Args:
        renew: Returns a fresh URL; it is called at most once. None if there is no way to get one.
        delays: Returns the seconds before each further attempt.
    """

    _url: str
    _ask: Ask
    _renew: Callable[[LinkExpired], Awaitable[str]] | None
    _delays: Callable[[], Iterator[float]]
    _left: Iterator[float] = attrs.field(init=False)
    _opened: contextlib.AsyncExitStack = attrs.field(factory=contextlib.AsyncExitStack, init=False)
    _source: ByteSource | None = attrs.field(default=None, init=False)
    _is_unread: bool = attrs.field(default=True, init=False)
    _is_final: bool = attrs.field(default=False, init=False)
    _version: FileVersion | None = attrs.field(default=None, init=False)
    _start: int = attrs.field(default=0, init=False)  # of what is still to come
    _farthest: float = attrs.field(default=0, init=False)  # where it broke before

    def __attrs_post_init__(self) -> None:
        self._left = self._delays()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._close()

    @property
    def size(self) -> int:
        """
        Total number of bytes; 0 if unknown.
        """
        return self._source.size if self._source is not None else 0

    @property
    def content_type(self) -> str:
        """
        What the server calls it.
        """
        return self._source.content_type if self._source is not None else ""

    async def begin(self) -> None:
        """
        Request the file, unless an answer that has all of it has come.

        Raises:
            FetchError: There is none, after all attempts.
        """
        self._start = 0
        await self._connect()

    async def begin_anew(self, broken: TransferBroken) -> None:
        """
        Wait until the file may be requested from the beginning, since what has come cannot be used.

        Raises:
            TransferBroken: All attempts were made.
            FetchRefused: Another attempt would bring the same.
        """
        self._start, self._farthest = 0, math.inf  # from now on, progress gives no more attempts
        if self._is_unread and self._source is not None:
            return
        if self._is_final:
            raise FetchRefused(f"its URL holds no complete file: {broken}")
        await self._pause(broken)

    async def read(self) -> bytes:
        """
        Return the next piece; nothing at the end.

        Raises:
            FetchError: It broke, and the rest does not come.
        """
        while True:
            await self._connect()
            try:
                return await self._next()
            except TransferBroken as broken:
                await self._pause(broken)

    async def _connect(self) -> None:
        while self._source is None:
            try:
                await self._request()
            except LinkExpired as expired:
                renew, self._renew = self._renew, None
                if renew is None:
                    raise
                self._url = await renew(expired)
            except _NoRest:
                raise
            except TransferBroken as broken:
                await self._pause(broken)

    async def _request(self) -> None:
        version = self._version if self._start else None
        answer = await self._opened.enter_async_context(self._ask(self._url, version, self._start))
        self._is_final = answer.is_final
        match answer.resumption:
            case Resumption.IMPOSSIBLE:
                raise _NoRest("the file has changed since its transfer began")
            case Resumption.WHOLE:
                self._source, self._version, self._is_unread = answer.source, answer.version, True
                if self._start:
                    raise _NoRest("the server sends the file from its beginning")
            case _:
                self._source = answer.source

    async def _next(self) -> bytes:
        if self._source is None:
            raise AssertionError("it is connected")
        piece = await self._source.read()
        self._is_unread = False
        self._start += len(piece)
        size = self._version.size if self._version is not None else None
        if not piece and size is not None and self._start != size:
            raise TransferBroken(f"the answer ended after {self._start} of {size} bytes")
        return piece

    async def _pause(self, broken: TransferBroken) -> None:
        await self._close()
        if self._start - self._farthest >= PROGRESS:
            self._left = self._delays()
        self._farthest = max(self._farthest, self._start)
        delay = next(self._left, None)
        if delay is None or broken.pause > MAX_PAUSE:
            raise broken
        delay = max(delay, broken.pause)
        extra = {"url": hide_query(self._url), "reason": str(broken), "delay": delay, "start": self._start}
        _log.debug("transfer_broken", extra=extra)
        await asyncio.sleep(delay)

    async def _close(self) -> None:
        self._source = None
        await self._opened.aclose()
