import inspect

import pytest

from kling_async import errors
from kling_async.cli.exit_codes import ExitCode, advice_for, code_of, exit_code
from kling_async.errors import (
    AccountProblem,
    BudgetExceeded,
    InvalidRequest,
    KlingError,
    NoFreeSlot,
    NotAuthenticated,
    NotSent,
    StorageFull,
    SubmissionUncertain,
    TaskFailed,
)
from tests.cli.conftest import Here


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TaskFailed("no"), 1),
        (InvalidRequest("no"), 2),
        (NotAuthenticated("no"), 3),
        (AccountProblem("no"), 4),
        (BudgetExceeded("no"), 4),
        (NotSent("no"), 5),
        (SubmissionUncertain("no"), 6),
    ],
)
def test_documented_codes(error: KlingError, code: int) -> None:
    """
    Each decision of the caller has the exit code that `--help` promises.
    """
    assert code == code_of(error)


def test_subclass_inherits() -> None:
    """
    An error without a row of its own is told as its parent is.
    """
    assert ExitCode.SERVICE == code_of(NoFreeSlot("no"))


def test_every_error_has_advice() -> None:
    """
    Whatever the package raises, the command line says what to do about it.
    """
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, KlingError)]

    assert [] == [kind for kind in kinds if kind is not KlingError and not advice_for(kind("no"))]


@pytest.mark.parametrize("words", [["status", "t-1"], ["tasks"], ["wait", "t-1"], ["save", "t-1"]])
def test_advice_without_a_key(here: Here, monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    """
    A command without `--emulator` advises what there is, and not that option of its own.
    """
    monkeypatch.delenv("KLING_API_KEY")

    ended = here(*words)

    assert (3, "") == (ended.code, ended.out)
    assert "there is no key" in ended.err
    assert "run kling-async demo, or kling-async generate --emulator" in ended.err
    assert 1 == ended.err.count("--")


def test_gravest_wins() -> None:
    """
    Of several errors the one decides that costs most to overlook.
    """
    assert ExitCode.UNCERTAIN == exit_code([TaskFailed("no"), SubmissionUncertain("no"), NotAuthenticated("no")])
    assert ExitCode.SUCCESS == exit_code([])


def test_full_disk() -> None:
    """
    Without a task there are no pictures to fetch: a journal that has no room is opened again by the same command.
    """
    assert "free some disk space, then run the same command again" == advice_for(StorageFull("no room"))
    assert "save the files by the task id" in advice_for(StorageFull("no room", "t-1"))
