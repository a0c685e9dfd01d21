"""
Runs one contender: submits many tasks at once and waits for them, in a new process on its own core.
"""

import asyncio
import collections
import importlib
import multiprocessing
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs

from benchmarks.apart import pin
from benchmarks.load import Load, metered
from benchmarks.stand_in import Tally, Terms

if TYPE_CHECKING:
    from benchmarks.apart import Pipe

WARM_UP: Final = 4
"""
Tasks that end at once, to trigger lazy imports; with a separate client, so that durations are not learned from them.
"""


@attrs.frozen
class Contender:
    """
    Attributes:
        module: A module of `benchmarks.contenders`.
        options: Arguments for its `contend`.
    """

    module: str
    options: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen
class Waits:
    """
    The result of a contender.

    Attributes:
        noticed_at: When a task's waiter noticed its end, by the task's id, on the machine's monotonic clock.
        failures: The number of jobs that ended in each error.
        load: CPU from the first submit to the last end.
    """

    noticed_at: dict[str, float]
    failures: dict[str, int]
    load: Load


@attrs.frozen
class Result:
    """
    The result of a contender, and what the service saw.
    """

    waits: Waits
    tally: Tally

    @property
    def lags(self) -> list[float]:
        """
        Seconds from a task's end to its waiter's notice, ascending.
        """
        ended_at = self.tally.ended_at
        return sorted(at - ended_at[task_id] for task_id, at in self.waits.noticed_at.items())


async def wait_for_all(contender: Contender, url: str, count: int) -> Waits:
    """
    Submit all at once, and wait until each has ended, successfully or not.
    """
    noticed_at: dict[str, float] = {}
    failures: collections.Counter[str] = collections.Counter()
    module = importlib.import_module(f"benchmarks.contenders.{contender.module}")
    async with module.contend(url, count, **contender.options) as job:

        async def wait_for_one() -> None:
            try:
                task_id = await job()
            except Exception as error:  # noqa: BLE001 (each library has its own errors; they are reported)
                failures[type(error).__name__] += 1
            else:
                noticed_at[task_id] = time.monotonic()

        async with metered() as load:
            await asyncio.gather(*(wait_for_one() for _ in range(count)))
    return Waits(noticed_at, dict(failures), load)


def run(service: "Pipe", contender: Contender, url: str, count: int, terms: Terms) -> Result:
    """
    Run *contender* in a new process, against the stand-in at the other end of *service*.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    _set(service, Terms(0.0, 0.0))
    process = context.Process(target=_be, args=(theirs, contender, url, count))
    process.start()
    theirs.close()
    assert ours.recv() == "warm"
    _set(service, terms)
    ours.send("go")
    waits = ours.recv()
    service.send("tell")
    tally = service.recv()
    process.join()
    return Result(waits, tally)


def _set(service: "Pipe", terms: Terms) -> None:
    service.send(terms)
    assert service.recv() == "set"


def _be(pipe: "Pipe", contender: Contender, url: str, count: int) -> None:
    pin(0)
    asyncio.run(wait_for_all(contender, url, WARM_UP))
    pipe.send("warm")
    pipe.recv()
    pipe.send(asyncio.run(wait_for_all(contender, url, count)))
