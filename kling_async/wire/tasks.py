"""
Tasks as the service shows them: snapshots and results. Frozen, slotted, picklable, with no reference to a client.

Fields carry the vendor's words. The codec reads and writes them.
"""

import datetime as dt
import enum
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar, Final, TypeAlias

import attrs

from kling_async.errors import KlingError
from kling_async.wire import cards
from kling_async.wire.cards import Figure, Tone
from kling_async.wire.redaction import shown_url

__all__ = [
    "Audio",
    "BalanceDeduction",
    "File",
    "Image",
    "TaskInfo",
    "TaskOutput",
    "TaskResult",
    "TaskSnapshot",
    "TaskStatus",
    "Video",
    "last_seen",
]


class TaskStatus(enum.Enum):
    """
    Where a task is. `UNKNOWN` is any word this version has not learnt: kept in `TaskSnapshot.status_word`, never final.
    """

    SUBMITTED = "submitted"
    PROCESSING = "processing"
    SUCCEEDED = "succeed"
    FAILED = "failed"
    UNKNOWN = "?"


@attrs.frozen
class Image:
    """
    A picture that a task has made.

    Attributes:
        index: Which of the task's images; counts from 0.
        url: Signed, and good for a while only (30 days at the vendor, less at some gateways): save it soon. `save` asks
            for a fresh one when it has expired. A repr hides its query.
        watermark_url: The same picture with the vendor's watermark; None if the service has none.
        id: By which a next request can name it; None if the service gives none.
    """

    kind: ClassVar[str] = "image"

    index: int
    url: str = attrs.field(repr=shown_url)
    watermark_url: str | None = attrs.field(default=None, repr=shown_url)
    id: str | None = None


@attrs.frozen
class Video:
    """
    A video that a task has made.

    Attributes:
        index: Which of the task's videos; counts from 0.
        url: As for an `Image`.
        watermark_url: The same video with the vendor's watermark; None if the service has none.
        id: By which a next request can name it; None if the service gives none.
        duration: Seconds; None if the service does not say.
    """

    kind: ClassVar[str] = "video"

    index: int
    url: str = attrs.field(repr=shown_url)
    watermark_url: str | None = attrs.field(default=None, repr=shown_url)
    id: str | None = None
    duration: float | None = None


@attrs.frozen
class Audio:
    """
    A sound that a task has made.

    Attributes:
        index: Which of the task's sounds; counts from 0.
        url: As for an `Image`; of the MP3 where there is one.
        wav_url: The same sound as WAV; None if the service has none.
        id: By which a next request can name it; None if the service gives none.
        duration: Seconds; None if the service does not say.
    """

    kind: ClassVar[str] = "audio"

    index: int
    url: str = attrs.field(repr=shown_url)
    wav_url: str | None = attrs.field(default=None, repr=shown_url)
    id: str | None = None
    duration: float | None = None


File: TypeAlias = Image | Video | Audio
"""
A file that a task has made.
"""


@attrs.frozen
class TaskInfo:
    """
    What the service repeats of the request.

    Attributes:
        external_task_id: The id of yours or ours that was sent with it; None if none was.
    """

    external_task_id: str | None = None


@attrs.frozen
class TaskOutput:
    """
    What a task has made so far.

    Attributes:
        images: Empty while it runs, and if it failed or makes other files.
        videos: As `images`.
        audios: As `images`.
    """

    images: tuple[Image, ...] = ()
    videos: tuple[Video, ...] = ()
    audios: tuple[Audio, ...] = ()

    @property
    def files(self) -> tuple[File, ...]:
        """
        All files: images, then videos, then audios.
        """
        return (*self.images, *self.videos, *self.audios)


@attrs.frozen
class BalanceDeduction:
    """
    Money that a task took from the account's balance, where it was paid in cash rather than in units.

    Attributes:
        quota: What was taken, in `currency`.
        list_price: What it would cost without a discount; None if the service does not say.
        currency: "USD" or "CNY"; None if the service does not say, as in the vendor's legacy standard.
    """

    quota: Decimal
    list_price: Decimal | None = None
    currency: str | None = None


