"""
The results of `doctor`: findings, and the results of the probes on which they are based.
"""

import enum
from typing import Any, Final, Literal

import attrs

from kling_async.cli.exit_codes import ExitCode
from kling_async.errors import (
    KlingError,
)
from kling_async.wire.http_answer import Answer

__all__ = ["SLOTS", "UNKNOWN_TASK_ID", "ConnectionResult", "Finding", "FindingState", "ProbeResult", "skipped"]

UNKNOWN_TASK_ID: Final = "kling-async-doctor"
"""
An id that no task has.
"""


class FindingState(enum.StrEnum):
    """
    The results of a check.
    """

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    SKIPPED = "skipped"


@attrs.frozen
class Finding:
    """
    The result of a check, with its facts and what to do about them; `advice` is empty if there is nothing to do.

    `code` is the exit code of the command if this is the first problem.
    """

    check: str
    state: FindingState
    found: str
    advice: str = ""
    code: ExitCode = ExitCode.SUCCESS


@attrs.frozen
class ConnectionResult:
    """
    The step at which a connection failed, None if it was established; `reason` is the system's message.
    """

    trouble: Literal["name", "time", "refusal", "certificate", "tls"] | None = None
    reason: str = ""


@attrs.frozen
class ProbeResult:
    """
    The result of one request.

    Attributes:
        answer: None if there was none.
        error: The error that a client raises for it, if any.
        seconds: Until the answer was read.
        offset: Seconds that the service's clock is ahead of this computer's; None if unknown.
        parsed: What a client reads from the answer; None after an error.
    """

    answer: Answer | None
    error: KlingError | None
    seconds: float
    offset: float | None = None
    parsed: Any = None


SLOTS: Final = Finding(
    "slots",
    FindingState.SKIPPED,
    "the number of files at a time can only be found by paying for some; the library does so as it works",
)


def skipped(check: str, why: str) -> Finding:
    return Finding(check, FindingState.SKIPPED, why)
