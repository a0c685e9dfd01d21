"""
The cost of leaving a queue: many wait for one task, or for one slot, and are cancelled, the last one first.

That is the worst order for a queue that is searched from its front. The figure is the ratio of the cost among many to
the cost among few: 1 if nothing is searched.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from benchmarks.figures import Figure, ratio
from kling_async.client.handle import TaskHandle
from kling_async.client.limits.limiter import Slots
from kling_async.media.semaphore import Semaphore

ROUNDS: Final = 5
FEW: Final = 1_000
MANY: Final = 20_000

Waits: TypeAlias = "list[asyncio.Task[Any]]"


def _of_a_handle(count: int) -> Waits:
    handle = TaskHandle("t-1", None, lambda _: None)
    return [asyncio.ensure_future(handle.wait(None)) for _ in range(count)]


def _of_updates(count: int) -> Waits:
    handle = TaskHandle("t-1", None, lambda _: None)
    return [asyncio.ensure_future(anext(handle.updates())) for _ in range(count)]


def _at_a_gate(count: int) -> Waits:
    gate = Semaphore(1)
    return [asyncio.ensure_future(gate.acquire()) for _ in range(count + 1)][1:]


def _for_slots(count: int) -> Waits:
    slots = Slots(1)
    slots.acquire_running("m", 1)
    return [asyncio.ensure_future(slots.acquire("m", 1)) for _ in range(count)]


WHO: Final[dict[str, Callable[[int], Waits]]] = {
    "wait of a handle": _of_a_handle,
    "updates of a handle": _of_updates,
    "gate": _at_a_gate,
    "slots": _for_slots,
}


async def leaving(begin: Callable[[int], Waits], count: int) -> float:
    """
    Return the microseconds of CPU that each one takes to leave.
    """
    waits = begin(count)
    await asyncio.sleep(0)
    started = time.process_time()
    for wait in reversed(waits):
        wait.cancel()
    await asyncio.wait(waits)
    return (time.process_time() - started) / count * 1e6


def measure(rounds: int | None) -> list[Figure]:
    figures = []
    for who, begin in WHO.items():
        few, many = [], []
        for _ in range(rounds or ROUNDS):
            few.append(min(asyncio.run(leaving(begin, FEW)) for _ in range(5)))  # a single one is too short to measure
            many.append(asyncio.run(leaving(begin, MANY)))
        of_few = Figure(f"waits/{who}, {FEW}/CPU to leave", "µs", tuple(few))
        of_many = Figure(f"waits/{who}, {MANY}/CPU to leave", "µs", tuple(many))
        figures += [of_few, of_many, ratio(f"waits/{who}/CPU to leave among many to few", of_many, of_few)]
    return figures
