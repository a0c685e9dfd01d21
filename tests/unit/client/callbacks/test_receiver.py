"""
The receiver of callbacks: its judgement, and the three faces that bring callbacks to it over real sockets.
"""

import asyncio
import base64
import contextlib
import functools
import gzip
import http.client
import io
import itertools
import logging
import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import attrs
import pytest
from aiohttp import web

from kling_async.client.callbacks import authenticator, bodies, receiver as receiving, server as serving
from kling_async.client.callbacks.receiver import MAX_BODY, CallbackCounts, CallbackReceiver, CallbackServer
from kling_async.errors import InvalidRequest
from kling_async.wire.tasks import TaskSnapshot
from kling_async.wire.webhooks import sign
from tests.fakes.asgi_server import served_by_uvicorn
from tests.fakes.eventually import eventually
from tests.fakes.simulated_loop import simulated

URL: Final = "https://bots.example/kling"
SUBMIT_KEY: Final = "0f8fad5bd9cb469fa16570867728950e"
SECRET: Final = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="
OTHER_SECRET: Final = "whsec_" + base64.b64encode(b"another secret of 24 byt").decode()
BODY: Final = (
    b'{"task_id": "t-1", "task_status": "succeed", "task_result": {"images": [{"url": "https://x.example/0"}]}}'
)

Heard = list[tuple[str, str, bool]]


def listen(receiver: CallbackReceiver) -> Heard:
    """
    Attach a listener that writes down what it hears.
    """
    heard: Heard = []
    receiver.attach(lambda key, snapshot, trusted: heard.append((key, snapshot.task_id, trusted)))
    return heard


def token_of(receiver: CallbackReceiver, submit_key: str = SUBMIT_KEY) -> str:
    return receiver.address_of(submit_key).rpartition("/")[2]


def signed(body: bytes = BODY, secret: str = SECRET) -> dict[str, str]:
    return sign(secret, "message-1", time.time(), body)


async def turns() -> None:
    """
    Let the loop do what is ready.
    """
    for _ in range(5):
        await asyncio.sleep(0)


# What it is given


@pytest.mark.parametrize(
    "url",
    [
        "",
        "bots.example/kling",
        "ftp://bots.example",
        "https://",
        "https:///kling",
        "https://bots.example:x/",
        "https://[::1/kling",
        "https://bots.example/ kling",
        "https://bots.example/kling\n",
        "https://bots.example/kling?a=secret",
        "https://bots.example/kling?",
        "https://bots.example/kling#a",
        "https://user:secret@bots.example/kling",
        None,
        b"https://bots.example",
    ],
)
def test_address_must_be_one(url: Any) -> None:
    """
    An address to which no token can be added is refused, and what may be secret in it is not shown.
    """
    with pytest.raises(InvalidRequest, match="public_url=.* must ") as caught:
        CallbackReceiver(url)

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"secret": "hunter2!"}, "secret"),
        ({"secret": ""}, "secret"),
        ({"secret": [SECRET, "hunter2!"]}, "secret"),
        ({"secret": b"hunter2!"}, "secret"),
        ({"token_key": b""}, "token_key"),
        ({"token_key": b"hunter2!"}, "token_key"),
        ({"token_key": "hunter2!" * 4}, "token_key"),
        ({"confirm": "never"}, "confirm"),
    ],
)
def test_settings_are_checked(fields: dict[str, Any], field: str) -> None:
    """
    What cannot work is refused at once, by its name and without its value.
    """
    with pytest.raises(InvalidRequest, match="must be") as caught:
        CallbackReceiver(URL, **fields)

    assert {field} == {rule.field for rule in caught.value.broken}
    assert "hunter2" not in str(caught.value)


def test_all_broken_rules_are_reported_at_once() -> None:
    """
    One error names everything that is wrong.
    """
    with pytest.raises(InvalidRequest) as caught:
        CallbackReceiver("bots.example", secret="!", token_key=b"", confirm="no")  # type: ignore[arg-type]

    assert ["public_url", "secret", "token_key", "confirm"] == [rule.field for rule in caught.value.broken]


# Addresses


@pytest.mark.parametrize("url", [URL, URL + "/", "http://127.0.0.1:8080", "https://[::1]:8080/a/b"])
def test_address_of_a_submit(url: str) -> None:
    """
    Each submit has an address of its own below the public one.
    """
    receiver = CallbackReceiver(url)
    addresses = {receiver.address_of(f"submit-{number}") for number in range(10)}

    assert 10 == len(addresses)
    assert {url.rstrip("/")} == {address.rpartition("/")[0] for address in addresses}


def test_addresses_last_as_long_as_their_key() -> None:
    """
    With the same key the addresses are the same in the next run; without one they are not.
    """
    key = b"k" * 16

    assert token_of(CallbackReceiver(URL, token_key=key)) == token_of(CallbackReceiver(URL, token_key=key))
    assert token_of(CallbackReceiver(URL)) != token_of(CallbackReceiver(URL))


async def test_addresses_follow_the_key_and_old_ones_stay_good() -> None:
    """
    A receiver that is given another key makes addresses from that; what was made before is still known.
    """
    old, new = b"o" * 16, b"n" * 16
    receiver = CallbackReceiver(URL, token_key=old)
    heard = listen(receiver)
    before = token_of(receiver)
    receiver.use_token_key(new)
    receiver.use_token_key(new)

    assert new == receiver.token_key
    assert token_of(CallbackReceiver(URL, token_key=new)) == token_of(receiver) != before
    assert [200, 200] == [receiver.receive(token, {}, BODY) for token in (before, token_of(receiver))]

    receiver.use_token_key(old)

    assert before == token_of(receiver)

    await turns()

    assert [(SUBMIT_KEY, "t-1", False)] * 2 == heard
    assert 404 == receiver.receive(token_of(CallbackReceiver(URL)), {}, BODY)


