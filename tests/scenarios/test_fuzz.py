"""
The fuzzer notices what it looks for, and finds nothing in a few cases of each part; `nox -s fuzz` runs very many.
"""

import asyncio
import contextlib
import functools
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

import pytest

from kling_async.errors import BrokenRule, InvalidRequest, KlingError
from tests.fuzz import answers, callbacks, downloads, inputs, references, running
from tests.fuzz.running import Case, Failure, Figures, Kind, Open, run_part

PARTS: Final = {
    part.__name__.rpartition(".")[2]: part.opened for part in (answers, callbacks, downloads, inputs, references)
}


def run(opened: Open, folder: Path, cases: int = 1, name: str = "part") -> Figures:
    """
    Run cases of a part.
    """
    *failures, figures = run_part(name, opened, folder, seed=1, cases=range(cases))
    assert isinstance(figures, Figures)
    assert failures == figures.failures
    return figures


def only(action: Callable[[], Awaitable[None]], *documented: type[BaseException]) -> Open:
    """
    Return a part that has one kind of case.
    """

    @contextlib.asynccontextmanager
    async def opened(_: Path) -> AsyncIterator[Sequence[Kind]]:
        yield [Kind("only", 1, lambda _: Case(100, action, "shown"), documented)]

    return opened


@pytest.mark.parametrize("name", PARTS)
def test_a_few_of_each(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A few cases of each part break no rule; how fast they are is asked where nothing else is measured.
    """
    monkeypatch.setattr(running, "SECONDS_PER_MIB", float("inf"))

    figures = run(PARTS[name], tmp_path, 15, name)

    assert figures.cases == 15
    assert figures.failures == []


def test_documented_errors_are_none(tmp_path: Path) -> None:
    """
    An error of ours is no failure, nor is one that is documented.
    """

    async def refused() -> None:
        raise InvalidRequest("no", broken=(BrokenRule("n", "10", "must be 1 to 9"),))

    async def wrong() -> None:
        raise TypeError("no text")

    assert run(only(refused), tmp_path).failures == []
    assert run(only(wrong, TypeError), tmp_path).failures == []


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (KeyError("a"), "KeyError: 'a'"),
        (asyncio.CancelledError(), "CancelledError"),
        (RecursionError("deep"), "RecursionError: deep"),
        (KlingError("a\nforged line"), "breaks a line"),
        (KlingError("a\x1b[2J"), "controls a terminal"),
        (KlingError("a" * 100_000), "100000 characters"),
        (KlingError("a", task_id="t\r"), "breaks a line"),
    ],
)
def test_errors_are_noticed(error: BaseException, what: str, tmp_path: Path) -> None:
    """
    Any other error is a failure, and so is one of ours that cannot be shown safely.
    """

    async def fail() -> None:
        raise error

    (failure,) = run(only(fail), tmp_path).failures

    assert what in failure.what
    assert failure == Failure(0, "only", failure.what, "100 bytes: shown")


def test_lost_exceptions_are_noticed(tmp_path: Path) -> None:
    """
    What a callback of the loop raises is a failure of the case that has made it.
    """

    async def schedule() -> None:
        asyncio.get_running_loop().call_soon(functools.partial(int, "x"))
        await asyncio.sleep(0)

    (failure,) = run(only(schedule), tmp_path).failures

    assert "complaint: " in failure.what
    assert "invalid literal for int()" in failure.what


def test_waiting_for_ever_is_noticed(tmp_path: Path) -> None:
    """
    A case whose timers go on without end is a failure.
    """

    async def wait() -> None:
        while True:
            await asyncio.sleep(24 * 3600)

    (failure,) = run(only(wait), tmp_path).failures

    assert "TimeoutError" in failure.what


def test_slow_cases_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A case that takes too much CPU time is a failure, though only where it does so each time.
    """
    monkeypatch.setattr(running, "SECONDS_PER_MIB", 0.0)
    (failure,) = run(only(functools.partial(asyncio.sleep, 0)), tmp_path).failures

    assert "CPU seconds per MiB" in failure.what


def test_hanging_cases_are_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A case that would never end is stopped.
    """
    monkeypatch.setattr(running, "STUCK", 0.05)

    async def spin() -> None:
        while True:
            pass

    (failure,) = run(only(spin), tmp_path).failures

    assert "Stuck" in failure.what


def test_memory_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A case that holds too much memory at any moment is a failure, though it gives it back.
    """
    monkeypatch.setattr(running, "MEMORY_MAX", 16 * running.MIB)

    async def hold() -> None:
        bytearray(b"a") * (64 * running.MIB)

    (failure,) = run(only(hold), tmp_path).failures

    assert failure.what.startswith("it takes ")


def test_equal_seeds_make_equal_cases(tmp_path: Path) -> None:
    """
    A case is the same whichever ran before it.
    """
    made: list[float] = []

    @contextlib.asynccontextmanager
    async def opened(_: Path) -> AsyncIterator[Sequence[Kind]]:
        def make(rng: random.Random) -> Case:
            made.append(rng.random())
            return Case(1, functools.partial(asyncio.sleep, 0))

        yield [Kind("first", 1, make), Kind("second", 1, make)]

    for cases in (range(3), range(2, 3)):
        list(run_part("part", opened, tmp_path, seed=1, cases=cases))

    assert len(set(made)) == 3
    assert made[2] == made[3]
