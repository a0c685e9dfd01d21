"""
The known facts about one submit's fate, and what may follow. No I/O and no clock: `now` is passed in.
"""

from typing import Final, Self

import attrs

from kling_async.client.retries import Step, may_exist, may_repeat, next_step
from kling_async.errors import (
    KlingError,
    NotSent,
    RateLimited,
    SubmissionUncertain,
    TaskNotFound,
    UnexpectedAnswer,
    Unreachable,
)
from kling_async.policy.policies import RetryPolicy
from kling_async.wire.responses import is_duplicate_id
from kling_async.wire.tasks import TaskSnapshot

__all__ = ["Submission", "may_be_task_of"]

CLOCK_SLACK: Final = 5.0
"""
Seconds that a task may seem older than its request: the service reports its time in whole seconds.
"""


@attrs.define(eq=False, repr=False)
class Submission:
    """
    The known facts about one submit's fate. Times are seconds of the loop's clock.

    Attributes:
        external_id: The id of ours that it carries; None if the service takes none.
        lookup_proves_absence: Whether there is no task if a lookup finds none; otherwise it is never sent again.
        owns_id: Whether no other program can have used `external_id`, so that a task with it is this submit's: an
            earlier run sent it, or a relay sent it twice.
        sent_at: When it was first sent, or is about to be; None if an earlier run sent it at an unknown time.
        ambiguous_error: The first error after which a task may exist; None while certainly no task exists.
        missing_since: Since when lookups have not found it, after it was last sent; None if none has reported that.
        rejection: What the service said when it was sent again after `ambiguous_error`. It proves nothing about the
            first attempt.
        failing_since: When it first failed.
        is_looking: Whether the last attempt was a lookup that did not end in a task.
        is_abandoned: Whether its caller was cancelled: it is looked up, and not sent again.
        is_closing: Whether the client is closed: it is looked up, and not sent again.
    """

    external_id: str | None
    owns_id: bool = False
    lookup_proves_absence: bool = True
    sent_at: float | None = None
    ambiguous_error: KlingError | None = None
    missing_since: float | None = None
    rejection: KlingError | None = None
    failing_since: float | None = None
    is_looking: bool = False
    is_abandoned: bool = False
    is_closing: bool = False

    @classmethod
    def of_earlier_run(cls, external_id: str | None, sent_at: float | None, wall_now: float, now: float) -> Self:
        """
        Return the submission that an earlier run has sent without learning the outcome.

        Args:
            sent_at: When it was sent, in Unix time; None if unknown.
            wall_now: The present Unix time.
        """
        submission = cls(external_id)
        what = "an earlier run has sent it, and did not learn the outcome"
        submission.mark_uncertain(Unreachable(what), now)
        if sent_at is not None:  # the service has had since then to show it
            submission.sent_at = submission.missing_since = now - max(0.0, wall_now - sent_at)
        return submission

    @property
    def is_last_try(self) -> bool:
        """
        Whether it is not sent again.
        """
        return self.is_abandoned or self.is_closing

    def mark_uncertain(self, error: KlingError, now: float) -> None:
        """
        Record that it was sent, or may have been, and that *error* does not show the outcome.
        """
        # A copy: the error's own traceback holds the submission, which would hold the error.
        self.ambiguous_error = self.ambiguous_error or attrs.evolve(error)
        self.missing_since = None
        self._mark_failing(now)

    def mark_missing(self, now: float) -> None:
        """
        Record that a lookup has not found it.
        """
        self.missing_since = now if self.missing_since is None else self.missing_since

    def record_failure(self, error: KlingError, now: float) -> None:
        """
        Record that a POST of it ended in *error*.
        """
        is_duplicate = is_duplicate_id(error)
        if is_duplicate and self.owns_id and self.ambiguous_error is None:
            what = f"the service already has a task with this external_task_id, which only we use: {error.message}"
            self.mark_uncertain(Unreachable(what), now)
        elif may_exist(error):
            self.mark_uncertain(error, now)
        elif isinstance(error, NotSent):
            pass  # the service said nothing
        elif self.ambiguous_error is not None and next_step(error, can_look_up=False) is Step.GIVE_UP:
            self.missing_since = None  # the service had a reason, which may be the task of an earlier attempt
            self.rejection = self.rejection if is_duplicate else attrs.evolve(error)

    def may_be_sent_again(self, policy: RetryPolicy, now: float) -> bool:
        """
        Return whether it may be sent again although an earlier attempt may have arrived: only if the service has not
        shown the task for `look_for` seconds, would have shown it, and has not rejected it since.
        """
        is_allowed = self.lookup_proves_absence and self.rejection is None and not self.is_last_try
        return is_allowed and self._has_been_missing(policy, now)

    def is_over(self, error: KlingError, policy: RetryPolicy, now: float, *, refused_for: float) -> bool:
        """
        Return whether *error*, in which the last attempt ended, is final.

        Args:
            refused_for: Seconds for which the service has refused it while nothing else of ours was running.
        """
        if policy.is_too_long(error) or (self.is_last_try and self.ambiguous_error is None):
            return True
        if self.is_looking:
            return self._is_look_up_over(error, policy, now)
        is_looked_up = self.ambiguous_error is not None and self.external_id is not None
        if not is_looked_up and next_step(error, can_look_up=self.external_id is not None) is Step.GIVE_UP:
            return True
        if isinstance(error, RateLimited):
            if self.ambiguous_error is None:
                self.failing_since = None  # the service is there
            return refused_for > policy.refused_for
        self._mark_failing(now)
        return self._has_failed_long(policy, now)

    def uncertain(self, ambiguous_error: KlingError) -> SubmissionUncertain:
        """
        Return the error for a submit that may have created a task.
        """
        if self.external_id is None:
            what = "this service takes no id of ours to find it by"
        else:
            what = f"it was not found by its external_task_id {self.external_id!r} in time"
        again = "it is not sent again"
        if self.rejection is not None:
            again = f"sent again, it was refused: {self.rejection.message}"
        return SubmissionUncertain(
            f"the task may have been accepted, and {what}; {again}. The first error was: {ambiguous_error.message}",
            ambiguous_error.task_id,
            ambiguous_error.request_id,
            ambiguous_error.code,
            ambiguous_error.http_status,
            urls=ambiguous_error.urls if isinstance(ambiguous_error, UnexpectedAnswer) else (),
        )

    def _is_look_up_over(self, error: KlingError, policy: RetryPolicy, now: float) -> bool:
        if not isinstance(error, TaskNotFound):
            is_final = not may_repeat(error) and not isinstance(error, NotSent)
        else:  # it may not be shown yet, or may be sent again by now
            is_final = self._has_been_missing(policy, now) and not self.may_be_sent_again(policy, now)
        return is_final or self._has_failed_long(policy, now)

    def _has_been_missing(self, policy: RetryPolicy, now: float) -> bool:
        # A service that could not be asked has shown nothing.
        return self.missing_since is not None and now - self.missing_since >= policy.look_for

    def _has_failed_long(self, policy: RetryPolicy, now: float) -> bool:
        return self.failing_since is not None and now - self.failing_since > policy.give_up_after

    def _mark_failing(self, now: float) -> None:
        self.failing_since = now if self.failing_since is None else self.failing_since


def may_be_task_of(
    snapshot: TaskSnapshot, external_id: str, *, sent_ago: float | None, made_ago: float | None
) -> bool | None:
    """
    Return whether *snapshot* is the task that was submitted under *external_id*; None if that cannot be known.

    A service that repeats our id is believed. Where it does not, the task must have been created after the submit.

    Args:
        sent_ago: Seconds since it was first submitted; None if unknown.
        made_ago: Seconds since *snapshot* was created, by the service's own clock; None if it does not say.
    """
    shown = snapshot.task_info.external_task_id
    if shown is not None:
        return shown == external_id
    if sent_ago is None or made_ago is None:
        return None
    return made_ago <= sent_ago + CLOCK_SLACK
