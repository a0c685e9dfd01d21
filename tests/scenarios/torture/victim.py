"""
The batch that is killed: a program of its own, which may have an order to kill itself at a certain point.

    victim.py FOLDER COUNT DIALECT URL KEY [--point NAME --nth N] [--port PORT] [--slots N] [--resend-uncertain]
        [--mixed]

It prints "open" when its journal is open, and its summary at the end.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from kling_async import (
    GATEWAY,
    OFFICIAL,
    Batch,
    HttpOptions,
    KlingClient,
    PollPolicy,
    RetryPolicy,
    SlotPolicy,
    Slots,
)
from kling_async.batch import queries
from kling_async.batch.journal import Journal
from kling_async.client.callbacks.receiver import CallbackReceiver
from kling_async.media.local import StagedFile
from tests.scenarios.torture.requests import images, images_videos_and_sounds

POLLING: Final = PollPolicy(first_delay=0.1, max_delay=0.5, answer_timeout=1.0)
RETRY: Final = RetryPolicy(first_delay=0.02, max_delay=0.2, give_up_after=20.0, look_for=0.5, hear_for=1.0)
SLOTS: Final = SlotPolicy(uncertain_for=0.2)


Passing = Callable[[], None]


def before(owner: Any, name: str, passing: Passing) -> None:
    original: Callable[..., Any] = getattr(owner, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        passing()
        return original(*args, **kwargs)

    setattr(owner, name, wrapped)


def after(owner: Any, name: str, passing: Passing) -> None:
    original: Callable[..., Any] = getattr(owner, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        found = original(*args, **kwargs)
        passing()
        return found

    setattr(owner, name, wrapped)


def after_await(owner: Any, name: str, passing: Passing) -> None:
    original: Callable[..., Any] = getattr(owner, name)

    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        found = await original(*args, **kwargs)
        passing()
        return found

    setattr(owner, name, wrapped)


def inside(owner: Any, name: str, passing: Passing) -> None:
    """
    Behind the last statement of a transaction, before it is committed.
    """
    original: Callable[..., Any] = getattr(owner, name)

    def changes_and_then(changes: Iterable[Any]) -> Iterator[Any]:
        yield from changes
        passing()

    def wrapped(database: Any, changes: Iterable[Any]) -> Any:
        return original(database, changes_and_then(changes))

    setattr(owner, name, wrapped)


POINTS: Final[Mapping[str, tuple[Callable[[Any, str, Passing], None], Any, str]]] = {
    "after an intent": (after_await, Journal, "mark_sending"),
    "before a record": (before, Journal, "accept"),
    "in a download": (after, StagedFile, "write"),
    "before a commit": (before, queries, "commit"),
    "in a commit": (inside, queries, "commit"),
    "after a commit": (after, queries, "commit"),
}
"""
Where a victim may be ordered to die.
"""


def arm(point: str, nth: int) -> None:
    """
    Die at the *nth* passing of *point*.
    """
    count = itertools.count(1)

    def passing() -> None:
        if next(count) == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    wrap, owner, name = POINTS[point]
    wrap(owner, name, passing)


async def main(options: argparse.Namespace) -> None:
    dialect = {"official": OFFICIAL, "gateway": GATEWAY}[options.dialect]
    async with contextlib.AsyncExitStack() as stack:
        receiver = None
        if options.port:
            receiver = CallbackReceiver(f"http://127.0.0.1:{options.port}/kling")
            await stack.enter_async_context(receiver.serve(port=options.port))
        client = await stack.enter_async_context(
            KlingClient(
                options.key,
                base_url=options.url,
                dialect=dialect,
                slots=Slots(options.slots, SLOTS),
                polling=POLLING,
                retry=RETRY,
                http=HttpOptions(read_timeout=2.0),
                callbacks=receiver,
            )
        )
        batch = await stack.enter_async_context(Batch(options.folder / "run.kling", client))
        print("open", flush=True)
        requests = images_videos_and_sounds(options.count, options.folder) if options.mixed else images(options.count)
        await batch.add(requests)
        run = batch.run(options.folder / "files", resend_uncertain=options.resend_uncertain)
        async for _ in run:
            pass
        print(json.dumps(attrs.asdict(await batch.summary()), default=str), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("count", type=int)
    parser.add_argument("dialect")
    parser.add_argument("url")
    parser.add_argument("key")
    parser.add_argument("--point", choices=POINTS)
    parser.add_argument("--nth", type=int, default=1)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--slots", type=int, default=9)
    parser.add_argument("--resend-uncertain", action="store_true")
    parser.add_argument("--mixed", action="store_true")
    given = parser.parse_args(sys.argv[1:])
    if given.point:
        arm(given.point, given.nth)
    asyncio.run(main(given))
