"""
`status`, `wait`, `save` and `tasks` with tasks that are no images: `--kind`, or a line of JSON, says what they are.
"""

import json
from collections.abc import AsyncIterator

import pytest

from kling_async import OFFICIAL, ImageRequest, KlingClient, TextToVideo
from kling_async.emulator import Emulator
from tests.cli.conftest import Command, lines_of, service

VENDOR = ("--dialect", "official")


@pytest.fixture
async def server() -> AsyncIterator[Emulator]:
    async with service(dialect=OFFICIAL) as server:
        yield server


async def submitted(server: Emulator) -> tuple[str, str]:
    """
    Return the ids of a video and of an image.
    """
    async with KlingClient(server.api_key, base_url=server.url, dialect=OFFICIAL) as client:
        video = await client.submit(TextToVideo("a boat", duration=3))
        image = await client.submit(ImageRequest("a lighthouse"))
        return video.task_id, image.task_id


async def test_a_video_is_waited_for_and_saved(command: Command, server: Emulator) -> None:
    """
    As its kind, under the name of a video, in a folder for videos.
    """
    video, _ = await submitted(server)
    call = command.to(server)

    waited = await call("wait", "--kind", "text-to-video", video, *VENDOR)
    looked = await call("status", "--kind", "text-to-video", video, *VENDOR)
    saved = await call("save", "--kind", "text-to-video", video, "--json", *VENDOR)

    assert (0, 0, 0) == (waited.code, looked.code, saved.code)
    assert f"  kling-async save {video} --kind text-to-video --dialect official" == waited.out.splitlines()[-1]
    assert looked.out.startswith(f"{video}  succeed")
    assert "1 file " in looked.out
    (line,) = lines_of(saved.out)
    assert ("text-to-video", [f"videos/{video}-0.mp4"]) == (line["endpoint"], [file["path"] for file in line["files"]])
    assert b"ftyp" == (command.folder / f"videos/{video}-0.mp4").read_bytes()[4:8]


async def test_lines_of_json_say_the_kind(command: Command, server: Emulator) -> None:
    """
    What one command prints, another reads: each line has its own kind, and `--kind` counts for those without.
    They are saved to one folder.
    """
    video, image = await submitted(server)
    call = command.to(server)

    listed = await call("tasks", "--kind", "text-to-video", "--json", *VENDOR)
    more = json.dumps({"task_id": image}) + "\n"
    waited = await call("wait", "--save", "--json", "-", *VENDOR, stdin=(listed.out + more).encode())

    lines = {line["task_id"]: line for line in lines_of(waited.out)}
    assert [("text-to-video", video)] == [(line["endpoint"], line["task_id"]) for line in lines_of(listed.out)]
    assert {"text-to-video", "image-generation"} == {line["endpoint"] for line in lines.values()}
    assert {"results"} == {file["path"].partition("/")[0] for line in lines.values() for file in line["files"]}
    assert (["video"], ["image"]) == tuple([file["kind"] for file in lines[each]["files"]] for each in (video, image))


async def test_a_video_without_its_kind_is_not_found(command: Command, server: Emulator) -> None:
    """
    The advice names the option, and a wrong name lists the right ones.
    """
    video, _ = await submitted(server)
    call = command.to(server)

    missed = await call("status", video, *VENDOR)
    wrong = await call("status", "--kind", "movie", video, *VENDOR)
    other = await call("status", "-", *VENDOR, stdin=b'{"task_id": "t-1", "endpoint": "movie"}')

    assert (1, 2, 2) == (missed.code, wrong.code, other.code)
    assert "--kind if it is no image" in missed.err
    assert "'movie' is not registered" in wrong.err
    assert "image-to-video" in wrong.err
    assert "'movie' is not registered" in other.err


async def test_interrupted_tasks_of_two_kinds(command: Command, server: Emulator) -> None:
    """
    There is a command for each kind that waits for its tasks again.
    """
    async with service(dialect=OFFICIAL, latency=(60.0, 60.0)) as slow:
        video, image = await submitted(slow)
        tasks = "".join(
            json.dumps({"task_id": each, "endpoint": kind}) + "\n"
            for each, kind in ((video, "text-to-video"), (image, "image-generation"))
        )
        ended = await command.to(slow)("wait", "-", "--timeout", "0.1", *VENDOR, stdin=tasks.encode())

    assert 1 == ended.code
    assert f"  kling-async wait {video} --kind text-to-video --dialect official" in ended.out.splitlines()
    assert f"  kling-async wait {image} --dialect official" in ended.out.splitlines()
