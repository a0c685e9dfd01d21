"""
The values that travel: requests, snapshots, results. Frozen, slotted, picklable, with no reference to a client.

Fields carry the vendor's words. How they become JSON and back is the codec's affair; what is allowed is the dialect's.
"""

import datetime as dt
import enum
import inspect
import itertools
import sys
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias, TypedDict, runtime_checkable

import attrs

from kling_async.errors import BrokenRule, InvalidRequest, KlingError
from kling_async.wire import cards
from kling_async.wire.cards import Figure, Tone
from kling_async.wire.redaction import hide_query, shorten

__all__ = [
    "AspectRatio",
    "BalanceDeduction",
    "Done",
    "Failed",
    "Image",
    "ImageReference",
    "ImageRequest",
    "ImageSource",
    "Model",
    "Picture",
    "RequestByName",
    "Resolution",
    "TaskInfo",
    "TaskOutput",
    "TaskResult",
    "TaskSnapshot",
    "TaskStatus",
]


class Model(enum.StrEnum):
    """
    The models that generate images; which of them a service offers is told by its dialect.
    """

    V1 = "kling-v1"
    V1_5 = "kling-v1-5"
    V2 = "kling-v2"
    V2_NEW = "kling-v2-new"
    V2_1 = "kling-v2-1"
    V3 = "kling-v3"


class AspectRatio(enum.StrEnum):
    """
    Width to height.
    """

    R16_9 = "16:9"
    R9_16 = "9:16"
    SQUARE = "1:1"
    R4_3 = "4:3"
    R3_4 = "3:4"
    R3_2 = "3:2"
    R2_3 = "2:3"
    R21_9 = "21:9"


class ImageReference(enum.StrEnum):
    """
    What to take from the reference image; `FACE` wants exactly one face in it.
    """

    SUBJECT = "subject"
    FACE = "face"


class Resolution(enum.StrEnum):
    """
    How large the pictures are.
    """

    R1K = "1k"
    R2K = "2k"


class TaskStatus(enum.Enum):
    """
    Where a task is. `UNKNOWN` is any word this version has not learnt: kept in `TaskSnapshot.status_word`, never final.
    """

    SUBMITTED = "submitted"
    PROCESSING = "processing"
    SUCCEEDED = "succeed"
    FAILED = "failed"
    UNKNOWN = "?"


@runtime_checkable
class _Readable(Protocol):
    def read(self) -> bytes: ...


ImageSource: TypeAlias = str | Path | bytes
"""
What an `ImageRequest` holds of a reference image: an http(s) URL, a `data:` URL or Base64 as text, a path, or bytes.
"""


def _take_in(image: Any) -> Any:
    # A file object or a Pillow image can be read once and cannot be pickled: it becomes bytes here. What is no image
    # at all is kept as it is, so that validation can name it together with all other broken rules.
    match image:
        case None | str() | bytes() | Path():
            return image
        case bytearray() | memoryview():
            return bytes(image)
        case _ if _is_pillow(image):
            return _png_of(image)
        case _Readable():
            return _content_of(image)
        case _:
            return image


def _is_pillow(image: object) -> bool:
    pillow = sys.modules.get("PIL.Image")  # imported if there is an instance of it
    return pillow is not None and isinstance(image, pillow.Image)


def _png_of(image: Any) -> bytes:
    from kling_async.wire.pillow_images import png_of  # noqa: PLC0415 (Pillow is an extra)

    try:
        return png_of(image)
    except Exception as error:
        raise _unreadable(image, "a Pillow image that can be decoded and displayed", error) from error


def _content_of(image: _Readable) -> bytes:
    try:
        return image.read()
    except Exception as error:  # each kind of file object raises its own errors, and a closed one ValueError
        raise _unreadable(image, "a file object that can be read", error) from error


def _unreadable(image: object, kind: str, error: Exception) -> InvalidRequest:
    broken = BrokenRule("image", describe_image(image), f"must be {kind}: {str(error) or type(error).__name__}")
    return InvalidRequest(str(broken), broken=(broken,))


def describe_image(image: object) -> str:
    """
    Say in a few words what *image* is, never showing its content.
    """
    match image:
        case None:
            return "None"
        case bytes():
            return f"<{len(image)} bytes>"
        case Path():
            return f"Path({str(image)!r})"
        case str() if image[:8].lower().startswith(("http://", "https://")):
            return repr(hide_query(image))
        case str() if len(image) <= 40:  # no picture is that small, so it shows what was mistaken for one
            return repr(image)
        case str():
            return f"<text of {len(image)} characters>"
        case _:
            return f"<{type(image).__name__}>"


