"""
Where a person looks: a display that moves on a terminal, plain lines anywhere else.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self, TextIO

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from kling_async.cli.task_board import TaskBoard, TaskRow, TaskStage
from kling_async.errors import WaitTimeout
from kling_async.wire.redaction import one_line

__all__ = [
    "STYLES",
    "LiveScreen",
    "PlainScreen",
    "Screen",
    "boxed",
    "finished",
    "is_interactive",
    "listed",
    "open_screen",
    "open_screen_beside",
    "print_error",
    "progress",
    "write_line",
]

_REFRESH = 0.1  # seconds
STYLES: Final = {"submitted": "yellow", "processing": "cyan", "saving": "magenta", "succeed": "green", "failed": "red"}
"""
The colours of words for a status.
"""


class Screen(Protocol):
    """
    What a command tells while it works; an async context manager, within which it may move.
    """

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def accepted(self, row: TaskRow) -> None:
        """
        The service has taken a request: from here on it costs money.
        """

    def ended(self, row: TaskRow) -> None:
        """
        A request has come to its end, good or bad.
        """

    def trouble(self, text: str) -> None:
        """
        Something goes wrong, and is tried again.
        """

    def say(self, text: str) -> None:
        """
        Print a line that stays.
        """

    def summary(self, facts: Mapping[str, str]) -> None:
        """
        Print what came of it all.
        """


def open_screen(file: TextIO, board: TaskBoard) -> Screen:
    """
    Return the screen that suits *file*.
    """
    return LiveScreen(Console(file=file), board) if is_interactive(file) else PlainScreen(file, board)


def open_screen_beside(board: TaskBoard, *, as_json: bool) -> Screen:
    """
    Return the screen of a command that may print JSON: then it has stderr, and stdout is for programs.
    """
    if as_json and sys.stdout.isatty():  # both on one terminal: what moves would swallow the lines
        return PlainScreen(sys.stderr, board)
    return open_screen(sys.stderr if as_json else sys.stdout, board)


def is_interactive(file: TextIO) -> bool:
    """
    Tell whether *file* is a terminal that can move; FORCE_COLOR does not make one of a pipe.
    """
    return file.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")


def write_line(file: TextIO, text: str) -> None:
    """
    Write a line at once.
    """
    file.write(text + "\n")
    file.flush()


def print_error(*lines: str) -> None:
    """
    Print to stderr, whatever stdout is for.
    """
    for line in lines:
        write_line(sys.stderr, line)


class PlainScreen:
    """
    One line per event, in ASCII but for what was asked and answered, never a control code.
    """

    def __init__(self, file: TextIO, board: TaskBoard) -> None:
        self._file = file
        self._board = board
        self._last_trouble = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def accepted(self, row: TaskRow) -> None:
        self._event(row, f"accepted as {row.task_id}: {one_line(row.title)}")

    def ended(self, row: TaskRow) -> None:
        if row.error is not None:
            word = "not ended" if isinstance(row.error, WaitTimeout) else "failed"
            self._event(row, f"{word}: {one_line(row.title)}: {type(row.error).__name__}: {row.error}")
        elif row.request is None:  # how long it took before it was picked up is not known here
            self._event(row, f"done: {row.title}: {', '.join(map(str, row.paths)) or _made(row)}")
        else:
            paths = ", ".join(map(str, row.paths))
            self._event(row, f"done after {row.seconds(self._board.clock()):.1f} s: {paths}")

    def trouble(self, text: str) -> None:
        if text != self._last_trouble:  # the same is tried many times
            self._last_trouble = text
            self.say(f"trying again: {text}")

    def say(self, text: str) -> None:
        write_line(self._file, one_line(text))

    def summary(self, facts: Mapping[str, str]) -> None:
        for line in ("", *listed(facts)):
            self.say(line)

    def _event(self, row: TaskRow, text: str) -> None:
        total = len(self._board.rows)
        self.say(f"[{self._board.seconds:6.1f} s] {row.number:>{len(str(total))}}/{total} {text}")


class LiveScreen:
    """
    What has ended scrolls up; below it, what is under way and a bar over all, redrawn in the event loop itself.
    """

    def __init__(self, console: Console, board: TaskBoard) -> None:
        self._console = console
        self._board = board
        # stdout is left alone: it may be another file than the console's, and then it is for programs
        self._live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False)
        self._ticking: asyncio.Task[None] | None = None
        self._spinner = Spinner("dots", style="cyan")

    async def __aenter__(self) -> Self:
        self._live.start()
        self._ticking = asyncio.get_running_loop().create_task(self._tick())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()
        if self._ticking is not None:
            self._ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._ticking

    def accepted(self, row: TaskRow) -> None:  # noqa: ARG002 (it is on the board)
        self._refresh()

    def ended(self, row: TaskRow) -> None:
        self._console.print(finished(row, row.seconds(self._board.clock())))
        self._refresh()

    def trouble(self, text: str) -> None:  # noqa: ARG002 (it is on the board)
        self._refresh()

    def say(self, text: str) -> None:
        self._console.print(Text(one_line(text)))

    def summary(self, facts: Mapping[str, str]) -> None:
        self._console.print()
        self._console.print(boxed(facts))

    def _refresh(self) -> None:
        if self._live.is_started:
            self._live.update(progress(self._board, self._spinner, self._console.height), refresh=True)

    async def _tick(self) -> None:
        while True:
            self._refresh()
            await asyncio.sleep(_REFRESH)


def listed(facts: Mapping[str, str]) -> list[str]:
    """
    Return *facts* as lines, their values one below the other.
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


