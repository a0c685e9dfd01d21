"""
`kling-async batch --results`: what became of each row.
"""

import asyncio
import csv
import io
import json
import os
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from kling_async import OFFICIAL, Batch, Done, Keyed, KlingClient, VoiceRequest
from kling_async.batch import queries
from kling_async.batch.database import Database
from kling_async.batch.journal import Reader
from kling_async.batch.records import Row, State
from kling_async.cli.batch.results import COLUMNS, print_results
from kling_async.cli.input_options import Format
from kling_async.cli.json_output import result_line
from kling_async.cli.standard_streams import failsafe_streams
from kling_async.emulator import faults
from tests.cli.conftest import Ended, Here, ServedBy, lines_of
from tests.fakes.batches import client_of, emulator, opened, until


def table_of(ended: Ended) -> list[dict[str, str]]:
    """
    Read the table that a command has printed.
    """
    assert (0, "") == (ended.code, ended.err)
    return list(csv.DictReader(io.StringIO(ended.out), strict=True))


@pytest.fixture
def keyless(here: Here, monkeypatch: pytest.MonkeyPatch) -> Here:
    """
    Run commands without a key and without an address.
    """
    monkeypatch.delenv("KLING_API_KEY")
    monkeypatch.delenv("KLING_BASE_URL")
    return here


def test_each_row_is_a_line_of_a_table(served: ServedBy, keyless: Here) -> None:
    """
    In the order of the input, with its prompt as it was; without a key.
    """
    kling = served(faults=[faults.failing_task(prompt="storm")])
    rows: list[dict[str, Any]] = [
        {"prompt": 'a "fox", red\n=1+1', "key": "fox", "n": 2},
        {"prompt": "a storm", "key": "storm"},
        {"prompt": "ü", "kind": "text-to-video", "duration": 3, "mode": "std"},
    ]
    Path("rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KLING_API_KEY", "sk-x")
        kling("batch", "rows.jsonl", "--name", "{key}-{index}{ext}")
    ids = {task.prompt: task.task_id for task in kling.server.ledger.tasks}

    fox, storm, video = table_of(keyless("batch", "rows.jsonl", "--results"))

    assert list(COLUMNS) == list(fox)
    assert [each["prompt"] for each in rows] == [row["prompt"] for row in (fox, storm, video)]
    assert [ids[each["prompt"]] for each in rows] == [row["task_id"] for row in (fox, storm, video)]
    assert ("fox", "saved", "16", "") == (fox["key"], fox["state"], fox["units"], fox["error"])
    assert [str(Path(f"pictures/fox-{index}.png").absolute()) for index in (0, 1)] == fox["files"].split(";")
    assert ("storm", "failed", "") == (storm["key"], storm["state"], storm["files"])
    assert storm["error"].startswith("TaskFailed: the task failed: ")
    assert (f"{Path.cwd()}/pictures/{video['key']}-0.mp4", "1.8") == (video["files"], video["units"])


async def test_json_lines_have_what_the_run_prints(tmp_path: Path, keyless: Here) -> None:
    """
    And the state of each row.
    """
    async with emulator() as server, opened(server, tmp_path / "run.kling") as batch:
        await batch.add([Keyed("a fox", "k")])
        [outcome] = [outcome async for outcome in batch.run(tmp_path, name="{key}{ext}")]
        assert isinstance(outcome, Done)

    plain = keyless("batch", "run.kling", "--results", "--format", "jsonl")
    short = keyless("batch", "run.kling", "--results", "--json")

    [line] = lines_of(plain.out)
    [file] = line["files"]
    assert plain == short
    assert (0, "k", "a fox", "saved", None) == tuple(
        line[name] for name in ("index", "key", "prompt", "state", "error")
    )
    assert outcome.result.task_id == line["task_id"]
    assert ("image", 0, str(tmp_path / "k.png")) == (file["kind"], file["index"], file["path"])
    assert json.loads(result_line(next(Reader(tmp_path / "run.kling").rows()))) == line


async def test_journal_may_be_in_use(tmp_path: Path, keyless: Here) -> None:
    """
    Rows that are running and rows that wait are shown as they are.
    """
    async with emulator(latency=(60, 60)) as server, client_of(server, slots=1) as client:
        async with Batch(tmp_path / "run.kling", client) as batch:
            await batch.add(["a fox", "a dog"])
            outcomes = batch.run()
            running = asyncio.ensure_future(anext(outcomes))
            await until(batch, accepted=1, queued=1)
            fox, dog = table_of(keyless("batch", "run.kling", "--results"))
            running.cancel()
            await asyncio.wait([running])

    assert ("accepted", server.ledger.tasks[0].task_id) == (fox["state"], fox["task_id"])
    assert ("queued", "") == (dog["state"], dog["task_id"])


def fill(path: Path, count: int) -> None:
    """
    Make a journal of so many rows, of which none was sent.
    """

    async def add() -> None:
        client = KlingClient("sk-x", base_url="http://127.0.0.1:9", dialect=OFFICIAL)
        async with client, Batch(path, client) as batch:
            await batch.add(f"{'a fox ' * 50}{number}" for number in range(count))

    asyncio.run(add())


