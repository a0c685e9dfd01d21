"""
What a service would refuse, or make and bill though nobody wanted it, is refused before anything is sent.
"""

from pathlib import Path
from typing import Any, Final

import pytest

from kling_async import (
    OFFICIAL,
    Avatar,
    Frame,
    ImageToVideo,
    InputVideo,
    LipSync,
    MotionControl,
    MultiImageToImage,
    OmniImage,
    OmniVideo,
    OneStepLipSync,
    Shot,
    TextToVideo,
    VideoEffect,
    VideoToAudio,
    VirtualTryOn,
)
from kling_async.errors import InvalidRequest
from kling_async.wire import TaskRequest
from tests.fakes.clients import client_of, emulator
from tests.fakes.sounds import silence
from tests.fakes.valid_requests.pictures import PNG, URL, png

TINY: Final = png(20, 20)
LONG: Final = png(1200, 300)
CUT: Final = PNG[:-40]
LOCAL: Final[Any] = Path("walk.mp4")  # programs without types pass it
SHOTS: Final = (Shot("a quay", 2), Shot("the sea", 2))
FIELDS_OF_SHOTS: Final[dict[str, Any]] = {"multi_shot": True, "shot_type": "customize", "multi_prompt": SHOTS}

CASES: Final[dict[str, tuple[TaskRequest, list[str], str]]] = {
    "a tail that the model does not take": (
        ImageToVideo(PNG, image_tail=PNG, model_name="kling-3.0-turbo"),
        ["image_tail"],
        "is not supported by kling-3.0-turbo",
    ),
    "a tail that needs another mode": (
        ImageToVideo(PNG, image_tail=PNG, model_name="kling-v2-5-turbo", mode="std"),
        ["image_tail"],
        "needs mode pro with kling-v2-5-turbo",
    ),
    "a mode that the model does not have": (
        TextToVideo("a boat", model_name="kling-v2-6", mode="4k"),
        ["mode"],
        "must be one of std, pro with kling-v2-6",
    ),
    "a duration that the model does not make": (
        TextToVideo("a boat", model_name="kling-v2-6", duration=7),
        ["duration"],
        "must be 5 or 10 seconds with kling-v2-6",
    ),
    "mode and duration": (
        ImageToVideo(PNG, model_name="kling-v2-5-turbo", mode="4k", duration=3),
        ["duration", "mode"],
        "must be 5 or 10 seconds",
    ),
    "0 seconds": (TextToVideo("a boat", duration=0, model_name="kling-3.0-turbo"), ["duration"], "whole number"),
    "1 second": (TextToVideo("a boat", duration=1, model_name="kling-3.0-turbo"), ["duration"], "3 to 15 seconds"),
    "20 seconds": (TextToVideo("a boat", duration=20, model_name="kling-3.0-turbo"), ["duration"], "3 to 15 seconds"),
    "half a second": (TextToVideo("a boat", duration=4.5), ["duration"], "whole number of seconds"),
    "a duration that is no number": (OmniVideo("a boat", aspect_ratio="1:1", duration="5s"), ["duration"], "whole"),  # type: ignore[arg-type]
    "an endless duration": (TextToVideo("a boat", duration=float("inf")), ["duration"], "whole number of seconds"),
    "no duration at all": (TextToVideo("a boat", duration=float("nan")), ["duration"], "whole number of seconds"),
    "omni without a ratio": (OmniVideo("a boat", image_list=[URL]), ["aspect_ratio"], "unless there is a first frame"),
    "too many images": (
        OmniVideo("a boat", image_list=[URL] * 8, aspect_ratio="1:1"),
        ["image_list"],
        "must be at most 7 together",
    ),
    "too many images beside a video": (
        OmniVideo("a boat", image_list=[URL] * 5, video_list=["https://x.example/a.mp4"], aspect_ratio="1:1"),
        ["image_list"],
        "must be at most 4 together with a video",
    ),
    "two videos": (
        OmniVideo("a boat", video_list=["https://x.example/a.mp4"] * 2),
        ["video_list"],
        "must have one video at most",
    ),
    "too many subjects": (MultiImageToImage([PNG] * 5, prompt="a"), ["subject_image_list"], "1 to 4 pictures"),
    "no subject": (MultiImageToImage([], prompt="a"), ["subject_image_list"], "1 to 4 pictures"),
    "a local video": (
        OmniVideo("a boat", video_list=[InputVideo(LOCAL)]),
        ["video_list[0].video_url"],
        "put a local file on a web server or storage",
    ),
    "a local motion": (MotionControl(PNG, LOCAL), ["video_url"], "put a local file on a web server or storage"),
    "a small picture": (ImageToVideo(TINY), ["image"], "sides of at least 300 pixels; it has 20x20"),
    "a long picture": (ImageToVideo(LONG), ["image"], "must have a ratio of 1:2.5 to 2.5:1; it has 1200x300"),
    "a picture that is cut": (ImageToVideo(CUT), ["image"], "image="),
    "no picture": (ImageToVideo(b"no picture"), ["image"], "must be a jpg or png picture, by its content"),
    "bad pictures in lists": (
        OmniVideo("a boat", image_list=[Frame(TINY, "first_frame"), PNG, b"no picture"]),
        ["image_list[0].image", "image_list[2].image"],
        "must be a jpg or png picture",
    ),
    "bad pictures of a person and a garment": (
        VirtualTryOn(TINY, b"no picture"),
        ["human_image", "cloth_image"],
        "at least 300 pixels",
    ),
    "bad pictures of subjects": (
        MultiImageToImage([PNG, TINY], prompt="a", style_image=TINY),
        ["subject_image_list[1]", "style_image"],
        "at least 300 pixels",
    ),
    "a picture that does not exist": (ImageToVideo(Path("no.png")), ["image"], "no.png"),
    "a sound that is a picture": (Avatar(PNG, sound_file=PNG), ["sound_file"], "mp3, wav, m4a or aac sound"),
    "a sound that is too short": (Avatar(PNG, sound_file=silence(1)), ["sound_file"], "2 to 300 seconds; it lasts 1"),
    "a sound that is cut": (Avatar(PNG, sound_file=silence(5)[:-40]), ["sound_file"], "is cut short"),
    "a sound that is too large": (Avatar(PNG, sound_file=b"ID3" + bytes(2**23)), ["sound_file"], "5242880 bytes"),
    "a sound that does not exist": (Avatar(PNG, sound_file=Path("no.mp3")), ["sound_file"], "No such file"),
    "a sound in place of its id": (Avatar(PNG, audio_id="speech.mp3"), ["audio_id"], "as sound_file"),
    "seconds in place of milliseconds": (
        LipSync("7", face_id="0", audio_id="17", sound_end_time=3),
        ["sound_end_time"],
        "whole milliseconds from 2000",
    ),
    "a sound beyond its end": (
        LipSync("7", face_id="0", sound_file=silence(3), sound_end_time=4000),
        ["sound_end_time"],
        "which lasts 3000 milliseconds",
    ),
    "a local video without sound": (VideoToAudio(LOCAL), ["video_id"], "videos are not uploaded"),
    "nothing to say": (OneStepLipSync("17"), ["text"], "needs an audio_file"),
    "a scene with one picture too few": (VideoEffect("hug", images=[PNG]), ["images"], "a list of two pictures"),
    "shots that are too short for the video": (
        TextToVideo(duration=5, **FIELDS_OF_SHOTS),
        ["multi_prompt"],
        "must add up to the duration of 5 seconds; they add up to 4",
    ),
    "shots of an omni video": (
        OmniVideo(duration=6, aspect_ratio="1:1", **FIELDS_OF_SHOTS),
        ["multi_prompt"],
        "they add up to 4",
    ),
    "shots of a model without them": (
        ImageToVideo(PNG, duration=5, model_name="kling-v2-5-turbo", **FIELDS_OF_SHOTS),
        ["multi_shot", "multi_prompt"],
        "is not offered with kling-v2-5-turbo",
    ),
    "a retired model": (TextToVideo("a boat", model_name="kling-v1-6"), ["model_name"], "retired"),
    "a series of one": (OmniImage("a boat", result_type="series", series_amount=1), ["series_amount"], "2 to 9"),
    "all rules at once": (
        OmniVideo(
            None, image_list=[TINY], video_list=[InputVideo(LOCAL, "feature")], sound=True, duration=20, mode="8k"
        ),
        ["prompt", "image_list[0].image", "video_list[0].video_url", "sound", "duration", "aspect_ratio", "mode"],
        "must be an http(s) URL",
    ),
}


@pytest.mark.parametrize(("request_", "fields", "rule"), CASES.values(), ids=CASES)
async def test_bad_input_is_refused_before_anything_is_sent(
    request_: TaskRequest, fields: list[str], rule: str
) -> None:
    """
    The error names every field, in words that say what to do; the service has received nothing.
    """
    async with emulator(OFFICIAL) as server, client_of(server) as client:
        with pytest.raises(InvalidRequest) as caught:
            await client.generate(request_)

    assert sorted(fields) == sorted({broken.field for broken in caught.value.broken})
    assert rule in str(caught.value)
    assert [] == server.ledger.tasks
    assert 0 == server.ledger.connections
