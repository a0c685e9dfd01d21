"""
Custom voices: the rules of their requests, and what is sent.
"""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from kling_async import GATEWAY, OFFICIAL, VoiceRequest
from kling_async.wire import broken_rules, endpoint_of, write_request

URL = "https://files.example/voice.mp3"


def broken_fields(**fields: Any) -> list[str]:
    request = VoiceRequest(**{"voice_name": "narrator", "voice_url": URL, **fields})
    return [broken.field for broken in broken_rules(OFFICIAL, request)]


@pytest.mark.parametrize(
    "fields",
    [{}, {"voice_name": "x" * 20}, {"voice_name": "说书人"}, {"voice_url": None, "video_id": "828338674655576157"}],
)
def test_valid_requests_break_no_rule(fields: dict[str, Any]) -> None:
    """
    A name, and a source.
    """
    assert [] == broken_fields(**fields)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("voice_name", ""),
        ("voice_name", " "),
        ("voice_name", "x" * 21),
        ("voice_name", None),
        ("voice_name", "a\0"),
        ("voice_url", "voice.mp3"),
        ("voice_url", "ftp://files.example/voice.mp3"),
        ("voice_url", Path("voice.mp3")),
        ("voice_url", b"ID3"),
        ("callback_url", "x"),
        ("external_task_id", ""),
    ],
)
def test_each_rule_is_checked(field: str, value: Any) -> None:
    """
    One broken rule for each.
    """
    assert [field] == broken_fields(**{field: value})


def test_exactly_one_source_is_needed() -> None:
    """
    A URL or the id of a video.
    """
    assert ["video_id"] == broken_fields(voice_url=None) == broken_fields(video_id="828338674655576157")


@given(value=st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | st.binary(max_size=3))
def test_no_value_makes_a_rule_raise(value: Any) -> None:
    """
    Whatever stands in a field is a broken rule or none.
    """
    for field in ("voice_name", "voice_url", "video_id"):
        assert set(broken_fields(**{field: value})) <= {field, "video_id"}


def test_gateways_take_no_external_id() -> None:
    """
    The other rules are the same there.
    """
    request = VoiceRequest("narrator", voice_url=URL, external_task_id="order-17")

    assert ["external_task_id"] == [broken.field for broken in broken_rules(GATEWAY, request)]


def test_only_what_is_given_is_sent() -> None:
    """
    One source, and no empty fields.
    """
    assert {"voice_name": "narrator", "voice_url": URL} == write_request(VoiceRequest("narrator", voice_url=URL))


def test_request_is_known_by_its_name() -> None:
    """
    In logs and lists.
    """
    request = VoiceRequest("narrator", voice_url=f"{URL}?Signature=x")

    assert "narrator" == endpoint_of(VoiceRequest).caption(request)
    assert "Signature" not in repr(request)
