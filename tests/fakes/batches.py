"""
Batches over an emulator with short delays, and what is asked of them.
"""

import asyncio
import collections
import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, TypeAlias

import attrs
from PIL import Image as Pillow

from kling_async import (
    OFFICIAL,
    Batch,
    Dialect,
    Done,
    Failed,
    HttpOptions,
    ImageRequest,
    Keyed,
    KlingClient,
    PollPolicy,
    RetryPolicy,
    SlotPolicy,
    Slots,
)
from kling_async.batch.journal import Journal
from kling_async.batch.records import Summary
from kling_async.emulator import Emulator, Fault

Item: TypeAlias = ImageRequest | str | Keyed


PROMPTS = [f"lighthouse {number}" for number in range(6)]
BRISK = RetryPolicy(first_delay=0.02, max_delay=0.05, give_up_after=15.0, look_for=0.1, refused_for=5.0, hear_for=0.3)
"""
What is sure to be reached is waited for: on a busy machine, half a second may pass before a connection is made.
"""

HASTY = attrs.evolve(BRISK, give_up_after=0.4)
"""
For tests of what is never answered.
"""

EAGER = PollPolicy(first_delay=0.02, max_delay=0.1, answer_timeout=1.0, not_found_grace=0.2)


def emulator(dialect: Dialect = OFFICIAL, *rules: Fault, **settings: Any) -> Emulator:
    return Emulator(
        dialect=dialect,
        faults=rules,
        **{"latency": (0.02, 0.05), "pictures": "plain", "picture_scale": 0.05, **settings},
    )


def client_of(server: Emulator, *, slots: int | None = None, **options: Any) -> KlingClient:
    given: dict[str, Any] = {
        "api_key": server.api_key,
        "dialect": server.dialect,
        "slots": Slots(slots, SlotPolicy(uncertain_for=0.2)),
        "http": HttpOptions(connect_timeout=30.0),
        "retry": BRISK,
        "polling": EAGER,
    }
    return KlingClient(base_url=server.url, **{**given, **options})


async def outcomes_of(batch: Batch, **options: Any) -> list[Done | Failed]:
    """
    Run *batch* to its end.
    """
    return [outcome async for outcome in batch.run(**options)]


def told(outcome: Done | Failed) -> tuple[int, str, str]:
    """
    Say what became of which row.
    """
    word = "done" if isinstance(outcome, Done) else type(outcome.error).__name__
    prompt = outcome.caption
    return outcome.index, prompt, word


def tasks_per_prompt(server: Emulator) -> collections.Counter[str]:
    return collections.Counter(task.prompt for task in server.ledger.tasks)


def files_in(folder: Path) -> list[str]:
    """
    Return the names of all files in *folder* and below it.
    """
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def counts_of(summary: Summary) -> dict[str, int]:
    """
    Return how many rows are in which state, leaving out those in which none is.
    """
    states = ("queued", "sending", "accepted", "finished", "saved", "failed", "uncertain")
    return {state: count for state in states if (count := getattr(summary, state))}


def draw(path: Path, colour: str) -> Path:
    """
    Make a picture that may be a reference.
    """
    Pillow.new("RGB", (320, 320), colour).save(path)
    return path


@contextlib.asynccontextmanager
async def opened(server: Emulator, path: Path, **options: Any) -> AsyncIterator[Batch]:
    """
    Open a batch with a client of its own, as a program does that is started anew.
    """
    async with client_of(server, **options) as client, Batch(path, client) as batch:
        yield batch


def copied(path: Path, name: str) -> Path:
    """
    Copy a journal into a new folder with all that lies beside it, which is what a kill would leave.
    """
    folder = path.parent / name
    folder.mkdir()
    for file in path.parent.glob(path.name + "*"):
        shutil.copy(file, folder)
    return folder / path.name


async def until(batch: Batch, **wanted: int) -> None:
    """
    Wait until so many rows are in these states.
    """
    while not wanted.items() <= counts_of(await batch.summary()).items():
        await asyncio.sleep(0.005)


def journal_of(batch: Batch) -> Journal:
    assert batch._journal is not None
    return batch._journal
