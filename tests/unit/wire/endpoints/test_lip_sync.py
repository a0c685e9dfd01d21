"""
The rules and prices of lip syncs in two steps.
"""

from decimal import Decimal
from typing import Any

import pytest

from kling_async import OFFICIAL, Audio, Face, FaceSession, LipSync
from kling_async.wire import FileFacts, broken_rules, read_request, write_request
from kling_async.wire.endpoints.lip_sync import LIP_SYNC

SOUND = "https://sounds.example/speech.mp3"


def asking(**fields: Any) -> LipSync:
    """
    Make a request with *fields*, of whatever type.
    """
    sound = {} if "audio_id" in fields else {"sound_file": SOUND}
    return LipSync(**{"session_id": "7", "face_id": "0", "sound_end_time": 3000, **sound, **fields})


def fields_of(request: LipSync, **files: FileFacts) -> list[str]:
    """
    Name the fields that break a rule at OFFICIAL.
    """
    return [rule.field for rule in broken_rules(OFFICIAL, request, files)]


def test_body_nests_what_is_of_the_face() -> None:
    """
    Times without a value are sent as 0: the service requires them.
    """
    request = asking(audio_id="17", sound_volume=1.5, external_task_id="order-1", watermark_info=False)
    assert LIP_SYNC.to_body is not None
    assert LIP_SYNC.from_body is not None
    body = LIP_SYNC.to_body(write_request(request))

    assert {
        "session_id": "7",
        "face_choose": [
            {
                "face_id": "0",
                "audio_id": "17",
                "sound_start_time": 0,
                "sound_end_time": 3000,
                "sound_insert_time": 0,
                "sound_volume": 1.5,
            }
        ],
        "external_task_id": "order-1",
        "watermark_info": {"enabled": False},
    } == body
    assert request == read_request(LIP_SYNC.from_body(body), LipSync)


@pytest.mark.parametrize("faces", [None, [], [{}, {}], ["0"], {"face_id": "0"}])
def test_body_without_one_face_is_refused(faces: Any) -> None:
    """
    The service lip-syncs one person at a time.
    """
    assert LIP_SYNC.from_body is not None
    with pytest.raises(ValueError, match="face_choose must have one face"):
        LIP_SYNC.from_body({"session_id": "7", "face_choose": faces})


def test_what_the_first_step_returned_goes_in_as_it_is() -> None:
    """
    A session, one of its faces, and a sound.
    """
    face = Face("3", start_time=0, end_time=5000)
    request = LipSync(
        FaceSession("7", (face,)), face_id=face, audio_id=Audio(0, SOUND, id="17", duration=3.0), sound_end_time=3000
    )

    assert ("7", "3", "17") == (request.session_id, request.face_id, request.audio_id)
    assert [] == fields_of(request)


@pytest.mark.parametrize(
    ("fields", "broken"),
    [
        ({}, []),
        ({"sound_start_time": 500, "sound_end_time": 2500, "sound_insert_time": 57_000}, []),
        ({"session_id": "", "face_id": None}, ["session_id", "face_id"]),
        ({"sound_file": None}, ["audio_id"]),
        ({"audio_id": "17", "sound_file": SOUND}, ["audio_id"]),
        ({"sound_end_time": 3.0}, ["sound_end_time"]),
        ({"sound_end_time": 3}, ["sound_end_time"]),
        ({"sound_end_time": 60_001}, ["sound_end_time"]),
        ({"sound_end_time": None}, ["sound_end_time"]),
        ({"sound_start_time": -1, "sound_insert_time": True}, ["sound_start_time", "sound_insert_time"]),
        ({"sound_start_time": 1001}, ["sound_end_time"]),
        ({"sound_insert_time": 57_001}, ["sound_insert_time"]),
        ({"sound_volume": 2.1, "original_audio_volume": -0.1}, ["sound_volume", "original_audio_volume"]),
        ({"watermark_info": 1, "callback_url": "x"}, ["watermark_info", "callback_url"]),
    ],
)
def test_rules(fields: dict[str, Any], broken: list[str]) -> None:
    """
    All broken ones are named at once. Times are milliseconds: seconds are refused.
    """
    assert broken == fields_of(asking(**fields))


def test_sound_is_not_used_beyond_its_end() -> None:
    """
    If its length is known.
    """
    sound = FileFacts(9, "wav", seconds=2.5)

    assert ["sound_end_time"] == fields_of(asking(sound_file=b""), sound_file=sound)
    assert [] == fields_of(asking(sound_file=b"", sound_end_time=2500), sound_file=sound)
    assert ["sound_file"] == fields_of(asking(sound_file=b""), sound_file=FileFacts(9, "wav", seconds=61))


def test_price_is_known_at_most() -> None:
    """
    Half a unit for 5 seconds of a video of 60 seconds or less, which only the service knows.
    """
    assert LIP_SYNC.units(asking(), OFFICIAL) is None
    assert Decimal(6) == LIP_SYNC.units_at_most(asking(), OFFICIAL)
    assert [Decimal("0.5"), Decimal("0.5"), Decimal(1)] == [
        LIP_SYNC.units_by_length(asking(), OFFICIAL, seconds) for seconds in (3, 5, 5.1)
    ]
    assert ("video/lip-sync", 1) == (LIP_SYNC.bucket(asking(), OFFICIAL), LIP_SYNC.slots(asking()))
