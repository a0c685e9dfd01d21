"""
One watched task: what answers and errors of polls mean for it. No waiting: `now` is passed in.
"""

import logging
from typing import Final

import attrs

from kling_async.client.handle import TaskHandle
from kling_async.client.retries import may_repeat
from kling_async.errors import ClientClosed, KlingError, NotAuthenticated, NotSent, TaskNotFound, UnexpectedAnswer
from kling_async.policy.policies import PollPolicy
from kling_async.wire.status import has_succeeded, is_final
from kling_async.wire.tasks import TaskSnapshot, TaskStatus

__all__ = ["WatchedTask", "closed_error"]

STUCK_AFTER: Final = 3600.0
"""
Seconds after which a task that has not ended gives its slots back; the slowest picture known took about one minute.
"""

CALLBACK_LIFETIME: Final = 120.0
"""
Seconds since the last callback of an unfinished task for which the next one is waited for, although the service says
that there is no such task. Twice as long as the slowest picture known took.
"""

_log = logging.getLogger(__name__)


@attrs.define(eq=False, repr=False, weakref_slot=False)
class WatchedTask:
    """
    A task that is polled until its end is known or nothing waits for it.

    Attributes:
        number: Its number in the order in which the tasks of its endpoint were watched.
        since: When it was accepted, as far as is known.
        expects_callbacks: Whether a callback should report its end.
        is_polled_singly: Whether its next poll must query only this task.
        is_end_seen_late: Whether its end was not seen when it happened, so that its duration is unknown.
        missing_since: Since when the service says that there is no such task.
        refused_since: Since when the service refuses to return it, for this or another reason.
        incomplete_since: Since when it has succeeded without result files.
    """

    handle: TaskHandle
    number: int
    since: float
    expects_callbacks: bool = False
    is_polled_singly: bool = False
    is_end_seen_late: bool = False
    missing_since: float | None = None
    refused_since: float | None = None
    incomplete_since: float | None = None

    def record(self, snapshot: TaskSnapshot, now: float, policy: PollPolicy) -> bool:
        """
        Apply what a poll returned; return whether it found an end that a callback should have reported.
        """
        handle = self.handle
        self.missing_since = self.refused_since = None
        was_done = handle.is_final
        handle.apply(snapshot)
        # What is known counts, rather than *snapshot*: it may contradict an earlier success.
        if handle.is_final and not handle.is_settled:  # a failed one is settled
            self._note_incomplete(now, policy.pictures_grace)
        if self.expects_callbacks and handle.is_final and not was_done:
            self.is_end_seen_late = True
            return True
        return False

    def note_failure(self, error: KlingError, now: float, policy: PollPolicy) -> None:
        """
        A poll failed with *error*; end the task's waits if polling again is pointless.
        """
        match error:
            case NotAuthenticated() | NotSent(gives_up_in=0):
                self.handle.fail(attrs.evolve(error, task_id=self.handle.task_id))
            case ClientClosed():  # the owner of the session closed it, so that no poll will ever be answered
                self.handle.fail(closed_error(self.handle))
                self.handle.release()
            case _ if not may_repeat(error):
                self._note_refused(error, now, policy.not_found_grace)
        _log.debug("polling task %s failed: %s", self.handle.task_id, error)

    def release_stuck(self, now: float) -> None:
        """
        Give the slots back, if it still has some: the task should have ended long ago.
        """
        if self.handle.release():
            what = "task %s has not ended after %.0f s; its slots are given to other tasks"
            _log.warning(what, self.handle.task_id, now - self.since)

    def duration(self, now: float) -> float | None:
        """
        Return how many seconds the task took, by the service's clock or until now; None if that is unknown. Failures
        can come at any time and say nothing about the duration.
        """
        snapshot, seconds = self.handle.snapshot, now - self.since
        if snapshot is None or snapshot.task_status is not TaskStatus.SUCCEEDED:
            return None
        if snapshot.created_at is not None and snapshot.updated_at is not None:
            by_service = (snapshot.updated_at - snapshot.created_at).total_seconds()
            if 0 < by_service < seconds:
                return by_service
        return None if self.is_end_seen_late else seconds

    def _note_incomplete(self, now: float, grace: float) -> None:
        self.incomplete_since = now if self.incomplete_since is None else self.incomplete_since
        if now - self.incomplete_since >= grace:
            what = f"the task succeeded, but the service has listed no files of it for {grace:g} s"
            snapshot = self.handle.snapshot
            self.handle.fail(UnexpectedAnswer(what, self.handle.task_id, snapshot.request_id if snapshot else None))

    def _note_refused(self, error: KlingError, now: float, grace: float) -> None:
        # The service does not return the task, and polling again is unlikely to help.
        handle, unconfirmed = self.handle, self.handle.unconfirmed
        self.refused_since = now if self.refused_since is None else self.refused_since
        if unconfirmed is not None and has_succeeded(unconfirmed):
            if now - self.refused_since >= grace:
                self._accept_unconfirmed(unconfirmed, error)
        elif _says_unknown(error):
            self.missing_since = now if self.missing_since is None else self.missing_since
            until = self.missing_since + grace
            if unconfirmed is not None and not is_final(unconfirmed.task_status):
                until = max(until, handle.unconfirmed_at + CALLBACK_LIFETIME)
            if now >= until:
                handle.fail(_not_found(error, handle.task_id, unconfirmed))
                handle.release()

    def _accept_unconfirmed(self, unconfirmed: TaskSnapshot, error: KlingError) -> None:
        # Only a caller that knows the task's own address could send these files, and the service contradicts nothing.
        what = "the service does not return task %s; its files come from a callback and are not confirmed: %s"
        _log.warning(what, unconfirmed.task_id, error)
        self.is_end_seen_late = True
        self.handle.apply(unconfirmed)


def closed_error(handle: TaskHandle) -> ClientClosed:
    """
    Return the error that ends the waits for a task when its client is closed.
    """
    what = "the client was closed; the task is still running: resume it with another client's handle(task_id)"
    return ClientClosed(what, handle.task_id, task_ids=(handle.task_id,))


def _says_unknown(error: KlingError) -> bool:
    match error:
        case TaskNotFound() | UnexpectedAnswer(is_other_api=True, http_status=404):
            return True
        case _:
            return False


def _not_found(error: KlingError, task_id: str, unconfirmed: TaskSnapshot | None) -> KlingError:
    if unconfirmed is None or not isinstance(error, TaskNotFound):
        return attrs.evolve(error, task_id=task_id)
    reason = f" ({unconfirmed.task_status_msg})" if unconfirmed.task_status_msg else ""
    what = (
        f"the service knows no task {task_id}, but a callback reported it as {unconfirmed.status_word!r}{reason}; "
        "it may have another id there, so look for it before you pay again"
    )
    return attrs.evolve(error, message=what, task_id=task_id, snapshot=unconfirmed)
