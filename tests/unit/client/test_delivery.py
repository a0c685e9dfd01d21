"""
Deliveries: how often a submit is sent, what is looked up, and how it ends; against aioresponses in simulated time.
"""

import asyncio
import contextlib
import logging
from typing import Any

import aiohttp
import pytest
from aioresponses import CallbackResult, aioresponses
from yarl import URL

from kling_async.client.submission import Submission
from kling_async.errors import (
    AccountProblem,
    ClientClosed,
    ContentRefused,
    InvalidRequest,
    KlingError,
    NoFreeSlot,
    NotAuthenticated,
    NotSent,
    RateLimited,
    StorageFull,
    SubmissionUncertain,
    TaskNotFound,
    Unreachable,
)
from kling_async.policy.http import USER_AGENT
from kling_async.policy.policies import RetryPolicy
from tests.fakes.deliveries import Recorder, delivery, submit
from tests.fakes.simulated_loop import simulated
from tests.fakes.transports import BASE, KEY, PATH, TASK, transport_to
from tests.unit.client.test_transport import (
    DUPLICATE,
    EVERY_TEN,
    FOUND,
    LASTING,
    MAY_HAVE_ARRIVED,
    MISSING,
    NEVER_SENT,
    PASSING,
    REFUSED_BY_RELAYS,
    count,
    words,
)

AMBIGUOUS = [
    *({"exception": error} for error in (MAY_HAVE_ARRIVED[5], MAY_HAVE_ARRIVED[11], aiohttp.ClientPayloadError("cut"))),
    {"status": 500, "payload": {"code": 5000, "message": "broken"}},
    {"status": 503, "body": "<html>"},
    {"status": 408, "body": ""},
    {"status": 200, "body": "<html>"},
    {"status": 200, "body": ""},
    {"status": 200, "payload": {"code": 0}},
    {"status": 500, "payload": {"code": "get_channel_failed", "message": "no channel for a further attempt"}},
    {"status": 400, "payload": {"code": "get_channel_failed", "message": "no channel for a further attempt"}},
    {"status": 503, "payload": {"code": "fail_to_fetch_task", "message": '{"error": {"code": "model_not_found"}}'}},
]

UNDONE = [
    {"exception": NEVER_SENT[0]},
    {"exception": NEVER_SENT[8]},
    {"status": 429, "payload": {"code": 1302, "message": "slow down"}},
    {"status": 429, "payload": {"code": 1303, "message": "no slot"}},
    {"status": 429, "body": ""},
]

ids_at_all = pytest.mark.parametrize("external_id", [None, "ours"], ids=["gateway", "official"])


STEPS = [
    ([{"payload": TASK}], None, "sending"),
    ([{"status": 429}, {"status": 429}, {"payload": TASK}], None, "sending withdrawn sending withdrawn sending"),
    ([{"exception": NEVER_SENT[0]}, {"payload": TASK}], None, "sending withdrawn sending"),
    ([{"status": 400, "payload": {"code": 1301, "message": "no"}}], ContentRefused, "sending withdrawn"),
    ([{"status": 429, "payload": {"code": 1102, "message": "no"}}], AccountProblem, "sending withdrawn"),
    ([{"status": 503}], SubmissionUncertain, "sending"),
    ([{"exception": MAY_HAVE_ARRIVED[0]}], SubmissionUncertain, "sending"),
    ([{"status": 429}, {"status": 503}], SubmissionUncertain, "sending withdrawn sending"),
]
"""
What the service answers, what comes of it, and what is announced and withdrawn on the way.
"""


def find_after_second_post(service: aioresponses) -> None:
    """
    Let look-ups find the task only once the request was sent again; how many there are before is up to chance.
    """

    def look(*_: object, **__: object) -> CallbackResult:
        if count(service, "POST") < 2:
            return CallbackResult(status=404, payload=MISSING)
        return CallbackResult(payload=FOUND)

    service.get(f"{BASE}{PATH}/ours", callback=look, repeat=True)


