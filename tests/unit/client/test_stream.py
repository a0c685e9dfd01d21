"""
Fanning out: what is read when, what comes out in which order, and what is left behind.
"""

import asyncio
import contextlib
import gc
import itertools
import weakref
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import TypeVar

import pytest
from hypothesis import given, strategies as st

from kling_async.client.stream import fan_out
from tests.fakes.simulated_loop import simulate, simulated

T = TypeVar("T")


async def slowly(items: Iterable[T], pause: float = 0.0) -> AsyncGenerator[T, None]:
    for item in items:
        await asyncio.sleep(pause)
        yield item


def fan(
    items: Iterable[float] | AsyncIterable[float], work: Callable[[int, float], Awaitable[T]], width: int
) -> contextlib.aclosing[AsyncGenerator[T, None]]:
    return contextlib.aclosing(as_generator(fan_out(items, work, width)))


def as_generator(outcomes: AsyncIterator[T]) -> AsyncGenerator[T, None]:
    assert isinstance(outcomes, AsyncGenerator)
    return outcomes


async def exhaust(outcomes: AsyncIterator[object]) -> None:
    async for _ in outcomes:
        pass


async def nap(index: int, seconds: float) -> int:
    """
    Work that takes as long as its item says.
    """
    await asyncio.sleep(seconds)
    return index


def aio_tasks() -> int:
    return len(asyncio.all_tasks()) - 1


SOURCES: list[Callable[[Iterable[float]], Iterable[float] | AsyncIterable[float]]] = [list, iter, slowly]

each_source = pytest.mark.parametrize("source", SOURCES, ids=["list", "iterator", "async generator"])


@each_source
def test_outcomes_come_as_they_are_done(
    source: Callable[[Iterable[float]], Iterable[float] | AsyncIterable[float]],
) -> None:
    """
    The quickest comes first, whatever its place in the input.
    """

    @simulated
    async def story() -> None:
        async with fan(source([3.0, 1.0, 4.0, 2.0]), nap, width=4) as outcomes:
            assert [1, 3, 0, 2] == [outcome async for outcome in outcomes]

    story()


@simulated
async def test_slow_reader_gets_them_in_that_order_too() -> None:
    """
    What was done while the caller was busy comes in the order in which it was done.
    """
    naps = [9.0, 3.0, 7.0, 1.0, 8.0, 2.0, 6.0, 4.0, 5.0]
    seen = []
    async with fan([0.5, *naps], nap, width=10) as outcomes:
        async for outcome in outcomes:
            seen.append(outcome)
            if len(seen) == 1:
                await asyncio.sleep(100)

    assert [0, *sorted(range(1, 10), key=lambda index: naps[index - 1])] == seen


@each_source
def test_input_is_read_lazily(source: Callable[[Iterable[float]], Iterable[float] | AsyncIterable[float]]) -> None:
    """
    Of an endless input no more is read than the width and what was yielded, and no more is worked on at once.
    """

    @simulated
    async def story() -> None:
        read = under_way = most = 0

        def endless() -> Iterator[float]:
            nonlocal read
            while True:
                read += 1
                yield float(read % 3)

        async def work(index: int, seconds: float) -> int:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(seconds)
            under_way -= 1
            return index

        async with fan(endless() if source is list else source(endless()), work, width=4) as outcomes:
            yielded = 0
            async for _ in outcomes:
                yielded += 1
                await asyncio.sleep(0.5)
                assert read <= yielded + 4
                if yielded == 50:
                    break
        await asyncio.sleep(1)  # an input that was left open is closed by the loop

        assert most == 4
        assert aio_tasks() == 0

    story()


@simulated
async def test_width_may_change_on_the_way() -> None:
    """
    A function is asked for the width anew each time: it may grow and shrink while the work goes on.
    """
    width, under_way = 1, 0
    most: dict[int, int] = {}

    async def work(index: int, seconds: float) -> int:
        nonlocal under_way
        under_way += 1
        most[width] = max(most.get(width, 0), under_way)
        await asyncio.sleep(seconds)
        under_way -= 1
        return index

    async with contextlib.aclosing(fan_out([1.0] * 60, work, lambda: width)) as outcomes:
        done = 0
        async for _ in outcomes:
            done += 1
            if done == 20:
                width = 5
            if done == 40:
                width = 2
                while under_way >= width:  # those that had begun go on
                    await asyncio.sleep(0.1)

    assert {1: 1, 5: 5, 2: 2} == most
    assert 60 == done


@simulated
async def test_nothing_is_read_before_the_first_step() -> None:
    """
    Without a reader nothing begins.
    """
    read = iter([1.0])
    fan_out(read, nap, 1)
    await asyncio.sleep(1)

    assert [1.0] == list(read)


@simulated
async def test_slow_input_does_not_hold_up_outcomes() -> None:
    """
    What is done is yielded while the input makes up its mind.
    """
    loop = asyncio.get_running_loop()
    times = []
    async with fan(slowly([1.0, 1.0, 1.0], pause=10.0), nap, width=2) as outcomes:
        times = [loop.time() async for _ in outcomes]

    assert [11.0, 21.0, 31.0] == times


@each_source
def test_empty_input(source: Callable[[Iterable[float]], Iterable[float] | AsyncIterable[float]]) -> None:
    """
    No items, no outcomes.
    """

    @simulated
    async def story() -> None:
        assert [] == [outcome async for outcome in fan_out(source([]), nap, 3)]

    story()


