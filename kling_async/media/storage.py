"""
Storages that fsspec reaches, such as `s3://bucket/pictures`: files are saved there with the same guarantees as in a
folder.
"""

import asyncio
import contextlib
import errno
import glob
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import attrs

from kling_async.media.disk_threads import in_disk_thread
from kling_async.media.fetch_errors import DiskFull, FetchError, FetchRefused
from kling_async.media.filesystems import LINKS, PERMANENT, OpenedFileSystem, UrlChain, attempts_at
from kling_async.media.local import OUT_OF_SPACE, WRITTEN_AT_ONCE
from kling_async.media.naming import NameTemplate, is_url
from kling_async.media.saved_files import SavedFile
from kling_async.media.shielding import shielded
from kling_async.media.storage_uploads import TempFile, put_file
from kling_async.media.streams import FileStream
from kling_async.wire.redaction import hide_secrets
from kling_async.wire.tasks import File

__all__ = ["Storage"]

T = TypeVar("T")
_log = logging.getLogger(__name__)

FIRST_DELAY: Final = 0.5
"""
Seconds between the first try and the second.
"""
TRIAL: Final = b"kling-async checked with this file whether files can be stored here. It can be removed.\n"


@attrs.frozen
class Storage:
    """
    A storage for files, given in place of a folder: `batch.run(save_to=Storage("s3://bucket/run-7", {...}))`.

    Attributes:
        url: As fsspec reads it. A password in it is refused, because it would be written into journals.
        options: Options of fsspec's file system, such as `{"endpoint_url": ...}`. They are not shown. Credentials are
            better kept where the file system's library finds them by itself.

    Raises:
        ValueError: It is not a URL, or holds a password.
    """

    url: str = attrs.field()
    options: Mapping[str, Any] = attrs.field(factory=dict, repr=False, hash=False)

    def __attrs_post_init__(self) -> None:
        if not is_url(self.url):
            raise ValueError(f"{self.url!r} is not the URL of a storage, such as s3://bucket/pictures")
        if any(urlsplit(link).password is not None for link in self.url.split(LINKS)):
            raise ValueError("The storage's URL holds a password; give it in the options, or as its library's own way.")

    def __str__(self) -> str:
        return self.url

    @property
    def _chain(self) -> UrlChain:
        return UrlChain.of(self.url)

    def has(self, url: str) -> bool:
        """
        Return whether *url* is in this storage, or in another bucket that has the same options.
        """
        return self._chain.is_like(UrlChain.of(url))

    async def check(self, *, writes: bool = True) -> None:
        """
        Check whether files can be stored here: a small file with a hidden name is written, renamed if that is needed,
        looked up and removed. If it cannot be removed, it stays, and the log says so.

        Cancelling waits for the running call to the storage, and removes the file.

        Args:
            writes: False only opens the storage, for a program that writes to it from elsewhere.

        Raises:
            ImportError: A library for it is missing; the text names the command that installs it.
            ValueError: fsspec does not support the URL, the storage can neither put files whole nor rename them, or
                the URL of a file in it would not lead to the file.
            OSError: It cannot be connected to, does not support an option, or refuses the file.
        """
        opened = await self._open()
        if writes:
            try:
                with TempFile.begin("", None) as file:
                    await self._try_out(opened, file)
            except FetchError as error:  # of the temporary file's folder
                raise OSError(str(error)) from None

    async def _open(self) -> OpenedFileSystem:
        try:
            return await self._opened(self.url)
        except (ImportError, ValueError):
            raise
        except Exception as error:  # noqa: BLE001 (each storage has its own errors)
            raise OSError(f"{self.url} cannot be opened: {_describe(error)}") from None

    async def _try_out(self, opened: OpenedFileSystem, file: TempFile) -> None:
        names = NameTemplate(f".kling-{secrets.token_hex(8)}.check", "")
        url = self.url_of(names, 0, "")
        file.add(TRIAL)
        file.end()
        try:
            await self._put_trial(url, file, names)
            if opened.is_chained:
                await self._follow(url)
        finally:
            await shielded(self._remove_trial(url))

    async def _put_trial(self, url: str, file: TempFile, names: NameTemplate) -> None:
        try:
            await self._retried(url, lambda opened, key: put_file(opened, file, key, names))
        except NotImplementedError as error:
            what = "files can neither be put whole nor renamed there"
            raise ValueError(f"{self.url!r}: {what} ({_describe(error)}); use another storage") from None
        except Exception as error:  # noqa: BLE001 (each storage has its own errors)
            raise OSError(f"{self.url}: a small file could not be stored there: {_describe(error)}") from None

    async def _follow(self, url: str) -> None:
        # What other programs get when they open a file's URL.
        try:
            other = await self._opened(url)
            await other.info(other.root)
        except FileNotFoundError:
            what = f"a file stored there would have the URL {url!r}, which leads elsewhere"
            raise ValueError(
                f"{self.url!r}: {what}; give the first part of the chain that has folders its path"
            ) from None

    async def _remove_trial(self, url: str) -> None:
        try:
            opened, key = await self._located(url)
            await opened.remove(key)
        except FileNotFoundError:
            pass
        except Exception as error:  # noqa: BLE001 (each storage has its own errors)
            _log.warning("%s could not be removed after it was written as a trial: %s", url, _describe(error))

    def url_of(self, names: NameTemplate, index: int, ext: str) -> str:
        """
        Return the URL of the file with this index.
        """
        return self._chain.url_of("/".join(names.parts(index, ext)))

    async def write(
        self, names: NameTemplate, file: File, stream: FileStream, *, temp_dir: Path | None = None
    ) -> SavedFile:
        """
        Store a file under its name, replacing what is there, and verify it.

        Cancelling leaves no partial file: it waits for the running call to the storage, and then only
        removes an incomplete file.

        Args:
            temp_dir: Folder of this machine for the temporary file; None is the system's.
        """
        url = self.url_of(names, file.index, stream.ext)
        with TempFile.begin(stream.ext, temp_dir) as temp:
            while piece := await stream.read():
                if temp.add(piece) >= WRITTEN_AT_ONCE:
                    await in_disk_thread(temp.write)
            await in_disk_thread(temp.end)
            await self._attempt("written", url, lambda opened, key: put_file(opened, temp, key, names))
            return SavedFile(file.index, None, temp.length, temp.sha256, url, kind=file.kind)

    async def size(self, url: str) -> int | None:
        """
        Return how many bytes are stored at *url*, None if there is no file.

        Raises:
            FetchRefused: The storage does not report it, even after retries.
        """

        async def look_up(opened: OpenedFileSystem, key: str) -> int | None:
            with contextlib.suppress(FileNotFoundError):
                return int((await opened.info(key))["size"])
            return None

        return await self._attempt("looked up", url, look_up)

    async def read(self, url: str) -> bytes:
        """
        Return the content at *url*.

        Raises:
            FetchRefused: It cannot be read, even after retries.
        """

        async def read(opened: OpenedFileSystem, key: str) -> bytes:
            content: bytes = await opened.call("cat_file", key)
            return content

        return await self._attempt("read", url, read)

    async def remove_staging_dir(self, name: str) -> None:
        """
        Remove the folder of `NameTemplate.staging_dir`.
        """
        opened = await self._opened(self.url)
        if not opened.has_atomic_uploads:
            key = glob.escape(f"{opened.root}/{name}")  # `rm` takes patterns
            with contextlib.suppress(FileNotFoundError):
                await opened.in_thread(lambda files: files.rm(key, recursive=True))

    async def _attempt(self, what: str, url: str, work: Callable[[OpenedFileSystem, str], Awaitable[T]]) -> T:
        try:
            return await self._retried(url, work)
        except Exception as error:  # noqa: BLE001 (each storage has its own errors)
            kind = DiskFull if _is_full(error) else FetchRefused
            raise kind(f"{url} could not be {what}: {_describe(error)}") from None

    async def _retried(self, url: str, work: Callable[[OpenedFileSystem, str], Awaitable[T]]) -> T:
        delays = iter([FIRST_DELAY * 2**number for number in range(attempts_at(url) - 1)])
        while True:
            try:
                return await work(*await self._located(url))
            except Exception as error:
                delay = next(delays, None)
                if delay is None or _is_full(error) or isinstance(error, PERMANENT):
                    raise
                _log.debug("storage_broken", extra={"url": url, "reason": _describe(error), "delay": delay})
            await asyncio.sleep(delay)

    async def _located(self, url: str) -> tuple[OpenedFileSystem, str]:
        # A "#" or "::" in a file's name is not parsed: only the storage's own URL is.
        name = self._chain.name_of(url)
        if name is None:
            opened = await self._opened(url)
            return opened, opened.root
        opened = await self._opened(self.url)
        return opened, f"{opened.root}/{name}"

    async def _opened(self, url: str) -> OpenedFileSystem:
        return await OpenedFileSystem.at(url, self.options)


def _is_full(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in OUT_OF_SPACE


def _describe(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno is not None and error.errno != errno.EIO and error.strerror:
        return hide_secrets(error.strerror, limit=200)
    return f"{type(error).__name__}: {hide_secrets(str(error), limit=200)}".removesuffix(": ")
