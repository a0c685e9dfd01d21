"""
Counting what a client tells.
"""

from pathlib import Path
from typing import Any

import pytest

from kling_async.client.events import EventKind, TaskEvent
from kling_async.errors import ContentRefused, DownloadFailed, KlingError, NoFreeSlot, ServiceFailure
from kling_async.integrations.progress import Stage, Tally
from kling_async.wire.tasks import TaskSnapshot, TaskStatus

WELL = TaskSnapshot(task_id="t-1", task_status=TaskStatus.SUCCEEDED)
BADLY = TaskSnapshot(task_id="t-1", task_status=TaskStatus.FAILED, task_status_msg="no foxes")


def event(kind: EventKind, number: int | None = 1, **fields: Any) -> TaskEvent:
    return TaskEvent(**{"kind": kind, "at": 0.0, "number": number, **fields})


def tally_of(*events: TaskEvent) -> Tally:
    tally = Tally()
    for each in events:
        tally.take(each)
    return tally


def counts_of(tally: Tally) -> dict[Stage, int]:
    return {stage: count for stage, count in tally.counts.items() if count}


@pytest.mark.parametrize(
    ("events", "stage"),
    [
        ([event(EventKind.WAITING)], Stage.WAITING),
        ([event(EventKind.SENDING)], Stage.WAITING),
        ([event(EventKind.SENDING), event(EventKind.RETRY, error=ServiceFailure("no"), delay=1.0)], Stage.WAITING),
        ([event(EventKind.SENDING), event(EventKind.SUBMITTED)], Stage.RUNNING),
        ([event(EventKind.RESUMED)], Stage.RUNNING),
        ([event(EventKind.SUBMITTED), event(EventKind.PROCESSING)], Stage.RUNNING),
        ([event(EventKind.SUBMITTED), event(EventKind.FINAL, snapshot=WELL)], Stage.DONE),
        ([event(EventKind.SUBMITTED), event(EventKind.FINAL, snapshot=BADLY)], Stage.FAILED),
        ([event(EventKind.NO_TASK, error=ContentRefused("no"))], Stage.FAILED),
        ([event(EventKind.WAITING), event(EventKind.NO_TASK)], Stage.CANCELLED),
        ([event(EventKind.SUBMITTED), event(EventKind.TROUBLE, error=KlingError("no"))], Stage.LEFT),
        ([event(EventKind.NO_TASK, error=KlingError("no")), event(EventKind.SUBMITTED)], Stage.RUNNING),
        ([event(EventKind.PROCESSING, None, task_id="t-1")], Stage.RUNNING),
    ],
)
def test_submit_is_in_one_stage(events: list[TaskEvent], stage: Stage) -> None:
    """
    Each is counted once, where it has come to last.
    """
    tally = tally_of(*events)

    assert {stage: 1} == counts_of(tally)
    assert 1 == tally.known
    assert (stage in (Stage.WAITING, Stage.RUNNING)) == tally.is_busy


def test_every_kind_is_counted() -> None:
    """
    None is unheard of, so that a new one is not forgotten here.
    """
    for kind in EventKind:
        tally_of(event(kind))


def test_pictures_are_counted_of_whatever_task() -> None:
    """
    A result may be saved when its task is long forgotten; then it is nothing new.
    """
    saved = event(EventKind.SAVED, None, task_id="t-1", paths=(Path("a.png"), Path("b.png")))
    tally = tally_of(event(EventKind.FINAL, snapshot=WELL), saved)

    assert 2 == tally.files
    assert {Stage.DONE: 1} == counts_of(tally)
    assert not tally.is_new(saved)


def test_what_was_counted_is_not_new() -> None:
    """
    Submits are told apart by their number, what was picked up by its task's id.
    """
    tally = tally_of(event(EventKind.SENDING, 1), event(EventKind.PROCESSING, None, task_id="t-9"))

    assert [False, True, False, True] == [
        tally.is_new(event(EventKind.SUBMITTED, 1, task_id="t-1")),
        tally.is_new(event(EventKind.SENDING, 2)),
        tally.is_new(event(EventKind.FINAL, None, task_id="t-9", snapshot=WELL)),
        tally.is_new(event(EventKind.FINAL, None, task_id="t-8", snapshot=WELL)),
    ]


def test_hindrance_passes_and_failure_stays() -> None:
    """
    Why something is tried again is of no interest once anything was accepted; why something failed is.
    """
    tally = tally_of(event(EventKind.NO_TASK, 1, error=ContentRefused("no")))
    tally.take(event(EventKind.RETRY, 2, error=ServiceFailure("down"), delay=1.0))
    assert "down" == str(tally.hindrance)
    tally.take(event(EventKind.SUBMITTED, 2))

    assert tally.hindrance is None
    assert "no" == str(tally.failure)


@pytest.mark.parametrize(
    ("last", "failure"),
    [
        (event(EventKind.FINAL, snapshot=BADLY, task_id="t-1"), "TaskFailed('no foxes (task t-1)')"),
        (event(EventKind.SAVED, error=DownloadFailed("gone")), "DownloadFailed('gone')"),
        (event(EventKind.WAITING, error=NoFreeSlot("full")), "None"),
        (event(EventKind.FINAL, snapshot=WELL), "None"),
    ],
)
def test_failure_is_told(last: TaskEvent, failure: str) -> None:
    """
    Of tasks, of submits and of pictures; waiting for slots is none.
    """
    assert failure == repr(tally_of(last).failure)


def test_time_stands_when_all_has_ended() -> None:
    """
    What is saved an hour later has not taken an hour.
    """
    tally = Tally()
    assert 0.0 == tally.seconds(now=100.0)
    tally.take(event(EventKind.SENDING, at=10.0))
    assert 5.0 == tally.seconds(now=15.0)
    tally.take(event(EventKind.FINAL, at=20.0, snapshot=WELL))
    tally.take(event(EventKind.SAVED, at=3600.0))

    assert 10.0 == tally.seconds(now=4000.0)
