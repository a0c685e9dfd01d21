"""
Tasks of two endpoints in one client: each endpoint is polled at its own path and in its own batches.
"""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs
import pytest

from kling_async.client.handle import TaskHandle
from kling_async.client.limits.limiter import Slots
from kling_async.client.polling.poller import Poller
from kling_async.client.polling.queries import HttpStatusQueries
from kling_async.client.polling.strategy import QueryStrategy, strategy_for
from kling_async.errors import RateLimited, UnexpectedAnswer
from kling_async.policy.policies import PollPolicy
from kling_async.wire.dialects import OFFICIAL, Dialect
from kling_async.wire.endpoints.base import Endpoint
from kling_async.wire.endpoints.image_generation import IMAGE_GENERATION, ImageRequest
from kling_async.wire.endpoints.registry import endpoint_of, registered
from kling_async.wire.tasks import Image, TaskOutput, TaskSnapshot, TaskStatus, Video
from tests.fakes.simulated_loop import simulated

Known = Mapping[str, TaskSnapshot | None]

SUBMITTED: Final = TaskSnapshot(task_id="", task_status=TaskStatus.SUBMITTED, status_word="submitted")
OUTPUTS: Final = {
    "image-generation": TaskOutput(images=(Image(0, "https://files.example/0.png"),)),
    "clips": TaskOutput(videos=(Video(0, "https://files.example/0.mp4"),)),
}


@attrs.frozen
class ClipRequest:
    prompt: str
    seconds: int = 5
    model_name: str | None = None
    callback_url: str | None = None
    external_task_id: str | None = None


def clip_bucket(request: ClipRequest, _: Dialect) -> str:
    return f"clips of {request.seconds} s"


CLIPS: Final = Endpoint(
    name="clips",
    title="clips",
    path="/v1/clips",
    request_class=ClipRequest,
    results=("videos",),
    rules=lambda *_: (),
    bucket=clip_bucket,
    slots=lambda request: request.seconds // 5,
    duration_key=lambda request: request.seconds,
    several_ids=False,
    lists=False,
)


@pytest.fixture(autouse=True)
def _clips() -> Iterator[None]:
    with registered(CLIPS):
        yield


class FakeQueries:
    """
    Tasks that succeed 20 s after the start; records each query.
    """

    def __init__(self) -> None:
        self.made: list[tuple[str, str, tuple[str, ...]]] = []
        self.refused: set[tuple[str, str]] = set()

    async def one(self, endpoint: Endpoint[Any], task_id: str) -> TaskSnapshot:
        return self._answer(endpoint, "one", (task_id,))[task_id]

    async def several(self, endpoint: Endpoint[Any], known: Known) -> dict[str, TaskSnapshot]:
        return self._answer(endpoint, "several", tuple(known))

    async def page(
        self, endpoint: Endpoint[Any], number: int, size: int, known: Known
    ) -> tuple[dict[str, TaskSnapshot], bool]:
        return self._answer(endpoint, "page", tuple(known)), True

    def _answer(self, endpoint: Endpoint[Any], mode: str, task_ids: tuple[str, ...]) -> dict[str, TaskSnapshot]:
        self.made.append((endpoint.name, mode, task_ids))
        if (endpoint.name, mode) in self.refused:
            raise UnexpectedAnswer("no such path", http_status=404, is_confirmed=True)
        seen = SUBMITTED
        if asyncio.get_running_loop().time() >= 20.0:
            output = OUTPUTS[endpoint.name]
            seen = attrs.evolve(seen, task_status=TaskStatus.SUCCEEDED, status_word="succeed", task_result=output)
        return {task_id: attrs.evolve(seen, task_id=task_id) for task_id in task_ids}

    def modes(self, endpoint: Endpoint[Any]) -> set[str]:
        """
        Return the modes in which the tasks of *endpoint* were queried.
        """
        return {mode for name, mode, _ in self.made if name == endpoint.name}


