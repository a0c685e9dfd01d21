"""
Limits of what commands spend, what they say was billed, and what the account has left.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from kling_async import GATEWAY, OFFICIAL
from tests.cli.conftest import Ended, Here, ServedBy, lines_of

EFFECT = "image=https://x.example/a.png"


def test_limit_keeps_requests_from_being_sent(served: ServedBy) -> None:
    """
    The others are served; the exit code and the advice say why.
    """
    kling = served()
    ended = kling("generate", "a fox", "an owl", "a cat", "--model", "kling-v3", "--max-units", "16", "--json")

    assert 4 == ended.code
    assert 2 == len(kling.server.ledger.tasks)
    assert ["BudgetExceeded", "succeed", "succeed"] == sorted(
        line["status"] or line["error"]["class"] for line in lines_of(ended.out)
    )
    assert "this may cost 8 units, and a budget of 16 units has 0 units left" in ended.out
    assert "BudgetExceeded: raise --max-units or --max-cost, or ask for less; nothing was sent" in ended.err


@pytest.mark.parametrize(
    "words",
    [
        ["generate", "a fox", "--model", "kling-v3", "--max-cost", "0.027"],
        ["video", "a fox", "--max-units", "0.1"],
        ["run", "text-to-video", "prompt=a fox", "--max-cost", "0"],
        ["run", "image-generation", "prompt=a fox", "model_name=kling-v3", "--max-units", "7.9"],
    ],
    ids=" ".join,
)
def test_every_command_that_spends_has_limits(served: ServedBy, words: list[str]) -> None:
    """
    In units and in dollars.
    """
    kling = served()
    ended = kling(*words)

    assert 4 == ended.code
    assert not kling.server.ledger.tasks


def test_unknown_price_needs_a_number_under_a_limit(served: ServedBy) -> None:
    """
    The advice names the option.
    """
    kling = served()
    refused = kling("run", "video-effect", "effect_scene=hug", EFFECT, "--max-units", "100")
    sent = kling("run", "video-effect", "effect_scene=hug", EFFECT, "--max-units", "100", "--unknown-units", "20")

    assert (4, 0) == (refused.code, sent.code)
    assert "say what it counts with --unknown-units, or run it without a limit" in refused.out
    assert 1 == len(kling.server.ledger.tasks)


@pytest.mark.parametrize("limit", ["-1", "many", "nan"])
def test_limit_that_is_none_is_refused(served: ServedBy, limit: str) -> None:
    """
    Before anything is sent.
    """
    kling = served()
    ended = kling("generate", "a fox", "--max-units", limit)

    assert 2 == ended.code
    assert not kling.server.ledger.tasks


def run_batch(kling: Any, *words: str, prompts: int = 4) -> Ended:
    lines = [json.dumps({"prompt": f"a fox {number}", "model_name": "kling-v3"}) for number in range(prompts)]
    Path("foxes.jsonl").write_text("\n".join(lines))
    ended: Ended = kling("batch", "foxes.jsonl", *words)
    return ended


def test_limit_of_a_batch_is_that_of_all_runs(served: ServedBy) -> None:
    """
    It says why it stopped, and goes on with a larger one.
    """
    kling = served()
    first, again, larger = (run_batch(kling, "--max-units", limit) for limit in ("16", "16", "24"))
    last = run_batch(kling)

    assert [4, 4, 4, 0] == [ended.code for ended in (first, again, larger, last)]
    assert "Stopped: BudgetExceeded: this may cost 8 units, and a budget of 16 units has 0 units left" in first.out
    assert "to send the other rows, run the same command again with a larger limit" in first.out
    assert "2 unsent rows: run the same command again to continue" in first.out
    assert 4 == len(kling.server.ledger.tasks)


def test_cash_is_shown_beside_units(served: ServedBy, here: Here) -> None:
    """
    In summaries, lines of JSON and the status of a journal.
    """
    kling = served(paid_in="cash")
    shown = kling("generate", "a fox", "--model", "kling-v3")
    [line] = lines_of(kling("generate", "a fox", "--model", "kling-v3", "--json").out)
    batch = run_batch(kling, prompts=2)
    ended = here("batch", "--status", "foxes.jsonl.kling", "--json")
    status = json.loads(ended.out)

    assert "cash" in shown.out
    assert "0.028" in shown.out
    assert (None, 0.028) == (line["units"], line["cash"])
    assert "0.056" in batch.out
    assert (0, 0.056) == (status["units"], status["cash"])


def test_account_shows_what_is_left(served: ServedBy) -> None:
    """
    As a table and as JSON.
    """
    kling = served(units=1000)
    kling("generate", "a fox", "--model", "kling-v3")
    shown = kling("account")
    [pack] = lines_of(kling("account", "--json").out)

    header, line, _, summary = shown.out.splitlines()
    assert 0 == shown.code
    assert ["left", "of", "until", "status", "pack"] == header.split()
    assert ["992", "1,000", "online", "Emulator-1000Units-9Con-12Months"] == [
        word for word in line.split() if not word.startswith("20")
    ]
    assert summary.startswith("992 units left in packs that can be used now. The vendor updates this")
    assert ("Emulator-1000Units-9Con-12Months", "online", 1000, 992) == (
        pack["name"],
        pack["status"],
        pack["total"],
        pack["left"],
    )


def test_account_without_packs_says_so(served: ServedBy) -> None:
    """
    Such as one that pays in cash; stdout stays empty.
    """
    ended = served(paid_in="cash")("account")

    assert (0, "") == (ended.code, ended.out)
    assert "The account has no packs" in ended.err


def test_account_without_pages_is_usage(served: ServedBy) -> None:
    """
    Gateways have none, and nothing is sent.
    """
    kling = served(dialect=GATEWAY)
    ended = kling("account", "--dialect", "gateway")

    assert 2 == ended.code
    assert "does not show resource packs" in ended.err


def test_dry_run_says_what_does_not_fit(served: ServedBy) -> None:
    """
    Into the limits, and into what the account has left.
    """
    kling = served(units=20)
    ended = run_batch(kling, "--dry-run", "--max-units", "30", "--max-cost", "1")

    assert 0 == ended.code
    assert "Not all of it fits into the limit: it may take 32 units of 30." in ended.out
    assert "It does not fit into the account's packs: it may take 32 units of 20. The vendor updates" in ended.out
    assert not kling.server.ledger.tasks


def test_dry_run_says_what_is_left(served: ServedBy) -> None:
    """
    If the input fits.
    """
    ended = run_batch(served(units=200), "--dry-run", "--max-units", "32")

    assert "The account's packs have 200 units left, for all kinds of files." in ended.out
    assert "fit" not in ended.out


def test_dry_run_needs_no_account(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Without a key it is not asked, and one that cannot be reached is no failure.
    """
    unreachable = run_batch(here, "--dry-run", "--dialect", "official", "--give-up-after", "0.1")
    monkeypatch.delenv("KLING_API_KEY")
    keyless = run_batch(here, "--dry-run", "--dialect", "official")

    assert (0, 0) == (unreachable.code, keyless.code)
    assert "What the account has left is not known" in unreachable.out
    assert "account" not in keyless.out.replace("Nothing was sent", "")
    assert OFFICIAL.account_pages
