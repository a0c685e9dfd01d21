"""
A batch: many requests and their journal, so that each gets one outcome, also after a crash.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import attrs

from kling_async.batch.completion import make_done, read_request
from kling_async.batch.executors import Executor, LocalExecutor, Process, RemoteExecutor
from kling_async.batch.failures import RunStopped
from kling_async.batch.inputs import read_input
from kling_async.batch.journal import Journal
from kling_async.batch.journal_observer import UnsettledSubmits
from kling_async.batch.keyed import Keyed
from kling_async.batch.opening import Account
from kling_async.batch.options import SaveOptions
from kling_async.batch.pending import read_rows
from kling_async.batch.records import HAVE_OUTCOMES, Row, State, Summary
from kling_async.batch.runner import Runner
from kling_async.batch.savers import Saver
from kling_async.batch.spending import RowBudget
from kling_async.client.budget import Budget
from kling_async.client.call_checks import check_kinds
from kling_async.client.callbacks.receiver import CallbackReceiver
from kling_async.client.client import KlingClient
from kling_async.client.outcomes import Done, Failed
from kling_async.errors import KlingError
from kling_async.media.storage import Storage
from kling_async.policy.arguments import check_flag, check_kind, check_many, check_timeout, check_whole, refuse
from kling_async.wire.async_with import UsedWithAsyncWith
from kling_async.wire.constructors import explained
from kling_async.wire.endpoints.base import TaskRequest
from kling_async.wire.tasks import TaskSnapshot

__all__ = ["Added", "Batch"]

_T = TypeVar("_T")


@attrs.frozen
class Added:
    """
    The effect of adding an input.

    Attributes:
        new: Rows that were not in the journal.
        known: Rows that were in it already.
        missing: Rows of the journal that are still to be sent and are not in this input; see `Batch.drop_missing`.
    """

    new: int
    known: int
    missing: int


@explained
class Batch(UsedWithAsyncWith):
    """
    Many requests and their journal: after a crash, the same program continues.

        async with KlingClient() as client, Batch("run.kling", client) as batch:
            await batch.add(prompts)
            async for outcome in batch.run(save_to="pictures/"):
                ...

    The batch does not close the client. One process at a time works on a journal. The journal belongs to the account,
    host and dialect with which it was begun. With callbacks, their addresses are derived from a key in the journal, so
    that callbacks for tasks of an earlier run are recognized.

    Args:
        path: The journal, an SQLite file. It is created if it does not exist, readable only by its owner.
        rebind: Continue with another key, base URL or dialect than the journal's, which then belongs to the new one.
            Rows that were sent before are kept: they are never sent again automatically, and continue if the same
            base URL finds their task with the new key, or in a run with the old key and `rebind=True`. A journal from
            which nothing was sent needs no `rebind`.
        clock: Returns Unix time in seconds, for the record; nothing depends on it.
        budget: A limit of what all runs of the journal spend together; rows that do not fit wait for a larger one.
    """

    def __init__(
        self,
        path: str | Path,
        client: KlingClient,
        *,
        rebind: bool = False,
        clock: Callable[[], float] = time.time,
        budget: Budget | None = None,
    ) -> None:
        _check_arguments(path, client, rebind, clock, budget)
        self.path: Final = Path(path)
        self._client = client
        self._rebind = rebind
        self._clock = clock
        self._budget = budget
        self._journal: Journal | None = None
        self._runner: Runner | None = None
        self._preparing: set[asyncio.Event] = set()  # of runs that wait for their executor; setting one ends its run
        self._generation = 0
        self._is_closed = False
        self._unsettled = UnsettledSubmits()

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else "new" if self._journal is None else "open"
        return f"<Batch {str(self.path)!r}, {state}{', running' if self._runner is not None else ''}>"

    async def __aenter__(self) -> Self:
        """
        Open the journal.

        Raises:
            JournalLocked: Another process works on it.
            JournalMismatch: Something was sent from it with another key, base URL or dialect, and `rebind` is not set;
                or a later version created it.
            JournalCorrupt: It is not a journal, damaged, or incomplete. Damage of a large one that was closed properly
                may be found later: then `add`, `run` and `outcomes` raise this, before anything is sent.
            StorageFull: There is no room for it.
            OSError: It cannot be opened or written.
        """
        if self._journal is not None or self._is_closed:
            raise RuntimeError("this batch was opened before; create a new one")
        self._journal = await _open_journal(self.path, self._client, rebind=self._rebind)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """
        Close the journal. Safe to call twice. Running submits get up to 10 s to learn their task's id; a running `run`
        raises RuntimeError.

        Raises:
            StorageFull: Ids of accepted tasks could not be written; they are in the log.
        """
        if self._is_closed:
            return
        self._is_closed = True
        self.stop()
        if self._journal is not None:
            try:
                if self._runner is not None:
                    await self._runner.aclose()
                await self._unsettled.wait()
            finally:
                await self._journal.aclose()

    async def add(
        self,
        requests: Iterable[TaskRequest | str | Keyed] | AsyncIterable[TaskRequest | str | Keyed],
    ) -> Added:
        """
        Add requests to the journal. Nothing is sent. A request that the journal has is not added again: it is known by
        its key, or by its content and the number of equal requests before it in this input.
        The input is read lazily and in constant memory. Requests that were added before an error stay added.

        Raises:
            InvalidRequest: A request breaks rules, all of which are listed; or its key is that of another request, or
                its reference image has changed since it was added.
            StorageFull: There is no room.
        """
        journal = self._open()
        check_many("add", requests)
        generation = await journal.begin_input()
        new = known = 0
        async for chunk in read_input(requests, self._client, lambda: self._runner is not None):
            counts = await journal.add(chunk, generation, self._clock())
            new, known = new + counts[0], known + counts[1]
        self._generation = generation  # only now: `drop_missing` needs the whole input
        return Added(new, known, await journal.count_missing(generation))

    async def drop_missing(self) -> int:
        """
        Delete the rows that are still to be sent and were not in the last input; return how many they were.

        Raises:
            RuntimeError: No whole input was added yet, or the batch is running and may be about to send them.
        """
        journal = self._open()
        if not self._generation:
            raise RuntimeError("no input was added yet, so that all rows would be missing in it")
        if self._runner is not None:
            raise RuntimeError("this batch is running: drop rows before or after")
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
        Serve every row, and yield the outcomes of this run as they come. One failure never stops the others.

        Tasks that an earlier run submitted are waited for. A row that may have been sent is looked up first; if that
        is not possible it is uncertain: its outcome is `Failed` with SubmissionUncertain, and it is never sent again
        automatically. The next run tries again what could not be saved, and rows that failed for a passing cause.

        Leaving the loop early stops the run properly; close it with `contextlib.aclosing`.

        Args:
            save_to: A folder, or with the extra `storage` a place in any storage that fsspec reaches: its URL, or a
                `kling_async.media.storage.Storage` with options. None saves nothing.
            name: Of the files, with `{task_id}`, `{key}`, `{number}` (which counts the rows from 1), `{prompt}` (its
                first words), `{index}` and `{ext}`. A key that differs from an earlier one only by case or Unicode form
                gets a digest, because macOS and Windows would use one file for both.
            max_attempts: How often this run sends a row that fails for a passing cause.
            timeout: Seconds to wait for each task, from acceptance; a row whose task takes longer stays accepted. None
                waits without limit.
            resend_uncertain: Send uncertain rows again, though each may then be paid for twice.
            process: A function that is called with each saved file (its `Path`, or bytes from a storage) and its
                `FileInfo`. Its value is pickled into the journal, and is in `Done.value`. If it fails, the
                outcome is `Failed` with ProcessFailed; the next run with a function calls it for files without a value.
            executor: Calls the function; it is not closed. None makes an `executors.LocalExecutor()` for this run. A
                `RemoteExecutor`, such as `kling_async.integrations.dask.DaskExecutor`, fetches and saves the files
                as well.

        Raises:
            BudgetExceeded: Some rows do not fit into the batch's or the client's budget, and are still to be sent. All
                others were served: a row waits while running tasks may leave some of what is reserved for them.
            AccountProblem: Submitting was stopped for this reason; running tasks were finished and their outcomes
                yielded before. Rows that were not sent are still to be sent. The same holds for the following errors.
            NotAuthenticated: The key is not accepted any more.
            NotSent: No connection could be established for as long as `RetryPolicy` allows.
            StorageFull: There is no room for files, or for the journal.
            OSError: The journal, or with a remote executor the folder, cannot be written any more; or a storage cannot
                be opened, or fails to say whether files of an earlier run are there.
            JournalCorrupt: The journal was moved away, or is damaged.
            ClientClosed: The client was closed.
            ExecutorLost: The executor is gone, or cannot do its work.
            SubmissionUncertain: 20 submits in a row failed for a passing cause or had no answer, this one last.
            KlingError: As SubmissionUncertain, if the last one failed for a passing cause.
            InvalidRequest: An argument has a wrong type or is out of range.
            ValueError: `name` is not a template, has unknown fields, or may give two files one name; or `save_to` is
                not a storage; or `process` cannot be pickled, or comes without `save_to`.
            ImportError: A library for the storage is missing.
        """
        self._idle()
        _check_run(max_attempts, timeout, resend_uncertain)
        options = SaveOptions(save_to, name, process, executor)
        async with LocalExecutor() as local:  # starts no process if there is no function
            try:
                prepared = _prepare(self._client, self._open(), self._budget, options, local)
                budget, saver = await _unless_stopped(prepared, self._preparing)
            except RunStopped:
                self._open()
                return
            runner = self._runner = Runner.of(
                self._client,
                self._idle(),  # still: the executor may have taken its time
                budget,
                saver,
                self._unsettled,
                self._clock,
                max_attempts=max_attempts,
                timeout=timeout,
                resends_uncertain=resend_uncertain,
            )
            try:
                async with contextlib.aclosing(runner.outcomes()) as outcomes:
                    async for outcome in outcomes:
                        yield outcome
            finally:
                runner.stop()
                try:
                    await self._unsettled.wait()
                finally:
                    self._runner = None

    def stop(self) -> None:
        """
        Stop submitting; `run` ends when all running tasks have ended. Without a run this does nothing.
        """
        if self._runner is not None:
            self._runner.stop()
        for stopped in self._preparing:
            stopped.set()

    async def outcomes(self) -> AsyncGenerator[Done | Failed, None]:
        """
        Yield the outcomes of all runs, in the order of the input; rows without one yet are left out.
        """
        async for row in read_rows(journal := self._open(), *HAVE_OUTCOMES):
            if (outcome := _outcome_of(row, await read_request(row, journal))) is not None:
                yield outcome

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
        if self._runner is not None:
            raise RuntimeError("this batch is running already")
        return journal


