"""
The client: prompts in, pictures out; one account at one host, for as long as your program lives.
"""

import asyncio
import enum
import functools
import logging
import os
import sys
import uuid
import warnings
import weakref
from collections.abc import AsyncGenerator, AsyncIterable, Collection, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, Unpack
from urllib.parse import urlsplit

import aiohttp
import attrs

from kling_async.client.callbacks.receiver import CallbackReceiver
from kling_async.client.callbacks.router import CallbackRouter
from kling_async.client.credentials import find_base_url, find_credentials
from kling_async.client.events import EventKind
from kling_async.client.handle import TaskHandle
from kling_async.client.limits.limiter import SlotLease, Slots
from kling_async.client.outcomes import Done, Failed
from kling_async.client.polling.poller import Poller
from kling_async.client.polling.queries import HttpStatusQueries
from kling_async.client.polling.strategy import strategy_for
from kling_async.client.stream import fan_out
from kling_async.client.submission import may_be_task_of
from kling_async.client.submitter import SubmitObserver, Submitter
from kling_async.client.telling import EventPublisher, OnEvent, TaskEvents
from kling_async.client.transport import Transport
from kling_async.errors import (
    BrokenRule,
    ClientClosed,
    InvalidRequest,
    KlingError,
    TaskNotFound,
)
from kling_async.media.naming import Names
from kling_async.media.references import Reference, read_inputs
from kling_async.policy.arguments import check_kind, check_many, check_timeout, check_whole
from kling_async.policy.http import HttpOptions
from kling_async.policy.policies import PollPolicy, RetryPolicy
from kling_async.wire import cards
from kling_async.wire.auth import AccessKey
from kling_async.wire.cards import Tone
from kling_async.wire.dialects import Dialect, dialect_of
from kling_async.wire.endpoints.base import TaskRequest
from kling_async.wire.endpoints.image_generation import IMAGE_GENERATION, ImageRequest, RequestByName
from kling_async.wire.responses import read_page, read_sighting
from kling_async.wire.tasks import Image, TaskResult, TaskSnapshot

if TYPE_CHECKING:
    from kling_async.media.destinations import Destination
    from kling_async.media.downloads import Downloads
    from kling_async.media.saved_files import FileKey
    from kling_async.media.saving import FetchFiles, SaveOutcome
    from kling_async.policy.hosts import Network

__all__ = ["KlingClient"]

_log = logging.getLogger(__name__)


class _State(enum.Enum):
    NEW = "new"
    OPEN = "open"
    CLOSED = "closed"


