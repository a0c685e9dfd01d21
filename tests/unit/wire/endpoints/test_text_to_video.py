"""
The rules and prices of text to video.
"""

from decimal import Decimal
from typing import Any

import pytest

from kling_async import GATEWAY, OFFICIAL, Dialect, Shot, TextToVideo
from kling_async.wire import broken_rules, read_request, write_request
from kling_async.wire.endpoints.text_to_video import TEXT_TO_VIDEO

CAMERA = {"type": "simple", "config": {"zoom": 11}}


def asking(**fields: Any) -> TextToVideo:
    """
    Make a request with *fields*, of whatever type.
    """
    return TextToVideo(**{"prompt": "a boat", **fields})


def fields_of(request: TextToVideo, dialect: Dialect = OFFICIAL) -> list[str]:
    """
    Name the fields that break a rule.
    """
    return [rule.field for rule in broken_rules(dialect, request)]


def test_body_has_the_forms_of_the_wire() -> None:
    """
    Seconds are text, sound is a word, shots are numbered, and the model is named.
    """
    request = asking(
        duration=5,
        sound=False,
        multi_shot=True,
        shot_type="customize",
        multi_prompt=[Shot("a quay", 2), Shot("the sea", 3)],
        watermark_info=True,
    )
    body = write_request(TEXT_TO_VIDEO.complete(request, OFFICIAL))

    assert {
        "prompt": "a boat",
        "duration": "5",
        "sound": "off",
        "multi_shot": True,
        "shot_type": "customize",
        "multi_prompt": [
            {"index": 1, "prompt": "a quay", "duration": "2"},
            {"index": 2, "prompt": "the sea", "duration": "3"},
        ],
        "watermark_info": {"enabled": True},
        "model_name": "kling-v3",
    } == body
    assert TEXT_TO_VIDEO.complete(request, OFFICIAL) == read_request(body, TextToVideo)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"duration": 15, "mode": "4k", "sound": True},
        {"model_name": "kling-v2-6", "mode": "pro", "sound": True, "duration": 10},
        {"model_name": "kling-v2-5-turbo", "aspect_ratio": "9:16"},
        {"model_name": "kling-v9", "duration": 60, "mode": "4k"},
        {"multi_shot": True, "shot_type": "intelligence"},
    ],
)
def test_what_is_accepted(fields: dict[str, Any]) -> None:
    """
    A model that is not known may do anything.
    """
    assert [] == fields_of(asking(**fields))


@pytest.mark.parametrize(
    ("fields", "broken"),
    [
        ({"prompt": None}, ["prompt"]),
        ({"prompt": " "}, ["prompt"]),
        ({"prompt": "x" * 2501, "negative_prompt": "x" * 2501}, ["prompt", "negative_prompt"]),
        ({"duration": 2}, ["duration"]),
        ({"duration": "5"}, ["duration"]),
        ({"duration": float("nan")}, ["duration"]),
        ({"duration": 4.5}, ["duration"]),
        ({"duration": True}, ["duration"]),
        ({"duration": 20, "model_name": "kling-3.0-turbo"}, ["duration"]),
        ({"duration": 1, "model_name": "kling-v9"}, ["duration"]),
        ({"duration": 61, "model_name": "kling-v9"}, ["duration"]),
        ({"duration": 7, "model_name": "kling-v2-6"}, ["duration"]),
        ({"aspect_ratio": "4:3"}, ["aspect_ratio"]),
        ({"mode": "best"}, ["mode"]),
        ({"mode": "4k", "model_name": "kling-v2-6"}, ["mode"]),
        ({"sound": "on"}, ["sound"]),
        ({"sound": True, "model_name": "kling-v2-6"}, ["sound"]),
        ({"sound": True, "model_name": "kling-v2-5-turbo", "mode": "pro"}, ["sound"]),
        ({"sound": False, "model_name": "kling-3.0-turbo"}, ["sound"]),
        ({"model_name": "kling-v1-6"}, ["model_name"]),
        ({"model_name": "kling-v3-omni"}, ["model_name"]),
        ({"multi_shot": True}, ["shot_type"]),
        ({"multi_shot": True, "shot_type": "intelligence", "model_name": "kling-v2-6"}, ["multi_shot"]),
        ({"shot_type": "intelligence"}, ["shot_type"]),
        ({"multi_prompt": [Shot("a", 5)]}, ["multi_prompt"]),
        ({"multi_shot": True, "shot_type": "customize"}, ["multi_prompt"]),
        ({"multi_shot": True, "shot_type": "customize", "multi_prompt": [Shot("a", 2)]}, ["multi_prompt"]),
        (
            {"multi_shot": True, "shot_type": "customize", "multi_prompt": [Shot("", 0), Shot("x" * 513, 5)]},
            ["multi_prompt[0].prompt", "multi_prompt[0].duration", "multi_prompt[1].prompt"],
        ),
        ({"cfg_scale": 0.5}, ["cfg_scale"]),
        (
            {"camera_control": CAMERA},
            ["camera_control", "camera_control.config.zoom"],
        ),
        ({"callback_url": "ftp://x"}, ["callback_url"]),
    ],
)
def test_what_is_refused(fields: dict[str, Any], broken: list[str]) -> None:
    """
    Each broken rule is named by its field, all of them at once.
    """
    assert broken == fields_of(asking(**fields))


def test_a_retired_model_passes_at_a_gateway() -> None:
    """
    With the fields that only it has; at the vendor the message says that it is retired.
    """
    old = asking(model_name="kling-v1", cfg_scale=0.5, camera_control={"type": "simple", "config": {"zoom": 5}})

    assert [] == fields_of(old, GATEWAY)
    (retired,) = broken_rules(OFFICIAL, old)
    assert "retired" in retired.rule


@pytest.mark.parametrize(
    ("fields", "units"),
    [
        ({}, "3.0"),
        ({"duration": 10, "mode": "pro", "sound": True}, "12.0"),
        ({"model_name": "kling-v2-5-turbo", "duration": 10}, "3.0"),
        ({"model_name": "kling-v2-6", "mode": "pro", "sound": True}, "5.0"),
        ({"model_name": "kling-3.0-turbo", "duration": 3}, "2.4"),
    ],
)
def test_prices(fields: dict[str, Any], units: str) -> None:
    """
    Units per second, by the vendor's price page of September 2026.
    """
    assert Decimal(units) == TEXT_TO_VIDEO.units(asking(**fields), OFFICIAL)


def test_price_of_an_unknown_model_is_unknown() -> None:
    """
    It is not guessed.
    """
    assert TEXT_TO_VIDEO.units(asking(model_name="kling-v9"), OFFICIAL) is None


def test_slots_are_apart_from_those_of_images() -> None:
    """
    The vendor counts each model and kind of pack by itself.
    """
    assert "video/kling-v3" == TEXT_TO_VIDEO.bucket(asking(), OFFICIAL)
    assert "video/kling-v2-5-turbo" == TEXT_TO_VIDEO.bucket(asking(), GATEWAY)
    assert 1 == TEXT_TO_VIDEO.slots(asking())
