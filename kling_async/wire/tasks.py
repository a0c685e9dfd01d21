"""
Tasks as the service shows them: snapshots and results. Frozen, slotted, picklable, with no reference to a client.

Fields carry the vendor's words. The codec reads and writes them.
"""

import datetime as dt
import enum
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar, TypeAlias

import attrs

from kling_async.errors import KlingError
from kling_async.wire.json_text import loads
from kling_async.wire.library import Element, Voice
from kling_async.wire.notebook_html import html_of
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
    Where a task is. `UNKNOWN` is any word that this version does not know: kept in `TaskSnapshot.status_word`, never
    final.
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
        id: A later request can refer to it by this; None if the service gives none.
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
        id: A later request can refer to it by this; None if the service gives none.
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
        url: As for an `Image`; of the MP3 if there is one, which is what `save` saves.
        wav_url: The same sound as WAV; None if the service has none.
        id: A later request can refer to it by this; None if the service gives none.
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
        is_series: Whether the images belong together, one after another (see `OmniImage.result_type`).
        voices: Voices that the service keeps now; they are no files.
        elements: Elements that the service keeps now; they are no files.
    """

    images: tuple[Image, ...] = ()
    videos: tuple[Video, ...] = ()
    audios: tuple[Audio, ...] = ()
    is_series: bool = False
    voices: tuple[Voice, ...] = ()
    elements: tuple[Element, ...] = ()

    @property
    def files(self) -> tuple[File, ...]:
        """
        All files: images, then videos, then audios.
        """
        return (*self.images, *self.videos, *self.audios)


@attrs.frozen
class BalanceDeduction:
    """
    Money that a task took from the account's balance, if it was paid in cash rather than in units.

    Attributes:
        quota: The amount, in `currency`.
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
        task_status: What its word means; `UNKNOWN` for a word that this version does not know.
        status_word: The service's own word for `task_status`.
        task_status_msg: The reason if the task failed, ready to be shown; often empty.
        task_result: The pictures, once it has succeeded.
        task_info: What the service repeats of the request.
        created_at: Aware time (UTC), or None if the service does not say. Some relays send seconds for milliseconds;
            both are read.
        updated_at: Aware time (UTC) of the last change, or None.
        final_unit_deduction: Units taken, known once the task is final; None if the service does not say.
        final_balance_deduction: Money taken; it comes in place of units, or beside them.
        request_id: Of the answer from which this was read, for the vendor's support.
        raw: The task as it was received, with the fields that this version does not know. It is kept as JSON, which
            takes a third of the memory, and read anew each time that it is asked for.
        is_confirmed: False if it comes from a callback that could not be confirmed, because the service does not return
            the task. The callback came to an address that only the service was given, see `CallbackReceiver`.
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
    _raw: Mapping[str, Any] | bytes = attrs.field(factory=dict, eq=False, hash=False, repr=False)
    is_confirmed: bool = True

    @property
    def raw(self) -> Mapping[str, Any]:
        """
        See above.
        """
        return loads(self._raw) if isinstance(self._raw, bytes) else self._raw

    def _repr_html_(self) -> str:
        return html_of(self)


@attrs.frozen
class TaskResult:
    """
    What a task that succeeded has made.

    Attributes:
        images: In their order; the service may have made fewer than `n`. Empty if the task makes other files.
        snapshot: The answer that listed them, with times, units and all else that the service reports.
        videos: In their order.
        audios: In their order.
        voices: Of a `VoiceRequest`.
        elements: Of an `ElementRequest`.
        endpoint: The name of the endpoint that made it, at which expired URLs are renewed; None if it is not known.
        prompt: Of the request, or another text that identifies it; empty for a task that was picked up by its id.
        number: Counts the submits of the client, or the rows of the batch, from 1; None if it is not known.
    """

    task_id: str
    images: tuple[Image, ...]
    snapshot: TaskSnapshot = attrs.field(repr=False)
    videos: tuple[Video, ...] = ()
    audios: tuple[Audio, ...] = ()
    voices: tuple[Voice, ...] = ()
    elements: tuple[Element, ...] = ()
    endpoint: str | None = attrs.field(default=None, eq=False, repr=False)
    prompt: str = attrs.field(default="", eq=False, repr=False)
    number: int | None = attrs.field(default=None, eq=False, repr=False)

    @property
    def files(self) -> tuple[File, ...]:
        """
        All files: images, then videos, then audios; at least one, unless it made a voice or an element.
        """
        return (*self.images, *self.videos, *self.audios)

    @classmethod
    def of(
        cls,
        snapshot: TaskSnapshot,
        task_id: str | None = None,
        *,
        endpoint: str | None = None,
        prompt: str = "",
        number: int | None = None,
    ) -> "TaskResult":
        """
        Return the result that *snapshot* lists.

        Args:
            task_id: Of the task, if the service may show another id of it.
            endpoint: The name of the endpoint that made it.
            prompt, number: Of its request, if they are known.
        """
        output = snapshot.task_result
        made = (output.videos, output.audios, output.voices, output.elements)
        return cls(task_id or snapshot.task_id, output.images, snapshot, *made, endpoint, prompt, number)

    def _repr_html_(self) -> str:
        return html_of(self)


def last_seen(error: KlingError) -> TaskSnapshot | None:
    """
    Return the last known snapshot of the task of *error*; None if there is none.
    """
    snapshot = getattr(error, "snapshot", None)
    return snapshot if isinstance(snapshot, TaskSnapshot) else None
