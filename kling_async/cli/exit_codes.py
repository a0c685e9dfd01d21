"""
The exit code and the advice for each error.
"""

import enum
from collections.abc import Iterable, Mapping
from typing import Final

from kling_async.errors import (
    AccountProblem,
    BudgetExceeded,
    ClientClosed,
    ContentRefused,
    DownloadFailed,
    ExecutorLost,
    InvalidRequest,
    JournalCorrupt,
    JournalLocked,
    JournalMismatch,
    KlingError,
    NotAllowed,
    NotAuthenticated,
    NotSent,
    ProcessFailed,
    RateLimited,
    ServiceFailure,
    StorageFull,
    SubmissionUncertain,
    TaskFailed,
    TaskNotFound,
    UnexpectedAnswer,
    Unreachable,
    WaitTimeout,
)
from kling_async.wire.endpoints.registry import endpoints

__all__ = ["EXIT_CODES", "OS_ERROR_ADVICE", "ExitCode", "advice_for", "code_of", "exit_code"]


class ExitCode(enum.IntEnum):
    """
    The exit codes of all commands.
    """

    SUCCESS = 0
    TASK_FAILED = 1
    USAGE = 2
    KEY = 3
    ACCOUNT = 4
    SERVICE = 5
    UNCERTAIN = 6
    STORAGE = 7
    INTERRUPTED = 130


EXIT_CODES: Final = (
    "Exit codes: 0 success, 1 failed task, 2 usage or request, 3 key, 4 account or money, 5 service, "
    "6 uncertain submission, 7 disk or journal, 130 interrupted."
)

OS_ERROR_ADVICE: Final = "check that the file or folder exists, that you may write to it, and that its disk has room"
"""
The advice for errors of the operating system.
"""

_MOST_SERIOUS_FIRST: Final = (
    ExitCode.UNCERTAIN,  # repeating the command may pay twice
    ExitCode.STORAGE,
    ExitCode.KEY,
    ExitCode.ACCOUNT,
    ExitCode.SERVICE,
    ExitCode.USAGE,
    ExitCode.TASK_FAILED,
)

_TABLE: Final[Mapping[type[KlingError], tuple[ExitCode, str]]] = {
    KlingError: (ExitCode.TASK_FAILED, ""),
    InvalidRequest: (ExitCode.USAGE, "fix the request; no task was created"),
    NotAuthenticated: (
        ExitCode.KEY,
        "check the key; to try it without an account, run kling-async demo, or kling-async generate --emulator",
    ),
    NotAllowed: (ExitCode.ACCOUNT, "request access to this model or API, or choose another with --model-name"),
    AccountProblem: (ExitCode.ACCOUNT, "top up or unlock the account; retrying does not help"),
    BudgetExceeded: (
        ExitCode.ACCOUNT,
        "raise --max-units or --max-cost, or ask for less; nothing was sent",
    ),
    ContentRefused: (ExitCode.TASK_FAILED, "change the prompt or the input files"),
    TaskNotFound: (ExitCode.TASK_FAILED, ""),  # see `advice_for`
    RateLimited: (ExitCode.SERVICE, "try again later; other programs may be using the account's slots"),
    ServiceFailure: (ExitCode.SERVICE, "try again later"),
    UnexpectedAnswer: (ExitCode.SERVICE, "check that --base-url is the address of a Kling API"),
    NotSent: (ExitCode.SERVICE, "check the network and --base-url; nothing was sent"),
    Unreachable: (ExitCode.SERVICE, "check the network and --base-url"),
    SubmissionUncertain: (
        ExitCode.UNCERTAIN,
        "a task may have been created and paid for: check the vendor's console before you send this again",
    ),
    TaskFailed: (ExitCode.TASK_FAILED, "change the prompt, or try again; the vendor does not bill failed tasks"),
    WaitTimeout: (ExitCode.TASK_FAILED, "the task is still running and is paid for: wait for it again by its id"),
    DownloadFailed: (ExitCode.TASK_FAILED, "the files are still at the service: save them again by the task id"),
    ProcessFailed: (ExitCode.TASK_FAILED, "fix the function that processes the files, then run it again"),
    ExecutorLost: (
        ExitCode.SERVICE,
        "check that the cluster and its workers are running, then run the same command again",
    ),
    ClientClosed: (ExitCode.TASK_FAILED, "wait for the task again by its id"),
    JournalLocked: (ExitCode.USAGE, "wait for the other process to end, or stop it"),
    JournalMismatch: (
        ExitCode.USAGE,
        "use the key and base URL of the journal, or another journal; to continue it with the new ones, use --new-key",
    ),
    JournalCorrupt: (ExitCode.STORAGE, "restore the missing part, or the whole journal, from a backup"),
    StorageFull: (ExitCode.STORAGE, "free some disk space, then save the files by the task id"),
}


def code_of(error: KlingError) -> ExitCode:
    """
    Return the exit code of a command that ends with *error*.
    """
    return _row_of(error)[0]


def advice_for(error: KlingError) -> str:
    """
    Return what to do about *error*; empty if there is no advice for its class.
    """
    if isinstance(error, WaitTimeout) and error.snapshot is None:
        return f"the service does not know this task: check its id, the account, --base-url, and {_kind()}"
    if isinstance(error, TaskNotFound):
        return f"check the task id, the account, --base-url, and {_kind()}"
    if isinstance(error, StorageFull) and error.task_id is None:  # of a journal, or before anything was sent
        return "free some disk space, then run the same command again"
    if isinstance(error, BudgetExceeded) and error.price is None:
        return "say what it counts with --unknown-units, or run it without a limit; nothing was sent"
    return _row_of(error)[1]


def exit_code(errors: Iterable[KlingError]) -> ExitCode:
    """
    Return the exit code of a command in which all these *errors* occurred: that of the most serious one.
    """
    codes = {code_of(error) for error in errors}
    return next((code for code in _MOST_SERIOUS_FIRST if code in codes), ExitCode.SUCCESS)


def _kind() -> str:  # no constant: it loads all endpoints
    return f"--kind if it is no image: {', '.join(each.name for each in endpoints()[1:])}"


def _row_of(error: KlingError) -> tuple[ExitCode, str]:
    return next(_TABLE[kind] for kind in type(error).__mro__ if kind in _TABLE)
