"""
The executor of a Dask cluster.

The program that has the journal, the *driver*, submits and polls all tasks: slots are few, and polling is cheap. What
goes to the workers is URLs, and what comes back is where the files are saved; their content passes through neither
driver nor scheduler. Workers have no key of the service.
"""

import asyncio
import collections
import contextlib
import functools
import itertools
import logging
import math
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from ssl import SSLContext
from typing import Any, Final, Self

import attrs
import cloudpickle
from distributed import Client, KilledWorker

from kling_async import __version__
from kling_async.batch.executors import Process, WorkItem, WorkResult
from kling_async.errors import ExecutorLost
from kling_async.integrations.dask.chunks import FIRST_SIZE, Chunk, ChunkResult, Probe, name_of, next_size
from kling_async.integrations.dask.cluster import SCHEDULER_TIMEOUT, DaskCluster, describe_failure
from kling_async.integrations.dask.worker import find_problem, run_chunk
from kling_async.media.destinations import Destination
from kling_async.media.fetch_errors import FetchError, FetchRefused
from kling_async.media.storage import Storage
from kling_async.policy.arguments import check_seconds
from kling_async.policy.http import HttpOptions
from kling_async.wire.async_with import UsedWithAsyncWith

__all__ = ["DaskExecutor"]

CHUNKS_PER_THREAD: Final = 2
"""
Chunks in flight for each thread of a worker: one that it works on, and one that waits for it.
"""
MAX_FUNCTION: Final = 2**22
"""
Bytes of a pickled function whose module is not installed on the workers, with what it refers to.
"""
MEASURE_INTERVAL: Final = 5.0
DEFAULT_NO_WORKER_TIMEOUT: Final = 600.0
"""
Seconds; most clusters start new workers sooner.
"""
DIED: Final = "the Dask workers died during it, each time"

_log = logging.getLogger(__name__)


