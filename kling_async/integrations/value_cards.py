"""
How notebooks show this library's values: registers a drawing for each with `kling_async.wire.notebook_html`.
"""

import inspect
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

from kling_async.batch.records import State, Summary
from kling_async.client.client import KlingClient
from kling_async.client.handle import TaskHandle
from kling_async.client.outcomes import Done, Failed
from kling_async.integrations.cards import Figure, Tone, bar, card, table
from kling_async.wire.endpoints.registry import caption_of
from kling_async.wire.notebook_html import draw
from kling_async.wire.tasks import BalanceDeduction, File, Image, TaskOutput, TaskResult, TaskSnapshot, TaskStatus

__all__ = ["address_of", "draw_done"]

_STATUS_TONES: Final = {
    TaskStatus.PROCESSING: Tone.WORKING,
    TaskStatus.SUCCEEDED: Tone.WELL,
    TaskStatus.FAILED: Tone.BADLY,
}

_ROW_TONES: Final[Mapping[State, Tone]] = {
    State.SAVED: Tone.WELL,
    State.FINISHED: Tone.WELL,
    State.FAILED: Tone.BADLY,
    State.UNCERTAIN: Tone.BADLY,
    State.ACCEPTED: Tone.WORKING,
    State.SENDING: Tone.WORKING,
}
"""
In the order in which a bar shows them; queued rows are its empty rest.
"""

_PLURALS: Final = {"image": ("picture", "pictures"), "video": ("video", "videos"), "audio": ("sound", "sounds")}


@draw.register
def draw_client(client: KlingClient) -> str:
    """
    Draw a client: its state, and the slots of each bucket.
    """
    slots = {
        bucket: f"{usage.used} of {usage.limit} slot{'' if usage.limit == 1 else 's'} taken"
        + (f", {usage.waiting} waiting" if usage.waiting else "")
        for bucket, usage in client.slots.items()
    }
    state, submitting = client.core.state.value, len(client.core.submitter)
    return card(
        urlsplit(client.base_url).netloc,
        mark=state,
        tone=Tone.WELL if state == "open" else Tone.IDLE,
        facts=(client.dialect.name, f"{submitting} submitting", f"{len(client.unfinished)} unfinished"),
        body=table(slots) if slots else "",
    )


@draw.register
def draw_handle(handle: TaskHandle) -> str:
    """
    Draw a task by its handle: what was asked for, and the last known state.
    """
    caption = caption_of(handle.request)
    if handle.snapshot is None:
        return card(caption, mark="not seen yet", facts=[f"task {handle.task_id}"])
    return draw_snapshot(handle.snapshot, caption)


@draw.register
def draw_snapshot(snapshot: TaskSnapshot, title: str = "") -> str:
    """
    Draw the state of a task.
    """
    return card(
        title,
        mark=snapshot.status_word or snapshot.task_status.value,
        tone=_STATUS_TONES.get(snapshot.task_status, Tone.IDLE),
        text=snapshot.task_status_msg,
        facts=(
            *_counts(snapshot.task_result.files),
            *_records(snapshot.task_result),
            *_costs(snapshot),
            _duration(snapshot),
            "" if snapshot.is_confirmed else "not confirmed",
            f"task {snapshot.task_id}",
        ),
    )


@draw.register
def draw_result(result: TaskResult) -> str:
    """
    Draw the files of a task.
    """
    files = result.files
    return card(
        facts=(
            *(_counts(files) or _records(result) or ["0 files"]),
            *_costs(result.snapshot),
            f"task {result.task_id}",
        ),
        figures=[
            Figure(
                file.url, f"{_PLURALS[file.kind][0]} {file.index} of task {result.task_id}", _length(file), file.kind
            )
            for file in files
        ],
    )


@draw.register
def draw_done(done: Done, figures: Sequence[Figure] | None = None) -> str:
    """
    Draw a request that ended well, with *figures*, or with its files.

    Pictures are shown by their URLs: those work everywhere while they last, and VS Code finds no local files of an
    output. Saved videos and sounds are played from the disk, and by their URLs where the page does not find them.
    """
    files = done.result.files
    if figures is None:
        paths = itertools.chain(done.paths, itertools.repeat(None))
        figures = [_figure_of(file, path, done.caption) for file, path in zip(files, paths, strict=False)]
    return card(
        done.caption,
        facts=(
            *_request_facts(done),
            *_counts(files),
            *_records(done.result),
            *_costs(done.result.snapshot),
            f"task {done.result.task_id}",
        ),
        figures=figures,
    )


