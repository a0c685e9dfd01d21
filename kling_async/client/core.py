"""
The core of a client, on which `KlingClient` and `Batch` are built: validate, acquire slots, send, watch.
"""

import asyncio
import enum
import functools
import secrets
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import aiohttp

from kling_async.client.budget import Budget
from kling_async.client.calls.free_calls import FreeCalls
from kling_async.client.calls.one_shot import OneShotCalls
from kling_async.client.delivery import SubmitObserver
from kling_async.client.delivery_factory import DeliveryFactory, body_of
from kling_async.client.events import EventKind, EventPublisher, OnEvent
from kling_async.client.handle import TaskHandle
from kling_async.client.known_tasks import KnownTasks
from kling_async.client.limits.bucket import SlotLease
from kling_async.client.limits.limiter import Slots
from kling_async.client.polling.poller import Poller
from kling_async.client.polling.queries import HttpStatusQueries
from kling_async.client.polling.strategy import strategy_for
from kling_async.client.result_files import ResultFiles
from kling_async.client.spending import Spending
from kling_async.client.submission import Submission
from kling_async.client.submitter import Submitter
from kling_async.client.transport import Transport
from kling_async.client.turns import Turns
from kling_async.errors import BrokenRule, ClientClosed, InvalidRequest
from kling_async.media.input_files import Reference, read_inputs
from kling_async.policy.http import HttpOptions
from kling_async.policy.policies import PollPolicy, RetryPolicy
from kling_async.wire.auth import Credentials
from kling_async.wire.dialects import Dialect
from kling_async.wire.endpoints.base import Endpoint, TaskRequest, sources_of
from kling_async.wire.endpoints.inputs import describe_source
from kling_async.wire.endpoints.registry import endpoint_of
from kling_async.wire.tasks import TaskSnapshot

if TYPE_CHECKING:
    from kling_async.client.callbacks.receiver import CallbackReceiver
    from kling_async.client.callbacks.router import CallbackRouter

__all__ = ["ClientCore", "State"]

NO_DIGESTS: Final[Mapping[str, str]] = {}

HAS_CHANGED: Final = "has changed since it was added; put the old file back, or begin a new journal"


class State(enum.Enum):
    """
    Whether a client can be used.
    """

    NEW = "new"
    OPEN = "open"
    CLOSED = "closed"


