"""
Saves the files of results, and reads them into memory.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import attrs

from kling_async.client.events import EventKind, TaskEvents
from kling_async.policy.http import HttpOptions
from kling_async.wire.endpoints.base import Endpoint
from kling_async.wire.endpoints.registry import DEFAULT_ENDPOINT, endpoint_named
from kling_async.wire.tasks import TaskResult, TaskSnapshot

if TYPE_CHECKING:
    from kling_async.media.destinations import Destination
    from kling_async.media.downloads import Downloads
    from kling_async.media.naming import NameTemplate
    from kling_async.media.saved_files import FileKey
    from kling_async.media.saving import FetchFiles, SaveOutcome
    from kling_async.policy.host_networks import Network

__all__ = ["ResultFiles"]


@attrs.define(eq=False, repr=False)
class ResultFiles:
    """
    The files of one client's tasks. The downloader is loaded with the first: many programs fetch none.

    Args:
        open: Opens the client, or raises what keeps it from being used.
        get: Reads a task again, whose links have expired.
        events_of: Returns the events of a task by its id.
    """

    _base_url: str
    _http: HttpOptions
    _open: Callable[[], None]
    _get: Callable[[str, Endpoint[Any]], Awaitable[TaskSnapshot]]
    _events_of: Callable[[str], TaskEvents]
    _downloads: "Downloads | None" = attrs.field(default=None, init=False)
    _opening: asyncio.Lock = attrs.field(factory=asyncio.Lock, init=False)
    _networks: "frozenset[Network] | None" = attrs.field(default=None, init=False)

    async def save(
        self,
        result: TaskResult,
        destination: "Destination",
        names: "NameTemplate",
        *,
        skip: "Collection[FileKey]" = (),
    ) -> "SaveOutcome":
        """
        Save the files of *result* in a folder or a storage, except those to *skip*, by kind and index. Files that could
        not be saved are reported in the outcome, not raised.
        """
        self._open()
        downloads = await self.downloads()
        outcome = await downloads.save(result, destination, names, refresh=lambda: self._renew(result), skip=skip)
        return self._publish(result, outcome)

    async def save_remotely(
        self,
        result: TaskResult,
        names: "NameTemplate",
        fetch: "FetchFiles",
        *,
        skip: "Collection[FileKey]" = (),
    ) -> "SaveOutcome":
        """
        Save as `save` does, with *fetch*, which fetches and saves files elsewhere.
        """
        from kling_async.media.saving import save_remotely  # noqa: PLC0415

        self._open()
        outcome = await save_remotely(
            result, names, fetch, refresh=lambda: self._renew(result), skip=skip, base_url=self._base_url
        )
        return self._publish(result, outcome)

    async def downloads(self) -> "Downloads":
        """
        Return what fetches files.
        """
        from kling_async.media.downloads import Downloads  # noqa: PLC0415

        networks = await self.networks()
        if self._downloads is None:
            self._open()  # it may have been closed meanwhile
            self._downloads = Downloads(self._http, networks=networks, base_url=self._base_url)
        return self._downloads

    async def networks(self) -> "frozenset[Network]":
        """
        Return the kinds of private network that files may come from: those in which the service itself is.
        """
        from kling_async.media.network import networks_of  # noqa: PLC0415

        async with self._opening:  # hundreds may ask at once, and one lookup is enough
            if self._networks is None:
                self._networks = await networks_of(urlsplit(self._base_url).hostname or "")
        return self._networks

    async def aclose(self) -> None:
        """
        Close the connections. Safe to call twice.
        """
        if self._downloads is not None:
            await self._downloads.aclose()

    def _publish(self, result: TaskResult, outcome: "SaveOutcome") -> "SaveOutcome":
        paths = [file.path for file in outcome.files if file.path is not None]
        urls = [file.url for file in outcome.files if file.url is not None]
        self._events_of(result.task_id).publish(EventKind.SAVED, paths=paths, urls=urls, error=outcome.error)
        return outcome

    async def _renew(self, result: TaskResult) -> TaskResult:
        endpoint = DEFAULT_ENDPOINT if result.endpoint is None else endpoint_named(result.endpoint)
        return TaskResult.of(await self._get(result.task_id, endpoint), result.task_id, endpoint=result.endpoint)
