import asyncio
import contextlib
import os
import pickle
import sqlite3
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest

from kling_async import Batch, Done, Failed, ImageRequest, KlingClient
from kling_async.batch import database, function_calls
from kling_async.batch.executors import (
    LocalExecutor,
    Process,
    WorkItem,
    WorkResult,
    execute,
)
from kling_async.batch.function_calls import unpickle_value
from kling_async.batch.savers import Saver
from kling_async.emulator import Emulator, faults
from kling_async.errors import DownloadFailed, ProcessFailed
from kling_async.media.saved_files import SavedFile
from kling_async.media.storage import Storage
from tests.fakes import sample_functions
from tests.fakes.processes import lent_process, pool  # noqa: F401
from tests.fakes.storages import client, memory, server  # noqa: F401


async def run(client: KlingClient, folder: Path, *prompts: str, **options: Any) -> list[Done | Failed]:
    """
    Run a batch in *folder*, and return its outcomes in the order of the input.
    """
    async with Batch(folder / "run.kling", client) as batch:
        await batch.add(prompts)
        outcomes = [outcome async for outcome in batch.run(**{"save_to": folder / "pictures", **options})]
    return sorted(outcomes, key=lambda outcome: outcome.index)


class Own:
    """
    A remote executor as a program writes one: items go through its queue to where `execute` is called.
    """

    width = 3

    async def check(self, function: Process | None, destination: Path | Storage) -> None:
        pass

    async def execute(self, item: WorkItem) -> WorkResult:
        return await execute(pickle.loads(pickle.dumps(item)))  # noqa: S301 (as between machines)


async def test_function_is_called_in_another_process(client: KlingClient, tmp_path: Path) -> None:
    """
    In another process; values come in the order of the files, and are in the journal.
    """
    request = [ImageRequest("a lighthouse", n=3)]
    async with Batch(tmp_path / "run.kling", client) as batch:
        await batch.add(request)
        [done] = [each async for each in batch.run(tmp_path, process=sample_functions.measure)]
        [recorded] = [each async for each in batch.outcomes()]

    assert isinstance(done, Done)
    assert isinstance(recorded, Done)
    assert done.value == recorded.value
    assert [done.key] * 3 == [key for key, *_ in done.value]
    assert all(width > 0 and process != os.getpid() for _, width, _, process in done.value)


@pytest.mark.usefixtures("lent_process")
@pytest.mark.parametrize("save_to", ["memory://pictures/run", None])
async def test_function_gets_the_path_or_the_content(
    client: KlingClient, tmp_path: Path, memory: object, save_to: str | None
) -> None:
    """
    As a path from the disk, as bytes from a storage.
    """
    options = {} if save_to is None else {"save_to": save_to}

    [done] = await run(client, tmp_path, "a lighthouse", process=sample_functions.check, **options)

    assert isinstance(done, Done)
    assert (True,) == done.value


@pytest.mark.usefixtures("lent_process")
async def test_next_run_calls_the_function_for_the_rest(client: KlingClient, server: Emulator, tmp_path: Path) -> None:
    """
    A function given later gets the saved files, without another download, and each file once.
    """
    await run(client, tmp_path, "a lighthouse", "a fox")
    fetched = server.ledger.downloads

    failed = await run(client, tmp_path, process=sample_functions.fail)
    repeated = await run(client, tmp_path, process=sample_functions.nothing)
    none = await run(client, tmp_path, process=sample_functions.nothing)

    assert (fetched, 2) == (server.ledger.downloads, len(server.ledger.tasks))
    assert [(0, Done), (1, Failed)] == [(each.index, type(each)) for each in failed]
    assert [(1, (None,))] == [(each.index, each.value) for each in repeated if isinstance(each, Done)]
    assert [] == none


