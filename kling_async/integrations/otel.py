"""
OpenTelemetry spans of submits and their tasks. Needs the extra "otel".
"""

import collections
from collections.abc import Mapping
from typing import Final, TypeAlias

import attrs

from kling_async import __version__
from kling_async.client.events import EventKind, TaskEvent
from kling_async.errors import ClientClosed, KlingError
from kling_async.wire.endpoints.base import TaskRequest
from kling_async.wire.endpoints.registry import DEFAULT_ENDPOINT, caption_of, endpoint_of
from kling_async.wire.status import reason_of
from kling_async.wire.tasks import TaskSnapshot, TaskStatus

try:
    from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TracerProvider, get_tracer
    from opentelemetry.util.types import AttributeValue
except ModuleNotFoundError as _error:
    what = 'spans need OpenTelemetry: pip install "kling-async[otel]"'
    raise ImportError(what, name=_error.name) from None

__all__ = ["TaskSpans"]

_Attributes: TypeAlias = dict[str, AttributeValue]


@attrs.define(eq=False)
class TaskSpans:
    """
    Makes one span for each submit and its task: `KlingClient(on_event=TaskSpans())`. Make one for each client.

    A span starts with the submit, as a child of the current span, and ends with the task, or with a submit that makes
    no task. Waiting for slots, sending, retries, acceptance and the start of processing are its events. A failed task,
    a submit that makes no task and a closed client set its status to an error. Polls make no spans: for spans of single
    requests, give the client a `session` with aiohttp's instrumentation. Saving comes after the end and is not
    recorded.

    OpenTelemetry keeps 128 events per span and drops the oldest, so only the first eight of each kind are recorded as
    events. Attributes such as "kling.retry.count" hold the total counts, and "kling.last_error" the most recent error.

    Names follow the semantic conventions for generative AI if these have one, and are "kling.…" otherwise.

    Attributes:
        provider: Makes the spans; None uses the program's global one.
        with_prompts: Whether spans contain prompts. They may be private, so the default is False.
        attributes: Further attributes of every span.
    """

    provider: TracerProvider | None = None
    with_prompts: bool = attrs.field(default=False, kw_only=True)
    attributes: Mapping[str, AttributeValue] = attrs.field(factory=dict, kw_only=True)
    _open: "dict[int | str | None, _OpenSpan]" = attrs.field(factory=dict, init=False)

    def __call__(self, event: TaskEvent) -> None:
        """
        Record one event.
        """
        if event.kind is EventKind.SAVED:
            return
        begun = self._open.get(event.key)
        if begun is None:
            begun = self._open[event.key] = _OpenSpan(self._begin(event))
        span = begun.span
        span.set_attributes(_facts(event))
        if event.request is not None and self.with_prompts:
            span.set_attribute("kling.prompt", caption_of(event.request))
        if (status := _status_at_the_end(event)) is None:
            begun.take(event)
        else:
            del self._open[event.key]
            _end(span, event, status)

    def _begin(self, event: TaskEvent) -> Span:
        endpoint = DEFAULT_ENDPOINT if event.request is None else endpoint_of(type(event.request))
        output = endpoint.results[0].removesuffix("s")
        is_file = output in _FILES
        operation = f"{'generate' if is_file else 'create'}_{output}"
        attributes = {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": "kling",
            **({"gen_ai.output.type": output} if is_file else {}),
            "kling.endpoint": endpoint.name,
            **self.attributes,
        }
        tracer = get_tracer("kling_async", __version__, self.provider)
        start_time = _nanoseconds(event.at)
        return tracer.start_span(operation, kind=SpanKind.CLIENT, attributes=attributes, start_time=start_time)


_FILES: Final = frozenset({"image", "video", "audio"})
"""
Types of output. Of these, the conventions have "image"; they allow others.
"""

_EVENTS_OF_A_KIND: Final = 8
"""
Events recorded per kind and span. All kinds together stay below half of OpenTelemetry's default limit of 128.
"""

