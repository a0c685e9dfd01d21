"""
Storages for tests, and a service whose pictures go there: each storage is real, has its own faults, and shows its
content as other programs see it.
"""

import asyncio
import errno
import functools
import gc
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Protocol
from unittest import mock

import aiohttp
import asyncssh
import attrs
import pytest
from aiohttp import web
from botocore.loaders import JSONFileLoader  # type: ignore[import-untyped]
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.implementations.sftp import SFTPFileSystem
from moto.server import ThreadedMotoServer
from multidict import CIMultiDict
from s3fs import S3FileSystem

from kling_async import KlingClient, PollPolicy
from kling_async.emulator import Emulator
from kling_async.media.local import StagedFile
from kling_async.media.storage import TRIAL, Storage

EAGER: Final = PollPolicy(first_delay=0.02, max_delay=0.1)
KEYS: Final = {"key": "test", "secret": "not-so-secret"}


class Place(Protocol):
    """
    A storage under test.

    Attributes:
        troubles: What happens to the next uploads of files, in their order: "refused", "slow down", "cut",
            "lost answer" or "slow".
        last: What happens to all later ones; None is nothing.
    """

    troubles: list[str]
    last: str | None

    @property
    def storage(self) -> str | Storage: ...

    def files(self) -> dict[str, bytes]:
        """
        Return all that is in it, hidden or not, by names below its URL.
        """
        ...

    def url_of(self, name: str) -> str: ...

    def remove(self, name: str) -> None: ...


def as_storage(place: Place) -> Storage:
    return place.storage if isinstance(place.storage, Storage) else Storage(place.storage)


def next_trouble(place: Place) -> str | None:
    return place.troubles.pop(0) if place.troubles else place.last


# The service


@pytest.fixture
async def server() -> AsyncIterator[Emulator]:
    async with Emulator(latency=(0.02, 0.05), pictures="plain", picture_scale=0.05) as server:
        yield server


@pytest.fixture
async def client(server: Emulator) -> AsyncIterator[KlingClient]:
    async with KlingClient(server.api_key, base_url=server.url, dialect=server.dialect, polling=EAGER) as client:
        yield client


# Memory


