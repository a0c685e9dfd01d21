"""
A batch's pictures fetched, kept and seen by the workers of a Dask cluster:
`batch.run(executor=DaskExecutor(dask_client))`.

The program that has the journal, the *driver*, still submits and waits for all tasks: slots are few, and waiting is
cheap. What goes to the workers is where pictures lie, and what comes back is where they are kept; their bytes pass
through neither driver nor scheduler. Workers know no key of the service.
"""

import asyncio
import collections
import concurrent.futures
import contextlib
import functools
import logging
import math
import pickle
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from ssl import SSLContext
from types import TracebackType
from typing import Any, Final, Self

import attrs

from kling_async import __version__
from kling_async.batch.executors import Process, WorkItem, WorkResult, content_of, kept, seen
from kling_async.errors import ExecutorLost
from kling_async.media.downloads import Downloads, FetchError, FetchRefused
from kling_async.media.saved_files import SavedFile
from kling_async.media.storage import Storage
from kling_async.policy.arguments import check_seconds
from kling_async.policy.hosts import Network
from kling_async.policy.http import HttpOptions
from kling_async.wire.redaction import hide_secrets

try:
    import cloudpickle
    from distributed import CancelledError as WorkCancelled, Client, Future, KilledWorker, Worker, get_worker
except ImportError:
    raise ImportError(
        'kling_async.integrations.dask needs Dask: pip install "kling-async[dask]"', name="distributed"
    ) from None

__all__ = ["DaskExecutor"]

SECONDS: Final = 1.0
"""
Of work in one chunk, as far as the chunks before it tell: much longer than Dask takes to hand it out, and so short that
little is done twice when a worker dies.
"""
FIRST_CHUNK: Final = 4
MOST_IN_CHUNK: Final = 32
AHEAD: Final = 2
"""
Chunks in flight for each thread of a worker: one that it works on, and one that waits for it.
"""
STREAMS: Final = 8
"""
Pictures that come at one time for each thread of a worker.
"""
MAX_FUNCTION: Final = 2**22
"""
Bytes of a function, with what it refers to, where its module does not lie on the workers.
"""
CUTS: Final = 10
"""
How often a chunk is sent whose work is lost on the way, with the connection or by somebody's hand.
"""
PAUSE: Final = 0.05
RECONNECT: Final = 120.0
"""
Seconds for Dask to connect again; it gives up earlier, unless it was told otherwise.
"""
MEASURE_EVERY: Final = 5.0
TELL_EVERY: Final = 10.0
NO_WORKER: Final = 600.0
"""
Default number of seconds without a worker after which a run is given up. Most clusters start new workers sooner.
"""
IDLE: Final = 1.0
DIED: Final = "the Dask workers died under it again and again"

_log = logging.getLogger(__name__)