# Judgement


async def test_unsigned_callback_is_a_hint() -> None:
    """
    A good address without a signature is taken, but not at its word; it is told after the answer is known.
    """
    receiver = CallbackReceiver(URL, secret=SECRET)
    heard = listen(receiver)

    assert 200 == receiver.receive(token_of(receiver), {}, BODY)
    assert [] == heard

    await turns()

    assert [(SUBMIT_KEY, "t-1", False)] == heard
    assert CallbackCounts(received=1, unsigned=1) == receiver.counts


@pytest.mark.parametrize("secret", [SECRET, [OTHER_SECRET, SECRET], (SECRET,)])
async def test_signed_callback_is_trusted(secret: str | Iterable[str]) -> None:
    """
    A good signature with any of the secrets needs no confirmation.
    """
    receiver = CallbackReceiver(URL, secret=secret)
    heard = listen(receiver)

    assert 200 == receiver.receive(token_of(receiver), signed(), BODY)

    await turns()

    assert [(SUBMIT_KEY, "t-1", True)] == heard
    assert CallbackCounts(received=1, signed=1) == receiver.counts


async def test_confirm_always_trusts_no_callback() -> None:
    """
    With confirm="always" a signature is checked, and still nothing is taken at its word.
    """
    receiver = CallbackReceiver(URL, secret=SECRET, confirm="always")
    heard = listen(receiver)

    assert 200 == receiver.receive(token_of(receiver), signed(), BODY)
    assert 401 == receiver.receive(token_of(receiver), signed(b"{}"), BODY)

    await turns()

    assert [(SUBMIT_KEY, "t-1", False)] == heard
    assert CallbackCounts(received=2, signed=1, forged=1) == receiver.counts


async def test_signature_without_a_secret_proves_nothing() -> None:
    """
    A receiver that knows no secret takes signed callbacks as hints.
    """
    receiver = CallbackReceiver(URL)
    heard = listen(receiver)

    assert 200 == receiver.receive(token_of(receiver), signed(), BODY)

    await turns()

    assert [(SUBMIT_KEY, "t-1", False)] == heard


async def test_forged_callbacks_reach_no_listener() -> None:
    """
    A wrong signature is 401, a wrong address 404, also with a good signature.
    """
    receiver = CallbackReceiver(URL, secret=SECRET)
    heard = listen(receiver)

    assert 401 == receiver.receive(token_of(receiver), signed(secret=OTHER_SECRET), BODY)
    assert 404 == receiver.receive("", signed(), BODY)
    assert 404 == receiver.receive(token_of(CallbackReceiver(URL)), signed(), BODY)

    await turns()

    assert [] == heard
    assert CallbackCounts(received=3, forged=3) == receiver.counts


@pytest.mark.parametrize(("age", "status"), [(300, 200), (301, 401), (-300, 200), (-301, 401)])
async def test_signature_s_age_goes_by_the_wall_clock(age: int, status: int) -> None:
    """
    A signature of more than 300 s ago, or hence, is wrong.
    """
    receiver = CallbackReceiver(URL, secret=SECRET)
    receiver._authenticator.clock = lambda: 1_781_080_794.0
    headers = sign(SECRET, "message-1", 1_781_080_794 - age, BODY)

    assert status == receiver.receive(token_of(receiver), headers, BODY)


async def test_order_of_judgement() -> None:
    """
    The address comes first, then the size, the signature and the body.
    """
    receiver = CallbackReceiver(URL, secret=SECRET)
    good = token_of(receiver)
    wrong = signed(b"{}")

    assert 404 == receiver.receive("bad", wrong, b"x" * (MAX_BODY + 1))
    assert 404 == receiver.receive("bad", {"Content-Encoding": "gzip"}, b"\x1f\x8b")
    assert 413 == receiver.receive(good, wrong, b"x" * (MAX_BODY + 1))
    assert 401 == receiver.receive(good, wrong, b"x" * MAX_BODY)
    assert 401 == receiver.receive(good, wrong, BODY)
    assert 400 == receiver.receive(good, signed(b"{}"), b"{}")
    assert CallbackCounts(received=6, too_large=1, not_json=1, forged=4) == receiver.counts