@attrs.frozen(kw_only=True)
class TaskSnapshot:
    """
    A task at one moment, as the service showed it.

    Attributes:
        task_status: What its word means; `UNKNOWN` for a word that this version has not learnt.
        status_word: The service's own word for `task_status`.
        task_status_msg: The reason, where the task failed, fit to be shown; often empty.
        task_result: The pictures, once it has succeeded.
        task_info: What the service repeats of the request.
        created_at: Aware time (UTC), or None if the service does not say. Some relays send seconds for milliseconds;
            both are read.
        updated_at: Aware time (UTC) of the last change, or None.
        final_unit_deduction: Units taken, known once the task is final; None if the service does not say.
        final_balance_deduction: Money taken; it comes in place of units, or beside them.
        request_id: Of the answer this was read from, for the vendor's support.
        raw: The task as it came, with the fields this version does not know.
        is_confirmed: False if it comes from a callback that could not be confirmed, because the service says that
        there is
            no such task. The callback came to an address that only the service was given, see `CallbackReceiver`.
    """

    task_id: str
    task_status: TaskStatus
    status_word: str = ""
    task_status_msg: str = ""
    task_result: TaskOutput = TaskOutput()
    task_info: TaskInfo = TaskInfo()
    created_at: dt.datetime | None = None
    updated_at: dt.datetime | None = None
    final_unit_deduction: Decimal | None = None
    final_balance_deduction: BalanceDeduction | None = None
    request_id: str | None = None
    raw: Mapping[str, Any] = attrs.field(factory=dict, eq=False, hash=False, repr=False)
    is_confirmed: bool = True

    def _repr_html_(self) -> str:
        return draw_state(self)


_TONES: Final = {
    TaskStatus.SUBMITTED: Tone.IDLE,
    TaskStatus.PROCESSING: Tone.WORKING,
    TaskStatus.SUCCEEDED: Tone.WELL,
    TaskStatus.FAILED: Tone.BADLY,
    TaskStatus.UNKNOWN: Tone.IDLE,
}


def draw_state(snapshot: TaskSnapshot, title: str = "") -> str:
    """
    Draw how a task is, as HTML.
    """
    return cards.card(
        title,
        mark=snapshot.status_word or snapshot.task_status.value,
        tone=_TONES[snapshot.task_status],
        text=snapshot.task_status_msg,
        facts=(
            _how_many(snapshot.task_result.images) if snapshot.task_result.images else "",
            _shown_units(snapshot.final_unit_deduction),
            _shown_cash(snapshot.final_balance_deduction),
            _shown_duration(snapshot),
            "" if snapshot.is_confirmed else "not confirmed",
            f"task {snapshot.task_id}",
        ),
    )


def _shown_duration(snapshot: TaskSnapshot) -> str:
    is_over = snapshot.task_status in (TaskStatus.SUCCEEDED, TaskStatus.FAILED)
    if not is_over or snapshot.created_at is None or snapshot.updated_at is None:
        return ""
    return f"after {(snapshot.updated_at - snapshot.created_at).total_seconds():.1f} s"


def _shown_units(units: Decimal | None) -> str:
    return "" if units is None else f"{units.normalize():f} unit{'' if units == 1 else 's'}"


def _shown_cash(taken: BalanceDeduction | None) -> str:
    return "" if taken is None or not taken.quota else f"{taken.quota.normalize():f} {taken.currency or 'in cash'}"


def _how_many(images: Sequence[Image]) -> str:
    return f"{len(images)} picture{'' if len(images) == 1 else 's'}"


@attrs.frozen
class TaskResult:
    """
    The files of a task that succeeded.

    Attributes:
        images: In their order; the service may have made fewer than `n`. Empty if the task makes other files.
        snapshot: The answer that listed them, with times, units and what else the service says.
        videos: In their order.
        audios: In their order.
    """

    task_id: str
    images: tuple[Image, ...]
    snapshot: TaskSnapshot = attrs.field(repr=False)
    videos: tuple[Video, ...] = ()
    audios: tuple[Audio, ...] = ()

    @property
    def files(self) -> tuple[File, ...]:
        """
        All files: images, then videos, then audios; there is one at least.
        """
        return (*self.images, *self.videos, *self.audios)

    def _repr_html_(self) -> str:
        return cards.card(
            facts=(
                _how_many(self.images),
                _shown_units(self.snapshot.final_unit_deduction),
                _shown_cash(self.snapshot.final_balance_deduction),
                f"task {self.task_id}",
            ),
            figures=[Figure(image.url, f"picture {image.index} of task {self.task_id}") for image in self.images],
        )


def last_seen(error: KlingError) -> TaskSnapshot | None:
    """
    Return the task of *error* as it was last seen; None if the error has none, or it was never seen.
    """
    snapshot = getattr(error, "snapshot", None)
    return snapshot if isinstance(snapshot, TaskSnapshot) else None
