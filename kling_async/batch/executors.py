"""
Where a function of a program's own works on pictures that were saved: `Batch.run(process=...)`.

An engine carries calls to where the cores are. The one here has processes on this machine, so that heavy work neither
blocks the event loop nor shares its core.
"""

import asyncio
import concurrent.futures
import contextlib
import io
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self, TypeAlias, runtime_checkable

import attrs

from kling_async.media.downloads import Downloads, FetchError, FetchRefused, Full, LinkExpired
from kling_async.media.naming import Names
from kling_async.media.saved_files import SavedFile
from kling_async.media.semaphore import Gate
from kling_async.media.shielding import shielded
from kling_async.media.storage import Storage, folder_and_keep, storage_of
from kling_async.policy.arguments import check_whole
from kling_async.policy.hosts import Network
from kling_async.policy.http import HttpOptions
from kling_async.wire.endpoints.image_generation import ImageRequest
from kling_async.wire.redaction import shorten
from kling_async.wire.tasks import Image

__all__ = [
    "Executor",
    "FetchError",
    "FetchRefused",
    "Full",
    "LinkExpired",
    "LocalExecutor",
    "PictureFacts",
    "Process",
    "RemoteExecutor",
    "WorkItem",
    "WorkResult",
    "carry_out",
    "pickled_value",
]

ATTEMPTS: Final = 2
"""
How often a call is made whose process dies under it, first among others, one of which may be to blame, and then alone.
"""
MAX_VALUE: Final = 2**26
"""
Bytes of a value: it comes through a scheduler, is held in memory, and goes into a journal.
"""
WORDS: Final = 1000
TRACE: Final = 10_000
"""
Characters that are kept of what a function raised, and of where it did: a row's failure goes into outcomes and logs.
"""


@attrs.frozen
class PictureFacts:
    """
    What a function is told of the picture that it gets.

    Attributes:
        key: Of the row, as the batch knows it.
        request: What was asked for, without a reference image.
        picture: Where it is kept, its index, size and digest.
    """

    key: str
    task_id: str
    request: ImageRequest
    picture: SavedFile


Process: TypeAlias = Callable[[Path | bytes, PictureFacts], Any]
"""
A function that can be pickled, as one at the top of a module can. It gets a picture as the path of its file, or as its
bytes where it went to a storage; what it returns is pickled too.
"""


@runtime_checkable
class Executor(Protocol):
    """
    Calls functions elsewhere.
    """

    async def check(self, function: Process | None, destination: Path | Storage) -> None:
        """
        See that *function* can be called elsewhere, before anything is sent that costs money.

        Args:
            function: None where pictures are saved only.
            shelf: The folder or the storage where they are to be.

        Raises:
            ValueError: It cannot; the text says why.
        """
        ...

    async def call(self, function: Process, source: Path | bytes, facts: PictureFacts) -> bytes:
        """
        Return what *function* returns, as `pickled_value` does, or raise what it raises. It may wait for its turn, and
        it may be that a call is made twice: a function should do no harm then. Cancelling drops what the function would
        return.
        """
        ...


@attrs.frozen
class WorkItem:
    """
    What is to be done about one picture elsewhere: it is fetched, where it is not kept yet, and shown to a function.

    All of it can be pickled. No key of the service is in it: the picture's URL is signed. `carry_out` does all of it.

    Attributes:
        key: Of its row, as is the task's id and the request, which has no reference image.
        image: Where it is to be fetched from; None where it is kept already.
        picture: As it is kept; None where it is to be fetched.
        names: Under which it is kept in the shelf.
        shelf: A folder, by its full path, or a storage.
        function: None where it is saved only.
        networks: Kinds of private network that the picture may come from: those where the service itself is.
    """

    key: str
    task_id: str
    request: ImageRequest
    image: Image | None
    picture: SavedFile | None
    names: Names
    destination: Path | Storage
    function: Process | None
    networks: frozenset[Network]

    def facts(self, picture: SavedFile) -> PictureFacts:
        """
        Return what the function is told of the picture.
        """
        return PictureFacts(self.key, self.task_id, self.request, picture)


@attrs.frozen
class WorkResult:
    """
    What came of an order.

    Attributes:
        picture: As it is kept, with what the function has made of it.
        failure: How the function failed, such as "LookupError: no foxes"; None where it did not.
        traceback: Where it failed.
    """

    picture: SavedFile
    failure: str | None = None
    traceback: str = ""


@runtime_checkable
class RemoteExecutor(Protocol):
    """
    An engine that fetches and keeps pictures as well, on machines of its own, so that their bytes never come here.

    An engine is one if it has these three methods, by `isinstance`, and then `call` of an `Executor` is never used.
    """

    @property
    def width(self) -> int:
        """
        How many orders it can use at one time, to be busy; it may change.
        """
        ...

    async def check(self, function: Process | None, destination: Path | Storage) -> None:
        """
        See that all this can be done there, before anything is sent that costs money.

        Raises:
            ValueError: It cannot; the text says why.
            EngineLost: There is nobody to ask.
        """
        ...

    async def carry(self, order: WorkItem) -> WorkResult:
        """
        Carry an order out. It may wait for its turn, and it may be that an order is carried out twice. Cancelling drops
        the outcome, while the picture may yet be kept.

        Raises:
            Lost: The picture could not be fetched or kept. It should be the very kind that `carry_out` raises:
            `LinkExpired`
                has the task read for a fresh address and the order given once more, `Full` ends the run.
            EngineLost: The engine is gone.
        """
        ...


