"""
Writes that share commits: who shares one, what follows what, and who is told of what went wrong.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Callable, Sequence

import attrs
import pytest

from kling_async.batch.writer import Writer
from kling_async.errors import JournalLocked, StorageFull
from tests.fakes.simulated_loop import quiet_loop


@attrs.define(eq=False)
class Disk:
    """
    Something slow: it can be stopped, and refuse.

    Attributes:
        groups: What was written, commit by commit.
        refusal: What a group of changes meets, None for nothing.
    """

    groups: list[list[str]] = attrs.field(factory=list)
    refusal: Callable[[Sequence[str]], Exception | None] = lambda _: None
    tries: int = 0
    begun: threading.Event = attrs.field(factory=threading.Event)
    is_open: threading.Event = attrs.field(factory=threading.Event)

    def __attrs_post_init__(self) -> None:
        self.is_open.set()

    def write(self, changes: Sequence[str]) -> None:
        self.tries += 1
        self.begun.set()
        assert self.is_open.wait(10)
        if (error := self.refusal(changes)) is not None:
            raise error
        self.groups.append(list(changes))

    async def stop(self, commits: Writer[str]) -> None:
        """
        Have a commit under way that does not end.
        """
        self.is_open.clear()
        self.begun.clear()
        commits.add("slow")
        await asyncio.to_thread(self.begun.wait, 10)

    @property
    def written(self) -> list[str]:
        return [change for group in self.groups for change in group]


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
async def commits(disk: Disk) -> AsyncIterator[Writer[str]]:
    with quiet_loop():
        commits = Writer(disk.write)
        yield commits
        disk.is_open.set()
        with contextlib.suppress(StorageFull, OSError):
            await commits.aclose(lambda: None)


def full(_: object) -> StorageFull:
    return StorageFull("the disk is full")


def full_for(*refused: str) -> Callable[[Sequence[str]], Exception | None]:
    """
    Refuse every group that holds one of these.
    """
    return lambda changes: None if set(changes).isdisjoint(refused) else StorageFull("the disk is full")


def fault_of(wrong: str) -> Callable[[Sequence[str]], Exception | None]:
    """
    Refuse every group that holds *wrong*, by an error that is not of the disk.
    """
    return lambda changes: ValueError("half a character") if wrong in changes else None


class TestGroups:
    async def test_what_comes_together_shares_a_commit(self, disk: Disk, commits: Writer[str]) -> None:
        """
        Changes that are added in one step of the loop are one commit, in their order.
        """
        await asyncio.gather(*(commits.add(change) for change in "abcdef"))

        assert [list("abcdef")] == disk.groups

    async def test_nothing_is_begun_within_a_step(self, disk: Disk, commits: Writer[str]) -> None:
        """
        However long a step of the loop takes, no commit begins before its end, and all that it adds shares one.
        """
        first = commits.add("a")

        assert not disk.begun.wait(0.02)

        second = commits.add("b")
        await asyncio.gather(first, second)

        assert [["a", "b"]] == disk.groups

    async def test_what_comes_meanwhile_shares_the_next(self, disk: Disk, commits: Writer[str]) -> None:
        """
        While a commit is under way, what comes in many steps gathers for the one after it.
        """
        await disk.stop(commits)
        waiting = []
        for change in "abcdef":
            waiting.append(commits.add(change))
            await asyncio.sleep(0)

        assert not any(written.done() for written in waiting)

        disk.is_open.set()
        await asyncio.gather(*waiting)

        assert [["slow"], list("abcdef")] == disk.groups

    async def test_changes_of_one_write_stay_together(self, disk: Disk, commits: Writer[str]) -> None:
        """
        Several changes are written with one another or not at all.
        """
        disk.refusal = full_for("c")
        await commits.add("a", "b")
        with pytest.raises(StorageFull):
            await commits.add("b", "c", "d")

        assert [["a", "b"]] == disk.groups

    async def test_written_means_written(self, disk: Disk, commits: Writer[str]) -> None:
        """
        Nobody is told that a change is written before it is.
        """
        await disk.stop(commits)
        written = commits.add("a")
        await asyncio.sleep(0)

        assert not written.done()
        assert [] == disk.groups

        disk.is_open.set()
        await written

        assert ["slow", "a"] == disk.written


class TestRefusals:
    async def test_all_are_told(self, disk: Disk, commits: Writer[str]) -> None:
        """
        Whoever's change was in a commit that failed is told why; it is not tried again.
        """
        disk.refusal = full
        told = await asyncio.gather(*(commits.add(change) for change in "abc"), return_exceptions=True)
        disk.refusal = lambda _: None
        await commits.add("d")

        assert [StorageFull] * 3 == [type(error) for error in told]
        assert ["d"] == disk.written
        assert 2 == disk.tries

    async def test_nobody_need_listen(self, disk: Disk, commits: Writer[str]) -> None:
        """
        A refusal that nobody waits for is no complaint of asyncio's.
        """
        disk.refusal = full
        commits.add("a")
        await commits.run(lambda: None)  # the fixture listens to asyncio

        assert 1 == disk.tries

    @pytest.mark.parametrize(
        "hindrance", [StorageFull("full"), JournalLocked("a backup holds it"), PermissionError(13, "read-only")]
    )
    async def test_what_durable_waits(self, disk: Disk, commits: Writer[str], hindrance: Exception) -> None:
        """
        What must last stays, whatever the hindrance, and is written before what comes after it.
        """
        disk.refusal = lambda _: hindrance
        task_id = commits.add("id", durable=True)
        with pytest.raises(type(hindrance)):
            await commits.add("a")

        assert not task_id.done()

        disk.refusal = lambda _: None
        await commits.add("b")

        assert ["id", "b"] == disk.written
        assert task_id.done()

    async def test_what_comes_later_stays_behind_it(self, disk: Disk, commits: Writer[str]) -> None:
        """
        What was added while something was refused that must last is written after it.
        """
        disk.is_open.clear()
        commits.add("id", durable=True)
        await asyncio.to_thread(disk.begun.wait, 10)
        commits.add("a", durable=True)
        disk.refusal = full
        disk.is_open.set()
        await commits.run(lambda: None)
        disk.refusal = lambda _: None
        await commits.add("b")

        assert ["id", "a", "b"] == disk.written

    async def test_what_durable_is_written_alone(self, disk: Disk, commits: Writer[str]) -> None:
        """
        Where there is room for what must last alone, the others' refusal is all that happens.
        """
        disk.refusal = full_for("intent")
        told = await asyncio.gather(
            commits.add("id", durable=True),
            commits.add("intent"),
            commits.add("back", durable=True),
            return_exceptions=True,
        )

        assert [type(None), StorageFull, type(None)] == [type(error) for error in told]
        assert [["id", "back"]] == disk.groups

    async def test_reading_tries_again(self, disk: Disk, commits: Writer[str]) -> None:
        """
        A job in the thread has what waits tried first.
        """
        disk.refusal = full
        commits.add("id", durable=True)
        await commits.run(lambda: None)
        disk.refusal = lambda _: None

        assert ["id"] == await commits.run(lambda: disk.written)

    async def test_trouble_is_told_once(
        self, disk: Disk, commits: Writer[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        However often it is tried in vain, the log has one warning for each time of trouble.
        """
        disk.refusal = full
        commits.add("id", durable=True)
        for _ in range(5):
            await commits.run(lambda: None)
        disk.refusal = lambda _: None
        await commits.run(lambda: None)
        disk.refusal = full
        commits.add("id", durable=True)
        await commits.run(lambda: None)

        warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert 2 == len(warnings)

    async def test_fault_is_told_to_its_own(self, disk: Disk, commits: Writer[str]) -> None:
        """
        A change that cannot be written at all takes no other with it.
        """
        disk.refusal = fault_of("x")
        told = await asyncio.gather(*(commits.add(change) for change in "abxcd"), return_exceptions=True)

        assert [type(None)] * 2 + [ValueError] + [type(None)] * 2 == [type(error) for error in told]
        assert list("abcd") == disk.written

    async def test_fault_does_not_stay(
        self, disk: Disk, commits: Writer[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        Not even what must last is tried again where the fault is its own; then the log has it.
        """
        disk.refusal = fault_of("x")
        with pytest.raises(ValueError, match="half a character"):
            await commits.add("x", durable=True)
        await commits.add("a")

        assert ["a"] == disk.written
        assert "refused: ('x',)" in caplog.text

    async def test_fault_beside_a_full_disk(
        self, disk: Disk, commits: Writer[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        What must last stays, too, where another's fault had each change tried alone.
        """
        disk.refusal = lambda changes: ValueError("wrong") if "x" in changes else StorageFull("full")
        task_id = commits.add("id", durable=True)
        told = await asyncio.gather(commits.add("x"), commits.add("a"), return_exceptions=True)

        assert [ValueError, StorageFull] == [type(error) for error in told]
        assert not task_id.done()

        await commits.run(lambda: None)

        assert ["changes that must be written wait for the next commit: full"] == caplog.messages

        disk.refusal = lambda _: None
        await commits.run(lambda: None)
        await task_id

        assert ["id"] == disk.written


class TestJobs:
    async def test_job_comes_after_what_was_added(self, disk: Disk, commits: Writer[str]) -> None:
        """
        A job sees all that was added before it, also in this very step.
        """
        commits.add("a")
        commits.add("b")

        assert ["a", "b"] == await commits.run(lambda: list(disk.written))

    async def test_job_waits_for_the_commit_under_way(self, disk: Disk, commits: Writer[str]) -> None:
        """
        Also what is being written, and what waits behind it, is there before the job runs.
        """
        await disk.stop(commits)
        commits.add("a")
        job = asyncio.ensure_future(commits.run(lambda: list(disk.written)))
        await asyncio.sleep(0)
        disk.is_open.set()

        assert ["slow", "a"] == await job

    async def test_job_has_arguments_a_result_and_errors(self, commits: Writer[str]) -> None:
        """
        A job is called as asked; what it returns or raises is the caller's.
        """
        assert 3 == await commits.run(lambda *numbers: sum(numbers), 1, 2)

        with pytest.raises(ZeroDivisionError):
            await commits.run(lambda: 1 // 0)


class TestCancelling:
    async def test_waiting_for_a_write(self, disk: Disk, commits: Writer[str]) -> None:
        """
        Cancelling who waits for a change changes nothing, before and while it is written.
        """

        async def write(change: str) -> None:
            await commits.add(change)

        await disk.stop(commits)
        waiting = [asyncio.ensure_future(write(change)) for change in "abc"]
        await asyncio.sleep(0)
        waiting[1].cancel()
        await asyncio.wait({waiting[1]})

        assert waiting[1].cancelled()

        disk.is_open.set()
        await waiting[0]
        await waiting[2]

        assert ["slow", "a", "b", "c"] == disk.written

    async def test_waiting_for_a_refusal(self, disk: Disk, commits: Writer[str]) -> None:
        """
        Who was cancelled is not told of a refusal, and the others are.
        """
        await disk.stop(commits)
        first, second = commits.add("a"), commits.add("b")
        first.cancel()
        disk.refusal = full
        disk.is_open.set()
        with pytest.raises(StorageFull):
            await second

        assert first.cancelled()

    async def test_job_that_has_not_begun(self, disk: Disk, commits: Writer[str]) -> None:
        """
        A job whose caller leaves while it waits for its turn is not run.
        """
        ran: list[str] = []
        await disk.stop(commits)
        job = asyncio.ensure_future(commits.run(ran.append, "job"))
        await asyncio.sleep(0)
        job.cancel()
        await asyncio.wait({job})
        disk.is_open.set()
        await commits.run(lambda: None)

        assert job.cancelled()
        assert [] == ran

    async def test_job_that_has_begun(self, disk: Disk, commits: Writer[str]) -> None:
        """
        A job whose caller leaves while it runs is run to its end, and what is added meanwhile comes after it.
        """
        disk.is_open.clear()
        job = asyncio.ensure_future(commits.run(disk.write, ["job"]))
        await asyncio.to_thread(disk.begun.wait, 10)
        job.cancel()
        await asyncio.wait({job})
        written = commits.add("a")
        disk.is_open.set()
        await written

        assert ["job", "a"] == disk.written

    async def test_everything_at_once(self, disk: Disk, commits: Writer[str]) -> None:
        """
        Cancelling every aio_task of the loop takes nothing from what was added.
        """
        await disk.stop(commits)
        waiting = asyncio.gather(*(commits.run(lambda: None) for _ in range(2)), return_exceptions=True)
        last = commits.add("a", durable=True)
        await asyncio.sleep(0)
        for aio_task in asyncio.all_tasks() - {asyncio.current_task()}:
            aio_task.cancel()
        await waiting
        disk.is_open.set()
        await last

        assert ["slow", "a"] == disk.written

    def test_loop_that_ends(self, disk: Disk) -> None:
        """
        What was added in a loop that has ended is written all the same, and can be closed from another.
        """

        async def begin() -> Writer[str]:
            commits = Writer(disk.write)
            await disk.stop(commits)
            commits.add("a", durable=True)
            return commits

        commits = asyncio.run(begin())
        disk.refusal = full
        disk.is_open.set()
        asyncio.run(commits.run(lambda: None))
        disk.refusal = lambda _: None
        asyncio.run(commits.aclose(lambda: disk.groups.append(["last"])))

        assert ["a", "last"] == disk.written


class TestClosing:
    async def test_what_waits_is_written_first(self, disk: Disk, commits: Writer[str]) -> None:
        """
        Closing writes what was added, also in this very step, then runs what is last; the thread ends.
        """
        await disk.stop(commits)
        commits.add("a")
        await asyncio.sleep(0)
        commits.add("b")
        closing = asyncio.ensure_future(commits.aclose(lambda: disk.groups.append(["last"])))
        await asyncio.sleep(0)

        assert commits.is_closed

        disk.is_open.set()
        await closing
        [thread] = commits._thread._threads
        await asyncio.to_thread(thread.join, 10)

        assert ["slow", "a", "b", "last"] == disk.written
        assert not thread.is_alive()

    async def test_twice(self, disk: Disk, commits: Writer[str]) -> None:
        """
        Whoever closes again, also meanwhile, waits for the same end.
        """
        commits.add("a")
        await asyncio.gather(*(commits.aclose(lambda: disk.groups.append(["last"])) for _ in range(3)))
        await commits.aclose(lambda: disk.groups.append(["last"]))

        assert ["a", "last"] == disk.written

    async def test_cancelled(self, disk: Disk, commits: Writer[str]) -> None:
        """
        Cancelling it stops the waiting alone, and closing again waits for the end.
        """
        await disk.stop(commits)
        commits.add("a")
        closing = asyncio.ensure_future(commits.aclose(lambda: disk.groups.append(["last"])))
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait({closing})

        assert closing.cancelled()

        disk.is_open.set()
        await commits.aclose(lambda: None)

        assert ["slow", "a", "last"] == disk.written

    async def test_what_is_stuck_is_told(
        self, disk: Disk, commits: Writer[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        What must last and cannot be written is in the log in the end; who waits is told, and what is last is run.
        """
        disk.refusal = full
        task_id = commits.add("task t-1", durable=True)
        with pytest.raises(StorageFull, match="the disk is full"):
            await commits.aclose(lambda: disk.groups.append(["last"]))
        with pytest.raises(StorageFull):
            await task_id
        with pytest.raises(StorageFull):
            await commits.aclose(lambda: None)

        assert ["last"] == disk.written
        assert "could not be written: ('task t-1',)" in caplog.text

    async def test_what_was_stuck_is_written(self, disk: Disk, commits: Writer[str]) -> None:
        """
        Closing is the last try.
        """
        disk.refusal = full
        commits.add("id", durable=True)
        await commits.run(lambda: None)
        disk.refusal = lambda _: None
        await commits.aclose(lambda: None)

        assert ["id"] == disk.written

    async def test_last_that_fails(self, disk: Disk) -> None:
        """
        What the last job raises is the caller's.
        """
        commits = Writer(disk.write)
        with pytest.raises(ZeroDivisionError):
            await commits.aclose(lambda: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            await commits.aclose(lambda: None)

    async def test_nothing_comes_after(self, disk: Disk, commits: Writer[str]) -> None:
        """
        What is closed takes nothing more.
        """
        await commits.aclose(lambda: None)
        with pytest.raises(RuntimeError, match="closed"):
            commits.add("a", durable=True)
        with pytest.raises(RuntimeError, match="closed"):
            await commits.run(lambda: None)

        assert [] == disk.groups


def test_system_without_threads(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where the system gives no thread, that is told at once and not when something waits to be written.
    """

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        Writer(disk.write)
