"""
The display: of a fixed size, for any number of rows.
"""

import asyncio
import io
from collections.abc import Sequence
from pathlib import Path

import attrs
import pytest
from rich.console import Console, ConsoleDimensions, RenderableType
from rich.spinner import Spinner

from kling_async import Done, Failed, Image, ImageRequest, Summary, TaskResult, TaskSnapshot, TaskStatus
from kling_async.cli.batch.progress import BatchProgress
from kling_async.cli.batch.screen import FAILURES, LAST, BatchView, LiveBatchScreen, PlainBatchScreen, draw, open_screen
from kling_async.client.handle import TaskHandle
from kling_async.errors import JournalCorrupt, SubmissionUncertain, TaskFailed
from kling_async.media.saved_files import SavedFile
from tests.fakes.simulated_loop import simulated

SNAPSHOT = TaskSnapshot(task_id="t-1", task_status=TaskStatus.SUCCEEDED)


def done(number: int = 0, prompt: str = "a fox") -> Done:
    result = TaskResult("t-1", (Image(0, "https://a.example/0.png"),), SNAPSHOT)
    picture = SavedFile(0, Path(f"pictures/{number}.png"), 100, "00")
    return Done(number, "k", ImageRequest(prompt), result, files=(picture,))


def failed(number: int = 0, prompt: str = "a storm") -> Failed:
    return Failed(number, "k", ImageRequest(prompt), TaskFailed("no", "t-1"))


@attrs.define(eq=False)
class Batch:
    """
    What a screen looks at; `looks` counts how often the journal is asked.
    """

    progress: BatchProgress = attrs.field(factory=lambda: BatchProgress(lambda: 0.0))
    handles: Sequence[TaskHandle] = ()
    summed_up: Summary = attrs.field(factory=lambda: Summary(queued=10))
    looks: int = 0

    def __attrs_post_init__(self) -> None:
        self.progress.start(self.summed_up)

    async def summary(self) -> Summary:
        self.looks += 1
        return self.summed_up

    @property
    def view(self) -> BatchView:
        return BatchView(self.progress, self.summary, lambda: self.handles)


def handles_of(count: int) -> list[TaskHandle]:
    return [TaskHandle(f"t-{number}", ImageRequest(f"prompt {number}"), lambda _: None) for number in range(count)]