@pytest.mark.usefixtures("lent_process")
async def test_journals_of_before_have_room_for_values(client: KlingClient, tmp_path: Path) -> None:
    """
    One that a version without functions has made goes on with one.
    """
    path = tmp_path / "run.kling"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(database.MIGRATIONS[0])
        connection.execute(f"PRAGMA application_id = {database.APPLICATION_ID}")
        connection.execute("PRAGMA user_version = 1")
        facts = ("abc", client.base_url, client.dialect.name, client.core.transport.fingerprint("abc"))
        connection.execute("INSERT INTO journal (id, base_url, dialect, fingerprint) VALUES (?, ?, ?, ?)", facts)
        connection.commit()
    async with Batch(path, client) as batch:
        await batch.add(["a lighthouse"])

    [done] = await run(client, tmp_path, process=sample_functions.check)

    assert isinstance(done, Done)
    assert (True,) == done.value


@pytest.mark.usefixtures("lent_process")
async def test_failure_has_its_cause(client: KlingClient, tmp_path: Path) -> None:
    """
    The picture is there all the same.
    """
    [failed] = await run(client, tmp_path, "a fox", process=sample_functions.fail)

    assert isinstance(failed, Failed)
    assert isinstance(failed.error, ProcessFailed)
    assert 0 == failed.error.index
    assert "LookupError: no foxes" in str(failed.error)
    assert 1 == len(list((tmp_path / "pictures").iterdir()))


@pytest.mark.usefixtures("lent_process")
async def test_a_function_that_ends_the_program_has_failed(client: KlingClient, tmp_path: Path) -> None:
    """
    The program goes on.
    """
    [failed] = await run(client, tmp_path, "a fox", process=sample_functions.leave)

    assert isinstance(failed, Failed)
    assert "RuntimeError: it called sys.exit('enough')" in str(failed.error)


@pytest.mark.usefixtures("lent_process")
@pytest.mark.parametrize("executor", [None, Own()])
async def test_odd_errors_of_a_function(client: KlingClient, tmp_path: Path, executor: Any) -> None:
    """
    No error breaks an executor or a run, or fills a log.
    """
    outcomes = await run(
        client, tmp_path, *sample_functions.ODD, "a boat", process=sample_functions.fail_oddly, executor=executor
    )

    texts = [str(outcome.error) for outcome in outcomes if isinstance(outcome, Failed)]
    assert all(words in text for words, text in zip(sample_functions.ODD.values(), texts, strict=True))
    assert max(map(len, texts)) < 1500
    assert isinstance(outcomes[-1], Done)


@pytest.mark.usefixtures("lent_process")
async def test_value_that_cannot_be_pickled_is_a_failure(client: KlingClient, tmp_path: Path) -> None:
    """
    Of the function, and of no other row.
    """
    [failed] = await run(client, tmp_path, "a fox", process=sample_functions.unpicklable)

    assert isinstance(failed, Failed)
    assert isinstance(failed.error, ProcessFailed)


async def test_process_that_dies_is_replaced(client: KlingClient, tmp_path: Path) -> None:
    """
    What it was about to do is done by another.
    """
    async with LocalExecutor(1) as executor:  # two calls at a time
        done = await run(client, tmp_path, "a fox", "a boat", process=sample_functions.die_once, executor=executor)

    assert [("alive",)] * 2 == [each.value for each in done if isinstance(each, Done)]


async def test_call_that_kills_its_process_fails_alone(client: KlingClient, tmp_path: Path) -> None:
    """
    A picture on which every process dies fails alone.
    """
    prompts = ("a boat", "a fox", "a storm", "a lighthouse")

    outcomes = await run(client, tmp_path, *prompts, process=sample_functions.die_of_foxes, executor=LocalExecutor(1))

    assert [Done, Failed, Done, Done] == [type(each) for each in outcomes]


