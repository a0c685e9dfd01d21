"""
Calls that create no task: paid ones are sent once, and never again after an answer was lost.
"""

import asyncio
import functools
import logging
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

import attrs

from kling_async.client.exchange import RequestBody
from kling_async.client.retries import Step, may_exist, next_step, retry
from kling_async.client.spending import Charge, Spending
from kling_async.client.submitter import CLOSE_TIMEOUT
from kling_async.client.transport import Transport, decode
from kling_async.errors import (
    ClientClosed,
    KlingError,
    RateLimited,
    SubmissionUncertain,
    TaskFailed,
    UnexpectedAnswer,
)
from kling_async.media.semaphore import Semaphore
from kling_async.policy.policies import RetryPolicy
from kling_async.wire.calls.call import Call
from kling_async.wire.codec import write_request
from kling_async.wire.endpoints.registry import DEFAULT_ENDPOINT
from kling_async.wire.json_text import dumps
from kling_async.wire.tasks import last_seen

__all__ = ["OneShotCalls", "is_over", "uncertain"]

A = TypeVar("A")
Q = TypeVar("Q", bound=attrs.AttrsInstance)

PATIENCE: Final = 120.0
"""
Seconds that a paid call may take to answer; speech is known to take 11, and an answer that is given up is paid for.
"""

_log = logging.getLogger(__name__)


def is_over(error: KlingError, policy: RetryPolicy, failing_for: float) -> bool:
    """
    Return whether *error*, in which an attempt of a paid call ended, is final: the call may have been made, or the
    service refuses it for good, or has not been there, or had no room, for as long as *policy* allows.

    Args:
        failing_for: Seconds since the first attempt failed.
    """
    if policy.is_too_long(error) or next_step(error, can_look_up=False) is Step.GIVE_UP:
        return True
    return failing_for > (policy.refused_for if isinstance(error, RateLimited) else policy.give_up_after)


def uncertain(call: Call[Any, Any], what: str, error: KlingError | None = None) -> SubmissionUncertain:
    """
    Return the error for a call that may have been made, because of *error* if there is one.
    """
    price = "" if call.units is None else f" ({call.units:f} unit{'' if call.units == 1 else 's'})"
    message = (
        f"the {call.title} may have been made, and may have been charged{price}: {what}. The service has no way to "
        "find out, so it is not sent again; look at the usage in the vendor's console, or call again and accept a "
        "second charge"
    )
    if error is None:
        return SubmissionUncertain(message)
    urls = error.urls if isinstance(error, UnexpectedAnswer) else ()
    return SubmissionUncertain(message, error.task_id, error.request_id, error.code, error.http_status, urls=urls)


@attrs.define(eq=False, repr=False)
class _Attempts(Generic[A]):
    # The attempts of one paid call: only one of them may reach the service.
    call: Call[Any, A]
    body: RequestBody
    transport: Transport
    room: Semaphore
    is_last: bool = attrs.field(default=False, init=False)  # not sent again: no caller waits, or the client closes
    failing_since: float | None = attrs.field(default=None, init=False)

    async def send(self) -> A:
        try:
            return await self._send()
        except SubmissionUncertain as error:
            _log.warning("the fate of a call is unknown: %s", str(error))
            raise

    async def _send(self) -> A:
        try:
            return await retry(self._attempt, self._attempt, self.transport.retry, self._is_over)
        except KlingError as error:
            if may_exist(error):
                raise uncertain(self.call, error.message, error) from error
            if self.is_last and next_step(error, can_look_up=False) is Step.RESEND:
                raise ClientClosed("the client is closed; create a new one") from error
            raise
        except asyncio.CancelledError:  # when the client closes, or the loop ends
            if not self.body.has_left:
                raise ClientClosed("the client is closed; create a new one") from None
            raise uncertain(self.call, "the client was closed before the service answered") from None

    def call_off(self) -> bool:
        """
        Keep it from being sent if no byte has left, and return whether that worked: then it may be cancelled.
        """
        self.is_last = True
        if not self.body.has_left:
            self.body.is_called_off = True
        return not self.body.has_left

    async def _attempt(self) -> A:
        try:
            async with self.room:
                answer = await self.transport.send("POST", self.call.path, self.body)
            value = await decode(answer, self.call.read)
        except KlingError as error:
            confirmed = await self._confirm(error)
            if not may_exist(confirmed):
                self.body.has_left = False
            try:
                raise confirmed from None
            finally:
                del confirmed  # otherwise its traceback holds it
        self.body.has_left = False
        self.transport.is_kling_api = True
        return value

    async def _confirm(self, error: KlingError) -> KlingError:
        # A 2xx answer that no Kling API gives: if there is no Kling API here, the call was certainly not made. Asked at
        # the path of images, since the call's own path cannot be read.
        if isinstance(error, UnexpectedAnswer) and error.is_other_api and may_exist(error):
            return attrs.evolve(error, is_confirmed=await self.transport.is_no_api(DEFAULT_ENDPOINT.path))
        return error

    def _is_over(self, error: KlingError) -> bool:
        now = asyncio.get_running_loop().time()
        self.failing_since = now if self.failing_since is None else self.failing_since
        return self.is_last or is_over(error, self.transport.retry, now - self.failing_since)


