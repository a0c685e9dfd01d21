"""
Disks, journals, clocks, inputs and programs that fail a batch: each ends in a clear error, and nothing is lost.
"""

import asyncio
import contextlib
import itertools
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from kling_async import GATEWAY, OFFICIAL, Batch, Dialect, Done, ImageRequest, Keyed
from kling_async.batch import database as database_module
from kling_async.emulator import Emulator, faults
from kling_async.errors import (
    InvalidRequest,
    JournalCorrupt,
    JournalLocked,
    JournalMismatch,
    StorageFull,
)
from tests.fakes.batches import (
    PROMPTS,
    client_of,
    copied,
    counts_of,
    draw,
    emulator,
    files_in,
    journal_of,
    opened,
    outcomes_of,
    tasks_per_prompt,
    told,
    until,
)
from tests.fakes.small_disks import mount, mounted
from tests.fakes.subprocesses import kill

DIALECTS = pytest.mark.parametrize("dialect", [OFFICIAL, GATEWAY], ids=lambda dialect: dialect.name)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """
    A disk of 3 MiB.
    """
    with mounted(tmp_path / "disk", "size=3m") as disk:
        yield disk


def fill(disk: Path, leave: int = 0) -> Path:
    """
    Leave but so many bytes of a disk, and return the file whose end makes room again.
    """
    filler = disk / "filler"
    free = shutil.disk_usage(disk).free
    filler.write_bytes(bytes(max(0, free - leave)))
    return filler


async def bring_to_its_end(server: Emulator, path: Path, folder: Path | None = None) -> None:
    """
    Run the batch at *path* again as a new program, and see to it that each request has one task and its pictures.
    """
    async with opened(server, path) as batch:
        await outcomes_of(batch, save_to=folder)

        assert {"finished" if folder is None else "saved": 6} == counts_of(await batch.summary())
    assert dict.fromkeys(PROMPTS, 1) == tasks_per_prompt(server)


# Disks


async def test_full_disk_of_pictures(tmp_path: Path, small_disk: Path) -> None:
    """
    The run says that there is no room, leaves no half picture, and saves the rest when there is; nothing is paid anew.
    """
    async with emulator(slots=2, pictures="drawn", picture_scale=0.3) as server:
        async with opened(server, tmp_path / "run.kling", slots=2) as batch:
            await batch.add(PROMPTS)
            filler = fill(small_disk, leave=100_000)
            saved = []
            with pytest.raises(StorageFull, match="could not be written: No space left on device; make room"):
                async for outcome in batch.run(save_to=small_disk / "pictures"):
                    saved += [outcome]
            summary = await batch.summary()

            assert len(saved) == summary.saved == len(files_in(small_disk / "pictures")) < 6
            assert {"saved", "finished", "queued"} >= counts_of(summary).keys()
            assert summary.saved + summary.finished == len(server.ledger.tasks)

        filler.unlink()
        await bring_to_its_end(server, tmp_path / "run.kling", small_disk / "pictures")

        assert 6 == len(files_in(small_disk / "pictures"))


@DIALECTS
async def test_full_disk_of_the_journal_sends_nothing(tmp_path: Path, small_disk: Path, dialect: Dialect) -> None:
    """
    Where what is about to be sent cannot be written down, it is not sent.
    """
    async with emulator(dialect) as server:
        async with opened(server, small_disk / "run.kling") as batch:
            await batch.add(PROMPTS)
            filler = fill(small_disk)
            with pytest.raises(StorageFull, match=r"there is no room left|takes no more"):
                await outcomes_of(batch)

            assert {"queued": 6} == counts_of(await batch.summary())
            assert 0 == server.ledger.creates_received

        filler.unlink()
        await bring_to_its_end(server, small_disk / "run.kling")


