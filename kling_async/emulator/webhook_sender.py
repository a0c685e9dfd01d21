"""
Who carries callbacks to their receivers, over a session of its own, and never in the way of the service.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from typing import Final
from weakref import WeakValueDictionary

import aiohttp
from aiohttp import web

from kling_async.emulator.ledger import Ledger
from kling_async.emulator.webhook_queue import Webhook, WebhookQueue

PATIENCE: Final = 10.0
"""
Seconds in which a receiver has to answer; the vendor's are not documented, and neither are repetitions: there are none.
"""

_WIDTH: Final = 64  # callbacks under way at one time
_LOOK_AGAIN: Final = 0.05  # seconds between two looks at a clock that may be a simulated one, and jump
_IDLE: Final = 2.0  # seconds that a connection is kept: less than any receiver does, for a POST is not repeated
_NO_ANSWER: Final = 0


class WebhookSender:
    """
    Sends the webhooks of a queue when they are due, with one timer for all of them.

    Redirects are not followed. Webhooks about one task are sent one after another, so that they arrive in the queue's
    order.
    """

    def __init__(self, webhook_queue: WebhookQueue, ledger: Ledger, clock: Callable[[], float]) -> None:
        self._webhook_queue = webhook_queue
        self._ledger = ledger
        self._clock = clock
        self._woken = asyncio.Event()
        self._width = asyncio.Semaphore(_WIDTH)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # by task id, while there are posts
        self._under_way: set[asyncio.Task[None]] = set()

    @property
    def is_idle(self) -> bool:
        """
        Whether all has been sent and answered that there is to send.
        """
        return self._webhook_queue.next_at == math.inf and not self._under_way

    def wake(self) -> None:
        """
        Look into the webhook_queue again: something new may be due.
        """
        if self._webhook_queue.next_at <= self._clock():
            self._woken.set()

    async def at_work(self, _: web.Application) -> AsyncIterator[None]:
        """
        Send until the application ends, then drop what is under way; one of its `cleanup_ctx`.
        """
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE)
        async with aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(PATIENCE)
        ) as session:
            watch = asyncio.create_task(self._watch(session))
            try:
                yield
            finally:
                for aio_task in (watch, *self._under_way):
                    aio_task.cancel()
                await asyncio.wait([watch, *self._under_way])

    async def _watch(self, session: aiohttp.ClientSession) -> None:
        while True:
            self._woken.clear()
            for post in self._webhook_queue.take(self._clock()):
                self._set_out(session, post)
            wait = self._webhook_queue.next_at - self._clock()
            try:
                async with asyncio.timeout(min(wait, _LOOK_AGAIN) if wait < math.inf else None):
                    await self._woken.wait()
            except TimeoutError:
                pass

    def _set_out(self, session: aiohttp.ClientSession, post: Webhook) -> None:
        turn = self._turns.setdefault(post.task_id, asyncio.Lock())
        aio_task = asyncio.create_task(self._send(session, post, turn))
        self._under_way.add(aio_task)
        aio_task.add_done_callback(self._under_way.discard)

    async def _send(self, session: aiohttp.ClientSession, post: Webhook, turn: asyncio.Lock) -> None:
        async with turn, self._width:
            self._ledger.callbacks[post.word] += 1
            self._ledger.callback_answers[await _answer_to(session, post)] += 1


async def _answer_to(session: aiohttp.ClientSession, post: Webhook) -> int:
    try:
        async with session.post(post.url, data=post.body, headers=post.headers, allow_redirects=False) as answer:
            return answer.status
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):  # the last for hosts that cannot be any
        return _NO_ANSWER