def finished(row: TaskRow, seconds: float) -> RenderableType:
    """
    Draw a row that has ended: a mark, its time, the prompt, and its files or its error.
    """
    is_done = row.error is None
    names = Path(row.paths[0]).name if row.paths else _made(row) if is_done else ""
    if len(row.paths) > 1:
        names += f" +{len(row.paths) - 1}"
    line = Table.grid(padding=(0, 1), expand=True)
    line.add_column(width=1)
    line.add_column(width=8, justify="right", no_wrap=True, style="dim")
    line.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    line.add_column(no_wrap=True, overflow="ellipsis", max_width=40, style="green")
    mark = Text("✓", "bold green") if is_done else Text("✗", "bold red")
    line.add_row(mark, f"{seconds:.1f} s", Text(one_line(row.title)), Text(one_line(names)))
    if row.error is None:
        return line
    reason = Text(one_line(f"{type(row.error).__name__}: {row.error}"), "red")
    return Group(line, Padding(reason, (0, 0, 0, 11)))


def _made(row: TaskRow) -> str:
    count = len(row.result.images) if row.result is not None else 0
    return "1 picture" if count == 1 else f"{count} pictures"


def progress(board: TaskBoard, spinner: Spinner, height: int) -> RenderableType:
    """
    Draw what is under way, in at most *height* lines: a row for each task, then a bar over all.
    """
    under_way = board.at(TaskStage.RUNNING, TaskStage.SAVING)
    waiting = len(board.at(TaskStage.WAITING))
    room = max(1, height - 6)
    parts: list[RenderableType] = [Text()]
    if under_way:
        parts.append(_rows(under_way[:room], board.clock(), spinner))
    if len(under_way) > room:
        parts.append(Text(f"  and {len(under_way) - room} more", "dim"))
    if waiting:
        parts.append(Text(f"  {waiting} waiting to be accepted", "dim"))
    if board.trouble is not None:
        parts.append(Text(f"! trying again: {one_line(board.trouble)}", "yellow", no_wrap=True, overflow="ellipsis"))
    return Group(*parts, _bar(board))


def _rows(rows: list[TaskRow], now: float, spinner: Spinner) -> Table:
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(width=1)
    grid.add_column(width=8, justify="right", no_wrap=True, style="dim")
    grid.add_column(width=10, no_wrap=True, overflow="ellipsis")
    grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    for row in rows:
        word = "saving" if row.stage is TaskStage.SAVING else row.word
        shown = Text(one_line(word), STYLES.get(word, ""))
        grid.add_row(spinner, f"{row.seconds(now):.1f} s", shown, Text(one_line(row.title)))
    return grid


def _bar(board: TaskBoard) -> Table:
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(ratio=1)
    grid.add_column(no_wrap=True)
    counts = f"{board.ended}/{len(board.rows)} tasks  {board.pictures} pictures  {board.seconds:.0f} s"
    grid.add_row(
        ProgressBar(total=len(board.rows), completed=board.ended, complete_style="cyan", finished_style="green"),
        Text(counts),
    )
    return grid
