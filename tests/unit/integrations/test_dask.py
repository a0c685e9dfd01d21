"""
A cluster at work. Its workers are threads of the test's own process where nothing has to die, which is faster.
"""

import asyncio
import contextlib
import importlib
import logging
import pickle
import re
import ssl
import threading
import types
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, cast

import attrs
import pytest
from dask import config as settings
from distributed import Client, Future, Scheduler
from distributed.comm.core import CommClosedError
from hypothesis import given, strategies as st
from yarl import URL

from kling_async import Batch, Done, Failed, HttpOptions, ImageRequest, KlingClient, TextToVideo
from kling_async.batch.executors import FileInfo, WorkResult
from kling_async.emulator import Emulator, faults
from kling_async.errors import DownloadFailed, ExecutorLost, ProcessFailed, StorageFull
from kling_async.integrations.dask import (
    DaskExecutor,
    chunks as dask_chunks,
    cluster as dask_cluster,
    executor as dask_executor,
    worker as dask_worker,
)
from kling_async.media import storage_uploads
from kling_async.media.fetch_errors import FetchError, FetchRefused
from kling_async.media.saved_files import SavedFile
from kling_async.media.storage import Storage
from tests.fakes import sample_functions
from tests.fakes.dask_cluster import cluster, item_in, made_of, run, seen, served
from tests.fakes.storages import EAGER, Memory, Place, bucket, client, folder, memory, s3_server, server, sftp  # noqa: F401

pytestmark = pytest.mark.long

PROMPTS = [f"boat {number}" for number in range(12)]


@pytest.fixture
async def dask_client() -> AsyncIterator[Client]:
    async with cluster() as dask_client:
        yield dask_client


@pytest.fixture
async def executor(dask_client: Client) -> AsyncIterator[DaskExecutor]:
    async with DaskExecutor(dask_client) as executor:
        yield executor


@pytest.fixture(params=["folder", "memory", "bucket", "sftp"])
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.getfixturevalue(request.param)
    return found


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """
    Tries follow each other at once, and a worker's connections end with its work.
    """
    monkeypatch.setattr("kling_async.media.storage.FIRST_DELAY", 0.001)
    monkeypatch.setattr("kling_async.batch.savers.FIRST_DELAY", 0.001)
    monkeypatch.setattr(dask_worker, "IDLE_TIMEOUT", 0.02)
    yield
    dask_worker._make_downloader.cache_clear()


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


