"""
A lock file: one process at a time works on a journal. Its size is a reserve of room for a disk that becomes full.
"""

import contextlib
import os
import threading
import weakref
from pathlib import Path
from typing import Final

import attrs

__all__ = ["LockFile"]


RESERVE: Final = 2**21
"""
Bytes of room for the journal on a full disk: enough for the ids of some hundred tasks.
"""

_ON_WINDOWS: Final = os.name == "nt"

_CLOSED: Final = -1  # in place of a descriptor whose number the system may have given to another file


@attrs.define(eq=False, repr=False)
class LockFile:
    """
    A locked file, whose size is a reserve.

    The system releases the lock when the process ends, however it ends. The file then stays behind and does no harm.

    Attributes:
        was_left: Whether the file was there before, because the process that held it crashed.
    """

    path: Path
    was_left: bool
    _descriptor: int

    @classmethod
    def take(cls, path: Path) -> "LockFile | None":
        """
        Take the lock at *path*; return None if another process, or another part of this one, has it.

        Raises:
            OSError: The file cannot be created.
        """
        while True:
            with _no_fork:
                was_left = path.exists()
                lock = cls(path, was_left, os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600))
                _open_files.add(lock)
            try:
                lock.acquire()
                if (
                    lock.is_held()
                ):  # otherwise its holder has just deleted the file, and this lock excludes no other process
                    return lock
            except BlockingIOError:
                lock.close()
                return None
            except BaseException:
                lock.close()
                raise
            lock.close()

    def acquire(self) -> None:
        """
        Lock the open file.

        Raises:
            BlockingIOError: Another process, or another part of this one, has locked it.
        """
        _lock(self._descriptor)

    def close(self) -> None:
        """
        Close the file and leave it where it is. Safe to call twice.
        """
        with _no_fork:
            self.close_in_child()

    def close_in_child(self) -> None:
        """
        Close the file if no other thread runs. A child that was forked shares the lock: closing its descriptor
        leaves the lock with the parent, unlocking it would not.
        """
        descriptor, self._descriptor = self._descriptor, _CLOSED
        if descriptor != _CLOSED:
            os.close(descriptor)

    def reserve(self) -> bool:
        """
        Fill the reserve if it is not full, and return whether it is full then.
        """
        try:
            if os.fstat(self._descriptor).st_size >= RESERVE:
                return True
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            left = os.urandom(RESERVE)  # random bytes: a compressing file system would defeat the reserve
            while left:
                left = left[os.write(self._descriptor, left) :]
            os.fsync(self._descriptor)
        except OSError:
            self.free_reserve()
            return False
        return True

    def free_reserve(self) -> None:
        """
        Free the room of the reserve for the next write.
        """
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, 0)

    def is_held(self) -> bool:
        """
        Return whether the file is still there: if it was deleted, another process can take a new one.
        """
        return _is_at(self.path, self._descriptor)

    def release(self, *, keep: bool = False) -> None:
        """
        Release the lock and delete the file; with *keep* it stays, as if the process were killed. Safe to call twice.
        """
        if self._descriptor == _CLOSED:
            return
        self.free_reserve()
        is_ours = not keep and self.is_held()
        if _ON_WINDOWS:  # an open file cannot be deleted there
            self.close()
        if is_ours:
            with contextlib.suppress(OSError):
                self.path.unlink()
        self.close()


_open_files: Final["weakref.WeakSet[LockFile]"] = weakref.WeakSet()
_no_fork: Final = threading.Lock()
"""
Held while a descriptor is opened or closed, so that a forked child never inherits one that `_open_files` lacks.
"""


def _close_in_child() -> None:
    # Otherwise the child would keep the lock after its parent's end.
    for lock in list(_open_files):
        lock.close_in_child()
    _no_fork.release()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(before=_no_fork.acquire, after_in_parent=_no_fork.release, after_in_child=_close_in_child)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except OSError:
        return False


if _ON_WINDOWS:

    def _lock(descriptor: int) -> None:
        import msvcrt  # noqa: PLC0415 (only Windows has it)

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError as error:
            raise BlockingIOError from error

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
