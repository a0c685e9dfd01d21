"""
What callbacks save and what their loss costs, in simulated time: reads as the service counts them, lags to the moment.
"""

import asyncio
import math
import statistics
from collections.abc import Collection
from typing import Any, Final

import attrs
import pytest

from kling_async import GATEWAY, OFFICIAL, Dialect, KlingClient
from kling_async.emulator import Fault, faults
from kling_async.emulator.webhook_queue import Webhook
from tests.fakes.simulated_loop import epoch_now, now, simulate
from tests.fakes.socketless_service import TRAVEL, SocketlessService

LONGEST: Final = 24.0
"""
Seconds that a task takes at most; the shortest takes 16.
"""

DIALECTS: Final = pytest.mark.parametrize("dialect", [OFFICIAL, GATEWAY], ids=lambda dialect: dialect.name)

SEEDS: Final = (1, *(pytest.param(seed, marks=pytest.mark.thorough) for seed in (2, 3)))


@attrs.frozen
class Cost:
    """
    Reads in all, and the seconds from each task's end until its waiter knew, in the order of submits.
    """

    reads: int
    lags: tuple[float, ...]

    @property
    def mean(self) -> float:
        return statistics.mean(self.lags)


class PartlyHeard(SocketlessService):
    """
    A service of whose callbacks those with certain words never arrive, and from some moment on none; or then the
    receiver's wall clock jumps by so many seconds.
    """

    def __init__(
        self,
        *rules: Fault,
        unheard: Collection[str] = (),
        heard_until: float = math.inf,
        jump: float | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(*rules, **settings)
        self.unheard = unheard
        self.heard_until = heard_until
        self.jump = jump

    def hand_over(self, post: Webhook) -> None:
        is_over = now() >= self.heard_until
        if is_over and self.jump is not None and self.receiver is not None:
            self.receiver._authenticator.clock = lambda: epoch_now() + (self.jump or 0.0)
        if post.word not in self.unheard and (self.jump is not None or not is_over):
            super().hand_over(post)


async def run(client: KlingClient, service: SocketlessService, count: int) -> Cost:
    async def lag(number: int) -> float:
        await asyncio.sleep(0.003 * number)  # so that nothing falls on one moment
        handle = await client.submit("a lighthouse")
        await handle.wait(None)
        return now() - service.end_of(handle.task_id)

    reads = service.reads
    lags = await asyncio.gather(*(lag(number) for number in range(count)))
    return Cost(service.reads - reads, tuple(lags))


def cost_of(
    service: SocketlessService, *, count: int = 100, slots: int = 100, is_listening: bool = True, waves: int = 1
) -> list[Cost]:
    """
    Run so many waves of *count* tasks, *slots* of them at a time, and return what each wave cost.
    """

    async def story() -> list[Cost]:
        if is_listening:
            service.listening()
        async with service.client(slots=slots) as client:
            costs = [await run(client, service, count) for _ in range(waves)]
            assert 0 == len(client.core._poller)
            return costs

    return simulate(story())


@DIALECTS
@pytest.mark.parametrize("seed", SEEDS)
def test_hundred_signed_tasks_cost_hardly_a_read(seed: int, dialect: Dialect) -> None:
    """
    Each end is known the moment that its callback arrives.
    """
    [cost] = cost_of(SocketlessService(seed=seed, dialect=dialect))

    assert cost.reads <= 10
    assert max(cost.lags) == pytest.approx(TRAVEL)


@DIALECTS
@pytest.mark.parametrize("seed", SEEDS)
def test_hundred_unsigned_tasks_cost_a_read_each(seed: int, dialect: Dialect) -> None:
    """
    One confirming read for each, on top of those that signed ones cost, with no wait but for its answer.
    """
    [cost] = cost_of(SocketlessService(seed=seed, dialect=dialect, callback_secret=None))

    assert cost.reads <= 10 + 100
    assert cost.mean == pytest.approx(3 * TRAVEL, abs=0.01)


@DIALECTS
def test_ends_alone_are_enough(dialect: Dialect) -> None:
    """
    Where a service tells of nothing else, the first tasks are watched and all others are left alone.
    """
    _, cost = cost_of(PartlyHeard(unheard=["submitted", "processing"], dialect=dialect), count=50, waves=2)

    assert 0 == cost.reads
    assert max(cost.lags) == pytest.approx(TRAVEL)


@DIALECTS
def test_callback_lost_now_and_then_costs_that_task_a_little_time(dialect: Dialect) -> None:
    """
    Its task is looked at when the callback is overdue; the others cost nothing.
    """
    service = SocketlessService(faults.callback_lost(rate=0.1), dialect=dialect)
    [cost] = cost_of(service, count=200, slots=20)
    lost = 200 - service.ledger.callbacks["succeed"]
    late = [lag for lag in cost.lags if lag > 1.5 * TRAVEL]

    assert 10 < lost < 30
    assert len(late) == lost
    assert max(late) < LONGEST
    assert cost.reads < 4 * lost


@DIALECTS
def test_ends_that_are_never_told_cost_time_once(dialect: Dialect) -> None:
    """
    Once an end was missing, tasks are watched as without callbacks, though other callbacks come.
    """
    deaf, without = (
        cost_of(PartlyHeard(unheard=["succeed"], dialect=dialect), count=9, slots=9, waves=6, is_listening=is_listening)
        for is_listening in (True, False)
    )

    assert max(deaf[0].lags) < LONGEST
    assert statistics.mean(cost.mean for cost in deaf[1:]) < 1.2 * statistics.mean(cost.mean for cost in without[1:])


@DIALECTS
def test_address_that_cannot_be_reached_costs_nothing(dialect: Dialect) -> None:
    """
    Tasks are watched as without callbacks.
    """
    deaf, without = (
        cost_of(PartlyHeard(heard_until=0.0, dialect=dialect), count=50, is_listening=is_listening)
        for is_listening in (True, False)
    )

    assert deaf[0].reads == pytest.approx(without[0].reads, rel=0.1)
    assert deaf[0].mean == pytest.approx(without[0].mean, rel=0.1)


@DIALECTS
@pytest.mark.parametrize("jump", [None, 3600.0, -3600.0], ids=["unreachable", "an hour ahead", "an hour behind"])
def test_callbacks_that_stop_cost_time_once(dialect: Dialect, jump: float | None) -> None:
    """
    When the address cannot be reached any longer, or signatures seem to be of another hour, tasks that are under way
    are looked at when their callbacks are overdue, and later ones as ever.
    """
    service = PartlyHeard(heard_until=24.5, jump=jump, dialect=dialect)
    _, cut_off, later = cost_of(service, count=40, waves=3)

    assert (jump is not None) == (401 in service.ledger.callback_answers)
    assert TRAVEL < max(cut_off.lags) < LONGEST
    assert later.mean < 0.75
    assert later.reads