def _shown_prompt(prompt: object) -> str:
    return repr(shorten(prompt)) if isinstance(prompt, str) else repr(prompt)


def _shown_url(url: object) -> str:
    return repr(hide_query(url)) if isinstance(url, str) else repr(url)


@attrs.frozen
class ImageRequest:
    """
    What to draw. Nothing is checked here: `submit` checks it against the dialect before anything is sent.

    Attributes:
        prompt: What the picture shows; 500 characters at most at GATEWAY, 2500 at OFFICIAL. No control characters but
            tabs and line breaks.
        negative_prompt: What it should not show.
        image:
            A reference image: an http(s) URL (fetched by the service, not by us), a `data:` URL or Base64 as `str`, a
            `Path` (read at submit, off the event loop), bytes, and at construction also a binary file object or a
            Pillow image. jpg or png, at most 10 MiB, each side at least 300 pixels. A Pillow image is sent as a viewer
            displays it: rotated by its EXIF orientation, in sRGB, with 8 bits per channel. One that cannot be decoded
            or displayed, and a file object that cannot be read, raise InvalidRequest at construction.
        image_fidelity: How strongly the reference shapes the picture, 0 to 1; None leaves it to the service.
        n: Pictures to make, 1 to 9. Each takes one slot and costs one picture.
        aspect_ratio: For example "16:9"; None leaves it to the service.
        callback_url: Where the service reports changes, sent as it is.
        model_name: None is the dialect's default.
        image_reference: "subject" or "face", only with `image`.
        human_fidelity: How strongly the subject is kept, 0 to 1.
        resolution: "1k" or "2k", where the service offers it.
        external_task_id: An id of your own, unique on the account for ever; minted by `submit` where it is None.
    """

    prompt: str = attrs.field(repr=_shown_prompt)
    negative_prompt: str | None = attrs.field(default=None, kw_only=True, repr=_shown_prompt)
    image: ImageSource | None = attrs.field(default=None, kw_only=True, converter=_take_in, repr=describe_image)
    image_fidelity: float | None = attrs.field(default=None, kw_only=True)
    n: int = attrs.field(default=1, kw_only=True)
    aspect_ratio: str | None = attrs.field(default=None, kw_only=True)
    callback_url: str | None = attrs.field(default=None, kw_only=True, repr=_shown_url)
    model_name: str | None = attrs.field(default=None, kw_only=True)
    image_reference: str | None = attrs.field(default=None, kw_only=True)
    human_fidelity: float | None = attrs.field(default=None, kw_only=True)
    resolution: str | None = attrs.field(default=None, kw_only=True)
    external_task_id: str | None = attrs.field(default=None, kw_only=True)


class RequestByName(TypedDict, total=False):
    """
    The fields of `ImageRequest`, as keyword arguments; the defaults are there.
    """

    prompt: str
    negative_prompt: str | None
    image: Any
    image_fidelity: float | None
    n: int
    aspect_ratio: str | None
    callback_url: str | None
    model_name: str | None
    image_reference: str | None
    human_fidelity: float | None
    resolution: str | None
    external_task_id: str | None


@attrs.frozen
class Image:
    """
    One picture of a task.

    Attributes:
        index: Which of the task's pictures; counts from 0.
        url: Signed, and good for a while only (30 days at the vendor, less at some gateways): save it soon. `save` asks
            for a fresh one where it has run out. A repr hides its query.
        watermark_url: The same picture with the vendor's watermark; None where the service tells of none.
    """

    index: int
    url: str = attrs.field(repr=_shown_url)
    watermark_url: str | None = attrs.field(default=None, repr=_shown_url)


@attrs.frozen
class TaskInfo:
    """
    What the service repeats of the request.

    Attributes:
        external_task_id: The id of yours or ours under which it was sent; None where none went along.
    """

    external_task_id: str | None = None


@attrs.frozen
class TaskOutput:
    """
    What a task has made so far.

    Attributes:
        images: Empty while it runs, and where it failed.
    """

    images: tuple[Image, ...] = ()


@attrs.frozen
class BalanceDeduction:
    """
    Money that a task took from the account's balance, where it was paid in cash rather than in units.

    Attributes:
        quota: What was taken, in `currency`.
        list_price: What it would cost without a discount; None where the service does not say.
        currency: "USD" or "CNY"; None where the service does not say, as in the vendor's legacy standard.
    """

    quota: Decimal
    list_price: Decimal | None = None
    currency: str | None = None


