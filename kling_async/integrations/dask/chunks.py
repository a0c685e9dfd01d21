"""
What goes to a Dask worker and comes back: chunks of work items, and how many items the next chunk has.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs

from kling_async.batch.executors import WorkItem, WorkResult
from kling_async.media.fetch_errors import FetchError

__all__ = ["FIRST_SIZE", "Chunk", "ChunkResult", "Probe", "name_of", "next_size"]

SECONDS: Final = 1.0
"""
Seconds of work in one chunk, as far as earlier chunks show: much longer than Dask takes to assign it, and so short that
little is repeated when a worker dies.
"""
FIRST_SIZE: Final = 4
MAX_SIZE: Final = 32


@attrs.frozen
class Chunk:
    """
    Pickled work items, which the scheduler need not read, and no log or dashboard shows.
    """

    count: int
    content: bytes = attrs.field(repr=False)


@attrs.frozen
class ChunkResult:
    """
    The results of a chunk.

    Attributes:
        seconds: That it took.
        called: Seconds of these in which the function ran.
    """

    results: Sequence[WorkResult | FetchError]
    seconds: float
    called: float


@attrs.frozen
class Probe:
    """
    What a worker is asked to load and to see, before anything is sent that costs money.

    Attributes:
        version: Of this package in the program.
        content: The function and the destination, pickled.
        mark: A file in the folder for the worker to find; None for a storage.
    """

    version: str
    content: bytes = attrs.field(repr=False)
    mark: Path | None


def name_of(items: Sequence[WorkItem]) -> str:
    """
    Return the name of a chunk of these items: ids of tasks, so that a dashboard shows no URL.
    """
    first, others = items[0].task_id, len(items) - 1
    return f"{first}+{others}" if others else first


def next_size(done: ChunkResult, size: int) -> int:
    """
    Return how many items go into the next chunk, after this one of at most *size*.
    """
    count, seconds = len(done.results), max(done.seconds, 0.001)
    ideal = int(SECONDS * count / seconds)
    if seconds < SECONDS:
        ideal = max(ideal, count + 1)  # much of it may be overhead, which more items would share
    if count < size:
        ideal = max(ideal, size)  # for the same reason a small chunk does not show how long a full one takes
    if done.called:
        ideal = min(ideal, int(SECONDS * count / done.called))  # the function is called for one item at a time
    return max(1, min(ideal, 2 * size, MAX_SIZE))
