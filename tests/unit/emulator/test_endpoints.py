"""
Endpoints that only this file knows, served by the emulator: films of two pictures, and songs.
"""

import base64
import io
import wave
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import aiohttp
import attrs
import pytest
from PIL import Image

from kling_async.emulator import Account, ApiError, Emulator, Fault, Settings, faults, file_rendering, response_bodies
from kling_async.emulator.fault_plan import FaultPlan
from kling_async.emulator.webhook_queue import WebhookQueue
from kling_async.errors import BrokenRule
from kling_async.wire.codec import read_task
from kling_async.wire.dialects import GATEWAY, OFFICIAL, Dialect
from kling_async.wire.endpoints.base import Endpoint
from kling_async.wire.endpoints.image_generation import ImageRequest
from kling_async.wire.endpoints.inputs import FileFacts, FileInput
from kling_async.wire.endpoints.registry import registered
from kling_async.wire.endpoints.rules import address_rules, text_rule
from kling_async.wire.field_metadata import WATERMARK
from kling_async.wire.json_text import loads
from tests.fakes.media_files import images_in, open_media

NOON = 1_780_000_000.0


@attrs.frozen
class FilmRequest:
    prompt: str
    first_frame: str | None = attrs.field(default=None, kw_only=True)
    last_frame: str | None = attrs.field(default=None, kw_only=True)
    model_name: str | None = attrs.field(default=None, kw_only=True)
    duration: str | None = attrs.field(default=None, kw_only=True)
    aspect_ratio: str | None = attrs.field(default=None, kw_only=True)
    watermark_info: bool | None = attrs.field(default=None, kw_only=True, metadata=WATERMARK)
    mode: str | None = attrs.field(default=None, kw_only=True)
    callback_url: str | None = attrs.field(default=None, kw_only=True)
    external_task_id: str | None = attrs.field(default=None, kw_only=True)


@attrs.frozen
class SongRequest:
    prompt: str
    callback_url: str | None = attrs.field(default=None, kw_only=True)
    external_task_id: str | None = attrs.field(default=None, kw_only=True)


def rules(request: Any, dialect: Dialect, files: Mapping[str, FileFacts]) -> Iterator[BrokenRule]:
    yield from text_rule("prompt", request.prompt, 40, is_required=True)
    for field, facts in files.items():
        if facts.kind is None:
            yield BrokenRule(field, "…", "must be a jpg or png picture, by its content")
    yield from address_rules(dialect, request)


FILMS: Endpoint[Any] = Endpoint(
    name="films",
    title="films",
    path="/v1/videos/films",
    request_class=FilmRequest,
    results=("videos",),
    rules=rules,
    inputs=(FileInput("first_frame", lambda _: 1000), FileInput("last_frame", lambda _: 1000)),
    slots=lambda _: 3,
    bucket=lambda _request, _dialect: "films",
    units=lambda _request, _dialect: Decimal("2.5"),
    unit_price=Decimal("0.14"),
)
SONGS: Endpoint[Any] = Endpoint(
    name="songs",
    title="songs",
    path="/v1/audio/songs",
    request_class=SongRequest,
    results=("audios",),
    rules=rules,
    bucket=lambda _request, _dialect: "songs",
    lists=False,
    several_ids=False,
)


@pytest.fixture(autouse=True)
def known() -> Iterator[None]:
    with registered(FILMS), registered(SONGS):
        yield


@attrs.define
class Visitor:
    server: Emulator
    session: aiohttp.ClientSession
    now: float = NOON

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        async with self.session.request(method, self.server.url + path, **options) as answer:
            return answer.status, await answer.json()

    async def create(self, endpoint: Endpoint[Any] = FILMS, prompt: str = "a lighthouse", **fields: Any) -> Any:
        return (await self.ask("POST", endpoint.path, json={"prompt": prompt, **fields}))[1]

    async def finished(self, endpoint: Endpoint[Any] = FILMS, **fields: Any) -> Any:
        created = await self.create(endpoint, **fields)
        self.now += 10
        return (await self.ask("GET", endpoint.one(created["data"]["task_id"])))[1]["data"]


@asynccontextmanager
async def visit(*rules: Fault, dialect: Dialect = OFFICIAL, **settings: Any) -> AsyncIterator[Visitor]:
    visitors: list[Visitor] = []
    fixed: dict[str, Any] = {"latency": (10.0, 10.0), "pictures": "plain", "picture_scale": 0.1, **settings}
    clock = lambda: visitors[0].now if visitors else NOON  # noqa: E731
    async with Emulator(clock=clock, dialect=dialect, faults=rules, **fixed) as server:
        headers = {"Authorization": f"Bearer {server.api_key}"}
        async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(10)) as session:
            visitors.append(Visitor(server, session))
            yield visitors[0]


def base64_picture() -> str:
    file = io.BytesIO()
    Image.new("RGB", (400, 300), "teal").save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode()


