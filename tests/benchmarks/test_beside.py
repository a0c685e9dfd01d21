"""
What measures pictures beside a video: a short video and a few pictures here.
"""

import asyncio
import sys
from pathlib import Path

import pytest

from benchmarks import apart, beside, downloads
from kling_async.media.file_formats import FileEnd, find_ext

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")

SIZE = 3 * beside.PART // 2


def test_the_video_is_whole(tmp_path: Path) -> None:
    """
    It has the stated size, and ends where its own structure says.
    """
    with (tmp_path / "video").open("wb") as file:
        beside.write_video(file, SIZE)
    content = (tmp_path / "video").read_bytes()
    end = FileEnd.of(".mp4")
    end.feed(content)

    assert (SIZE, ".mp4", True) == (len(content), find_ext(content, "video"), end.is_reached)


@pytest.mark.parametrize("with_video", [False, True])
def test_everything_is_saved(tmp_path: Path, *, with_video: bool) -> None:
    """
    Each picture has a lag, and a video has a time only if there is one.
    """
    content = downloads.picture(40)
    with apart.service(beside.serve, content, SIZE, 100 * SIZE) as pipe:
        times = asyncio.run(beside.save(f"http://127.0.0.1:{pipe.recv()}", tmp_path, pictures=3, with_video=with_video))

    saved = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    video = {"film-0.mp4": SIZE} if with_video else {}
    assert {"first.png", "task-0-0.png", "task-1-0.png", "task-2-0.png"} == saved.keys() - video.keys()
    assert video.items() <= saved.items()
    assert (3, with_video) == (len(times.lags), times.video > 0)
    assert all(lag > 0 for lag in times.lags)


def test_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Each is measured once in a round.
    """
    monkeypatch.setattr(beside, "PACE", 100 * SIZE)
    figures = beside.measure(1, pictures=2, size=SIZE)

    assert {
        "beside/pictures alone/mean lag",
        "beside/pictures alone/longest lag",
        "beside/pictures beside a video/mean lag",
        "beside/pictures beside a video/longest lag",
        "beside/pictures beside a video/mean lag to that alone",
        "beside/video alone/rate",
        "beside/video beside pictures/rate",
        "beside/video beside pictures/rate to that alone",
        "beside/all/peak memory",
    } == {figure.name for figure in figures}
    assert {1} == {len(figure.values) for figure in figures}