def _outcome_of(row: Row, request: TaskRequest) -> Done | Failed | None:
    match row:
        case Row(state=State.FINISHED | State.SAVED, snapshot=TaskSnapshot() as snapshot):
            return make_done(row, request, snapshot, row.files)
        case Row(error=KlingError() as error):
            return Failed(row.position, row.key, request, error)
        case _:
            return None


def _check_arguments(path: object, client: object, rebind: object, clock: object, budget: object) -> None:
    check_kind("path", path, (str, os.PathLike), "must be the path of a journal")
    check_kind("client", client, KlingClient, "must be a KlingClient")
    check_flag("rebind", rebind)
    check_kinds(budget=budget)
    if not callable(clock):
        refuse("clock", f"<{type(clock).__name__}>", "must be a function that returns Unix time in seconds")


def _check_run(max_attempts: object, timeout: object, resend_uncertain: object) -> None:
    check_whole("max_attempts", max_attempts)
    check_timeout("timeout", timeout)
    check_flag("resend_uncertain", resend_uncertain)


async def _prepare(
    client: KlingClient, journal: Journal, budget: Budget | None, options: SaveOptions, local: LocalExecutor
) -> tuple[RowBudget, Saver | None]:
    return await RowBudget.open(journal, client, budget), await options.make_saver(client, journal, local)


