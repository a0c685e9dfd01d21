"""
The log of tasks: kept in memory and in a file, by synchronous code.
"""

import logging
from pathlib import Path

import pytest

from kling_async import EventKind, ImageRequest, TaskEvent, TaskSnapshot, TaskStatus
from kling_async.errors import RateLimited, SubmissionUncertain
from kling_async.integrations.mcp import TaskLog

FOX = ImageRequest("a fox")


def opened(path: Path, service: str = "https://service.example") -> TaskLog:
    log = TaskLog(path)
    log.open(service)
    return log


def submitted(task_id: str, prompt: str = "a fox", at: float = 1e9) -> TaskEvent:
    snapshot = TaskSnapshot(task_id=task_id, task_status=TaskStatus.SUBMITTED)
    request = ImageRequest(prompt)
    return TaskEvent(kind=EventKind.SUBMITTED, at=at, task_id=task_id, request=request, snapshot=snapshot)


def test_next_log_knows_the_tasks_of_the_earlier_one(tmp_path: Path) -> None:
    """
    Their ids, kinds, prompts and times, in their order.
    """
    log = opened(tmp_path / "log")
    log.note(submitted("1", "a fox\nin snow", 1_000_000_000.0))
    log.note(submitted("2", at=1_000_000_001.0))

    tasks = list(opened(tmp_path / "log"))

    assert ["1", "2"] == [task.task_id for task in tasks]
    assert ("image-generation", "a fox in snow", 1e9, None) == (
        tasks[0].kind,
        tasks[0].prompt,
        tasks[0].created_at,
        tasks[0].snapshot,
    )
    assert 0o600 == (tmp_path / "log").stat().st_mode & 0o777


def test_tasks_of_other_services_are_not_listed(tmp_path: Path) -> None:
    """
    Such as those of an emulator, which have ended with it; they stay in the file.
    """
    opened(tmp_path / "log", "http://127.0.0.1:8765").note(submitted("1"))
    opened(tmp_path / "log").note(submitted("2"))

    assert ["2"] == [task.task_id for task in opened(tmp_path / "log")]
    assert ["1"] == [task.task_id for task in opened(tmp_path / "log", "http://127.0.0.1:8765")]


def test_log_follows_its_tasks(tmp_path: Path) -> None:
    """
    It knows their last snapshots and where their files were saved, and ignores tasks that it does not know.
    """
    log = opened(tmp_path / "log")
    log.note(submitted("1"))
    done = TaskSnapshot(task_id="1", task_status=TaskStatus.SUCCEEDED)
    log.note(TaskEvent(kind=EventKind.FINAL, at=1e9, task_id="1", snapshot=done))
    log.note(TaskEvent(kind=EventKind.SAVED, at=1e9, task_id="1", paths=(Path("1.png"),)))
    log.note(TaskEvent(kind=EventKind.FINAL, at=1e9, task_id="another", snapshot=done))

    [task] = log
    assert (done, (Path("1.png"),)) == (task.snapshot, task.paths)


def test_only_the_newest_are_in_memory_and_all_that_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    So a server can run for months. The file keeps all.
    """
    monkeypatch.setattr("kling_async.integrations.mcp.task_log._KEPT", 2)
    log = opened(tmp_path / "log")
    for task_id in "1234":
        log.note(submitted(task_id))
        if task_id != "1":
            done = TaskSnapshot(task_id=task_id, task_status=TaskStatus.SUCCEEDED)
            log.note(TaskEvent(kind=EventKind.FINAL, at=1e9, task_id=task_id, snapshot=done))

    assert ["1", "4"] == [task.task_id for task in log]
    assert ["3", "4"] == [task.task_id for task in opened(tmp_path / "log")]
    assert 4 == len((tmp_path / "log").read_text().splitlines())


def test_only_uncertain_submits_are_kept_without_an_id(tmp_path: Path) -> None:
    """
    A submit that was refused has created nothing.
    """
    log = opened(tmp_path / "log")
    for error in (RateLimited("too many"), SubmissionUncertain("lost"), SubmissionUncertain("lost again"), None):
        log.note(TaskEvent(kind=EventKind.NO_TASK, at=1e9, request=FOX, error=error))

    assert [(None, "lost"), (None, "lost again")] == [(task.task_id, task.problem) for task in log]
    assert ["lost", "lost again"] == [task.problem for task in opened(tmp_path / "log")]


def test_damaged_lines_hide_no_others(tmp_path: Path) -> None:
    """
    A line that a full disk has cut is ended before the next one is written.
    """
    path = tmp_path / "log"
    opened(path).note(submitted("1"))
    with path.open("a") as file:
        file.write('[]\n{"task_id": 7}\n"text"\n\n{"task_id": "cut')
    opened(path).note(submitted("2"))

    assert ["1", "2"] == [task.task_id for task in opened(path)]


def test_disk_that_cannot_be_written_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """
    With the task's id; the task stays known for this run.
    """
    log = opened(tmp_path / "missing" / "log")
    with caplog.at_level(logging.WARNING):
        log.note(submitted("1"))

    assert "task 1 could not be noted" in caplog.text
    assert ["1"] == [task.task_id for task in log]