async def test_disk_that_fills_up_during_a_run_keeps_the_ids(tmp_path: Path, small_disk: Path) -> None:
    """
    A reserve keeps room for the ids of tasks whose submits are running when the disk becomes full.
    """
    async with emulator(GATEWAY, faults.delay_after("create", 0.3), slots=3, latency=(0.5, 0.5)) as server:
        async with opened(server, small_disk / "run.kling", slots=3) as batch:
            await batch.add(PROMPTS)
            running = asyncio.ensure_future(outcomes_of(batch))
            while len(server.ledger.tasks) < 3:
                await asyncio.sleep(0.005)
            filler = fill(small_disk)
            with pytest.raises(StorageFull):
                await running
            summary = await batch.summary()

            assert 3 == summary.accepted + summary.finished == len(server.ledger.tasks)

        filler.unlink()
        await bring_to_its_end(server, small_disk / "run.kling")


async def test_journal_that_has_no_room_is_not_begun(small_disk: Path) -> None:
    """
    On a full disk there is an error that says so, and when there is room a journal.
    """
    async with emulator() as server:
        filler = fill(small_disk)
        with pytest.raises(StorageFull, match="make room"):
            async with opened(server, small_disk / "run.kling"):
                pass
        filler.unlink()
        async with opened(server, small_disk / "run.kling") as batch:
            assert 0 == (await batch.summary()).rows


async def test_read_only_folder_for_pictures(tmp_path: Path) -> None:
    """
    Pictures that cannot be written are told with the reason, and are saved elsewhere by the next run.
    """
    with mounted(tmp_path / "disk", "ro") as disk:
        async with emulator() as server:
            async with opened(server, tmp_path / "run.kling") as batch:
                await batch.add(PROMPTS)
                outcomes = await outcomes_of(batch, save_to=disk)

                assert ["DownloadFailed"] * 6 == [word for _, _, word in map(told, outcomes)]
                assert "Read-only file system" in str(outcomes[0])
                assert {"finished": 6} == counts_of(await batch.summary())

            await bring_to_its_end(server, tmp_path / "run.kling", tmp_path / "pictures")


async def test_read_only_folder_of_the_journal(tmp_path: Path) -> None:
    """
    A journal that cannot be written is not opened, and the error names it.
    """
    with mounted(tmp_path / "disk", "size=3m") as disk:
        async with emulator() as server:
            async with opened(server, disk / "run.kling") as batch:
                await batch.add(PROMPTS)
            mount(disk, "-o", "remount,ro")
            for name in ("run.kling", "new.kling"):
                with pytest.raises(OSError, match=f"Read-only file system.*{name}"):
                    async with opened(server, disk / name):
                        pass
            mount(disk, "-o", "remount,rw")
            await bring_to_its_end(server, disk / "run.kling")


async def test_disk_that_turns_read_only_during_a_run(tmp_path: Path) -> None:
    """
    A journal that cannot be written stops the submitting; the run raises that after the running tasks have ended.
    """
    async with emulator(GATEWAY, slots=3, latency=(0.3, 0.3)) as server:
        async with opened(server, tmp_path / "run.kling", slots=3) as batch:
            await batch.add(PROMPTS)
            running = asyncio.ensure_future(outcomes_of(batch))
            await until(batch, accepted=3)
            await set_read_only(batch, is_so=True)
            with pytest.raises(OSError, match="the journal cannot be"):
                await running
            await set_read_only(batch, is_so=False)

            assert {"accepted": 3, "queued": 3} == counts_of(await batch.summary())
            assert 3 == len(server.ledger.tasks)

        await bring_to_its_end(server, tmp_path / "run.kling")


async def set_read_only(batch: Batch, *, is_so: bool) -> None:
    journal = journal_of(batch)
    await journal._writer.run(journal._database.execute, f"PRAGMA query_only = {is_so:d}")


# Journals


def files_of(path: Path) -> list[Path]:
    """
    Return a journal and what lies beside it.
    """
    return sorted(path.parent.glob(path.name + "*"))


