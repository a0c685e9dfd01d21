"""
Stops a run: by choice, or because of errors that the next row would meet too.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from typing import Any, Final, Protocol

import attrs

from kling_async.errors import BudgetExceeded, KlingError

__all__ = ["CONSECUTIVE_FAILURES", "RunControl"]

CONSECUTIVE_FAILURES: Final = 20
"""
A run stops after this number of submits in a row that failed for a passing cause or are uncertain, with none accepted.
"""

SKIPPED_ROWS: Final = 1000
"""
A run stops after this number of rows in a row that do not fit into its budget: reading the rest of a large journal
would take long, for the few that may fit.
"""

_log = logging.getLogger(__name__)


class _Submit(Protocol):
    may_have_arrived: bool
    is_over: bool


@attrs.define(eq=False, repr=False)
class RunControl:
    """
    Records which rows a run serves, and whether it still submits.

    Attributes:
        is_stopping: Whether nothing more is submitted.
        reason: Why; None if the run was stopped by choice.
        failures_in_a_row: Submits that failed for a passing cause or are uncertain, since one was accepted.
        skipped_in_a_row: Rows that did not fit into the budget, since one was accepted.
        serving: The asyncio task of each row that is served, and the observer of its submit while that runs.
    """

    is_stopping: bool = attrs.field(default=False, init=False)
    reason: Exception | None = attrs.field(default=None, init=False)
    failures_in_a_row: int = attrs.field(default=0, init=False)
    skipped_in_a_row: int = attrs.field(default=0, init=False)
    serving: "dict[asyncio.Task[Any], _Submit | None]" = attrs.field(factory=dict, init=False)

    def stop(self) -> None:
        """
        Stop submitting. Rows that have certainly not reached the service are not sent; the others are served.
        """
        self.is_stopping = True
        for aio_task, submit in self.serving.items():
            if submit is not None and not (submit.may_have_arrived or submit.is_over):
                aio_task.cancel()

    def cancel_if_stopping(self, submit: _Submit) -> None:
        """
        Cancel the serving of a row that would now wait to be sent again, if nothing more is submitted.
        """
        if self.is_stopping and not submit.is_over:
            for aio_task in [aio_task for aio_task, each in self.serving.items() if each is submit]:
                aio_task.cancel()

    def halt(self, error: Exception) -> None:
        """
        Stop because of *error*, which the run raises at its end.
        """
        if self.reason is None or (isinstance(self.reason, BudgetExceeded) and not self.is_stopping):
            self.reason = error
            _log.warning("nothing more is submitted: %s", error)
        self.stop()

    def note_accepted(self) -> None:
        """
        A submit was accepted.
        """
        self.failures_in_a_row = self.skipped_in_a_row = 0

    def skip(self, error: BudgetExceeded) -> None:
        """
        A row does not fit into the budget, and is left for another run. Smaller ones may fit, so that submitting stops
        only if nothing is left, or after too many of them in a row.
        """
        self.skipped_in_a_row += 1
        if self.skipped_in_a_row >= SKIPPED_ROWS or _leaves_nothing(error):
            self.halt(error)
        elif self.reason is None:
            self.reason = error

    def count_failure(self, error: KlingError) -> None:
        """
        Count a submit that ended in *error*, and stop after too many in a row.
        """
        self.failures_in_a_row += 1
        if self.failures_in_a_row >= CONSECUTIVE_FAILURES:
            what = f"{self.failures_in_a_row} submits in a row failed or are uncertain, so nothing more is sent"
            self.halt(attrs.evolve(error, message=f"{what}; the last one: {error.message}"))

    @contextlib.contextmanager
    def submitting(self, submit: _Submit) -> Iterator[None]:
        """
        Let `stop` cancel the present asyncio task for as long as *submit* has not been sent.
        """
        aio_task = this_task()
        self.serving[aio_task] = submit
        try:
            yield
        finally:
            self.serving[aio_task] = None


def _leaves_nothing(error: BudgetExceeded) -> bool:
    left, reserved = error.left, error.reserved
    if left is None or reserved is None:
        return False
    return (left.units == 0 and not reserved.units) or (left.cost == 0 and not reserved.cost)


def this_task() -> "asyncio.Task[Any]":
    """
    Return the asyncio task that runs this.
    """
    aio_task = asyncio.current_task()
    if aio_task is None:
        raise AssertionError("every coroutine runs in an asyncio task")
    return aio_task
