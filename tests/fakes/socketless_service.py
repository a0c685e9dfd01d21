"""
An emulated service without sockets, for whole clients in simulated time.
"""

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final
from urllib.parse import parse_qsl

import aiohttp
import attrs
from yarl import URL

from kling_async import OFFICIAL, ImageRequest, KlingClient
from kling_async.client.callbacks.receiver import CallbackReceiver
from kling_async.emulator import Account, Fault, FaultPlan, Ledger, Settings
from kling_async.emulator.api import ApiRequest, ApiResponse, EmulatedApi, outcome_of, prompt_of, read_body
from kling_async.emulator.routing import target_of
from kling_async.emulator.webhook_queue import Webhook, WebhookQueue
from kling_async.wire.dialects import Dialect
from tests.fakes.mocked_http import take_body
from tests.fakes.simulated_loop import EPOCH, epoch_now

TRAVEL: Final = 0.025
"""
Seconds that each request, answer and callback takes, unless a service is given others.
"""

SECRET: Final = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="
ORIGIN: Final = "https://service.example"


@attrs.frozen
class _Answer:
    # As much of an aiohttp answer as a client looks at; it is its own content, and its connection is free at once.
    closed: ClassVar[bool] = True

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
    An account's service; a client takes it for its session.

    Args:
        rules: Faults: those that delay, cut or refuse requests or answers, those of tasks, and those of callbacks.
        travel: Shortest and longest time in seconds that a request takes, and its answer; each draws its own.
        settings: Of the emulator.

    Attributes:
        posts_itself: Whether it posts callbacks straight to *receiver*.
        refused: Creates that were answered by a 429.
    """

    closed = False

    @property  # type: ignore[misc]
    def __class__(self) -> type[aiohttp.ClientSession]:  # type: ignore[override]
        return aiohttp.ClientSession  # as `unittest.mock` does it: a client takes no other kind

    def __init__(
        self,
        *rules: Fault,
        dialect: Dialect = OFFICIAL,
        travel: tuple[float, float] = (TRAVEL, TRAVEL),
        **settings: Any,
    ) -> None:
        fixed: dict[str, Any] = {"latency": (16.0, 24.0), "slots": None, "callback_secret": SECRET, **settings}
        self.account = Account(Settings(dialect=dialect, faults=rules, **fixed), origin=ORIGIN)
        self.posts_itself = True
        self.refused = 0
        self.receiver: CallbackReceiver | None = None
        self._api = EmulatedApi(self.account)
        self._plan = FaultPlan(rules, self.account.settings.seed)
        self._webhook_queue = WebhookQueue(self.account, self._plan)
        self._timer: asyncio.TimerHandle | None = None
        self._travel = travel
        self._dice = random.Random(self.account.settings.seed)

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
        return record.done_at - EPOCH

    def occupy(self, slots: int) -> None:
        """
        Have another program on the account start tasks of one picture.
        """
        for number in range(slots):
            self.account.create(ImageRequest(f"a castle {number}"), EPOCH)

    def listening(self, **settings: Any) -> CallbackReceiver:
        """
        Make the receiver that is called from now on.
        """
        receiver = CallbackReceiver("https://bots.example/kling", **{"secret": SECRET, **settings})
        receiver._authenticator.clock = epoch_now
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

    async def request(
        self, method: str, url: URL, *, data: Any, headers: Mapping[str, str], timeout: Any, **_: Any
    ) -> _Answer:
        body = await take_body(data)
        async with asyncio.timeout(timeout.total):
            await asyncio.sleep(self._dice.uniform(*self._travel))
            call = self._read(method, url, body, headers)
            self.ledger.arrivals[call.route or "other"] += 1
            faults = self._plan.next_faults(call.route, prompt_of(call.body)) if call.route else []
            await asyncio.sleep(sum(fault.seconds for fault in faults if fault.kind == "delay_before"))
            kinds = {fault.kind for fault in faults}
            reply = None if "reset_before" in kinds else self._answer(call, faults)
            self._post_what_is_due()
            await asyncio.sleep(sum(fault.seconds for fault in faults if fault.kind == "delay_after"))
            await asyncio.sleep(self._dice.uniform(*self._travel))
        if reply is None or "reset_after" in kinds:
            raise aiohttp.ServerDisconnectedError
        return _Answer(reply.status, reply.content(), reply.headers)

    def _answer(self, call: ApiRequest, faults: Sequence[Fault]) -> ApiResponse:
        is_refused = any(fault.kind == "bare_429" for fault in faults)
        answer = ApiResponse(status=429) if is_refused else self._api.answer(call, epoch_now(), outcome_of(faults))
        assert isinstance(answer, ApiResponse)  # no pictures are fetched here
        self.refused += call.route == "create" and answer.status == 429
        return answer

    def _read(self, method: str, url: URL, data: bytes, headers: Mapping[str, str]) -> ApiRequest:
        target = target_of(method, url.raw_path, self.account.settings.prefix)
        return ApiRequest(
            target=target,
            method=method,
            path=url.path,
            query=dict(parse_qsl(url.raw_query_string)),
            headers=headers,
            body=read_body(data) if method == "POST" else None,
        )

    def _post_what_is_due(self) -> None:
        if not self.posts_itself:
            return
        for post in self._webhook_queue.take(epoch_now()):
            self.send(post)
        if self._timer is not None:
            self._timer.cancel()
        if self._webhook_queue.next_at < float("inf"):
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(self._webhook_queue.next_at - EPOCH, self._post_what_is_due)

    def send(self, post: Webhook, *, after: float = 0.0) -> None:
        """
        Post one callback after so many seconds, and the time that it is on its way.
        """
        asyncio.get_running_loop().call_later(after + TRAVEL, self.hand_over, post)

    def hand_over(self, post: Webhook) -> None:
        self.ledger.callbacks[post.word] += 1
        if self.receiver is not None:
            status = self.receiver.receive(post.url.rpartition("/")[2], post.headers, post.body)
            self.ledger.callback_answers[status] += 1
