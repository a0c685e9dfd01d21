"""
What the shell is told: an exit code for each decision of the caller, and a word on what to do next.
"""

import enum
from collections.abc import Iterable, Mapping
from typing import Final

from kling_async.errors import (
    AccountProblem,
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

__all__ = ["ADVICE_OF_SYSTEM", "EXIT_CODES", "ExitCode", "advice_for", "code_of", "exit_code"]


class ExitCode(enum.IntEnum):
    """
    Why the command ended.
    """

    WELL = 0
    TASK_FAILED = 1
    USAGE = 2
    KEY = 3
    ACCOUNT = 4
    SERVICE = 5
    UNCERTAIN = 6
    STORAGE = 7
    INTERRUPTED = 130


EXIT_CODES: Final = (
    "Exit codes: 0 well, 1 a task failed, 2 usage or request, 3 key, 4 account or money, 5 service, "
    "6 uncertain submission, 7 disk or journal, 130 interrupted."
)

ADVICE_OF_SYSTEM: Final = "check that the file or folder is there, that you may write to it, and that its disk has room"
"""
What to do where the operating system refuses something that the library has no error for.
"""

_GRAVEST_FIRST: Final = (
    ExitCode.UNCERTAIN,  # money may be lost by a mere repetition
    ExitCode.STORAGE,
    ExitCode.KEY,
    ExitCode.ACCOUNT,
    ExitCode.SERVICE,
    ExitCode.USAGE,
    ExitCode.TASK_FAILED,
)

_TABLE: Final[Mapping[type[KlingError], tuple[ExitCode, str]]] = {
    KlingError: (ExitCode.TASK_FAILED, ""),
    InvalidRequest: (ExitCode.USAGE, "change the request; nothing was made"),
    NotAuthenticated: (
        ExitCode.KEY,
        "check the key; without an account there are kling-async demo and --emulator",
    ),
    NotAllowed: (ExitCode.ACCOUNT, "ask for the right to this model or API, or name another with --model-name"),
    AccountProblem: (ExitCode.ACCOUNT, "top up or unlock the account; waiting does not help"),
    ContentRefused: (ExitCode.TASK_FAILED, "change the prompt or the picture"),
    TaskNotFound: (ExitCode.TASK_FAILED, "check the task's id, the account and --base-url"),
    RateLimited: (ExitCode.SERVICE, "try again later: other programs may use the account's slots"),
    ServiceFailure: (ExitCode.SERVICE, "try again later"),
    UnexpectedAnswer: (ExitCode.SERVICE, "check --base-url: is this the address of a Kling API?"),
    NotSent: (ExitCode.SERVICE, "check the network and --base-url; nothing was sent"),
    Unreachable: (ExitCode.SERVICE, "check the network and --base-url"),
    SubmissionUncertain: (
        ExitCode.UNCERTAIN,
        "a task may have been made and paid for: look into the vendor's console before you send this again",
    ),
    TaskFailed: (ExitCode.TASK_FAILED, "change the prompt, or try again; failed tasks are not billed by the vendor"),
    WaitTimeout: (ExitCode.TASK_FAILED, "the task goes on and is paid for: wait for it again by its id"),
    DownloadFailed: (ExitCode.TASK_FAILED, "the pictures are still there: fetch them again by the task's id"),
    ProcessFailed: (ExitCode.TASK_FAILED, "mend the function that was given for the pictures, then run it again"),
    ExecutorLost: (ExitCode.SERVICE, "see that the cluster and its workers run, then run the same command again"),
    ClientClosed: (ExitCode.TASK_FAILED, "pick the task up by its id"),
    JournalLocked: (ExitCode.USAGE, "wait for the other process, or stop it"),
    JournalMismatch: (
        ExitCode.USAGE,
        "use the key and the address that it had, or another journal; --new-key goes on with those that replaced them",
    ),
    JournalCorrupt: (ExitCode.STORAGE, "bring the missing part back, or restore the journal from a copy"),
    StorageFull: (ExitCode.STORAGE, "make room on the disk, then fetch the pictures by the task's id"),
}


def code_of(error: KlingError) -> ExitCode:
    """
    Return the exit code of a command that ends in *error*.
    """
    return _row_of(error)[0]


def advice_for(error: KlingError) -> str:
    """
    Say what to do about *error*, in a few words; empty for what nobody foresaw.
    """
    if isinstance(error, WaitTimeout) and error.snapshot is None:
        return "the service has not shown such a task: check its id, the account and --base-url"
    if isinstance(error, StorageFull) and error.task_id is None:  # of a journal, or before anything was sent
        return "make room on the disk, then run the same command again"
    return _row_of(error)[1]


def exit_code(errors: Iterable[KlingError]) -> ExitCode:
    """
    Return the exit code of a command in which all these *errors* came up: the gravest one's.
    """
    codes = {code_of(error) for error in errors}
    return next((code for code in _GRAVEST_FIRST if code in codes), ExitCode.WELL)


def _row_of(error: KlingError) -> tuple[ExitCode, str]:
    return next(_TABLE[kind] for kind in type(error).__mro__ if kind in _TABLE)
