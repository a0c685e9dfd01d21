"""
Real video files, written and read.
"""

import io
from collections.abc import Sequence
from fractions import Fraction

import av
from av import VideoFrame
from av.container import InputContainer
from PIL import Image

from kling_async.emulator.filming.planes import PIXELS, Planes

__all__ = ["image_of", "images_in", "open_media", "write_mp4"]


def write_mp4(frames: Sequence[Image.Image], seconds: float) -> bytes:
    """
    Return a video that shows *frames*, all of the same even size, for equal parts of *seconds*.
    """
    file, rate = io.BytesIO(), Fraction(len(frames)) / Fraction(seconds)
    with av.open(file, "w", format="mp4", options={"moov_size": str(2000 + 40 * len(frames))}) as container:
        video = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast", "crf": "10"})
        video.width, video.height, video.pix_fmt = *frames[0].size, PIXELS
        video.codec_context.thread_count = 1
        for number, picture in enumerate(frames):
            frame = Planes.of(picture).frame()
            frame.pts, frame.time_base = number, 1 / rate
            container.mux(video.encode(frame))
        container.mux(video.encode())
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


def image_of(frame: VideoFrame) -> Image.Image:
    """
    Convert a frame, by the colours that it says it has.
    """
    image: Image.Image = frame.to_image()  # type: ignore[no-untyped-call]
    return image
