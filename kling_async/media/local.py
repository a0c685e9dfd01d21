"""
Files on the local disk: written under a temporary name, synced, and renamed into place.
"""

import contextlib
import errno
import hashlib
import os
import secrets
import time
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

import attrs

from kling_async.media.disk_threads import in_disk_thread
from kling_async.media.fetch_errors import DiskFull, FetchRefused
from kling_async.media.naming import NameTemplate
from kling_async.media.saved_files import SavedFile
from kling_async.media.streams import FileStream
from kling_async.wire.tasks import File

__all__ = ["OUT_OF_SPACE", "WRITTEN_AT_ONCE", "StagedFile", "write_to_folder"]

OUT_OF_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
"""
Error numbers of a full disk, and of a user whose quota is used up.
"""
WRITTEN_AT_ONCE: Final = 1024 * 1024
"""
Bytes that are written by one call in a thread; fewer at the end of a file.
"""
SYNCED_AT_ONCE: Final = 16 * 1024 * 1024
"""
Bytes after which a long file is synced while it still comes. Other files that are synced at the same time wait for what
the disk has to write for this one, and the whole of a video would take it seconds.
"""
_ON_WINDOWS: Final = os.name == "nt"
_SHARING_DELAYS: Final = (0.01, 0.05, 0.25, 1.0)


async def write_to_folder(folder: Path, names: NameTemplate, file: File, stream: FileStream) -> SavedFile:
    """
    Write a file into *folder*. An older file of that name is replaced by the complete new one. Cancelling waits for a
    write or rename that has begun, and leaves no partial file.

    Raises:
        DiskFull: There is no space left.
        FetchRefused: It cannot be written.
    """
    path = folder / names.path(file.index, stream.ext)
    try:
        with StagedFile(path, folder, names) as staged:
            while piece := await stream.read():
                if staged.add(piece) >= WRITTEN_AT_ONCE:
                    await in_disk_thread(staged.write)
            await in_disk_thread(staged.commit)
    except OSError as error:  # those of the network are FetchError by now, so this is the disk
        kind = DiskFull if error.errno in OUT_OF_SPACE else FetchRefused
        raise kind(f"{path} could not be written: {error.strerror or error}") from None
    return SavedFile(file.index, path, stream.length, staged.sha256, kind=file.kind)


@attrs.define(eq=False, repr=False)
class StagedFile:
    """
    A temporary file that takes the place of its target when it is complete. It is created by the first `write`, and
    removed on leaving. `write` and `commit` wait for the disk and compute the digest: call them in a thread.
    """

    _target: Path
    _folder: Path
    _names: NameTemplate
    _path: Path = attrs.field(init=False)
    _file: BinaryIO | None = attrs.field(default=None, init=False)
    _pieces: list[bytes] = attrs.field(factory=list, init=False)  # that are still to be written
    _length: int = attrs.field(default=0, init=False)  # of these
    _unsynced: int = attrs.field(default=0, init=False)  # bytes that were written since the last sync
    _sha256: Any = attrs.field(factory=hashlib.sha256, init=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):  # some network disks report a full disk only here, and again
                self._file.close()
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)

    @property
    def sha256(self) -> str:
        digits: str = self._sha256.hexdigest()
        return digits

    def add(self, piece: bytes) -> int:
        """
        Keep *piece* for the next `write`; return how many bytes are kept.
        """
        self._pieces.append(piece)
        self._length += len(piece)
        return self._length

    def write(self) -> None:
        """
        Write the pieces that were added.
        """
        file = self._file = self._file or self._create()
        for piece in self._pieces:
            file.write(piece)
            self._sha256.update(piece)
        self._unsynced += self._length
        self._pieces, self._length = [], 0
        if self._unsynced >= SYNCED_AT_ONCE:
            self._sync(file)

    def _sync(self, file: BinaryIO) -> None:
        file.flush()
        os.fsync(file.fileno())
        self._unsynced = 0

    def _create(self) -> BinaryIO:
        names = self._names
        if names.staging_dir is None:
            self._path = self._target.with_name(f".{self._target.name}.{names.mark or secrets.token_hex(8)}.part")
        else:
            self._path = self._staging_dir(names.staging_dir) / f"{secrets.token_hex(8)}.part"
        self._target.parent.mkdir(parents=True, exist_ok=True)
        return self._path.open("wb" if names.staging_dir is None and names.mark else "xb")

    def _staging_dir(self, name: str) -> Path:
        staging_dir = self._folder / name
        if not staging_dir.is_dir():  # creating it here would hide that this machine has another folder by that path
            what = f"{self._folder} is not the folder of this run on this machine, or the run has ended"
            raise FetchRefused(f"{what}: save to a folder that all machines share")
        return staging_dir

    def commit(self) -> None:
        """
        Write the last pieces, sync the file and rename it to its target.
        """
        self.write()
        file = self._file
        if file is None:
            raise AssertionError("it was created")
        self._sync(file)
        file.close()
        _replace(self._path, self._target)
        self._file = None
        _sync_folder(self._target.parent)


def _replace(source: Path, target: Path) -> None:
    # On Windows a viewer or virus scanner that has the target open for a moment causes a PermissionError.
    for delay in _SHARING_DELAYS if _ON_WINDOWS else ():
        try:
            source.replace(target)
        except PermissionError:
            time.sleep(delay)
        else:
            return
    source.replace(target)


def _sync_folder(folder: Path) -> None:
    # The new name should survive a loss of power, too. Windows cannot sync folders, and some network disks will not.
    if _ON_WINDOWS:
        return
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
