"""
A service that implements the protocols of all contenders, so that all of them use the same service.

Responses are prepared when a task is created, and looked up when requested. The duration of a task depends only on its
number, so every contender gets the same tasks. It counts requests, and records when each task ended and how busy its
own core was.
"""

import asyncio
import base64
import collections
import contextlib
import hashlib
import hmac
import itertools
import json
import random
import time
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import attrs

from benchmarks.load import Load, metered

if TYPE_CHECKING:
    from benchmarks.apart import Pipe

SECRET: Final = base64.b64encode(b"what signs the callbacks").decode()
"""
The secret with which callbacks are signed.
"""

SEED: Final = 6
FIRST_ID: Final = 867283741759111202
LINES: Final = 32
"""
Connections over which callbacks are sent.
"""

PAGE_MAX: Final = 500
"""
Tasks on the vendor's largest page.
"""

PROCESSING_AFTER: Final = 0.1
"""
Seconds after which a callback reports that a task is running.
"""

_ENVELOPE: Final = '{"code":0,"message":"SUCCEED","request_id":"8f1e3a52-2c1f-4b8e-9f0e-7a1d2c3b4e5f","data":'
_URL: Final = (
    "https://pictures.example/bs2/upload-kling/{id}/image-0.png"
    "?x-kcdn-pid=112452&Expires=1791000000&Signature=0123456789abcdef0123456789abcdef0123456789abcdef"
)
_SINCE: Final = "2026-11-22T12:00:00.000Z"


@attrs.frozen
class Terms:
    """
    Attributes:
        shortest: Minimum duration of a task in seconds.
        longest: Maximum duration in seconds.
    """

    shortest: float
    longest: float


@attrs.frozen
class Tally:
    """
    What happened since the terms were set.

    Attributes:
        requests: The number of requests.
        connections: The number of connections opened.
        ended_at: When each task ended, by its id, on the machine's monotonic clock.
        callbacks: The number of callbacks sent that got a 200.
        load: The load of the service.
    """

    requests: int
    connections: int
    ended_at: dict[str, float]
    callbacks: int
    load: Load


@attrs.frozen
class _Task:
    """
    Complete responses, and the pieces from which responses about several tasks are assembled.
    """

    task_id: str
    ends_at: float
    running: bytes
    ended: bytes
    result: bytes = b""
    running_piece: bytes = b""
    ended_piece: bytes = b""

    def answer(self, now: float) -> bytes:
        return self.running if now < self.ends_at else self.ended

    def piece(self, now: float) -> bytes:
        return self.running_piece if now < self.ends_at else self.ended_piece


