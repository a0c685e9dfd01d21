"""
A batch that is killed again and again, at random moments and at the worst ones: nothing is lost, nothing paid twice.

The emulator's ledger is the judge. `nox -s torture` kills 200 times; here it is fewer.
"""

import asyncio
import collections
import contextlib
import hashlib
import json
import random
import signal
import socket
from collections.abc import AsyncIterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

from kling_async import GATEWAY, OFFICIAL, Dialect, KlingClient, TaskResult
from kling_async.batch.journal import Reader
from kling_async.batch.records import State
from kling_async.emulator import Emulator, faults
from kling_async.media.file_formats import HEAD, FileEnd, find_ext
from kling_async.wire import TaskRequest, endpoint_of
from kling_async.wire.endpoints.registry import caption_of
from tests.fakes.subprocesses import program
from tests.fakes.valid_requests.pictures import PNG
from tests.scenarios.torture.requests import PICTURE, images, images_videos_and_sounds
from tests.scenarios.torture.victim import POINTS

PATIENCE: Final = 300.0  # seconds; the last run of the long form takes the longest, unless one hangs

pytestmark = pytest.mark.long

BAD_WEATHER: Final = (
    faults.reset_before("create", rate=0.05),
    faults.reset_after("create", rate=0.05),
    faults.status_after("create", 503, rate=0.03),
    faults.garbled("create", rate=0.03),
    faults.bare_429("create", rate=0.02),
    faults.delay_after("create", 0.1, rate=0.2),
    faults.reset_after("query", rate=0.05),
    faults.status("list", 503, rate=0.05),
    faults.truncated("download", rate=0.05),
    faults.reset_after("download", rate=0.05),
    faults.delay_before("download", 0.1, rate=0.2),
    faults.callback_lost(rate=0.1),
    faults.callback_doubled(rate=0.1),
    faults.callback_delayed(0.5, rate=0.3),
    faults.callback_forged(rate=0.1),
)


@attrs.frozen
class Torture:
    """
    One batch and how it is treated.
    """

    dialect: Dialect
    kills: int
    count: int
    seed: int
    hears: bool = False
    latency: tuple[float, float] = (0.2, 0.6)
    is_mixed: bool = False
    slots: int = 9

    def requests(self, folder: Path) -> list[TaskRequest]:
        """
        Return the batch.
        """
        return images_videos_and_sounds(self.count, folder) if self.is_mixed else images(self.count)


@attrs.define
class Rack:
    """
    One batch at work, in a folder of its own.
    """

    server: Emulator
    folder: Path
    torture: Torture
    port: int
    lot: random.Random
    zygote: Mapping[str, str]
    deaths: collections.Counter[str] = attrs.field(factory=collections.Counter)

    @contextlib.asynccontextmanager
    async def victim(self, *more: str) -> AsyncIterator[asyncio.subprocess.Process]:
        words = [str(self.folder), str(self.torture.count), self.torture.dialect.name, self.server.url]
        words += [self.server.api_key, "--port", str(self.port), "--slots", str(self.torture.slots), *more]
        words += ["--mixed"] if self.torture.is_mixed else []
        async with program("tests.scenarios.torture.victim", *words, zygote=self.zygote) as process:
            yield process

    async def kill_once(self) -> bool:
        """
        Run the batch until it dies, and tell whether it did: it may have come to its end before.
        """
        is_by_chance = self.lot.random() < 0.5
        point = self.lot.choice([*POINTS])
        order = () if is_by_chance else ("--point", point, "--nth", str(self.lot.randint(1, 6)))
        async with asyncio.timeout(PATIENCE), self.victim(*order) as victim:
            assert victim.stdout is not None
            assert victim.stderr is not None
            if is_by_chance and b"open" in await victim.stdout.readline():
                await asyncio.sleep(self.lot.expovariate(5.0))
                with contextlib.suppress(ProcessLookupError):
                    victim.kill()
            _, complaint = await victim.communicate()
            if victim.returncode == -signal.SIGKILL:
                self.deaths["by chance" if is_by_chance else point] += 1
                return True
            assert 0 == victim.returncode, complaint.decode()
            return False

    async def finish(self, *more: str) -> dict[str, Any]:
        """
        Run the batch to its end, and return its summary.
        """
        async with asyncio.timeout(PATIENCE), self.victim(*more) as victim:
            told, complaint = await victim.communicate()
        assert 0 == victim.returncode, complaint.decode()
        summary: dict[str, Any] = json.loads(told.splitlines()[-1])
        return summary


async def tortured(torture: Torture, folder: Path, zygote: Mapping[str, str]) -> Rack:
    """
    Kill a batch as often as is ordered.
    """
    server = Emulator(
        dialect=torture.dialect,
        latency=torture.latency,
        slots=torture.slots,
        pictures="plain",
        picture_scale=0.05,
        seed=torture.seed,
        faults=BAD_WEATHER,
    )
    await server.__aenter__()
    folder.mkdir()
    (folder / PICTURE).write_bytes(PNG)
    rack = Rack(server, folder, torture, free_port() if torture.hears else 0, random.Random(torture.seed), zygote)
    try:
        while rack.deaths.total() < torture.kills and await rack.kill_once():
            pass
    except BaseException:
        await server.aclose()
        raise
    return rack


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def tasks_per_prompt(server: Emulator) -> collections.Counter[str]:
    return collections.Counter(task.prompt for task in server.ledger.tasks)


