"""
Output of commands: lines that stay. `live_output` has what is redrawn on a terminal.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Final, Self, TextIO

from kling_async.wire.redaction import one_line
from kling_async.wire.tasks import TaskStatus

__all__ = [
    "STATUS_STYLES",
    "PlainOutput",
    "aligned",
    "is_interactive",
    "print_error",
    "repeating",
    "write_line",
]

STATUS_STYLES: Final = {
    TaskStatus.SUBMITTED: "yellow",
    TaskStatus.PROCESSING: "cyan",
    TaskStatus.SUCCEEDED: "green",
    TaskStatus.FAILED: "red",
    TaskStatus.UNKNOWN: "",
}
"""
The colours of status words, by their meaning.
"""


def is_interactive(file: TextIO) -> bool:
    """
    Return whether *file* is a terminal on which lines can be redrawn; FORCE_COLOR does not make a pipe one.
    """
    return file.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")


def write_line(file: TextIO, text: str) -> None:
    """
    Write a line and flush.
    """
    file.write(text + "\n")
    file.flush()


def print_error(*lines: str) -> None:
    """
    Print *lines* to stderr.
    """
    for line in lines:
        write_line(sys.stderr, line)


class PlainOutput:
    """
    Writes lines without control codes.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._last_trouble = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        pass

    def say(self, text: str) -> None:
        """
        Print a line that stays.
        """
        write_line(self._file, one_line(text))

    def trouble(self, text: str) -> None:
        """
        Report an error that is being retried; equal ones in a row once.
        """
        if text != self._last_trouble:
            self._last_trouble = text
            self.say(f"retrying: {text}")

    def summary(self, facts: Mapping[str, str]) -> None:
        """
        Print the results at the end.
        """
        for line in ("", *aligned(facts)):
            self.say(line)


@contextlib.asynccontextmanager
async def repeating(step: Callable[[], Awaitable[None]], seconds: float) -> AsyncIterator[None]:
    """
    Call *step* again and again, with pauses of *seconds*, until the block ends.
    """

    async def repeat() -> None:
        while True:
            await step()
            await asyncio.sleep(seconds)

    aio_task = asyncio.get_running_loop().create_task(repeat())
    try:
        yield
    finally:
        aio_task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await aio_task


def aligned(facts: Mapping[str, str]) -> list[str]:
    """
    Return a line for each of *facts*, with the values in one column.
    """
    width = max(map(len, facts))
    return [f"{name:<{width}}  {value}" for name, value in facts.items()]