class ClientCore:
    """
    One account at one host, bound to the event loop in which it is first used.

    Attributes:
        base_url, dialect, slots, callbacks: The arguments of `KlingClient`, or the values that it found.
        spending: What it spends.
        transport: Sends its requests.
        submitter: Its submits that have slots and no answer yet.
        calls: Its paid calls that create no task, and have no answer yet.
        free_calls: Makes calls that cost nothing.
        tasks: The tasks that it knows.
        files: Saves and reads the files of its tasks.
        state: Changed by `open` and `aclose`.
        loop: The event loop that it belongs to; None until it is opened.
        on_open: Called once, when it is opened.
    """

    state: State = State.NEW  # of the class: `__del__` reads it even if `__init__` failed
    _router: "CallbackRouter | None" = None

    def __init__(  # noqa: PLR0913 (those of `KlingClient`)
        self,
        credentials: Credentials,
        base_url: str,
        dialect: Dialect,
        slots: Slots,
        http: HttpOptions,
        retry: RetryPolicy,
        polling: PollPolicy,
        *,
        session: aiohttp.ClientSession | None,
        callbacks: "CallbackReceiver | None",
        on_event: OnEvent | None,
        budget: Budget | None,
    ) -> None:
        self._publisher = EventPublisher(on_event)
        self.base_url: Final = base_url
        self.dialect: Final = dialect
        self.slots: Final = slots
        self.callbacks: Final = callbacks
        self.spending: Final = Spending(dialect, budget)
        keepalive = 2 * polling.max_delay + 5  # longer than the longest pause between two polls
        self.transport: Final = Transport(base_url, http, retry, keepalive, credentials, session)
        queries = HttpStatusQueries(self.transport, polling.answer_timeout, dialect)
        self._poller = Poller(polling, queries, functools.partial(strategy_for, dialect))
        if callbacks is not None:
            from kling_async.client.callbacks.router import CallbackRouter  # noqa: PLC0415 (most programs have none)

            self._router = CallbackRouter(callbacks, self._poller)
        self._deliveries = DeliveryFactory(self.transport, self.spending, self._router)
        self.tasks: Final = KnownTasks(self.transport, dialect, self.spending, self._publisher, self.open, self._watch)
        turns = Turns(4 * http.max_connections)
        self.submitter: Final = Submitter(self._poller, self.tasks, slots.policy.uncertain_for, turns)
        self.calls: Final = OneShotCalls(self.transport, self.spending, self.open)
        self.free_calls: Final = FreeCalls(self.transport, dialect, self.open)
        self.files: Final = ResultFiles(base_url, http, self.open, self.tasks.get, self.tasks.events_of)
        self.loop: asyncio.AbstractEventLoop | None = None
        self.on_open: Callable[[], object] = bool  # does nothing

    def __repr__(self) -> str:
        host = urlsplit(self.base_url).netloc
        counts = f"{len(self.submitter)} submitting, {len(self.tasks.unfinished)} unfinished"
        return f"<KlingClient {host} ({self.dialect.name}), {self.state.value}, {counts}>"

    def __del__(self) -> None:
        if self.state is State.OPEN:
            what = f"{self!r} was dropped while open; close it with `aclose()`"
            warnings.warn(what, ResourceWarning, stacklevel=2, source=self)

    def open(self) -> None:
        """
        Open for use in the running loop, unless it is open.

        Raises:
            ClientClosed: It was closed.
            RuntimeError: It belongs to another event loop.
        """
        if self.state is State.CLOSED:
            raise _closed()
        loop = asyncio.get_running_loop()
        if self.loop is None:
            _refuse_while_loading()
            self.loop, self.state = loop, State.OPEN
            if self._router is not None:
                self._router.attach()
            self.on_open()
        elif self.loop is not loop:
            raise RuntimeError("this client belongs to another event loop; make one for each `asyncio.run`")

    async def aclose(self) -> None:
        """
        Close as `KlingClient.aclose` does. Safe to call twice.
        """
        if self.state is State.CLOSED:
            return
        self.state = State.CLOSED
        try:
            self.slots.fail_waiters(self, _closed)
            await asyncio.gather(self.submitter.aclose(), self.calls.aclose())
        finally:
            if self._router is not None:
                self._router.detach()
            await self._poller.aclose()
            self.submitter.release()
            self.tasks.timeouts.close()
            await self.files.aclose()
            await self.transport.aclose()

    async def submit_observed(
        self,
        request: TaskRequest,
        observer: SubmitObserver,
        *,
        owns_id: bool = False,
        digests: Mapping[str, str] = NO_DIGESTS,
    ) -> TaskHandle:
        """
        Submit as `KlingClient.submit` does, and let *observer* record each step.

        Args:
            owns_id: Whether no other program can have used the request's `external_task_id`.
            digests: SHA-256 that the files of *request* must have, by field.
        """
        self.open()
        endpoint = endpoint_of(type(request))
        events = self._publisher.begin(endpoint, request)
        try:
            files = await _validate(endpoint, request, digests, self.dialect, self.slots)
            self.open()  # it may have been closed meanwhile
            lease = self.slots.acquire_now(endpoint.bucket(request, self.dialect), endpoint.slots(request), owner=self)
            if lease is None:
                self.spending.check(endpoint, request)  # rather than after a long wait
                events.publish(EventKind.WAITING)
                has_files, files = bool(files), {}  # thousands may wait here, each with megabytes of Base64
                lease, files = await self._wait_for_slots(endpoint, request, digests, has_files=has_files)
            if self.submitter.turns.taken >= self.submitter.turns.width:
                await self._wait_for_turn(lease)
            now = asyncio.get_running_loop().time()
            submission = Submission(request.external_task_id, owns_id=owns_id, sent_at=now)
            if request.external_task_id is None and self.dialect.external_ids and endpoint.external_ids:
                submission.external_id, submission.owns_id = secrets.token_hex(16), True
            delivery = self._deliveries.make(endpoint, request, submission, lease, observer, events, None, files)
        except BaseException as error:
            self.submitter.turns.admit()  # it may have had a turn, and does not use it
            events.publish(EventKind.NO_TASK, error=error)
            raise
        return await self.submitter.run(delivery, delivery.send)

    async def recover(
        self,
        request: TaskRequest,
        observer: SubmitObserver,
        *,
        sent_at: float | None,
        submit_key: str | None,
        owns_id: bool = False,
        digests: Mapping[str, str] = NO_DIGESTS,
    ) -> TaskHandle:
        """
        Find the task of a submit that an earlier run has sent without learning the outcome. If the service certainly
        has none, send it again.

        Its slots are taken at once, even above the limit, since its task may be running. It is looked up by the
        request's external id; if that is not possible, only callbacks can show its task.

        Args:
            sent_at: When it was sent, in Unix time; None if unknown.
            submit_key: Of its callbacks; None if it had none.
            owns_id, digests: As for `submit_observed`.

        Raises:
            SubmissionUncertain: A task may exist, and its fate could not be determined.
            KlingError: As `submit_observed`; no task was created.
        """
        self.open()
        endpoint, now = endpoint_of(type(request)), asyncio.get_running_loop().time()
        submission = Submission.of_earlier_run(request.external_task_id, sent_at, time.time(), now)
        submission.owns_id = owns_id
        lease = self._acquire_running(endpoint, request)
        events = self._publisher.begin(endpoint, request)
        delivery = self._deliveries.make(endpoint, request, submission, lease, observer, events, submit_key)
        delivery.counterpart = delivery.endpoint.counterpart(self.dialect)  # the dialect may have been another then

        async def find_or_send() -> TaskSnapshot:
            snapshot = await delivery.find()
            if snapshot is not None:
                return snapshot
            files = await _validate(endpoint, request, digests, self.dialect, self.slots)
            delivery.charge_anew()
            delivery.body = body_of(delivery, files)
            return await delivery.send()

        return await self.submitter.run(delivery, find_or_send)

    def resume(
        self, task_id: str, request: TaskRequest, observer: SubmitObserver, submit_key: str | None = None
    ) -> TaskHandle:
        """
        Take over a task that an earlier run had submitted: its slots count at once, and it is polled until its end.

        Args:
            submit_key: Of its callbacks; None if it had none.

        Raises:
            InvalidRequest: No task can have this id.
        """
        self.open()
        endpoint = endpoint_of(type(request))
        endpoint.one(task_id)  # rejects text that cannot be an id
        submission = Submission(request.external_task_id)
        lease = self._acquire_running(endpoint, request)
        events = self._publisher.begin(endpoint, request)
        delivery = self._deliveries.make(endpoint, request, submission, lease, observer, events, submit_key)
        return self.submitter.resume(delivery, task_id)

    async def _wait_for_slots(
        self, endpoint: Endpoint[Any], request: TaskRequest, digests: Mapping[str, str], *, has_files: bool
    ) -> tuple[SlotLease, Mapping[str, Reference]]:
        # Wait, then read the files again.
        files: Mapping[str, Reference] = {}
        lease = await self.slots.acquire(endpoint.bucket(request, self.dialect), endpoint.slots(request), owner=self)
        try:
            if has_files:
                files = await _validate(endpoint, request, digests, self.dialect, self.slots)
            self.open()
        except BaseException:
            lease.release()
            raise
        return lease, files

    async def _wait_for_turn(self, lease: SlotLease) -> None:
        try:
            await self.submitter.turns.wait()
            self.open()
        except BaseException:
            lease.release()
            raise

    def _acquire_running(self, endpoint: Endpoint[Any], request: TaskRequest) -> SlotLease:
        return self.slots.acquire_running(endpoint.bucket(request, self.dialect), endpoint.slots(request), owner=self)

    def _watch(self, handle: TaskHandle) -> None:
        if self.state is not State.CLOSED:
            self.open()
        self._poller.watch(handle)


async def _validate(
    endpoint: Endpoint[Any], request: TaskRequest, digests: Mapping[str, str], dialect: Dialect, slots: Slots
) -> Mapping[str, Reference]:
    # Raise all that keeps the request from being sent, except a lack of slots; return its files, by field.
    files, broken = await read_inputs(request, dialect)
    if digests and not broken:
        sources = sources_of(endpoint, request)
        broken = tuple(
            BrokenRule(place, describe_source(sources.get(place)), HAS_CHANGED)
            for place, digest in digests.items()
            if place not in files or files[place].sha256 != digest
        )
    if broken:
        raise InvalidRequest("; ".join(map(str, broken)), broken=broken)
    if slots.limit is not None:
        slots.check(endpoint.slots(request))
    return files


def _refuse_while_loading() -> None:
    # A process of a pool first loads the program's main module: without this check it would run and pay for it all
    # again.
    processes = sys.modules.get("multiprocessing.process")
    if processes is not None and getattr(processes.current_process(), "_inheriting", False):
        what = "a process that this program started loads the program, and must not run it again"
        raise RuntimeError(f'{what}: begin it under `if __name__ == "__main__":`')


def _closed() -> ClientClosed:
    return ClientClosed("the client is closed; create a new one")
