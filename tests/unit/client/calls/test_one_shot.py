"""
Paid calls that create no task: each is sent once, and nothing that was lost is sent again.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from kling_async import OFFICIAL, HttpOptions, KlingClient, RetryPolicy
from kling_async.client.calls import one_shot
from kling_async.client.calls.one_shot import is_over, uncertain
from kling_async.emulator import Emulator, Fault, faults
from kling_async.errors import (
    AccountProblem,
    ClientClosed,
    InvalidRequest,
    KlingError,
    NoFreeSlot,
    NotSent,
    RateLimited,
    ServiceFailure,
    SubmissionUncertain,
    TaskNotFound,
    UnexpectedAnswer,
    Unreachable,
)
from kling_async.wire.calls.speech import SPEECH, Speech
from tests.fakes.clients import BRISK, client_of, emulator
from tests.fakes.gate import HELD
from tests.fakes.scripted_server import ReceivedRequest, http_response, raw_server, scripted_server
from tests.fakes.simulated_loop import simulated
from tests.fakes.stepping_loop import SteppingLoop, is_cut_at

POLICY = RetryPolicy(refused_for=300.0, give_up_after=120.0, max_retry_after=60.0)

LOST = [
    faults.reset_after("call"),
    faults.reset_before("call"),
    faults.status_after("call"),
    faults.status("call", 500),
    faults.status("call", 504),
    faults.html_after("call"),
    faults.garbled("call"),
    faults.truncated("call"),
]
"""
After these a call may have been made.
"""


async def speak(client: KlingClient, text: str = "Hello") -> Speech:
    return await client.speech.generate(text, voice_id="oversea_male1", voice_language="en")


@pytest.mark.parametrize(
    ("error", "failing_for", "expected"),
    [
        (NotSent("x"), 0.0, False),
        (NotSent("x"), 120.0, False),
        (NotSent("x"), 121.0, True),
        (RateLimited("x"), 299.0, False),
        (NoFreeSlot("x"), 299.0, False),
        (RateLimited("x"), 301.0, True),
        (RateLimited("x", retry_after=61.0), 0.0, True),
        (Unreachable("x"), 0.0, True),
        (ServiceFailure("x"), 0.0, True),
        (UnexpectedAnswer("x", http_status=200), 0.0, True),
        (UnexpectedAnswer("x"), 0.0, True),
        (InvalidRequest("x"), 0.0, True),
        (AccountProblem("x"), 0.0, True),
    ],
)
def test_only_what_was_certainly_not_made_is_sent_again(
    error: KlingError,
    failing_for: float,
    expected: bool,  # noqa: FBT001
) -> None:
    """
    A connection that was never made, and a refusal that passes; each for as long as the policy says.
    """
    assert expected is is_over(error, POLICY, failing_for)


def test_uncertain_call_says_what_to_do() -> None:
    """
    What it may have cost, why it is unknown, and where to look; with all that the answer gave.
    """
    lost = UnexpectedAnswer("cut off", "t-1", "r-1", None, 200, urls=("https://files.example/1",))

    error = uncertain(SPEECH, lost.message, lost)

    assert "may have been charged (0.05 units): cut off" in error.message
    assert "console" in error.message
    assert ("t-1", "r-1", 200, lost.urls) == (error.task_id, error.request_id, error.http_status, error.urls)
    assert "may have been charged" in uncertain(attrs.evolve(SPEECH, units=None), "closed").message


@pytest.mark.parametrize("fault", LOST, ids=lambda fault: f"{fault.kind} {fault.status}")
async def test_lost_answer_is_uncertain_and_sent_once(fault: Fault, caplog: pytest.LogCaptureFixture) -> None:
    """
    Whatever becomes of the answer: one call, and an error that says that it may have been charged.
    """
    async with emulator(OFFICIAL, fault) as server, client_of(server) as client:
        with pytest.raises(SubmissionUncertain, match="may have been charged"):
            await speak(client)
        with pytest.raises(SubmissionUncertain):
            await client.faces.identify("https://files.example/clip.mp4")

        assert 2 == server.ledger.arrivals["call"]
    assert 2 == caplog.text.count("the fate of a call is unknown")


@pytest.mark.parametrize(
    ("fault", "arrivals"),
    [
        (faults.rate_limited("call", times=2), 3),
        (faults.bare_429("call", times=1), 2),
        (faults.html("call", 429, times=1), 2),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else "",
)
async def test_refused_call_is_sent_again(fault: Fault, arrivals: int) -> None:
    """
    The service has certainly not made what it refused for now: it is made once, and paid for once.
    """
    async with emulator(OFFICIAL, fault) as server, client_of(server) as client:
        speech = await speak(client)

        assert speech.audio.duration == server.settings.media_seconds
        assert {"speech": 1} == server.ledger.calls
        assert (arrivals, speech.units) == (server.ledger.arrivals["call"], server.ledger.units_billed)


async def test_call_that_was_not_sent_is_sent_again() -> None:
    """
    Once the service listens.
    """
    server = emulator(OFFICIAL)
    async with server:
        client = client_of(server, retry=attrs.evolve(BRISK, give_up_after=60.0))
    async with client:
        speaking = asyncio.ensure_future(speak(client))
        await asyncio.wait({speaking}, timeout=0.05)
        assert not speaking.done()
        async with server:
            speech = await speaking

            assert {"speech": 1} == server.ledger.calls
    assert "audio" == speech.audio.kind


async def test_service_that_never_listens_is_not_sent_to() -> None:
    """
    The last error says so, and nothing is uncertain.
    """
    server = emulator(OFFICIAL)
    async with server:
        client = client_of(server, retry=attrs.evolve(BRISK, give_up_after=0.05))
    async with client:
        with pytest.raises(NotSent):
            await speak(client)


async def test_refusals_are_raised() -> None:
    """
    What the service refuses for good is sent once.
    """
    async with emulator(OFFICIAL, units=0.01) as server, client_of(server) as client:
        with pytest.raises(AccountProblem):
            await speak(client)
        with pytest.raises(InvalidRequest, match="Voice id not found"):
            await client.speech.generate("Hello", voice_id="nobody", voice_language="en")
        with pytest.raises(InvalidRequest, match="video_id value '123' is invalid"):
            await client.faces.identify("123")

        assert (3, {}, 0) == (server.ledger.arrivals["call"], server.ledger.calls, server.ledger.units_billed)


async def test_nothing_invalid_is_sent() -> None:
    """
    All broken rules are in one error.
    """
    async with emulator(OFFICIAL) as server, client_of(server) as client:
        with pytest.raises(InvalidRequest) as caught:
            await client.speech.generate("", voice_id="", voice_language="fr", voice_speed=9)

        assert ["text", "voice_id", "voice_language", "voice_speed"] == [rule.field for rule in caught.value.broken]
        assert {} == server.ledger.arrivals


async def test_redirect_is_not_followed() -> None:
    """
    It would carry the key, and the call, elsewhere: the service answered, but not whether it made anything.
    """
    reply = http_response(b"", "307 Temporary Redirect", Location="/v1/audio/tts")
    async with scripted_server(lambda _: reply) as server, KlingClient("sk-key", base_url=server.url) as client:
        with pytest.raises(UnexpectedAnswer, match="redirects elsewhere"):
            await speak(client)

    assert ["POST /v1/audio/tts HTTP/1.1"] == [request.line for request in server.served]


async def test_wrong_address_is_not_uncertain() -> None:
    """
    If a free read confirms that there is no such API at the address, nothing was charged.
    """
    page = http_response(b"<!DOCTYPE html><html><title>Shop</title></html>", Content_Type="text/html")
    async with scripted_server(lambda _: page) as server, KlingClient("sk-key", base_url=server.url) as client:
        with pytest.raises(UnexpectedAnswer) as caught:
            await speak(client)

    assert caught.value.is_confirmed
    assert 1 == [request.line.split()[0] for request in server.served].count("POST")


async def test_each_call_opens_a_connection() -> None:
    """
    An idle connection may be closed while the call is on its way, and what is lost there could not be looked up.
    """
    async with emulator(OFFICIAL) as server, client_of(server) as client:
        for _ in range(3):
            await speak(client)

        assert 3 == server.ledger.connections


async def test_slow_answer_is_waited_for() -> None:
    """
    Longer than for other requests: a call takes its time, and an answer that is given up is paid for.
    """
    async with emulator(OFFICIAL, faults.delay_after("call", 0.3)) as server:
        async with client_of(server, http=HttpOptions(read_timeout=0.05)) as client:
            assert "audio" == (await speak(client)).audio.kind

        assert one_shot.PATIENCE >= 60


async def test_polls_do_not_wait_for_calls() -> None:
    """
    However many calls are made, half of the connections are left for other requests.
    """
    may_answer = asyncio.Event()

    async def say(request: ReceivedRequest) -> bytes:
        if request.line.startswith("POST"):
            await may_answer.wait()
        return http_response({"code": 1201, "message": "not found"}, "400 Bad Request")

    http = HttpOptions(max_connections=4)
    async with scripted_server(say) as server, KlingClient("sk-key", base_url=server.url, http=http) as client:
        speaking = [asyncio.ensure_future(speak(client)) for _ in range(9)]
        while server.under_way < 2:
            await asyncio.sleep(0.005)
        with pytest.raises(TaskNotFound):
            await client.get("t-1")
        may_answer.set()
        ended = await asyncio.gather(*speaking, return_exceptions=True)

    assert (9, 10, 3) == (
        sum(isinstance(error, InvalidRequest) for error in ended),
        len(server.served),
        server.most_under_way,
    )


@simulated
async def test_patience_ends() -> None:
    """
    A service that never answers leaves the call uncertain.
    """

    async def listen(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with raw_server(listen) as url, KlingClient("sk", base_url=url) as client:
        with pytest.raises(SubmissionUncertain, match="no answer in time"):
            await speak(client)


async def test_cancelled_call_is_finished_and_logged(caplog: pytest.LogCaptureFixture, gate: asyncio.Event) -> None:
    """
    Once it is on its way: what it made is paid for, and its ids are in the log.
    """
    async with emulator(OFFICIAL, faults.delay_after("call", HELD)) as server, client_of(server) as client:
        speaking = asyncio.ensure_future(speak(client))
        while not server.ledger.arrivals["call"]:
            await asyncio.sleep(0.005)
        speaking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await speaking
        gate.set()
        await client.aclose()

        assert (1, {"speech": 1}) == (server.ledger.arrivals["call"], server.ledger.calls)
    assert "a call was cancelled, but the speech was made and is paid for: Speech(" in caplog.text
    assert "Signature" not in caplog.text


async def test_cancelled_call_is_not_sent_again() -> None:
    """
    While it waits to be sent again it is simply gone.
    """
    retry = attrs.evolve(BRISK, first_delay=30.0)
    async with emulator(OFFICIAL, faults.rate_limited("call")) as server, client_of(server, retry=retry) as client:
        speaking = asyncio.ensure_future(speak(client))
        while not server.ledger.answers["call", 429]:
            await asyncio.sleep(0.005)
        await asyncio.wait({speaking}, timeout=0.05)
        speaking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await speaking
        await asyncio.sleep(0)

        assert (0, 1) == (len(client.core.calls), server.ledger.arrivals["call"])


async def test_closing_waits_for_answers(gate: asyncio.Event) -> None:
    """
    The caller of a call that is on its way gets its answer.
    """
    async with emulator(OFFICIAL, faults.delay_after("call", HELD)) as server:
        client = client_of(server)
        speaking = asyncio.ensure_future(speak(client))
        while not server.ledger.arrivals["call"]:
            await asyncio.sleep(0.005)
        closing = asyncio.ensure_future(client.aclose())
        await asyncio.sleep(0)
        gate.set()
        await closing

        assert "audio" == (await speaking).audio.kind


async def test_closing_gives_up_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A call without an answer is uncertain; one that was refused for now is not sent.
    """
    monkeypatch.setattr(one_shot, "CLOSE_TIMEOUT", 0.05)
    retry = attrs.evolve(BRISK, first_delay=30.0)
    stalled, refused = faults.stall("call", times=1), faults.rate_limited("call", after=1)
    async with emulator(OFFICIAL, stalled, refused) as server:
        client = client_of(server, retry=retry)
        first = asyncio.ensure_future(speak(client))
        while not server.ledger.arrivals["call"]:
            await asyncio.sleep(0.005)
        second = asyncio.ensure_future(speak(client))
        while not server.ledger.answers["call", 429]:
            await asyncio.sleep(0.005)
        await client.aclose()

        with pytest.raises(SubmissionUncertain, match="was closed before the service answered"):
            await first
        with pytest.raises(ClientClosed):
            await second
        with pytest.raises(ClientClosed):
            await speak(client)
    assert 0 == len(client.core.calls)