@pytest.mark.parametrize("width", [0, -1])
def test_width_is_at_least_one(width: int) -> None:
    """
    A width at which nothing could happen is refused.
    """

    @simulated
    async def story() -> None:
        with pytest.raises(ValueError, match=r"concurrency=.*: must be a whole number of at least 1"):
            await anext(fan_out([1.0], nap, width))

    story()


def faulty() -> Iterator[float]:
    yield 5.0
    yield 1.0
    raise LookupError("no more prompts")


@each_source
def test_exception_of_the_input_comes_last(
    source: Callable[[Iterable[float]], Iterable[float] | AsyncIterable[float]],
) -> None:
    """
    What was read before the input broke is yielded first.
    """

    @simulated
    async def story() -> None:
        items = faulty() if source is list else source(faulty())
        async with fan(items, nap, width=4) as outcomes:
            assert [1, 0] == [await anext(outcomes), await anext(outcomes)]
            with pytest.raises(LookupError, match="no more prompts"):
                await anext(outcomes)

    story()


@simulated
async def test_input_that_is_none_at_all() -> None:
    """
    What cannot be iterated is told as any other fault of the input.
    """
    with pytest.raises(TypeError, match="not iterable"):
        await anext(fan_out(7, nap, 1))  # type: ignore[arg-type]


@simulated
async def test_exception_of_the_work_comes_at_once() -> None:
    """
    It ends all: the rest is cancelled, also where the input is still being read.
    """
    ends: list[str] = []

    async def work(index: int, seconds: float) -> int:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            ends.append(f"{index} cancelled")
            raise
        raise ZeroDivisionError

    async with fan(slowly([5.0, 1.0, 5.0], pause=0.1), work, width=4) as outcomes:
        with pytest.raises(ZeroDivisionError):
            await anext(outcomes)

    assert ["0 cancelled", "2 cancelled"] == sorted(ends)
    assert aio_tasks() == 0


@simulated
async def test_leaving_early_cancels_the_rest() -> None:
    """
    Closing the iterator cancels what is under way, waits for its end, and closes what reads the input.
    """
    ends: list[str] = []

    async def endless() -> AsyncIterator[float]:
        try:
            for number in itertools.count():
                yield 1.0 + 100 * number
                await asyncio.sleep(0.5 + 100 * number)
        finally:
            ends.append("input")

    async def work(index: int, seconds: float) -> int:
        try:
            return await nap(index, seconds)
        finally:
            await asyncio.sleep(0.25)  # a farewell takes time
            ends.append(f"work {index}")

    async with fan(endless(), work, width=3) as outcomes:
        assert await anext(outcomes) == 0
        assert aio_tasks() == 2

    assert ["work 0", "input", "work 1"] == ends
    assert aio_tasks() == 0


@simulated
async def test_cancelling_the_reader_cancels_the_work() -> None:
    """
    A cancelled reader leaves no `aio_task` behind, and its cancelling is not swallowed.
    """

    async def read_all() -> list[int]:
        return [outcome async for outcome in fan_out(slowly(itertools.repeat(100.0), 1.0), nap, 5)]

    reading = asyncio.ensure_future(read_all())
    await asyncio.sleep(2.5)
    reading.cancel()
    await asyncio.wait({reading})

    assert reading.cancelled()
    assert aio_tasks() == 0


@simulated
async def test_timeout_around_the_reading() -> None:
    """
    The caller's own deadline ends the reading as such.
    """
    async with fan([1.0, 2.0, 3.0], nap, width=3) as outcomes:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2.5):
                await exhaust(outcomes)

    assert aio_tasks() == 0


@simulated
async def test_failures_of_what_is_left_are_not_complained_of() -> None:
    """
    Work that failed unseen, while the reader was leaving, has no "exception was never retrieved".
    """

    async def work(index: int, seconds: float) -> int:
        await asyncio.sleep(seconds)
        if index:
            raise ZeroDivisionError
        return index

    async with fan([1.0, 2.0, 2.0], work, width=3) as outcomes:
        assert await anext(outcomes) == 0
        await asyncio.sleep(10)

    assert aio_tasks() == 0


@simulated
async def test_broken_input_leaves_no_cycle() -> None:
    """
    The items go when the reader lets go of the error.
    """

    class Prompt(float):
        pass

    prompt = Prompt(1.0)
    gone = weakref.ref(prompt)
    prompts = [prompt]

    def broken() -> Iterator[float]:
        yield prompts.pop()
        raise LookupError

    gc.disable()
    try:
        del prompt
        with contextlib.suppress(LookupError):
            async for _ in fan_out(broken(), nap, 2):
                pass

        assert gone() is None
    finally:
        gc.enable()


@given(
    naps=st.lists(st.floats(0, 10), max_size=30),
    width=st.integers(1, 6),
    pauses=st.lists(st.floats(0, 5), max_size=30),
    is_async=st.booleans(),
)
def test_every_item_has_one_outcome(naps: list[float], width: int, pauses: list[float], *, is_async: bool) -> None:
    """
    Whatever takes how long, each item comes out once, and not before one that was done earlier.
    """
    ends: dict[int, float] = {}

    async def work(index: int, seconds: float) -> int:
        await asyncio.sleep(seconds)
        ends[index] = asyncio.get_running_loop().time()
        return index

    async def story() -> list[int]:
        busy = iter(pauses)
        seen = []
        async with fan(slowly(naps, 0.5) if is_async else naps, work, width) as outcomes:
            async for outcome in outcomes:
                seen.append(outcome)
                await asyncio.sleep(next(busy, 0.0))
        return seen

    seen = simulate(story())

    assert list(range(len(naps))) == sorted(seen)
    assert sorted(ends.values()) == [ends[index] for index in seen]
