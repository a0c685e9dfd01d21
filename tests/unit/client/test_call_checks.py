"""
Arguments of a client, and what to write instead of them.
"""

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest

from kling_async import (
    GATEWAY,
    OFFICIAL,
    AccessKey,
    Audio,
    Done,
    Image,
    ImageRequest,
    KlingClient,
    KlingError,
    TaskResult,
    TaskSnapshot,
    TaskStatus,
    Video,
)
from kling_async.client.call_checks import default_folder
from kling_async.errors import InvalidRequest

IMAGE = Image(0, "https://pictures.example/0.png")
SNAPSHOT = TaskSnapshot(task_id="t-1", task_status=TaskStatus.SUCCEEDED, status_word="succeed")
ONE = TaskResult("t-1", (IMAGE,), SNAPSHOT)


def make(**given: Any) -> KlingClient:
    return KlingClient(**{"api_key": "sk-0123456789", **given})


@pytest.mark.parametrize(
    ("argument", "value", "taken"),
    [
        ("api_key", b"sk-0123456789", "text or AccessKey(access_key, secret_key)"),
        ("api_key", ("access", "secret"), "text or AccessKey(access_key, secret_key)"),
        ("base_url", 5, "an absolute http(s) URL, as text"),
        ("dialect", 5, '"gateway", "official" or the path of a TOML file; or None'),
        ("dialect", "vendor", "a dialect is gateway or official, or the path of a TOML file"),
        ("session", "s", "of the class aiohttp.ClientSession, which is used and never closed; or None"),
        ("slots", "9", "a whole number of at least 1"),
        ("http", {}, "of the class kling_async.HttpOptions, such as HttpOptions(read_timeout=60)"),
        ("http", None, "of the class kling_async.HttpOptions"),
        ("retry", 3, "of the class kling_async.RetryPolicy, such as RetryPolicy(give_up_after=60)"),
        ("polling", 3, "of the class kling_async.PollPolicy, such as PollPolicy(max_delay=5)"),
        ("callbacks", "https://x.example", "kling_async.CallbackReceiver, such as CallbackReceiver("),
        ("on_event", [print], "on_event must be a function, and is <list>"),
    ],
)
def test_wrong_kinds_are_answered_with_what_is_taken(argument: str, value: object, taken: str) -> None:
    """
    The error names the argument; the client that failed leaves nothing behind that complains.
    """
    with pytest.raises((KlingError, TypeError)) as caught:
        make(**{argument: value})

    assert argument in str(caught.value)
    assert taken in str(caught.value)
    del caught
    gc.collect()  # an exception that is ignored in `__del__` would fail this test


@pytest.mark.parametrize(("name", "dialect"), [("gateway", GATEWAY), ("official", OFFICIAL), (" Official", OFFICIAL)])
def test_dialect_is_taken_by_name(name: Any, dialect: object) -> None:
    """
    As the command line takes it.
    """
    assert make(dialect=name).dialect is dialect


def test_dialect_of_a_pair_is_taken_by_name() -> None:
    """
    With the limits of such keys.
    """
    assert "legacy only" == KlingClient(AccessKey("a", "s" * 32), dialect="official").dialect.standard


@pytest.mark.parametrize(
    ("given", "way"),
    [
        (IMAGE, "path.write_bytes(await client.read(file))"),
        (SNAPSHOT, "client.save(TaskResult.of(snapshot))"),
        (Done(0, None, ImageRequest("a"), ONE), "client.save(outcome.result)"),
        ("t-1", "client.save(await client.handle(task_id))"),
        ([IMAGE], "give the result itself for all its files"),
        (None, "must be a TaskResult, as generate and wait return it"),
    ],
)
async def test_what_is_no_result_is_answered_with_what_to_write(given: Any, way: str, tmp_path: Path) -> None:
    """
    For what leads to a result.
    """
    async with make() as client:
        with pytest.raises(InvalidRequest, match="must be a TaskResult") as caught:
            await client.save(given, tmp_path)

    assert way in str(caught.value)


async def test_what_will_be_a_result_is_to_be_awaited() -> None:
    """
    A handle, and a call that was not awaited.
    """
    async with make() as client:
        later: Any = asyncio.get_running_loop().create_future()
        handle: Any = client.handle("t-1")

        with pytest.raises(InvalidRequest, match=r"write client\.save\(await handle\)"):
            await client.save(handle)
        with pytest.raises(InvalidRequest, match="await it first"):
            await client.save(later)


@pytest.mark.parametrize(
    ("given", "way"),
    [
        (ONE, "client.read(result.images[0])"),
        (TaskResult("t-1", (), SNAPSHOT, (Video(0, "https://x.example/0.mp4"),)), "client.read(result.videos[0])"),
        ([IMAGE], "call it for each"),
        ("https://pictures.example/0.png", "client.read(result.images[0])"),
    ],
)
async def test_what_is_no_file_is_answered_with_what_to_write(given: Any, way: str) -> None:
    """
    For a result, its first file.
    """
    async with make() as client:
        with pytest.raises(InvalidRequest, match="must be a file of a TaskResult") as caught:
            await client.read(given)

    assert way in str(caught.value)


@pytest.mark.parametrize(
    ("destination", "count", "call"),
    [
        ("out.png", 1, "client.save(result, '.', name=\"out{ext}\")"),
        (Path("a", "Out.JPG"), 2, "client.save(result, 'a', name=\"Out-{index}{ext}\")"),
    ],
)
async def test_name_of_a_file_is_no_folder(destination: Any, count: int, call: str) -> None:
    """
    The error has the call that names the file.
    """
    result = TaskResult("t-1", tuple(Image(index, f"https://x.example/{index}") for index in range(count)), SNAPSHOT)
    async with make() as client:
        with pytest.raises(InvalidRequest) as caught:
            await client.save(result, destination)

    assert call in str(caught.value)


def test_default_folder_is_named_by_what_is_in_it() -> None:
    """
    As the commands name it.
    """
    video, audio = Video(0, "https://x.example/0.mp4"), Audio(0, "https://x.example/0.mp3")

    assert [Path("pictures"), Path("videos"), Path("sounds"), Path("videos")] == [
        default_folder(TaskResult("t-1", *lists))
        for lists in (
            ((IMAGE,), SNAPSHOT),
            ((), SNAPSHOT, (video,)),
            ((), SNAPSHOT, (), (audio,)),
            ((), SNAPSHOT, (video,), (audio,)),
        )
    ]
