"""
A batch: many requests and the journal of them, so that each is ended once, whatever comes in between.
"""

import asyncio
import collections
import contextlib
import inspect
import itertools
import logging
import os
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Container,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
)
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import attrs

from kling_async.batch.executors import Executor, LocalExecutor, Process, RemoteExecutor
from kling_async.batch.function_calls import describe_error, unpickle_value
from kling_async.batch.journal import Account, Entry, Journal
from kling_async.batch.records import KEY_MAX, Row, State, Summary, external_id_of, may_try_again
from kling_async.batch.savers import CollidingKeys, LocalSaver, RemoteSaver, Saver, all_of, check_saving
from kling_async.client.callbacks.receiver import CallbackReceiver
from kling_async.client.client import KlingClient
from kling_async.client.handle import TaskHandle
from kling_async.client.outcomes import Done, Failed
from kling_async.client.retries import is_no_api
from kling_async.client.stream import fan_out
from kling_async.client.submitter import CLOSE_TIMEOUT, SubmitObserver
from kling_async.errors import (
    AccountProblem,
    BrokenRule,
    ClientClosed,
    InvalidRequest,
    JournalCorrupt,
    JournalLocked,
    KlingError,
    NotAllowed,
    NotAuthenticated,
    NotSent,
    ProcessFailed,
    StorageFull,
    SubmissionUncertain,
    TaskFailed,
    TaskNotFound,
    UnexpectedAnswer,
)
from kling_async.media.naming import Names
from kling_async.media.references import Reference, ReferenceCache, read_inputs
from kling_async.media.saved_files import SavedFile
from kling_async.media.semaphore import Gate
from kling_async.media.storage import Storage
from kling_async.policy.arguments import check_flag, check_kind, check_many, check_timeout, check_whole, refuse
from kling_async.wire.endpoints.image_generation import ImageRequest
from kling_async.wire.endpoints.rules import HALF_A_PAIR, WHOLE_CHARACTERS
from kling_async.wire.tasks import TaskResult, TaskSnapshot, last_seen

__all__ = ["Added", "Batch", "Keyed"]

CHUNK: Final = 500
"""
Rows that are added or read at a time.
"""

CHUNK_BYTES: Final = 2**24
"""
Characters of reference images that are added at a time, however few rows that is.
"""

IMAGES: Final = 32
"""
Reference images in memory at a time, of rows of one model that wait for a slot or are being sent.
"""

CHECKED: Final = 32
"""
Rows of which it is asked at a time whether their pictures are still there: in a storage each is a request.
"""

RESUMED: Final = 50
"""
Number of an earlier run's tasks that are taken over in one iteration of the event loop, which takes some milliseconds.
"""

READ: Final = 8
"""
Reference images that are kept in memory while an input is added.
"""

MAX_CONSECUTIVE_FAILURES: Final = 20
"""
After so many submits in a row that failed for a passing cause or are uncertain, with none accepted, the cause is taken
to last.
"""

_T = TypeVar("_T")
_log = logging.getLogger(__name__)


@attrs.frozen
class Keyed:
    """
    A request with a key of your own: one key is one request, however often it is added to a journal.

    Attributes:
        key: At most 200 characters; files can be named by it.
    """

    request: ImageRequest | str
    key: str


@attrs.frozen
class Added:
    """
    What adding an input did.

    Attributes:
        new: Rows that were not in the journal.
        known: Rows that were.
        missing: Rows of the journal that are still to be sent and are not in this input; see `Batch.drop_missing`.
    """

    new: int
    known: int
    missing: int