def pickled_value(function: Process, source: Path | bytes, facts: PictureFacts) -> bytes:
    """
    Call *function*, and return its value pickled: made where the function is called, it is never unpickled on its way
    to the journal, and what cannot be pickled is the function's own failure.

    Raises:
        Exception: What the function raises; a RuntimeError with its text where that cannot travel to another process,
            or would mean something else to who waits for it.
    """
    try:
        return _pickled(function, source, facts)
    except Exception as error:
        if _can_travel(error):
            raise
        raise RuntimeError(in_words(error)) from error


def _pickled(function: Process, source: Path | bytes, facts: PictureFacts) -> bytes:
    try:
        pickled = pickle.dumps(function(source, facts))
    except SystemExit as error:
        raise RuntimeError(f"it called sys.exit({error.code!r})") from None  # else it would end who waits for it
    except _MISTAKEN as error:
        raise RuntimeError(f"it raised {in_words(error)}") from None
    if len(pickled) > MAX_VALUE:
        what = f"it returned {len(pickled)} bytes, pickled, and {MAX_VALUE} are the most"
        raise ValueError(f"{what}: write it to a file, and return where that is")
    return pickled


def value_of(pickled: bytes) -> Any:
    """
    Return what a function has returned, pickled by `pickled_value`.
    """
    return _Values(io.BytesIO(pickled)).load()


