"""
The rules of lip syncs in one step, and the texts that the service was seen to answer with.
"""

from decimal import Decimal
from typing import Any

import pytest

from kling_async import GATEWAY, OFFICIAL, OneStepLipSync, Video
from kling_async.wire import FileFacts, broken_rules, read_request, write_request
from kling_async.wire.endpoints.one_step_lip_sync import ONE_STEP_LIP_SYNC

CLIP = "https://videos.example/clip.mp4"
SOUND = "https://sounds.example/speech.mp3"
SPOKEN: dict[str, Any] = {"text": "Good evening", "voice_id": "oversea_male1", "voice_language": "en"}


def asking(**fields: Any) -> OneStepLipSync:
    """
    Make a request with *fields*, of whatever type.
    """
    return OneStepLipSync(**{"video_url": CLIP, **fields})


def body_of(request: OneStepLipSync) -> dict[str, Any]:
    """
    Return what is sent.
    """
    assert ONE_STEP_LIP_SYNC.to_body is not None
    return ONE_STEP_LIP_SYNC.to_body(write_request(request))


def read_back(body: dict[str, Any]) -> OneStepLipSync:
    """
    Read a body as a service does.
    """
    assert ONE_STEP_LIP_SYNC.from_body is not None
    return read_request(ONE_STEP_LIP_SYNC.from_body(body), OneStepLipSync)


def fields_of(request: OneStepLipSync, **files: FileFacts) -> list[str]:
    """
    Name the fields that break a rule at OFFICIAL.
    """
    return [rule.field for rule in broken_rules(OFFICIAL, request, files)]


@pytest.mark.parametrize(
    ("fields", "given"),
    [
        (SPOKEN, {"mode": "text2video", **SPOKEN}),
        ({"audio_file": SOUND}, {"mode": "audio2video", "audio_type": "url", "audio_url": SOUND}),
        ({"audio_file": "UklGRg=="}, {"mode": "audio2video", "audio_type": "file", "audio_file": "UklGRg=="}),
    ],
)
def test_body_names_the_mode_and_the_kind_of_sound(fields: dict[str, Any], given: dict[str, Any]) -> None:
    """
    Both follow from what is given.
    """
    request = asking(**fields, callback_url="https://hooks.example/1")
    body = body_of(request)

    assert {"input": {"video_url": CLIP, **given}, "callback_url": "https://hooks.example/1"} == body
    assert request == read_back(body)


def test_bodies_of_other_clients_are_read() -> None:
    """
    One of them sends a kind of sound with a text.
    """
    body = {"input": {"mode": "text2video", "video_url": CLIP, **SPOKEN, "audio_type": "url"}}

    assert asking(**SPOKEN) == read_back(body)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "input.mode: must not be null"),
        ({}, "input.mode: must not be null"),
        ({"mode": "text"}, "allowed values: text2video, audio2video"),
        ({"mode": "audio2video"}, "Audio type is null"),
        ({"mode": "audio2video", "audio_type": "mp3"}, "allowed values: file, url"),
    ],
)
def test_refusals_are_those_of_the_service(given: Any, words: str) -> None:
    """
    As they were seen live.
    """
    with pytest.raises(ValueError, match=words):
        read_back({"input": given})


@pytest.mark.parametrize(
    ("fields", "broken"),
    [
        (SPOKEN, []),
        ({"audio_file": SOUND}, []),
        ({"video_id": Video(0, CLIP, id="17"), "video_url": None, "audio_file": SOUND}, []),
        ({}, ["text"]),
        ({**SPOKEN, "audio_file": SOUND}, ["text"]),
        ({**SPOKEN, "video_id": "17"}, ["video_id"]),
        ({**SPOKEN, "video_url": None, "video_id": "clip.mp4"}, ["video_id"]),
        ({**SPOKEN, "text": "a" * 121}, ["text"]),
        ({"text": "Good evening"}, ["voice_id", "voice_language"]),
        ({**SPOKEN, "voice_speed": 2.1, "voice_language": "fr"}, ["voice_language", "voice_speed"]),
        ({"audio_file": SOUND, "voice_id": "oversea_male1", "voice_speed": 1}, ["voice_id", "voice_speed"]),
        ({"audio_file": SOUND, "external_task_id": "order-1"}, ["external_task_id"]),
    ],
)
def test_rules(fields: dict[str, Any], broken: list[str]) -> None:
    """
    All broken ones are named at once.
    """
    assert broken == fields_of(asking(**fields))


def test_sound_is_checked() -> None:
    """
    By its content.
    """
    assert ["audio_file"] == fields_of(asking(audio_file=b""), audio_file=FileFacts(9, None))
    assert [] == fields_of(asking(audio_file=b""), audio_file=FileFacts(9, "aac"))


def test_every_service_may_have_it() -> None:
    """
    The vendor's pages do not describe it, and it works; relays have pages of it. It shares slots with `LipSync`.
    """
    assert () == broken_rules(GATEWAY, asking(**SPOKEN))
    assert "video/lip-sync" == ONE_STEP_LIP_SYNC.bucket(asking(), OFFICIAL)
    assert ONE_STEP_LIP_SYNC.units(asking(), OFFICIAL) is None
    assert Decimal(6) == ONE_STEP_LIP_SYNC.units_at_most(asking(), OFFICIAL)
