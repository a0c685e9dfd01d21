"""
Pictures to disk, never half: against real servers on loopback and real files.
"""

import asyncio
import base64
import contextlib
import errno
import gzip
import hashlib
import io
import itertools
import os
import pickle
import random
import re
import socket
import stat
import threading
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, quote_from_bytes

import attrs
import PIL.Image
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from kling_async.errors import DownloadFailed, StorageFull, TaskNotFound
from kling_async.media import local, storage_uploads
from kling_async.media.downloads import Downloads
from kling_async.media.fetch_errors import FetchError, FetchRefused
from kling_async.media.naming import NameTemplate
from kling_async.media.network import AllowedHosts, CheckedResolver, networks_of
from kling_async.media.saved_files import SavedFile
from kling_async.media.saving import save_remotely
from kling_async.media.storage import Storage
from kling_async.media.streams import FileStream
from kling_async.policy.host_networks import Network
from kling_async.policy.http import HttpOptions
from kling_async.wire.tasks import Audio, File, Image, TaskResult, TaskSnapshot, TaskStatus, Video
from tests.fakes.simulated_loop import simulated
from tests.unit.media.sounds import mp3, mp4, wav


def drawn(kind: str = "png", size: tuple[int, int] = (200, 100)) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.effect_noise(size, 50).save(buffer, kind)
    return buffer.getvalue()


PNG, OTHER_PNG = drawn(), drawn()
BY_EXT = {".png": PNG, ".jpg": drawn("jpeg"), ".webp": drawn("webp"), ".gif": drawn("gif")}
NAME = "{task_id}-{index}{ext}"


# A server of files

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@attrs.define(eq=False)
class FileServer:
    """
    A server that has a list of answers for each path: it gives one after the other, and the last one for ever.
    """

    base: str = ""
    asked: list[web.BaseRequest] = attrs.field(factory=list)
    answers: dict[str, list[Answer]] = attrs.field(factory=dict)
    closing: asyncio.Event = attrs.field(factory=asyncio.Event)

    def serve(self, path: str, *answers: Answer) -> str:
        self.answers[path] = list(answers)
        return self.base + path

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(request)
        answers = self.answers.get(request.path, [status(404)])
        return await (answers.pop(0) if len(answers) > 1 else answers[0])(request)

    @property
    def paths(self) -> list[str]:
        return [request.path for request in self.asked]


def picture(content: bytes = PNG, **headers: str) -> Answer:
    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=content, headers={name.replace("_", "-"): value for name, value in headers.items()})

    return answer


def status(number: int, **headers: str) -> Answer:
    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=number, headers={name.replace("_", "-"): value for name, value in headers.items()})

    return answer


def moved(url: str, body: bytes = b"") -> Answer:
    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": url}, body=body)

    return answer


def page(_: web.BaseRequest) -> Awaitable[web.StreamResponse]:
    return picture(b"<html>Sorry, too many pictures</html>", content_type="text/html")(_)


def cut(content: bytes = PNG, *, at: int = 5000, reset: bool = False) -> Answer:
    """
    Announce all of *content*, send it up to *at*, then hang up.
    """

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = len(content)
        await response.prepare(request)
        await response.write(content[:at])
        assert request.transport is not None
        if reset:
            request.transport.abort()
        else:
            request.transport.close()
        return response

    return answer


def chunked(content: bytes = PNG, *, at: int | None = None) -> Answer:
    """
    Send *content* in chunks without a length, or hang up in the middle.
    """

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for start in range(0, len(content), 4096):
            await response.write(content[start : start + 4096])
            if at is not None and start >= at:
                assert request.transport is not None
                request.transport.close()
                break
        return response

    return answer


@pytest.fixture
async def server() -> AsyncIterator[FileServer]:
    server = FileServer()
    runner = web.ServerRunner(web.Server(server.answer), shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    server.closing.set()
    await runner.cleanup()


@pytest.fixture
async def downloads() -> AsyncIterator[Downloads]:
    downloads = quick()
    yield downloads
    await downloads.aclose()


HERE = frozenset({Network.LOOPBACK})


def quick(http: HttpOptions = HttpOptions(), *, networks: frozenset[Network] = HERE, **options: Any) -> Downloads:  # noqa: B008
    return Downloads(http, networks=networks, first_delay=0.001, **options)


async def unlengthed(content: bytes) -> tuple[asyncio.Server, str]:
    """
    Serve *content* as the oldest servers do: its end is where the connection ends.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: image/png\r\n\r\n" + content)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/old"


# Tasks and what is asked of them


def done(*urls: str, task_id: str = "t1") -> TaskResult:
    images = tuple(Image(index, url) for index, url in enumerate(urls))
    return TaskResult(task_id, images, TaskSnapshot(task_id=task_id, task_status=TaskStatus.SUCCEEDED))


async def never() -> TaskResult:
    raise AssertionError("there was no reason to read the task again")


@attrs.define(eq=False)
class Refresh:
    """
    Give a task's fresh result, and count.
    """

    result: TaskResult | Exception
    count: int = 0

    async def __call__(self) -> TaskResult:
        self.count += 1
        await asyncio.sleep(0)
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def save_all(
    downloads: Downloads,
    result: TaskResult,
    folder: Path,
    *,
    name: str = NAME,
    refresh: Callable[[], Awaitable[TaskResult]] = never,
) -> list[Path]:
    """
    Save in a folder and return the paths; raise the outcome's error.
    """
    outcome = await downloads.save(result, folder, NameTemplate(name, result.task_id), refresh=refresh)
    if outcome.error is not None:
        raise outcome.error
    return [file.path for file in outcome.files if file.path is not None]


async def failure(downloads: Downloads, url: str) -> str:
    with pytest.raises(DownloadFailed) as caught:
        await downloads.read(Image(3, url))

    assert caught.value.index == 3
    assert "sig" not in str(caught.value)
    return str(caught.value)


def connections(downloads: Downloads) -> int:
    """
    Count those in use.
    """
    assert downloads._session is not None
    assert downloads._session.connector is not None
    return len(downloads._session.connector._acquired)


class TestSaving:
    async def test_pictures_lie_in_their_order(self, server: FileServer, downloads: Downloads, tmp_path: Path) -> None:
        """
        All pictures are saved under the template's names, with the extension of their content; the folder is made.
        """
        urls = [server.serve(f"/{ext[1:]}", picture(content)) for ext, content in BY_EXT.items()]

        paths = await save_all(downloads, done(*urls), tmp_path / "a" / "b")

        assert [tmp_path / "a" / "b" / f"t1-{index}{ext}" for index, ext in enumerate(BY_EXT)] == paths
        assert [*BY_EXT.values()] == [path.read_bytes() for path in paths]
        assert len(files(tmp_path)) == 4

    async def test_sizes_and_digests_are_told(self, server: FileServer, downloads: Downloads, tmp_path: Path) -> None:
        """
        Of each picture that is saved its index, path, size and SHA-256 are known; of the others the reason.
        """
        urls = server.serve("/0", picture(OTHER_PNG)), server.serve("/1", page), server.serve("/2", picture())
        names = NameTemplate("{key}-{index}{ext}", "t1", "order-17")

        outcome = await downloads.save(done(*urls), tmp_path, names, refresh=never)

        assert isinstance(outcome.error, DownloadFailed)
        assert (1, "t1") == (outcome.error.index, outcome.error.task_id)
        assert [
            SavedFile(index, tmp_path / f"order-17-{index}.png", len(content), hashlib.sha256(content).hexdigest())
            for index, content in ((0, OTHER_PNG), (2, PNG))
        ] == [*outcome.files]
        assert {Path(picture.place).name: picture.sha256 for picture in outcome.files} == {
            name: hashlib.sha256(content).hexdigest() for name, content in files(tmp_path).items()
        }

    async def test_what_is_there_is_not_fetched(self, server: FileServer, downloads: Downloads, tmp_path: Path) -> None:
        """
        Skipped files are neither requested nor reported.
        """
        urls = [server.serve(f"/{index}", picture()) for index in range(3)]

        skip = {("image", 0), ("image", 2)}
        outcome = await downloads.save(done(*urls), tmp_path, NameTemplate(NAME, "t1"), refresh=never, skip=skip)

        assert ["/1"] == server.paths
        assert [1] == [picture.index for picture in outcome.files]
        assert outcome.error is None

    async def test_names_are_judged_before_anything_is_fetched(
        self, server: FileServer, downloads: Downloads, tmp_path: Path
    ) -> None:
        """
        Equal names are refused, those of pictures that are there already included.
        """
        urls = [server.serve(f"/{index}", picture()) for index in range(2)]

        with pytest.raises(ValueError, match="gives two files one name"):
            await downloads.save(
                done(*urls), tmp_path, NameTemplate("{task_id}{ext}", "t1"), refresh=never, skip={("image", 0)}
            )

        assert [] == server.paths

    async def test_readable_by_others(self, server: FileServer, downloads: Downloads, tmp_path: Path) -> None:
        """
        A saved picture has the rights of any new file, not the narrow ones of a temporary file.
        """
        (tmp_path / "plain").touch()

        (path,) = await save_all(downloads, done(server.serve("/a", picture())), tmp_path)

        assert (tmp_path / "plain").stat().st_mode == path.stat().st_mode

    async def test_old_file_stays_whole_until_the_end(
        self, server: FileServer, downloads: Downloads, tmp_path: Path
    ) -> None:
        """
        An older file is replaced in one step, when the new one is complete.
        """
        target = tmp_path / "t1-0.png"
        target.write_bytes(OTHER_PNG)
        content, half = PNG + bytes(2 * local.WRITTEN_AT_ONCE), local.WRITTEN_AT_ONCE + 1
        half_sent, go_on = asyncio.Event(), asyncio.Event()

        async def slowly(request: web.BaseRequest) -> web.StreamResponse:
            response = web.StreamResponse()
            response.content_length = len(content)
            await response.prepare(request)
            await response.write(content[:half])
            half_sent.set()
            await go_on.wait()
            await response.write(content[half:])
            return response

        saving = asyncio.ensure_future(save_all(downloads, done(server.serve("/a", slowly)), tmp_path))
        await half_sent.wait()
        while len(files(tmp_path)) < 2:
            await asyncio.sleep(0.001)

        assert target.read_bytes() == OTHER_PNG
        (part,) = (name for name in files(tmp_path) if name != "t1-0.png")
        assert part.startswith(".t1-0.png.")
        assert part.endswith(".part")

        go_on.set()
        await saving

        assert files(tmp_path) == {"t1-0.png": content}

    async def test_a_file_that_is_written_in_parts(
        self, server: FileServer, downloads: Downloads, tmp_path: Path
    ) -> None:
        """
        A file that takes several writes is whole, and its digest is that of all of it.
        """
        content = PNG + random.Random(7).randbytes(3 * local.WRITTEN_AT_ONCE)

        saved = await downloads.save_file(
            Image(0, server.serve("/a", picture(content))), tmp_path, NameTemplate(NAME, "t1")
        )

        assert SavedFile(0, tmp_path / "t1-0.png", len(content), hashlib.sha256(content).hexdigest()) == saved
        assert {"t1-0.png": content} == files(tmp_path)

    async def test_a_long_file_is_synced_as_it_comes(
        self, server: FileServer, downloads: Downloads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        What is not synced yet stays bounded, so that a sync never takes long; the last one covers the whole file.
        """
        synced: list[int] = []
        fsync = os.fsync

        def watched(descriptor: int) -> None:
            fsync(descriptor)
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                synced.append(os.fstat(descriptor).st_size)

        monkeypatch.setattr(os, "fsync", watched)
        monkeypatch.setattr(local, "SYNCED_AT_ONCE", 2 * local.WRITTEN_AT_ONCE)
        content = PNG + bytes(9 * local.WRITTEN_AT_ONCE)
        await save_all(downloads, done(server.serve("/a", picture(content))), tmp_path)

        assert len(content) == synced[-1]
        assert len(synced) > 2
        steps = [after - before for before, after in itertools.pairwise([0, *synced])]
        assert max(steps) < 4 * local.WRITTEN_AT_ONCE

    async def test_others_finish_before_a_failure_is_told(
        self, server: FileServer, downloads: Downloads, tmp_path: Path
    ) -> None:
        """
        The error names the first picture that failed, and holds the paths of those that arrived.
        """
        urls = (
            server.serve("/0", picture()),
            server.serve("/1", page),
            server.serve("/2", cut()),
            server.serve("/3", picture()),
        )

        with pytest.raises(DownloadFailed, match=r"image 1 .* not an image \(text/html\); 2 of 4 arrived") as caught:
            await save_all(downloads, done(*urls), tmp_path)

        assert caught.value.index == 1
        assert caught.value.task_id == "t1"
        assert (tmp_path / "t1-0.png", tmp_path / "t1-3.png") == caught.value.paths
        assert {"t1-0.png", "t1-3.png"} == set(files(tmp_path))

    async def test_width_bounds_all_calls(self, server: FileServer, tmp_path: Path) -> None:
        """
        No more transfers than `width` run at one time, over all calls together.
        """
        running, most = 0, 0

        async def counted(request: web.BaseRequest) -> web.StreamResponse:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.005)
            running -= 1
            return await picture()(request)

        downloads = quick(width=2)
        url = server.serve("/a", counted)

        await asyncio.gather(*(save_all(downloads, done(url, url, url, task_id=task_id), tmp_path) for task_id in "ab"))
        await downloads.aclose()

        assert most == 2
        assert len(files(tmp_path)) == 6

    async def test_no_pictures(self, downloads: Downloads, tmp_path: Path) -> None:
        """
        A result without pictures saves none.
        """
        assert await save_all(downloads, done(), tmp_path) == []


