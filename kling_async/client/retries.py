"""
Whether a failed request may be sent again, and the loop that sends it. Only `next_step` decides about paying twice.
"""

import enum
import logging
import warnings
from collections.abc import Awaitable, Callable, Generator
from http import HTTPStatus
from typing import Any, TypeVar

import backoff

from kling_async.errors import (
    KlingError,
    NotAuthenticated,
    NotSent,
    RateLimited,
    ServiceFailure,
    TaskNotFound,
    UnexpectedAnswer,
    Unreachable,
)
from kling_async.policy.policies import RetryPolicy

__all__ = ["Step", "find_in", "is_no_api", "may_exist", "may_repeat", "next_step", "retry", "retry_after"]

E = TypeVar("E")
T = TypeVar("T")

_log = logging.getLogger(__name__)


class Step(enum.Enum):
    """
    What to do after a submit did not end in a task.
    """

    RESEND = enum.auto()
    LOOK_UP = enum.auto()
    GIVE_UP = enum.auto()


def next_step(error: KlingError, *, can_look_up: bool) -> Step:
    """
    Return what follows a submit that ended in *error*.

    RESEND: certainly nothing was created, and it may work now. LOOK_UP: a task may exist, and can be found by the id of
    ours that was sent. GIVE_UP: the caller must change something, or a task may exist that cannot be found.
    """
    match error:
        case NotSent(gives_up_in=0):
            return Step.GIVE_UP
        case NotSent() | RateLimited():
            return Step.RESEND
        case _ if may_exist(error):
            return Step.LOOK_UP if can_look_up else Step.GIVE_UP
        case _:
            return Step.GIVE_UP


def may_exist(error: KlingError) -> bool:
    """
    Return whether a submit that ended in *error* may have created a task.

    The vendor's codes 1000 to 1304 and all other 4xx say that nothing was created. A broken connection, a failing
    service and a good answer that cannot be read (2xx, or one cut off before its status) do not say.
    """
    match error:
        case ServiceFailure(http_status=HTTPStatus.NOT_IMPLEMENTED):
            return False
        case Unreachable() | ServiceFailure():
            return True
        case UnexpectedAnswer(is_confirmed=True):  # there is no such API here
            return False
        case UnexpectedAnswer(http_status=status):
            return status is None or status < 300
        case _:
            return False


def is_no_api(error: KlingError) -> bool:
    """
    Return whether *error* shows that there is no Kling API at the address, so that nothing sent there creates a task.
    """
    return isinstance(error, UnexpectedAnswer) and error.is_other_api and not may_exist(error)


async def find_in(read: Callable[[E], Awaitable[T]], endpoint: E, counterpart: E | None) -> T:
    """
    Return the task that *read* finds at *endpoint*, or else at its counterpart in the vendor's other standard.

    Raises:
        TaskNotFound: Neither has it, or the first has not, and this host or this key is not for the other standard.
        KlingError: Either failed.
    """
    try:
        return await read(endpoint)
    except TaskNotFound as error:
        if counterpart is None:
            raise
        missing = error
    try:
        return await read(counterpart)
    except KlingError as error:
        if isinstance(error, NotAuthenticated) or is_no_api(error):
            raise missing from error
        raise


def may_repeat(error: KlingError) -> bool:
    """
    Return whether a read that ended in *error* may succeed the next time.
    """
    match error:
        case ServiceFailure(http_status=HTTPStatus.NOT_IMPLEMENTED):  # this kind of query is not offered
            return False
        case NotSent(gives_up_in=0):  # there is no such host, or no network
            return False
        case NotSent() | Unreachable() | RateLimited() | ServiceFailure():
            return True
        case UnexpectedAnswer(http_status=status):  # a proxy's page or a torn body, rather than a wrong path
            return status is None or status < 300
        case _:
            return False


async def retry(
    first: Callable[[], Awaitable[T]],
    again: Callable[[], Awaitable[T]],
    policy: RetryPolicy,
    is_over: Callable[[Any], bool],
    on_retry: Callable[[KlingError, float], object] | None = None,
) -> T:
    """
    Return what *first* returns, or after a KlingError what *again* returns, as often as it takes.

    Args:
        policy: How long to wait before each further attempt.
        is_over: Returns whether an error is final, and raised.
        on_retry: Called with an error that is not, and the seconds until the next attempt.
    """
    try:
        return await first()
    except KlingError as error:
        failed = [error]
    return await retry_after(failed, again, policy, is_over, on_retry)


async def retry_after(
    failed: list[KlingError],
    again: Callable[[], Awaitable[T]],
    policy: RetryPolicy,
    is_over: Callable[[Any], bool],
    on_retry: Callable[[KlingError, float], object] | None = None,
) -> T:
    """
    Do the same for a first attempt that has ended. Nearly all succeed, and preparing `backoff` for each would cost more
    than sending it.

    Args:
        failed: The error in which it ended. It is taken out of the list, since its traceback holds the caller.
    """

    async def attempt() -> T:
        if failed:
            raise failed.pop()
        return await again()

    def on_backoff(details: Any) -> None:
        if on_retry is not None:
            on_retry(details["exception"], details["wait"])

    def delays() -> Generator[float, Any, None]:
        return policy.delays()

    # Only `is_over` decides; backoff carries it out. Its own limits are unused: they read the wall clock.
    repeating = backoff.on_exception(
        delays,
        KlingError,
        giveup=is_over,
        on_backoff=on_backoff,
        jitter=None,
        logger=_log,
        backoff_log_level=logging.INFO,
        giveup_log_level=logging.DEBUG,  # it is raised, so the caller reports it
    )
    with warnings.catch_warnings():
        # backoff calls what Python 3.14 deprecates; where warnings are errors, a submit would end in that one
        warnings.simplefilter("ignore", DeprecationWarning)
        attempts = repeating(attempt)
    result: T = await attempts()
    return result
