"""
Makes the frames of a video.
"""

import itertools
import random
from collections.abc import Iterator
from fractions import Fraction
from typing import Final

from av import VideoFrame
from av.video.reformatter import VideoReformatter
from PIL import Image

from kling_async.emulator.drawing.caption import write_caption
from kling_async.emulator.drawing.watermark import write_watermark
from kling_async.emulator.filming.camera import CameraMove, across_a_scene, away_from, towards
from kling_async.emulator.filming.overlay import measure
from kling_async.emulator.filming.planes import Planes
from kling_async.emulator.filming.worlds import World, painted_world, pictured_world
from kling_async.emulator.video_spec import VideoSpec

__all__ = ["frames"]

_FADE: Final = 0.5  # seconds in which the caption comes, and goes before a given last frame


def frames(spec: VideoSpec) -> Iterator[VideoFrame]:
    """
    Yield the frames of a video, shot by shot.

    Raises:
        ValueError: A picture of the spec cannot be read.
    """
    lens = VideoReformatter()
    for number, frame in enumerate(itertools.chain.from_iterable(_finished(take, lens) for take in spec.takes())):
        frame.pts, frame.time_base = number, Fraction(1, spec.fps)
        yield frame


def _finished(take: VideoSpec, lens: VideoReformatter) -> Iterator[VideoFrame]:
    size = take.width, take.height
    is_frosted = take.first_frame is not None or take.last_frame is not None  # they may have captions of their own
    caption = measure(
        size, lambda image: write_caption(image, take.prompt, _facts(take), is_frosted=False), is_frosted=is_frosted
    )
    watermark = measure(size, write_watermark) if take.has_watermark else None
    for number, frame in enumerate(_scene(take, lens)):
        strength = _strength_of_caption(take, number)
        if caption is not None and strength > 0:
            caption.lay_over(frame, strength)
        if watermark is not None:
            watermark.lay_over(frame)
        yield frame


def _facts(spec: VideoSpec) -> str:
    return f"{spec.model_name}  ·  video {spec.index}  ·  seed {spec.seed}"


def _strength_of_caption(spec: VideoSpec, number: int) -> float:
    # A given first or last frame is shown as it is.
    fade = max(1, min(round(_FADE * spec.fps), spec.frames // 3))
    coming = 1.0 if spec.first_frame is None else number / fade
    going = 1.0 if spec.last_frame is None else (spec.frames - 1 - number) / fade
    return max(0.0, min(1.0, coming, going))


def _scene(take: VideoSpec, lens: VideoReformatter) -> Iterator[VideoFrame]:
    first, move = _first_world(take)
    last = None if take.last_frame is None else pictured_world(take.last_frame, take)
    size, back = (take.width, take.height), away_from(0.5, 0.5)
    for number in range(take.frames):
        seconds, progress = number / take.fps, number / max(1, take.frames - 1)
        share = 0.0 if last is None else _dissolve(progress)
        if last is None or share < 1:
            frame = first.shoot(move.box(progress, first.size), size, seconds, lens)
        if last is not None and share > 0:
            frame_of_last = last.shoot(back.box(progress, last.size), size, seconds, lens)
            frame = _blend(frame, frame_of_last, share) if share < 1 else frame_of_last
        yield frame


def _first_world(take: VideoSpec) -> tuple[World, CameraMove]:
    if take.first_frame is not None:
        return pictured_world(take.first_frame, take), towards(0.5, 0.4)
    world = painted_world(take)
    dice = random.Random(f"{take.prompt} {take.index} {take.seed}")  # noqa: S311 (repeatable on purpose)
    return world, across_a_scene(dice, world.focus)


def _dissolve(progress: float) -> float:
    # From the first picture to the last one in the middle third; both ends are shown alone.
    share = min(1.0, max(0.0, 3 * progress - 1))
    return 1.0 if progress == 1 else share * share * (3 - 2 * share)


def _blend(one: VideoFrame, two: VideoFrame, share: float) -> VideoFrame:
    pairs = zip(Planes.of_frame(one), Planes.of_frame(two), strict=True)
    return Planes(*(Image.blend(a, b, share) for a, b in pairs)).frame()