class Batch:
    """
    Many requests, and a journal of how far each has come: after a crash the same program goes on where it was.

        async with KlingClient() as client, Batch("run.kling", client) as batch:
            await batch.add(prompts)
            async for outcome in batch.run(save_to="pictures/"):
                ...

    The client is borrowed. One process at a time works on a journal; it belongs to the account, host and dialect with
    which it was begun. A client with callbacks makes its addresses from a key in the journal, so that callbacks of
    tasks of an earlier run are known.

    Args:
        path: The journal, an SQLite file; made where it is missing, for the eyes of its owner alone.
        rebind: Go on though the key, the base URL or the dialect is another than the journal's. It belongs to the new
            one then. What was sent before is kept: such a row is never sent again by itself, and goes on where the same
            base URL knows its task under the new key, or in a run with the old key and `rebind=True`. A journal from
            which nothing was sent yet needs no `rebind`.
        clock: Unix time in seconds, for the record; nothing depends on it.
    """

    def __init__(
        self, path: str | Path, client: KlingClient, *, rebind: bool = False, clock: Callable[[], float] = time.time
    ) -> None:
        check_kind("path", path, (str, os.PathLike), "must be the path of a journal")
        check_kind("client", client, KlingClient, "must be a KlingClient")
        check_flag("rebind", rebind)
        if not callable(clock):
            refuse("clock", f"<{type(clock).__name__}>", "must be a function that returns Unix time in seconds")
        self.path: Final = Path(path)
        self._client = client
        self._rebind = rebind
        self._clock = clock
        self._journal: Journal | None = None
        self._run: _Run | None = None
        self._preparing: set[asyncio.Event] = set()  # runs that ask their engine; set, they end
        self._generation = 0
        self._is_closed = False
        self._witnesses: set[JournalObserver] = set()  # of what may be at the service, and is not known to be

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else "new" if self._journal is None else "open"
        return f"<Batch {str(self.path)!r}, {state}{', running' if self._run is not None else ''}>"

    async def __aenter__(self) -> Self:
        """
        Open the journal.

        Raises:
            JournalLocked: Another process works on it.
            JournalMismatch: Something was sent from it with another key, base URL or dialect, and `rebind` is not set;
                or a later version made it.
            JournalCorrupt: It is no journal, is damaged, or lacks a part.
            StorageFull: There is no room for it.
            OSError: It cannot be opened or written.
        """
        if self._journal is not None or self._is_closed:
            raise RuntimeError("this batch was opened before; make a new one")
        client = self._client
        account = Account(client.base_url, client.dialect.name, client.fingerprint)
        journal = await _opened(self.path, account, rebind=self._rebind)
        try:
            await _agree_on_token_key(journal, client.callbacks)
        except BaseException:
            await journal.aclose()
            raise
        self._journal = journal
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """
        Close the journal. Safe to call twice. Submits on their way get up to 10 s to learn their task's id; a run that
        is under way ends in RuntimeError.

        Raises:
            StorageFull: Ids of accepted tasks could not be written; they are in the log.
        """
        if self._is_closed:
            return
        self._is_closed = True
        self.stop()
        if self._journal is not None:
            try:
                if self._run is not None:
                    await self._run.aclose()
                await self._settle()
            finally:
                await self._journal.aclose()

    async def add(
        self,
        requests: Iterable[ImageRequest | str | Keyed] | AsyncIterable[ImageRequest | str | Keyed],
    ) -> Added:
        """
        Add requests to the journal. Nothing is sent. What is in it already is not added again: a row is known by its
        key, or by its request and how many equal ones went before it in this input.

        The input is read lazily and in constant memory. What was added before an error stays added.

        Raises:
            InvalidRequest: A request breaks rules, all of which are listed; or its key is that of another request, or
                its reference image has changed since it was added.
            StorageFull: There is no room.
        """
        journal = self._open()
        check_many("add", requests)
        generation = await journal.begin_input()
        new = known = index = 0
        chunk: list[Entry] = []
        size = 0
        library = ReferenceCache(READ)
        async for item in _items(requests):
            entry = await self._entry_of(item, index, library)
            index += 1
            size += len(entry.image_base64 or "")
            chunk.append(entry)
            if len(chunk) >= CHUNK or size >= CHUNK_BYTES:
                counts = await journal.add(chunk, generation, self._clock())
                new, known, chunk, size = new + counts[0], known + counts[1], [], 0
        if chunk:
            counts = await journal.add(chunk, generation, self._clock())
            new, known = new + counts[0], known + counts[1]
        self._generation = generation  # now that all of the input has been seen
        return Added(new, known, await journal.missing(generation))

    async def drop_missing(self) -> int:
        """
        Forget the rows that are still to be sent and were not in the input that was added last; return how many.

        Raises:
            RuntimeError: No whole input was added yet, or the batch is running: what it is about to send must be known.
        """
        journal = self._open()
        if not self._generation:
            raise RuntimeError("no input was added yet, so that all rows would be missing in it")
        if self._run is not None:
            raise RuntimeError("this batch is running: forget rows before or after")
        return await journal.drop_missing(self._generation)

    async def run(
        self,
        save_to: str | Path | Storage | None = None,
        *,
        name: str = "{task_id}-{index}{ext}",
        max_attempts: int = 1,
        timeout: float | None = 3600.0,
        resend_uncertain: bool = False,
        process: Process | None = None,
        executor: Executor | RemoteExecutor | None = None,
    ) -> AsyncGenerator[Done | Failed, None]:
        """
        Bring every row to its end, and yield the outcomes of this run as they come; one failure never stops the others.

        Tasks that an earlier run had accepted are watched again. A row that may have been sent is looked up first;
        where that is not possible it is uncertain, told as `Failed` with SubmissionUncertain, and never sent again by
        itself. A picture that cannot be saved is tried again by the next run, as is a row that failed for a passing
        cause.

        Leaving the loop early stops the run as a crash would, but in good order; close it with `contextlib.aclosing`.

        Args:
            save_to: A folder for the pictures, or with the extra `storage` a place in any storage that fsspec reaches:
                its URL, or a `kling_async.media.storage.Storage` with options. None saves none.
            name: Of the files, with `{task_id}`, `{key}`, `{index}` and `{ext}`. A key that differs from an earlier
                one only by case or Unicode form gets a digest, because macOS and Windows would use one file for both.
            max_attempts: How often a row is sent in this run, where it fails for a passing cause.
            timeout: Seconds to wait for each task, from acceptance; a row that was not final in time stays accepted.
                None waits for ever.
            resend_uncertain: Send uncertain rows again, though each may then be paid twice.
            process: A function that is called with each picture once it is saved, and with its
            `executor.FileInfo`. A
                picture comes as its `Path`, or as bytes where it went to a storage. What it returns is pickled into the
                journal, and is in `Done.value`; a row on whose picture it fails is told as `Failed` with ProcessFailed,
                and the next run that has a function calls that for what has no value yet.
            engine: Where it is called, borrowed; None is an `executor.LocalExecutor()` for this run. One that is an
                `executor.RemoteExecutor`, such as `kling_async.integrations.dask.DaskExecutor`, fetches and stores the
                pictures as well.

        Raises:
            AccountProblem: So the submitting was stopped; what was under way was ended and yielded before. The rows are
                still to be sent. The same holds for the following.
            NotAuthenticated: The key is not accepted any more.
            NotSent: No connection could be made for as long as `RetryPolicy` allows.
            StorageFull: There is no room for pictures, or for the journal.
            OSError: The journal cannot be written any more, or, to a carrier, the folder for pictures; or a storage
                cannot be opened, or does not tell whether pictures of an earlier run are there.
            JournalCorrupt: The journal was moved away.
            ClientClosed: The client was closed.
            EngineLost: The engine is gone, or cannot do its work.
            SubmissionUncertain: 20 submits in a row failed for a passing cause or ended without an answer, this one
                last. They are uncertain; the rows that were not sent yet are still to be sent.
            KlingError: The same, where the last of them failed for a passing cause.
            InvalidRequest: `max_attempts`, `timeout`, `resend_uncertain` or `name` is of a wrong kind or out of bounds.
            ValueError: `name` is no template for names, or gives two pictures one file; or `save_to` is no storage; or
                `process` cannot be pickled, or comes with no `save_to`.
            ImportError: A library for the storage is missing.
        """
        self._idle()
        check_whole("max_attempts", max_attempts)
        check_timeout("timeout", timeout)
        check_flag("resend_uncertain", resend_uncertain)
        _check_saving(save_to, name, process, executor)
        async with LocalExecutor() as own:  # begins no process where there is no function
            try:
                saving = await self._unless_stopped(self._saving(save_to, name, process, executor, own))
            except _Stopped:
                self._open()
                return
            journal = self._idle()  # still: an engine may have taken its time
            run = self._run = _Run(
                client=self._client,
                journal=journal,
                observers=self._witnesses,
                clock=self._clock,
                saving=saving,
                max_attempts=max_attempts,
                timeout=timeout,
                resends_uncertain=resend_uncertain,
            )
            try:
                async with (
                    saving or contextlib.nullcontext(),
                    contextlib.aclosing(fan_out(run.rows(), run.serve, run.width)) as outcomes,
                ):
                    async for outcome in outcomes:
                        if outcome is not None:
                            yield outcome
                if run.reason is not None:
                    raise run.reason
            finally:
                run.stop()
                try:
                    await self._settle()
                finally:
                    self._run = None

    def stop(self) -> None:
        """
        Submit nothing more; `run` ends when what is under way has ended. Without a run this does nothing.
        """
        if self._run is not None:
            self._run.stop()
        for stopped in self._preparing:
            stopped.set()

    async def outcomes(self) -> AsyncGenerator[Done | Failed, None]:
        """
        Yield the outcomes of all runs, in the order of the input; rows without one yet are left out.
        """
        journal = self._open()
        async for row in _pages(journal):
            request = await _request_of(row, journal)
            match row:
                case Row(state=State.FINISHED | State.SAVED, snapshot=TaskSnapshot() as snapshot):
                    yield _done(row, request, snapshot, row.pictures)
                case Row(error=KlingError() as error):
                    yield Failed(row.position, row.key, request, error)

    async def summary(self) -> Summary:
        """
        Return the batch in numbers.
        """
        return await self._open().summary()

    def _open(self) -> Journal:
        if self._journal is None or self._is_closed:
            raise RuntimeError("this batch is not open: use `async with`")
        return self._journal

    def _idle(self) -> Journal:
        journal = self._open()
        if self._run is not None:
            raise RuntimeError("this batch is running already")
        return journal

    async def _unless_stopped(self, work: Coroutine[Any, Any, _T]) -> _T:
        # An engine may take minutes to answer, and a stop should not wait for that.
        stopped, aio_task = asyncio.Event(), asyncio.ensure_future(work)
        self._preparing.add(stopped)
        stop = asyncio.ensure_future(stopped.wait())
        try:
            await asyncio.wait([aio_task, stop], return_when=asyncio.FIRST_COMPLETED)
            if stopped.is_set():
                raise _Stopped("the run was stopped before it began")
            return aio_task.result()
        finally:
            self._preparing.discard(stopped)
            for one in (aio_task, stop):
                one.cancel()
            await asyncio.gather(aio_task, stop, return_exceptions=True)

    async def _saving(
        self,
        save_to: str | Path | Storage | None,
        name: str,
        process: Process | None,
        executor: Executor | RemoteExecutor | None,
        own: LocalExecutor,
    ) -> LocalSaver | RemoteSaver | None:
        if save_to is None:
            return None
        destination = await check_saving(save_to, process, executor or (None if process is None else own))
        journal, client = self._open(), self._client
        mark, keys = journal.id, CollidingKeys(journal.colliding_keys)
        if isinstance(executor, RemoteExecutor):
            return RemoteSaver(
                client=client,
                destination=destination,
                name=name,
                mark=mark,
                function=process,
                colliding_keys=keys,
                executor=executor,
            )
        return LocalSaver(
            client=client,
            destination=destination,
            name=name,
            mark=mark,
            function=process,
            colliding_keys=keys,
            executor=executor or own,
        )

    async def _settle(self) -> None:
        if self._witnesses:
            await asyncio.wait([observer.is_over for observer in self._witnesses], timeout=CLOSE_TIMEOUT)

    async def _entry_of(self, item: object, index: int, library: ReferenceCache) -> Entry:
        key = None
        if isinstance(item, Keyed):
            key, item = item.key, item.request
        request = ImageRequest(item) if isinstance(item, str) else item
        broken = list(_broken_key(key))
        reference = None
        if not isinstance(request, ImageRequest):
            what = "must be a prompt, an ImageRequest, or a Keyed one"
            broken.append(BrokenRule("request", f"<{type(request).__name__}>", what))
        else:
            references, more = await read_inputs(request, self._client.dialect, library)
            reference = references.get("image")
            broken += more
            if not any(rule.field == "n" for rule in broken):
                try:
                    self._client.slots.check(request.n)
                except InvalidRequest as error:
                    broken += error.broken
        if broken or not isinstance(request, ImageRequest):
            told = "; ".join(map(str, broken))
            raise InvalidRequest(f"request {index} (from 0) cannot be added: {told}", broken=tuple(broken))
        if reference is None or reference.sha256 is None:
            return Entry(request=request, key=key)
        if isinstance(request.image, Path):
            return Entry(request=request, key=key, image_sha256=reference.sha256)
        kept = attrs.evolve(request, image=None)
        return Entry(request=kept, key=key, image_sha256=reference.sha256, image_base64=reference.text)


