import asyncio

import pytest

from kling_async import OFFICIAL, KlingClient
from kling_async.emulator import Emulator, faults
from tests.cli.conftest import ServedBy, lines_of


async def fail_one(server: Emulator) -> str:
    async with KlingClient(server.api_key, base_url=server.url, dialect=OFFICIAL) as client:
        return (await client.submit("a storm")).task_id


def test_one_line_each(served: ServedBy, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Off a terminal each task is a plain line in the order of the ids, also where colours are forced; each is read once.
    """
    monkeypatch.setenv("FORCE_COLOR", "1")
    kling = served()
    kling.has("done-1", n=2)
    kling.has("busy-1", ends_in=60)

    ended = kling("status", "done-1", "busy-1", "done-1")

    assert (0, "") == (ended.code, ended.err)
    assert [
        "done-1  succeed        0.0 s   2 files   16 units",
        "busy-1  submitted      0.0 s   0 files    - units",
    ] == ended.out.splitlines()
    assert 2 == kling.server.ledger.reads


def test_unknown_hides_nothing(served: ServedBy) -> None:
    """
    A task that the service does not know is exit code 1 and told with advice; the others are shown all the same.
    """
    kling = served()
    kling.has("done-1", "done-2")

    ended = kling("status", "done-1", "wrong", "done-2", "--json")

    first, wrong, second = lines_of(ended.out)
    assert 1 == ended.code
    assert ("succeed", None, "succeed") == (first["status"], wrong["status"], second["status"])
    assert "TaskNotFound" == wrong["error"]["class"]
    assert (
        "TaskNotFound: check the task id, the account, --base-url, and --kind if it is no image: avatar, " in ended.err
    )
    assert " text-to-video, " in ended.err


def test_failed_task(served: ServedBy) -> None:
    """
    A failed task is exit code 1, with the service's reason.
    """
    kling = served(faults=[faults.failing_task(prompt="storm")])
    task_id = asyncio.run(fail_one(kling.server))

    told, ended = kling("status", task_id), kling("status", task_id, "--json")

    (line,) = lines_of(ended.out)
    assert (1, 1) == (told.code, ended.code)
    assert told.out.endswith("Failure to pass the risk control system\n")
    assert ("failed", "Failure to pass the risk control system") == (line["status"], line["message"])
    assert "TaskFailed" == line["error"]["class"]


def test_ids_from_stdin(served: ServedBy) -> None:
    """
    Ids come one per line, or as what another command printed with `--json`; none at all is nothing to do. Blanks around
    them are ignored, here as in arguments.
    """
    kling = served()
    kling.has("done-1", "done-2", "done-3")

    ended = kling("status", "done-1", "-", stdin='\n done-2\t\n{"task_id": "done-3 "}\n')
    copied = kling("status", " done-1\n", "\tdone-2 ")
    nothing = kling("status", "-", stdin="\n")

    assert ["done-1", "done-2", "done-3"] == [line.split()[0] for line in ended.out.splitlines()]
    assert ["done-1", "done-2"] == [line.split()[0] for line in copied.out.splitlines()]
    assert (0, "", "stdin contains no task id.\n") == (nothing.code, nothing.out, nothing.err)


@pytest.mark.parametrize(
    ("task_id", "stdin", "told"),
    [
        ("..", "", "invalid task id '..'"),
        ("-", '{"task_id": null}\n', "no task_id in"),
        ("-", "{nonsense\n", "no task_id in"),
        ("-", '{"a":' * 100_000 + "\n", "no task_id in"),
        ("-", "{\x1b\n", r"'{\x1b'"),
        ("-", f"{'x' * 100_000}\n", "invalid task id"),
        ("x" * 100_000, "", "invalid task id"),
    ],
)
def test_no_id(served: ServedBy, task_id: str, stdin: str, told: str) -> None:
    """
    What cannot be an id is wrong usage, and nothing is asked.
    """
    kling = served()

    ended = kling("status", "done-1", task_id, stdin=stdin)

    assert (2, "") == (ended.code, ended.out)
    assert told in ended.err
    assert len(ended.err) < 1000
    assert 0 == kling.server.ledger.reads


def test_dead_service(served: ServedBy) -> None:
    """
    What is tried again is told; in the end it is exit code 5.
    """
    kling = served()

    ended = kling.here("status", "a", "b", "--base-url", "http://127.0.0.1:9", "--give-up-after", "0.1")

    assert 5 == ended.code
    assert 2 == len(ended.out.splitlines())
    assert "NotSent: check the network" in ended.err
    assert "retrying: no connection" in ended.err