class TestSubmit:
    @simulated
    async def test_accepted_at_once(self, service: aioresponses) -> None:
        """
        One POST with the key, JSON as its type and our name; its answer is the snapshot.
        """
        service.post(BASE + PATH, payload=TASK)
        sent = delivery()
        async with transport_to() as transport:
            assert (await submit(transport, sent)).task_id == "t-1"

        [call] = service.requests["POST", URL(BASE + PATH)]
        assert '{"prompt":"a lighthouse"}' == call.kwargs["data"].decode()
        assert {
            "Authorization": f"Bearer {KEY.key}",
            "User-Agent": USER_AGENT,
        } == call.kwargs["headers"]
        assert "application/json" == call.kwargs["data"].content_type
        assert call.kwargs["allow_redirects"] is False
        assert not sent.is_exposed

    @ids_at_all
    @pytest.mark.parametrize("trouble", UNDONE, ids=words)
    def test_what_was_surely_not_done_is_sent_again(
        self, trouble: dict[str, Any], external_id: str | None, service: aioresponses
    ) -> None:
        """
        Refused for now, or never sent: the same POST again, and no look-up.
        """
        service.post(BASE + PATH, **trouble, repeat=2)
        service.post(BASE + PATH, payload=TASK)
        sent = delivery(external_id)

        @simulated
        async def story() -> None:
            async with transport_to() as transport:
                assert (await submit(transport, sent)).task_id == "t-1"

        story()
        assert count(service, "POST") == 3
        assert count(service, "GET", f"{PATH}/ours") == 0
        assert sent.submission.ambiguous_error is None

    @ids_at_all
    @pytest.mark.parametrize(("refusal", "kind"), [*LASTING, *REFUSED_BY_RELAYS], ids=words)
    def test_refusal_is_raised(
        self, refusal: dict[str, Any], kind: type[KlingError], external_id: str | None, service: aioresponses
    ) -> None:
        """
        What the service refuses for good is sent once, and surely made nothing.
        """
        service.post(BASE + PATH, **refusal, repeat=True)
        sent = delivery(external_id)

        @simulated
        async def story() -> None:
            async with transport_to() as transport:
                with pytest.raises(kind):
                    await submit(transport, sent)

        story()
        assert count(service, "POST") == 1
        assert not sent.is_exposed

    @pytest.mark.parametrize("trouble", AMBIGUOUS, ids=words)
    def test_ambiguous_submit_without_an_id_is_uncertain(self, trouble: dict[str, Any], service: aioresponses) -> None:
        """
        If no id of ours can be sent, nothing is sent twice: the caller decides.
        """
        service.post(BASE + PATH, **trouble, repeat=True)

        @simulated
        async def story() -> None:
            async with transport_to() as transport:
                with pytest.raises(SubmissionUncertain, match="takes no id of ours") as caught:
                    await submit(transport, delivery())

            assert isinstance(caught.value.__cause__, KlingError)
            assert asyncio.get_running_loop().time() == 0.0

        story()
        assert count(service, "POST") == 1

    @pytest.mark.parametrize("trouble", AMBIGUOUS, ids=words)
    def test_doubt_is_looked_up(self, trouble: dict[str, Any], service: aioresponses) -> None:
        """
        With an id of ours the task is found, and nothing is sent twice.
        """
        service.post(BASE + PATH, **trouble)
        service.get(f"{BASE}{PATH}/ours", payload=FOUND)

        @simulated
        async def story() -> None:
            async with transport_to() as transport:
                assert (await submit(transport, delivery("ours"))).task_id == "t-9"

        story()
        assert (1, 1) == (count(service, "POST"), count(service, "GET", f"{PATH}/ours"))

    @pytest.mark.parametrize("trouble", AMBIGUOUS, ids=words)
    def test_missing_task_is_sent_again(self, trouble: dict[str, Any], service: aioresponses) -> None:
        """
        If the service has known no task of that id for `look_for` seconds, the submit is sent again under the same id.
        """
        sent_at: list[float] = []

        def note(*_: Any, **__: Any) -> None:
            sent_at.append(asyncio.get_running_loop().time())

        service.post(BASE + PATH, **trouble, callback=note, repeat=2)
        service.post(BASE + PATH, payload=TASK, callback=note)
        service.get(f"{BASE}{PATH}/ours", status=404, payload=MISSING, repeat=True)

        @simulated
        async def story() -> None:
            async with transport_to(retry=RetryPolicy(give_up_after=200.0, look_for=40.0)) as transport:
                assert (await submit(transport, delivery("ours"))).task_id == "t-1"

        story()
        assert 3 == count(service, "POST")
        if "exception" not in trouble:  # else aioresponses asks no callback
            first, second, third = sent_at
            assert 40 <= second - first
            assert 40 <= third - second
        assert 1 == len({call.kwargs["data"].decode() for call in service.requests["POST", URL(BASE + PATH)]})

    @simulated
    async def test_it_is_not_sent_again_where_a_lookup_proves_nothing(self, service: aioresponses) -> None:
        """
        It is looked up for `look_for` seconds all the same, and taken if it is found.
        """
        service.post(BASE + PATH, status=503, repeat=True)
        service.get(f"{BASE}{PATH}/ours", payload=FOUND)
        service.get(f"{BASE}{PATH}/theirs", status=404, payload=MISSING, repeat=True)
        async with transport_to(retry=EVERY_TEN) as transport:
            assert (await submit(transport, delivery("ours", lookup_proves_absence=False))).task_id == "t-9"
            with pytest.raises(SubmissionUncertain, match="not found by its external_task_id 'theirs'"):
                await submit(transport, delivery("theirs", lookup_proves_absence=False))

        assert 2 == count(service, "POST")

    @pytest.mark.parametrize(
        "fact",
        [{}, {"is_abandoned": True}, {"rejection": AccountProblem("no money")}, {"lookup_proves_absence": False}],
        ids=str,
    )
    def test_grace_that_ends_behind_a_look_up_permits_the_next_create(self, fact: dict[str, Any]) -> None:
        """
        A look-up may end just within the grace, and be judged just behind it: then it is sent again, if it may be.
        """
        error = Unreachable("the connection broke")
        facts = {"ambiguous_error": error, "missing_since": -30.0, "is_looking": True, "failing_since": -30.0, **fact}
        submission = Submission("ours", **facts)

        assert bool(fact) is submission.is_over(TaskNotFound("no such task"), RetryPolicy(), 0.0, refused_for=0.0)

    @simulated
    async def test_duplicate_id_after_an_ambiguous_attempt_is_our_own(self, service: aioresponses) -> None:
        """
        "Already exists" after an ambiguous attempt means that it arrived and was not visible yet: it is looked up
        again.
        """
        service.post(BASE + PATH, status=503)
        service.post(BASE + PATH, status=400, payload=DUPLICATE)
        find_after_second_post(service)
        async with transport_to(retry=EVERY_TEN) as transport:
            assert (await submit(transport, delivery("ours"))).task_id == "t-9"

        assert 2 == count(service, "POST")

    @simulated
    async def test_duplicate_under_an_id_that_is_ours_alone_is_looked_up(self, service: aioresponses) -> None:
        """
        Where nobody else can have used the id, "already exists" is a task of an earlier run, also at the first attempt.
        """
        service.post(BASE + PATH, status=400, payload=DUPLICATE)
        service.get(f"{BASE}{PATH}/ours", payload=FOUND)
        async with transport_to() as transport:
            assert (await submit(transport, delivery("ours", owns_id=True))).task_id == "t-9"

        assert (1, 1) == (count(service, "POST"), count(service, "GET", f"{PATH}/ours"))

    @simulated
    async def test_duplicate_that_is_never_found_is_uncertain(self, service: aioresponses) -> None:
        """
        A service that refuses the id, and yet shows no task of it, leaves the fate unknown; the end is an error.
        """
        service.post(BASE + PATH, status=400, payload=DUPLICATE, repeat=True)
        service.get(f"{BASE}{PATH}/ours", status=404, payload=MISSING, repeat=True)
        async with transport_to() as transport:
            with pytest.raises(SubmissionUncertain):
                await submit(transport, delivery("ours", owns_id=True))

    @simulated
    async def test_doubt_of_an_earlier_run_is_looked_up_first(self, service: aioresponses) -> None:
        """
        A submission that begins in doubt is looked for before anything is sent, and intended only to be sent.
        """
        service.get(f"{BASE}{PATH}/ours", payload=FOUND)
        observer = Recorder()
        async with transport_to() as transport:
            sent = delivery("ours", observer=observer, ambiguous_error=Unreachable("an earlier run has sent it"))

            assert (await submit(transport, sent)).task_id == "t-9"

        assert ([], 0) == (observer.steps, count(service, "POST"))

        service.get(f"{BASE}{PATH}/ours", status=404, payload=MISSING)
        service.post(BASE + PATH, payload=TASK)
        async with transport_to() as transport:
            long_ago = asyncio.get_running_loop().time() - 3600
            error = Unreachable("an earlier run has sent it")
            sent = delivery("ours", observer=observer, ambiguous_error=error, missing_since=long_ago)

            assert (await submit(transport, sent)).task_id == "t-1"

        assert (["sending"], 1) == (observer.steps, count(service, "POST"))

    @pytest.mark.parametrize(("answers", "kind", "steps"), STEPS, ids=words)
    def test_only_what_surely_came_to_nothing_is_withdrawn(
        self, answers: list[dict[str, Any]], kind: type[KlingError] | None, steps: str, service: aioresponses
    ) -> None:
        """
        Each POST is intended before it leaves; a doubt is never withdrawn.
        """
        for answer in answers:
            service.post(BASE + PATH, **answer)
        observer = Recorder()

        @simulated
        async def story() -> None:
            async with transport_to() as transport:
                with pytest.raises(kind) if kind else contextlib.nullcontext():
                    await submit(transport, delivery(observer=observer))

        story()
        assert steps == " ".join(observer.steps)

    @simulated
    async def test_doubt_stays_intended_whatever_follows(self, service: aioresponses) -> None:
        """
        After one attempt in doubt a later refusal withdraws nothing: the first may yet arrive.
        """
        service.post(BASE + PATH, status=503)
        service.get(f"{BASE}{PATH}/ours", status=404, payload=MISSING, repeat=True)
        service.post(BASE + PATH, status=400, payload={"code": 1301, "message": "no"})
        observer = Recorder()
        async with transport_to() as transport:
            with pytest.raises(SubmissionUncertain):
                await submit(transport, delivery("ours", observer=observer))

        assert ["sending"] == observer.steps

    @pytest.mark.parametrize("error", [StorageFull("no room"), OSError("no disk"), asyncio.CancelledError()], ids=repr)
    def test_what_intending_raises_goes_up(self, error: BaseException, service: aioresponses) -> None:
        """
        Nothing is sent that could not be intended, and it is not tried again.
        """
        service.post(BASE + PATH, payload=TASK, repeat=True)
        observer = Recorder(error)

        @simulated
        async def story() -> None:
            async with transport_to() as transport:
                with pytest.raises(type(error)):
                    await submit(transport, delivery(observer=observer))

        story()
        assert (["withdrawn"], 0) == (observer.steps, count(service, "POST"))

    @simulated
    async def test_duplicate_without_doubt_is_the_caller_s(self, service: aioresponses) -> None:
        """
        An id that existed before the first attempt was used twice by the caller.
        """
        service.post(BASE + PATH, status=400, payload=DUPLICATE)
        async with transport_to() as transport:
            with pytest.raises(InvalidRequest, match="already exists"):
                await submit(transport, delivery("ours"))

        assert count(service, "GET", f"{PATH}/ours") == 0

    @pytest.mark.parametrize("trouble", PASSING, ids=words)
    def test_search_goes_on(self, trouble: dict[str, Any], service: aioresponses) -> None:
        """
        Passing trouble of a look-up does not send the submit again.
        """
        service.post(BASE + PATH, status=503)
        service.get(f"{BASE}{PATH}/ours", **trouble, repeat=4)
        service.get(f"{BASE}{PATH}/ours", payload=FOUND)

        @simulated
        async def story() -> None:
            async with transport_to() as transport:
                assert (await submit(transport, delivery("ours"))).task_id == "t-9"

        story()
        assert (1, 5) == (count(service, "POST"), count(service, "GET", f"{PATH}/ours"))

    @simulated
    async def test_search_has_an_end(self, service: aioresponses) -> None:
        """
        What cannot be found out in `give_up_after` seconds is uncertain, and the error tells of the first doubt.
        """
        refused = {"code": 5001, "message": "first of all", "request_id": "r-5"}
        service.post(BASE + PATH, status=503, payload=refused)
        service.get(f"{BASE}{PATH}/ours", status=502, repeat=True)
        async with transport_to() as transport:
            with pytest.raises(SubmissionUncertain, match="not found by its external_task_id 'ours' in time") as caught:
                await submit(transport, delivery("ours"))

        assert 120 < asyncio.get_running_loop().time() <= 150
        assert ("r-5", 5001, 503) == (caught.value.request_id, caught.value.code, caught.value.http_status)
        assert "first of all" in str(caught.value)
        assert count(service, "POST") == 1

    @simulated
    async def test_search_that_is_refused_is_uncertain(self, service: aioresponses) -> None:
        """
        A key that dies between submit and look-up leaves a doubt.
        """
        service.post(BASE + PATH, status=503)
        service.get(f"{BASE}{PATH}/ours", status=401, payload={"code": 1002, "message": "bad key"})
        async with transport_to() as transport:
            with pytest.raises(SubmissionUncertain) as caught:
                await submit(transport, delivery("ours"))

        assert isinstance(caught.value.__cause__, NotAuthenticated)

    @pytest.mark.parametrize(("refusal", "kind"), LASTING, ids=words)
    def test_refusal_after_doubt_proves_nothing(
        self, refusal: dict[str, Any], kind: type[KlingError], service: aioresponses
    ) -> None:
        """
        Not found, and refused for good when sent again: it is sent no third time, but looked for once more; then it is
        uncertain, and the error tells of the refusal.
        """
        service.post(BASE + PATH, status=503)
        service.get(f"{BASE}{PATH}/ours", status=404, payload=MISSING, repeat=True)
        service.post(BASE + PATH, **refusal)

        @simulated
        async def story() -> None:
            async with transport_to() as transport:
                with pytest.raises(SubmissionUncertain, match="sent again, it was refused") as caught:
                    await submit(transport, sent)

            assert isinstance(caught.value.__cause__, TaskNotFound)
            assert 60 <= asyncio.get_running_loop().time() <= 150

        sent = delivery("ours")
        story()
        assert 2 == count(service, "POST")
        assert kind is type(sent.submission.rejection)

    @pytest.mark.parametrize(("refusal", "kind"), LASTING, ids=words)
    def test_task_that_is_shown_after_the_refusal_is_found(
        self, refusal: dict[str, Any], kind: type[KlingError], service: aioresponses
    ) -> None:
        """
        A look-up that lags, and a second POST that is refused because of the first: the task is found all the same.
        """
        service.post(BASE + PATH, status=503)
        service.post(BASE + PATH, **refusal)
        find_after_second_post(service)

        @simulated
        async def story() -> None:
            async with transport_to(retry=EVERY_TEN) as transport:
                assert (await submit(transport, delivery("ours"))).task_id == "t-9"

        story()
        assert 2 == count(service, "POST")

    @simulated
    async def test_refusals_after_doubt_leave_it(self, service: aioresponses) -> None:
        """
        Not found, and refused for now until patience ends: the doubt stays.
        """
        service.post(BASE + PATH, status=503)
        service.get(f"{BASE}{PATH}/ours", status=404, payload=MISSING, repeat=True)
        service.post(BASE + PATH, status=429, repeat=True)
        async with transport_to() as transport:
            with pytest.raises(SubmissionUncertain) as caught:
                await submit(transport, delivery("ours"))

        assert isinstance(caught.value.__cause__, RateLimited)
        assert asyncio.get_running_loop().time() > 300

    @simulated
    async def test_doubts_in_a_row_have_an_end(self, service: aioresponses) -> None:
        """
        A service that never answers a submit, and never knows of it, is given up.
        """
        service.post(BASE + PATH, status=503, repeat=True)
        service.get(f"{BASE}{PATH}/ours", status=404, payload=MISSING, repeat=True)
        async with transport_to() as transport:
            with pytest.raises(SubmissionUncertain):
                await submit(transport, delivery("ours"))

        assert 120 < asyncio.get_running_loop().time() <= 150

    @simulated
    async def test_refusals_are_retried_for_a_limited_time(self, service: aioresponses) -> None:
        """
        A refusal reaches the caller after `refused_for` seconds in which no task of ours was running.
        """
        service.post(BASE + PATH, status=429, payload={"code": 1303, "message": "no slot"}, repeat=True)
        async with transport_to() as transport:
            with pytest.raises(NoFreeSlot):
                await submit(transport, delivery())

        assert 300 < asyncio.get_running_loop().time() <= 330

    @simulated
    async def test_refusals_pass_while_others_are_under_way(self, service: aioresponses) -> None:
        """
        While tasks of ours take slots, the refusals will end: the clock starts with the last of them.
        """
        service.post(BASE + PATH, status=429, repeat=True)
        loop = asyncio.get_running_loop()
        async with transport_to() as transport:
            with pytest.raises(RateLimited):
                await submit(transport, delivery(busy_until=1000))

        assert 1270 < loop.time() <= 1330

    @simulated
    async def test_no_connection_has_an_end(self, service: aioresponses) -> None:
        """
        A service that cannot be reached any more is reported after `give_up_after` seconds.
        """
        service.post(BASE + PATH, payload=TASK)
        service.post(BASE + PATH, exception=NEVER_SENT[0], repeat=True)
        async with transport_to() as transport:
            await submit(transport, delivery("first"))
            with pytest.raises(NotSent) as caught:
                await submit(transport, delivery("ours"))

        assert 120 < asyncio.get_running_loop().time() <= 150
        assert caught.value.gives_up_in is None

    @simulated
    async def test_first_connection_has_an_end(self, service: aioresponses) -> None:
        """
        A host that was never reached is reported after `connect_for` seconds, and the error says what to check.
        """
        service.post(BASE + PATH, exception=NEVER_SENT[0], repeat=True)
        async with transport_to() as transport:
            with pytest.raises(NotSent, match="the host was never reached in 15 s: check base_url") as caught:
                await submit(transport, delivery("ours"))

        assert 15 <= asyncio.get_running_loop().time() < 15.1
        assert 0 == caught.value.gives_up_in

    @pytest.mark.parametrize("is_looking", [True, False])
    def test_host_that_was_never_reached_settles_no_doubt(self, *, is_looking: bool) -> None:
        """
        What an earlier run may have sent is looked up for `give_up_after` seconds, whatever this run has reached.
        """
        submission = Submission("ours", ambiguous_error=Unreachable("it broke"), failing_since=0.0)
        submission.is_looking = is_looking
        error = NotSent("no connection", gives_up_in=0.0)
        submission.record_failure(error, 20.0)

        assert submission.rejection is None
        assert not submission.is_over(error, RetryPolicy(), 20.0, refused_for=0.0)
        assert submission.is_over(error, RetryPolicy(), 121.0, refused_for=0.0)

    @simulated
    async def test_refusal_ends_the_trouble(self, service: aioresponses) -> None:
        """
        A connection lost again, long after the service had been there, is given its whole time again.
        """
        service.post(BASE + PATH, exception=NEVER_SENT[0])
        service.post(BASE + PATH, status=429, headers={"Retry-After": "119"}, repeat=2)
        service.post(BASE + PATH, exception=NEVER_SENT[0], repeat=3)
        service.post(BASE + PATH, payload=TASK)
        async with transport_to() as transport:
            assert (await submit(transport, delivery())).task_id == "t-1"

    @simulated
    async def test_rest_above_the_cap_is_told(self, service: aioresponses) -> None:
        """
        So with a submit: nothing was made, and the error carries the number.
        """
        service.post(BASE + PATH, status=429, headers={"Retry-After": "600"})
        async with transport_to() as transport:
            with pytest.raises(RateLimited) as caught:
                await submit(transport, delivery("ours"))

        assert caught.value.retry_after == 600.0
        assert count(service, "POST") == 1

    @pytest.mark.parametrize("trouble", UNDONE, ids=words)
    def test_closing_client_sends_nothing_again(self, trouble: dict[str, Any], service: aioresponses) -> None:
        """
        On the way out, what surely made nothing is left at that; the client's closing is why, and the rest its cause.
        """
        service.post(BASE + PATH, **trouble)

        @simulated
        async def story() -> None:
            async with transport_to() as transport:
                with pytest.raises(ClientClosed) as caught:
                    await submit(transport, delivery("ours", is_closing=True))
                assert isinstance(caught.value.__cause__, NotSent | RateLimited)

        story()
        assert count(service, "POST") == 1

    @simulated
    async def test_closing_client_finds_out(self, service: aioresponses) -> None:
        """
        On the way out a doubt is still looked up.
        """
        service.post(BASE + PATH, status=503)
        service.get(f"{BASE}{PATH}/ours", status=502, repeat=2)
        service.get(f"{BASE}{PATH}/ours", payload=FOUND)
        async with transport_to() as transport:
            assert (await submit(transport, delivery("ours", is_closing=True))).task_id == "t-9"

    @simulated
    async def test_closing_client_does_not_pay_again(self, service: aioresponses) -> None:
        """
        What is not found on the way out is uncertain, and not sent again.
        """
        service.post(BASE + PATH, status=503)
        service.get(f"{BASE}{PATH}/ours", status=404, payload=MISSING, repeat=True)
        async with transport_to() as transport:
            with pytest.raises(SubmissionUncertain) as caught:
                await submit(transport, delivery("ours", is_closing=True))

        assert isinstance(caught.value.__cause__, TaskNotFound)
        assert count(service, "POST") == 1

    @simulated
    async def test_pauses_are_logged_without_prompts(
        self, service: aioresponses, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A repeat is a line at INFO; giving up is none above DEBUG, as it is raised.
        """
        caplog.set_level(logging.DEBUG)
        service.post(BASE + PATH, status=429)
        service.post(BASE + PATH, status=401)
        async with transport_to() as transport:
            with pytest.raises(NotAuthenticated):
                await submit(transport, delivery())

        ours = [record for record in caplog.records if record.name == "kling_async.client.retries"]
        assert ["INFO", "DEBUG"] == [record.levelname for record in ours]
        assert "lighthouse" not in caplog.text