@attrs.define(eq=False)
class Memory:
    """
    fsspec's own storage in memory, in which what is being written is seen at once.
    """

    storage: str | Storage = "memory://pictures/run"
    troubles: list[str] = attrs.field(factory=list)
    last: str | None = None
    seen: list[dict[str, bytes]] = attrs.field(factory=list)

    def files(self) -> dict[str, bytes]:
        found = {key: file.getvalue() for key, file in MemoryFileSystem.store.items()}
        return {key.removeprefix("/pictures/run/"): content for key, content in found.items()}

    def url_of(self, name: str) -> str:
        return f"memory://pictures/run/{name}"

    def remove(self, name: str) -> None:
        del MemoryFileSystem.store[f"/pictures/run/{name}"]


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Memory]:
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]
    place, put_file = Memory(), MemoryFileSystem.put_file
    lock = threading.Lock()

    def put(files: MemoryFileSystem, source: str, target: str, **options: Any) -> None:
        content = Path(source).read_bytes()
        with lock:
            trouble = next_trouble(place) if content != TRIAL else None
        match trouble:
            case "refused":
                raise OSError(errno.EIO, "the storage has a bad day")
            case "cut":
                files.pipe_file(target, content[: len(content) // 2])
                raise ConnectionResetError(errno.ECONNRESET, "cut")
            case "garbled":
                files.pipe_file(target, content[:-1] + bytes([content[-1] ^ 1]))
            case "full":
                raise OSError(errno.ENOSPC, "No space left on device")
            case _:
                put_file(files, source, target, **options)
        place.seen.append(place.files())
        if trouble == "slow":
            threading.Event().wait(0.3)
        if trouble == "lost answer":
            raise ConnectionResetError(errno.ECONNRESET, "cut")

    monkeypatch.setattr(MemoryFileSystem, "put_file", put)
    yield place
    MemoryFileSystem.store.clear()


# S3


@attrs.define(eq=False)
class Bucket:
    """
    A bucket of a server that speaks S3, behind a proxy that has the faults.

    Attributes:
        digests: Whether it states digests, as the service does for objects without a customer key.
        troubled: The methods that troubles apply to.
        asked: Method and path of each request.
    """

    direct: str
    storage: str | Storage = ""
    troubles: list[str] = attrs.field(factory=list)
    last: str | None = None
    digests: bool = True
    troubled: frozenset[str] = frozenset({"PUT"})
    asked: list[str] = attrs.field(factory=list)

    def _files(self) -> Any:
        return S3FileSystem(**KEYS, endpoint_url=self.direct, skip_instance_cache=False, use_listings_cache=False)

    def files(self) -> dict[str, bytes]:
        files = self._files()
        files.invalidate_cache()
        return {key.removeprefix("bucket/run/"): files.cat_file(key) for key in files.find("bucket")}

    def url_of(self, name: str) -> str:
        return f"s3://bucket/run/{name}"

    def remove(self, name: str) -> None:
        self._files().rm_file(f"bucket/run/{name}")

    async def pass_on(self, request: web.Request) -> web.StreamResponse:
        """
        Answer as the server does, or not.
        """
        self.asked.append(f"{request.method} {request.path}")
        is_trial = request.path.endswith(".check")
        trouble = next_trouble(self) if request.method in self.troubled and not is_trial else None
        assert request.transport is not None
        if trouble == "refused":
            await request.read()
            return web.Response(status=500, text="<Error><Code>InternalError</Code></Error>")
        if trouble == "slow down":
            await request.read()
            text = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
            return web.Response(status=503, text=text, content_type="application/xml")
        if trouble == "cut":
            await request.content.read(20)
            request.transport.abort()
            return web.Response()
        body = await request.read()
        if trouble == "slow":
            await asyncio.sleep(0.3)
        if trouble == "garbled":
            body = body.replace(b"IEND", b"IEMD")
        dropped = {"transfer-encoding"} if self.digests else {"transfer-encoding", "if-match"}
        headers = {name: value for name, value in request.headers.items() if name.lower() not in dropped}
        if trouble == "garbled":  # changed in transit, without its checksum
            headers = {name: value for name, value in headers.items() if "checksum" not in name.lower()}
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(request.method, self.direct + request.raw_path, data=body, headers=headers) as answer,
        ):
            content = await answer.read()
            if trouble == "lost answer":
                request.transport.abort()
            passed_on = CIMultiDict(
                (name, value) for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP
            )
            if not self.digests and "ETag" in passed_on:
                passed_on["ETag"] = '"0123456789abcdef0123456789abcdef"'
            if request.method == "HEAD":
                passed_on["Content-Length"] = answer.headers.get("Content-Length", "0")
            return web.Response(status=answer.status, body=content or None, headers=passed_on)


HOP_BY_HOP: Final = frozenset({"connection", "transfer-encoding", "content-length", "server", "date"})


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    # Each client would parse the same descriptions of the service again, which takes longer than most tests.
    load = functools.cache(functools.partial(JSONFileLoader.load_file, JSONFileLoader()))
    with mock.patch.object(JSONFileLoader, "load_file", lambda _, path: load(path)):
        yield f"http://{host}:{port}"
    server.stop()


@asynccontextmanager
async def bucket_at(direct: str) -> AsyncIterator[Bucket]:
    """
    A new bucket.
    """
    async with aiohttp.ClientSession() as session:
        async with session.post(direct + "/moto-api/reset"), session.put(direct + "/bucket"):
            pass
    bucket = Bucket(direct)
    runner = web.AppRunner(_app(bucket.pass_on), shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}"
    impatient = {"retries": {"max_attempts": 0}}  # each library below has tries of its own, with long pauses
    bucket.storage = Storage("s3://bucket/run", {**KEYS, "endpoint_url": endpoint, "config_kwargs": impatient})
    yield bucket
    await runner.cleanup()


def _app(handler: Callable[[web.Request], Any]) -> web.Application:
    app = web.Application(client_max_size=2**30)
    app.router.add_route("*", "/{path:.*}", handler)
    return app


@pytest.fixture
async def bucket(s3_server: str) -> AsyncIterator[Bucket]:
    async with bucket_at(s3_server) as bucket:
        yield bucket


# SFTP


@attrs.define(eq=False)
class Sftp:
    """
    A folder of a server that speaks SFTP, whose connections can be cut, and which can be silent to one question.
    """

    folder: Path
    storage: str | Storage = ""
    troubles: list[str] = attrs.field(factory=list)
    last: str | None = None
    connections: list[asyncssh.SSHServerConnection] = attrs.field(factory=list)
    is_silent: bool = False

    def files(self) -> dict[str, bytes]:
        paths = (path for path in self.folder.rglob("*") if path.is_file())
        return {path.relative_to(self.folder / "run").as_posix(): path.read_bytes() for path in paths}

    def url_of(self, name: str) -> str:
        return f"sftp://me@127.0.0.1/run/{name}"

    def remove(self, name: str) -> None:
        (self.folder / "run" / name).unlink()

    def cut(self) -> None:
        """
        End all connections.
        """
        while self.connections:
            self.connections.pop().abort()


class Door(asyncssh.SSHServer):
    """
    Lets in who knows the password.
    """

    def __init__(self, place: Sftp) -> None:
        self.place = place

    def connection_made(self, connection: asyncssh.SSHServerConnection) -> None:
        self.connection = connection
        self.place.connections.append(connection)

    def connection_lost(self, _: Exception | None) -> None:
        if self.connection in self.place.connections:
            self.place.connections.remove(self.connection)

    def begin_auth(self, username: str) -> bool:
        return username == "me"

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return password == "not-so-secret"


class Files(asyncssh.SFTPServer):
    """
    The folder, and what happens to writes into it.
    """

    def __init__(self, channel: "asyncssh.SSHServerChannel[bytes]", place: Sftp) -> None:
        super().__init__(channel, chroot=str(place.folder).encode())
        self.place = place

    def write(self, file: object, offset: int, data: bytes) -> Any:
        match next_trouble(self.place) if data != TRIAL else None:
            case "refused":
                raise asyncssh.SFTPFailure("the storage has a bad day")
            case "cut":
                super().write(file, offset, data[: len(data) // 2])
                self.place.cut()
        return super().write(file, offset, data)

    def stat(self, path: bytes) -> Any:
        if self.place.is_silent:
            self.place.is_silent = False
            return asyncio.sleep(3600)
        return super().stat(path)


@asynccontextmanager
async def sftp_at(folder: Path) -> AsyncIterator[Sftp]:
    """
    A server for *folder*.
    """
    place = Sftp(folder)
    folder.mkdir()
    key = asyncssh.generate_private_key("ssh-ed25519")
    server = await asyncssh.create_server(
        *(lambda: Door(place), "127.0.0.1", 0),
        server_host_keys=[key],
        sftp_factory=lambda channel: Files(channel, place),
    )
    port = server.sockets[0].getsockname()[1]
    options = {"port": port, "password": "not-so-secret", "allow_agent": False, "look_for_keys": False}
    place.storage = Storage("sftp://me@127.0.0.1/run", options)
    yield place
    SFTPFileSystem.clear_instance_cache()
    place.cut()
    server.close()
    await server.wait_closed()


@pytest.fixture
async def sftp(tmp_path: Path) -> AsyncIterator[Sftp]:
    async with sftp_at(tmp_path / "served") as sftp:
        yield sftp


# A folder


@attrs.define(eq=False)
class Folder:
    """
    A folder of this machine, given as a URL.
    """

    folder: Path
    troubles: list[str] = attrs.field(factory=list)
    last: str | None = None

    @property
    def storage(self) -> str:
        return self.folder.as_uri()

    def files(self) -> dict[str, bytes]:
        paths = (path for path in self.folder.rglob("*") if path.is_file())
        return {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in paths}

    def url_of(self, name: str) -> str:
        return (self.folder / name).as_uri()

    def remove(self, name: str) -> None:
        (self.folder / name).unlink()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    place, commit = Folder(tmp_path / "folder"), StagedFile.commit

    def commit_with_trouble(part: StagedFile) -> None:
        match next_trouble(place):
            case None | "slow" | "lost answer":
                commit(part)
            case "full":
                raise OSError(errno.ENOSPC, "No space left on device")
            case _:
                raise OSError(errno.EIO, "the disk has a bad day")

    monkeypatch.setattr(StagedFile, "commit", commit_with_trouble)
    return place


def temp_dir() -> list[Path]:
    """
    Return the temporary files that are left of uploads.
    """
    return sorted(Path(tempfile.gettempdir()).glob("kling-*"))


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """
    Retries follow at once, and no temporary file is left.
    """
    monkeypatch.setattr("kling_async.media.storage.FIRST_DELAY", 0.001)
    folder_of_temp_files = tmp_path / "temporary"
    folder_of_temp_files.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder_of_temp_files))
    yield
    if temp_dir():
        gc.collect()  # it is dear: the servers have many objects
    assert [] == temp_dir()
