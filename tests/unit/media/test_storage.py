import asyncio
import copy
import errno
import gc
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import attrs
import pytest
from fsspec.core import url_to_fs
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.implementations.sftp import SFTPFileSystem

from kling_async import Batch, Done, Failed, KlingClient, TaskResult
from kling_async.emulator import Emulator
from kling_async.errors import DownloadFailed, StorageFull
from kling_async.media import filesystems
from kling_async.media.destinations import destination_at, storage_of
from kling_async.media.fetch_errors import FetchRefused
from kling_async.media.filesystems import ATTEMPTS
from kling_async.media.naming import is_url
from kling_async.media.storage import Storage
from tests.fakes.storages import (  # noqa: F401
    Bucket,
    Folder,
    Memory,
    Place,
    Sftp,
    as_storage,
    brisk,
    bucket,
    client,
    folder,
    memory,
    s3_server,
    server,
    sftp,
    temp_dir,
)

KINDS = ("folder", "memory", "bucket", "sftp")


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=["memory", "bucket"])
def far(request: pytest.FixtureRequest) -> Memory | Bucket:
    found: Memory | Bucket = request.getfixturevalue(request.param)
    return found


async def drawn(client: KlingClient, result: TaskResult) -> list[bytes]:
    return [await client.read(image) for image in result.images]


async def outcomes_of(batch: Batch, **options: Any) -> list[Done | Failed]:
    return [outcome async for outcome in batch.run(**options)]


