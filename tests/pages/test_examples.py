"""
The examples do what they say, as whoever copies them would run them.
"""

import contextlib
import json
import os
import runpy
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import aiohttp
import attrs
import PIL.Image
import pytest

from kling_async import GATEWAY, OFFICIAL, AccessKey, Dialect, KlingClient
from kling_async.emulator import Emulator, faults
from tests.fakes.asgi_server import served_by_uvicorn
from tests.fakes.eventually import eventually

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


Run: TypeAlias = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(zygote: dict[str, str], kling_emulator: Emulator) -> Run:
    """
    Run an example with words on its command line.
    """

    def run(example: str, *arguments: object) -> "subprocess.CompletedProcess[str]":
        command = ["python", str(EXAMPLES / example), *map(str, arguments)]
        env = {**os.environ, **zygote}
        return subprocess.run(command, capture_output=True, text=True, check=False, env=env)

    return run


@pytest.mark.kling(refused_words=["storm"], latency=(0, 0))
def test_fan_out(kling_emulator: Emulator, run: Run) -> None:
    """
    Every prompt but the refused one has its picture, and the refusal is told.
    """
    Path("prompts.txt").write_text("a lighthouse\na storm\n\na harbour\n")
    ended = run("fan_out.py", "prompts.txt", "pictures")

    assert 1 == ended.returncode
    assert "2 pictures of 2 prompts in pictures; failed: 1\n" == ended.stdout
    assert ended.stderr.startswith("a storm: ContentRefused: ")
    assert {"a lighthouse", "a harbour"} == {task.prompt for task in kling_emulator.ledger.tasks}
    assert {f"{task.task_id}-0.png" for task in kling_emulator.ledger.tasks} == {
        path.name for path in Path("pictures").iterdir()
    }


def test_reference_image(kling_emulator: Emulator, run: Run) -> None:
    """
    The picture goes along, and what comes of it is saved.
    """
    PIL.Image.new("RGB", (400, 300)).save("cat.png")
    ended = run("reference_image.py", "cat.png", "the cat as an astronaut", "pictures")
    (task,) = kling_emulator.ledger.tasks
    record = kling_emulator.account.find_task(task.task_id)

    assert (0, "", f"pictures/{task.task_id}-0.png\n") == (ended.returncode, ended.stderr, ended.stdout)
    assert record is not None
    assert ("subject", 0.6, "kling-v1-5") == (
        record.request.image_reference,
        record.request.image_fidelity,
        record.model_name,
    )


def test_reference_image_that_cannot_be(kling_emulator: Emulator, run: Run) -> None:
    """
    It costs nothing, and not even a request.
    """
    PIL.Image.new("RGB", (40, 30)).save("cat.png")
    ended = run("reference_image.py", "cat.png", "x" * 501, "pictures")

    assert (1, "") == (ended.returncode, ended.stdout)
    lines = [line[:15] for line in ended.stderr.splitlines()]
    assert ["prompt must be ", "image must have", "refused, nothin"] == lines
    assert 0 == kling_emulator.ledger.connections


@pytest.mark.kling(dialect=OFFICIAL, access_key=AccessKey("ak", "sk-of-as-many-bytes-as-real-ones"), latency=(0, 0))
def test_vendor_keys(kling_emulator: Emulator, run: Run) -> None:
    """
    A picture is made with signed tokens, and stands in the list of tasks with what it cost.
    """
    ended = run("vendor_keys.py", "a lighthouse")
    (task,) = kling_emulator.ledger.tasks
    url, listed = ended.stdout.splitlines()

    assert (0, "") == (ended.returncode, ended.stderr)
    assert url.startswith(f"{kling_emulator.url}/files/{task.task_id}/0.png?")
    assert [task.task_id, "succeed", str(task.units), "units"] == listed.split()[2:]


@pytest.mark.kling(faults=[faults.failing_task(prompt="number 2")], latency=(0, 0))
def test_progress_bar(kling_emulator: Emulator, run: Run) -> None:
    """
    It ends when all have ended, well or badly.
    """
    ended = run("progress_bar.py", 3, "a lighthouse")

    assert (0, "") == (ended.returncode, ended.stdout)
    assert f"[{'#' * 30}] 3/3, 3 submitted" == ended.stderr.splitlines()[-1]
    assert 3 == len(kling_emulator.ledger.tasks)
    assert 2 == len(list(Path("pictures").iterdir()))


def test_thumbnailer(pytester: pytest.Pytester) -> None:
    """
    The tests of a function of one's own pass, in a project of its own.
    """
    for name in ("thumbnailer.py", "test_thumbnailer.py"):
        shutil.copy(EXAMPLES / name, pytester.path)
    pytester.makeini("[pytest]\nfilterwarnings = error\nasyncio_default_fixture_loop_scope = function")
    ended = pytester.runpytest_inprocess("--strict-markers")

    ended.assert_outcomes(passed=3)


@contextlib.asynccontextmanager
async def served() -> AsyncIterator["Service"]:
    program = runpy.run_path(str(EXAMPLES / "fastapi_service.py"))
    async with served_by_uvicorn(program["app"], "", lifespan="on") as url, aiohttp.ClientSession(url) as session:
        program["receiver"].public_url = f"{url}/kling"
        yield Service(program, session)