def mixed(server: FileServer) -> TaskResult:
    """
    A task that has made an image, a video and two sounds.
    """
    return TaskResult(
        "t1",
        (Image(0, server.serve("/image", picture())),),
        TaskSnapshot(task_id="t1", task_status=TaskStatus.SUCCEEDED),
        videos=(Video(0, server.serve("/video", picture(mp4()))),),
        audios=(Audio(0, server.serve("/a", picture(mp3()))), Audio(1, server.serve("/b", picture(wav())))),
    )


class TestKindsOfFile:
    async def test_all_are_saved(self, server: FileServer, downloads: Downloads, tmp_path: Path) -> None:
        """
        Images, videos and sounds get the extensions of their content; those of one index do not collide.
        """
        outcome = await downloads.save(mixed(server), tmp_path, NameTemplate(NAME, "t1"), refresh=never)

        assert outcome.error is None
        assert {"t1-0.png": PNG, "t1-0.mp4": mp4(), "t1-0.mp3": mp3(), "t1-1.wav": wav()} == files(tmp_path)
        assert [("image", 0), ("video", 0), ("audio", 0), ("audio", 1)] == [file.key for file in outcome.files]
        asked = {request.path: request.headers["Accept"] for request in server.asked}
        assert {"/image": "image/*", "/video": "video/*", "/a": "audio/*", "/b": "audio/*"} == asked

    async def test_kind_in_a_storage(self, server: FileServer, downloads: Downloads) -> None:
        """
        What is known of a file in a storage names its kind, too.
        """
        outcome = await downloads.save(
            mixed(server), Storage("memory://kinds"), NameTemplate(NAME, "t1"), refresh=never
        )

        assert outcome.error is None
        assert [("image", 0), ("video", 0), ("audio", 0), ("audio", 1)] == [file.key for file in outcome.files]
        assert "memory://kinds/t1-0.mp4" == outcome.files[1].url

    async def test_names_without_the_extension(self, server: FileServer, downloads: Downloads, tmp_path: Path) -> None:
        """
        Without the extension, an image and a video of one index would have one name: that is refused.
        """
        with pytest.raises(ValueError, match="gives two files one name"):
            await downloads.save(mixed(server), tmp_path, NameTemplate("{task_id}-{index}", "t1"), refresh=never)

        assert [] == server.asked

    async def test_skipped_by_kind(self, server: FileServer, downloads: Downloads, tmp_path: Path) -> None:
        """
        What is skipped is one file of one kind.
        """
        skip = {("image", 0), ("audio", 1)}

        outcome = await downloads.save(mixed(server), tmp_path, NameTemplate(NAME, "t1"), refresh=never, skip=skip)

        assert [("video", 0), ("audio", 0)] == [file.key for file in outcome.files]

    async def test_fresh_urls_by_kind(self, server: FileServer, downloads: Downloads, tmp_path: Path) -> None:
        """
        A file gets the fresh URL of its own kind.
        """
        old = mixed(server)
        server.serve("/old", status(403))
        expired = attrs.evolve(old, videos=(Video(0, server.base + "/old"),))

        outcome = await downloads.save(expired, tmp_path, NameTemplate(NAME, "t1"), refresh=Refresh(old))

        assert outcome.error is None
        assert files(tmp_path)["t1-0.mp4"] == mp4()

    @pytest.mark.parametrize("content", [PNG, mp3(), b"<html>" * 20])
    async def test_not_a_video(self, server: FileServer, downloads: Downloads, tmp_path: Path, content: bytes) -> None:
        """
        A file of another kind is not saved.
        """
        with pytest.raises(DownloadFailed, match=r"video 0 could not be fetched: the answer is not a video"):
            await downloads.read(Video(0, server.serve("/a", picture(content))))

    async def test_video_continues_where_it_broke(
        self, server: FileServer, downloads: Downloads, tmp_path: Path
    ) -> None:
        """
        The rest is requested with both conditions, and without compression like all requests.
        """
        content = mp4()

        async def first(request: web.BaseRequest) -> web.StreamResponse:
            response = web.StreamResponse(headers={"ETag": '"v1"'})
            response.content_length = len(content)
            await response.prepare(request)
            await response.write(content[:1000])
            assert request.transport is not None
            request.transport.close()
            return response

        async def rest(_: web.BaseRequest) -> web.StreamResponse:
            stated = f"bytes 1000-{len(content) - 1}/{len(content)}"
            return web.Response(status=206, body=content[1000:], headers={"ETag": '"v1"', "Content-Range": stated})

        saved = await downloads.save_file(Video(0, server.serve("/a", first, rest)), tmp_path, NameTemplate(NAME, "t1"))

        assert hashlib.sha256(content).hexdigest() == saved.sha256
        assert {"t1-0.mp4": content} == files(tmp_path)
        assert ["identity", "identity"] == [request.headers["Accept-Encoding"] for request in server.asked]
        told = {name: server.asked[1].headers.get(name) for name in ("Range", "If-Range", "If-Match")}
        assert {"Range": "bytes=1000-", "If-Range": '"v1"', "If-Match": '"v1"'} == told

    async def test_cut_video(self, server: FileServer, downloads: Downloads) -> None:
        """
        A video that was cut on its way to the server is found by its structure.
        """
        with pytest.raises(DownloadFailed, match=r"video 0 could not be fetched: the file was truncated"):
            await downloads.read(Video(0, server.serve("/a", picture(mp4()[:-100]))))


