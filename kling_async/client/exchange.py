"""
The parts of one HTTP exchange: the request's body, the time limit, and what has arrived of the answer.
"""

import asyncio
import math
from collections.abc import Mapping
from types import TracebackType
from typing import Final, NoReturn, Self

import aiohttp
import attrs
from aiohttp.abc import AbstractStreamWriter
from aiohttp.hdrs import EXPECT

from kling_async.wire.responses import is_whole

__all__ = ["NEVER_SENT", "Deadline", "Deadlines", "PartialAnswer", "RequestBody", "is_cancelled"]

NEVER_SENT: Final = (
    aiohttp.ClientConnectorError,
    aiohttp.ClientHttpProxyError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ServerFingerprintMismatch,
    aiohttp.InvalidURL,
    aiohttp.NonHttpUrlClientError,
)
"""
Errors of aiohttp which show that no connection was established.
"""

PIECE: Final = 2**16
"""
Bytes of a request's body that are written to a connection at a time; aiohttp warns above one MiB.
"""

SECONDS_PER_MIB: Final = 4.0
"""
Seconds that each MiB of a request's body adds to its time limit.
"""

EXTRA_TURNS: Final = 3
"""
Iterations of the event loop between the end of the time and the cancelling. After the loop was blocked, its timers may
run before its sockets are read (uvloop's always do), and an answer that has arrived needs up to two iterations to reach
its task.
"""

TURN: Final = 0.001
"""
Seconds of such an iteration. Only a timer works: the loop reads its sockets before it runs one that was set in the
iteration before.
"""


@attrs.define(eq=False, repr=False)
class Deadlines:
    """
    The time limits of a client's exchanges. They share one timer: hardly any limit is ever reached, and a timer for
    each exchange would cost more than the rest of its limit.

    Attributes:
        running: Those whose blocks run, and whose time is not over.
        wakes_at: When they are checked next; infinite if there is no timer.
    """

    running: "set[Deadline]" = attrs.field(factory=set, init=False)
    wakes_at: float = attrs.field(default=math.inf, init=False)
    _timer: asyncio.TimerHandle | None = attrs.field(default=None, init=False)

    def wake_at(self, at: float) -> None:
        """
        Check all that are running at the time *at*, rather than later.
        """
        if at < self.wakes_at:
            self._stop()
            self._timer, self.wakes_at = asyncio.get_running_loop().call_at(at, self._check), at

    def close(self) -> None:
        """
        Stop the timer, unless a block still runs: a borrowed session goes on when its client is closed.
        """
        if not self.running:
            self._stop()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self.wakes_at = None, math.inf

    def _check(self) -> None:
        self._timer, self.wakes_at = None, math.inf
        for deadline in tuple(self.running):
            deadline.check()


@attrs.define(eq=False, repr=False)
class Deadline:
    """
    Cancels the code in its `with` block when the time is over, and turns that into a TimeoutError. It expires only
    after the event loop has read what has already arrived.

    Attributes:
        seconds: How long the block may take in total.
        read_timeout: How long the service may be silent, once an answer is expected.
    """

    _all: Deadlines
    _loop: asyncio.AbstractEventLoop
    seconds: float
    read_timeout: float
    _aio_task: "asyncio.Task[object]" = attrs.field(init=False)
    _timer: asyncio.TimerHandle | None = attrs.field(default=None, init=False)
    _end: float = attrs.field(init=False)
    _due: float = attrs.field(init=False)  # when the block ends, as far as is known; it is never checked later
    _cancelling: int = attrs.field(init=False)  # how often others had cancelled the task before
    _has_expired: bool = attrs.field(default=False, init=False)

    def __enter__(self) -> Self:
        aio_task = asyncio.current_task(self._loop)
        if aio_task is None:
            raise RuntimeError("a deadline needs a running asyncio task")
        self._aio_task, self._cancelling = aio_task, aio_task.cancelling()
        now = self._loop.time()
        self._end = self._due = now + self.seconds
        self._all.running.add(self)
        check_at = min(self._end, now + self.read_timeout)
        if check_at < self._all.wakes_at:  # nearly always the timer is there
            self._all.wake_at(check_at)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._all.running.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        if self._has_expired and self._aio_task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from None

    def __reduce__(self) -> NoReturn:
        # aioresponses copies the arguments of a request if it can, and a copy would have another event loop.
        raise TypeError("a deadline cannot be copied")

    def expect_answer(self) -> None:
        """
        End the block `read_timeout` from now, or when its whole time is over, whichever comes first. Outside the block,
        and once the time is over, this does nothing.
        """
        self._due = min(self._end, self._loop.time() + self.read_timeout)

    def check(self, turns: int = EXTRA_TURNS) -> None:
        """
        End the block if its time is over, *turns* iterations of the event loop from now.
        """
        if self._due > (now := self._loop.time()):
            # Not later than an answer that is expected from now on may end it.
            self._all.running.add(self)
            self._all.wake_at(min(self._due, now + self.read_timeout))
        elif turns > 0:
            self._all.running.discard(self)
            self._timer = self._loop.call_later(TURN, self.check, turns - 1)
        else:
            self._has_expired = True
            self._aio_task.cancel()