def start(poller: Poller, request: Any, task_id: str) -> "asyncio.Future[Any]":
    """
    Watch a task of *request* as after its submit.
    """
    handle = TaskHandle(task_id, request, poller.watch, endpoint=endpoint_of(type(request)))
    handle.apply(attrs.evolve(SUBMITTED, task_id=task_id))
    return asyncio.ensure_future(handle.wait())


def start_many(poller: Poller, count: int = 15) -> list["asyncio.Future[Any]"]:
    images = [start(poller, ImageRequest("a lighthouse"), f"image-{number}") for number in range(count)]
    clips = [start(poller, ClipRequest("a harbour"), f"clip-{number}") for number in range(count)]
    return images + clips


@simulated
async def test_each_endpoint_is_polled_by_what_it_offers() -> None:
    """
    At one service, images can be queried together and clips cannot; no query mixes their tasks.
    """
    queries = FakeQueries()
    poller = Poller(PollPolicy(), queries, lambda endpoint: strategy_for(OFFICIAL, endpoint))
    await asyncio.gather(*start_many(poller))
    await poller.aclose()

    assert {"one"} == queries.modes(CLIPS)
    assert {"page", "several"} & queries.modes(IMAGE_GENERATION)
    kinds = {(name, task_id.partition("-")[0]) for name, _, task_ids in queries.made for task_id in task_ids}
    assert {("image-generation", "image"), ("clips", "clip")} == kinds


@simulated
async def test_one_plan_of_pages_shows_all_that_are_due() -> None:
    """
    Polls that run beside it would read the same pages again.
    """
    queries = FakeQueries()
    page = queries.page

    async def slow(
        endpoint: Endpoint[Any], number: int, size: int, known: Known
    ) -> tuple[dict[str, TaskSnapshot], bool]:
        answer = await page(endpoint, number, size, known)
        await asyncio.sleep(1.0)
        return answer

    queries.page = slow  # type: ignore[method-assign]
    poller = Poller(PollPolicy(width=4), queries, lambda _: QueryStrategy(20, has_pages=True))
    handles = [TaskHandle(f"{number}", None, poller.watch, endpoint=IMAGE_GENERATION) for number in range(3000)]
    waits = [asyncio.ensure_future(handle.wait()) for handle in handles]  # of unknown age, so all are due
    await asyncio.sleep(0.9)

    assert ["page"] == [mode for _, mode, _ in queries.made]
    await asyncio.gather(*waits)
    await poller.aclose()


@simulated
async def test_tasks_that_pages_do_not_show_are_polled_beside_each_other() -> None:
    """
    If pages are refused, the ids of all tasks are asked for in many requests: none waits for all others.
    """
    queries = FakeQueries()
    queries.refused = {("image-generation", "page")}
    several, begun = queries.several, 0

    async def slow(endpoint: Endpoint[Any], known: Known) -> dict[str, TaskSnapshot]:
        nonlocal begun
        begun += 1
        await asyncio.sleep(1.0)
        return await several(endpoint, known)

    queries.several = slow  # type: ignore[method-assign]
    poller = Poller(PollPolicy(width=4), queries, lambda _: QueryStrategy(20, has_pages=True))
    handles = [TaskHandle(f"{number}", None, poller.watch, endpoint=IMAGE_GENERATION) for number in range(400)]
    waits = [asyncio.ensure_future(handle.wait()) for handle in handles]
    await asyncio.sleep(0.9)

    assert 4 == begun
    await asyncio.gather(*waits)
    await poller.aclose()


