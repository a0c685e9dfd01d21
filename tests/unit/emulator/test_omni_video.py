"""
The service's answers to requests for omni videos.
"""

from typing import Any

import pytest

from kling_async import OFFICIAL
from kling_async.emulator import Account, Settings
from kling_async.emulator.api import ApiRequest, ApiResponse, EmulatedApi
from kling_async.emulator.routing import target_of
from kling_async.emulator.video_spec import asks_for_sound

NOON = 1_780_000_000.0

LEGACY = "/v1/videos/omni-video"
NEW = "/omni-video/kling-3.0-omni"
NEW_O1 = "/omni-video/kling-o1"

URL = "https://pictures.example/cat.png"
WALK = "https://videos.example/walk.mp4"
PROMPT = {"type": "prompt", "text": "a boat"}


def ask(path: str, body: dict[str, Any], account: Account | None = None) -> tuple[int, Any]:
    """
    Return the status and the body of the answer to a create.
    """
    account = account or Account(Settings(dialect=OFFICIAL, latency=(1.0, 1.0)))
    headers = {"Authorization": f"Bearer {account.settings.api_key}"}
    call = ApiRequest(target=target_of("POST", path), method="POST", path=path, headers=headers, body=body)
    answer = EmulatedApi(account).answer(call, NOON)
    assert isinstance(answer, ApiResponse)
    return answer.status, answer.payload


NO_RATIO = "Aspect ratio must be specified unless a first frame is provided or the task is video editing"
O1_SECONDS = "Duration only supports 5 or 10 seconds when no refer_image is provided"
ORIGINAL = "audio mode 'original' is not supported by the current model"
TOGETHER = "multi_shot is not supported with video input"


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        (LEGACY, {"prompt": "a"}, NO_RATIO),
        (LEGACY, {"prompt": "a", "image_list": [{"image_url": URL}]}, NO_RATIO),
        (LEGACY, {"prompt": "a", "video_list": [{"video_url": "walk.mp4"}]}, "Video URL is invalid"),
        (
            LEGACY,
            {"prompt": "a", "video_list": [{"video_url": WALK}], "multi_shot": True, "shot_type": "intelligence"},
            TOGETHER,
        ),
        (
            LEGACY,
            {"prompt": "a", "aspect_ratio": "1:1", "element_list": [{"element_id": 1}]},
            "Element id not found: 1",
        ),
        (LEGACY, {"prompt": "a", "aspect_ratio": "1:1", "model_name": "kling-v3-1-omni-x", "n": 1}, None),
        (LEGACY, {"prompt": "a", "aspect_ratio": "1:1", "model_name": "kling-v3"}, "model is not supported"),
        (LEGACY, {"prompt": "a", "aspect_ratio": "5:4"}, "aspect_ratio value '5:4' is invalid"),
        (
            LEGACY,
            {"prompt": "a", "image_list": [{"image_url": URL, "type": "middle"}], "aspect_ratio": "1:1"},
            "image_list[0].type value 'middle' is invalid",
        ),
        (NEW, {"contents": [PROMPT]}, NO_RATIO),
        (NEW_O1, {"contents": [PROMPT], "settings": {"aspect_ratio": "1:1", "duration": 3}}, O1_SECONDS),
        (NEW_O1, {"contents": [PROMPT], "settings": {"aspect_ratio": "1:1", "duration": 10}}, None),
        (
            NEW,
            {
                "contents": [PROMPT, {"type": "feature_video", "url": WALK}],
                "settings": {"aspect_ratio": "1:1", "multi_shot": True},
            },
            TOGETHER,
        ),
        (
            NEW,
            {"contents": [PROMPT, {"type": "end_frame", "url": URL}]},
            "contents[1].type value 'end_frame' is invalid",
        ),
        (NEW, {"contents": [PROMPT, "x"]}, "contents[1] cannot be empty"),
        (NEW, {"contents": [PROMPT], "settings": {"aspect_ratio": "1:1", "audio": "original"}}, ORIGINAL),
        (NEW, {"contents": [PROMPT], "settings": {"aspect_ratio": "1:1", "audio": "off"}}, None),
        (
            NEW,
            {"contents": [PROMPT, {"type": "base_video", "url": WALK}], "settings": {"audio": "original"}},
            None,
        ),
        (
            NEW,
            {"contents": [PROMPT, {"type": "base_video", "url": WALK}], "settings": {"multi_shot": True}},
            TOGETHER,
        ),
    ],
)
def test_answers(path: str, body: dict[str, Any], message: str | None) -> None:
    """
    What the service refuses, it refuses in the words that were seen.
    """
    status, answer = ask(path, body)

    assert ((200, "SUCCEED") if message is None else (400, message)) == (status, answer["message"])


def test_an_edited_video_costs_by_its_length() -> None:
    """
    The service does not fetch it here: it is as long as the setting says, rounded to seconds.
    """
    account = Account(Settings(dialect=OFFICIAL, latency=(1.0, 1.0), media_seconds=5.04))
    body = {"prompt": "a", "mode": "std", "video_list": [{"video_url": WALK}]}
    _, answer = ask(LEGACY, body, account)
    record = account.find_task(answer["data"]["task_id"])

    assert record is not None
    assert "4.5" == str(record.price)
    assert 5.04 == account.snapshot_of(record, NOON + 1).task_result.videos[0].duration


def test_sound_of_an_input_is_kept() -> None:
    """
    The video has a sound track if the sound of its input is kept.
    """
    account = Account(Settings(dialect=OFFICIAL, latency=(1.0, 1.0)))
    videos = [{"video_url": WALK, "keep_original_sound": word} for word in ("yes", "no")]
    for video in [*videos, {"video_url": WALK}]:
        ask(LEGACY, {"prompt": "a", "video_list": [video]}, account)

    assert [True, False, False] == [asks_for_sound(record.request) for record in account.page(1, 3)[::-1]]