def test_memory_does_not_grow_with_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Rows are read a few hundred at a time.
    """
    peaks = []
    for count in (1000, 3000):
        fill(tmp_path / f"{count}.kling", count)
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
            monkeypatch.setattr("sys.stdout", nowhere)
            tracemalloc.start()
            print_results(tmp_path / f"{count}.kling", Format.CSV)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()

    assert peaks[1] < 1.2 * peaks[0]


def test_reader_of_the_pipe_that_has_seen_enough_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    As `head` has after a few lines: the rest of the journal is not read.
    """
    fill(tmp_path / "run.kling", 600)
    pages: list[int] = []
    read_page = queries.read_page

    def count(database: Database, states: Sequence[State], after: int, size: int) -> list[Row]:
        pages.append(after)
        return read_page(database, states, after, size)

    monkeypatch.setattr(queries, "read_page", count)
    ours, theirs = os.pipe()
    os.close(ours)
    with open(theirs, "w", encoding="utf-8") as pipe:  # noqa: PTH123 (a descriptor)
        monkeypatch.setattr("sys.stdout", pipe)
        with failsafe_streams():
            print_results(tmp_path / "run.kling", Format.CSV)

    assert [-1] == pages


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--results"], 2, "give a journal, or the input that was run"),
        (["-", "--results"], 2, "give a journal, or the input that was run"),
        (["rows.csv", "--results"], 2, "'rows.csv.kling': there is no such journal"),
        (["none.kling", "--results"], 2, "'none.kling': there is no such journal"),
        (["rows.csv", "--results", "--journal", "other.kling"], 2, "'other.kling': there is no such journal"),
        (["rows.csv", "--results", "--emulator"], 2, "'rows.csv.emulator.kling': there is no such journal"),
        (["run.kling", "--results", "--format", "text"], 2, "it must be csv or jsonl with --results"),
        (["run.kling", "--results", "--format", "csv", "--json"], 2, "jsonl with --json"),
        (["run.kling", "--results", "--out", "here"], 2, "it cannot be combined with --out"),
        (["run.kling", "--results", "--status", "run.kling"], 2, "it cannot be combined with --results, INPUT"),
        (["broken.kling", "--results"], 7, "is not a journal"),
    ],
)
def test_what_is_no_journal(keyless: Here, words: list[str], code: int, told: str) -> None:
    """
    Is said in words, and so are options that do not go together.
    """
    Path("rows.csv").write_text("prompt\na fox\n")
    Path("broken.kling").write_text("prompt\na fox\n" * 100)

    ended = keyless("batch", *words)

    assert (code, "") == (ended.code, ended.out)
    assert told in " ".join(ended.err.replace("│", "").split())


def test_inputs_of_one_stem_have_journals_of_their_own(served: ServedBy) -> None:
    """
    And one that an earlier version has begun, without the suffix of the input, goes on.
    """
    kling = served()
    Path("rows.csv").write_text("prompt\na fox\n")
    Path("rows.txt").write_text("a dog\n")
    Path("old.csv").write_text("prompt\na cat\n")
    for name in ("rows.csv", "rows.txt", "old.csv"):
        kling("batch", name)
    Path("old.csv.kling").rename("old.kling")

    again = kling("batch", "old.csv")
    prompts = {
        name: [row["prompt"] for row in table_of(kling.here("batch", name, "--results"))]
        for name in ("rows.csv", "rows.txt", "old.csv", "rows.csv.kling", "old.kling")
    }

    shown = [kling.here("batch", "--status", name).out for name in ("old.csv", "old.kling")]
    assert shown[0] == shown[1] != ""
    assert "old.csv: 0 rows added to old.kling, 1 already there" in again.out
    assert "old.kling is there, and is continued; for another journal, add --journal old.csv.kling\n" == again.err
    assert ["a fox", "a dog", "a cat"] == [task.prompt for task in kling.server.ledger.tasks]
    assert [["a fox"], ["a dog"], ["a cat"], ["a fox"], ["a cat"]] == [*prompts.values()]
    assert {"rows.csv.kling", "rows.txt.kling", "old.kling"} == {path.name for path in Path().glob("*.kling")}


def test_journal_of_a_trial_is_not_that_of_a_run(keyless: Here) -> None:
    """
    The answer says how to see it.
    """
    Path("rows.csv").write_text("prompt\na fox\n")
    fill(Path("rows.csv.emulator.kling"), 1)

    for report in ("--results", "--status"):
        words = ("batch", "rows.csv", report) if report == "--results" else ("batch", report, "rows.csv")
        missing, shown = keyless(*words), keyless(*words, "--emulator")

        assert (2, 0) == (missing.code, shown.code)
        assert "only the journal of a trial, 'rows.csv.emulator.kling': add --emulator" in " ".join(
            missing.err.replace("│", "").split()
        )
        assert shown.out


def test_database_of_any_name_is_taken_as_a_journal(served: ServedBy) -> None:
    """
    By its content: `--journal` may name it as it likes.
    """
    kling = served()
    Path("rows.csv").write_text("prompt\na fox\n")
    kling("batch", "rows.csv", "--journal", "run.db")

    assert ["a fox"] == [row["prompt"] for row in table_of(kling.here("batch", "run.db", "--results"))]


async def test_voices_stand_for_files(tmp_path: Path, keyless: Here) -> None:
    """
    They are what the row was for, and no files.
    """
    async with emulator() as server, opened(server, tmp_path / "run.kling") as batch:
        await batch.add([VoiceRequest("hero", voice_url="https://sounds.example/hero.mp3")])
        [outcome] = [outcome async for outcome in batch.run(tmp_path)]
        assert isinstance(outcome, Done)

    [row] = table_of(keyless("batch", "run.kling", "--results"))

    assert f"voice {outcome.result.voices[0].voice_id}" == row["files"]