async def test_journal_that_is_moved_away_in_the_middle(tmp_path: Path) -> None:
    """
    Nothing is sent any more of which nobody would know; put back, the journal knows of all that was.
    """
    path, away = tmp_path / "run.kling", tmp_path / "away"
    away.mkdir()
    async with emulator(GATEWAY, slots=3, latency=(0.3, 0.3)) as server:
        async with opened(server, path, slots=3) as batch:
            await batch.add(PROMPTS)
            running = asyncio.ensure_future(outcomes_of(batch))
            await until(batch, accepted=3)
            for file in files_of(path):
                file.rename(away / file.name)
            with pytest.raises(JournalCorrupt, match=r"was moved or deleted while it was in use; put"):
                await running

            assert 3 == len(server.ledger.tasks)

        for file in files_of(away / path.name):
            file.rename(tmp_path / file.name)
        await bring_to_its_end(server, path)


async def test_journal_that_is_deleted_in_the_middle(tmp_path: Path) -> None:
    """
    Nothing is sent any more; and who has a copy goes on with that, where ids of ours are taken, without paying twice.
    """
    path = tmp_path / "run.kling"
    async with emulator(OFFICIAL, slots=3, latency=(0.3, 0.3)) as server:
        async with opened(server, path, slots=3) as batch:
            await batch.add(PROMPTS)
            copy = copied(path, "copy")
            running = asyncio.ensure_future(outcomes_of(batch))
            await until(batch, accepted=3)
            for file in files_of(path):
                file.unlink()
            with pytest.raises(JournalCorrupt, match="was moved or deleted"):
                await running

            assert 3 == len(server.ledger.tasks)

        await bring_to_its_end(server, copy)


async def test_copy_of_a_journal_in_use_without_its_log_is_refused(tmp_path: Path) -> None:
    """
    Such a copy lacks the last submits. The error names the missing file; with that file the journal opens.
    """
    path = tmp_path / "run.kling"
    async with emulator(GATEWAY, slots=3, latency=(0.3, 0.3)) as server:
        async with opened(server, path, slots=3) as batch:
            await batch.add(PROMPTS)
            running = asyncio.ensure_future(outcomes_of(batch))
            await until(batch, accepted=3)
            copy = copied(path, "copy")
            for file in files_of(copy)[1:]:
                file.rename(tmp_path / f"kept {file.name}")
            with pytest.raises(JournalCorrupt, match=r"Bring 'run\.kling-wal' along"):
                async with opened(server, copy):
                    pass
            running.cancel()
            await asyncio.wait({running})
        (tmp_path / "kept run.kling-wal").rename(copy.parent / "run.kling-wal")
        await bring_to_its_end(server, copy)


@pytest.mark.parametrize("content", [b"", b"garbage" * 9999, None], ids=["empty", "garbage", "damaged"])
async def test_damaged_journal_is_refused_and_restored_from_a_copy(tmp_path: Path, content: bytes | None) -> None:
    """
    What is no whole journal is not worked on; an old copy in its place makes no task twice where ids are taken.
    """
    path = tmp_path / "run.kling"
    async with emulator(OFFICIAL) as server:
        async with opened(server, path) as batch:
            await batch.add(PROMPTS)
        copy = copied(path, "copy")
        async with opened(server, path) as batch:
            await outcomes_of(batch)
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2] if content is None else content)
        if content != b"":
            with pytest.raises(JournalCorrupt, match="restore it from a copy|give another path"):
                async with opened(server, path):
                    pass
        shutil.copy(copy, path)
        await bring_to_its_end(server, path)


async def test_damage_in_the_middle_is_found_at_the_next_start(tmp_path: Path) -> None:
    """
    A journal that is overwritten while it is in use stops the run or the next start; a copy goes on with no task twice.
    """
    path = tmp_path / "run.kling"
    async with emulator(OFFICIAL, slots=3, latency=(0.3, 0.3)) as server:
        with contextlib.suppress(JournalCorrupt, StorageFull):
            async with opened(server, path, slots=3) as batch:
                await batch.add(PROMPTS)
                copy = copied(path, "copy")
                running = asyncio.ensure_future(outcomes_of(batch))
                await until(batch, accepted=3)
                with path.open("r+b") as file:
                    file.write(b"garbage" * 9999)
                await running
        with pytest.raises(JournalCorrupt):
            async with opened(server, path):
                pass
        await bring_to_its_end(server, copy)


