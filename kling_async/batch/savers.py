"""
How a batch's pictures come to where they are kept, and before a function: by this process, or by an engine that carries
both out elsewhere.
"""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import attrs

from kling_async.batch.executors import Executor, PictureFacts, Process, RemoteExecutor, WorkItem, WorkResult, in_words
from kling_async.batch.records import Row
from kling_async.client.client import KlingClient
from kling_async.errors import ExecutorLost, ProcessFailed
from kling_async.media.downloads import FetchError, Saves, doubling
from kling_async.media.naming import Names
from kling_async.media.saved_files import SavedFile
from kling_async.media.storage import Storage, begin_drafts, folder_and_keep, storage_of, sweep
from kling_async.wire.tasks import Image, TaskResult

__all__ = ["CollidingKeys", "LocalSaver", "RemoteSaver", "Saver", "all_of"]

BESIDE: Final = 8
"""
How many rows may be saving their pictures here beside those that take and wait for slots.
"""
LOOKS: Final = 6
FIRST_LOOK: Final = 0.1
"""
Seconds between the first look at where an engine has kept its first picture and the second; each further delay is twice
as long.
"""

T = TypeVar("T")
_log = logging.getLogger(__name__)


@attrs.define(eq=False)
class CollidingKeys:
    """
    Finds rows whose key equals that of an earlier row on some file systems, so that both would be saved to one file.

    The result depends on the order in which rows were added, not on the order in which they end: every run chooses the
    same names. *ask* is `Journal.find_colliding_keys`; it is called again for rows that were added later.
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


@attrs.define(eq=False, kw_only=True)
class Saver:
    """
    What both ways share; lives in `async with` for one run.

    Attributes:
        name: The template of file names.
        mark: Of the journal: unfinished files of another are left alone.
        function: What sees each picture once it is kept; None where nothing does.
        colliding_keys: Rows whose key alone is not a safe file name.
    """

    client: KlingClient
    destination: Path | Storage
    name: str
    mark: str
    function: Process | None
    colliding_keys: CollidingKeys

    @property
    def width(self) -> int:
        """
        How many rows may be here beside those that take and wait for slots.
        """
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    async def save(self, row: Row, result: TaskResult) -> Saves:
        """
        Keep those pictures of a row that are not kept yet.
        """
        raise NotImplementedError

    async def value(self, row: Row, task_id: str, picture: SavedFile) -> bytes:
        """
        Return what the function makes of a picture that is kept, pickled.

        Raises:
            ProcessFailed: The function failed.
        """
        raise NotImplementedError

    def check(self, count: int) -> None:
        """
        Refuse names that would be those of two of a row's *count* pictures.
        """
        Names(Path(), self.name, "0", "0").check(range(count))

    async def is_there(self, picture: SavedFile) -> bool:
        """
        Tell whether a picture is still where it was kept.

        Raises:
            OSError: The storage does not tell.
        """
        return await self._size(picture) == picture.size_in_bytes

    async def _size(self, picture: SavedFile) -> int | None:
        if picture.path is not None:
            return await asyncio.to_thread(_size_of, picture.path)
        try:
            return await storage_of(self.destination, picture.place).size(picture.place)
        except FetchError as lost:
            raise OSError(str(lost)) from None

    async def _names(self, row: Row, task_id: str) -> Names:
        has_colliding_key = "{key" in self.name and await self.colliding_keys.include(row.position)
        folder = folder_and_keep(self.destination)[0]
        return Names(folder, self.name, task_id, row.key, has_colliding_key=has_colliding_key, mark=self.mark)


@attrs.define(eq=False, kw_only=True)
class LocalSaver(Saver):
    """
    By this process; functions are called by an engine.
    """

    executor: Executor

    @property
    def width(self) -> int:
        return BESIDE

    async def save(self, row: Row, result: TaskResult) -> Saves:
        names, have = await self._names(row, result.task_id), _indices(row)
        return await self.client.save_each(result, names, but=have, keep=folder_and_keep(self.destination)[1])

    async def value(self, row: Row, task_id: str, picture: SavedFile) -> bytes:
        if self.function is None:
            raise AssertionError("there is no function")
        facts = PictureFacts(row.key, task_id, attrs.evolve(row.request, image=None), picture)
        try:
            source = picture.path or await storage_of(self.destination, picture.place).read(picture.place)
        except FetchError as lost:
            raise _process_failed(str(lost), task_id, picture) from None
        try:
            return await self.executor.call(self.function, source, facts)
        except Exception as error:
            raise _process_failed(in_words(error), task_id, picture) from error


@attrs.define(eq=False, kw_only=True)
class RemoteSaver(Saver):
    """
    By an engine that fetches them, too.
    """

    carrier: RemoteExecutor
    _carried: dict[tuple[str, int], WorkResult] = attrs.field(factory=dict, init=False)  # on whose pictures it failed
    _is_seen: bool = attrs.field(default=False, init=False)

    @property
    def width(self) -> int:
        return self.carrier.width

    async def __aenter__(self) -> Self:
        await self._sweep()  # who was at it when an earlier run was killed has nobody to tell of it
        await begin_drafts(self.destination, self._drafts)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._sweep()

    async def save(self, row: Row, result: TaskResult) -> Saves:
        async def carry(image: Image) -> SavedFile | FetchError:
            try:
                carried = await self._carry(row, result.task_id, image=image)
            except FetchError as lost:
                return lost
            if carried.failure is not None:
                self._carried[result.task_id, image.index] = carried
            return carried.picture

        async def fetch(images: Sequence[Image]) -> Sequence[SavedFile | FetchError]:
            return await all_of(map(carry, images))

        names = await self._names(row, result.task_id)
        return await self.client.save_elsewhere(result, names, fetch, but=_indices(row))

    async def value(self, row: Row, task_id: str, picture: SavedFile) -> bytes:
        carried = self._carried.pop((task_id, picture.index), None)
        try:
            carried = carried or await self._carry(row, task_id, picture=picture)
        except FetchError as lost:
            raise _process_failed(str(lost), task_id, picture) from None
        if carried.picture.pickled is None:
            error = _process_failed(str(carried.failure), task_id, picture)
            error.add_note(carried.traceback)
            raise error
        return carried.picture.pickled

    async def _carry(
        self, row: Row, task_id: str, *, image: Image | None = None, picture: SavedFile | None = None
    ) -> WorkResult:
        order = WorkItem(
            key=row.key,
            task_id=task_id,
            request=attrs.evolve(row.request, image=None),
            image=image,
            picture=picture,
            names=attrs.evolve(await self._names(row, task_id), staging_dir=self._drafts),
            destination=self.destination,
            function=self.function,
            networks=await self.client.networks(),
        )
        carried = await self.carrier.carry(order)
        if not self._is_seen:
            await self._look_at(carried.picture, task_id)
        return carried

    async def _look_at(self, picture: SavedFile, task_id: str) -> None:
        # Some time may pass until what one machine has written is seen by another.
        for delay in (*itertools.islice(doubling(FIRST_LOOK), LOOKS - 1), None):
            try:
                if await self._size(picture) is not None:  # of any size: a function may have changed it
                    self._is_seen = True
                    return
            except OSError as error:
                _log.debug("not_seen", extra={"reason": str(error)})
                return  # the storage does not tell: the next picture may
            if delay is not None:
                await asyncio.sleep(delay)
        what = f"{picture.place} was kept by the engine, and is not there for this process"
        raise ExecutorLost(f"{what}: save to a folder that all machines share, or to a storage", task_id)

    @property
    def _drafts(self) -> str:
        return f".kling-{self.mark}"

    async def _sweep(self) -> None:
        try:
            await sweep(self.destination, self._drafts)
        except Exception as error:  # noqa: BLE001 (it is tidying, and each storage has errors of its own)
            _log.debug("not_swept", extra={"reason": type(error).__name__})


async def all_of(works: Iterable[Awaitable[T]]) -> list[T]:
    """
    Return what all of *works* return, in their order; where some fail, raise the first error when all have ended.
    """
    aio_tasks = [asyncio.ensure_future(work) for work in works]
    await asyncio.gather(*aio_tasks, return_exceptions=True)
    return [aio_task.result() for aio_task in aio_tasks]


def _indices(row: Row) -> set[int]:
    return {picture.index for picture in row.pictures}


def _process_failed(reason: str, task_id: str, picture: SavedFile) -> ProcessFailed:
    return ProcessFailed(f"process failed on {picture.place}: {reason}", task_id, index=picture.index)


def _size_of(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