class JournalObserver(SubmitObserver):
    """
    Writes what becomes of one attempt of a row.
    """

    def __init__(self, run: "_Run", row: Row, attempt: int) -> None:
        self.is_in_doubt = row.state in (State.SENDING, State.UNCERTAIN)
        self.submit_key = row.submit_key
        self.sent_at = row.sent_at
        self.key = row.key
        self.task_id = row.task_id
        self.attempt = attempt
        self.position = row.position
        self.is_intended = self.is_in_doubt
        self.is_sent = False  # in this run
        self.is_over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.owns_id = row.request.external_task_id is None
        self.external_task_id = row.external_task_id or row.request.external_task_id
        if self.external_task_id is None and run.client.dialect.external_ids:
            self.external_task_id = external_id_of(run.journal.id, row.position, row.key, attempt)
        self._run = run
        self._row = row

    def judge(self, references: Mapping[str, Reference]) -> None:
        expected, reference = self._row.image_sha256, references.get("image")
        if expected is not None and (reference is None or reference.sha256 != expected):
            rule = "has changed since it was added to the journal; put the old file back, or begin a new journal"
            broken = BrokenRule("image", repr(str(self._row.request.image)), rule)
            raise InvalidRequest(str(broken), broken=(broken,))

    async def intend(self) -> None:
        if self._run.is_stopping:
            raise _Stopped("the run was stopped before this was sent")
        self.is_intended = self.is_sent = True
        self._run.observers.add(self)
        await self._run.journal.intend(
            self.position,
            attempt=self.attempt,
            external_task_id=self.external_task_id,
            submit_key=self.submit_key,
            now=self._run.clock(),
        )

    def withdraw(self) -> None:
        self.is_intended = False
        if not self._run.journal.is_closed:
            self._run.journal.withdraw(self.position)

    def accept(self, task_id: str) -> None:
        self.task_id = task_id
        self._run.failures_in_a_row = 0
        if self._run.journal.is_closed:
            _log.warning("task %s of row %r was accepted after the journal was closed", task_id, self._row.key)
        else:
            self._run.journal.accept(self.position, task_id, self._run.clock())

    def hear(self, told: TaskSnapshot) -> None:
        if not self._run.journal.is_closed:
            self._run.journal.hear(self.position, told)

    def end(self) -> None:
        self._run.observers.discard(self)
        if not self.is_over.done():
            self.is_over.set_result(None)