async def test_closing_at_once_sends_nothing() -> None:
    """
    A call that has only been created is not made.
    """
    async with emulator(OFFICIAL) as server:
        client = client_of(server)
        speaking = asyncio.ensure_future(speak(client))
        await asyncio.sleep(0)
        await client.aclose()

        with pytest.raises(ClientClosed):
            await speaking
        assert {} == server.ledger.arrivals


def test_cancelling_at_any_iteration_of_the_loop_leaks_nothing(
    caplog: pytest.LogCaptureFixture, emulator_in_thread: Callable[..., Emulator], tmp_path: Any
) -> None:
    """
    At each: nothing is pending, at most one call was made, and the log has the id of one that was.
    """
    caplog.set_level(logging.INFO, "kling_async")
    server = emulator_in_thread(dialect=OFFICIAL, latency=(0.0, 0.0))

    async def job(client: KlingClient, _: Any) -> None:
        await client.faces.identify("https://files.example/clip.mp4")

    async def cut(step: int) -> bool:
        before = server.ledger.calls["identify-face"]
        caplog.clear()
        async with client_of(server) as client:
            was_running = await is_cut_at(step, job, client, tmp_path)
        made = server.ledger.calls["identify-face"] - before

        assert {asyncio.current_task()} == asyncio.all_tasks(), step
        assert made <= 1
        assert not made or "session_id" in caplog.text, step
        return was_running

    with asyncio.Runner(loop_factory=SteppingLoop) as runner:
        steps = 1
        while runner.run(cut(steps)):
            steps += 1

    assert steps > 5
