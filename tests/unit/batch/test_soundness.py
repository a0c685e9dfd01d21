"""
A large journal is checked for damage beside the first work on it. Here any journal counts as large.
"""

import asyncio
import contextlib
import os
import sqlite3
import sys
import textwrap
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from kling_async import ImageRequest
from kling_async.batch import opening, soundness
from kling_async.batch.database import Database
from kling_async.batch.journal import Journal
from kling_async.batch.opening import Account
from kling_async.batch.records import NewRow
from kling_async.errors import JournalCorrupt, JournalLocked, StorageFull
from tests.fakes.batches import emulator, opened, outcomes_of
from tests.fakes.subprocesses import run

ACCOUNT = Account("https://api.example.com", "OFFICIAL", lambda salt: f"{salt}-key")
REQUESTS = [ImageRequest("x" * 500 + str(number)) for number in range(100)]
ENDLESS = "WITH RECURSIVE each (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM each) SELECT count(*) FROM each, row"


@pytest.fixture(autouse=True)
def _is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "CHECKED_AT_ONCE", 0)


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """
    A journal of a hundred rows that was closed.
    """
    path = tmp_path / "run.kling"
    async with working(path) as journal:
        await journal.add([NewRow(request=request) for request in REQUESTS], await journal.begin_input(), 1.0)
    return path


@contextlib.asynccontextmanager
async def working(path: Path, account: Account = ACCOUNT) -> AsyncIterator[Journal]:
    journal = Journal.open(path, account)
    try:
        yield journal
    finally:
        await journal.aclose()


def damage(path: Path) -> None:
    """
    Overwrite a page in the middle.
    """
    with path.open("r+b") as file:
        file.seek(40_960)
        file.write(b"\xa5" * 4096)


async def mark_sending(journal: Journal) -> None:
    await journal.mark_sending(0, attempt=1, external_task_id="id", submit_key=None, now=2.0)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """
    An event without which no check begins.
    """
    may_begin, check = threading.Event(), soundness.check_sound

    def hold(database: Database) -> None:
        may_begin.wait(60)
        check(database)

    monkeypatch.setattr(soundness, "check_sound", hold)
    yield may_begin
    may_begin.set()


async def test_nothing_is_changed_before_the_check_has_ended(path: Path, held: threading.Event) -> None:
    """
    Rows can be read at once; the first change waits.
    """
    async with working(path) as journal:
        assert 100 == (await journal.summary()).rows

        sending = asyncio.ensure_future(mark_sending(journal))
        await asyncio.wait([sending], timeout=0.05)
        assert not sending.done()
        held.set()
        await sending

    async with working(path) as journal:
        assert 1 == (await journal.summary()).sending


async def test_cancelled_change_that_waits_for_the_check(path: Path, held: threading.Event) -> None:
    """
    Cancelling stops only the waiting, as for any change.
    """
    async with working(path) as journal:
        sending = asyncio.ensure_future(mark_sending(journal))
        await asyncio.sleep(0)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        held.set()

        assert 1 == (await journal.summary()).sending


async def test_damaged_journal_is_not_changed(path: Path) -> None:
    """
    Each change is refused, as opening a small one is.
    """
    damage(path)
    async with working(path) as journal:
        for _ in range(2):
            with pytest.raises(JournalCorrupt, match=r"(?s)run.kling' is damaged .*; restore it from a copy"):
                await mark_sending(journal)
        with pytest.raises(JournalCorrupt, match="is damaged"):
            await journal.add([NewRow(request=ImageRequest("new"))], 1, 1.0)
        with pytest.raises(JournalCorrupt, match="is damaged"):
            await journal.begin_input()
        with pytest.raises(JournalCorrupt, match="is damaged"):
            await journal.drop_missing(1)

    assert ["run.kling"] == os.listdir(path.parent)  # noqa: PTH208


async def test_run_sends_nothing_from_a_damaged_journal(tmp_path: Path) -> None:
    """
    It raises the same error as opening would.
    """
    path = tmp_path / "run.kling"
    async with emulator() as server:
        async with opened(server, path) as batch:
            await batch.add(REQUESTS)
        damage(path)
        async with opened(server, path) as batch:
            with pytest.raises(JournalCorrupt, match="is damaged"):
                await outcomes_of(batch)

        assert [] == server.ledger.tasks


async def test_run_that_has_nothing_to_send(tmp_path: Path) -> None:
    """
    It raises the same error rather than ending as if all were well: damage may hide rows.
    """
    path = tmp_path / "run.kling"
    async with emulator() as server:
        async with opened(server, path) as batch:
            await batch.add(REQUESTS)
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE row SET state = 'failed'")
        damage(path)
        async with opened(server, path) as batch:
            with pytest.raises(JournalCorrupt, match="is damaged"):
                await outcomes_of(batch)
            with pytest.raises(JournalCorrupt, match="is damaged"):
                await anext(batch.outcomes())


