"""
Callbacks: addresses, headers, signatures, bodies, packed or not, to the receiver and to its faces.
"""

import asyncio
import contextlib
import functools
import gzip
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

import attrs

from kling_async.client.callbacks.receiver import CallbackReceiver
from kling_async.wire.tasks import TaskSnapshot
from kling_async.wire.webhooks import sign
from tests.fuzz.answers import body_of, samples, task
from tests.fuzz.odd import MIB, damaged, json_bytes, mutated, text, url
from tests.fuzz.raw import chunks, exchange, zeros
from tests.fuzz.running import Case, Kind

__all__ = ["opened"]

SECRET: Final = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="
OTHER_SECRET: Final = "whsec_b3RoZXJzZWNyZXRvdGhlcnNlY3JldG90aGVyc2VjcmV0"
SUBMIT_KEYS: Final = ("0f8fad5bd9cb469fa16570867728950e", "a", "A-_z" * 16)

NOW: Final = 1_780_000_000.0
"""
What the clock of the receiver says, so that equal seeds make equal signatures.
"""

PACKET: Final = 64
"""
Bytes that each part of a body counts as at least: no network carries fewer.
"""

STATUSES: Final = frozenset({200, 400, 401, 404, 405, 413, 503})
"""
What may be answered.
"""


@attrs.define
class Ear:
    """
    A receiver, and what it has told.
    """

    receiver: CallbackReceiver
    heard: list[tuple[str, TaskSnapshot, bool]] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.receiver._authenticator.clock = lambda: NOW
        self.receiver.attach(lambda *told: self.heard.append(told))


@attrs.frozen
class Post:
    """
    A request to the receiver's address.
    """

    path: str
    headers: Mapping[str, str]
    body: bytes
    is_ours: bool
    is_forged: bool


def _post(ear: Ear, rng: Random, *, is_large: bool = False) -> Post:
    token, is_ours = _token(ear, rng)
    body = _large(rng) if is_large else _body(rng)
    headers, is_forged = _signed(rng, body)
    headers |= _packed_headers(rng)
    if rng.random() < 0.3:
        body = _packed(rng, body)
        headers["Content-Encoding"] = rng.choice(("gzip", "gzip", "GZIP", "x-gzip", "deflate", "br", "", text(rng, 20)))
    return Post(rng.choice(("/", "//", "/kling/", "")) + token, headers, body, is_ours, is_forged)


def _token(ear: Ear, rng: Random) -> tuple[str, bool]:
    good = ear.receiver.address_of(rng.choice(SUBMIT_KEYS)).rpartition("/")[2]
    if rng.random() < 0.8:
        return good, True
    odd = rng.choice((text(rng, 100), url(rng), good[:-1], good + "A", good.swapcase(), good.replace(".", "%2e")))
    return odd, odd == good


def _body(rng: Random) -> bytes:
    if rng.random() < 0.4:
        return json_bytes(rng, mutated(rng, task(rng), rng.randrange(3)))
    sample = rng.choice(samples())
    return body_of(rng, sample.tree, sample.body)


