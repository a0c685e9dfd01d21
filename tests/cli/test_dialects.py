"""
A gateway without code: a file, where a dialect has a name.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from kling_async import Dialect
from kling_async.emulator import Emulator
from tests.cli.conftest import Command, Here, lines_of, service

EXAMPLES: Final = Path(__file__).parents[2] / "examples" / "dialects"
KAPON: Final = EXAMPLES / "kapon.toml"
LONG: Final = "a lighthouse at dusk, oil on canvas. " * 60
FILE: Final = 'base = "gateway"\npromt_max = 2500\nlists = "yes"\n'
COMMANDS: Final = pytest.mark.parametrize(
    "words",
    [
        ("generate", "a fox"),
        ("generate", "a fox", "--emulator"),
        ("video", "a fox"),
        ("batch", "prompts.txt"),
        ("batch", "prompts.txt", "--dry-run"),
        ("wait", "t-1"),
        ("save", "t-1"),
        ("status", "t-1"),
        ("tasks",),
        ("doctor",),
        ("emulator", "--port", "0"),
        ("demo",),
    ],
    ids=" ".join,
)


@COMMANDS
def test_a_file_with_mistakes_is_a_usage_error(words: tuple[str, ...], here: Here) -> None:
    """
    At every command that takes a dialect, with all mistakes, before anything is sent.
    """
    Path("prompts.txt").write_text("a fox\n")
    Path("relay.toml").write_text(FILE)

    ended = here(*words, "--dialect", "relay.toml")

    message = " ".join(ended.err.replace("│", " ").split())
    assert (2, "") == (ended.code, ended.out)
    assert "relay.toml: lists='yes': must be true or false; promt_max=2500: is not a field of a dialect" in message
    assert "did you mean prompt_max?" in message


@COMMANDS
def test_the_variable_is_named(words: tuple[str, ...], here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    If that is where a wrong name comes from.
    """
    Path("prompts.txt").write_text("a fox\n")
    monkeypatch.setenv("KLING_DIALECT", "ofical")

    ended = here(*words)

    message = " ".join((ended.out + ended.err).replace("│", " ").split())
    assert 2 == ended.code
    assert "KLING_DIALECT: ofical: No such file or directory" in message
    assert "did you mean official?" in message


@pytest.mark.parametrize("is_variable", [False, True], ids=["--dialect", "KLING_DIALECT"])
async def test_a_relay_is_used_by_a_file_of_nine_lines(command: Command, *, is_variable: bool) -> None:
    """
    With more text, another model and ratio than the pages of gateways have, and an id by which the task is found again.
    """
    words = ("generate", LONG, "--model", "kling-v2-1", "--aspect-ratio", "21:9", "--json")
    async with service(dialect=Dialect.load(KAPON)) as server:
        at_relay = command.to(server)
        if is_variable:
            made = await at_relay.with_env(KLING_DIALECT=str(KAPON))(*words)
        else:
            made = await at_relay(*words, "--dialect", str(KAPON))
        refused = await at_relay(*words)

    [task] = server.ledger.tasks
    assert len(KAPON.read_text().splitlines()) < 10
    assert (0, 2) == (made.code, refused.code)
    assert ("kling-v2-1", LONG, True) == (task.model_name, task.prompt, task.external_task_id is not None)


async def test_an_emulator_takes_a_file(command: Command) -> None:
    """
    The one inside a command, and the one that serves, which says how to use it.
    """
    (command.folder / "relay.toml").write_text(KAPON.read_text())
    words = ("generate", LONG, "--model", "kling-v2-1", "--json")

    inside = await command(*words, "--emulator", "--latency", "0:0", "--dialect", "relay.toml")
    async with command.running("emulator", "--port", "0", "--dialect", "relay.toml") as running:
        await running.until("generate")
        running.interrupt()
        await running.ended()

    assert 0 == inside.code
    assert ["succeed"] == [line["status"] for line in lines_of(inside.out)]
    assert any(f"KLING_DIALECT={command.folder / 'relay.toml'}" in line for line in running.seen)


def test_a_file_that_the_doctor_wrote_is_used(
    here: Here, emulator_in_thread: Callable[..., Emulator], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    What stands in its comments is what is not known; it never replaces a file.
    """
    server = emulator_in_thread(dialect=Dialect.load(KAPON))
    monkeypatch.setenv("KLING_API_KEY", server.api_key)
    words = ("doctor", "--base-url", server.url, "--write-dialect", "relay.toml")

    wrote, again = here(*words), here(*words)
    monkeypatch.setenv("KLING_DIALECT", "relay.toml")
    used = here("doctor", "--base-url", server.url)

    assert (0, 2, 0) == (wrote.code, again.code, used.code)
    assert "wrote relay.toml: ids_per_read = 1, account_pages = false; not known: lists, external_ids" in wrote.out
    assert "# lists = false  # not known: no task of the account was returned" in Path("relay.toml").read_text()
    assert "'relay.toml' exists; name a new file" in " ".join(again.err.replace("│", " ").split())
    assert "dialect gateway (by KLING_DIALECT)" in used.out


def test_nothing_is_written_without_a_service(here: Here) -> None:
    """
    It is said, and the exit code is that of the problem; a missing folder is reported at once.
    """
    ended = here("doctor", "--write-dialect", "relay.toml")
    misplaced = here("doctor", "--write-dialect", "nowhere/relay.toml")

    assert (5, False) == (ended.code, Path("relay.toml").exists())
    assert "relay.toml was not written, because the service could not be checked." in ended.err
    assert (2, "") == (misplaced.code, misplaced.out)
