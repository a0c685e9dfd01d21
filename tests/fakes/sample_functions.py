"""
Functions that tests give to batches, in a module that other processes can load.
"""

import asyncio
import concurrent.futures
import hashlib
import io
import math
import operator
import os
import signal
import sys
import time
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from PIL import Image

from kling_async.batch.executors import FileInfo
from kling_async.wire.endpoints.registry import caption_of


def measure(source: Path | bytes, info: FileInfo) -> tuple[str, int, int, int]:
    """
    Return a picture's key, its sides, and the process id.
    """
    with Image.open(source if isinstance(source, Path) else io.BytesIO(source)) as image:
        return info.key, *image.size, os.getpid()


def kind(source: Path | bytes, info: FileInfo) -> str:
    """
    Return the kind of the file.
    """
    return info.file.kind


def check(source: Path | bytes, info: FileInfo) -> bool:
    """
    Return whether a file has the digest that the info states.
    """
    content = source.read_bytes() if isinstance(source, Path) else source
    return hashlib.sha256(content).hexdigest() == info.file.sha256


def nothing(source: Path | bytes, info: FileInfo) -> None:
    """
    Return nothing.
    """


def fail(source: Path | bytes, info: FileInfo) -> None:
    """
    Fail on foxes.
    """
    if "fox" in info.request.prompt:
        raise LookupError("no foxes")


def unpicklable(source: Path | bytes, info: FileInfo) -> Any:
    """
    Return a value that cannot be pickled.
    """
    return lambda: None


class Odd(Exception):
    """
    An error with more arguments than `args`: it can be pickled, and not unpickled.
    """

    def __init__(self, what: str, code: int) -> None:
        super().__init__(what)
        self.code = code


class Mute(Exception):
    """
    An error whose text is an error.
    """

    def __str__(self) -> str:
        raise LookupError("no words")


def fail_oddly(source: Path | bytes, info: FileInfo) -> None:
    """
    Raise the error that a prompt names.
    """
    match info.request.prompt:
        case "odd":
            raise Odd("no foxes", 4)
        case "mute":
            raise Mute
        case "long":
            raise ValueError("no foxes " * 100_000)
        case "cancelled":
            raise asyncio.CancelledError
        case "closed":
            raise GeneratorExit
        case "interrupted":
            raise KeyboardInterrupt
        case "empty":
            next(iter(()))
        case "withdrawn":
            raise concurrent.futures.CancelledError
        case "broken":
            raise BrokenProcessPool("its own")


ODD = {
    "odd": "Odd: no foxes",
    "mute": "its text raises LookupError",
    "long": "no foxes",
    "cancelled": "it raised CancelledError",
    "closed": "it raised GeneratorExit",
    "interrupted": "it raised KeyboardInterrupt",
    "empty": "it raised StopIteration",
    "withdrawn": "it raised CancelledError",
    "broken": "it raised BrokenProcessPool: its own",
}
"""
The prompts, and what is reported of each error.
"""


def leave(source: Path | bytes, info: FileInfo) -> None:
    """
    End the program.
    """
    sys.exit("enough")


def die_once(source: Path | bytes, info: FileInfo) -> str:
    """
    Kill the process, the first time.
    """
    assert isinstance(source, Path)
    mark = source.with_suffix(".mark")
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


def die_of_foxes(source: Path | bytes, info: FileInfo) -> str:
    """
    Kill the process, each time, for a fox.
    """
    if "fox" in info.request.prompt:
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


def die(source: Path | bytes, info: FileInfo) -> None:
    """
    Kill the process.
    """
    os.kill(os.getpid(), signal.SIGKILL)


def note_and_die(source: Path | bytes, info: FileInfo) -> None:
    """
    Note that it was called, and kill the process on foxes.
    """
    assert isinstance(source, Path)
    with source.with_suffix(f".{info.key}.calls").open("a") as calls:
        calls.write("x")
    if "fox" in caption_of(info.request):
        os.kill(os.getpid(), signal.SIGKILL)


def interrupt(source: Path | bytes, info: FileInfo) -> str:
    """
    Run while the user presses Ctrl-C.
    """
    signal.raise_signal(signal.SIGINT)
    return "done"


def change(source: Path | bytes, info: FileInfo) -> int:
    """
    Shorten a file in place.
    """
    assert isinstance(source, Path)
    return source.write_bytes(source.read_bytes()[:-1])


async def later(source: Path | bytes, info: FileInfo) -> None:
    """
    Return a coroutine.
    """


def dawdle(source: Path | bytes, info: FileInfo) -> str:
    """
    Take a while.
    """
    time.sleep(0.3)
    return "done"


def fingerprint(source: Path | bytes, info: FileInfo) -> tuple[bytes, int]:
    """
    Return a picture's thumbnail, as PNG, and its perceptual hash: which of its low frequencies are strong. This is
    heavy, and pure.
    """
    with Image.open(source if isinstance(source, Path) else io.BytesIO(source)) as image:
        gray = image.convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        image.thumbnail((48, 48))
        thumbnail = io.BytesIO()
        image.save(thumbnail, "png")
    pixels = gray.tobytes()
    rows = [cosines(pixels[SIDE * y : SIDE * (y + 1)]) for y in range(SIDE)]
    low = [strength for column in zip(*rows, strict=True) for strength in cosines(column)][1:]
    middle = sorted(low)[len(low) // 2]
    return thumbnail.getvalue(), sum(1 << bit for bit, strength in enumerate(low) if strength > middle)


SIDE = 32
COSINES = [[math.cos(math.pi * k * (2 * x + 1) / (2 * SIDE)) for x in range(SIDE)] for k in range(8)]


def cosines(values: Sequence[float]) -> list[float]:
    """
    Return the eight lowest frequencies of *values*.
    """
    return [sum(map(operator.mul, values, cosine)) for cosine in COSINES]
