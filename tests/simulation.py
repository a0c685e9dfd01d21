"""
A whole client in simulated time: the emulator's service at the other end of a session without sockets.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import aiohttp
import attrs
from yarl import URL

from kling_async import KlingClient
from kling_async.emulator.account import Account
from kling_async.emulator.api import ApiRequest, ApiResponse, EmulatedApi, read_body
from kling_async.emulator.settings import Settings
from kling_async.wire.dialects import OFFICIAL
from kling_async.wire.endpoints.image_generation import IMAGE_GENERATION, ImageRequest
from tests.conftest import take_body

if TYPE_CHECKING:
    from kling_async.emulator.ledger import Route

EPOCH = 1.7e9
"""
Seconds on the service's clock when simulated time begins.
"""


def now() -> float:
    return asyncio.get_running_loop().time()


@attrs.frozen
class _Content:
    body: bytes

    async def readany(self) -> bytes:
        return self.body

    def at_eof(self) -> bool:
        return True


@attrs.frozen
class _Response:
    status: int
    content: _Content
    headers: dict[str, str] = attrs.field(factory=dict)


class SimulatedService:
    """
    An account at the emulator's service, and as much of an aiohttp session as a client needs to speak to it.

    A request takes 0.1 to 0.3 seconds there and back.

    Args:
        loses: How many creates are lost on their way, the first ones.
        loses_answers: How many creates are done, and their answers lost.
        refuses_all: Whether every create is answered by a bare 429.
        settings: Of the emulator.

    Attributes:
        creates: Creates that came in.
        refused: Those of them that were refused for want of slots or of patience (429).
        addresses: The addresses for callbacks that came with creates.
    """

    closed = False

    @property  # type: ignore[misc]
    def __class__(self) -> type[aiohttp.ClientSession]:  # type: ignore[override]
        return aiohttp.ClientSession  # as `unittest.mock` does it: a client takes no other kind

    def __init__(self, *, loses: int = 0, loses_answers: int = 0, refuses_all: bool = False, **settings: Any) -> None:
        self.account = Account(Settings(**{"dialect": OFFICIAL, "latency": (16.0, 24.0), **settings}))
        self.creates = self.refused = 0
        self.addresses: list[str] = []
        self._loses = loses
        self._loses_answers = loses_answers
        self._service = EmulatedApi(self.account)
        self._refuses_all = refuses_all
        self._dice = random.Random(self.account.settings.seed)

    def client(self, **options: Any) -> KlingClient:
        settings = self.account.settings
        base_url = f"https://service.example{settings.prefix}"
        return KlingClient(settings.api_key, base_url=base_url, dialect=settings.dialect, session=self, **options)  # type: ignore[arg-type]

    def occupy(self, slots: int) -> None:
        """
        Have another program on the account start tasks of one picture.
        """
        for number in range(slots):
            self.account.create(ImageRequest(f"a castle {number}"), EPOCH)

    @contextlib.asynccontextmanager
    async def request(
        self, method: str, url: URL, *, headers: dict[str, str], data: Any = None, **_: object
    ) -> AsyncIterator[_Response]:
        body = None if data is None else await take_body(data)
        await asyncio.sleep(self._dice.uniform(0.05, 0.15))
        if method == "POST" and self.creates < self._loses:
            self.creates += 1
            raise aiohttp.ServerDisconnectedError
        reply = self._answer(method, url, headers["Authorization"], body)
        await asyncio.sleep(self._dice.uniform(0.05, 0.15))
        if method == "POST" and self.creates <= self._loses_answers:
            raise aiohttp.ServerDisconnectedError
        yield _Response(reply.status, _Content(reply.content()))

    def _answer(self, method: str, url: URL, authorization: str, data: bytes | None) -> ApiResponse:
        path = url.path.removeprefix(self.account.settings.prefix)
        any_id = path.removeprefix(IMAGE_GENERATION.path).strip("/")
        route: Route = "create" if method == "POST" else "tasks" if path == "/tasks" else "query" if any_id else "list"
        body = None if data is None else read_body(data)
        call = ApiRequest(
            route=route, method=method, path=path, query=dict(url.query), authorization=authorization,
            body=body, any_id=any_id,
        )  # fmt: skip
        if route != "create":
            return self._reply(call)
        self.creates += 1
        if isinstance(body, dict) and "callback_url" in body:
            self.addresses.append(body["callback_url"])
        reply = ApiResponse(status=429) if self._refuses_all else self._reply(call)
        self.refused += reply.status == 429
        return reply

    def _reply(self, call: ApiRequest) -> ApiResponse:
        reply = self._service.answer(call, EPOCH + now())
        assert isinstance(reply, ApiResponse)  # no pictures are fetched here
        return reply
