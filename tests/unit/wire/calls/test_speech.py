"""
Speech: which calls are refused before they are sent, and what is sent and read.
"""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, strategies as st

from kling_async.errors import InvalidRequest, TaskFailed, UnexpectedAnswer
from kling_async.wire.calls.speech import SPEECH, Speech, SpeechRequest
from kling_async.wire.codec import write_request
from kling_async.wire.dialects import GATEWAY, OFFICIAL
from kling_async.wire.http_answer import Answer

FINE: dict[str, Any] = {"text": "Hello", "voice_id": "oversea_male1", "voice_language": "en"}

SPOKEN: dict[str, Any] = {
    "task_id": "t-1",
    "task_status": "succeed",
    "task_result": {"audios": [{"id": "a-1", "url": "https://files.example/1.mp3", "duration": "3.04"}]},
}


def broken_fields(**fields: Any) -> list[str]:
    return [broken.field for broken in SPEECH.rules(SpeechRequest(**{**FINE, **fields}), OFFICIAL)]


def answer(payload: Any, status: int = 200) -> Answer:
    return Answer(status, {}, json.dumps(payload).encode())


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"text": "x" * 1000, "voice_language": "zh"},
        {"text": "你好\n"},
        {"voice_speed": 0.8},
        {"voice_speed": 2},
        {"voice_speed": 1.1},
    ],
)
def test_valid_calls_break_no_rule(fields: dict[str, Any]) -> None:
    """
    The longest text, both languages, and every speed of one decimal within the bounds.
    """
    assert [] == broken_fields(**fields)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("text", ""),
        ("text", " \n"),
        ("text", "x" * 1001),
        ("text", None),
        ("text", "a\0b"),
        ("voice_id", ""),
        ("voice_id", None),
        ("voice_id", 7),
        ("voice_language", "fr"),
        ("voice_language", None),
        ("voice_speed", 0.7),
        ("voice_speed", 2.1),
        ("voice_speed", 1.25),
        ("voice_speed", float("nan")),
        ("voice_speed", float("inf")),
        ("voice_speed", True),
        ("voice_speed", "1"),
    ],
)
def test_each_rule_is_checked(field: str, value: Any) -> None:
    """
    A value that the service refuses, or rounds without a word, breaks one rule.
    """
    assert [field] == broken_fields(**{field: value})


def test_all_broken_rules_are_reported() -> None:
    """
    In one go.
    """
    found = broken_fields(text="", voice_id="", voice_language="de", voice_speed=9)

    assert ["text", "voice_id", "voice_language", "voice_speed"] == found


@given(value=st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.binary(max_size=3))
def test_no_value_makes_a_rule_raise(value: Any) -> None:
    """
    Whatever stands in a field is a broken rule or none.
    """
    for field in FINE.keys() | {"voice_speed"}:
        assert set(broken_fields(**{field: value})) <= {field}


def test_only_what_is_given_is_sent() -> None:
    """
    The speed is left out unless it is given; the other fields are always sent.
    """
    assert FINE == write_request(SpeechRequest(**FINE))
    assert {**FINE, "voice_speed": 1.2} == write_request(SpeechRequest(**FINE, voice_speed=1.2))


def test_repr_shortens_the_text() -> None:
    """
    A long text does not fill the log.
    """
    assert len(repr(SpeechRequest(**{**FINE, "text": "x" * 1000}))) < 300


def test_sound_is_read() -> None:
    """
    With its id, its length, and what it cost.
    """
    speech = SPEECH.read(answer({"code": 0, "request_id": "r-1", "data": {**SPOKEN, "final_unit_deduction": "0.05"}}))

    assert isinstance(speech, Speech)
    assert ("a-1", 3.04, "https://files.example/1.mp3") == (
        speech.audio.id,
        speech.audio.duration,
        speech.audio.url,
    )
    assert ("t-1", Decimal("0.05"), "r-1") == (speech.task_id, speech.units, speech.request_id)


def test_sound_in_two_envelopes_is_read() -> None:
    """
    A relay may wrap the vendor's answer into its own.
    """
    speech = SPEECH.read(answer({"code": "success", "data": {"code": 0, "request_id": "r-2", "data": SPOKEN}}))

    assert ("t-1", None, "r-2") == (speech.task_id, speech.units, speech.request_id)


def test_refusal_in_two_envelopes_is_a_refusal() -> None:
    """
    CometAPI answers a refusal with a success around it: nothing was made, so nothing is uncertain.
    """
    refused = {"data": {"data": {"code": 1201, "message": "Voice id not found"}, "message": "failed"}, "message": ""}

    with pytest.raises(InvalidRequest, match="Voice id not found") as caught:
        SPEECH.read(answer(refused))

    assert 1201 == caught.value.code


def test_failed_speech_is_a_failed_task() -> None:
    """
    With the reason of the service.
    """
    failed = {"task_id": "t-1", "task_status": "failed", "task_status_msg": "too loud", "task_result": {}}

    with pytest.raises(TaskFailed, match="too loud") as caught:
        SPEECH.read(answer({"code": 0, "data": failed}))

    assert "t-1" == caught.value.task_id


@pytest.mark.parametrize(
    "data",
    [None, {}, [], {"task_id": "t-1", "task_status": "succeed", "task_result": {"audios": []}}, {"audios": "x"}],
)
def test_answer_without_sound_is_unexpected(data: Any) -> None:
    """
    It may have been made and charged, so the client reports it as uncertain; the task's id is kept.
    """
    with pytest.raises(UnexpectedAnswer, match="holds no sound") as caught:
        SPEECH.read(answer({"code": 0, "data": data}))

    assert (data or {}).get("task_id") == caught.value.task_id if isinstance(data, dict) else True
    assert 200 == caught.value.http_status


def test_missing_path_is_an_invalid_request() -> None:
    """
    A call names no task, so a 404 of the service is about the call itself.
    """
    with pytest.raises(InvalidRequest, match="no such voice"):
        SPEECH.read(answer({"code": 1203, "message": "no such voice"}, 404))


def test_gateways_have_the_same_rules() -> None:
    """
    No gateway documents others.
    """
    request = SpeechRequest("x" * 1001, voice_id="", voice_language="")

    assert [*SPEECH.rules(request, OFFICIAL)] == [*SPEECH.rules(request, GATEWAY)]