@attrs.define(eq=False, repr=False)
class OneShotCalls:
    """
    The paid calls of one client that have begun: each is finished even if its caller is cancelled.

    Args:
        open: Opens the client, or raises what keeps it from being used.
    """

    _transport: Transport
    _spending: Spending
    _open: Callable[[], None]
    _running: "dict[asyncio.Task[Any], _Attempts[Any]]" = attrs.field(factory=dict, init=False)
    _room: Semaphore = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        # Each occupies a connection for many seconds, and polls must not wait for all of them.
        self._room = Semaphore(max(1, self._transport.http.max_connections // 2))

    def __len__(self) -> int:
        return len(self._running)

    async def make(self, call: Call[Q, A], request: Q) -> A:
        """
        Make a paid call, once, and return what the service answers.

        Cancelling this aborts it if it has certainly not arrived. Otherwise it is finished, and its outcome logged.

        Raises:
            InvalidRequest: *request* breaks rules of the service, all of which are listed; or the service said so.
            BudgetExceeded: It does not fit into the client's budget.
            SubmissionUncertain: It may have been made and charged, and the answer was lost.
            KlingError: It was certainly not made.
        """
        self._open()
        call.check(request, self._spending.dialect)
        body = RequestBody(dumps(write_request(request)), is_traceable=False, patience=PATIENCE)
        charge = Charge(self._spending, call)
        if self._spending.budget is not None:
            charge.reserve(request, _no_further)
        attempts = _Attempts(call, body, self._transport, self._room)
        aio_task = asyncio.get_running_loop().create_task(attempts.send(), name=f"kling_async {call.name}")
        self._running[aio_task] = attempts
        aio_task.add_done_callback(functools.partial(_settle, charge))
        aio_task.add_done_callback(self._running.pop)
        try:
            await asyncio.wait({aio_task})
        except asyncio.CancelledError:
            if aio_task.done():  # logged at once: a loop that ends runs no callbacks
                _log_abandoned(call, aio_task)
                raise
            aio_task.add_done_callback(functools.partial(_log_abandoned, call))
            if attempts.call_off():
                aio_task.cancel()
            raise
        value = aio_task.result()
        _log.info("%s was made: %r", call.title, value)  # so that what is paid for can be found later in any case
        return value

    async def aclose(self) -> None:
        """
        Abort what has certainly not arrived, and give the rest 10 s to be answered. Safe to call twice.
        """
        await asyncio.sleep(0)  # so that each has begun, and is cancelled inside its error handling
        for aio_task, attempts in self._running.items():
            if attempts.call_off():
                aio_task.cancel()
        if aio_tasks := set(self._running):
            _, late = await asyncio.wait(aio_tasks, timeout=CLOSE_TIMEOUT)
            for aio_task in late:
                aio_task.cancel()
            await asyncio.gather(*late, return_exceptions=True)


def _no_further() -> None:
    pass  # calls belong to no batch


def _settle(charge: Charge, aio_task: "asyncio.Task[Any]") -> None:
    error = None if aio_task.cancelled() else aio_task.exception()
    if isinstance(error, SubmissionUncertain):
        charge.keep()
    elif isinstance(error, TaskFailed) and (failed := last_seen(error)) is not None:
        charge.settle(failed)
    elif isinstance(error, UnexpectedAnswer) and error.urls:  # a file without what belongs to it may be charged
        charge.settle_call(None)
    elif error is not None or aio_task.cancelled():
        charge.release()
    else:
        charge.settle_call(aio_task.result().units)


def _log_abandoned(call: Call[Any, Any], aio_task: "asyncio.Task[Any]") -> None:
    if aio_task.cancelled():  # before it began
        return
    if (error := aio_task.exception()) is None:
        _log.warning("a call was cancelled, but the %s was made and is paid for: %r", call.title, aio_task.result())
    elif not isinstance(error, SubmissionUncertain):  # which was logged when it came up
        _log.debug("a call was cancelled, and ended with %r", error)
