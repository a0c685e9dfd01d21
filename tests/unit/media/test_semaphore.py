"""
The semaphore under any order of coming, leaving and cancelling, beside a simple model; and queues in which many leave.
"""

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import attrs
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from kling_async.client.handle import TaskHandle
from kling_async.client.limits import limiter
from kling_async.client.limits.bucket import SlotLease
from kling_async.client.limits.limiter import Slots
from kling_async.errors import InvalidRequest, NoFreeSlot
from kling_async.media.semaphore import Semaphore
from tests.fakes.simulated_loop import SimulatedLoop, simulated

MANY = 2_000


@pytest.mark.parametrize("width", [0, -1])
def test_width_is_at_least_one(width: int) -> None:
    with pytest.raises(InvalidRequest, match="must be a whole number of at least 1"):
        Semaphore(width)


@simulated
async def test_locked() -> None:
    semaphore = Semaphore(2)
    states = [semaphore.locked()]
    async with semaphore:
        states.append(semaphore.locked())
        async with semaphore:
            states.append(semaphore.locked())
    states.append(semaphore.locked())

    assert [False, False, True, False] == states


@simulated
async def test_an_error_inside_gives_the_place_back() -> None:
    semaphore = Semaphore(1)
    with pytest.raises(KeyError):
        async with semaphore:
            raise KeyError

    assert not semaphore.locked()


@simulated
async def test_nobody_overtakes_one_that_was_called() -> None:
    """
    It has the place from the moment in which it is given back, and not only when it wakes up.
    """
    semaphore = Semaphore(1)
    await semaphore.acquire()
    first = asyncio.ensure_future(semaphore.acquire())
    await asyncio.sleep(0)
    semaphore.release()

    assert semaphore.locked()
    await first


@simulated
async def test_a_place_that_comes_in_the_moment_of_cancelling_goes_on() -> None:
    semaphore = Semaphore(1)
    await semaphore.acquire()
    first, second = asyncio.ensure_future(semaphore.acquire()), asyncio.ensure_future(semaphore.acquire())
    await asyncio.sleep(0)
    semaphore.release()
    first.cancel()
    await second

    assert first.cancelled()
    semaphore.release()
    assert not semaphore.locked()


@simulated
async def test_a_waiter_that_is_closed_takes_nothing() -> None:
    """
    As where a program drops a coroutine: it does not give back what it never had.
    """
    semaphore = Semaphore(1)
    await semaphore.acquire()
    waiting = semaphore.acquire()
    waiting.send(None)
    waiting.close()

    assert semaphore.locked()
    semaphore.release()
    assert not semaphore.locked()


@attrs.define(eq=False)
class Visitor:
    """
    Comes to the semaphore, and stays inside until it is sent away or cancelled.
    """

    semaphore: Semaphore
    inside: "list[Visitor]"
    came: "list[Visitor]"
    leaving: asyncio.Event = attrs.field(factory=asyncio.Event)
    aio_task: "asyncio.Task[None] | None" = None
    is_wanted: bool = True  # has neither entered nor been cancelled
    has_overtaken: bool = False

    def come(self) -> None:
        self.aio_task = asyncio.ensure_future(self._visit())

    async def _visit(self) -> None:
        async with self.semaphore:
            self._enter()
            try:
                await self.leaving.wait()
            finally:
                self.inside.remove(self)

    def _enter(self) -> None:
        # Who came earlier and is outside has a place by now, and enters as soon as the loop gets to it.
        self.inside.append(self)
        self.is_wanted = False
        places_on_the_way = self.semaphore.width - self.semaphore._free - len(self.inside)
        earlier = self.came[: self.came.index(self)]
        self.has_overtaken = sum(visitor.is_wanted for visitor in earlier) > places_on_the_way

    def leave(self) -> None:
        self.leaving.set()

    def cancel(self) -> None:
        self.is_wanted = False
        if self.aio_task is not None:
            self.aio_task.cancel()


class GateMachine(RuleBasedStateMachine):
    """
    Any order, any number of events per turn of the loop: never more inside than allowed, none overtaken, and once all
    has settled as many are inside as the model says: the first of those that neither left nor were cancelled.
    """

    visitors = Bundle("visitors")

    @initialize(width=st.integers(1, 3))
    def start(self, width: int) -> None:
        self.complaints: list[dict[str, Any]] = []
        self.loop = SimulatedLoop()
        self.loop.set_exception_handler(lambda _, complaint: self.complaints.append(complaint))
        self.width, self.semaphore = width, Semaphore(width)
        self.inside: list[Visitor] = []
        self.came: list[Visitor] = []
        self.wanted: list[Visitor] = []  # the model: those who are inside or wait, in the order of coming

    @rule(target=visitors)
    def come(self) -> Visitor:
        visitor = Visitor(self.semaphore, self.inside, self.came)
        self.came.append(visitor)
        self.wanted.append(visitor)
        self.loop.call_soon(visitor.come)
        return visitor

    @rule(visitor=consumes(visitors))
    def leave(self, visitor: Visitor) -> None:
        self.wanted.remove(visitor)
        self.loop.call_soon(visitor.leave)

    @rule(visitor=consumes(visitors))
    def cancel(self, visitor: Visitor) -> None:
        self.wanted.remove(visitor)
        self.loop.call_soon(visitor.cancel)

    @rule(first=consumes(visitors), second=consumes(visitors))
    def leave_and_cancel(self, first: Visitor, second: Visitor) -> None:
        """
        A place comes, and the one that gets it is cancelled in the same turn.
        """
        if first is not second:
            self.leave(first)
            self.cancel(second)

    @rule()
    def turn(self) -> None:
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()

    @rule()
    def settle(self) -> None:
        for _ in range(3 * len(self.came) + 3):
            self.turn()
        assert self.wanted[: self.width] == sorted(self.inside, key=self.came.index)
        assert self.semaphore.locked() is (len(self.wanted) >= self.width)

    @invariant()
    def never_too_many(self) -> None:
        assert len(self.inside) <= self.width
        assert [] == self.complaints

    @invariant()
    def first_come_first_served(self) -> None:
        assert [] == [visitor for visitor in self.came if visitor.has_overtaken]

    def teardown(self) -> None:
        self.settle()
        for visitor in self.wanted:
            self.loop.call_soon(visitor.leave)
        self.wanted.clear()
        self.settle()

        assert all(visitor.aio_task is not None and visitor.aio_task.done() for visitor in self.came)
        assert self.width == self.semaphore._free
        assert not self.semaphore._waiting
        self.loop.close()