async def test_journal_of_a_later_version_is_refused(tmp_path: Path) -> None:
    """
    What a later version may have written is not touched by this one.
    """
    path = tmp_path / "run.kling"
    async with emulator() as server:
        async with opened(server, path) as batch:
            await batch.add(PROMPTS)
        for version in (99, len(database_module.MIGRATIONS)):
            with contextlib.closing(sqlite3.connect(path)) as connection:
                connection.execute(f"PRAGMA user_version = {version}")
            if version == 99:
                with pytest.raises(JournalMismatch, match="was created by a later version"):
                    async with opened(server, path):
                        pass
        await bring_to_its_end(server, path)


# Clocks, programs, inputs, accounts


async def test_clock_may_jump(tmp_path: Path) -> None:
    """
    Nothing depends on the clock: it may jump an hour back and forth at each reading, and before a resume.
    """
    hours = itertools.cycle([1e9, 1e9 + 3600, 1e9 - 3600])
    path = tmp_path / "run.kling"
    async with emulator(slots=3, latency=(0.1, 0.2)) as server:
        async with client_of(server) as client, Batch(path, client, clock=lambda: next(hours)) as batch:
            await batch.add(PROMPTS)
            async with contextlib.aclosing(batch.run()) as outcomes:
                await anext(outcomes)
        async with client_of(server) as client, Batch(path, client, clock=lambda: 0.0) as batch:
            await outcomes_of(batch)

            assert {"finished": 6} == counts_of(await batch.summary())
        assert dict.fromkeys(PROMPTS, 1) == tasks_per_prompt(server)


ANOTHER_PROGRAM = """
import asyncio, sys
from kling_async import OFFICIAL, Batch, KlingClient

async def main():
    path, base_url, key = sys.argv[1:]
    async with KlingClient(key, base_url=base_url, dialect=OFFICIAL) as client, Batch(path, client) as batch:
        print("open", flush=True)
        sys.stdin.readline()

asyncio.run(main())
"""


async def start_another(path: Path, server: Emulator) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    words = ("-c", ANOTHER_PROGRAM, str(path), server.url, server.api_key)
    return await asyncio.create_subprocess_exec(
        sys.executable, *words, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
    )


async def test_two_programs_on_one_journal(tmp_path: Path) -> None:
    """
    The second is told to wait; when the first has ended, or was killed, the journal is free.
    """
    path = tmp_path / "run.kling"
    async with emulator() as server:
        async with opened(server, path) as batch:
            await batch.add(PROMPTS)
            refused = await start_another(path, server)
            try:
                _, said = await refused.communicate(b"\n")
            finally:
                await kill(refused)

            assert b"JournalLocked" in said.splitlines()[-1]

            with pytest.raises(JournalLocked, match="another process works on .*: wait for its end, or stop it"):
                async with opened(server, path):
                    pass
            await outcomes_of(batch)
        other = await start_another(path, server)

        assert other.stdout is not None
        assert b"open\n" == await other.stdout.readline()
        with pytest.raises(JournalLocked):
            async with opened(server, path):
                pass
        await kill(other)
        await bring_to_its_end(server, path)


async def test_two_programs_on_one_account(tmp_path: Path) -> None:
    """
    Two journals of one input have ids of their own: each program makes its tasks, and finds no others.
    """
    async with emulator(slots=4) as server:
        async with opened(server, tmp_path / "one.kling") as one, opened(server, tmp_path / "two.kling") as two:
            for batch in (one, two):
                await batch.add(PROMPTS)
            await asyncio.gather(outcomes_of(one), outcomes_of(two))
            made = [
                outcome.result.task_id
                for batch in (one, two)
                async for outcome in batch.outcomes()
                if isinstance(outcome, Done)
            ]

        assert dict.fromkeys(PROMPTS, 2) == tasks_per_prompt(server)
        assert 12 == len({*made})
        assert 0 == server.ledger.duplicates_refused


