"""
The cost of pictures: how fast the emulator serves them, compared with files, and how long a gallery takes, compared
with bare thumbnails.

Client and service run in separate processes. The pictures of the gallery are hard links of a few drawn ones.
"""

import asyncio
import io
import itertools
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import aiohttp
from aiohttp import web
from PIL import Image

from benchmarks import apart
from benchmarks.figures import Figure, ratio
from kling_async import OFFICIAL, ImageRequest
from kling_async.emulator import Emulator
from kling_async.emulator.drawing.picture import draw
from kling_async.gallery import read_folder, write_gallery

if TYPE_CHECKING:
    from benchmarks.apart import Pipe

ROUNDS: Final = 5
REQUESTS: Final = 3000
AT_A_TIME: Final = 16
FEW: Final = 400
MANY: Final = 10_000
NEW: Final = 10

PROMPTS: Final = (
    "a lighthouse at dusk",
    "an aurora over snow",
    "a city at night",
    "dunes in the desert",
    "a forest in fog",
    "a meadow with flowers",
    "mountains at sunrise",
    "paper and quiet shapes",
    "peaks and a lake",
    "the sea and a boat",
    "a rocket in space",
)


class Spent(NamedTuple):
    """
    Elapsed and CPU seconds of a call.
    """

    seconds: float
    cpu: float


def spent_by(function: Callable[..., object], *given: object) -> Spent:
    began, cpu = time.perf_counter(), time.process_time()
    function(*given)
    return Spent(time.perf_counter() - began, time.process_time() - cpu)


async def serve_plain(pipe: "Pipe") -> None:
    async with Emulator(dialect=OFFICIAL, latency=(0.0, 0.0), slots=None, pictures="plain") as server:
        ended = time.time() - 60
        record = server.account.create(ImageRequest(PROMPTS[0]), ended)
        pipe.send(server.account.snapshot_of(record, time.time()).task_result.images[0].url)
        await asyncio.to_thread(pipe.recv)


async def serve_file(pipe: "Pipe", folder: str) -> None:
    app = web.Application()
    app.router.add_static("/", folder)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    pipe.send("http://{}:{}/plain.png".format(*runner.addresses[0][:2]))
    await asyncio.to_thread(pipe.recv)
    await runner.cleanup()


async def fetch(url: str, count: int) -> bytes:
    """
    Get the file *count* times, and return it.
    """
    content = b""

    async def fetch_some(turns: Iterable[int]) -> None:
        nonlocal content
        for _ in turns:
            async with session.get(url) as response:
                content = await response.read()
                assert response.ok

    async with aiohttp.ClientSession() as session:
        turns = iter(range(count))
        await asyncio.gather(*(fetch_some(turns) for _ in range(AT_A_TIME)))
    return content


def fetch_all(url: str, count: int) -> bytes:
    return asyncio.run(fetch(url, count))


def draw_one(prompt: str) -> bytes:
    return draw(prompt, index=0, seed=7, model_name="kling-v1")


def measure_rates(rounds: int) -> list[Figure]:
    apart.pin(0)
    with tempfile.TemporaryDirectory() as folder, apart.service(serve_plain) as ours:
        plain = ours.recv()
        (Path(folder) / "plain.png").write_bytes(fetch_all(plain, 1))
        with apart.service(serve_file, folder) as theirs:
            urls = {"plain pictures": plain, "static file": theirs.recv()}
            rates: dict[str, list[float]] = {name: [] for name in urls}
            for _, (name, url) in itertools.product(range(rounds), urls.items()):
                rates[name].append(REQUESTS / spent_by(fetch_all, url, REQUESTS).seconds)
    served, static = (Figure(f"pictures/{name}/rate", "per second", tuple(each)) for name, each in rates.items())
    return [served, static, ratio("pictures/plain pictures/rate to a static file", served, static)]


def measure_drawing(rounds: int) -> list[Figure]:
    drawings = [[spent_by(draw_one, prompt).cpu for prompt in PROMPTS] for _ in range(rounds + 1)]
    means = tuple(sum(each) / len(each) for each in drawings[1:])  # the first loads fonts
    return [Figure("pictures/drawn picture/CPU", "s", means)]


def fill(folder: Path, drawn: Sequence[Path], names: Iterable[int]) -> None:
    for number in names:
        os.link(drawn[number % len(drawn)], folder / f"{number:06}.png")


def make_bare(path: Path) -> None:
    with Image.open(path) as image:
        image.thumbnail((480, 480))
        image.convert("RGB").save(io.BytesIO(), "WEBP", quality=72)


def make_all_bare(folder: Path) -> None:
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        list(threads.map(make_bare, folder.iterdir()))


def measure_gallery(rounds: int) -> list[Figure]:
    bare: list[Spent] = []
    first: list[Spent] = []
    with tempfile.TemporaryDirectory() as name:
        folder, drawn = Path(name) / "pictures", [Path(name) / f"{index}.png" for index in range(len(PROMPTS))]
        folder.mkdir()
        for path, prompt in zip(drawn, PROMPTS, strict=True):
            path.write_bytes(draw_one(prompt))
        fill(folder, drawn, range(FEW))
        page = Path(name) / "gallery.html"

        def write() -> None:
            write_gallery(read_folder(folder), page)

        for _ in range(rounds):
            bare.append(spent_by(make_all_bare, folder))
            page.unlink(missing_ok=True)
            first.append(spent_by(write))
        fill(folder, drawn, range(FEW, MANY - NEW))
        page.unlink()
        all_new = spent_by(write)
        fill(folder, drawn, range(MANY - NEW, MANY))
        few_new = spent_by(write)
    few, many = f"gallery of {FEW}", f"gallery of {MANY}"
    thumbnails = Figure("pictures/bare thumbnails/time", "s", tuple(each.seconds for each in bare))
    gallery = Figure(f"pictures/{few}/time", "s", tuple(each.seconds for each in first))
    shares = ("time", few_new.seconds / all_new.seconds), ("CPU", few_new.cpu / all_new.cpu)
    return [
        thumbnails,
        gallery,
        ratio(f"pictures/{few}/time to bare thumbnails", gallery, thumbnails),
        Figure(f"pictures/{many}/time", "s", (all_new.seconds,)),
        *(Figure(f"pictures/{many}, {NEW} new/{what} to all new", "times", (share,)) for what, share in shares),
    ]


def measure(rounds: int | None) -> list[Figure]:
    given = rounds or ROUNDS
    gallery = apart.fresh(measure_gallery, given)  # on all cores
    return [*apart.fresh(measure_rates, given), *apart.fresh(measure_drawing, given), *gallery]
