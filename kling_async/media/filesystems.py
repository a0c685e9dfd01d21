"""
File systems of fsspec: opened, bounded in retries and time, and called in their own event loop or in a thread.

Retries would multiply. So each request is retried in one place: by `Storage`, with the library's own retries switched
off, or by a library whose retries cannot be switched off.
"""

import asyncio
import concurrent.futures
import contextlib
import functools
import os
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Self, cast
from urllib.parse import urlsplit

import attrs

from kling_async.media.shielding import shielded

__all__ = ["LINKS", "PERMANENT", "OpenedFileSystem", "UrlChain", "attempts_at"]

_ATOMIC_UPLOADS: Final = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oss"})
"""
Object storages: an object is visible once its upload is complete, and not before.
"""
PERMANENT: Final = (
    PermissionError,
    FileNotFoundError,
    NotADirectoryError,
    NotImplementedError,
    ImportError,
    TypeError,
    ValueError,
)
"""
Errors that another attempt would raise again.
"""
ATTEMPTS: Final = 6
"""
Tries of one call to a storage. With pauses from 0.5 s, doubled each time, they take 16 s: a storage that asks for fewer
requests needs some time, and no library below retries.
"""
ATTEMPTS_AROUND_RETRIES: Final = 2
_RETRYING: Final = frozenset({"gs", "gcs", "abfs", "abfss", "az", "oss"})
"""
Tries if the library sends each request up to 6 times (gcsfs), 4 times (adlfs) or 3 times (ossfs), and has no option to
change that: one, and another one for what was stored with a wrong digest.
"""
_S3: Final = frozenset({"s3", "s3a"})
LINKS: Final = "::"
"""
Between the URLs of a chain, such as `simplecache::s3://bucket/run`.
"""
_HAS_LIMITS: Final = "_kling_async_has_limits"
SFTP_TIMEOUT: Final = 60.0
"""
Seconds without a byte until an SFTP server is given up.
"""


@attrs.frozen
class UrlChain:
    """
    A URL as fsspec reads it. Names of files follow its first link that has a path: caches use the path of the next one.
    """

    before: str
    link: str
    after: str

    @classmethod
    def of(cls, url: str) -> Self:
        links = url.split(LINKS)
        with_path = (number for number, link in enumerate(links) if link.partition("://")[2].strip("/"))
        place = next(with_path, len(links) - 1)
        scheme, slashes, path = links[place].partition("://")
        before, after = links[:place], links[place + 1 :]
        return cls(
            "".join(link + LINKS for link in before),
            scheme + slashes + path.rstrip("/"),
            "".join(LINKS + link for link in after),
        )

    def url_of(self, name: str) -> str:
        return f"{self.before}{self.link}/{name}{self.after}"

    def name_of(self, url: str) -> str | None:
        """
        Return the name of the file for which `url_of` returned *url*, None for a URL outside this one.
        """
        start = f"{self.before}{self.link}/"
        is_inside = url.startswith(start) and url.endswith(self.after) and len(url) > len(start) + len(self.after)
        return url[len(start) : len(url) - len(self.after)] if is_inside else None

    def is_like(self, other: "UrlChain") -> bool:
        """
        Return whether the same options should work for both.
        """
        ours, theirs = urlsplit(self.link), urlsplit(other.link)
        is_one_host = ours.scheme in _ATOMIC_UPLOADS or ours.scheme == "dir" or ours.netloc == theirs.netloc
        others = (self.before, ours.scheme, self.after) == (other.before, theirs.scheme, other.after)
        return is_one_host and others


def attempts_at(url: str) -> int:
    """
    Return how often a call to the storage at *url* is tried.
    """
    protocols = {link.partition("://")[0] for link in url.split(LINKS)}
    return ATTEMPTS if _RETRYING.isdisjoint(protocols) else ATTEMPTS_AROUND_RETRIES


