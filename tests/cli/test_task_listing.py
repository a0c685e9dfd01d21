import datetime as dt
import sys
from decimal import Decimal
from typing import Final

import pytest

from kling_async import Image, TaskSnapshot, TaskStatus
from kling_async.cli.task_listing import ListedTask, TaskListing
from kling_async.errors import NotSent
from kling_async.wire.tasks import TaskOutput
from tests.fakes.terminal import Terminal

NOON: Final = dt.datetime(2026, 1, 2, 12, tzinfo=dt.UTC)

DONE: Final = TaskSnapshot(
    task_id="CjikY2gHPbcAAAAAAKJ0-A",
    task_status=TaskStatus.SUCCEEDED,
    status_word="succeed",
    task_result=TaskOutput((Image(0, "http://x/0.png"),)),
    created_at=NOON,
    updated_at=NOON + dt.timedelta(seconds=7.25),
    final_unit_deduction=Decimal("2.50"),
)
FAILED: Final = TaskSnapshot(
    task_id="t-2",
    task_status=TaskStatus.FAILED,
    status_word="failed",
    task_status_msg="no [red]\x1b[31m\nway",
)
RESTING: Final = TaskSnapshot(task_id="t", task_status=TaskStatus.UNKNOWN, status_word="resting")


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (ListedTask.of(DONE, "image-generation"), ("succeed", "7.2", "1", "2.5", "")),
        (ListedTask.of(FAILED, "image-generation"), ("failed", "-", "0", "-", "no [red]�[31m way")),
        (ListedTask("t-3", None, NotSent("no way there"), "text-to-video"), ("-", "-", "-", "-", "NotSent")),
        (
            ListedTask.of(
                TaskSnapshot(task_id="t", task_status=TaskStatus.UNKNOWN, status_word="resting"), "text-to-video"
            ),
            ("resting", "-", "0", "-", ""),
        ),
    ],
    ids=["done", "failed", "unseen", "unknown word"],
)
def test_cells(told: ListedTask, expected: tuple[str, ...]) -> None:
    """
    What is not known is "-", and what came from outside cannot break a line.
    """
    assert expected == told.cells


def test_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A terminal gets a table at the end, with whole ids and brackets as they are, in the width that there is.
    """
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", screen := Terminal())
    with TaskListing(as_json=False) as listing:
        listing.add(ListedTask.of(DONE, "image-generation"))
        listing.add(ListedTask.of(FAILED, "image-generation"))
        before = screen.getvalue()

    lines = screen.getvalue().splitlines()
    assert "" == before
    assert 3 == len(lines)
    assert "CjikY2gHPbcAAAAAAKJ0-A" in lines[1]
    assert "no [red]" in lines[2]


def test_empty_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where there is nothing to tell there is no head either.
    """
    monkeypatch.setattr(sys, "stdout", screen := Terminal())
    with TaskListing(as_json=False):
        pass

    assert "" == screen.getvalue()