async def test_input_that_is_edited_between_two_runs(tmp_path: Path) -> None:
    """
    A line that was changed is a new row, and the old one is told as missing; under its old key it is refused.
    """
    async with emulator() as server:
        async with opened(server, tmp_path / "run.kling") as batch:
            await batch.add([*PROMPTS, Keyed("a mole", "order-17")])
        async with opened(server, tmp_path / "run.kling") as batch:
            with pytest.raises(InvalidRequest, match="is the key of another request"):
                await batch.add([*PROMPTS[:5], Keyed("a harbour", "order-17")])
            added = await batch.add([*PROMPTS[:5], "a harbour"])

            assert (1, 5, 2) == attrs.astuple(added)
            assert 2 == await batch.drop_missing()

            await outcomes_of(batch)

        assert {**dict.fromkeys(PROMPTS[:5], 1), "a harbour": 1} == tasks_per_prompt(server)


async def test_paid_rows_are_never_missing(tmp_path: Path) -> None:
    """
    Forgetting what a new input lacks forgets no row that was sent.
    """
    async with emulator(latency=(5, 5)) as server:
        async with opened(server, tmp_path / "run.kling") as batch:
            await batch.add(PROMPTS)
            await outcomes_of(batch, timeout=0.1)
            added = await batch.add(["a harbour"])

            assert (0, 0) == (added.missing, await batch.drop_missing())
            assert {"accepted": 6, "queued": 1} == counts_of(await batch.summary())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"api_key": "another"}, "another key was used"),
        ({"dialect": GATEWAY}, "its dialect is official, not gateway"),
        ({"dialect": attrs.evolve(OFFICIAL, name="other")}, "its dialect is official, not other"),
    ],
)
async def test_client_of_another_account_is_refused(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    """
    Without `rebind`, a journal from which something was sent continues only with its own key and dialect.
    """
    async with emulator() as server:
        async with opened(server, tmp_path / "run.kling") as batch:
            await batch.add(PROMPTS[:1])
            await outcomes_of(batch)
            await batch.add(PROMPTS)
        with pytest.raises(JournalMismatch, match=f"belongs to another account or service: {words}"):
            async with opened(server, tmp_path / "run.kling", **options):
                pass
        await bring_to_its_end(server, tmp_path / "run.kling")


async def test_another_host_is_refused(tmp_path: Path) -> None:
    """
    A service at another address knows none of the tasks that the journal has.
    """
    async with emulator() as server, emulator() as other:
        async with opened(server, tmp_path / "run.kling") as batch:
            await batch.add(PROMPTS[:1])
            await outcomes_of(batch)
            await batch.add(PROMPTS)
        with pytest.raises(JournalMismatch, match=f"its host is {server.url}, not {other.url}"):
            async with opened(other, tmp_path / "run.kling"):
                pass
        await bring_to_its_end(server, tmp_path / "run.kling")

        assert not other.ledger.arrivals


async def test_missing_reference_image(tmp_path: Path) -> None:
    """
    The error of a row whose image is missing names the file. The others are sent, and this row when the file is back.
    """
    file = draw(tmp_path / "file.png", "red")
    async with emulator() as server, opened(server, tmp_path / "run.kling") as batch:
        await batch.add([ImageRequest("a lighthouse", image=file), "a harbour"])
        file.unlink()
        outcomes = await outcomes_of(batch)

        assert [(0, "a lighthouse", "InvalidRequest"), (1, "a harbour", "done")] == sorted(map(told, outcomes))
        assert "file.png" in str([outcome for outcome in outcomes if not isinstance(outcome, Done)])

        draw(file, "red")

        assert ["done"] == [word for _, _, word in map(told, await outcomes_of(batch))]
