"""
The client: the verbs for programs, for one account at one host.
"""

import asyncio
import functools
import logging
import os
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias, Unpack, overload

import aiohttp
import attrs

from kling_async.client.budget import Budget
from kling_async.client.call_checks import check_file, check_folder, check_kinds, check_result, default_folder
from kling_async.client.calls.apis import HasCallApis
from kling_async.client.core import ClientCore
from kling_async.client.credentials import find_base_url, find_credentials, find_dialect, spoken_with
from kling_async.client.delivery import SubmitObserver
from kling_async.client.events import OnEvent
from kling_async.client.handle import TaskHandle, Timeout
from kling_async.client.limits.limiter import Slots
from kling_async.client.outcomes import Done, Failed
from kling_async.client.stream import fan_out
from kling_async.errors import InvalidRequest, KlingError
from kling_async.media.naming import DEFAULT_NAME, NameTemplate, is_url
from kling_async.policy.arguments import check_kind, check_many, check_timeout, check_whole
from kling_async.policy.http import HttpOptions
from kling_async.policy.policies import PollPolicy, RetryPolicy
from kling_async.policy.spending import Spent
from kling_async.wire.async_with import UsedWithAsyncWith
from kling_async.wire.auth import AccessKey
from kling_async.wire.constructors import explained
from kling_async.wire.dialects import Dialect
from kling_async.wire.endpoints.base import TaskRequest
from kling_async.wire.endpoints.registry import (
    DEFAULT_ENDPOINT,
    DefaultByName,
    DefaultChanges,
    DefaultFields,
    DefaultRequest,
    endpoint_named,
    request_of,
)
from kling_async.wire.notebook_html import html_of
from kling_async.wire.tasks import File, TaskResult, TaskSnapshot

if TYPE_CHECKING:
    from kling_async.client.callbacks.receiver import CallbackReceiver
    from kling_async.media.destinations import Destination
    from kling_async.media.saving import SaveOutcome
    from kling_async.media.storage import Storage

__all__ = ["KlingClient"]

Folder: TypeAlias = str | os.PathLike[str] | None
Wait: TypeAlias = float | Timeout | None

_log = logging.getLogger(__name__)


