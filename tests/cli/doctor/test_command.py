"""
The doctor as a person or a program reads it.
"""

import io
import json
from collections.abc import Callable

import pytest
from rich.console import Console

from kling_async.cli.doctor import command as doctors
from kling_async.cli.doctor.findings import Finding, FindingState
from kling_async.emulator import Emulator
from tests.cli.conftest import Command, Here


def test_plain_words_off_a_terminal(
    here: Here, emulator_in_thread: Callable[..., Emulator], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A line for each finding, a word for its state, and no mark or colour.
    """
    server = emulator_in_thread()
    monkeypatch.setenv("KLING_API_KEY", server.api_key)

    ended = here("doctor", "--base-url", server.url)

    assert (0, "") == (ended.code, ended.err)
    assert f"ok       address     {server.url} (--base-url), dialect gateway (by host)" in ended.out
    assert "No problems found." == ended.out.splitlines()[-1]
    assert ended.out.isascii()


def test_json(here: Here, emulator_in_thread: Callable[..., Emulator], monkeypatch: pytest.MonkeyPatch) -> None:
    """
    One object per finding and nothing else; the exit code is that of the first problem, whatever the form.
    """
    server = emulator_in_thread()
    monkeypatch.setenv("KLING_API_KEY", "sk-wrong-key")

    ended = here("doctor", "--base-url", server.url, "--json")

    found = [json.loads(line) for line in ended.out.splitlines()]
    assert (3, "") == (ended.code, ended.err)
    assert {("check", "state", "found", "advice")} == {tuple(facts) for facts in found}
    assert ["access"] == [facts["check"] for facts in found if facts["state"] == "problem"]


@pytest.mark.parametrize(("no_color", "begins"), [("", "✓ key "), ("1", "ok       key ")])
def test_marks_and_words(here: Here, monkeypatch: pytest.MonkeyPatch, no_color: str, begins: str) -> None:
    """
    On a terminal there are marks, and words for those who want no colour.
    """
    monkeypatch.setattr(doctors, "is_interactive", lambda _: True)
    monkeypatch.setenv("NO_COLOR", no_color)

    ended = here("doctor")

    assert [begins] == [line[: len(begins)] for line in ended.out.splitlines() if "KLING_API_KEY" in line]


async def test_closed_port(command: Command) -> None:
    """
    In a process of its own: a service that is not there is told by the code for it.
    """
    ended = await command.with_env(KLING_API_KEY="sk-x", KLING_BASE_URL="http://127.0.0.1:9")("doctor")

    assert (5, "") == (ended.code, ended.err)
    assert "1 problem" == ended.out.splitlines()[-1]


def test_marks_on_a_terminal() -> None:
    """
    A mark in place of a word, and long text below itself.
    """
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=40, color_system=None)

    console.print(
        doctors._drawn(Finding("lists", FindingState.WARNING, "some words that are many too many", "Do something."))
    )

    lines = [line.rstrip() for line in file.getvalue().splitlines()]
    assert ["! lists      some words that are many", "             too many", "             Do something."] == lines
