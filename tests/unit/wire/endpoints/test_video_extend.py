"""
The rules and the body of video extend.
"""

from pathlib import Path
from typing import Any

import pytest

from kling_async import OFFICIAL, Video, VideoExtend
from kling_async.wire import broken_rules, read_request, write_request
from kling_async.wire.endpoints.video_extend import VIDEO_EXTEND

CLIP = "https://videos.example/clip.mp4"


def test_body_is_read_back() -> None:
    """
    A video of a result is named by its id.
    """
    request = VideoExtend(Video(0, CLIP, id="17"), prompt="it sails on", watermark_info=False)
    body = write_request(request)

    assert {"video_id": "17", "prompt": "it sails on", "watermark_info": {"enabled": False}} == body
    assert request == read_request(body, VideoExtend)


@pytest.mark.parametrize(
    ("request_", "broken"),
    [
        (VideoExtend("17"), []),
        (VideoExtend(None), ["video_id"]),
        (VideoExtend(CLIP), ["video_id"]),
        (VideoExtend(Video(0, CLIP)), ["video_id"]),
        (VideoExtend("17", prompt="x" * 2501, callback_url="x"), ["prompt", "callback_url"]),
    ],
)
def test_rules(request_: VideoExtend, broken: list[str]) -> None:
    """
    All broken ones are named at once; only an id names a video here.
    """
    assert broken == [rule.field for rule in broken_rules(OFFICIAL, request_)]


def test_a_local_video_is_refused() -> None:
    """
    It is not uploaded.
    """
    local: Any = Path("clip.mp4")

    assert ["video_id"] == [rule.field for rule in broken_rules(OFFICIAL, VideoExtend(local))]


def test_the_price_is_unknown() -> None:
    """
    It depends on the model of the given video.
    """
    assert VIDEO_EXTEND.units(VideoExtend("17"), OFFICIAL) is None
    assert 1 == VIDEO_EXTEND.slots(VideoExtend("17"))
