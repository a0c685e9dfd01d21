"""
Shows the progress of a batch: redrawn on a terminal, plain lines elsewhere. Its size does not depend on the number of
rows.
"""

import asyncio
import collections
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, Self, TextIO, TypeAlias

import attrs
from rich.console import Console, ConsoleDimensions, Group, RenderableType
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from kling_async.batch.records import Summary
from kling_async.cli.batch.progress import BatchProgress, file_counts, state_counts
from kling_async.cli.formatting import describe_files, format_units, plural
from kling_async.cli.live_output import LiveOutput, progress_bar, retry_line, width_of_names
from kling_async.cli.terminal import PlainOutput, is_interactive, repeating
from kling_async.client.handle import TaskHandle
from kling_async.client.outcomes import Done, Failed
from kling_async.errors import KlingError, SubmissionUncertain
from kling_async.wire.endpoints.registry import caption_of
from kling_async.wire.redaction import one_line

__all__ = ["BatchScreen", "BatchView", "LiveBatchScreen", "PlainBatchScreen", "draw", "open_screen", "outcome_text"]

LAST: Final = 3
"""
The number of saved rows that are shown.
"""

FAILURES: Final = 20
"""
The failures that are shown at each redraw; the rest is counted.
"""


@attrs.frozen
class BatchView:
    """
    The data that a screen shows.
    """

    progress: BatchProgress
    read_summary: Callable[[], Awaitable[Summary]]
    running: Callable[[], Sequence[TaskHandle]]

    def refreshing(self, show: Callable[[], None], seconds: float) -> contextlib.AbstractAsyncContextManager[None]:
        """
        Read the summary and call *show*, again and again within the block.
        """
        loop, due = asyncio.get_running_loop(), 0.0

        async def refresh() -> None:
            nonlocal due
            if loop.time() >= due:
                began = loop.time()
                with contextlib.suppress(KlingError, OSError):  # the run meets the same error and reports it
                    self.progress.summary = await self.read_summary()
                # Counting takes longer the more rows there are: spend at most 1/20 of the time on it.
                due = loop.time() + max(seconds, 20 * (loop.time() - began))
            show()

        return repeating(refresh, seconds)


class PlainBatchScreen(PlainOutput):
    """
    One line per outcome, and one about the progress every *interval* seconds, without control codes.
    """

    def __init__(self, file: TextIO, view: BatchView, interval: float = 30.0) -> None:
        super().__init__(file)
        self._view = view
        self._interval = interval
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._view.refreshing(self.show, self._interval))
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    def ended(self, outcome: Done | Failed) -> None:
        ended, rows = self._view.progress.position
        self.say(f"[{self._view.progress.seconds:6.1f} s] {ended:>{len(str(rows))}}/{rows} {outcome_text(outcome)}")

    def show(self) -> None:
        if self._view.progress.ended:
            self.say(f"[{self._view.progress.seconds:6.1f} s] {self._view.progress.line()}")


class LiveBatchScreen(LiveOutput):
    """
    Failures scroll up; below them are the rows saved last, the running tasks, and a progress bar.
    """

    def __init__(self, console: Console, view: BatchView) -> None:
        super().__init__(console)
        self._view = view
        self._stack = contextlib.AsyncExitStack()
        self._last: collections.deque[Done] = collections.deque(maxlen=LAST)
        self._failures: list[Failed] = []
        self._more_failures = 0

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        await self._stack.enter_async_context(self._view.refreshing(self.show, 0.2))
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()
        self._print_failures()
        await super().__aexit__(*exc_info)

    def ended(self, outcome: Done | Failed) -> None:
        if isinstance(outcome, Done):
            self._last.append(outcome)
        elif len(self._failures) < FAILURES:
            self._failures.append(outcome)
        else:
            self._more_failures += 1

    def show(self) -> None:
        self._print_failures()
        drawn = draw(self._view.progress, self._last, self._view.running(), self._spinner, self._console.size)
        self._live.update(drawn, refresh=True)

    def _print_failures(self) -> None:
        failures, self._failures = self._failures, []
        for failure in failures:
            self._console.print(Text.assemble(("✗ ", "bold red"), (one_line(outcome_text(failure)), "red")))
        if self._more_failures:
            self._console.print(Text(f"✗ and {self._more_failures:,} more", "bold red"))
            self._more_failures = 0


BatchScreen: TypeAlias = LiveBatchScreen | PlainBatchScreen


def open_screen(file: TextIO, view: BatchView, *, is_plain: bool = False) -> BatchScreen:
    """
    Return the screen that suits *file*; with *is_plain* always lines.
    """
    is_live = is_interactive(file) and not is_plain
    return LiveBatchScreen(Console(file=file, highlight=False), view) if is_live else PlainBatchScreen(file, view)


def outcome_text(outcome: Done | Failed) -> str:
    """
    Return an outcome as one line.
    """
    prompt = outcome.caption
    if isinstance(outcome, Failed):
        word = "uncertain" if isinstance(outcome.error, SubmissionUncertain) else "failed"
        return f"{word}: {prompt}: {type(outcome.error).__name__}: {outcome.error}"
    return f"done: {prompt}: {', '.join(file.place for file in outcome.files)}"


def draw(
    progress: BatchProgress,
    last: Iterable[Done],
    running: Sequence[TaskHandle],
    spinner: Spinner,
    size: ConsoleDimensions,
) -> RenderableType:
    """
    Draw the progress in at most the lines of *size*.
    """
    done = list(last)
    room = max(0, size.height - len(done) - 8)
    names_max = width_of_names(size.width, 1 + 10 + 3, 36)  # the mark, the word, and a blank after each but the last
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(width=1)
    grid.add_column(width=10, no_wrap=True, overflow="ellipsis")
    grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    grid.add_column(no_wrap=True, overflow="ellipsis", max_width=names_max, style="green")
    for outcome in done:
        names = outcome.files[0].place.rpartition("/")[2] if outcome.files else ""
        more = f" +{len(outcome.files) - 1}" if len(outcome.files) > 1 else ""
        prompt = Text(one_line(outcome.caption), "dim")
        grid.add_row(Text("✓", "bold green"), Text("saved", "green"), prompt, Text(one_line(names + more)))
    for handle in running[:room]:
        word = handle.snapshot.status_word if handle.snapshot is not None else "accepted"
        prompt = Text(one_line(caption_of(handle.request) or handle.task_id))
        grid.add_row(spinner, Text(one_line(word), "cyan"), prompt, Text())
    parts: list[RenderableType] = [Text(), grid]
    if len(running) > room:
        parts.append(Text(f"  and {len(running) - room} more running", "dim"))
    if progress.trouble is not None:
        parts.append(retry_line(progress.trouble))
    return Group(*parts, Text(), *_draw_totals(progress))


def _draw_totals(progress: BatchProgress) -> list[RenderableType]:
    ended, rows = progress.position
    facts = [describe_files(file_counts(progress.summary))]
    if progress.summary.units_billed:
        facts.append(plural(progress.summary.units_billed, "unit"))
    if progress.summary.cash_billed:
        facts.append(f"{format_units(progress.summary.cash_billed)} in cash")
    facts += progress.outlook()
    lines = (Text(" · ".join(state_counts(progress.summary))), Text(" · ".join(facts), "dim"))
    for line in lines:
        line.no_wrap, line.overflow = True, "ellipsis"
    return [progress_bar(rows, ended, f"{ended:,}/{rows:,}"), *lines]
