from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest

from kling_async import Image, ImageRequest, TaskResult, TaskSnapshot, TaskStatus, TextToVideo
from kling_async.cli.task_board import TaskBoard, TaskRow, TaskStage
from kling_async.client.handle import TaskHandle
from kling_async.errors import (
    BudgetExceeded,
    DownloadFailed,
    NotAuthenticated,
    NotSent,
    SubmissionUncertain,
    WaitTimeout,
)
from kling_async.wire.endpoints.registry import endpoint_of


@attrs.define
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def board(clock: Clock) -> TaskBoard:
    return TaskBoard.of([ImageRequest("a fox"), ImageRequest("an owl", n=2)], clock)


def handle_of(request: Any, status: TaskStatus, units: int | None = None) -> TaskHandle:
    handle = TaskHandle("t-1", request, lambda _: None)
    deduction = None if units is None else Decimal(units)
    handle.apply(
        TaskSnapshot(task_id="t-1", task_status=status, status_word=status.value, final_unit_deduction=deduction)
    )
    return handle


def test_stages(board: TaskBoard, clock: Clock) -> None:
    """
    A row goes from waiting over running and saving to done, and its seconds run from acceptance to the end.
    """
    row = board.rows[0]
    stages = [row.stage]
    clock.now = 103.0
    handle = handle_of(row.request, TaskStatus.PROCESSING)
    board.accept(row, handle)
    stages.append(row.stage)
    assert handle.snapshot is not None
    board.succeed(row, TaskResult("t-1", (Image(0, "http://x/0.png"),), handle.snapshot))
    stages.append(row.stage)
    clock.now = 105.0
    board.finish(row, {("image", 0): Path("0.png")})
    stages.append(row.stage)
    clock.now = 109.0

    assert [TaskStage.WAITING, TaskStage.RUNNING, TaskStage.SAVING, TaskStage.DONE] == stages
    assert 2.0 == row.seconds(clock())
    assert [board.rows[1]] == board.at(TaskStage.WAITING)


def test_row_tells_the_newest_word(board: TaskBoard) -> None:
    """
    A row shows what its handle has last seen, without being told.
    """
    row = board.rows[0]
    handle = handle_of(row.request, TaskStatus.SUBMITTED)
    board.accept(row, handle)
    before = row.word
    handle.apply(TaskSnapshot(task_id="t-1", task_status=TaskStatus.PROCESSING, status_word="processing"))

    assert ("submitted", "processing") == (before, row.word)


def test_facts(board: TaskBoard, clock: Clock) -> None:
    """
    The summary counts what is on the disk and what the service billed, also where a task failed.
    """
    board.accept(board.rows[0], handle_of(board.rows[0].request, TaskStatus.SUCCEEDED, units=4))
    board.finish(board.rows[0], {("image", 0): Path("0.png")})
    board.finish(board.rows[1], {("image", 1): Path("1.png")}, DownloadFailed("gone", "t-2"))
    clock.now = 107.25

    assert {"tasks": "1 done, 1 failed", "pictures": "2", "units": "4", "seconds": "7.2"} == board.facts()


def test_picked_up(clock: Clock) -> None:
    """
    A task that was picked up is under way from the start and is called by its id; one that has not ended in time has
    not failed.
    """
    done, busy = handle_of(None, TaskStatus.SUCCEEDED), handle_of(None, TaskStatus.PROCESSING)
    board = TaskBoard.of_tasks([done, busy], clock)
    stages = [row.stage for row in board.rows]
    assert done.snapshot is not None
    board.succeed(
        board.rows[0], TaskResult("t-1", (Image(0, "http://x/0.png"), Image(1, "http://x/1.png")), done.snapshot)
    )
    board.finish(board.rows[0], {})
    board.fail(board.rows[1], WaitTimeout("later", "t-1"))

    assert [TaskStage.RUNNING, TaskStage.RUNNING] == stages
    assert ("t-1", None) == (board.rows[0].caption, board.rows[0].external_task_id)
    assert ("1 done, 1 unfinished", "0") == (board.facts()["tasks"], board.facts()["files"])
    assert "2, not saved" == board.facts(is_saved=False)["pictures"]
    assert "files" not in board.facts(is_saved=False)


def test_units_of_different_packs(clock: Clock) -> None:
    """
    Units of images and units of videos cost differently: they are told apart, as are the files.
    """
    requests = (ImageRequest("a fox"), TextToVideo("a fox"), TextToVideo("an owl"))
    board = TaskBoard.of(requests, clock)
    for row, units, kind in zip(board.rows, (1, 3, 4), ("image", "video", "video"), strict=True):
        handle = handle_of(row.request, TaskStatus.SUCCEEDED, units)
        handle.endpoint = endpoint_of(type(row.request))
        board.accept(row, handle)
        board.finish(row, {(kind, 0): Path(f"{row.number}")})

    facts = board.facts()
    assert {
        "pictures": "1",
        "videos": "2",
        "units": "1 for image generation, 7 for text to video",
    }.items() <= facts.items()


def test_units_not_told(board: TaskBoard) -> None:
    """
    A service that does not say what it takes is not said to take nothing.
    """
    assert "unknown" == board.facts()["units"]


def test_requests_that_were_not_sent_cost_nothing(board: TaskBoard) -> None:
    """
    But one that may have become a task may cost something.
    """
    first, second = board.rows
    board.fail(first, NotSent("no connection"))
    board.fail(second, BudgetExceeded("too much"))
    unsent = board.facts()["units"]
    second.error = SubmissionUncertain("the connection broke")

    assert ["0", "unknown"] == [unsent, board.facts()["units"]]


def test_a_task_whose_key_was_refused_later_may_cost_something(board: TaskBoard) -> None:
    """
    It was accepted before.
    """
    for row in board.rows:
        board.accept(row, handle_of(row.request, TaskStatus.PROCESSING))
        board.fail(row, NotAuthenticated("the key has expired"))

    assert "unknown" == board.facts()["units"]


def test_task_of_an_error() -> None:
    """
    A row without a handle tells the ids that its error carries: those are what one looks for before paying again.
    """
    request = ImageRequest("a fox", external_task_id="mine-1")
    row = TaskRow(1, ImageRequest("a fox"), error=SubmissionUncertain("lost", "t-9", request=request))

    assert ("t-9", "mine-1") == (row.task_id, row.external_task_id)


def test_acceptance_ends_trouble(board: TaskBoard) -> None:
    """
    What went wrong is forgotten once the service takes a task again.
    """
    board.trouble = str(NotSent("no connection"))
    board.accept(board.rows[0], handle_of(board.rows[0].request, TaskStatus.SUBMITTED))

    assert board.trouble is None
