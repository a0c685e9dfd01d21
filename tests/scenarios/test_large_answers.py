"""
Answers that are larger, or nested deeper, than any sensible one: what they cost in memory, and where they are decoded.
"""

import asyncio
import concurrent.futures
import gzip
import json
import threading
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs
import pytest

from kling_async import OFFICIAL
from kling_async.client import transport as module
from kling_async.client.polling.queries import HttpStatusQueries
from kling_async.client.transport import decode
from kling_async.errors import UnexpectedAnswer
from kling_async.wire import json_text
from kling_async.wire.codec import write_task
from kling_async.wire.endpoints.image_generation import IMAGE_GENERATION
from kling_async.wire.http_answer import Answer
from kling_async.wire.responses import read_created, read_news, read_page, read_snapshot
from kling_async.wire.tasks import Image, TaskOutput, TaskSnapshot, TaskStatus
from tests.fakes.deliveries import delivery, submit
from tests.fakes.scripted_server import http_response, scripted_server
from tests.fakes.transports import PATH, transport_to

READERS: dict[str, Callable[[Answer], Any]] = {
    "create": read_created,
    "snapshot": lambda answer: read_snapshot(answer, "t-1"),
    "page": read_page,
    "news": lambda answer: read_news(answer, {"t-1": None}),
}


def page(tasks: int, pictures: int) -> bytes:
    made = tuple(
        Image(index, f"https://cdn.example/{'x' * 200}?sign={'0' * 200}", f"https://cdn.example/{'y' * 200}")
        for index in range(pictures)
    )
    task = TaskSnapshot(task_id="t", task_status=TaskStatus.SUCCEEDED, task_result=TaskOutput(made))
    listed = [write_task(attrs.evolve(task, task_id=f"t-{number}")) for number in range(tasks)]
    return json.dumps({"code": 0, "data": listed}).encode()


