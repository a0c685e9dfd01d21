"""
Executors: where the files of a batch are processed by a function of the program, and perhaps downloaded as well.

An `Executor` only calls the function, for `Batch.run(process=...)`; `LocalExecutor` is one. A `RemoteExecutor` also
downloads and saves the files on its own machines, such as those of a Dask cluster.
"""

import asyncio
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

import attrs

from kling_async.batch.function_calls import FileInfo, Process, call_pickled, describe_error, pickled_result
from kling_async.batch.local_executor import LocalExecutor
from kling_async.media.destinations import Destination, storage_of
from kling_async.media.downloads import Downloads
from kling_async.media.fetch_errors import DiskFull, FetchError, FetchRefused, LinkExpired
from kling_async.media.naming import NameTemplate
from kling_async.media.saved_files import SavedFile
from kling_async.policy.host_networks import Network
from kling_async.policy.http import HttpOptions
from kling_async.wire.tasks import File

__all__ = [
    "DiskFull",
    "Executor",
    "FetchError",
    "FetchRefused",
    "FileInfo",
    "LinkExpired",
    "LocalExecutor",
    "Process",
    "RemoteExecutor",
    "WorkItem",
    "WorkResult",
    "call_pickled",
    "execute",
]

MAX_TRACEBACK: Final = 10_000
"""
Characters of a function's traceback that are kept: the error of a row goes into outcomes and logs.
"""


@runtime_checkable
class Executor(Protocol):
    """
    Calls functions elsewhere.
    """

    async def check(self, function: Process | None, destination: Destination) -> None:
        """
        Check that *function* can be called elsewhere, before anything is sent that costs money.

        Args:
            function: None if files are only saved.
            destination: The folder or the storage where they are saved.

        Raises:
            ValueError: It cannot be called there; the text says why.
        """
        ...

    async def call(self, function: Process, source: Path | bytes, info: FileInfo) -> bytes:
        """
        Return what *function* returns, as `call_pickled` does, or raise what it raises. It may wait for a free worker.
        A call may run twice, so calling the function again should do no harm. Cancelling drops the return value.
        """
        ...


@attrs.frozen
class WorkItem:
    """
    One file to be processed elsewhere: it is downloaded and saved, unless it is saved already, and then given to a
    function. `execute` does all of it.

    All of it can be pickled. It holds no key of the service: the file's URL is signed.

    Attributes:
        key: The row's key.
        request: The row's request, without its input files.
        file: The file to download; None if it is saved already.
        saved: The saved file; None if it is to be downloaded.
        names: Names of the task's files in the destination.
        destination: A folder, by its full path, or a storage.
        function: None if the file is only saved.
        networks: Kinds of private network that the file may come from: those of the service itself.
    """

    key: str
    task_id: str
    request: Any
    file: File | None
    saved: SavedFile | None
    names: NameTemplate
    destination: Destination
    function: Process | None
    networks: frozenset[Network]

    def info(self, saved: SavedFile) -> FileInfo:
        """
        Return what the function gets besides the file.
        """
        return FileInfo(self.key, self.task_id, self.request, saved)


@attrs.frozen
class WorkResult:
    """
    The result of a work item.

    Attributes:
        saved: The saved file, with the function's pickled return value.
        failure: The function's error, such as "LookupError: no foxes"; None if it returned.
        traceback: Of the function's error.
    """

    saved: SavedFile
    failure: str | None = None
    traceback: str = ""


@runtime_checkable
class RemoteExecutor(Protocol):
    """
    Downloads, saves and processes files on its own machines, so that their content never passes through this one.

    Any object with these three methods is one, by `isinstance`. `Executor.call` is then never used.
    """

    @property
    def width(self) -> int:
        """
        The number of work items at a time that keeps it busy; it may change.
        """
        ...

    async def check(self, function: Process | None, destination: Destination) -> None:
        """
        Check that all this works there, before anything is sent that costs money.

        Raises:
            ValueError: It does not; the text says why.
            ExecutorLost: There are no workers.
        """
        ...

    async def execute(self, item: WorkItem) -> WorkResult:
        """
        Execute a work item. It may wait for a free worker, and an item may be executed twice. Cancelling drops the
        result, while the file may still be saved.

        Raises:
            FetchError: The file could not be downloaded or saved. Raise the same class as the function `execute`
                does: after `LinkExpired` the task is read for a fresh URL and the item is executed again; `DiskFull`
                ends the run.
            ExecutorLost: The executor has failed.
        """
        ...


async def execute(item: WorkItem, *, http: HttpOptions | None = None) -> WorkResult:
    """
    Execute a work item in this process: for your own executors, which run it on their machines. The function is
    called in a thread. Each item opens a connection, and closes it. Cancelling leaves no partial file; a running
    function continues to its end.

    Args:
        http: How to connect; None is `HttpOptions()`.

    Raises:
        FetchError: The file could not be downloaded or saved.
    """
    downloads = Downloads(http or HttpOptions(), networks=item.networks)
    try:
        saved = await fetch_file(item, downloads)
    finally:
        await downloads.aclose()
    loop = asyncio.get_running_loop()

    def read() -> bytes:
        return asyncio.run_coroutine_threadsafe(read_content(item, saved), loop).result()

    return await asyncio.to_thread(call_function, item, saved, read)


async def fetch_file(item: WorkItem, downloads: Downloads, temp_dir: Path | None = None) -> SavedFile:
    """
    Download and save an item's file, unless it is saved already.

    Args:
        temp_dir: Folder of this machine for a file on its way to a storage; None is the system's.
    """
    if item.file is None:
        if item.saved is None:
            raise AssertionError("the file is saved, or it is to be downloaded")
        return item.saved
    return await downloads.save_file(item.file, item.destination, item.names, temp_dir=temp_dir)


async def read_content(item: WorkItem, saved: SavedFile) -> bytes:
    """
    Read a file from the storage where it is saved.

    Raises:
        FetchError: It cannot be read.
    """
    return await storage_of(item.destination, saved.place).read(saved.place)


def call_function(item: WorkItem, saved: SavedFile, read: Callable[[], bytes]) -> WorkResult:
    """
    Call an item's function, if it has one, with the file's path, or with what *read* returns.
    """
    if item.function is None:
        return WorkResult(saved)
    try:
        source = saved.path or read()
    except FetchError as error:
        return WorkResult(saved, str(error))
    try:
        pickled = pickled_result(item.function, source, item.info(saved))
    except Exception as error:  # noqa: BLE001 (the program's function can raise anything)
        return WorkResult(saved, describe_error(error), traceback.format_exc()[-MAX_TRACEBACK:])
    return WorkResult(attrs.evolve(saved, pickled=pickled))
