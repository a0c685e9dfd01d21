"""
Downloads that break: the rest is requested, from the emulator and from servers that others have written.
"""

import asyncio
import contextlib
import functools
import hashlib
import http.server
import json
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
from aiohttp import web
from starlette.applications import Starlette
from starlette.responses import FileResponse
from starlette.routing import Route

from kling_async import OFFICIAL, KlingClient
from kling_async.emulator import Emulator, faults
from tests.fakes.asgi_server import served_by_uvicorn
from tests.fakes.saving_program import result_of
from tests.fakes.subprocesses import program
from tests.unit.media.sounds import box

MIB: Final = 1024 * 1024
BUFFERED: Final = 512 * 1024
"""
Bytes that may be fetched twice: those that had reached this machine, but not the program, when the connection broke.
"""


def video(size: int, letter: bytes) -> bytes:
    head = box(b"ftyp", b"isom" + bytes(4)) + box(b"moov", bytes(100))
    return head + box(b"mdat", letter * (size - len(head) - 8))


@contextlib.asynccontextmanager
async def quick_client(url: str, key: str = "sk-1") -> AsyncIterator[KlingClient]:
    """
    Open a client that does not wait long before it requests a file again.
    """
    async with KlingClient(key, base_url=url, dialect=OFFICIAL) as client:
        (await client.core.files.downloads())._first_delay = 0.01
        yield client


# The emulator


@pytest.mark.parametrize(
    ("rules", "answers"),
    [
        ([faults.truncated("download", 0.6, times=1)], {200: 1, 206: 1}),
        ([faults.truncated("download", 0.6, times=3)], {200: 1, 206: 3}),
        ([faults.truncated("download", 0.6, times=1), faults.other_version(after=1)], {200: 2, 412: 1}),
        ([faults.truncated("download", 0.6, times=1), faults.no_ranges()], {200: 2}),
        ([faults.truncated("download", 0.6, times=1), faults.expired_url(after=1, times=1)], {200: 1, 403: 1, 206: 1}),
    ],
    ids=["cut", "cut three times", "changed", "ranges are ignored", "expired"],
)
async def test_emulated_faults(tmp_path: Path, rules: list[Any], answers: dict[int, int]) -> None:
    """
    The file is whole and of one version, and only what must be is requested again.
    """
    async with Emulator(
        latency=(0.01, 0.01), pictures="plain", picture_scale=0.5, faults=rules, dialect=OFFICIAL
    ) as server:
        async with quick_client(server.url, server.api_key) as client:
            result = await client.generate("a fox in the snow")
            (path,) = await client.save(result, tmp_path)
            again = await client.read((await client.get(result.task_id)).task_result.images[0])

        assert path.read_bytes() == again
        told = {status: count for (route, status), count in server.ledger.answers.items() if route == "download"}
        assert {**answers, 200: answers[200] + 1} == told
        assert [path] == list(tmp_path.iterdir())


# Servers of others, behind a proxy that cuts the first answer


@attrs.define(eq=False)
class CuttingProxy:
    """
    Passes connections on to a server, and cuts the first answer after some bytes; counts those of all answers.
    """

    port: int
    cut_after: int
    on_cut: Callable[[], object] = lambda: None
    passed: list[int] = attrs.field(factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.port)
        number = len(self.passed)
        self.passed.append(0)
        try:
            asked = asyncio.ensure_future(self._pass_on(reader, server_writer))
            await self._answer(server_reader, writer, number)
            asked.cancel()
            await asyncio.wait([asked])
        finally:
            for each in (server_writer, writer):
                each.close()
                with contextlib.suppress(ConnectionError):
                    await each.wait_closed()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(65536):
                writer.write(piece)
        writer.close()  # the client has left

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(65536):
                left = self.cut_after - self.passed[number] if number == 0 else len(piece)
                writer.write(piece[:left])
                await writer.drain()
                self.passed[number] += len(piece[:left])
                if left < len(piece):
                    self.on_cut()
                    return


@contextlib.asynccontextmanager
async def aiohttp_files(folder: Path) -> AsyncIterator[int]:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.FileResponse(folder / request.path.strip("/"))

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


@contextlib.asynccontextmanager
async def starlette_files(folder: Path) -> AsyncIterator[int]:
    async def answer(request: Any) -> FileResponse:
        return FileResponse(folder / request.path_params["name"])

    async with served_by_uvicorn(Starlette(routes=[Route("/{name}", answer)]), path="") as url:
        yield int(url.rpartition(":")[2])


@contextlib.asynccontextmanager
async def standard_files(folder: Path) -> AsyncIterator[int]:
    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def copyfile(self, *files: Any) -> None:
            with contextlib.suppress(ConnectionError):
                super().copyfile(*files)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.server_port
    await asyncio.to_thread(server.shutdown)
    server.server_close()
    thread.join()