class DaskExecutor:
    """
    The workers of a Dask cluster; lives in `async with`, and is given to `Batch.run(executor=...)`.

        async with Client("tcp://host:8786", asynchronous=True) as dask_client, DaskEngine(dask_client) as engine:
            async for outcome in batch.run(save_to="s3://bucket/run-7", engine=engine):
                ...

    Pictures go in chunks of about a second's work, two in flight for each thread of a worker; more wait here, and with
    them their rows. A chunk whose worker dies is carried out by another; a picture that kills every worker which takes
    it fails alone. When the connection to the scheduler is lost, what was in flight is sent again once it is back.

    Workers and scheduler need this package in the same version, with the extras `dask` and, for a storage, `storage`.
    The names of Dask's tasks are made from ids of tasks, so that a dashboard shows no URL. Options of a `Storage` go to
    the workers, keys in them included; where the storage's library finds keys by itself there need be none.

    Args:
        dask_client: A client that was made with `asynchronous=True`, borrowed.
        http: How workers connect to where pictures are; those of `KlingClient` are the driver's alone.
        no_worker_timeout: Seconds to wait while no worker runs, or the scheduler does not tell of any. The log says so
            meanwhile; then all orders end with EngineLost. None waits for ever, for workers that queue for hours.

    Raises:
        ValueError: The client is not asynchronous, `http.ssl` is a context, which cannot travel, or `no_worker_timeout`
            is neither None nor a finite number above 0.
    """

    def __init__(
        self, dask_client: Client, *, http: HttpOptions | None = None, no_worker_timeout: float | None = NO_WORKER
    ) -> None:
        if not dask_client.asynchronous:
            raise ValueError("dask_client blocks; make it in a coroutine, by Client(address, asynchronous=True)")
        http = http or HttpOptions()
        if isinstance(http.ssl, SSLContext):
            told = "http.ssl is a context, which cannot travel to workers; it can be True or False"
            raise ValueError(told)  # noqa: TRY004 (a client would take it)
        if no_worker_timeout is not None:
            check_seconds("no_worker_timeout", no_worker_timeout)
        self._client = dask_client
        self._http = http
        self._waiting: collections.deque[_Waiting] = collections.deque()
        self._no_worker_timeout = no_worker_timeout
        self._in_flight: dict[asyncio.Task[None], Sequence[_Waiting]] = {}
        self._asking: set[asyncio.Future[Any]] = set()
        self._threads = 1
        self._measured_at = -math.inf
        self._chunk = FIRST_CHUNK
        self._sent_so_far = 0
        self._mark = secrets.token_hex(4)  # two engines' chunks have keys of their own
        self._quarantine = asyncio.Lock()
        self._is_rung = False
        self._is_closed = False
        self._watching: asyncio.Task[None] | None = None
        self._loss: ExecutorLost | None = None

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else "open"
        return f"<DaskEngine {state}, {len(self._in_flight)} chunks in flight, {len(self._waiting)} pictures waiting>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """
        Take back what is in flight; what a worker is at it ends, with nobody to tell of it. Who waits for an order gets
        EngineLost. Safe to call twice.
        """
        self._is_closed = True
        for waiting in self._waiting:
            waiting.fail(ExecutorLost("the engine was closed"))
        self._waiting.clear()
        left = [*self._in_flight, *self._asking, *([self._watching] if self._watching is not None else [])]
        for aio_task in left:
            aio_task.cancel()
        if left:
            await asyncio.wait(left)

    @property
    def width(self) -> int:
        """
        How many pictures it can use at one time, to be busy; it follows the number of workers.
        """
        return self._most * self._chunk

    async def check(self, function: Process | None, destination: Path | Storage) -> None:
        """
        See that a worker can do this: it has this package, can load *function*, and sees the folder, or has the
        storage's library. It waits until there is a worker, for `no_worker_timeout`, and says so in the log. One worker
        is asked for all, since more may come later; what another cannot do fails in its rows.

        Raises:
            ValueError: It cannot; the text says why.
            EngineLost: The engine was closed, the scheduler does not answer, or there was no worker in time.
            OSError: The folder cannot be written.
        """
        self._refuse_if_closed()
        try:
            content = cloudpickle.dumps((function, destination))
        except Exception as error:  # noqa: BLE001 (what cannot be pickled raises anything)
            what = f"`process=` or `save_to=` holds what cannot travel to workers: {type(error).__name__}: {error}"
            raise ValueError(what) from None
        if len(content) > MAX_FUNCTION:
            what = f"`process=` holds {len(content)} bytes, sent with each chunk, and {MAX_FUNCTION} are the most"
            raise ValueError(f"{what}: put it into a module that workers have, and load there what is large")
        with _seen_by_others(destination) as mark:
            probe = _Probe(__version__, content, mark)
            asking = asyncio.ensure_future(self._result_of(_complaint, probe, f"check-{self._mark}"))
            try:
                self._asking.add(asking)
                self._watch()
                while not (await asyncio.wait([asking], timeout=TELL_EVERY))[0]:
                    _log.warning("no Dask worker has answered yet")
                self._refuse_if_closed()
                if asking.cancelled() and self._loss is not None:
                    raise attrs.evolve(self._loss)
                complaint = asking.result()
            except KilledWorker:
                complaint = "dies when it loads what it is to do"
            finally:
                self._asking.discard(asking)
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
        if complaint is not None:
            raise ValueError(f"A Dask worker {complaint}.")
        await self._measure()

    async def carry(self, order: WorkItem) -> WorkResult:
        """
        Have a picture fetched and kept, and seen by the function.

        Raises:
            Lost: The picture could not be fetched or kept.
            EngineLost: The engine was closed, the scheduler is gone, no worker ran for `no_worker_timeout`, or the
                workers cannot do this at all.
        """
        self._refuse_if_closed()
        waiting = _Waiting(order)
        self._waiting.append(waiting)
        self._ring()
        return await waiting.outcome

    def _refuse_if_closed(self) -> None:
        if self._is_closed:
            raise ExecutorLost("this engine is closed; make a new one")

    @property
    def _most(self) -> int:
        return AHEAD * max(self._threads, 1)

    def _ring(self) -> None:
        # Later: what comes in the same breath goes into one chunk.
        if not self._is_rung:
            self._is_rung = True
            asyncio.get_running_loop().call_soon(self._feed)

    def _feed(self) -> None:
        self._is_rung = False
        while (free := self._most - len(self._in_flight)) > 0 and (chunk := self._next_chunk(free)):
            aio_task = asyncio.ensure_future(self._serve(chunk))
            self._in_flight[aio_task] = chunk
            self._watch()
            aio_task.add_done_callback(functools.partial(self._landed, chunk))
            for waiting in chunk:
                waiting.outcome.add_done_callback(functools.partial(_drop, aio_task, chunk))

    def _next_chunk(self, free: int) -> "list[_Waiting]":
        # No larger than that every free place has some, and of one function: it may be one that cannot travel.
        size = min(self._chunk, math.ceil(len(self._waiting) / free))
        chunk: list[_Waiting] = []
        others: list[_Waiting] = []
        while self._waiting and len(chunk) < size:
            waiting = self._waiting.popleft()
            if waiting.outcome.done():  # nobody waits any more
                continue
            is_alike = not chunk or waiting.order.function is chunk[0].order.function
            (chunk if is_alike else others).append(waiting)
        self._waiting.extendleft(reversed(others))
        return chunk

    def _landed(self, chunk: "Sequence[_Waiting]", aio_task: "asyncio.Task[None]") -> None:
        self._in_flight.pop(aio_task, None)
        for waiting in chunk:  # where it was cancelled, even before it began
            waiting.fail(ExecutorLost("the engine was closed"))
        if self._waiting:
            self._ring()

    async def _serve(self, chunk: "Sequence[_Waiting]") -> None:
        try:
            outcomes = await self._carried([waiting.order for waiting in chunk])
        except Exception as error:  # noqa: BLE001 (whatever it is, those who wait must learn of it)
            lost = error if isinstance(error, ExecutorLost) else _cannot(error)
            for waiting in chunk:
                waiting.fail(attrs.evolve(lost))
        else:
            for waiting, outcome in zip(chunk, outcomes, strict=True):
                waiting.end(outcome)
            if asyncio.get_running_loop().time() - self._measured_at > MEASURE_EVERY:
                await self._measure()

    async def _carried(self, orders: Sequence[WorkItem]) -> Sequence[WorkResult | FetchError]:
        try:
            return await self._sent(orders)
        except KilledWorker:
            _log.warning("workers died under %s", _key(orders))
        # One of them may be to blame, or none: a worker dies under all that it has in hand.
        return [await self._alone(order) for order in orders]

    async def _alone(self, order: WorkItem) -> WorkResult | FetchError:
        # One at a time, so that it harms no other of its kind.
        async with self._quarantine:
            outcome = await self._sent_alone(order)
            if outcome is None and order.function is not None:  # which may be to blame, and the picture can be kept
                unseen = attrs.evolve(order, function=None)
                kept = WorkResult(order.picture) if order.picture is not None else await self._sent_alone(unseen)
                outcome = attrs.evolve(kept, failure=DIED) if isinstance(kept, WorkResult) else kept
            return outcome or FetchRefused(DIED)

    async def _sent_alone(self, order: WorkItem) -> WorkResult | FetchError | None:
        # None where workers die under it.
        try:
            [outcome] = await self._sent([order])
        except KilledWorker:
            return None
        return outcome

    async def _sent(self, orders: Sequence[WorkItem]) -> Sequence[WorkResult | FetchError]:
        chunk = _Chunk(len(orders), cloudpickle.dumps((self._http, orders)))
        did: _Did = await self._result_of(_work, chunk, _key(orders))
        self._chunk = _size_after(did, self._chunk)
        return did.outcomes

    async def _result_of(self, work: Callable[[Any], Any], argument: object, name: str) -> Any:
        reason: Exception | None = None
        for _ in range(CUTS):
            if self._client.status not in ("running", "connecting", "newly-created"):
                raise ExecutorLost(
                    "the client of the Dask cluster is closed"
                )  # else it is accepted, and never answered
            self._sent_so_far += 1
            key = ("kling-pictures", name, f"{self._mark}-{self._sent_so_far}")
            try:
                return await _answer(self._client.submit(work, argument, key=key, pure=False))
            except (WorkCancelled, OSError) as error:
                # The second where a connection is lost while the result comes; or of the work itself, on a worker that
                # is not well, and then another may do it.
                reason = error
                await self._connected()
            except KilledWorker:
                raise
            except Exception as error:  # noqa: BLE001 (Dask raises anything)
                raise _cannot(error) from None
        raise _cannot(reason or AssertionError("it was never tried"))

    async def _connected(self) -> None:
        await asyncio.sleep(PAUSE)  # it may not have seen yet that its connection is lost
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RECONNECT):
                while self._client.status == "connecting":  # noqa: ASYNC110 (Dask tells nobody)
                    await asyncio.sleep(PAUSE)
        if self._client.status != "running":
            raise ExecutorLost("the connection to the Dask scheduler is lost, and does not come back")

    async def _measure(self) -> None:
        self._measured_at = asyncio.get_running_loop().time()
        threads = await self._running_threads()
        if threads is not None:
            self._threads = threads

    async def _running_threads(self) -> int | None:
        # None if the scheduler does not answer. Workers that are closing, or paused for lack of memory, do not count.
        try:
            async with asyncio.timeout(TELL_EVERY):
                scheduler: Any = self._client.scheduler
                workers: dict[str, int] = await scheduler.ncores_running()
        except Exception as error:  # noqa: BLE001 (Dask raises anything, and it is asked again)
            _log.debug("the Dask scheduler does not tell its workers", extra={"reason": type(error).__name__})
            return None
        return sum(workers.values())

    def _watch(self) -> None:
        if self._watching is None or self._watching.done():
            self._watching = asyncio.ensure_future(self._watch_workers())

    async def _watch_workers(self) -> None:
        # When a cluster has lost its last worker, Dask waits without end and raises nothing.
        clock, limit = asyncio.get_running_loop().time, self._no_worker_timeout
        pause = TELL_EVERY if limit is None else min(TELL_EVERY, limit / 2)
        since: float | None = None
        while self._in_flight or self._asking:
            threads = await self._running_threads()
            if threads:
                since = None
            else:
                since = clock() if since is None else since
                what = (
                    "the Dask cluster has no running worker" if threads == 0 else "the Dask scheduler does not answer"
                )
                if limit is not None and clock() - since >= limit:
                    self._lose(ExecutorLost(f"{what}, for {limit:g} s (no_worker_timeout); begin some, and run again"))
                    return
                _log.warning("%s, for %.0f s now; %s", what, clock() - since, _until(limit))
            await asyncio.sleep(pause)

    def _lose(self, loss: ExecutorLost) -> None:
        self._loss = loss
        for aio_task, chunk in tuple(self._in_flight.items()):
            for waiting in chunk:
                waiting.fail(attrs.evolve(loss))
            aio_task.cancel()
        for waiting in self._waiting:
            waiting.fail(attrs.evolve(loss))
        self._waiting.clear()
        for asking in self._asking:
            asking.cancel()


@attrs.define(eq=False)
class _Waiting:
    """
    An order, and who waits for its outcome.
    """

    order: WorkItem
    outcome: "asyncio.Future[WorkResult]" = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.outcome = asyncio.get_running_loop().create_future()

    def end(self, outcome: WorkResult | FetchError) -> None:
        if isinstance(outcome, FetchError):
            self.fail(outcome)
        elif not self.outcome.done():
            self.outcome.set_result(outcome)

    def fail(self, error: Exception) -> None:
        if not self.outcome.done():
            self.outcome.set_exception(error)


async def _answer(future: "Future[Any]") -> Any:
    # Cancelled, Dask's own wait would take along others that share it; released, it ends by itself.
    reading = asyncio.ensure_future(_result(future))
    try:
        await asyncio.wait([reading])
    except asyncio.CancelledError:
        reading.add_done_callback(lambda done: done.cancelled() or done.exception())
        future.release()  # type: ignore[no-untyped-call]
        raise
    return reading.result()


async def _result(future: "Future[Any]") -> Any:
    return await future


def _size_after(did: "_Did", size: int) -> int:
    """
    Return how many pictures go into the next chunk, after one of those that had *size* at most.
    """
    count, seconds = len(did.outcomes), max(did.seconds, 0.001)
    ideal = int(SECONDS * count / seconds)
    if seconds < SECONDS:
        ideal = max(ideal, count + 1)  # it may have been the way, which more would share
    if count < size:
        ideal = max(ideal, size)  # for the same reason few do not tell how long many take
    if did.called:
        ideal = min(ideal, int(SECONDS * count / did.called))  # while the function is called for one at a time
    return max(1, min(ideal, 2 * size, MOST_IN_CHUNK))


def _until(limit: float | None) -> str:
    return "it waits for ever" if limit is None else f"it is given up after {limit:g} s"


def _cannot(error: Exception) -> ExecutorLost:
    told = hide_secrets(str(error).strip(), limit=300)
    return ExecutorLost(f"the Dask cluster cannot do the work: {type(error).__name__}: {told}")


def _drop(aio_task: "asyncio.Task[None]", chunk: Sequence[_Waiting], _: object) -> None:
    # A chunk that nobody waits for is not sent, or taken back.
    if all(waiting.outcome.cancelled() for waiting in chunk):
        aio_task.cancel()


def _key(orders: Sequence[WorkItem]) -> str:
    first, others = orders[0].task_id, len(orders) - 1
    return f"{first}+{others}" if others else first


@contextlib.contextmanager
def _seen_by_others(destination: Path | Storage) -> Iterator[Path | None]:
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


# On a worker


@attrs.frozen
class _Chunk:
    """
    Orders on their way; the scheduler need not read them, and no log or dashboard shows them.
    """

    count: int
    content: bytes = attrs.field(repr=False)


@attrs.frozen
class _Probe:
    """
    What a worker is asked before anything is sent that costs money.
    """

    version: str
    content: bytes = attrs.field(repr=False)
    mark: Path | None


def _complaint(probe: _Probe) -> str | None:
    if probe.version != __version__:
        return f"has kling-async {__version__}, while this program has {probe.version}: both need the same"
    try:
        _, destination = pickle.loads(probe.content)  # noqa: S301 (the driver is who tells workers what to do)
        if isinstance(destination, Storage):
            asyncio.run(destination.check())
    except Exception as error:  # noqa: BLE001 (a module that is loaded can raise anything)
        return f"cannot load what it is to do: {type(error).__name__}: {hide_secrets(str(error), limit=300)}"
    if probe.mark is not None and not probe.mark.exists():
        return f"does not see {probe.mark.parent}: save to a folder that all machines share, or to a storage"
    return None


@attrs.frozen
class _Did:
    """
    What came of a chunk.

    Attributes:
        seconds: That it took.
        called: Seconds of these in which the function was at it.
    """

    outcomes: Sequence[WorkResult | FetchError]
    seconds: float
    called: float


def _work(chunk: _Chunk) -> _Did:
    # Pictures are fetched side by side; the function is called here, in Dask's thread, as they come.
    begun, called = time.perf_counter(), 0.0
    try:
        http, orders = pickle.loads(chunk.content)  # noqa: S301 (the driver is who tells workers what to do)
    except Exception as error:  # noqa: BLE001 (a module that is loaded can raise anything)
        what = f"a Dask worker cannot load what it is to do: {type(error).__name__}: {hide_secrets(str(error))}"
        return _Did([FetchRefused(what) for _ in range(chunk.count)], 0.0, 0.0)
    worker, fetching = get_worker(), _fetching()
    places = {fetching.begin(fetching.keep(order, http, worker)): index for index, order in enumerate(orders)}
    outcomes: dict[int, WorkResult | FetchError] = {}
    for work in concurrent.futures.as_completed(places):
        index, come = places[work], time.perf_counter()
        outcomes[index] = _outcome(orders[index], work, fetching)
        called += time.perf_counter() - come
    return _Did([outcomes[index] for index in range(len(orders))], time.perf_counter() - begun, called)


def _outcome(
    order: WorkItem, work: "concurrent.futures.Future[SavedFile]", fetching: "_Fetching"
) -> WorkResult | FetchError:
    try:
        picture = work.result()
    except FetchError as lost:
        return lost
    return seen(order, picture, lambda: fetching.begin(content_of(order, picture)).result())


@attrs.define(eq=False)
class _Fetching:
    """
    A worker's loop, in a thread of its own, with connections that are kept from chunk to chunk.
    """

    _loop: asyncio.AbstractEventLoop = attrs.field(factory=asyncio.new_event_loop, init=False)
    _downloads: dict[tuple[HttpOptions, frozenset[Network]], Downloads] = attrs.field(factory=dict, init=False)
    _users: int = attrs.field(default=0, init=False)
    _end: asyncio.TimerHandle | None = attrs.field(default=None, init=False)
    _closing: "set[asyncio.Task[None]]" = attrs.field(factory=set, init=False)

    def __attrs_post_init__(self) -> None:
        threading.Thread(target=self._loop.run_forever, name="kling-fetching", daemon=True).start()

    def begin(self, work: Any) -> "concurrent.futures.Future[Any]":
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def keep(self, order: WorkItem, http: HttpOptions, worker: Worker) -> SavedFile:
        self._users += 1
        if self._end is not None:
            self._end.cancel()
        terms = (http, order.networks)
        downloads = self._downloads.get(terms)
        if downloads is None:
            width = STREAMS * worker.state.nthreads
            downloads = self._downloads[terms] = Downloads(http, networks=order.networks, width=width)
        try:
            return await kept(order, downloads, Path(worker.local_directory))  # which Dask empties when a worker dies
        finally:
            self._users -= 1
            if not self._users:
                self._end = self._loop.call_later(IDLE, self._close)

    def _close(self) -> None:
        # Nothing is left open when a worker ends.
        for downloads in self._downloads.values():
            self._closing.add(closing := self._loop.create_task(downloads.aclose()))
            closing.add_done_callback(self._closing.discard)
        self._downloads.clear()


_lock: Final = threading.Lock()


def _fetching() -> _Fetching:
    with _lock:
        return _one_fetching()


@functools.cache
def _one_fetching() -> _Fetching:
    return _Fetching()
