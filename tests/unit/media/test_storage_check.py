"""
What a storage can do is found out by doing it; chains of storages; and how many requests one picture may take.
"""

import asyncio
import errno
import logging
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import attrs
import fsspec
import pytest
from aiohttp import web
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from s3fs import S3FileSystem

from kling_async import Batch, Done, KlingClient
from kling_async.emulator import Emulator
from kling_async.errors import DownloadFailed
from kling_async.media import filesystems, storage as storage_module
from kling_async.media.fetch_errors import FetchRefused
from kling_async.media.filesystems import ATTEMPTS, ATTEMPTS_AROUND_RETRIES
from kling_async.media.naming import NameTemplate
from kling_async.media.storage import Storage
from kling_async.wire.tasks import Image
from tests.fakes.storages import (  # noqa: F401
    KEYS,
    Bucket,
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

ODD_NAME = "am #1, [100%] für/{index}{ext}"


@pytest.fixture(params=["memory", "bucket", "sftp"])
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.getfixturevalue(request.param)
    return found


@attrs.define(eq=False)
class Stream:
    """
    A picture that has come from the service.
    """

    content: bytes = b"picture " * 4096
    ext: str = ".png"
    is_read: bool = False

    async def read(self) -> bytes:
        content, self.content = self.content, b""
        return content


async def store(storage: Storage, name: str = "0.png") -> str:
    names = NameTemplate(name, "t")
    stored = await storage.write(names, Image(0, ""), Stream())  # type: ignore[arg-type]
    assert stored.url is not None
    return stored.url


@pytest.fixture
async def web_server() -> AsyncIterator[str]:
    """
    A server that stores what is posted to it, and can do nothing else with a file.
    """
    stored: dict[str, bytes] = {}

    async def answer(request: web.Request) -> web.Response:
        if request.method == "POST":
            stored[request.path] = await request.read()
        if request.path not in stored:
            raise web.HTTPNotFound
        return web.Response(body=stored[request.path])

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


class TestCheck:
    async def test_it_stores_a_file_and_leaves_nothing(self, place: Place) -> None:
        await as_storage(place).check()

        assert {} == await asyncio.to_thread(place.files)

    async def test_opening_alone_writes_nothing(self, bucket: Bucket) -> None:
        await as_storage(bucket).check(writes=False)

        assert [] == bucket.asked

    async def test_a_server_that_cannot_rename_is_refused(self, web_server: str) -> None:
        with pytest.raises(ValueError, match="neither be put whole nor renamed"):
            await Storage(f"{web_server}/pictures").check()

    async def test_a_folder_that_may_not_be_written_is_refused(
        self, client: KlingClient, server: Emulator, sftp: Sftp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Before anything is sent that costs money.
        """
        monkeypatch.setattr(storage_module, "TRIAL", b"what the fixture does not spare")
        sftp.last = "refused"
        async with Batch(tmp_path / "run.kling", client) as batch:
            await batch.add(["a lighthouse"])
            with pytest.raises(OSError, match="a small file could not be stored there"):
                async for _ in batch.run(sftp.storage):
                    pass

        assert 0 == server.ledger.creates_received
        assert {} == sftp.files()

    async def test_a_trial_that_cannot_be_removed_is_logged(
        self, memory: Memory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A storage that forbids removing is not refused.
        """

        def rm_file(_: MemoryFileSystem, path: str) -> None:
            if not path.endswith(".part"):
                raise PermissionError(errno.EACCES, "locked for a year")

        with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
            patch.setattr(MemoryFileSystem, "rm_file", rm_file)
            patch.setattr(MemoryFileSystem, "mv", lambda _, source, target: _renamed(source, target))
            await as_storage(memory).check()

        assert "locked for a year" in caplog.text
        assert 1 == len(memory.files())

    @pytest.mark.parametrize("turns", [0, 1, 3, 10, 30, 100])
    async def test_cancelling_removes_the_file(self, memory: Memory, turns: int) -> None:
        aio_task = asyncio.ensure_future(as_storage(memory).check())
        for _ in range(turns):
            await asyncio.sleep(0.0002)

        aio_task.cancel()
        await asyncio.wait([aio_task])

        assert {} == memory.files()

    async def test_cancelling_while_the_file_is_removed(self, memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        The removal goes on.
        """
        remove = Storage._remove_trial

        async def cancel_and_remove(storage: Storage, url: str) -> None:
            aio_task.cancel()
            await remove(storage, url)

        monkeypatch.setattr(Storage, "_remove_trial", cancel_and_remove)
        aio_task = asyncio.ensure_future(as_storage(memory).check())
        await asyncio.wait([aio_task])

        assert aio_task.cancelled()
        assert {} == memory.files()

    async def test_no_room_for_the_file_itself(
        self, memory: Memory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """
        Neither here nor there.
        """
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))

        with pytest.raises(OSError, match="on its way to the storage, could not be written"):
            await as_storage(memory).check()

    async def test_a_rename_of_a_file_system_s_own_is_used(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        One that is made for loops may have its own `_mv` and fsspec's `mv`, as sshfs has: what it can do counts, and
        not what its class looks like. Copying would show pictures half written.
        """
        monkeypatch.setattr(AsyncFileSystemWrapper, "cachable", True)
        copied: list[str] = []
        copy = LocalFileSystem.cp_file

        def cp_file(files: LocalFileSystem, source: str, target: str, **options: Any) -> None:
            copied.append(Path(target).suffix)
            copy(files, source, target, **options)

        monkeypatch.setattr(LocalFileSystem, "cp_file", cp_file)
        storage = Storage(f"asyncwrapper::{(tmp_path / 'destination').as_uri()}")

        await storage.check()
        url = await store(storage)

        assert (None, 32768) == (await storage.size(url + "x"), await storage.size(url))
        assert {".part"} == set(copied)  # what `put_file` does
        assert ["0.png"] == [path.name for path in (tmp_path / "destination").iterdir()]


def _renamed(source: str, target: str) -> None:
    MemoryFileSystem.store[target] = MemoryFileSystem.store.pop(source)


Chain = Callable[[Path], str]


class TestChains:
    @pytest.mark.parametrize(
        "chain",
        [
            "simplecache::memory://base/run",
            "filecache::memory://base/run/",
            "dir://run::memory://base",
            "dir://run/7::file://{folder}",
            "simplecache::file://{folder}/run",
            "simplecache::dir://run::memory://base",
            "dir://run::simplecache::memory://base",
            "simplecache::memory://",
        ],
    )
    async def test_urls_lead_to_their_pictures(
        self, client: KlingClient, memory: Memory, tmp_path: Path, chain: str
    ) -> None:
        """
        For fsspec itself, for the storage, and for one that knows nothing but the URL.
        """
        storage = Storage(chain.format(folder=tmp_path / "folder"))
        result = await client.generate("a lighthouse", n=2)
        pictures = [await client.read(image) for image in result.images]

        await storage.check()
        urls = await client.save(result, storage, name=ODD_NAME)

        opened = [await asyncio.to_thread(_content_at, url) for url in urls]
        assert pictures == opened
        assert pictures == [await storage.read(url) for url in urls] == [await Storage(url).read(url) for url in urls]
        assert all(storage.has(url) for url in urls)

    @pytest.mark.parametrize(
        "chain", ["simplecache::s3://bucket/run", "dir://run::s3://bucket", "filecache::s3://bucket"]
    )
    async def test_a_bucket_behind_a_cache(
        self, client: KlingClient, server: Emulator, bucket: Bucket, tmp_path: Path, chain: str
    ) -> None:
        """
        Its pictures are whole when they are seen, and the next run finds them: asking it, not the cache.
        """
        options = {"s3": dict(as_storage(bucket).options)}
        destination = Storage(chain, options)
        for expected in (2, 0):
            async with Batch(tmp_path / "run.kling", client) as batch:
                await batch.add(["a lighthouse", "a fox"])
                done = [outcome async for outcome in batch.run(destination, name="{key}{ext}")]
                assert expected == len(done) == sum(isinstance(each, Done) for each in done)

        async with Batch(tmp_path / "run.kling", client) as batch:
            stored = [picture async for each in batch.outcomes() if isinstance(each, Done) for picture in each.files]
        urls = [picture.url for picture in stored if picture.url is not None]
        sizes = [len(await asyncio.to_thread(_content_at, url, **options)) for url in urls]
        assert [picture.size_in_bytes for picture in stored] == sizes
        assert 2 == len(sizes) == server.ledger.downloads
        assert not any(".part" in asked or "COPY" in asked for asked in bucket.asked)

    async def test_no_cache_is_believed(self, memory: Memory) -> None:
        """
        A picture that was replaced is read as it is now.
        """
        storage = Storage("simplecache::memory://pictures/run")
        url = await store(storage)
        await asyncio.to_thread(_content_at, url)  # by a program, through the cache
        MemoryFileSystem().pipe_file("/pictures/run/0.png", b"another")

        assert (b"another", 7) == (await storage.read(url), await storage.size(url))

    async def test_a_url_that_leads_elsewhere_is_refused(self, memory: Memory) -> None:
        """
        Here fsspec takes the folder of the file for the root, and the path once more below it.
        """
        with pytest.raises(ValueError, match="which leads elsewhere; give the first part of the chain"):
            await Storage("dir::memory://a/b").check()

        assert {} == memory.files()

    @pytest.mark.parametrize(
        ("destination", "url", "is_own"),
        [
            ("simplecache::s3://a/run", "simplecache::s3://b/0.png", True),
            ("simplecache::s3://a/run", "s3://a/run/0.png", False),
            ("dir://run::memory://a", "dir://other/0.png::memory://a", True),
            ("dir://run::memory://a", "dir://run/0.png::memory://b", False),
            ("dir://run::sftp://a", "dir://run/0.png::sftp://b", False),
        ],
    )
    def test_options_go_to_their_own_chain(self, destination: str, url: str, is_own: object) -> None:
        assert is_own is Storage(destination).has(url)


def _content_at(url: str, **options: Any) -> bytes:
    with fsspec.open(url, **options) as file:
        content: bytes = file.read()
    return content


class TestTries:
    @pytest.fixture
    def patient(self, bucket: Bucket) -> Storage:
        """
        A bucket with the options that a program would give.
        """
        return Storage("s3://bucket/run", {**KEYS, "endpoint_url": as_storage(bucket).options["endpoint_url"]})

    @pytest.mark.parametrize(("trouble", "times"), [("slow down", 1), ("refused", 1), ("cut", 2)])
    async def test_one_picture_is_sent_a_known_number_of_times(
        self, client: KlingClient, bucket: Bucket, patient: Storage, trouble: str, times: int
    ) -> None:
        """
        Twice as often where connections break: aiohttp, below s3fs, repeats a PUT by itself.
        """
        bucket.last = trouble

        with pytest.raises(DownloadFailed):
            await client.save(await client.generate("a lighthouse"), patient)

        assert {"PUT": times * ATTEMPTS} == _methods(bucket)

    async def test_it_goes_on_where_the_bucket_is_well_again(
        self, client: KlingClient, bucket: Bucket, patient: Storage
    ) -> None:
        bucket.troubles += ["slow down"] * (ATTEMPTS - 1)

        await client.save(await client.generate("a lighthouse"), patient)

        assert {"PUT": ATTEMPTS, "HEAD": 1} == _methods(bucket)

    @pytest.mark.parametrize(("method", "asks"), [("HEAD", Storage.size), ("GET", Storage.read)])
    async def test_queries_are_retried_a_limited_number_of_times(
        self, bucket: Bucket, patient: Storage, method: str, asks: Callable[[Storage, str], Any]
    ) -> None:
        url = await store(patient)
        bucket.asked.clear()
        bucket.troubled, bucket.last = frozenset({method}), "slow down"

        with pytest.raises(FetchRefused):
            await asks(patient, url)

        assert ATTEMPTS == _methods(bucket)[method]

    async def test_a_bucket_of_a_chain(self, bucket: Bucket, patient: Storage) -> None:
        bucket.last = "slow down"
        chained = Storage("simplecache::s3://bucket/run", {"s3": dict(patient.options)})

        with pytest.raises(FetchRefused):
            await store(chained)

        assert {"PUT": ATTEMPTS} == _methods(bucket)

    async def test_what_the_program_asks_for_is_left_alone(self, bucket: Bucket, patient: Storage) -> None:
        """
        Its own file system with these options, and tries that it wants of botocore.
        """
        bucket.last = "slow down"
        await patient.check()
        chosen = attrs.evolve(patient, options={**patient.options, "config_kwargs": {"retries": {"max_attempts": 1}}})

        with pytest.raises(FetchRefused):
            await store(chosen)

        assert 2 * ATTEMPTS == _methods(bucket)["PUT"] - 1
        assert S3FileSystem.retries == S3FileSystem(**patient.options).retries > 1

    @pytest.mark.parametrize(
        ("url", "attempts"),
        [("gs://a", ATTEMPTS_AROUND_RETRIES), ("dir://x::az://a", ATTEMPTS_AROUND_RETRIES), ("sftp://a", ATTEMPTS)],
    )
    def test_libraries_that_cannot_be_told_to_try_once(self, url: str, attempts: int) -> None:
        assert attempts == filesystems.attempts_at(url)


def _methods(bucket: Bucket) -> Counter[str]:
    return Counter(asked.partition(" ")[0] for asked in bucket.asked)
