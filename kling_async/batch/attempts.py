"""
The attempts of a row: submit it, or take over what an earlier run has sent; wait for its task; record failures.
"""

import asyncio
import collections
import contextlib
import itertools
from collections.abc import Callable
from typing import Final

import attrs

from kling_async.batch.completion import Outcomes, read_request
from kling_async.batch.control import RunControl
from kling_async.batch.failures import RunStopped, kept_for_another_account, verdict_of
from kling_async.batch.journal import Journal
from kling_async.batch.journal_observer import JournalObserver, UnsettledSubmits
from kling_async.batch.records import Row, State
from kling_async.batch.spending import RowBudget, count_end
from kling_async.client.client import KlingClient
from kling_async.client.handle import TaskHandle
from kling_async.client.outcomes import Done, Failed
from kling_async.errors import (
    AccountProblem,
    BudgetExceeded,
    ClientClosed,
    KlingError,
    NotAuthenticated,
    NotSent,
    SubmissionUncertain,
    TaskFailed,
    TaskNotFound,
    UnexpectedAnswer,
)
from kling_async.media.semaphore import Semaphore
from kling_async.policy.spending import UNKNOWN_AMOUNT, Amount
from kling_async.wire.endpoints.base import TaskRequest, with_fields
from kling_async.wire.endpoints.registry import endpoint_of
from kling_async.wire.tasks import TaskSnapshot, last_seen

__all__ = ["Attempts"]

ROWS_WITH_FILES: Final = 32
"""
Rows with files that may wait for a slot or be sent at a time, for each bucket: their files are in memory then.
"""

_OPEN: Final = contextlib.nullcontext()


class _AttemptEnded(Exception):
    """
    An attempt ended without a result. *error* is the row's outcome; None if it has none in this run.
    """

    def __init__(self, row: Row, error: KlingError | None, *, may_retry: bool = False) -> None:
        super().__init__()
        self.row = row
        self.error = error
        self.may_retry = may_retry


