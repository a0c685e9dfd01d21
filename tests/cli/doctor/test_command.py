"""
The doctor as a person or a program reads it.
"""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from kling_async import GATEWAY
from kling_async.cli.doctor import command as doctors
from kling_async.cli.doctor.findings import Finding, FindingState
from kling_async.emulator import Emulator
from tests.cli.conftest import Command, Ended, Here, ServedBy, lines_of


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


def cost_of(ended: Ended) -> dict[str, str]:
    [finding] = [each for each in lines_of(ended.out) if each["check"] == "cost"]
    return finding


def write_foxes(**fields: str) -> None:
    lines = [json.dumps({"prompt": f"a fox {number}", **fields}) for number in range(4)]
    Path("foxes.jsonl").write_text("\n".join(lines))


@pytest.mark.parametrize(
    ("settings", "state", "left"),
    [
        ({"units": 20}, "warning", "the packs have 20 units left"),
        ({"units": 32}, "ok", "the packs have 32 units left"),
        ({"paid_in": "cash"}, "warning", "the packs have 0 units left"),
    ],
)
def test_an_input_that_does_not_fit_is_a_warning(
    served: ServedBy, settings: dict[str, Any], state: str, left: str
) -> None:
    """
    It is the dry run of `batch`, compared with what the packs have left; nothing is sent that costs.
    """
    kling = served(**settings)
    write_foxes(model_name="kling-v3")
    ended = kling("doctor", "foxes.jsonl", "--json")
    [estimate] = lines_of(kling("batch", "foxes.jsonl", "--dry-run", "--json").out)

    assert (0, "", 32) == (ended.code, ended.err, estimate["units"])
    assert (state, f"the input may take 32 units; {left}") == (cost_of(ended)["state"], cost_of(ended)["found"])
    assert cost_of(ended)["advice"].startswith("It does not fit. Buy a pack") is (state == "warning")
    assert (0, [], 0) == (
        kling.server.ledger.creates_received,
        kling.server.ledger.tasks,
        kling.server.ledger.units_billed,
    )


def test_a_service_that_does_not_say_what_is_left(served: ServedBy) -> None:
    """
    The cost is shown all the same, for people too, and it is no warning.
    """
    kling = served(dialect=GATEWAY)
    write_foxes()
    ended = kling("doctor", "foxes.jsonl")
    [estimate] = lines_of(kling("batch", "foxes.jsonl", "--dry-run", "--json").out)

    assert (0, "") == (ended.code, ended.err)
    assert (
        f"skipped  cost        the input may take {estimate['units']} units; what the packs have left is not known: "
        "gateway services do not show them\n"
    ) in ended.out


def test_an_input_of_any_format(served: ServedBy) -> None:
    """
    As `batch` takes it: a table, a list of prompts, an array, and stdin.
    """
    kling = served(dialect=GATEWAY)
    Path("table.csv").write_text("prompt,note\na fox,x\n")
    Path("array.json").write_text(json.dumps([{"prompt": "a fox"}] * 2))
    Path("prompts.txt").write_text("a fox\nan owl\n")
    calls: list[tuple[list[str], str]] = [
        (["table.csv", "--ignore-columns", "note"], ""),
        (["array.json"], ""),
        (["prompts.txt"], ""),
        (["-", "--format", "jsonl"], '{"prompt": "a fox", "n": 3}\n'),
    ]
    found = [cost_of(kling("doctor", *words, "--json", stdin=stdin))["found"] for words, stdin in calls]
    [prompts] = lines_of(kling("batch", "prompts.txt", "--dry-run", "--json").out)
    each = prompts["units"] // 2

    assert [each, 2 * each, 2 * each, 3 * each] == [int(words.split()[4]) for words in found]


def test_a_wrong_input_is_answered_as_by_a_batch(served: ServedBy) -> None:
    """
    In the same words, before anything is checked; broken lines can be skipped.
    """
    kling = served(units=100)
    Path("rows.csv").write_text("prompt,n,model_name\na fox,1,kling-v3\nan owl,20,kling-v3\n")
    Path("table.xlsx").write_bytes(b"PK")
    for name in ("rows.csv", "table.xlsx", "none.txt", "rows.prn"):
        ours, theirs = kling("doctor", name), kling("batch", name, "--dry-run")
        assert (2, "", 2) == (ours.code, ours.out, theirs.code)
        assert theirs.err.replace("batch", "doctor").splitlines()[2:] == ours.err.splitlines()[2:]

    assert 0 == sum(kling.server.ledger.arrivals.values())
    skipped = kling("doctor", "rows.csv", "--skip-invalid", "--json")
    assert "the input may take 8 units" in cost_of(skipped)["found"]
    assert "1 of 2 lines skipped." in skipped.err


@pytest.mark.parametrize("words", [["--format", "csv"], ["--ignore-columns", "a"], ["--skip-invalid"]], ids=" ".join)
def test_options_of_an_input_need_one(here: Here, words: list[str]) -> None:
    """
    They would have no effect.
    """
    ended = here("doctor", *words)

    assert (2, "") == (ended.code, ended.out)
    assert f"{words[0]}: it needs INPUT" in ended.err


def test_an_input_without_a_service(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Its cost is shown anyway, and why it cannot be compared; without a valid dialect there are no prices.
    """
    write_foxes()
    unreachable = here("doctor", "foxes.jsonl", "--json")
    wrong_address = here("doctor", "foxes.jsonl", "--json", "--base-url", "relay")
    monkeypatch.setenv("KLING_DIALECT", "ofical")
    no_dialect = here("doctor", "foxes.jsonl", "--json")

    assert (5, 2, 2) == (unreachable.code, wrong_address.code, no_dialect.code)
    assert cost_of(unreachable)["found"].endswith("units; what the packs have left is not known: needs a connection")
    assert cost_of(wrong_address)["found"].endswith("is not known: needs a valid address")
    assert ("skipped", "needs a valid dialect") == (cost_of(no_dialect)["state"], cost_of(no_dialect)["found"])


def test_units_that_are_unknown_do_not_count_as_fitting(served: ServedBy) -> None:
    """
    Those that are known may be too many alone; otherwise nobody can say.
    """
    effect = {"kind": "video-effect", "effect_scene": "hug", "image": "https://x.example/a.png"}
    fox = {"prompt": "a fox", "model_name": "kling-v3"}
    found: list[dict[str, str]] = []
    for units in (10, 7):
        Path("mixed.jsonl").write_text("\n".join(json.dumps(row) for row in (effect, fox)))
        found.append(cost_of(served(units=units)("doctor", "mixed.jsonl", "--json")))

    assert ["skipped", "warning"] == [each["state"] for each in found]
    assert "8 units, and unknown units for 1 request; the packs have 10 units left" in found[0]["found"]
