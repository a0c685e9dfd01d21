import asyncio

import pytest

from kling_async.emulator import faults
from tests.cli.conftest import Command, ServedBy, know, lines_of, service
from tests.cli.test_status import fail_one


def test_waits_for_all(served: ServedBy, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Each task is a line when it has ended, also where colours are forced; pictures are left where they are, and the
    command that fetches them is told.
    """
    monkeypatch.setenv("FORCE_COLOR", "1")
    kling = served()
    kling.has("done-1", n=2)
    kling.has("busy-1", ends_in=0.3)

    ended = kling("wait", "busy-1", "done-1")

    first, second, *rest = ended.out.splitlines()
    assert (0, "") == (ended.code, ended.err)
    ends = {line.partition("s] ")[2] for line in (first, second)}  # in either order, where the machine is busy
    assert {"2/2 done: done-1: 2 pictures", "1/2 done: busy-1: 1 picture"} == ends
    assert "pictures  3, not saved" in rest
    assert f"  kling-async save busy-1 done-1 --base-url {kling.server.url} --dialect official" == rest[-1]
    assert "\x1b" not in ended.out
    assert 0 == kling.server.ledger.downloads


@pytest.mark.parametrize(("words", "folder"), [(["--save"], "pictures"), (["--out", "made"], "made")])
def test_save(served: ServedBy, words: list[str], folder: str) -> None:
    """
    `--save` and `--out` save the pictures; a line of JSON tells where.
    """
    kling = served()
    kling.has("done-1", n=2)

    ended = kling("wait", "done-1", "--json", *words)

    (line,) = lines_of(ended.out)
    assert (0, "succeed", None) == (ended.code, line["status"], line["error"])
    assert [f"{folder}/done-1-0.png", f"{folder}/done-1-1.png"] == [image["path"] for image in line["images"]]
    assert "2 of" not in ended.err
    assert "kling-async" not in ended.err


def test_deadline(served: ServedBy) -> None:
    """
    A task that has not ended in time is exit code 1 and counts as none that failed; the way to go on keeps the folder.
    """
    kling = served()
    kling.has("busy-1", ends_in=60)

    ended = kling("wait", "busy-1", "--timeout", "0.1", "--out", "my own")

    assert 1 == ended.code
    assert "1/1 unfinished: busy-1: WaitTimeout" in ended.out
    assert "0 done, 1 unfinished" in ended.out
    assert "  kling-async wait busy-1 --save --out 'my own' --base-url" in ended.out


def test_failed_and_wrong(served: ServedBy) -> None:
    """
    A task that fails, and one that nobody knows: told at once, waited for in case it is new, and not said to be paid.
    """
    kling = served(faults=[faults.failing_task(prompt="storm")])
    task_id = asyncio.run(fail_one(kling.server))

    ended = kling("wait", task_id, "wrong", "--timeout", "0.1")

    assert 1 == ended.code
    assert f"failed: {task_id}: TaskFailed" in ended.out
    assert "retrying: Task not found" in ended.out
    assert "unfinished: wrong: WaitTimeout" in ended.out
    assert "kling-async wait" not in ended.out


def test_dead_service(served: ServedBy) -> None:
    """
    A service that is not there is no reason to wait until the deadline.
    """
    ended = served().here("wait", "a", "--base-url", "http://127.0.0.1:9", "--give-up-after", "0.1")

    assert 5 == ended.code
    assert "retrying: no connection" in ended.out


async def test_interrupted(command: Command) -> None:
    """
    Ctrl-C tells that the tasks go on, and the very command that waits for them again.
    """
    async with service() as server:
        know(server, "busy-1", "busy-2", ends_in=60)
        async with command.to(server).running("wait", "busy-1", "busy-2", "wrong") as running:
            await running.until("retrying")
            running.interrupt()
            ended = await running.ended()

    assert 130 == ended.code
    assert "These tasks are still running at the service:" in ended.err
    assert "\n  kling-async wait busy-1 busy-2 wrong\n" in ended.err
    assert "Traceback" not in ended.err
