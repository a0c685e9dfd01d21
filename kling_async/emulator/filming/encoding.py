"""
Encodes frames and samples: H.264 and AAC in MP4, and MP3.
"""

import io
from collections.abc import Callable
from fractions import Fraction
from typing import Final

import av
from av import AudioFrame, AudioStream, VideoStream
from av.container import OutputContainer
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

from kling_async.emulator.filming.film import frames
from kling_async.emulator.filming.planes import PIXELS
from kling_async.emulator.filming.sounds import RATE, Samples, melody
from kling_async.emulator.video_spec import VideoSpec, VideoStopped

__all__ = ["encode_mp3", "encode_video"]

_BITS_PER_SECOND: Final = 64_000  # of sounds
_SOFTWARE: Final = "kling_async emulator"


def encode_video(spec: VideoSpec, is_stopped: Callable[[], bool] = lambda: False) -> bytes:
    """
    Return a video as an MP4 file. Its index comes first, so that a player can begin early.

    Args:
        is_stopped: Asked before each frame, since a long video takes seconds.

    Raises:
        ValueError: A picture of the spec cannot be read.
        VideoStopped: *is_stopped* returned True.
    """
    file = io.BytesIO()
    # `faststart` would write the index again, and needs the name of a file for that.
    with av.open(file, "w", format="mp4", options={"moov_size": str(_index_size(spec))}) as container:
        container.metadata.update(title=spec.prompt[:500], comment=_SOFTWARE)
        video = _add_video(container, spec)
        audio = (
            container.add_stream("aac", rate=RATE, options={"aac_coder": "fast"}, layout="mono")
            if spec.has_sound
            else None
        )
        samples = melody(spec.frames / spec.fps if spec.has_sound else 0.0, spec.seed + spec.index)
        for number, frame in enumerate(frames(spec)):
            if is_stopped():
                raise VideoStopped
            container.mux(video.encode(frame))
            if audio is not None:
                _encode_sound(container, audio, samples, _span(number, spec.fps))
        for stream in (video, audio):
            if stream is not None:
                container.mux(stream.encode())
    return file.getvalue()


def encode_mp3(seconds: float, seed: int) -> bytes:
    """
    Return a melody as an MP3 file.
    """
    file = io.BytesIO()
    with av.open(file, "w", format="mp3") as container:
        audio = container.add_stream("libmp3lame", rate=RATE, layout="mono", bit_rate=_BITS_PER_SECOND)
        samples = melody(seconds, seed)
        _encode_sound(container, audio, samples, range(len(samples)))
        container.mux(audio.encode())
    return file.getvalue()


def _index_size(spec: VideoSpec) -> int:
    # Bytes to reserve: more than the tables take, which grow with the number of frames and of packets of sound.
    return 6000 + 40 * spec.frames + round(16 * spec.frames / spec.fps * RATE / 1024)


def _add_video(container: OutputContainer, spec: VideoSpec) -> VideoStream:
    # A fixed quality takes a fifth less CPU than a rate that is controlled.
    video = container.add_stream("libx264", rate=spec.fps, options={"preset": "ultrafast", "qp": "25"})
    video.width, video.height, video.pix_fmt = spec.width, spec.height, PIXELS
    context = video.codec_context
    context.thread_count = 1  # the number of threads changes the bytes
    context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
    context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
    return video


def _add_audio(container: OutputContainer) -> AudioStream:
    return container.add_stream("aac", rate=RATE, options={"aac_coder": "fast"}, layout="mono")


def _span(frame: int, fps: int) -> range:
    # The samples that sound while a frame is shown.
    return range(round(frame * RATE / fps), round((frame + 1) * RATE / fps))


def _encode_sound(container: OutputContainer, audio: AudioStream, samples: Samples, span: range) -> None:
    part = samples[span.start : span.stop]
    frame = AudioFrame("s16", "mono", len(part))
    frame.rate, frame.pts, frame.time_base = RATE, span.start, Fraction(1, RATE)
    frame.planes[0].update(part.tobytes())
    container.mux(audio.encode(frame))
