"""
The journal of a batch: what it keeps, whatever happens to it.
"""

import asyncio
import contextlib
import errno
import hashlib
import itertools
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Self, TypeVar

import attrs
import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kling_async.batch import database as database_module, sums
from kling_async.batch.database import Database
from kling_async.batch.journal import Journal, Reader
from kling_async.batch.lock import RESERVE
from kling_async.batch.opening import Account
from kling_async.batch.records import HAVE_OUTCOMES, InputFile, NewRow, Row, State, Summary, digest_of, external_id_of
from kling_async.errors import (
    InvalidRequest,
    JournalCorrupt,
    JournalLocked,
    JournalMismatch,
    NotSent,
    ServiceFailure,
    StorageFull,
    SubmissionUncertain,
    TaskFailed,
)
from kling_async.media.saved_files import SavedFile
from kling_async.wire.endpoints.image_generation import ImageRequest
from kling_async.wire.endpoints.registry import caption_of
from kling_async.wire.tasks import Image, TaskOutput, TaskSnapshot, TaskStatus
from tests.fakes.lock_holders import Family

T = TypeVar("T")

KEY = "sk-4711-a-key-of-secrets"
REQUESTS = [ImageRequest(f"a lighthouse at {time}") for time in ("dawn", "noon", "dusk", "night")]


def fingerprint(salt: str) -> str:
    return hashlib.sha256((salt + KEY).encode()).hexdigest()


ACCOUNT = Account("https://api.example.com", "OFFICIAL", fingerprint)


MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 (folders of our own in it)
"""
Where hundreds of commits need not wait for a disk that others use.
"""


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        yield Path(name)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    return folder / "run.kling"


@pytest.fixture
async def journal(path: Path) -> AsyncIterator[Journal]:
    async with opened(path) as journal:
        yield journal


@contextlib.asynccontextmanager
async def opened(path: Path, account: Account = ACCOUNT, *, rebind: bool = False) -> AsyncIterator[Journal]:
    journal = Journal.open(path, account, rebind=rebind)
    try:
        yield journal
    finally:
        await journal.aclose()


def entries(requests: Iterable[ImageRequest]) -> list[NewRow]:
    return [NewRow(request=request) for request in requests]


async def fill(journal: Journal, *requests: ImageRequest) -> int:
    """
    Add *requests*, or four of them, as one input, and return its number.
    """
    generation = await journal.begin_input()
    await journal.add(entries(requests or REQUESTS), generation, 1.0)
    return generation


async def rows(journal: Journal, size: int = 1000) -> list[Row]:
    return await journal.read_page([], -1, size)


async def steps_of(work: Awaitable[object], journal: Journal) -> int:
    """
    Return how many steps of SQLite's machine *work* takes.
    """
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    journal._database._connection.set_progress_handler(count, 1)
    try:
        await work
    finally:
        journal._database._connection.set_progress_handler(None, 1)
    return steps


async def states(journal: Journal) -> list[State]:
    return [row.state for row in await rows(journal)]


async def bring_earlier(journal: Journal, count: int, units: float) -> None:
    """
    Put so many earlier attempts on record, as tries again do, in one statement.
    """
    journal._database._connection.execute(
        "WITH RECURSIVE attempt (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM attempt WHERE number < ?) "
        "INSERT INTO earlier (position, attempt, units) SELECT 0, number, ? FROM attempt",
        (count, units),
    )


async def mark_sending(journal: Journal, position: int, attempt: int = 1) -> None:
    external_id = external_id_of(journal.id, position, "key", attempt)
    await journal.mark_sending(position, attempt=attempt, external_task_id=external_id, submit_key="token", now=2.0)


def success(units: Any = Decimal(8)) -> TaskSnapshot:
    return TaskSnapshot(
        task_id="t-1",
        task_status=TaskStatus.SUCCEEDED,
        status_word="succeed",
        task_result=TaskOutput((Image(0, "https://cdn.example.com/0.png?sig=1"),)),
        final_unit_deduction=units,
    )


def failure(units: Any = None) -> TaskSnapshot:
    return TaskSnapshot(task_id="t-1", task_status=TaskStatus.FAILED, status_word="failed", final_unit_deduction=units)


def picture(path: Path, index: int = 0, size: int = 100) -> SavedFile:
    return SavedFile(index, path, size, "00" * 32)


async def fail(journal: Journal, position: int, *, units: Any = None, may_retry: bool = True) -> None:
    snapshot = failure(units)
    error = TaskFailed("the task failed", "t-1", snapshot=snapshot)
    await journal.fail(position, error, snapshot, 5.0, may_retry=may_retry)


async def bring(journal: Journal, position: int, state: State) -> None:
    """
    Bring a row that is queued to *state*, as a batch does.
    """
    if state is State.QUEUED:
        return
    if state is State.FAILED:
        await fail(journal, position)
        return
    await mark_sending(journal, position)
    if state is State.UNCERTAIN:
        await journal.mark_uncertain(position, SubmissionUncertain("lost"))
    if state in {State.ACCEPTED, State.FINISHED, State.SAVED}:
        journal.accept(position, f"t-{position}", 3.0)
    if state in {State.FINISHED, State.SAVED}:
        await journal.finish(position, success(), 4.0)
    if state is State.SAVED:
        await journal.save(position, [picture(journal.path.with_name(f"{position}.png"))], 5.0, is_all=True)


def listing(folder: Path) -> list[str]:
    return sorted(found.name for found in folder.iterdir())


def crash(path: Path, folder: Path, *, with_lock: bool = True) -> Path:
    """
    Copy what a process that is killed now would leave behind, and return where the journal is in *folder*.
    """
    folder.mkdir()
    for suffix in ("", "-wal"):
        shutil.copy(path.with_name(path.name + suffix), folder)
    if with_lock:
        (folder / f"{path.name}.lock").touch()
    return folder / path.name


class TestAdding:
    async def test_rows_have_the_order_of_the_input(self, journal: Journal) -> None:
        """
        Rows are as they were added, over many parts of an input.
        """
        generation = await journal.begin_input()
        added = [await journal.add(entries(part), generation, 1.0) for part in (REQUESTS[:3], [], REQUESTS[3:])]
        found = await rows(journal)

        assert [(3, 0), (0, 0), (1, 0)] == added
        assert REQUESTS == [row.request for row in found]
        assert [0, 1, 2, 3] == [row.position for row in found]
        assert {(State.QUEUED, 1.0, 0)} == {(row.state, row.queued_at, row.attempts) for row in found}

    async def test_same_input_adds_nothing(self, journal: Journal) -> None:
        """
        An input that comes again adds nothing, in whatever parts it comes.
        """
        await fill(journal)
        generation = await journal.begin_input()

        assert (0, 1) == await journal.add(entries(REQUESTS[:1]), generation, 9.0)
        assert (0, 3) == await journal.add(entries(REQUESTS[1:]), generation, 9.0)
        assert {1.0} == {row.queued_at for row in await rows(journal)}
        assert 0 == await journal.count_missing(generation)

    async def test_each_occurrence_is_a_row(self, journal: Journal) -> None:
        """
        The same request three times in one input is three rows, also when it comes again; a fourth is new.
        """
        thrice = [REQUESTS[0]] * 3
        await fill(journal, *thrice)
        generation = await journal.begin_input()
        first = await journal.add(entries(thrice[:2]), generation, 1.0)
        second = await journal.add(entries(thrice[:2]), generation, 1.0)
        keys = [row.key for row in await rows(journal)]

        assert (0, 2) == first
        assert (1, 1) == second
        assert [f"{keys[0][:-2]}-{number}" for number in range(4)] == keys

    async def test_part_of_an_input_that_is_known_only_in_part(self, journal: Journal) -> None:
        """
        New rows between known ones get the next positions, and equal ones are counted over all parts of the input.
        """
        first, second = REQUESTS[:2]
        await fill(journal, first, first)
        generation = await journal.begin_input()
        parts = ([second, first], [first, first, second])
        added = [await journal.add(entries(part), generation, 1.0) for part in parts]
        found = await rows(journal)

        assert [(1, 1), (2, 1)] == added
        assert [first, first, second, first, second] == [row.request for row in found]
        assert [0, 1, 2, 3, 4] == [row.position for row in found]
        assert ["0", "1", "0", "2", "1"] == [row.key.rpartition("-")[2] for row in found]
        assert 0 == await journal.count_missing(generation)

    async def test_own_keys(self, journal: Journal) -> None:
        """
        A caller's own key is the row's, and a key that comes again, in this input or a later one, adds nothing.
        """
        keyed = [NewRow(request=REQUESTS[0], key=key) for key in ("a", "b", "a")]
        added = [await journal.add(keyed, await journal.begin_input(), 1.0) for _ in range(2)]

        assert [(2, 1), (0, 3)] == added
        assert ["a", "b"] == [row.key for row in await rows(journal)]

    async def test_edited_request_under_its_old_key(self, journal: Journal) -> None:
        """
        A key that belongs to another request is refused by name, and nothing of that part of the input is added.
        """
        await journal.add([NewRow(request=REQUESTS[0], key="a")], await journal.begin_input(), 1.0)
        part = [NewRow(request=REQUESTS[2], key="c"), NewRow(request=REQUESTS[1], key="a")]
        with pytest.raises(InvalidRequest, match=r"key='a': is the key of another request") as caught:
            await journal.add(part, await journal.begin_input(), 1.0)

        assert ["key"] == [broken.field for broken in caught.value.broken]
        assert ["a"] == [row.key for row in await rows(journal)]

    async def test_edited_request_without_a_key(self, journal: Journal) -> None:
        """
        An edited request is a new row, and the old one is missing; dropping it forgets it.
        """
        await fill(journal)
        edited = [attrs.evolve(REQUESTS[0], n=2), *REQUESTS[1:]]
        generation = await fill(journal, *edited)

        assert 1 == await journal.count_missing(generation)
        assert 1 == await journal.drop_missing(generation)
        assert 0 == await journal.count_missing(generation)
        assert [*REQUESTS[1:], edited[0]] == [row.request for row in await rows(journal)]

    async def test_what_was_sent_is_not_missing(self, journal: Journal) -> None:
        """
        Only rows that are still to be sent can be missing and be dropped.
        """
        await fill(journal, *(ImageRequest(state) for state in State), ImageRequest("failed for good"))
        for position, state in enumerate(State):
            await bring(journal, position, state)
        await fail(journal, 7, may_retry=False)
        generation = await journal.begin_input()

        assert 2 == await journal.count_missing(generation)
        assert 2 == await journal.drop_missing(generation)

        kept = [caption_of(row.request) for row in await rows(journal)]
        assert [*(set_ for set_ in State if set_ not in {State.QUEUED, State.FAILED}), "failed for good"] == kept

    async def test_units_outlast_their_row(self, journal: Journal) -> None:
        """
        What was billed for a row that is dropped still counts.
        """
        await fill(journal)
        await mark_sending(journal, 0)
        journal.accept(0, "t-1", 3.0)
        await fail(journal, 0, units=Decimal("0.5"))
        await journal.drop_missing(await journal.begin_input())

        assert [] == await rows(journal)
        assert Decimal("0.5") == (await journal.summary()).units_billed

    async def test_positions_are_used_once(self, journal: Journal) -> None:
        """
        No row ever has the position of one that was dropped, since ids at the service follow from it.
        """
        await fill(journal)
        generation = await journal.begin_input()
        await journal.drop_missing(generation)
        await journal.add([], generation, 1.0)
        await fill(journal)

        assert [4, 5, 6, 7] == [row.position for row in await rows(journal)]