class TestABatch:
    async def test_pictures_are_fetched_and_seen_by_workers(
        self, client: KlingClient, server: Emulator, executor: DaskExecutor, tmp_path: Path
    ) -> None:
        """
        Places, digests and values come back into the outcomes and the journal; the driver itself fetches nothing.
        """
        requests = [ImageRequest("a lighthouse", n=3), ImageRequest("a fox")]

        outcomes = await run(client, tmp_path, *requests, process=sample_functions.check, executor=executor)
        async with Batch(tmp_path / "run.kling", client) as batch:
            recorded = [outcome async for outcome in batch.outcomes()]

        assert [(True, True, True), (True,)] == seen(outcomes) == seen(recorded)
        assert (4, None) == (server.ledger.downloads, client.core.files._downloads)
        assert all(path.is_file() for outcome in recorded if isinstance(outcome, Done) for path in outcome.paths)
        assert 4 == len(files_in(tmp_path)) - 1

    async def test_pictures_are_only_fetched(self, client: KlingClient, executor: DaskExecutor, tmp_path: Path) -> None:
        """
        Where there is no function.
        """
        outcomes = await run(client, tmp_path, *PROMPTS, executor=executor)

        assert [None] * 12 == seen(outcomes)
        assert 12 == len(files_in(tmp_path / "pictures"))

    async def test_videos_are_fetched_and_processed(
        self, client: KlingClient, executor: DaskExecutor, tmp_path: Path
    ) -> None:
        """
        As images are; the function is told which kind of file it gets.
        """
        requests = (TextToVideo("a boat", duration=5), "a fox")
        [video, image] = await run(client, tmp_path, *requests, process=sample_functions.kind, executor=executor)

        assert isinstance(video, Done)
        assert isinstance(image, Done)
        assert (("video",), ("image",)) == (video.value, image.value)
        assert [".mp4"] == [path.suffix for path in video.paths]

    async def test_folders_are_the_drivers(
        self, client: KlingClient, executor: DaskExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        A worker may be in another directory.
        """
        monkeypatch.chdir(tmp_path)

        [done] = await run(client, tmp_path, "a fox", save_to="here", executor=executor)

        assert isinstance(done, Done)
        assert (tmp_path / "here",) == tuple(path.parent for path in done.paths)

    async def test_functions_without_a_module_travel(
        self, client: KlingClient, executor: DaskExecutor, tmp_path: Path
    ) -> None:
        """
        As those of a notebook do.
        """
        assert [(4,)] == seen(await run(client, tmp_path, "a fox", process=lambda source, facts: 4, executor=executor))

    async def test_what_is_there_is_seen_without_being_fetched(
        self, client: KlingClient, server: Emulator, executor: DaskExecutor, tmp_path: Path
    ) -> None:
        await run(client, tmp_path, "a lighthouse", "a fox")

        failed = await run(client, tmp_path, process=sample_functions.fail, executor=executor)
        repeated = await run(client, tmp_path, process=sample_functions.nothing, executor=executor)
        none = await run(client, tmp_path, process=sample_functions.nothing, executor=executor)

        assert [[(None,), ProcessFailed], [(None,)], []] == [seen(failed), seen(repeated), seen(none)]
        assert 2 == server.ledger.downloads

    async def test_a_failure_is_told_with_where_it_was(
        self, client: KlingClient, executor: DaskExecutor, tmp_path: Path
    ) -> None:
        [failed] = await run(client, tmp_path, "a fox", process=sample_functions.fail, executor=executor)

        assert isinstance(failed, Failed)
        assert isinstance(failed.error, ProcessFailed)
        assert "LookupError: no foxes" in str(failed.error)
        assert "sample_functions.py" in failed.error.__notes__[0]
        assert 1 == len(files_in(tmp_path / "pictures"))

    async def test_what_cannot_come_back_is_a_failure(
        self, client: KlingClient, executor: DaskExecutor, tmp_path: Path
    ) -> None:
        assert [ProcessFailed] == seen(
            await run(client, tmp_path, "a fox", process=sample_functions.unpicklable, executor=executor)
        )

    async def test_odd_errors_of_a_function(self, client: KlingClient, executor: DaskExecutor, tmp_path: Path) -> None:
        """
        None stops the run, and none that means something to Dask means it here.
        """
        outcomes = await run(
            client, tmp_path, *sample_functions.ODD, "a boat", process=sample_functions.fail_oddly, executor=executor
        )

        assert [*[ProcessFailed] * len(sample_functions.ODD), (None,)] == seen(outcomes)
        assert max(len(str(each.error)) for each in outcomes if isinstance(each, Failed)) < 1500

    async def test_an_address_that_has_run_out_is_renewed(self, executor: DaskExecutor, tmp_path: Path) -> None:
        """
        By the driver: a worker cannot ask.
        """
        rules = [faults.expired_url(times=1, prompt=prompt) for prompt in ("fox", "boat")]
        async with served(*rules) as client:
            outcomes = await run(client, tmp_path, "a fox", "a boat", process=sample_functions.check, executor=executor)

        assert [(True,), (True,)] == seen(outcomes)

    async def test_what_does_not_arrive_fails_alone(self, executor: DaskExecutor, tmp_path: Path) -> None:
        """
        And the next run fetches it.
        """
        async with served(faults.status("download", 404, times=2)) as client:
            [failed] = await run(client, tmp_path, "a fox", executor=executor)
            repeated = await run(client, tmp_path, executor=executor)

        assert isinstance(failed, Failed)
        assert isinstance(failed.error, DownloadFailed)
        assert "HTTP 404" in str(failed.error)
        assert not re.search(r"\?\w", str(failed.error))
        assert [None] == seen(repeated)

    async def test_what_a_killed_worker_has_left_is_removed(
        self, client: KlingClient, executor: DaskExecutor, tmp_path: Path
    ) -> None:
        """
        Before and after a run, so that none of it is left.
        """
        async with Batch(tmp_path / "run.kling", client) as batch:
            left = tmp_path / "pictures" / f".kling-{batch._open().id}"
        left.mkdir(parents=True)
        (left / "0123.part").touch()

        await run(client, tmp_path, "a fox", process=lambda source, facts: len(files_in(left)), executor=executor)

        assert not left.exists()

    @pytest.mark.parametrize("trouble", ["refused", "cut", "lost answer", "slow"])
    async def test_storages_that_have_bad_days(
        self,
        client: KlingClient,
        executor: DaskExecutor,
        tmp_path: Path,
        place: Place,
        trouble: str,
    ) -> None:
        """
        What was not stored is reported, and stored by the next run; no partial file is visible.
        """
        place.troubles += [trouble] * 3
        options = {
            "save_to": place.storage,
            "name": "{key}{ext}",
            "process": sample_functions.check,
            "executor": executor,
        }

        first = await run(client, tmp_path, "a fox", "a boat", "a storm", **options)
        second = await run(client, tmp_path, **options)

        assert 3 == sum(isinstance(outcome, Done) for outcome in first + second)
        assert {(True,), DownloadFailed} >= set(seen(first + second))
        assert 3 == len(await asyncio.to_thread(place.files))
        assert [] == list(tmp_path.rglob(".kling-*"))

    async def test_parts_that_end_while_pictures_go_to_a_memory(
        self, client: KlingClient, server: Emulator, tmp_path: Path, memory: Memory
    ) -> None:
        """
        A worker, the connection, the run; tests/scenarios/cluster does the same with processes and other storages.
        """
        memory.troubles += ["refused", "cut", "slow", "lost answer"] * 5
        count, cuts = 0, []
        options: dict[str, Any] = {"save_to": memory.storage, "name": "{key}{ext}", "process": sample_functions.check}
        async with cluster(2) as dask_client, DaskExecutor(dask_client) as executor:
            async with Batch(tmp_path / "run.kling", client) as batch:
                await batch.add(f"boat {number}" for number in range(60))
                async with contextlib.aclosing(batch.run(**options, executor=executor)) as outcomes:
                    async for _ in outcomes:
                        count += 1
                        if count == 10:
                            await made_of(dask_client).workers[0].close(nanny=False)
                        if count == 20:
                            cuts.append(comm := dask_client.scheduler_comm)
                            assert comm is not None
                            comm.comm.abort()
                        if count == 30:
                            break
            await run(client, tmp_path, **options, executor=executor)

            assert cuts[0] is not dask_client.scheduler_comm
        assert 60 == len(server.ledger.tasks) == len(memory.files())
        assert all(content.endswith(b"IEND\xaeB`\x82") for content in memory.files().values())

    async def test_a_full_storage_stops_the_run(
        self, client: KlingClient, executor: DaskExecutor, tmp_path: Path, memory: Memory
    ) -> None:
        memory.troubles += ["full"]

        with pytest.raises(StorageFull):
            await run(client, tmp_path, "a fox", save_to=memory.storage, executor=executor)

    async def test_closing_it_takes_work_back(
        self, client: KlingClient, executor: DaskExecutor, dask_client: Client, tmp_path: Path
    ) -> None:
        """
        Nothing waits any more, and a later run goes on with the same executor.
        """
        async with Batch(tmp_path / "run.kling", client) as batch:
            await batch.add(PROMPTS)
            async with contextlib.aclosing(
                batch.run(tmp_path, process=sample_functions.dawdle, executor=executor)
            ) as outcomes:
                await anext(outcomes)
        left = (len(executor._in_flight), len(executor._queue), len(dask_client.futures))
        later = await run(client, tmp_path, process=sample_functions.nothing, executor=executor, save_to=tmp_path)

        assert (0, 0) == left[:2]
        assert 11 >= len(later) == sum(isinstance(outcome, Done) for outcome in later)
        assert 12 == len(files_in(tmp_path)) - 1


SHOWN: list[str] = []


def look_around(source: object, facts: FileInfo) -> None:
    """
    Note what the scheduler shows of its tasks.
    """
    for worker in list(Scheduler._instances):
        for key, task in worker.tasks.items():
            SHOWN.append(f"{key} {task!r} {task.prefix!r} {task.group!r} {task.run_spec!r}")


class TestWhatTravels:
    async def test_no_key_and_no_url_is_shown(
        self,
        client: KlingClient,
        server: Emulator,
        dask_client: Client,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """
        Workers get no key; what Dask shows and logs of its tasks, even of one that breaks, has ids of tasks and no URL.
        """
        caplog.set_level(logging.DEBUG)
        sent: list[Any] = []
        SHOWN.clear()

        def submit(work: Callable[..., Any], argument: Any, **options: Any) -> Any:
            sent.append(argument)
            SHOWN.append(repr((work, argument, options)))
            return Client.submit(dask_client, work, argument, **options)

        monkeypatch.setattr(dask_client, "submit", submit)
        async with DaskExecutor(dask_client) as executor:
            [done] = await run(client, tmp_path, "a fox", process=look_around, executor=executor)
            monkeypatch.setattr(dask_worker, "_result_of", lambda *_: 1 / 0)
            with pytest.raises(ExecutorLost, match="ZeroDivisionError"):
                await run(client, tmp_path, "a boat", executor=executor)

        assert isinstance(done, Done)
        texts = "\n".join([*SHOWN, caplog.text, str(await dask_client.get_events("all"))])
        query = URL(done.result.images[0].url).query_string
        assert query
        assert done.result.task_id in texts
        assert query.encode() in sent[1].content
        assert query not in texts
        assert server.api_key.encode() not in pickle.dumps(sent)
        assert not re.search(r"\?\w+=", texts)

    async def test_the_drivers_options_stay_with_it(self, dask_client: Client) -> None:
        with pytest.raises(ValueError, match="cannot be sent"):
            DaskExecutor(dask_client, http=HttpOptions(ssl=ssl.create_default_context()))

    async def test_orders_can_be_pickled(self, tmp_path: Path) -> None:
        item = item_in(tmp_path)

        assert item == pickle.loads(pickle.dumps(item))  # noqa: S301 (our own)
        assert "full" == str(pickle.loads(pickle.dumps(FetchRefused("full"))))  # noqa: S301 (our own)


SOME = WorkResult(SavedFile(0, Path("0.png"), 4, "00"))


class TestExecutor:
    async def test_chunks_grow_and_are_few(
        self, client: KlingClient, executor: DaskExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Light work goes in large chunks, heavy in small ones; two are in flight for the one thread, and more wait.
        """
        in_flight = []
        served = DaskExecutor._run_chunk

        async def serve(self: DaskExecutor, chunk: Any) -> None:
            in_flight.append(len(self._in_flight))
            await served(self, chunk)

        monkeypatch.setattr(DaskExecutor, "_run_chunk", serve)
        await run(
            client,
            tmp_path,
            *(f"boat {number}" for number in range(60)),
            process=sample_functions.nothing,
            executor=executor,
        )
        light, width = executor._chunk_size, executor.width
        monkeypatch.setattr(dask_chunks, "SECONDS", 0.3)
        await run(
            client,
            tmp_path,
            *(f"ship {number}" for number in range(8)),
            process=sample_functions.dawdle,
            executor=executor,
        )

        assert max(in_flight) <= 2
        assert light > dask_chunks.FIRST_SIZE > executor._chunk_size
        assert 2 * light == width

    @given(st.integers(1, dask_chunks.MAX_SIZE), st.floats(0.0, 0.9), st.floats(0.001, 3.0))
    def test_chunks_come_to_about_a_second(self, size: int, way: float, function: float) -> None:
        """
        Of what the function takes, from any size; what only the way takes is shared by as many as may be.
        """
        for _ in range(40):
            done = dask_chunks.ChunkResult([SOME] * size, way + size * function, size * function)
            size = dask_chunks.next_size(done, size)
            only_saved = dask_chunks.next_size(dask_chunks.ChunkResult([SOME] * size, way, 0.0), size)

            assert only_saved > size or only_saved == dask_chunks.MAX_SIZE
        assert size * function <= dask_chunks.SECONDS or size == 1
        assert size + 1 >= min(dask_chunks.MAX_SIZE, int((dask_chunks.SECONDS - way) / function / 2))

    @given(st.integers(2, dask_chunks.MAX_SIZE), st.floats(0.0, 100.0))
    def test_few_tell_nothing_of_many(self, size: int, seconds: float) -> None:
        """
        One alone that was slow to come makes no chunk smaller.
        """
        assert dask_chunks.next_size(dask_chunks.ChunkResult([SOME], seconds, 0.0), size) >= size

    async def test_it_follows_the_number_of_workers(
        self, dask_client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: KlingClient
    ) -> None:
        monkeypatch.setattr(dask_executor, "MEASURE_INTERVAL", -1.0)
        async with DaskExecutor(dask_client) as executor:
            await run(client, tmp_path, "a fox", executor=executor)
            before = executor._max_chunks
            made_of(dask_client).scale(3)  # type: ignore[no-untyped-call]
            await made_of(dask_client)
            await run(client, tmp_path, "a boat", executor=executor)

            assert (2, 6) == (before, executor._max_chunks)

    async def test_a_chunk_has_one_function(self, executor: DaskExecutor, tmp_path: Path) -> None:
        """
        Of two batches, so that a function that cannot be pickled affects only its own batch; first come, first served.
        """
        functions = [
            sample_functions.nothing,
            sample_functions.check,
            sample_functions.nothing,
            sample_functions.check,
            sample_functions.fail,
        ]
        for function in functions:
            executor._queue.append(dask_executor._PendingItem(attrs.evolve(item_in(tmp_path), function=function)))

        chunks = [
            [pending.item.function for pending in dask_executor._take_chunk(executor._queue, size)]
            for size in (3, 2, 1)
        ]

        assert [[sample_functions.nothing] * 2, [sample_functions.check] * 2, [sample_functions.fail]] == chunks
        assert [] == dask_executor._take_chunk(executor._queue, 1)

    async def test_nobody_waits_for_what_is_cancelled(self, executor: DaskExecutor, tmp_path: Path) -> None:
        """
        Before it is sent and after.
        """
        for pause in (0.0, 0.05):
            item = attrs.evolve(item_in(tmp_path), function=sample_functions.dawdle)
            executing = asyncio.ensure_future(executor.execute(item))
            await asyncio.sleep(pause)
            executing.cancel()
            await asyncio.wait([executing])
            await asyncio.sleep(0)
            await asyncio.sleep(0)

            assert executing.cancelled()
            assert (0, 0) == (len(executor._queue), len(executor._in_flight))

    @pytest.mark.parametrize("pause", [0.0, 0.02, 0.1])
    async def test_cancelling_one_takes_no_other_along(self, tmp_path: Path, pause: float) -> None:
        """
        Though Dask reads the results of several in one go.
        """
        async with cluster(threads=4) as dask_client, DaskExecutor(dask_client) as executor:
            await executor._measure()
            item = attrs.evolve(item_in(tmp_path), function=sample_functions.dawdle)
            first, *others = [asyncio.ensure_future(executor.execute(item)) for _ in range(8)]
            await asyncio.sleep(pause)
            first.cancel()

            results = await asyncio.gather(first, *others, return_exceptions=True)

            assert isinstance(results[0], asyncio.CancelledError)
            assert [WorkResult] * 7 == [type(each) for each in results[1:]]
            assert 0 == len(executor._in_flight)

    async def test_cancelling_while_results_are_read(self, tmp_path: Path, dask_client: Client) -> None:
        """
        What is read for several is read on for the others.
        """
        turn = dask_client._gather_semaphore = asyncio.Semaphore(0)
        async with DaskExecutor(dask_client) as executor:
            executor._chunk_size = 1
            first = asyncio.ensure_future(executor.execute(item_in(tmp_path)))
            second = asyncio.ensure_future(executor.execute(item_in(tmp_path)))
            while len(dask_client._gather_keys or ()) < 2:
                await asyncio.sleep(0.01)
            first.cancel()
            await asyncio.wait([first])
            turn.release()

            assert isinstance(await second, WorkResult)

    async def test_a_client_that_is_closed(self, tmp_path: Path, dask_client: Client) -> None:
        """
        Dask would take the work, and never answer.
        """
        async with DaskExecutor(dask_client) as executor:
            await dask_client.close()  # type: ignore[no-untyped-call]

            with pytest.raises(ExecutorLost, match="client of the Dask cluster is closed"):
                await executor.execute(item_in(tmp_path))
            with pytest.raises(ExecutorLost, match="client of the Dask cluster is closed"):
                await executor.check(sample_functions.nothing, tmp_path)

    async def test_a_connection_that_neither_comes_nor_ends(
        self, tmp_path: Path, dask_client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Is given up.
        """
        monkeypatch.setattr(dask_cluster, "RECONNECT_TIMEOUT", 0.1)
        async with DaskExecutor(dask_client) as executor:
            monkeypatch.setattr(dask_client, "status", "connecting")
            with pytest.raises(ExecutorLost, match="was not restored"):
                await executor._cluster._wait_until_connected()
            monkeypatch.undo()

    async def test_what_is_on_its_way_lies_where_dask_tidies_up(
        self, client: KlingClient, tmp_path: Path, memory: Memory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        When a worker is killed.
        """
        begun: list[Path | None] = []
        begin = storage_uploads.TempFile.begin

        def spy(ext: str, folder: Path | None) -> storage_uploads.TempFile:
            begun.append(folder)
            return begin(ext, folder)

        monkeypatch.setattr(storage_uploads.TempFile, "begin", spy)
        async with cluster() as dask_client, DaskExecutor(dask_client) as executor:
            await run(client, tmp_path, "a fox", save_to=memory.storage, executor=executor)
            [worker] = made_of(dask_client).workers.values()

            assert Path(worker.local_directory) == begun[-1]  # before it is the trial's

    async def test_what_cannot_travel_is_told_to_who_waits(self, executor: DaskExecutor, tmp_path: Path) -> None:
        """
        By who asks before anything is sent, and by who does not.
        """
        locked = Storage("memory://x", {"lock": threading.Lock()})

        with pytest.raises(ValueError, match="cannot be sent to workers: TypeError"):
            await executor.check(None, locked)
        with pytest.raises(ExecutorLost, match="cannot do the work: TypeError"):
            await executor.execute(attrs.evolve(item_in(tmp_path), destination=locked))

    @pytest.mark.parametrize("turns", [1, 2, 3, 50])
    async def test_closed_twice(self, dask_client: Client, tmp_path: Path, turns: int) -> None:
        """
        Callers of what was in flight get an error, whether it has begun or not, and the client is left open.
        """
        executor = DaskExecutor(dask_client)
        item = attrs.evolve(item_in(tmp_path), function=sample_functions.dawdle)
        executing = [asyncio.ensure_future(executor.execute(item)) for _ in range(9)]
        for _ in range(turns):
            await asyncio.sleep(0)
        await executor.aclose()
        await executor.aclose()

        assert [ExecutorLost] * 9 == [type(each) for each in await asyncio.gather(*executing, return_exceptions=True)]
        assert "running" == dask_client.status
        with pytest.raises(ExecutorLost, match="create a new one"):
            await executor.execute(item_in(tmp_path))
        with pytest.raises(ExecutorLost, match="create a new one"):
            await executor.check(sample_functions.nothing, tmp_path)

    async def test_a_worker_that_is_killed_by_one_picture(self, client: KlingClient, tmp_path: Path) -> None:
        """
        The file is saved, and its row reports that the function failed; the others are processed.
        """
        prompts = ("a boat", "a fox", "a storm")
        patient = {"distributed.deploy.lost-worker-timeout": "1 hour"}  # a busy machine begins one in more than 15 s
        with settings.set({"distributed.scheduler.allowed-failures": 0, **patient}):
            async with cluster(1, processes=True) as dask_client, DaskExecutor(dask_client) as executor:
                outcomes = await run(
                    client, tmp_path, *prompts, process=sample_functions.die_of_foxes, executor=executor
                )

        assert [("alive",), ProcessFailed, ("alive",)] == seen(outcomes)
        assert isinstance(outcomes[1], Failed)
        assert "died during it" in str(outcomes[1].error)
        assert 3 == len(files_in(tmp_path / "pictures"))

    async def test_a_connection_that_is_lost_while_a_result_comes(
        self, dask_client: Client, tmp_path: Path, client: KlingClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        The work is done, and is sent once more.
        """
        sent: list[str] = []

        async def lost() -> None:
            raise CommClosedError("in <TCP (closed) ConnectionPool.gather>: Stream is closed")

        def submit(work: Callable[..., Any], argument: Any, **options: Any) -> Any:
            sent.append(options["key"][1])
            future = Client.submit(dask_client, work, argument, **options)
            return lost() if sent.count(options["key"][1]) == 1 else future

        monkeypatch.setattr(dask_client, "submit", submit)
        async with DaskExecutor(dask_client) as executor:
            [done] = await run(client, tmp_path, "a fox", process=sample_functions.check, executor=executor)

        assert [(True,)] == seen([done])
        assert 4 == len(sent)

    @pytest.mark.parametrize("cuts", [1, dask_cluster.MAX_SENDS - 1, dask_cluster.MAX_SENDS])
    async def test_work_that_somebody_cancels_is_sent_again(
        self, client: KlingClient, executor: DaskExecutor, dask_client: Client, tmp_path: Path, cuts: int
    ) -> None:
        """
        But not for ever.
        """
        running = asyncio.ensure_future(
            run(client, tmp_path, "a fox", process=sample_functions.dawdle, executor=executor)
        )
        cancelled: set[Any] = set()
        while len(cancelled) < cuts and not running.done():
            keys = [key for key in dask_client.futures if "check" not in key[1] and key not in cancelled]
            await dask_client.cancel([Future(key, dask_client) for key in keys])  # type: ignore[no-untyped-call]
            cancelled.update(keys)
            await asyncio.sleep(0.01)

        if cuts < dask_cluster.MAX_SENDS:
            assert [("done",)] == seen(await running)
        else:
            with pytest.raises(ExecutorLost, match="cannot do the work: FutureCancelledError"):
                await running

    async def test_a_scheduler_that_is_gone(self, client: KlingClient, server: Emulator, tmp_path: Path) -> None:
        """
        The run stops, and says so; another cluster goes on, and nothing is paid twice.
        """
        stack = contextlib.AsyncExitStack()
        dask_client = await stack.enter_async_context(cluster())
        dask_client._timeout = 0.2
        async with Batch(tmp_path / "run.kling", client) as batch:
            await batch.add(PROMPTS)
            with pytest.raises(ExecutorLost, match="scheduler"):
                async with DaskExecutor(dask_client) as executor:
                    async for _ in batch.run(tmp_path, process=sample_functions.dawdle, executor=executor):
                        await made_of(dask_client)._close()  # type: ignore[no-untyped-call]
        await stack.aclose()
        async with cluster() as dask_client, DaskExecutor(dask_client) as executor:
            await run(client, tmp_path, save_to=tmp_path, process=sample_functions.nothing, executor=executor)

        assert 12 == len(files_in(tmp_path)) - 1
        assert 12 == len(server.ledger.tasks)


class TestBeforeAnythingIsSent:
    @pytest.mark.parametrize(
        ("version", "options", "message"),
        [
            ("0.0.1", {}, "while this program has 0.0.1: both need the same"),
            (None, {"save_to": Storage("nowhere://x")}, "nowhere"),
            (None, {"save_to": None}, "say where with"),
        ],
    )
    async def test_what_cannot_be_is_told(
        self,
        client: KlingClient,
        server: Emulator,
        executor: DaskExecutor,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        version: str | None,
        options: dict[str, Any],
        message: str,
    ) -> None:
        if version is not None:
            probe = dask_chunks.Probe
            monkeypatch.setattr(dask_executor, "Probe", lambda _, *rest: probe(version, *rest))

        with pytest.raises(ValueError, match=message):
            await run(client, tmp_path, "a fox", executor=executor, **options)

        assert 0 == server.ledger.creates_received

    async def test_a_function_that_workers_cannot_load(
        self, client: KlingClient, server: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Its module is not there.
        """
        async with cluster(1, processes=True) as dask_client, DaskExecutor(dask_client) as executor:
            (tmp_path / "only_here.py").write_text("def process(source, info): pass\n")
            monkeypatch.syspath_prepend(str(tmp_path))
            only_here = importlib.import_module("only_here")

            with pytest.raises(ValueError, match=r"A Dask worker cannot load .* No module named 'only_here'"):
                await run(client, tmp_path, "a fox", process=only_here.process, executor=executor)

        assert 0 == server.ledger.creates_received

    async def test_a_folder_that_workers_do_not_see(
        self,
        client: KlingClient,
        server: Emulator,
        executor: DaskExecutor,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """
        The run is refused; no file of the check is left.
        """
        exists = Path.exists
        monkeypatch.setattr(Path, "exists", lambda path: not path.name.endswith(".check") and exists(path))

        with pytest.raises(ValueError, match="save to a folder that all machines share"):
            await run(client, tmp_path, "a fox", executor=executor)

        assert 0 == server.ledger.creates_received
        assert [] == files_in(tmp_path / "pictures")

    async def test_closing_ends_the_question(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        There is no worker to answer it.
        """
        async with cluster(0) as dask_client:
            executor = DaskExecutor(dask_client)
            asking = asyncio.ensure_future(executor.check(sample_functions.nothing, tmp_path))
            while not dask_client.futures:
                await asyncio.sleep(0.01)
            await executor.aclose()

            with pytest.raises(ExecutorLost, match="executor is closed"):
                await asking

        assert [] == files_in(tmp_path)

    async def test_a_worker_that_comes_later_and_cannot_load_it(
        self, client: KlingClient, executor: DaskExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Its rows fail, and nothing is lost: the next run saves them.
        """
        loads = pickle.loads

        def missing(content: bytes) -> Any:
            if b"fox" in content:
                raise ModuleNotFoundError("No module named 'only_here'")
            return loads(content)

        with monkeypatch.context() as patch:
            patch.setattr(dask_worker, "pickle", types.SimpleNamespace(loads=missing))
            [failed] = await run(client, tmp_path, "a fox", executor=executor)
        [done] = await run(client, tmp_path, executor=executor)

        assert isinstance(failed, Failed)
        assert "cannot load its work: ModuleNotFoundError: No module named 'only_here'" in str(failed.error)
        assert isinstance(done, Done)

    async def test_functions_that_hold_much(self, executor: DaskExecutor, tmp_path: Path) -> None:
        """
        They would be sent with each chunk.
        """
        model = bytes(dask_executor.MAX_FUNCTION)

        with pytest.raises(ValueError, match="put it into a module that workers have"):
            await executor.check(lambda source, facts: len(model), tmp_path)

    async def test_no_worker_yet(
        self, client: KlingClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        It is waited for, and that is said.
        """
        monkeypatch.setattr(dask_executor, "SCHEDULER_TIMEOUT", 0.05)
        monkeypatch.setattr(dask_cluster, "SCHEDULER_TIMEOUT", 0.05)
        async with cluster(0) as dask_client, DaskExecutor(dask_client) as executor:
            running = asyncio.ensure_future(run(client, tmp_path, "a fox", executor=executor))
            while "no Dask worker has answered yet" not in caplog.text:
                await asyncio.sleep(0.01)
            made_of(dask_client).scale(1)  # type: ignore[no-untyped-call]

            assert [None] == seen(await running)

    async def test_clients_that_block(self) -> None:
        with pytest.raises(ValueError, match="asynchronous=True"):
            DaskExecutor(cast("Client", types.SimpleNamespace(asynchronous=False)))


async def test_pictures_that_only_workers_have(client: KlingClient, server: Emulator, tmp_path: Path) -> None:
    """
    In a memory of their own: the run stops at the first, and it can be saved elsewhere.
    """
    async with cluster(1, processes=True) as dask_client, DaskExecutor(dask_client) as executor:
        with pytest.raises(
            ExecutorLost, match="this process does not see it: save to a folder that all machines share"
        ):
            await run(client, tmp_path, "a fox", save_to="memory://pictures", executor=executor)
        outcomes = await run(client, tmp_path, executor=executor)

    assert [None] == seen(outcomes)
    assert 1 == len(server.ledger.tasks)


def test_lost_is_the_root() -> None:
    assert issubclass(FetchRefused, FetchError)
