"""
Many requests from one input: read lazily, worked on side by side, the outcomes in the order in which they come.
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
    Yield `work(index, item)` for each of *items* as they are done, at most *width* under way at once; a function is
    asked for it anew each time.

    An exception of *items* ends the reading and is raised after the work under way was yielded. An exception of *work*
    itself is raised at once and cancels the rest, as does closing this iterator.
    """
    if not callable(width):
        check_whole("concurrency", width)
    source = _numbered(items)
    feeding: asyncio.Task[tuple[int, I] | None] | None = None
    works = _Works[O]()
    failure: BaseException | None = None
    is_read = False
    try:
        while works.left or not is_read:
            if feeding is None and not is_read and len(works.left) < (width if isinstance(width, int) else width()):
                feeding = asyncio.ensure_future(_next(source))
                feeding.add_done_callback(works.wake)
            await works.news()
            if feeding is not None and feeding.done():
                if (failure := feeding.exception()) is None and (item := feeding.result()) is not None:
                    works.begin(work(*item))
                else:
                    is_read = True
                feeding = None
            if works.done:
                yield works.take()
    finally:
        left: list[asyncio.Future[Any]] = [*works.left, *([feeding] if feeding is not None else [])]
        for one in left:
            one.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await source.aclose()
    if failure is not None:
        try:
            raise failure
        finally:
            del failure  # else its traceback holds it


class _Works(Generic[O]):
    """
    Work under way. One bell rings for all of it: to wait for a hundred anew each time would cost more than they do.
    """

    def __init__(self) -> None:
        self.left: set[asyncio.Future[O]] = set()
        self.done: collections.deque[asyncio.Future[O]] = collections.deque()  # those of `left` that wait to be taken
        self._bell = asyncio.Event()

    def begin(self, work: Awaitable[O]) -> None:
        one = asyncio.ensure_future(work)
        one.add_done_callback(self._end)
        self.left.add(one)

    async def news(self) -> None:
        if not self.done:
            await self._bell.wait()
        self._bell.clear()

    def take(self) -> O:
        one = self.done.popleft()
        self.left.discard(one)
        return one.result()

    def wake(self, _: object) -> None:
        self._bell.set()

    def _end(self, one: "asyncio.Future[O]") -> None:
        self.done.append(one)
        self._bell.set()


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
