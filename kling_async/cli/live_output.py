"""
Output of commands on a terminal: lines that stay, and a part below them that is redrawn.
"""

from collections.abc import Mapping
from typing import Final, Self

from rich import box
from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from kling_async.wire.redaction import one_line

__all__ = ["LiveOutput", "boxed", "progress_bar", "retry_line", "width_of_names"]

_PROMPT_MIN: Final = 16  # on a narrow terminal, a prompt tells rows apart, and the names of their files hardly do


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