def _large(rng: Random) -> bytes:
    # Around the limit of 1 MiB.
    length = rng.choice((MIB - 100, MIB, MIB + 1, 2 * MIB, rng.randrange(100_000, MIB)))
    part = rng.choice((b"[],", b'"a",', b'{"data":', b"a", b"\0", b'{"task_id":"a"},'))
    return (b'{"task_id":"a","task_status":"succeed","x":[' + part * (length // len(part)))[: length - 2] + b"0]}"[:2]


def _signed(rng: Random, body: bytes) -> tuple[dict[str, str], bool]:
    # Signing headers, and whether they are certainly not ours.
    match rng.randrange(6):
        case 0 | 1:
            return {}, False
        case 2:
            secret, moment = OTHER_SECRET, NOW
        case 3:
            secret, moment = SECRET, rng.choice((1.0, NOW - 1000, NOW + 1000))
        case _:
            secret, moment = SECRET, NOW
    try:
        headers = sign(secret, rng.choice(("m-1", "a b")), moment, body)
    except ValueError:
        return {}, False
    is_forged = secret == OTHER_SECRET or abs(moment - NOW) > 500
    if rng.random() < 0.3:
        headers[rng.choice([*headers])] = rng.choice((text(rng, 200), "v1,", "v1," * 5000, "9" * 20, "٣" * 10))
    return headers, is_forged


def _packed_headers(rng: Random) -> dict[str, str]:
    if rng.random() < 0.8:
        return {"Content-Type": "application/json"}
    name = rng.choice(("Content-Type", "Content-Length", "Transfer-Encoding", "Expect", text(rng, 20)))
    return {name: rng.choice((text(rng, 200), "-1", "9" * 30, "chunked", "100-continue", "multipart/form-data"))}


def _packed(rng: Random, body: bytes) -> bytes:
    match rng.randrange(6):
        case 0:
            return body
        case 1:
            return damaged(rng, gzip.compress(body, 1, mtime=0), 1)
        case 2:
            return gzip.compress(body, 1, mtime=0) * rng.choice((2, 50))
        case 3:
            return zeros()
        case 4:
            return gzip.compress(gzip.compress(body, 1, mtime=0), 1, mtime=0)
        case _:
            return gzip.compress(body, 1, mtime=0)


def _check(ear: Ear, post: Post, status: int) -> None:
    told, ear.heard[:] = list(ear.heard), []
    if status not in STATUSES:
        raise AssertionError(f"it is answered with {status}")
    if told and (status != 200 or not post.is_ours):
        raise AssertionError(f"what is answered with {status} is told")
    if any(key not in SUBMIT_KEYS for key, _, _ in told):
        raise AssertionError("a submit that is none of ours")
    if post.is_forged and any(is_trusted for _, _, is_trusted in told):
        raise AssertionError("what others have signed is believed")


def _receiving(ear: Ear, rng: Random, *, is_large: bool = False) -> Case:
    post = _post(ear, rng, is_large=is_large)

    async def run() -> None:
        status = ear.receiver.receive(post.path.rpartition("/")[2], post.headers, post.body)
        await asyncio.sleep(0)
        _check(ear, post, status)

    return Case(_size(post), run, f"{post.path!r} {post.headers} {post.body[:300]!r}")


def _size(post: Post) -> int:
    return len(post.path) + sum(len(name) + len(said) for name, said in post.headers.items()) + len(post.body)


def _by_asgi(ear: Ear, rng: Random) -> Case:
    post = _post(ear, rng, is_large=rng.random() < 0.02)
    step = rng.choice((1, 100, 65536)) if len(post.body) < 500 else rng.choice((1000, 65536))
    parts = [post.body[start : start + step] for start in range(0, len(post.body), step)]
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    end = rng.choice(({"type": "http.request"}, {"type": "http.request", "body": b""}, {"type": "http.disconnect"}))
    messages.append(end)
    pairs = [
        (name.lower().encode(errors="replace"), said.encode(errors="replace")) for name, said in post.headers.items()
    ]
    method = rng.choice(("POST",) * 8 + ("GET", "PUT", "", "post"))
    scope = {"type": "http", "method": method, "path": post.path, "headers": pairs, "root_path": "", "scheme": "http"}
    sent: list[dict[str, Any]] = []

    async def run() -> None:
        queue = iter(messages)

        async def receive() -> dict[str, Any]:
            return next(queue, {"type": "http.disconnect"})

        async def send(message: Any) -> None:
            sent.append(message)

        sent.clear()
        await ear.receiver.asgi_app(scope, receive, send)
        await asyncio.sleep(0)
        if sent and [message["type"] for message in sent] != ["http.response.start", "http.response.body"]:
            raise AssertionError(f"no answer by ASGI: {sent}")
        _check(ear, post, sent[0]["status"] if sent else 400)

    size = max(_size(post), PACKET * len(messages))
    return Case(size, run, f"{method} {post.path!r} {post.headers} {post.body[:300]!r}")


def _by_socket(ear: Ear, port: int, rng: Random) -> Case:
    post = _post(ear, rng, is_large=rng.random() < 0.02)
    method = rng.choice(("POST",) * 8 + ("GET", "PUT", "HEAD", "OPTIONS", "CONNECT", text(rng, 20)))
    headers = [("Host", "x"), *post.headers.items()]
    body = post.body
    match rng.randrange(6):
        case 0:
            headers.append(("Transfer-Encoding", "chunked"))
            body = chunks(rng, body) + rng.choice((b"0\r\n\r\n", b"", b"zz\r\n"))
        case 1:
            headers.append(("Content-Length", str(len(body) + rng.choice((-1, 1, 10**12)))))
        case 2:
            headers += [(f"X-{number}", "a") for number in range(rng.choice((50, 1000)))]
        case _:
            headers.append(("Content-Length", str(len(body))))
    lines = [f"{method} {post.path} HTTP/1.1", *(f"{name}: {said}" for name, said in headers)]
    data = "\r\n".join(lines).encode(errors="replace") + b"\r\n\r\n" + body
    if rng.random() < 0.2:
        data = damaged(rng, data, rng.randrange(1, 4))
    step = rng.choice((len(data) or 1, 100_000, -(-len(data) // 3) or 1))
    parts = [data[start : start + step] for start in range(0, len(data), step)]

    async def run() -> None:
        answer = await exchange(port, parts)
        await asyncio.sleep(0)
        first = answer.split(b"\r\n", 1)[0].split()
        if answer and (len(first) < 2 or not first[1].isdigit()):
            raise AssertionError(f"no answer in HTTP: {answer[:200]!r}")
        # Damaged requests may be several, and what a server itself refuses has other numbers.
        status = int(first[1]) if answer else 400
        told, ear.heard[:] = list(ear.heard), []
        if status >= 500 and status not in (501, 503, 505):
            raise AssertionError(f"it is answered with {status}: {answer[:300]!r}")
        if any(key not in SUBMIT_KEYS for key, _, _ in told):
            raise AssertionError("a submit that is none of ours")

    return Case(len(data), run, f"{data[:500]!r}")


@contextlib.asynccontextmanager
async def opened(_: Path) -> AsyncIterator[Sequence[Kind]]:
    """
    The kinds of this part, with a receiver that serves itself.
    """
    ears = [
        Ear(CallbackReceiver("https://bots.example/kling", secret=[SECRET], token_key=b"0" * 32)),
        Ear(CallbackReceiver("https://bots.example/kling", token_key=b"0" * 32)),
    ]
    async with ears[0].receiver.serve() as server:

        def any_ear(rng: Random, make: Any) -> Case:
            case: Case = make(rng.choice(ears), rng)
            return case

        yield (
            Kind("receive", 60, functools.partial(any_ear, make=_receiving)),
            Kind("receive-large", 2, functools.partial(any_ear, make=functools.partial(_receiving, is_large=True))),
            Kind("asgi", 20, functools.partial(any_ear, make=_by_asgi)),
            Kind("own-server", 18, functools.partial(_by_socket, ears[0], server.port)),
        )
