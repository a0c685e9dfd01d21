"""
One process at a time, and room for the worst moment.
"""

import errno
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from kling_async.batch import lock as locking
from kling_async.batch.lock import RESERVE, LockFile
from tests.fakes.lock_holders import Family


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.kling.lock"


@pytest.fixture
def lock(path: Path) -> Iterator[LockFile]:
    lock = take(path)
    yield lock
    lock.release()


def take(path: Path) -> LockFile:
    lock = LockFile.take(path)
    assert lock is not None
    return lock


class Holder:
    """
    A process that takes a lock and keeps it until it is told to go, or killed.
    """

    def __init__(self, path: Path) -> None:
        program = """
            import sys
            from pathlib import Path
            from kling_async.batch.lock import LockFile

            lock = LockFile.take(Path(sys.argv[1]))
            print(lock.reserve(), flush=True)
            sys.stdin.read()
            lock.release()
        """
        self._process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program), str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.told = self._process.stdout.readline().strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


class TestTaking:
    def test_second_of_this_process(self, path: Path, lock: LockFile) -> None:
        """
        Another part of the same process does not get the lock, until it is released; asking in vain costs nothing.
        """
        before = lowest_free()

        assert LockFile.take(path) is None
        assert before == lowest_free()

        lock.release()
        take(path).release()

    def test_second_process(self, path: Path) -> None:
        """
        Neither does another process, while the first lives; when that ends well, nothing is left of it.
        """
        with Holder(path) as holder:
            assert "True" == holder.told
            assert LockFile.take(path) is None

        assert not path.exists()

        lock = take(path)

        assert not lock.was_left

        lock.release()

    def test_left_by_a_killed_process(self, path: Path) -> None:
        """
        What a killed process leaves behind tells of it, and stops nobody.
        """
        with Holder(path) as holder:
            holder.kill()

        assert RESERVE == path.stat().st_size

        lock = take(path)

        assert lock.was_left

        lock.release()

        assert not path.exists()

    def test_release_in_the_moment_of_taking(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Who opened the file just before it was taken away does not take a lock that nobody else will meet.
        """
        holder = take(path)
        lock_it = locking._lock

        def release_first(descriptor: int) -> None:
            monkeypatch.setattr(locking, "_lock", lock_it)
            holder.release()
            lock_it(descriptor)

        monkeypatch.setattr(locking, "_lock", release_first)
        lock = take(path)

        assert lock.is_held()
        assert LockFile.take(path) is None

        lock.release()

    def test_many_at_once(self, path: Path) -> None:
        """
        However many take and release it at once, never two have it.
        """
        holders: list[int] = []
        most: list[int] = []

        def work(name: int) -> None:
            taken = 0
            while taken < 20:
                if (lock := LockFile.take(path)) is not None:
                    holders.append(name)
                    most.append(len(holders))
                    holders.remove(name)
                    taken += 1
                    lock.release()

        threads = [threading.Thread(target=work, args=[name]) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert [1] * 80 == most
        assert not path.exists()

    def test_place_that_takes_no_file(self, tmp_path: Path) -> None:
        """
        Where no file can be made, the system's own error says so, and no descriptor is lost.
        """
        before = lowest_free()
        with pytest.raises(FileNotFoundError):
            LockFile.take(tmp_path / "missing" / "run.kling.lock")
        with pytest.raises(IsADirectoryError):
            LockFile.take(tmp_path)

        assert before == lowest_free()

    def test_system_without_locks(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        A file system that knows no locks is told of by its own error, and no descriptor is lost.
        """

        def refuse(_: int) -> None:
            raise OSError(errno.ENOLCK, "No locks available")

        before = lowest_free()
        monkeypatch.setattr(locking, "_lock", refuse)
        with pytest.raises(OSError, match="No locks available"):
            LockFile.take(path)

        assert before == lowest_free()


class TestReleasing:
    def test_file_that_was_deleted(self, path: Path, lock: LockFile) -> None:
        """
        Who deletes the file lets others in, and the first one knows; it does not take theirs away.
        """
        assert lock.is_held()

        path.unlink()
        second = take(path)

        assert not lock.is_held()
        assert second.is_held()

        lock.release()

        assert second.is_held()
        assert LockFile.take(path) is None

        second.release()

    def test_folder_that_is_gone(self, tmp_path: Path) -> None:
        """
        A lock can be released that has no place any more.
        """
        folder = tmp_path / "run"
        folder.mkdir()
        lock = take(folder / "run.kling.lock")
        folder.rename(tmp_path / "elsewhere")
        (tmp_path / "run").touch()

        assert not lock.is_held()

        lock.release()

        assert take(tmp_path / "elsewhere" / "run.kling.lock").was_left

    def test_keeping(self, path: Path, lock: LockFile) -> None:
        """
        The file can be kept as the mark of a crash, without the reserve.
        """
        lock.reserve()
        lock.release(keep=True)

        assert 0 == path.stat().st_size

        again = take(path)

        assert again.was_left

        again.release()

    def test_where_open_files_cannot_be_deleted(
        self, path: Path, lock: LockFile, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        On Windows the file is closed first, and taken away all the same.
        """
        monkeypatch.setattr(locking, "_ON_WINDOWS", True)
        before = lowest_free()
        lock.release()

        assert not path.exists()
        assert before != lowest_free()

    def test_twice(self, path: Path, lock: LockFile) -> None:
        """
        A second release touches nothing, whatever has the number of the first one's file by now.
        """
        lock.release()
        other = take(path)
        other.reserve()
        lock.release()

        assert RESERVE == path.stat().st_size
        assert LockFile.take(path) is None

        other.release()


class TestReserve:
    def test_it_is_made_once(self, path: Path, lock: LockFile) -> None:
        """
        The reserve takes its room on the disk, and is not written anew while it is there.
        """
        assert 0 == path.stat().st_size
        assert lock.reserve()

        before = path.stat()

        assert RESERVE == before.st_size <= before.st_blocks * 512
        assert lock.reserve()
        assert before.st_mtime_ns == path.stat().st_mtime_ns

    def test_it_is_spent(self, path: Path, lock: LockFile) -> None:
        """
        What is spent is the disk's again, and can be reserved anew.
        """
        lock.reserve()
        lock.free_reserve()

        assert 0 == path.stat().st_size
        assert lock.reserve()
        assert RESERVE == path.stat().st_size

    def test_full_disk(self, path: Path, lock: LockFile, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Where there is no room for all of it, nothing is kept of it.
        """
        write = os.write

        def fill(descriptor: int, content: bytes) -> int:
            if len(content) < RESERVE / 2:
                raise OSError(errno.ENOSPC, "No space left on device")
            return write(descriptor, content[: RESERVE // 3])

        monkeypatch.setattr(os, "write", fill)

        assert not lock.reserve()
        assert 0 == path.stat().st_size

        monkeypatch.setattr(os, "write", write)

        assert lock.reserve()

    def test_lock_outlasts_it(self, path: Path, lock: LockFile) -> None:
        """
        Neither reserving nor spending lets others in.
        """
        lock.reserve()

        assert LockFile.take(path) is None

        lock.free_reserve()

        assert LockFile.take(path) is None

    def test_private(self, path: Path, lock: LockFile) -> None:
        """
        Nobody else may read or write the file.
        """
        assert 0o600 == path.stat().st_mode & 0o777


def lowest_free() -> int:
    """
    Return the number of the next file that is opened: it grows with each that is left open.
    """
    descriptor = os.open(os.devnull, os.O_RDONLY)
    os.close(descriptor)
    return descriptor


FORKING = """
    import os
    import sys
    from pathlib import Path
    from kling_async.batch.lock import LockFile

    lock = LockFile.take(Path(sys.argv[1]))
    other = LockFile.take(Path(sys.argv[1] + ".other"))
    other.release()

    def tell():
        told = f"{os.getpid()} {lock.is_held()} {lock.reserve()}\\n"
        os.write(1, told.encode())  # at once: two processes write

    if os.fork() == 0:
        lock.free_reserve()
        tell()
        sys.stdin.read()
        lock.release()
        os._exit(0)
    tell()
    os.wait()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
class TestForking:
    def test_child_does_not_keep_it(self, path: Path) -> None:
        """
        When a process is killed, its lock is free, although a child that it forked is still running.
        """
        with Family(FORKING, str(path)) as family:
            assert {True: "True True", False: "False False"} == family.told
            assert LockFile.take(path) is None

            family.kill_parent()
            lock = take(path)

            assert lock.was_left

            lock.release()

    def test_child_that_ends_takes_nothing_away(self, path: Path) -> None:
        """
        A child that ends in good order leaves its parent the lock and its file.
        """
        program = FORKING.replace("os.wait()", "os.wait(); tell()")
        with Family(program, str(path)) as family:
            assert family._process.stdin is not None
            assert family._process.stdout is not None
            family._process.stdin.close()

            assert "True True" == family._process.stdout.readline().partition(" ")[2].strip()

            family._process.stdin = None
