"""
Remembers the tasks of the server, in memory and in a file: what a cancelled call has paid for, and what an earlier run
has, can still be found.
"""

import datetime as dt
import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Final

import attrs

from kling_async.client.events import EventKind, TaskEvent
from kling_async.errors import SubmissionUncertain
from kling_async.wire.endpoints.registry import caption_of
from kling_async.wire.redaction import one_line, shorten
from kling_async.wire.status import is_final
from kling_async.wire.tasks import TaskSnapshot, TaskStatus

__all__ = ["KnownTask", "TaskLog"]

_KEPT: Final = 1000
"""
Tasks in memory, besides those that run. The file has all.
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
    The tasks of this run, and of earlier ones with the same file and the same service, the oldest first.

    `note` is the client's listener. It is called in the step in which the service's answer is read, so no cancellation
    can come between them.

    Attributes:
        NAME: The usual name of the file, in the folder of the saved files.
    """

    NAME: ClassVar[str] = "kling-async-tasks.jsonl"

    path: Path
    _service: str = attrs.field(default="", init=False)
    _tasks: dict[str, KnownTask] = attrs.field(factory=dict[str, KnownTask], init=False)
    _on_failure: dict[str, Callable[[], object]] = attrs.field(factory=dict[str, Callable[[], object]], init=False)

    def open(self, service: str) -> None:
        """
        Read the file, for tasks of a service, which is named by its URL. Call it before there are new tasks.
        """
        self._service = service
        for task in _read(self.path, service):
            self._keep(task)

    def __iter__(self) -> Iterator[KnownTask]:
        return iter(tuple(self._tasks.values()))

    def get(self, task_id: str) -> KnownTask | None:
        """
        Return what is known of a task; None if it is not known.
        """
        return self._tasks.get(task_id)

    def when_failed(self, task_id: str, call: Callable[[], object]) -> None:
        """
        Call a function once if this task fails; at once if it has failed already.
        """
        self._on_failure[task_id] = call
        self._call_back(task_id)

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
            self._call_back(task_id)

    def _call_back(self, task_id: str) -> None:
        task = self._tasks.get(task_id)
        if task is None or not _has_ended(task):
            return
        call = self._on_failure.pop(task_id, None)
        if call is not None and task.snapshot is not None and task.snapshot.task_status is TaskStatus.FAILED:
            call()

    def _add(self, task: KnownTask) -> None:
        self._keep(task)
        try:
            _append(self.path, task, self._service)
        except OSError as error:
            reason = error.strerror or error
            _log.warning("task %s could not be noted in %s: %s", task.task_id, self.path, reason)

    def _keep(self, task: KnownTask) -> None:
        key = task.task_id or f"uncertain {task.created_at} {len(self._tasks)}"
        self._tasks[key] = task
        if len(self._tasks) > _KEPT:
            ended = (key for key, each in self._tasks.items() if each.snapshot is None or _has_ended(each))
            if (oldest := next(ended, None)) is not None:
                del self._tasks[oldest]


def _has_ended(task: KnownTask) -> bool:
    return task.snapshot is not None and is_final(task.snapshot.task_status)


def _task_of(event: TaskEvent) -> KnownTask:
    return KnownTask(
        task_id=event.task_id,
        kind=event.endpoint,
        prompt=shorten(one_line(caption_of(event.request)), _CAPTION),
        created_at=event.at,
        snapshot=event.snapshot,
    )


def _append(path: Path, task: KnownTask, service: str) -> None:
    fields = {
        "service": service,
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
        os.lseek(descriptor, max(0, size - 1), os.SEEK_SET)
        is_cut = size > 0 and os.read(descriptor, 1) != b"\n"  # by a disk that was full
        os.write(descriptor, b"\n" * is_cut + json.dumps(fields).encode() + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path, service: str) -> Iterator[KnownTask]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return
    for line in lines[-_KEPT:]:
        try:
            fields: Any = json.loads(line)
            if fields["service"] != service:  # such as an emulator, whose tasks have ended with it
                continue
            yield KnownTask(
                task_id=None if fields["task_id"] is None else str(fields["task_id"]),
                kind=str(fields["kind"]),
                prompt=str(fields["prompt"]),
                created_at=dt.datetime.fromisoformat(fields["created_at"]).timestamp(),
                problem=str(fields.get("problem", "")),
            )
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            continue  # a line that a full disk has cut, or that somebody has edited
