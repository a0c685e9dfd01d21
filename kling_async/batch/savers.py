"""
How a batch's files are saved and given to a function: by this process, or by a `RemoteExecutor`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import attrs

from kling_async.batch.executors import Executor, RemoteExecutor, WorkItem, WorkResult
from kling_async.batch.function_calls import FileInfo, Process, describe_error
from kling_async.batch.records import Row
from kling_async.client.client import KlingClient
from kling_async.errors import ExecutorLost, ProcessFailed
from kling_async.media.destinations import (
    Destination,
    destination_at,
    make_staging_dir,
    remove_staging_dir,
    storage_of,
)
from kling_async.media.fetch_errors import FetchError
from kling_async.media.naming import ROW_FIELDS, NameTemplate
from kling_async.media.saved_files import FileKey, SavedFile, key_of
from kling_async.media.saving import SaveOutcome
from kling_async.media.storage import Storage
from kling_async.wire.endpoints.registry import caption_of, without_files
from kling_async.wire.tasks import File, TaskResult

__all__ = ["CollidingKeys", "LocalSaver", "RemoteSaver", "Saver", "all_of", "check_saving"]

VISIBILITY_CHECKS: Final = 6
FIRST_DELAY: Final = 0.1
"""
How often this process checks for the first file that a remote executor has saved, and the seconds between the first two
times; each further delay is twice as long.
"""

T = TypeVar("T")
_log = logging.getLogger(__name__)


async def check_saving(
    save_to: str | Path | Storage, process: Process | None, executor: Executor | RemoteExecutor | None
) -> Destination:
    """
    Return where files are saved, after checking that they can be saved there and the function can be called.

    Raises:
        ImportError: A library for the storage is missing.
        ValueError: It is not a place for files, or the executor cannot do its work.
        OSError: The storage refuses a file.
    """
    destination = destination_at(save_to)
    is_remote = isinstance(executor, RemoteExecutor)
    if isinstance(destination, Storage):
        await destination.check(writes=not is_remote)
    if executor is not None:
        await executor.check(process, destination)
    # other processes have other working directories
    return destination.absolute() if is_remote and isinstance(destination, Path) else destination


@attrs.define(eq=False, repr=False)
class CollidingKeys:
    """
    Finds rows whose key equals that of an earlier row on some file systems, so that both would be saved to one file.

    The result depends on the order in which rows were added, not on the order in which they end: every run chooses the
    same names. *ask* is `Journal.colliding_keys`; it is called again for rows that were added later.
    """

    _ask: Callable[[], Awaitable[tuple[frozenset[int], int]]]
    _found: frozenset[int] = attrs.field(default=frozenset(), init=False)
    _last: int = attrs.field(default=-1, init=False)
    _asking: asyncio.Lock = attrs.field(factory=asyncio.Lock, init=False)

    async def include(self, position: int) -> bool:
        """
        Return whether the row at *position* is one of them.
        """
        async with self._asking:
            if position > self._last:
                self._found, self._last = await self._ask()
        return position in self._found


@attrs.define(eq=False, repr=False, kw_only=True)
class Saver:
    """
    The common part of both savers; used in `async with` for one run.

    Attributes:
        name: The template of file names.
        mark: The journal's id: partial files of another journal are not touched.
        function: Gets each file once it is saved; None if there is none.
        colliding_keys: Rows whose key by itself is not a safe file name.
    """

    client: KlingClient
    destination: Destination
    name: str
    mark: str
    function: Process | None
    colliding_keys: CollidingKeys

    @property
    def width(self) -> int:
        """
        How many rows may be saved at a time, besides those that hold slots or wait for them.
        """
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    async def save(self, row: Row, result: TaskResult) -> SaveOutcome:
        """
        Save those files of a row that are not saved yet.
        """
        raise NotImplementedError

    async def value(self, row: Row, task_id: str, saved: SavedFile) -> bytes:
        """
        Return what the function returns for a saved file, pickled.

        Raises:
            ProcessFailed: The function failed.
        """
        raise NotImplementedError

    def check(self, count: int) -> None:
        """
        Refuse names that would be equal for two of a row's *count* files.
        """
        NameTemplate.trial(self.name, ROW_FIELDS).check(range(count))

    async def is_there(self, saved: SavedFile) -> bool:
        """
        Return whether a file is still where it was saved.

        Raises:
            OSError: The storage does not report it.
        """
        return await self._size(saved) == saved.size_in_bytes

    async def _size(self, saved: SavedFile) -> int | None:
        if saved.path is not None:
            return await asyncio.to_thread(_size_of, saved.path)
        try:
            return await storage_of(self.destination, saved.place).size(saved.place)
        except FetchError as error:
            raise OSError(str(error)) from None

    async def _names(self, row: Row, task_id: str) -> NameTemplate:
        has_colliding_key = "{key" in self.name and await self.colliding_keys.include(row.position)
        return NameTemplate(
            self.name,
            task_id,
            row.key,
            row.position + 1,
            caption_of(row.request),
            has_colliding_key=has_colliding_key,
            mark=self.mark,
        )


@attrs.define(eq=False, repr=False, kw_only=True)
class LocalSaver(Saver):
    """
    Saves files in this process; an executor calls the function.
    """

    executor: Executor

    @property
    def width(self) -> int:
        return 8

    async def save(self, row: Row, result: TaskResult) -> SaveOutcome:
        names = await self._names(row, result.task_id)
        return await self.client.core.files.save(
            result,
            self.destination,
            names,
            skip={file.key for file in row.files},
        )

    async def value(self, row: Row, task_id: str, saved: SavedFile) -> bytes:
        if self.function is None:
            raise AssertionError("there is no function")
        info = FileInfo(row.key, task_id, without_files(row.request), saved)
        try:
            source = saved.path or await storage_of(self.destination, saved.place).read(saved.place)
        except FetchError as error:
            raise _process_failed(str(error), task_id, saved) from None
        try:
            return await self.executor.call(self.function, source, info)
        except Exception as error:
            raise _process_failed(describe_error(error), task_id, saved) from error


@attrs.define(eq=False, repr=False, kw_only=True)
class RemoteSaver(Saver):
    """
    Lets a remote executor download and save files and call the function.
    """

    executor: RemoteExecutor
    _failed: dict[tuple[str, FileKey], WorkResult] = attrs.field(factory=dict, init=False)  # function failed
    _is_visible: bool = attrs.field(default=False, init=False)

    @property
    def width(self) -> int:
        return self.executor.width

    async def __aenter__(self) -> Self:
        await self._remove_staging_dir()  # of an earlier run that was killed: the results of its workers are lost
        await make_staging_dir(self.destination, self._staging_dir)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._remove_staging_dir()

    async def save(self, row: Row, result: TaskResult) -> SaveOutcome:
        async def save(file: File) -> SavedFile | FetchError:
            try:
                done = await self._execute(row, result.task_id, file=file)
            except FetchError as error:
                return error
            if done.failure is not None:
                self._failed[result.task_id, key_of(file)] = done
            return done.saved

        async def fetch(files: Sequence[File]) -> Sequence[SavedFile | FetchError]:
            return await all_of(map(save, files))

        names = await self._names(row, result.task_id)
        return await self.client.core.files.save_remotely(result, names, fetch, skip={file.key for file in row.files})

    async def value(self, row: Row, task_id: str, saved: SavedFile) -> bytes:
        done = self._failed.pop((task_id, saved.key), None)
        try:
            done = done or await self._execute(row, task_id, saved=saved)
        except FetchError as error:
            raise _process_failed(str(error), task_id, saved) from None
        if done.saved.pickled is None:
            failed = _process_failed(str(done.failure), task_id, saved)
            failed.add_note(done.traceback)
            raise failed
        return done.saved.pickled

    async def _execute(
        self, row: Row, task_id: str, *, file: File | None = None, saved: SavedFile | None = None
    ) -> WorkResult:
        item = WorkItem(
            key=row.key,
            task_id=task_id,
            request=without_files(row.request),
            file=file,
            saved=saved,
            names=attrs.evolve(await self._names(row, task_id), staging_dir=self._staging_dir),
            destination=self.destination,
            function=self.function,
            networks=await self.client.core.files.networks(),
        )
        done = await self.executor.execute(item)
        if not self._is_visible:
            await self._check_visible(done.saved, task_id)
        return done

    async def _check_visible(self, saved: SavedFile, task_id: str) -> None:
        # It may take some time until a file that one machine has written is visible to another.
        for delay in (*(FIRST_DELAY * 2**number for number in range(VISIBILITY_CHECKS - 1)), None):
            try:
                if await self._size(saved) is not None:  # of any size: a function may have changed it
                    self._is_visible = True
                    return
            except OSError as error:
                _log.debug("not_visible", extra={"reason": str(error)})
                return  # the storage does not report it: it may report the next file
            if delay is not None:
                await asyncio.sleep(delay)
        what = f"{saved.place} was saved by the executor, but this process does not see it"
        raise ExecutorLost(f"{what}: save to a folder that all machines share, or to a storage", task_id)

    @property
    def _staging_dir(self) -> str:
        return f".kling-{self.mark}"

    async def _remove_staging_dir(self) -> None:
        try:
            await remove_staging_dir(self.destination, self._staging_dir)
        except Exception as error:  # noqa: BLE001 (leftovers are harmless, and each storage has its own errors)
            _log.debug("staging_dir_not_removed", extra={"reason": type(error).__name__})


async def all_of(works: Iterable[Awaitable[T]]) -> list[T]:
    """
    Return what all of *works* return, in their order; if some fail, raise the first error when all have ended.
    """
    aio_tasks = [asyncio.ensure_future(work) for work in works]
    await asyncio.gather(*aio_tasks, return_exceptions=True)
    return [aio_task.result() for aio_task in aio_tasks]


def _process_failed(reason: str, task_id: str, saved: SavedFile) -> ProcessFailed:
    return ProcessFailed(f"process failed on {saved.place}: {reason}", task_id, index=saved.index)


def _size_of(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
