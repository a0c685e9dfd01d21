"""
Uploads: a file is stored under its final name only if it is complete, and is verified by size and digest.

It is first written to a temporary file of this machine, where it is checked and its digests are computed. So a storage
only gets complete files, an upload may be tried again without another download, and no file is held in memory. If
uploads are atomic, it is uploaded to its name at once; otherwise to a hidden name beside it, which is then renamed.
"""

import base64
import contextlib
import errno
import functools
import hashlib
import os
import re
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Self

import attrs

from kling_async.media.fetch_errors import DiskFull, FetchRefused
from kling_async.media.filesystems import OpenedFileSystem
from kling_async.media.local import OUT_OF_SPACE
from kling_async.media.naming import NameTemplate

__all__ = ["TempFile", "put_file"]


@attrs.define(eq=False, repr=False)
class TempFile:
    """
    A file on its way to a storage, in a temporary file of this machine that is removed on leaving. `write` and `end`
    wait for the disk and compute the digests: call them in a thread.
    """

    path: Path
    _file: BinaryIO
    length: int = attrs.field(default=0, init=False)
    _pieces: list[bytes] = attrs.field(factory=list, init=False)  # that are still to be written
    _written: int = attrs.field(default=0, init=False)
    _sha256: Any = attrs.field(factory=hashlib.sha256, init=False)
    _md5: Any = attrs.field(factory=functools.partial(hashlib.md5, usedforsecurity=False), init=False)

    @classmethod
    def begin(cls, ext: str, folder: Path | None) -> Self:
        with _disk_errors(folder):
            # Storages derive the content type from the extension.
            descriptor, path = tempfile.mkstemp(ext, "kling-", folder)
        return cls(Path(path), os.fdopen(descriptor, "wb"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)

    @property
    def sha256(self) -> str:
        digits: str = self._sha256.hexdigest()
        return digits

    @property
    def md5(self) -> str:
        digits: str = self._md5.hexdigest()
        return digits

    def add(self, piece: bytes) -> int:
        """
        Keep *piece* for the next `write`; return how many bytes are kept.
        """
        self._pieces.append(piece)
        self.length += len(piece)
        return self.length - self._written

    def write(self) -> None:
        """
        Write the pieces that were added.
        """
        with _disk_errors(self.path.parent):
            for piece in self._pieces:
                self._file.write(piece)
                self._sha256.update(piece)
                self._md5.update(piece)
        self._pieces, self._written = [], self.length

    def end(self) -> None:
        """
        Write the last pieces, and close the file.
        """
        self.write()
        with _disk_errors(self.path.parent):
            self._file.close()


@contextlib.contextmanager
def _disk_errors(folder: Path | None) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        kind = DiskFull if error.errno in OUT_OF_SPACE else FetchRefused
        what = f"{folder or tempfile.gettempdir()}, on its way to the storage, could not be written"
        raise kind(f"{what}: {error.strerror or error}") from None


async def put_file(opened: OpenedFileSystem, file: TempFile, key: str, names: NameTemplate) -> None:
    """
    Store *file* at *key*, replacing what is there.

    Raises:
        NotImplementedError: The storage can neither put files whole nor rename them.
        Exception: What the file system raises.
    """
    staged = _staging_key(opened, key, names)
    try:
        if not opened.has_atomic_uploads:
            await opened.make_parent(staged)
        await opened.call("put_file", str(file.path), staged)
        await _verify(opened, file, staged)
        if staged != key:
            if names.staging_dir is not None:
                await opened.make_parent(key)
            await _rename(opened, file, staged, key)
    except BaseException as error:
        with contextlib.suppress(Exception):  # it may not exist, but wrong content must not stay
            if staged != key or isinstance(error, _WrongContent):
                await opened.remove(staged)
        raise


def _staging_key(opened: OpenedFileSystem, key: str, names: NameTemplate) -> str:
    if opened.has_atomic_uploads:
        return key
    token = secrets.token_hex(8)
    if names.staging_dir is not None:
        return f"{opened.root}/{names.staging_dir}/{token}.part"
    folder, _, last = key.rpartition("/")
    return f"{folder}/.{last}.{names.mark or token}.part"


async def _rename(opened: OpenedFileSystem, file: TempFile, staged: str, key: str) -> None:
    try:
        return await _move(opened, staged, key)
    except Exception:
        if not await opened.exists(key):
            raise
    try:
        await _verify(opened, file, key)
    except _WrongContent:  # some do not rename to a name that is taken, such as SMB and Hadoop
        await opened.remove(key)
        await _move(opened, staged, key)
    else:  # the answer was lost, or an earlier writer has stored the same file
        with contextlib.suppress(Exception):
            await opened.remove(staged)


async def _move(opened: OpenedFileSystem, staged: str, key: str) -> None:
    await opened.move(staged, key)
    if await opened.exists(staged):  # WebHDFS reports a failure in an answer that fsspec does not read
        raise OSError(errno.EIO, "it was not renamed")


async def _verify(opened: OpenedFileSystem, file: TempFile, key: str) -> None:
    info = await opened.info(key)
    if info["size"] != file.length:
        raise _WrongContent(f"{info['size']} bytes are there, of {file.length}")
    if _stated_md5(info) == file.md5:
        return
    if await opened.in_thread(lambda files: _sha256_of(files, key)) != file.sha256:  # it may use other digests
        raise _WrongContent("what is there has another digest")


class _WrongContent(Exception):
    """
    The content in the storage is not what was sent.
    """


def _stated_md5(info: Mapping[str, Any]) -> str | None:
    # As the storages of Amazon, Google and Azure state it, if they do: the ETag of S3 may be something else.
    etag = str(info.get("ETag") or "").strip('"').lower()
    if re.fullmatch(r"[0-9a-f]{32}", etag):
        return etag
    encoded = info.get("md5Hash")
    if isinstance(encoded, str):
        return base64.b64decode(encoded).hex()
    settings = info.get("content_settings")
    digest = settings.get("content_md5") if isinstance(settings, Mapping) else None
    return bytes(digest).hex() if digest else None


def _sha256_of(files: Any, key: str) -> str:
    digest = hashlib.sha256()
    with files.open(key, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
