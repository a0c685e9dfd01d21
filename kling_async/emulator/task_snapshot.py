"""
Snapshots of a task, as the emulated service shows it at a moment.
"""

import datetime as dt
import hashlib
from decimal import Decimal

from kling_async.emulator.result_files import FileUrls, ResultFile
from kling_async.emulator.settings import Settings
from kling_async.emulator.task_record import TaskRecord
from kling_async.wire.endpoints.base import ResultList
from kling_async.wire.tasks import (
    Audio,
    BalanceDeduction,
    Image,
    TaskInfo,
    TaskOutput,
    TaskSnapshot,
    TaskStatus,
    Video,
)

__all__ = ["file_id", "seconds_of", "snapshot_of"]


def snapshot_of(record: TaskRecord, urls: FileUrls, settings: Settings, now: float) -> TaskSnapshot:
    """
    Return the snapshot of *record*'s task at *now*.
    """
    status, outcome = record.status_at(now), record.outcome
    words = {TaskStatus.PROCESSING: outcome.word, TaskStatus.SUCCEEDED: outcome.success_word}
    is_final = now >= record.done_at
    is_paid_in_cash = settings.paid_in == "cash"
    return TaskSnapshot(
        task_id=record.task_id,
        task_status=status,
        status_word=words.get(status, status.value),
        task_status_msg=(outcome.failure or "") if is_final else "",
        task_result=_output(record, urls, settings, now) if is_final else TaskOutput(),
        task_info=TaskInfo(getattr(record.request, "external_task_id", None)),
        created_at=_as_datetime(record.created_at),
        updated_at=_as_datetime(record.updated_at(now)),
        final_unit_deduction=record.units if is_final and not is_paid_in_cash else None,
        final_balance_deduction=_cash_of(record) if is_final and is_paid_in_cash else None,
    )


def seconds_of(record: TaskRecord, settings: Settings) -> float:
    """
    Return the length of a task's videos and sounds: that of its input, the request's `duration`, or the setting.
    """
    try:
        asked = record.seconds or getattr(record.request, "duration", None) or settings.media_seconds
        return max(0.1, float(asked))
    except (TypeError, ValueError):
        return settings.media_seconds


def _output(record: TaskRecord, urls: FileUrls, settings: Settings, now: float) -> TaskOutput:
    def places(kind: ResultList) -> range:
        return range(record.files_at(now) if kind in record.endpoint.results else 0)

    def url(kind: ResultList, index: int, *, is_wav: bool = False) -> str:
        return urls.url_of(record, ResultFile(kind, index, is_wav=is_wav), now)

    def marked(kind: ResultList, index: int) -> str | None:
        return urls.url_of(record, ResultFile(kind, index, has_watermark=True), now) if record.watermark else None

    seconds = seconds_of(record, settings)
    return TaskOutput(
        images=tuple(Image(index, url("images", index), marked("images", index)) for index in places("images")),
        videos=tuple(
            Video(index, url("videos", index), marked("videos", index), file_id(record, "videos", index), seconds)
            for index in places("videos")
        ),
        audios=tuple(
            Audio(
                index,
                url("audios", index),
                url("audios", index, is_wav=True),
                file_id(record, "audios", index),
                seconds,
            )
            for index in places("audios")
        ),
        is_series=getattr(record.request, "result_type", None) == "series",
    )


def file_id(record: TaskRecord, kind: ResultList, index: int) -> str:
    """
    Return the id of a file: 18 digits, like the vendor's; not the task's id.
    """
    digest = hashlib.sha256(f"{record.task_id} {kind} {index}".encode()).digest()
    return str(10**17 + int.from_bytes(digest) % (9 * 10**17))


def _cash_of(record: TaskRecord) -> BalanceDeduction:
    dollars = (record.units * (record.endpoint.unit_price or Decimal(0))).normalize()
    return BalanceDeduction(dollars, dollars)


def _as_datetime(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)
