"""
What programs read of what a command did: JSON in ASCII, which passes through any pipe.
"""

import datetime as dt
import itertools
import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs

from kling_async.errors import DownloadFailed, KlingError, SubmissionUncertain, TaskFailed
from kling_async.rows import Picture, Row, Summary
from kling_async.wire.codec import write_request
from kling_async.wire.models import Done, Failed, Image, TaskSnapshot, TaskStatus

__all__ = ["error_facts", "number_of", "outcome_line", "row_facts", "status_of", "summary_facts"]


def number_of(units: Decimal | None) -> int | float | None:
    """
    Return *units* as JSON has numbers, whole where they are.
    """
    return None if units is None else float(units) if units % 1 else int(units)


def status_of(snapshot: TaskSnapshot | None) -> str | None:
    """
    Return a task's status in one and the same word, in whichever way it was asked for.
    """
    if snapshot is None:
        return None
    is_known = snapshot.task_status is not TaskStatus.UNKNOWN
    return snapshot.task_status.value if is_known else snapshot.status_word


def error_facts(error: KlingError | None) -> dict[str, str] | None:
    return None if error is None else {"class": type(error).__name__, "message": str(error)}


def outcome_line(outcome: Done | Failed) -> str:
    """
    Return how a request of a batch has ended, as one line.
    """
    request = outcome.request
    error: KlingError | None = None
    snapshot: TaskSnapshot | None = None
    images: list[dict[str, Any]] = []
    if isinstance(outcome, Done):
        task_id: str | None = outcome.result.task_id
        snapshot = outcome.result.snapshot
        images = _images(outcome.result.images, outcome.paths)
    else:
        error, task_id = outcome.error, outcome.error.task_id
        if isinstance(error, TaskFailed):
            snapshot = error.snapshot
        elif isinstance(error, DownloadFailed):
            images = [{"path": str(path)} for path in error.paths]
    return json.dumps(
        {
            "index": outcome.index,
            "key": outcome.key,
            "prompt": None if request is None else request.prompt,
            "task_id": task_id,
            "external_task_id": _external_id(outcome, snapshot),
            "status": status_of(snapshot),
            "images": images,
            "units": None if snapshot is None else number_of(snapshot.final_unit_deduction),
            "error": error_facts(error),
        }
    )


def summary_facts(summary: Summary) -> dict[str, Any]:
    """
    Return a batch in numbers.
    """
    states = ("queued", "sending", "accepted", "finished", "saved", "failed", "uncertain")
    return {
        "rows": summary.rows,
        **{state: getattr(summary, state) for state in states},
        "may_retry": summary.may_retry,
        "pictures": summary.pictures,
        "bytes": summary.bytes,
        "units": number_of(summary.units_billed),
        "is_complete": summary.is_complete,
    }


def row_facts(row: Row, picture: Picture | None = None) -> dict[str, Any]:
    """
    Return what a journal knows of one row, and of one of its pictures.
    """
    request = write_request(attrs.evolve(row.request, image=None))
    if row.request.image is not None:
        request["image"] = str(row.request.image)
    moments = ("queued_at", "sent_at", "accepted_at", "ended_at", "saved_at")
    facts: dict[str, Any] = {
        "key": row.key,
        "prompt": row.request.prompt,
        "request": request,
        "state": row.state.value,
        "task_id": row.task_id,
        "external_task_id": row.external_task_id,
        "attempts": row.attempts,
        **{moment: moment_of(getattr(row, moment)) for moment in moments},
        "units": None if row.snapshot is None else number_of(row.snapshot.final_unit_deduction),
        "error": error_facts(row.error),
    }
    if picture is not None:
        facts |= {"path": str(picture.path), "bytes": picture.size_in_bytes, "sha256": picture.sha256}
    return facts


def moment_of(seconds: float | None) -> str | None:
    """
    Return Unix time as people of here write it.
    """
    return None if seconds is None else dt.datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="seconds")


def _images(images: Sequence[Image], paths: Sequence[Path]) -> list[dict[str, Any]]:
    files = map(str, paths) if len(paths) == len(images) else itertools.repeat(None)
    return [{"index": image.index, "url": image.url, "path": path} for image, path in zip(images, files, strict=False)]


def _external_id(outcome: Done | Failed, snapshot: TaskSnapshot | None) -> str | None:
    if isinstance(outcome, Failed) and isinstance(outcome.error, SubmissionUncertain):
        sent = outcome.error.request or outcome.request
        return sent.external_task_id if sent is not None else None
    return snapshot.task_info.external_task_id if snapshot is not None else None
