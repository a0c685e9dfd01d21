"""
What an error means for its row and for the run.
"""

from typing import Any

import pytest

from kling_async.batch.failures import RunStopped, Verdict, verdict_of
from kling_async.batch.records import State
from kling_async.errors import (
    AccountProblem,
    BrokenRule,
    BudgetExceeded,
    ClientClosed,
    InvalidRequest,
    JournalCorrupt,
    KlingError,
    NotAllowed,
    NotSent,
    RateLimited,
    ServiceFailure,
    StorageFull,
    SubmissionUncertain,
    TaskFailed,
    TaskNotFound,
    UnexpectedAnswer,
    WaitTimeout,
)

FAILED = State.FAILED


def verdict(error: KlingError, **facts: Any) -> Verdict:
    return verdict_of(error, **{"task_id": None, "is_sent": True, "has_own_id": False, **facts})


@pytest.mark.parametrize(
    ("error", "facts", "expected"),
    [
        (RunStopped("stopped"), {}, Verdict(is_reported=False)),
        (AccountProblem("no units"), {}, Verdict(is_reported=False, stops_run=True)),
        (BudgetExceeded("no units"), {}, Verdict(is_reported=False)),
        (NotSent("no route"), {}, Verdict(is_reported=False, stops_run=True)),
        (
            UnexpectedAnswer("a page", http_status=404, is_other_api=True),
            {},
            Verdict(is_reported=False, stops_run=True),
        ),
        (ClientClosed("closed"), {}, Verdict(is_raised=True)),
        (StorageFull("full"), {}, Verdict(is_raised=True)),
        (JournalCorrupt("moved"), {}, Verdict(is_raised=True)),
        (TaskFailed("busy"), {"task_id": "t"}, Verdict(state=FAILED, may_retry=True, may_retry_later=True)),
        (TaskFailed("busy"), {"task_id": "t", "has_own_id": True}, Verdict(state=FAILED)),
        (TaskFailed("risk control"), {"task_id": "t"}, Verdict(state=FAILED)),
        (TaskNotFound("gone"), {"task_id": "t"}, Verdict(state=FAILED)),
        (SubmissionUncertain("lost"), {}, Verdict(state=State.UNCERTAIN, is_consecutive=True)),
        (SubmissionUncertain("lost"), {"is_sent": False}, Verdict(state=State.UNCERTAIN)),
        (
            ServiceFailure("busy"),
            {},
            Verdict(state=FAILED, may_retry=True, may_retry_later=True, is_consecutive=True),
        ),
        (RateLimited("slow"), {}, Verdict(state=FAILED, may_retry=True, may_retry_later=True, is_consecutive=True)),
        (NotAllowed("no right"), {}, Verdict(state=FAILED, may_retry_later=True, is_consecutive=True)),
        (InvalidRequest("bad"), {}, Verdict(state=FAILED)),
        (InvalidRequest("bad", broken=(BrokenRule("n", "0", "bad"),)), {}, Verdict(state=FAILED, may_retry_later=True)),
        (WaitTimeout("slow"), {"task_id": "t"}, Verdict()),
        (ServiceFailure("busy"), {"task_id": "t"}, Verdict()),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, KlingError) else None,
)
def test_each_error_has_its_verdict(error: KlingError, facts: dict[str, Any], expected: Verdict) -> None:
    """
    Whether the row may be sent again, whether the run goes on, and what is reported.
    """
    assert expected == verdict(error, **facts)
