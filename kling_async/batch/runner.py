"""
One run of a batch: which rows are served, in which order, and how many at a time.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from typing import Final, Self

import attrs

from kling_async.batch.attempts import Attempts
from kling_async.batch.completion import Outcomes
from kling_async.batch.control import RunControl, this_task
from kling_async.batch.journal import Journal
from kling_async.batch.journal_observer import UnsettledSubmits
from kling_async.batch.pending import PendingRows
from kling_async.batch.records import Row, State
from kling_async.batch.savers import Saver
from kling_async.batch.spending import RowBudget
from kling_async.client.client import KlingClient
from kling_async.client.outcomes import Done, Failed
from kling_async.client.stream import fan_out

__all__ = ["Runner"]

RESUMED: Final = 50
"""
Tasks of an earlier run that are resumed in one iteration of the event loop, which takes some milliseconds.
"""


@attrs.define(eq=False, repr=False)
class Runner:
    """
    Serves the rows of a journal, each until it has an outcome.
    """

    client: KlingClient
    saver: Saver | None
    _control: RunControl
    _pending: PendingRows
    _attempts: Attempts

    @classmethod
    def of(
        cls,
        client: KlingClient,
        journal: Journal,
        budget: RowBudget,
        saver: Saver | None,
        unsettled: UnsettledSubmits,
        clock: Callable[[], float],
        *,
        max_attempts: int,
        timeout: float | None,
        resends_uncertain: bool,
    ) -> Self:
        """
        Create the runner of one run of a batch, whose earlier runs may have *unsettled* submits.
        """
        control = RunControl()
        attempts = Attempts(
            client=client,
            journal=journal,
            budget=budget,
            control=control,
            unsettled=unsettled,
            outcomes=Outcomes(journal, saver, clock),
            clock=clock,
            max_attempts=max_attempts,
            timeout=timeout,
            resends_uncertain=resends_uncertain,
        )
        return cls(client, saver, control, PendingRows(journal, saver, clock), attempts)

    async def outcomes(self) -> AsyncGenerator[Done | Failed, None]:
        """
        Serve all rows and yield their outcomes as they come; then raise the reason why the run stopped early.
        """
        async with (
            self.saver or contextlib.nullcontext(),
            contextlib.aclosing(fan_out(self._rows(), self._serve, self._width)) as outcomes,
        ):
            async for outcome in outcomes:
                if outcome is not None:
                    yield outcome
        if self._control.reason is not None:
            raise self._control.reason

    def stop(self) -> None:
        """
        Stop submitting. Rows that have certainly not reached the service are not sent; the others are served.
        """
        self._control.stop()

    async def aclose(self) -> None:
        """
        Cancel the serving of all rows, and wait for its end.
        """
        control, self._pending.is_closed = self._control, True
        control.reason = control.reason or RuntimeError("the batch was closed while it was running")
        control.stop()
        for aio_task in control.serving:
            aio_task.cancel()
        if control.serving:
            await asyncio.wait(tuple(control.serving))

    def _width(self) -> int:
        # Rows that take slots, as many that wait for them, and some that are being saved.
        slots = self.client.slots
        limit = slots.limit or max((usage.limit for usage in slots.values()), default=slots.policy.start)
        return 2 * limit + (self.saver.width if self.saver is not None else 0)

    async def _rows(self) -> AsyncIterator[Row]:
        # First the rows that are at the service or may be, then those to save, then those to send; uncertain ones last,
        # since waiting for their tasks may never end.
        pending = self._pending
        begun = [row async for row in pending.read(State.ACCEPTED)]
        await self._resume_all(row for row in begun if row.kept_for is None)
        # Submits of an earlier run, which may still succeed. Asked before the rows are read: a page does not show
        # the new state of one that ends meanwhile.
        unsettled = self._attempts.unsettled.positions()
        begun += [row async for row in pending.read(State.SENDING) if row.position not in unsettled]
        uncertain = {row.position async for row in pending.read(State.UNCERTAIN)}
        taken = uncertain.union(row.position for row in begun)
        for row in begun:
            yield row
        for rows in (pending.to_save(taken), pending.to_send(taken), self._uncertain_rows(uncertain)):
            async for row in rows:
                if self._control.is_stopping:
                    return
                yield row

    async def _uncertain_rows(self, positions: set[int]) -> AsyncIterator[Row]:
        while positions and self._control.serving:  # looked up earlier, they would take slots from others
            await asyncio.wait(tuple(self._control.serving))
        async for row in self._pending.read(State.UNCERTAIN):
            if row.position in positions:  # not the rows that became uncertain in this run
                yield row

    async def _resume_all(self, rows: Iterable[Row]) -> None:
        # Before anything is sent: their tasks take slots, whether they are waited for or not.
        for index, row in enumerate(rows, 1):
            self._attempts.resume(row)
            if not index % RESUMED:
                await asyncio.sleep(0)

    async def _serve(self, _: int, row: Row) -> Done | Failed | None:
        # Return the row's outcome; None if it has none in this run.
        control, aio_task = self._control, this_task()
        control.serving[aio_task] = None
        try:
            if self._pending.is_closed:
                return None
            if row.kept_for is not None:
                return await self._attempts.claim(row)
            return await self._attempts.try_until_done(row)
        except asyncio.CancelledError:
            if not control.is_stopping:  # otherwise `stop` has cancelled it
                raise
        except Exception as error:  # noqa: BLE001 (`outcomes` raises it when all rows that were begun are served)
            control.halt(error)
        finally:
            del control.serving[aio_task]
        return None
