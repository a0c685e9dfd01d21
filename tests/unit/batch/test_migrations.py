"""
Journals of earlier versions go on. That of version 3 in `tests/journals` was written by the package before rows had
endpoints; it has a row of each state, and all kinds of reference images.
"""

import asyncio
import contextlib
import hashlib
import shutil
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Final

import pytest

from kling_async import Batch, Done, Failed, ImageRequest
from kling_async.batch.database import MIGRATIONS
from kling_async.batch.journal import Journal, Reader
from kling_async.batch.opening import Account
from kling_async.batch.records import InputFile, NewRow, Row
from kling_async.errors import JournalMismatch, ServiceFailure, SubmissionUncertain, TaskFailed
from kling_async.wire.endpoints.base import with_fields
from tests.fakes.simulated_loop import epoch_now
from tests.fakes.socketless_service import SocketlessService

SAMPLE: Final = Path(__file__).parents[2] / "journals" / "version-3"

REFERENCE: Final = "/srv/reference.png"
"""
Where the sample's row "file" has its picture.
"""

REQUESTS: Final = [
    ImageRequest("a lighthouse that is saved", n=2),
    ImageRequest("a lighthouse that is finished"),
    ImageRequest("a lighthouse that is accepted", aspect_ratio="9:16"),
    ImageRequest("a lighthouse that is sending"),
    ImageRequest("a lighthouse that is uncertain"),
    ImageRequest("a lighthouse that failed for good"),
    ImageRequest("a lighthouse that may be tried again"),
    ImageRequest("a lighthouse with a picture that is kept"),
    ImageRequest("a lighthouse with a file", image=Path(REFERENCE)),
    ImageRequest("a lighthouse with an address", image="https://pictures.example/reference.png"),
    ImageRequest("a lighthouse that is queued", external_task_id="an-id-of-mine"),
]
STATES: Final = ["saved", "finished", "accepted", "sending", "uncertain", "failed", "failed", *["queued"] * 4]
KEYS: Final = {0: "saved", 2: "accepted", 7: "kept", 8: "file", 9: "url"}
"""
Of the rows that were added with one.
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """
    A copy of the sample.
    """
    return shutil.copytree(SAMPLE, tmp_path / "run") / "run.kling"


def account() -> Account:
    client = SocketlessService().client()
    return Account(client.base_url, client.dialect.name, client.core.transport.fingerprint)


@contextlib.contextmanager
def connected(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        yield connection
        connection.commit()


def rows_of(path: Path) -> list[Row]:
    return list(Reader(path).rows())


async def test_rows_are_what_they_were(path: Path) -> None:
    """
    In every state, with their errors, pictures, values and reference images, and of the endpoint that there was.
    """
    with pytest.raises(JournalMismatch, match="earlier version"):
        Reader(path)
    journal = Journal.open(path, account())
    kept = await journal.read_input(rows_sha256(path, "kept"))
    await journal.aclose()
    rows = rows_of(path)

    assert b"0123456789abcdef0123456789abcdef" == journal.token_key
    assert REQUESTS == [row.request for row in rows]
    assert STATES == [row.state.value for row in rows]
    assert {"image-generation"} == {row.endpoint for row in rows}
    assert KEYS == {row.position: row.key for row in rows if row.position in KEYS}
    assert [None, None, None, None, SubmissionUncertain, TaskFailed, ServiceFailure, *[None] * 4] == [
        row.error if row.error is None else type(row.error) for row in rows
    ]
    assert [("task-0", 1), ("task-1", 1), ("task-2", 1), (None, 1), (None, 1), ("task-5", 1), (None, 2)] == [
        (row.task_id, row.attempts) for row in rows[:7]
    ]
    reference = hashlib.sha256((SAMPLE / "reference.png").read_bytes()).hexdigest()
    assert {7: True, 8: False} == {row.position: row.inputs["image"].is_kept for row in rows if row.inputs}
    assert (reference, 2) == (rows[8].inputs["image"].sha256, len(rows[0].files))
    assert kept.startswith("iVBOR")
    for file in rows[0].files:
        assert file.path is not None
        assert (file.sha256, "image") == (hashlib.sha256(file.path.read_bytes()).hexdigest(), file.kind)
    assert [True, False] == [file.pickled is not None for file in rows[0].files]
    summary = Reader(path).summary()
    assert (11, 2, 142, Decimal(3)) == (summary.rows, summary.files, summary.bytes, summary.units_billed)


def rows_sha256(path: Path, key: str) -> str:
    with connected(path) as connection:
        query = "SELECT sha256 FROM input WHERE position = (SELECT position FROM row WHERE key = ?)"
        return str(connection.execute(query, (key,)).fetchone()[0])


async def test_requests_are_recognized(path: Path) -> None:
    """
    The same input adds nothing.
    """
    with connected(path) as connection:
        query = "SELECT position, image_sha256, is_image_kept FROM row WHERE image_sha256 IS NOT NULL"
        inputs = {
            position: {"image": InputFile(sha256, bool(kept))} for position, sha256, kept in connection.execute(query)
        }
    again = [
        NewRow(request=request, key=KEYS.get(position), inputs=inputs.get(position, {}))
        for position, request in enumerate(REQUESTS)
    ]
    journal = Journal.open(path, account())
    counts = await journal.add(again, await journal.begin_input(), 1.0)
    await journal.aclose()

    assert (0, 11) == counts


async def test_a_run_goes_on(path: Path, tmp_path: Path) -> None:
    """
    Tasks that were accepted, or may have been, are found; each other row is sent once.
    """
    reference = shutil.copy(SAMPLE / "reference.png", tmp_path / "reference.png")
    with connected(path) as connection:
        connection.execute("UPDATE row SET image_path = ? WHERE image_path = ?", (str(reference), REFERENCE))
    service = SocketlessService(latency=(0.01, 0.02), travel=(0.001, 0.002))
    external_id = "105603e4deeaebe3-3"
    with connected(path) as connection:
        [external_id] = connection.execute("SELECT external_task_id FROM row WHERE position = 3").fetchone()
    service.account.restore("task-2", REQUESTS[2], epoch_now())
    service.account.restore("task-3", with_fields(REQUESTS[3], external_task_id=external_id), epoch_now())
    async with service.client() as client, Batch(path, client) as batch:
        run = [outcome async for outcome in batch.run()]
        outcomes = [outcome async for outcome in batch.outcomes()]

    assert {2, 3, 4, 6, 7, 8, 9, 10} == {outcome.index for outcome in run}
    assert [5] == [outcome.index for outcome in outcomes if isinstance(outcome, Failed)]
    assert ["task-0", "task-1", "task-2", "task-3"] == [
        outcome.result.task_id for outcome in outcomes[:4] if isinstance(outcome, Done)
    ]
    sent = sorted(task.prompt for task in service.ledger.tasks)
    assert sorted(REQUESTS[position].prompt for position in (4, 6, 7, 8, 9, 10)) == sent


async def open_and_close(path: Path) -> None:
    await Journal.open(path, account()).aclose()


def test_killed_while_it_migrates(path: Path) -> None:
    """
    Wherever in the migration that is, the journal is of the one version or of the other, and whole.
    """
    program = textwrap.dedent(
        """
        import os, shutil, signal, sqlite3, sys
        from pathlib import Path
        from kling_async.batch import database
        from kling_async.batch.journal import Journal
        from tests.unit.batch.test_migrations import account

        folder, execute = Path(sys.argv[1]), database.Database.execute

        def run(count, path):
            done = 0

            def counted(self, statement, *values):
                nonlocal done
                done += 1
                if done == count:
                    os.kill(os.getpid(), signal.SIGKILL)
                return execute(self, statement, *values)

            database.Database.execute = counted
            Journal.open(path, account())
            os._exit(done)

        def run_in_child(count):
            path = shutil.copytree(folder, folder.with_name(f"run-{count}")) / "run.kling"
            child = os.fork()
            if not child:
                run(count, path)
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

        total = run_in_child(0)
        for count in range(total, 0, -3):  # from the last, which alone comes after the commit
            run_in_child(count)
        print(total)
        """
    )
    command = [sys.executable, "-c", program, str(path.parent)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3])

    total = int(ended.stdout)
    assert total > sum(migration.count(";") for migration in MIGRATIONS[3:])
    versions = []
    for count in reversed(range(total, 0, -3)):
        copy = path.parents[1] / f"run-{count}" / "run.kling"
        with connected(copy) as connection:
            [version] = connection.execute("PRAGMA user_version").fetchone()
            versions.append(version)
            assert [(11,)] == connection.execute("SELECT count(*) FROM row").fetchall()
        asyncio.run(open_and_close(copy))
        rows = rows_of(copy)

        assert REQUESTS == [row.request for row in rows]
        assert STATES == [row.state.value for row in rows]
    assert {3, len(MIGRATIONS)} == set(versions)
    assert versions == sorted(versions)