class TestReading:
    async def test_read(self, server: FileServer, downloads: Downloads) -> None:
        """
        A picture can be read into memory.
        """
        assert await downloads.read(Image(0, server.serve("/a", picture()))) == PNG

    async def test_sends_neither_key_nor_cookie(
        self, server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Nothing that says who asks is sent: no Authorization (of a URL or of ~/.netrc), no cookie set before.
        """
        (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        downloads = quick(HttpOptions(trust_env=True, user_agent="us/1"))
        url = server.serve("/a", status(302, Location="/b", set_cookie="who=me"))
        server.serve("/b", picture(set_cookie="who=me"))

        await downloads.read(Image(0, url.replace("http://", "http://user:secret@")))
        await downloads.read(Image(0, url))
        await downloads.aclose()

        assert len(server.asked) == 4
        for request in server.asked:
            assert {"Host", "User-Agent", "Accept", "Accept-Encoding"} == set(request.headers)
            assert request.headers["User-Agent"] == "us/1"

    @pytest.mark.parametrize("way", ["first", "redirected"])
    async def test_signed_address_is_not_touched(self, server: FileServer, downloads: Downloads, way: str) -> None:
        """
        A signature may cover every character of an address, so it is sent as it came.
        """
        signed = "/a%2Fb~%7e?sig=x%2By%7E+z%3d&q=%20"
        server.serve("/a/b~~", picture())
        url = server.base + signed if way == "first" else server.serve("/moved", moved(signed))

        assert await downloads.read(Image(0, url)) == PNG
        assert signed == server.asked[-1].raw_path

    async def test_address_with_blanks_is_quoted(self, server: FileServer, downloads: Downloads) -> None:
        """
        What cannot stand in a request is quoted.
        """
        assert await downloads.read(Image(0, server.serve("/a b ü", picture()))) == PNG

    async def test_compressed(self, server: FileServer, downloads: Downloads) -> None:
        """
        A service that compresses unasked is understood; its length is that of what is sent.
        """
        url = server.serve("/a", picture(gzip.compress(PNG), content_encoding="gzip"))
        broken = server.serve("/b", picture(PNG, content_encoding="gzip"))

        assert await downloads.read(Image(0, url)) == PNG
        assert "ClientPayloadError" in await failure(downloads, broken)

    async def test_bytes_one_by_one(self, server: FileServer, downloads: Downloads) -> None:
        """
        A picture may dribble.
        """
        small = drawn("gif", (1, 1))

        async def dribble(request: web.BaseRequest) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            for byte in small:
                await response.write(bytes([byte]))
            return response

        assert small == await downloads.read(Image(0, server.serve("/a", dribble)))


class TestBrokenTransfers:
    @pytest.mark.parametrize(
        "first",
        [
            cut(),
            cut(reset=True),
            cut(at=0),
            chunked(at=4096),
            status(500),
            status(503),
            status(429),
            status(204),
            page,
            picture(b""),
            picture(PNG[:7]),
        ],
    )
    async def test_broken_transfer_is_restarted(
        self, server: FileServer, downloads: Downloads, tmp_path: Path, first: Answer
    ) -> None:
        """
        Any broken transfer is restarted, and only a complete picture is saved.
        """
        url = server.serve("/a", first, first, first, picture())

        (path,) = await save_all(downloads, done(url), tmp_path)

        assert path.read_bytes() == PNG
        assert {"t1-0.png"} == set(files(tmp_path))
        assert server.paths == ["/a"] * 4

    @pytest.mark.parametrize("answer", [cut(), cut(reset=True), chunked(at=4096), status(503), page])
    async def test_transfer_is_given_up(
        self, server: FileServer, downloads: Downloads, tmp_path: Path, answer: Answer
    ) -> None:
        """
        After the last attempt the download has failed, and no part of the file is left.
        """
        with pytest.raises(DownloadFailed) as caught:
            await save_all(downloads, done(server.serve("/a", answer) + "?sig=secret"), tmp_path, refresh=never)

        assert len(server.asked) == 4
        assert files(tmp_path) == {}
        assert "secret" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None

    @pytest.mark.parametrize("content", BY_EXT.values(), ids=BY_EXT)
    @pytest.mark.parametrize("way", ["length", "chunks", "gzip", "half of the gzip"])
    async def test_truncated_file_with_a_matching_length(
        self, server: FileServer, downloads: Downloads, tmp_path: Path, content: bytes, way: str
    ) -> None:
        """
        A truncated picture with a matching length, in complete chunks or in gzip is downloaded again, then reported.
        """
        half = content[: len(content) // 2]
        answer = {
            "length": picture(half),
            "chunks": chunked(half),
            "gzip": picture(gzip.compress(half), content_encoding="gzip"),
            "half of the gzip": picture(gzip.compress(content)[: -len(content) // 3], content_encoding="gzip"),
        }[way]
        working, cut_for_good = server.serve("/a", answer, picture(content)), server.serve("/b", answer)

        (path,) = await save_all(downloads, done(working), tmp_path)

        assert path.read_bytes() == content
        assert "the file was truncated after" in await failure(downloads, cut_for_good)
        assert server.paths == ["/a"] * 2 + ["/b"] * 4
        assert len(files(tmp_path)) == 1

    async def test_gzip_without_its_checksum(self, server: FileServer, downloads: Downloads) -> None:
        """
        If the picture is complete, a missing end of its encoding does not matter.
        """
        url = server.serve("/a", picture(gzip.compress(PNG)[:-8], content_encoding="gzip"))

        assert await downloads.read(Image(0, url)) == PNG

    @pytest.mark.parametrize("content", BY_EXT.values(), ids=BY_EXT)
    async def test_appended_bytes_are_kept(self, server: FileServer, downloads: Downloads, content: bytes) -> None:
        """
        What a camera or an editor appends to a picture is no reason to refuse it, however much it is.
        """
        appended = content + bytes(100_000)

        assert await downloads.read(Image(0, server.serve("/a", picture(appended)))) == appended

    @pytest.mark.parametrize(
        "answer",
        [
            status(203),
            status(206, content_range=f"bytes 0-{len(PNG) - 1}/{len(PNG)}"),
            status(206, content_range="bytes 0-99/*"),
            status(206),
        ],
        ids=["203", "206", "206 without a total", "206 without a range"],
    )
    async def test_other_words_for_all_of_it(self, server: FileServer, downloads: Downloads, answer: Answer) -> None:
        """
        A proxy's 203 and a 206 that has everything are the picture.
        """

        async def with_body(request: web.BaseRequest) -> web.StreamResponse:
            original = await answer(request)
            headers = {name: original.headers[name] for name in original.headers if name == "Content-Range"}
            return web.Response(status=original.status, body=PNG, headers=headers)

        assert await downloads.read(Image(0, server.serve("/a", with_body))) == PNG
        assert len(server.asked) == 1

    @pytest.mark.parametrize(
        "content_range", ["bytes 100-200/300", "bytes 0-99/300", "bytes */300", "lines 0-1/2", "x"]
    )
    async def test_part_that_nobody_asked_for(
        self, server: FileServer, downloads: Downloads, content_range: str
    ) -> None:
        """
        A 206 that says that there is more is begun again.
        """

        async def part(_: web.BaseRequest) -> web.StreamResponse:
            return web.Response(status=206, body=PNG, headers={"Content-Range": content_range})

        assert await downloads.read(Image(0, server.serve("/a", part, picture()))) == PNG
        assert "HTTP 206" in await failure(downloads, server.serve("/b", part))

    @pytest.mark.parametrize("content", BY_EXT.values(), ids=BY_EXT)
    async def test_without_length_the_picture_tells_its_end(self, downloads: Downloads, content: bytes) -> None:
        """
        Where only a closed connection is the end, a picture that has none of its own was cut short.
        """
        server, url = await unlengthed(content)
        cut_server, cut_url = await unlengthed(content[:-20])
        async with server, cut_server:
            assert content == await downloads.read(Image(0, url))
            assert f"truncated after {len(content) - 20} bytes" in await failure(downloads, cut_url)

    async def test_refused_connection(self, downloads: Downloads) -> None:
        """
        If no server listens, the error says so.
        """
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]

        assert "ClientConnectorError" in await failure(downloads, f"http://127.0.0.1:{port}/a?sig=1")

    async def test_silence(self, server: FileServer) -> None:
        """
        A server that says nothing for `read_timeout` is a broken transfer.
        """

        async def silent(request: web.BaseRequest) -> web.StreamResponse:
            await server.closing.wait()
            return web.Response()

        downloads = quick(HttpOptions(read_timeout=0.02), attempts=2)

        assert "SocketTimeoutError" in await failure(downloads, server.serve("/a", silent))
        assert len(server.asked) == 2
        await downloads.aclose()

    @simulated
    async def test_delays_grow(self) -> None:
        """
        Each delay is twice the last.
        """

        async def broken(writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()

        downloads = Downloads(HttpOptions(), networks=HERE, first_delay=0.5)
        async with serving(broken) as (url, asked):
            await failure(downloads, url)
        await downloads.aclose()

        assert [0.5, 1.0, 2.0] == [round(later - earlier, 1) for earlier, later in itertools.pairwise(asked)]


@contextlib.asynccontextmanager
async def serving(answer: Callable[[asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[tuple[str, list[float]]]:
    """
    Answer every request by *answer*, until the client leaves; also tell when requests came.
    """
    asked: list[float] = []
    serving: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            asked.append(asyncio.get_running_loop().time())
            leaving = asyncio.ensure_future(reader.read())
            answering = asyncio.ensure_future(answer(writer))
            await asyncio.wait([leaving, answering], return_when=asyncio.FIRST_COMPLETED)
            for each in (leaving, answering):
                each.cancel()
            await asyncio.gather(leaving, answering, return_exceptions=True)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
    await asyncio.gather(*(each for each in serving if each is not None))


def sent(content: bytes, *headers: str, by: int = 1 << 20, every: float = 0.0) -> Callable[..., Awaitable[None]]:
    """
    Send *content* in pieces *by* so many bytes *every* so many seconds.
    """
    head = "\r\n".join(["HTTP/1.1 200 OK", f"Content-Length: {len(content)}", "Connection: close", *headers, "", ""])

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(head.encode())
        for start in range(0, len(content), by):
            writer.write(content[start : start + by])
            await writer.drain()
            await asyncio.sleep(every)

    return answer


def one_after_the_other(*answers: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    left = [*answers]

    async def answer(writer: asyncio.StreamWriter) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(writer)

    return answer


DRIP: Final = sent(PNG, by=1, every=0.4)


class TestSlowness:
    @simulated
    async def test_slow_transfer_is_restarted(self) -> None:
        """
        A server that sends a byte every 0.4 s is given up after half a minute, and the transfer restarted.
        """
        downloads = quick()
        async with serving(one_after_the_other(DRIP, sent(PNG))) as (url, asked):
            assert await downloads.read(Image(0, url)) == PNG
        await downloads.aclose()

        assert len(asked) == 2
        assert 29.0 < asked[1] - asked[0] < 61.0

    @simulated
    async def test_slow_transfer_is_reported(self) -> None:
        """
        A server that is always slow gets four attempts of half a minute; the reason has the rate.
        """
        downloads = quick()
        async with serving(DRIP) as (url, asked):
            reason = await failure(downloads, url)
        await downloads.aclose()

        assert re.search(r"it was too slow: \d+ bytes in 3\d s", reason)
        assert len(asked) == 4

    @simulated
    async def test_slow_host_leaves_room_for_others(self) -> None:
        """
        While one host drips into as many transfers as it may have, and more wait for it, the pictures of another come.
        """
        downloads, now = quick(attempts=1), asyncio.get_running_loop().time
        async with serving(DRIP) as (slow, slow_asked), serving(sent(PNG)) as (good, _):
            dripping = [asyncio.ensure_future(failure(downloads, f"{slow}/{number}")) for number in range(20)]
            while len(slow_asked) < 8:
                await asyncio.sleep(0.01)
            began = now()

            for _ in range(12):
                assert await downloads.read(Image(0, good.replace("127.0.0.1", "localhost"))) == PNG
            assert now() - began < 20.0
            assert len(slow_asked) == 8

            await asyncio.gather(*dripping)
        await downloads.aclose()

        assert len(slow_asked) == 20
        assert not downloads._limits._hosts

    @simulated
    async def test_slow_headers_are_reported(self) -> None:
        """
        A server that never ends its headers, or never begins them, keeps no slot either.
        """

        async def endless(writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nX-")
            while True:
                writer.write(b"a")
                await asyncio.sleep(0.4)

        downloads, now = quick(attempts=1), asyncio.get_running_loop().time
        async with serving(endless) as (url, _):
            assert "its answer did not arrive within 40 s" in await failure(downloads, url)
        assert now() < 45.0
        await downloads.aclose()

    @simulated
    async def test_bytes_that_make_nothing(self) -> None:
        """
        Compressed bytes that decode to nothing do not keep a transfer alive.
        """
        squeeze = zlib.compressobj(wbits=31)
        start = squeeze.compress(PNG[:5000]) + squeeze.flush(zlib.Z_SYNC_FLUSH)

        async def hollow(writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 90000000\r\n\r\n" + start)
            while True:
                writer.write(b"\0\0\0\xff\xff")  # an empty block
                await asyncio.sleep(0.4)

        downloads, now = quick(attempts=1), asyncio.get_running_loop().time
        async with serving(hollow) as (url, _):
            assert "more of it did not arrive within 30 s" in await failure(downloads, url)
        assert now() < 65.0
        await downloads.aclose()

    @simulated
    async def test_honest_slow_line(self) -> None:
        """
        A line of 2 KiB/s brings a small picture at the first try, and a server may think for most of `read_timeout`.
        """

        async def thinking(writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(55)
            await sent(PNG, by=200, every=0.1)(writer)

        downloads = quick(HttpOptions(read_timeout=60))
        async with serving(thinking) as (url, asked):
            assert await downloads.read(Image(0, url)) == PNG
        await downloads.aclose()

        assert len(asked) == 1

    @simulated
    async def test_each_wait_has_all_its_time(self) -> None:
        """
        The limit for a piece counts from when the piece before it came.
        """
        content = PNG + bytes(1 << 20)
        downloads = quick(attempts=1)
        async with serving(sent(content, by=1 << 18, every=25.0)) as (url, _):
            assert await downloads.read(Image(0, url)) == content
        await downloads.aclose()

    @simulated
    async def test_slow_disk_is_not_the_servers_fault(self) -> None:
        """
        Seconds in which the writer is busy do not count.
        """

        class SlowStorage(Storage):
            async def write(
                self, names: NameTemplate, file: File, stream: FileStream, *, temp_dir: Path | None = None
            ) -> SavedFile:
                while await stream.read():
                    await asyncio.sleep(100)
                return SavedFile(file.index, None, stream.length, "", "memory://a")

        content = PNG + bytes(3 << 20)
        downloads = quick()
        async with serving(sent(content, by=1 << 16)) as (url, asked):
            saved = await downloads.save_file(Image(0, url), SlowStorage("memory://a"), NameTemplate(NAME, "t1"))
        await downloads.aclose()

        assert saved.size_in_bytes == len(content)
        assert len(asked) == 1

    @simulated
    async def test_cancelled_in_a_drip(self) -> None:
        """
        A transfer that is cancelled while it waits ends at once, and leaves neither turn nor connection.
        """
        downloads, now = quick(width=1), asyncio.get_running_loop().time
        async with serving(DRIP) as (url, asked):
            reading = [asyncio.ensure_future(downloads.read(Image(0, url))) for _ in range(2)]
            while not asked:
                await asyncio.sleep(0.01)
            await asyncio.sleep(3)
            began = now()
            for each in reading:
                each.cancel()
            await asyncio.wait(reading)

            assert now() - began < 5.0
            assert all(each.cancelled() for each in reading)
            assert (downloads._limits._all._free, connections(downloads)) == (2, 0)
            await downloads.aclose()


class TestPauses:
    @simulated
    async def test_retry_after_is_respected(self) -> None:
        """
        A `Retry-After`, also one with decimals, is awaited.
        """
        busy = "HTTP/1.1 503 Busy\r\nRetry-After: 3.2\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

        async def pause(writer: asyncio.StreamWriter) -> None:
            writer.write(busy.encode())

        downloads = quick()
        async with serving(one_after_the_other(pause, sent(PNG))) as (url, asked):
            assert await downloads.read(Image(0, url)) == PNG
        await downloads.aclose()

        assert 3.2 <= asked[1] - asked[0] < 4.5

    @pytest.mark.parametrize("number", [429, 503])
    async def test_retry_after_of_an_hour_is_not_awaited(
        self, server: FileServer, downloads: Downloads, number: int
    ) -> None:
        """
        The picture can be downloaded later, and the error says when.
        """
        url = server.serve("/a", status(number, retry_after="3600"))

        assert f"HTTP {number} from {url}, which asks to wait 3600 s" in await failure(downloads, url)
        assert len(server.asked) == 1


class TestHeaders:
    @pytest.mark.parametrize("headers", [{"X-A": "s" * 30_000}, {f"X-{number}": "1" for number in range(400)}])
    async def test_many_and_long(self, server: FileServer, downloads: Downloads, headers: dict[str, str]) -> None:
        """
        Headers that several proxies have added to do not cost a picture.
        """

        async def answer(_: web.BaseRequest) -> web.StreamResponse:
            return web.Response(body=PNG, headers=headers)

        assert await downloads.read(Image(0, server.serve("/a", answer))) == PNG

    @pytest.mark.parametrize(
        ("headers", "message"),
        [
            ({"Set-Cookie": "secret" * 20_000}, "the head of the answer cannot be read (Got more than 65536 bytes)"),
            (
                {f"X-{number}": "secret" for number in range(1100)},
                "the head of the answer cannot be read (Too many headers",
            ),
        ],
    )
    async def test_too_many_or_too_long(
        self, server: FileServer, downloads: Downloads, headers: dict[str, str], message: str
    ) -> None:
        """
        What is too much is named, and shown is nothing of it.
        """

        async def answer(_: web.BaseRequest) -> web.StreamResponse:
            return web.Response(body=PNG, headers=headers)

        reason = await failure(downloads, server.serve("/a", answer))

        assert message in reason
        assert "secret" not in reason


def in_base64(content: bytes, *, width: int = 0) -> str:
    text = base64.b64encode(content).decode()
    return "\n".join(text[start : start + width] for start in range(0, len(text), width)) if width else text


class TestPicturesWithoutAnAddress:
    @pytest.mark.parametrize("ext", BY_EXT)
    @pytest.mark.parametrize(
        "written",
        [
            "data:image/png;base64,{}",
            "DATA:;Base64,{}",
            "data:image/jpeg;name=a.jpg;base64,{}",
            "data:image/png;base64,\n {}\r\n",
            "{}",
            "\n{}\n",
        ],
    )
    @pytest.mark.parametrize("width", [0, 76])
    async def test_in_the_text(self, downloads: Downloads, tmp_path: Path, ext: str, written: str, width: int) -> None:
        """
        A picture that the field itself holds is saved and read like any other, nothing asked for.
        """
        url = written.format(in_base64(BY_EXT[ext], width=width))

        (path,) = await save_all(downloads, done(url), tmp_path)

        assert (path.suffix, path.read_bytes()) == (ext, BY_EXT[ext])
        assert await downloads.read(Image(0, url)) == BY_EXT[ext]
        assert downloads._session is None

    async def test_percent_encoded(self, downloads: Downloads) -> None:
        """
        A data: URL may quote its Base64, or have none.
        """
        for url in (
            "data:image/png;base64," + quote(in_base64(PNG), safe=""),
            "data:image/png," + quote_from_bytes(PNG),
        ):
            assert await downloads.read(Image(0, url)) == PNG

    async def test_without_padding(self, downloads: Downloads) -> None:
        """
        Where "=" at the end was left out, all is there still.
        """
        content = PNG + b"\0"
        while len(content) % 3 == 0:
            content += b"\0"

        assert await downloads.read(Image(0, in_base64(content).rstrip("="))) == content

    @pytest.mark.parametrize(
        ("url", "why"),
        [
            ("data:image/png;base64," + in_base64(PNG[:-20]), "the file was truncated after"),
            (in_base64(PNG[: len(PNG) // 2]), "the file was truncated after"),
            (in_base64(PNG)[: len(PNG) // 3 * 4 - 3], "Base64 is truncated"),
            (in_base64(PNG).replace("+", " "), "blanks in place of '\\+'"),
            ("data:image/png;base64," + in_base64(b"<html>" * 20), "the answer is not an image"),
            ("data:image/png;base64,", "the answer is not an image"),
            ("data:image/png;base64", "has no comma"),
            ("data:", "has no comma"),
        ],
        ids=range(8),
    )
    async def test_file_in_a_url_that_cannot_be_decoded(self, downloads: Downloads, url: str, why: str) -> None:
        """
        Another attempt would not help: it is reported at once, in a short text without the picture's bytes.
        """
        with pytest.raises(DownloadFailed, match=why) as caught:
            await downloads.read(Image(3, url))

        assert len(str(caught.value)) < 300
        assert "iVBOR" not in str(caught.value)

    @pytest.mark.parametrize("written", ["data:image/png;base64,{}", "{}"])
    async def test_size_cap(self, written: str) -> None:
        """
        The bound on a picture holds here too, and what is far above it is not decoded.
        """
        for size in (len(PNG) - 1, 100):
            tight = quick(HttpOptions(max_download_bytes=size))
            assert f"larger than {size} bytes" in await failure(tight, written.format(in_base64(PNG)))

    @pytest.mark.parametrize(
        ("url", "asked"),
        [
            ("/files/a.png?sig=1", "/files/a.png?sig=1"),
            ("files/a.png", "/kling/files/a.png"),
            ("../a.png", "/a.png"),
            ("?id=7", "/kling/?id=7"),
        ],
    )
    async def test_relative_to_the_service(self, server: FileServer, tmp_path: Path, url: str, asked: str) -> None:
        """
        An address without a host is one of the service's own, also where it is renewed.
        """
        downloads = quick(base_url=f"{server.base}/kling")
        server.serve(asked.partition("?")[0], picture())
        server.serve("/old", status(403))

        assert await downloads.read(Image(0, url)) == PNG
        (path,) = await save_all(downloads, done("/old"), tmp_path, refresh=Refresh(done(url)))

        assert path.read_bytes() == PNG
        assert [asked, asked] == [server.asked[0].raw_path, server.asked[-1].raw_path]
        await downloads.aclose()

    async def test_address_without_a_scheme(self, server: FileServer) -> None:
        """
        `//host/...` has the service's scheme, and its host is judged like any other.
        """
        downloads = quick(base_url=f"{server.base}/kling")
        url = server.serve("/a", picture()).removeprefix("http:")

        assert await downloads.read(Image(0, url)) == PNG
        assert "its address is private: http://10.0.0.1/a" in await failure(downloads, "//10.0.0.1/a?sig=1")
        await downloads.aclose()

    async def test_relative_to_nothing(self, downloads: Downloads) -> None:
        """
        Where no service is known, there is nothing to ask.
        """
        assert "its address is not an http(s) URL: /a" in await failure(downloads, "/a?sig=1")

    async def test_address_of_megabytes(self, downloads: Downloads) -> None:
        """
        What is neither a picture nor an address that a server would take is not sent, and shown in short.
        """
        reason = await failure(downloads, "http://127.0.0.1:1/" + "word-" * 400_000)

        assert "its address has 2000019 characters, of at most 65536" in reason
        assert len(reason) < 600

    async def test_saved_remotely(self, server: FileServer, tmp_path: Path) -> None:
        """
        Remote workers get absolute URLs, or the file in the URL; fresh URLs are made absolute as well.
        """
        workers = quick()
        server.serve("/old", status(403))
        server.serve("/kling/fresh", picture())
        urls = server.serve("/a", picture()).removeprefix("http:"), in_base64(PNG), "/old"
        fresh = Refresh(done("x", "x", "fresh"))
        names = NameTemplate(NAME, "t1")

        async def fetch(images: Sequence[File]) -> Sequence[SavedFile | FetchError]:
            found: list[SavedFile | FetchError] = []
            for image in pickle.loads(pickle.dumps(images)):  # noqa: S301 (our own)
                try:
                    found.append(await workers.save_file(image, tmp_path, names))
                except FetchError as lost:
                    found.append(lost)
            return found

        outcome = await save_remotely(done(*urls), names, fetch, refresh=fresh, base_url=f"{server.base}/kling")

        assert outcome.error is None
        assert {"t1-0.png": PNG, "t1-1.png": PNG, "t1-2.png": PNG} == files(tmp_path)
        await workers.aclose()

    @pytest.mark.parametrize("sign", ["\n", "\r", "\x1b[31m", "\u202e", "\0", "\u2028"])
    async def test_shown_on_one_line(self, server: FileServer, downloads: Downloads, sign: str) -> None:
        """
        No text that a service sends in place of an address or in a header begins a line of its own.
        """

        async def forged(_: web.BaseRequest) -> web.StreamResponse:
            return web.Response(body=b"<html>", headers={"Content-Type": "a/" + "b" * 5000})

        reasons = [
            await failure(downloads, f"ftp://a{sign}ERROR all is lost"),
            await failure(downloads, f"http://[1{sign}ERROR all is lost"),
            await failure(downloads, f"a{sign}ERROR all is lost"),
            await failure(downloads, server.serve("/a", forged)),
            await failure(downloads, server.serve("/b", moved(f"ftp://a{quote(sign)}"))),
        ]

        assert all(reason.isprintable() for reason in reasons)
        assert all(len(reason) < 500 for reason in reasons)


class TestFreshAddresses:
    async def test_one_reading_for_all(self, server: FileServer, downloads: Downloads, tmp_path: Path) -> None:
        """
        Three addresses that have run out are renewed by one reading of the task, each by that of its own index.
        """
        old = [server.serve(f"/old{index}", status(403)) for index in range(3)]
        fresh = [
            server.serve(f"/fresh{index}", picture(content)) for index, content in enumerate([PNG, OTHER_PNG, PNG])
        ]
        refresh = Refresh(done(*fresh))

        paths = await save_all(downloads, done(*old), tmp_path, refresh=refresh)

        assert [path.read_bytes() for path in paths] == [PNG, OTHER_PNG, PNG]
        assert refresh.count == 1

    @pytest.mark.parametrize("number", [400, 401, 403, 404, 410])
    async def test_gone_for_good(self, server: FileServer, downloads: Downloads, tmp_path: Path, number: int) -> None:
        """
        If the fresh address is no better, the picture has failed: neither asks a third time.
        """
        refresh = Refresh(done(server.serve("/fresh", status(number))))

        with pytest.raises(DownloadFailed, match=f"HTTP {number} from http://127.0.0.1:[0-9]+/fresh"):
            await save_all(downloads, done(server.serve("/old", status(number))), tmp_path, refresh=refresh)

        assert server.paths == ["/old", "/fresh"]
        assert refresh.count == 1

    async def test_fresh_address_may_break_too(self, server: FileServer, downloads: Downloads, tmp_path: Path) -> None:
        """
        A transfer that breaks after a renewal is begun again, at the fresh address.
        """
        refresh = Refresh(done(server.serve("/fresh", cut(), picture())))
        old = server.serve("/old", cut(), status(404))

        await save_all(downloads, done(old), tmp_path, refresh=refresh)

        assert server.paths == ["/old", "/old", "/fresh", "/fresh"]

    async def test_picture_gone_from_the_task(self, server: FileServer, downloads: Downloads, tmp_path: Path) -> None:
        """
        A task that no longer has the picture is a reason of its own.
        """
        with pytest.raises(DownloadFailed, match=r"HTTP 404 .*; the task no longer has this file"):
            await save_all(downloads, done(server.base + "/a"), tmp_path, refresh=Refresh(done()))

    async def test_task_cannot_be_read(self, server: FileServer, downloads: Downloads, tmp_path: Path) -> None:
        """
        If the task cannot be read again, the error says both, and the task is asked for once.
        """
        refresh = Refresh(TaskNotFound("no such task", "t1"))
        urls = server.base + "/a", server.base + "/b", server.serve("/c", picture())

        with pytest.raises(
            DownloadFailed, match=r"HTTP 404 .*fresh address failed: no such task \(task t1\)"
        ) as caught:
            await save_all(downloads, done(*urls), tmp_path, refresh=refresh)

        assert refresh.count == 1
        assert len(caught.value.paths) == 1

    async def test_error_of_another_kind_is_not_hidden(
        self, server: FileServer, downloads: Downloads, tmp_path: Path
    ) -> None:
        """
        A mistake in the caller's `refresh` comes out as it is.
        """
        with pytest.raises(ZeroDivisionError):
            await save_all(downloads, done(server.base + "/a"), tmp_path, refresh=Refresh(ZeroDivisionError()))

    async def test_read_asks_nobody(self, server: FileServer, downloads: Downloads) -> None:
        """
        `read` has no task to ask, so that an address that has run out is its end.
        """
        assert "HTTP 403" in await failure(downloads, server.serve("/a", status(403)))
        assert server.paths == ["/a"]


class TestBounds:
    @pytest.mark.parametrize("answer", [picture(), chunked()], ids=["with length", "without length"])
    async def test_size_cap(self, server: FileServer, tmp_path: Path, answer: Answer) -> None:
        """
        A picture above the cap is refused, by its length or as it comes; it is not tried again.
        """
        url = server.serve("/a", answer)
        tight, enough = (quick(HttpOptions(max_download_bytes=len(PNG) - less)) for less in (1, 0))

        with pytest.raises(DownloadFailed, match=f"larger than {len(PNG) - 1} bytes"):
            await save_all(tight, done(url), tmp_path)

        assert files(tmp_path) == {}
        assert len(server.asked) == 1
        assert await enough.read(Image(0, url)) == PNG
        await asyncio.gather(tight.aclose(), enough.aclose())

    @pytest.mark.parametrize("answer", [picture(), chunked()], ids=["with length", "without length"])
    async def test_read_has_a_limit_of_its_own(self, server: FileServer, downloads: Downloads, answer: Answer) -> None:
        """
        A file is read into memory up to a limit that the program may raise, as far as files may be downloaded at all.
        """
        image = Image(0, server.serve("/a", answer))
        tight = quick(HttpOptions(max_download_bytes=100))
        least = rf"larger than {len(PNG) - 1} bytes, the limit of `read`; raise its max_bytes, or save the file"

        with pytest.raises(DownloadFailed, match=least):
            await downloads.read(image, max_bytes=len(PNG) - 1)
        with pytest.raises(DownloadFailed, match=r"larger than 100 bytes, the limit for an image; HttpOptions\("):
            await tight.read(image, max_bytes=len(PNG))

        assert await downloads.read(image, max_bytes=len(PNG)) == PNG
        await tight.aclose()

    @pytest.mark.parametrize(
        ("file", "limit", "words"),
        [
            (Image(0, "/a"), 100 << 20, "an image"),
            (Audio(0, "/a"), 250 << 20, "a sound"),
            (Video(0, "/a"), 2 << 30, "a video"),
        ],
    )
    async def test_size_cap_by_kind(
        self, server: FileServer, downloads: Downloads, tmp_path: Path, file: File, limit: int, words: str
    ) -> None:
        """
        Videos may be larger than images; what is too large is refused by its length, and the error names the option.
        """

        async def announced(request: web.BaseRequest) -> web.StreamResponse:
            response = web.StreamResponse()
            response.content_length = limit + 1
            await response.prepare(request)
            await response.write(PNG[:9])
            return response

        file = attrs.evolve(file, url=server.serve("/a", announced))

        with pytest.raises(
            FetchRefused,
            match=rf"^it is larger than {limit} bytes, the limit for {words}; HttpOptions\(max_download_bytes",
        ):
            await downloads.save_file(file, tmp_path, NameTemplate(NAME, "t1"))

        assert 1 == len(server.asked)
        assert {} == files(tmp_path)

    async def test_redirects_end(self, server: FileServer, downloads: Downloads) -> None:
        """
        Five redirects are followed, a sixth is not.
        """
        for hop in range(6):
            server.serve(f"/{hop}", moved(f"/{hop + 1}", bytes(10**6)))
        server.serve("/6", picture())

        assert await downloads.read(Image(0, server.base + "/1")) == PNG
        assert "redirected more than 5 times" in await failure(downloads, server.base + "/0")
        assert connections(downloads) == 0

    @pytest.mark.parametrize(
        "target", ["file:///etc/passwd", "ftp://127.0.0.1/a", "http://", "http://[1/?sig=1", "http://a:99999/", "//"]
    )
    async def test_only_http(self, server: FileServer, downloads: Downloads, target: str) -> None:
        """
        Neither an address nor a redirect leads anywhere but to an http(s) host.
        """
        assert "its address is no" in await failure(downloads, target)
        if not "http://".endswith(target):  # a redirect to these is one to where it came from
            assert "its address is no" in await failure(downloads, server.serve("/a", moved(target)))
            assert len(server.asked) == 1

    async def test_redirect_to_nowhere(self, server: FileServer, downloads: Downloads) -> None:
        """
        A redirect that names no address is a broken transfer.
        """
        assert "HTTP 302" in await failure(downloads, server.serve("/a", status(302)))

    async def test_wrong_certificate_is_not_tried_again(self, server: FileServer, downloads: Downloads) -> None:
        """
        What TLS refuses it will refuse again.
        """
        assert "SSL" in await failure(downloads, server.base.replace("http", "https") + "/a?sig=1")
        assert server.asked == []

    async def test_host_that_no_name_server_takes(self, downloads: Downloads) -> None:
        """
        A name that cannot even be asked for fails like any other.
        """
        assert "image 3" in await failure(downloads, "http://" + "a" * 70 + ".example/?sig=1")


class TestPrivateAddresses:
    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.1"])
    async def test_private_address_is_not_contacted(self, server: FileServer, host: str) -> None:
        """
        No connection to a private address, given as a number or resolved from a name; it is not retried either.
        """
        downloads = quick(networks=frozenset())
        url = server.serve("/a", picture()).replace("127.0.0.1", host)

        assert "its address is private" in await failure(downloads, url + "?sig=1")
        assert server.asked == []
        await downloads.aclose()

    async def test_resolver_keeps_public_addresses(self) -> None:
        """
        Of what a name stands for only the public addresses are left; proxies pass unjudged.
        """

        @attrs.define
        class Fixed(AbstractResolver):
            closed: bool = False

            async def resolve(
                self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
            ) -> list[ResolveResult]:
                return [
                    ResolveResult(hostname=host, host=found, port=port, family=family, proto=0, flags=0)
                    for found in ("10.0.0.1", "8.8.8.8", "::1")[: 1 if host == "inside" else None]
                ]

            async def close(self) -> None:
                self.closed = True

        fixed = Fixed()
        resolver = CheckedResolver(fixed, AllowedHosts(), frozenset({"proxy"}))

        assert [entry["host"] for entry in await resolver.resolve("mixed", 80)] == ["8.8.8.8"]
        assert len(await resolver.resolve("proxy", 80)) == 3
        with pytest.raises(FetchRefused, match="its address is private: inside"):
            await resolver.resolve("inside", 80)
        await resolver.close()
        assert fixed.closed

    async def test_every_hop_is_judged(self, server: FileServer) -> None:
        """
        A public address that redirects to a private one is refused. (A proxy stands for the public network here.)
        """
        downloads = quick(HttpOptions(proxy=server.base.replace("127.0.0.1", "localhost")), networks=frozenset())
        server.serve("/a", moved(server.base + "/inside"))
        server.serve("/b", moved("http://localhost/inside"))
        server.serve("/c", moved("/d"))
        server.serve("/d", picture())

        assert "its address is private: http://127.0.0.1" in await failure(downloads, "http://pictures.example/a")
        assert "its address is private: http://localhost/inside" in await failure(downloads, "http://8.8.8.8/b")
        assert await downloads.read(Image(0, "http://pictures.example/c")) == PNG
        assert server.paths == ["/a", "/b", "/c", "/d"]
        assert server.asked[-1].host == "pictures.example"
        await downloads.aclose()

    async def test_proxy_of_the_environment(self, server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        With `trust_env` the system's proxy is used, except where the system says not to.
        """
        monkeypatch.setenv("http_proxy", server.base)
        monkeypatch.setenv("https_proxy", "http://[::1]:1")
        monkeypatch.setenv("no_proxy", "localhost")
        server.serve("/a", picture())
        trusting = quick(HttpOptions(trust_env=True), networks=frozenset())

        assert await trusting.read(Image(0, "http://pictures.example/a")) == PNG
        assert "private" in await failure(trusting, server.base.replace("127.0.0.1", "localhost"))
        await trusting.aclose()


class TestAllowedAddresses:
    async def test_service_on_loopback_allows_only_loopback(self, server: FileServer, downloads: Downloads) -> None:
        """
        If the service is on this machine, neither the LAN nor a cloud's metadata is allowed, not even by a redirect.
        """
        for host in ("10.0.0.1", "[fd00::1]", "198.18.0.1", "169.254.169.254", "2852039166"):
            assert "its address is private" in await failure(downloads, f"http://{host}/latest/meta-data?sig=1")
        moving = server.serve("/a", moved("http://169.254.169.254/latest/meta-data"))
        assert "its address is private: http://169.254.169.254/latest" in await failure(downloads, moving)
        assert server.paths == ["/a"]

    @pytest.mark.parametrize("entry", ["127.0.0.0/8", "127.0.0.1", "127.0.0.0/8 and its name"])
    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
    async def test_allowed_by_an_option(self, server: FileServer, host: str, entry: str) -> None:
        """
        A network or an address that the user allows is asked; it is the one that the error had named.
        """
        url = server.serve("/a", picture()).replace("127.0.0.1", host)
        closed = quick(networks=frozenset())
        entries = ["127.0.0.0/8", "localhost"] if " " in entry else entry
        opened = quick(HttpOptions(allow_downloads_from=entries), networks=frozenset())

        assert "HttpOptions(allow_downloads_from=[...])" in await failure(closed, url)
        assert await opened.read(Image(0, url)) == PNG
        await asyncio.gather(closed.aclose(), opened.aclose())

    async def test_allowed_by_name(self) -> None:
        """
        Behind a name that the user allows any address is good, but for those that never are; each is judged.
        """

        @attrs.define
        class FakeAddresses(AbstractResolver):
            found: str

            async def resolve(
                self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
            ) -> list[ResolveResult]:
                return [ResolveResult(hostname=host, host=self.found, port=port, family=family, proto=0, flags=0)]

            async def close(self) -> None:
                pass

        async def found(
            address: str, *, networks: frozenset[Network] = frozenset(), entries: str = "cdn.example"
        ) -> int:
            guard = CheckedResolver(FakeAddresses(address), AllowedHosts(networks, (entries,)), frozenset())
            return len(await guard.resolve("cdn.example", 80))

        assert await found("198.18.0.7") == 1
        assert await found("10.0.0.1") == 1
        assert await found("198.18.0.7", entries="198.18.0.0/15") == 1
        assert await found("198.18.0.7", entries="x", networks=frozenset({Network.BENCHMARK})) == 1
        with pytest.raises(
            FetchRefused, match=r"its address is private: cdn\.example \(benchmarking\); if that is intended"
        ):
            await found("198.19.0.7", entries="198.18.0.0/16", networks=HERE)
        with pytest.raises(FetchRefused, match=r"its address is private: cdn\.example; files never come from"):
            await found("169.254.169.254")

    @pytest.mark.parametrize(
        ("host", "kinds"),
        [
            ("127.0.0.1", {Network.LOOPBACK}),
            ("localhost", {Network.LOOPBACK}),
            ("10.1.2.3", {Network.LAN}),
            ("198.18.3.4", {Network.BENCHMARK}),
            ("169.254.169.254", set()),
            ("8.8.8.8", set()),
            ("\ud800", set()),
            ("a" * 70 + ".localhost.invalid", set()),
        ],
    )
    async def test_networks_of_the_service(self, host: str, kinds: set[Network]) -> None:
        """
        What the service opens is its own kind of network, and nothing where it is in public or cannot be found.
        """
        assert kinds == await networks_of(host)

    def test_option_is_judged(self) -> None:
        """
        A mistake in the option is reported where it is made.
        """
        with pytest.raises(ValueError, match=r"allow_downloads_from: 'http://x' is neither a host name"):
            HttpOptions(allow_downloads_from=["http://x"])
        with pytest.raises(ValueError, match=r"allow_downloads_from: '169.254.0.0/16': files never come from"):
            HttpOptions(allow_downloads_from="169.254.0.0/16")

        assert HttpOptions(allow_downloads_from="cdn") == HttpOptions(allow_downloads_from=["cdn"])
        assert len({HttpOptions(allow_downloads_from=["cdn"])}) == 1


class TestNameTemplate:
    @pytest.mark.parametrize(
        "name",
        [
            "/abs{ext}",
            r"\abs",
            "C:/abs",
            r"C:\abs",
            "//host/share/x",
            "../{index}",
            "a/../../x",
            r"a\..\x",
            "..",
            "",
            "./",
        ],
    )
    async def test_leaving_the_folder(self, downloads: Downloads, tmp_path: Path, name: str) -> None:
        """
        A template that leads out of the folder is refused before anything is fetched.
        """
        with pytest.raises(ValueError, match="inside the folder"):
            await save_all(downloads, done("http://127.0.0.1:1/"), tmp_path, name=name)

    @pytest.mark.parametrize(
        "name",
        [
            "{model}",
            "{}",
            "{0}",
            "{task_id.__class__}",
            "{task_id[0]}",
            "{index",
            "{index:{ext}d}",
            "{index:{x}}",
            "{index:{}}",
            "{ext!z}",
            "{index:q}",
        ],
    )
    async def test_unknown_fields(self, downloads: Downloads, tmp_path: Path, name: str) -> None:
        """
        A template with any other field is a mistake that names those there are, even for a result without pictures.
        """
        with pytest.raises(ValueError, match=r"\{task_id\}, \{prompt\}, \{index\}, \{ext\}"):
            await save_all(downloads, done(), tmp_path, name=name)

    @pytest.mark.parametrize("name", ["{task_id}{ext}", "same.png", "{index:c}"])
    async def test_equal_names(self, server: FileServer, downloads: Downloads, tmp_path: Path, name: str) -> None:
        """
        Two pictures under one name would overwrite each other, so nothing is fetched at all.
        """
        url = server.serve("/a", picture())

        with pytest.raises(ValueError, match=r"put \{index\} into it"):
            await save_all(downloads, done(url, url), tmp_path, name=name)

        assert server.asked == []

    async def test_one_picture_needs_no_index(self, server: FileServer, downloads: Downloads, tmp_path: Path) -> None:
        """
        For a single picture a fixed name is good.
        """
        (path,) = await save_all(
            downloads, done(server.serve("/a", picture())), tmp_path, name="same{ext}", refresh=never
        )

        assert tmp_path / "same.png" == path

    @pytest.mark.parametrize(
        "task_id",
        ["../../etc/passwd", "..", "", ".", "/", "C:\\x", "a/b", "a\0b", "x" * 1000, "ü" * 500, " a. ", "\ud800"],
    )
    async def test_ids_never_escape(
        self, server: FileServer, downloads: Downloads, tmp_path: Path, task_id: str
    ) -> None:
        """
        Whatever the task id is, the file is in the folder, under a name that is valid on every system.
        """
        url = server.serve("/a", picture())

        (path,) = await save_all(
            downloads,
            done(url, task_id=task_id),
            tmp_path / "in",
            name="{task_id}/{task_id}-{index}{ext}",
            refresh=never,
        )

        assert path.read_bytes() == PNG
        assert tmp_path / "in" == path.parent.parent
        assert path.suffix == ".png"
        assert len(files(tmp_path)) == 1


class TestDisk:
    async def test_directory_cannot_be_made(self, server: FileServer, downloads: Downloads, tmp_path: Path) -> None:
        """
        What the disk refuses is not tried again, and the error says what it refused.
        """
        (tmp_path / "file").touch()

        with pytest.raises(DownloadFailed, match=r"file/t1-0.png could not be written: File exists; 0 of 1 arrived"):
            await save_all(downloads, done(server.serve("/a", picture())), tmp_path / "file", refresh=never)

        assert len(server.asked) == 1

    async def test_name_is_taken_by_a_directory(self, server: FileServer, downloads: Downloads, tmp_path: Path) -> None:
        """
        A directory is not replaced, and no temporary file is left beside it.
        """
        (tmp_path / "t1-0.png").mkdir()

        with pytest.raises(DownloadFailed, match="Is a directory"):
            await save_all(downloads, done(server.serve("/a", picture())), tmp_path)

        assert files(tmp_path) == {}

    async def test_what_a_crash_left_is_replaced(
        self, server: FileServer, downloads: Downloads, tmp_path: Path
    ) -> None:
        """
        If only one process writes, a partial file that a crash has left is replaced.
        """
        left = tmp_path / ".t1-0.png.mark.part"
        left.write_bytes(b"unfinished")
        names = NameTemplate(NAME, "t1", mark="mark")
        outcome = await downloads.save(done(server.serve("/a", picture())), tmp_path, names, refresh=never)

        assert [tmp_path / "t1-0.png"] == [saved.path for saved in outcome.files] == list(tmp_path.iterdir())

    async def test_two_may_write_one_file(self, server: FileServer, downloads: Downloads, tmp_path: Path) -> None:
        """
        With a staging folder, each is written under a unique name until it is complete.
        """
        names = NameTemplate(NAME, "t1", mark="mark", staging_dir=".staging")
        (tmp_path / ".staging").mkdir()
        image = done(server.serve("/a", picture())).images[0]

        saved = await asyncio.gather(*(downloads.save_file(image, tmp_path, names) for _ in range(5)))

        assert {tmp_path / "t1-0.png"} == {each.path for each in saved}
        assert {"t1-0.png": PNG} == files(tmp_path)
        assert [] == list((tmp_path / ".staging").iterdir())

    async def test_another_folder_of_that_name(self, server: FileServer, downloads: Downloads, tmp_path: Path) -> None:
        """
        If the run has made no staging folder here, nothing is written: it would be in another folder.
        """
        names = NameTemplate("{index}/{task_id}{ext}", "t1", staging_dir=".staging")

        with pytest.raises(FetchRefused, match="here is not the folder of this run on this machine"):
            await downloads.save_file(done(server.serve("/a", picture())).images[0], tmp_path / "here", names)

        assert [] == list(tmp_path.iterdir())

    @pytest.mark.parametrize("step", ["write", "commit"])
    async def test_full_disk(
        self, server: FileServer, downloads: Downloads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
    ) -> None:
        """
        A full disk ends the saving at once, and leaves nothing.
        """

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(local.StagedFile, step, full)

        with pytest.raises(StorageFull, match="No space left"):
            await save_all(downloads, done(server.serve("/a", picture())), tmp_path)

        assert files(tmp_path) == {}
        assert len(server.asked) == 1

    async def test_full_disk_is_told_whatever_else_failed(
        self, server: FileServer, downloads: Downloads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        That there is no room is what the caller must know, before a picture that did not arrive; it names the others.
        """
        settle = local.StagedFile.commit

        def no_room_for_the_third(part: local.StagedFile) -> None:
            if part._target.name == "t1-2.png":
                raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
            settle(part)

        monkeypatch.setattr(local.StagedFile, "commit", no_room_for_the_third)
        urls = server.serve("/0", page), server.serve("/1", picture()), server.serve("/2", picture())

        with pytest.raises(StorageFull, match=r"quota exceeded; make room, then save again") as caught:
            await save_all(downloads, done(*urls), tmp_path)

        assert ("t1", (tmp_path / "t1-1.png",)) == (caught.value.task_id, caught.value.paths)
        assert {"t1-1.png"} == set(files(tmp_path))

    async def test_full_at_closing(
        self, server: FileServer, downloads: Downloads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        If closing and removing fail too, the first reason is reported.
        """

        def fail(*_: object, **__: object) -> None:
            raise OSError(errno.EIO, "Input/output error")

        def full(_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left")

        monkeypatch.setattr(local.StagedFile, "commit", full)
        monkeypatch.setattr(Path, "unlink", fail)

        with pytest.raises(StorageFull, match="No space left"):
            await save_all(downloads, done(server.serve("/a", picture())), tmp_path)

    async def test_folder_that_cannot_be_synced(
        self, server: FileServer, downloads: Downloads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Some network disks cannot sync a folder; the picture is there all the same.
        """
        synced: list[bool] = []
        fsync = os.fsync

        def only_files(descriptor: int) -> None:
            is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
            synced.append(is_folder)
            if is_folder:
                raise OSError(errno.EINVAL, "Invalid argument")
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", only_files)

        await save_all(downloads, done(server.serve("/a", picture())), tmp_path)

        assert synced == [False, True]
        assert files(tmp_path) == {"t1-0.png": PNG}

    @pytest.mark.parametrize(("times", "outcome"), [(0, None), (3, None), (99, PermissionError)])
    def test_windows_sharing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int, outcome: type[Exception] | None
    ) -> None:
        """
        On Windows a target that another program has open is waited for briefly, and folders are not synced.
        """
        delays: list[float] = []
        left = times
        replace = Path.replace

        def held_open(self: Path, target: Path) -> None:
            nonlocal left
            left -= 1
            if left >= 0:
                raise PermissionError(errno.EACCES, "in use")
            replace(self, target)

        def no_sync(*_: object) -> None:
            raise AssertionError

        monkeypatch.setattr(local, "_ON_WINDOWS", True)
        monkeypatch.setattr(time, "sleep", delays.append)
        monkeypatch.setattr(Path, "replace", held_open)
        monkeypatch.setattr(os, "open", no_sync)
        (tmp_path / "a").write_bytes(b"new")

        if outcome is None:
            local._replace(tmp_path / "a", tmp_path / "b")
            assert (tmp_path / "b").read_bytes() == b"new"
        else:
            with pytest.raises(outcome):
                local._replace(tmp_path / "a", tmp_path / "b")
        local._sync_folder(tmp_path)

        assert [0.01, 0.05, 0.25, 1.0][:times] == delays


class TestCancelling:
    async def test_at_every_step(self, server: FileServer, tmp_path: Path) -> None:
        """
        Cancelled at any turn of the loop, a saving leaves whole pictures or none, and no part, connection or turn.
        """
        downloads = quick(width=2)
        urls = [
            server.serve("/a", picture()),
            server.serve("/b", cut(), picture()),
            server.serve("/c", status(403), picture()),
        ]
        fates = set()
        for turns in range(2000):
            server.answers["/b"], server.answers["/c"] = [cut(), picture()], [status(403), picture()]
            folder = tmp_path / str(turns)
            saving = asyncio.ensure_future(save_all(downloads, done(*urls), folder, refresh=Refresh(done(*urls))))
            for _ in range(turns):
                await asyncio.sleep(0)
            was_done = saving.done()
            saving.cancel()
            await asyncio.wait([saving])

            found = files(folder)
            assert all(content == PNG for content in found.values()), turns
            assert {"t1-0.png", "t1-1.png", "t1-2.png"} >= set(found), turns
            fates.add(len(found))
            if was_done:
                break
            assert saving.cancelled()

        assert was_done
        assert len(await saving) == 3
        assert {0, 3} <= fates
        assert (downloads._limits._all._free, [*downloads._limits._hosts]) == (3, [])
        assert connections(downloads) == 0
        await downloads.aclose()

    async def hung_saving(
        self,
        server: FileServer,
        downloads: Downloads,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        error: OSError | None,
    ) -> tuple["asyncio.Task[list[Path]]", threading.Event]:
        fsync, hangs, go_on = os.fsync, asyncio.Event(), threading.Event()
        loop = asyncio.get_running_loop()

        def hang(descriptor: int) -> None:
            loop.call_soon_threadsafe(hangs.set)
            go_on.wait(5)
            if error:
                raise error
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", hang)
        saving = asyncio.ensure_future(save_all(downloads, done(server.serve("/a", picture())), folder))
        await hangs.wait()
        return saving, go_on

    @pytest.mark.parametrize("error", [None, OSError(errno.ENOSPC, "No space left")])
    async def test_in_the_middle_of_the_sync(
        self,
        server: FileServer,
        downloads: Downloads,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        error: OSError | None,
    ) -> None:
        """
        A cancellation, and a second one, wait for the thread: then the picture is whole, or gone if the disk refused.
        """
        saving, go_on = await self.hung_saving(server, downloads, tmp_path, monkeypatch, error)

        for _ in range(2):
            saving.cancel()
            await asyncio.wait([saving], timeout=0.01)
            assert not saving.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await saving

        assert ({} if error else {"t1-0.png": PNG}) == files(tmp_path)

    async def test_in_the_middle_of_a_write(
        self, server: FileServer, downloads: Downloads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        A cancellation, and a second one, wait for the thread: then the partial file is gone.
        """
        write, hangs, go_on = local.StagedFile.write, asyncio.Event(), threading.Event()
        loop = asyncio.get_running_loop()

        def hang(staged: local.StagedFile) -> None:
            write(staged)
            loop.call_soon_threadsafe(hangs.set)
            go_on.wait(5)

        monkeypatch.setattr(local.StagedFile, "write", hang)
        large = PNG + bytes(2 * local.WRITTEN_AT_ONCE)
        saving = asyncio.ensure_future(save_all(downloads, done(server.serve("/a", picture(large))), tmp_path))
        await hangs.wait()
        (part,) = files(tmp_path).values()
        assert large.startswith(part)

        for _ in range(2):
            saving.cancel()
            await asyncio.wait([saving], timeout=0.01)
            assert not saving.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await saving

        assert {} == files(tmp_path)

    async def test_in_the_middle_of_a_write_on_the_way_to_a_storage(
        self, server: FileServer, downloads: Downloads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        A cancellation waits for the thread: then the temporary file is gone, and nothing is stored.
        """
        write, hangs, go_on = storage_uploads.TempFile.write, asyncio.Event(), threading.Event()
        loop = asyncio.get_running_loop()

        def hang(temp: storage_uploads.TempFile) -> None:
            write(temp)
            loop.call_soon_threadsafe(hangs.set)
            go_on.wait(5)

        monkeypatch.setattr(storage_uploads.TempFile, "write", hang)
        url = server.serve("/a", picture(PNG + bytes(2 * local.WRITTEN_AT_ONCE)))
        stored, temp_dir = tmp_path / "stored", tmp_path / "temp"
        temp_dir.mkdir()
        saving = asyncio.ensure_future(
            downloads.save_file(
                Image(0, url), Storage(f"local://{stored}"), NameTemplate(NAME, "t1"), temp_dir=temp_dir
            )
        )
        await hangs.wait()
        assert len(files(temp_dir)) == 1

        saving.cancel()
        await asyncio.wait([saving], timeout=0.01)
        assert not saving.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await saving

        assert {} == files(tmp_path)

    async def test_timeout_around_a_read(self, server: FileServer, downloads: Downloads) -> None:
        """
        The caller's own timeout comes out as such.
        """

        async def silent(request: web.BaseRequest) -> web.StreamResponse:
            await server.closing.wait()
            return web.Response()

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await downloads.read(Image(0, server.serve("/a", silent)))


class TestOwner:
    async def test_closes_twice(self, server: FileServer, downloads: Downloads) -> None:
        """
        Closing twice is fine, also where nothing was ever fetched; a closed owner fetches nothing more.
        """
        await downloads.read(Image(0, server.serve("/a", picture())))

        await downloads.aclose()
        await downloads.aclose()

        assert "the client was closed" in await failure(downloads, server.base + "/a")
        assert repr(downloads) == "<Downloads closed, width 8>"

    async def test_closing_ends_transfers(self, server: FileServer, downloads: Downloads) -> None:
        """
        A running transfer fails when the owner is closed; it does not open a new session.
        """
        begun = asyncio.Event()

        async def silent(request: web.BaseRequest) -> web.StreamResponse:
            begun.set()
            await server.closing.wait()
            return web.Response()

        reading = asyncio.ensure_future(failure(downloads, server.serve("/a", silent)))
        await begun.wait()
        await downloads.aclose()

        assert "the client was closed" in await reading

    def test_repr_shows_no_proxy(self) -> None:
        """
        A proxy's address may hold a password.
        """
        assert "secret" not in repr(quick(HttpOptions(proxy="http://user:secret@proxy:3128")))

    def test_made_without_a_loop(self) -> None:
        """
        A client may be made before its loop runs.
        """
        downloads = quick()
        asyncio.run(downloads.aclose())

        assert downloads._closed
