"""
Callbacks over real sockets, to receivers of all kinds.
"""

import asyncio
import contextlib
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final

import aiohttp
import attrs
import pytest
from aiohttp import web

from kling_async.client.callbacks.receiver import CallbackReceiver
from kling_async.emulator import Emulator, Fault, faults, webhook_sender
from kling_async.wire.dialects import GATEWAY, OFFICIAL, Dialect
from kling_async.wire.json_text import loads
from tests.fakes.eventually import eventually

PATH: Final = "/v1/images/generations"
SECRET: Final = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="
STORY: Final = ["submitted", "processing", "succeed"]

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@attrs.frozen
class Ear:
    """
    A receiver that answers as it is told to, and writes down the words that it hears.
    """

    answer: Answer
    heard: list[str] = attrs.field(factory=list)

    async def hear(self, request: web.Request) -> web.StreamResponse:
        self.heard.append(loads(await request.read())["task_status"])
        return await self.answer(request)


async def accept(_: web.Request) -> web.StreamResponse:
    return web.Response()


async def never(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


@contextlib.asynccontextmanager
async def listening(answer: Answer = accept) -> AsyncIterator[tuple[str, Ear]]:
    ear = Ear(answer)
    app = web.Application()
    app.router.add_post("/{path:.*}", ear.hear)
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/kling", ear
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def service(*rules: Fault, dialect: Dialect = OFFICIAL, **settings: Any) -> AsyncIterator[Emulator]:
    fixed: dict[str, Any] = {"latency": (0.02, 0.05), "slots": None, **settings}
    async with Emulator(dialect=dialect, faults=rules, **fixed) as server:
        yield server


async def create(server: Emulator, *callback_urls: str | None) -> None:
    headers = {"Authorization": f"Bearer {server.api_key}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        for url in callback_urls:
            body = {"prompt": "a lighthouse", "callback_url": url}
            async with session.post(server.url + PATH, json=body) as answer:
                assert 200 == answer.status


async def until_answered(server: Emulator, callbacks: int) -> None:
    await eventually(lambda: sum(server.ledger.callback_answers.values()) >= callbacks)


def at_work() -> list[str]:
    """
    Return what the emulator's postmen are doing now.
    """
    names = [getattr(aio_task.get_coro(), "__qualname__", "") for aio_task in asyncio.all_tasks()]
    return [name for name in names if name.startswith("WebhookSender.")]


@pytest.mark.parametrize("dialect", [OFFICIAL, GATEWAY])
async def test_receiver_hears_the_whole_story(dialect: Dialect) -> None:
    """
    Vendor and gateway alike tell of each change of a task, in order, and the ledger counts what was said and answered.
    """
    async with listening() as (url, ear), service(dialect=dialect) as server:
        await create(server, url, None)
        await until_answered(server, 3)

        assert STORY == ear.heard
        assert dict.fromkeys(STORY, 1) == server.ledger.callbacks
        assert {200: 3} == server.ledger.callback_answers
        assert {"200": 3} == server.ledger.as_json()["callback_answers"]


async def test_request_is_the_documented_one() -> None:
    """
    A POST of JSON in UTF-8, without a key or a cookie; unsigned for an account without a secret.
    """
    seen: list[web.Request] = []

    async def look(request: web.Request) -> web.StreamResponse:
        seen.append(request)
        answer = web.Response()
        answer.set_cookie("a", "b")
        return answer

    async with listening(look) as (url, _), service() as server:
        await create(server, url)
        await until_answered(server, 3)

    assert {"application/json; charset=utf-8"} == {request.headers["Content-Type"] for request in seen}
    assert not any({"Authorization", "Cookie", "webhook-id"} & set(request.headers) for request in seen)


async def test_order_is_kept_through_slow_answers() -> None:
    """
    The next callback of a task waits until the one before is answered, so that it cannot overtake it.
    """
    free = asyncio.Event()

    async def wait(_: web.Request) -> web.StreamResponse:
        await free.wait()
        return web.Response()

    async with listening(wait) as (url, ear), service(latency=(0, 0.01)) as server:
        await create(server, url)
        await eventually(lambda: server.account.running(time.time()) == 0 and ear.heard)
        before = list(ear.heard)
        free.set()
        await until_answered(server, 3)

        assert (["submitted"], STORY) == (before, ear.heard)


async def test_silent_receiver_delays_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    While receivers do not answer, the service does, also callbacks of other tasks arrive, and closing is quick and
    leaves nothing behind.
    """
    monkeypatch.setattr(webhook_sender, "TIMEOUT", 600.0)
    async with listening(never) as (silent, deaf), listening() as (url, ear):
        async with service() as server:
            async with asyncio.timeout(60):
                await create(server, silent, silent, silent, url)
                await until_answered(server, 3)
                await eventually(lambda: len(deaf.heard) == 3)
            started = time.monotonic()
        took = time.monotonic() - started

    assert took < 60
    assert STORY == ear.heard
    assert {"submitted": 4, "processing": 1, "succeed": 1} == server.ledger.callbacks
    assert {200: 3} == server.ledger.callback_answers
    assert [] == at_work()


async def test_silent_receiver_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Who does not answer in time counts as no answer, and hears of the next change all the same.
    """
    monkeypatch.setattr(webhook_sender, "TIMEOUT", 0.05)
    async with listening(never) as (url, ear), service() as server:
        await create(server, url)
        await until_answered(server, 3)

        assert STORY == ear.heard
        assert {0: 3} == server.ledger.callback_answers


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:{port}/", "https://127.0.0.1:{port}/", "http://a..b/", "http://\u0378.x/"]
)
async def test_nobody_there(url: str) -> None:
    """
    Where nobody listens, or nobody can, each callback counts as sent and not answered, once.
    """
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        async with service() as server:
            await create(server, url.format(port=unheard.getsockname()[1]))
            await until_answered(server, 3)

            assert {0: 3} == server.ledger.callback_answers
            assert dict.fromkeys(STORY, 1) == server.ledger.callbacks


@pytest.mark.parametrize("status", [302, 307, 308])
async def test_redirects_are_not_followed(status: int) -> None:
    """
    An answer that leads elsewhere is an answer.
    """
    async with listening() as (elsewhere, ear):

        async def redirect(_: web.Request) -> web.StreamResponse:
            return web.Response(status=status, headers={"Location": elsewhere})

        async with listening(redirect) as (url, _), service() as server:
            await create(server, url)
            await until_answered(server, 3)

    assert ({status: 3}, []) == (server.ledger.callback_answers, ear.heard)


async def test_refusals_are_counted_and_not_repeated() -> None:
    """
    The vendor documents no repetitions, so there are none.
    """

    async def fail(_: web.Request) -> web.StreamResponse:
        return web.Response(status=503)

    async with listening(fail) as (url, ear), service() as server:
        await create(server, url)
        await until_answered(server, 3)

        assert ({503: 3}, STORY) == (server.ledger.callback_answers, ear.heard)


async def test_simulated_clock_is_heeded() -> None:
    """
    A change is told when the emulator's clock says so, however it gets there.
    """
    now = 1_780_000_000.0
    async with listening() as (url, ear), Emulator(clock=lambda: now, latency=(600, 600)) as server:
        await create(server, url)
        await until_answered(server, 1)
        before = list(ear.heard)
        now += 600
        await until_answered(server, 3)

        assert (["submitted"], STORY) == (before, ear.heard)


async def test_what_changed_while_the_service_was_down() -> None:
    """
    Opened again, the service tells of what has changed since.
    """
    now = 1_780_000_000.0
    server = Emulator(clock=lambda: now, latency=(600, 600))
    async with listening() as (url, ear):
        async with server:
            await create(server, url)
            await until_answered(server, 1)
        now += 600
        async with server:
            await until_answered(server, 3)

    assert STORY == ear.heard


async def test_many_tasks_on_one_timer() -> None:
    """
    However many tasks wait for their next change, one aio_task waits for them.
    """
    async with listening() as (url, ear), service(latency=(600, 600)) as server:
        await create(server, *[url] * 50)
        await until_answered(server, 50)

        assert (50, ["WebhookSender._watch"]) == (len(ear.heard), at_work())


# Together with the receiver of this package


@attrs.frozen
class Heard:
    receiver: CallbackReceiver
    told: list[tuple[str, str, bool]]


@contextlib.asynccontextmanager
async def receiving(secret: str | None = SECRET) -> AsyncIterator[Heard]:
    """
    A receiver at work, and what its listener is told: the submit's key, the status word, whether it may be believed.
    """
    with socket.create_server(("127.0.0.1", 0)) as trial:
        port = trial.getsockname()[1]
    receiver = CallbackReceiver(f"http://127.0.0.1:{port}", secret=secret)
    heard = Heard(receiver, [])
    receiver.attach(lambda key, snapshot, trusted: heard.told.append((key, snapshot.status_word, trusted)))
    async with receiver.serve(port=port):
        yield heard


async def tell(
    server: Emulator, heard: Heard, submits: Sequence[str], callbacks: int
) -> Counter[tuple[str, str, bool]]:
    await create(server, *map(heard.receiver.address_of, submits))
    await until_answered(server, callbacks)
    return Counter(heard.told)


async def test_receiver_believes_what_is_signed() -> None:
    """
    Signed callbacks of many tasks are told once each, by the key of their submit, to be believed as they are.
    """
    submits = [f"submit-{number}" for number in range(20)]
    async with receiving() as heard, service(callback_secret=SECRET) as server:
        told = await tell(server, heard, submits, 60)

    assert Counter((key, word, True) for key in submits for word in STORY) == told
    assert (60, 60) == (heard.receiver.counts.received, heard.receiver.counts.signed)


@pytest.mark.parametrize(
    ("rules", "told", "answers"),
    [
        ([faults.callback_lost()], {}, {}),
        ([faults.callback_lost(after=1, times=1)], {("submitted", True): 1, ("succeed", True): 1}, {200: 2}),
        ([faults.callback_doubled()], {(word, True): 2 for word in STORY}, {200: 6}),
        ([faults.callback_delayed(0.1)], {(word, True): 1 for word in STORY}, {200: 3}),
        ([faults.callback_other_id()], {(word, True): 1 for word in STORY}, {200: 3}),
        ([faults.callback_unsigned()], {(word, False): 1 for word in STORY}, {200: 3}),
        ([faults.callback_enveloped()], {(word, True): 1 for word in STORY}, {200: 3}),
        ([faults.callback_forged()], {(word, True): 1 for word in STORY}, {200: 3, 401: 3, 404: 3}),
    ],
    ids=lambda value: value[0].kind if isinstance(value, list) else "",
)
async def test_receiver_meets_troubles(
    rules: list[Fault], told: dict[tuple[str, bool], int], answers: dict[int, int]
) -> None:
    """
    What goes wrong with callbacks is met by the receiver as it should be: no lie is ever told on.
    """
    async with receiving() as heard, service(*rules, callback_secret=SECRET) as server:
        await tell(server, heard, ["submit-1"], sum(answers.values()))
        await eventually(lambda: server.account.running(time.time()) == 0)

    assert told == Counter((word, trusted) for _, word, trusted in heard.told)
    assert answers == server.ledger.callback_answers


async def test_receiver_hears_the_end_first() -> None:
    """
    Out of order means that the last word comes first.
    """
    async with receiving() as heard, service(faults.callback_reordered(), callback_secret=SECRET) as server:
        await tell(server, heard, ["submit-1"], 3)

    assert STORY[::-1] == [word for _, word, _ in heard.told]


async def test_forger_is_a_hint_where_there_is_no_secret() -> None:
    """
    Without secrets a lie at the right address is told, as one that may not be believed; the one beside it is not.
    """
    async with receiving(secret=None) as heard, service(faults.callback_forged(times=1)) as server:
        told = await tell(server, heard, ["submit-1"], 5)

    assert {("submit-1", word, False): 1 for word in (*STORY, "failed")} == told
    assert {200: 4, 404: 1} == server.ledger.callback_answers
    assert {**dict.fromkeys(STORY, 1), "forged": 2} == server.ledger.callbacks