@attrs.define(eq=False, kw_only=True)
class _Run:
    """
    One run of a batch: which rows are to be served, and how.

    Attributes:
        reason: Why nothing more is submitted; None while all goes well, and where it was stopped by choice.
        is_stopping: Whether nothing more is submitted.
    """

    client: KlingClient
    journal: Journal
    observers: set[JournalObserver]
    clock: Callable[[], float]
    saving: Saver | None
    max_attempts: int
    timeout: float | None
    resends_uncertain: bool
    reason: Exception | None = attrs.field(default=None, init=False)
    is_stopping: bool = attrs.field(default=False, init=False)
    failures_in_a_row: int = attrs.field(default=0, init=False)
    _is_closed: bool = attrs.field(default=False, init=False)
    _resumed: dict[int, tuple[TaskHandle, JournalObserver]] = attrs.field(factory=dict, init=False)
    # Who serves a row, and of what it is submitting now.
    _serving: "dict[asyncio.Task[Any], JournalObserver | None]" = attrs.field(factory=dict, init=False)
    # By model, since each has slots of its own.
    _images: "collections.defaultdict[str | None, Gate]" = attrs.field(
        factory=lambda: collections.defaultdict(lambda: Gate(IMAGES)), init=False
    )

    def width(self) -> int:
        """
        How many rows may be under way: those that take slots, as many that wait for them, and some that are saved.
        """
        slots = self.client.slots
        limit = max((usage.limit for usage in slots.values()), default=slots.limit or slots.policy.start)
        return 2 * limit + (self.saving.width if self.saving is not None else 0)

    def stop(self) -> None:
        """
        Submit nothing more. What surely is not at the service is not sent; the rest goes on.
        """
        self.is_stopping = True
        for aio_task, observer in self._serving.items():
            if observer is not None and not observer.is_intended:
                aio_task.cancel()

    async def aclose(self) -> None:
        """
        Cut off what is under way, in good order.
        """
        self._is_closed = True
        self.reason = self.reason or RuntimeError("the batch was closed while it was running")
        self.stop()
        for aio_task in self._serving:
            aio_task.cancel()
        if self._serving:
            await asyncio.wait(tuple(self._serving))

    async def rows(self) -> AsyncIterator[Row]:
        """
        Yield what is to be served: first what is at the service or may be, then what is to be saved, then the rest, and
        when all that is done what may never be known, since that may wait in vain.
        """
        begun = [row async for row in self._pages(State.ACCEPTED)]
        await self._resume_all(row for row in begun if row.kept_for is None)
        on_their_way = {observer.position for observer in self.observers}  # of an earlier run, which may yet tell
        begun += [row async for row in self._pages(State.SENDING) if row.position not in on_their_way]
        uncertain = {row.position async for row in self._pages(State.UNCERTAIN)}
        taken = uncertain.union(row.position for row in begun)
        for row in begun:
            yield row
        for rest in (self._to_save(taken), self._to_send(taken), self._to_ask(uncertain)):
            async for row in rest:
                if self.is_stopping:
                    return
                yield row

    async def _resume_all(self, rows: Iterable[Row]) -> None:
        # Before anything is sent: their tasks take slots, whether they are waited for or not.
        for index, row in enumerate(rows, 1):
            self._resume(row)
            if not index % RESUMED:
                await asyncio.sleep(0)

    async def _to_save(self, taken: Container[int]) -> AsyncIterator[Row]:
        if self.saving is None:
            return
        ended = (row async for row in self._pages(State.FINISHED, State.SAVED) if row.position not in taken)
        while rows := [row async for row in _first(ended, CHECKED)]:
            for unsaved in await asyncio.gather(*(self._unsaved(self.saving, row) for row in rows)):
                if unsaved is not None:
                    yield unsaved

    async def _to_send(self, taken: Container[int]) -> AsyncIterator[Row]:
        async for row in self._pages(State.QUEUED, State.FAILED):
            if row.position not in taken and (row.state is State.QUEUED or row.may_retry):
                yield row

    async def _to_ask(self, uncertain: set[int]) -> AsyncIterator[Row]:
        while uncertain and self._serving:  # asked for earlier, they would take slots from others
            await asyncio.wait(tuple(self._serving))
        async for row in self._pages(State.UNCERTAIN):
            if row.position in uncertain:  # not those that became so in this run
                yield row

    async def serve(self, _: int, row: Row) -> Done | Failed | None:
        """
        Bring a row to its end; None where it has none in this run.
        """
        aio_task = _this_task()
        self._serving[aio_task] = None
        try:
            return None if self._is_closed else await self._serve(row)
        except asyncio.CancelledError:
            if not self.is_stopping:  # else we have cancelled it
                raise
        except Exception as error:  # noqa: BLE001 (whatever it is, it is raised when what is under way has ended)
            self._halt(error)
        finally:
            del self._serving[aio_task]
        return None

    async def _serve(self, row: Row) -> Done | Failed | None:
        if row.kept_for is None:
            return await self._bring(row)
        claimed = await self._claimed(row)
        return await self._bring(claimed) if isinstance(claimed, Row) else claimed

    async def _bring(self, row: Row) -> Done | Failed | None:
        if row.state in (State.SENDING, State.UNCERTAIN) and not self.client.dialect.external_ids:
            if self.resends_uncertain:
                await self.journal.doubt(row.position, row.error or SubmissionUncertain("an earlier run has sent it"))
                row = await self._requeued(row)
            elif row.state is State.UNCERTAIN and row.error is not None and not self._may_hear_of(row):
                return await self._failed(row, row.error)
        for tries in itertools.count(1):
            if row.state is State.FAILED:
                row = await self._requeued(row)
            try:
                snapshot = row.snapshot if row.state in (State.FINISHED, State.SAVED) else None
                return await self._saved(row, snapshot or await self._made(row))
            except _Ended as ended:
                if ended.error is None:
                    return None
                if not ended.may_retry or tries >= self.max_attempts or self.is_stopping:
                    return await self._failed(row, ended.error)
                row = ended.row
        raise AssertionError("counting has no end")

    async def _claimed(self, row: Row) -> Row | Failed | None:
        # The row goes on if the present key finds its task, because both keys then belong to one account. Otherwise it
        # stays as it is: "not found" proves nothing about the account that sent it.
        try:
            found = await self._found(row)
        except TaskNotFound as missing:
            error = _kept(row, missing)
            if row.state is State.SENDING:
                await self.journal.doubt(row.position, error)
            if self.resends_uncertain and row.state is not State.ACCEPTED:
                return await self._requeued(row)
            return await self._failed(row, error)
        except (AccountProblem, NotAuthenticated, NotSent) as error:
            self._halt(error)
            return None
        except ClientClosed:
            raise
        except KlingError as error:
            return await self._failed(row, attrs.evolve(error))
        if row.state is State.ACCEPTED:
            await self.journal.claim(row.position)
        else:
            self.journal.accept(row.position, found.task_id, self.clock())
        row = attrs.evolve(row, state=State.ACCEPTED, task_id=row.task_id or found.task_id, kept_for=None)
        self._resume(row)
        return row

    async def _found(self, row: Row) -> TaskSnapshot:
        # At another base URL the same id may belong to another account's task.
        if row.kept_for == self.client.base_url:
            if row.task_id is not None:
                return await self.client.get(row.task_id)
            if row.external_task_id is not None and self.client.dialect.external_ids:
                return await self.client.look_up(row.external_task_id)
        raise TaskNotFound("it cannot be looked up here", row.task_id)

    async def _made(self, row: Row) -> TaskSnapshot:
        # The snapshot of the row's task, which has succeeded.
        handle, observer = self._resumed.pop(row.position, (None, None))
        if observer is None:
            observer = JournalObserver(self, row, _attempt_of(row))
        try:
            if handle is None:
                handle = await self._submit(row, observer)
            result = await handle.wait(self.timeout)
        except KlingError as error:
            raise await self._judge(row, observer, attrs.evolve(error)) from None
        except Exception as error:
            await self._doubt_unless_withdrawn(row, observer, error)
            raise
        await self.journal.finish(row.position, result.snapshot, self.clock())
        return result.snapshot

    async def _submit(self, row: Row, observer: JournalObserver) -> TaskHandle:
        if not observer.is_in_doubt:
            if self.is_stopping:
                raise _Stopped("the run was stopped before this was sent")
            if self.saving is not None:  # before it is paid for
                self.saving.check(row.request.n)
        has_image = row.is_image_kept or row.request.image is not None
        aio_task = _this_task()
        self._serving[aio_task] = observer
        try:
            async with self._images[row.request.model_name] if has_image else contextlib.nullcontext():
                request = await _request_of(row, self.journal)
                if observer.external_task_id is not None:
                    request = attrs.evolve(request, external_task_id=observer.external_task_id)
                return await self.client.submit_observed(request, observer)
        finally:
            self._serving[aio_task] = None

    async def _doubt_unless_withdrawn(self, row: Row, observer: JournalObserver, error: Exception) -> None:
        # *error* does not say whether a task was made; what was sent and not withdrawn may have become one.
        if not observer.is_sent or not observer.is_intended or observer.task_id is not None:
            return
        what = f"the task may have been accepted: {type(error).__name__} ended its submit after it was sent"
        with contextlib.suppress(KlingError, OSError, RuntimeError):  # it may be the journal that fails
            await self.journal.doubt(row.position, SubmissionUncertain(what, request=row.request))

    async def _judge(self, row: Row, observer: JournalObserver, error: KlingError) -> "_Ended":
        # Write what *error* means for the row, and tell what it means for the run.
        now, position = self.clock(), row.position
        row = attrs.evolve(
            row,
            state=State.FAILED,
            attempts=observer.attempt,
            external_task_id=observer.external_task_id,
            task_id=observer.task_id,
        )
        match error:
            case _Stopped():
                return _Ended(row, None)
            case _ if _stops_all(error):
                self._halt(error)
                await self._doubt_unless_withdrawn(row, observer, error)
                return _Ended(row, None)
            case ClientClosed() | StorageFull() | JournalCorrupt() | JournalLocked():
                raise error
            case TaskFailed():
                may_retry = may_try_again(error) and row.request.external_task_id is None
                await self.journal.fail(position, error, last_seen(error), now, may_retry=may_retry)
                return _Ended(row, error, may_retry=may_retry)
            case TaskNotFound() if observer.task_id is not None:
                await self.journal.fail(position, error, last_seen(error), now, may_retry=False)
            case SubmissionUncertain():
                await self.journal.doubt(position, error)
                if observer.is_sent:
                    self._count_failure(error)
            case _ if observer.task_id is None:
                return await self._refused(row, error)
            case _:  # the task goes on, and the next run waits for it again
                pass
        return _Ended(row, error)

    async def _refused(self, row: Row, error: KlingError) -> "_Ended":
        # No task was made, and the row's outcome is reported.
        may_retry, may_be_mended = may_try_again(error), _may_be_mended(error)
        await self.journal.fail(row.position, error, None, self.clock(), may_retry=may_retry or may_be_mended)
        if is_no_api(error):
            self._halt(error)
        elif may_retry or isinstance(error, NotAllowed):
            self._count_failure(error)
        return _Ended(row, error, may_retry=may_retry)

    def _count_failure(self, error: KlingError) -> None:
        self.failures_in_a_row += 1
        if self.failures_in_a_row >= MAX_CONSECUTIVE_FAILURES:
            what = f"{self.failures_in_a_row} submits in a row made no task that is known, so nothing more is sent"
            self._halt(attrs.evolve(error, message=f"{what}; the last one: {error.message}"))

    async def _saved(self, row: Row, snapshot: TaskSnapshot) -> Done | Failed:
        saving, pictures = self.saving, list(row.pictures)
        if saving is None:
            return await self._done(row, snapshot, ())
        if row.state is not State.SAVED:  # else a function has not seen all of it
            outcome = await saving.save(row, _result_of(snapshot))
            pictures = sorted([*pictures, *outcome.files], key=lambda picture: picture.index)
            await self.journal.save(row.position, outcome.files, self.clock(), is_all=outcome.error is None)
            if isinstance(outcome.error, StorageFull):
                raise outcome.error
            if outcome.error is not None:
                return await self._failed(row, outcome.error)
        if saving.function is not None:
            try:
                pictures = await all_of(self._valued(saving, row, snapshot.task_id, picture) for picture in pictures)
            except ProcessFailed as error:
                return await self._failed(row, error)
        return await self._done(row, snapshot, pictures)

    async def _done(self, row: Row, snapshot: TaskSnapshot, pictures: Iterable[SavedFile]) -> Done | Failed:
        return _done(row, await _request_of(row, self.journal), snapshot, pictures)

    async def _failed(self, row: Row, error: KlingError) -> Failed:
        return Failed(row.position, row.key, await _request_of(row, self.journal), error)

    async def _valued(self, saving: Saver, row: Row, task_id: str, picture: SavedFile) -> SavedFile:
        # The picture with what the function makes of it.
        if picture.pickled is not None:
            return picture
        pickled = await saving.value(row, task_id, picture)
        await self.journal.keep_value(row.position, picture.index, pickled)
        return attrs.evolve(picture, pickled=pickled)

    async def _requeued(self, row: Row) -> Row:
        await self.journal.requeue(row.position)
        # An id of ours that has no task is used again: without gaps, an old copy of the journal comes to the same ids.
        attempts = row.attempts - (row.external_task_id is not None and row.task_id is None)
        return attrs.evolve(
            row,
            state=State.QUEUED,
            attempts=attempts,
            task_id=None,
            external_task_id=None,
            submit_key=None,
            kept_for=None,
        )

    async def _pages(self, *states: State) -> AsyncIterator[Row]:
        rows = _pages(self.journal, *states)
        while not self._is_closed and (row := await anext(rows, None)) is not None:
            yield row

    def _may_hear_of(self, row: Row) -> bool:
        return self.client.callbacks is not None and row.submit_key is not None

    def _resume(self, row: Row) -> None:
        observer = JournalObserver(self, row, row.attempts)
        handle = self.client.resume(row.task_id or "", row.request, observer)
        if row.snapshot is not None:  # a callback told it, and nothing has confirmed it yet
            handle.note_unconfirmed(row.snapshot, asyncio.get_running_loop().time())
        self._resumed[row.position] = (handle, observer)

    async def _unsaved(self, saving: Saver, row: Row) -> Row | None:
        # The row with those of its pictures that are there; None where all are.
        there = [picture for picture in row.pictures if await saving.is_there(picture)]
        wanted = len(row.snapshot.task_result.images) if row.snapshot is not None else 0
        if row.state is State.SAVED and len(there) == len(row.pictures) >= wanted:
            is_seen = saving.function is None or all(picture.pickled is not None for picture in there)
            return None if is_seen else row
        if row.state is State.SAVED:
            await self.journal.unsave(row.position)
            await self.journal.save(row.position, there, self.clock(), is_all=False)
        return attrs.evolve(row, state=State.FINISHED, pictures=tuple(there))

    def _halt(self, error: Exception) -> None:
        if self.reason is None:
            self.reason = error
            _log.warning("nothing more is submitted: %s", error)
        self.stop()


