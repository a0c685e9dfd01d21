"""
A cluster that loses its workers, and how often a function is called that kills them.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from dask import config as settings
from distributed import Client
from distributed.core import Status
from hypothesis import given, strategies as st

from kling_async import Failed, KlingClient
from kling_async.batch.executors import FileInfo, WorkItem, WorkResult
from kling_async.emulator import Emulator
from kling_async.errors import ExecutorLost, ProcessFailed
from kling_async.integrations.dask import (
    DaskExecutor,
    cluster as dask_cluster,
    executor as dask_executor,
    worker as dask_worker,
)
from tests.fakes import sample_functions
from tests.fakes.dask_cluster import cluster, item_in, made_of, run, seen
from tests.fakes.storages import client, server  # noqa: F401


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_worker, "IDLE_TIMEOUT", 0.02)


@pytest.fixture
def often_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The scheduler is asked often, and its answer soon given up; on a busy machine, one that would have come may be, too.
    """
    monkeypatch.setattr(dask_executor, "SCHEDULER_TIMEOUT", 0.05)
    monkeypatch.setattr(dask_cluster, "SCHEDULER_TIMEOUT", 0.05)


@pytest.mark.parametrize(
    ("answers", "what", "advice"),
    [
        ([0], "the Dask cluster has no worker", "start workers"),
        ([None, 0], "the Dask cluster has no worker", "start workers"),
        ([None, 0, None, None], "the Dask cluster has no worker", "check the scheduler, start workers"),
        ([None, None], "the Dask scheduler does not answer", "check the scheduler, start workers"),
        ([0, 2, None], "the Dask scheduler does not answer", "check the scheduler, start workers"),
    ],
)
def test_an_answer_that_is_late_changes_nothing_that_was_known(
    answers: list[int | None], what: str, advice: str
) -> None:
    """
    In this outage; what was known in an earlier one is forgotten.
    """
    outage = None
    for now, threads in enumerate(answers):
        outage = dask_cluster.next_outage(outage, threads, float(now))

    assert outage is not None
    assert f"{what}, for 60 s (no_worker_timeout); {advice} and run again" == str(outage.loss(60))


@given(st.lists(st.none() | st.integers(0, 2)))
def test_an_outage_begins_with_the_first_answer_without_workers(answers: list[int | None]) -> None:
    """
    Or with the first that does not come, and the next worker ends it.
    """
    outage = None
    for now, threads in enumerate(answers):
        outage = dask_cluster.next_outage(outage, threads, float(now))

    last_worker = max((now for now, threads in enumerate(answers) if threads), default=-1)
    began = last_worker + 1 if last_worker + 1 < len(answers) else None
    assert began == (outage and outage.since)


@contextlib.asynccontextmanager
async def impatient(workers: int = 1, **options: Any) -> AsyncIterator[tuple[Client, DaskExecutor]]:
    """
    A cluster, and an executor that soon gives up if it has no worker.
    """
    async with cluster(workers, **options) as dask_client, DaskExecutor(dask_client, no_worker_timeout=0.5) as executor:
        yield dask_client, executor


async def lose_all(dask_client: Client) -> None:
    for worker in made_of(dask_client).workers.values():
        await worker.close(nanny=False)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), True, "60"])
async def test_the_time_is_judged(seconds: Any) -> None:
    async with cluster(0) as dask_client:
        with pytest.raises(ValueError, match="no_worker_timeout=.* finite number of seconds above 0"):
            DaskExecutor(dask_client, no_worker_timeout=seconds)


