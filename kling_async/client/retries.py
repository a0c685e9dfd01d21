"""
Whether a request that failed may be sent again: the only place that decides about paying twice. No clock, no sleeping.
"""

import enum
from http import HTTPStatus

from kling_async.errors import (
    KlingError,
    NotSent,
    RateLimited,
    ServiceFailure,
    UnexpectedAnswer,
    Unreachable,
)

__all__ = ["Step", "is_no_api", "next_step"]


class Step(enum.Enum):
    """
    What to do after a submit did not end in a task.
    """

    RESEND = enum.auto()
    LOOK_UP = enum.auto()
    GIVE_UP = enum.auto()


def next_step(error: KlingError, *, can_look_up: bool) -> Step:
    """
    Decide what follows a submit that ended in *error*: the only place that decides about paying again.

    RESEND: surely nothing was created, and it may work now. LOOK_UP: a task may exist, and an id of ours was sent by
    which to find it. GIVE_UP: the caller must change something, or a task may exist that cannot be looked for.
    """
    match error:
        case NotSent() | RateLimited():
            return Step.RESEND
        case _ if may_exist(error):
            return Step.LOOK_UP if can_look_up else Step.GIVE_UP
        case _:
            return Step.GIVE_UP


def may_exist(error: KlingError) -> bool:
    """
    Tell whether a submit that ended in *error* may have made a task all the same.

    The vendor's codes 1000 to 1304 and all other 4xx say that nothing was made. A broken connection, a failing service
    and a good answer that cannot be read (2xx, or one cut off before its status) say nothing.
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
    Tell whether *error* shows that there is no Kling API at the address, so that nothing sent there makes a task.
    """
    return isinstance(error, UnexpectedAnswer) and error.is_other_api and not may_exist(error)


def may_repeat(error: KlingError) -> bool:
    """
    Tell whether a read that ended in *error* may go well the next time.
    """
    match error:
        case ServiceFailure(http_status=HTTPStatus.NOT_IMPLEMENTED):  # this way of asking is not offered
            return False
        case NotSent() | Unreachable() | RateLimited() | ServiceFailure():
            return True
        case UnexpectedAnswer(http_status=status):  # a proxy's page or a torn body, rather than a wrong path
            return status is None or status < 300
        case _:
            return False