@attrs.frozen(kw_only=True)
class TaskSnapshot:
    """
    One sighting of a task.

    Attributes:
        task_status: What its word means; `UNKNOWN` for a word that this version has not learnt.
        status_word: The service's own word for `task_status`.
        task_status_msg: The reason, where the task failed, fit to be shown; often empty.
        task_result: The pictures, once it has succeeded.
        task_info: What the service repeats of the request.
        created_at: Aware time (UTC), or None where the service does not say. Some relays tell seconds for milliseconds;
            either is read.
        updated_at: Aware time (UTC) of the last change, None likewise.
        final_unit_deduction: Units taken, known once the task is final; None where the service does not say.
        final_balance_deduction: Money taken, likewise; it comes in place of units, or beside them.
        request_id: Of the answer this was read from, for the vendor's support.
        raw: The task as it came, with the fields this version does not know.
        is_confirmed: False where a callback alone told of it and could not be confirmed, because the service says that
            there is no such task. The callback came to an address that nobody else was given, see `CallbackReceiver`.
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
    The pictures of a task that succeeded.

    Attributes:
        images: In their order; the service may have made fewer than `n`, and never none.
        snapshot: The sighting that told of them, with times, units and what the service says beside.
    """

    task_id: str
    images: tuple[Image, ...]
    snapshot: TaskSnapshot = attrs.field(repr=False)

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
    Return the task of *error* as it was last seen; None where the error has none, or nobody has seen it.
    """
    snapshot = getattr(error, "snapshot", None)
    return snapshot if isinstance(snapshot, TaskSnapshot) else None


@attrs.frozen
class Picture:
    """
    A picture that was saved.

    Attributes:
        index: Of the task's pictures.
        path: Where it is on the disk; None in a storage.
        sha256: Of its bytes, in hexadecimal digits.
        url: Where it is in a storage; None on the disk.
        pickled: What a function of yours has made of it, see `Batch.run`; None where none has.
    """

    index: int
    path: Path | None
    size_in_bytes: int
    sha256: str
    url: str | None = None
    pickled: bytes | None = attrs.field(default=None, repr=False)

    @property
    def place(self) -> str:
        """
        Return its path or its URL.
        """
        return str(self.path) if self.url is None else self.url


@attrs.frozen
class Done:
    """
    One request of many that ended well.

    Attributes:
        index: Counts the requests from 0 in the order of the input.
        key: By which a batch knows it; None in a stream.
        result: Its pictures at the service.
        paths: Its pictures on the disk, in their order; empty where none were to be saved, or in a storage.
        value: What a batch's `process=` has made of its pictures, a tuple in their order; else None, and room for what
            a program of yours adds by `attrs.evolve`.
        pictures: What is known of those that a batch has saved, on the disk or in a storage; empty in a stream.
    """

    index: int
    key: str | None
    request: ImageRequest
    result: TaskResult
    paths: tuple[Path, ...] = ()
    value: Any = None
    pictures: tuple[Picture, ...] = ()

    def _repr_html_(self) -> str:
        # By their URLs: for as long as those live they show everywhere, while VS Code finds no file of an output.
        captions = itertools.chain((path.name for path in self.paths), itertools.repeat(""))
        images, prompt = self.result.images, prompt_of(self.request)
        return cards.card(
            prompt,
            facts=(
                *_facts_of(self),
                _how_many(images),
                _shown_units(self.result.snapshot.final_unit_deduction),
                _shown_cash(self.result.snapshot.final_balance_deduction),
                f"task {self.result.task_id}",
            ),
            figures=[Figure(image.url, prompt, caption) for image, caption in zip(images, captions, strict=False)],
        )


@attrs.frozen
class Failed:
    """
    One request of many that did not end well.

    Attributes:
        index: Counts the requests from 0 in the order of the input.
        key: By which a batch knows it; None in a stream.
        request: What was asked, None where it could not be read.
        error: Why; `error.task_id` where there is a task.
    """

    index: int
    key: str | None
    request: ImageRequest | None
    error: KlingError

    def _repr_html_(self) -> str:
        kind = type(self.error)
        return cards.card(
            prompt_of(self.request),
            mark=kind.__name__,
            tone=Tone.BADLY,
            text=str(self.error),
            facts=_facts_of(self),
            note=" ".join(inspect.cleandoc(kind.__doc__ or "").split()),  # it says what that means for the caller
        )


def prompt_of(request: ImageRequest | None) -> str:
    """
    Return the prompt to show, whatever it is; empty where there is none.
    """
    match request:
        case None:
            return ""
        case ImageRequest(prompt=str() as prompt):
            return prompt
        case _:
            return repr(request.prompt)


def _facts_of(outcome: Done | Failed) -> Iterator[str]:
    yield f"#{outcome.index}"
    if outcome.request is not None:
        yield str(outcome.request.model_name or "")
        yield str(outcome.request.aspect_ratio or "")