@pytest.mark.parametrize(
    ("process", "options", "message"),
    [
        (lambda source, facts: None, {}, "at the top of a module"),
        (sample_functions.nothing, {"save_to": None}, "say where with"),
        (None, {"executor": LocalExecutor(1)}, "only calls functions"),
        (sample_functions.later, {}, "not an `async` one"),
        ("sample_functions.nothing", {}, "must be a function"),
    ],
)
async def test_refused_before_anything_is_sent(
    client: KlingClient,
    server: Emulator,
    tmp_path: Path,
    process: Process | None,
    options: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(ValueError, match=message):
        await run(client, tmp_path, "a fox", process=process, **options)

    assert 0 == len(server.ledger.tasks)


@pytest.mark.parametrize("save_to", ["memory://pictures/run", None])
async def test_remote_executor_of_a_program(
    client: KlingClient, server: Emulator, tmp_path: Path, memory: object, save_to: str | None
) -> None:
    """
    It downloads, saves and calls, while the program's own client downloads nothing; failures of both kinds
    are reported.
    """
    options = {"executor": Own(), **({} if save_to is None else {"save_to": save_to})}

    done, failed = await run(client, tmp_path, "a boat", "a fox", process=sample_functions.fail, **options)
    checked = await run(client, tmp_path, process=sample_functions.check, **options)
    only_saved = await run(client, tmp_path, "a boat", "a fox", "a storm", **options)

    assert isinstance(done, Done)
    assert isinstance(failed, Failed)
    assert "LookupError: no foxes" in str(failed.error)
    assert [(True,)] == [each.value for each in checked if isinstance(each, Done)]
    assert [None] == [each.value for each in only_saved if isinstance(each, Done)]
    assert (3, None) == (server.ledger.downloads, client.core.files._downloads)


async def test_machines_that_have_another_folder(client: KlingClient, server: Emulator, tmp_path: Path) -> None:
    """
    A machine that comes later than the check may not share the folder: its rows fail, and the next run saves them.
    """

    class Apart(Own):
        async def execute(self, item: WorkItem) -> WorkResult:
            if "fox" in item.request.prompt:
                apart = tmp_path / "apart"
                item = attrs.evolve(item, destination=apart)
            return await super().execute(item)

    done, failed = await run(client, tmp_path, "a boat", "a fox", executor=Apart())
    [repeated] = await run(client, tmp_path, executor=Own())

    assert isinstance(done, Done)
    assert isinstance(failed, Failed)
    assert "apart is not the folder of this run on this machine" in str(failed.error)
    assert not (tmp_path / "apart").exists()
    assert isinstance(repeated, Done)
    assert 2 == len(server.ledger.tasks)


@pytest.mark.parametrize("answers", [[None, None], [OSError()], [None, OSError(), None, None]])
async def test_what_one_machine_has_written_is_seen_later(
    client: KlingClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: list[OSError | None]
) -> None:
    """
    Another machine may see a new file only after a while.
    """
    monkeypatch.setattr("kling_async.batch.savers.FIRST_DELAY", 0.001)
    left, size = list(answers), Saver._size

    async def look(saving: Saver, picture: SavedFile) -> int | None:
        answer = left.pop(0) if left else await size(saving, picture)
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr(Saver, "_size", look)

    outcomes = await run(client, tmp_path, "a boat", "a fox", executor=Own())

    assert [Done, Done] == [type(outcome) for outcome in outcomes]
    assert [] == left


async def test_remote_executor_that_cannot_fetch(tmp_path: Path) -> None:
    async with Emulator(latency=(0.02, 0.05), faults=[faults.status("download", 404)]) as server:
        async with KlingClient(server.api_key, base_url=server.url) as client:
            [failed] = await run(client, tmp_path, "a fox", executor=Own())

    assert isinstance(failed, Failed)
    assert isinstance(failed.error, DownloadFailed)


async def test_run_that_begins_while_another_checks_its_executor(client: KlingClient, tmp_path: Path) -> None:
    """
    While an executor is checked, no second run of the batch can begin.
    """
    may_go_on = asyncio.Event()

    class Slow(Own):
        async def check(self, function: Process | None, destination: Path | Storage) -> None:
            await may_go_on.wait()

    async with Batch(tmp_path / "run.kling", client) as batch:
        await batch.add(["a fox", "a boat"])
        slow = asyncio.ensure_future(anext(batch.run(tmp_path, executor=Slow())))
        await asyncio.sleep(0.01)
        async for outcome in batch.run(tmp_path):
            may_go_on.set()
            assert isinstance(outcome, Done)
            with pytest.raises(RuntimeError, match="running already"):
                await slow


@pytest.mark.parametrize("end", ["stop", "close", "cancel"])
async def test_run_that_is_ended_while_it_checks_its_executor(
    client: KlingClient, server: Emulator, tmp_path: Path, end: str
) -> None:
    """
    It ends at once; nothing is sent, and the executor is not asked again.
    """
    is_asked, was_cancelled = asyncio.Event(), []

    class Slow(Own):
        async def check(self, function: Process | None, destination: Path | Storage) -> None:
            is_asked.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                was_cancelled.append(True)
                raise

    async def outcomes() -> list[Done | Failed]:
        return [outcome async for outcome in batch.run(tmp_path, executor=Slow())]

    async with Batch(tmp_path / "run.kling", client) as batch:
        await batch.add(["a fox"])
        running = asyncio.ensure_future(outcomes())
        await is_asked.wait()
        match end:
            case "stop":
                batch.stop()
                assert [] == await running
            case "close":
                await batch.aclose()
                with pytest.raises(RuntimeError, match="not open"):
                    await running
            case _:
                running.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await running

    assert [True] == was_cancelled
    assert 0 == server.ledger.creates_received


async def test_function_may_change_its_file(client: KlingClient, tmp_path: Path) -> None:
    """
    It is there all the same.
    """
    [done] = await run(client, tmp_path, "a boat", process=sample_functions.change, executor=Own())

    assert isinstance(done, Done)
    assert done.value == (done.files[0].size_in_bytes - 1,)


async def test_a_value_that_cannot_be_loaded_here(client: KlingClient, tmp_path: Path) -> None:
    """
    Its row fails, each time, and no other does; the value stays in the journal.
    """

    class Far(Own):
        async def execute(self, item: WorkItem) -> WorkResult:
            result = await super().execute(item)
            if "fox" in item.request.prompt:
                result = attrs.evolve(result, saved=attrs.evolve(result.saved, pickled=b"conly_there\nThing\n."))
            return result

    outcomes = await run(client, tmp_path, "a fox", "a boat", process=sample_functions.nothing, executor=Far())
    async with Batch(tmp_path / "run.kling", client) as batch:
        recorded = [outcome async for outcome in batch.outcomes()]

    for failed, done in (outcomes, recorded):
        assert isinstance(failed, Failed)
        assert "cannot be loaded here: ModuleNotFoundError: No module named 'only_there'" in str(failed.error)
        assert isinstance(done, Done)
    assert 2 == len(list((tmp_path / "pictures").iterdir()))


def test_classes_of_the_main_module_are_found_again() -> None:
    """
    A process of a pool knows that module by another name.
    """
    assert "__main__" == unpickle_value(b"c__mp_main__\n__name__\n.")


async def test_a_value_has_a_limit(client: KlingClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(function_calls, "MAX_VALUE", 3)

    [failed] = await run(client, tmp_path, "a boat", process=sample_functions.dawdle, executor=Own())

    assert isinstance(failed, Failed)
    assert "of at most 3: write the value to a file" in str(failed.error)


PROGRAM = """
import asyncio, sys
from kling_async import Batch, KlingClient
from tests.fakes import sample_functions
from tests.fakes.processes import lent_process, pool  # noqa: F401

async def main():
    url, key, journal = sys.argv[1:]
    async with KlingClient(key, base_url=url) as client, Batch(journal, client) as batch:
        await client.submit("a cover")
        await batch.add(["a fox", "a boat"])
        async for outcome in batch.run(journal + ".pictures", process=sample_functions.nothing):
            print(outcome)

asyncio.run(main())
"""


async def test_a_program_that_is_not_guarded(server: Emulator, tmp_path: Path) -> None:
    """
    A process that loads it does not run it again; the error says how the program must begin, and no row is paid for.
    """
    script = tmp_path / "script.py"
    script.write_text(PROGRAM)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(script), server.url, server.api_key, str(tmp_path / "run.kling")),
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        stderr=asyncio.subprocess.PIPE,
    )
    _, texts = await process.communicate()

    assert 1 == process.returncode
    assert b"loads the program, and must not run it again" in texts
    assert b"ValueError: `process=` must be" in texts
    assert texts.strip().endswith(b'must begin under `if __name__ == "__main__":`')
    assert ["a cover"] == [task.prompt for task in server.ledger.tasks]