async def wrong_files(rack: Rack) -> list[str]:
    """
    Return what is wrong with the saved files: missing, cut short, not what was made, saved twice, or left unfinished.
    """
    found = []
    places = set()
    async with KlingClient(rack.server.api_key, base_url=rack.server.url, dialect=rack.server.dialect) as client:
        with Reader(rack.folder / "run.kling") as journal:
            for row in journal.rows(State.SAVED):
                endpoint = endpoint_of(type(row.request))
                result: TaskResult = await client.handle(row.task_id or "", endpoint=endpoint.name)
                made = [hashlib.sha256(await client.read(file)).hexdigest() for file in result.files]
                kept = [hashlib.sha256(Path(file.place).read_bytes()).hexdigest() for file in row.files]
                places |= {Path(file.place) for file in row.files}
                if not made == kept == [file.sha256 for file in row.files]:
                    found.append(row.key)
                found += [file.place for file in row.files if not is_whole(Path(file.place), file.kind)]
    others = {path for path in (rack.folder / "files").rglob("*") if path.is_file()} - places
    return [*found, *map(str, others)]


def is_whole(path: Path, kind: str) -> bool:
    """
    Return whether a file ends where its own structure says.
    """
    content = path.read_bytes()
    ext = find_ext(content[:HEAD], kind)
    if ext is None:
        return False
    end = FileEnd.of(ext)
    end.feed(content)
    return end.is_reached


def states(rack: Rack) -> dict[str, State]:
    """
    Return the state of every prompt.
    """
    with Reader(rack.folder / "run.kling") as journal:
        return {caption_of(row.request): row.state for row in journal.rows()}


async def test_killed_batches_lose_nothing_and_pay_nothing_twice(
    tmp_path: Path, pytestconfig: pytest.Config, zygote: Mapping[str, str]
) -> None:
    """
    Three batches, killed side by side: at the vendor, at a gateway, and at a gateway that calls back.
    """
    kills = pytestconfig.getoption("kills")
    count = max(30, min(300, 3 * kills))
    slow = (kills / 100, kills / 12)  # so that none has come to its end before it was killed so often
    tortures = [
        Torture(OFFICIAL, kills - 2 * (kills * 3 // 10), count, seed=kills, latency=slow),
        Torture(GATEWAY, kills * 3 // 10, count, seed=kills + 1, latency=slow),
        Torture(GATEWAY, kills * 3 // 10, count, seed=kills + 2, hears=True, latency=slow),
    ]
    if kills >= 200:  # the long form kills each so often
        tortures = [attrs.evolve(torture, kills=kills) for torture in tortures]
    folders = [tmp_path / name for name in ("official", "gateway", "hearing")]
    racks = await asyncio.gather(*(tortured(*each, zygote) for each in zip(tortures, folders, strict=True)))
    try:
        await asyncio.gather(judge_official(racks[0]), judge_gateway(racks[1]), judge_gateway(racks[2]))
        # At a gateway each kill leaves rows in doubt behind, so that there may soon be none left to kill for.
        assert tortures[0].kills == racks[0].deaths.total()
        assert all(rack.deaths.total() >= rack.torture.kills // 4 for rack in racks)
    finally:
        for rack in racks:
            await rack.server.aclose()
            print(
                rack.torture.dialect.name,
                "hearing" if rack.port else "",
                dict(rack.deaths),
                rack.server.ledger.refusals,
            )


async def test_a_killed_batch_of_all_kinds_pays_each_once_and_saves_each_file_whole(
    tmp_path: Path, pytestconfig: pytest.Config, zygote: Mapping[str, str]
) -> None:
    """
    Images, videos and sounds in one batch, with callbacks: 60 rows and 20 kills in the long form.
    """
    is_long = pytestconfig.getoption("kills") >= 20
    kills = 20 if is_long else 4
    slow = (0.5, 2.5) if is_long else (0.5, 1.0)
    torture = Torture(OFFICIAL, kills, 3 * kills, seed=kills, hears=True, latency=slow, is_mixed=True, slots=2)
    rack = await tortured(torture, tmp_path / "mixed", zygote)
    try:
        await judge_official(rack)
        assert rack.deaths.total() >= (kills if is_long else 1)  # the short form may come to its end before
    finally:
        await rack.server.aclose()
        made = collections.Counter(task.endpoint for task in rack.server.ledger.tasks)
        print("mixed", dict(rack.deaths), dict(made), rack.server.ledger.refusals)


async def judge_official(rack: Rack) -> None:
    summary = await rack.finish()
    captions = [caption_of(request) for request in rack.torture.requests(rack.folder)]

    assert dict.fromkeys(captions, 1) == tasks_per_prompt(rack.server)
    assert rack.torture.count == summary["saved"]
    assert [] == await wrong_files(rack)
    assert sum(task.units for task in rack.server.ledger.tasks) == Decimal(summary["units_billed"])
    assert rack.server.ledger.units_billed == sum(task.units for task in rack.server.ledger.tasks)


async def judge_gateway(rack: Rack) -> None:
    summary = await rack.finish()
    while rack.port and summary["accepted"]:  # a callback came after its row was given up: the next run goes on with it
        summary = await rack.finish()
    made = tasks_per_prompt(rack.server)
    first = states(rack)

    assert {State.SAVED, State.UNCERTAIN} >= set(first.values()), summary
    assert [] == [prompt for prompt, tasks in made.items() if tasks > 1]
    assert [] == [prompt for prompt, state in first.items() if state is State.SAVED and made[prompt] != 1]
    assert [] == await wrong_files(rack)

    for _ in range(20):
        summary = await rack.finish("--resend-uncertain")
        if summary["saved"] == rack.torture.count:
            break
    sent_twice = {prompt for prompt, tasks in tasks_per_prompt(rack.server).items() if tasks > 1}

    assert rack.torture.count == summary["saved"]
    assert sent_twice <= {prompt for prompt, state in first.items() if state is State.UNCERTAIN}
    assert [] == await wrong_files(rack)
