"""
What the rates of saving are measured with: small pictures here.
"""

import asyncio
import io
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import PIL.Image
import pytest

from benchmarks import downloads
from benchmarks.downloads import WAYS, Cost, Server

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")

SIDE = 100


@pytest.fixture(scope="module")
def content() -> bytes:
    return downloads.picture(SIDE)


@pytest.fixture(scope="module")
def server(content: bytes) -> Iterator[Server]:
    with downloads.service(content) as server:
        yield server


def test_the_picture_is_one(content: bytes) -> None:
    """
    Others than ourselves read it, and it is as large as its pixels.
    """
    with PIL.Image.open(io.BytesIO(content)) as image:
        image.load()

        assert ("PNG", (SIDE, SIDE)) == (image.format, image.size)
    assert 3 * SIDE**2 < len(content) < 1.02 * 3 * SIDE**2


@pytest.mark.parametrize("name", WAYS)
def test_every_way_saves_every_file(name: str, server: Server, content: bytes, tmp_path: Path) -> None:
    """
    Whole, and under a name of its own.
    """
    if name == "curl" and shutil.which("curl") is None:
        pytest.skip("there is no curl")
    cost = asyncio.run(WAYS[name](server.url, tmp_path, 20))

    assert [content] * 20 == [path.read_bytes() for path in tmp_path.iterdir()]
    assert cost.seconds > 0
    assert cost.cpu > 0


def test_nothing_kept(server: Server, tmp_path: Path) -> None:
    """
    It only reads.
    """
    asyncio.run(downloads.nothing_kept(server.url, tmp_path, 20))

    assert [] == list(tmp_path.iterdir())


def test_a_block_of_the_loop_is_seen() -> None:
    """
    Whatever else happens, the loop stood still for that long.
    """

    async def block() -> None:
        await asyncio.sleep(0)
        threading.Event().wait(0.03)
        await asyncio.sleep(0)

    cost = asyncio.run(downloads.of_loop(block()))

    assert cost.lag >= 0.03 - downloads.TICK


def test_figures_are_of_a_file() -> None:
    """
    Each in the unit that it is told in.
    """
    cost = Cost(seconds=2.0, cpu=0.5, peak=3_000_000, lag=0.004, served=0.5)
    figures = downloads.figures_of("curl", [cost], count=100, size=2_000_000)

    assert {
        "downloads/curl/rate: 100 MB/s (100 to 100)",
        "downloads/curl/CPU per file: 5 ms (5 to 5)",
        "downloads/curl/peak memory: 3 MB (3 to 3)",
        "downloads/curl/share of the server's core: 0.25  (0.25 to 0.25)",
        "downloads/curl/worst loop lag: 4 ms (4 to 4)",
    } == set(map(str, figures))
