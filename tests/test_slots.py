"""
Slots under any order of taking, giving back and cancelling.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given, strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from kling_async import errors
from kling_async.slots import Hold, Slots, Usage
from tests.conftest import SimulatedLoop, simulated


def test_usual_slots_are_nine() -> None:
    """
    Without a limit there are nine slots, and the repr says that they were not set.
    """
    slots = Slots()
    slots.check(9)

    assert slots.has_room("kling-v1", 9)
    assert Usage(9, 0, 0) == slots["kling-v1"]
    assert "Slots(found; kling-v1: 0/9 +0)" == repr(slots)


def test_unused_slots_say_so() -> None:
    """
    A model shows up once somebody has asked for its slots.
    """
    slots = Slots(3)

    assert 0 == len(slots)
    assert [] == list(slots)
    assert "Slots(3; unused)" == repr(slots)


@pytest.mark.parametrize("limit", [0, -1, True, 2.5, float("nan"), "9"])
def test_limit_is_a_whole_number(limit: Any) -> None:
    """
    A limit that could never be kept is refused at once.
    """
    with pytest.raises(ValueError, match="must be a whole number of at least 1"):
        Slots(limit)


def test_more_than_the_limit_is_refused() -> None:
    """
    What could never be had is an InvalidRequest that names the field.
    """
    with pytest.raises(errors.InvalidRequest, match="takes 4 slots, and there are 3") as caught:
        Slots(3).check(4)

    assert ["n"] == [broken.field for broken in caught.value.broken]


def test_slots_can_be_told_apart() -> None:
    """
    A mapping by its methods, Slots are compared by identity and can be kept in sets.
    """
    first, second = Slots(3), Slots(3)

    assert first != second
    assert {first, second} == {second, first}


def test_another_loop_is_refused() -> None:
    """
    Slots that were used in one loop refuse to be used in another.
    """
    slots = Slots(2)
    asyncio.run(take_and_release(slots))

    with pytest.raises(RuntimeError, match="another event loop"):
        asyncio.run(take_and_release(slots))


async def take_and_release(slots: Slots) -> None:
    (await slots.take("m", 1)).release()


@simulated
async def test_models_have_slots_of_their_own() -> None:
    """
    A full model keeps nobody from another.
    """
    slots = Slots(1)
    await slots.take("a", 1)
    await slots.take("b", 1)

    assert [Usage(1, 1, 0), Usage(1, 1, 0)] == list(slots.values())


@simulated
async def test_released_twice_counts_once() -> None:
    """
    A second release gives nothing back.
    """
    slots = Slots(3)
    first, second = await slots.take("m", 1), await slots.take("m", 2)
    assert first.has_company()

    first.release()
    first.release()

    assert first.is_released
    assert not first.has_company()
    assert not second.has_company()
    assert Usage(3, 2, 0) == slots["m"]


@simulated
async def test_large_request_is_not_overtaken() -> None:
    """
    A small request behind a large one waits, though there is room for it.
    """
    slots = Slots(3)
    held = [await slots.take("m", 1) for _ in range(2)]
    large = asyncio.ensure_future(slots.take("m", 3))
    await asyncio.sleep(0)
    small = asyncio.ensure_future(slots.take("m", 1))
    await asyncio.sleep(0)

    assert not slots.has_room("m", 1)
    assert Usage(3, 2, 2) == slots["m"]

    for hold in held:
        hold.release()
    (await large).release()
    (await small).release()

    assert Usage(3, 0, 0) == slots["m"]


@simulated
async def test_cancelled_waiter_lets_the_next_go_on() -> None:
    """
    The small request goes on once the large one in front of it is cancelled, with no slot released.
    """
    slots = Slots(3)
    await slots.take("m", 2)
    large = asyncio.ensure_future(slots.take("m", 2))
    await asyncio.sleep(0)
    small = asyncio.ensure_future(slots.take("m", 1))
    await asyncio.sleep(0)

    large.cancel()
    await small

    assert large.cancelled()
    assert Usage(3, 3, 0) == slots["m"]


@simulated
async def test_slots_that_come_while_cancelling_go_to_the_next() -> None:
    """
    A release and a cancelling in one step of the loop leak no slot.
    """
    slots = Slots(1)
    hold = await slots.take("m", 1)
    first = asyncio.ensure_future(slots.take("m", 1))
    second = asyncio.ensure_future(slots.take("m", 1))
    await asyncio.sleep(0)

    hold.release()
    first.cancel()
    await second

    assert first.cancelled()
    assert Usage(1, 1, 0) == slots["m"]


@simulated
async def test_release_passes_over_one_that_was_cancelled_in_the_same_step() -> None:
    """
    A waiter that was cancelled and has yet to notice is given nothing.
    """
    slots = Slots(1)
    hold = await slots.take("m", 1)
    first = asyncio.ensure_future(slots.take("m", 1))
    second = asyncio.ensure_future(slots.take("m", 1))
    await asyncio.sleep(0)

    first.cancel()
    hold.release()

    assert Usage(1, 1, 0) == slots["m"]
    await second
    assert first.cancelled()


@simulated
async def test_dismissed_waiters_get_their_error() -> None:
    """
    `dismiss` ends the waiting of one owner, for all models, and lets others go on.
    """
    slots = Slots(2)
    mine, other = object(), object()
    await slots.take("m", 1)
    await slots.take("o", 2)
    dismissed = [asyncio.ensure_future(slots.take(model, 2, owner=mine)) for model in "mo"]
    await asyncio.sleep(0)
    stays = asyncio.ensure_future(slots.take("m", 1, owner=other))
    await asyncio.sleep(0)

    slots.dismiss(mine, lambda: errors.ClientClosed("closed"))
    await stays

    assert ["closed"] * 2 == [str(error) for error in await asyncio.gather(*dismissed, return_exceptions=True)]
    assert Usage(2, 2, 0) == slots["m"]
    assert Usage(2, 2, 0) == slots["o"]


@simulated
async def test_dismissed_and_cancelled_in_one_step() -> None:
    """
    A dismissed waiter that is cancelled as well leaves neither a slot nor an error that nobody retrieves.
    """
    slots = Slots(1)
    hold = await slots.take("m", 1)
    waiters = [asyncio.ensure_future(slots.take("m", 1, owner=slots)) for _ in range(2)]
    await asyncio.sleep(0)

    waiters[0].cancel()
    slots.dismiss(slots, lambda: errors.ClientClosed("closed"))
    waiters[1].cancel()
    await asyncio.gather(*waiters, return_exceptions=True)
    hold.release()

    assert [True, True] == [waiter.cancelled() for waiter in waiters]
    assert Usage(1, 0, 0) == slots["m"]


def test_waiting_that_is_dropped_leaks_nothing() -> None:
    """
    A coroutine closed from outside, as at the end of a loop, leaves the queue.
    """
    slots = Slots(1)

    async def story() -> None:
        await slots.take("m", 1)
        waiting = slots.take("m", 1)
        waiting.send(None)
        assert Usage(1, 1, 1) == slots["m"]

        waiting.close()

        assert Usage(1, 1, 0) == slots["m"]

    asyncio.run(story())


@given(
    limit=st.integers(1, 5),
    sizes=st.lists(st.integers(1, 5), max_size=20),
    steps=st.lists(st.tuples(st.sampled_from(["release", "cancel", "turn"]), st.integers(0, 19)), max_size=60),
)
def test_everyone_gets_slots_in_turn(limit: int, sizes: list[int], steps: list[tuple[str, int]]) -> None:
    """
    Whatever is released or cancelled and when: never above the limit, first come first served, and nobody starves.
    """
    slots = Slots(limit)
    served: list[int] = []
    holds: dict[int, Hold] = {}

    async def customer(number: int, n: int) -> None:
        hold = await slots.take("m", n)
        served.append(number)
        holds[number] = hold

    async def story() -> None:
        fitting = [n for n in sizes if n <= limit]
        customers = [asyncio.ensure_future(customer(number, n)) for number, n in enumerate(fitting)]
        for deed, number in steps:
            if deed == "turn":
                await asyncio.sleep(0)
            elif deed == "cancel" and number < len(customers):
                customers[number].cancel()
            elif number in holds:
                holds[number].release()
            assert 0 <= slots_used(slots) <= limit
        await asyncio.sleep(0)
        while set(holds) != {number for number, one in enumerate(customers) if not one.cancelled()}:
            for hold in tuple(holds.values()):
                hold.release()
            await asyncio.sleep(0)
            assert 0 <= slots_used(slots) <= limit
        for hold in holds.values():
            hold.release()
        await asyncio.gather(*customers, return_exceptions=True)

    run(story())

    assert sorted(served) == served
    assert not slots_used(slots)
    assert all(usage.waiting == 0 for usage in slots.values())


def slots_used(slots: Slots) -> int:
    return slots["m"].used if "m" in slots else 0


def run(story: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        runner.run(story)


class SlotsMachine(RuleBasedStateMachine):
    """
    Takes, releases, cancels and dismisses in any order and any number per step of the loop, and checks the sums.
    """

    waits = Bundle("waits")
    owners = st.integers(0, 1)

    @initialize(limit=st.integers(1, 4))
    def start(self, limit: int) -> None:
        self.loop = SimulatedLoop()
        self.slots = Slots(limit)
        self.takes: dict[asyncio.Task[Hold], int] = {}

    @rule(target=waits, n=st.integers(1, 4), owner=owners)
    def take(self, n: int, owner: int) -> asyncio.Task[Hold]:
        n = min(n, self.slots.limit or n)
        aio_task = self.loop.create_task(self.slots.take("m", n, owner=owner))
        self.takes[aio_task] = n
        return aio_task

    @rule(wait=consumes(waits))
    def release(self, wait: asyncio.Task[Hold]) -> None:
        if wait.done() and not wait.cancelled() and wait.exception() is None:
            wait.result().release()

    @rule(wait=consumes(waits))
    def cancel(self, wait: asyncio.Task[Hold]) -> None:
        wait.cancel()

    @rule(owner=owners)
    def dismiss(self, owner: int) -> None:
        self.slots.dismiss(owner, lambda: errors.ClientClosed("closed"))

    @rule()
    def turn(self) -> None:
        self.loop.run_until_complete(asyncio.sleep(0))

    @invariant()
    def never_above_the_limit(self) -> None:
        assert self.slots.limit is None or 0 <= slots_used(self.slots) <= self.slots.limit

    def teardown(self) -> None:
        for _ in range(3 * len(self.takes) + 3):
            self.loop.run_until_complete(asyncio.sleep(0))
            for aio_task in self.takes:
                if aio_task.done() and not aio_task.cancelled() and aio_task.exception() is None:
                    aio_task.result().release()

        assert all(aio_task.done() for aio_task in self.takes)
        assert not slots_used(self.slots)
        self.loop.close()


TestSlotsMachine = SlotsMachine.TestCase
