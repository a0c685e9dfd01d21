"""
Which words are final, and which of two snapshots is the later truth.
"""

import datetime as dt
import functools
import itertools

import pytest
from hypothesis import given, strategies as st

from kling_async.wire.status import has_succeeded, is_final, is_settled, merge, read_word
from kling_async.wire.tasks import Image, TaskOutput, TaskSnapshot, TaskStatus

AT = dt.datetime(2026, 5, 28, tzinfo=dt.UTC)
PICTURES = TaskOutput((Image(0, "https://x/0.png"),))


def seen(status: TaskStatus, second: int | None = None, output: TaskOutput | None = None) -> TaskSnapshot:
    """
    Make a snapshot; *second* is by the service's clock, None where it tells no time.
    """
    at = None if second is None else AT + dt.timedelta(seconds=second)
    return TaskSnapshot(task_id="t-1", task_status=status, updated_at=at, task_result=output or TaskOutput())


SNAPSHOTS = st.builds(
    seen, st.sampled_from(TaskStatus), st.none() | st.integers(0, 5), st.sampled_from([TaskOutput(), PICTURES])
)


def fold(snapshots: list[TaskSnapshot]) -> TaskSnapshot:
    """
    See one after the other.
    """
    held = functools.reduce(merge, snapshots, None)
    assert held is not None
    return held


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("submitted", TaskStatus.SUBMITTED),
        ("NOT_START", TaskStatus.SUBMITTED),
        ("QUEUED", TaskStatus.SUBMITTED),
        ("processing", TaskStatus.PROCESSING),
        ("IN_PROGRESS", TaskStatus.PROCESSING),
        ("succeed", TaskStatus.SUCCEEDED),
        ("succeeded", TaskStatus.SUCCEEDED),
        ("SUCCESS", TaskStatus.SUCCEEDED),
        ("completed", TaskStatus.SUCCEEDED),
        ("failed", TaskStatus.FAILED),
        ("FAILURE", TaskStatus.FAILED),
        ("PARTIAL_COMPLETED", TaskStatus.UNKNOWN),
        ("UNKNOWN", TaskStatus.UNKNOWN),
        ("", TaskStatus.UNKNOWN),
    ],
)
def test_words(word: str, status: TaskStatus) -> None:
    """
    The vendor's words, the gateways' words, and any other: unknown, which is never final.
    """
    assert (status, word) == read_word(word)


def test_final() -> None:
    """
    Two statuses never change again.
    """
    assert {TaskStatus.SUCCEEDED, TaskStatus.FAILED} == {status for status in TaskStatus if is_final(status)}


@pytest.mark.parametrize(
    ("snapshot", "settled"),
    [
        (seen(TaskStatus.PROCESSING), False),
        (seen(TaskStatus.UNKNOWN), False),
        (seen(TaskStatus.FAILED), True),
        (seen(TaskStatus.SUCCEEDED), False),
        (seen(TaskStatus.SUCCEEDED, output=PICTURES), True),
    ],
)
def test_settled(snapshot: TaskSnapshot, *, settled: bool) -> None:
    """
    A task that succeeded is settled once its pictures are known.
    """
    assert settled is is_settled(snapshot)
    assert (settled and snapshot.task_status is TaskStatus.SUCCEEDED) is has_succeeded(snapshot)


def test_late_callback_changes_nothing() -> None:
    """
    A callback that says "processing" after success was seen is ignored, whatever its clock says.
    """
    done = seen(TaskStatus.SUCCEEDED, 1, PICTURES)

    assert done is merge(done, seen(TaskStatus.PROCESSING, 9))


def test_first_final_state_stays() -> None:
    """
    Of two ends of one task the first seen counts.
    """
    failed = seen(TaskStatus.FAILED, 1)

    assert failed is merge(failed, seen(TaskStatus.SUCCEEDED, 9, PICTURES))


def test_success_gains_its_pictures() -> None:
    """
    Where the service said "succeed" before it listed the pictures, the list is news; and only once.
    """
    bare, full = seen(TaskStatus.SUCCEEDED, 1), seen(TaskStatus.SUCCEEDED, 1, PICTURES)

    assert full is merge(bare, full)
    assert full is merge(full, bare)
    assert bare is merge(bare, seen(TaskStatus.SUCCEEDED, 2))


@pytest.mark.parametrize(
    ("held", "late"),
    [
        (seen(TaskStatus.PROCESSING, 5), seen(TaskStatus.SUBMITTED, 1)),
        (seen(TaskStatus.SUBMITTED, 5), seen(TaskStatus.PROCESSING, 1)),
        (seen(TaskStatus.PROCESSING), seen(TaskStatus.SUBMITTED)),
        (seen(TaskStatus.PROCESSING, 5), seen(TaskStatus.SUBMITTED)),
        (seen(TaskStatus.PROCESSING, 5), seen(TaskStatus.SUBMITTED, 5)),
    ],
)
def test_out_of_order(held: TaskSnapshot, late: TaskSnapshot) -> None:
    """
    The service's clock decides; without two different times the order of the words does.
    """
    assert held is merge(held, late)


@pytest.mark.parametrize(
    ("held", "news"),
    [
        (None, seen(TaskStatus.UNKNOWN)),
        (seen(TaskStatus.SUBMITTED), seen(TaskStatus.PROCESSING)),
        (seen(TaskStatus.PROCESSING), seen(TaskStatus.PROCESSING)),
        (seen(TaskStatus.PROCESSING), seen(TaskStatus.UNKNOWN)),
        (seen(TaskStatus.UNKNOWN), seen(TaskStatus.SUBMITTED)),
        (seen(TaskStatus.PROCESSING, 5), seen(TaskStatus.FAILED, 1)),
    ],
)
def test_news(held: TaskSnapshot | None, news: TaskSnapshot) -> None:
    """
    A first snapshot, a step ahead, a word that is not known, and the end are news.
    """
    assert news is merge(held, news)


@given(SNAPSHOTS, st.lists(SNAPSHOTS, max_size=6))
def test_final_state_is_never_left(first: TaskSnapshot, others: list[TaskSnapshot]) -> None:
    """
    Once a final state is held, no sequence of snapshots leaves it, nor loses its pictures.
    """
    held = first
    for other in others:
        later = merge(held, other)

        assert not is_final(held.task_status) or later.task_status is held.task_status
        assert not is_settled(held) or later is held

        held = later


@given(st.lists(SNAPSHOTS, min_size=1, max_size=6))
def test_seeing_again_changes_nothing(snapshots: list[TaskSnapshot]) -> None:
    """
    A repeated snapshot of what is held is no change.
    """
    held = fold(snapshots)

    assert held == merge(held, held)


@given(st.sets(st.integers(0, 9), min_size=1, max_size=4), st.data())
def test_order_of_arrival_does_not_matter(seconds: set[int], data: st.DataObject) -> None:
    """
    Where the service tells distinct times, and a task ends in one way, any order of arrival ends in the same truth.
    """
    running = [seen(data.draw(st.sampled_from([TaskStatus.SUBMITTED, TaskStatus.PROCESSING])), at) for at in seconds]
    end = data.draw(st.sampled_from([[], [seen(TaskStatus.FAILED, 3)], [seen(TaskStatus.SUCCEEDED, 3, PICTURES)]]))

    ends = {fold(list(order)) for order in itertools.permutations(running + end)}

    assert 1 == len(ends)
