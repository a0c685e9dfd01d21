"""
Looking up the task of a submit whose answer was lost, at services that lag, that answer with other tasks, and that
accept an id twice.
"""

import asyncio
import json
import time
from typing import Any

import attrs
import pytest

from kling_async import OFFICIAL, ImageRequest, KlingClient, RetryPolicy
from kling_async.client.delivery import SubmitObserver
from kling_async.client.submission import may_be_task_of
from kling_async.errors import InvalidRequest, SubmissionUncertain
from kling_async.wire.codec import read_task
from kling_async.wire.tasks import TaskInfo, TaskSnapshot, TaskStatus
from tests.fakes.scripted_server import ReceivedRequest, http_response, scripted_server
from tests.fakes.simulated_loop import simulated

OURS = "order-17"
LIGHTHOUSE = ImageRequest("a lighthouse", external_task_id=OURS)
NOT_FOUND = http_response({"code": 1203, "message": "task not found", "request_id": "r-1"}, "404 Not Found")


@attrs.define
class Lagging:
    """
    A service that loses the answers to its first creates, and shows a task only some time after it was made.

    Attributes:
        shown_after: Seconds until a look-up by our id finds a task.
        refusal: What it says to a second create under one id; None makes a second task.
        foreign: The task that every look-up gets while ours is not shown; None for "not found".
        lost: How many answers to creates are lost.
        down_for: Seconds after the first create in which no look-up is answered.
    """

    shown_after: float = 0.0
    refusal: dict[str, Any] | None = None
    foreign: dict[str, Any] | None = None
    lost: int = 1
    down_for: float = 0.0
    made_at: list[float] = attrs.field(factory=list)
    refused: int = 0
    looks: int = 0

    async def answer(self, request: ReceivedRequest) -> bytes | None:
        now = asyncio.get_running_loop().time()
        if request.line.startswith("POST"):
            if self.made_at and self.refusal is not None:
                self.refused += 1
                return http_response(self.refusal, "400 Bad Request")
            self.made_at.append(now)
            return None if len(self.made_at) <= self.lost else http_response(task_of(f"t-{len(self.made_at)}"))
        self.looks += 1
        if self.made_at and now - self.made_at[0] < self.down_for:
            return http_response(b"", "503 Service Unavailable")
        if self.made_at and now - self.made_at[0] >= self.shown_after:
            return http_response(task_of("t-1", task_info={"external_task_id": OURS}))
        return NOT_FOUND if self.foreign is None else http_response(task_of("t-0", **self.foreign))


def task_of(task_id: str, **fields: Any) -> dict[str, Any]:
    return {"code": 0, "request_id": "r-1", "data": {"task_id": task_id, "task_status": "submitted", **fields}}


def client_to(url: str, **policy: Any) -> KlingClient:
    return KlingClient("sk-0123456789", base_url=url, dialect=OFFICIAL, retry=RetryPolicy(**policy))


async def submit_to(service: Lagging, **policy: Any) -> str:
    async with scripted_server(service.answer) as server, client_to(server.url, **policy) as client:
        return (await client.submit(LIGHTHOUSE)).task_id


async def recover_at(service: Lagging) -> str:
    """
    Recover what an earlier run sent an hour ago.
    """
    async with scripted_server(service.answer) as server, client_to(server.url) as client:
        sent_at = time.time() - 3600
        handle = await client.core.recover(LIGHTHOUSE, SubmitObserver(), sent_at=sent_at, submit_key=None)
        return handle.task_id


@simulated
async def test_task_that_is_shown_late_is_found_and_not_made_again() -> None:
    """
    "Not found" within the grace permits nothing, also at a service that would make a second task of one id.
    """
    service = Lagging(shown_after=20.0)

    assert "t-1" == await submit_to(service)
    assert 1 == len(service.made_at)


@pytest.mark.parametrize("shown_after", [0.0, 20.0])
def test_create_that_was_sent_twice_on_its_way_is_found(shown_after: float) -> None:
    """
    A proxy that repeats a create gets "already exists" for it; the id was made here, so that the task is ours.
    """

    @simulated
    async def story() -> None:
        now, refused_at = asyncio.get_running_loop().time, []

        async def answer(request: ReceivedRequest) -> bytes | None:
            if request.line.startswith("POST"):
                refused_at.append(now())
                return http_response(REFUSALS["already exists"], "400 Bad Request")
            if now() - refused_at[0] < shown_after:
                return NOT_FOUND
            asked_for = request.line.split()[1].rpartition("/")[2]
            return http_response(task_of("t-1", task_info={"external_task_id": asked_for}))

        async with scripted_server(answer) as server, client_to(server.url) as client:
            assert "t-1" == (await client.submit("a lighthouse")).task_id
        assert 1 == len(refused_at)

    story()


@simulated
async def test_id_of_the_caller_may_be_that_of_another_task() -> None:
    """
    "Already exists" is believed where the caller chose the id: a task of it may be of anything.
    """
    refusal = http_response(REFUSALS["already exists"], "400 Bad Request")
    async with scripted_server(lambda _: refusal) as server, client_to(server.url) as client:
        with pytest.raises(InvalidRequest, match="already exists"):
            await client.submit("a lighthouse", external_task_id=OURS)

    assert 1 == len(server.served)


@simulated
async def test_grace_begins_when_the_service_answers_again() -> None:
    """
    One that is down for a minute after it has accepted the task, and shows it 20 s later, has shown it in time.
    """
    service = Lagging(down_for=60.0, shown_after=80.0)

    assert "t-1" == await submit_to(service)
    assert 1 == len(service.made_at)


