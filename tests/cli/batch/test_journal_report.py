"""
What a journal tells without being worked on.
"""

import hashlib
import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import PIL.Image
import pytest

from kling_async import (
    OFFICIAL,
    Batch,
    Frame,
    ImageRequest,
    Keyed,
    KlingClient,
    OmniVideo,
    PollPolicy,
    TextToAudio,
)
from kling_async.cli.batch.journal_report import show_status, trace_file
from kling_async.emulator import faults
from tests.cli.conftest import Ended, Here, service

Shown = Callable[..., list[str]]


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Shown:
    """
    Call a function that prints, and return the lines.
    """

    def run(function: Callable[..., object], *args: Any, as_json: bool = False) -> list[str]:
        function(*args, as_json=as_json)
        return capsys.readouterr().out.splitlines()

    return run


def facts_of(lines: list[str]) -> dict[str, str]:
    parts = (line.strip().partition("  ") for line in lines)
    return {name: value.strip() for name, _, value in parts if value}


async def made(folder: Path, *requests: ImageRequest | Keyed, **settings: Any) -> Path:
    """
    Run a batch in *folder*, and return its journal.
    """
    async with (
        service(**{"dialect": OFFICIAL, "latency": (0.0, 0.0), **settings}) as server,
        KlingClient(server.api_key, base_url=server.url, dialect=server.dialect, polling=QUICK) as client,
        Batch(folder / "run.kling", client) as batch,
    ):
        await batch.add(requests)
        async for _ in batch.run(folder / "pictures", name="{key}-{index}{ext}"):
            pass
    return folder / "run.kling"


QUICK = PollPolicy(first_delay=0.02, min_delay=0.02)

KEYLESS = attrs.evolve(OFFICIAL, external_ids=False)
"""
A service that takes no ids of ours: a lost answer stays uncertain there.
"""

FOX = Keyed(ImageRequest("a fox", n=2, aspect_ratio="1:1", model_name="kling-v2-1"), "fox")


async def test_status_of_another_key(tmp_path: Path, shown: Shown) -> None:
    """
    Rows that were sent with another key than the journal has now are counted.
    """
    rule = faults.reset_after("create", times=2)
    journal = await made(tmp_path, *map(ImageRequest, ("a fox", "an owl", "a hare")), dialect=KEYLESS, faults=[rule])
    async with KlingClient("sk-new", base_url="http://127.0.0.1:9", dialect=KEYLESS) as client:
        async with Batch(journal, client, rebind=True):
            pass

    lines = shown(show_status, journal)
    (line,) = shown(show_status, journal, as_json=True)

    assert "2 (sent with another key; to continue, use that key and --new-key)" == facts_of(lines)["of these, kept"]
    assert (2, 2) == (json.loads(line)["uncertain"], json.loads(line)["kept"])


async def test_trace_of_a_video(tmp_path: Path, shown: Shown) -> None:
    """
    It tells its kind, each file of a list by its place, and the model that its endpoint runs.
    """
    PIL.Image.new("RGB", (300, 300)).save(tmp_path / "boat.png")
    content = (tmp_path / "boat.png").read_bytes()
    images = [Frame(tmp_path / "boat.png", "first_frame"), content, "https://pictures.example/cat.png"]
    await made(tmp_path, Keyed(OmniVideo("a boat", image_list=images, duration=3, mode="std"), "boat"))

    report = facts_of(shown(trace_file, tmp_path / "pictures" / "boat-0.mp4", None))

    assert ("omni-video", "kling-v3-omni", "3") == (report["kind"], report["model"], report["duration"])
    assert str(tmp_path / "pictures" / "boat-0.mp4") == report["video"]
    assert [
        str(tmp_path / "boat.png"),
        f"sha256 {hashlib.sha256(content).hexdigest()}",
        "https://pictures.example/cat.png",
    ] == [report[f"image_list[{place}].image"] for place in range(3)]


async def test_trace_of_a_sound(tmp_path: Path, shown: Shown) -> None:
    """
    Its endpoint has no choice of models.
    """
    await made(tmp_path, Keyed(TextToAudio("waves", duration=3), "waves"))
    sound = tmp_path / "pictures" / "waves-0.mp3"

    report = facts_of(shown(trace_file, sound, None))
    (line,) = shown(trace_file, sound, None, as_json=True)

    assert ("text-to-audio", str(sound)) == (report["kind"], report["sound"])
    assert "model" not in report
    assert ("text-to-audio", "") == (json.loads(line)["endpoint"], json.loads(line)["model_name"])


