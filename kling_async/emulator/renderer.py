"""
Where pictures are drawn: in threads of its own, and kept for a while since they are often fetched twice.
"""

import asyncio
import functools
import importlib.util
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from kling_async.emulator.account import TaskRecord
from kling_async.emulator.input_files import bytes_of

KEPT: Final = 64
"""
Pictures; the largest take some megabytes each.
"""


def require_pillow() -> None:
    """
    Raises:
        ImportError: Nothing can be drawn; the message names the command that helps.
    """
    if importlib.util.find_spec("PIL") is None:
        raise ImportError('the emulator draws with Pillow: pip install "kling-async[emulator]"')


class Renderer:
    """
    Draws the pictures of tasks. `scale` shrinks them all.
    """

    def __init__(self, scale: float) -> None:
        self._scale = scale
        self._threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="kling-emulator-studio")
        self._kept: OrderedDict[tuple[str, int, bool], bytes] = OrderedDict()
        self._drawing: set[asyncio.Future[bytes]] = set()

    async def picture(self, record: TaskRecord, index: int, *, has_watermark: bool = False) -> bytes:
        """
        Return the PNG of one picture of a task, or of its copy with a watermark.
        """
        key = (record.task_id, index, has_watermark)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        paint = functools.partial(_paint, record, index, self._scale, has_watermark=has_watermark)
        drawing = asyncio.get_running_loop().run_in_executor(self._threads, paint)
        self._drawing.add(drawing)
        drawing.add_done_callback(self._drawing.discard)
        picture = await drawing
        self._kept[key] = picture
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return picture

    async def aclose(self) -> None:
        """
        Draw what is begun to its end, and nothing more. Safe to call twice.
        """
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._drawing:
            await asyncio.wait(self._drawing)


def _paint(record: TaskRecord, index: int, scale: float, *, has_watermark: bool) -> bytes:
    from kling_async.emulator.drawing.picture import draw  # noqa: PLC0415 (needs the extra)

    request = record.request
    aspect_ratio, resolution = _known_size(request.aspect_ratio or "16:9", request.resolution or "1k")
    return draw(
        request.prompt,
        index=index,
        seed=record.picture_seed,
        model_name=record.model_name,
        aspect_ratio=aspect_ratio,
        resolution=resolution,
        reference=bytes_of(request.image) if isinstance(request.image, str) else None,
        fidelity=0.5 if request.image_fidelity is None else request.image_fidelity,
        scale=scale,
        has_watermark=has_watermark,
    )


def _known_size(aspect_ratio: str, resolution: str) -> tuple[str, str]:
    # A dialect made by `attrs.evolve` may allow sizes that the painter has not heard of.
    from kling_async.emulator.drawing.picture import size_in_pixels  # noqa: PLC0415

    try:
        size_in_pixels(aspect_ratio, resolution)
    except ValueError:
        return "16:9", "1k"
    return aspect_ratio, resolution
