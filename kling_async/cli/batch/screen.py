"""
Where a person watches a batch: a display of a fixed size on a terminal, plain lines anywhere else.
"""

import asyncio
import collections
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Final, Self, TextIO

import attrs
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from kling_async.batch.records import Summary
from kling_async.cli.batch.progress import BatchProgress, states, units
from kling_async.cli.screen import boxed, is_interactive, listed, write_line
from kling_async.client.handle import TaskHandle
from kling_async.client.outcomes import Done, Failed
from kling_async.errors import KlingError, SubmissionUncertain
from kling_async.wire.redaction import one_line

__all__ = ["LiveScreen", "PlainScreen", "View", "draw", "open_screen", "told"]

REDRAW: Final = 0.2
"""
Seconds between two looks of the display.
"""

STATUS_EVERY: Final = 30.0
"""
Seconds between two lines that say how it goes, where lines are all there is.
"""

SHARE: Final = 20
"""
What is counted in the journal takes longer the more rows there are: at most this part of the time goes into it.
"""

LAST: Final = 3
"""
Rows that are shown after they were saved.
"""

FAILURES: Final = 20
"""
Failures that are shown between two looks; the rest is counted.
"""


@attrs.frozen
class View:
    """
    What a screen looks at to say how it goes.
    """

    progress: BatchProgress
    summary: Callable[[], Awaitable[Summary]]
    under_way: Callable[[], Sequence[TaskHandle]]


def open_screen(file: TextIO, view: View, *, is_plain: bool = False) -> "LiveScreen | PlainScreen":
    """
    Return the screen that suits *file*; with *is_plain* lines.
    """
    is_live = is_interactive(file) and not is_plain
    return LiveScreen(Console(file=file, highlight=False), view) if is_live else PlainScreen(file, view)


class _Screen:
    # Both have a loop that shows how it goes; as context managers they do so within.

    def __init__(self, view: View, pause: float) -> None:
        self._view = view
        self._pause = pause
        self._ticking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._ticking = asyncio.get_running_loop().create_task(self._tick())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ticking is not None:
            self._ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._ticking

    async def _tick(self) -> None:
        loop, due = asyncio.get_running_loop(), 0.0
        while True:
            if loop.time() >= due:
                began = loop.time()
                with contextlib.suppress(KlingError, OSError):  # whatever it is, the run meets it too
                    self._view.progress.summary = await self._view.summary()
                due = loop.time() + max(self._pause, SHARE * (loop.time() - began))
            self.show()
            await asyncio.sleep(self._pause)

    def show(self) -> None:
        """
        Say how it goes.
        """
        raise NotImplementedError


class PlainScreen(_Screen):
    """
    One line per outcome, and now and then one that says how it goes; never a control code.
    """

    def __init__(self, file: TextIO, view: View) -> None:
        super().__init__(view, STATUS_EVERY)
        self._file = file
        self._last = ""

    def ended(self, outcome: Done | Failed) -> None:
        ended, rows = self._view.progress.position
        self.say(f"[{self._view.progress.seconds:6.1f} s] {ended:>{len(str(rows))}}/{rows} {told(outcome)}")

    def trouble(self, text: str) -> None:
        if text != self._last:  # the same is tried many times
            self._last = text
            self.say(f"trying again: {text}")

    def say(self, text: str) -> None:
        write_line(self._file, one_line(text))

    def summary(self, facts: Mapping[str, str]) -> None:
        for line in ("", *listed(facts)):
            self.say(line)

    def show(self) -> None:
        if self._view.progress.ended:
            self.say(f"[{self._view.progress.seconds:6.1f} s] {self._view.progress.told()}")


