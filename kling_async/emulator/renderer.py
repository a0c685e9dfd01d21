"""
Renders the files of tasks in threads, and caches them for a while, since they are often fetched twice.
"""

import asyncio
import functools
import importlib.util
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from kling_async.emulator.input_files import picture_of
from kling_async.emulator.result_files import ResultFile
from kling_async.emulator.settings import Settings
from kling_async.emulator.task_record import TaskRecord
from kling_async.emulator.task_snapshot import seconds_of
from kling_async.wire.endpoints.base import sources_of

CACHE_SIZE: Final = 64  # files; the largest take some megabytes each

_VIDEO_SIDE: Final = 480  # pixels of the longer side of a video, whose frames are not compressed
_FRAMES: Final = 8  # of a video of any length


def require_pillow() -> None:
    """
    Raises:
        ImportError: Pillow is missing; the message has the command that installs it.
    """
    if importlib.util.find_spec("PIL") is None:
        raise ImportError('the emulator draws with Pillow: pip install "kling-async[emulator]"')


class Renderer:
    """
    Renders pictures, videos and sounds. `Settings.picture_scale` shrinks what is drawn.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="kling-emulator-renderer")
        self._cache: OrderedDict[tuple[str, ResultFile], bytes] = OrderedDict()
        self._running: set[asyncio.Future[bytes]] = set()

    async def render(self, record: TaskRecord, file: ResultFile) -> bytes:
        """
        Return the content of one file of a task.
        """
        key = (record.task_id, file)
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        render = functools.partial(_render, record, file, self._settings)
        rendering = asyncio.get_running_loop().run_in_executor(self._threads, render)
        self._running.add(rendering)
        rendering.add_done_callback(self._running.discard)
        content = await rendering
        self._cache[key] = content
        while len(self._cache) > CACHE_SIZE:
            self._cache.popitem(last=False)
        return content

    async def aclose(self) -> None:
        """
        Finish the files that are being rendered, and start no others. Safe to call twice.
        """
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._running:
            await asyncio.wait(self._running)


def _render(record: TaskRecord, file: ResultFile, settings: Settings) -> bytes:
    seconds = seconds_of(record, settings)
    match file.kind:
        case "images":
            return _render_image(record, file, settings.picture_scale)
        case "videos":
            return _render_video(record, file, settings.picture_scale, seconds)
        case "audios":
            from kling_async.emulator.wav import write_wav  # noqa: PLC0415 (only where it is needed)

            return write_wav(seconds, record.seed + file.index)


def _render_image(record: TaskRecord, file: ResultFile, scale: float) -> bytes:
    from kling_async.emulator.drawing.picture import draw  # noqa: PLC0415 (needs the extra)

    aspect_ratio, resolution = _size_of(record)
    return draw(**_drawing_of(record, file), aspect_ratio=aspect_ratio, resolution=resolution, scale=scale)


def _render_video(record: TaskRecord, file: ResultFile, scale: float, seconds: float) -> bytes:
    from kling_async.emulator.drawing.camera import camera_frames  # noqa: PLC0415 (needs the extra)
    from kling_async.emulator.drawing.picture import draw_image, size_in_pixels  # noqa: PLC0415
    from kling_async.emulator.mp4 import write_mp4  # noqa: PLC0415

    sides = size_in_pixels(*_size_of(record))
    width, height = (max(16, round(side * scale * _VIDEO_SIDE / max(sides))) for side in sides)
    image = draw_image(**_drawing_of(record, file), size=(width, height))
    return write_mp4(camera_frames(image, _FRAMES), seconds)


def _size_of(record: TaskRecord) -> tuple[str, str]:
    # Other endpoints, and dialects derived with `attrs.evolve`, may allow sizes that cannot be drawn.
    from kling_async.emulator.drawing.picture import size_in_pixels  # noqa: PLC0415

    aspect_ratio = getattr(record.request, "aspect_ratio", None) or "16:9"
    resolution = getattr(record.request, "resolution", None) or "1k"
    try:
        size_in_pixels(aspect_ratio, resolution)
    except ValueError:
        return "16:9", "1k"
    return aspect_ratio, resolution


def _drawing_of(record: TaskRecord, file: ResultFile) -> dict[str, Any]:
    texts = sources_of(record.endpoint, record.request).values()
    pictures = (picture_of(text) for text in texts if isinstance(text, str))
    fidelity = getattr(record.request, "image_fidelity", None)
    return {
        "prompt": record.endpoint.caption(record.request),
        "index": file.index,
        "seed": record.seed,
        "model_name": record.model_name,
        "reference": next((picture for picture in pictures if picture is not None), None),
        "fidelity": 0.5 if fidelity is None else fidelity,
        "has_watermark": file.has_watermark,
    }