async def _open_journal(path: Path, client: KlingClient, *, rebind: bool) -> Journal:
    account = Account(client.base_url, client.dialect.name, client.core.transport.fingerprint)
    opening = asyncio.ensure_future(asyncio.to_thread(Journal.open, path, account, rebind=rebind))
    try:
        journal = await asyncio.shield(opening)
    except asyncio.CancelledError:  # a thread cannot be cancelled: a journal that it opens after all is closed again
        with contextlib.suppress(Exception):  # if it was not opened, there is nothing to close
            await (await opening).aclose()
        raise
    try:
        await _agree_on_token_key(journal, client.callbacks)
    except BaseException:
        await journal.aclose()
        raise
    return journal


async def _agree_on_token_key(journal: Journal, callbacks: CallbackReceiver | None) -> None:
    if callbacks is None:
        return
    if journal.token_key is None:
        await journal.save_token_key(callbacks.token_key)
    else:
        callbacks.use_token_key(journal.token_key)


async def _unless_stopped(work: Coroutine[Any, Any, _T], preparing: set[asyncio.Event]) -> _T:
    # An executor may take minutes to answer, and `Batch.stop` should not wait for it.
    stopped, aio_task = asyncio.Event(), asyncio.ensure_future(work)
    preparing.add(stopped)
    stop = asyncio.ensure_future(stopped.wait())
    try:
        await asyncio.wait([aio_task, stop], return_when=asyncio.FIRST_COMPLETED)
        if stopped.is_set():
            raise RunStopped("the run was stopped before it began")
        return aio_task.result()
    finally:
        preparing.discard(stopped)
        for one in (aio_task, stop):
            one.cancel()
        await asyncio.gather(aio_task, stop, return_exceptions=True)