def is_cancelled() -> bool:
    """
    Return whether the running task was cancelled. Some libraries raise `CancelledError` although nothing was, such as
    aiohttp when a session is closed by its owner.
    """
    aio_task = asyncio.current_task()
    return aio_task is None or aio_task.cancelling() > 0


class RequestBody(aiohttp.Payload):
    """
    The JSON body of a POST, and whether bytes of the request have left.

    aiohttp sends the headers together with the first piece of the body, and asks for that only when there is a
    connection: behind proxies too, and in borrowed sessions. It may be sent several times, one after the other.

    Attributes:
        deadline: Of the exchange that sends it: the answer is expected when all of the body is written.
        extra_seconds: What its size adds to the time limit of an exchange.
        is_traceable: Whether its fate can be looked up if the answer is lost.
        patience: Seconds without a byte from the service that are waited for its answer, if the client's are fewer.
        has_left: Whether bytes of it have left, and no answer has shown their effect.
        is_called_off: Whether it may no longer leave. Set before the request is cancelled, since it is written by a
            task of aiohttp's own.
    """

    _autoclose = True  # there is nothing to close; otherwise aiohttp warns when a middleware replaces it

    def __init__(self, content: bytes, *, is_traceable: bool = True, patience: float = 0.0) -> None:
        super().__init__(content, content_type="application/json")
        self._size = len(content)
        self.deadline: Deadline | None = None
        self.extra_seconds: int = math.ceil(SECONDS_PER_MIB * len(content) / 2**20)
        self.is_traceable = is_traceable
        self.patience = patience
        self.has_left: bool = False
        self.is_called_off = False

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return bytes(self._value).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        transport = getattr(writer, "transport", None)
        if transport is None or transport.is_closing():
            raise aiohttp.ClientConnectionResetError("the connection was closed before it was used")
        if getattr(getattr(writer, "protocol", None), "should_close", False):
            raise aiohttp.ClientConnectionResetError("the connection contains bytes of another answer")
        self._leave()
        for start in range(0, len(self._value), PIECE):
            await writer.write(self._value[start : start + PIECE])
        if self.deadline is not None:
            self.deadline.expect_answer()

    async def watch(self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        """
        A middleware that runs last. It rejects an answer that was there before the request left: some servers send the
        reason why they close an idle connection, and aiohttp takes that for the answer to the next request.

        If another middleware has replaced the body, nothing shows when that leaves: the request counts as sent from
        here on, unless no connection was established for it.
        """
        if request.body is not self:
            return await self._watch_replaced(request, handler)
        response = await handler(request)
        if not self.has_left and EXPECT not in request.headers:  # with which the headers leave before the body
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
        except NEVER_SENT:
            self.has_left = had_left
            raise

    def _leave(self) -> None:
        if self.is_called_off:
            raise aiohttp.ClientConnectionError("the submit was cancelled before it was sent")
        self.has_left = True


@attrs.define(eq=False, repr=False)
class PartialAnswer:
    """
    What has arrived of an answer so far.
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
        Whether all of the body is there, even if the connection broke before the answer ended.
        """
        return is_whole(self.body)
