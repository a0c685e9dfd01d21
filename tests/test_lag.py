"""
What watching costs and how late it notices, in simulated time: requests as the service counts them, lags to the moment.
"""

import asyncio
import random
import statistics
from collections.abc import Callable, Mapping
from typing import Final

import attrs
import pytest

from kling_async.policy import PollPolicy
from kling_async.task import TaskHandle
from kling_async.watcher import Watcher
from kling_async.ways import Ways
from kling_async.wire.models import Image, ImageRequest, TaskOutput, TaskSnapshot, TaskStatus
from tests.conftest import simulate

ROUND_TRIP: Final = 0.05
"""
Seconds that a request takes.
"""


@attrs.define(eq=False)
class Service:
    """
    Tasks that take as long as they were told to, and a list of them.
    """

    newest_first: bool = True
    ends: dict[str, float] = attrs.field(factory=dict)
    reads: int = 0
    under_way: int = 0
    most_under_way: int = 0

    async def one(self, task_id: str) -> TaskSnapshot:
        await self._take()
        return self._shown(task_id)

    async def several(self, held: Mapping[str, TaskSnapshot | None]) -> dict[str, TaskSnapshot]:
        assert len(held) <= 20
        await self._take()
        return {task_id: self._shown(task_id) for task_id in held}

    async def page(
        self, number: int, size: int, held: Mapping[str, TaskSnapshot | None]
    ) -> tuple[dict[str, TaskSnapshot], bool]:
        assert size <= 500
        await self._take()
        newest = list(self.ends)[:: -1 if self.newest_first else 1][size * (number - 1) : size * number]
        return {task_id: self._shown(task_id) for task_id in newest if task_id in held}, len(newest) < size

    async def _take(self) -> None:
        self.reads += 1
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await asyncio.sleep(ROUND_TRIP)
        self.under_way -= 1

    def _shown(self, task_id: str) -> TaskSnapshot:
        if now() < self.ends[task_id]:
            return TaskSnapshot(task_id=task_id, task_status=TaskStatus.PROCESSING, status_word="processing")
        pictures = TaskOutput((Image(0, "https://pictures.example/0.png"),))
        return TaskSnapshot(
            task_id=task_id, task_status=TaskStatus.SUCCEEDED, status_word="succeed", task_result=pictures
        )


@attrs.frozen
class Cost:
    """
    Reads in all, and the seconds from each task's end until its waiter knew.
    """

    reads: int
    lags: tuple[float, ...]
    most_under_way: int

    @property
    def mean(self) -> float:
        return statistics.mean(self.lags)


def now() -> float:
    return asyncio.get_running_loop().time()


def cost_of(
    ways: Ways,
    *,
    count: int = 100,
    width: int = 100,
    seed: int = 1,
    least: float = 16.0,
    most: float = 24.0,
    newest_first: bool = True,
) -> Cost:
    """
    Run *count* tasks that take between *least* and *most* seconds, *width* of them at a time.
    """
    dice = random.Random(seed)
    service = Service(newest_first)
    slots = asyncio.Semaphore(width)

    async def task(watcher: Watcher, number: int) -> float:
        async with slots:
            await asyncio.sleep(0.01 * (number % width))  # they are submitted one after the other
            task_id = f"t-{number}"
            service.ends[task_id] = now() + dice.uniform(least, most)
            handle = TaskHandle(task_id, ImageRequest("a lighthouse"), watcher.watch)
            handle.see(TaskSnapshot(task_id=task_id, task_status=TaskStatus.SUBMITTED, status_word="submitted"))
            await handle.wait(None)
            return now() - service.ends[task_id]

    async def story() -> Cost:
        watcher = Watcher(PollPolicy(), service, ways)
        lags = await asyncio.gather(*(task(watcher, number) for number in range(count)))
        await watcher.aclose()
        return Cost(service.reads, tuple(lags), service.most_under_way)

    return simulate(story())


SEEDS: Final = (1, 2, 3)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "ways", [lambda: Ways(20), lambda: Ways(1, has_pages=True), lambda: Ways(20, has_pages=True)],
    ids=["by ids", "by pages", "by both"],
)  # fmt: skip
def test_hundred_tasks_cost_few_requests_and_little_time(ways: Callable[[], Ways], seed: int) -> None:
    """
    A hundred tasks of 16 to 24 s, never seen before: at most 60 reads, and on average half a second late.
    """
    cost = cost_of(ways(), seed=seed)

    assert cost.reads <= 60
    assert cost.mean < 0.5
    assert max(cost.lags) <= 2.0


@pytest.mark.parametrize("seed", SEEDS)
def test_one_by_one_costs_no_more_than_a_loop_per_task(seed: int) -> None:
    """
    Where tasks can only be asked for one by one, a loop per task with the same lag would ask more often.
    """
    cost = cost_of(Ways(), seed=seed)
    pause = 2 * cost.mean  # of such a loop: it is late by half of it
    asked_by_loops = len(cost.lags) * 20.0 / pause

    assert cost.reads < asked_by_loops
    assert cost.most_under_way <= 16


@pytest.mark.parametrize("ways", [Ways(20), Ways(20, has_pages=True), Ways()], ids=["by ids", "by both", "one by one"])
def test_nine_at_a_time(ways: Ways) -> None:
    """
    At the usual width, over many tasks, lags stay as small, and far fewer requests are made than by a loop per task.
    """
    cost = cost_of(ways, count=300, width=9)

    assert cost.mean < 0.5
    assert max(cost.lags) <= 2.0
    assert cost.reads < 300 * 20.0 / 1.0 / 2


def test_tasks_of_very_different_lengths_are_not_noticed_late() -> None:
    """
    Where the quickest took a tenth of the usual time, that is when the looks begin.
    """
    cost = cost_of(Ways(20), count=200, width=20, least=4.0, most=60.0)

    assert cost.mean < 1.5
    assert max(cost.lags) <= 7.0


def test_a_page_in_another_order_keeps_nobody_waiting() -> None:
    """
    The vendor does not promise the newest first.
    """
    cost = cost_of(Ways(20, has_pages=True), count=300, width=60, newest_first=False)

    assert cost.mean < 0.6
    assert max(cost.lags) <= 2.0