class TestImages:
    async def test_bytes_are_kept_once(self, journal: Journal) -> None:
        """
        An image whose bytes the journal keeps is there once, by its hash, however many rows use it.
        """
        inputs = {"image": InputFile("ab" * 32, True, "aGVsbG8=")}
        generation = await journal.begin_input()
        same = [NewRow(request=request, inputs=inputs) for request in REQUESTS[:2]]
        await journal.add(same, generation, 1.0)
        found = await rows(journal)

        assert [{"image": InputFile("ab" * 32, True)}] * 2 == [row.inputs for row in found]
        assert REQUESTS[:2] == [row.request for row in found]
        assert "aGVsbG8=" == await journal.read_input("ab" * 32)
        assert [(1,)] == journal._database._connection.execute("SELECT count(*) FROM reference").fetchall()

    async def test_other_bytes_are_another_request(self, journal: Journal) -> None:
        """
        The same words with another image are a row of their own.
        """
        generation = await journal.begin_input()
        for digit in ("a", "b"):
            one = NewRow(request=REQUESTS[0], inputs={"image": InputFile(digit * 64, True, "aGVsbG8=")})
            await journal.add([one], generation, 1.0)

        assert 2 == len(await rows(journal))

    async def test_image_that_is_not_kept(self, journal: Journal) -> None:
        """
        An image that the journal never had is no silent nothing.
        """
        with pytest.raises(JournalCorrupt, match="something is missing"):
            await journal.read_input("00" * 32)

    async def test_url_is_part_of_the_request(self, journal: Journal) -> None:
        """
        The URL of an image is kept with the request.
        """
        request = attrs.evolve(REQUESTS[0], image="https://example.com/cat.png")
        await fill(journal, request)
        [row] = await rows(journal)

        assert (request, {}) == (row.request, row.inputs)

    async def test_changed_file_is_refused(self, journal: Journal) -> None:
        """
        A file that has changed since it was added is reported, and nothing of that part of the input is added.
        """
        request = attrs.evolve(REQUESTS[0], image=Path("cat.png"))
        await journal.add(
            [NewRow(request=request, inputs={"image": InputFile("aa" * 32)})], await journal.begin_input(), 1.0
        )
        part = [NewRow(request=REQUESTS[1]), NewRow(request=request, inputs={"image": InputFile("bb" * 32)})]
        with pytest.raises(InvalidRequest, match=r"image='cat.png': has changed since") as caught:
            await journal.add(part, await journal.begin_input(), 1.0)
        [row] = await rows(journal)

        assert ["image"] == [broken.field for broken in caught.value.broken]
        assert attrs.evolve(request, image=Path("cat.png").absolute()) == row.request
        assert {"image": InputFile("aa" * 32)} == row.inputs

    async def test_file_is_found_from_anywhere(
        self, journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        A relative path counts from where the program was, and holds when it goes on elsewhere.
        """
        monkeypatch.chdir(tmp_path)
        request = attrs.evolve(REQUESTS[0], image=Path("cat.png"))
        await journal.add(
            [NewRow(request=request, inputs={"image": InputFile("aa" * 32)})], await journal.begin_input(), 1.0
        )
        monkeypatch.chdir("run")
        [row] = await rows(journal)

        assert attrs.evolve(request, image=tmp_path / "cat.png") == row.request

    async def test_name_that_is_no_unicode(self, journal: Journal) -> None:
        """
        Files of any name that the system allows are kept, here and where pictures go.
        """
        name = os.fsdecode(b"caf\xe9.png")
        request = attrs.evolve(REQUESTS[0], image=journal.path.parent / name)
        entry = NewRow(request=request, inputs={"image": InputFile("aa" * 32)})
        first = await journal.add([entry], await journal.begin_input(), 1.0)
        second = await journal.add([entry], await journal.begin_input(), 1.0)
        saved = picture(journal.path.with_name(name))
        await bring(journal, 0, State.FINISHED)
        await journal.save(0, [saved], 5.0, is_all=True)
        [row] = await rows(journal)

        assert ((1, 0), (0, 1)) == (first, second)
        assert (request, (saved,)) == (row.request, row.files)
        assert row == Reader(journal.path).trace(saved.place)


def plain(row: Row) -> tuple[Row, str]:
    """
    Return what can be compared: errors are equal to themselves alone.
    """
    return attrs.evolve(row, error=None), repr(row.error)


CHANGES: dict[str, tuple[Callable[[Journal, int], Any], dict[State, State]]] = {
    "withdraw": (lambda journal, row: journal.withdraw(row), {State.SENDING: State.QUEUED}),
    "accept": (
        lambda journal, row: journal.accept(row, "other", 9.0),
        {State.SENDING: State.ACCEPTED, State.UNCERTAIN: State.ACCEPTED},
    ),
    "finish": (lambda journal, row: journal.finish(row, success(), 9.0), {State.ACCEPTED: State.FINISHED}),
    "fail": (
        lambda journal, row: journal.fail(row, NotSent("late"), None, 9.0, may_retry=True),
        {State.QUEUED: State.FAILED, State.SENDING: State.FAILED, State.ACCEPTED: State.FAILED},
    ),
    "doubt": (
        lambda journal, row: journal.mark_uncertain(row, SubmissionUncertain("again")),
        {State.SENDING: State.UNCERTAIN, State.UNCERTAIN: State.UNCERTAIN},
    ),
    "requeue": (
        lambda journal, row: journal.requeue(row),
        {State.FAILED: State.QUEUED, State.UNCERTAIN: State.QUEUED},
    ),
    "save": (
        lambda journal, row: journal.save(row, [picture(Path("x.png"), 7)], 9.0, is_all=True),
        {State.FINISHED: State.SAVED, State.SAVED: State.SAVED},
    ),
    "save one": (
        lambda journal, row: journal.save(row, [picture(Path("x.png"), 7)], 9.0, is_all=False),
        {State.FINISHED: State.FINISHED, State.SAVED: State.SAVED},
    ),
    "unsave": (lambda journal, row: journal.mark_unsaved(row), {State.SAVED: State.FINISHED}),
}
"""
What changes a row, and from where to where.
"""


class TestStates:
    async def test_life_of_a_row(self, journal: Journal, path: Path) -> None:
        """
        A row tells all that happened to it, and when.
        """
        await fill(journal, REQUESTS[0])
        await journal.mark_sending(0, attempt=1, external_task_id="ours-0-1", submit_key="token", now=2.0)
        journal.accept(0, "t-1", 3.0)
        await journal.finish(0, success(), 4.0)
        one, two = picture(path.with_name("0.png")), picture(path.with_name("1.png"), 1, 50)
        await journal.save(0, [two], 5.0, is_all=False)
        [partly] = await rows(journal)
        await journal.save(0, [one], 6.0, is_all=True)
        [row] = await rows(journal)

        assert (State.FINISHED, (two,), None) == (partly.state, partly.files, partly.saved_at)
        assert row == Row(
            position=0,
            key=f"{digest_of(REQUESTS[0], {}).hex()[:24]}-0",
            state=State.SAVED,
            request=REQUESTS[0],
            attempts=1,
            external_task_id="ours-0-1",
            submit_key="token",
            task_id="t-1",
            snapshot=success(),
            files=(one, two),
            queued_at=1.0,
            sent_at=2.0,
            accepted_at=3.0,
            ended_at=4.0,
            saved_at=6.0,
        )

    async def test_failed_row(self, journal: Journal) -> None:
        """
        A failed row tells why, and whether it may be sent again.
        """
        await fill(journal)
        await mark_sending(journal, 0)
        journal.accept(0, "t-1", 3.0)
        await fail(journal, 0, units=Decimal(8), may_retry=False)
        await journal.fail(1, InvalidRequest("no such model"), None, 6.0, may_retry=True)
        first, second, *_ = await rows(journal)

        assert isinstance(first.error, TaskFailed)
        assert (failure(Decimal(8)), failure(Decimal(8)), 5.0) == (first.error.snapshot, first.snapshot, first.ended_at)
        assert isinstance(second.error, InvalidRequest)
        assert (None, 6.0) == (second.snapshot, second.ended_at)
        assert [False, True] == [first.may_retry, second.may_retry]

    async def test_doubt(self, journal: Journal) -> None:
        """
        A row in doubt tells why; its doubt ends with the task's id.
        """
        await fill(journal, REQUESTS[0])
        await mark_sending(journal, 0)
        await journal.mark_uncertain(0, SubmissionUncertain("the connection broke"))
        [doubtful] = await rows(journal)
        journal.accept(0, "t-1", 3.0)
        [accepted] = await rows(journal)

        assert isinstance(doubtful.error, SubmissionUncertain)
        assert ("the connection broke", REQUESTS[0]) == (str(doubtful.error), doubtful.error.request)
        assert (State.ACCEPTED, "t-1", None) == (accepted.state, accepted.task_id, accepted.error)

    async def test_row_that_is_tried_again(self, journal: Journal) -> None:
        """
        A row that is put back is as if it had never been sent, but for the number of attempts and what they cost.
        """
        await fill(journal, REQUESTS[0])
        [fresh] = await rows(journal)
        await bring(journal, 0, State.ACCEPTED)
        await fail(journal, 0, units=Decimal(8))
        await journal.requeue(0)
        [row] = await rows(journal)

        assert attrs.evolve(fresh, attempts=1) == row
        assert Decimal(8) == (await journal.summary()).units_billed

    async def test_attempts_are_kept(self, journal: Journal) -> None:
        """
        However often a row is put back, each attempt's cost counts once, also where one was never sent.
        """
        await fill(journal, REQUESTS[0])
        for attempt in (1, 2):
            await mark_sending(journal, 0, attempt)
            journal.accept(0, f"t-{attempt}", 3.0)
            await fail(journal, 0, units=Decimal(attempt))
            await journal.requeue(0)
            await journal.requeue(0)
        await fail(journal, 0)  # before it was sent
        await journal.requeue(0)
        kept = journal._database._connection.execute("SELECT attempt, task_id, units FROM earlier").fetchall()

        assert [(1, "t-1", 1.0), (2, "t-2", 2.0)] == kept
        assert Decimal(3) == (await journal.summary()).units_billed

    async def test_withdrawn(self, journal: Journal) -> None:
        """
        A row of which nothing came waits again; what it was sent under last is still known.
        """
        await fill(journal, REQUESTS[0])
        await mark_sending(journal, 0)
        journal.withdraw(0)
        [row] = await rows(journal)

        external_id = external_id_of(journal.id, 0, "key", 1)
        assert (State.QUEUED, 1, external_id) == (row.state, row.attempts, row.external_task_id)

    async def test_lost_pictures(self, journal: Journal) -> None:
        """
        A row whose pictures are not there any more is finished, and has none.
        """
        await fill(journal, REQUESTS[0])
        await bring(journal, 0, State.SAVED)
        await journal.mark_unsaved(0)
        [row] = await rows(journal)

        assert (State.FINISHED, (), None) == (row.state, row.files, row.saved_at)
        assert 0 == (await journal.summary()).files

    async def test_picture_that_is_saved_again(self, journal: Journal) -> None:
        """
        Of a picture, the last that was saved counts.
        """
        await fill(journal, REQUESTS[0])
        await bring(journal, 0, State.SAVED)
        again = picture(journal.path.with_name("again.png"), size=7)
        await journal.save(0, [again], 6.0, is_all=True)
        await journal.save(0, [], 7.0, is_all=False)
        [row] = await rows(journal)

        assert ((again,), 6.0) == (row.files, row.saved_at)

    @pytest.mark.parametrize("change", CHANGES)
    async def test_what_comes_late_changes_nothing(self, journal: Journal, change: str) -> None:
        """
        A change moves a row on from where it may come, and leaves it just as it is anywhere else.
        """
        make, moves = CHANGES[change]
        await fill(journal, *(ImageRequest(state) for state in State))
        for position, state in enumerate(State):
            await bring(journal, position, state)
        await journal.save(list(State).index(State.FINISHED), [picture(Path("part.png"), 3)], 5.0, is_all=False)
        before = await rows(journal)
        summary = await journal.summary()
        for position in [*range(len(State)), 99]:
            if (waiting := make(journal, position)) is not None:
                await waiting
        after = await rows(journal)

        assert list(State) == [row.state for row in before]
        assert [moves.get(state, state) for state in State] == [row.state for row in after]
        for old, new in zip(before, after, strict=True):
            assert (old.state in moves) == (plain(old) != plain(new))
        billed = (await journal.summary()).units_billed - summary.units_billed
        assert (8 if change == "finish" else 0) == billed

    @pytest.mark.parametrize("state", [State.ACCEPTED, State.FINISHED, State.SAVED, State.FAILED])
    async def test_what_has_a_task_is_not_sent(self, journal: Journal, state: State) -> None:
        """
        Intending to send a row that does not wait for it is refused, and takes no other's intent with it.
        """
        await fill(journal, *REQUESTS[:3])
        await bring(journal, 1, state)
        before = await rows(journal)
        told = await asyncio.gather(*(mark_sending(journal, row, 9) for row in range(3)), return_exceptions=True)

        assert [type(None), RuntimeError, type(None)] == [type(error) for error in told]
        assert "row 1 does not wait to be sent" == str(told[1])
        assert [State.SENDING, state, State.SENDING] == await states(journal)
        assert plain(before[1]) == plain((await rows(journal))[1])

    @pytest.mark.parametrize("state", [State.QUEUED, State.SENDING, State.UNCERTAIN])
    async def test_what_may_be_sent(self, journal: Journal, state: State) -> None:
        """
        What waits, or has no task that is known, can be intended to be sent, under a new id.
        """
        await fill(journal, REQUESTS[0])
        await bring(journal, 0, state)
        await journal.mark_sending(0, attempt=2, external_task_id="second", submit_key=None, now=8.0)
        [row] = await rows(journal)

        assert (State.SENDING, 2, "second", None, 8.0) == (
            row.state,
            row.attempts,
            row.external_task_id,
            row.submit_key,
            row.sent_at,
        )

    async def test_row_that_is_not_there(self, journal: Journal) -> None:
        """
        What is not in the journal is not sent.
        """
        with pytest.raises(RuntimeError, match="row 5 does not wait"):
            await mark_sending(journal, 5)

    async def test_many_at_once_share_commits(self, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        A hundred intents of one moment are one commit.
        """
        await fill(journal, *(ImageRequest(str(number)) for number in range(100)))
        before = journal._database._connection.total_changes
        commits: list[str] = []
        journal._database._connection.set_trace_callback(commits.append)
        await asyncio.gather(*(mark_sending(journal, position) for position in range(100)))
        journal._database._connection.set_trace_callback(None)

        assert 100 == journal._database._connection.total_changes - before
        assert 1 == commits.count("COMMIT")


class TestReading:
    async def test_pages(self, journal: Journal) -> None:
        """
        Pages hold so many rows in the order of the input, behind a position, and of any states.
        """
        await fill(journal, *(ImageRequest(str(number)) for number in range(10)))
        for position in (1, 4, 7):
            await bring(journal, position, State.SENDING)
        for position in (2, 5):
            await bring(journal, position, State.FAILED)

        async def page(*args: Any) -> list[int]:
            return [row.position for row in await journal.read_page(*args)]

        assert [0, 1, 2] == await page([], -1, 3)
        assert [3, 4] == await page([], 2, 2)
        assert [] == await page([], 9, 5)
        assert [1, 4, 7] == await page([State.SENDING], -1, 5)
        assert [1, 2, 4] == await page([State.FAILED, State.SENDING], -1, 3)
        assert [5, 7] == await page([State.SENDING, State.FAILED, State.SENDING], 4, 3)
        assert list(range(10)) == await page(list(State), -1, 99)
        assert [] == await page([State.SAVED, State.FINISHED], -1, 9)

    async def test_pages_are_cheap(self, journal: Journal) -> None:
        """
        No page sorts, or looks through, the rows that are not on it: neither of one state nor of several.
        """
        plans: list[str] = []
        connection = journal._database._connection

        def explain(statement: str) -> None:
            if statement.startswith("SELECT position, key"):
                plans.append(statement)

        connection.set_trace_callback(explain)
        for wanted in ([], [State.QUEUED], [State.FINISHED, State.SAVED]):
            await journal.read_page(wanted, 5, 10)
        connection.set_trace_callback(None)
        steps = [row[3] for plan in plans for row in connection.execute(f"EXPLAIN QUERY PLAN {plan}")]

        assert 3 == len(plans)
        scans = {step for step in steps if "TEMP B-TREE" in step or step.startswith("SCAN")}
        assert scans <= {"SCAN journal"}  # which has one row

    async def test_queries_cost_what_has_ended(self, journal: Journal, path: Path) -> None:
        """
        Rows that wait to be sent cost the summary a step of the index each, and the pages of outcomes nothing.
        """
        await fill(journal)
        for position, state in enumerate((State.FINISHED, State.FAILED)):
            await bring(journal, position, state)
        few = (
            await steps_of(journal.read_page(HAVE_OUTCOMES, -1, 10), journal),
            await steps_of(journal.summary(), journal),
        )
        await fill(journal, *(ImageRequest(str(number)) for number in range(1000)))
        many = (
            await steps_of(journal.read_page(HAVE_OUTCOMES, -1, 10), journal),
            await steps_of(journal.summary(), journal),
        )

        assert [State.FINISHED, State.FAILED] == [row.state for row in await journal.read_page(HAVE_OUTCOMES, -1, 10)]
        assert many[0] == few[0]
        assert many[1] - few[1] < 8 * 1000  # steps of SQLite's machine; with each row's columns they were 40 of them

    async def test_equal_requests_are_numbered_by_few_lookups(self, journal: Journal) -> None:
        """
        Whether an input has a request for the second time or for the thousandth.
        """
        same = ImageRequest("a lighthouse")
        generation = await fill(journal, *([same] * 1000))
        steps = await steps_of(journal.add(entries([same]), generation, 1.0), journal)

        assert [f"{number}" for number in range(1001)] == [
            row.key.rpartition("-")[2] for row in await rows(journal, 1001)
        ]
        assert steps < 1000
        assert (0, 1001) == await journal.add(entries([same] * 1001), await journal.begin_input(), 1.0)

    async def test_summary(self, journal: Journal, path: Path) -> None:
        """
        The summary counts rows by state, and what they cost and made.
        """
        await fill(journal, *(ImageRequest(state) for state in State), ImageRequest("failed for good"))
        for position, state in enumerate(State):
            await bring(journal, position, state)
        await fail(journal, 7, units=Decimal("0.5"), may_retry=False)
        summary = await journal.summary()

        assert summary == Summary(
            queued=1,
            sending=1,
            accepted=1,
            finished=1,
            saved=1,
            failed=2,
            uncertain=1,
            may_retry=1,
            units_billed=Decimal("16.5"),
            images=1,
            bytes=100,
        )
        assert summary == Reader(path).summary()

    async def test_summary_counts_files_by_kind(self, journal: Journal, path: Path) -> None:
        """
        Pictures, videos and sounds are counted apart, and all together.
        """
        kinds = ("image", "video", "video", "audio", "audio", "audio")
        await fill(journal)
        await bring(journal, 0, State.FINISHED)
        files = [attrs.evolve(picture(path.parent / f"{n}", n), kind=kind) for n, kind in enumerate(kinds)]
        await journal.save(0, files, 5.0, is_all=True)
        summary = await journal.summary()

        assert (1, 2, 3, 6) == (summary.images, summary.videos, summary.audios, summary.files)

    @pytest.mark.parametrize(("units", "shown"), [("100", "100"), ("0.1", "0.3"), ("1234567", "3703701"), (None, "0")])
    async def test_units_read_well(self, journal: Journal, units: str | None, shown: str) -> None:
        """
        Units add up without crumbs, and are no powers of ten.
        """
        await fill(journal)
        for position in range(1 if units == "100" else 3):
            await bring(journal, position, State.ACCEPTED)
            await journal.finish(position, success(None if units is None else Decimal(units)), 4.0)

        assert shown == str((await journal.summary()).units_billed)

    @pytest.mark.parametrize(
        ("units", "count", "billed"),
        [
            (0.1, 1_000_000, "100000"),
            (0.000001, 30_000, "0.03"),
            (1.05, 10_001, "10501.05"),
            (-0.7, 10_000, "-7000"),
            (999_999_999_999.0, 10_000, "9999999999990000"),
        ],
    )
    async def test_units_add_up_to_the_last_millionth(
        self, journal: Journal, units: float, count: int, billed: str
    ) -> None:
        """
        However many there are: a sum of fractions would drift, and one of millionths overflow.
        """
        await fill(journal, ImageRequest("a"))
        await bring(journal, 0, State.ACCEPTED)
        await journal.finish(0, success(Decimal(0)), 4.0)
        await bring_earlier(journal, count, units)

        assert billed == str((await journal.summary()).units_billed)

    async def test_empty_journal(self, journal: Journal, path: Path) -> None:
        """
        A journal to which nothing was added is complete, and has no rows.
        """
        assert Summary() == await journal.summary()
        assert [] == await rows(journal)
        assert [] == list(Reader(path).rows())
        assert Reader(path).trace("x.png") is None


class TestTracing:
    async def test_however_it_is_called(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        A picture is traced by its path, relative or absolute or by detours; another's is not.
        """
        inside, outside = path.parent / "pictures" / "0.png", path.parent.parent / "elsewhere" / "1.png"
        async with opened(path) as journal:
            await fill(journal)
            for position, where in enumerate((inside, outside)):
                await bring(journal, position, State.FINISHED)
                await journal.save(position, [picture(where)], 5.0, is_all=True)
        reader = Reader(path)
        monkeypatch.chdir(path.parent.parent)
        ways: list[str | Path] = [inside, str(inside), "run/pictures/0.png", Path("elsewhere/../run/./pictures/0.png")]

        assert [0] * 4 == [row.position for way in ways if (row := reader.trace(way))]
        assert [1] * 2 == [row.position for way in (outside, "elsewhere/1.png") if (row := reader.trace(way))]
        assert [None] * 3 == [reader.trace(way) for way in ("pictures/0.png", "0.png", "run/pictures/1.png")]

    async def test_folder_that_was_moved(self, path: Path, tmp_path: Path) -> None:
        """
        Moved together, journal and pictures still know each other.
        """
        async with opened(path) as journal:
            await fill(journal, REQUESTS[0])
            await bring(journal, 0, State.FINISHED)
            await journal.save(0, [picture(path.parent / "pictures" / "0.png")], 5.0, is_all=True)
        home = tmp_path / "archive"
        path.parent.rename(home)
        row = Reader(home / "run.kling").trace(home / "pictures" / "0.png")

        assert row is not None
        assert (home / "pictures" / "0.png",) == tuple(picture.path for picture in row.files)
        assert REQUESTS[0] == row.request

    async def test_relative_journal(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        A journal that was given by a relative path holds to it, wherever the program goes.
        """
        monkeypatch.chdir(path.parent)
        async with opened(Path("run.kling")) as journal:
            await fill(journal, REQUESTS[0])
            await bring(journal, 0, State.FINISHED)
            await journal.save(0, [picture(Path("0.png"))], 5.0, is_all=True)
            [row] = await rows(journal)

        assert (path.parent / "0.png",) == tuple(picture.path for picture in row.files)
        assert row == Reader(path).trace(path.parent / "0.png")


class TestOpening:
    async def test_again(self, path: Path) -> None:
        """
        A journal that is opened again has the id, the key for callbacks and the rows that it had.
        """
        async with opened(path) as journal:
            await fill(journal)
            await bring(journal, 0, State.SAVED)
            await journal.save_token_key(b"0123456789abcdef")
            first = (journal.id, journal.token_key, await rows(journal), await journal.summary())
        async with opened(path) as journal:
            second = (journal.id, journal.token_key, await rows(journal), await journal.summary())

        assert first == second
        assert b"0123456789abcdef" == second[1]
        assert ["run.kling"] == listing(path.parent)

    async def test_new_journal(self, tmp_path: Path) -> None:
        """
        A new journal has an id of its own and no key for callbacks; its folder is made; nobody else may read it.
        """
        ids = set()
        for name in ("a", "b"):
            path = tmp_path / "new" / "folder" / name
            async with opened(path) as journal:
                ids.add(journal.id)
                await fill(journal)

                assert journal.token_key is None
                assert {0o600} == {found.stat().st_mode & 0o777 for found in path.parent.iterdir()}
                assert [f"{name}{suffix}" for suffix in ("", "-shm", "-wal", ".lock")] == [
                    found for found in listing(path.parent) if found.startswith(name)
                ]

        assert 2 == len(ids)

    async def test_key_is_not_in_it(self, path: Path) -> None:
        """
        Of the account's key the file knows what tells it from others, and nothing else.
        """
        async with opened(path) as journal:
            journal_id = journal.id
        content = path.read_bytes()

        assert KEY.encode() not in content
        assert fingerprint(journal_id).encode() in content

    async def test_locked(self, path: Path, journal: Journal) -> None:
        """
        A journal is opened once at a time, by whatever name.
        """
        link = path.parent.parent / "link.kling"
        link.symlink_to(path)
        for name in (path, link):
            with pytest.raises(JournalLocked, match="another process works on"):
                Journal.open(name, ACCOUNT)

        assert [State.QUEUED] * 4 == [await fill(journal), *await states(journal)][1:]

    async def test_link_to_nothing_yet(self, path: Path) -> None:
        """
        What a link stands for is made where it points to, and pictures are seen from there.
        """
        link = path.parent.parent / "link.kling"
        link.symlink_to(path)
        async with opened(link) as journal:
            await fill(journal)

            assert 4 == Reader(link).summary().rows

        assert ["run.kling"] == listing(path.parent)
        assert 4 == Reader(link).summary().rows

    @pytest.mark.parametrize(
        ("account", "told"),
        [
            (attrs.evolve(ACCOUNT, base_url="https://other.example.com"), "its host is https://api.example.com, not"),
            (attrs.evolve(ACCOUNT, dialect="GATEWAY"), "its dialect is OFFICIAL, not GATEWAY"),
            (attrs.evolve(ACCOUNT, fingerprint=lambda salt: f"{salt}!"), "another key was used"),
        ],
        ids=["host", "dialect", "key"],
    )
    async def test_other_account(self, path: Path, account: Account, told: str) -> None:
        """
        A journal of another host, dialect or key from which something was sent is refused in words that name what
        differs, and not touched.
        """
        async with opened(path) as journal:
            await fill(journal)
            await mark_sending(journal, 0)
        before = path.read_bytes()
        with pytest.raises(JournalMismatch, match=told):
            Journal.open(path, account)

        assert before == path.read_bytes()
        assert ["run.kling"] == listing(path.parent)
        assert KEY not in repr(account)

    async def test_later_version(self, path: Path) -> None:
        """
        A journal of a later version is refused, and not touched, nor read.
        """
        async with opened(path):
            pass
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA user_version = 99")
        before = path.read_bytes()
        for open_it in (lambda: Journal.open(path, ACCOUNT), lambda: Reader(path)):
            with pytest.raises(JournalMismatch, match="later version of kling_async; upgrade"):
                open_it()

        assert before == path.read_bytes()

    async def test_earlier_version(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        A journal of an earlier version is brought up to date when it is opened, and keeps what it has.
        """
        async with opened(path) as journal:
            await fill(journal)
        migration = "ALTER TABLE row ADD COLUMN note TEXT NOT NULL DEFAULT 'none'; CREATE TABLE more (x);"
        monkeypatch.setattr(database_module, "MIGRATIONS", (*database_module.MIGRATIONS, migration))
        with pytest.raises(JournalMismatch, match="created by an earlier version; its next run"):
            Reader(path)
        for _ in range(2):
            async with opened(path) as journal:
                notes = journal._database._connection.execute("SELECT note FROM row").fetchall()

                assert REQUESTS == [row.request for row in await rows(journal)]
                assert [("none",)] * 4 == notes

        assert 4 == Reader(path).summary().rows

        monkeypatch.undo()
        with pytest.raises(JournalMismatch, match="later version"):
            Journal.open(path, ACCOUNT)

    async def test_migration_that_fails(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Where bringing it up to date fails in the middle, the journal is what it was.
        """
        async with opened(path) as journal:
            await fill(journal)
        migration = "ALTER TABLE row ADD COLUMN note TEXT; CREATE TABLE row (x)"
        with monkeypatch.context() as patch:
            patch.setattr(database_module, "MIGRATIONS", (*database_module.MIGRATIONS, migration))
            with pytest.raises(JournalCorrupt, match="already exists"):
                Journal.open(path, ACCOUNT)

        assert ["run.kling"] == listing(path.parent)
        async with opened(path) as journal:
            assert REQUESTS == [row.request for row in await rows(journal)]

    @pytest.mark.parametrize(
        "make",
        [
            lambda path: path.write_text("a lighthouse at dusk\n" * 100),
            lambda path: run_sql(path, "CREATE TABLE row (position); PRAGMA user_version = 1"),
            lambda path: run_sql(path, "PRAGMA application_id = 1263291975"),
        ],
        ids=["prompts", "another database", "without a version"],
    )
    def test_no_journal(self, path: Path, make: Callable[[Path], object]) -> None:
        """
        A file that is something else is refused, and not touched.
        """
        make(path)
        before = path.read_bytes()
        for open_it in (lambda: Journal.open(path, ACCOUNT), lambda: Reader(path)):
            with pytest.raises(JournalCorrupt, match="is not a journal of kling_async"):
                open_it()

        assert before == path.read_bytes()
        assert ["run.kling"] == listing(path.parent)

    async def test_nothing_there(self, path: Path) -> None:
        """
        Reading makes nothing: neither of what is not there, nor of a folder.
        """
        for name in (path, path.parent):
            with pytest.raises(FileNotFoundError, match="there is no such journal"):
                Reader(name)

        assert [] == listing(path.parent)

    async def test_folder_in_its_place(self, path: Path) -> None:
        """
        A folder cannot be a journal, and the system's own word says so.
        """
        path.mkdir()
        with pytest.raises(OSError, match="run.kling"):
            Journal.open(path, ACCOUNT)

        assert ["run.kling"] == listing(path.parent)

    async def test_odd_names(self, tmp_path: Path) -> None:
        """
        A journal may have any name that the system allows.
        """
        folder = tmp_path / os.fsdecode(b"caf\xe9 100% #1?mode=memory&")
        async with opened(folder / "a?b#c%20d.kling") as journal:
            await fill(journal)

        assert ["a?b#c%20d.kling"] == listing(folder)
        assert 4 == Reader(folder / "a?b#c%20d.kling").summary().rows

    def test_killed_while_it_was_made(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Until a new journal is whole there is none, so that whoever is killed while making it can begin anew.
        """
        path.with_name("run.kling.new").write_text("a draft")
        path.with_name("run.kling.lock").touch()
        journal = Journal.open(path, ACCOUNT)

        assert "run.kling.new" not in listing(path.parent)

        asyncio.run(journal.aclose())

    def test_system_without_threads(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Where the system gives no thread, opening fails with its word and leaves the journal closed.
        """

        def refuse(_: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError, match="can't start new thread"):
                Journal.open(path, ACCOUNT)

        assert ["run.kling"] == listing(path.parent)
        asyncio.run(Journal.open(path, ACCOUNT).aclose())

    def test_disk_without_a_log(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        A kind of disk on which SQLite cannot keep its log beside the file is refused.
        """
        connect = database_module._connect
        monkeypatch.setattr(database_module, "_connect", lambda path, mode: connect(path, f"{mode}&vfs=unix-none"))
        with pytest.raises(OSError, match="cannot be kept on this kind of disk") as caught:
            Journal.open(path, ACCOUNT)

        assert errno.ENOTSUP == caught.value.errno

    async def test_what_is_written_is_on_the_disk(self, journal: Journal) -> None:
        """
        SQLite is told to wait for the disk with each commit, on macOS also for what is in the disk's own memory.
        """
        connection = journal._database._connection
        found = {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in PRAGMAS}

        assert found == PRAGMAS

    async def test_closed(self, path: Path) -> None:
        """
        A journal that is closed says so, takes nothing more, and can be closed again.
        """
        async with opened(path) as journal:
            await fill(journal)

            assert f"<Journal {str(path)!r}>" == repr(journal)

        await journal.aclose()

        assert f"<Journal {str(path)!r}, closed>" == repr(journal)
        with pytest.raises(RuntimeError, match="closed"):
            journal.accept(0, "t-1", 1.0)
        with pytest.raises(RuntimeError, match="closed"):
            await journal.summary()


PRAGMAS = {"journal_mode": "wal", "synchronous": 2, "fullfsync": 1}


def run_sql(path: Path, text: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(text)


class TestDamage:
    @pytest.mark.parametrize("keep", [100, 4096, 9000], ids=["header", "first page", "middle"])
    async def test_truncated(self, path: Path, keep: int) -> None:
        """
        A journal that was cut off is refused, and not touched.
        """
        async with opened(path) as journal:
            await fill(journal, *(ImageRequest("x" * 500 + str(number)) for number in range(100)))
        with path.open("r+b") as file:
            file.truncate(keep)
        with pytest.raises(JournalCorrupt):
            Journal.open(path, ACCOUNT)

        assert keep == path.stat().st_size
        assert ["run.kling"] == listing(path.parent)

    @pytest.mark.parametrize(("at", "size"), [(0, 100), (100, 200), (8192, 4096), (40000, 3000)])
    async def test_overwritten(self, path: Path, at: int, size: int) -> None:
        """
        A journal into which something else was written is refused.
        """
        async with opened(path) as journal:
            await fill(journal, *(ImageRequest("x" * 500 + str(number)) for number in range(100)))
        with path.open("r+b") as file:
            file.seek(at)
            file.write(b"\xa5" * size)
        with pytest.raises(JournalCorrupt):
            Journal.open(path, ACCOUNT)

    async def test_emptied(self, path: Path) -> None:
        """
        A file that lost all its content does not pass for a new journal, which would have all be sent and paid again.
        """
        path.touch()
        with pytest.raises(JournalCorrupt, match="is empty: restore it from a copy, or delete it"):
            Journal.open(path, ACCOUNT)

        assert 0 == path.stat().st_size
        assert ["run.kling"] == listing(path.parent)

    @pytest.mark.parametrize("is_emptied", [False, True])
    async def test_log_alone(self, path: Path, journal: Journal, tmp_path: Path, *, is_emptied: bool) -> None:
        """
        Where the file is gone and its log is not, nothing is begun in its place: SQLite would delete the log.
        """
        await fill(journal)
        copy = crash(path, tmp_path / "copy")
        log = copy.with_name("run.kling-wal").read_bytes()
        copy.unlink()
        if is_emptied:
            copy.touch()
        with pytest.raises(JournalCorrupt, match="is of a journal that is not there"):
            Journal.open(copy, ACCOUNT)

        assert log == copy.with_name("run.kling-wal").read_bytes()

    async def test_something_is_missing_in_it(self, path: Path) -> None:
        """
        A journal that does not say whose it is cannot be read.
        """
        async with opened(path):
            pass
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("DELETE FROM journal")
        for open_it in (lambda: Journal.open(path, ACCOUNT), lambda: Reader(path)):
            with pytest.raises(JournalCorrupt, match="something is missing in it"):
                open_it()

    async def test_without_its_tables(self, path: Path) -> None:
        """
        Neither can one that lacks a table.
        """
        async with opened(path):
            pass
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("DROP TABLE row")
        with pytest.raises(JournalCorrupt, match="cannot be read: .*no such table"):
            Reader(path).summary()


class TestCrash:
    async def test_it_goes_on(self, path: Path, journal: Journal, tmp_path: Path) -> None:
        """
        After a crash all that was confirmed is there, with the lock file left behind or without it.
        """
        await fill(journal)
        await asyncio.gather(*(mark_sending(journal, position) for position in range(3)))
        for number, with_lock in enumerate((True, False)):
            copy = crash(path, tmp_path / str(number), with_lock=with_lock)
            async with opened(copy) as again:
                assert [State.SENDING] * 3 + [State.QUEUED] == await states(again)

            assert ["run.kling"] == listing(copy.parent)

    async def test_copy_without_its_log(self, path: Path, journal: Journal, tmp_path: Path) -> None:
        """
        A copy without the log that was made during a run lacks what was sent last, and is refused each time.
        """
        await fill(journal)
        await mark_sending(journal, 0)
        copy = tmp_path / "copy.kling"
        shutil.copy(path, copy)
        for _ in range(2):
            with pytest.raises(JournalCorrupt, match=r"Bring 'copy.kling-wal' along"):
                Journal.open(copy, ACCOUNT)

        shutil.copy(path.with_name("run.kling-wal"), tmp_path / "copy.kling-wal")
        async with opened(copy) as again:
            assert State.SENDING == (await states(again))[0]

    async def test_copy_at_rest(self, path: Path, tmp_path: Path) -> None:
        """
        A copy that was made between runs is as good as the journal itself.
        """
        async with opened(path) as journal:
            await fill(journal)
        copy = tmp_path / "copy.kling"
        shutil.copy(path, copy)
        async with opened(copy) as again:
            assert [State.QUEUED] * 4 == await states(again)

    async def test_wrong_key_after_it(self, path: Path, journal: Journal, tmp_path: Path) -> None:
        """
        Whoever comes with the wrong key after a crash spoils nothing for the right one.
        """
        await fill(journal)
        await mark_sending(journal, 0)
        other = attrs.evolve(ACCOUNT, dialect="GATEWAY")
        for number, with_lock in enumerate((True, False)):
            copy = crash(path, tmp_path / str(number), with_lock=with_lock)
            with pytest.raises(JournalMismatch):
                Journal.open(copy, other)
            async with opened(copy) as again:
                assert State.SENDING == (await states(again))[0]

    async def test_other_programs_after_it(self, path: Path, journal: Journal, tmp_path: Path) -> None:
        """
        A program that opens the file after a crash writes the log back into it; the lock file tells that all is well,
        also after somebody came with the wrong key.
        """
        await fill(journal)
        await mark_sending(journal, 0)
        copy = crash(path, tmp_path / "copy")
        with contextlib.closing(sqlite3.connect(copy)) as connection:
            connection.execute("SELECT count(*) FROM row").fetchall()

        assert ["run.kling", "run.kling.lock"] == listing(copy.parent)
        with pytest.raises(JournalMismatch):
            Journal.open(copy, attrs.evolve(ACCOUNT, dialect="GATEWAY"))
        async with opened(copy) as again:
            assert State.SENDING == (await states(again))[0]

    def test_kill(self, path: Path) -> None:
        """
        A process that is killed in the middle of its commits leaves a journal with all that it was told is written.
        """
        for limit in (1, 150):
            with Worker(path) as worker:
                told = worker.listen(limit)
                worker.kill()
                told += worker.listen()
            found = asyncio.run(self._states_after_a_crash(path))

            assert {State.QUEUED, State.SENDING, State.ACCEPTED} >= set(found)
            assert {True} == {found[position] != State.QUEUED for position in told}
            assert len(told) >= limit

    async def _states_after_a_crash(self, path: Path) -> list[State]:
        assert ["run.kling", "run.kling-shm", "run.kling-wal", "run.kling.lock"] == listing(path.parent)
        async with opened(path) as journal:
            found = await states(journal)
            told = [journal.fail(row, NotSent("no"), None, 1.0, may_retry=True) for row in range(len(found))]
            await asyncio.gather(*told)
            await asyncio.gather(*(journal.requeue(row) for row in range(len(found))))
            return found


OTHERS = {
    "host": attrs.evolve(ACCOUNT, base_url="https://other.example.com"),
    "dialect": attrs.evolve(ACCOUNT, dialect="GATEWAY"),
    "key": attrs.evolve(ACCOUNT, fingerprint=lambda salt: f"{salt}!"),
}


async def kept(journal: Journal) -> list[str | None]:
    return [row.kept_for for row in await rows(journal)]


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
class TestAnotherAccount:
    async def test_journal_without_tasks_moves_to_another_account(self, path: Path, other: Account) -> None:
        """
        A journal without tasks moves to another account, and then belongs to it: rows that were refused, or withdrawn,
        are sent as if for the first time.
        """
        async with opened(path) as journal:
            await fill(journal)
            for position in range(3):
                await mark_sending(journal, position)
            journal.withdraw(0)
            await journal.fail(1, NotSent("no"), None, 1.0, may_retry=True)
            await journal.fail(2, InvalidRequest("no"), None, 1.0, may_retry=False)
            await journal.requeue(1)
        async with opened(path, other) as journal:
            first, second, third, fourth = await rows(journal)

            assert [State.QUEUED, State.QUEUED, State.FAILED, State.QUEUED] == await states(journal)
            assert (0, None, None) == (first.attempts, first.external_task_id, first.submit_key)
            assert {None} == {row.kept_for for row in (first, second, third, fourth)}

            await mark_sending(journal, 0)

            assert [None] * 4 == await kept(journal)

        assert (other.base_url, other.dialect) == Reader(path).account
        with pytest.raises(JournalMismatch, match="rebind=True"):
            Journal.open(path, ACCOUNT)

    @pytest.mark.parametrize(
        "state", [State.SENDING, State.ACCEPTED, State.FINISHED, State.SAVED, State.UNCERTAIN, "failed task", "earlier"]
    )
    async def test_journal_with_possible_tasks_belongs_to_its_account(
        self, path: Path, other: Account, state: State | str
    ) -> None:
        """
        A journal from which the service has created a task, or may have, belongs to its account.
        """
        async with opened(path) as journal:
            await fill(journal)
            if state == "failed task":
                await bring(journal, 0, State.ACCEPTED)
                await fail(journal, 0)
            elif state == "earlier":
                await bring(journal, 0, State.UNCERTAIN)
                await journal.requeue(0)
            else:
                await bring(journal, 0, State(state))
        before = path.read_bytes()
        with pytest.raises(JournalMismatch, match="rebind=True"):
            Journal.open(path, other)

        assert before == path.read_bytes()

    async def test_rebind_assigns_the_journal_to_another_account(self, path: Path, other: Account) -> None:
        """
        `rebind` assigns it to another account and back: rows that may have a task are kept for the account that sent
        them.
        """
        old, new = ACCOUNT.base_url, other.base_url
        async with opened(path) as journal:
            await fill(journal, *REQUESTS, ImageRequest("a harbour"))
            for position, state in enumerate((State.SENDING, State.ACCEPTED, State.UNCERTAIN, State.FINISHED)):
                await bring(journal, position, state)
        for is_first in (True, False):
            async with opened(path, other, rebind=True) as journal:
                assert [old, old, old, None, None] == await kept(journal)
                assert 3 == (await journal.summary()).kept

                if is_first:
                    await bring(journal, 4, State.ACCEPTED)

                assert [old, old, old, None, None] == await kept(journal)

            with pytest.raises(JournalMismatch):
                Journal.open(path, ACCOUNT)
            async with opened(path, ACCOUNT, rebind=True) as journal:
                assert [None, None, None, None, new] == await kept(journal)
                [accounts] = journal._database._connection.execute("SELECT count(*) FROM account").fetchone()
                assert 2 == accounts
        async with opened(path, other, rebind=True) as journal:
            await journal.claim(1)
            journal.accept(2, "t-2", 3.0)

            assert [old, None, None, None, None] == await kept(journal)
            assert [old, None, None, None, None] == [row.kept_for for row in Reader(path).rows()]


async def test_journal_of_the_second_version(path: Path) -> None:
    """
    A journal that was begun before it knew of several accounts goes on, and may go over to another.
    """
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript("".join(database_module.MIGRATIONS[:2]))
        connection.execute(f"PRAGMA application_id = {database_module.APPLICATION_ID}")
        connection.execute("PRAGMA user_version = 2")
        facts = ("abc", ACCOUNT.base_url, ACCOUNT.dialect, ACCOUNT.fingerprint("abc"))
        connection.execute(
            "INSERT INTO journal (id, base_url, dialect, fingerprint, positions) VALUES (?,?,?,?,2)", facts
        )
        for position, state in enumerate(("accepted", "queued")):
            connection.execute(
                "INSERT INTO row (position, key, state, digest, generation, request, is_image_kept, queued_at) "
                "VALUES (?, ?, ?, x'00', 1, ?, 0, 1.0)",
                (position, str(position), state, '{"prompt": "a lighthouse"}'),
            )
        connection.commit()
    with pytest.raises(JournalMismatch, match="rebind=True"):
        Journal.open(path, OTHERS["key"])
    async with opened(path) as journal:
        assert [None, None] == await kept(journal)
    async with opened(path, OTHERS["key"], rebind=True) as journal:
        assert [ACCOUNT.base_url, None] == await kept(journal)


@contextlib.contextmanager
def read_by_another(path: Path) -> Iterator[sqlite3.Connection]:
    """
    Have another program read the journal: it sees one and the same state until this ends.
    """
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM row").fetchall()
        yield connection


class TestBesideAReader:
    async def test_opening_beside_a_reader(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        While another program reads the file, it cannot be marked as in use: it is not opened, and stays as it was.
        """
        monkeypatch.setattr(database_module, "CONNECT_TIMEOUT", 0.05)
        async with opened(path) as journal:
            await fill(journal)
        for _ in range(2):
            with read_by_another(path), pytest.raises(JournalLocked, match=r"end that program.*nothing was sent"):
                Journal.open(path, ACCOUNT)
        async with opened(path) as journal:
            assert [State.QUEUED] * 4 == await states(journal)

    async def test_opening_after_a_crash(
        self, path: Path, journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        The same holds for a journal that a crash left behind; what was sent is still known afterwards.
        """
        monkeypatch.setattr(database_module, "CONNECT_TIMEOUT", 0.05)
        await fill(journal)
        await mark_sending(journal, 0)
        copy = crash(path, tmp_path / "copy")
        with read_by_another(copy), pytest.raises(JournalLocked, match="nothing was sent"):
            Journal.open(copy, ACCOUNT)
        async with opened(copy) as again:
            assert [State.SENDING] + [State.QUEUED] * 3 == await states(again)

    async def test_closing_beside_a_reader(
        self, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        While another program reads the file, it is closed without waiting for that program's end. Its log stays, which
        is in the log messages, and the file alone is refused, as it lacks what was sent.
        """
        monkeypatch.setattr(database_module, "CONNECT_TIMEOUT", 3600.0)
        journal = Journal.open(path, ACCOUNT)
        await fill(journal)
        with read_by_another(path):
            await mark_sending(journal, 0)
            await journal.aclose()
            shutil.copy(path, tmp_path / "alone.kling")

            assert f"another program is reading {str(path)!r}: its log 'run.kling-wal' stays" in caplog.text
            assert "run.kling.lock" not in listing(path.parent)
            with pytest.raises(JournalCorrupt, match=r"Bring 'alone.kling-wal' along"):
                Journal.open(tmp_path / "alone.kling", ACCOUNT)
            shutil.copy(path.with_name("run.kling-wal"), tmp_path / "alone.kling-wal")
            async with opened(tmp_path / "alone.kling") as copy:
                assert State.SENDING == (await states(copy))[0]

        async with opened(path) as journal:
            assert State.SENDING == (await states(journal))[0]

    async def test_killed_while_it_was_closed(self, path: Path, tmp_path: Path) -> None:
        """
        The file says that it is not in use only once it has all that is in the log.
        """
        found: list[list[str]] = []
        copy = tmp_path / "copy.kling"

        def look(statement: str) -> None:
            if "in_use = 0" in statement:
                shutil.copy(path, copy)
                with contextlib.closing(sqlite3.connect(f"file:{copy}?immutable=1", uri=True)) as connection:
                    rows = connection.execute("SELECT state FROM row ORDER BY position").fetchall()
                    found.append([state for (state,) in rows])

        async with opened(path) as journal:
            await fill(journal)
            await mark_sending(journal, 0)
            journal._database._connection.set_trace_callback(look)

        assert [["sending", "queued", "queued", "queued"]] == found


FORKING = """
    import asyncio
    import gc
    import os
    import sys
    from kling_async.batch.journal import Journal
    from tests.unit.batch.test_journal import ACCOUNT, fill, mark_sending

    def tell(*words):
        os.write(1, " ".join([str(os.getpid()), *words, "\\n"]).encode())  # at once: two processes write

    async def begin():
        journal = Journal.open(sys.argv[1], ACCOUNT)
        await fill(journal)
        await mark_sending(journal, 0)
        return journal

    async def use(journal):
        refused = set()
        for attempt in (mark_sending(journal, 1), journal.summary()):
            try:
                await attempt
            except RuntimeError as error:
                refused.add(str(error))
        await journal.aclose()
        tell(*refused)

    loop = asyncio.new_event_loop()
    journal = loop.run_until_complete(begin())
    if os.fork() == 0:
        asyncio.run(use(journal))
        sys.stdin.read()
        del journal
        gc.collect()
    else:
        loop.run_until_complete(mark_sending(journal, 1))
        tell()
        os.wait()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
class TestForking:
    async def test_child_outlives_its_parent(self, path: Path) -> None:
        """
        A child by `fork` can do nothing with its parent's journal, which is free once the parent was killed; when the
        child ends, even in good order, it touches no file of it.
        """
        with Family(FORKING, str(path)) as family:
            assert {True: "", False: "this is closed: it neither writes nor reads"} == family.told

            with pytest.raises(JournalLocked):
                Journal.open(path, ACCOUNT)
            family.kill_parent()
            left = {name: (path.parent / name).read_bytes() for name in listing(path.parent)}
            family.end()

            assert left == {name: (path.parent / name).read_bytes() for name in listing(path.parent)}
            async with opened(path) as journal:
                assert [State.SENDING] * 2 + [State.QUEUED] * 2 == await states(journal)

    async def test_child_beside_a_later_run(self, path: Path) -> None:
        """
        A child that ends while a later run works on the journal takes nothing away from it.
        """
        with Family(FORKING, str(path)) as family:
            family.kill_parent()
            async with opened(path) as journal:
                await mark_sending(journal, 2)
                family.end()
                await mark_sending(journal, 3)

        async with opened(path) as journal:
            assert [State.SENDING] * 4 == await states(journal)


class Worker:
    """
    A process that sends the rows of a journal, over and over, and tells which it was told are written.
    """

    def __init__(self, path: Path) -> None:
        program = """
            import asyncio, sys
            from kling_async.errors import NotSent
            from kling_async.batch.journal import Journal
            from kling_async.batch.opening import Account
            from kling_async.batch.records import NewRow
            from kling_async.media.saved_files import SavedFile
            from kling_async.wire.endpoints.image_generation import ImageRequest

            def key(salt):
                import hashlib
                return hashlib.sha256((salt + sys.argv[2]).encode()).hexdigest()

            async def work(journal, position):
                await journal.mark_sending(position, attempt=1, external_task_id="x", submit_key=None, now=1.0)
                print(position, flush=True)
                journal.accept(position, f"t-{position}", 2.0)

            async def main():
                journal = Journal.open(sys.argv[1], Account("https://api.example.com", "OFFICIAL", key))
                generation = await journal.begin_input()
                requests = [NewRow(request=ImageRequest(str(number))) for number in range(400)]
                await journal.add(requests, generation, 1.0)
                stop = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
                for first in range(0, 400, 5):
                    await asyncio.gather(*(work(journal, first + row) for row in range(5)))
                print("done", flush=True)
                await stop
                await journal.aclose()

            asyncio.run(main())
        """
        self._process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program), str(path), KEY],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def listen(self, limit: int | None = None) -> list[int]:
        """
        Return the next rows that were told of, *limit* of them, or all to the end.
        """
        assert self._process.stdout is not None
        told: list[int] = []
        while limit is None or len(told) < limit:
            line = self._process.stdout.readline()
            if not line or line == "done\n":
                break
            if line.endswith("\n"):
                told.append(int(line))
        return told

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


class TestPlace:
    async def test_moved(self, path: Path, tmp_path: Path) -> None:
        """
        Moved away during a run, nothing more is sent, and what must last is in the file wherever it is.
        """
        journal = Journal.open(path, ACCOUNT)
        await fill(journal)
        await mark_sending(journal, 0)
        path.rename(tmp_path / "moved.kling")
        for write in (
            lambda: mark_sending(journal, 1),
            lambda: journal.finish(0, success(), 4.0),
            journal.begin_input,
            lambda: journal.add(entries(REQUESTS), 1, 1.0),
            lambda: journal.drop_missing(1),
        ):
            with pytest.raises(JournalCorrupt, match=r"run.kling' was moved or deleted while it was in use"):
                await write()
        journal.accept(0, "t-1", 3.0)
        await journal.aclose()

        async with opened(path):  # nothing of it is in the way of another
            pass
        async with opened(tmp_path / "moved.kling") as journal:
            assert [State.ACCEPTED] + [State.QUEUED] * 3 == await states(journal)

    async def test_moved_and_put_back(self, path: Path, journal: Journal, tmp_path: Path) -> None:
        """
        Put back in its place, the journal goes on.
        """
        await fill(journal)
        path.rename(tmp_path / "moved.kling")
        with pytest.raises(JournalCorrupt):
            await mark_sending(journal, 0)
        (tmp_path / "moved.kling").rename(path)
        await mark_sending(journal, 0)

        assert State.SENDING == (await states(journal))[0]

    async def test_folder_moved(self, path: Path, tmp_path: Path) -> None:
        """
        Also with its folder, and all that lies beside it.
        """
        journal = Journal.open(path, ACCOUNT)
        await fill(journal)
        path.parent.rename(tmp_path / "elsewhere")
        with pytest.raises(JournalCorrupt):
            await mark_sending(journal, 0)
        await journal.aclose()
        async with opened(tmp_path / "elsewhere" / "run.kling") as journal:
            assert [State.QUEUED] * 4 == await states(journal)

    async def test_replaced(self, path: Path, tmp_path: Path) -> None:
        """
        Another file in its place is not the journal.
        """
        async with opened(tmp_path / "other.kling"):
            pass
        journal = Journal.open(path, ACCOUNT)
        await fill(journal)
        (tmp_path / "other.kling").replace(path)
        with pytest.raises(JournalCorrupt):
            await mark_sending(journal, 0)
        await journal.aclose()

        assert 0 == Reader(path).summary().rows

    async def test_log_deleted(self, path: Path) -> None:
        """
        Without its log on the disk a crash would lose what is written from now on, so nothing more is sent; closing in
        good order loses nothing.
        """
        journal = Journal.open(path, ACCOUNT)
        await fill(journal)
        await mark_sending(journal, 0)
        path.with_name("run.kling-wal").unlink()
        with pytest.raises(JournalCorrupt, match=r"run.kling-wal' was moved or deleted"):
            await mark_sending(journal, 1)
        journal.accept(0, "t-1", 3.0)
        await journal.aclose()
        async with opened(path) as journal:
            assert [State.ACCEPTED] + [State.QUEUED] * 3 == await states(journal)

    async def test_lock_file_deleted(self, path: Path) -> None:
        """
        Who deletes the lock file lets a second process in; the first sends nothing more.
        """
        first = Journal.open(path, ACCOUNT)
        await fill(first)
        await mark_sending(first, 0)
        path.with_name("run.kling.lock").unlink()
        with pytest.raises(JournalLocked, match=r"run.kling.lock' was deleted"):
            await mark_sending(first, 1)
        async with opened(path) as second:
            await mark_sending(second, 1)
            with pytest.raises(JournalLocked):
                await mark_sending(first, 2)
            first.accept(0, "t-1", 3.0)
            await first.aclose()
            with pytest.raises(JournalLocked):
                Journal.open(path, ACCOUNT)

            assert [State.ACCEPTED, State.SENDING] + [State.QUEUED] * 2 == await states(second)
            await mark_sending(second, 2)

    async def test_another_program_writes(self, path: Path, journal: Journal) -> None:
        """
        While another program holds the file, nothing is sent; what must last waits for its end.
        """
        await fill(journal)
        await mark_sending(journal, 0)
        await journal._writer.run(journal._database._connection.execute, "PRAGMA busy_timeout = 20")
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            with pytest.raises(JournalLocked, match="another program has locked"):
                await mark_sending(journal, 1)
            journal.accept(0, "t-1", 3.0)

            assert [State.SENDING, State.QUEUED] == (await states(journal))[:2]

            connection.execute("ROLLBACK")

        assert [State.ACCEPTED, State.QUEUED] == (await states(journal))[:2]

    async def test_another_program_opens_it(self, path: Path) -> None:
        """
        While another program holds the file, it cannot be opened, and is told so.
        """
        async with opened(path):
            pass
        connect = database_module._connect
        with (
            contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection,
            pytest.MonkeyPatch.context() as patch,
        ):
            patch.setattr(database_module, "_connect", lambda path, mode: schedule_now(connect(path, mode)))
            connection.execute("BEGIN IMMEDIATE")
            with pytest.raises(JournalLocked, match="another program has locked"):
                Journal.open(path, ACCOUNT)
        async with opened(path):
            pass


def schedule_now(connection: sqlite3.Connection) -> sqlite3.Connection:
    """
    Have a connection wait for no other.
    """
    connection.execute("PRAGMA busy_timeout = 0")
    return connection


class TestReader:
    async def test_rows(self, path: Path, journal: Journal) -> None:
        """
        Rows are read in the order of the input, over many pages, all or of some states.
        """
        await fill(journal, *(ImageRequest(str(number)) for number in range(1101)))
        for position in (3, 600, 1100):
            await bring(journal, position, State.SENDING)
        with Reader(path) as reader:
            everything = list(reader.rows())
            some = list(reader.rows(State.SENDING, State.FAILED))

        assert await journal.read_page([], -1, 2000) == everything
        assert [3, 600, 1100] == [row.position for row in some]

    async def test_account(self, path: Path, journal: Journal) -> None:
        """
        Whose tasks these are is told without the key.
        """
        assert ("https://api.example.com", "OFFICIAL") == Reader(path).account

    def test_beside_a_run(self, path: Path) -> None:
        """
        A journal on which another process works can be read, and not be opened; nothing is left of the reading.
        """
        with Worker(path) as worker:
            worker.listen(1)
            reader = Reader(path)
            first = reader.summary()
            with pytest.raises(JournalLocked):
                Journal.open(path, ACCOUNT)
            worker.listen()
            last = reader.summary()
            with contextlib.closing(sqlite3.connect(path)) as held:
                held.execute("SELECT count(*) FROM row").fetchall()

        assert first.rows == last.rows == 400
        assert first.queued < 400
        assert 0 == last.queued
        assert 400 == reader.summary().accepted

    async def test_it_keeps_up(self, path: Path) -> None:
        """
        A reader that was made between runs sees those that come.
        """
        async with opened(path):
            pass
        reader = Reader(path)
        found = [reader.summary().rows]
        async with opened(path) as journal:
            for number in range(2):
                await fill(journal, ImageRequest(str(number)))
                found.append(reader.summary().rows)
        found.append(reader.summary().rows)

        assert [0, 1, 2, 2] == found
        assert ["run.kling"] == listing(path.parent)

    async def test_run_that_begins_meanwhile(self, path: Path) -> None:
        """
        What was read while a run began, and may be of two moments, is read again; so is what could not be read then.
        """
        async with opened(path):
            pass
        reader = Reader(path)
        journals: list[Journal] = []

        def count(database: Database) -> int:
            if not journals:
                journals.append(Journal.open(path, ACCOUNT))
                return -1
            return sums.summarize(database).rows

        def stumble(database: Database) -> int:
            if len(journals) == 1:
                journals.append(Journal.open(path, ACCOUNT))
                raise JournalCorrupt("of two moments")
            return sums.summarize(database).rows

        assert 0 == reader._ask(count)

        await fill(journals[0])
        await journals[0].aclose()

        assert 4 == reader._ask(stumble)

        await journals[1].aclose()
        with pytest.raises(ZeroDivisionError):
            reader._ask(lambda _: 1 // 0)

    async def test_it_changes_nothing(self, path: Path) -> None:
        """
        Reading a journal at rest makes no file beside it and leaves it as it is.
        """
        async with opened(path) as journal:
            await fill(journal)
        before = path.read_bytes(), path.stat().st_mtime_ns
        reader = Reader(path)
        answers = (reader.summary(), list(reader.rows()), reader.trace("x"), reader.account)

        assert 4 == answers[0].rows
        assert ["run.kling"] == listing(path.parent)
        assert before == (path.read_bytes(), path.stat().st_mtime_ns)

    async def test_by_who_may_not_write(self) -> None:
        """
        Who may read a folder and not write in it can read a journal there, at rest and during a run; and whoever tries
        to work on it is told by the system.
        """
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            path = folder / "run.kling"
            journal = Journal.open(path, ACCOUNT)
            await fill(journal)
            for found in folder.iterdir():
                found.chmod(0o644)
            folder.chmod(0o555)
            during = await asyncio.to_thread(as_somebody, path)
            names = listing(folder)
            folder.chmod(0o755)
            await journal.aclose()
            folder.chmod(0o555)
            at_rest = await asyncio.to_thread(as_somebody, path)
            names_at_rest = listing(folder)
            folder.chmod(0o755)

        assert "4 rows; PermissionError" == during == at_rest
        assert ["run.kling", "run.kling-shm", "run.kling-wal", "run.kling.lock"] == names
        assert ["run.kling"] == names_at_rest


def as_somebody(path: Path) -> str:
    """
    Return what a user who may write nowhere sees of the journal at *path*.
    """
    program = """
        import os, sys
        from kling_async.batch.journal import Account, Journal, Reader

        if os.getuid() == 0:
            os.setuid(65534)
        print(Reader(sys.argv[1]).summary().rows, "rows;", end=" ")
        try:
            Journal.open(sys.argv[1], Account("", "", str))
        except OSError as error:
            print(type(error).__name__)
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(path)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """
    A disk of its own with room for 3 MB.
    """
    place = tmp_path / "disk"
    place.mkdir()
    mount, unmount = shutil.which("mount"), shutil.which("umount")
    if mount is None or unmount is None:
        pytest.skip("there is no program here to mount a disk")
    command = [mount, "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("this user may not mount a disk")
    yield place
    subprocess.run([unmount, str(place)], check=True)


def fill_up(disk: Path, name: str = "filler") -> None:
    """
    Leave no room on *disk*.
    """
    with contextlib.suppress(OSError), (disk / name).open("ab", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass


async def intend_until_full(journal: Journal, first: int) -> int:
    """
    Intend rows from *first* on until one is refused, and return which.
    """
    position = first
    with pytest.raises(StorageFull):
        while True:
            await mark_sending(journal, position)
            position += 1
    return position


class TestFullDisk:
    async def test_what_was_paid_for_has_room(self, small_disk: Path) -> None:
        """
        On a full disk nothing is sent, tasks' ids are written down, and after room is made all goes on.
        """
        path = small_disk / "run.kling"
        async with opened(path) as journal:
            await fill(journal, *(ImageRequest(str(number)) for number in range(60)))
            await asyncio.gather(*(mark_sending(journal, position) for position in range(3)))

            assert RESERVE == path.with_name("run.kling.lock").stat().st_size

            fill_up(small_disk)
            refused = await intend_until_full(journal, 3)
            journal.accept(0, "t-0", 3.0)
            await journal.finish(0, success(), 4.0)
            found = await states(journal)

            assert [State.FINISHED] + [State.SENDING] * (refused - 1) + [State.QUEUED] * (60 - refused) == found

            fill_up(small_disk, "more")
            with pytest.raises(StorageFull, match="there is no room left beside"):
                await mark_sending(journal, refused)
            with pytest.raises(StorageFull):
                await journal.add(entries([ImageRequest("x" * 9999)] * 100), 1, 1.0)
            for filler in ("filler", "more"):
                (small_disk / filler).unlink()
            await mark_sending(journal, refused)

            assert RESERVE == path.with_name("run.kling.lock").stat().st_size
            assert State.SENDING == (await states(journal))[refused]

        async with opened(path) as journal:
            assert State.FINISHED == (await states(journal))[0]

    async def test_what_has_no_room_waits(self, small_disk: Path) -> None:
        """
        Once the reserve is used up as well, ids of tasks wait for room, and are written when there is some.
        """
        path = small_disk / "run.kling"
        async with opened(path) as journal:
            await fill(journal, *(ImageRequest(str(number)) for number in range(60)))
            await asyncio.gather(*(mark_sending(journal, position) for position in range(40)))
            accepted = await self._use_up(journal, small_disk)
            with pytest.raises(StorageFull):
                await journal.finish(0, success(), 4.0)
            for filler in small_disk.glob("filler*"):
                filler.unlink()
            found = await states(journal)

            assert [State.ACCEPTED] * accepted + [State.SENDING] * (40 - accepted) + [State.QUEUED] * 20 == found

        assert accepted == Reader(path).summary().accepted

    async def test_closing_in_good_order(self, small_disk: Path) -> None:
        """
        On a full disk a journal is closed in good order: what it needs was reserved.
        """
        path = small_disk / "run.kling"
        async with opened(path) as journal:
            await fill(journal, *(ImageRequest(str(number) * 100) for number in range(60)))
            await mark_sending(journal, 0)
            fill_up(small_disk)

        assert ["filler", "run.kling"] == listing(small_disk)
        assert 60 == Reader(path).summary().rows

    async def test_closing_without_room(self, small_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
        """
        Closed without room for them, ids of tasks are in the log and the error says so; the journal is good all the
        same.
        """
        path = small_disk / "run.kling"
        journal = Journal.open(path, ACCOUNT)
        await fill(journal, *(ImageRequest(str(number)) for number in range(60)))
        await asyncio.gather(*(mark_sending(journal, position) for position in range(40)))
        accepted = await self._use_up(journal, small_disk)
        with pytest.raises(StorageFull, match="make room"):
            await journal.aclose()

        assert f"'t-{accepted - 1}'" in caplog.text
        assert "run.kling.lock" in listing(small_disk)  # else it would look like a copy that lacks its log
        for filler in small_disk.glob("filler*"):
            filler.unlink()
        async with opened(path) as journal:
            found = await states(journal)

        assert State.SENDING == found[accepted - 1]
        assert State.ACCEPTED == found[0]

    async def test_opening(self, small_disk: Path, tmp_path: Path) -> None:
        """
        Neither a new journal nor an old one is opened without room, and both are good once there is some; also one that
        a crash left behind.
        """
        old, left = small_disk / "old.kling", small_disk / "left.kling"
        for path in (old, left):
            async with opened(path) as journal:
                await fill(journal)
                if path is left:
                    await mark_sending(journal, 0)
                    copies = crash(path, tmp_path / "copy")
        for copy in copies.parent.iterdir():
            shutil.copy(copy, small_disk)
        fill_up(small_disk)
        for path in (small_disk / "new.kling", old, left):
            with pytest.raises(StorageFull, match=r"make room,.* run again"):
                Journal.open(path, ACCOUNT)

        assert not [name for name in listing(small_disk) if name.startswith("new")]

        (small_disk / "filler").unlink()
        async with opened(small_disk / "new.kling"), opened(old) as journal, opened(left) as again:
            assert [State.QUEUED] * 4 == await states(journal)
            assert [State.SENDING] + [State.QUEUED] * 3 == await states(again)

    async def _use_up(self, journal: Journal, disk: Path) -> int:
        # Accept tasks until one waits for room, and return how many were accepted in all.
        fill_up(disk, "filler")
        await intend_until_full(journal, 40)
        for number in range(40):
            journal.accept(number, f"t-{number}", 3.0)
            if (await journal.summary()).accepted == number:
                return number + 1
            fill_up(disk, f"filler-{number}")
        raise AssertionError("there was always room")


class JournalMachine(RuleBasedStateMachine):
    """
    Compares a journal with a dictionary of its rows, whatever is written, put back, closed and killed.
    """

    picks = st.integers(0, 4)
    units = st.sampled_from([None, Decimal(0), Decimal("0.5"), Decimal(8)])
    own_keys = st.sampled_from([None, None, "a", "b"])

    @initialize(steps=st.lists(st.integers(0, 5), min_size=2, max_size=2))
    def start(self, steps: list[int]) -> None:
        self.runner = asyncio.Runner()
        self.folders = tempfile.TemporaryDirectory(dir=MEMORY)
        self.path = Path(self.folders.name) / "0" / "run.kling"
        self.journal = Journal.open(self.path, ACCOUNT)
        self.killed: list[Journal] = []
        self.id = self.journal.id
        self.rows: dict[int, Row] = {}
        self.generations: dict[int, int] = {}  # the input in which a row was last seen
        self.seen: dict[ImageRequest, int] = {}  # how often, in this input and without a key
        self.earlier: dict[tuple[int, int], Decimal] = {}
        self.positions = 0
        self.generation = 0
        self.now = 0.0
        self.add([(request, None) for request in REQUESTS[:3]], is_new=True)
        for pick, count in enumerate(steps):
            self.go_on(pick, count)
        self.fail(2, 2, Decimal("0.5"), may_retry=True)

    def teardown(self) -> None:
        if hasattr(self, "journal"):
            for journal in (*self.killed, self.journal):
                self.do(journal.aclose())
            self.runner.close()
            self.folders.cleanup()

    def do(self, job: Any) -> Any:
        async def run() -> Any:
            return await job

        return self.runner.run(run())

    def at(self, pick: int) -> int:
        """
        The position of one of the first rows, seldom of none.
        """
        return next(itertools.islice(sorted(self.rows), pick, None), 99)

    def tick(self) -> float:
        self.now += 1
        return self.now

    def _move(self, position: int, sources: Sequence[State], **fields: Any) -> bool:
        row = self.rows.get(position)
        if row is None or row.state not in sources:
            return False
        self.rows[position] = attrs.evolve(row, **fields)
        return True

    @rule(wanted=st.lists(st.tuples(st.sampled_from(REQUESTS), own_keys), min_size=1, max_size=4), is_new=st.booleans())
    def add(self, wanted: list[tuple[ImageRequest, str | None]], *, is_new: bool) -> None:
        if is_new or not self.generation:
            self.generation = self.do(self.journal.begin_input())
            self.seen = {}
        now, new = self.tick(), 0
        rows, generations, seen = dict(self.rows), dict(self.generations), dict(self.seen)
        is_refused = False
        for request, own in wanted:
            key = own
            if own is None:
                occurrence = seen.get(request, 0)
                seen[request] = occurrence + 1
                key = f"{digest_of(request, {}).hex()[:24]}-{occurrence}"
            known = next((row for row in rows.values() if row.key == key), None)
            if known is None:
                assert key is not None
                position = self.positions + new
                rows[position] = Row(position=position, key=key, state=State.QUEUED, request=request, queued_at=now)
                generations[position] = self.generation
                new += 1
            elif known.request != request:
                is_refused = True
            else:
                generations[known.position] = self.generation
        given = [NewRow(request=request, key=key) for request, key in wanted]
        if is_refused:
            with pytest.raises(InvalidRequest):
                self.do(self.journal.add(given, self.generation, now))
            return
        assert (new, len(wanted) - new) == self.do(self.journal.add(given, self.generation, now))
        self.rows, self.generations, self.seen = rows, generations, seen
        self.positions += new

    @rule()
    def drop_missing(self) -> None:
        missing = [
            row
            for row in self.rows.values()
            if row.state is State.QUEUED or (row.state is State.FAILED and row.may_retry)
            if self.generations[row.position] != self.generation
        ]
        assert len(missing) == self.do(self.journal.count_missing(self.generation))
        assert len(missing) == self.do(self.journal.drop_missing(self.generation))
        for row in missing:
            self._keep_attempt(row)
            del self.rows[row.position]

    def _keep_attempt(self, row: Row) -> None:
        if row.snapshot is not None and row.snapshot.final_unit_deduction is not None:
            self.earlier.setdefault((row.position, row.attempts), row.snapshot.final_unit_deduction)

    @rule(pick=picks, submit_key=st.sampled_from([None, "token"]))
    def mark_sending(self, pick: int, submit_key: str | None) -> None:
        position = self.at(pick)
        row = self.rows.get(position)
        attempt = row.attempts + 1 if row else 1
        now, external_id = self.tick(), external_id_of(self.id, position, "key", attempt)
        intent = self.journal.mark_sending(
            position, attempt=attempt, external_task_id=external_id, submit_key=submit_key, now=now
        )
        changes = {
            "state": State.SENDING,
            "attempts": attempt,
            "external_task_id": external_id,
            "submit_key": submit_key,
            "sent_at": now,
            "error": None,
        }
        if self._move(position, [State.QUEUED, State.SENDING, State.UNCERTAIN], **changes):
            self.do(intent)
        else:
            with pytest.raises(RuntimeError, match="does not wait to be sent"):
                self.do(intent)

    @rule(pick=picks)
    def withdraw(self, pick: int) -> None:
        position = self.at(pick)

        async def withdraw() -> None:
            self.journal.withdraw(position)

        self.do(withdraw())
        self._move(position, [State.SENDING], state=State.QUEUED)

    @rule(pick=picks)
    def accept(self, pick: int) -> None:
        position = self.at(pick)
        now = self.tick()

        async def accept() -> None:
            self.journal.accept(position, f"t-{now}", now)

        self.do(accept())
        self._accept(position, now)

    def _accept(self, position: int, now: float) -> None:
        changes = {"state": State.ACCEPTED, "task_id": f"t-{now}", "accepted_at": now, "error": None}
        self._move(position, [State.SENDING, State.UNCERTAIN], **changes)

    @rule(pick=picks, units=units)
    def finish(self, pick: int, units: Decimal | None) -> None:
        position = self.at(pick)
        now = self.tick()
        self.do(self.journal.finish(position, success(units), now))
        changes = {"state": State.FINISHED, "snapshot": success(units), "ended_at": now, "error": None}
        self._move(position, [State.ACCEPTED], **changes)

    @rule(pick=picks, places=st.sets(st.integers(0, 2)), is_all=st.booleans(), size=st.integers(0, 10**9))
    def save(self, pick: int, places: set[int], size: int, *, is_all: bool) -> None:
        position = self.at(pick)
        now = self.tick()
        names = {place: f"{position}-{place}-{size % 3}.png" for place in places}
        pictures = [picture(self.path.parent / name, place, size) for place, name in names.items()]
        self.do(self.journal.save(position, pictures, now, is_all=is_all))
        row = self.rows.get(position)
        if row is None or row.state not in {State.FINISHED, State.SAVED}:
            return
        held = {held.index: held for held in row.files} | {new.index: new for new in pictures}
        self.rows[position] = attrs.evolve(
            row,
            files=tuple(held[place] for place in sorted(held)),
            state=State.SAVED if is_all else row.state,
            saved_at=now if is_all else row.saved_at,
        )

    @rule(pick=picks, steps=st.integers(1, 5))
    def go_on(self, pick: int, steps: int) -> None:
        """
        The next steps of a row that has no troubles, or leaves them behind.
        """
        for _ in range(steps):
            row = self.rows.get(self.at(pick))
            match row.state if row is not None else None:
                case State.QUEUED:
                    self.mark_sending(pick, "token")
                case State.SENDING:
                    self.accept(pick)
                case State.ACCEPTED:
                    self.finish(pick, Decimal(8))
                case State.FINISHED:
                    self.save(pick, {0}, 7, is_all=row is not None and len(row.files) > 0)
                case State.FAILED | State.UNCERTAIN:
                    self.requeue(pick)

    @rule(pick=picks)
    def unsave(self, pick: int) -> None:
        position = self.at(pick)
        self.do(self.journal.mark_unsaved(position))
        self._move(position, [State.SAVED], state=State.FINISHED, files=(), saved_at=None)

    @rule(pick=picks, steps=st.integers(0, 2), units=units, may_retry=st.booleans())
    def fail(self, pick: int, steps: int, units: Decimal | None, *, may_retry: bool) -> None:
        self.go_on(pick, steps)
        position = self.at(pick)
        now = self.tick()
        has_task = position in self.rows and self.rows[position].state is State.ACCEPTED
        snapshot = failure(units) if has_task else None
        error = TaskFailed("no", "t-1", snapshot=snapshot) if has_task else ServiceFailure("no", code=5000)
        self.do(self.journal.fail(position, error, snapshot, now, may_retry=may_retry))
        changes = {
            "state": State.FAILED,
            "error": error,
            "may_retry": may_retry,
            "snapshot": snapshot,
            "ended_at": now,
        }
        self._move(position, [State.QUEUED, State.SENDING, State.ACCEPTED], **changes)

    @rule(pick=picks)
    def doubt(self, pick: int) -> None:
        position = self.at(pick)
        error = SubmissionUncertain("lost", request_id=str(self.tick()))
        self.do(self.journal.mark_uncertain(position, error))
        self._move(position, [State.SENDING, State.UNCERTAIN], state=State.UNCERTAIN, error=error)

    @rule(pick=picks)
    def requeue(self, pick: int) -> None:
        position = self.at(pick)
        self.do(self.journal.requeue(position))
        row = self.rows.get(position)
        if row is None or row.state not in {State.FAILED, State.UNCERTAIN}:
            return
        self._keep_attempt(row)
        self.rows[position] = Row(
            position=position,
            key=row.key,
            state=State.QUEUED,
            request=row.request,
            attempts=row.attempts,
            queued_at=row.queued_at,
        )

    @rule()
    def reopen(self) -> None:
        self.do(self.journal.aclose())
        at_rest = Reader(self.path).summary()
        self.journal = Journal.open(self.path, ACCOUNT)
        assert at_rest == self.do(self.journal.summary()) == Reader(self.path).summary()

    @rule(with_lock=st.booleans())
    def crash(self, *, with_lock: bool) -> None:
        self._go_on_elsewhere(with_lock=with_lock)

    @rule(pick=picks)
    def crash_before_it_is_written(self, pick: int) -> None:
        position = self.at(pick)
        now = self.tick()

        async def accept() -> None:
            self.journal.accept(position, f"t-{now}", now)
            self._go_on_elsewhere(with_lock=True)

        self.do(accept())
        [row] = self.do(self.journal.read_page([], position - 1, 1)) or [None]
        if row is not None and row.position == position and row.accepted_at == now:
            self._accept(position, now)

    def _go_on_elsewhere(self, *, with_lock: bool) -> None:
        # As if the process were killed now, and the next one found what it left behind.
        self.killed.append(self.journal)
        here, home = self.path.parent, Path(self.folders.name) / str(len(self.killed))
        self.path = crash(self.path, home, with_lock=with_lock)
        self.journal = Journal.open(self.path, ACCOUNT)
        for position, row in self.rows.items():
            pictures = tuple(attrs.evolve(old, path=home / Path(old.place).relative_to(here)) for old in row.files)
            self.rows[position] = attrs.evolve(row, files=pictures)

    @precondition(lambda self: hasattr(self, "journal"))
    @invariant()
    def journal_is_as_told(self) -> None:
        rows = [self.rows[position] for position in sorted(self.rows)]
        found, summary = self.do(self._found())
        assert [plain(row) for row in rows] == [plain(row) for row in found]
        assert self._summary(rows) == summary

    async def _found(self) -> tuple[list[Row], Summary]:
        return await asyncio.gather(self.journal.read_page([], -1, 1000), self.journal.summary())

    def _summary(self, rows: list[Row]) -> Summary:
        counts: dict[str, Any] = {state.value: sum(row.state is state for row in rows) for state in State}
        bills = [row.snapshot.final_unit_deduction for row in rows if row.snapshot is not None]
        pictures = [held for row in rows for held in row.files]
        return Summary(
            **counts,
            may_retry=sum(row.state is State.FAILED and row.may_retry for row in rows),
            units_billed=sum((bill for bill in (*bills, *self.earlier.values()) if bill is not None), Decimal(0)),
            images=len(pictures),
            bytes=sum(held.size_in_bytes for held in pictures),
        )


TestJournalMachine = JournalMachine.TestCase
TestJournalMachine.settings = settings(max_examples=settings().max_examples // 2, stateful_step_count=40, deadline=None)