def test_body_of_an_unknown_address_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    At an address that was not made here, a body is neither decompressed nor verified nor parsed.
    """
    for module, name in ((receiving, "unpack"), (authenticator, "verify"), (receiving, "read_callback")):
        monkeypatch.setattr(module, name, lambda *_: pytest.fail("it was read"))
    receiver = CallbackReceiver(URL, secret=SECRET)

    for body in (BODY, b"[" * 10_000, gzip.compress(bytes(10**6))):
        assert 404 == receiver.receive("x." + token_of(receiver), {"Content-Encoding": "gzip"}, body)


@attrs.define
class WallClock:
    now: float = 1_781_080_794.0

    def __call__(self) -> float:
        return self.now


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_wrong_signatures_are_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """
    With a wrong clock every callback is refused: the first is logged at once, the others as a number.
    """
    receiver, clock = CallbackReceiver(URL, secret=SECRET), WallClock()
    receiver._authenticator.clock = clock
    for _ in range(600):
        late = sign(SECRET, "message-1", clock.now - 301, BODY)
        assert 401 == receiver.receive(token_of(receiver), late, BODY)
        clock.now += 0.25

    told = "a callback to a genuine address has a wrong signature or time; check secret and clock"
    more = "240 more callbacks had a wrong signature or time; check secret and clock"
    assert [told, more, more] == warnings_in(caplog)
    assert 600 == receiver.counts.forged


def test_warning_comes_also_where_the_clock_was_put_back(caplog: pytest.LogCaptureFixture) -> None:
    """
    An hour that comes twice hides nothing.
    """
    receiver, clock = CallbackReceiver(URL, secret=SECRET), WallClock()
    receiver._authenticator.clock = clock
    for _ in range(2):
        receiver.receive(token_of(receiver), sign(SECRET, "message-1", clock.now - 301, BODY), BODY)
        clock.now -= 3600

    assert 2 == len(warnings_in(caplog))


async def test_failing_listener_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """
    A fault that every callback meets does not fill the log with the same traceback.
    """

    def fail(*_: object) -> None:
        raise RuntimeError("a fault of its own")

    receiver, clock = CallbackReceiver(URL), WallClock()
    receiver._authenticator.clock = clock
    receiver.attach(fail)
    for _ in range(100):
        receiver.receive(token_of(receiver), {}, BODY)
        await turns()
        clock.now += 1.0

    assert 2 == len(warnings_in(caplog))
    assert "and for 59 others" in warnings_in(caplog)[1]


# Packed bodies


def packed(body: bytes = BODY, encoding: str = "gzip") -> tuple[dict[str, str], bytes]:
    return {"Content-Encoding": encoding}, gzip.compress(body)


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "x-gzip"])
async def test_packed_callback_is_read(encoding: str) -> None:
    """
    Its signature is one of what was packed.
    """
    receiver = CallbackReceiver(URL, secret=SECRET)
    heard = listen(receiver)
    headers, body = packed(encoding=encoding)

    assert 200 == receiver.receive(token_of(receiver), {**headers, **signed()}, body)

    await turns()

    assert [(SUBMIT_KEY, "t-1", True)] == heard


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        ("gzip", BODY, 200),  # a server in front has unpacked it, and left the header
        ("identity", BODY, 200),
        ("gzip", gzip.compress(BODY.ljust(MAX_BODY)), 200),
        ("gzip", gzip.compress(BODY.ljust(MAX_BODY + 1)), 413),
        ("gzip", gzip.compress(bytes(50 * MAX_BODY)), 413),
        ("gzip", gzip.compress(BODY)[:-8], 200),  # all is there but the check sum
        ("gzip", gzip.compress(BODY) + b"x", 200),
        ("gzip", gzip.compress(BODY)[:-20], 400),
        ("gzip", gzip.compress(BODY)[:-8] + bytes(8), 400),
        ("gzip", b"\x1f\x8b\x08", 400),
        ("gzip", gzip.compress(gzip.compress(BODY)), 400),
        ("", gzip.compress(BODY), 400),
        ("deflate", BODY, 400),
        ("br", BODY, 400),
        ("gzip, gzip", gzip.compress(gzip.compress(BODY)), 400),
    ],
    ids=map(str, itertools.count()),
)
def test_packing_is_judged(encoding: str, body: bytes, status: int) -> None:
    """
    Gzip alone is known, once and within the limit; everything else is a bad callback.
    """
    receiver = CallbackReceiver(URL)

    assert status == receiver.receive(token_of(receiver), {"content-encoding": encoding}, body)


def test_decompression_bomb_is_not_decompressed() -> None:
    """
    Decompression stops at the size limit.
    """
    receiver = CallbackReceiver(URL)
    headers, bomb = packed(bytes(100 * MAX_BODY))
    tracemalloc.start()
    try:
        assert 413 == receiver.receive(token_of(receiver), headers, bomb)
        assert tracemalloc.get_traced_memory()[1] < 4 * MAX_BODY
    finally:
        tracemalloc.stop()


def test_without_listeners_callbacks_are_answered() -> None:
    """
    A receiver whom nobody listens to says yes all the same, and needs no loop for it.
    """
    receiver = CallbackReceiver(URL)

    assert 200 == receiver.receive(token_of(receiver), {}, BODY)


# Listeners


async def test_every_listener_is_called() -> None:
    """
    Several clients may share a receiver; each is told of everything once, in the order of arrival.
    """
    receiver = CallbackReceiver(URL)
    first, second = listen(receiver), listen(receiver)

    for number in range(3):
        receiver.receive(token_of(receiver, f"key-{number}"), {}, BODY)
    await turns()

    assert [(f"key-{number}", "t-1", False) for number in range(3)] == first == second


async def test_listener_attached_twice_is_called_once() -> None:
    """
    Methods of one object are one listener.
    """

    class Client:
        heard = 0

        def hear(self, submit_key: str, snapshot: TaskSnapshot, trusted: bool) -> None:  # noqa: FBT001
            self.heard += 1

    receiver, client = CallbackReceiver(URL), Client()
    receiver.attach(client.hear)
    receiver.attach(client.hear)
    receiver.receive(token_of(receiver), {}, BODY)
    await turns()

    assert 1 == client.heard

    receiver.detach(client.hear)
    receiver.detach(client.hear)
    receiver.receive(token_of(receiver), {}, BODY)
    await turns()

    assert 1 == client.heard


async def test_detached_listener_is_not_called() -> None:
    """
    Not even of what has arrived already: a closed client wants none of it.
    """
    receiver = CallbackReceiver(URL)
    heard: Heard = []

    def hear(submit_key: str, snapshot: TaskSnapshot, trusted: bool) -> None:  # noqa: FBT001
        heard.append((submit_key, snapshot.task_id, trusted))

    receiver.attach(hear)
    receiver.receive(token_of(receiver), {}, BODY)
    receiver.detach(hear)
    await turns()

    assert [] == heard


async def test_failing_listener_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """
    An exception of a listener is logged; the answer and the other listeners know nothing of it.
    """

    def fail(*_: object) -> None:
        raise RuntimeError("a fault of its own")

    receiver = CallbackReceiver(URL)
    receiver.attach(fail)
    heard = listen(receiver)

    assert 200 == receiver.receive(token_of(receiver), {}, BODY)

    await turns()

    assert 1 == len(heard)
    assert [("kling_async.client.callbacks.receiver", "ERROR")] == [
        (record.name, record.levelname) for record in caplog.records
    ]
    assert "a fault of its own" in caplog.text


async def test_listener_is_called_in_its_own_loop() -> None:
    """
    A callback that arrives in another thread's loop is told in the loop where the listener was attached, and wakes it.
    """
    receiver = CallbackReceiver(URL)
    told = threading.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    def hear(*_: object) -> None:
        loops.append(asyncio.get_running_loop())
        told.set()

    async def arrive() -> bool:
        receiver.receive(token_of(receiver), {}, BODY)
        return await asyncio.to_thread(told.wait, 5)

    receiver.attach(hear)

    assert await asyncio.to_thread(asyncio.run, arrive())
    assert [asyncio.get_running_loop()] == loops


def test_listener_of_a_closed_loop_is_forgotten() -> None:
    """
    Who was attached in a loop that has ended costs no answer.
    """
    receiver = CallbackReceiver(URL)

    async def attach() -> Heard:
        return listen(receiver)

    heard = asyncio.run(attach())

    assert 200 == receiver.receive(token_of(receiver), {}, BODY)
    assert [] == heard
    assert {} == receiver._listeners


def test_listener_without_a_loop_is_called_where_the_callback_arrives() -> None:
    """
    A listener may be attached before any loop runs.
    """
    receiver = CallbackReceiver(URL)
    heard = listen(receiver)

    async def arrive() -> None:
        receiver.receive(token_of(receiver), {}, BODY)
        await turns()

    asyncio.run(arrive())

    assert 1 == len(heard)


# Discretion


async def test_repr_shows_host_and_counts() -> None:
    """
    The repr tells the public host and the counts, and nothing by which an address could be made.
    """
    receiver = CallbackReceiver("https://bots.example:8443/hidden", secret=SECRET, token_key=b"hunter2!" * 4)
    receiver.receive("", {}, BODY)

    expected = (
        "<CallbackReceiver bots.example:8443: 1 received, 1 forged, 0 unsigned, 0 signed, 0 too_large, 0 not_json>"
    )

    assert expected == repr(receiver)
    assert expected[1:30] in repr(receiver.asgi_app)
    assert "hunter2" not in repr(receiver.asgi_app)


async def test_log_shows_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    """
    Even at DEBUG no token and no secret is logged; above it no body either.
    """
    receiver = CallbackReceiver(URL, secret=SECRET)
    listen(receiver)
    token = token_of(receiver)
    with caplog.at_level(logging.DEBUG, "kling_async"):
        for headers in ({}, signed(), signed(b"{}")):
            receiver.receive(token, headers, BODY)
        receiver.receive("x" + token, {}, BODY)
        receiver.receive(token, {}, token.encode())
        await turns()

    assert 5 == len(caplog.records)
    assert token.rpartition(".")[2] not in caplog.text
    assert SECRET not in caplog.text
    assert [] == [r for r in caplog.records if r.levelno > logging.DEBUG and "t-1" in r.getMessage()]


# Over sockets


@attrs.frozen
class Face:
    """
    A receiver that can be called at *url*, below which there are only receiver.
    """

    receiver: CallbackReceiver
    url: str
    heard: Heard = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "heard", listen(self.receiver))

    def address(self) -> str:
        return f"{self.url}/{token_of(self.receiver)}"


@contextlib.asynccontextmanager
async def served_by_itself(receiver: CallbackReceiver) -> AsyncIterator[str]:
    async with receiver.serve() as server:
        yield server.url


@contextlib.asynccontextmanager
async def served_by_aiohttp(receiver: CallbackReceiver) -> AsyncIterator[str]:
    app = web.Application()
    app.add_subapp("/kling", receiver.aiohttp_app())
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/kling"
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def served_by_fastapi(receiver: CallbackReceiver) -> AsyncIterator[str]:
    app = pytest.importorskip("fastapi").FastAPI()
    app.mount("/kling", receiver.asgi_app)
    async with served_by_uvicorn(app) as url:
        yield url


@contextlib.asynccontextmanager
async def served_by_starlette(receiver: CallbackReceiver) -> AsyncIterator[str]:
    applications = pytest.importorskip("starlette.applications")
    routing = pytest.importorskip("starlette.routing")
    app = applications.Starlette(routes=[routing.Mount("/kling/callbacks", receiver.asgi_app)])
    async with served_by_uvicorn(app, "/kling/callbacks", root_path="/behind/a/proxy") as url:
        yield url


@contextlib.asynccontextmanager
async def served_bare(receiver: CallbackReceiver) -> AsyncIterator[str]:
    async with served_by_uvicorn(receiver.asgi_app, "", lifespan="on") as url:
        yield url


FACES: Final = (served_by_itself, served_by_aiohttp, served_by_fastapi, served_by_starlette, served_bare)


@pytest.fixture(params=FACES, ids=[face.__name__ for face in FACES])
async def face(request: pytest.FixtureRequest) -> AsyncIterator[Face]:
    """
    A receiver behind each of its faces in turn.
    """
    receiver = CallbackReceiver(URL, secret=SECRET)
    async with request.param(receiver) as url:
        yield Face(receiver, url)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(5)) as session:
        yield session


async def post(session: aiohttp.ClientSession, url: str, data: Any = BODY, **options: Any) -> int:
    async with session.post(url, data=data, **options) as answer:
        await answer.read()
        return answer.status


@contextlib.asynccontextmanager
async def connect(face: Face) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, port = face.url.split("/")[2].split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def head_of_post(face: Face, header: str) -> bytes:
    path = face.address().split("/", 3)[3]
    return f"POST /{path} HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n".encode()


async def read_status(reader: asyncio.StreamReader) -> int:
    async with asyncio.timeout(60):
        return int((await reader.readline()).split()[1])


async def test_callback_arrives(face: Face, session: aiohttp.ClientSession) -> None:
    """
    Signed and unsigned, whole and in pieces, with more of a path above it and a query behind it, a callback is answered
    with 200 and told.
    """

    async def pieces() -> AsyncIterator[bytes]:
        for place in range(0, len(BODY), 40):
            yield BODY[place : place + 40]
            await asyncio.sleep(0)

    assert 200 == await post(session, face.address(), headers=signed())
    assert 200 == await post(session, face.address())
    assert 200 == await post(session, face.address(), pieces())
    assert 200 == await post(session, f"{face.url}/more/of/it/{token_of(face.receiver)}?a=b")

    await eventually(lambda: len(face.heard) == 4)

    assert [(SUBMIT_KEY, "t-1", trusted) for trusted in (True, False, False, False)] == face.heard


async def test_bad_callbacks_are_refused(face: Face, session: aiohttp.ClientSession) -> None:
    """
    Each way to be wrong has its status, with an empty answer that teaches a stranger nothing.
    """
    assert 400 == await post(session, face.address(), b"hello")
    assert 400 == await post(session, face.address(), b"")
    assert 401 == await post(session, face.address(), headers=signed(b"{}"))
    assert 404 == await post(session, face.address() + "x")
    assert 404 == await post(session, face.address() + "/")
    assert 404 == await post(session, face.url + "/")

    await turns()

    assert [] == face.heard
    assert CallbackCounts(received=6, not_json=2, forged=4) == face.receiver.counts


async def test_only_post_is_allowed(face: Face, session: aiohttp.ClientSession) -> None:
    """
    Another method is told which one is allowed, and counts as nothing.
    """
    for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS"):
        async with session.request(method, face.address()) as answer:
            assert (405, "POST") == (answer.status, answer.headers["Allow"])

    assert CallbackCounts() == face.receiver.counts


async def test_large_body_is_not_read(face: Face) -> None:
    """
    Of a body above 1 MiB no more than that is read before the refusal, whatever length was told.
    """
    async with connect(face) as (reader, writer):
        writer.write(head_of_post(face, f"Content-Length: {10**12}") + b" " * (MAX_BODY + 1))

        assert 413 == await read_status(reader)

    assert CallbackCounts(received=1, too_large=1) == face.receiver.counts


def post_all_then_read(url: str, size: int) -> int:
    """
    Post so many bytes as most programs do: the answer is not read before everything is sent.
    """
    caller = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    try:
        caller.request("POST", urlsplit(url).path, bytes(size))
        return caller.getresponse().status
    finally:
        caller.close()


async def test_refusal_of_a_large_body_arrives(face: Face) -> None:
    """
    A sender that reads no answer before it has sent everything is told all the same.
    """
    send = functools.partial(post_all_then_read, face.address(), 8 * MAX_BODY)

    assert 413 == await asyncio.to_thread(send)
    assert 0 == face.receiver._bodies.held


async def test_unknown_address_is_answered_without_reading(face: Face) -> None:
    """
    For an unknown address the body is neither awaited nor kept.
    """
    async with connect(face) as (reader, writer):
        head = head_of_post(face, f"Content-Length: {MAX_BODY}")
        writer.write(head.replace(SUBMIT_KEY.encode(), b"another"))

        assert 404 == await read_status(reader)

    assert CallbackCounts(received=1, forged=1) == face.receiver.counts


async def test_packed_callback_arrives(face: Face, session: aiohttp.ClientSession) -> None:
    """
    It means the same wherever it comes in; so do a bomb, and a packing that is broken or unknown.
    """
    headers, body = packed()
    _, bomb = packed(bytes(20 * MAX_BODY))

    assert 200 == await post(session, face.address(), body, headers={**headers, **signed()})
    assert 413 == await post(session, face.address(), bomb, headers=headers)
    assert 400 == await post(session, face.address(), body[:-20], headers=headers)
    assert 400 == await post(session, face.address(), zlib.compress(BODY), headers={"Content-Encoding": "deflate"})

    await eventually(lambda: face.heard)

    assert [(SUBMIT_KEY, "t-1", True)] == face.heard


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (lambda token: token, 200),
        (lambda token: token.replace(".", "%2E"), 200),
        (lambda token: token + "?/", 200),
        (lambda token: "/" + token, 200),
        (lambda token: token + "/", 404),
        (lambda token: token + "//", 404),
        (lambda token: token + "%2F", 404),
        (lambda token: token + ";x", 404),
        (lambda token: token.upper(), 404),
        (lambda token: token.partition(".")[0], 404),
    ],
    ids=["as it is", "quoted", "query", "two slashes", "slash behind", "slashes behind", "quoted slash behind",
         "parameter", "upper case", "no mark"],
)  # fmt: skip
async def test_path_means_the_same_everywhere(face: Face, change: Callable[[str], str], status: int) -> None:
    """
    The last segment decides, to the letter; what stands before it does not matter.
    """
    path = face.url.split("/", 3)[3:] or [""]
    target = "/".join(["", *filter(None, path), change(token_of(face.receiver))])
    async with connect(face) as (reader, writer):
        writer.write(f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(BODY)}\r\n\r\n".encode() + BODY)

        assert status == await read_status(reader)


async def test_size_of_all_bodies_is_limited(
    face: Face, session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """
    While many bodies are arriving, another one is answered with 503; a body that is complete, or whose sender
    disconnects, frees its memory.
    """
    monkeypatch.setattr(bodies, "MAX_HELD", 300)
    async with connect(face) as (reader, writer), connect(face) as (_, other):
        for caller in (writer, other):
            caller.write(head_of_post(face, f"Content-Length: {len(BODY)}") + BODY[:100])
        await eventually(lambda: face.receiver._bodies.held == 200)

        assert 503 == await post(session, face.address(), BODY.ljust(150))
        assert 503 == await post(session, face.address(), BODY.ljust(150))

        writer.write(BODY[100:])

        assert 200 == await read_status(reader)
    await eventually(lambda: face.receiver._bodies.held == 0)

    assert 200 == await post(session, face.address(), BODY.ljust(300))
    assert ["1 callbacks were answered with 503: too many were arriving at a time"] == warnings_in(caplog)


async def test_largest_body_is_read(face: Face, session: aiohttp.ClientSession) -> None:
    """
    Exactly 1 MiB is allowed.
    """
    assert 200 == await post(session, face.address(), io.BytesIO(BODY.ljust(MAX_BODY)))
    assert 413 == await post(session, face.address(), io.BytesIO(BODY.ljust(MAX_BODY + 1)))


async def test_caller_that_hangs_up_is_forgotten(
    face: Face, session: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    """
    Half a callback is none, and no error in any log.
    """
    async with connect(face) as (_, writer):
        writer.write(head_of_post(face, "Content-Length: 1000") + BODY)
        await writer.drain()
        await asyncio.sleep(0.01)

    assert 200 == await post(session, face.address())
    assert CallbackCounts(received=1, unsigned=1) == face.receiver.counts
    assert [] == [record for record in caplog.records if record.levelno > logging.INFO]


async def test_caller_that_breaks_off_at_once_is_no_error(face: Face, caplog: pytest.LogCaptureFixture) -> None:
    """
    Where the connection is gone before anybody asks for the body, nothing is logged either.
    """
    for _ in range(20):
        async with connect(face) as (_, writer):
            writer.write(head_of_post(face, "Content-Length: 1000"))
            await turns()
            writer.transport.abort()
    async with connect(face) as (reader, writer):
        writer.write(head_of_post(face, f"Content-Length: {len(BODY)}") + BODY)
        assert 200 == await read_status(reader)
    await eventually(lambda: face.receiver._bodies.held == 0)

    assert CallbackCounts(received=1, unsigned=1) == face.receiver.counts
    assert [] == [record for record in caplog.records if record.levelno > logging.INFO]


@pytest.mark.parametrize("encoding", ["gzip", "snappy"])
async def test_encoding_that_is_none_is_a_bad_callback(face: Face, encoding: str) -> None:
    """
    What cannot be unpacked, or is not, is 400 and told to nobody.
    """
    async with connect(face) as (reader, writer):
        writer.write(head_of_post(face, f"Content-Encoding: {encoding}\r\nContent-Length: 5") + b"hello")

        assert 400 == await read_status(reader)

    assert [] == face.heard


@pytest.mark.parametrize("serve", FACES)
async def test_patience_ends(serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Who stops half way through a body occupies nothing for ever.
    """
    monkeypatch.setattr(receiving, "BODY_TIMEOUT", 0.02)
    receiver = CallbackReceiver(URL)
    async with serve(receiver) as url, connect(Face(receiver, url)) as (reader, writer):
        writer.write(head_of_post(Face(receiver, url), "Content-Length: 1000") + BODY)

        assert 400 == await read_status(reader)

    assert CallbackCounts() == receiver.counts


