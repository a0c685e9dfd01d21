"""
The journal of a batch as entries of a gallery.
"""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest

from kling_async.batch.journal import Journal
from kling_async.batch.records import InputFile, Row, State
from kling_async.errors import JournalCorrupt
from kling_async.gallery import GalleryEntry, read_journal, write_gallery
from kling_async.gallery.journal_entries import entries_of_row
from kling_async.media.saved_files import SavedFile
from kling_async.wire.dialects import GATEWAY
from kling_async.wire.endpoints.image_generation import ImageRequest
from tests.unit.gallery.conftest import Paint, begin_batch, read_data, success


@pytest.fixture
async def journal(tmp_path: Path, paint: Paint) -> AsyncIterator[Journal]:
    """
    A batch at work.
    """
    journal = await begin_batch(tmp_path, paint)
    yield journal
    await journal.aclose()


async def test_a_batch_at_work(journal: Journal, tmp_path: Path) -> None:
    """
    Each row that has begun is there in the journal's words, while the journal is open; what is queued is not.
    """
    entries = await asyncio.to_thread(lambda: list(read_journal(journal.path)))

    first, second, owl, bear, newt, mole = entries
    assert first == GalleryEntry(
        path=tmp_path / "pictures" / "fox-0.png",
        prompt="a fox",
        model_name=GATEWAY.default_model,
        endpoint="image-generation",
        settings={"n": 2},
        index=0,
        task_id="task-0",
        seconds=7.5,
        units=Decimal(4),
        state="saved",
    )
    assert (tmp_path / "pictures" / "fox-1.png", 1) == (second.path, second.index)
    assert ("kling-v2", "finished") == (owl.model_name, owl.state)
    assert "2 of 2 files not saved yet: the next run of the batch fetches them" == owl.error
    assert ("failed", "TaskFailed: no bears (task task-2)", 2.0) == (bear.state, bear.error, bear.seconds)
    assert ("uncertain", "SubmissionUncertain: nobody knows", None) == (newt.state, newt.error, newt.task_id)
    assert ("accepted", "task-4", None, None) == (mole.state, mole.task_id, mole.seconds, mole.error)


async def test_pictures_that_are_gone(journal: Journal, tmp_path: Path) -> None:
    """
    A file that was moved or deleted is shown as such, and its facts stay.
    """
    (tmp_path / "pictures" / "fox-1.png").unlink()

    await asyncio.to_thread(write_gallery, read_journal(journal.path), tmp_path / "run.html", note="1 of 6")

    text = (tmp_path / "run.html").read_text(encoding="utf-8")
    first, second, *_ = read_data(text)
    assert (None, "The file is not where it was: moved, or deleted") == (first["trouble"], second["trouble"])
    assert ["File", "pictures/fox-1.png"] in second["facts"]
    assert '<p id="aside">1 of 6</p>' in text


def test_pictures_that_are_still_missing() -> None:
    """
    Of a row with some of its pictures saved these are shown, and how many are yet to come.
    """
    row = Row(
        position=0,
        key="k",
        state=State.FINISHED,
        request=ImageRequest("a fox", n=3),
        snapshot=success(3),
        inputs={"image": InputFile("00", is_kept=True)},
        files=(SavedFile(2, Path("fox-2.png"), 100, "00"),),
    )

    [entry] = entries_of_row(row, None)

    assert (Path("fox-2.png"), 2, None) == (entry.path, entry.index, entry.model_name)
    assert "2 of 3 files not saved yet: the next run of the batch fetches them" == entry.error
    assert {"n": 3, "image": "given"} == entry.settings


def test_what_is_no_journal(paint: Paint) -> None:
    """
    A file of another kind is told as that.
    """
    with pytest.raises(JournalCorrupt, match="is not a journal"):
        list(read_journal(paint("fox.png")))
