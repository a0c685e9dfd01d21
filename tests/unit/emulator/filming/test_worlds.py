"""
The pictures that a camera moves over.
"""

import io

import pytest
from av.video.reformatter import VideoReformatter
from PIL import Image, ImageStat

from kling_async.emulator.filming.camera import MARGIN
from kling_async.emulator.filming.worlds import painted_world, pictured_world
from kling_async.emulator.video_spec import VideoSpec
from tests.fakes.media_files import image_of

SPEC = VideoSpec(width=128, height=72, seconds=1, prompt="a boat on the sea")


@pytest.mark.parametrize("size", [(128, 72), (72, 128), (18, 16)])
def test_worlds_are_larger_than_the_video(size: tuple[int, int]) -> None:
    """
    So that nothing is enlarged where the camera is closest. Both sides are even.
    """
    spec = VideoSpec(width=size[0], height=size[1], seconds=1, prompt="a boat on the sea")
    for side, wanted in zip(painted_world(spec).size, size, strict=True):
        assert side % 2 == 0
        assert abs(side - wanted * MARGIN) <= 1


def test_frame_shows_what_is_in_the_box() -> None:
    """
    At the size of the video, whatever the size of the box.
    """
    file = io.BytesIO()
    image = Image.new("RGB", (128, 72), "black")
    image.paste("white", (64, 0, 128, 72))
    image.save(file, "PNG")
    world = pictured_world(file.getvalue(), SPEC)
    width, height = world.size
    for box, colour in (((0, 0, width // 2 - 3, height), 0), ((width // 2 + 3, 1, width, height), 255)):
        frame = image_of(world.shoot(box, (64, 36), 0.0, VideoReformatter()))

        assert (64, 36) == frame.size
        assert all(abs(level - colour) < 8 for level in ImageStat.Stat(frame).mean)


def test_small_videos_are_plain() -> None:
    """
    What moves would be a few pixels.
    """
    small, large = (
        painted_world(VideoSpec(width=width, height=height, seconds=1, prompt="a boat on the sea"))
        for width, height in ((128, 72), (192, 108))
    )

    assert () == small.swarms
    assert 0 < len(large.swarms)


def test_tint_colours_the_scene() -> None:
    """
    A picture that is no frame gives the scene its colours, and unreadable ones are an error.
    """
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(file, "PNG")
    plain, tinted = (
        painted_world(VideoSpec(width=128, height=72, seconds=1, prompt="a meadow", tint=tint))
        for tint in (None, file.getvalue())
    )
    (red_before, red_after) = (sum(world.planes.red.histogram()[160:]) for world in (plain, tinted))

    assert red_after > red_before
    with pytest.raises(ValueError, match="not a readable jpg or png"):
        painted_world(VideoSpec(width=16, height=16, seconds=1, prompt="x", tint=b"?"))
