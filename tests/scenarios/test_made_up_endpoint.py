"""
An endpoint that nobody offers, defined here alone, works in every part of the package.

Run as a program, it is a batch of such requests, to be killed: `test_made_up_endpoint.py batch JOURNAL FOLDER URL KEY`;
or the command line, which knows the endpoint: `test_made_up_endpoint.py command ARGUMENT...`.
"""

import asyncio
import contextlib
import io
import json
import os
import signal
import socket
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
from PIL import Image

import kling_async.__main__
from kling_async import OFFICIAL, Batch, CallbackReceiver, Dialect, Done, KlingClient, PollPolicy
from kling_async.emulator import Emulator
from kling_async.errors import BrokenRule, InvalidRequest
from kling_async.wire import Endpoint, FileFacts, FileInput, FileSource, TaskRequest, registered


def png(width: int, height: int) -> bytes:
    """
    Return a small picture.
    """
    file = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(file, "PNG")
    return file.getvalue()


PNG: Final = png(400, 300)
OTHER_PNG: Final = png(320, 320)

POLLING: Final = PollPolicy(first_delay=0.05, max_delay=0.2)


@attrs.frozen
class Duet:
    """
    Two pictures that dance with each other.
    """

    prompt: str
    first: FileSource | None = attrs.field(default=None, kw_only=True)
    second: FileSource | None = attrs.field(default=None, kw_only=True)
    tempo: int = attrs.field(default=120, kw_only=True)
    callback_url: str | None = attrs.field(default=None, kw_only=True)
    external_task_id: str | None = attrs.field(default=None, kw_only=True)


FACTS: Final[list[Mapping[str, FileFacts]]] = []
"""
What was known of the files of each request that was checked, by the client and by the service.
"""


def rules(request: Duet, _: Dialect, files: Mapping[str, FileFacts]) -> Iterator[BrokenRule]:
    """
    Check the tempo, and that both files are pictures; the service does so too, with the files that have arrived.
    """
    FACTS.append(files)
    if not 40 <= request.tempo <= 208:
        yield BrokenRule("tempo", str(request.tempo), "must be a whole number from 40 to 208")
    for field in ("first", "second"):
        if getattr(request, field) is None:
            yield BrokenRule(field, "None", "is required")
        elif field in files and files[field].kind is None:
            yield BrokenRule(field, "…", "must be a jpg or png picture, by its content")


DUET: Final = Endpoint(
    name="duet",
    title="duet",
    path="/v1/videos/duet",
    request_class=Duet,
    results=("videos",),
    rules=rules,
    inputs=(FileInput("first", lambda _: 2**20), FileInput("second", lambda _: 2**20)),
    slots=lambda _: 3,
    bucket=lambda _request, _dialect: "duets",
    units=lambda _request, _dialect: Decimal("2.5"),
)


def duet(number: int = 0) -> Duet:
    """
    Return a request that breaks no rule.
    """
    return Duet(f"a duet {number}", first=PNG, second=OTHER_PNG)


def client_of(url: str, key: str, **options: Any) -> KlingClient:
    """
    Return a client of the vendor's own API at *url*.
    """
    return KlingClient(key, base_url=url, dialect=OFFICIAL, polling=POLLING, **options)


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    with registered(DUET):
        yield


@pytest.fixture
async def server() -> AsyncIterator[Emulator]:
    """
    A service that offers it, as any endpoint that is registered.
    """
    async with Emulator(dialect=OFFICIAL, latency=(0.05, 0.1), slots=9) as emulator:
        yield emulator


async def test_generate_and_save(server: Emulator, tmp_path: Path) -> None:
    """
    Both files arrive, the result is a video, and it is saved as one.
    """
    async with client_of(server.url, server.api_key) as client:
        handle = await client.submit(duet())
        assert "duet" == handle.endpoint.name
        result = await handle.wait()
        paths = await client.save(result, tmp_path)

    (task,) = server.ledger.tasks
    assert ((), 1, ()) == (result.images, len(result.videos), result.audios)
    assert result.files == result.videos
    assert {"first": len(PNG), "second": len(OTHER_PNG)} == {
        field: facts.size_in_bytes for field, facts in FACTS[-1].items()
    }
    assert ("duet", "a duet 0") == (task.endpoint, task.prompt)
    assert [f"{result.task_id}-0.mp4"] == [path.name for path in paths]
    assert b"ftyp" == paths[0].read_bytes()[4:8]
    assert Decimal("2.5") == result.snapshot.final_unit_deduction


async def test_rules_are_its_own(server: Emulator) -> None:
    """
    All broken ones are named, and nothing is sent; a field that it does not have is refused too.
    """
    async with client_of(server.url, server.api_key) as client:
        with pytest.raises(InvalidRequest) as caught:
            await client.generate(Duet("a duet", first=b"no picture", tempo=7))
        with pytest.raises(InvalidRequest, match="n=2: is not a field of Duet"):
            await client.submit(duet(), n=2)

    assert ["tempo", "first", "second"] == [broken.field for broken in caught.value.broken]
    assert [] == server.ledger.tasks