class TestSize:
    async def test_refusing_a_large_answer_copies_nothing(self) -> None:
        """
        A too large answer is dropped without a copy; it is sent compressed, as a few KiB, so that the server needs no
        memory.
        """
        packed = http_response(gzip.compress(bytes(module.MAX_ANSWER + 2**19)), Content_Encoding="gzip")
        async with scripted_server(lambda _: packed) as server, transport_to(server.url) as transport:
            tracemalloc.start()
            try:
                with pytest.raises(UnexpectedAnswer, match="ask for smaller pages, or check base_url"):
                    await transport.send("GET", PATH)
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

        assert module.MAX_ANSWER < peak < 1.9 * module.MAX_ANSWER

    async def test_largest_page_is_read(self) -> None:
        """
        Of 500 tasks with nine pictures each, with watermarks and long signatures.
        """
        body = page(500, 9)
        async with scripted_server(lambda _: http_response(body)) as server, transport_to(server.url) as transport:
            tasks = await transport.read(PATH, read_page)

        assert 2**21 < len(body) < module.MAX_ANSWER
        assert [9] * 500 == [len(task.task_result.images) for task in tasks]

    @pytest.mark.parametrize("share", [16, pytest.param(1, marks=pytest.mark.thorough)])
    @pytest.mark.parametrize("is_fast", [True, False], ids=["orjson", "json"])
    @pytest.mark.parametrize("unit", [b"[]", b"{}", b'{"a":1}', b'"\\ud800",[]'])
    def test_largest_answer_costs_a_bounded_memory(
        self, monkeypatch: pytest.MonkeyPatch, unit: bytes, share: int, *, is_fast: bool
    ) -> None:
        """
        Whatever it holds: the smallest values cost the most. A part of the largest answer costs that part of it.
        """
        if not is_fast:
            monkeypatch.setattr(json_text, "orjson", None)
        head, tail = b'{"code":0,"data":[0', b"]}"
        many = (module.MAX_ANSWER // share - len(head) - len(tail)) // (len(unit) + 1)
        answer = Answer(200, {}, head + (b"," + unit) * many + tail)

        tracemalloc.start()
        try:
            assert [] == read_page(answer)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

        assert peak < 200e6 / share


class TestDepth:
    @pytest.mark.parametrize("is_fast", [True, False], ids=["orjson", "json"])
    @pytest.mark.parametrize("read", READERS.values(), ids=READERS)
    @pytest.mark.parametrize(
        "body",
        [
            b"[" * 200_000,
            b'{"a":' * 200_000,
            b"[" * 200_000 + b"]" * 200_000,
            b'{"code":0,"data":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
            b'{"code":0,"data":' + b'{"data":' * 100_000 + b"1" + b"}" * 100_001,
            b'{"code":0,"data":"' + b"[" * 200_000 + b'"}',
        ],
        ids=["lists", "objects", "closed", "in data", "objects in data", "in text"],
    )
    def test_deep_answers_are_unexpected(
        self, monkeypatch: pytest.MonkeyPatch, read: Callable[[Answer], Any], body: bytes, *, is_fast: bool
    ) -> None:
        """
        Whoever reads them, and with whichever library.
        """
        if not is_fast:
            monkeypatch.setattr(json_text, "orjson", None)

        with pytest.raises(UnexpectedAnswer):
            read(Answer(200, {}, body))

    @pytest.mark.parametrize("is_fast", [True, False], ids=["orjson", "json"])
    def test_half_a_character_in_what_is_deep(self, monkeypatch: pytest.MonkeyPatch, *, is_fast: bool) -> None:
        """
        It is decoded twice, and written in between.
        """
        if not is_fast:
            monkeypatch.setattr(json_text, "orjson", None)
        body = b'{"code":0,"message":"\\ud800","data":' + b"[" * 200_000 + b"]" * 200_000 + b"}"

        with pytest.raises(UnexpectedAnswer):
            read_created(Answer(200, {}, body))


class TestOffTheLoop:
    @pytest.mark.parametrize(
        ("size", "is_at_once"), [(module.DECODE_INLINE_MAX, True), (module.DECODE_INLINE_MAX + 1, False)]
    )
    async def test_large_ones_are_judged_in_a_thread(self, size: int, *, is_at_once: bool) -> None:
        """
        Small ones on the loop: a thread costs more than they do.
        """
        judging: list[int] = []

        def judge(answer: Answer) -> int:
            judging.append(threading.get_ident())
            return len(answer.body)

        async with (
            scripted_server(lambda _: http_response(bytes(size))) as server,
            transport_to(server.url) as transport,
        ):
            assert size == await transport.read(PATH, judge)

        assert is_at_once == (judging == [threading.get_ident()])

    async def test_errors_come_back(self) -> None:
        """
        As they were raised there.
        """
        with pytest.raises(UnexpectedAnswer, match="not JSON"):
            await decode(Answer(200, {}, b"[" * 2**19), read_page)

    async def test_cancelled_at_once(self) -> None:
        """
        Though the thread goes on for a while; the transport goes on as well.
        """
        began, go_on = threading.Event(), threading.Event()

        def judge(_: Answer) -> None:
            began.set()
            go_on.wait()

        async with (
            scripted_server(lambda _: http_response(bytes(2**19))) as server,
            transport_to(server.url) as transport,
        ):
            reading = asyncio.create_task(transport.read(PATH, judge))
            try:
                await asyncio.to_thread(began.wait)
                reading.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await reading
            finally:
                go_on.set()
            assert 2**19 == len((await transport.send("GET", PATH)).body)

    async def test_answer_to_a_create_is_judged_in_a_thread(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        A create is accepted all the same, however much the service has to say.
        """
        task = {"task_id": "t-1", "task_status": "submitted", "more": "x" * module.DECODE_INLINE_MAX}
        threads: list[int] = []
        read = read_created

        def note(answer: Answer) -> TaskSnapshot:
            threads.append(threading.get_ident())
            return read(answer)

        monkeypatch.setattr(module, "read_created", note)
        async with (
            scripted_server(lambda _: http_response({"code": 0, "data": task})) as server,
            transport_to(server.url) as transport,
        ):
            accepted = await submit(transport, delivery())

        assert "t-1" == accepted.task_id
        assert [threading.get_ident()] != threads

    async def test_on_the_loop_where_there_are_no_threads(self) -> None:
        """
        Where the system gives no more, it takes longer.
        """
        executor = concurrent.futures.ThreadPoolExecutor()
        executor.shutdown()
        asyncio.get_running_loop().set_default_executor(executor)

        async with (
            scripted_server(lambda _: http_response(bytes(2**19))) as server,
            transport_to(server.url) as transport,
        ):
            assert 2**19 == await transport.read(PATH, lambda answer: len(answer.body))

    @pytest.mark.parametrize("mode", ["several", "page"])
    async def test_looks_read_nothing_that_the_loop_changes(self, mode: str) -> None:
        """
        What is watched may change while a page is decoded, so it is copied before.
        """
        watched = Watched()
        body = page(300, 9)
        async with scripted_server(lambda _: http_response(body)) as server, transport_to(server.url) as transport:
            queries = HttpStatusQueries(transport, 60.0, OFFICIAL)
            if mode == "several":
                seen = await queries.several(IMAGE_GENERATION, watched)
            else:
                seen, _ = await queries.page(IMAGE_GENERATION, 1, 500, watched)

        assert {"t-1", "t-200"} == seen.keys()
        assert {threading.get_ident()} == watched.threads


class Watched(Mapping[str, TaskSnapshot | None]):
    """
    What is known of two tasks, and who asked for it.
    """

    def __init__(self) -> None:
        self.threads: set[int] = set()

    def __getitem__(self, task_id: str) -> TaskSnapshot | None:
        self.threads.add(threading.get_ident())
        return {"t-1": None, "t-200": None}[task_id]

    def __iter__(self) -> Iterator[str]:
        self.threads.add(threading.get_ident())
        return iter(("t-1", "t-200"))

    def __len__(self) -> int:
        return 2
