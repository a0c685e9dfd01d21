"""
Answers of the service: status, headers and body, read as the client reads them, and by a whole client over a socket.
"""

import contextlib
import datetime as dt
import functools
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final
from unittest import mock

import attrs

from kling_async import GATEWAY, OFFICIAL, KlingClient
from kling_async.errors import KlingError
from kling_async.wire import json_text
from kling_async.wire.codec import read_task, write_task
from kling_async.wire.http_answer import Answer
from kling_async.wire.json_text import dumps, loads
from kling_async.wire.responses import is_duplicate_id, presence_of, read_created, read_news, read_page, read_snapshot
from kling_async.wire.task_shapes import addresses_in
from kling_async.wire.tasks import TaskSnapshot
from tests.fuzz.odd import MIB, big_text, damaged, json_bytes, mutated, nested, text, url, value, wrapped
from tests.fuzz.raw import RawServer, Reply, written
from tests.fuzz.running import Case, Kind

__all__ = ["body_of", "opened", "task"]

SAMPLES: Final = Path(__file__).parent.parent / "samples"

ANSWER_MAX: Final = 4 * MIB

STATUSES: Final = (
    200,
    200,
    200,
    200,
    200,
    200,
    201,
    202,
    204,
    301,
    307,
    400,
    401,
    403,
    404,
    408,
    413,
    422,
    429,
    500,
    502,
    503,
)

WORDS: Final = ("submitted", "processing", "succeed", "failed", "SUCCESS", "queued", "completed", "", "?", "succeeded")

Reader = Callable[[Answer], object]