async def test_slots_are_its_own(server: Emulator) -> None:
    """
    Three for each in a bucket of its own: three run at a time, whatever images do beside them.
    """
    async with client_of(server.url, server.api_key, slots=9) as client:
        requests: list[TaskRequest | str] = [*map(duet, range(7)), *(f"a lighthouse {number}" for number in range(5))]
        outcomes = [outcome async for outcome in client.stream(requests, concurrency=12)]

    assert {Done} == {type(outcome) for outcome in outcomes}
    assert Counter({"duet": 7, "image-generation": 5}) == Counter(task.endpoint for task in server.ledger.tasks)
    assert 9 == client.slots["duets"].limit
    assert 0 == server.ledger.refusals[1303]


async def test_picked_up_by_its_id(server: Emulator) -> None:
    """
    A program that knows the id and the endpoint gets the result.
    """
    async with client_of(server.url, server.api_key) as client:
        task_id = (await client.submit(duet())).task_id
    async with client_of(server.url, server.api_key) as client:
        result = await client.handle(task_id, endpoint="duet").wait()

    assert task_id == result.task_id
    assert 1 == len(result.videos)


async def test_callbacks(server: Emulator) -> None:
    """
    They are routed to it, and no poll is needed.
    """
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    receiver = CallbackReceiver(f"http://127.0.0.1:{port}/kling")
    async with receiver.serve(port=port), client_of(server.url, server.api_key, callbacks=receiver) as client:
        result = await client.generate(duet())

    assert 1 == len(result.videos)
    assert 0 < receiver.counts.received


async def test_batch_survives_being_killed(server: Emulator, tmp_path: Path) -> None:
    """
    Each request is paid once, and the journal names the endpoint.
    """
    journal, folder = tmp_path / "run.kling", tmp_path / "videos"
    victim = await start("batch", str(journal), str(folder), server.url, server.api_key)
    while len(server.ledger.tasks) < 3:
        await asyncio.sleep(0.01)
        assert victim.returncode is None
    victim.send_signal(signal.SIGKILL)
    await victim.wait()

    outcomes = await run(journal, folder, server.url, server.api_key)

    assert [True] * 8 == [isinstance(outcome, Done) for outcome in outcomes]
    assert {f"a duet {number}": 1 for number in range(8)} == Counter(task.prompt for task in server.ledger.tasks)
    assert 8 == len(list(folder.glob("*.mp4")))


async def test_command_line(server: Emulator, tmp_path: Path) -> None:
    """
    A table names it in its column `kind`; lines of JSON and the journal name it, too.
    """
    for name, content in (("first.png", PNG), ("second.png", OTHER_PNG)):
        (tmp_path / name).write_bytes(content)
    fields = {"kind": "duet", "prompt": "a duet", "first": "first.png", "second": "second.png", "tempo": 96}
    (tmp_path / "duets.jsonl").write_text(json.dumps(fields))
    journal = tmp_path / "duets.kling"
    options = ["duets.jsonl", "--journal", str(journal), "--out", "videos", "--json"]
    environment = {"KLING_API_KEY": server.api_key, "KLING_BASE_URL": server.url}

    command = await start("command", "batch", "--dialect", "official", *options, cwd=tmp_path, **environment)
    output, _ = await command.communicate()

    outcome = json.loads(output.splitlines()[0])
    assert 0 == command.returncode
    assert ("duet", "a duet") == (outcome["endpoint"], outcome["prompt"])
    assert ["video"] == [file["kind"] for file in outcome["files"]]
    assert b"ftyp" == Path(tmp_path, outcome["files"][0]["path"]).read_bytes()[4:8]
    with contextlib.closing(sqlite3.connect(journal)) as database:
        assert [("duet",)] == database.execute("SELECT endpoint FROM row").fetchall()


async def start(*arguments: str, cwd: Path | None = None, **environment: str) -> asyncio.subprocess.Process:
    """
    Start this file as a program.
    """
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment}
    program = (sys.executable, __file__, *arguments)
    return await asyncio.create_subprocess_exec(*program, cwd=cwd, env=variables, stdout=asyncio.subprocess.PIPE)


async def run(journal: Path, folder: Path, url: str, key: str) -> list[Any]:
    """
    Run a batch of eight to its end.
    """
    async with client_of(url, key) as client, Batch(journal, client) as batch:
        await batch.add(map(duet, range(8)))
        async for _ in batch.run(save_to=folder):
            pass
        return [outcome async for outcome in batch.outcomes()]


def main(what: str, *arguments: str) -> None:
    """
    Be one of the programs that the tests start.
    """
    with registered(DUET):
        if what == "command":
            sys.argv[1:] = arguments
            kling_async.__main__.main()
        else:
            journal, folder, url, key = arguments
            asyncio.run(run(Path(journal), Path(folder), url, key))


if __name__ == "__main__":
    main(*sys.argv[1:])