async def test_answer_does_not_wait_for_listeners(face: Face) -> None:
    """
    The answer is on its way before any listener runs.
    """
    received: list[bytes] = []
    host, port = face.url.split("/")[2].split(":")
    with socket.create_connection((host, int(port))) as caller:
        caller.setblocking(False)
        face.receiver.attach(lambda *_: received.append(caller.recv(12)))
        caller.sendall(head_of_post(face, f"Content-Length: {len(BODY)}") + BODY)
        await eventually(lambda: face.heard)
        await eventually(lambda: received)

    assert [b"HTTP/1.1 200"] == received


# Its own server


async def test_own_server_reports_its_port() -> None:
    """
    With port 0 the server finds one, and says which.
    """
    async with CallbackReceiver(URL).serve() as server:
        assert server.port > 0
        assert f"http://127.0.0.1:{server.port}" == server.url

    with pytest.raises(OSError):
        await asyncio.open_connection(server.host, server.port)


async def test_own_server_logs_no_address(session: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture) -> None:
    """
    An access log would show the token.
    """
    receiver = CallbackReceiver(URL)
    with caplog.at_level(logging.INFO):
        async with receiver.serve() as server:
            assert 200 == await post(session, f"{server.url}/{token_of(receiver)}")

    assert [] == caplog.records