class Service:
    """
    The example as it is seen from outside.
    """

    def __init__(self, program: dict[str, Any], session: aiohttp.ClientSession) -> None:
        self.receiver = program["receiver"]
        self.session = session

    async def order(self, **order: Any) -> tuple[int, Any]:
        async with self.session.post("/pictures", json=order) as answer:
            return answer.status, await answer.json()

    async def show(self, task_id: str) -> tuple[int, Any]:
        async with self.session.get(f"/pictures/{task_id}") as answer:
            return answer.status, await answer.json()

    async def events(self, task_id: str) -> list[tuple[str, Any]]:
        async with self.session.get(f"/pictures/{task_id}/events") as answer:
            assert "text/event-stream; charset=utf-8" == answer.headers["Content-Type"]
            return list(read_events(await answer.text()))


def read_events(text: str) -> Iterator[tuple[str, Any]]:
    for event in text.split("\n\n")[:-1]:
        kind, data = event.split("\n")
        yield kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))


@pytest.mark.kling(latency=(0.1, 0.1))
async def test_service_takes_an_order_and_tells_of_it(kling_emulator: Emulator) -> None:
    """
    Accepted with an id; told of each change, as the callbacks come; the end is the end of the events.
    """
    async with served() as service:
        status, order = await service.order(prompt="a lighthouse", n=2)
        events = await service.events(order["task_id"])
        shown = await service.show(order["task_id"])

    assert 202 == status
    assert "succeeded" == events[-1][0]
    assert (200, events[-1][1]) == shown
    assert 2 == len(events[-1][1]["pictures"])
    assert [order["task_id"]] == [task.task_id for task in kling_emulator.ledger.tasks]
    assert {200} == kling_emulator.ledger.callback_answers.keys()
    assert 0 < service.receiver.counts.unsigned


@pytest.mark.kling(latency=(0.2, 0.2))
async def test_service_survives_a_restart(kling_emulator: Emulator) -> None:
    """
    A task of before is followed to its end by its id, and still there later.
    """
    async with served() as service:
        _, order = await service.order(prompt="a lighthouse")
    async with served() as service:
        events = await service.events(order["task_id"])
        again = await service.events(order["task_id"])

    assert ["succeeded"] == [kind for kind, _ in events][-1:]
    assert ["succeeded"] == [kind for kind, _ in again]
    assert 1 == len(kling_emulator.ledger.tasks)


@pytest.mark.kling(faults=[faults.stuck_task()])
async def test_listener_that_goes_away_leaves_nothing(
    kling_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The task goes on, and nobody listens any more.
    """
    clients: list[KlingClient] = []
    opened = KlingClient.__aenter__

    async def noted(self: KlingClient) -> KlingClient:
        clients.append(self)
        return await opened(self)

    monkeypatch.setattr(KlingClient, "__aenter__", noted)
    async with served() as service:
        _, order = await service.order(prompt="a lighthouse")
        handle = clients[0].handle(order["task_id"])
        async with service.session.get(f"/pictures/{order['task_id']}/events") as answer:
            await answer.content.readuntil(b"\n\n")
            listening = len(handle._listeners or ())
        await eventually(lambda: not handle._listeners)

    assert 1 == listening
    assert (handle,) == clients[0].unfinished


@pytest.mark.kling(refused_words=["storm"], units=1)
async def test_service_says_no(kling_emulator: Emulator) -> None:
    """
    With a status that tells whose affair it is, and all broken rules.
    """
    async with served() as service:
        invalid = await service.order(prompt=" ", n=10)
        refused = await service.order(prompt="a storm")
        unknown = await service.show("nobody-made-it")
        unknown_too = await service.session.get("/pictures/nobody-made-it/events")
        poor = await service.order(prompt="a lighthouse", n=2)

    assert 422 == invalid[0]
    assert ["prompt", "n"] == [rule["field"] for rule in invalid[1]["broken"]]
    assert [422, 404, 404, 500] == [refused[0], unknown[0], unknown_too.status, poor[0]]
    assert [] == kling_emulator.ledger.tasks


@pytest.mark.parametrize(
    ("file", "claims"),
    [
        ("official.toml", OFFICIAL),
        ("api-gpt-ge.toml", GATEWAY),
        (
            "new-api.toml",
            attrs.evolve(GATEWAY, prompt_max=2500, negative_prompt_max=2500, unknown_models="pass"),
        ),
        (
            "kapon.toml",
            attrs.evolve(
                GATEWAY,
                prompt_max=2500,
                negative_prompt_max=2500,
                models=(*GATEWAY.models, "kling-v2-1"),
                aspect_ratios=(*GATEWAY.aspect_ratios, "21:9"),
                resolutions=("1k", "2k"),
                external_ids=True,
                lists=True,
            ),
        ),
    ],
)
def test_each_dialect_is_what_it_claims(file: str, claims: Dialect) -> None:
    """
    A file says all of it.
    """
    assert claims == Dialect.load(EXAMPLES / "dialects" / file)


def test_each_file_of_a_dialect_is_tested() -> None:
    """
    There is no other, and the page names each.
    """
    page = (EXAMPLES.parent / "docs" / "howto" / "gateways.md").read_text()
    files = {file.name for file in (EXAMPLES / "dialects").iterdir()}

    assert {"official.toml", "api-gpt-ge.toml", "new-api.toml", "kapon.toml"} == files
    assert [] == [file for file in files if f"examples/dialects/{file}" not in page]
