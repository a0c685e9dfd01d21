"""
Sends callbacks to their receivers over a client session, beside the service.
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

TIMEOUT: Final = 10.0
"""
Seconds for a receiver to answer. The vendor documents neither a timeout nor retries, so there are no retries.
"""

_CONCURRENCY: Final = 64  # callbacks at a time
_CHECK_INTERVAL: Final = 0.05  # seconds between two checks of the clock, which may be simulated and jump
_KEEPALIVE: Final = 2.0  # seconds; less than receivers have, because a POST on a closed connection is not repeated
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
        self._free = asyncio.Semaphore(_CONCURRENCY)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # by task id, while webhooks wait
        self._running: set[asyncio.Task[None]] = set()

    @property
    def is_idle(self) -> bool:
        """
        Whether everything due has been sent and answered, and nothing is scheduled.
        """
        return self._webhook_queue.next_at == math.inf and not self._running

    def wake(self) -> None:
        """
        Check the queue again: something new may be due.
        """
        if self._webhook_queue.next_at <= self._clock():
            self._woken.set()

    async def run(self, _: web.Application) -> AsyncIterator[None]:
        """
        Send until the application ends, then cancel what is being sent. Add it to `cleanup_ctx`.
        """
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE)
        async with aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(TIMEOUT)
        ) as session:
            watch = asyncio.create_task(self._watch(session))
            try:
                yield
            finally:
                for aio_task in (watch, *self._running):
                    aio_task.cancel()
                await asyncio.wait([watch, *self._running])

    async def _watch(self, session: aiohttp.ClientSession) -> None:
        while True:
            self._woken.clear()
            for webhook in self._webhook_queue.take(self._clock()):
                self._start(session, webhook)
            wait = self._webhook_queue.next_at - self._clock()
            try:
                async with asyncio.timeout(min(wait, _CHECK_INTERVAL) if wait < math.inf else None):
                    await self._woken.wait()
            except TimeoutError:
                pass

    def _start(self, session: aiohttp.ClientSession, webhook: Webhook) -> None:
        lock = self._locks.setdefault(webhook.task_id, asyncio.Lock())
        aio_task = asyncio.create_task(self._send(session, webhook, lock))
        self._running.add(aio_task)
        aio_task.add_done_callback(self._running.discard)

    async def _send(self, session: aiohttp.ClientSession, webhook: Webhook, lock: asyncio.Lock) -> None:
        async with lock, self._free:
            self._ledger.callbacks[webhook.word] += 1
            self._ledger.callback_answers[await _answer_to(session, webhook)] += 1


async def _answer_to(session: aiohttp.ClientSession, webhook: Webhook) -> int:
    try:
        sending = session.post(webhook.url, data=webhook.body, headers=webhook.headers, allow_redirects=False)
        async with sending as answer:
            return answer.status
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):  # ValueError: the URL is not valid
        return _NO_ANSWER
