"""
Calls that cost nothing and may be sent again: reads of lists and of the account, and deletes.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import attrs

from kling_async.client.exchange import RequestBody
from kling_async.client.retries import may_exist, may_repeat, retry
from kling_async.client.transport import Transport, decode
from kling_async.errors import InvalidRequest, KlingError
from kling_async.wire.calls.call import Call, is_deleted_already
from kling_async.wire.codec import write_request
from kling_async.wire.dialects import Dialect
from kling_async.wire.http_answer import Answer
from kling_async.wire.json_text import dumps

__all__ = ["FreeCalls"]

A = TypeVar("A")
Q = TypeVar("Q", bound=attrs.AttrsInstance)


async def _at_once() -> None:
    pass


@attrs.frozen(eq=False, repr=False)
class FreeCalls:
    """
    Makes the free calls of one client.

    Args:
        open: Opens the client, or raises what keeps it from being used.
    """

    _transport: Transport
    _dialect: Dialect
    _open: Callable[[], None]

    async def make(
        self,
        call: Call[Q, A],
        request: Q,
        *,
        wait_for_turn: Callable[[], Awaitable[None]] = _at_once,
        on_retry: Callable[[KlingError, float], object] | None = None,
    ) -> A:
        """
        Make a free call, and return what the service answers. Passing errors are retried for `give_up_after`.

        Args:
            wait_for_turn: Awaited before each attempt.
            on_retry: Called with the error of an attempt that is not the last, and the seconds until the next.

        Raises:
            InvalidRequest: *request* breaks rules of the service, all of which are listed; or the service said so.
            KlingError: The last of several.
        """
        self._open()
        call.check(request, self._dialect)
        policy, now = self._transport.retry, asyncio.get_running_loop().time
        until = now() + policy.give_up_after

        async def attempt() -> A:
            await wait_for_turn()
            return await decode(await self._send(call, request), call.read)

        def is_over(error: KlingError) -> bool:
            return not may_repeat(error) or policy.is_too_long(error) or now() > until

        return await retry(attempt, attempt, policy, is_over, on_retry)

    async def delete(self, call: Call[Q, None], request: Q) -> None:
        """
        Delete something. If an answer was lost, and the service then says that it is deleted already, that is right.

        Raises:
            KlingError: As `make`.
        """
        lost: list[KlingError] = []

        def note(error: KlingError, _: float) -> None:
            if may_exist(error):
                lost.append(error)

        try:
            await self.make(call, request, on_retry=note)
        except InvalidRequest as error:
            if not lost or not is_deleted_already(error):
                raise

    async def _send(self, call: Call[Any, Any], request: attrs.AttrsInstance) -> Answer:
        fields = write_request(request)
        if call.method == "GET":
            query = urlencode(fields, quote_via=quote)
            return await self._transport.send("GET", f"{call.path}?{query}" if query else call.path)
        return await self._transport.send("POST", call.path, RequestBody(dumps(fields)))
