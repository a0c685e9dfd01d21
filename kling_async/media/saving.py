"""
Saving the files of one task: fresh URLs for those that have expired, and the outcome of all of them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TypeAlias

import attrs

from kling_async.errors import DownloadFailed, KlingError, StorageFull
from kling_async.media.fetch_errors import DiskFull, FetchError, FetchRefused, LinkExpired
from kling_async.media.naming import NameTemplate
from kling_async.media.saved_files import FileKey, SavedFile, key_of
from kling_async.media.urls import absolute
from kling_async.wire.tasks import File, TaskResult

__all__ = ["FetchFiles", "LinkRefresher", "SaveOutcome", "save_remotely", "summarize"]

FetchFiles: TypeAlias = Callable[[Sequence[File]], Awaitable[Sequence[SavedFile | FetchError]]]
"""
Saves these files; returns for each what was saved, or why it was not.
"""


@attrs.frozen
class SaveOutcome:
    """
    The outcome of saving a task's files: those that were saved, in their order, and why others were not.
    """

    files: tuple[SavedFile, ...]
    error: DownloadFailed | StorageFull | None = None


@attrs.define(eq=False, repr=False)
class LinkRefresher:
    """
    Reads the task again for fresh URLs: at most once for all files of one call.
    """

    _refresh: Callable[[], Awaitable[TaskResult]]
    _lock: asyncio.Lock = attrs.field(factory=asyncio.Lock, init=False)
    _urls: dict[FileKey, str] | None = attrs.field(default=None, init=False)
    _problem: str = attrs.field(default="the task no longer has this file", init=False)

    async def fresh_url(self, file: File, expired: LinkExpired) -> str:
        """
        Return the fresh URL of *file*.

        Raises:
            FetchRefused: There is none.
        """
        async with self._lock:
            urls = self._urls = await self._read() if self._urls is None else self._urls
        if key_of(file) not in urls:
            raise FetchRefused(f"{expired}; {self._problem}")
        return urls[key_of(file)]

    async def _read(self) -> dict[FileKey, str]:
        try:
            result = await self._refresh()
        except KlingError as error:
            self._problem = f"reading the task for a fresh address failed: {error}"
            return {}
        return {key_of(file): file.url for file in result.files}


async def save_remotely(
    result: TaskResult,
    names: NameTemplate,
    fetch: FetchFiles,
    *,
    refresh: Callable[[], Awaitable[TaskResult]],
    skip: Collection[FileKey] = (),
    base_url: str | None = None,
) -> SaveOutcome:
    """
    Do what `Downloads.save` does, with files that *fetch* saves elsewhere. There a task cannot be read for fresh URLs,
    and the *base_url* that a URL may be relative to is unknown.
    """
    names.check_files([key_of(file) for file in result.files])
    files = [_with_absolute_url(file, base_url) for file in result.files if key_of(file) not in skip]
    outcomes = dict(zip(files, await fetch(files), strict=True))
    refresher, retried = LinkRefresher(refresh), {}
    for file, outcome in outcomes.items():
        if isinstance(outcome, LinkExpired):
            try:
                fresh = attrs.evolve(file, url=await refresher.fresh_url(file, outcome))
                retried[file] = _with_absolute_url(fresh, base_url)
            except FetchRefused as refused:
                outcomes[file] = refused
    if retried:
        outcomes.update(zip(retried, await fetch(list(retried.values())), strict=True))
    return summarize(result.task_id, files, list(outcomes.values()))


def _with_absolute_url(file: File, base_url: str | None) -> File:
    return attrs.evolve(file, url=absolute(file.url, base_url))


def summarize(task_id: str, files: Sequence[File], outcomes: Sequence[SavedFile | BaseException]) -> SaveOutcome:
    """
    Return one outcome for all *files*; an exception that is not a `FetchError` is raised.
    """
    saved: list[SavedFile] = []
    failed: list[tuple[File, FetchError]] = []
    for file, outcome in zip(files, outcomes, strict=True):
        if isinstance(outcome, FetchError):
            failed.append((file, outcome))
        elif isinstance(outcome, BaseException):
            raise outcome
        else:
            saved.append(outcome)
    if not failed:
        return SaveOutcome(tuple(saved))
    return SaveOutcome(tuple(saved), _error_of(task_id, saved, failed))


def _error_of(
    task_id: str, saved: Sequence[SavedFile], failed: Sequence[tuple[File, FetchError]]
) -> DownloadFailed | StorageFull:
    paths = tuple(file.path for file in saved if file.path is not None)
    urls = tuple(file.url for file in saved if file.url is not None)
    full = next((reason for _, reason in failed if isinstance(reason, DiskFull)), None)
    if full is not None:
        return StorageFull(f"{full}; make room, then save again", task_id, paths=paths, urls=urls)
    file, reason = failed[0]
    count = len(saved) + len(failed)
    message = f"{file.kind} {file.index} could not be fetched: {reason}; {len(saved)} of {count} arrived"
    return DownloadFailed(message, task_id, index=file.index, paths=paths, urls=urls)
