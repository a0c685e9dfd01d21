"""
What a relay refuses by itself made no task, whatever the status says; the same words of another relay prove nothing.
"""

import json
from typing import Any

import pytest

from kling_async.client.retries import Step, may_exist, next_step
from kling_async.errors import KlingError, ServiceFailure
from kling_async.wire.http_answer import Answer
from kling_async.wire.relay_refusals import RELAY_REFUSALS, RelayRefusal, refusal_of
from kling_async.wire.responses import read_created, read_snapshot

NO_CHANNEL = "当前分组 default 下对于模型 kling-v2 无可用渠道"
CODED = [refusal for refusal in RELAY_REFUSALS if refusal.code and max(refusal.statuses) >= 500]


def answer(status: int, payload: object) -> Answer:
    """
    Make an answer of JSON.
    """
    return Answer(status, {}, json.dumps(payload).encode())


def said_by(refusal: RelayRefusal) -> dict[str, Any]:
    """
    Make the body of a refusal as its relay words it.
    """
    fields = {"code": refusal.code, "message": f"{NO_CHANNEL} (request id: 1)"}
    return {"error": {**fields, "type": "new_api_error"}} if refusal.relay != "one-hub" else {**fields, "data": None}


def created_error(taken: Answer) -> KlingError:
    """
    Return what reading *taken* as the answer to a create raises.
    """
    with pytest.raises(KlingError) as caught:
        read_created(taken)
    return caught.value


@pytest.mark.parametrize(
    ("refusal", "status"), [(refusal, status) for refusal in RELAY_REFUSALS for status in sorted(refusal.statuses)]
)
def test_own_refusal_made_no_task(refusal: RelayRefusal, status: int) -> None:
    """
    Each row is the class that it names, with its code; nothing was made, and nothing is sent or looked for again.
    """
    error = created_error(answer(status, said_by(refusal)))

    assert (refusal.kind, status) == (type(error), error.http_status)
    assert refusal.code == (error.code or "")
    assert not may_exist(error)
    assert {Step.GIVE_UP} == {next_step(error, can_look_up=can_look_up) for can_look_up in (True, False)}


@pytest.mark.parametrize("refusal", RELAY_REFUSALS)
def test_row_names_its_source(refusal: RelayRefusal) -> None:
    """
    Whoever doubts a row can read where it is from: a repository and a file of it.
    """
    repository, file = refusal.source.split()[:2]

    assert "/" in repository
    assert ".go" in file


@pytest.mark.parametrize("refusal", CODED)
@pytest.mark.parametrize("status", [500, 503])
def test_refusal_within_another_answer_proves_nothing(refusal: RelayRefusal, status: int) -> None:
    """
    A relay that passes another relay's refusal on may have sent the request elsewhere before: the task may exist.
    """
    own = said_by(refusal)
    inner = own.get("error", own)
    wrapped = answer(status, {"code": "fail_to_fetch_task", "message": json.dumps(own), "data": None})
    twice = answer(status, {"error": {**inner, "message": f"{inner['message']} (request id: 2)"}})
    retyped = answer(status, {"error": {**inner, "type": "system_error"}})

    assert [ServiceFailure] * 3 == [type(created_error(taken)) for taken in (wrapped, twice, retyped)]
    assert all(may_exist(created_error(taken)) for taken in (wrapped, twice, retyped))


@pytest.mark.parametrize(
    ("status", "payload"),
    [
        (502, {"error": {"code": "model_not_found", "message": NO_CHANNEL}}),
        (500, {"code": "provider_not_found", "message": NO_CHANNEL}),
        (503, {"error": {"code": "", "message": f"failed for the prompt: {NO_CHANNEL}"}}),
        (503, {"error": {"code": "", "message": "分组 default 下模型 kling-v2 的可用渠道不存在"}}),
        (500, {"error": {"code": "", "message": NO_CHANNEL}}),
        (500, {"code": "get_channel_failed", "message": NO_CHANNEL}),
        (400, {"code": "get_channel_failed", "message": NO_CHANNEL}),
        (400, {"error": {"code": "empty_response", "message": "?"}}),
        (500, {"error": {"code": "prompt_blocked", "message": "?"}}),
        (500, {"error": {"code": "channel:no_available_key", "message": "?"}}),
        (503, {"error": {"code": ["model_not_found"], "message": 5}}),
    ],
)
def test_other_words_leave_it_open(status: int, payload: object) -> None:
    """
    Another status, words in the middle of a message, or a code that may follow an attempt: the task may exist.
    """
    assert may_exist(created_error(answer(status, payload)))


@pytest.mark.parametrize("refusal", CODED)
def test_read_is_not_judged_by_it(refusal: RelayRefusal) -> None:
    """
    Such a refusal of a read says nothing about the task, so that it is asked for again.
    """
    with pytest.raises(ServiceFailure):
        read_snapshot(answer(max(refusal.statuses), said_by(refusal)), "t-1")


@pytest.mark.parametrize("payload", [{}, {"error": "text"}, {"code": 5}, {"error": {"message": None}}])
def test_odd_answers_are_no_refusals(payload: dict[str, Any]) -> None:
    """
    Whatever the fields hold, it is a refusal that is known or none.
    """
    assert refusal_of(503, payload) is None