def _figure_of(file: File, path: Path | None, caption: str) -> Figure:
    if path is None:
        return Figure(file.url, caption, _length(file), file.kind)
    local = "" if file.kind == "image" else address_of(path)
    return Figure(file.url, caption, path.name, file.kind, local)


def address_of(path: Path) -> str:
    """
    Return the relative URL of a file at or below the working folder, where notebooks are; empty for one elsewhere.
    """
    below = Path(os.path.relpath(path)) if path.is_absolute() else path
    return "" if below.is_absolute() or ".." in below.parts else quote(below.as_posix())


def _length(file: File) -> str:
    duration = None if isinstance(file, Image) else file.duration
    return "" if duration is None else f"{duration:g} s"


@draw.register
def draw_failed(failed: Failed) -> str:
    """
    Draw a request that failed, with what the class of its error says about that.
    """
    kind = type(failed.error)
    return card(
        failed.caption,
        mark=kind.__name__,
        tone=Tone.BADLY,
        text=str(failed.error),
        facts=_request_facts(failed),
        note=" ".join(inspect.cleandoc(kind.__doc__ or "").partition("Attributes:")[0].split()),
    )


@draw.register
def draw_summary(summary: Summary) -> str:
    """
    Draw the progress of a batch, and its numbers.
    """
    counts = {state: int(getattr(summary, state.value)) for state in State}
    numbers: dict[str, object] = {
        "rows": f"{summary.rows:,}",
        **{state.value: f"{count:,}" for state, count in counts.items() if count},
        **({"of the failed, may be retried": f"{summary.may_retry:,}"} if summary.may_retry else {}),
        **({"sent with another key": f"{summary.kept:,}"} if summary.kept else {}),
        "files": f"{summary.files:,}",
        "megabytes": f"{summary.bytes / 1e6:,.1f}",
        "units billed": f"{summary.units_billed.normalize():,f}" if summary.units_billed else "unknown",
        **({"paid in cash": f"{summary.cash_billed.normalize():,f}"} if summary.cash_billed else {}),
    }
    return card(body=bar([(counts[state], tone) for state, tone in _ROW_TONES.items()], summary.rows) + table(numbers))


def _request_facts(outcome: Done | Failed) -> Iterator[str]:
    yield f"#{outcome.index}"
    for field in ("model_name", "aspect_ratio"):
        yield str(getattr(outcome.request, field, None) or "")


def _counts(files: Sequence[File]) -> list[str]:
    counts = []
    for kind, (one, many) in _PLURALS.items():
        if count := sum(file.kind == kind for file in files):
            counts.append(f"{count} {one if count == 1 else many}")
    return counts


def _records(made: TaskOutput | TaskResult) -> list[str]:
    voices = [f"voice {voice.voice_id} {voice.voice_name}".rstrip() for voice in made.voices]
    return voices + [f"element {each.element_id} {each.element_name}".rstrip() for each in made.elements]


def _costs(snapshot: TaskSnapshot) -> Iterator[str]:
    if (units := snapshot.final_unit_deduction) is not None:
        yield f"{_plain(units)} unit{'' if units == 1 else 's'}"
    cash: BalanceDeduction | None = snapshot.final_balance_deduction
    if cash is not None and cash.quota:
        yield f"{_plain(cash.quota)} {cash.currency or 'in cash'}"


def _plain(number: Decimal) -> str:
    return f"{number.normalize():f}"


def _duration(snapshot: TaskSnapshot) -> str:
    is_over = snapshot.task_status in (TaskStatus.SUCCEEDED, TaskStatus.FAILED)
    if not is_over or snapshot.created_at is None or snapshot.updated_at is None:
        return ""
    return f"after {(snapshot.updated_at - snapshot.created_at).total_seconds():.1f} s"
