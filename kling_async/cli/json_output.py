"""
The JSON that commands print, in ASCII so that it passes through any pipe.
"""

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from kling_async.cli.task_board import TaskRow, file_order
from kling_async.client.outcomes import Done, Failed
from kling_async.errors import (
    DownloadFailed,
    KlingError,
    SubmissionUncertain,
    UnexpectedAnswer,
)
from kling_async.media.saved_files import FileKey, SavedFile, key_of
from kling_async.wire.codec import write_request
from kling_async.wire.endpoints.base import TaskRequest, sources_of
from kling_async.wire.endpoints.registry import DEFAULT_ENDPOINT, caption_of, endpoint_of, without_files
from kling_async.wire.result_lists import write_output
from kling_async.wire.tasks import TaskSnapshot, TaskStatus, last_seen

if TYPE_CHECKING:
    from kling_async.batch.records import Row, Summary

__all__ = [
    "endpoint_name",
    "error_facts",
    "files_without_task",
    "number_of",
    "outcome_line",
    "result_line",
    "row_facts",
    "row_line",
    "seconds_of",
    "status_of",
    "summary_facts",
    "task_facts",
]


def number_of(units: Decimal | None) -> int | float | None:
    """
    Return *units* as a number for JSON, an integer if it is whole.
    """
    return None if units is None else float(units) if units % 1 else int(units)


def status_of(snapshot: TaskSnapshot | None) -> str | None:
    """
    Return a task's status as one word, the same for all ways of reading it.
    """
    if snapshot is None:
        return None
    is_known = snapshot.task_status is not TaskStatus.UNKNOWN
    return snapshot.task_status.value if is_known else snapshot.status_word


def files_without_task(error: KlingError) -> tuple[str, ...]:
    """
    Return the URLs of files that only *error* contains and that may be paid for.
    """
    return error.urls if isinstance(error, UnexpectedAnswer | SubmissionUncertain) else ()


def error_facts(error: KlingError | None) -> dict[str, Any] | None:
    """
    Return an error's class and message, and the URLs of files that have no task id.
    """
    if error is None:
        return None
    urls = files_without_task(error)
    facts: dict[str, Any] = {"class": type(error).__name__, "message": str(error)}
    return {**facts, "urls": list(urls)} if urls else facts


def seconds_of(snapshot: TaskSnapshot | None) -> float | None:
    """
    Return the seconds from a task's creation to its last update, by the service's clock.
    """
    if snapshot is None or snapshot.created_at is None or snapshot.updated_at is None:
        return None
    return (snapshot.updated_at - snapshot.created_at).total_seconds()


def task_facts(
    task_id: str | None,
    snapshot: TaskSnapshot | None,
    *,
    endpoint: str,
    files: Mapping[FileKey, Path | str] = MappingProxyType({}),
    external_task_id: str | None = None,
    error: KlingError | None = None,
) -> dict[str, Any]:
    """
    Return the facts about a task, with the names that all commands use.

    Args:
        snapshot: None if the task was never read; the URLs of its files are then unknown.
        endpoint: The name of its endpoint.
        files: Where files are saved: paths or URLs.
        external_task_id: The id that was sent; without it, the one that the service reports.
    """
    result_files = snapshot.task_result.files if snapshot is not None else ()
    urls = {key_of(file): file.url for file in result_files}
    places = [
        {"kind": key[0], "index": key[1], "url": urls.get(key), "path": str(files[key]) if key in files else None}
        for key in sorted({**urls, **files}, key=file_order)
    ]
    created, updated = (snapshot.created_at, snapshot.updated_at) if snapshot is not None else (None, None)
    return {
        "endpoint": endpoint,
        "task_id": task_id,
        "external_task_id": external_task_id or (snapshot.task_info.external_task_id if snapshot is not None else None),
        "status": status_of(snapshot),
        "message": (snapshot.task_status_msg or None) if snapshot is not None else None,
        "created_at": None if created is None else moment_of(created.timestamp()),
        "updated_at": None if updated is None else moment_of(updated.timestamp()),
        "seconds": seconds_of(snapshot),
        **_file_facts(places),
        **_bill_of(snapshot),
        "error": error_facts(error),
        **_records_of(snapshot),
        **_confirmation_of(snapshot),
    }


def endpoint_name(request: TaskRequest | None) -> str:
    """
    Return the name of the endpoint of *request*; without one, of a task of which only the id is known.
    """
    return DEFAULT_ENDPOINT.name if request is None else endpoint_of(type(request)).name


