"""
Requests of every endpoint where requests stand: in a stream, in a batch with its journal, in storage, in events.
"""

import base64
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kling_async import (
    OFFICIAL,
    Avatar,
    Batch,
    Done,
    EventKind,
    Failed,
    Frame,
    Keyed,
    MultiImageToImage,
    OmniVideo,
    TaskEvent,
    TextToVideo,
    VideoToAudio,
)
from kling_async.batch.executors import FileInfo
from kling_async.emulator import Emulator
from kling_async.errors import InvalidRequest
from kling_async.media.storage import Storage
from kling_async.wire import TaskRequest, endpoint_of
from kling_async.wire.endpoints.base import sources_of
from tests.fakes.batches import client_of, draw, emulator, opened, outcomes_of
from tests.fakes.sounds import WAV
from tests.fakes.valid_requests.every_endpoint import ENDPOINTS, NAMES, example_of
from tests.fakes.valid_requests.pictures import PNG, URL

EXAMPLES = [example_of(endpoint) for endpoint in ENDPOINTS]


@pytest.fixture
async def server() -> AsyncIterator[Emulator]:
    async with emulator(OFFICIAL, latency=(0.01, 0.03)) as server:
        yield server


def with_files(folder: Path) -> list[TaskRequest]:
    """
    Return requests whose files are bytes, paths and URLs.
    """
    path = draw(folder / "teal.png", "teal")
    return [
        MultiImageToImage([PNG, path, URL], prompt="they meet", style_image=path),
        OmniVideo("a boat", image_list=[Frame(path, "first_frame"), PNG, URL], duration=3),
        Avatar(path, sound_file=WAV, prompt="the keeper reads"),
    ]


def kinds_of(outcome: Done | Failed) -> list[str]:
    assert isinstance(outcome, Done), outcome
    return [file.kind for file in outcome.files or outcome.result.files]


async def test_stream(server: Emulator) -> None:
    """
    Each request has its outcome, with the files that its endpoint makes.
    """
    async with client_of(server) as client:
        outcomes = [outcome async for outcome in client.stream(EXAMPLES)]

    by_name = {endpoint_of(type(outcome.request)).name: outcome for outcome in outcomes}
    assert {*NAMES} == by_name.keys()
    for endpoint in ENDPOINTS:
        wanted = {each.removesuffix("s") for each in endpoint.results} - {"voice", "element"}
        assert wanted == {*kinds_of(by_name[endpoint.name])}


async def test_batch_that_is_opened_again(server: Emulator, tmp_path: Path) -> None:
    """
    The journal knows each row again, and sends it as it was added: bytes and the content of paths from the journal and
    the disk, URLs as they are.
    """
    requests = [*EXAMPLES, *with_files(tmp_path)]
    async with opened(server, tmp_path / "run.kling") as batch:
        added = await batch.add(requests)
    async with opened(server, tmp_path / "run.kling") as batch:
        again = await batch.add(requests)
        outcomes = await outcomes_of(batch, save_to=tmp_path / "files")
    async with opened(server, tmp_path / "run.kling") as batch:
        kept = [outcome async for outcome in batch.outcomes()]
        rest = await outcomes_of(batch, save_to=tmp_path / "files")

    assert ((len(requests), 0), (0, len(requests))) == ((added.new, added.known), (again.new, again.known))
    assert [] == [outcome for outcome in outcomes if isinstance(outcome, Failed)]
    assert [*map(type, requests)] == [type(outcome.request) for outcome in kept]
    assert [] == rest
    assert Counter(endpoint_of(type(request)).name for request in requests) == Counter(
        task.endpoint for task in server.ledger.tasks
    )
    assert [texts_in(request) for request in requests] == [texts_sent(server, outcome) for outcome in kept]


def texts_in(request: TaskRequest) -> dict[str, str]:
    """
    Return what is sent for each file of a request, by its place.
    """
    return {place: text_of(source) for place, source in sources_of(endpoint_of(type(request)), request).items()}


def text_of(source: str | bytes | Path) -> str:
    if isinstance(source, str):
        return source
    return base64.b64encode(source if isinstance(source, bytes) else source.read_bytes()).decode()


def texts_sent(server: Emulator, outcome: Done | Failed) -> dict[str, str]:
    """
    Return what has arrived for each file.
    """
    assert isinstance(outcome, Done)
    record = server.account.find_task(outcome.result.task_id)
    assert record is not None
    return sources_of(record.endpoint, record.request)


@pytest.mark.parametrize("number", range(3))
async def test_changed_file_is_named_by_its_place(server: Emulator, tmp_path: Path, number: int) -> None:
    """
    When it is added again, and when it is to be sent; nothing is sent.
    """
    place = ("subject_image_list[1]", "image_list[0].image", "image")[number]
    request = with_files(tmp_path)[number]
    async with opened(server, tmp_path / "run.kling") as batch:
        await batch.add([request])
        draw(tmp_path / "teal.png", "red")
        with pytest.raises(InvalidRequest, match="has changed since") as caught:
            await batch.add([request])
        (outcome,) = await outcomes_of(batch)

    assert place in [broken.field for broken in caught.value.broken]
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, InvalidRequest)
    assert place in [broken.field for broken in outcome.error.broken]
    assert [] == server.ledger.tasks


async def test_files_of_other_kinds_are_stored_and_processed(server: Emulator, tmp_path: Path) -> None:
    """
    A storage takes videos and sounds, and the function of a batch gets each with its kind.
    """
    pytest.importorskip("fsspec")
    request = VideoToAudio(video_url="https://videos.example/clip.mp4", bgm_prompt="a waltz")
    async with client_of(server) as client:
        urls = await client.save(await client.generate(request), Storage("memory://kinds"), name="a{ext}")
        async with Batch(tmp_path / "stored.kling", client) as batch:
            await batch.add([Keyed(request, "b")])
            (stored,) = await outcomes_of(batch, save_to="memory://kinds/batch", name="{key}{ext}")
        async with Batch(tmp_path / "saved.kling", client) as batch:
            await batch.add([request, TextToVideo("a boat", duration=3)])
            saved = await outcomes_of(batch, save_to=tmp_path / "files", process=measure)

    assert ["memory://kinds/a.mp4", "memory://kinds/a.mp3"] == urls
    assert isinstance(stored, Done)
    assert ["memory://kinds/batch/b.mp4", "memory://kinds/batch/b.mp3"] == [file.place for file in stored.files]
    values = {type(outcome.request): outcome.value for outcome in saved if isinstance(outcome, Done)}
    assert {VideoToAudio: ("video", "audio"), TextToVideo: ("video",)} == {
        kind: tuple(name for name, _ in value) for kind, value in values.items()
    }
    assert all(size > 100 for value in values.values() for _, size in value)


def measure(path: Path, info: FileInfo) -> tuple[str, int]:
    """
    Return the kind and the size of a file.
    """
    return info.file.kind, path.stat().st_size


async def test_events_of_a_video(server: Emulator, tmp_path: Path) -> None:
    """
    They are those of every task, with its request; the last says what was saved.
    """
    events: list[TaskEvent] = []
    async with client_of(server, on_event=events.append) as client:
        result = await client.generate(TextToVideo("a boat", duration=3))
        await client.save(result, tmp_path)

    kinds = [event.kind for event in events]
    assert [EventKind.SENDING, EventKind.SUBMITTED] == kinds[:2]
    assert [EventKind.FINAL, EventKind.SAVED] == kinds[-2:]
    assert {TextToVideo} == {type(event.request) for event in events if event.kind is not EventKind.SAVED}
    assert result.snapshot == events[-2].snapshot