@attrs.frozen
class Sample:
    """
    A recorded answer.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    tree: Any = None


@functools.cache
def samples() -> Sequence[Sample]:
    """
    Return all recorded answers.
    """
    found = []
    for folder in sorted(path.parent for path in SAMPLES.glob("*/answer.json")):
        about = json.loads((folder / "answer.json").read_text())
        body = next(folder.glob("body*")).read_bytes()
        try:
            tree = json.loads(body)
        except ValueError:
            tree = None
        found.append(Sample(about["status"], about["headers"], body, tree))
    return found


def task(rng: Random) -> dict[str, Any]:
    """
    Return a task as some service might show it.
    """
    pictures = [{"index": place, "url": url(rng)} for place in range(rng.randrange(4))]
    moment = rng.choice((1_780_000_000, 1_780_000_000_000, "1780000000", 0, None))
    known = {
        rng.choice(("task_id", "id")): rng.choice(("t-1", "850913", 850913, text(rng))),
        rng.choice(("task_status", "status")): rng.choice(WORDS),
        rng.choice(("task_status_msg", "fail_reason", "message")): text(rng),
        rng.choice(("created_at", "create_time", "submit_time")): moment,
        rng.choice(("task_result", "outputs", "output", "result", "data")): rng.choice(
            ({"images": pictures}, pictures, [each["url"] for each in pictures], {"url": url(rng)}, None)
        ),
        "final_unit_deduction": rng.choice(("0.5", "1e5", 3, "٣", "-1", "9" * 40, None)),
        "billing": [{"charge_type": rng.choice(("unit", "cash")), "amount": text(rng, 20)}],
    }
    return {name: known[name] for name in known if rng.random() < 0.8}


def body_of(rng: Random, tree: Any, raw: bytes) -> bytes:
    """
    Return a body like the recorded one, or quite another.
    """
    match rng.randrange(20):
        case 0:
            return nested(rng)
        case 1:
            return rng.randbytes(rng.randrange(200))
        case 2 | 3 | 4:
            return damaged(rng, raw, rng.randrange(4))
        case 5:
            return json_bytes(rng, value(rng, 5))
        case 6 | 7 | 8 | 9 | 10:
            grown: Any = {"code": 0, "message": "SUCCEED", "request_id": text(rng, 30), "data": task(rng)}
            grown = rng.choice((grown, {**grown, "data": [task(rng) for _ in range(rng.randrange(4))]}, task(rng)))
            return json_bytes(rng, mutated(rng, grown, rng.randrange(3)))
        case _:
            return json_bytes(rng, mutated(rng, tree, rng.randrange(5)))


def _large(rng: Random) -> bytes:
    # Up to 4 MiB: what a client reads at most.
    most = ANSWER_MAX - 10_000
    match rng.randrange(5):
        case 0:
            part = rng.choice(
                (
                    b"[],",
                    b"{},",
                    b'"a",',
                    b"1,",
                    b'{"task_id":"a"},',
                    b'{"task_id":"t-1"},',
                    b'{"url":"b"},',
                    b'{"a":[[]]},',
                    b'"/b",',
                )
            )
            parts = part * (rng.randrange(20_000, most) // len(part))
            if rng.random() < 0.5:
                return b'{"code":0,"data":[' + parts + b"0]}"
            place = rng.choice((b'"images"', b'"outputs"', b'"image_urls"', b'"billing"', b'"url"')) + b":["
            start = b'{"code":0,"data":{"task_id":"t-1","task_status":"succeed",'
            inner, end = rng.choice(((b"", b""), (b'"task_result":{', b"}"), (b'"output":{', b"}")))
            return start + inner + place + parts + b"0]" + end + b"}}"
        case 1:
            return b'{"data":' + b'{"data":[' * rng.randrange(100, 400) + b"1" * 70_000
        case 2:
            return big_text(rng, most // 4).encode("utf-8", "surrogatepass")
        case _:
            long = big_text(rng, most // 6)
            tree = wrapped(rng, long) if len(long) < 200_000 else long
            shown = task(rng)
            shown[rng.choice(("task_id", "task_status_msg", "task_result", "url", "created_at"))] = long
            grown = {"data": shown, rng.choice(("message", "code", "request_id", "data", "error")): tree}
            return json.dumps(grown, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")[:most]


def _answer(rng: Random, *, is_large: bool = False) -> Answer:
    sample = rng.choice(samples())
    headers = dict(sample.headers)
    if rng.random() < 0.3:
        name = rng.choice(("Retry-After", "retry-after", "Content-Type", "content-type", "Date", text(rng, 20)))
        headers[name] = text(rng, 300)
    status = sample.status if rng.random() < 0.5 else rng.choice((*STATUSES, rng.randrange(100, 1000)))
    body = _large(rng) if is_large else body_of(rng, sample.tree, sample.body)
    return Answer(status, headers, body)


def _reading(rng: Random, *, is_large: bool = False) -> Case:
    answer = _answer(rng, is_large=is_large)
    held: dict[str, TaskSnapshot | None] = {"t-1": None, "850913": None}
    readers: Sequence[Reader] = (
        read_created,
        read_snapshot,
        lambda answer: read_snapshot(answer, "t-1"),
        read_page,
        lambda answer: read_news(answer, held),
    )
    read = rng.choice(readers)
    is_patient = rng.random() < 0.3  # as without the extra "fast"

    async def run() -> None:
        with mock.patch.object(json_text, "orjson", None) if is_patient else contextlib.nullcontext():
            try:
                seen = read(answer)
            except KlingError as error:
                presence_of(error)
                is_duplicate_id(error)
                raise
        for snapshot in seen[:10] if isinstance(seen, list) else [seen]:
            if isinstance(snapshot, TaskSnapshot):
                _use(snapshot)

    return Case(len(answer.body), run, f"{answer.status} {answer.headers} {answer.body[:1500]!r}")


def _use(snapshot: TaskSnapshot) -> None:
    # What a journal, a notebook and a log do with a snapshot.
    if not snapshot.task_id:
        raise AssertionError("a task without an id")
    again = read_task(loads(dumps(write_task(snapshot))))
    for name in ("task_id", "task_status", "status_word", "task_result", "created_at", "updated_at"):
        was, now = getattr(snapshot, name), getattr(again, name)
        is_ancient = isinstance(was, dt.datetime) and was.year < 1974  # such milliseconds look like seconds
        if was != now and not is_ancient:
            raise AssertionError(f"{name} was {was!r:.300}, and is {now!r:.300}")
    repr(snapshot)
    snapshot._repr_html_()
    if isinstance(snapshot.raw, dict):
        addresses_in(snapshot.raw)


async def _use_client(server: RawServer, replies: Sequence[Reply], action: str, *, is_official: bool) -> None:
    server.say(replies)
    dialect = OFFICIAL if is_official else GATEWAY
    async with KlingClient("sk-fuzz", base_url=server.url, dialect=dialect) as client:
        match action:
            case "submit":
                await client.submit("a lighthouse")
            case "generate":
                await client.generate("a lighthouse", timeout=60)
            case "get":
                await client.get("t-1")
            case "wait":
                await client.handle("t-1").wait(60)
            case _:
                pages = client.tasks(page_size=10)
                async with contextlib.aclosing(pages):
                    async for _ in pages:
                        if server.served > 20:
                            break


def _over_a_socket(server: RawServer, rng: Random) -> Case:
    answers = [_answer(rng, is_large=rng.random() < 0.02) for _ in range(rng.choice((1, 1, 2, 3)))]
    replies = [written(rng, answer.status, _plain(rng, answer.headers), answer.body) for answer in answers]
    action = rng.choice(("submit", "submit", "generate", "get", "wait", "tasks"))
    run = functools.partial(_use_client, server, replies, action, is_official=rng.random() < 0.5)
    shown = f"{action} {[reply.data[:700] for reply in replies]!r}"
    return Case(sum(len(reply.data) for reply in replies), run, shown, server.taken)


def _plain(rng: Random, headers: Mapping[str, str]) -> list[tuple[str, str]]:
    is_odd = rng.random() < 0.1  # else no header breaks a line
    return [pair for pair in headers.items() if is_odd or (":".join(pair).isprintable() and ":".join(pair).isascii())]


@contextlib.asynccontextmanager
async def opened(_: Path) -> AsyncIterator[Sequence[Kind]]:
    """
    The kinds of this part, with a server for those that need one.
    """
    async with RawServer.listening() as server:
        yield (
            Kind("read", 80, _reading),
            Kind("read-large", 2, functools.partial(_reading, is_large=True)),
            Kind("over-a-socket", 18, functools.partial(_over_a_socket, server)),
        )