class LiveScreen(_Screen):
    """
    Failures scroll up; below them what was saved last, what is under way, and a bar over all.
    """

    def __init__(self, console: Console, view: View) -> None:
        super().__init__(view, REDRAW)
        self._console = console
        # stdout is left alone: it may be another file than the console's, and then it is for programs
        self._live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False)
        self._spinner = Spinner("dots", style="cyan")
        self._last: collections.deque[Done] = collections.deque(maxlen=LAST)
        self._failures: list[Failed] = []
        self._more_failures = 0

    async def __aenter__(self) -> Self:
        self._live.start()
        return await super().__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await super().__aexit__(kind, error, trace)
        self._print_failures()
        self._live.stop()

    def ended(self, outcome: Done | Failed) -> None:
        if isinstance(outcome, Done):
            self._last.append(outcome)
        elif len(self._failures) < FAILURES:
            self._failures.append(outcome)
        else:
            self._more_failures += 1

    def trouble(self, text: str) -> None:
        pass  # it is in the progress

    def say(self, text: str) -> None:
        self._console.print(Text(one_line(text)))

    def summary(self, facts: Mapping[str, str]) -> None:
        self._console.print()
        self._console.print(boxed(facts))

    def show(self) -> None:
        self._print_failures()
        under_way = self._view.under_way()
        drawn = draw(self._view.progress, self._last, under_way, self._spinner, self._console.height)
        self._live.update(drawn, refresh=True)

    def _print_failures(self) -> None:
        failures, self._failures = self._failures, []
        for failure in failures:
            self._console.print(Text.assemble(("✗ ", "bold red"), (one_line(told(failure)), "red")))
        if self._more_failures:
            self._console.print(Text(f"✗ and {self._more_failures:,} more", "bold red"))
            self._more_failures = 0


def told(outcome: Done | Failed) -> str:
    """
    Tell an outcome on one line.
    """
    prompt = outcome.caption
    if isinstance(outcome, Failed):
        word = "uncertain" if isinstance(outcome.error, SubmissionUncertain) else "failed"
        return f"{word}: {prompt}: {type(outcome.error).__name__}: {outcome.error}"
    return f"done: {prompt}: {', '.join(picture.place for picture in outcome.pictures)}"


def draw(
    progress: BatchProgress, last: Iterable[Done], under_way: Sequence[TaskHandle], spinner: Spinner, height: int
) -> RenderableType:
    """
    Draw how it goes in at most *height* lines.
    """
    done = list(last)
    room = max(0, height - len(done) - 8)
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(width=1)
    grid.add_column(width=10, no_wrap=True, overflow="ellipsis")
    grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    grid.add_column(no_wrap=True, overflow="ellipsis", max_width=36, style="green")
    for outcome in done:
        names = outcome.pictures[0].place.rpartition("/")[2] if outcome.pictures else ""
        more = f" +{len(outcome.pictures) - 1}" if len(outcome.pictures) > 1 else ""
        prompt = Text(one_line(outcome.caption), "dim")
        grid.add_row(Text("✓", "bold green"), Text("saved", "green"), prompt, Text(one_line(names + more)))
    for handle in under_way[:room]:
        word = handle.snapshot.status_word if handle.snapshot is not None else "accepted"
        prompt = Text(one_line(handle.request.prompt if handle.request is not None else handle.task_id))
        grid.add_row(spinner, Text(one_line(word), "cyan"), prompt, Text())
    parts: list[RenderableType] = [Text(), grid]
    if len(under_way) > room:
        parts.append(Text(f"  and {len(under_way) - room} more under way", "dim"))
    if progress.trouble is not None:
        text = f"! trying again: {one_line(progress.trouble)}"
        parts.append(Text(text, "yellow", no_wrap=True, overflow="ellipsis"))
    return Group(*parts, Text(), *_foot(progress))


def _foot(progress: BatchProgress) -> list[RenderableType]:
    ended, rows = progress.position
    bar = Table.grid(padding=(0, 1), expand=True)
    bar.add_column(ratio=1)
    bar.add_column(no_wrap=True)
    bar.add_row(
        ProgressBar(total=rows, completed=ended, complete_style="cyan", finished_style="green"),
        Text(f"{ended:,}/{rows:,}"),
    )
    facts = [f"{progress.summary.files:,} pictures"]
    if progress.summary.units_billed:
        facts.append(f"{units(progress.summary)} units")
    facts += progress.outlook()
    lines = (Text(" · ".join(states(progress.summary))), Text(" · ".join(facts), "dim"))
    for line in lines:
        line.no_wrap, line.overflow = True, "ellipsis"
    return [bar, *lines]