class TestSave:
    async def test_pictures_are_stored_in_their_order(self, client: KlingClient, place: Place) -> None:
        result = await client.generate("a lighthouse", n=3)

        urls = await client.save(result, as_storage(place), name="{task_id}/{index}{ext}")

        names = [f"{result.task_id}/{index}.png" for index in range(3)]
        assert [place.url_of(name) for name in names] == urls
        assert dict(zip(names, await drawn(client, result), strict=True)) == await asyncio.to_thread(place.files)

    async def test_what_is_there_is_replaced(self, client: KlingClient, place: Place) -> None:
        first, second = await client.generate("a lighthouse"), await client.generate("a fox")

        await client.save(first, as_storage(place), name="{index}{ext}")
        await client.save(second, as_storage(place), name="{index}{ext}")

        assert {"0.png": (await drawn(client, second))[0]} == await asyncio.to_thread(place.files)

    async def test_odd_names_are_found_again(self, client: KlingClient, far: Memory | Bucket) -> None:
        result = await client.generate("a lighthouse")
        storage = as_storage(far)

        [url] = await client.save(result, storage, name="am #1, [100%] für {index}{ext}")

        assert ["am #1, [100%] für 0.png"] == list(await asyncio.to_thread(far.files))
        assert await drawn(client, result) == [await storage.read(url)]
        assert None is await storage.size(url + "x")

    @pytest.mark.parametrize("trouble", ["refused", "cut", "lost answer", "slow", "garbled"])
    async def test_storing_is_tried_again_without_fetching_again(
        self, client: KlingClient, server: Emulator, far: Memory | Bucket, trouble: str
    ) -> None:
        result = await client.generate("a lighthouse")
        far.troubles += [trouble] * 2
        fetched = server.ledger.downloads

        await client.save(result, as_storage(far), name="{index}{ext}")

        assert fetched + 1 == server.ledger.downloads
        assert {"0.png": (await drawn(client, result))[0]} == await asyncio.to_thread(far.files)

    @pytest.mark.parametrize("trouble", ["refused", "cut", "garbled"])
    async def test_what_cannot_be_stored_is_told_and_not_seen(
        self, client: KlingClient, memory: Memory, trouble: str
    ) -> None:
        result = await client.generate("a lighthouse", n=2)
        memory.last = trouble

        with pytest.raises(DownloadFailed, match=r"memory://pictures/run/0\.png could not be written") as caught:
            await client.save(result, as_storage(memory), name="{index}{ext}")

        assert (0, ()) == (caught.value.index, caught.value.urls)
        assert {} == memory.files()
        assert [] == [name for seen in memory.seen for name in seen if not name.startswith(".")]

    async def test_those_that_arrived_are_told(self, client: KlingClient, memory: Memory) -> None:
        result = await client.generate("a lighthouse", n=2)
        memory.troubles += ["full"]

        with pytest.raises(StorageFull, match="No space left on device; make room") as caught:
            await client.save(result, as_storage(memory), name="{index}{ext}")

        assert sorted(memory.files()) == [Path(url).name for url in caught.value.urls]
        assert 1 == len(caught.value.urls)

    async def test_a_store_that_tells_other_digests_is_read_back(self, client: KlingClient, bucket: Bucket) -> None:
        result = await client.generate("a lighthouse")
        bucket.digests = False

        await client.save(result, as_storage(bucket), name="{index}{ext}")

        assert "GET /bucket/run/0.png" in bucket.asked

    async def test_a_digest_that_is_told_spares_reading_back(self, client: KlingClient, bucket: Bucket) -> None:
        await client.save(await client.generate("a lighthouse"), as_storage(bucket), name="{index}{ext}")

        assert ["PUT", "HEAD"] == [asked.split()[0] for asked in bucket.asked]

    async def test_nothing_wrong_stays_in_a_bucket(self, client: KlingClient, bucket: Bucket) -> None:
        bucket.last = "garbled"

        with pytest.raises(DownloadFailed, match="another digest"):
            await client.save(await client.generate("a lighthouse"), as_storage(bucket), name="{index}{ext}")

        assert {} == await asyncio.to_thread(bucket.files)

    @pytest.mark.parametrize("way", ["raises", "says nothing"])
    async def test_storages_that_rename_to_no_name_that_is_taken(
        self, client: KlingClient, memory: Memory, monkeypatch: pytest.MonkeyPatch, way: str
    ) -> None:
        """
        As SMB, which raises, and WebHDFS, whose answer is not read: what is there is replaced all the same.
        """
        rename = MemoryFileSystem.mv

        def mv(files: MemoryFileSystem, source: str, target: str, **options: Any) -> None:
            if not files.exists(target):
                rename(files, source, target, **options)
            elif way == "raises":
                raise FileExistsError(errno.EEXIST, "File exists")

        monkeypatch.setattr(MemoryFileSystem, "mv", mv)
        first, second = await client.generate("a lighthouse"), await client.generate("a fox")

        for result in (first, second, second):
            await client.save(result, as_storage(memory), name="{index}{ext}")

            assert {"0.png": (await drawn(client, result))[0]} == memory.files()

    @pytest.mark.parametrize("calls_needed", [1, 2])
    async def test_an_answer_that_is_lost_while_renaming(
        self, client: KlingClient, memory: Memory, monkeypatch: pytest.MonkeyPatch, calls_needed: int
    ) -> None:
        """
        Whether it was done or not; what was there before stays until then.
        """
        first, second = await client.generate("a lighthouse"), await client.generate("a fox")
        await client.save(first, as_storage(memory), name="{task_id}{ext}")
        rename, calls = MemoryFileSystem.mv, []

        def mv(files: MemoryFileSystem, *names: str, **options: Any) -> None:
            calls.append(names)
            if len(calls) >= calls_needed:
                rename(files, *names, **options)
            if len(calls) == 1:
                raise ConnectionResetError(errno.ECONNRESET, "cut")

        monkeypatch.setattr(MemoryFileSystem, "mv", mv)
        await client.save(second, as_storage(memory), name="{task_id}{ext}")

        assert calls_needed == len(calls)
        assert {f"{each.task_id}.png": (await drawn(client, each))[0] for each in (first, second)} == memory.files()

    @pytest.mark.parametrize("turns", [1, 3, 10, 30, 100, 300])
    async def test_cancelling_leaves_a_whole_picture_or_none(
        self, client: KlingClient, far: Memory | Bucket, turns: int
    ) -> None:
        result = await client.generate("a lighthouse")
        far.last = "slow"
        aio_task = asyncio.ensure_future(client.save(result, as_storage(far), name="{index}{ext}"))
        for _ in range(turns):
            await asyncio.sleep(0.0005)

        aio_task.cancel()
        await asyncio.wait([aio_task])
        await asyncio.sleep(0.4)  # for what a server has begun
        allowed: tuple[dict[str, bytes], ...] = ({}, {"0.png": (await drawn(client, result))[0]})
        async with asyncio.timeout(60):  # on a busy machine it takes longer, and what remains stays for ever
            while await asyncio.to_thread(far.files) not in allowed:
                await asyncio.sleep(0.05)

    @pytest.mark.parametrize("trouble", ["refused", "cut"])
    async def test_one_connection_that_is_lost_is_made_anew(
        self, client: KlingClient, sftp: Sftp, trouble: str
    ) -> None:
        """
        While pictures go over it, and between them.
        """
        result = await client.generate("a lighthouse", n=3)
        sftp.troubles += [trouble] * 2
        for _ in range(2):
            await client.save(result, as_storage(sftp), name="{index}{ext}")
            sftp.cut()

        pictures = await drawn(client, result)
        assert {f"{index}.png": picture for index, picture in enumerate(pictures)} == sftp.files()