@simulated
async def test_service_that_takes_few_requests_shows_all_pages() -> None:
    """
    The pages of one plan keep to the rate as other polls do, once some were refused; otherwise it would always refuse
    the same page.
    """
    queries, tokens, filled_at = FakeQueries(), 3.0, 0.0
    newest_first = tuple(f"{number}" for number in reversed(range(5000)))

    async def page(
        endpoint: Endpoint[Any], number: int, size: int, known: Known
    ) -> tuple[dict[str, TaskSnapshot], bool]:
        nonlocal tokens, filled_at
        now = asyncio.get_running_loop().time()
        tokens, filled_at = min(3.0, tokens + 3.0 * (now - filled_at)), now
        if tokens < 1.0:
            raise RateLimited("too many requests", http_status=429)
        tokens -= 1.0
        shown = newest_first[(number - 1) * size : number * size]
        return queries._answer(endpoint, "page", shown), len(shown) < size

    queries.page = page  # type: ignore[method-assign]
    poller = Poller(PollPolicy(), queries, lambda _: QueryStrategy(20, has_pages=True))
    handles = [TaskHandle(task_id, None, poller.watch, endpoint=IMAGE_GENERATION) for task_id in newest_first[::-1]]
    waits = [asyncio.ensure_future(handle.wait(None)) for handle in handles]
    await asyncio.wait(waits, timeout=300.0)
    await poller.aclose()

    assert all(handle.done for handle in handles)
    await asyncio.gather(*waits)


@simulated
async def test_what_one_endpoint_refuses_another_may_offer() -> None:
    """
    A mode that is refused for images stays in use for clips.
    """
    queries = FakeQueries()
    queries.refused = {("image-generation", "several")}
    poller = Poller(PollPolicy(), queries, lambda _: QueryStrategy(20))
    await asyncio.gather(*start_many(poller))
    await poller.aclose()

    refused = [made for made in queries.made if made[:2] == ("image-generation", "several")]
    assert 1 == len(refused)
    assert "one" in queries.modes(IMAGE_GENERATION)
    assert {"several"} == queries.modes(CLIPS)


@simulated
async def test_neither_endpoint_waits_for_the_other() -> None:
    """
    With one poll at a time and every poll slow, tasks of both endpoints are polled in turn.
    """
    queries = FakeQueries()
    one = queries.one

    async def slow(endpoint: Endpoint[Any], task_id: str) -> TaskSnapshot:
        await asyncio.sleep(0.5)
        return await one(endpoint, task_id)

    queries.one = slow  # type: ignore[method-assign]
    poller = Poller(PollPolicy(width=1), queries, lambda _: QueryStrategy())
    waits = start_many(poller)
    await asyncio.sleep(15.0)
    names = [name for name, _, _ in queries.made]

    assert abs(names.count("clips") - names.count("image-generation")) <= 1
    await asyncio.gather(*waits)
    await poller.aclose()


@simulated
async def test_each_endpoint_is_polled_at_its_own_path() -> None:
    """
    Single tasks and pages are below the endpoint's path; several ids have one path for all endpoints.
    """
    paths: list[str] = []

    class FakeTransport:
        async def send(self, _: str, path: str, **__: object) -> Any:
            paths.append(path)
            raise UnexpectedAnswer("none")

    queries = HttpStatusQueries(FakeTransport(), 10.0, OFFICIAL)  # type: ignore[arg-type]
    for endpoint in (IMAGE_GENERATION, CLIPS):
        for query in (queries.one(endpoint, "t-1"), queries.page(endpoint, 2, 30, {})):
            with pytest.raises(UnexpectedAnswer):
                await query
    with pytest.raises(UnexpectedAnswer):
        await queries.several(CLIPS, {"t-1": None, "t-2": None})

    assert [
        "/v1/images/generations/t-1",
        "/v1/images/generations?pageNum=2&pageSize=30",
        "/v1/clips/t-1",
        "/v1/clips?pageNum=2&pageSize=30",
        "/tasks?task_ids=t-1,t-2",
    ] == paths


@simulated
async def test_slots_are_counted_by_the_endpoint_s_bucket() -> None:
    """
    A bucket that is full holds up no other, and the endpoint says how many slots a request takes.
    """
    slots = Slots(2)
    requests = [ClipRequest("a harbour"), ClipRequest("a harbour", seconds=10)]
    buckets = [CLIPS.bucket(request, OFFICIAL) for request in requests]
    for request, bucket in zip(requests, buckets, strict=True):
        await slots.acquire(bucket, CLIPS.slots(request))

    assert ["clips of 5 s", "clips of 10 s"] == list(slots)
    assert [1, 2] == [usage.used for usage in slots.values()]
    assert [True, False] == [slots.has_room(bucket, 1) for bucket in buckets]