def test_address_of_a_server_by_number_is_bracketed() -> None:
    """
    An address of the sixth version stands in brackets.
    """
    assert "http://[::1]:80" == CallbackServer("::1", 80).url


async def test_taken_port_is_an_error() -> None:
    """
    A port that is taken is told as the system tells it, and leaves nothing open.
    """
    receiver = CallbackReceiver(URL)
    async with receiver.serve() as server:
        with pytest.raises(OSError):
            async with receiver.serve(port=server.port):
                pass


def get(text: str = "") -> bytes:
    return f"GET / HTTP/1.1\r\nHost: x\r\n{text}\r\n".encode()


def connect_to(server: CallbackServer) -> Any:
    return connect(Face(CallbackReceiver(URL), server.url))


async def is_closed(reader: asyncio.StreamReader) -> bool:
    """
    Read to the end, and tell whether nothing came before it.
    """
    async with asyncio.timeout(60):
        try:
            return await reader.read() == b""
        except ConnectionError:
            return True


async def test_idle_connections_block_no_caller(
    session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    When all connections are in use, the one that has been idle longest is closed for a new one.
    """
    monkeypatch.setattr(serving, "MAX_CONNECTIONS", 3)
    receiver = CallbackReceiver(URL)
    async with receiver.serve() as server, contextlib.AsyncExitStack() as stack:
        silent = [await stack.enter_async_context(connect_to(server)) for _ in range(3)]
        for reader, writer in silent:  # so that all are known, the last one first
            writer.write(get())
            await reader.readuntil(b"\r\n\r\n")
        silent[0][1].write(get())
        await silent[0][0].readuntil(b"\r\n\r\n")

        for _ in range(3):
            assert 200 == await post(session, f"{server.url}/{token_of(receiver)}")

        assert await is_closed(silent[1][0])
        for reader, writer in (silent[2], silent[0]):
            writer.write(get("Connection: close\r\n"))
            assert 405 == await read_status(reader)


@pytest.mark.parametrize("speaks_first", [True, False])
async def test_connection_that_is_closed_as_it_begins_is_no_error(
    *, speaks_first: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """
    Its request has arrived in the same turn of the loop in which it had to make room, and nobody reads its body.
    """
    monkeypatch.setattr(serving, "MAX_CONNECTIONS", 5)
    receiver = CallbackReceiver(URL)
    async with receiver.serve() as server:
        head = head_of_post(Face(receiver, server.url), "Content-Length: 1000")
        callers = [socket.create_connection((server.host, server.port)) for _ in range(5)]
        for _ in range(10):
            await turns()
        others = [] if speaks_first else [socket.create_connection((server.host, server.port)) for _ in range(5)]
        for caller in callers:
            caller.sendall(head)
        others = others or [socket.create_connection((server.host, server.port)) for _ in range(5)]
        for _ in range(10):
            await turns()
        for caller in (*callers, *others):
            caller.close()
        await eventually(lambda: receiver._bodies.held == 0)

    assert CallbackCounts() == receiver.counts
    assert [] == [record for record in caplog.records if record.levelno > logging.INFO]


async def test_connection_at_work_is_not_closed_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where all are in the middle of a callback, the new one is closed.
    """
    monkeypatch.setattr(serving, "MAX_CONNECTIONS", 2)
    receiver = CallbackReceiver(URL)
    async with receiver.serve() as server, contextlib.AsyncExitStack() as stack:
        face = Face(receiver, server.url)
        callers = [await stack.enter_async_context(connect(face)) for _ in range(2)]
        for _, writer in callers:
            writer.write(head_of_post(face, f"Content-Length: {len(BODY)}") + BODY[:50])
        await eventually(lambda: receiver._bodies.held == 100)
        reader, _ = await stack.enter_async_context(connect(face))

        assert await is_closed(reader)
        for reader, writer in callers:
            writer.write(BODY[50:])
            assert 200 == await read_status(reader)


async def test_closed_connections_leave_their_places(
    session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The caller that hangs up, in whatever state, is not counted any longer.
    """
    monkeypatch.setattr(serving, "MAX_CONNECTIONS", 2)
    receiver = CallbackReceiver(URL)
    async with receiver.serve() as server:
        face = Face(receiver, server.url)
        for text in (b"", b"POST", head_of_post(face, "Content-Length: 99") + b"x", b"\0\r\n\r\n"):
            for _ in range(3):
                async with connect(face) as (_, writer):
                    writer.write(text)
                    await writer.drain()
        async with contextlib.AsyncExitStack() as stack:
            callers = [await stack.enter_async_context(connect(face)) for _ in range(2)]
            for reader, writer in callers:
                writer.write(head_of_post(face, f"Content-Length: {len(BODY)}") + BODY)
                assert 200 == await read_status(reader)


@pytest.mark.parametrize("before", [b"", get()], ids=["first request", "second request"])
@pytest.mark.parametrize("text", [b"", b"POST /x HTTP/1.1\r\nHost: x\r\n"], ids=["nothing", "half"])
def test_headers_have_a_time_limit(before: bytes, text: bytes) -> None:
    """
    Slow headers are complete within 30 s, or the connection is closed.
    """

    @simulated
    async def story() -> None:
        receiver = CallbackReceiver(URL)
        async with receiver.serve() as server, connect_to(server) as (reader, writer):
            if before:
                writer.write(before)
                await reader.readuntil(b"\r\n\r\n")
            writer.write(text)
            end = asyncio.ensure_future(reader.read())
            for number in range(100):
                if end.done() or not text:
                    break
                writer.write(f"X-{number}: y\r\n".encode() if number < 40 else b"z")
                await asyncio.sleep(1.0)
            assert b"" == await end

            assert serving.HEADER_TIMEOUT == pytest.approx(asyncio.get_running_loop().time(), abs=2.0)

    story()


@pytest.mark.parametrize(
    "text",
    [b"\0\r\n\r\n", get("X Y: z\r\n"), get("X: y\r\n" * 70), get(f"X: {'y' * 5000}\r\n"), b"\x16\x03\x01\x02\r\n\r\n"],
    ids=["no HTTP", "bad header", "many headers", "long header", "TLS"],
)
async def test_bad_http_is_not_logged_as_our_error(text: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """
    Requests that are not HTTP are refused, and cause no tracebacks in the log.
    """
    async with CallbackReceiver(URL).serve() as server, connect_to(server) as (reader, writer):
        writer.write(text)

        assert 400 == await read_status(reader)

    assert [] == [record for record in caplog.records if record.levelno > logging.INFO]


# ASGI, without a server


class Caller:
    """
    Calls an ASGI application as a server would, and writes down what it sends.
    """

    def __init__(self, *messages: dict[str, Any]) -> None:
        self.messages = list(messages)
        self.sent: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        return self.messages.pop(0)

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    async def call(self, receiver: CallbackReceiver, **scope: Any) -> list[dict[str, Any]]:
        path = f"/kling/{token_of(receiver)}"
        defaults = {"type": "http", "method": "POST", "path": path, "root_path": "/kling", "headers": []}
        await receiver.asgi_app({**defaults, **scope}, self.receive, self.send)
        return self.sent


def part(body: bytes, *, is_more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": is_more}


async def test_asgi_body_in_parts() -> None:
    """
    Parts are put together, empty ones and those without a body included.
    """
    parts = [part(b"", is_more=True), part(BODY[:9], is_more=True), {"type": "http.request", "more_body": True}]
    sent = await Caller(*parts, part(BODY[9:])).call(CallbackReceiver(URL))

    assert [
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]},
        {"type": "http.response.body", "body": b""},
    ] == sent


async def test_asgi_message_may_be_bare() -> None:
    """
    A request without a body is one message without fields.
    """
    assert 400 == (await Caller({"type": "http.request"}).call(CallbackReceiver(URL)))[0]["status"]


async def test_asgi_headers_are_bytes() -> None:
    """
    The names and values come as bytes, of which any may be there.
    """
    receiver = CallbackReceiver(URL, secret=SECRET)
    headers = [(name.encode(), value.encode()) for name, value in signed().items()]
    await Caller(part(BODY)).call(receiver, headers=[*headers, (b"x-odd", b"\xff\xfe")])

    assert 1 == receiver.counts.signed


@pytest.mark.parametrize(
    ("declared", "parts", "left"),
    [
        (None, 4, 0),
        (None, 100, 100 - 2 * 17 - 1),
        (4 * 2**19, 4, 0),
        (2**24 + 1, 4, 4),
    ],
)
async def test_asgi_large_body_is_read_on_and_discarded(declared: int | None, parts: int, left: int) -> None:
    """
    Before the refusal, since some servers hang up right after it; up to 16 MiB beyond the limit, and nothing at all
    where more is announced.
    """
    receiver = CallbackReceiver(URL)
    messages = [part(b" " * 2**19, is_more=number < parts - 1) for number in range(parts)]
    caller = Caller(*messages)
    headers = [] if declared is None else [(b"content-length", b"%d" % declared)]

    assert 413 == (await caller.call(receiver, headers=headers))[0]["status"]
    assert left == len(caller.messages)
    assert CallbackCounts(received=1, too_large=1) == receiver.counts


async def test_asgi_stranger_is_answered_without_a_word() -> None:
    """
    At an address that is none of ours the body is not even asked for.
    """
    caller = Caller(part(BODY))

    assert 404 == (await caller.call(CallbackReceiver(URL), path="/kling/x"))[0]["status"]
    assert 1 == len(caller.messages)


async def test_asgi_cancelled_in_the_middle_gives_room_back() -> None:
    """
    A server that cancels an application, as some do when the caller has gone, leaves nothing behind.
    """
    receiver = CallbackReceiver(URL)
    asked = asyncio.Event()

    class Silent(Caller):
        async def receive(self) -> dict[str, Any]:
            if not self.messages:
                asked.set()
                await asyncio.Event().wait()
            return await super().receive()

    call = asyncio.ensure_future(Silent(part(BODY, is_more=True)).call(receiver))
    await asked.wait()
    assert len(BODY) == receiver._bodies.held
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)

    assert call.cancelled()
    assert 0 == receiver._bodies.held


@pytest.mark.parametrize("before", [[], [part(BODY, is_more=True)]])
async def test_asgi_disconnect_is_not_answered(before: list[dict[str, Any]]) -> None:
    """
    Who has gone before the body was whole gets no answer and counts as nothing.
    """
    receiver = CallbackReceiver(URL)

    assert [] == await Caller(*before, {"type": "http.disconnect"}).call(receiver)
    assert CallbackCounts() == receiver.counts


async def test_asgi_lifespan() -> None:
    """
    A receiver that is run by itself starts and stops as a server asks it to.
    """
    caller = Caller({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    sent = await caller.call(CallbackReceiver(URL), type="lifespan")

    assert [{"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}] == sent
    assert [] == caller.messages


async def test_asgi_websocket_is_closed() -> None:
    """
    A websocket is not accepted.
    """
    sent = await Caller({"type": "websocket.connect"}).call(CallbackReceiver(URL), type="websocket")

    assert [{"type": "websocket.close"}] == sent


async def test_asgi_unknown_scope_is_an_error() -> None:
    """
    A kind of connection that is not known is refused, as ASGI asks for.
    """
    with pytest.raises(ValueError, match="carrier pigeon"):
        await Caller().call(CallbackReceiver(URL), type="carrier pigeon")


def test_asgi_app_is_one() -> None:
    """
    However often it is asked for, it is the same application.
    """
    receiver = CallbackReceiver(URL)

    assert receiver.asgi_app is receiver.asgi_app
