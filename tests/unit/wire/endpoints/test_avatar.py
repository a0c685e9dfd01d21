"""
The rules and prices of avatars.
"""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kling_async import GATEWAY, OFFICIAL, Audio, Avatar
from kling_async.wire import FileFacts, broken_rules, read_request, write_request
from kling_async.wire.endpoints.avatar import AVATAR
from tests.fakes.sounds import WAV

URL = "https://pictures.example/cat.png"
SOUND = "https://sounds.example/speech.mp3"


def asking(**fields: Any) -> Avatar:
    """
    Make a request with *fields*, of whatever type.
    """
    return Avatar(**{"image": URL, **({} if "audio_id" in fields else {"sound_file": SOUND}), **fields})


def fields_of(request: Avatar, **files: FileFacts) -> list[str]:
    """
    Name the fields that break a rule at OFFICIAL.
    """
    return [rule.field for rule in broken_rules(OFFICIAL, request, files)]


def rules_of(request: Avatar, **files: FileFacts) -> str:
    """
    Return the words of the broken rules.
    """
    return "; ".join(map(str, broken_rules(OFFICIAL, request, files)))


def test_body_is_read_back() -> None:
    """
    The mode is always sent: its price is known.
    """
    request = asking(prompt="she smiles", watermark_info=True)
    body = write_request(request)

    assert {
        "image": URL,
        "sound_file": SOUND,
        "prompt": "she smiles",
        "mode": "std",
        "watermark_info": {"enabled": True},
    } == body
    assert request == read_request(body, Avatar)


def test_sound_of_a_result_is_named_by_its_id() -> None:
    """
    As `client.speech` and text to audio return it.
    """
    assert "17" == asking(audio_id=Audio(0, SOUND, id="17")).audio_id
    assert [] == fields_of(asking(audio_id=Audio(0, SOUND, id="17")))
    assert "pass a file or a URL as sound_file" in rules_of(asking(audio_id=Audio(0, SOUND)))


@pytest.mark.parametrize("audio_id", [SOUND, "speech.mp3", Path("speech.mp3"), WAV, "", 17], ids=repr)
def test_no_other_sound_is_taken_for_an_id(audio_id: Any) -> None:
    """
    The rule says where it goes, and shows no content.
    """
    rule = rules_of(asking(audio_id=audio_id))

    assert "audio_id" in rule
    assert "as sound_file" in rule
    assert len(rule) < 250


@pytest.mark.parametrize(
    ("fields", "broken"),
    [
        ({}, []),
        ({"mode": "pro"}, []),
        ({"image": None}, ["image"]),
        ({"sound_file": None}, ["audio_id"]),
        ({"sound_file": SOUND, "audio_id": "17"}, ["audio_id"]),
        ({"mode": "4k"}, ["mode"]),
        ({"mode": None}, ["mode"]),
        ({"prompt": "a" * 2501, "mode": "x", "image": None}, ["image", "prompt", "mode"]),
        ({"watermark_info": "yes"}, ["watermark_info"]),
        ({"callback_url": "x"}, ["callback_url"]),
    ],
)
def test_rules(fields: dict[str, Any], broken: list[str]) -> None:
    """
    All broken ones are named at once.
    """
    assert broken == fields_of(asking(**fields))


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (FileFacts(6 * 2**20, "mp3"), "must be at most 5242880 bytes before Base64; it has 6291456"),
        (FileFacts(9, None), "must be an mp3, wav, m4a or aac sound, by its content"),
        (FileFacts(9, "png", 400, 300), "must be an mp3, wav, m4a or aac sound, by its content"),
        (FileFacts(9, "wav", seconds=1.5), "must last 2 to 300 seconds; it lasts 1.5"),
        (FileFacts(9, "wav", seconds=301), "must last 2 to 300 seconds; it lasts 301"),
        (FileFacts(9, "wav", flaw="is cut short: its end is missing", seconds=5), "is cut short"),
    ],
)
def test_sound_is_checked(facts: FileFacts, words: str) -> None:
    """
    By its content; how long it lasts is known of a WAV.
    """
    request = asking(sound_file=b"...")

    assert words in rules_of(request, sound_file=facts)
    assert [] == fields_of(request, sound_file=FileFacts(9, "wav", seconds=2))
    assert [] == fields_of(request, sound_file=FileFacts(9, "m4a"))


def test_picture_is_checked() -> None:
    """
    By the rules of pictures.
    """
    assert ["image"] == fields_of(asking(image=b""), image=FileFacts(10, "png", 100, 200))


def test_price_is_known_at_most() -> None:
    """
    It depends on the length of the sound: 300 seconds are the most.
    """
    assert AVATAR.units(asking(), OFFICIAL) is None
    assert Decimal(120) == AVATAR.units_at_most(asking(), OFFICIAL)
    assert Decimal(240) == AVATAR.units_at_most(asking(mode="pro"), OFFICIAL)
    assert AVATAR.units_at_most(asking(mode="4k"), OFFICIAL) is None
    assert Decimal("4.8") == AVATAR.units_by_length(asking(), OFFICIAL, 12)


def test_slots_are_its_own() -> None:
    """
    It has no model.
    """
    assert ("video/avatar", 1) == (AVATAR.bucket(asking(), GATEWAY), AVATAR.slots(asking()))


def test_missing_sound_is_named_with_both_fields() -> None:
    """
    Either may be given.
    """
    (rule,) = broken_rules(OFFICIAL, Avatar("https://pictures.example/cat.png"))

    assert "audio_id=None: is required, or sound_file" == str(rule)