class _Stopped(KlingError):
    """
    Nothing was sent, since the run was stopped before.
    """


class _Ended(Exception):
    """
    A row has come to no result in this run; *error* is what is told of it, None for nothing.
    """

    def __init__(self, row: Row, error: KlingError | None, *, may_retry: bool = False) -> None:
        super().__init__()
        self.row = row
        self.error = error
        self.may_retry = may_retry


async def _opened(path: Path, account: Account, *, rebind: bool) -> Journal:
    # A thread cannot be cancelled: what it opens after all is closed again.
    opening = asyncio.ensure_future(asyncio.to_thread(Journal.open, path, account, rebind=rebind))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        with contextlib.suppress(Exception):  # whatever it is, there is nothing to close then
            await (await opening).aclose()
        raise


async def _agree_on_token_key(journal: Journal, callbacks: CallbackReceiver | None) -> None:
    if callbacks is None:
        return
    if journal.token_key is None:
        await journal.keep_token_key(callbacks.token_key)
    else:
        callbacks.use_token_key(journal.token_key)


async def _items(requests: Iterable[object] | AsyncIterable[object]) -> AsyncIterator[object]:
    if isinstance(requests, AsyncIterable):
        async for item in requests:
            yield item
    else:
        for item in requests:
            yield item


async def _pages(journal: Journal, *states: State) -> AsyncIterator[Row]:
    after = -1
    while page := await journal.page(states, after, CHUNK):
        for row in page:
            yield row
        after = page[-1].position


