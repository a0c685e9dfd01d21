"""
Rows of any endpoint: an endpoint that is defined here alone, with two file inputs, in one journal with another.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

from kling_async import ImageRequest
from kling_async.batch.completion import read_request
from kling_async.batch.journal import Journal, Reader
from kling_async.batch.opening import Account
from kling_async.batch.records import InputFile, NewRow, Row, State
from kling_async.errors import InvalidRequest, JournalMismatch
from kling_async.media.saved_files import SavedFile
from kling_async.wire.endpoints.base import Endpoint, with_fields
from kling_async.wire.endpoints.inputs import FileInput, FileSource
from kling_async.wire.endpoints.registry import registered
from kling_async.wire.tasks import Audio, Image, TaskOutput, TaskSnapshot, TaskStatus, Video

ACCOUNT: Final = Account("https://service.example", "official", lambda salt: f"key and {salt}")


@attrs.frozen
class Point:
    """
    A field that is more than a word.
    """

    x: float
    y: float


@attrs.frozen(kw_only=True)
class Blend:
    """
    Two pictures made one.
    """

    prompt: str = ""
    front: FileSource | None = None
    back: FileSource | None = None
    points: tuple[Point, ...] = ()
    callback_url: str | None = None
    external_task_id: str | None = None


BLEND: Final = Endpoint(
    name="blend",
    title="blend",
    path="/v1/blends",
    request_class=Blend,
    results=("videos",),
    rules=lambda _request, _dialect, _files: (),
    bucket=lambda _request, _dialect: "blends",
    inputs=(FileInput("front", lambda _: 2**20), FileInput("back", lambda _: 2**20)),
)


@attrs.frozen
class Prompted:
    """
    What differs from a `Blend` by its endpoint alone.
    """

    prompt: str = ""
    callback_url: str | None = None
    external_task_id: str | None = None


PROMPTED: Final = Endpoint(
    name="prompted",
    title="prompted",
    path="/v1/prompted",
    request_class=Prompted,
    results=("audios",),
    rules=lambda _request, _dialect, _files: (),
    bucket=lambda _request, _dialect: "prompted",
)


@attrs.frozen
class Far(Prompted):
    """
    What this program may not have imported.
    """


FAR: Final = attrs.evolve(PROMPTED, name="far", path="/v1/far", request_class=Far)


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    with registered(BLEND), registered(PROMPTED):
        yield


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.kling"


def row_of(back: str = "bb", **fields: Any) -> NewRow:
    """
    Return a row with a file at a path, and one that the journal is to hold.
    """
    request = Blend(prompt="both", front=Path("front.png"), points=(Point(1.0, 2.5),), **fields)
    inputs = {"front": InputFile("aa" * 32), "back": InputFile(back * 32, True, "aGVsbG8=")}
    return NewRow(request=request, inputs=inputs)


async def add(journal: Journal, *new_rows: NewRow) -> tuple[int, int]:
    return await journal.add(new_rows, await journal.begin_input(), 1.0)


async def rows(journal: Journal) -> list[Row]:
    return await journal.read_page((), -1, 99)


async def test_each_row_names_its_endpoint(path: Path) -> None:
    """
    And has its own kind of request, with all its files.
    """
    journal = Journal.open(path, ACCOUNT)
    counts = await add(journal, NewRow(request=ImageRequest("a lighthouse")), row_of())
    first, second = await rows(journal)
    whole = await read_request(second, journal)
    await journal.aclose()

    assert (2, 0) == counts
    assert ["image-generation", "blend"] == [first.endpoint, second.endpoint]
    assert ImageRequest("a lighthouse") == first.request
    read = with_fields(row_of().request, front=Path("front.png").absolute())
    assert read == second.request
    assert {"front": InputFile("aa" * 32), "back": InputFile("bb" * 32, True)} == second.inputs
    assert with_fields(read, back="aGVsbG8=") == whole
    assert [first, second] == list(Reader(path).rows())


async def test_urls_are_part_of_the_request(path: Path) -> None:
    """
    Of any of its files.
    """
    request = Blend(front="https://pictures.example/a.png", back="https://pictures.example/b.png")
    journal = Journal.open(path, ACCOUNT)
    await add(journal, NewRow(request=request))
    [row] = await rows(journal)
    await journal.aclose()

    assert (request, {}) == (row.request, row.inputs)


async def test_requests_are_recognized(path: Path) -> None:
    """
    By all their fields, all their files and their endpoint: equal words of another endpoint are another request.
    """
    others = [
        row_of(),
        row_of("cc"),
        row_of(external_task_id="mine"),
        NewRow(request=Blend(prompt="both")),
        NewRow(request=Prompted("both")),
        NewRow(request=ImageRequest("both")),
    ]
    journal = Journal.open(path, ACCOUNT)
    counts = [await add(journal, *others), await add(journal, *others)]
    await journal.aclose()

    assert [(6, 0), (0, 6)] == counts


async def test_changed_files_are_named(path: Path) -> None:
    """
    By their fields.
    """
    changed = attrs.evolve(row_of(), inputs={**row_of().inputs, "front": InputFile("dd" * 32)})
    journal = Journal.open(path, ACCOUNT)
    await add(journal, row_of())
    with pytest.raises(InvalidRequest, match=r"front='front.png': has changed since") as caught:
        await add(journal, changed)
    await journal.aclose()

    assert ["front"] == [broken.field for broken in caught.value.broken]


async def test_files_of_all_kinds_are_saved(path: Path) -> None:
    """
    In the order of a result, each with its value, though two kinds count from 0.
    """
    output = TaskOutput((Image(0, "i"),), (Video(0, "v"), Video(1, "w")), (Audio(0, "a"),))
    snapshot = TaskSnapshot(task_id="t-1", task_status=TaskStatus.SUCCEEDED, status_word="succeed", task_result=output)
    saved = [SavedFile(file.index, path.with_name(file.url), 1, "00" * 32, kind=file.kind) for file in output.files]
    journal = Journal.open(path, ACCOUNT)
    await add(journal, row_of())
    await journal.mark_sending(0, attempt=1, external_task_id=None, submit_key=None, now=2.0)
    journal.accept(0, "t-1", 3.0)
    await journal.finish(0, snapshot, 4.0)
    await journal.save(0, reversed(saved), 5.0, is_all=True)
    await journal.save_value(0, saved[1], b"value")
    [row] = await rows(journal)
    traced = Reader(path).trace(path.with_name("a"))
    await journal.aclose()

    assert [saved[0], attrs.evolve(saved[1], pickled=b"value"), *saved[2:]] == list(row.files)
    assert (State.SAVED, output, row) == (row.state, row.snapshot and row.snapshot.task_result, traced)


async def test_endpoint_that_is_not_registered(path: Path) -> None:
    """
    A program that has not imported it is told so before anything changes, and nothing is lost.
    """
    with registered(FAR):
        journal = Journal.open(path, ACCOUNT)
        await add(journal, NewRow(request=Far("away")), NewRow(request=ImageRequest("a lighthouse")))
        await journal.aclose()
    before = path.read_bytes()

    with pytest.raises(JournalMismatch, match=r"'far', which is not registered: import the module that registers it"):
        await asyncio.to_thread(Journal.open, path, ACCOUNT)
    with pytest.raises(JournalMismatch, match="'far', which is not registered"):
        list(Reader(path).rows())
    assert 2 == Reader(path).summary().rows
    assert (before, ["run.kling"]) == (path.read_bytes(), sorted(each.name for each in path.parent.iterdir()))


async def test_endpoint_whose_rows_were_dropped(path: Path) -> None:
    """
    It need not be registered any more.
    """
    with registered(FAR):
        journal = Journal.open(path, ACCOUNT)
        await add(journal, NewRow(request=Far("away")))
        assert 1 == await journal.drop_missing(await journal.begin_input())
        await journal.aclose()

    await Journal.open(path, ACCOUNT).aclose()
    assert 0 == Reader(path).summary().rows