class KlingClient:
    """
    Makes pictures of prompts through one account.

    Use it as an async context manager, or just use it (it opens itself) and `await client.aclose()` at the end. It
    belongs to the event loop in which it is first used.

    Args:
        api_key:
            A Bearer key, or an `AccessKey`. None reads `KLING_API_KEY`, else `KLING_ACCESS_KEY` and `KLING_SECRET_KEY`.
        base_url:
            None reads `KLING_BASE_URL`; else it is the gateway for a Bearer key and the vendor for an `AccessKey`.
            "/v1/images/generations" follows it; where it ends so already, that is cut off. Plain http is for loopback.
        dialect: Limits and abilities of the service. None is OFFICIAL for the vendor's hosts and GATEWAY for others.
        session: An `aiohttp.ClientSession` to use and never to close; None makes one.
        slots: Slots per model, or a `Slots` shared with other clients of the account; None finds them out.
        http: How connections are made.
        retry: How patiently requests are sent again.
        polling: How often tasks are looked at.
        callbacks:
            A receiver, which you serve, and which several clients may share: each submit gets an address of its own
            there, but for one with a `callback_url` of yours. While callbacks come, tasks are hardly looked at.
        on_event:
            Called in the event loop with each step of each task, for progress, logs and metrics; it should be quick.
            What it raises is logged, and harms nothing.

    Raises:
        NotAuthenticated: There is no key, or it cannot be one; the error says why, and does not show it.
        InvalidRequest: One of the other arguments cannot be what it should, or would send the key over plain http. The
            same holds for `KLING_BASE_URL`, and with `HttpOptions.trust_env` for the variables that name proxies.
        TypeError: `on_event` is no plain function.
    """

    _state = _State.NEW  # of the class: __del__ reads it even where the arguments do not fit __init__

    def __init__(
        self,
        api_key: str | AccessKey | None = None,
        *,
        base_url: str | None = None,
        dialect: Dialect | None = None,
        session: aiohttp.ClientSession | None = None,
        slots: int | Slots | None = None,
        http: HttpOptions = HttpOptions(),  # noqa: B008 (frozen)
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008
        polling: PollPolicy = PollPolicy(),  # noqa: B008
        callbacks: CallbackReceiver | None = None,
        on_event: OnEvent | None = None,
    ) -> None:
        credentials = find_credentials(api_key)
        self.base_url: Final = find_base_url(base_url, credentials)
        _check_kinds(dialect=dialect, session=session, http=http, retry=retry, polling=polling, callbacks=callbacks)
        http.check_route(self.base_url)
        self.dialect: Final = dialect or dialect_of(self.base_url)
        self.slots: Final = slots if isinstance(slots, Slots) else Slots(slots)
        keepalive = 2 * polling.max_delay + 5  # longer than the longest pause between two looks
        self._transport = Transport(self.base_url, http, retry, keepalive, credentials, session)
        looks = HttpStatusQueries(self._transport, polling.answer_timeout)
        self._poller = Poller(polling, looks, functools.partial(strategy_for, self.dialect))
        self.callbacks: Final = callbacks
        self._router = CallbackRouter(callbacks, self._poller) if callbacks is not None else None
        self._publisher = EventPublisher(on_event)
        self._http = http
        self._downloads: Downloads | None = None  # loaded and made when the first picture is fetched
        self._opening = asyncio.Lock()
        self._networks: frozenset[Network] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._known: weakref.WeakValueDictionary[str, TaskHandle] = weakref.WeakValueDictionary()
        self._submitter = Submitter(self._transport, self._poller, self._router, self.slots.policy.uncertain_for)

    def __repr__(self) -> str:
        host = urlsplit(self.base_url).netloc
        counts = f"{len(self._submitter)} submitting, {len(self.unfinished)} unfinished"
        return f"<KlingClient {host} ({self.dialect.name}), {self._state.value}, {counts}>"

    def _repr_html_(self) -> str:
        slots = {
            model: f"{usage.used} of {usage.limit} slots taken"
            + (f", {usage.waiting} waiting" if usage.waiting else "")
            for model, usage in self.slots.items()
        }
        return cards.card(
            urlsplit(self.base_url).netloc,
            mark=self._state.value,
            tone=Tone.WELL if self._state is _State.OPEN else Tone.IDLE,
            facts=(self.dialect.name, f"{len(self._submitter)} submitting", f"{len(self.unfinished)} unfinished"),
            body=cards.table(slots) if slots else "",
        )

    async def __aenter__(self) -> Self:
        self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        if self._state is _State.OPEN:
            warnings.warn(
                f"{self!r} was dropped while open; close it with `aclose()`", ResourceWarning, stacklevel=2, source=self
            )

    async def aclose(self) -> None:
        """
        Close the client. Safe to call twice.

        Submits whose task nobody would know of otherwise get up to 10 s to learn its id. Whoever waits gets
        `ClientClosed` with the task ids. Tasks go on at the service; `unfinished` still tells which.
        """
        if self._state is _State.CLOSED:
            return
        self._state = _State.CLOSED
        try:
            self.slots.fail_waiters(self, _closed)
            await self._submitter.aclose()
        finally:
            if self._router is not None:
                self._router.detach()
            await self._poller.aclose()
            self._submitter.release()
            if self._downloads is not None:
                await self._downloads.aclose()
            await self._transport.aclose()

    def fingerprint(self, salt: str) -> str:
        """
        Return what tells this client's key from others, where the same *salt* is used; of no use to who finds it.
        """
        return self._transport.fingerprint(salt)

    @property
    def unfinished(self) -> tuple[TaskHandle, ...]:
        """
        The handles of tasks that are not known to have ended, or of which the pictures are not told yet; also of those
        whose wait or submit was cancelled, and of uncertain submits of which a callback told later.
        """
        return tuple(handle for handle in self._known.values() if not handle.is_settled)

    async def submit(self, request: ImageRequest | str, /, **fields: Unpack[RequestByName]) -> TaskHandle:
        """
        Have the service accept a task, and return a handle on it; waits for free slots first, for as long as it takes.

        Cancelling this before anything was sent sends nothing. Once the request is on its way it is finished all the
        same: its task then shows in `unfinished`, and its id in the log as a warning.

        Args:
            request: A prompt, or a whole request.
            fields: Fields of `ImageRequest` that override the request's.

        Raises:
            InvalidRequest: It breaks rules of the dialect, all of which are listed; or the service said so.
            SubmissionUncertain: A task may have been made, and there is no way to find out. Where `callbacks` are taken
                in, none has told of it for a minute; one that does later puts the task into `unfinished`.
            RateLimited: Refusals have lasted 300 s while nothing of this client was under way.
            NotSent: No connection could be made for 120 s.
            KlingError: The service refused: key, right, money, content. Nothing was made.
        """
        return await self.submit_observed(_make_request(request, fields), SubmitObserver())

    async def submit_observed(self, request: ImageRequest, observer: SubmitObserver) -> TaskHandle:
        """
        Submit as `submit` does, and tell *witness* of each step; for whoever keeps a record, as a `Batch` does.

        Where the witness is in doubt, slots are taken without queueing, since a task of it may take them already; then
        it is looked for before it is sent again, and is uncertain where it cannot be looked for.
        """
        self._open()
        story = self._publisher.begin(request)
        try:
            hold, references, refusal = await self._prepare(request, observer, story)
        except BaseException as error:
            story.tell(EventKind.NO_TASK, error=error)
            raise
        if self.dialect.external_ids and request.external_task_id is None:
            observer.owns_id = True  # it is made here
        request = self._complete(request)
        story.learn(request=request)
        return await self._submitter.deliver(request, references, hold, observer, story, self.handle, refusal)

    def resume(self, task_id: str, request: ImageRequest, observer: SubmitObserver) -> TaskHandle:
        """
        Take over a task that an earlier run had accepted: its slots count at once, and it is watched until its end.

        Raises:
            InvalidRequest: No task can have this id.
        """
        self._open()
        handle = self.handle(task_id)
        hold = self.slots.acquire_running(*self._place_of(request), owner=self)
        self._submitter.resume(handle, request, hold, observer, self._publisher.begin(request))
        return handle

    async def look_up(self, external_task_id: str) -> TaskSnapshot:
        """
        Ask the service for the task that was sent under an id of ours.

        Raises:
            TaskNotFound: This account knows no task of this id.
            KlingError: Passing failures are repeated for `retry.give_up_after` seconds; then the last is raised.
        """
        self._open()
        seen = await self._transport.read(IMAGE_GENERATION.one(external_task_id), read_sighting)
        if not may_be_task_of(seen, external_task_id, sent_ago=None, made_ago=None):
            what = f"the service answered with another task than that of external_task_id {external_task_id!r}"
            raise TaskNotFound(what, seen.task_id, seen.request_id)
        return seen

    async def generate(
        self, request: ImageRequest | str, /, *, timeout: float | None = 600.0, **fields: Unpack[RequestByName]
    ) -> TaskResult:
        """
        Make pictures: submit, then wait.

        Cancelling this never loses a paid task: it shows in `unfinished`, and its id in the log as a warning.

        Args:
            request: A prompt, or a whole request.
            timeout: Seconds from acceptance, 0 or more; queueing for slots is not counted. None waits for ever.
            fields: Fields of `ImageRequest` that override the request's.

        Raises:
            KlingError: What `submit` and `TaskHandle.wait` raise.
        """
        check_timeout("timeout", timeout)  # before anything is paid for
        handle = await self.submit(request, **fields)
        del request, fields  # the wait may be long
        try:
            return await handle.wait(timeout)
        except asyncio.CancelledError:
            _log.warning("waiting was cancelled; task %s goes on", handle.task_id)
            raise

    def stream(
        self,
        requests: Iterable[ImageRequest | str] | AsyncIterable[ImageRequest | str],
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
        if concurrency is not None:
            check_whole("concurrency", concurrency)
        width = concurrency if concurrency is not None else 2 * (self.slots.limit or self.slots.policy.start)
        return fan_out(requests, self._outcome, width)

    def handle(self, task_id: str) -> TaskHandle:
        """
        Pick up a task of an earlier run, or the handle that this client has on it already. Nothing is asked until
        somebody waits; it takes no slots.

        Raises:
            InvalidRequest: No task can have this id.
        """
        check_kind("task_id", task_id, str, "must be the id of a task, as text")
        handle = self._known.get(task_id)
        if handle is None:
            IMAGE_GENERATION.one(task_id)  # refuses what is no id
            handle = self._known[task_id] = TaskHandle(task_id, None, self._watch, self._publisher.pick_up(task_id))
        return handle

    async def get(self, task_id: str) -> TaskSnapshot:
        """
        Ask the service how a task is now.

        Raises:
            TaskNotFound: This account knows no such task.
            KlingError: Passing failures are repeated for `retry.give_up_after` seconds; then the last is raised.
        """
        handle = self.handle(task_id)
        self._open()
        seen = await self._transport.read(IMAGE_GENERATION.one(task_id), lambda answer: read_sighting(answer, task_id))
        handle.apply(seen)
        return seen

    async def tasks(self, *, page_size: int = 100) -> AsyncGenerator[TaskSnapshot, None]:
        """
        Yield the account's image tasks in the service's order, which the vendor does not promise.

        A task that a growing list shows twice is yielded once.

        Args:
            page_size: Tasks asked for at a time, 1 to 500.

        Raises:
            InvalidRequest: The dialect does not list tasks.
        """
        check_whole("page_size", page_size, most=500)
        if not self.dialect.lists:
            raise InvalidRequest(f"{self.dialect.name} services do not list tasks; keep the task ids yourself")
        self._open()
        seen: set[str] = set()
        for number in range(1, 1001):  # the vendor's last page
            page = await self._transport.read(IMAGE_GENERATION.page(number, page_size), read_page)
            for snapshot in page:
                if snapshot.task_id not in seen:
                    seen.add(snapshot.task_id)
                    yield snapshot
            if len(page) < page_size:
                return

    async def save(
        self, result: TaskResult, directory: str | Path, *, name: str = "{task_id}-{index}{ext}"
    ) -> list[Path]:
        """
        Save the pictures of *result* and return their paths, in the pictures' order.

        A file appears under its name only when it is whole and on the disk; one that is there already is replaced.
        Cancelling leaves no half file. URLs that have run out are renewed by reading the task again.

        Args:
            result: What `generate` returned.
            directory: Made where it is missing.
            name: Template of the names, with `{task_id}`, `{index}` and `{ext}`, the last by the picture's content.

        Raises:
            ValueError: The template leaves the directory, gives equal names, or has other fields.
            DownloadFailed: A picture could not be fetched; the others were, and their paths are in it.
        """
        check_kind("result", result, TaskResult, "must be a TaskResult, as generate and wait return it")
        check_kind("directory", directory, (str, os.PathLike), "must be the path of a folder")
        check_kind("name", name, str, "must be a template for names, as text")
        self._open()
        downloads = await self._open_downloads()
        names = Names(name, result.task_id)
        outcome = await downloads.save(result, Path(directory), names, refresh=lambda: self._renew(result))
        self._tell_saved(result, outcome)
        if outcome.error is not None:
            raise outcome.error
        return [file.path for file in outcome.files if file.path is not None]

    async def save_each(
        self, result: TaskResult, destination: "Destination", names: Names, *, skip: "Collection[FileKey]" = ()
    ) -> "SaveOutcome":
        """
        Save as `save` does, in a folder or a storage, but not the files to *skip*, by kind and index. Files that could
        not be saved are reported in the outcome.
        """
        self._open()
        downloads = await self._open_downloads()
        outcome = await downloads.save(result, destination, names, refresh=lambda: self._renew(result), skip=skip)
        self._tell_saved(result, outcome)
        return outcome

    async def save_remotely(
        self, result: TaskResult, names: Names, fetch: "FetchFiles", *, skip: "Collection[FileKey]" = ()
    ) -> "SaveOutcome":
        """
        Do what `save_each` does, with files that *fetch* saves elsewhere.
        """
        from kling_async.media.saving import save_remotely  # noqa: PLC0415

        self._open()
        outcome = await save_remotely(
            result, names, fetch, refresh=lambda: self._renew(result), skip=skip, base_url=self.base_url
        )
        self._tell_saved(result, outcome)
        return outcome

    async def networks(self) -> "frozenset[Network]":
        """
        Return the kinds of private network that pictures may come from: those where the service itself is.
        """
        from kling_async.media.network import networks_of  # noqa: PLC0415

        async with self._opening:  # hundreds may ask at once, and one look-up is enough
            if self._networks is None:
                self._networks = await networks_of(urlsplit(self.base_url).hostname or "")
        return self._networks

    def _tell_saved(self, result: TaskResult, outcome: "SaveOutcome") -> None:
        paths = [file.path for file in outcome.files if file.path is not None]
        urls = [file.url for file in outcome.files if file.url is not None]
        self._story_of(result).tell(EventKind.SAVED, paths=paths, urls=urls, error=outcome.error)

    async def read(self, image: Image) -> bytes:
        """
        Fetch one picture into memory.

        Raises:
            DownloadFailed: It could not be fetched; its URL may have run out, so read the task again.
        """
        check_kind("image", image, Image, "must be an Image of a TaskResult")
        self._open()
        return await (await self._open_downloads()).read(image)

    def _open(self) -> None:
        if self._state is _State.CLOSED:
            raise _closed()
        loop = asyncio.get_running_loop()
        if self._loop is None:
            _refuse_while_loading()
            self._loop, self._state = loop, _State.OPEN
            if self._router is not None:
                self._router.attach()
        elif self._loop is not loop:
            raise RuntimeError("this client belongs to another event loop; make one for each `asyncio.run`")

    async def _open_downloads(self) -> "Downloads":
        from kling_async.media.downloads import Downloads  # noqa: PLC0415 (many programs fetch no picture)

        networks = await self.networks()
        if self._downloads is None:
            self._open()  # it may have been closed meanwhile
            self._downloads = Downloads(self._http, networks=networks, base_url=self.base_url)
        return self._downloads

    async def _check(self, request: TaskRequest) -> dict[str, Reference]:
        references, broken = await read_inputs(request, self.dialect)
        if broken:
            raise InvalidRequest("; ".join(map(str, broken)), broken=broken)
        return references

    async def _prepare(
        self, request: ImageRequest, observer: SubmitObserver, story: TaskEvents
    ) -> tuple[SlotLease, dict[str, Reference], InvalidRequest | None]:
        # Judge the request and get slots for it. The refusal is one that a task which was made before need not heed.
        references: dict[str, Reference] = {}
        model, n = self._place_of(request)
        is_judged = False
        if observer.is_in_doubt:
            hold = self.slots.acquire_running(model, n, owner=self)
        else:
            references = await self._admit(request, observer)
            has_room = self.slots.has_room(model, n)
            is_judged = has_room or not references
            if not has_room:
                references = {}  # it is read again later: thousands may queue here, each with megabytes of Base64
                story.tell(EventKind.WAITING)
            hold = await self.slots.acquire(model, n, owner=self)
        try:
            if not is_judged:
                references = await self._admit(request, observer)
            self._open()
        except InvalidRequest as error:
            if not observer.is_in_doubt:
                hold.release()
                raise
            return hold, {}, error
        except BaseException:
            hold.release()
            raise
        return hold, references, None

    async def _admit(self, request: ImageRequest, observer: SubmitObserver) -> dict[str, Reference]:
        # Raise whatever keeps it from being sent, but for want of slots.
        references = await self._check(request)
        observer.judge(references)
        self.slots.check(IMAGE_GENERATION.slots(request))
        return references

    def _place_of(self, request: ImageRequest) -> tuple[str, int]:
        # Whose slots it takes, and how many.
        return request.model_name or self.dialect.default_model, IMAGE_GENERATION.slots(request)

    def _complete(self, request: ImageRequest) -> ImageRequest:
        # An id of ours is minted here, once per submit and outside any loop of retries.
        added: RequestByName = {}
        if self.dialect.external_ids and request.external_task_id is None:
            added["external_task_id"] = str(uuid.uuid4())
        if self.dialect.names_default_model and request.model_name is None:
            added["model_name"] = self.dialect.default_model
        return attrs.evolve(request, **added) if added else request

    def _watch(self, handle: TaskHandle) -> None:
        if self._state is not _State.CLOSED:
            self._open()
        self._poller.watch(handle)

    def _story_of(self, result: TaskResult) -> TaskEvents:
        handle = self._known.get(result.task_id)
        return handle.story if handle is not None else self._publisher.pick_up(result.task_id)

    async def _renew(self, result: TaskResult) -> TaskResult:
        seen = await self.get(result.task_id)
        return TaskResult(result.task_id, seen.task_result.images, seen)

    async def _outcome(self, index: int, item: ImageRequest | str) -> Done | Failed:
        request = None
        try:
            request = _make_request(item, {})
            return Done(index, None, request, await self.generate(request))
        except KlingError as error:
            return Failed(index, None, request, attrs.evolve(error))  # a copy: a traceback would keep pictures alive


def _check_kinds(**given: object) -> None:
    for name, value in given.items():
        kind, may_be_none = _KINDS[name]
        if value is not None or not may_be_none:
            rule = f"must be of the class {kind.__module__.partition('.')[0]}.{kind.__name__}"
            check_kind(name, value, kind, rule + (", or None" if may_be_none else ""))


_KINDS: Final[Mapping[str, tuple[type, bool]]] = {
    "dialect": (Dialect, True),
    "session": (aiohttp.ClientSession, True),  # one that retries by itself would pay twice
    "http": (HttpOptions, False),
    "retry": (RetryPolicy, False),
    "polling": (PollPolicy, False),
    "callbacks": (CallbackReceiver, True),
}
"""
Of which class the arguments of a client must be, and whether each may be None.
"""


def _make_request(request: object, fields: RequestByName) -> ImageRequest:
    if unknown := fields and fields.keys() - attrs.fields_dict(ImageRequest).keys():
        broken = tuple(BrokenRule(field, "…", "is no field of an ImageRequest") for field in sorted(unknown))
        raise InvalidRequest("; ".join(map(str, broken)), broken=broken)
    match request:
        case str():
            asked = ImageRequest(request)
        case ImageRequest():
            asked = request
        case _:
            broken = (BrokenRule("request", f"<{type(request).__name__}>", "must be a prompt or an ImageRequest"),)
            raise InvalidRequest(str(broken[0]), broken=broken)
    return attrs.evolve(asked, **fields) if fields else asked


def _refuse_while_loading() -> None:
    # A process of a pool loads the program's main module first, and would do, and pay for, all that is in it once more.
    processes = sys.modules.get("multiprocessing.process")
    if processes is not None and getattr(processes.current_process(), "_inheriting", False):
        what = "a process that this program has begun loads the program, and must not run it again"
        raise RuntimeError(f'{what}: begin it under `if __name__ == "__main__":`')


def _closed() -> ClientClosed:
    return ClientClosed("the client is closed; make a new one")