class DaskExecutor(UsedWithAsyncWith):
    """
    The workers of a Dask cluster; used in `async with`, and passed to `Batch.run(executor=...)`.

        async with Client("tcp://host:8786", asynchronous=True) as dask_client, DaskExecutor(dask_client) as executor:
            async for outcome in batch.run(save_to="s3://bucket/run-7", executor=executor):
                ...

    Files go in chunks of about a second's work, two in flight for each thread of a worker; more wait here, and their
    rows wait with them. A chunk whose worker dies is executed by another worker. A file that kills each worker that
    processes it is the only one that fails. When the connection to the scheduler is lost, what was in flight is sent
    again once it is restored.

    Workers and scheduler need this package in the same version, with the extras `dask` and, for a storage, `storage`.
    The keys of Dask's tasks contain task ids, so that a dashboard shows no URL. Options of a `Storage` go to the
    workers, including credentials; there need be none if the storage's library finds them by itself.

    Args:
        dask_client: A client that was created with `asynchronous=True`; it is not closed.
        http: How workers connect for downloads; the options of `KlingClient` are only for the driver.
        no_worker_timeout: Seconds to wait while no worker runs, or the scheduler does not answer. The log says so
            meanwhile; then all work items fail with ExecutorLost. None waits for ever, for workers that queue for
            hours.

    Raises:
        ValueError: The client is not asynchronous, `http.ssl` is a context, which cannot be pickled, or
            `no_worker_timeout` is neither None nor a finite number above 0.
    """

    def __init__(
        self,
        dask_client: Client,
        *,
        http: HttpOptions | None = None,
        no_worker_timeout: float | None = DEFAULT_NO_WORKER_TIMEOUT,
    ) -> None:
        if not dask_client.asynchronous:
            raise ValueError("dask_client blocks; make it in a coroutine, by Client(address, asynchronous=True)")
        http = http or HttpOptions()
        if isinstance(http.ssl, SSLContext):
            what = "http.ssl is a context, which cannot be sent to workers; it can be True or False"
            raise ValueError(what)  # noqa: TRY004 (a client would take it)
        if no_worker_timeout is not None:
            check_seconds("no_worker_timeout", no_worker_timeout)
        self._cluster = DaskCluster(dask_client)
        self._http = http
        self._no_worker_timeout = no_worker_timeout
        self._queue: collections.deque[_PendingItem] = collections.deque()
        self._in_flight: dict[asyncio.Task[None], Sequence[_PendingItem]] = {}
        self._checks: set[asyncio.Future[Any]] = set()
        self._threads = 1
        self._measured_at = -math.inf
        self._chunk_size = FIRST_SIZE
        self._quarantine = asyncio.Lock()
        self._is_sending_scheduled = False
        self._is_closed = False
        self._watching: asyncio.Task[None] | None = None
        self._loss: ExecutorLost | None = None

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else "open"
        return f"<DaskExecutor {state}, {len(self._in_flight)} chunks in flight, {len(self._queue)} files waiting>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """
        Cancel what is in flight; a worker finishes what it has begun, and its result is dropped. Callers of `execute`
        get ExecutorLost. Safe to call twice.
        """
        self._is_closed = True
        for pending in self._queue:
            pending.fail(ExecutorLost("the executor was closed"))
        self._queue.clear()
        running = [*self._in_flight, *self._checks, *([self._watching] if self._watching is not None else [])]
        for aio_task in running:
            aio_task.cancel()
        if running:
            await asyncio.wait(running)

    @property
    def width(self) -> int:
        """
        The number of files at a time that keeps it busy; it follows the number of workers.
        """
        return self._max_chunks * self._chunk_size

    async def check(self, function: Process | None, destination: Destination) -> None:
        """
        Check that a worker can do its work: it has this package, can load *function*, and sees the folder, or has the
        storage's library. This waits until there is a worker, for `no_worker_timeout`, and says so in the log. Only one
        worker is asked, since more may come later; what another cannot do fails in its rows.

        Raises:
            ValueError: It cannot do the work; the text says why.
            ExecutorLost: The executor was closed, the scheduler does not answer, or there was no worker in time.
            OSError: The folder cannot be written.
        """
        self._raise_if_closed()
        content = _pickle_for_workers(function, destination)
        with _marked(destination) as mark:
            try:
                problem = await self._ask_worker(Probe(__version__, content, mark))
            except KilledWorker:
                problem = "dies when it loads its work"
        if problem is not None:
            raise ValueError(f"A Dask worker {problem}.")
        await self._measure()

    async def _ask_worker(self, probe: Probe) -> str | None:
        call = self._cluster.call(find_problem, probe, f"check-{self._cluster.mark}")
        asking = asyncio.ensure_future(call)
        try:
            self._checks.add(asking)
            self._watch()
            while not (await asyncio.wait([asking], timeout=SCHEDULER_TIMEOUT))[0]:
                _log.warning("no Dask worker has answered yet")
            self._raise_if_closed()
            if asking.cancelled() and self._loss is not None:
                raise attrs.evolve(self._loss)
            problem: str | None = asking.result()
            return problem
        finally:
            self._checks.discard(asking)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    async def execute(self, item: WorkItem) -> WorkResult:
        """
        Let a worker download and save a file, and call the function.

        Raises:
            FetchError: The file could not be downloaded or saved.
            ExecutorLost: The executor was closed, the scheduler is gone, no worker ran for `no_worker_timeout`, or the
                workers cannot do this at all.
        """
        self._raise_if_closed()
        pending = _PendingItem(item)
        self._queue.append(pending)
        self._schedule_sending()
        return await pending.result

    def _raise_if_closed(self) -> None:
        if self._is_closed:
            raise ExecutorLost("this executor is closed; create a new one")

    @property
    def _max_chunks(self) -> int:
        return CHUNKS_PER_THREAD * max(self._threads, 1)

    def _schedule_sending(self) -> None:
        # In the loop's next iteration, so that items that come together go into one chunk.
        if not self._is_sending_scheduled:
            self._is_sending_scheduled = True
            asyncio.get_running_loop().call_soon(self._send_chunks)

    def _send_chunks(self) -> None:
        self._is_sending_scheduled = False
        while (free := self._max_chunks - len(self._in_flight)) > 0:
            # So small that each free place gets some.
            chunk = _take_chunk(self._queue, min(self._chunk_size, math.ceil(len(self._queue) / free)))
            if not chunk:
                return
            aio_task = asyncio.ensure_future(self._run_chunk(chunk))
            self._in_flight[aio_task] = chunk
            self._watch()
            aio_task.add_done_callback(functools.partial(self._chunk_ended, chunk))
            for pending in chunk:
                pending.result.add_done_callback(functools.partial(_cancel_if_unwanted, aio_task, chunk))

    def _chunk_ended(self, chunk: "Sequence[_PendingItem]", aio_task: "asyncio.Task[None]") -> None:
        self._in_flight.pop(aio_task, None)
        for pending in chunk:  # no effect unless it was cancelled, perhaps before it began
            pending.fail(ExecutorLost("the executor was closed"))
        if self._queue:
            self._schedule_sending()

    async def _run_chunk(self, chunk: "Sequence[_PendingItem]") -> None:
        try:
            results = await self._results_of([pending.item for pending in chunk])
        except Exception as error:  # noqa: BLE001 (any error must reach the callers)
            loss = error if isinstance(error, ExecutorLost) else describe_failure(error)
            for pending in chunk:
                pending.fail(attrs.evolve(loss))
        else:
            for pending, result in zip(chunk, results, strict=True):
                pending.end(result)
            if asyncio.get_running_loop().time() - self._measured_at > MEASURE_INTERVAL:
                await self._measure()

    async def _results_of(self, items: Sequence[WorkItem]) -> Sequence[WorkResult | FetchError]:
        try:
            return await self._send(items)
        except KilledWorker:
            _log.warning("workers died during %s", name_of(items))
        # One of the items may be the cause, or none: a worker that dies takes all its chunks with it.
        return [await self._run_alone(item) for item in items]

    async def _run_alone(self, item: WorkItem) -> WorkResult | FetchError:
        # One at a time, so that an item that kills its worker affects no other.
        async with self._quarantine:
            result = await self._send_one(item)
            if result is None and item.function is not None:  # the function may be the cause: save the file without it
                saved = WorkResult(item.saved) if item.saved else await self._send_one(_without_function(item))
                result = attrs.evolve(saved, failure=DIED) if isinstance(saved, WorkResult) else saved
            return result or FetchRefused(DIED)

    async def _send_one(self, item: WorkItem) -> WorkResult | FetchError | None:
        # None if workers die during it.
        try:
            [result] = await self._send([item])
        except KilledWorker:
            return None
        return result

    async def _send(self, items: Sequence[WorkItem]) -> Sequence[WorkResult | FetchError]:
        chunk = Chunk(len(items), cloudpickle.dumps((self._http, items)))
        done: ChunkResult = await self._cluster.call(run_chunk, chunk, name_of(items))
        self._chunk_size = next_size(done, self._chunk_size)
        return done.results

    async def _measure(self) -> None:
        self._measured_at = asyncio.get_running_loop().time()
        threads = await self._cluster.running_threads()
        if threads is not None:
            self._threads = threads

    def _watch(self) -> None:
        if self._watching is None or self._watching.done():
            self._watching = asyncio.ensure_future(self._watch_workers())

    async def _watch_workers(self) -> None:
        loss = await self._cluster.watch(self._no_worker_timeout, lambda: bool(self._in_flight or self._checks))
        if loss is not None:
            self._fail_all(loss)

    def _fail_all(self, loss: ExecutorLost) -> None:
        self._loss = loss
        for pending in (*itertools.chain.from_iterable(self._in_flight.values()), *self._queue):
            pending.fail(attrs.evolve(loss))
        self._queue.clear()
        for aio_task in (*self._in_flight, *self._checks):
            aio_task.cancel()


@attrs.define(eq=False)
class _PendingItem:
    """
    A work item, and the future result that its caller waits for.
    """

    item: WorkItem
    result: "asyncio.Future[WorkResult]" = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.result = asyncio.get_running_loop().create_future()

    def end(self, result: WorkResult | FetchError) -> None:
        if isinstance(result, FetchError):
            self.fail(result)
        elif not self.result.done():
            self.result.set_result(result)

    def fail(self, error: Exception) -> None:
        if not self.result.done():
            self.result.set_exception(error)


def _take_chunk(queue: collections.deque[_PendingItem], size: int) -> list[_PendingItem]:
    # Of one function: it may be one that cannot be pickled.
    chunk: list[_PendingItem] = []
    others: list[_PendingItem] = []
    while queue and len(chunk) < size:
        pending = queue.popleft()
        if pending.result.done():  # its caller was cancelled
            continue
        is_alike = not chunk or pending.item.function is chunk[0].item.function
        (chunk if is_alike else others).append(pending)
    queue.extendleft(reversed(others))
    return chunk


def _pickle_for_workers(function: Process | None, destination: Destination) -> bytes:
    try:
        content: bytes = cloudpickle.dumps((function, destination))
    except Exception as error:  # noqa: BLE001 (what cannot be pickled raises anything)
        what = f"`process=` or `save_to=` cannot be sent to workers: {type(error).__name__}: {error}"
        raise ValueError(what) from None
    if len(content) > MAX_FUNCTION:
        what = f"`process=` holds {len(content)} bytes, sent with each chunk, of at most {MAX_FUNCTION}"
        raise ValueError(f"{what}: put it into a module that workers have, and load large data there")
    return content


@contextlib.contextmanager
def _marked(destination: Destination) -> Iterator[Path | None]:
    # A file in the folder, for a worker to find.
    if isinstance(destination, Storage):
        yield None
        return
    destination.mkdir(parents=True, exist_ok=True)
    mark = destination.absolute() / f".kling-{secrets.token_hex(8)}.check"
    mark.touch()
    try:
        yield mark
    finally:
        mark.unlink(missing_ok=True)


def _without_function(item: WorkItem) -> WorkItem:
    return attrs.evolve(item, function=None)


def _cancel_if_unwanted(aio_task: "asyncio.Task[None]", chunk: Sequence[_PendingItem], _: object) -> None:
    # A chunk whose callers were all cancelled is not sent, or taken back.
    if all(pending.result.cancelled() for pending in chunk):
        aio_task.cancel()