@attrs.define(eq=False, repr=False, kw_only=True)
class Attempts:
    """
    Brings rows of one run to their outcomes.
    """

    client: KlingClient
    journal: Journal
    budget: RowBudget
    control: RunControl
    unsettled: UnsettledSubmits
    outcomes: Outcomes
    clock: Callable[[], float]
    max_attempts: int
    timeout: float | None
    resends_uncertain: bool
    _resumed: dict[int, tuple[TaskHandle, JournalObserver]] = attrs.field(factory=dict, init=False)
    # By bucket: rows of one must not wait behind those of another, which may have no free slots.
    _gates: "collections.defaultdict[str, Semaphore]" = attrs.field(
        factory=lambda: collections.defaultdict(lambda: Semaphore(ROWS_WITH_FILES)), init=False
    )

    def resume(self, row: Row) -> None:
        """
        Take over the task of an accepted row: it holds slots from now on, even before the row is served.
        """
        observer = self._observe(row, row.attempts)
        handle = self.client.core.resume(row.task_id or "", row.request, observer, row.submit_key)
        if row.snapshot is not None:  # from a callback, and not confirmed yet
            handle.note_unconfirmed(row.snapshot, asyncio.get_running_loop().time())
        self._resumed[row.position] = (handle, observer)

    async def claim(self, row: Row) -> Done | Failed | None:
        """
        Return the outcome of a row that was sent with another account.

        If the present key finds its task, both keys belong to one account, and the row continues. Otherwise it is
        unchanged: "not found" proves nothing about the account that sent it.
        """
        try:
            snapshot = await self._find(row)
        except TaskNotFound as missing:
            error = kept_for_another_account(row, missing)
            if row.state is State.SENDING:
                await self.journal.mark_uncertain(row.position, error)
            if self.resends_uncertain and row.state is not State.ACCEPTED:
                return await self.try_until_done(await self._requeue(row))
            return await self.outcomes.failed(row, error)
        except (AccountProblem, NotAuthenticated, NotSent) as error:
            self.control.halt(error)
            return None
        except ClientClosed:
            raise
        except KlingError as error:
            return await self.outcomes.failed(row, attrs.evolve(error))
        if row.state is State.ACCEPTED:
            await self.journal.claim(row.position)
        else:
            self.journal.accept(row.position, snapshot.task_id, self.clock())
        row = attrs.evolve(row, state=State.ACCEPTED, task_id=row.task_id or snapshot.task_id, kept_for=None)
        self.resume(row)
        return await self.try_until_done(row)

    async def try_until_done(self, row: Row) -> Done | Failed | None:
        """
        Return the outcome of a row; None if it has none in this run.
        """
        if row.state in (State.SENDING, State.UNCERTAIN) and not self._is_found_for_sure(row):
            if self.resends_uncertain:
                error = row.error or SubmissionUncertain("an earlier run has sent it")
                await self.journal.mark_uncertain(row.position, error)
                row = await self._requeue(row)
            elif row.state is State.UNCERTAIN and row.error is not None and not self._can_be_found(row):
                return await self.outcomes.failed(row, row.error)
        for attempt in itertools.count(1):
            if row.state is State.FAILED:
                row = await self._requeue(row)
            try:
                snapshot = row.snapshot if row.state in (State.FINISHED, State.SAVED) else None
                return await self.outcomes.save(row, snapshot or await self._generate(row))
            except _AttemptEnded as ended:
                if ended.error is None:
                    return None
                if not ended.may_retry or attempt >= self.max_attempts or self.control.is_stopping:
                    return await self.outcomes.failed(row, ended.error)
                row = ended.row
        raise AssertionError("counting has no end")

    async def _find(self, row: Row) -> TaskSnapshot:
        # At another base URL the same id may belong to another account's task.
        if row.kept_for == self.client.base_url:
            endpoint = endpoint_of(type(row.request))
            if row.task_id is not None:
                return await self.client.core.tasks.get(row.task_id, endpoint)
            if row.external_task_id is not None and self._has_external_ids(row):
                return await self.client.core.tasks.look_up(row.external_task_id, endpoint)
        raise TaskNotFound("it cannot be looked up here", row.task_id)

    def _has_external_ids(self, row: Row) -> bool:
        return self.client.dialect.external_ids and endpoint_of(type(row.request)).external_ids

    def _is_found_for_sure(self, row: Row) -> bool:
        return self._has_external_ids(row) and endpoint_of(type(row.request)).lookup_proves_absence

    def _can_be_found(self, row: Row) -> bool:
        has_callbacks = self.client.callbacks is not None and row.submit_key is not None
        return has_callbacks or self._has_external_ids(row)

    async def _requeue(self, row: Row) -> Row:
        await self.journal.requeue(row.position)
        # An external id that has no task is used again: without gaps, an old copy of the journal uses the same ids.
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

    async def _generate(self, row: Row) -> TaskSnapshot:
        # Submit the row, unless it has a task, and wait until that has succeeded.
        handle, observer = self._resumed.pop(row.position, (None, None))
        if observer is None:
            observer = self._observe(row, _attempt_number(row))
        try:
            if handle is None:
                handle = await self._submit(row, observer)
            result = await handle.wait(self.timeout)
        except KlingError as error:
            raise await self._record_failure(row, observer, attrs.evolve(error)) from None
        except Exception as error:
            await self._mark_uncertain_if_sent(row, observer, error)
            raise
        counted = count_end(row, observer.reserved, result.snapshot)
        await self.journal.finish(row.position, result.snapshot, self.clock(), counted)
        return result.snapshot

    async def _submit(self, row: Row, observer: JournalObserver) -> TaskHandle:
        endpoint = endpoint_of(type(row.request))
        if not observer.is_recovery:
            if self.control.is_stopping:
                raise RunStopped("the run was stopped before this was sent")
            if self.outcomes.saver is not None:  # before it is paid for
                self.outcomes.saver.check(endpoint.files(row.request))
        with self.control.submitting(observer):
            async with self._gates[endpoint.bucket(row.request, self.client.dialect)] if row.inputs else _OPEN:
                request = await read_request(row, self.journal)
                if observer.external_task_id is not None:
                    request = with_fields(request, external_task_id=observer.external_task_id)
                is_charged = observer.is_recovery  # perhaps: then it is looked up in any case
                while True:
                    if not is_charged:
                        await self.budget.wait_for_room(row)
                    try:
                        return await self._send(row, request, observer)
                    except BudgetExceeded:  # while it waited for slots, others have reserved what was left
                        is_charged = False
                        if (change := self.budget.change()) is None:
                            raise
                        await change

    async def _send(self, row: Row, request: TaskRequest, observer: JournalObserver) -> TaskHandle:
        digests = {field: file.sha256 for field, file in row.inputs.items()}
        if not observer.is_recovery:
            return await self.client.core.submit_observed(request, observer, owns_id=observer.owns_id, digests=digests)
        return await self.client.core.recover(
            request,
            observer,
            sent_at=row.sent_at,
            submit_key=row.submit_key,
            owns_id=observer.owns_id,
            digests=digests,
        )

    async def _record_failure(self, row: Row, observer: JournalObserver, error: KlingError) -> _AttemptEnded:
        # Record what *error* means for the row, and stop the run if it must stop.
        task_id, has_own_id = observer.task_id, row.request.external_task_id is not None
        verdict = verdict_of(error, task_id=task_id, is_sent=observer.is_sent, has_own_id=has_own_id)
        if verdict.is_raised:
            raise error
        if isinstance(error, BudgetExceeded):
            self.control.skip(error)
        if verdict.stops_run:
            self.control.halt(error)
        if verdict.is_consecutive:
            self.control.count_failure(error)
        if verdict.state is State.FAILED:
            seen, now = last_seen(error), self.clock()
            counted = _count_failure(row, observer, error)
            may_retry = verdict.may_retry_later
            await self.journal.fail(row.position, error, seen, now, may_retry=may_retry, counted=counted)
        elif verdict.state is State.UNCERTAIN:
            await self.journal.mark_uncertain(row.position, error)
        elif verdict.stops_run:
            await self._mark_uncertain_if_sent(row, observer, error)
        row = attrs.evolve(
            row,
            state=State.FAILED,
            attempts=observer.attempt,
            external_task_id=observer.external_task_id,
            task_id=task_id,
        )
        return _AttemptEnded(row, error if verdict.is_reported else None, may_retry=verdict.may_retry)

    async def _mark_uncertain_if_sent(self, row: Row, observer: JournalObserver, error: Exception) -> None:
        # *error* says nothing about the task: a request that was sent and not withdrawn may have created one.
        if not observer.is_sent or not observer.may_have_arrived or observer.task_id is not None:
            return
        what = f"the task may have been accepted: {type(error).__name__} ended its submit after it was sent"
        with contextlib.suppress(KlingError, OSError, RuntimeError):  # the journal itself may have failed
            await self.journal.mark_uncertain(row.position, SubmissionUncertain(what, request=row.request))

    def _observe(self, row: Row, attempt: int) -> JournalObserver:
        return JournalObserver(
            row,
            attempt,
            journal=self.journal,
            budget=self.budget,
            control=self.control,
            unsettled=self.unsettled,
            clock=self.clock,
            has_external_ids=self._has_external_ids(row),
        )


def _count_failure(row: Row, observer: JournalObserver, error: KlingError) -> Amount:
    seen = last_seen(error)
    if isinstance(error, TaskFailed) and seen is not None:
        return count_end(row, observer.reserved, seen)
    if observer.task_id is None and not (isinstance(error, UnexpectedAnswer) and error.urls):
        return Amount(0, 0)  # no task was created
    return UNKNOWN_AMOUNT  # what was reserved may have been charged


def _attempt_number(row: Row) -> int:
    # A submit that was withdrawn is repeated under its id.
    is_begun = row.state in (State.SENDING, State.UNCERTAIN) or row.external_task_id is not None
    return row.attempts if is_begun else row.attempts + 1
