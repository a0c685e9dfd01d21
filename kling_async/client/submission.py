"""
One submit on its way: what is sent, what is known of its fate, and what may follow. No I/O.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import attrs

from kling_async.client.retries import Step, may_exist, next_step
from kling_async.errors import KlingError, RateLimited, SubmissionUncertain, UnexpectedAnswer, Unreachable
from kling_async.wire.responses import is_duplicate_id
from kling_async.wire.tasks import TaskSnapshot

__all__ = ["Submission", "may_be_task_of", "uncertain"]

CLOCK_SLACK: Final = 5.0
"""
Seconds by which a task may seem to be made before its request was sent: the service tells its time in whole seconds.
"""


async def _at_once() -> None:
    pass


def _in_silence() -> None:
    pass


def _ignore(_: KlingError, __: float) -> None:
    pass


@attrs.define(eq=False)
class Submission:
    """
    One submit on its way: what is sent, and what is known of its fate so far.

    Attributes:
        external_id: The id of ours it carries, None where the service takes none.
        refused: Takes in a refusal, and tells whether it may be sent again after `regain` alone, with no pause before.
        refused_for: Returns the seconds for which it has been refused while nothing of ours was under way.
        regain: Waits until it may be sent again.
        intend: Awaited before it is sent, and again where it is sent anew after `withdraw`; what it raises goes up.
        withdraw: Called where nothing came of what was intended, for sure.
        retrying: Called with an error after which it goes on, and the seconds until then.
        owns_id:
            Whether nobody else could have used `external_id`, so that "already exists" is a task of this request: an
            earlier run sent it, or something on the way sent it twice.
        doubt: The first error after which a task may exist; None while surely none does.
        missing_since:
            Since when a look-up has not found it, after it was last sent with an unknown outcome; in seconds of the
            loop's clock. None while none has told so.
        refusal: What the service said when it was sent again after a doubt. It proves nothing of the first attempt.
        is_intended: Whether `intend` stands.
        is_kept_back: Whether `intend` has refused it, so that it is not sent; the refusal is the caller's own.
        has_left: Whether bytes of a request are at the connection, and no answer has told what became of them.
        is_called_off: Whether its bytes are kept from leaving, since nobody wants it any more.
        is_looking: Whether the last attempt was a look-up that found out nothing.
        is_abandoned: Whether nobody wants it any more: its fate is found out, and it is not sent again.
        troubled_since: When it first went wrong, in seconds of the loop's clock.
    """

    path: str
    body: bytes = attrs.field(repr=False)
    external_id: str | None
    refused: Callable[[RateLimited], bool]
    refused_for: Callable[[], float]
    regain: Callable[[], Awaitable[None]]
    intend: Callable[[], Awaitable[None]] = _at_once
    withdraw: Callable[[], object] = _in_silence
    retrying: Callable[[KlingError, float], object] = _ignore
    owns_id: bool = False
    doubt: KlingError | None = None
    missing_since: float | None = None
    refusal: KlingError | None = None
    is_intended: bool = False
    is_kept_back: bool = False
    has_left: bool = False
    is_called_off: bool = False
    is_looking: bool = False
    is_abandoned: bool = False
    troubled_since: float | None = None

    @property
    def is_exposed(self) -> bool:
        """
        Whether the service may have a task of this that nobody knows of yet.
        """
        return self.has_left or self.doubt is not None

    def call_off(self) -> bool:
        """
        Keep it from being sent where no byte has left yet, and tell whether that is so: then it may be cancelled. Where
        this returns False its fate is to be found out.
        """
        self.is_called_off = self.is_called_off or not self.is_exposed
        return self.is_called_off

    def trouble(self, now: float) -> None:
        """
        Remember when the trouble began.
        """
        self.troubled_since = now if self.troubled_since is None else self.troubled_since

    def mark_uncertain(self, error: KlingError, now: float) -> None:
        """
        Remember that it was sent, or may have been, and that *error* does not tell what became of it.
        """
        # A copy: the error's own traceback holds the submission with its body, and it would hold the error.
        self.doubt = self.doubt or attrs.evolve(error)
        self.missing_since = None
        self.trouble(now)

    def miss(self, now: float) -> None:
        """
        Remember since when a look-up has not found it.
        """
        self.missing_since = now if self.missing_since is None else self.missing_since

    def learn_from(self, error: KlingError, now: float) -> None:
        """
        Take in that a POST of it ended in *error*.
        """
        self.has_left = False
        is_duplicate = is_duplicate_id(error)
        if is_duplicate and self.owns_id and self.doubt is None:
            what = f"the service has a task of its external_task_id already, which nobody else uses: {error.message}"
            self.mark_uncertain(Unreachable(what), now)
        elif may_exist(error):
            self.mark_uncertain(error, now)
        elif self.doubt is not None and next_step(error, can_look_up=False) is Step.GIVE_UP:
            self.missing_since = None  # the service had a reason, which may be the task of an earlier attempt
            self.refusal = self.refusal if is_duplicate else attrs.evolve(error)

    def may_be_sent_again(self, look_for: float, now: float) -> bool:
        """
        Tell whether it may be sent again although an earlier attempt may have arrived: only where the service has not
        shown the task for *look_for* seconds, and has not refused it since.
        """
        return self.refusal is None and not self.is_abandoned and self.has_been_missing(look_for, now)

    def has_been_missing(self, seconds: float, now: float) -> bool:
        """
        Tell whether it has not been found for so many seconds. A service that could not be asked has shown nothing.
        """
        return self.missing_since is not None and now - self.missing_since >= seconds


def may_be_task_of(
    found: TaskSnapshot, external_id: str, *, sent_ago: float | None, made_ago: float | None
) -> bool | None:
    """
    Tell whether *found* is the task that was submitted under *external_id*; None where nothing tells.

    A service that repeats our id is believed. Where it does not, the task must have been made after it was submitted.

    Args:
        sent_ago: Seconds since it was first submitted; None where that is not known.
        made_ago: Seconds since *found* was made, by the service's own clock; None where it does not say.
    """
    told = found.task_info.external_task_id
    if told is not None:
        return told == external_id
    if sent_ago is None or made_ago is None:
        return None
    return made_ago <= sent_ago + CLOCK_SLACK


def uncertain(submission: Submission, doubt: KlingError) -> SubmissionUncertain:
    """
    Return the error in which a submit ends that may have made a task.
    """
    if submission.external_id is None:
        what = "this service takes no id of ours by which to find it"
    else:
        what = f"it was not found by its external_task_id {submission.external_id!r} in time"
    refusal = submission.refusal
    again = f"sent again, it was refused: {refusal.message}" if refusal is not None else "it is not sent again"
    return SubmissionUncertain(
        f"the task may have been accepted, and {what}; {again}. The first error was: {doubt.message}",
        doubt.task_id,
        doubt.request_id,
        doubt.code,
        doubt.http_status,
        urls=doubt.urls if isinstance(doubt, UnexpectedAnswer) else (),
    )
