"""
The rules and the price of sounds from text.
"""

from decimal import Decimal
from typing import Any

import pytest

from kling_async import OFFICIAL, TextToAudio
from kling_async.wire import broken_rules, read_request, write_request
from kling_async.wire.endpoints.text_to_audio import TEXT_TO_AUDIO


def test_body_has_a_number_of_seconds() -> None:
    """
    Here it is a number on the wire, too.
    """
    body = write_request(TextToAudio("waves", duration=3.5))

    assert {"prompt": "waves", "duration": 3.5} == body
    assert TextToAudio("waves", duration=3.5) == read_request(body, TextToAudio)
    assert {"prompt": "waves", "duration": 5} == write_request(TextToAudio("waves"))


@pytest.mark.parametrize(
    ("fields", "broken"),
    [
        ({}, []),
        ({"duration": 3}, []),
        ({"duration": 10.0}, []),
        ({"prompt": "a" * 200}, []),
        ({"prompt": "a" * 201, "duration": 2.9}, ["prompt", "duration"]),
        ({"prompt": " "}, ["prompt"]),
        ({"duration": 10.1}, ["duration"]),
        ({"duration": "5"}, ["duration"]),
        ({"duration": True}, ["duration"]),
        ({"duration": float("nan")}, ["duration"]),
        ({"duration": None, "callback_url": "x"}, ["duration", "callback_url"]),
    ],
)
def test_rules(fields: dict[str, Any], broken: list[str]) -> None:
    """
    All broken ones are named at once.
    """
    request = TextToAudio(**{"prompt": "waves", **fields})

    assert broken == [rule.field for rule in broken_rules(OFFICIAL, request)]


def test_price_is_a_quarter_of_a_unit() -> None:
    """
    Whatever its length.
    """
    request = TextToAudio("waves", duration=10)

    assert Decimal("0.25") == TEXT_TO_AUDIO.units(request, OFFICIAL)
    assert ("video/text-to-audio", 1) == (TEXT_TO_AUDIO.bucket(request, OFFICIAL), TEXT_TO_AUDIO.slots(request))
