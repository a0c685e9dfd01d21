"""
Makes small videos and sounds with PyAV, by which the emulator's own are not judged; and reads any with it.
"""

import array
import io
import math
from collections.abc import Sequence
from typing import Final

import av
from av.container import InputContainer
from PIL import Image

__all__ = ["image_of", "images_in", "make_sound", "make_video", "open_media"]

_FRAMES: Final = 4  # per second
_RATE: Final = 48_000  # samples per second, which every codec takes


def make_video(
    size: tuple[int, int] = (64, 36),
    seconds: float = 1.0,
    colours: Sequence[str] = ("teal", "orange"),
    *,
    container: str = "mp4",
    rotation: int = 0,
    title: str = "",
) -> bytes:
    """
    Return a video without sound that shows *colours* for equal parts of its length.
    """
    file = io.BytesIO()
    count = round(seconds * _FRAMES)
    with av.open(file, "w", format=container) as opened:
        stream = opened.add_stream("libvpx" if container == "webm" else "h264", rate=_FRAMES)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.thread_count = 1
        if container == "mp4":
            stream.options = {"preset": "ultrafast"}
        if title:
            opened.metadata["title"] = title
        if rotation:
            stream.set_display_rotation(rotation)
        for number in range(count):
            image = Image.new("RGB", size, colours[number * len(colours) // count])
            frame = av.VideoFrame.from_image(image)  # type: ignore[no-untyped-call]
            opened.mux(stream.encode(frame))
        opened.mux(stream.encode())
    return file.getvalue()


def make_sound(seconds: float = 1.0, *, codec: str, container: str) -> bytes:
    """
    Return a tone that is loud in its first half and silent in the second.
    """
    file = io.BytesIO()
    with av.open(file, "w", format=container) as opened:
        stream = opened.add_stream(codec, rate=_RATE)
        assert isinstance(stream, av.AudioStream)
        stream.layout = "mono"
        step = 960
        for start in range(0, round(seconds * _RATE), step):
            frame = av.AudioFrame(format="s16", layout="mono", samples=step)
            frame.sample_rate, frame.pts = _RATE, start
            volume = 20_000 if start < seconds * _RATE / 2 else 0
            tone = [round(volume * math.sin(math.tau * 440 * place / _RATE)) for place in range(start, start + step)]
            frame.planes[0].update(array.array("h", tone).tobytes())
            opened.mux(stream.encode(frame))
        opened.mux(stream.encode())
    return file.getvalue()


def open_media(content: bytes) -> InputContainer:
    """
    Open a video or a sound, as a context manager.
    """
    return av.open(io.BytesIO(content), "r")


def images_in(content: bytes) -> list[Image.Image]:
    """
    Return every frame of a video.
    """
    with open_media(content) as file:
        return [image_of(frame) for frame in file.decode(video=0)]


def image_of(frame: av.VideoFrame) -> Image.Image:
    """
    Convert a frame, by the colours that it says it has.
    """
    image: Image.Image = frame.to_image()  # type: ignore[no-untyped-call]
    return image
