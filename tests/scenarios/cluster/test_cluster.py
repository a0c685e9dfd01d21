"""
A cluster of processes of which one part after the other dies. The emulator's ledger and the storage are the judges.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from kling_async import OFFICIAL, Batch, Done, ImageRequest, KlingClient
from kling_async.batch.executors import FileInfo
from kling_async.emulator import Emulator
from kling_async.media.storage import Storage
from tests.fakes import sample_functions
from tests.fakes.dask_cluster import cluster, made_of
from tests.fakes.storages import EAGER, Folder, Place, bucket, folder, s3_server  # noqa: F401
from tests.fakes.subprocesses import program

PATIENCE = 500.0  # seconds; beside a load of ten it takes 120, and only what hangs takes as long


@attrs.define
class CuttableConnection:
    """
    The connection between a driver and its scheduler, which can be cut.
    """

    port: int
    address: str = ""
    _writers: list[asyncio.StreamWriter] = attrs.field(factory=list)

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator["CuttableConnection"]:
        async with await asyncio.start_server(self._pass_on, "127.0.0.1", 0) as server:
            self.address = "tcp://{}:{}".format(*server.sockets[0].getsockname())
            yield self
            self.cut()

    def cut(self) -> int:
        """
        Reset all connections, and return how many there were.
        """
        writers, self._writers = self._writers, []
        for writer in writers:
            writer.transport.abort()
        return len(writers) // 2

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._writers += [writer, far_writer]
        await asyncio.gather(relay(reader, far_writer), relay(far_reader, writer))


async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(1 << 16):
            writer.write(piece)
            await writer.drain()
    writer.close()


@attrs.define
class HeldClock:
    """
    The service's clock, which stops once *limit* tasks are created: those that run then do not end before it goes on.
    However fast a driver is, it finds no more than that to save.
    """

    limit: int
    server: Emulator | None = None
    _stopped_at: float | None = None

    def __call__(self) -> float:
        if self._stopped_at is None and self.server is not None and len(self.server.account.ledger.tasks) >= self.limit:
            self._stopped_at = time.time()
        return time.time() if self._stopped_at is None else self._stopped_at

    def go_on(self) -> None:
        self.server = self._stopped_at = None


def driver(jobs: dict[str, Any]) -> contextlib.AbstractAsyncContextManager[asyncio.subprocess.Process]:
    return program("tests.scenarios.cluster.driver", json.dumps(jobs))


async def outcomes_of(process: asyncio.subprocess.Process, count: int) -> Counter[bytes]:
    """
    Wait for so many outcomes, or for the program's end.
    """
    assert process.stdout is not None
    seen: Counter[bytes] = Counter()
    while seen.total() < count and (line := await process.stdout.readline()):
        seen[line.strip()] += 1
    return seen


@pytest.fixture(params=[pytest.param("folder", marks=pytest.mark.thorough), "bucket"])
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.getfixturevalue(request.param)
    return found


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_each_part_may_die(tmp_path: Path, place: Place, pytestconfig: pytest.Config) -> None:
    """
    A worker, the connection to the scheduler, and the driver, with a storage that has faults of its own, if it is one
    that workers reach by a socket: in the end each picture is stored once and whole, seen by the function, and paid for
    once.
    """
    count, stage = (150, 25) if pytestconfig.getoption("thorough") else (90, 10)
    place.troubles += ["refused", "cut", "slow", "lost answer"] * (stage * 2 // 5)
    options = place.storage.options if isinstance(place.storage, Storage) else None
    clock = HeldClock(limit=3 * stage + 30)
    async with (
        asyncio.timeout(PATIENCE),
        Emulator(
            clock=clock, latency=(0.02, 0.05), slots=20, pictures="plain", picture_scale=0.05, dialect=OFFICIAL
        ) as server,
        cluster(2, processes=True) as dask_client,
        CuttableConnection(int(made_of(dask_client).scheduler_address.rpartition(":")[2])).opened() as line,
    ):
        clock.server = server
        jobs = {
            "key": server.api_key,
            "url": server.url,
            "count": count,
            "scheduler": line.address,
            "journal": str(tmp_path / "run.kling"),
            "save_to": str(place.storage),
            "options": None if options is None else dict(options),
        }
        async with driver(jobs) as process:
            before = await outcomes_of(process, stage)
            os.kill(made_of(dask_client).workers[0].process.pid, signal.SIGKILL)
            between = await outcomes_of(process, stage)
            cut = line.cut()
            after = await outcomes_of(process, stage)
            process.kill()
            _, complaint = await process.communicate()
            clock.go_on()

            assert cut
            assert [stage] * 3 == [seen.total() for seen in (before, between, after)], complaint.decode()
            printed = before + between + after
        saved_before = len(await asyncio.to_thread(place.files))
        rest = await run_to_its_end(jobs)
        printed += rest
        while rest.keys() - {b"done"}:  # the storage had a bad day
            printed += (rest := await run_to_its_end(jobs))

        await judge(server, place, tmp_path / "run.kling", count)
        assert [] == [line for line in printed if line != b"done" and b"s3://" not in line]
        assert 3 * stage <= saved_before < count


async def run_to_its_end(jobs: dict[str, Any]) -> Counter[bytes]:
    """
    Return the output of a driver that is not killed.
    """
    async with driver(jobs) as process:
        printed = await outcomes_of(process, jobs["count"])
        _, complaint = await process.communicate()
        assert 0 == process.returncode, complaint.decode()
    return printed


async def judge(server: Emulator, place: Place, journal: Path, count: int) -> None:
    """
    Compare what is stored with what the journal says, with what the function makes of it, and with the service.
    """
    files = await asyncio.to_thread(place.files)
    async with (
        KlingClient(server.api_key, base_url=server.url, dialect=OFFICIAL, polling=EAGER) as client,
        Batch(journal, client) as batch,
    ):
        outcomes = [outcome async for outcome in batch.outcomes()]
        done = [outcome for outcome in outcomes if isinstance(outcome, Done)]
        drawn = [await client.read(outcome.result.images[0]) for outcome in done[::10]]

    assert dict.fromkeys((f"boat {number}" for number in range(count)), 1) == Counter(
        task.prompt for task in server.ledger.tasks
    )
    assert [f"boat-{number:03}.png" for number in range(count)] == sorted(files)
    assert [outcome.files[0].sha256 for outcome in done] == [digest_of(files, outcome) for outcome in done]
    assert drawn == [files[f"{outcome.key}.png"] for outcome in done[::10]]
    for outcome in done[::10]:
        facts = FileInfo(str(outcome.key), outcome.result.task_id, ImageRequest("?"), outcome.files[0])
        assert (sample_functions.fingerprint(files[f"{outcome.key}.png"], facts),) == outcome.value


def digest_of(files: dict[str, bytes], outcome: Done) -> str:
    return hashlib.sha256(files[f"{outcome.key}.png"]).hexdigest()