@explained
class KlingClient(HasCallApis, UsedWithAsyncWith):
    """
    A client for one account at one host.

    Use it as an async context manager, or just use it (it opens itself) and `await client.aclose()` at the end. It
    belongs to the event loop in which it is first used.

    Args:
        api_key:
            A Bearer key, or an `AccessKey`. None reads `KLING_API_KEY`, or `KLING_ACCESS_KEY` and `KLING_SECRET_KEY`.
        base_url:
            The URL before "/v1/images/generations". None reads `KLING_BASE_URL`, and without it uses the gateway for a
            Bearer key and the vendor for an `AccessKey`. Plain http is allowed for loopback only.
        dialect:
            Limits and abilities of the service: a `Dialect`, or what `Dialect.load` takes, a name or a TOML file. None
            reads `KLING_DIALECT`, and without it is OFFICIAL for the vendor's hosts and GATEWAY for others.
        session: An `aiohttp.ClientSession` to use and never to close; None creates one.
        slots: Slots per model, or a `Slots` shared with other clients of the account; None discovers their number.
        http: Options of connections.
        retry: How long requests are retried.
        polling: How often tasks are polled.
        callbacks: A receiver, which you serve, and which several clients may share. Each submit gets its own URL there,
            unless its request has a `callback_url`. While callbacks arrive, tasks are hardly polled.
        on_event: A quick function, called in the event loop with each step of each task. Its exceptions are logged.
        budget: A limit of what may be spent, which clients may share; None sets none. What may not fit is not sent.

    Attributes:
        speech: Has text read aloud.
        faces: Finds faces in videos.
        images: Recognizes what is in pictures.
        voices: Creates, lists and deletes voices for videos.
        elements: Creates, lists and deletes persons and things for videos.
        account: Reads the account's packs and deductions.
        core: The interface for `Batch`. It is not public and may change.

    Raises:
        NotAuthenticated: There is no key, or it is malformed; the error says why, and does not show it.
        InvalidRequest: Another argument is invalid, or would send the key over plain http; or `KLING_BASE_URL` or
            `KLING_DIALECT` is, or, with `HttpOptions.trust_env`, a variable that names a proxy.
        TypeError: `on_event` is not a plain function.
    """

    def __init__(  # noqa: PLR0913 (the settings of a client, each with a default)
        self,
        api_key: str | AccessKey | None = None,
        *,
        base_url: str | None = None,
        dialect: Dialect | str | os.PathLike[str] | None = None,
        session: aiohttp.ClientSession | None = None,
        slots: int | Slots | None = None,
        http: HttpOptions = HttpOptions(),  # noqa: B008 (frozen)
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008
        polling: PollPolicy = PollPolicy(),  # noqa: B008
        callbacks: "CallbackReceiver | None" = None,
        on_event: OnEvent | None = None,
        budget: Budget | None = None,
    ) -> None:
        credentials = find_credentials(api_key)
        base_url = find_base_url(base_url, credentials)
        check_kinds(session=session, http=http, retry=retry, polling=polling, callbacks=callbacks, budget=budget)
        http.check_route(base_url)
        core = ClientCore(
            credentials,
            base_url,
            spoken_with(credentials, find_dialect(dialect, base_url)),
            slots if isinstance(slots, Slots) else Slots(slots),
            http,
            retry,
            polling,
            session=session,
            callbacks=callbacks,
            on_event=on_event,
            budget=budget,
        )
        super().__init__(core)
        self.base_url: Final = core.base_url
        self.dialect: Final = core.dialect
        self.slots: Final = core.slots
        self.callbacks: Final = callbacks

    def __repr__(self) -> str:
        return repr(self.core)

    def _repr_html_(self) -> str:
        return html_of(self)

    async def __aenter__(self) -> Self:
        self.core.open()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """
        Close the client. Safe to call twice.

        Pending submits and paid calls get up to 10 s for an answer. Pending waits raise `ClientClosed` with the ids of
        their tasks, which keep running at the service; `unfinished` still lists them.
        """
        await self.core.aclose()

    @property
    def unfinished(self) -> tuple[TaskHandle, ...]:
        """
        The handles of tasks that are not known to have ended, or whose files are not known yet. They include tasks
        whose wait or submit was cancelled, and those of uncertain submits that a callback reported later.
        """
        return self.core.tasks.unfinished

    @property
    def spent(self) -> Spent:
        """
        What the service says that it billed for the tasks of this client that have ended, and for its paid calls.
        """
        return self.core.spending.spent

    @overload
    async def submit(self, prompt: str, /, **fields: Unpack[DefaultFields]) -> TaskHandle: ...
    @overload
    async def submit(self, /, **fields: Unpack[DefaultByName]) -> TaskHandle: ...
    @overload
    async def submit(self, request: DefaultRequest, /, **fields: Unpack[DefaultChanges]) -> TaskHandle: ...
    @overload
    async def submit(self, request: TaskRequest, /, **fields: Any) -> TaskHandle: ...
    async def submit(self, request: object = attrs.NOTHING, /, **fields: Any) -> TaskHandle:
        """
        Have the service accept a task, and return its handle. Waits for free slots first, for as long as it takes.

        Cancelling this before anything was sent sends nothing. A request that is already on its way is finished: its
        task then shows in `unfinished`, and its id in the log as a warning.

        Args:
            request: A prompt, or a request of any endpoint. Without it, *fields* have the prompt.
            fields: Fields that override the request's.

        Raises:
            InvalidRequest: It breaks rules of the service, all of which are listed; or the service said so.
            BudgetExceeded: What it may cost does not fit into `budget` once it has its slots.
            SubmissionUncertain: A task may exist, and its fate could not be determined. With `callbacks`, none has
                shown it for a minute; one that comes later puts the task into `unfinished`.
            RateLimited: The service has refused it for 300 s while nothing of this client was running.
            NotSent: No connection could be established for 120 s; 15 s if there never was one.
            KlingError: The service refused: key, permission, money, content. Nothing was created.
        """
        return await self.core.submit_observed(request_of(request, fields), SubmitObserver())

    @overload
    async def generate(self, prompt: str, /, *, timeout: Wait = ..., **fields: Unpack[DefaultFields]) -> TaskResult: ...
    @overload
    async def generate(self, /, *, timeout: Wait = ..., **fields: Unpack[DefaultByName]) -> TaskResult: ...
    @overload
    async def generate(
        self, request: DefaultRequest, /, *, timeout: Wait = ..., **fields: Unpack[DefaultChanges]
    ) -> TaskResult: ...
    @overload
    async def generate(self, request: TaskRequest, /, *, timeout: Wait = ..., **fields: Any) -> TaskResult: ...
    async def generate(
        self, request: object = attrs.NOTHING, /, *, timeout: Wait = Timeout.OF_ENDPOINT, **fields: Any
    ) -> TaskResult:
        """
        Submit, then wait for the result.

        Cancelling this never loses a paid task: it shows in `unfinished`, and its id in the log as a warning.

        Args:
            request, fields: As for `submit`.
            timeout:
                Seconds from acceptance, 0 or more; waiting for slots is not counted. None waits for ever. The default
                is the `timeout` of the endpoint, 600 for images.

        Raises:
            KlingError: What `submit` and `TaskHandle.wait` raise.
        """
        if timeout is not Timeout.OF_ENDPOINT:
            check_timeout("timeout", timeout)  # before anything is paid for
        handle = await self.core.submit_observed(request_of(request, fields), SubmitObserver())
        del request, fields  # the wait may be long
        try:
            return await handle.wait(timeout)
        except asyncio.CancelledError:
            _log.warning("waiting was cancelled; task %s is still running", handle.task_id)
            raise

    def stream(
        self,
        requests: Iterable[TaskRequest | str] | AsyncIterable[TaskRequest | str],
        *,
        concurrency: int | None = None,
    ) -> AsyncGenerator[Done | Failed, None]:
        """
        Generate for each of *requests* and yield the outcomes as they come; one failure never stops the others.

        *requests* is read lazily, ahead by at most *concurrency* (None is twice the slots). A request that is invalid
        yields `Failed`; an exception of the input itself is raised after all accepted tasks were yielded. Leaving the
        loop early cancels the waiting, as cancelling `generate` does; close the iterator with `contextlib.aclosing`.
        """
        check_many("stream", requests)
        return fan_out(requests, functools.partial(_outcome, self), _width_of(self.slots, concurrency))

    def handle(self, task_id: str, endpoint: str = DEFAULT_ENDPOINT.name) -> TaskHandle:
        """
        Pick up a task of an earlier run, or return the handle that this client has on it already. Nothing is sent until
        it is waited for, and it takes no slots.

        Args:
            endpoint: The name of its endpoint.

        Raises:
            InvalidRequest: No task can have this id, or there is no such endpoint.
        """
        check_kind("task_id", task_id, str, "must be the id of a task, as text")
        return self.core.tasks.handle(task_id.strip(), endpoint_named(endpoint))

    async def get(self, task_id: str, endpoint: str = DEFAULT_ENDPOINT.name) -> TaskSnapshot:
        """
        Ask the service for the present state of a task.

        Args:
            endpoint: The name of its endpoint.

        Raises:
            TaskNotFound: This account has no such task.
            KlingError: Passing failures are retried for `retry.give_up_after` seconds; then the last is raised.
        """
        check_kind("task_id", task_id, str, "must be the id of a task, as text")
        return await self.core.tasks.get(task_id.strip(), endpoint_named(endpoint))

    async def tasks(
        self, endpoint: str = DEFAULT_ENDPOINT.name, *, page_size: int = 100
    ) -> AsyncGenerator[TaskSnapshot, None]:
        """
        Yield the account's tasks of one endpoint in the service's order, which the vendor does not promise.

        A task that a growing list shows twice is yielded once.

        Args:
            endpoint: Its name.
            page_size: Tasks asked for at a time, 1 to 500.

        Raises:
            InvalidRequest: The service does not list tasks.
        """
        check_whole("page_size", page_size, most=500)
        async for snapshot in self.core.tasks.listed(endpoint_named(endpoint), page_size):
            yield snapshot

    @overload
    async def save(self, result: TaskResult, destination: Folder = ..., *, name: str = ...) -> list[Path]: ...
    @overload
    async def save(self, result: TaskResult, destination: "Storage", *, name: str = ...) -> list[str]: ...
    async def save(
        self, result: TaskResult, destination: "Folder | Storage" = None, *, name: str = DEFAULT_NAME
    ) -> list[Path] | list[str]:
        """
        Save the files of *result*, and return their paths in the order of the result; in a `Storage`, their URLs.

        A file appears under its name only when it is complete and verified, and replaces one that is there. A transfer
        that breaks continues where it stopped. Cancelling leaves no partial file. URLs that have expired are renewed by
        reading the task again.

        Args:
            result: What `generate` returned.
            destination: A folder, which may not exist yet, or a `Storage`. None is `pictures`, `videos` or `sounds`.
            name: Template of the names, with `{number}`, `{prompt}` (its first words), `{task_id}`, `{index}` and
                `{ext}`, the last by the file's content. It may name sub-folders.

        Raises:
            ValueError: The template leaves the folder, gives equal names, or has other fields.
            DownloadFailed: A file could not be fetched or stored. The others were saved, and their paths are in it.
            StorageFull: There was no room. The others were saved.
            ImportError: A library for the storage is missing.
            OSError: The storage cannot be opened.
        """
        check_result(result)
        check_kind("name", name, str, "must be a template for names, as text")
        place = await _place_of(default_folder(result) if destination is None else destination)
        check_folder(place, name, result)
        outcome = await self.core.files.save(result, place, NameTemplate.of(name, result))
        return _places_of(outcome, is_local=isinstance(destination, str | os.PathLike | None))

    async def read(self, file: File, *, max_bytes: int = 100 * 1024 * 1024) -> bytes:
        """
        Fetch one file of a task into memory.

        Args:
            max_bytes: Maximum bytes of the file. `save` holds no file in memory, whatever its size.

        Raises:
            DownloadFailed: It could not be fetched, or is larger. Its URL may have expired, so read the task again.
        """
        check_file(file)
        check_whole("max_bytes", max_bytes)
        self.core.open()
        return await (await self.core.files.downloads()).read(file, max_bytes)


