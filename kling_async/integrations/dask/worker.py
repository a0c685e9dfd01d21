"""
What runs on a Dask worker.
"""

import asyncio
import concurrent.futures
import functools
import pickle
import threading
import time
from pathlib import Path
from typing import Any, Final

import attrs
from distributed import Worker, get_worker

from kling_async import __version__
from kling_async.batch.executors import WorkItem, WorkResult, call_function, fetch_file, read_content
from kling_async.integrations.dask.chunks import Chunk, ChunkResult, Probe
from kling_async.media.downloads import Downloads
from kling_async.media.fetch_errors import FetchError, FetchRefused
from kling_async.media.saved_files import SavedFile
from kling_async.media.storage import Storage
from kling_async.policy.host_networks import Network
from kling_async.policy.http import HttpOptions
from kling_async.wire.redaction import hide_secrets

__all__ = ["find_problem", "run_chunk"]

DOWNLOADS_PER_THREAD: Final = 8
"""
Downloads at a time for each thread of a worker.
"""
IDLE_TIMEOUT: Final = 1.0
"""
Seconds without a download after which connections are closed, so that none is open when the worker ends.
"""


def find_problem(probe: Probe) -> str | None:
    """
    Return what this worker cannot do, such as "does not see /shared"; None if it can do its work.
    """
    if probe.version != __version__:
        return f"has kling-async {__version__}, while this program has {probe.version}: both need the same"
    try:
        _, destination = pickle.loads(probe.content)  # noqa: S301 (from the program that started the work)
        if isinstance(destination, Storage):
            asyncio.run(destination.check())
    except Exception as error:  # noqa: BLE001 (a module that is loaded can raise anything)
        return f"cannot load its work: {type(error).__name__}: {hide_secrets(str(error), limit=300)}"
    if probe.mark is not None and not probe.mark.exists():
        return f"does not see {probe.mark.parent}: save to a folder that all machines share, or to a storage"
    return None


def run_chunk(chunk: Chunk) -> ChunkResult:
    """
    Execute the items of a chunk: files are downloaded side by side, and the function is called in Dask's thread, for
    each file once it is saved.
    """
    began, called = time.perf_counter(), 0.0
    try:
        http, items = pickle.loads(chunk.content)  # noqa: S301 (from the program that started the work)
    except Exception as error:  # noqa: BLE001 (a module that is loaded can raise anything)
        what = f"a Dask worker cannot load its work: {type(error).__name__}: {hide_secrets(str(error))}"
        return ChunkResult([FetchRefused(what) for _ in range(chunk.count)], 0.0, 0.0)
    worker, downloader = get_worker(), _downloader()
    numbers = {downloader.submit(downloader.fetch(item, http, worker)): number for number, item in enumerate(items)}
    results: dict[int, WorkResult | FetchError] = {}
    for fetched in concurrent.futures.as_completed(numbers):
        number, started = numbers[fetched], time.perf_counter()
        results[number] = _result_of(items[number], fetched, downloader)
        called += time.perf_counter() - started
    return ChunkResult([results[number] for number in range(len(items))], time.perf_counter() - began, called)


def _result_of(
    item: WorkItem, fetched: "concurrent.futures.Future[SavedFile]", downloader: "_Downloader"
) -> WorkResult | FetchError:
    try:
        saved = fetched.result()
    except FetchError as error:
        return error
    return call_function(item, saved, lambda: downloader.submit(read_content(item, saved)).result())


@attrs.define(eq=False)
class _Downloader:
    """
    A worker's event loop, in a thread, with connections that are kept from chunk to chunk.
    """

    _loop: asyncio.AbstractEventLoop = attrs.field(factory=asyncio.new_event_loop, init=False)
    _downloads: dict[tuple[HttpOptions, frozenset[Network]], Downloads] = attrs.field(factory=dict, init=False)
    _running: int = attrs.field(default=0, init=False)
    _closing_timer: asyncio.TimerHandle | None = attrs.field(default=None, init=False)
    _closing: "set[asyncio.Task[None]]" = attrs.field(factory=set, init=False)

    def __attrs_post_init__(self) -> None:
        threading.Thread(target=self._loop.run_forever, name="kling-downloader", daemon=True).start()

    def submit(self, work: Any) -> "concurrent.futures.Future[Any]":
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def fetch(self, item: WorkItem, http: HttpOptions, worker: Worker) -> SavedFile:
        self._running += 1
        if self._closing_timer is not None:
            self._closing_timer.cancel()
        options = (http, item.networks)
        downloads = self._downloads.get(options)
        if downloads is None:
            width = DOWNLOADS_PER_THREAD * worker.state.nthreads
            downloads = self._downloads[options] = Downloads(http, networks=item.networks, width=width)
        try:
            return await fetch_file(item, downloads, Path(worker.local_directory))  # emptied by Dask if a worker dies
        finally:
            self._running -= 1
            if not self._running:
                self._closing_timer = self._loop.call_later(IDLE_TIMEOUT, self._close)

    def _close(self) -> None:
        for downloads in self._downloads.values():
            self._closing.add(closing := self._loop.create_task(downloads.aclose()))
            closing.add_done_callback(self._closing.discard)
        self._downloads.clear()


_lock: Final = threading.Lock()


def _downloader() -> _Downloader:
    with _lock:  # without the lock, `cache` may call it twice
        return _make_downloader()


@functools.cache
def _make_downloader() -> _Downloader:
    return _Downloader()
