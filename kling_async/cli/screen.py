"""
Shows the tasks of a command: redrawn on a terminal, plain lines elsewhere.
"""

import contextlib
import sys
from collections import Counter
from pathlib import Path
from typing import Self, TextIO, TypeAlias

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from kling_async.cli.formatting import count_files, describe_files, plural
from kling_async.cli.live_output import LiveOutput, progress_bar, retry_line, width_of_names
from kling_async.cli.task_board import TaskBoard, TaskRow, TaskStage
from kling_async.cli.terminal import STATUS_STYLES, PlainOutput, is_interactive, repeating
from kling_async.errors import WaitTimeout
from kling_async.wire.redaction import one_line

__all__ = [
    "LiveTaskScreen",
    "PlainTaskScreen",
    "TaskScreen",
    "draw_ended",
    "draw_progress",
    "open_screen",
    "open_screen_beside",
]


class PlainTaskScreen(PlainOutput):
    """
    One line per event, without control codes. All text but prompts and the service's messages is ASCII.
    """

    def __init__(self, file: TextIO, board: TaskBoard) -> None:
        super().__init__(file)
        self._board = board

    def accepted(self, row: TaskRow) -> None:
        self._event(row, f"accepted as {row.task_id}: {one_line(row.caption)}")

    def ended(self, row: TaskRow) -> None:
        paths = ", ".join((*map(str, row.paths), *row.records))
        if row.error is not None:
            word = "unfinished" if isinstance(row.error, WaitTimeout) else "failed"
            self._event(row, f"{word}: {one_line(row.caption)}: {type(row.error).__name__}: {row.error}")
        elif row.request is None:  # a task of an earlier run: its duration is unknown
            self._event(row, f"done: {row.caption}: {paths or _count_files(row)}")
        else:
            self._event(row, f"done after {row.seconds(self._board.clock()):.1f} s: {paths}")

    def _event(self, row: TaskRow, text: str) -> None:
        total = len(self._board.rows)
        self.say(f"[{self._board.seconds:6.1f} s] {row.number:>{len(str(total))}}/{total} {text}")


class LiveTaskScreen(LiveOutput):
    """
    Rows that have ended scroll up; below them are the running tasks and a progress bar.
    """

    def __init__(self, console: Console, board: TaskBoard) -> None:
        super().__init__(console)
        self._board = board
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        await self._stack.enter_async_context(repeating(self._redraw, 0.1))
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await super().__aexit__(*exc_info)
        await self._stack.aclose()

    def accepted(self, row: TaskRow) -> None:  # noqa: ARG002 (the board shows it)
        self._refresh()

    def ended(self, row: TaskRow) -> None:
        self._console.print(draw_ended(row, row.seconds(self._board.clock()), self._console.width))
        self._refresh()

    def trouble(self, text: str) -> None:  # noqa: ARG002 (the board shows it)
        self._refresh()

    async def _redraw(self) -> None:
        self._refresh()

    def _refresh(self) -> None:
        if self._live.is_started:
            self._live.update(draw_progress(self._board, self._spinner, self._console.height), refresh=True)


TaskScreen: TypeAlias = LiveTaskScreen | PlainTaskScreen


def open_screen(file: TextIO, board: TaskBoard) -> TaskScreen:
    """
    Return the screen that suits *file*.
    """
    return LiveTaskScreen(Console(file=file), board) if is_interactive(file) else PlainTaskScreen(file, board)


def open_screen_beside(board: TaskBoard, *, as_json: bool) -> TaskScreen:
    """
    Return the screen of a command: with JSON on stdout it uses stderr.
    """
    if as_json and sys.stdout.isatty():  # on the same terminal, redrawing would overwrite the JSON lines
        return PlainTaskScreen(sys.stderr, board)
    return open_screen(sys.stderr if as_json else sys.stdout, board)


def draw_ended(row: TaskRow, seconds: float, width: int) -> RenderableType:
    """
    Draw a row that has ended, *width* columns wide: a mark, its time, the prompt, and its files or its error.
    """
    is_done = row.error is None
    names = Path(row.paths[0]).name if row.paths else ", ".join(row.records)
    if is_done and not names:
        names = _count_files(row)
    if len(row.paths) > 1:
        names += f" +{len(row.paths) - 1}"
    line = Table.grid(padding=(0, 1), expand=True)
    line.add_column(width=1)
    line.add_column(width=8, justify="right", no_wrap=True, style="dim")
    line.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    names_max = width_of_names(width, 1 + 8 + 3, 40)  # the mark, the time, and a blank after each column but the last
    line.add_column(no_wrap=True, overflow="ellipsis", max_width=names_max, style="green")
    mark = Text("✓", "bold green") if is_done else Text("✗", "bold red")
    line.add_row(mark, f"{seconds:.1f} s", Text(one_line(row.caption)), Text(one_line(names)))
    if row.error is None:
        return line
    reason = Text(one_line(f"{type(row.error).__name__}: {row.error}"), "red")
    return Group(line, Padding(reason, (0, 0, 0, 11)))


def _count_files(row: TaskRow) -> str:
    files = row.result.files if row.result is not None else ()
    return describe_files(count_files(Counter(file.kind for file in files)))


def draw_progress(board: TaskBoard, spinner: Spinner, height: int) -> RenderableType:
    """
    Draw the running tasks and a progress bar, in at most *height* lines.
    """
    running = board.at(TaskStage.RUNNING, TaskStage.SAVING)
    waiting = len(board.at(TaskStage.WAITING))
    room = max(1, height - 6)
    parts: list[RenderableType] = [Text()]
    if running:
        parts.append(_draw_rows(running[:room], board.clock(), spinner))
    if len(running) > room:
        parts.append(Text(f"  and {len(running) - room} more", "dim"))
    if waiting:
        parts.append(Text(f"  {waiting} waiting to be accepted", "dim"))
    if board.trouble is not None:
        parts.append(retry_line(board.trouble))
    files = describe_files(board.files_saved)
    counts = f"{board.ended}/{plural(len(board.rows), 'task')}  {files}  {board.seconds:.0f} s"
    return Group(*parts, progress_bar(len(board.rows), board.ended, counts))


def _draw_rows(rows: list[TaskRow], now: float, spinner: Spinner) -> Table:
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(width=1)
    grid.add_column(width=8, justify="right", no_wrap=True, style="dim")
    grid.add_column(width=10, no_wrap=True, overflow="ellipsis")
    grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    for row in rows:
        shown = Text(one_line(row.word), STATUS_STYLES[row.status])
        if row.stage is TaskStage.SAVING:
            shown = Text("saving", "magenta")
        grid.add_row(spinner, f"{row.seconds(now):.1f} s", shown, Text(one_line(row.caption)))
    return grid