async def _request_of(row: Row, journal: Journal) -> ImageRequest:
    if not row.is_image_kept or row.image_sha256 is None:
        return row.request
    return attrs.evolve(row.request, image=await journal.image(row.image_sha256))


def _result_of(snapshot: TaskSnapshot) -> TaskResult:
    return TaskResult(snapshot.task_id, snapshot.task_result.images, snapshot)


def _done(row: Row, request: ImageRequest, snapshot: TaskSnapshot, pictures: Iterable[SavedFile]) -> Done | Failed:
    result = _result_of(snapshot)
    kept = tuple(pictures)
    paths = tuple(picture.path for picture in kept if picture.path is not None)
    made = [picture.pickled for picture in kept if picture.pickled is not None]
    try:
        value = tuple(map(unpickle_value, made)) if kept and len(made) == len(kept) else None
    except Exception as error:  # noqa: BLE001 (a module that is loaded can raise anything)
        what = "what `process=` has made of it is in the journal, and cannot be loaded here"
        return Failed(
            row.position, row.key, request, ProcessFailed(f"{what}: {describe_error(error)}", snapshot.task_id)
        )
    return Done(row.position, row.key, request, result, paths, value, kept)


def _kept(row: Row, missing: TaskNotFound) -> KlingError:
    what = f"it was sent to {row.kept_for} with another key, and is not found with the present one ({missing.message})"
    advice = "it is kept: a run with that key and rebind=True (--new-key) goes on with it"
    if row.state is State.ACCEPTED:
        return TaskNotFound(f"{what}; {advice}", row.task_id, missing.request_id, missing.code, missing.http_status)
    return SubmissionUncertain(f"the task may have been accepted: {what}; {advice}", request=row.request)