async def test_film_from_create_to_file() -> None:
    """
    A task makes one video in the vendor's shape, its file is a real MP4 that storages' clients can take in parts.
    """
    async with visit() as visitor, aiohttp.ClientSession() as stranger:
        task = await visitor.finished(first_frame=base64_picture(), duration="5", watermark_info={"enabled": True})
        (video,) = task["task_result"]["videos"]
        async with stranger.get(video["url"]) as answer:
            whole, tag = await answer.read(), answer.headers["ETag"]
            assert ("video/mp4", "bytes") == (answer.content_type, answer.headers["Accept-Ranges"])
        async with stranger.get(video["url"], headers={"Range": "bytes=4-7", "If-Range": tag}) as answer:
            assert (206, b"ftyp", f"bytes 4-7/{len(whole)}") == (
                answer.status,
                await answer.read(),
                answer.headers["Content-Range"],
            )
        async with stranger.get(video["watermark_url"]) as answer:
            assert whole != await answer.read()

        assert {"id", "url", "duration", "watermark_url"} == video.keys()
        assert "5" == video["duration"].removesuffix(".0")
        assert video["id"] != task["task_id"]
        assert b"avc1" in whole
        assert Decimal("2.5") == Decimal(task["final_unit_deduction"])
        assert 0 == visitor.server.ledger.downloads_with_key


async def test_song_is_an_mp3_and_a_wav() -> None:
    """
    A task of another kind makes a sound in two formats, whose length is the setting where the request names none.
    """
    async with visit(media_seconds=1.5) as visitor:
        (audio,) = (await visitor.finished(SONGS))["task_result"]["audios"]
        assert {"id", "url_mp3", "url_wav", "duration_mp3", "duration_wav"} == audio.keys()
        async with visitor.session.get(audio["url_wav"]) as answer:
            assert "audio/wav" == answer.content_type
            with wave.open(io.BytesIO(await answer.read())) as sound:
                assert 1.5 == sound.getnframes() / sound.getframerate() == float(audio["duration_wav"])
        async with visitor.session.get(audio["url_mp3"]) as answer:
            assert "audio/mpeg" == answer.content_type
            with open_media(await answer.read()) as file:
                assert 1_500_000 == file.duration == 1_000_000 * float(audio["duration_mp3"])


async def test_film_is_as_long_and_as_wide_as_asked() -> None:
    """
    A player finds the picture's ratio, or that of the request, and every frame.
    """
    cases: list[tuple[dict[str, Any], tuple[int, int]]] = [
        ({"first_frame": base64_picture()}, (96, 72)),
        ({"aspect_ratio": "9:16", "mode": "pro"}, (108, 192)),
    ]
    async with visit() as visitor:
        for fields, size in cases:
            (video,) = (await visitor.finished(duration="3", **fields))["task_result"]["videos"]
            async with visitor.session.get(video["url"]) as answer:
                frames = images_in(await answer.read())

            assert [size] * 72 == [frame.size for frame in frames]


