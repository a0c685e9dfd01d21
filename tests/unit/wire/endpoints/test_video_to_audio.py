"""
The rules and the price of sounds for videos.
"""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kling_async import OFFICIAL, Video, VideoToAudio
from kling_async.wire import broken_rules, read_request, write_request
from kling_async.wire.endpoints.video_to_audio import VIDEO_TO_AUDIO

CLIP = "https://videos.example/clip.mp4"


def test_body_is_read_back() -> None:
    """
    A video of a result is named by its id.
    """
    request = VideoToAudio(Video(0, CLIP, id="17"), bgm_prompt="a harp", asmr_mode=True)
    body = write_request(request)

    assert {"video_id": "17", "bgm_prompt": "a harp", "asmr_mode": True} == body
    assert request == read_request(body, VideoToAudio)


@pytest.mark.parametrize(
    ("fields", "broken"),
    [
        ({"video_url": CLIP}, []),
        ({"video_id": "17"}, []),
        ({}, ["video_id"]),
        ({"video_id": "17", "video_url": CLIP}, ["video_id"]),
        ({"video_url": Path("clip.mp4")}, ["video_url"]),
        ({"video_id": Path("clip.mp4")}, ["video_id"]),
        ({"video_id": Video(0, CLIP)}, ["video_id"]),
        ({"video_id": b"..."}, ["video_id"]),
        (
            {"video_url": CLIP, "sound_effect_prompt": "a" * 201, "bgm_prompt": "a" * 201, "asmr_mode": "on"},
            ["sound_effect_prompt", "bgm_prompt", "asmr_mode"],
        ),
    ],
)
def test_rules(fields: dict[str, Any], broken: list[str]) -> None:
    """
    All broken ones are named at once; a local video is refused.
    """
    assert broken == [rule.field for rule in broken_rules(OFFICIAL, VideoToAudio(**fields))]


def test_price_is_a_quarter_of_a_unit() -> None:
    """
    Its result has both lists.
    """
    request = VideoToAudio("17")

    assert Decimal("0.25") == VIDEO_TO_AUDIO.units(request, OFFICIAL)
    assert ("videos", "audios") == VIDEO_TO_AUDIO.results
    assert ("video/video-to-audio", 1) == (VIDEO_TO_AUDIO.bucket(request, OFFICIAL), VIDEO_TO_AUDIO.slots(request))