def _attempt_of(row: Row) -> int:
    # One that was withdrawn is made again, under its id.
    is_begun = row.state in (State.SENDING, State.UNCERTAIN) or row.external_task_id is not None
    return row.attempts if is_begun else row.attempts + 1


def _stops_all(error: KlingError) -> bool:
    # The next row would fail in the same way, and this one made no task.
    if isinstance(error, UnexpectedAnswer):
        return is_no_api(error) and not error.urls
    return isinstance(error, AccountProblem | NotAuthenticated | NotSent)


def _may_be_mended(error: KlingError) -> bool:
    # What was refused here may be a file that changed; a right may be granted.
    return isinstance(error, NotAllowed) or (isinstance(error, InvalidRequest) and bool(error.broken))


async def _first(rows: AsyncIterator[Row], count: int) -> AsyncIterator[Row]:
    for _ in range(count):
        if (row := await anext(rows, None)) is None:
            return
        yield row


def _check_saving(save_to: object, name: object, process: object, executor: object) -> None:
    if not isinstance(name, str):
        refuse("name", f"<{type(name).__name__}>", "must be a template for names, as text")
    if executor is not None:
        check_kind("executor", executor, (Executor, RemoteExecutor), "must be an Executor or a RemoteExecutor")
    if save_to is None:
        if process is not None or executor is not None:
            raise ValueError("engines and `process=` work on pictures that are saved: say where to with `save_to=`")
        return
    check_kind("save_to", save_to, (str, os.PathLike, Storage), "must be a folder, a URL or a Storage")
    if process is not None and (not callable(process) or inspect.iscoroutinefunction(process)):
        raise ValueError("`process=` must be a function, and none that is `async`: it is called in other processes")
    _check_name(name)


def _check_name(name: str) -> None:
    some, other = (Names(name, word, word).path(0, ".png") for word in "ab")
    if some == other:
        raise ValueError(f"The name {name!r} gives all rows one file; put {{task_id}} or {{key}} into it.")


def _this_task() -> "asyncio.Task[Any]":
    aio_task = asyncio.current_task()
    if aio_task is None:
        raise AssertionError("every coroutine runs in some aio_task")
    return aio_task


def _broken_key(key: object) -> Iterator[BrokenRule]:
    if key is None:
        return
    if not isinstance(key, str) or not key.strip() or len(key) > KEY_MAX:
        yield BrokenRule("key", repr(key)[:50], f"must be text of 1 to {KEY_MAX} characters, not all blank")
    elif HALF_A_PAIR.search(key):
        yield BrokenRule("key", repr(key)[:50], WHOLE_CHARACTERS)
