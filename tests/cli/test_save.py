import errno
import os
from pathlib import Path

import pytest

from kling_async.emulator import faults
from kling_async.media import local, storage
from tests.cli.conftest import Command, Here, ServedBy, know, lines_of, service
from tests.fakes.eventually import eventually


def test_finished_tasks(served: ServedBy) -> None:
    """
    Pictures of tasks that have ended are saved; which have not is told, with the command that waits for them.
    """
    kling = served()
    kling.has("done-1", n=2)
    kling.has("busy-1", ends_in=60)

    ended = kling("save", "done-1", "busy-1", "--out", "made")

    assert 1 == ended.code
    assert ["done-1-0.png", "done-1-1.png"] == sorted(path.name for path in Path("made").iterdir())
    assert "unfinished: busy-1: WaitTimeout: the task has not ended: submitted" in ended.out
    assert "1 done, 1 unfinished" in ended.out
    assert "  kling-async wait busy-1 --save --out made --base-url" in ended.out
    assert 2 == kling.server.ledger.reads


def test_from_a_list(served: ServedBy) -> None:
    """
    What `tasks --json` prints can be given to `save -` as it is.
    """
    kling = served()
    kling.has("done-1", "done-2")

    listed = kling("tasks", "--json")
    ended = kling("save", "-", stdin=listed.out)

    assert (0, "") == (ended.code, ended.err)
    assert {"done-1-0.png", "done-2-0.png"} == {path.name for path in Path("pictures").iterdir()}


def test_names(served: ServedBy) -> None:
    """
    Names follow a template, and a line of JSON tells under which index each picture is.
    """
    kling = served(faults=[faults.status("download", 404, times=1), faults.status("download", 404, after=2, times=1)])
    kling.has("done-1", n=2)

    ended = kling("save", "done-1", "--name", "fox {index}{ext}", "--json")

    (line,) = lines_of(ended.out)
    paths = {image["index"]: image["path"] for image in line["images"]}
    (lost,) = (index for index, path in paths.items() if path is None)
    assert (1, "DownloadFailed") == (ended.code, line["error"]["class"])
    assert f"pictures/fox {1 - lost}.png" == paths[1 - lost]
    assert "  kling-async save done-1 --out pictures --name 'fox {index}{ext}' --base-url" in ended.err


def test_storage(served: ServedBy) -> None:
    """
    Where a folder can be named, so can the URL of a storage; each picture is told with its own.
    """
    kling = served()
    kling.has("done-1", n=2)

    ended = kling("save", "done-1", "--out", "memory://pictures", "--json")

    (line,) = lines_of(ended.out)
    assert 0 == ended.code
    assert [f"memory://pictures/done-1-{index}.png" for index in range(2)] == [
        image["path"] for image in line["images"]
    ]


@pytest.mark.parametrize("place", ["nonsense://x", "sftp://me:word@host/x", "http://127.0.0.1/pictures"])
def test_no_storage(served: ServedBy, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A place that cannot be is a mistake in the command, and its password is not repeated.
    """
    monkeypatch.setattr(storage, "FIRST_DELAY", 0.01)
    kling = served()
    kling.has("done-1")

    ended = kling("save", "done-1", "--out", place)

    assert 2 == ended.code
    assert "--out" in ended.err
    assert "word@" not in ended.err
    assert 0 == kling.server.ledger.reads


def test_full_disk(served: ServedBy, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where there is no room it is exit code 7, and the way on is to fetch the pictures, never to make them again.
    """

    def full(_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(local.StagedFile, "commit", full)
    kling = served()
    kling.has("done-1")

    ended = kling("save", "done-1")

    assert 7 == ended.code
    assert "StorageFull: free some disk space, then save the files by the task id" in ended.out
    assert "  kling-async save done-1 --out pictures --base-url" in ended.out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["a", "b", "--name", "{index}{ext}"], "can give two tasks one name"),
        (["a", "--name", "fox{ext}"], "put {index} into it"),
        (["a", "--name", "{key}{ext}"], "unknown field {key}"),
        (["a", "--name", "{promt}{ext}"], "did you mean {prompt}?"),
        (["a", "--out", "fox.png"], 'must be a folder; to name the file, write --out "." --name'),
        (["a", "--out", "/dev/null/here"], "cannot save to"),
    ],
)
def test_wrong_usage(here: Here, words: list[str], told: str) -> None:
    """
    What would lose pictures is refused before anything is asked.
    """
    ended = here("save", *words)

    assert (2, "") == (ended.code, ended.out)
    assert told in " ".join(ended.err.replace("│", "").split())


async def test_interrupted(command: Command) -> None:
    """
    Ctrl-C tells which pictures are not saved, and the very command that saves them.
    """
    async with service(faults=[faults.delay_before("download", 60.0)]) as server:
        know(server, "done-1")
        async with command.to(server).running("save", "done-1", "--out", "made") as running:
            await eventually(lambda: server.ledger.downloads)
            running.interrupt()
            ended = await running.ended()

    assert 130 == ended.code
    assert "their files are not saved" in ended.err
    assert "\n  kling-async save done-1 --out made\n" in ended.err
    assert [] == list((command.folder / "made").iterdir())
