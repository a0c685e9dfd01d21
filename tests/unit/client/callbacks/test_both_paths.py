"""
The receiver's own server reads a whole callback itself and leaves others to aiohttp's: both come to the same.
"""

import asyncio
import base64
import contextlib
import gzip
import hmac
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs
import pytest
from hypothesis import given, settings, strategies as st

from kling_async.client.callbacks import server as serving
from kling_async.client.callbacks.receiver import CallbackCounts, CallbackReceiver
from kling_async.wire.tasks import TaskSnapshot
from tests.fakes.simulated_loop import simulate, simulated

SAMPLES: Final = Path(__file__).parents[3] / "samples"
BODIES: Final = {path.parent.name: path.read_bytes() for path in sorted(SAMPLES.glob("*/body*"))}
CALLBACK: Final = BODIES["vendor-callback-video"]

SECRET: Final = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="
FORGERS_SECRET: Final = "whsec_Zm9yZ2VkIGZvcmdlZCBmb3JnZWQ="
AT: Final = 1_780_000_000

TOKEN: Final = CallbackReceiver("https://bots.example", token_key=b"0" * 32).address_of("a-submit").rpartition("/")[2]


@attrs.frozen
class Verdict:
    """
    What a request has led to: the status of the answer, the receiver's counts, and what its listener was given.
    """

    status: bytes
    counts: CallbackCounts
    reported: Sequence[tuple[str, TaskSnapshot, bool]]


@attrs.define
class Caller:
    """
    A connection to a receiver of its own.
    """

    _receiver: CallbackReceiver
    _reader: asyncio.StreamReader
    _writer: asyncio.StreamWriter
    _reported: list[tuple[str, TaskSnapshot, bool]] = attrs.field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self._receiver.attach(lambda *callback: self._reported.append(callback))

    async def post(self, data: bytes) -> Verdict:
        """
        Send *data* at once, and return the verdict.
        """
        self._writer.write(data)
        async with asyncio.timeout(60):
            head = await self._reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        counts = attrs.evolve(self._receiver.counts)
        return Verdict(head.split()[1], counts, tuple(self._reported))


