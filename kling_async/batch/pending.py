"""
The rows that a run has to serve, read from the journal a page at a time.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Container
from typing import Final

import attrs

from kling_async.batch.journal import Journal
from kling_async.batch.records import Row, State
from kling_async.batch.savers import Saver

__all__ = ["PendingRows", "read_rows"]

PAGE_ROWS: Final = 500


async def read_rows(journal: Journal, *states: State) -> AsyncIterator[Row]:
    """
    Yield the rows in *states* (none for all), in the order of the input.
    """
    after = -1
    while page := await journal.read_page(states, after, PAGE_ROWS):
        for row in page:
            yield row
        after = page[-1].position


@attrs.define(eq=False, repr=False)
class PendingRows:
    """
    Reads the rows of one run.

    Attributes:
        is_closed: Whether the journal is about to be closed: then no further row is read.
    """

    journal: Journal
    saver: Saver | None
    clock: Callable[[], float]
    is_closed: bool = attrs.field(default=False, init=False)

    async def read(self, *states: State) -> AsyncIterator[Row]:
        """
        Yield the rows in *states*.
        """
        rows = read_rows(self.journal, *states)
        while not self.is_closed and (row := await anext(rows, None)) is not None:
            yield row

    async def to_send(self, taken: Container[int]) -> AsyncIterator[Row]:
        """
        Yield the rows that wait to be sent, except those whose positions are in *taken*.
        """
        async for row in self.read(State.QUEUED, State.FAILED):
            if row.position not in taken and (row.state is State.QUEUED or row.may_retry):
                yield row

    async def to_save(self, taken: Container[int]) -> AsyncIterator[Row]:
        """
        Yield the rows of which some files are not saved or not processed by the function, except those in *taken*.
        """
        if self.saver is None:
            return
        ended = (row async for row in self.read(State.FINISHED, State.SAVED) if row.position not in taken)
        while rows := [row async for row in _take(ended, 32)]:  # in a storage each costs a request
            for unsaved in await asyncio.gather(*(self._without_missing(self.saver, row) for row in rows)):
                if unsaved is not None:
                    yield unsaved

    async def _without_missing(self, saver: Saver, row: Row) -> Row | None:
        # Return the row with those of its files that are still there; None if nothing is left to do.
        present = tuple([file for file in row.files if await saver.is_there(file)])
        expected = len(row.snapshot.task_result.files) if row.snapshot is not None else 0
        if row.state is State.SAVED and len(present) == len(row.files) >= expected:
            is_seen = saver.function is None or all(file.pickled is not None for file in present)
            return None if is_seen else row
        if row.state is State.SAVED:
            await self.journal.mark_unsaved(row.position)
            await self.journal.save(row.position, present, self.clock(), is_all=False)
        return attrs.evolve(row, state=State.FINISHED, files=present)


async def _take(rows: AsyncIterator[Row], count: int) -> AsyncIterator[Row]:
    for _ in range(count):
        if (row := await anext(rows, None)) is None:
            return
        yield row
