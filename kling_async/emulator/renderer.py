"""
Renders the files of tasks in threads, and caches them for a while, since they are often fetched twice.
"""

import asyncio
import functools
import threading
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from kling_async.emulator.account import Account
from kling_async.emulator.file_rendering import render_file, render_plain, urls_in
from kling_async.emulator.result_files import ResultFile
from kling_async.emulator.task_record import TaskRecord
from kling_async.emulator.video_spec import VideoStopped

CACHE_SIZE: Final = 64  # files; the largest take some megabytes each


class Renderer:
    """
    Renders pictures, videos and sounds of an account. `Settings.picture_scale` shrinks what is drawn. Plain pictures
    are made at once, since a thread would cost more.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self._threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="kling-emulator-renderer")
        self._closing = threading.Event()
        self._cache: OrderedDict[tuple[str, ResultFile], bytes] = OrderedDict()
        self._running: dict[tuple[str, ResultFile], asyncio.Task[bytes]] = {}

    async def render(self, record: TaskRecord, file: ResultFile) -> bytes:
        """
        Return the content of one file of a task. Requests at the same time share the work.
        """
        if file.kind == "images" and self._account.settings.pictures == "plain":
            return render_plain(record, file, self._account.settings.picture_scale)
        key = (record.task_id, file)
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        if key not in self._running:
            self._running[key] = asyncio.create_task(self._render(record, file))
            self._running[key].add_done_callback(lambda _: self._running.pop(key))
        return await asyncio.shield(self._running[key])

    async def aclose(self) -> None:
        """
        Finish pictures and sounds that are being rendered, stop videos, and start no others. Safe to call twice.
        """
        self._closing.set()
        await asyncio.sleep(0)  # what was just asked for reaches its thread
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._running:
            await asyncio.wait(self._running.values())

    async def _render(self, record: TaskRecord, file: ResultFile) -> bytes:
        links = {url: await self.render(*made) for url, made in self._own_pictures(record)}
        render = functools.partial(render_file, record, file, self._account.settings, links, self._closing.is_set)
        try:
            content = await asyncio.get_running_loop().run_in_executor(self._threads, render)
        except VideoStopped:
            raise asyncio.CancelledError from None
        self._cache[record.task_id, file] = content
        while len(self._cache) > CACHE_SIZE:
            self._cache.popitem(last=False)
        return content

    def _own_pictures(self, record: TaskRecord) -> Iterator[tuple[str, tuple[TaskRecord, ResultFile]]]:
        # Pictures that the account made, and whose URLs the request has. Their tasks are older, so this ends.
        for url in urls_in(record):
            place = self._account.urls.find(url)
            made = self._account.find_task(place[0]) if place else None
            if place and made and place[1].kind == "images" and made.ordinal < record.ordinal:
                yield url, (made, place[1])
