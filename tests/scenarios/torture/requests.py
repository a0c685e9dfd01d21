"""
The requests of the batches that are killed. Each has a caption of its own, so that the ledger can tell them apart.
"""

from pathlib import Path
from typing import Final

from kling_async import (
    Avatar,
    ExpandImage,
    Frame,
    ImageRequest,
    ImageToVideo,
    MotionControl,
    MultiImageToImage,
    OmniVideo,
    TextToAudio,
    TextToVideo,
    VideoToAudio,
)
from kling_async.wire import TaskRequest
from tests.fakes.sounds import WAV

__all__ = ["PICTURE", "images", "images_videos_and_sounds"]

PICTURE: Final = "input.png"
"""
The name of a picture beside the journal.
"""

_PICTURE_URL: Final = "https://pictures.example/cat.png"
_VIDEO_URL: Final = "https://videos.example/walk.mp4"


def images(count: int) -> list[TaskRequest]:
    """
    Return requests for images.
    """
    return [ImageRequest(f"lighthouse {number}", n=1 + (number % 7 == 0)) for number in range(count)]


def images_videos_and_sounds(count: int, folder: Path) -> list[TaskRequest]:
    """
    Return requests of many kinds. Their inputs are paths, bytes and URLs, alone and in lists.
    """
    path = folder / PICTURE
    content = path.read_bytes()
    makers = (
        lambda caption: TextToVideo(caption, duration=3),
        lambda caption: ImageRequest(caption, n=2),
        lambda caption: TextToAudio(caption, duration=3),
        lambda caption: ImageToVideo(path, prompt=caption, image_tail=content, duration=3),
        lambda caption: MultiImageToImage([content, _PICTURE_URL, path], prompt=caption, style_image=_PICTURE_URL),
        lambda caption: VideoToAudio(video_url=_VIDEO_URL, bgm_prompt=caption),
        lambda caption: OmniVideo(caption, image_list=[Frame(path, "first_frame"), content, _PICTURE_URL], duration=3),
        lambda caption: Avatar(content, sound_file=WAV, prompt=caption),
        lambda caption: ExpandImage.to_size(path, (400, 300), (600, 400), prompt=caption),
        lambda caption: MotionControl(_PICTURE_URL, _VIDEO_URL, prompt=caption),
    )
    return [makers[number % len(makers)](f"row {number}") for number in range(count)]
