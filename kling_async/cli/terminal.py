"""
Output of commands: lines that stay, and on a terminal a part below them that is redrawn.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Final, Self, TextIO

from rich import box
from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from kling_async.wire.redaction import one_line
from kling_async.wire.tasks import TaskStatus

__all__ = [
    "STATUS_STYLES",
    "LiveOutput",
    "PlainOutput",
    "aligned",
    "boxed",
    "is_interactive",
    "print_error",
    "progress_bar",
    "repeating",
    "retry_line",
    "width_of_names",
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

_PROMPT_MIN: Final = 16  # on a narrow terminal, a prompt tells rows apart, and the names of their files hardly do


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


class LiveOutput:
    """
    Prints lines above a part that is redrawn, as an async context manager.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        # stdout is not redirected: the console may be stderr while stdout is for programs
        self._live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False)
        self._spinner = Spinner("dots", style="cyan")

    async def __aenter__(self) -> Self:
        self._live.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._live.stop()

    def say(self, text: str) -> None:
        """
        Print a line that stays.
        """
        self._console.print(Text(one_line(text)))

    def trouble(self, text: str) -> None:
        """
        Do nothing: the redrawn part shows the error that is being retried.
        """

    def summary(self, facts: Mapping[str, str]) -> None:
        """
        Print the results at the end.
        """
        self._console.print()
        self._console.print(boxed(facts))


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


def boxed(facts: Mapping[str, str]) -> RenderableType:
    """
    Draw *facts* in a box.
    """
    table = Table(box=box.ROUNDED, show_header=False, border_style="dim")
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for name, value in facts.items():
        table.add_row(Text(name), Text(one_line(value)))
    return table


def width_of_names(width: int, others: int, most: int) -> int:
    """
    Return how wide the names of files may be in a row of *width* columns: *most*, if the prompt keeps enough of them.

    Args:
        others: The columns of the row that are neither names nor prompt.
    """
    return max(1, min(most, width - others - _PROMPT_MIN))


def retry_line(trouble: str) -> Text:
    """
    Draw an error that is being retried.
    """
    return Text(f"! retrying: {one_line(trouble)}", "yellow", no_wrap=True, overflow="ellipsis")


def progress_bar(total: int, completed: int, counts: str) -> Table:
    """
    Draw a bar as wide as the console allows, and *counts* beside it.
    """
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(ratio=1)
    grid.add_column(no_wrap=True)
    bar = ProgressBar(total=total, completed=completed, complete_style="cyan", finished_style="green")
    grid.add_row(bar, Text(counts))
    return grid
