"""
One process at a time: a lock that ends with its process, and a reserve of room on the disk for the worst moment.
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
Bytes kept free for others: enough to write down some hundred task ids after the disk is full.
"""

_ON_WINDOWS: Final = os.name == "nt"

_NONE: Final = -1  # no descriptor: the system may have given its number to another file


@attrs.define(eq=False)
class LockFile:
    """
    A file whose lock tells that somebody is at work, and whose size is a reserve.

    The system gives the lock up when the process ends, however it ends; the file then stays behind and does no harm.

    Attributes:
        was_left: Whether the file was there before: who had it did not end well.
    """

    path: Path
    was_left: bool
    _descriptor: int

    @classmethod
    def take(cls, path: Path) -> "LockFile | None":
        """
        Take the lock at *path*; None where another process, or another part of this one, has it.

        Raises:
            OSError: The file cannot be made.
        """
        while True:
            with _no_fork:
                was_left = path.exists()
                lock = cls(path, was_left, os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600))
                _open_files.add(lock)
            try:
                lock.acquire()
                if lock.is_held():  # else who had it has just taken it away, and the lock is worth nothing
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
        Close the file where no other thread runs. A child that was forked shares the lock: to close its descriptor
        leaves the lock with the parent, to unlock it would not.
        """
        descriptor, self._descriptor = self._descriptor, _NONE
        if descriptor != _NONE:
            os.close(descriptor)

    def reserve(self) -> bool:
        """
        Make sure that the reserve is there, and tell whether it is.
        """
        try:
            if os.fstat(self._descriptor).st_size >= RESERVE:
                return True
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            left = os.urandom(RESERVE)  # what could be compressed is no reserve on some disks
            while left:
                left = left[os.write(self._descriptor, left) :]
            os.fsync(self._descriptor)
        except OSError:
            self.spend()
            return False
        return True

    def spend(self) -> None:
        """
        Give the reserve away, to whoever writes next.
        """
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, 0)

    def is_held(self) -> bool:
        """
        Tell whether the file is still the one that was taken: who takes it away lets others in.
        """
        return _is_at(self.path, self._descriptor)

    def release(self, *, keep: bool = False) -> None:
        """
        Give up the lock and take the file away. With *keep* it stays, as if the process had been killed. Safe to call
        twice.
        """
        if self._descriptor == _NONE:
            return
        self.spend()
        is_ours = not keep and self.is_held()
        if _ON_WINDOWS:  # an open file cannot be taken away there
            self.close()
        if is_ours:
            with contextlib.suppress(OSError):
                self.path.unlink()
        self.close()


_open_files: Final["weakref.WeakSet[LockFile]"] = weakref.WeakSet()
_no_fork: Final = threading.Lock()
"""
Held while a descriptor is opened or closed, so that a child process never inherits one that `_open_files` lacks.
"""


def _close_in_child() -> None:
    # Else the child would keep the lock after its parent's end.
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
        import msvcrt  # noqa: PLC0415 (there alone)

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError as error:
            raise BlockingIOError from error

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
