"""
Writes the steps of a submit into the journal.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from kling_async.batch.control import RunControl
from kling_async.batch.failures import RunStopped
from kling_async.batch.journal import Journal
from kling_async.batch.records import Row, State, external_id_of
from kling_async.batch.spending import RowBudget
from kling_async.client.delivery import SubmitObserver
from kling_async.client.reservations import Reservation
from kling_async.client.submitter import CLOSE_TIMEOUT
from kling_async.wire.tasks import TaskSnapshot

if TYPE_CHECKING:
    from kling_async.policy.spending import Amount

__all__ = ["JournalObserver", "UnsettledSubmits"]

_log = logging.getLogger(__name__)


class UnsettledSubmits:
    """
    The submits of one batch whose outcome is not known yet, also those of earlier runs.
    """

    def __init__(self) -> None:
        self._open: set[int] = set()  # positions of their rows
        self._waits: list[tuple[set[int], asyncio.Future[None]]] = []  # what each still waits for

    def positions(self) -> frozenset[int]:
        """
        Return the positions of their rows.
        """
        return frozenset(self._open)

    def add(self, position: int) -> None:
        """
        Add the submit of the row at *position*.
        """
        self._open.add(position)

    def discard(self, position: int) -> None:
        """
        Remove a submit that has ended, with any outcome.
        """
        self._open.discard(position)
        for left, over in self._waits:
            left.discard(position)
            if not left and not over.done():
                over.set_result(None)

    async def wait(self) -> None:
        """
        Wait up to 10 s until the present ones are over.
        """
        if not self._open:
            return
        wait = {*self._open}, asyncio.get_running_loop().create_future()
        self._waits.append(wait)
        try:
            await asyncio.wait([wait[1]], timeout=CLOSE_TIMEOUT)
        finally:
            self._waits.remove(wait)


class JournalObserver(SubmitObserver):
    """
    Records one attempt of a row.

    Attributes:
        attempt: Counts the submits of the row from 1.
        is_recovery: Whether an earlier run has sent it without learning the outcome.
        is_begun: Whether an earlier run has sent it, and it is not known to have created no task.
        external_task_id: The id of ours under which the row is sent; None if the service accepts none.
        reserved: What it may cost.
        task_id: Of its task, once it is known.
        may_have_arrived: Whether the service may have the request.
        is_sent: Whether this run has sent it.
        is_over: Whether it has ended, with any outcome.
    """

    def __init__(
        self,
        row: Row,
        attempt: int,
        *,
        journal: Journal,
        budget: RowBudget,
        control: RunControl,
        unsettled: UnsettledSubmits,
        clock: Callable[[], float],
        has_external_ids: bool,
    ) -> None:
        self.is_recovery: bool = row.state in (State.SENDING, State.UNCERTAIN)
        self.key: str | None = row.key
        self.has_budget: bool = budget.share is not None
        self.is_begun: bool = self.is_recovery or row.task_id is not None
        is_counted = self.is_begun and row.counted.units is not None
        self.reserved: Amount = row.counted if is_counted else budget.price_of(row)
        self.task_id = row.task_id
        self.attempt = attempt
        self.position: int = row.position
        self.may_have_arrived: bool = self.is_recovery
        self.is_sent: bool = False
        self.is_over: bool = False
        self.owns_id: bool = row.request.external_task_id is None
        self.external_task_id = row.external_task_id or row.request.external_task_id
        if self.external_task_id is None and has_external_ids:
            self.external_task_id = external_id_of(journal.id, row.position, row.key, attempt)
        self._row = row
        self._journal = journal
        self._budget = budget
        self._control = control
        self._unsettled = unsettled
        self._clock = clock

    def reserve(self) -> Reservation | None:
        is_sent, self.is_begun = self.is_begun, False
        return self._budget.reserve(self._row, is_sent=is_sent)

    async def sending(self, submit_key: str | None) -> None:
        if self._control.is_stopping:
            raise RunStopped("the run was stopped before this was sent")
        self.may_have_arrived = self.is_sent = True
        self._unsettled.add(self.position)
        if self.is_recovery:  # callbacks of what an earlier run has sent may come to a later one, if not to this
            submit_key = submit_key or self._row.submit_key
        await self._journal.mark_sending(
            self.position,
            attempt=self.attempt,
            external_task_id=self.external_task_id,
            submit_key=submit_key,
            now=self._clock(),
            reserved=self.reserved,
        )

    def withdrawn(self) -> None:
        self.may_have_arrived = False
        if not self._journal.is_closed:
            self._journal.withdraw(self.position)
        # Later: if this ends the submit, its error is the row's outcome.
        asyncio.get_running_loop().call_soon(self._control.cancel_if_stopping, self)

    def accepted(self, task_id: str) -> None:
        self.task_id = task_id
        self._control.note_accepted()
        if self._journal.is_closed:
            _log.warning("task %s of row %r was accepted after the journal was closed", task_id, self._row.key)
        else:
            self._journal.accept(self.position, task_id, self._clock())

    def unconfirmed(self, snapshot: TaskSnapshot) -> None:
        if not self._journal.is_closed:
            self._journal.record_callback(self.position, snapshot)

    def ended(self) -> None:
        self.is_over = True
        self._unsettled.discard(self.position)
