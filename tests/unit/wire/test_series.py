"""
The pictures of a series, which have a list of their own.
"""

from typing import Any

import pytest

from kling_async.wire.codec import read_task, write_task
from kling_async.wire.tasks import Image, TaskOutput, TaskResult

ZERO, ONE, TWO = (Image(index, f"https://x.example/{index}.png") for index in range(3))


def item(image: Image) -> dict[str, Any]:
    """
    Return how a list shows *image*.
    """
    return {"index": image.index, "url": image.url}


def task(**result: Any) -> dict[str, Any]:
    """
    Return a task that has succeeded with this result.
    """
    return {"task_id": "1", "task_status": "succeed", "task_result": result}


@pytest.mark.parametrize(
    "result",
    [
        {"result_type": "series", "images": [], "series_images": [item(ONE), item(ZERO), item(TWO)]},
        {"result_type": "series", "series_images": [item(ZERO), item(ONE), item(TWO)], "videos": None, "audios": []},
        {"result_type": "series", "images": [item(ZERO), item(ONE), item(TWO)]},
        {"images": [item(TWO)], "series_images": [item(ZERO), item(ONE)]},
        {"images": [item(ZERO)], "series_images": [item(ZERO), item(ONE), item(TWO)]},
        {"images": None, "series_images": [item(ZERO), item(ONE), item(TWO)]},
    ],
)
def test_both_lists_are_read(result: dict[str, Any]) -> None:
    """
    The pictures are in order, each once, in whichever list they stand.
    """
    snapshot = read_task(task(**result))

    assert TaskOutput(images=(ZERO, ONE, TWO), is_series=True) == snapshot.task_result
    assert (ZERO, ONE, TWO) == TaskResult.of(snapshot).images


@pytest.mark.parametrize("series", [None, [], "x", {"url": "https://x.example/0.png"}])
def test_single_images_are_no_series(series: Any) -> None:
    """
    An empty list of the other kind harms nothing.
    """
    snapshot = read_task(task(result_type="single", images=[item(ZERO)], series_images=series))

    assert (ZERO,) == snapshot.task_result.images


def test_two_pictures_with_one_index() -> None:
    """
    If both lists number theirs from 0, those of the first list come first.
    """
    snapshot = read_task(task(images=[{"index": 0, "url": "https://x.example/a.png"}], series_images=[item(ZERO)]))

    assert ["https://x.example/a.png", ZERO.url] == [image.url for image in snapshot.task_result.images]
    assert [0, 1] == [image.index for image in snapshot.task_result.images]


def test_series_is_written_as_one() -> None:
    """
    A journal keeps it, and the emulator shows it, as the vendor does.
    """
    written = write_task(read_task(task(series_images=[item(ZERO), item(ONE)])))

    assert {"series_images": [item(ZERO), item(ONE)]} == written["task_result"]
    assert read_task(written).task_result.is_series