@attrs.frozen(eq=False, repr=False)
class OpenedFileSystem:
    """
    A file system of fsspec's.

    Of a chain it is the last link: a cache would answer with what it holds, and a folder of another file system hides
    what that one is able to do.

    Attributes:
        root: The storage's URL as the file system spells it.
        reopen: Opens it in another thread: a connection that blocks is not shared.
        kinds: The classes of a chain's links, the last link's last.
    """

    files: Any
    root: str
    reopen: "Callable[[], Any]"
    kinds: tuple[Any, ...]

    @classmethod
    async def at(cls, url: str, options: Mapping[str, Any]) -> Self:
        """
        Open the file system of *url*; its *options* are not shown.
        """
        return await asyncio.get_running_loop().run_in_executor(_opener(), cls._open, url, dict(options))

    @classmethod
    def _open(cls, url: str, options: dict[str, Any]) -> Self:
        try:
            from fsspec.core import url_to_fs  # noqa: PLC0415 (an extra)
        except ImportError:
            what = f'{url!r} needs fsspec: pip install "kling-async[storage]"'
            raise ImportError(what, name="fsspec") from None

        options = _without_retries(url, options)

        def reopen() -> Any:
            files, path = url_to_fs(url, **options)  # fsspec caches it, for each thread
            return _with_limits(_links(files, str(path))[-1][0])

        links = _links(*url_to_fs(url, **options))
        files, root = links[-1]
        return cls(_with_limits(files), root.rstrip("/"), reopen, tuple(type(files) for files, _ in links))

    @property
    def is_chained(self) -> bool:
        return len(self.kinds) > 1

    @property
    def has_atomic_uploads(self) -> bool:
        """
        Return whether an upload is visible only once it is complete.
        """
        return not _ATOMIC_UPLOADS.isdisjoint(_protocols_of(self.files))

    @property
    def can_rename(self) -> bool:
        """
        Return whether the file system renames by itself: fsspec's own `mv` copies and removes, and takes a "[" in a
        name for a pattern.
        """
        from fsspec import AbstractFileSystem  # noqa: PLC0415

        is_async = self.files.async_impl and hasattr(self.files, "_mv")
        return is_async or getattr(self.files.mv, "__func__", None) is not AbstractFileSystem.mv

    async def call(self, name: str, *args: object) -> Any:
        """
        Call a method of the file system: in fsspec's own event loop if it is asynchronous, otherwise in a thread.
        """
        if self.files.async_impl and hasattr(self.files, f"_{name}"):
            work = getattr(self.files, f"_{name}")(*args)
            # Not cancelled there: libraries may leave a connection open.
            done = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.files.loop))
            with self._reconnecting():
                await shielded(done)
                return done.result()
        return await self.in_thread(lambda files: getattr(files, name)(*args))

    async def info(self, key: str) -> Mapping[str, Any]:
        """
        Return what the storage reports of a file. fsspec would answer from a list that it keeps for as long as the
        program runs, even one that the program itself has requested, since both share one file system.
        """

        def invalidate(files: Any) -> Any:
            files.invalidate_cache(key.rpartition("/")[0])
            return files

        if self.files.async_impl:
            invalidate(self.files)
            info: Mapping[str, Any] = await self.call("info", key)
            return info
        return cast("Mapping[str, Any]", await self.in_thread(lambda files: invalidate(files).info(key)))

    async def exists(self, key: str) -> bool:
        try:
            await self.info(key)
        except FileNotFoundError:
            return False
        return True

    async def make_parent(self, key: str) -> None:
        await self.in_thread(lambda files: files.makedirs(key.rpartition("/")[0], exist_ok=True))

    async def remove(self, key: str) -> None:
        def remove(files: Any) -> None:
            try:
                files.rm_file(key)
            except NotImplementedError:  # DBFS
                files.rm(key)

        await self.in_thread(remove)

    async def move(self, source: str, target: str) -> None:
        if self.can_rename:
            await self.call("mv", source, target)
        else:
            await self.in_thread(lambda files: (files.cp_file(source, target), files.rm_file(source)))

    async def in_thread(self, work: Callable[[Any], Any]) -> Any:
        """
        Call *work* with the file system in a thread.
        """

        def do() -> Any:
            with self._reconnecting():
                # An asynchronous one is shared by all threads.
                return work(_opener().submit(self.reopen).result() if self.files.async_impl else self.reopen())

        done = asyncio.get_running_loop().run_in_executor(_workers(), do)
        await shielded(done)
        return done.result()

    @contextlib.contextmanager
    def _reconnecting(self) -> Iterator[None]:
        # After an error the next call connects again: fsspec keeps a file system for as long as the program runs, even
        # one whose only connection is lost. Object storages have many, and replace them by themselves.
        try:
            yield
        except PERMANENT:
            raise
        except Exception:
            if not self.has_atomic_uploads:
                for kind in self.kinds:
                    kind.clear_instance_cache()
            raise


def _links(files: Any, path: str) -> list[tuple[Any, str]]:
    """
    Return the file systems of a chain, each with what it calls *path*.
    """
    from fsspec.implementations.cached import CachingFileSystem  # noqa: PLC0415
    from fsspec.implementations.dirfs import DirFileSystem  # noqa: PLC0415

    links = [(files, path)]
    while isinstance(files, CachingFileSystem | DirFileSystem):
        path = files._join(path) if isinstance(files, DirFileSystem) else path  # noqa: SLF001 (nothing public does it)
        files = files.fs
        links.append((files, path))
    return links


def _without_retries(url: str, options: dict[str, Any]) -> dict[str, Any]:
    """
    Return options with which botocore tries once, unless they say how often. To fsspec these options are another file
    system, so that the program's own use of that storage is not affected.
    """
    for number, link in enumerate(url.split(LINKS)):
        protocol = link.partition("://")[0]
        if protocol in _S3:
            is_at_top = not number and protocol not in options
            own = options if is_at_top else dict(options.get(protocol, {}))
            own["config_kwargs"] = {"retries": {"total_max_attempts": 1}, **(own.get("config_kwargs") or {})}
            options = own if is_at_top else {**options, protocol: own}
    return options


def _with_limits(files: Any) -> Any:
    if not _S3.isdisjoint(_protocols_of(files)):
        files.retries = 1  # s3fs's own retries, around botocore's
    # By default SFTP waits for ever, and keeps a connection that is no longer used.
    if hasattr(getattr(files, "ftp", None), "get_channel") and not hasattr(files, _HAS_LIMITS):
        setattr(files, _HAS_LIMITS, True)
        files.ftp.get_channel().settimeout(SFTP_TIMEOUT)
        files.client.get_transport().set_keepalive(
            15
        )  # seconds without a byte until the server is asked for a sign of life
        weakref.finalize(files, files.client.close).atexit = False
    return files


def _protocols_of(files: Any) -> tuple[str, ...]:
    return (files.protocol,) if isinstance(files.protocol, str) else tuple(files.protocol)


@functools.cache
def _opener() -> concurrent.futures.Executor:
    # One thread for all: fsspec caches what was opened, for each thread.
    return concurrent.futures.ThreadPoolExecutor(1, "kling-storage-opener")


@functools.cache
def _workers() -> concurrent.futures.Executor:
    # Calls at a time to storages that block. Not the event loop's own few threads, which have files and names to read.
    return concurrent.futures.ThreadPoolExecutor(16, "kling-storage")


if hasattr(os, "register_at_fork"):  # a child has the pools, and none of their threads
    os.register_at_fork(after_in_child=_opener.cache_clear)
    os.register_at_fork(after_in_child=_workers.cache_clear)
