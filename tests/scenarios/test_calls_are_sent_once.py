"""
What holds for every paid call that creates no task: whatever happens on its way, it is never made twice.
"""

from decimal import Decimal
from typing import Any, Final

import pytest
from hypothesis import given, strategies as st

from kling_async import GATEWAY, OFFICIAL, Dialect
from kling_async.emulator import Account, Fault, Settings, faults
from kling_async.emulator.api_errors import ApiError
from kling_async.emulator.call_answers import answer_call
from kling_async.errors import SubmissionUncertain
from kling_async.wire.calls.call import Call
from kling_async.wire.calls.registry import CALLS
from kling_async.wire.codec import write_request
from tests.fakes.clients import client_of, emulator

PAID: Final = [call for call in CALLS if call.units is not None]

FIELDS: Final[dict[str, dict[str, Any]]] = {
    "speech": {"text": "Hello", "voice_id": "oversea_male1", "voice_language": "en"},
    "identify-face": {"video_url": "https://files.example/clip.mp4"},
    "image-recognize": {"image": "https://files.example/fox.png"},
}

LOST: Final = [
    faults.reset_after("call"),
    faults.reset_before("call"),
    faults.status_after("call", 503),
    faults.status("call", 504),
    faults.html_after("call"),
    faults.truncated("call"),
    faults.garbled("call"),
]
"""
After these a call may have been made.
"""

each_paid_call = pytest.mark.parametrize("call", PAID, ids=lambda call: call.name)
each_dialect = pytest.mark.parametrize("dialect", [OFFICIAL, GATEWAY], ids=lambda dialect: dialect.name)


def request_of(call: Call[Any, Any]) -> Any:
    return call.request_class(**FIELDS[call.name])


def test_each_paid_call_is_tried() -> None:
    """
    A new one needs an example here.
    """
    assert set(FIELDS) == {call.name for call in PAID}


@each_paid_call
@each_dialect
@pytest.mark.parametrize("fault", LOST, ids=lambda fault: f"{fault.kind} {fault.status}")
async def test_lost_call_is_sent_once(call: Call[Any, Any], dialect: Dialect, fault: Fault) -> None:
    """
    The caller learns that it may have been charged, and how much.
    """
    async with emulator(dialect, fault) as server, client_of(server) as client:
        with pytest.raises(SubmissionUncertain, match=rf"may have been charged \({call.units} units\)"):
            await client.core.calls.make(call, request_of(call))

        assert 1 == server.ledger.arrivals["call"]
        assert server.ledger.calls[call.name] <= 1


@each_paid_call
@each_dialect
async def test_refused_call_is_made_once(call: Call[Any, Any], dialect: Dialect) -> None:
    """
    It is sent until it is made, and charged then.
    """
    refusals = (faults.rate_limited("call", times=1), faults.bare_429("call", times=2))
    async with emulator(dialect, *refusals) as server, client_of(server) as client:
        made = await client.core.calls.make(call, request_of(call))

        assert {call.name: 1} == server.ledger.calls
        assert call.units == server.ledger.units_billed == made.units


@each_paid_call
def test_no_call_is_charged_that_is_refused(call: Call[Any, Any]) -> None:
    """
    Without a body that is valid, the service makes nothing.
    """
    account = Account(Settings(dialect=OFFICIAL))
    with pytest.raises(ApiError, match="cannot be empty"):
        answer_call(call, {}, account, 0.0)

    assert ({}, Decimal(0)) == (account.ledger.calls, Decimal(account.ledger.units_billed))


TEXTS: Final = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=1000).filter(str.strip)
SPEEDS: Final = st.none() | st.integers(8, 20).map(lambda tenths: tenths / 10)


@given(text=TEXTS, language=st.sampled_from(["zh", "en"]), speed=SPEEDS)
def test_valid_speech_is_accepted(text: str, language: str, speed: float | None) -> None:
    """
    What breaks no rule of ours breaks none of the service.
    """
    (speech,) = (call for call in CALLS if call.name == "speech")
    request = speech.request_class(text, voice_id="oversea_male1", voice_language=language, voice_speed=speed)
    account = Account(Settings(dialect=OFFICIAL))

    speech.check(request, OFFICIAL)

    assert "succeed" == answer_call(speech, write_request(request), account, 0.0)["task_status"]