async def test_a_cluster_that_loses_its_last_worker(
    client: KlingClient, server: Emulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """
    To a function that kills it: as `LocalCluster` drops one that is not back in time. The log says so, then the run
    ends; another cluster goes on, and nothing is paid twice.
    """
    with settings.set({"distributed.deploy.lost-worker-timeout": "1 ms"}):
        async with impatient(1, processes=True) as (_, executor):
            with pytest.raises(ExecutorLost, match=r"has no worker, for 0\.5 s \(no_worker_timeout\)"):
                await run(client, tmp_path, "a fox", process=sample_functions.die, executor=executor)

    assert "the Dask cluster has no worker" in caplog.text
    async with cluster() as dask_client, DaskExecutor(dask_client) as executor:
        [done] = await run(client, tmp_path, process=sample_functions.nothing, executor=executor)
    assert [(None,)] == seen([done])
    assert 1 == len(server.ledger.tasks)


async def stop(dask_client: Client) -> None:
    """
    Have the scheduler say nothing of its workers.
    """
    silent = asyncio.Event()
    scheduler: Any = made_of(dask_client).scheduler
    scheduler.handlers["ncores_running"] = lambda workers=None: silent.wait()


async def pause(dask_client: Client) -> None:
    """
    Pause the workers, as they do themselves for want of memory.
    """
    for worker in made_of(dask_client).workers.values():
        worker.periodic_callbacks["memory_monitor"].stop()  # it would find that there is memory
        worker.status = Status.paused
    scheduler: Any = dask_client.scheduler
    while await scheduler.ncores_running():
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        (lose_all, "has no worker"),
        (pause, "has no worker"),
        (stop, "scheduler does not answer"),
    ],
)
async def test_waiting_for_workers_has_a_limit_and_is_reported(
    slow: WorkItem,
    caplog: pytest.LogCaptureFixture,
    request: pytest.FixtureRequest,
    trouble: Callable[[Client], Any],
    message: str,
) -> None:
    """
    For work in flight and for waiting work; the log reports it before.
    """
    if trouble is stop:
        request.getfixturevalue("often_asked")
    async with impatient() as (dask_client, executor):
        await executor._measure()
        await trouble(dask_client)
        executor._chunk_size = 1
        executing = [asyncio.ensure_future(executor.execute(slow)) for _ in range(9)]
        outcomes = await asyncio.gather(*executing, return_exceptions=True)
        RELEASED.set()

        assert [ExecutorLost] * 9 == [type(each) for each in outcomes]
        assert all(message in str(each) for each in outcomes)
        assert any(message in record.message for record in caplog.records if record.levelno == logging.WARNING)
        assert (0, 0) == (len(executor._in_flight), len(executor._queue))


RELEASED = threading.Event()


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[WorkItem]:
    """
    An item whose function ends when the test does; its worker is a thread of this process.
    """
    RELEASED.clear()
    yield attrs.evolve(item_in(tmp_path), function=linger)
    RELEASED.set()


def linger(source: object, facts: FileInfo) -> None:
    RELEASED.wait(60)


async def test_it_goes_on_where_a_worker_comes_back(tmp_path: Path) -> None:
    """
    In time, and also after all was given up.
    """
    async with impatient(0) as (dask_client, executor):
        with pytest.raises(ExecutorLost, match="has no worker"):
            await executor.execute(item_in(tmp_path))
        executor._no_worker_timeout = 120.0  # a busy machine needs some time to begin one
        executing = asyncio.ensure_future(executor.execute(item_in(tmp_path)))
        made_of(dask_client).scale(1)  # type: ignore[no-untyped-call]

        assert isinstance(await executing, WorkResult)


async def test_no_worker_to_ask_before_anything_is_sent(client: KlingClient, server: Emulator, tmp_path: Path) -> None:
    async with impatient(0) as (_, executor):
        with pytest.raises(ExecutorLost, match="has no worker"):
            await run(client, tmp_path, "a fox", process=sample_functions.nothing, executor=executor)

    assert 0 == server.ledger.creates_received


@pytest.mark.usefixtures("often_asked")
async def test_without_a_limit_it_is_only_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with cluster(0) as dask_client, DaskExecutor(dask_client, no_worker_timeout=None) as executor:
        executing = asyncio.ensure_future(executor.execute(item_in(tmp_path)))
        while caplog.text.count("waiting without a limit") < 3:
            await asyncio.sleep(0.01)
        made_of(dask_client).scale(1)  # type: ignore[no-untyped-call]

        assert isinstance(await executing, WorkResult)


@pytest.mark.parametrize("allowed", [0, 1])
async def test_call_that_kills_workers_is_repeated_a_limited_number_of_times(
    client: KlingClient, tmp_path: Path, allowed: int
) -> None:
    """
    Twice for each death of a worker that Dask allows, as the page says: with other calls, then by itself.
    """
    patient = {"distributed.deploy.lost-worker-timeout": "1 hour"}  # a busy machine begins one in more than 15 s
    with settings.set({"distributed.scheduler.allowed-failures": allowed, **patient}):
        async with cluster(1, processes=True) as dask_client, DaskExecutor(dask_client) as executor:
            [failed] = await run(client, tmp_path, "a fox", process=sample_functions.note_and_die, executor=executor)

    assert isinstance(failed, Failed)
    assert isinstance(failed.error, ProcessFailed)
    [calls] = (tmp_path / "pictures").glob("*.calls")
    assert 2 * (allowed + 1) == len(calls.read_text())