async def _place_of(destination: "str | os.PathLike[str] | Storage") -> "Destination":
    if isinstance(destination, str) and is_url(destination):
        raise InvalidRequest(f"to save to a storage, pass Storage({destination!r}) as the destination")
    if isinstance(destination, str | os.PathLike):
        return Path(destination)
    from kling_async.media.destinations import destination_at  # noqa: PLC0415 (most programs have no storage)
    from kling_async.media.storage import Storage  # noqa: PLC0415

    check_kind("destination", destination, Storage, "must be the path of a folder, or a Storage")
    place = destination_at(destination)
    if not isinstance(place, Path):
        await place.check(writes=False)  # storing the first file tests the rest
    return place


def _places_of(outcome: "SaveOutcome", *, is_local: bool) -> list[Path] | list[str]:
    if outcome.error is not None:
        raise outcome.error
    files = outcome.files
    if is_local:
        return [file.path for file in files if file.path is not None]
    return [file.path.absolute().as_uri() if file.path is not None else file.url or "" for file in files]


def _width_of(slots: Slots, concurrency: int | None) -> int:
    width = 2 * (slots.limit or slots.policy.start) if concurrency is None else concurrency
    check_whole("concurrency", width)
    return width


async def _outcome(client: KlingClient, index: int, item: TaskRequest | str) -> Done | Failed:
    request = None
    try:
        request = request_of(item)
        return Done(index, None, request, await client.generate(request))
    except KlingError as error:
        return Failed(index, None, request, attrs.evolve(error))  # a copy: a traceback would keep files alive