async def test_missing_pyav_is_said_when_a_film_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Without it, a film or a song is refused with what to install, and costs nothing; pictures are made as ever.
    """
    monkeypatch.setattr(file_rendering, "find_spec", lambda name: None if name == "av" else object())
    async with visit() as visitor:
        for endpoint in (FILMS, SONGS):
            refused = await visitor.create(endpoint)
            assert 1201 == refused["code"]
            assert 'pip install "kling-async[video]"' in refused["message"]
        _, accepted = await visitor.ask("POST", "/v1/images/generations", json={"prompt": "a fox"})

        assert 0 == accepted["code"]
        assert 1 == len(visitor.server.ledger.tasks)


async def test_rules_are_the_endpoints() -> None:
    """
    A broken rule is code 1201 in the vendor's words, whichever endpoint has it.
    """
    async with visit() as visitor:
        long = await visitor.create(prompt="x" * 41)
        no_base64 = await visitor.create(last_frame="?")
        no_picture = await visitor.create(last_frame="aGk=")
        mistyped = await visitor.create(duration=5)

        assert (1201, "prompt cannot be longer than 40 characters") == (long["code"], long["message"])
        assert (1201, "File is not in a valid base64 format") == (no_base64["code"], no_base64["message"])
        assert (1201, "Image pixel is invalid") == (no_picture["code"], no_picture["message"])
        assert (1201, "duration value '5' is invalid") == (mistyped["code"], mistyped["message"])
        assert [] == visitor.server.ledger.tasks


async def test_buckets_are_apart() -> None:
    """
    A film takes three slots of its own bucket; songs and images go on when that is full.
    """
    async with visit(slots=5) as visitor:
        first, second = await visitor.create(), await visitor.create()
        song = await visitor.create(SONGS)
        _, image = await visitor.ask("POST", "/v1/images/generations", json={"prompt": "x"})

        assert [0, 1303, 0, 0] == [answer["code"] for answer in (first, second, song, image)]
        assert {"films": 3, "songs": 1, "kling-v3": 1} == visitor.server.ledger.peak_slots
        assert ["films", "songs", "image-generation"] == [task.endpoint for task in visitor.server.ledger.tasks]


async def test_lists_and_reads_are_of_one_endpoint() -> None:
    """
    Each path shows its own tasks; a question for several ids shows those of all endpoints that allow it.
    """
    async with visit() as visitor:
        film, song = [(await visitor.create(endpoint))["data"]["task_id"] for endpoint in (FILMS, SONGS)]
        visitor.now += 10
        _, page = await visitor.ask("GET", FILMS.path)
        status, _ = await visitor.ask("GET", SONGS.path)
        _, elsewhere = await visitor.ask("GET", FILMS.one(song))
        _, several = await visitor.ask("GET", f"/tasks?task_ids={film},{song}")

        assert ([film], 404) == ([task["task_id"] for task in page["data"]], status)
        assert 1201 == elsewhere["code"]
        assert [film] == [task["id"] for task in several["data"]]
        assert ["video"] == [output["type"] for output in several["data"][0]["outputs"]]
        assert "video" == several["data"][0]["billing"][0]["package_type"]


async def test_paths_of_gateways_have_their_prefix() -> None:
    """
    GATEWAY serves the endpoint under `/kling`, and nothing at the root.
    """
    async with visit(dialect=GATEWAY) as visitor:
        task = await visitor.finished()
        origin = visitor.server.url.removesuffix("/kling")
        async with visitor.session.post(origin + FILMS.path, json={"prompt": "x"}) as answer:
            assert 404 == answer.status

        assert 1 == len(task["task_result"]["videos"])


@pytest.mark.parametrize(("shape", "url"), [(faults.crazy_shape(), "url"), (faults.new_api_shape(), "result_url")])
async def test_gateways_shapes_show_the_file(shape: Fault, url: str) -> None:
    """
    Reshaped answers lead to the film, too.
    """
    async with visit(shape, dialect=GATEWAY) as visitor:
        created = await visitor.create()
        visitor.now += 10
        _, seen = await visitor.ask("GET", FILMS.one(created["task_id"]))

        assert ".mp4?" in seen["data"][url]


async def test_outcomes_and_broken_downloads() -> None:
    """
    Faults strike tasks and files of any endpoint.
    """
    rules = [faults.failing_task(prompt="storm"), faults.fewer_files(prompt="lean"), faults.expired_url(times=1)]
    async with visit(*rules, slots=None) as visitor:
        failed, lean = await visitor.finished(prompt="a storm"), await visitor.finished(prompt="lean")
        task = await visitor.finished()
        async with visitor.session.get(task["task_result"]["videos"][0]["url"]) as answer:
            assert 403 == answer.status

        assert ("failed", {}) == (failed["task_status"], failed["task_result"])
        assert {} == lean["task_result"]


def test_callbacks_of_any_endpoint() -> None:
    """
    Each change of a film is posted, its end with the video; the faults of callbacks find its prompt.
    """
    account = Account(Settings(dialect=OFFICIAL, latency=(10.0, 10.0)))
    queue = WebhookQueue(account, FaultPlan([faults.callback_lost(prompt="silent")], 0))
    request = FilmRequest("a lighthouse", callback_url="https://bots.example/x")
    account.create(request, NOON)
    account.create(attrs.evolve(request, prompt="a silent lighthouse"), NOON)
    seen = [read_task(loads(webhook.body)) for webhook in queue.take(NOON + 10)]

    assert ["submitted", "processing", "succeed"] == [snapshot.status_word for snapshot in seen]
    assert [0, 0, 1] == [len(snapshot.task_result.videos) for snapshot in seen]


def test_new_standard_shows_files_of_every_kind() -> None:
    """
    A client reads the same files from the vendor's new standard as from the legacy one.
    """
    account = Account(Settings(dialect=OFFICIAL, latency=(10.0, 10.0)))
    for request in (FilmRequest("x"), SongRequest("x"), ImageRequest("x", n=2)):
        snapshot = account.snapshot_of(account.create(request, NOON), NOON + 10)

        assert len(snapshot.task_result.files) > 0
        assert snapshot.task_result == read_task(response_bodies.new_standard(snapshot)).task_result


def test_money_is_counted_in_the_endpoints_units() -> None:
    """
    Two films are all that the account can pay; in cash they cost what the endpoint's units do.
    """
    account = Account(Settings(dialect=OFFICIAL, latency=(10.0, 10.0), units=5, paid_in="cash"))
    for _ in range(2):
        account.create(FilmRequest("x"), NOON)
    account.settle(NOON + 10)

    assert Decimal("0.70") == account.ledger.cash_billed
    with pytest.raises(ApiError, match="balance not enough"):
        account.create(FilmRequest("x"), NOON + 10)
