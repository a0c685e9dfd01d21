"""
Decides what an error of one attempt means for its row and for the run.
"""

import attrs

from kling_async.batch.records import Row, State, may_try_again
from kling_async.client.retries import is_no_api
from kling_async.errors import (
    AccountProblem,
    BudgetExceeded,
    ClientClosed,
    InvalidRequest,
    JournalCorrupt,
    JournalLocked,
    KlingError,
    NotAllowed,
    NotAuthenticated,
    NotSent,
    StorageFull,
    SubmissionUncertain,
    TaskFailed,
    TaskNotFound,
    UnexpectedAnswer,
)

__all__ = ["RunStopped", "Verdict", "kept_for_another_account", "verdict_of"]


class RunStopped(KlingError):
    """
    Nothing was sent, because the run was stopped before.
    """


@attrs.frozen(kw_only=True)
class Verdict:
    """
    What an error means.

    Attributes:
        state: What the row becomes, `FAILED` or `UNCERTAIN`; None if it does not change.
        may_retry: Whether this run may send the row again.
        may_retry_later: Whether a later run may send a failed row again.
        is_reported: Whether the error is the row's outcome in this run.
        stops_run: Whether the next row would fail in the same way.
        is_raised: Whether the run ends in the error at once.
        is_consecutive: Whether it is one of the failures in a row that stop a run.
    """

    state: State | None = None
    may_retry: bool = False
    may_retry_later: bool = False
    is_reported: bool = True
    stops_run: bool = False
    is_raised: bool = False
    is_consecutive: bool = False


def verdict_of(error: KlingError, *, task_id: str | None, is_sent: bool, has_own_id: bool) -> Verdict:
    """
    Return what *error* means.

    Args:
        task_id: The id of the row's task; None if it is unknown.
        is_sent: Whether this run sent the row.
        has_own_id: Whether its `external_task_id` is the caller's, which the service accepts once.
    """
    match error:
        case RunStopped():
            return Verdict(is_reported=False)
        case BudgetExceeded():
            return Verdict(is_reported=False)
        case _ if _stops_run(error):
            return Verdict(is_reported=False, stops_run=True)
        case ClientClosed() | StorageFull() | JournalCorrupt() | JournalLocked():
            return Verdict(is_raised=True)
        case TaskFailed():
            may_retry = may_try_again(error) and not has_own_id
            return Verdict(state=State.FAILED, may_retry=may_retry, may_retry_later=may_retry)
        case TaskNotFound() if task_id is not None:
            return Verdict(state=State.FAILED)
        case SubmissionUncertain():
            return Verdict(state=State.UNCERTAIN, is_consecutive=is_sent)
        case _ if task_id is None:
            return _judge_rejection(error)
        case _:  # the task is running, and the next run waits for it again
            return Verdict()


def _judge_rejection(error: KlingError) -> Verdict:
    # No task was created.
    may_retry, is_denied = may_try_again(error), isinstance(error, NotAllowed)
    is_invalid_here = isinstance(error, InvalidRequest) and bool(error.broken)  # such as a file that has changed
    stops_run = is_no_api(error)
    return Verdict(
        state=State.FAILED,
        may_retry=may_retry,
        may_retry_later=may_retry or is_denied or is_invalid_here,
        stops_run=stops_run,
        is_consecutive=not stops_run and (may_retry or is_denied),
    )


def _stops_run(error: KlingError) -> bool:
    # No task was created.
    if isinstance(error, UnexpectedAnswer):
        return is_no_api(error) and not error.urls
    return isinstance(error, AccountProblem | NotAuthenticated | NotSent)


def kept_for_another_account(row: Row, missing: TaskNotFound) -> KlingError:
    """
    Return the error of a *row* that was sent with another account and is *missing* with the present one.
    """
    what = f"it was sent to {row.kept_for} with another key, and is not found with the present one ({missing.message})"
    advice = "it is kept: to continue it, run with that key and rebind=True (--new-key)"
    if row.state is State.ACCEPTED:
        return TaskNotFound(f"{what}; {advice}", row.task_id, missing.request_id, missing.code, missing.http_status)
    return SubmissionUncertain(f"the task may have been accepted: {what}; {advice}", request=row.request)
