"""
The memory that a client uses for a waiting task: bytes, counted by tracemalloc.

They include its coroutine, aio_task, request, handle, last snapshot, slot lease, place in the schedule, and timeout.
The emulator runs in its own process. Tracing takes time, so nothing else is measured here.
"""

import asyncio
import gc
import itertools
import tracemalloc
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final, TypeAlias
from unittest import mock

from benchmarks import apart
from benchmarks.figures import Figure
from benchmarks.scale import DIALECTS, HOUR, service, warm_client
from kling_async import Dialect, KlingClient
from kling_async.wire import codec, json_text

ROUNDS: Final = 3
TASKS: Final = 2_000
SETTLING: Final = 1.0
"""
Seconds after the last submit, in which polls happen.
"""

QueryMode: TypeAlias = Callable[[KlingClient, int], Awaitable[list["asyncio.Task[Any]"]]]


async def generate(client: KlingClient, tasks: int) -> "list[asyncio.Task[Any]]":
    return [begin(client.generate(f"lighthouse {number}", timeout=HOUR)) for number in range(tasks)]


async def wait_for_handles(client: KlingClient, tasks: int) -> "list[asyncio.Task[Any]]":
    handles = await asyncio.gather(*(client.submit(f"lighthouse {number}") for number in range(tasks)))
    return [begin(handle.wait(HOUR)) for handle in handles]


def begin(waiting: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
    return asyncio.get_running_loop().create_task(waiting)


WHO: Final[dict[str, QueryMode]] = {"generate": generate, "wait of a handle": wait_for_handles}


@contextmanager
def no_orjson() -> Iterator[None]:
    """
    As where the extra "fast" is not installed.
    """
    with mock.patch.object(json_text, "orjson", None), mock.patch.object(codec, "pack", json_text.dumps):
        yield


JSON: Final[dict[str, Callable[[], AbstractContextManager[None]]]] = {"": nullcontext, ", no orjson": no_orjson}


async def held_for_one(way: QueryMode, dialect: Dialect, tasks: int = TASKS) -> float:
    with service(dialect, tasks + 1) as server:
        async with warm_client(server, dialect, tasks + 1) as client:
            gc.collect()
            tracemalloc.start()
            before, _ = tracemalloc.get_traced_memory()
            waits = await way(client, tasks)
            while len(client.unfinished) < tasks:
                await asyncio.sleep(0.1)
            await asyncio.sleep(SETTLING)
            gc.collect()
            held, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            for wait in waits:  # one by one, at 40 polls per second, their ends would take a minute
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
            return (held - before) / tasks


def measure(rounds: int | None) -> list[Figure]:
    apart.pin(0)
    ways = itertools.product(WHO, ("list reads", "one by one"), JSON)
    held: dict[tuple[str, str, str], list[float]] = {way: [] for way in ways}
    for _ in range(rounds or ROUNDS):
        for (who, how, json), of_it in held.items():
            with JSON[json]():
                of_it.append(asyncio.run(held_for_one(WHO[who], DIALECTS[how])))
    return [
        Figure(f"memory/{who}, {how}{json}/bytes per task", "bytes", tuple(of_it))
        for (who, how, json), of_it in held.items()
    ]