@contextlib.asynccontextmanager
async def calling(*, whole: bool) -> AsyncIterator[Caller]:
    # A caller whose requests the server reads itself if it can, or whose connection aiohttp's server has taken over.
    receiver = CallbackReceiver("https://bots.example", secret=SECRET, token_key=b"0" * 32)
    receiver._authenticator.clock = lambda: AT
    async with receiver.serve() as server:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        try:
            caller = Caller(receiver, reader, writer)
            if not whole:
                assert b"405" == (await caller.post(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")).status
            yield caller
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


def request(body: bytes, headers: Mapping[str, str], target: str = f"/kling/{TOKEN}") -> bytes:
    """
    Return a POST as it is sent.
    """
    lines = [f"POST {target} HTTP/1.1", "Host: bots.example", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def headers_of(body: bytes, secret: str | None, at: int = AT) -> dict[str, str]:
    """
    Return the headers of a callback, signed with *secret* if there is one.
    """
    kind = {"Content-Type": "application/json; charset=utf-8"}
    if secret is None:
        return kind
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signature = base64.b64encode(hmac.digest(key, f"message-1.{at}.".encode() + body, "sha256")).decode()
    return kind | {"Webhook-Id": "message-1", "Webhook-Timestamp": str(at), "Webhook-Signature": f"v1,{signature}"}


async def verdicts(*requests: bytes) -> list[tuple[Verdict, Verdict]]:
    """
    Return what each request has led to, by both paths.
    """
    async with calling(whole=True) as caller, calling(whole=False) as other:
        return [(await caller.post(data), await other.post(data)) for data in requests]


@pytest.fixture
def taken_over(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """
    The connections that aiohttp's server has taken over.
    """
    made: list[object] = []
    make = serving._Server.make_handler

    def make_and_note(server: serving._Server) -> object:
        made.append(make(server))
        return made[-1]

    monkeypatch.setattr(serving._Server, "make_handler", make_and_note)
    return made


@pytest.mark.parametrize(
    ("secret", "at"),
    [(None, AT), (SECRET, AT), (SECRET, AT - 301), (FORGERS_SECRET, AT)],
    ids=["unsigned", "signed", "old signature", "forged signature"],
)
@simulated
async def test_every_sample_is_judged_alike(secret: str | None, at: int, taken_over: list[object]) -> None:
    """
    Each recorded body is posted as a callback: most are tasks or answers around one, others are none.
    """
    found = await verdicts(*(request(body, headers_of(body, secret, at)) for body in BODIES.values()))

    assert 1 == len(taken_over)
    assert [other for _, other in found] == [whole for whole, _ in found]
    statuses = {whole.status for whole, _ in found}
    assert ({b"200", b"400"} if at == AT and secret != FORGERS_SECRET else {b"401"}) == statuses


@pytest.mark.parametrize(
    ("data", "status", "is_whole"),
    [
        (request(CALLBACK, {}), b"200", True),
        (request(CALLBACK, {}, f"/{TOKEN}"), b"200", True),
        (request(CALLBACK, {}, f"/kling/{TOKEN}?a=/b"), b"200", True),
        (request(CALLBACK, {}, f"/kling/{TOKEN.replace('a', '%61')}"), b"200", True),
        (request(CALLBACK, {}, f"/kling/{TOKEN}/"), b"404", True),
        (request(CALLBACK, {}, f"/kling/{TOKEN[:-1]}"), b"404", True),
        (request(CALLBACK, {}, f"/kling/{TOKEN.swapcase()}"), b"404", True),
        (request(CALLBACK, {}, "/"), b"404", True),
        (request(CALLBACK, {"cONTENT-tYPE": "text/plain", "X-Odd": "\t a \xe9 b \t"}), b"200", True),
        (
            request(CALLBACK, {name.upper(): value for name, value in headers_of(CALLBACK, SECRET).items()}),
            b"200",
            True,
        ),
        (request(CALLBACK, headers_of(CALLBACK + b" ", SECRET)), b"401", True),
        (request(CALLBACK, {"Webhook-Id": "message-1"}), b"401", True),
        (request(CALLBACK, {"Connection": "Keep-Alive"}), b"200", True),
        (request(CALLBACK, {"Connection": "close"}), b"200", False),
        (request(CALLBACK, {"Expect": "100-continue"}), b"200", True),
        (request(gzip.compress(CALLBACK, mtime=0), {"Content-Encoding": "gzip"}), b"200", True),
        (request(gzip.compress(CALLBACK, mtime=0)[:-20], {"Content-Encoding": "gzip"}), b"400", True),
        (request(CALLBACK, {"Content-Encoding": "gzip"}), b"200", True),
        (request(CALLBACK, {"Content-Encoding": "br"}), b"400", True),
        (request(b"", {}), b"400", True),
        (request(b"\xff" + CALLBACK, {}), b"400", True),
        (request(CALLBACK, {"X Odd": "a"}), b"400", False),
        (request(CALLBACK, {"X-Odd": "a" * 5_000}), b"400", False),
        (request(CALLBACK, {f"X-{number}": "a" for number in range(70)}), b"400", False),
        (request(CALLBACK, {"Content-Length": "7"}), b"400", False),
        (request(CALLBACK, {}).replace(b"HTTP/1.1", b"HTTP/1.0"), b"200", False),
        (request(CALLBACK, {}).replace(b"POST", b"PUT"), b"405", False),
        (request(CALLBACK + b" " * 70_000, {}), b"200", False),
    ],
)
@simulated
async def test_odd_request_is_judged_alike(
    data: bytes, status: bytes, *, is_whole: bool, taken_over: list[object]
) -> None:
    """
    Other addresses, headers, forms and sizes; what the server does not read itself is left to aiohttp's.
    """
    [(whole, other)] = await verdicts(data)

    assert status == whole.status
    assert other == whole
    assert (1 if is_whole else 2) == len(taken_over)


def _changed(data: bytes, at: int, change: Callable[[bytes], bytes], length: int) -> bytes:
    at %= len(data)
    return data[:at] + change(data[at : at + length]) + data[at + length :]


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(0, 3), st.binary(max_size=3))
def test_damaged_request_is_judged_alike(at: int, length: int, others: bytes) -> None:
    """
    Wherever some bytes of a signed callback are replaced. One that lacks its end may wait for the rest.
    """
    data = _changed(request(CALLBACK, headers_of(CALLBACK, SECRET)), at, lambda _: others, length)

    async def story() -> None:
        with contextlib.suppress(TimeoutError, asyncio.IncompleteReadError):
            [(whole, other)] = await verdicts(data)
            assert other == whole
        await asyncio.sleep(60)  # until the servers have closed their connections

    simulate(story())