class _Values(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        # What another process calls a program's main module.
        return super().find_class("__main__" if module == "__mp_main__" else module, name)


_MISTAKEN: Final = (
    StopIteration,
    GeneratorExit,
    KeyboardInterrupt,
    asyncio.CancelledError,
    concurrent.futures.CancelledError,
    concurrent.futures.BrokenExecutor,
)
"""
What would mean something else to who waits: that it was cancelled itself, that its engine broke, or nothing at all.
"""


def _can_travel(error: Exception) -> bool:
    # Many cannot be unpickled, such as those that take other arguments than they show, and break a pool of processes.
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 (our own)
    except Exception:  # noqa: BLE001 (it can raise anything)
        return False
    return True


def in_words(error: BaseException) -> str:
    """
    Return what a function raised as a text of bounded length, whatever the error's own text may do.
    """
    try:
        text = str(error)
    except Exception as its_own:  # noqa: BLE001 (it can raise anything)
        text = f"(its text raises {type(its_own).__name__})"
    return f"{type(error).__name__}: {shorten(text, WORDS)}".removesuffix(": ")


async def carry_out(order: WorkItem, *, http: HttpOptions | None = None) -> WorkResult:
    """
    Do what an order says, in this process: what a carrier of your own runs where it has its machines. The function is
    called in a thread. Each order opens a connection of its own, and closes it; cancelling leaves no half picture, and
    lets a function that was begun end by itself.

    Args:
        http: How to connect; None is `HttpOptions()`.

    Raises:
        Lost: The picture could not be fetched or kept.
    """
    downloads = Downloads(http or HttpOptions(), networks=order.networks)
    try:
        picture = await kept(order, downloads)
    finally:
        await downloads.aclose()
    loop = asyncio.get_running_loop()

    def read() -> bytes:
        return asyncio.run_coroutine_threadsafe(content_of(order, picture), loop).result()

    return await asyncio.to_thread(seen, order, picture, read)


async def kept(order: WorkItem, downloads: Downloads, temp_dir: Path | None = None) -> SavedFile:
    """
    Fetch an order's picture, or return what is known of it if it is kept already. *spools* is the folder of this
    machine for what is on its way to a storage.
    """
    if order.image is None:
        if order.picture is None:
            raise AssertionError("a picture is to be fetched, or it is there")
        return order.picture
    return await downloads.keep(order.image, order.names, folder_and_keep(order.destination, temp_dir)[1])


async def content_of(order: WorkItem, picture: SavedFile) -> bytes:
    """
    Read a picture from the storage where it is kept.

    Raises:
        Lost: It cannot be read.
    """
    return await storage_of(order.destination, picture.place).read(picture.place)


def seen(order: WorkItem, picture: SavedFile, read: Callable[[], bytes]) -> WorkResult:
    """
    Call an order's function, if it has one, with a picture's path, or with what *read* returns, unless it is
    `FetchError`.
    """
    if order.function is None:
        return WorkResult(picture)
    try:
        source = picture.path or read()
    except FetchError as lost:
        return WorkResult(picture, str(lost))
    try:
        pickled = _pickled(order.function, source, order.facts(picture))
    except Exception as error:  # noqa: BLE001 (a function of the program's can raise anything)
        return WorkResult(picture, in_words(error), traceback.format_exc()[-TRACE:])
    return WorkResult(attrs.evolve(picture, pickled=pickled))


class LocalExecutor:
    """
    Processes on this machine, begun as they are needed; lives in `async with`.

    Each is a fresh Python that loads the program's main module as well as the function's, so that the program begins
    under `if __name__ == "__main__":`, wherever the function is. A process that dies is replaced, and its calls are
    made again, at last each in a process of its own.

    Args:
        workers: How many; None for one on each core.
    """

    def __init__(self, workers: int | None = None) -> None:
        if workers is not None:
            check_whole("workers", workers)
        self._workers = workers or os.cpu_count() or 1
        self._turn = Gate(2 * self._workers)  # a picture may be bytes: few lie about
        self._pool: concurrent.futures.ProcessPoolExecutor | None = None
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<LocalEngine {'closed' if self._is_closed else 'open'}, workers {self._workers}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """
        End the processes; calls under way are ended first. Safe to call twice.
        """
        self._is_closed = True
        pool, self._pool = self._pool, None
        if pool is not None:
            await shielded(asyncio.to_thread(pool.shutdown, cancel_futures=True))

    async def check(self, function: Process | None, destination: Path | Storage) -> None:  # noqa: ARG002 (all places will do)
        """
        See that another process can load *function*: one is begun for it, and kept.

        Raises:
            RuntimeError: The engine is closed.
            ValueError: It cannot, or there is no function: saving alone is no work for an engine of this kind.
        """
        if function is None:
            raise ValueError("an engine has nothing to do without `process=`")
        is_of_main = getattr(function, "__module__", None) == "__main__"
        if is_of_main and not hasattr(sys.modules["__main__"], "__file__"):
            what = "`process=` was defined in an interpreter or a notebook, which other processes cannot load"
            raise ValueError(f"{what}: put it into a module of its own")
        at_the_top = "`process=` must be a function at the top of a module, so that it can be called elsewhere"
        try:
            pickled = pickle.dumps(function)
        except Exception as error:  # noqa: BLE001 (what cannot be pickled raises anything)
            raise ValueError(f"{at_the_top}: {error}") from None
        try:
            complaint = await asyncio.get_running_loop().run_in_executor(self._open(), _complaint, pickled)
        except concurrent.futures.BrokenExecutor:
            self._pool = None
            guard = 'a program that calls functions elsewhere must begin under `if __name__ == "__main__":`'
            raise ValueError(f"{at_the_top}. A process that loads it dies; {guard}") from None
        if complaint is not None:
            raise ValueError(f"{at_the_top}: {complaint}")

    async def call(self, function: Process, source: Path | bytes, facts: PictureFacts) -> bytes:
        """
        Return what *function* returns, pickled, or raise what it raises.

        Raises:
            RuntimeError: The engine is closed.
            BrokenExecutor: The process died under this call again and again, at last one of its own.
        """
        async with self._turn:
            for _ in range(ATTEMPTS):
                pool = self._open()
                try:
                    return await _result_of(pool, function, source, facts)
                except concurrent.futures.BrokenExecutor:  # by this call or by another
                    if self._pool is pool:
                        self._pool = None
            for _ in range(ATTEMPTS - 1):
                with contextlib.suppress(concurrent.futures.BrokenExecutor):
                    return await _alone(function, source, facts)
            return await _alone(function, source, facts)

    def _open(self) -> "concurrent.futures.ProcessPoolExecutor":  # in quotes: it is loaded where one is begun
        if self._is_closed:
            raise RuntimeError("this engine is closed; make a new one")
        if self._pool is None:
            self._pool = _fresh(self._workers)
        return self._pool


def _fresh(workers: int) -> "concurrent.futures.ProcessPoolExecutor":
    import multiprocessing  # noqa: PLC0415 (most batches call no function)

    context = multiprocessing.get_context("spawn")  # a fork would take threads and locks along
    # Ctrl-C in a terminal is for the program, which may end in good order.
    return concurrent.futures.ProcessPoolExecutor(
        workers, context, initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN)
    )


def _complaint(pickled: bytes) -> str | None:
    try:
        pickle.loads(pickled)  # noqa: S301 (our own)
    except Exception as error:  # noqa: BLE001 (a module that is loaded can raise anything)
        return in_words(error)
    return None


async def _alone(function: Process, source: Path | bytes, facts: PictureFacts) -> bytes:
    # Where it can break nothing but itself.
    pool = _fresh(1)
    try:
        return await _result_of(pool, function, source, facts)
    finally:
        await shielded(asyncio.to_thread(pool.shutdown, cancel_futures=True))


async def _result_of(
    pool: "concurrent.futures.ProcessPoolExecutor", function: Process, source: Path | bytes, facts: PictureFacts
) -> bytes:
    return await asyncio.get_running_loop().run_in_executor(pool, pickled_value, function, source, facts)