@simulated
async def test_look_up_of_what_was_sent_long_ago_is_patient() -> None:
    """
    A failing look-up is repeated for `give_up_after`, counted from this run on.
    """
    service = Lagging(down_for=60.0, shown_after=60.0)
    service.made_at.append(0.0)

    assert "t-1" == await recover_at(service)
    assert 1 == len(service.made_at)


@pytest.mark.parametrize("look_for", [5.0, 30.0, 60.0])
def test_grace_is_a_policy(look_for: float) -> None:
    """
    After `look_for` seconds in which nothing was shown, and not before, the submit is sent again.
    """

    @simulated
    async def story() -> None:
        service = Lagging(shown_after=1e9)

        assert "t-2" == await submit_to(service, look_for=look_for)
        first, second = service.made_at
        assert look_for <= second - first <= look_for + 40

    story()


REFUSALS = {
    "already exists": {"code": 1201, "message": "External_task_id order-17 already exists"},
    "in other words": {"code": 1201, "message": "duplicated external id"},
    "risk control": {"code": 1301, "message": "Failure to pass the risk control system"},
    "balance": {"code": 1102, "message": "Account balance not enough"},
    "right": {"code": 1103, "message": "no permission"},
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_refusal_of_the_second_create_is_not_believed(refusal: dict[str, Any]) -> None:
    """
    The first attempt has made a task that is shown after 45 s: it is found, whatever the service said meanwhile.
    """

    @simulated
    async def story() -> None:
        service = Lagging(shown_after=45.0, refusal=refusal)

        assert "t-1" == await submit_to(service)
        assert 1 == len(service.made_at)

    story()


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_task_that_is_never_shown_is_uncertain_whatever_was_refused(refusal: dict[str, Any]) -> None:
    """
    A task was made and paid; the caller is told that it may have been, and of no plain refusal.
    """

    @simulated
    async def story() -> None:
        service = Lagging(shown_after=1e9, refusal=refusal)

        with pytest.raises(SubmissionUncertain):
            await submit_to(service)
        assert 1 == len(service.made_at)
        assert service.refused >= 1

    story()


OTHERS = {
    "another id": {"task_info": {"external_task_id": "order-16"}},
    "no id, made long ago": {"created_at": 1_600_000_000_000},
}


@pytest.mark.parametrize("foreign", OTHERS.values(), ids=OTHERS)
def test_other_task_counts_as_not_found(foreign: dict[str, Any]) -> None:
    """
    A service that answers the look-up with some other task has not shown ours.
    """

    @simulated
    async def story() -> None:
        service = Lagging(shown_after=20.0, foreign=foreign)

        assert "t-1" == await submit_to(service)
        assert 1 == len(service.made_at)

    story()


@simulated
async def test_task_that_cannot_be_identified_is_neither_taken_nor_created_again() -> None:
    """
    Without id and time it may be ours or not: the submit is uncertain.
    """
    service = Lagging(shown_after=1e9, foreign={})

    with pytest.raises(SubmissionUncertain):
        await submit_to(service)
    assert 1 == len(service.made_at)


@simulated
async def test_list_of_one_old_task_is_not_ours() -> None:
    """
    A look-up that is answered with a list of the account's tasks finds none of ours in it.
    """
    old = {"task_id": "t-0", "task_status": "succeed", "created_at": 1_600_000_000_000}
    service = Lagging(shown_after=20.0, foreign={})

    async def answer(request: ReceivedRequest) -> bytes | None:
        said = await service.answer(request)
        return http_response({"code": 0, "data": [old]}) if said is not None and b'"t-0"' in said else said

    async with scripted_server(answer) as server, client_to(server.url) as client:
        assert "t-1" == (await client.submit(LIGHTHOUSE)).task_id
    assert 1 == len(service.made_at)


@simulated
async def test_what_an_earlier_run_sent_long_ago_needs_no_further_grace() -> None:
    """
    The grace counts from when it was sent, if that is known.
    """
    service = Lagging(shown_after=1e9, lost=0)

    assert "t-1" == await recover_at(service)
    assert (1, 1) == (service.looks, len(service.made_at))
    assert asyncio.get_running_loop().time() < 5


def found(external_id: str | None) -> TaskSnapshot:
    return TaskSnapshot(
        task_id="t-1", task_status=TaskStatus.SUBMITTED, status_word="submitted", task_info=TaskInfo(external_id)
    )


@pytest.mark.parametrize(
    ("told", "sent_ago", "made_ago", "expected"),
    [
        (OURS, None, None, True),
        (OURS, 1.0, 1e6, True),
        ("order-16", 100.0, 1.0, False),
        (None, 100.0, 99.0, True),
        (None, 100.0, 104.0, True),  # whole seconds, and clocks
        (None, 100.0, 200.0, False),
        (None, None, 1.0, None),
        (None, 100.0, None, None),
    ],
)
def test_whose_task_it_is(
    *, told: str | None, sent_ago: float | None, made_ago: float | None, expected: bool | None
) -> None:
    """
    By the id that the service repeats; else by when it was made; else nothing tells.
    """
    assert expected is may_be_task_of(found(told), OURS, sent_ago=sent_ago, made_ago=made_ago)


def test_tasks_of_this_file_are_read_as_the_vendor_s() -> None:
    """
    What the service above says is what the codec reads.
    """
    snapshot = read_task(json.loads(json.dumps(task_of("t-1", task_info={"external_task_id": OURS})["data"])))

    assert OURS == snapshot.task_info.external_task_id
