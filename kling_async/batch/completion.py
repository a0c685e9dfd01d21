"""
The outcomes of rows: saves the files of a task, calls the function on each, and returns `Done` or `Failed`.
"""

from collections.abc import Callable, Iterable

import attrs

from kling_async.batch.function_calls import describe_error, unpickle_value
from kling_async.batch.journal import Journal
from kling_async.batch.records import Row, State
from kling_async.batch.savers import Saver, all_of
from kling_async.client.outcomes import Done, Failed
from kling_async.errors import KlingError, ProcessFailed, StorageFull
from kling_async.media.saved_files import SavedFile
from kling_async.wire.endpoints.base import TaskRequest, with_sources
from kling_async.wire.endpoints.registry import endpoint_of
from kling_async.wire.tasks import TaskResult, TaskSnapshot

__all__ = ["Outcomes", "make_done", "read_request"]


@attrs.frozen(eq=False, repr=False)
class Outcomes:
    """
    Creates the outcomes of one run.
    """

    journal: Journal
    saver: Saver | None
    clock: Callable[[], float]

    async def save(self, row: Row, snapshot: TaskSnapshot) -> Done | Failed:
        """
        Save the files of the task of *row*, and return the outcome.

        Raises:
            StorageFull: There is no room.
        """
        saver, files = self.saver, list(row.files)
        if saver is None:
            return make_done(row, await read_request(row, self.journal), snapshot, ())
        if row.state is not State.SAVED:  # otherwise the function has not been called for all files
            result = _result_of(row, snapshot)
            saved = await saver.save(row, result)
            order = {(file.kind, file.index): number for number, file in enumerate(result.files)}
            files = sorted([*files, *saved.files], key=lambda file: order.get(file.key, len(order)))
            await self.journal.save(row.position, saved.files, self.clock(), is_all=saved.error is None)
            if isinstance(saved.error, StorageFull):
                raise saved.error
            if saved.error is not None:
                return await self.failed(row, saved.error)
        if saver.function is not None:
            try:
                files = await all_of(self._process(saver, row, snapshot.task_id, file) for file in files)
            except ProcessFailed as error:
                return await self.failed(row, error)
        return make_done(row, await read_request(row, self.journal), snapshot, files)

    async def failed(self, row: Row, error: KlingError) -> Failed:
        """
        Return the outcome of a row that failed.
        """
        return Failed(row.position, row.key, await read_request(row, self.journal), error)

    async def _process(self, saver: Saver, row: Row, task_id: str, file: SavedFile) -> SavedFile:
        # Return the file with the value of the function.
        if file.pickled is not None:
            return file
        pickled = await saver.value(row, task_id, file)
        await self.journal.save_value(row.position, file, pickled)
        return attrs.evolve(file, pickled=pickled)


async def read_request(row: Row, journal: Journal) -> TaskRequest:
    """
    Return the request of *row*, including the files that the journal holds.
    """
    kept = {place: file.sha256 for place, file in row.inputs.items() if file.is_kept}
    if not kept:
        return row.request
    files = {place: await journal.read_input(sha256) for place, sha256 in kept.items()}
    return with_sources(endpoint_of(type(row.request)), row.request, files)


def make_done(row: Row, request: TaskRequest, snapshot: TaskSnapshot, files: Iterable[SavedFile]) -> Done | Failed:
    """
    Make the outcome of a row whose task has succeeded; `Failed` if the values of its files cannot be loaded.
    """
    saved = tuple(files)
    paths = tuple(file.path for file in saved if file.path is not None)
    pickled = [file.pickled for file in saved if file.pickled is not None]
    try:
        value = tuple(map(unpickle_value, pickled)) if saved and len(pickled) == len(saved) else None
    except Exception as error:  # noqa: BLE001 (a module that is loaded can raise anything)
        what = "the value that `process=` returned is in the journal, and cannot be loaded here"
        return Failed(
            row.position, row.key, request, ProcessFailed(f"{what}: {describe_error(error)}", snapshot.task_id)
        )
    return Done(row.position, row.key, request, _result_of(row, snapshot), paths, value, saved)


def _result_of(row: Row, snapshot: TaskSnapshot) -> TaskResult:
    endpoint = endpoint_of(type(row.request))
    return TaskResult.of(
        snapshot, endpoint=endpoint.name, prompt=endpoint.caption(row.request), number=row.position + 1
    )
