"""
Remembers the tasks of the server, in memory and in a file: what a cancelled call has paid for, and what an earlier run
has, can still be found.
"""

import datetime as dt
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Final

import attrs

from kling_async.client.events import EventKind, TaskEvent
from kling_async.errors import SubmissionUncertain
from kling_async.wire.endpoints.registry import caption_of
from kling_async.wire.redaction import one_line, shorten
from kling_async.wire.tasks import TaskSnapshot

__all__ = ["KnownTask", "TaskLog"]

_KEPT: Final = 1000
"""
Tasks of earlier runs that are read.
"""

_CAPTION: Final = 200
"""
Characters of a prompt that are kept.
"""

_log = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class KnownTask:
    """
    What is known of a task.

    Attributes:
        task_id: None if the fate of its submit is uncertain.
        kind: The name of its endpoint.
        prompt: Its prompt, shortened.
        created_at: Unix time at which it was accepted or given up.
        snapshot: As it was last seen in this run; None if it was not.
        problem: Why its fate is uncertain; empty if it is not.
        paths: Where its files were saved in this run.
    """

    task_id: str | None
    kind: str
    prompt: str
    created_at: float
    snapshot: TaskSnapshot | None = None
    problem: str = ""
    paths: tuple[Path, ...] = ()


@attrs.define(eq=False)
class TaskLog:
    """
    The tasks of this run and of earlier ones with the same file, the oldest first.

    `note` is the client's listener. It is called in the step in which the service's answer is read, so no cancellation
    can come between them.

    Attributes:
        NAME: The usual name of the file, in the folder of the saved files.
    """

    NAME: ClassVar[str] = "kling-async-tasks.jsonl"

    path: Path
    _tasks: dict[str, KnownTask] = attrs.field(factory=dict[str, KnownTask], init=False)

    def __attrs_post_init__(self) -> None:
        for task in _read(self.path):
            self._keep(task)

    def __iter__(self) -> Iterator[KnownTask]:
        return iter(tuple(self._tasks.values()))

    def get(self, task_id: str) -> KnownTask | None:
        """
        Return what is known of a task; None if it is not known.
        """
        return self._tasks.get(task_id)

    def note(self, event: TaskEvent) -> None:
        """
        Take note of a step of a task.
        """
        task_id = event.task_id
        if event.kind is EventKind.SUBMITTED and task_id is not None:
            self._add(_task_of(event))
        elif event.kind is EventKind.NO_TASK and isinstance(event.error, SubmissionUncertain):
            self._add(attrs.evolve(_task_of(event), task_id=None, problem=str(event.error)))
        elif task_id is not None and (task := self._tasks.get(task_id)) is not None:
            snapshot = event.snapshot or task.snapshot
            self._tasks[task_id] = attrs.evolve(task, snapshot=snapshot, paths=event.paths or task.paths)

    def _add(self, task: KnownTask) -> None:
        self._keep(task)
        try:
            _append(self.path, task)
        except OSError as error:
            reason = error.strerror or error
            _log.warning("task %s could not be noted in %s: %s", task.task_id, self.path, reason)

    def _keep(self, task: KnownTask) -> None:
        key = task.task_id or f"uncertain {task.created_at} {len(self._tasks)}"
        self._tasks[key] = task


def _task_of(event: TaskEvent) -> KnownTask:
    return KnownTask(
        task_id=event.task_id,
        kind=event.endpoint,
        prompt=shorten(one_line(caption_of(event.request)), _CAPTION),
        created_at=event.at,
        snapshot=event.snapshot,
    )


def _append(path: Path, task: KnownTask) -> None:
    fields = {
        "task_id": task.task_id,
        "kind": task.kind,
        "prompt": task.prompt,
        "created_at": dt.datetime.fromtimestamp(task.created_at, dt.UTC).isoformat(timespec="seconds"),
        **({"problem": task.problem} if task.problem else {}),
    }
    # One write to the end of the file: several servers may share it.
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        is_cut = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"  # by a disk that was full
        os.write(descriptor, b"\n" * is_cut + json.dumps(fields).encode() + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> Iterator[KnownTask]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return
    for line in lines[-_KEPT:]:
        try:
            fields: Any = json.loads(line)
            yield KnownTask(
                task_id=None if fields["task_id"] is None else str(fields["task_id"]),
                kind=str(fields["kind"]),
                prompt=str(fields["prompt"]),
                created_at=dt.datetime.fromisoformat(fields["created_at"]).timestamp(),
                problem=str(fields.get("problem", "")),
            )
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            continue  # a line that a full disk has cut, or that somebody has edited
