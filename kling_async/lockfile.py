"""
One process at a time: a lock that ends with its process, and a reserve of room on the disk for the worst moment.
"""

import contextlib
import os
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
            was_left = path.exists()
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
            try:
                _lock(descriptor)
                if _is_at(path, descriptor):  # else who had it has just taken it away, and the lock is worth nothing
                    return cls(path, was_left, descriptor)
            except BlockingIOError:
                os.close(descriptor)
                return None
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)

    def reserve(self) -> bool:
        """
        Make sure that the reserve is there, and tell whether it is.
        """
        if os.fstat(self._descriptor).st_size >= RESERVE:
            return True
        try:
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
        descriptor, self._descriptor = self._descriptor, _NONE
        if _ON_WINDOWS:  # an open file cannot be taken away there
            os.close(descriptor)
        if is_ours:
            with contextlib.suppress(OSError):
                self.path.unlink()
        if not _ON_WINDOWS:
            os.close(descriptor)


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