def _http(body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: %d\r\n\r\n"
    return head % len(body) + body


_MISSING: Final = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


def _answer(fields: object) -> bytes:
    return _http(json.dumps(fields, separators=(",", ":")).encode())


def _enveloped(pieces: Iterable[bytes]) -> bytes:
    return _http(b"%b[%b]}" % (_ENVELOPE.encode(), b",".join(pieces)))


def _kling(task_id: str, ends_at: float, seconds: float, external_id: str) -> _Task:
    made = int(time.time() * 1000)
    common = f'{{"task_id":"{task_id}","task_status_msg":"","task_info":{{"external_task_id":"{external_id}"}},'
    result = f'{{"images":[{{"index":0,"url":"{_URL.format(id=task_id)}"}}]}}'
    running = f'{common}"task_status":"processing","task_result":{{}},"created_at":{made},"updated_at":{made}}}'
    ended = (
        f'{common}"task_status":"succeed","task_result":{result},"final_unit_deduction":"1",'
        f'"created_at":{made},"updated_at":{made + int(1000 * seconds)}}}'
    )
    return _Task(
        task_id,
        ends_at,
        running=_http(f"{_ENVELOPE}{running}}}".encode()),
        ended=_http(f"{_ENVELOPE}{ended}}}".encode()),
        running_piece=running.encode(),
        ended_piece=ended.encode(),
    )


def _fal(task_id: str, ends_at: float) -> _Task:
    return _Task(
        task_id,
        ends_at,
        running=_answer({"status": "IN_PROGRESS", "logs": None}),
        ended=_answer({"status": "COMPLETED", "logs": None, "metrics": {"inference_time": 2.5}}),
        result=_answer({"images": [{"url": _URL.format(id=task_id), "content_type": "image/png"}]}),
    )


def _replicate(task_id: str, ends_at: float) -> _Task:
    fields = {
        "id": task_id,
        "model": "kwaivgi/kling-image",
        "version": "hidden",
        "input": {"prompt": "a lighthouse"},
        "logs": "",
        "error": None,
        "created_at": _SINCE,
        "urls": {"get": f"https://pictures.example/v1/predictions/{task_id}"},
    }
    return _Task(
        task_id,
        ends_at,
        running=_answer(fields | {"status": "processing"}),
        ended=_answer(fields | {"status": "succeeded", "output": [_URL.format(id=task_id)], "completed_at": _SINCE}),
    )


def _runway(task_id: str, ends_at: float) -> _Task:
    fields = {"id": task_id, "createdAt": _SINCE}
    return _Task(
        task_id,
        ends_at,
        running=_answer(fields | {"status": "RUNNING", "progress": 0.5, "estimatedCost": {"credits": 5}}),
        ended=_answer(fields | {"status": "SUCCEEDED", "output": [_URL.format(id=task_id)], "cost": {"credits": 5}}),
    )


def _openai(task_id: str, ends_at: float) -> _Task:
    fields = {
        "id": task_id,
        "object": "video",
        "model": "sora-2",
        "created_at": 1722769557,
        "seconds": "4",
        "size": "720x1280",
        "prompt": "a lighthouse",
    }
    return _Task(
        task_id,
        ends_at,
        running=_answer(fields | {"status": "in_progress", "progress": 50}),
        ended=_answer(fields | {"status": "completed", "progress": 100, "completed_at": 1722769560}),
    )


@attrs.define(eq=False)
class _Outbox:
    """
    The callbacks to send, each signed when it is sent, and the connections for them.
    """

    delivered: int = attrs.field(default=0, init=False)
    _waiting: "collections.deque[tuple[str, bytes]]" = attrs.field(factory=collections.deque, init=False)
    _free: "list[_Line]" = attrs.field(factory=list, init=False)
    _lines: "set[_Line]" = attrs.field(factory=set, init=False)
    _opening: "set[asyncio.Task[object]]" = attrs.field(factory=set, init=False)
    _numbers: "itertools.count[int]" = attrs.field(factory=itertools.count, init=False)
    _is_closed: bool = attrs.field(default=False, init=False)

    def send(self, url: str, body: bytes) -> None:
        if self._is_closed:
            return
        self._waiting.append((url, body))
        if self._free:
            self._free.pop().send(*self.next())
        elif len(self._lines) + len(self._opening) < LINES:
            host, _, port = urlsplit(url).netloc.partition(":")
            loop = asyncio.get_running_loop()
            opening = loop.create_task(loop.create_connection(lambda: _Line(self), host, int(port)))
            self._opening.add(opening)
            opening.add_done_callback(self._opening.discard)

    def opened(self, line: "_Line") -> None:
        self._lines.add(line)
        self.freed(line)

    def freed(self, line: "_Line") -> None:
        if self._waiting:
            line.send(*self.next())
        else:
            self._free.append(line)

    def lost(self, line: "_Line") -> None:
        self._lines.discard(line)
        if line in self._free:
            self._free.remove(line)

    def next(self) -> tuple[str, bytes, str]:
        return *self._waiting.popleft(), f"msg_{next(self._numbers)}"

    def close(self) -> None:
        self._is_closed = True
        self._waiting.clear()
        for line in tuple(self._lines):
            line.close()


class _Line(asyncio.Protocol):
    def __init__(self, outbox: _Outbox) -> None:
        self._outbox = outbox
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._outbox.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio names it)
        self._outbox.lost(self)

    def close(self) -> None:
        self._transport.close()

    def send(self, url: str, body: bytes, message_id: str) -> None:
        parts, seconds = urlsplit(url), int(time.time())
        signed = b"%b.%d.%b" % (message_id.encode(), seconds, body)
        signature = base64.b64encode(hmac.digest(base64.b64decode(SECRET), signed, hashlib.sha256)).decode()
        head = (
            f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json; charset=utf-8\r\n"
            f"webhook-id: {message_id}\r\nwebhook-timestamp: {seconds}\r\nwebhook-signature: v1,{signature}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self._transport.write(head.encode() + body)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if b"\r\n\r\n" in self._received:  # their responses have no body
            self._outbox.delivered += self._received.startswith(b"HTTP/1.1 200")
            self._received = b""
            self._outbox.freed(self)


@attrs.define(eq=False)
class StandIn:
    """
    The tasks and the requests for them. Setting new terms clears both.
    """

    requests: int = attrs.field(default=0, init=False)
    connections: int = attrs.field(default=0, init=False)
    open: set[asyncio.Transport] = attrs.field(factory=set, init=False)
    outbox: _Outbox = attrs.field(factory=_Outbox, init=False)
    _terms: Terms = attrs.field(factory=lambda: Terms(0.0, 0.0), init=False)
    _random: random.Random = attrs.field(init=False)
    _tasks: dict[str, _Task] = attrs.field(factory=dict, init=False)
    _in_order: list[_Task] = attrs.field(factory=list, init=False)
    _ids: "itertools.count[int]" = attrs.field(factory=lambda: itertools.count(FIRST_ID), init=False)

    def __attrs_post_init__(self) -> None:
        self.set(self._terms)

    def set(self, terms: Terms) -> None:
        """
        Restart.
        """
        self.requests = self.connections = 0
        self._terms, self._random = terms, random.Random(SEED)  # noqa: S311 (the same for all contenders)
        self._tasks, self._in_order = {}, []
        self.outbox.close()
        self.outbox = _Outbox()

    def tally(self, load: Load) -> Tally:
        ended_at = {task.task_id: task.ends_at for task in self._in_order}
        return Tally(self.requests, self.connections, ended_at, self.outbox.delivered, load)

    def answer(self, method: bytes, target: bytes, host: str, body: bytes) -> bytes:
        """
        Return the complete response to one request.
        """
        self.requests += 1
        if method == b"POST":
            return self._create(target, host, body)
        path, _, query = target.partition(b"?")
        now = time.monotonic()
        if path == b"/tasks":
            found = (self._tasks[task_id] for task_id in query.decode().partition("=")[2].split(","))
            return _enveloped(task.piece(now) for task in found)
        if path == b"/v1/images/generations":
            return self._page(query.decode(), now)
        if is_status := path.endswith(b"/status"):
            path = path.removesuffix(b"/status")
        task = self._tasks.get(path.rpartition(b"/")[2].decode())
        if task is None:
            return _MISSING
        return task.result if task.result and not is_status else task.answer(now)

    def _page(self, query: str, now: float) -> bytes:
        given = dict(pair.split("=") for pair in query.split("&"))
        number, size = int(given["pageNum"]), int(given["pageSize"])
        assert number >= 1
        assert 1 <= size <= PAGE_MAX
        end = len(self._in_order) - (number - 1) * size
        newest_first = self._in_order[max(0, end - size) : max(0, end)][::-1]
        return _enveloped([task.piece(now) for task in newest_first])

    def _create(self, target: bytes, host: str, body: bytes) -> bytes:
        task_id = str(next(self._ids))
        seconds = self._random.uniform(self._terms.shortest, self._terms.longest)
        ends_at = time.monotonic() + seconds
        if target == b"/v1/images/generations":
            given = json.loads(body)
            task = _kling(task_id, ends_at, seconds, given.get("external_task_id") or "")
            if callback_url := given.get("callback_url"):
                self._promise(callback_url, task)
            answer = task.running
        elif target.endswith(b"/predictions"):
            task = _replicate(task_id, ends_at)
            answer = task.running
        elif target == b"/v1/text_to_image":
            task = _runway(task_id, ends_at)
            answer = _answer({"id": task_id, "estimatedCost": {"credits": 5}})
        elif target == b"/v1/videos":
            task = _openai(task_id, ends_at)
            answer = task.running
        else:
            task = _fal(task_id, ends_at)
            url = f"http://{host}{target.decode()}/requests/{task_id}"
            urls = {"response_url": url, "status_url": url + "/status", "cancel_url": url + "/cancel"}
            answer = _answer({"request_id": task_id, "status": "IN_QUEUE", "queue_position": 0, **urls})
        self._tasks[task_id] = task
        self._in_order.append(task)
        return answer

    def _promise(self, callback_url: str, task: _Task) -> None:
        loop, outbox = asyncio.get_running_loop(), self.outbox
        loop.call_later(PROCESSING_AFTER, outbox.send, callback_url, task.running_piece)
        loop.call_at(task.ends_at, outbox.send, callback_url, task.ended_piece)


class _Face(asyncio.Protocol):
    def __init__(self, service: StandIn) -> None:
        self._service = service
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._service.connections += 1
        self._service.open.add(transport)

    def connection_lost(self, _: Exception | None) -> None:
        self._service.open.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, rest = self._received.partition(b"\r\n\r\n")
        length = 0
        lower = head.lower()
        if (at := lower.find(b"\r\ncontent-length:")) >= 0:
            length = int(lower[at + 17 :].split(b"\r", 1)[0])
        assert b"\r\ntransfer-encoding:" not in lower
        if not end or len(rest) < length:
            return
        self._received = rest[length:]
        method, target, _ = head.split(b" ", 2)
        host = lower[lower.find(b"\r\nhost:") + 7 :].split(b"\r", 1)[0].strip().decode()
        self._transport.write(self._service.answer(method, target, host, rest[:length]))


@contextlib.asynccontextmanager
async def listen(service: StandIn) -> AsyncIterator[str]:
    """
    Run *service* in this event loop, and yield its address.
    """
    server = await asyncio.get_running_loop().create_server(lambda: _Face(service), "127.0.0.1", 0, backlog=4096)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        service.outbox.close()
        server.close()
        for transport in service.open:
            transport.abort()
        while service.open:
            await asyncio.sleep(0)


async def serve(pipe: "Pipe") -> None:
    """
    Send the address; then restart with each `Terms` received, and send the tally when "tell" is received.
    """
    service = StandIn()
    async with listen(service) as url:
        pipe.send(url)
        order = await asyncio.to_thread(pipe.recv)
        while order is not None:
            service.set(order)
            pipe.send("set")
            async with metered() as load:
                order = await asyncio.to_thread(pipe.recv)
            if order == "tell":
                pipe.send(service.tally(load))
                order = await asyncio.to_thread(pipe.recv)