@pytest.mark.parametrize("is_changed", [False, True], ids=["unchanged", "changed"])
@pytest.mark.parametrize(
    ("files", "resumes"), [(aiohttp_files, True), (starlette_files, True), (standard_files, False)]
)
async def test_servers_of_others(
    tmp_path: Path,
    files: Callable[[Path], AbstractAsyncContextManager[int]],
    resumes: bool,  # noqa: FBT001
    is_changed: bool,  # noqa: FBT001
) -> None:
    """
    Whatever of HTTP a server implements, a video that was cut at 60 % is whole and of one version in the end. Where
    ranges work and the file is the same, the first 60 % are not fetched again.
    """
    size = 4 * MIB
    (tmp_path / "a.mp4").write_bytes(video(size, b"a"))
    os.utime(tmp_path / "a.mp4", (1.7e9, 1.7e9))

    def change() -> None:
        (tmp_path / "b.mp4").write_bytes(video(size, b"b"))
        if is_changed:
            (tmp_path / "b.mp4").replace(tmp_path / "a.mp4")

    async with files(tmp_path) as port:
        proxy = CuttingProxy(port, size * 6 // 10, change)
        listener = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
        async with listener:
            url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
            async with quick_client(url) as client:
                (path,) = await client.save(result_of(f"{url}/a.mp4"), tmp_path / "out")

    assert path.read_bytes() == video(size, b"b" if is_changed else b"a")
    assert size * 6 // 10 == proxy.passed[0]
    expected = size * 4 // 10 if resumes and not is_changed else size
    assert expected <= sum(proxy.passed[1:]) <= expected + BUFFERED


# A large video


@attrs.define(eq=False)
class VideoServer:
    """
    Serves a video of any size that is in no memory, and cuts the first answer at 60 %.
    """

    size: int
    served: list[tuple[int, int]] = attrs.field(factory=list)
    _head: bytes = attrs.field(init=False)
    _block: bytes = attrs.field(factory=lambda: os.urandom(MIB), init=False)

    def __attrs_post_init__(self) -> None:
        head = box(b"ftyp", b"isom" + bytes(4)) + box(b"moov", bytes(100))
        self._head = head + (self.size - len(head)).to_bytes(4) + b"mdat"

    def content(self, start: int, end: int) -> bytes:
        if start < len(self._head):
            return self._head[start:end] + self.content(len(self._head), end)
        at = start % MIB
        return self._block[at : at + end - start]

    def pieces(self, start: int, end: int) -> list[tuple[int, int]]:
        edges = [start, *range((start // MIB + 1) * MIB, end, MIB), end]
        return [(edges[number], edges[number + 1]) for number in range(len(edges) - 1)]

    def digest(self) -> str:
        digest = hashlib.sha256()
        for piece in self.pieces(0, self.size):
            digest.update(self.content(*piece))
        return digest.hexdigest()

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/small":
            return web.Response(body=video(1000, b"a"))
        assert request.headers.get("If-Range", '"v1"') == request.headers.get("If-Match", '"v1"') == '"v1"'
        start = request.http_range.start or 0
        response = web.StreamResponse(status=206 if start else 200, headers={"ETag": '"v1"'})
        if start:
            response.headers["Content-Range"] = f"bytes {start}-{self.size - 1}/{self.size}"
        response.content_length = self.size - start
        await response.prepare(request)
        end = self.size if start else self.size * 6 // 10
        self.served.append((start, end))
        for piece in self.pieces(start, end):
            await response.write(self.content(*piece))
        assert request.transport is not None
        if end < self.size:
            request.transport.close()
        return response


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured by /proc")
@pytest.mark.parametrize("mib", [48, pytest.param(300, marks=pytest.mark.thorough)])
async def test_large_video_takes_little_memory(tmp_path: Path, zygote: dict[str, str], mib: int) -> None:
    """
    A video of hundreds of MiB that breaks at 60 % is saved with less than 30 MiB of memory; the rest is fetched once.
    """
    server = VideoServer(mib * MIB)
    runner = web.ServerRunner(web.Server(server.answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with program("tests.fakes.saving_program", url, f"{url}/a", str(tmp_path), zygote=zygote) as process:
        out, err = await process.communicate()
    await runner.cleanup()

    assert (0, b"") == (process.returncode, err)
    told = json.loads(out)
    assert server.digest() == told["sha256"]
    ((_, cut), (start, end)) = server.served
    assert cut - BUFFERED <= start <= cut
    assert server.size == end
    assert told["kib"] < 30 * 1024
