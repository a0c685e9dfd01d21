import io
import re
from pathlib import Path

import pytest
from rich.console import Console, RenderableType
from rich.spinner import Spinner

from kling_async import Image, ImageRequest, TaskResult, TaskSnapshot, TaskStatus
from kling_async.cli.screen import PlainTaskScreen, draw_ended, draw_progress, open_screen
from kling_async.cli.task_board import TaskBoard
from kling_async.cli.terminal import is_interactive
from kling_async.client.handle import TaskHandle
from kling_async.errors import TaskFailed, WaitTimeout
from tests.fakes.terminal import Terminal


def board_of(*prompts: str) -> TaskBoard:
    return TaskBoard.of([ImageRequest(prompt) for prompt in prompts], clock=lambda: 0.0)


def drawn(what: RenderableType, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    with console.capture() as capture:
        console.print(what)
    return capture.get()


def test_pipe_is_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A pipe gets plain lines, also where the environment asks for colours.
    """
    monkeypatch.setenv("FORCE_COLOR", "1")

    assert isinstance(open_screen(io.StringIO(), board_of()), PlainTaskScreen)


@pytest.mark.parametrize(("term", "expected"), [("xterm", True), ("dumb", False)])
def test_dumb_terminal_is_plain(monkeypatch: pytest.MonkeyPatch, term: str, expected: bool) -> None:  # noqa: FBT001
    """
    A terminal that cannot move its cursor gets plain lines.
    """
    monkeypatch.setenv("TERM", term)

    assert expected is is_interactive(Terminal())


def test_plain_lines() -> None:
    """
    Each event is one line with the task's id, and what came from outside can neither break it nor colour it.
    """
    board = board_of("a fox\n\x1b[31mred")
    screen = PlainTaskScreen(file := io.StringIO(), board)
    board.accept(board.rows[0], TaskHandle("t-1", ImageRequest("a fox"), lambda _: None))
    screen.accepted(board.rows[0])
    board.fail(board.rows[0], TaskFailed("the task failed: \x07no", "t-1"))
    screen.ended(board.rows[0])

    assert [
        "[   0.0 s] 1/1 accepted as t-1: a fox �[31mred",
        "[   0.0 s] 1/1 failed: a fox �[31mred: TaskFailed: the task failed: �no (task t-1)",
    ] == file.getvalue().splitlines()


def test_plain_lines_of_picked_up_tasks() -> None:
    """
    A task without a prompt is called by its id; where nothing is saved its pictures are counted.
    """
    board = TaskBoard.of_tasks([TaskHandle(task_id, None, lambda _: None) for task_id in ("t-1", "t-2")], lambda: 0.0)
    screen = PlainTaskScreen(file := io.StringIO(), board)
    snapshot = TaskSnapshot(task_id="t-1", task_status=TaskStatus.SUCCEEDED)
    board.succeed(board.rows[0], TaskResult("t-1", (Image(0, "http://x/0.png"),), snapshot))
    board.finish(board.rows[0], {})
    board.fail(board.rows[1], WaitTimeout("later", "t-2"))
    for row in board.rows:
        screen.ended(row)

    assert [
        "[   0.0 s] 1/2 done: t-1: 1 picture",
        "[   0.0 s] 2/2 unfinished: t-2: WaitTimeout: later (task t-2)",
    ] == file.getvalue().splitlines()
    assert "1 picture" in drawn(draw_ended(board.rows[0], 1.0, 80))


def test_plain_trouble_once() -> None:
    """
    What is tried again and again is told once.
    """
    screen = PlainTaskScreen(file := io.StringIO(), board_of())
    screen.trouble("no connection")
    screen.trouble("no connection")

    assert "retrying: no connection\n" == file.getvalue()


def test_markup_is_text() -> None:
    """
    Brackets in a prompt are shown, not read as colours.
    """
    board = board_of("a [red]fox[/] and [/nothing]")
    board.finish(board.rows[0], {("image", 0): Path("0.png"), ("image", 1): Path("1.png")})

    line = drawn(draw_ended(board.rows[0], 1.25, 80))

    assert "a [red]fox[/] and [/nothing]" in line
    assert "0.png +1" in line


def test_failure_is_told_in_full() -> None:
    """
    A failed task shows the whole reason, however narrow the terminal.
    """
    board = board_of("a storm")
    board.fail(board.rows[0], TaskFailed("the task failed: Failure to pass the risk control system", "t-1"))

    words = drawn(draw_ended(board.rows[0], 1.0, 40), width=40).split()

    assert "TaskFailed: the task failed: Failure to pass the risk control system (task t-1)" in " ".join(words)


@pytest.mark.parametrize("width", [40, 80])
def test_prompt_stays(width: int) -> None:
    """
    On a narrow terminal the names of the files are cut, and not the prompt that tells the rows apart.
    """
    board = board_of("a red fox in fresh snow, and an owl", "a red fox in the rain")
    board.finish(board.rows[0], {("image", 0): Path("pictures/CjikY2gHPbcAAAAAAKJ0-A-and-more-of-it-0.png")})
    board.accept(board.rows[1], TaskHandle("t-1", ImageRequest("a fox"), lambda _: None))

    ended = drawn(draw_ended(board.rows[0], 12.0, width), width)
    running = drawn(draw_progress(board, Spinner("dots"), 24), width)

    assert "a red fox in fr" in ended
    assert "CjikY2gHPbc" in ended
    assert "a red fox in the" in running
    assert max(map(len, (ended + running).splitlines())) <= width


@pytest.mark.parametrize("height", [8, 24])
def test_progress_fits_the_terminal(height: int) -> None:
    """
    However many tasks are under way, the moving part is no higher than the terminal and tells how many more there are.
    """
    board = board_of(*(f"prompt {number}" for number in range(30)))
    for row in board.rows[:25]:
        board.accept(row, TaskHandle(f"t-{row.number}", ImageRequest("a fox"), lambda _: None))
    board.trouble = "the service rests"

    lines = drawn(draw_progress(board, Spinner("dots"), height)).splitlines()

    assert len(lines) <= height
    assert any("5 waiting to be accepted" in line for line in lines)
    assert any(re.search(r"and \d+ more", line) for line in lines)
    assert "0/30 tasks" in lines[-1]
