"""
Spans of what a client does, as an exporter gets them.
"""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from kling_async import (
    GATEWAY,
    OFFICIAL,
    EventKind,
    ImageRequest,
    TaskEvent,
    TextToAudio,
    TextToVideo,
    VoiceRequest,
)
from kling_async.emulator import Fault, faults
from kling_async.errors import (
    InvalidRequest,
    KlingError,
    RateLimited,
    ServiceFailure,
    SubmissionUncertain,
    TaskFailed,
    Unreachable,
)
from kling_async.integrations.otel import TaskSpans
from kling_async.wire import TaskRequest
from tests.fakes.clients import emulator
from tests.unit.client.test_events import client_of


class Exported:
    """
    A provider, and the spans that were ended with it.
    """

    def __init__(self) -> None:
        self.provider = TracerProvider(shutdown_on_exit=False)
        self._exporter = InMemorySpanExporter()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    @property
    def only(self) -> ReadableSpan:
        [span] = self.spans
        return span


@pytest.fixture
def exported() -> Exported:
    return Exported()


def words(span: ReadableSpan) -> list[str]:
    return [event.name for event in span.events]


def told(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


async def test_a_task_is_one_span(exported: Exported, tmp_path: Path) -> None:
    """
    From the submit to the end, with what was asked and what came of it; looks and downloads make none.
    """
    async with emulator(OFFICIAL, latency=(0.3, 0.3)) as server:
        async with client_of(server, TaskSpans(exported.provider)) as client:
            result = await client.generate("a secret lighthouse", n=2, aspect_ratio="16:9")
            await client.save(result, tmp_path)
        task = server.ledger.tasks[0]

    span = exported.only

    assert ("generate_image", StatusCode.OK) == (span.name, span.status.status_code)
    assert ["sending", "submitted", "processing"] == words(span)
    assert {
        "gen_ai.operation.name": "generate_image",
        "gen_ai.provider.name": "kling",
        "gen_ai.output.type": "image",
        "kling.endpoint": "image-generation",
        "gen_ai.request.model": OFFICIAL.default_model,
        "gen_ai.request.choice.count": 2,
        "kling.aspect_ratio": "16:9",
        "kling.has_image": False,
        "kling.external_task_id": task.external_task_id,
        "kling.task_id": result.task_id,
        "kling.sending.count": 1,
        "kling.status": "succeed",
        "kling.files": 2,
        "kling.units": float(result.snapshot.final_unit_deduction or 0),
    } == told(span)
    assert "secret" not in span.to_json()
    assert span.end_time is not None
    assert span.start_time is not None
    assert span.end_time - span.start_time >= 0.3e9


async def test_cash_is_told_in_place_of_units(exported: Exported) -> None:
    """
    Of a task that was paid from the balance.
    """
    async with emulator(OFFICIAL, paid_in="cash") as server, client_of(server, TaskSpans(exported.provider)) as client:
        await client.generate("a lighthouse", model_name="kling-v3")

    assert (0.028, None) == tuple(told(exported.only).get(name) for name in ("kling.cash", "kling.units"))


@pytest.mark.parametrize(
    ("request_", "name", "facts"),
    [
        (
            TextToVideo("a boat", duration=3, mode="std", sound=True, aspect_ratio="9:16"),
            "generate_video",
            {
                "gen_ai.output.type": "video",
                "gen_ai.request.model": "kling-v3",
                "kling.endpoint": "text-to-video",
                "kling.aspect_ratio": "9:16",
                "kling.duration": 3,
                "kling.mode": "std",
                "kling.sound": True,
                "kling.files": 1,
            },
        ),
        (
            TextToAudio("waves", duration=3.5),
            "generate_audio",
            {"gen_ai.output.type": "audio", "kling.endpoint": "text-to-audio", "kling.duration": 3.5, "kling.files": 1},
        ),
        (
            VoiceRequest("a keeper", voice_url="https://sounds.example/keeper.mp3"),
            "create_voice",
            {"kling.endpoint": "custom-voice", "kling.files": 0},
        ),
    ],
    ids=["video", "sound", "voice"],
)
async def test_spans_of_other_endpoints(
    exported: Exported, request_: TaskRequest, name: str, facts: dict[str, Any]
) -> None:
    """
    They say what is made, and what was asked for; what the request does not have is left out.
    """
    async with emulator(OFFICIAL) as server, client_of(server, TaskSpans(exported.provider)) as client:
        await client.generate(request_)

    shown = told(exported.only)
    more = {"kling.external_task_id", "kling.task_id", "kling.sending.count", "kling.status", "kling.units"}
    more |= {"gen_ai.operation.name", "gen_ai.provider.name"}
    assert (name, name) == (exported.only.name, shown["gen_ai.operation.name"])
    assert facts == {key: value for key, value in shown.items() if key not in more}


async def test_spans_stand_under_what_was_current_at_the_submit(exported: Exported) -> None:
    """
    Each under its own, though they end elsewhere and at the same time.
    """
    tracer = exported.provider.get_tracer("the program")
    async with emulator(GATEWAY) as server, client_of(server, TaskSpans(exported.provider)) as client:

        async def serve(name: str) -> None:
            with tracer.start_as_current_span(name):
                await client.generate(name)

        await asyncio.gather(*(serve(f"page {number}") for number in range(3)))

    pages = {span.context.span_id for span in exported.spans if span.name.startswith("page") and span.context}
    parents = {span.parent.span_id for span in exported.spans if span.parent is not None}

    assert 3 == len(pages)
    assert pages == parents


async def test_prompts_and_more_where_they_are_wanted(exported: Exported) -> None:
    """
    What every span is to say is said, and the prompt where it is asked for.
    """
    spans = TaskSpans(exported.provider, with_prompts=True, attributes={"server.address": "kling.example"})
    async with emulator(GATEWAY) as server, client_of(server, spans) as client:
        await client.generate("a lighthouse")

    assert "a lighthouse" == told(exported.only)["kling.prompt"]
    assert "kling.example" == told(exported.only)["server.address"]


async def test_waiting_and_retries_are_events(exported: Exported) -> None:
    """
    With what went wrong, and the seconds until it went on.
    """
    rules = (faults.status("create", 503, times=1, prompt="second"),)
    async with emulator(OFFICIAL, *rules) as server:
        async with client_of(server, TaskSpans(exported.provider), slots=1) as client:
            await asyncio.gather(client.generate("first"), client.generate("second"))

    second = max(exported.spans, key=lambda span: span.end_time or 0)
    retry = next(event for event in second.events if event.name == "retry")

    assert ["waiting", "sending", "retry"] == words(second)[:3]
    assert "ServiceFailure" == (retry.attributes or {})["error.type"]
    assert 0 < float(str((retry.attributes or {})["kling.delay"])) <= 0.05


async def test_many_retries_push_nothing_out(exported: Exported) -> None:
    """
    OpenTelemetry keeps the last 128 events alone: what began a span stays in it, and what came again is counted.
    """
    spans = TaskSpans(exported.provider)
    request = ImageRequest("a lighthouse")

    def take(kind: EventKind, at: float, error: KlingError | None = None) -> None:
        spans(TaskEvent(kind=kind, at=at, number=1, request=request, error=error, delay=1.0 if error else None))

    for number in range(300):
        take(EventKind.WAITING, number, RateLimited("busy"))
        take(EventKind.SENDING, number)
        take(EventKind.RETRY, number, ServiceFailure(f"error {number}"))
    for kind in (EventKind.SENDING, EventKind.SUBMITTED):
        take(kind, 300)
    for number in range(500):
        take(EventKind.PROCESSING, 301 + number)
    take(EventKind.FINAL, 900)
    span = exported.only
    counted = {name: value for name, value in told(span).items() if name.endswith((".count", "error"))}

    assert ["waiting", "sending", "retry"] == words(span)[:3]
    assert ["submitted", "processing"] == words(span)[24:26]
    assert 0 == span.dropped_events
    assert len(span.events) < 64
    assert {
        "gen_ai.request.choice.count": 1,
        "kling.waiting.count": 300,
        "kling.sending.count": 301,
        "kling.retry.count": 300,
        "kling.last_error": "ServiceFailure: error 299",
    } == counted


async def test_troubles_of_a_task_are_counted(exported: Exported) -> None:
    """
    They can come as often as somebody waits for it.
    """
    spans = TaskSpans(exported.provider)
    for number in range(200):
        spans(TaskEvent(kind=EventKind.TROUBLE, at=number, task_id="t-1", error=Unreachable("gone")))
    spans(TaskEvent(kind=EventKind.FINAL, at=200, task_id="t-1"))

    assert ["trouble"] * 8 == words(exported.only)
    assert 200 == told(exported.only)["kling.trouble.count"]


@pytest.mark.parametrize(
    ("prompt", "rule", "error"),
    [
        ("", faults.delay_before(seconds=0), InvalidRequest),
        ("a lighthouse", faults.reset_after("create"), SubmissionUncertain),
        ("a lighthouse", faults.failing_task("too dark"), TaskFailed),
    ],
    ids=["invalid", "uncertain", "failed"],
)
async def test_what_went_wrong_is_an_error_of_the_span(
    exported: Exported, prompt: str, rule: Fault, error: type[Exception]
) -> None:
    """
    Of a class, with the reason as its description.
    """
    async with emulator(GATEWAY, rule) as server, client_of(server, TaskSpans(exported.provider)) as client:
        with pytest.raises(error) as raised:
            await client.generate(prompt)

    span = exported.only

    assert StatusCode.ERROR is span.status.status_code
    assert error.__name__ == told(span)["error.type"]
    assert span.status.description is not None
    assert span.status.description in str(raised.value)


async def test_cancelled_and_closed_submits_end_their_spans(exported: Exported) -> None:
    """
    One that waited in the queue, and a task that goes on without its client.
    """
    async with emulator(GATEWAY, latency=(30, 30)) as server:
        async with client_of(server, TaskSpans(exported.provider), slots=1) as client:
            await client.submit("first")
            second = asyncio.create_task(client.submit("second"))
            await asyncio.sleep(0)
            second.cancel()
            await asyncio.gather(second, return_exceptions=True)

    cancelled, closed = exported.spans

    assert "cancelled" == cancelled.status.description
    assert "ClientClosed" == told(closed)["error.type"]
    assert "trouble" not in words(closed)


async def test_a_task_that_was_picked_up_has_a_span_of_what_was_seen(exported: Exported) -> None:
    """
    Known by its id; two at a time are told apart.
    """
    async with emulator(GATEWAY, latency=(0.2, 0.3)) as server:
        async with client_of(server, TaskSpans()) as client:
            ids = [(await client.submit(ImageRequest("a lighthouse"))).task_id for _ in range(2)]
        async with client_of(server, TaskSpans(exported.provider)) as client:
            await asyncio.gather(*(client.handle(task_id).wait() for task_id in ids))

    assert set(ids) == {told(span)["kling.task_id"] for span in exported.spans}
    assert 2 == len(exported.spans)


def test_without_the_extra_there_is_a_kind_word(tmp_path: Path) -> None:
    """
    Which says what to install.
    """
    program = "import sys; sys.modules['opentelemetry.trace'] = None; import kling_async.integrations.otel"
    ended = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert 'ImportError: spans need OpenTelemetry: pip install "kling-async[otel]"' == ended.stderr.splitlines()[-1]