async def test_trace(tmp_path: Path, shown: Shown) -> None:
    """
    A picture tells its prompt and request, its task and ids, its times, what it cost, and whether it is unchanged.
    """
    await made(tmp_path, FOX)
    picture = tmp_path / "pictures" / "fox-1.png"

    lines = shown(trace_file, picture, None)
    (line,) = shown(trace_file, picture, None, as_json=True)

    report, facts = facts_of(lines), json.loads(line)
    digest = hashlib.sha256(picture.read_bytes()).hexdigest()
    assert ("a fox", "2", "1:1", "kling-v2-1") == (
        report["prompt"],
        report["n"],
        report["aspect_ratio"],
        report["model"],
    )
    assert ("fox", "1", "8", f"{digest} (unchanged)") == (
        report["key"],
        report["attempts"],
        report["units"],
        report["sha256"],
    )
    assert ("fox", "a fox", 8, digest, True) == tuple(
        facts[name] for name in ("key", "prompt", "units", "sha256", "is_unchanged")
    )
    assert (report["task"], report["external id"]) == (facts["task_id"], facts["external_task_id"])
    assert {"prompt": "a fox", "n": 2, "aspect_ratio": "1:1", "model_name": "kling-v2-1"} == facts["request"]
    assert sorted(report[moment] for moment in ("queued", "sent", "accepted", "ended", "saved")) == [
        facts[f"{moment}_at"] for moment in ("queued", "sent", "accepted", "ended", "saved")
    ]


async def test_changed_picture(tmp_path: Path, shown: Shown) -> None:
    """
    A file that is not what was saved is report, as is one that is gone.
    """
    journal = await made(tmp_path, FOX)
    picture = tmp_path / "pictures" / "fox-0.png"
    picture.write_bytes(b"another")
    changed = facts_of(shown(trace_file, picture, journal))
    picture.unlink()
    gone = facts_of(shown(trace_file, picture, journal))

    assert ("changed since)", "missing)") == (changed["sha256"][-14:], gone["sha256"][-8:])


async def test_search(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Journals above the picture are asked one after the other; what is none is no hindrance, and report where none knows.
    """
    (tmp_path / "a.kling").write_text("no journal")
    await made(tmp_path, FOX)

    code = trace_file(tmp_path / "pictures" / "fox-0.png", None, as_json=False)
    unknown = trace_file(tmp_path / "pictures" / "other.png", None, as_json=False)

    assert (0, 2) == (code, unknown)
    err = capsys.readouterr().err
    assert f"  searched: {tmp_path}/run.kling\n" in err
    assert f"  searched: {tmp_path}/a.kling (" in err
    assert "--journal" in err


async def test_status(tmp_path: Path, shown: Shown) -> None:
    """
    The status tells what became of the rows, why, and which of them are uncertain.
    """
    both = [faults.failing_task(prompt="storm"), faults.reset_after(prompt="lost")]
    requests = (FOX, ImageRequest("a storm"), Keyed(ImageRequest("lost"), "mine"))
    journal = await made(tmp_path, *requests, faults=both, dialect=KEYLESS)
    before = journal.stat()

    lines = shown(show_status, journal)
    (line,) = shown(show_status, journal, as_json=True)

    report, facts = facts_of(lines), json.loads(line)
    assert ("3", "1", "1 (1 TaskFailed)", "1") == (
        report["rows"],
        report["saved"],
        report["failed"],
        report["uncertain"],
    )
    assert "  mine  lost" in lines
    assert 1 == sum("  a storm: the task failed: Failure to pass the risk control system" in line for line in lines)
    assert (3, 1, 1, 1, 2, {"TaskFailed": 1}, ["mine"]) == (
        facts["rows"],
        facts["saved"],
        facts["failed"],
        facts["uncertain"],
        facts["pictures"],
        facts["reasons"],
        [row["key"] for row in facts["uncertain_rows"]],
    )
    assert before.st_mtime_ns == journal.stat().st_mtime_ns
    assert ["pictures", "run.kling"] == sorted(os.listdir(tmp_path))  # noqa: PTH208 (this is no place to wait at)


@pytest.mark.parametrize(
    ("words", "report"),
    [
        (["--status", "none.kling"], "there is no such journal"),
        (["--status", "x.kling", "prompts.txt"], "it cannot be combined with INPUT"),
        (["--status", "x.kling", "--out", "here", "--slots", "3"], "it cannot be combined with --out, --slots"),
        (["--trace", "x.png", "--dry-run"], "it cannot be combined with --dry-run"),
        (["--trace", "x.png", "--journal", "none.kling"], "there is no such journal"),
    ],
)
def test_wrong_usage(here: Here, words: list[str], report: str) -> None:
    """
    What cannot be meant is report by its name, with exit code 2.
    """
    ended: Ended = here("batch", *words)

    assert 2 == ended.code
    assert report in ended.err


def test_no_journal(here: Here, tmp_path: Path) -> None:
    """
    A file that is no journal is report as such, with exit code 7, and stays as it is.
    """
    sqlite3.connect(tmp_path / "other.db").execute("CREATE TABLE t (x)").connection.close()

    ended = here("batch", "--status", "other.db")

    assert 7 == ended.code
    assert "'other.db' is not a journal of kling_async" in ended.err
