"""
The emulator without its sockets: a whole client against its rooms, in simulated time.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

import aiohttp
import attrs
from yarl import URL

from kling_async import OFFICIAL, KlingClient
from kling_async.client.callbacks.receiver import CallbackReceiver
from kling_async.emulator import Account, Fault, FaultPlan, Ledger, Settings
from kling_async.emulator.api import ApiRequest, ApiResponse, EmulatedApi, outcome_of, prompt_of, read_body
from kling_async.emulator.webhook_queue import Webhook, WebhookQueue
from kling_async.wire.dialects import Dialect
from kling_async.wire.endpoints.image_generation import IMAGE_GENERATION
from tests.conftest import take_body

NOON: Final = 1_780_000_000.0
"""
What the wall clock says when the loop's says 0.
"""

ON_THE_WAY: Final = 0.025
"""
Seconds that each request, answer and callback is on its way.
"""

SECRET: Final = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="
ORIGIN: Final = "https://service.example"


def now() -> float:
    return asyncio.get_running_loop().time()


def wall_clock() -> float:
    return NOON + now()


@attrs.frozen
class _Answer:
    # As much of an aiohttp answer as a client looks at; it is its own content.
    status: int
    body: bytes
    headers: Mapping[str, str] = attrs.field(factory=dict)

    @property
    def content(self) -> "_Answer":
        return self

    async def readany(self) -> bytes:
        return self.body

    def at_eof(self) -> bool:
        return True


class SocketlessService:
    """
    An account's service; a client takes it for its session. It posts callbacks straight to *receiver*, unless
    `posts_itself` is set to False. Of faults those are known that delay or cut answers, fates, and those of callbacks.
    """

    closed = False

    @property  # type: ignore[misc]
    def __class__(self) -> type[aiohttp.ClientSession]:  # type: ignore[override]
        return aiohttp.ClientSession  # as `unittest.mock` does it: a client takes no other kind

    def __init__(self, *rules: Fault, dialect: Dialect = OFFICIAL, **settings: Any) -> None:
        fixed: dict[str, Any] = {"latency": (16.0, 24.0), "slots": None, "callback_secret": SECRET, **settings}
        self.account = Account(Settings(dialect=dialect, faults=rules, **fixed), origin=ORIGIN)
        self.posts_itself = True
        self.receiver: CallbackReceiver | None = None
        self._service = EmulatedApi(self.account)
        self._plan = FaultPlan(rules, self.account.settings.seed)
        self._webhook_queue = WebhookQueue(self.account, self._plan)
        self._timer: asyncio.TimerHandle | None = None

    @property
    def ledger(self) -> Ledger:
        return self.account.ledger

    @property
    def reads(self) -> int:
        return self.ledger.reads + self.ledger.list_reads

    def end_of(self, task_id: str) -> float:
        """
        Return when a task ends, by the loop's clock.
        """
        record = self.account.find_task(task_id)
        assert record is not None
        return record.done_at - NOON

    def listening(self, **settings: Any) -> CallbackReceiver:
        """
        Make the receiver that is called from now on.
        """
        receiver = CallbackReceiver("https://bots.example/kling", **{"secret": SECRET, **settings})
        receiver._authenticator.clock = wall_clock
        self.receiver = receiver
        return receiver

    def client(self, **options: Any) -> KlingClient:
        """
        Make a client of this account, which hears callbacks where somebody is `listening`.
        """
        settings = self.account.settings
        fixed: dict[str, Any] = {
            "base_url": ORIGIN + settings.prefix,
            "dialect": settings.dialect,
            "session": self,
            "slots": 100,
            "callbacks": self.receiver,
        }
        return KlingClient(settings.api_key, **{**fixed, **options})

    @contextlib.asynccontextmanager
    async def request(
        self, method: str, url: URL, *, data: Any, headers: Mapping[str, str], timeout: Any, **_: Any
    ) -> AsyncIterator[_Answer]:
        body = await take_body(data)
        async with asyncio.timeout(timeout.total):
            await asyncio.sleep(ON_THE_WAY)
            call = self._read(method, url, body, headers)
            self.ledger.arrivals[call.route or "other"] += 1
            faults = self._plan.next_faults(call.route, prompt_of(call.body)) if call.route else []
            await asyncio.sleep(sum(fault.seconds for fault in faults if fault.kind == "delay_before"))
            reply = self._service.answer(call, wall_clock(), outcome_of(faults))
            self._post_what_is_due()
            await asyncio.sleep(sum(fault.seconds for fault in faults if fault.kind == "delay_after"))
            await asyncio.sleep(ON_THE_WAY)
        if any(fault.kind == "reset_after" for fault in faults):
            raise aiohttp.ServerDisconnectedError
        assert isinstance(reply, ApiResponse)
        yield _Answer(reply.status, reply.content(), reply.headers)

    def _read(self, method: str, url: URL, data: bytes, headers: Mapping[str, str]) -> ApiRequest:
        path = url.raw_path.removeprefix(self.account.settings.prefix)
        query = dict(parse_qsl(url.raw_query_string))
        common: dict[str, Any] = {"method": method, "path": url.path, "authorization": headers["Authorization"]}
        if method == "POST":
            return ApiRequest(route="create", body=read_body(data), **common)
        if path == "/tasks":
            return ApiRequest(route="tasks", query=query, **common)
        if path == IMAGE_GENERATION.path:
            return ApiRequest(route="list", query=query, **common)
        return ApiRequest(route="query", any_id=unquote(path.rpartition("/")[2]), **common)

    def _post_what_is_due(self) -> None:
        if not self.posts_itself:
            return
        for post in self._webhook_queue.take(wall_clock()):
            self.send(post)
        if self._timer is not None:
            self._timer.cancel()
        if self._webhook_queue.next_at < float("inf"):
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(self._webhook_queue.next_at - NOON, self._post_what_is_due)

    def send(self, post: Webhook, *, after: float = 0.0) -> None:
        """
        Post one callback after so many seconds, and the time that it is on its way.
        """
        asyncio.get_running_loop().call_later(after + ON_THE_WAY, self.hand_over, post)

    def hand_over(self, post: Webhook) -> None:
        self.ledger.callbacks[post.word] += 1
        if self.receiver is not None:
            status = self.receiver.receive(post.url.rpartition("/")[2], post.headers, post.body)
            self.ledger.callback_answers[status] += 1
