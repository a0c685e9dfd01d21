"""
OpenTelemetry spans of what a client does. Needs the extra "otel".
"""

import collections
from collections.abc import Mapping
from typing import Final, TypeAlias

import attrs

from kling_async import __version__
from kling_async.client.events import EventKind, TaskEvent
from kling_async.errors import ClientClosed, KlingError
from kling_async.wire.endpoints.base import TaskRequest
from kling_async.wire.endpoints.registry import caption_of, endpoint_of
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
    Makes one span of each submit and its task: `KlingClient(on_event=TaskSpans())`. Make one for each client.

    A span begins when the submit does, under the span that is current there, and ends when the task has, or the submit
    without one. Waiting for slots, sending, retries, acceptance and first work are its events. A task that failed, a
    submit without a task and a closed client are errors of it. Looks make no spans: for those of single requests, give
    the client a `session` that an instrumentation of aiohttp watches. Saving comes after the end, and is not told.

    OpenTelemetry keeps 128 events per span and drops the oldest, so only the first eight of each kind are recorded as
    events. Attributes such as "kling.retry.count" hold the total counts, and "kling.last_error" the most recent error.

    Names are those of the conventions for generative AI where these have one, and "kling.…" elsewhere.

    Attributes:
        provider: Makes the spans; None is the program's own.
        with_prompts: Whether spans hold prompts; they may be private, so by default they do not.
        attributes: What every span says besides.
    """

    provider: TracerProvider | None = None
    with_prompts: bool = attrs.field(default=False, kw_only=True)
    attributes: Mapping[str, AttributeValue] = attrs.field(factory=dict, kw_only=True)
    _open: "dict[int | str | None, _OpenSpan]" = attrs.field(factory=dict, init=False)

    def __call__(self, event: TaskEvent) -> None:
        """
        Take in one event.
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
        attributes = {
            "gen_ai.operation.name": _OPERATION,
            "gen_ai.provider.name": "kling",
            "gen_ai.output.type": "image",
            **self.attributes,
        }
        tracer = get_tracer("kling_async", __version__, self.provider)
        start_time = _nanoseconds(event.at)
        return tracer.start_span(_OPERATION, kind=SpanKind.CLIENT, attributes=attributes, start_time=start_time)


_OPERATION: Final = "generate_image"

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


def _asked(request: TaskRequest) -> _Attributes:
    endpoint = endpoint_of(type(request))
    asked = {
        "gen_ai.request.model": getattr(request, "model_name", None),
        "gen_ai.request.choice.count": getattr(request, "n", None),
        "kling.aspect_ratio": getattr(request, "aspect_ratio", None),
        "kling.resolution": getattr(request, "resolution", None),
        "kling.has_image": any(getattr(request, each.field) is not None for each in endpoint.inputs),
        "kling.external_task_id": request.external_task_id,
    }
    return {name: value if isinstance(value, int) else str(value) for name, value in asked.items() if value is not None}


def _facts(event: TaskEvent) -> _Attributes:
    # What is known of the whole by now.
    facts: _Attributes = {} if event.request is None else _asked(event.request)
    if event.task_id is not None:
        facts["kling.task_id"] = event.task_id
    if event.kind is EventKind.FINAL and event.snapshot is not None:
        facts |= _outcome(event.snapshot)
    return facts


def _outcome(snapshot: TaskSnapshot) -> _Attributes:
    outcome: _Attributes = {"kling.status": snapshot.status_word, "kling.pictures": len(snapshot.task_result.files)}
    if snapshot.final_unit_deduction is not None:
        outcome["kling.units"] = float(snapshot.final_unit_deduction)
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
