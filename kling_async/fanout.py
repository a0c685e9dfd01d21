"""
Many requests from one input: read lazily, worked on side by side, the outcomes in the order in which they come.
"""

import asyncio
import collections
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from typing import TypeVar

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
    if isinstance(width, int) and width < 1:
        raise ValueError(f"concurrency={width!r}: must be at least 1")
    source = _numbered(items)
    feeding: asyncio.Task[tuple[int, I] | None] | None = None
    working: set[asyncio.Task[O]] = set()
    done: collections.deque[asyncio.Task[O]] = collections.deque()  # those of `working` that wait to be yielded
    news = asyncio.Event()  # one for all: to wait for a hundred of them anew each time would cost more than their work
    failure: BaseException | None = None
    is_read = False

    def take(aio_task: asyncio.Task[O]) -> None:
        done.append(aio_task)
        news.set()

    try:
        while working or not is_read:
            if feeding is None and not is_read and len(working) < (width if isinstance(width, int) else width()):
                feeding = asyncio.ensure_future(_next(source))
                feeding.add_done_callback(lambda _: news.set())
            if not done:
                await news.wait()
            news.clear()
            if feeding is not None and feeding.done():
                if (failure := feeding.exception()) is None and (item := feeding.result()) is not None:
                    aio_task = asyncio.ensure_future(work(*item))
                    aio_task.add_done_callback(take)
                    working.add(aio_task)
                else:
                    is_read = True
                feeding = None
            if done:
                working.discard(aio_task := done.popleft())
                yield aio_task.result()
    finally:
        left = {*working, feeding} if feeding is not None else working
        for one in left:
            one.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await source.aclose()
    if failure is not None:
        try:
            raise failure
        finally:
            del failure  # else its traceback holds it


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
