"""
The outcomes of rows: saves what a task made, calls the function on it, and makes `Done` or `Failed` of it.
"""

from collections.abc import Callable, Iterable

import attrs

from kling_async.batch.executors import in_words, value_of
from kling_async.batch.journal import Journal
from kling_async.batch.records import Row, State
from kling_async.batch.savers import Saver, all_of
from kling_async.client.outcomes import Done, Failed
from kling_async.errors import KlingError, ProcessFailed, StorageFull
from kling_async.media.saved_files import SavedFile
from kling_async.wire.endpoints.image_generation import ImageRequest
from kling_async.wire.tasks import TaskResult, TaskSnapshot

__all__ = ["Outcomes", "make_done", "read_request"]


@attrs.frozen(eq=False)
class Outcomes:
    """
    Makes the outcomes of one run.
    """

    journal: Journal
    saver: Saver | None
    clock: Callable[[], float]

    async def save(self, row: Row, snapshot: TaskSnapshot) -> Done | Failed:
        """
        Save what the task of *row* made, and return the outcome.

        Raises:
            StorageFull: There is no room.
        """
        saver, pictures = self.saver, list(row.pictures)
        if saver is None:
            return make_done(row, await read_request(row, self.journal), snapshot, ())
        if row.state is not State.SAVED:  # else the function has not seen all pictures
            saves = await saver.save(row, _result_of(snapshot))
            pictures = sorted([*pictures, *saves.pictures], key=lambda picture: picture.index)
            await self.journal.save(row.position, saves.pictures, self.clock(), is_all=saves.error is None)
            if isinstance(saves.error, StorageFull):
                raise saves.error
            if saves.error is not None:
                return await self.failed(row, saves.error)
        if saver.function is not None:
            try:
                pictures = await all_of(self._process(saver, row, snapshot.task_id, picture) for picture in pictures)
            except ProcessFailed as error:
                return await self.failed(row, error)
        return make_done(row, await read_request(row, self.journal), snapshot, pictures)

    async def failed(self, row: Row, error: KlingError) -> Failed:
        """
        Return the outcome of a row that failed.
        """
        return Failed(row.position, row.key, await read_request(row, self.journal), error)

    async def _process(self, saver: Saver, row: Row, task_id: str, picture: SavedFile) -> SavedFile:
        # Return the picture with the value of the function.
        if picture.pickled is not None:
            return picture
        pickled = await saver.value(row, task_id, picture)
        await self.journal.save_value(row.position, picture.index, pickled)
        return attrs.evolve(picture, pickled=pickled)


async def read_request(row: Row, journal: Journal) -> ImageRequest:
    """
    Return the request of *row* with the reference image that the journal holds.
    """
    if not row.is_image_kept or row.image_sha256 is None:
        return row.request
    return attrs.evolve(row.request, image=await journal.read_image(row.image_sha256))


def make_done(row: Row, request: ImageRequest, snapshot: TaskSnapshot, pictures: Iterable[SavedFile]) -> Done | Failed:
    """
    Make the outcome of a row whose task has succeeded; `Failed` where the values of its pictures cannot be loaded.
    """
    saved = tuple(pictures)
    paths = tuple(picture.path for picture in saved if picture.path is not None)
    pickled = [picture.pickled for picture in saved if picture.pickled is not None]
    try:
        value = tuple(map(value_of, pickled)) if saved and len(pickled) == len(saved) else None
    except Exception as error:  # noqa: BLE001 (a module that is loaded can raise anything)
        what = "the value that `process=` returned is in the journal, and cannot be loaded here"
        return Failed(row.position, row.key, request, ProcessFailed(f"{what}: {in_words(error)}", snapshot.task_id))
    return Done(row.position, row.key, request, _result_of(snapshot), paths, value, saved)


def _result_of(snapshot: TaskSnapshot) -> TaskResult:
    return TaskResult(snapshot.task_id, snapshot.task_result.images, snapshot)