async def test_error_from_what_is_damaged(path: Path, held: threading.Event) -> None:
    """
    Whatever follows from reading it before the check has ended, the damage is what is raised.
    """
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE row SET request = x'00' WHERE position = 0")
    async with working(path) as journal:
        reading = asyncio.ensure_future(journal.read_page((), -1, 1))
        await asyncio.wait([reading], timeout=0.05)
        assert not reading.done()
        held.set()
        with pytest.raises(AttributeError):  # nothing else is wrong with the file
            await reading

    damage(path)
    async with working(path) as journal:
        with pytest.raises(JournalCorrupt, match="is damaged"):
            await journal.read_page((), -1, 1)


async def test_journal_of_a_crash_is_checked_first(path: Path) -> None:
    """
    Opening would write the log into the file, and the two may not belong together.
    """
    damage(path)
    path.with_name("run.kling.lock").touch()
    with pytest.raises(JournalCorrupt, match="is damaged"):
        Journal.open(path, ACCOUNT)


async def test_journal_of_another_account_is_checked_first(path: Path) -> None:
    """
    Assigning it to another account changes its rows.
    """
    damage(path)
    with pytest.raises(JournalCorrupt, match="is damaged"):
        Journal.open(path, Account("https://other.example", "OFFICIAL", lambda salt: f"{salt}-key"))


async def test_closing_ends_the_check(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A journal that is closed early does not wait for it, and is complete by itself.
    """
    has_begun = threading.Event()

    def check(database: Database) -> None:
        has_begun.set()
        with database.translating():
            database.fetch_one(ENDLESS)

    monkeypatch.setattr(soundness, "check_sound", check)
    async with working(path):
        await asyncio.to_thread(has_begun.wait, 60)
        await asyncio.sleep(0.05)

    assert ["run.kling"] == os.listdir(path.parent)  # noqa: PTH208


async def test_closing_ends_a_check_that_is_about_to_begin(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    SQLite interrupts only statements that run.
    """
    was_interrupted, interrupt = threading.Event(), Database.interrupt

    def check(database: Database) -> None:
        was_interrupted.wait(60)
        with database.translating():
            database.fetch_one(ENDLESS)

    def watch(database: Database) -> None:
        interrupt(database)
        was_interrupted.set()

    monkeypatch.setattr(soundness, "check_sound", check)
    monkeypatch.setattr(Database, "interrupt", watch)
    async with working(path):
        pass

    assert ["run.kling"] == os.listdir(path.parent)  # noqa: PTH208


async def test_disk_that_fails_under_the_check(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What keeps the file from being read is raised as well.
    """

    def check(_: Database) -> None:
        raise StorageFull("the disk is failing")

    monkeypatch.setattr(soundness, "check_sound", check)
    async with working(path) as journal:
        with pytest.raises(StorageFull, match="the disk is failing"):
            await mark_sending(journal)


async def test_no_thread_for_the_check(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Without a thread the journal is not opened, and is free to be opened later.
    """

    def start(_: Any) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            Journal.open(path, ACCOUNT)

    assert ["run.kling"] == os.listdir(path.parent)  # noqa: PTH208
    async with working(path):
        with pytest.raises(JournalLocked):
            Journal.open(path, ACCOUNT)


FORKING = """
    import asyncio
    import os
    import sys
    import threading
    from kling_async.batch import opening, soundness
    from kling_async.batch.journal import Journal
    from tests.unit.batch.test_soundness import ACCOUNT, mark_sending

    may_begin, check = threading.Event(), soundness.check_sound

    def hold(database):
        may_begin.wait(60)
        check(database)

    async def end(journal):
        await mark_sending(journal)
        await journal.aclose()

    opening.CHECKED_AT_ONCE, soundness.check_sound = 0, hold
    journal = Journal.open(sys.argv[1], ACCOUNT)
    child = os.fork()
    if not child:
        asyncio.run(journal.aclose())
        os._exit(0 if journal.is_closed else 1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    may_begin.set()
    asyncio.run(end(journal))
    sys.exit(code)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
async def test_child_that_is_forked_during_the_check(path: Path) -> None:
    """
    It neither waits for the check nor closes its connection.
    """
    words = sys.executable, "-c", textwrap.dedent(FORKING), str(path)
    ended = await run(*words, folder=Path(__file__).parents[3], env=os.environ)

    assert 0 == ended.code, ended.err
    async with working(path) as journal:
        assert 1 == (await journal.summary()).sending
