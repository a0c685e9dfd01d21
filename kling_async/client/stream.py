"""
Many requests from one input: read lazily and served concurrently; outcomes in order of completion.
"""

import asyncio
import collections
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, Generic, TypeVar

from kling_async.policy.arguments import check_whole

__all__ = ["fan_out"]

I = TypeVar("I")  # noqa: E741 (the input's items)
O = TypeVar("O")  # noqa: E741 (the outcomes)


async def fan_out(
    items: Iterable[I] | AsyncIterable[I], work: Callable[[int, I], Awaitable[O]], width: int | Callable[[], int]
) -> AsyncGenerator[O, None]:
    """
    Yield `work(index, item)` for each of *items* in order of completion, with at most *width* running at a time. A
    function is called for the present width each time.

    An exception of *items* ends the reading, and is raised after all running work was yielded. An exception of *work*
    is raised at once and cancels the rest, as closing this iterator does.
    """
    if not callable(width):
        check_whole("concurrency", width)
    source = _numbered(items)
    reading: asyncio.Task[tuple[int, I] | None] | None = None
    running = _RunningWork[O]()
    failure: BaseException | None = None
    is_read = False
    try:
        while running.left or not is_read:
            if reading is None and not is_read and len(running.left) < (width if isinstance(width, int) else width()):
                reading = asyncio.ensure_future(_next(source))
                reading.add_done_callback(running.wake)
            await running.wait()
            if reading is not None and reading.done():
                if (failure := reading.exception()) is None and (item := reading.result()) is not None:
                    running.start(work(*item))
                else:
                    is_read = True
                reading = None
            if running.done:
                yield running.take()
    finally:
        left: list[asyncio.Future[Any]] = [*running.left, *([reading] if reading is not None else [])]
        for one in left:
            one.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await source.aclose()
    if failure is not None:
        try:
            raise failure
        finally:
            del failure  # otherwise its traceback holds it


class _RunningWork(Generic[O]):
    """
    Running work. One event is set by all of it: waiting for a hundred futures each time would cost more than they do.
    """

    def __init__(self) -> None:
        self.left: set[asyncio.Future[O]] = set()
        self.done: collections.deque[asyncio.Future[O]] = collections.deque()  # in the order of `take`
        self._changed = asyncio.Event()

    def start(self, work: Awaitable[O]) -> None:
        one = asyncio.ensure_future(work)
        one.add_done_callback(self._end)
        self.left.add(one)

    async def wait(self) -> None:
        if not self.done:
            await self._changed.wait()
        self._changed.clear()

    def take(self) -> O:
        one = self.done.popleft()
        self.left.discard(one)
        return one.result()

    def wake(self, _: object) -> None:
        self._changed.set()

    def _end(self, one: "asyncio.Future[O]") -> None:
        self.done.append(one)
        self._changed.set()


async def _next(source: AsyncIterator[tuple[int, I]]) -> tuple[int, I] | None:
    return await anext(source, None)


async def _numbered(items: Iterable[I] | AsyncIterable[I]) -> AsyncGenerator[tuple[int, I], None]:
    index = 0
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield index, item
            index += 1
    else:
        for item in items:
            yield index, item
            index += 1