class TestStorage:
    @pytest.mark.parametrize("url", ["pictures", "C:/pictures", "", "://x"])
    def test_a_path_is_none(self, url: str) -> None:
        with pytest.raises(ValueError, match="is not the URL of a storage"):
            Storage(url)

    def test_passwords_are_refused_and_not_shown(self) -> None:
        for url in ("sftp://me:secret@host/pictures", "dir://x::sftp://me:secret@host/pictures"):
            with pytest.raises(ValueError, match="holds a password") as caught:
                Storage(url)

            assert "secret" not in str(caught.value)

    def test_options_are_not_shown(self) -> None:
        assert "Storage(url='s3://x')" == repr(Storage("s3://x", {"secret": "word"}))

    async def test_what_fsspec_does_not_know_is_refused(self) -> None:
        with pytest.raises(ValueError, match="nonsense"):
            await Storage("nonsense://x").check()

    async def test_missing_fsspec_names_the_command(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "fsspec.core", None)

        with pytest.raises(ImportError, match=re.escape('pip install "kling-async[storage]"')):
            await Storage("memory://x").check()

    def test_the_package_loads_no_fsspec(self) -> None:
        program = (
            "import sys, kling_async, kling_async.batch, kling_async.media.storage; print('fsspec' in sys.modules)"
        )

        recorded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

        assert "False\n" == recorded.stdout

    def test_folders_of_this_machine_are_written_directly(self, tmp_path: Path) -> None:
        """
        However they are given.
        """
        assert (
            tmp_path
            == destination_at(tmp_path)
            == destination_at(tmp_path.as_uri())
            == destination_at(Storage(tmp_path.as_uri()))
        )

    @pytest.mark.parametrize(
        ("destination", "url", "is_own"),
        [
            ("s3://a/run", "s3://a/run/0.png", True),
            ("s3://a/run", "s3://b/0.png", True),  # for which the same endpoint and keys may do
            ("s3://a/run", "gs://a/run/0.png", False),
            ("sftp://a/run", "sftp://a/other/0.png", True),
            ("sftp://a/run", "sftp://b/run/0.png", False),
        ],
    )
    def test_what_lies_elsewhere_is_looked_for_there(self, destination: str, url: str, is_own: object) -> None:
        """
        A picture that an earlier run has stored in another place.
        """
        storage = Storage(destination, {"key": "of the storage"})

        assert (storage if is_own else Storage(url)) == storage_of(storage, url)

    async def test_one_that_cannot_be_opened_is_told(self) -> None:
        """
        In one kind of error, whatever its library raises.
        """
        for options in ({"port": 1}, {"no_such_option": 1}):
            with pytest.raises(OSError, match="sftp://me@127.0.0.1/run cannot be opened"):
                await Storage("sftp://me@127.0.0.1/run", options).check()

    async def test_a_server_that_says_nothing(
        self, client: KlingClient, sftp: Sftp, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Is given up, and asked again.
        """
        monkeypatch.setattr(filesystems, "SFTP_TIMEOUT", 0.3)
        sftp.is_silent = True

        await client.save(await client.generate("a lighthouse"), as_storage(sftp), name="{index}{ext}")

        assert ["0.png"] == list(sftp.files())

    async def test_connections_that_nobody_has_are_closed(self, client: KlingClient, sftp: Sftp) -> None:
        sftp.troubles += ["refused"] * 3
        await client.save(await client.generate("a lighthouse", n=3), as_storage(sftp))
        before = len(sftp.connections)
        SFTPFileSystem.clear_instance_cache()
        async with asyncio.timeout(60):
            while sftp.connections:
                gc.collect()
                await asyncio.sleep(0.02)

        assert before > 0

    async def test_staging_folders_are_removed_from_folders_with_odd_names(self, sftp: Sftp) -> None:
        destination = attrs.evolve(cast("Storage", sftp.storage), url="sftp://me@127.0.0.1/run [1-2]*")
        left = sftp.folder / "run [1-2]*" / ".kling-m" / "0.part"
        left.parent.mkdir(parents=True)
        left.touch()

        await destination.remove_staging_dir(".kling-m")

        assert [left.parents[1]] == list(sftp.folder.iterdir())
        assert [] == list(left.parents[1].iterdir())

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
    def test_a_fork_has_threads_of_its_own(self) -> None:
        program = """
import asyncio, os
from kling_async.media.storage import Storage
asyncio.run(Storage("memory://x").size("memory://x/0.png"))
if (child := os.fork()) == 0:
    asyncio.run(Storage("memory://x").size("memory://x/0.png"))
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
        words = (sys.executable, "-W", "ignore", "-c", program)

        assert "7\n" == subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout

    @pytest.mark.parametrize("url", ["memory://", "memory:///", "memory://run/"])
    async def test_slashes_at_the_end(self, client: KlingClient, memory: Memory, url: str) -> None:
        result = await client.generate("a lighthouse")

        [place] = await client.save(result, Storage(url), name="0{ext}")

        assert ["run/0.png" if "run" in url else "0.png"] == [key.strip("/") for key in MemoryFileSystem.store]
        assert is_url(place)
        assert await drawn(client, result) == [await storage_of(Path(), place).read(place)]

    async def test_no_old_list_is_believed(self, bucket: Bucket) -> None:
        """
        fsspec caches the list that the program has requested, in the file system that both use.
        """
        storage = bucket.storage
        assert isinstance(storage, Storage)
        files, _ = await asyncio.to_thread(url_to_fs, storage.url, **copy.deepcopy(dict(storage.options)))
        other = bucket._files()
        await asyncio.to_thread(other.pipe_file, "bucket/run/0.png", b"old")
        await asyncio.to_thread(files.ls, "bucket/run")
        await asyncio.to_thread(other.pipe_file, "bucket/run/1.png", b"new")
        await asyncio.to_thread(other.rm_file, "bucket/run/0.png")

        assert files is (await storage._opened(storage.url)).files
        assert (None, 3) == (await storage.size(bucket.url_of("0.png")), await storage.size(bucket.url_of("1.png")))

    @pytest.mark.parametrize("times", [ATTEMPTS - 1, ATTEMPTS])
    async def test_what_breaks_is_asked_again(
        self, memory: Memory, monkeypatch: pytest.MonkeyPatch, times: int
    ) -> None:
        """
        Six times in all; then the error shows nothing that may be a signature.
        """
        storage = Storage("memory://pictures/run")
        MemoryFileSystem().pipe_file("/pictures/run/0.png", b"whole")
        broken = []

        def breaks(name: str) -> None:
            work = getattr(MemoryFileSystem, name)

            def breaking(files: MemoryFileSystem, *args: Any, **options: Any) -> Any:
                broken.append(name)
                if broken.count(name) <= times:
                    raise OSError(errno.EIO, "see https://host/0.png?signature=abc")
                return work(files, *args, **options)

            monkeypatch.setattr(MemoryFileSystem, name, breaking)

        breaks("info")
        breaks("cat_file")
        asked = (storage.size("memory://pictures/run/0.png"), storage.read("memory://pictures/run/0.png"))
        outcomes = await asyncio.gather(*asked, return_exceptions=True)

        assert (ATTEMPTS, ATTEMPTS) == (broken.count("info"), broken.count("cat_file"))
        if times < ATTEMPTS:
            assert (5, b"whole") == tuple(outcomes)
        else:
            assert [FetchRefused, FetchRefused] == [type(each) for each in outcomes]
            assert "signature" not in str(outcomes)


class TestBatch:
    async def test_rows_end_in_the_storage(
        self, client: KlingClient, server: Emulator, place: Place, tmp_path: Path
    ) -> None:
        async with Batch(tmp_path / "run.kling", client) as batch:
            await batch.add(["a lighthouse", "a fox", "a boat"])
            outcomes = await outcomes_of(batch, save_to=place.storage, name="{key}/{index}{ext}")
            recorded = [outcome async for outcome in batch.outcomes()]

        assert 3 == len(outcomes) == len(server.ledger.tasks)
        files = await asyncio.to_thread(place.files)
        assert 3 == len(files)
        for outcome in recorded:
            assert isinstance(outcome, Done)
            [picture] = outcome.files
            assert files[f"{outcome.key}/0.png"] == (await drawn(client, outcome.result))[0]
            assert picture.place in (place.url_of(f"{outcome.key}/0.png"), str(picture.path))

    async def test_the_next_run_stores_what_is_missing(
        self, client: KlingClient, server: Emulator, place: Place, tmp_path: Path
    ) -> None:
        place.last = "cut"
        async with Batch(tmp_path / "run.kling", client) as batch:
            await batch.add(["a lighthouse", "a fox"])
            failed = await outcomes_of(batch, save_to=place.storage)
        assert ["DownloadFailed"] * 2 == [type(each.error).__name__ for each in failed if isinstance(each, Failed)]
        assert {} == await asyncio.to_thread(place.files)

        place.last = None
        async with Batch(tmp_path / "run.kling", client) as batch:
            done = await outcomes_of(batch, save_to=place.storage)
            assert [] == await outcomes_of(batch, save_to=place.storage)

        assert 2 == len(done) == len(await asyncio.to_thread(place.files)) == len(server.ledger.tasks)

    async def test_what_was_lost_is_stored_again_alone(
        self, client: KlingClient, server: Emulator, place: Place, tmp_path: Path
    ) -> None:
        async with Batch(tmp_path / "run.kling", client) as batch:
            await batch.add(["a lighthouse", "a fox"])
            await outcomes_of(batch, save_to=place.storage)
            before = await asyncio.to_thread(place.files)
            fetched = server.ledger.downloads
            await asyncio.to_thread(place.remove, min(before))

            again = await outcomes_of(batch, save_to=place.storage)

        assert 1 == len(again) == server.ledger.downloads - fetched
        assert before == await asyncio.to_thread(place.files)
        assert 2 == len(server.ledger.tasks)

    async def test_an_unusable_storage_is_told_before_anything_is_sent(
        self, client: KlingClient, server: Emulator, tmp_path: Path
    ) -> None:
        async with Batch(tmp_path / "run.kling", client) as batch:
            await batch.add(["a lighthouse"])
            with pytest.raises(ValueError, match="nonsense"):
                await outcomes_of(batch, save_to="nonsense://x")

        assert 0 == len(server.ledger.tasks)