_REPEATED: Final = frozenset({EventKind.WAITING, EventKind.SENDING, EventKind.RETRY, EventKind.TROUBLE})


@attrs.define(eq=False)
class _OpenSpan:
    """
    A span that has not ended, with the number of events of each kind.
    """

    span: Span
    _counts: collections.Counter[EventKind] = attrs.field(factory=collections.Counter, init=False)

    def take(self, event: TaskEvent) -> None:
        self._counts[event.kind] += 1
        count = self._counts[event.kind]
        if event.kind in _REPEATED:
            self.span.set_attribute(f"kling.{event.kind.value}.count", count)
            if event.error is not None:
                self.span.set_attribute("kling.last_error", f"{type(event.error).__name__}: {event.error}")
        if count <= _EVENTS_OF_A_KIND:
            self.span.add_event(event.kind.value, _details(event), _nanoseconds(event.at))


def _end(span: Span, event: TaskEvent, status: Status) -> None:
    if event.error is not None:
        span.set_attribute("error.type", type(event.error).__name__)
        span.record_exception(event.error, timestamp=_nanoseconds(event.at))
    span.set_status(status)
    span.end(_nanoseconds(event.at))


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)


def _request_attributes(request: TaskRequest) -> _Attributes:
    # Not all fields: texts may be private.
    names = {
        "gen_ai.request.model": "model_name",
        "gen_ai.request.choice.count": "n",
        "kling.aspect_ratio": "aspect_ratio",
        "kling.resolution": "resolution",
        "kling.duration": "duration",
        "kling.mode": "mode",
        "kling.sound": "sound",
        "kling.external_task_id": "external_task_id",
    }
    values = {name: getattr(request, field, None) for name, field in names.items()}
    for file in endpoint_of(type(request)).inputs:
        values[f"kling.has_{file.field}"] = any(file.sources(request))
    return {
        name: value if isinstance(value, int | float) else str(value)
        for name, value in values.items()
        if value is not None
    }


def _facts(event: TaskEvent) -> _Attributes:
    facts: _Attributes = {} if event.request is None else _request_attributes(event.request)
    if event.task_id is not None:
        facts["kling.task_id"] = event.task_id
    if event.kind is EventKind.FINAL and event.snapshot is not None:
        facts |= _outcome(event.snapshot)
    return facts


def _outcome(snapshot: TaskSnapshot) -> _Attributes:
    outcome: _Attributes = {"kling.status": snapshot.status_word, "kling.files": len(snapshot.task_result.files)}
    if snapshot.final_unit_deduction is not None:
        outcome["kling.units"] = float(snapshot.final_unit_deduction)
    if (cash := snapshot.final_balance_deduction) is not None:
        outcome["kling.cash"] = float(cash.quota)
    if snapshot.task_status is TaskStatus.FAILED:
        outcome["error.type"] = "TaskFailed"
    return outcome


def _details(event: TaskEvent) -> _Attributes:
    details: _Attributes = {}
    if event.error is not None:
        details = {"error.type": type(event.error).__name__, "error.message": str(event.error), **_support(event.error)}
    if event.delay is not None:
        details["kling.delay"] = event.delay
    return details


def _support(error: KlingError) -> _Attributes:
    return {} if error.request_id is None else {"kling.request_id": error.request_id}


def _status_at_the_end(event: TaskEvent) -> Status | None:
    match event:
        case TaskEvent(kind=EventKind.FINAL, snapshot=TaskSnapshot(task_status=TaskStatus.FAILED) as snapshot):
            return Status(StatusCode.ERROR, reason_of(snapshot))
        case TaskEvent(kind=EventKind.FINAL):
            return Status(StatusCode.OK)
        case TaskEvent(kind=EventKind.NO_TASK, error=error):
            return Status(StatusCode.ERROR, "cancelled" if error is None else str(error))
        case TaskEvent(kind=EventKind.TROUBLE, error=ClientClosed() as error):
            return Status(StatusCode.ERROR, str(error))
        case _:
            return None