TestGateMachine = GateMachine.TestCase


# Cancelled in constant time, in any order


class Counting:
    """
    Counts comparisons: a search through a queue compares with each that it passes.
    """

    compared = 0

    def __eq__(self, other: object) -> bool:
        Counting.compared += 1
        return self is other

    def __hash__(self) -> int:
        return id(self)


class CountingFuture(Counting, asyncio.Future[Any]):
    pass


@contextmanager
def counting() -> Iterator[None]:
    loop: Any = asyncio.get_running_loop()
    loop.create_future = lambda: CountingFuture(loop=loop)
    Counting.compared = 0
    try:
        yield
    finally:
        del loop.create_future


Waits = Callable[[], "list[asyncio.Task[Any]]"]


async def cancel_last_first(begin: Waits) -> None:
    waits = begin()
    await asyncio.sleep(0)
    for wait in reversed(waits):
        wait.cancel()
        await asyncio.sleep(0)
    assert all(wait.cancelled() for wait in waits)


def at_a_semaphore() -> "list[asyncio.Task[Any]]":
    semaphore = Semaphore(1)
    return [asyncio.ensure_future(semaphore.acquire()) for _ in range(MANY + 1)][1:]


def at_a_handle() -> "list[asyncio.Task[Any]]":
    handle = TaskHandle("t-1", None, lambda _: None)
    return [asyncio.ensure_future(handle.wait(None)) for _ in range(MANY)]


def for_slots() -> "list[asyncio.Task[Any]]":
    slots = Slots(1)
    slots.acquire_running("m", 1)
    return [asyncio.ensure_future(slots.acquire("m", 1)) for _ in range(MANY)]


@pytest.mark.parametrize("begin", [at_a_semaphore, at_a_handle, for_slots])
def test_many_that_leave_search_for_none(begin: Waits, monkeypatch: pytest.MonkeyPatch) -> None:
    @simulated
    async def story() -> None:
        with counting():
            await cancel_last_first(begin)

    @attrs.define(eq=False)
    class CountingLease(Counting, SlotLease):
        pass

    monkeypatch.setattr(limiter, "SlotLease", CountingLease)
    story()

    assert Counting.compared < 10 * MANY


@contextmanager
def calls() -> Iterator[list[int]]:
    """
    Count calls of Python functions, one for each step of a generator.
    """
    count = [0]

    def note(_: object, event: str, __: object) -> None:
        count[0] += event == "call"

    sys.setprofile(note)
    try:
        yield count
    finally:
        sys.setprofile(None)


@simulated
async def test_many_that_follow_a_task_leave_in_any_order() -> None:
    handle = TaskHandle("t-1", None, lambda _: None)
    streams = [handle.updates() for _ in range(MANY)]
    following = [asyncio.ensure_future(anext(stream)) for stream in streams]
    await asyncio.sleep(0)

    with calls() as count:
        for each in reversed(following):
            each.cancel()
        await asyncio.sleep(0)

    assert not handle.is_wanted
    assert count[0] < 100 * MANY


def test_one_that_rests_keeps_others_waiting_without_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    While a small request rests after a refusal, each that comes or goes would look at the size of all that wait.
    """
    looks = [0]

    class CountingLease(SlotLease):
        def __getattribute__(self, name: str) -> Any:
            looks[0] += name == "n"
            return super().__getattribute__(name)

    @simulated
    async def story() -> None:
        slots = Slots()
        resting = await slots.acquire("m", 1)
        resting.note_refused(NoFreeSlot("full"))
        waits = [asyncio.ensure_future(slots.acquire("m", 1)) for _ in range(MANY)]
        await asyncio.sleep(0)
        for wait in reversed(waits):
            wait.cancel()
        await asyncio.sleep(0)

        assert all(wait.done() for wait in waits)
        resting.release()

    monkeypatch.setattr(limiter, "SlotLease", CountingLease)
    story()

    assert MANY < looks[0] < 50 * MANY
