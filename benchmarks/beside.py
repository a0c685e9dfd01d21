"""
Saving pictures beside a long video from the same host, by one client: whether either holds the other up.

Both come at a pace that the machine keeps up with, since without one, each would only get its share of the cores and of
the disk: the video at so many bytes a second, and a picture is asked for every few milliseconds.
"""

import asyncio
import contextlib
import itertools
import statistics
import tempfile
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import attrs

from benchmarks import apart
from benchmarks.downloads import MB, held, picture, results
from benchmarks.figures import Figure, ratio
from kling_async import OFFICIAL, KlingClient, TaskResult, TaskSnapshot, TaskStatus, Video

if TYPE_CHECKING:
    from benchmarks.apart import Pipe

ROUNDS: Final = 5
PICTURES: Final = 200
EVERY: Final = 0.025
"""
Seconds between two pictures.
"""
VIDEO: Final = 300 * MB
PACE: Final = 60 * MB
"""
Bytes of the video in a second.
"""
PART: Final = 1 << 20


# The server


def write_video(file: BinaryIO, size: int) -> None:
    """
    Write an MP4 of *size* bytes whose frames are zeros, which take no room on the disk.
    """

    def box(kind: bytes, length: int) -> bytes:
        return length.to_bytes(4) + kind

    start = box(b"ftyp", 16) + b"isom\0\0\0\0" + box(b"moov", 8)
    file.write(start + box(b"mdat", size - len(start)))
    file.truncate(size)
    file.flush()


async def serve(pipe: "Pipe", content: bytes, size: int, pace: int) -> None:
    """
    Respond to `/video.mp4` with a video at this *pace*, and to other requests with *content* at once.
    """
    loop = asyncio.get_running_loop()

    async def send_video(writer: asyncio.StreamWriter) -> None:
        began = time.monotonic()
        for start in range(0, size, PART):
            await asyncio.sleep(began + start / pace - time.monotonic())
            await loop.sendfile(writer.transport, video, start, min(PART, size - start))

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while asked := await reader.readuntil(b"\r\n\r\n"):
                is_video = asked.startswith(b"GET /video.mp4")
                kind, length = (b"video/mp4", size) if is_video else (b"image/png", len(content))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n" % (kind, length))
                if is_video:
                    await send_video(writer)
                else:
                    await loop.sendfile(writer.transport, file)
        writer.close()

    with tempfile.TemporaryFile() as file, tempfile.TemporaryFile() as video:
        file.write(content)
        file.flush()
        write_video(video, size)
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            pipe.send(server.sockets[0].getsockname()[1])
            await asyncio.to_thread(pipe.recv)


# The runs


@attrs.frozen
class Times:
    """
    The result of one run.

    Attributes:
        lags: Seconds from asking for a picture until it was saved, for each.
        video: Seconds for the video; 0 if there was none.
        peak: Peak memory in bytes, above the use before the run.
    """

    lags: tuple[float, ...]
    video: float
    peak: int


async def _seconds(work: Coroutine[Any, Any, object]) -> float:
    began = time.monotonic()
    await work
    return time.monotonic() - began


async def save(url: str, folder: Path, pictures: int, *, with_video: bool) -> Times:
    snapshot = TaskSnapshot(task_id="film", task_status=TaskStatus.SUCCEEDED)
    film = TaskResult(snapshot.task_id, (), snapshot, videos=(Video(0, f"{url}/video.mp4"),))
    async with KlingClient("sk-x", base_url=url, dialect=OFFICIAL) as client:
        await client.save(next(results(url, 1)), folder, name="first{ext}")  # opens what all of them use
        before = held("VmRSS")
        video = asyncio.ensure_future(_seconds(client.save(film, folder))) if with_video else None
        saves = []
        for result in results(url, pictures):
            saves.append(asyncio.ensure_future(_seconds(client.save(result, folder))))
            await asyncio.sleep(EVERY)
        lags = await asyncio.gather(*saves)
        return Times(tuple(lags), await video if video is not None else 0.0, held("VmHWM") - before)


def run(url: str, pictures: int, with_video: bool) -> Times:  # noqa: FBT001 (`fresh` takes no names)
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(save(url, Path(folder), pictures, with_video=with_video))


def _pictures(who: str, times: list[Times]) -> list[Figure]:
    return [
        Figure(f"beside/{who}/mean lag", "ms", tuple(1e3 * statistics.mean(each.lags) for each in times)),
        Figure(f"beside/{who}/longest lag", "ms", tuple(1e3 * max(each.lags) for each in times)),
    ]


def _video(who: str, size: int, times: list[Times]) -> Figure:
    return Figure(f"beside/{who}/rate", "MB/s", tuple(size / MB / each.video for each in times))


def measure(rounds: int | None, pictures: int = PICTURES, size: int = VIDEO) -> list[Figure]:
    plans = {"alone": (pictures, False), "together": (pictures, True), "video": (0, True)}
    times: dict[str, list[Times]] = {name: [] for name in plans}
    with apart.service(serve, picture(), size, PACE) as pipe:
        url = f"http://127.0.0.1:{pipe.recv()}"
        for _, (name, (count, with_video)) in itertools.product(range(rounds or ROUNDS), plans.items()):
            times[name].append(apart.fresh(run, url, count, with_video))
    alone, beside = _pictures("pictures alone", times["alone"]), _pictures("pictures beside a video", times["together"])
    video, slowed = (
        _video("video alone", size, times["video"]),
        _video("video beside pictures", size, times["together"]),
    )
    peak = Figure("beside/all/peak memory", "MB", tuple(each.peak / MB for each in times["together"]))
    return [
        *alone,
        *beside,
        ratio("beside/pictures beside a video/mean lag to that alone", beside[0], alone[0]),
        video,
        slowed,
        ratio("beside/video beside pictures/rate to that alone", slowed, video),
        peak,
    ]
