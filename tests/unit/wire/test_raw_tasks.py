"""
The raw form of a task in its snapshot: kept as JSON, since snapshots are kept while their tasks run.
"""

import gc
import json
import pickle
import tracemalloc
from decimal import Decimal
from typing import Any

import attrs
import pytest

from kling_async.wire import codec, json_text
from kling_async.wire.codec import read_task

TASK = {
    "task_id": "t-1",
    "task_status": "processing",
    "task_info": {"external_task_id": "e-1"},
    "of_a_relay": [{"b": 1, "c": "ä", "d": 0.1, "e": 2**70, "f": None}],
}


@pytest.fixture(params=["fastest", "standard library"])
def pack(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    How the raw form is written.
    """
    if request.param == "standard library":
        monkeypatch.setattr(json_text, "orjson", None)
        monkeypatch.setattr(codec, "pack", json_text.dumps)


@pytest.mark.usefixtures("pack")
def test_raw_task_is_all_that_was_received() -> None:
    """
    With orjson and without it, and also of a snapshot that was pickled or changed.
    """
    snapshot = read_task(json_text.loads(json.dumps(TASK).encode()))

    assert TASK == snapshot.raw
    assert TASK == pickle.loads(pickle.dumps(snapshot)).raw  # noqa: S301 (just pickled)
    assert TASK == attrs.evolve(snapshot, status_word="queued").raw


@pytest.mark.usefixtures("pack")
def test_raw_task_takes_little_memory() -> None:
    """
    It is kept as text, and each access returns an object of its own.
    """
    snapshot = read_task({"task_id": "t-1", "task_status": "processing"})
    snapshot.raw["task_id"] = "t-2"  # type: ignore[index]  # to show what it changes

    assert b'{"task_id":"t-1","task_status":"processing"}' == snapshot._raw
    assert "t-1" == snapshot.raw["task_id"]


@pytest.mark.usefixtures("pack")
def test_raw_task_takes_the_memory_of_its_text() -> None:
    """
    What orjson returns has the size of the space in which it was written.
    """
    tasks = [{"task_id": f"t-{number}"} for number in range(100)]
    gc.collect()
    tracemalloc.start()
    try:
        snapshots = [read_task(task) for task in tasks]
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert 100 == len(snapshots)
    assert held < 100 * 600


def deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.usefixtures("pack")
@pytest.mark.parametrize("odd", [Decimal(1), b"1", deep(10_000), "\ud800"], ids=["decimal", "bytes", "deep", "half"])
def test_raw_task_that_json_cannot_hold(odd: object) -> None:
    """
    A program may read tasks that it has from elsewhere: their raw form is kept as it is.
    """
    task = {"task_id": "t-1", "task_status": "processing", "of_a_program": odd}

    assert read_task(task).raw is task


def test_id_that_is_known_is_kept_once() -> None:
    """
    Otherwise the id of each waiting task would be held twice, by its handle and by its last snapshot.
    """
    known_id = "task-of-a-handle"
    task = json_text.loads(b'{"task_id": "task-of-a-handle", "task_status": "processing"}')

    assert known_id is read_task(task, known_id=known_id).task_id
    assert known_id == read_task(task, known_id="another").task_id