def _file_facts(files: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    # "images" are the files of that kind, for programs that know no other.
    images = [{name: file[name] for name in ("index", "url", "path")} for file in files if file["kind"] == "image"]
    return {"images": images, "files": [dict(file) for file in files]}


def _records_of(snapshot: TaskSnapshot | None) -> dict[str, Any]:
    # Voices and elements, which are no files; only if the task has made some.
    output = {} if snapshot is None else write_output(snapshot.task_result)
    return {name: output[name] for name in ("voices", "elements") if name in output}


def _bill_of(snapshot: TaskSnapshot | None) -> dict[str, Any]:
    # The currency only if the service names it.
    cash = None if snapshot is None else snapshot.final_balance_deduction
    return {
        "units": None if snapshot is None else number_of(snapshot.final_unit_deduction),
        "cash": None if cash is None else number_of(cash.quota),
        **({} if cash is None or cash.currency is None else {"currency": cash.currency}),
    }


def _confirmation_of(snapshot: TaskSnapshot | None) -> dict[str, bool]:
    # Only if the snapshot comes from a callback that no read has confirmed.
    return {} if snapshot is None or snapshot.is_confirmed else {"is_confirmed": False}


def row_line(row: TaskRow) -> str:
    """
    Return a row of a board that has ended as one line of JSON.
    """
    snapshot = row.handle.snapshot if row.handle is not None else None
    facts = task_facts(
        row.task_id,
        snapshot,
        endpoint=row.endpoint,
        files=row.files,
        external_task_id=row.external_task_id,
        error=row.error,
    )
    prompt = None if row.request is None else caption_of(row.request)
    return json.dumps({"number": row.number, "prompt": prompt, **facts})


def outcome_line(outcome: Done | Failed) -> str:
    """
    Return an outcome of a batch as one line of JSON.
    """
    snapshot: TaskSnapshot | None = None
    files: dict[FileKey, Path | str] = {}
    error: KlingError | None = None
    if isinstance(outcome, Done):
        task_id: str | None = outcome.result.task_id
        snapshot = outcome.result.snapshot
        files = {file.key: file.place for file in outcome.files}
    else:
        error, task_id = outcome.error, outcome.error.task_id
        snapshot = last_seen(error)
    facts = task_facts(
        task_id,
        snapshot,
        endpoint=endpoint_name(outcome.request),
        files=files,
        external_task_id=_external_id(outcome),
        error=error,
    )
    if isinstance(error, DownloadFailed):  # it lists the saved files, but not the index of each in the task
        kind = "image" if not facts["files"] else facts["files"][0]["kind"]
        saved = (*error.paths, *error.urls)
        facts |= _file_facts([{"kind": kind, "index": None, "url": None, "path": str(path)} for path in saved])
    prompt = None if outcome.request is None else outcome.caption
    return json.dumps({"index": outcome.index, "key": outcome.key, "prompt": prompt, **facts})


def result_line(row: "Row") -> str:
    """
    Return a row of a journal as one line of JSON: what `outcome_line` has, and the row's state.
    """
    facts = task_facts(
        row.task_id,
        row.snapshot,
        endpoint=row.endpoint,
        files={file.key: file.place for file in row.files},
        external_task_id=row.external_task_id,
        error=row.error,
    )
    state = row.state.value
    return json.dumps(
        {"index": row.position, "key": row.key, "prompt": caption_of(row.request), "state": state, **facts}
    )


def summary_facts(summary: "Summary") -> dict[str, Any]:
    """
    Return the numbers of a batch.
    """
    states = ("queued", "sending", "accepted", "finished", "saved", "failed", "uncertain")
    return {
        "rows": summary.rows,
        **{state: getattr(summary, state) for state in states},
        "may_retry": summary.may_retry,
        "kept": summary.kept,
        "pictures": summary.files,  # of every kind: the name is older than the other kinds, and stays
        "files": summary.files,
        "bytes": summary.bytes,
        "units": number_of(summary.units_billed),
        "cash": number_of(summary.cash_billed),
        "is_complete": summary.is_complete,
    }


def row_facts(row: "Row", saved: SavedFile | None = None) -> dict[str, Any]:
    """
    Return the facts about a row of a journal, and about one of its files.
    """
    request = write_request(without_files(row.request))
    sources = sources_of(endpoint_of(type(row.request)), row.request)
    files = {place: str(source) for place, source in sources.items()}
    files |= {place: f"sha256 {file.sha256}" for place, file in row.inputs.items() if file.is_kept}
    request = {name: value for name, value in request.items() if value != []}  # of a list, each file has its place
    request |= dict(sorted(files.items()))
    moments = ("queued_at", "sent_at", "accepted_at", "ended_at", "saved_at")
    facts: dict[str, Any] = {
        "key": row.key,
        "endpoint": endpoint_name(row.request),
        "prompt": caption_of(row.request),
        "request": request,
        "state": row.state.value,
        "task_id": row.task_id,
        "external_task_id": row.external_task_id,
        "attempts": row.attempts,
        **{moment: moment_of(getattr(row, moment)) for moment in moments},
        **_bill_of(row.snapshot),
        "error": error_facts(row.error),
        **_confirmation_of(row.snapshot),
    }
    if saved is not None:
        facts |= {"path": saved.place, "bytes": saved.size_in_bytes, "sha256": saved.sha256}
    return facts


def moment_of(seconds: float | None) -> str | None:
    """
    Return Unix time in ISO format, in the local time zone.
    """
    return None if seconds is None else dt.datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="seconds")


def _external_id(outcome: Done | Failed) -> str | None:
    if isinstance(outcome, Failed) and isinstance(outcome.error, SubmissionUncertain):
        sent = outcome.error.request or outcome.request
        return sent.external_task_id if sent is not None else None
    return None