def drawn(what: RenderableType, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    with console.capture() as capture:
        console.print(what)
    return capture.get().splitlines()


def terminal(monkeypatch: pytest.MonkeyPatch, **env: str) -> Console:
    for name, value in {"TERM": "xterm-256color", **env}.items():
        monkeypatch.setenv(name, value)
    return Console(file=io.StringIO(), force_terminal=True, width=80, height=24, highlight=False)


def output(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("height", [10, 24])
@pytest.mark.parametrize("under_way", [0, 9, 2000])
def test_display_fits_the_terminal(height: int, under_way: int) -> None:
    """
    However much is under way, the display is no higher than the terminal, and tells what it leaves out.
    """
    batch = Batch(summed_up=Summary(queued=1_000_000, accepted=under_way))
    batch.progress.trouble = "the service rests"

    lines = drawn(
        draw(batch.progress, [done()] * LAST, handles_of(under_way), Spinner("dots"), ConsoleDimensions(80, height))
    )

    assert len(lines) <= height
    assert any("0/1,00" in line for line in lines)
    assert any("1,000,000 queued" in line for line in lines)
    assert any("more running" in line for line in lines) is (under_way > max(0, height - LAST - 8))


@pytest.mark.parametrize("width", [40, 80])
def test_prompt_stays(width: int) -> None:
    """
    On a narrow terminal the names of the files are cut, and not the prompts that tell the rows apart.
    """
    saved = attrs.evolve(
        done(prompt="a red fox in fresh snow"),
        files=(SavedFile(0, Path("pictures/CjikY2gHPbcAAAAAAKJ0-A-and-more-0.png"), 100, "00"),),
    )
    running = TaskHandle("t-1", ImageRequest("a red fox in the rain"), lambda _: None)

    lines = drawn(draw(Batch().progress, [saved], [running], Spinner("dots"), ConsoleDimensions(width, 24)), width)

    assert any("a red fox in fr" in line and "CjikY2gHP" in line for line in lines)
    assert any("a red fox in th" in line for line in lines)
    assert max(map(len, lines)) <= width


def test_markup_is_text() -> None:
    """
    Brackets in a prompt are shown, and what came from outside moves no cursor.
    """
    lines = drawn(
        draw(Batch().progress, [done(prompt="a [red]fox[/]\x1b[2J")], [], Spinner("dots"), ConsoleDimensions(80, 24))
    )

    assert any("a [red]fox[/]�[2J" in line for line in lines)


async def test_live(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Failures stay on the terminal, many of them counted; what was saved is shown while it is news.
    """
    batch = Batch()
    async with LiveBatchScreen(console := terminal(monkeypatch), batch.view) as screen:
        for number in range(FAILURES + 5):
            screen.ended(failed(number))
        for number in range(1000):
            screen.ended(done(number))
        screen.show()
        screen.summary({"rows": "3 saved"})

    out = output(console)
    assert (FAILURES, 1) == (out.count("failed: a storm"), out.count("✗ and 5 more"))
    assert "999.png" in out
    assert "996.png" not in out
    assert "3 saved" in out


async def test_colours_are_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    NO_COLOR is heeded.
    """
    outs = []
    for env in ({}, {"NO_COLOR": "1"}):
        async with LiveBatchScreen(console := terminal(monkeypatch, **env), Batch().view) as screen:
            screen.ended(failed())
            screen.show()
        outs.append(output(console))

    assert [True, False] == ["\x1b[31m" in out for out in outs]


@simulated
async def test_journal_is_asked_sparingly() -> None:
    """
    A journal that takes half a second to be counted is asked every ten; the display goes on meanwhile.
    """

    class Slow(Batch):
        async def summary(self) -> Summary:
            await asyncio.sleep(0.5)
            return await super().summary()

    quick, slow = Batch(), Slow()
    for batch in (quick, slow):
        screen = PlainBatchScreen(io.StringIO(), batch.view, interval=0.2)
        async with screen:
            await asyncio.sleep(101)

    assert (505, 10) == (quick.looks, slow.looks)


async def test_journal_that_cannot_be_counted() -> None:
    """
    The display goes on with what it knows: what is wrong is told by the run itself.
    """

    class Moved(Batch):
        async def summary(self) -> Summary:
            self.looks += 1
            raise JournalCorrupt("moved")

    batch = Moved()
    screen = PlainBatchScreen(io.StringIO(), batch.view, interval=0.0)
    async with screen, asyncio.timeout(60):
        while batch.looks < 2:
            await asyncio.sleep(0)

    assert 10 == batch.progress.summary.queued


def test_plain() -> None:
    """
    One line per outcome, in which nothing can break the line; what is tried again and again is told once.
    """
    batch = Batch()
    screen = PlainBatchScreen(file := io.StringIO(), batch.view)
    for outcome in (done(prompt="a\nfox"), failed(), Failed(2, "k", ImageRequest("c"), SubmissionUncertain("lost"))):
        batch.progress.note(outcome)
        screen.ended(outcome)
    screen.trouble("no connection")
    screen.trouble("no connection")
    screen.show()

    assert [
        "[   0.0 s]  1/10 done: a fox: pictures/0.png",
        "[   0.0 s]  2/10 failed: a storm: TaskFailed: no (task t-1)",
        "[   0.0 s]  3/10 uncertain: c: SubmissionUncertain: lost",
        "retrying: no connection",
        "[   0.0 s] 3/10 ended, 10 queued, 0 files",
    ] == file.getvalue().splitlines()


def test_pipe_is_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A pipe gets lines, and so does a terminal that is wanted for JSON.
    """
    monkeypatch.setenv("TERM", "xterm")
    tty = io.StringIO()
    monkeypatch.setattr(tty, "isatty", lambda: True)

    assert isinstance(open_screen(io.StringIO(), Batch().view), PlainBatchScreen)
    assert isinstance(open_screen(tty, Batch().view, is_plain=True), PlainBatchScreen)
    assert isinstance(open_screen(tty, Batch().view), LiveBatchScreen)
