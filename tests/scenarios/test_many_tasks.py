"""
The work for each of thousands of waiting tasks is that for each of hundreds; counted, not timed.
"""

import asyncio
import sys
import tracemalloc
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any, Final

import attrs
import pytest

from kling_async.client.handle import TaskHandle
from kling_async.client.polling.poller import Poller
from kling_async.client.polling.schedule import PollSchedule
from kling_async.client.polling.strategy import QueryStrategy
from kling_async.policy.policies import PollPolicy
from kling_async.wire.endpoints.base import Endpoint
from kling_async.wire.endpoints.image_generation import ImageRequest
from kling_async.wire.tasks import Image, TaskOutput, TaskSnapshot, TaskStatus
from tests.fakes.simulated_loop import simulate

SUBMITTED: Final = TaskSnapshot(task_id="", task_status=TaskStatus.SUBMITTED, status_word="submitted")
DONE: Final = attrs.evolve(
    SUBMITTED,
    task_status=TaskStatus.SUCCEEDED,
    status_word="succeed",
    task_result=TaskOutput((Image(0, "https://pictures.example/0.png"),)),
)

STRATEGIES: Final[dict[str, Callable[[], QueryStrategy]]] = {
    "one by one": QueryStrategy,
    "by ids": lambda: QueryStrategy(20),
    "by both": lambda: QueryStrategy(20, has_pages=True),
}


@attrs.define(eq=False)
class Service:
    """
    Tasks that all end after 20 s, the newest first in its pages. *others* are tasks of other programs.
    """

    names: list[str] = attrs.field(factory=list)
    others: int = 0
    queried_by_ids: int = 0

    async def one(self, endpoint: Endpoint[Any], task_id: str) -> TaskSnapshot:
        return (await self.several(endpoint, {task_id: None}))[task_id]

    async def several(
        self, endpoint: Endpoint[Any], known: Mapping[str, TaskSnapshot | None]
    ) -> dict[str, TaskSnapshot]:
        self.queried_by_ids += len(known)
        return await self._tell(list(known))

    async def page(
        self, endpoint: Endpoint[Any], number: int, size: int, known: Mapping[str, TaskSnapshot | None]
    ) -> tuple[dict[str, TaskSnapshot], bool]:
        newest = [*[""] * self.others, *self.names[::-1]][size * (number - 1) : size * number]
        return await self._tell([name for name in newest if name in known]), len(newest) < size

    async def _tell(self, names: list[str]) -> dict[str, TaskSnapshot]:
        await asyncio.sleep(0.05)
        shown = DONE if asyncio.get_running_loop().time() >= 20.0 else SUBMITTED
        return {name: attrs.evolve(shown, task_id=name) for name in names}


async def wait_for_many(service: Service, poller: Poller, count: int, *, meanwhile: Callable[[], object]) -> None:
    """
    Wait for *count* tasks, each by a handle of its own, and do something in the middle.
    """
    waits = []
    for number in range(count):
        name = f"t-{number}"
        service.names.append(name)
        handle = TaskHandle(name, ImageRequest("a lighthouse"), poller.watch)
        handle.apply(attrs.evolve(SUBMITTED, task_id=name))
        waits.append(asyncio.ensure_future(handle.wait(None)))
    await asyncio.sleep(10.0)
    meanwhile()
    await asyncio.gather(*waits)
    await poller.aclose()


def calls_per_task(strategy: QueryStrategy, count: int) -> float:
    calls = 0

    def note(_: FrameType, event: str, __: object) -> None:
        nonlocal calls
        calls += event == "call"

    service = Service()
    story = wait_for_many(service, Poller(PollPolicy(), service, lambda _: strategy), count, meanwhile=lambda: None)
    sys.setprofile(note)
    try:
        simulate(story)
    finally:
        sys.setprofile(None)
    return calls / count


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
def test_work_for_each_does_not_grow(strategy: Callable[[], QueryStrategy]) -> None:
    """
    From 150 to 1,500 tasks, all of Python's calls from the first wait to the last.
    """
    assert calls_per_task(strategy(), 1_500) <= 1.1 * calls_per_task(strategy(), 150)


def bytes_per_task(count: int) -> float:
    traced = 0

    def note() -> None:
        nonlocal traced
        traced = tracemalloc.get_traced_memory()[0]

    service = Service()
    story = wait_for_many(service, Poller(PollPolicy(), service, lambda _: QueryStrategy(20)), count, meanwhile=note)
    tracemalloc.start()
    try:
        simulate(story)
    finally:
        tracemalloc.stop()
    return traced / count


def test_memory_for_each_does_not_grow() -> None:
    """
    From 150 to 1,500 tasks, while all of them wait.
    """
    assert bytes_per_task(1_500) <= 1.2 * bytes_per_task(150)


def test_no_more_tasks_are_due_than_are_queried(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where pages could tell of hundreds but do not reach these tasks, no more have their turn than are asked for by ids.
    """
    turns = 0
    due = PollSchedule.due

    def counted(self: PollSchedule, now: float, most: float) -> list[str]:
        nonlocal turns
        names = due(self, now, most)
        turns += len(names)
        return names

    monkeypatch.setattr(PollSchedule, "due", counted)
    service = Service(others=10_000)
    poller = Poller(PollPolicy(), service, lambda _: QueryStrategy(20, has_pages=True))

    def pass_by() -> None:
        [one] = poller._endpoints.values()
        one._count += service.others

    simulate(wait_for_many(service, poller, 500, meanwhile=pass_by))

    assert turns < 2 * service.queried_by_ids
