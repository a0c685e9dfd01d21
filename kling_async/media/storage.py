"""
Pictures to any storage that fsspec reaches, such as `s3://bucket/pictures`, with what saving to a folder promises.

A picture comes to a temporary file of this machine first, where it is checked and its digests are made. So the storage
is only ever given what is whole, it may take several tries without the picture being fetched anew, and none is held in
memory for it. Where an upload is seen only when it is complete, it goes to its name at once; elsewhere to a hidden name
beside, which is then renamed. Whether a storage can do that is found out with a small file before a run.

Tries are made in one place, since they would multiply: here, with those of the library below switched off, or in a
library where they cannot be.
"""

import asyncio
import base64
import concurrent.futures
import contextlib
import errno
import functools
import glob
import hashlib
import itertools
import logging
import os
import re
import secrets
import shutil
import tempfile
import weakref
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final, Self, TypeVar, cast
from urllib.parse import urlsplit

import attrs

from kling_async.media.downloads import FetchError, FetchRefused, Full, ImageStream, Keep, doubling
from kling_async.media.local import NO_ROOM
from kling_async.media.naming import Names, is_url, local_folder
from kling_async.media.saved_files import SavedFile
from kling_async.media.shielding import shielded
from kling_async.wire.redaction import hide_secrets

__all__ = ["NO_ROOM", "Storage"]

T = TypeVar("T")
_log = logging.getLogger(__name__)

_COMPLETE: Final = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oss"})
"""
Where an object is seen when its upload is complete, and not before.
"""
_LASTING: Final = (
    PermissionError,
    FileNotFoundError,
    NotADirectoryError,
    NotImplementedError,
    ImportError,
    TypeError,
    ValueError,
)
ATTEMPTS: Final = 6
FIRST_DELAY: Final = 0.5
"""
How often one thing is tried at a storage, and the seconds of the first pause; each pause is twice as long as the last.
All together take 16 s: a storage that asks for fewer requests wants some patience, and no library below has any left.
"""
ATTEMPTS_AROUND: Final = 2
_PERSISTENT: Final = frozenset({"gs", "gcs", "abfs", "abfss", "az", "oss"})
"""
How often one thing is tried where the library sends each request up to 6 times (gcsfs), 4 times (adlfs) or 3 times
(ossfs), and has no option for that: once, and once more for what arrived with another digest.
"""
_S3: Final = frozenset({"s3", "s3a"})
TRIAL: Final = b"kling-async found out with this file whether pictures can be stored here. It can be removed.\n"
WIDTH: Final = 16
"""
Calls at one time to storages that only have blocking ones.
"""
CHUNK: Final = 1 << 20
BOUNDED: Final = "_kling_async_is_bounded"
SILENCE: Final = 60.0
KEEPALIVE: Final = 15
"""
Seconds after which an SFTP server that says nothing is given up, and after which it is asked whether it is there.
"""


@attrs.frozen
class Storage:
    """
    A place for pictures, given wherever a folder is: `batch.run(save_to=Storage("s3://bucket/run-7", {...}))`.

    Attributes:
        url: As fsspec reads it. A password in it is refused: it would be written into journals.
        options: What fsspec's file system takes, such as `{"endpoint_url": ...}`. Keys may rather be where its library
            looks for them by itself. They are not shown.

    Raises:
        ValueError: It is no URL, or holds a password.
    """

    url: str = attrs.field()
    options: Mapping[str, Any] = attrs.field(factory=dict, repr=False, hash=False)

    def __attrs_post_init__(self) -> None:
        if not is_url(self.url):
            raise ValueError(f"{self.url!r} is no URL of a storage; it should be such as s3://bucket/pictures")
        if any(urlsplit(link).password is not None for link in self.url.split(LINKS)):
            raise ValueError("The storage's URL holds a password; give it in the options, or as its library's own way.")

    def __str__(self) -> str:
        return self.url

    @property
    def _chain(self) -> "_Chain":
        return _Chain.of(self.url)

    def has(self, url: str) -> bool:
        """
        Whether *url* lies in this storage, or in another bucket that has the same options.
        """
        return self._chain.is_like(_Chain.of(url))

    async def check(self, *, writes: bool = True) -> None:
        """
        Find out whether pictures can be stored here: a small file with a hidden name is written, renamed where that is
        needed, looked for and removed. One that cannot be removed stays, and the log says so.

        Cancelling waits for the call to the storage that is running, and removes the file.

        Args:
            writes: False only opens the storage, for a program that has others write.

        Raises:
            ImportError: A library for it is missing; the text names the command that installs it.
            ValueError: fsspec knows no such storage, or it can neither put files whole nor rename them, or the URL of a
                file in it would not lead to the file.
            OSError: It cannot be connected to, takes no such options, or refuses the file.
        """
        opened = await self._open()
        if writes:
            try:
                with _Spool.begin("", None) as spool:
                    await self._try_out(opened, spool)
            except FetchError as lost:  # of the spool's own folder
                raise OSError(str(lost)) from None

    async def _open(self) -> "_Opened":
        try:
            return await self._opened(self.url)
        except (ImportError, ValueError):
            raise
        except Exception as error:  # noqa: BLE001 (each storage has errors of its own)
            raise OSError(f"{self.url} cannot be opened: {_told(error)}") from None

    async def _try_out(self, opened: "_Opened", spool: "_Spool") -> None:
        names = Names(Path(), f".kling-{secrets.token_hex(8)}.check", "")
        url = self.url_of(names, 0, "")
        spool.write(TRIAL)
        spool.end()
        try:
            await self._put_trial(url, spool, names)
            if opened.is_chained:
                await self._follow(url)
        finally:
            await self._remove_trial(url)

    async def _put_trial(self, url: str, spool: "_Spool", names: Names) -> None:
        try:
            await self._repeated(url, lambda opened, key: _put(opened, spool, key, names))
        except NotImplementedError as error:
            what = "files can neither be put whole nor renamed there"
            raise ValueError(f"{self.url!r}: {what} ({_told(error)}); take another storage") from None
        except Exception as error:  # noqa: BLE001 (each storage has errors of its own)
            raise OSError(f"{self.url}: a small file could not be stored there: {_told(error)}") from None

    async def _follow(self, url: str) -> None:
        # What others get who open a picture's URL.
        try:
            other = await self._opened(url)
            await other.info(other.base)
        except FileNotFoundError:
            what = f"a file stored there would have the URL {url!r}, which leads elsewhere"
            raise ValueError(
                f"{self.url!r}: {what}; give the first part of the chain that has folders its path"
            ) from None

    async def _remove_trial(self, url: str) -> None:
        try:
            opened, key = await self._located(url)
            await opened.in_thread(lambda files: _remove(files, key))
        except FileNotFoundError:
            pass
        except Exception as error:  # noqa: BLE001 (each storage has errors of its own)
            _log.warning("%s could not be removed after it was written as a trial: %s", url, _told(error))

    def url_of(self, names: Names, index: int, ext: str) -> str:
        """
        Return where picture *index* goes.
        """
        return self._chain.url_of("/".join(names.parts(index, ext)))

    async def keep(self, names: Names, index: int, body: ImageStream, *, temp_dir: Path | None = None) -> SavedFile:
        """
        Store what comes under its name, replacing what is there, and verify that it is.

        Cancelling leaves no half picture: it waits for the call to the storage that is under way, and makes no other
        but to remove what is unfinished.

        Args:
            spools: The folder of this machine for the temporary file; None is that of the system.
        """
        url = self.url_of(names, index, body.ext)
        with _Spool.begin(body.ext, temp_dir) as spool:
            while piece := await body.read():
                spool.write(piece)
            spool.end()
            await self._tried("written", url, lambda opened, key: _put(opened, spool, key, names))
            return SavedFile(index, None, spool.length, spool.sha256, url)

    async def size(self, url: str) -> int | None:
        """
        Return how many bytes lie at *url*, None where nothing does.

        Raises:
            Refused: The storage does not tell, even when it is asked again.
        """

        async def look(opened: _Opened, key: str) -> int | None:
            with contextlib.suppress(FileNotFoundError):
                return int((await opened.info(key))["size"])
            return None

        return await self._tried("looked for", url, look)

    async def read(self, url: str) -> bytes:
        """
        Return what lies at *url*.

        Raises:
            Refused: It cannot be read, even when that is tried again.
        """

        async def read(opened: _Opened, key: str) -> bytes:
            content: bytes = await opened.call("cat_file", key)
            return content

        return await self._tried("read", url, read)

    async def sweep(self, staging_dir: str) -> None:
        """
        Remove what is left of pictures whose `Names.staging_dir` this was.
        """
        opened = await self._opened(self.url)
        if not opened.is_complete:
            key = glob.escape(f"{opened.base.rstrip('/')}/{staging_dir}")  # `rm` takes patterns
            with contextlib.suppress(FileNotFoundError):
                await opened.in_thread(lambda files: files.rm(key, recursive=True))

    async def _tried(self, what: str, url: str, work: "Callable[[_Opened, str], Awaitable[T]]") -> T:
        try:
            return await self._repeated(url, work)
        except Exception as error:  # noqa: BLE001 (each storage has errors of its own)
            kind = Full if _is_full(error) else FetchRefused
            raise kind(f"{url} could not be {what}: {_told(error)}") from None

    async def _repeated(self, url: str, work: "Callable[[_Opened, str], Awaitable[T]]") -> T:
        delays = itertools.islice(doubling(FIRST_DELAY), _attempts_at(url) - 1)
        while True:
            try:
                return await work(*await self._located(url))
            except Exception as error:
                delay = next(delays, None)
                if delay is None or _is_full(error) or isinstance(error, _LASTING):
                    raise
                _log.debug("storage_broken", extra={"url": url, "reason": _told(error), "delay": delay})
            await asyncio.sleep(delay)

    async def _located(self, url: str) -> "tuple[_Opened, str]":
        # What a name has, such as a "#", is not parsed: only the storage's own URL is.
        name = self._chain.name_of(url)
        if name is None:
            opened = await self._opened(url)
            return opened, opened.base
        opened = await self._opened(self.url)
        return opened, f"{opened.base.rstrip('/')}/{name}"

    async def _opened(self, url: str) -> "_Opened":
        return await asyncio.get_running_loop().run_in_executor(_opener(), _Opened.open, url, dict(self.options))


def shelf_at(place: str | Path | Storage) -> Path | Storage:
    """
    Return the folder of this machine that *place* names, which is written to directly, or the storage.

    Raises:
        ValueError: Its URL holds a password.
    """
    folder = local_folder(str(place))
    if folder is not None:
        return folder
    return place if isinstance(place, Storage) else Storage(str(place))


def storage_of(destination: Path | Storage, url: str) -> Storage:
    """
    Return the storage that has *url*: the shelf, or one by itself where an earlier run has stored elsewhere.
    """
    return destination if isinstance(destination, Storage) and destination.has(url) else Storage(url)


async def sweep(destination: Path | Storage, staging_dir: str) -> None:
    """
    Remove what is left of pictures that are not whole, from a time when a writer of them was killed.
    """
    if isinstance(destination, Storage):
        await destination.sweep(staging_dir)  # noqa: ASYNC240 (a storage, and no path)
    else:
        await shielded(asyncio.to_thread(shutil.rmtree, destination / staging_dir, ignore_errors=True))


async def begin_drafts(destination: Path | Storage, staging_dir: str) -> None:
    """
    Make the folder of `Names.staging_dir`; a storage makes its own as they come.
    """
    if isinstance(destination, Path):
        await asyncio.to_thread((destination / staging_dir).mkdir, parents=True, exist_ok=True)


def folder_and_keep(destination: Path | Storage, temp_dir: Path | None = None) -> tuple[Path, Keep | None]:
    """
    Return in which directory names are, and what keeps pictures there, as `KlingClient.save_each` takes them. *spools*
    is the folder of this machine for what is on its way to a storage.
    """
    return (
        (destination, None)
        if isinstance(destination, Path)
        else (Path(), functools.partial(destination.keep, temp_dir=temp_dir))
    )


LINKS: Final = "::"
"""
Between the URLs of a chain, such as `simplecache::s3://bucket/run`.
"""


@attrs.frozen
class _Chain:
    """
    A URL as fsspec reads it. Names of files go behind its first link that has a path: caches take that of the next one.
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
        Return the name of a file that `url_of` gave this URL, None for a URL that lies elsewhere.
        """
        start = f"{self.before}{self.link}/"
        is_here = url.startswith(start) and url.endswith(self.after) and len(url) > len(start) + len(self.after)
        return url[len(start) : len(url) - len(self.after)] if is_here else None

    def is_like(self, other: "_Chain") -> bool:
        """
        Whether the same options should do for both.
        """
        ours, theirs = urlsplit(self.link), urlsplit(other.link)
        is_one_host = ours.scheme in _COMPLETE or ours.scheme == "dir" or ours.netloc == theirs.netloc
        others = (self.before, ours.scheme, self.after) == (other.before, theirs.scheme, other.after)
        return is_one_host and others


@attrs.frozen(eq=False)
class _Opened:
    """
    A file system of fsspec's.

    Of a chain it is the last link: a cache would answer with what it holds, and a folder of another file system hides
    what that can do.

    Attributes:
        base: Its own words for the storage's URL.
        again: Opens it in another thread: a connection that blocks is not shared.
        kinds: The classes of a chain's links, the last one last.
    """

    files: Any
    base: str
    again: "Callable[[], Any]"
    kinds: tuple[Any, ...]

    @classmethod
    def open(cls, url: str, options: dict[str, Any]) -> Self:
        try:
            from fsspec.core import url_to_fs  # noqa: PLC0415 (an extra)
        except ImportError:
            what = f'{url!r} needs fsspec: pip install "kling-async[storage]"'
            raise ImportError(what, name="fsspec") from None

        options = _with_no_tries(url, options)

        def again() -> Any:
            files, path = url_to_fs(url, **options)  # fsspec keeps it, for each thread
            return _bounded(_links(files, str(path))[-1][0])

        links = _links(*url_to_fs(url, **options))
        files, base = links[-1]
        return cls(_bounded(files), base, again, tuple(type(files) for files, _ in links))

    @property
    def is_chained(self) -> bool:
        return len(self.kinds) > 1

    @property
    def is_complete(self) -> bool:
        """
        Whether what is uploaded is seen when it is complete.
        """
        return not _COMPLETE.isdisjoint(_protocols_of(self.files))

    async def call(self, name: str, *args: object) -> Any:
        """
        Call a method of the file system: in fsspec's own loop, where it is made for that, else in a thread.
        """
        if self.files.async_impl and hasattr(self.files, f"_{name}"):
            work = getattr(self.files, f"_{name}")(*args)
            # Not cancelled there: libraries may leave a connection behind.
            done = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.files.loop))
            with self._forgetting():
                await shielded(done)
                return done.result()
        return await self.in_thread(lambda files: getattr(files, name)(*args))

    async def info(self, key: str) -> Mapping[str, Any]:
        """
        Return what the storage tells of a file. fsspec would answer from a list that it has kept for as long as the
        program runs, even one that the program itself has asked for, since both have one file system.
        """

        def invalidate(files: Any) -> Any:
            files.invalidate_cache(key.rpartition("/")[0])
            return files

        if self.files.async_impl:
            invalidate(self.files)
            told: Mapping[str, Any] = await self.call("info", key)
            return told
        return cast("Mapping[str, Any]", await self.in_thread(lambda files: invalidate(files).info(key)))

    async def in_thread(self, work: Callable[[Any], Any]) -> Any:
        """
        Do *work* with the file system in a thread.
        """

        def do() -> Any:
            with self._forgetting():
                # One for all threads where it has a loop of its own.
                return work(_opener().submit(self.again).result() if self.files.async_impl else self.again())

        done = asyncio.get_running_loop().run_in_executor(_workers(), do)
        await shielded(done)
        return done.result()

    @contextlib.contextmanager
    def _forgetting(self) -> Iterator[None]:
        # Where it breaks, the next call connects anew: fsspec keeps a file system for as long as the program runs, even
        # one whose only connection is lost. Object storages have many, and see to that themselves.
        try:
            yield
        except _LASTING:
            raise
        except Exception:
            if not self.is_complete:
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
        path = files._join(path) if isinstance(files, DirFileSystem) else path  # noqa: SLF001 (it has no other word)
        files = files.fs
        links.append((files, path))
    return links


def _attempts_at(url: str) -> int:
    protocols = {link.partition("://")[0] for link in url.split(LINKS)}
    return ATTEMPTS if _PERSISTENT.isdisjoint(protocols) else ATTEMPTS_AROUND


def _with_no_tries(url: str, options: dict[str, Any]) -> dict[str, Any]:
    """
    Return options with which botocore tries once, unless they say how often. They are another file system's then, for
    fsspec, so that what the program itself does with that storage is left alone.
    """
    for number, link in enumerate(url.split(LINKS)):
        protocol = link.partition("://")[0]
        if protocol in _S3:
            is_at_top = not number and protocol not in options
            own = options if is_at_top else dict(options.get(protocol, {}))
            own["config_kwargs"] = {"retries": {"total_max_attempts": 1}, **(own.get("config_kwargs") or {})}
            options = own if is_at_top else {**options, protocol: own}
    return options


def _bounded(files: Any) -> Any:
    if not _S3.isdisjoint(_protocols_of(files)):
        files.retries = 1  # s3fs's own tries, around botocore's
    # SFTP waits for ever where nothing says otherwise, and keeps a connection that nobody has any more.
    if hasattr(getattr(files, "ftp", None), "get_channel") and not hasattr(files, BOUNDED):
        setattr(files, BOUNDED, True)
        files.ftp.get_channel().settimeout(SILENCE)
        files.client.get_transport().set_keepalive(KEEPALIVE)
        weakref.finalize(files, files.client.close).atexit = False
    return files


def _protocols_of(files: Any) -> tuple[str, ...]:
    return (files.protocol,) if isinstance(files.protocol, str) else tuple(files.protocol)


def _draft_of(opened: _Opened, key: str, names: Names) -> str:
    if opened.is_complete:
        return key
    token = secrets.token_hex(8)
    if names.staging_dir is not None:
        return f"{opened.base.rstrip('/')}/{names.staging_dir}/{token}.part"
    folder, _, last = key.rpartition("/")
    return f"{folder}/.{last}.{names.mark or token}.part"


async def _put(opened: _Opened, spool: "_Spool", key: str, names: Names) -> None:
    draft = _draft_of(opened, key, names)
    try:
        if not opened.is_complete:
            await opened.in_thread(lambda files: files.makedirs(draft.rpartition("/")[0], exist_ok=True))
        await opened.call("put_file", str(spool.path), draft)
        await _verify(opened, spool, draft)
        if draft != key:
            if names.staging_dir is not None:
                await opened.in_thread(lambda files: files.makedirs(key.rpartition("/")[0], exist_ok=True))
            await _rename(opened, spool, draft, key)
    except BaseException as error:
        with contextlib.suppress(Exception):  # what is not there need not go, and what is wrong must not stay
            if draft != key or isinstance(error, _Differs):
                await opened.in_thread(lambda files: _remove(files, draft))
        raise


async def _rename(opened: _Opened, spool: "_Spool", draft: str, key: str) -> None:
    try:
        return await _moved(opened, draft, key)
    except Exception:
        if not await _is_there(opened, key):
            raise
    try:
        await _verify(opened, spool, key)
    except _Differs:  # some rename to no name that is taken, as SMB and Hadoop
        await opened.in_thread(lambda files: _remove(files, key))
        await _moved(opened, draft, key)
    else:  # the answer was lost, or who was here before has stored the same
        with contextlib.suppress(Exception):
            await opened.in_thread(lambda files: _remove(files, draft))


async def _moved(opened: _Opened, draft: str, key: str) -> None:
    if _renames(opened.files):
        await opened.call("mv", draft, key)
    else:
        await opened.in_thread(lambda files: _copy_over(files, draft, key))
    if await _is_there(opened, draft):  # WebHDFS says no in an answer that fsspec does not read
        raise OSError(errno.EIO, "it was not renamed")


def _renames(files: Any) -> bool:
    # fsspec's own `mv` copies and removes, and takes a "[" in a name for a pattern.
    from fsspec import AbstractFileSystem  # noqa: PLC0415

    is_made_for_loops = files.async_impl and hasattr(files, "_mv")
    return is_made_for_loops or getattr(files.mv, "__func__", None) is not AbstractFileSystem.mv


def _copy_over(files: Any, draft: str, key: str) -> None:
    files.cp_file(draft, key)
    files.rm_file(draft)


def _remove(files: Any, key: str) -> None:
    try:
        files.rm_file(key)
    except NotImplementedError:  # DBFS
        files.rm(key)


async def _is_there(opened: _Opened, key: str) -> bool:
    try:
        await opened.info(key)
    except FileNotFoundError:
        return False
    return True


async def _verify(opened: _Opened, spool: "_Spool", key: str) -> None:
    info = await opened.info(key)
    if info["size"] != spool.length:
        raise _Differs(f"{info['size']} bytes are there, of {spool.length}")
    if _md5_told(info) == spool.md5:
        return
    if await opened.in_thread(lambda files: _sha256_of(files, key)) != spool.sha256:  # or it has other digests
        raise _Differs("what is there has another digest")


class _Differs(Exception):
    """
    What lies in the storage is not what was sent.
    """


def _md5_told(info: Mapping[str, Any]) -> str | None:
    # As S3, Google's and Azure's storages tell it, where they do: the ETag of S3 may be something else.
    etag = str(info.get("ETag") or "").strip('"').lower()
    if re.fullmatch(r"[0-9a-f]{32}", etag):
        return etag
    encoded = info.get("md5Hash")
    if isinstance(encoded, str):
        return base64.b64decode(encoded).hex()
    settings = info.get("content_settings")
    told = settings.get("content_md5") if isinstance(settings, Mapping) else None
    return bytes(told).hex() if told else None


def _sha256_of(files: Any, key: str) -> str:
    digest = hashlib.sha256()
    with files.open(key, "rb") as file:
        while piece := file.read(CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def _is_full(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in NO_ROOM


def _told(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno is not None and error.errno != errno.EIO and error.strerror:
        return hide_secrets(error.strerror, limit=200)
    return f"{type(error).__name__}: {hide_secrets(str(error), limit=200)}".removesuffix(": ")


@attrs.define(eq=False)
class _Spool:
    """
    A picture in a temporary file of this machine, gone on leaving.
    """

    path: Path
    _file: BinaryIO
    length: int = attrs.field(default=0, init=False)
    _sha256: Any = attrs.field(factory=hashlib.sha256, init=False)
    _md5: Any = attrs.field(factory=functools.partial(hashlib.md5, usedforsecurity=False), init=False)

    @classmethod
    def begin(cls, ext: str, folder: Path | None) -> Self:
        with _on_disk(folder):
            # By its end storages know what kind of file it is.
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

    def write(self, piece: bytes) -> None:
        with _on_disk(self.path.parent):
            self._file.write(piece)
        self.length += len(piece)
        self._sha256.update(piece)
        self._md5.update(piece)

    def end(self) -> None:
        with _on_disk(self.path.parent):
            self._file.close()


@contextlib.contextmanager
def _on_disk(folder: Path | None) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        kind = Full if error.errno in NO_ROOM else FetchRefused
        what = f"{folder or tempfile.gettempdir()}, on its way to the storage, could not be written"
        raise kind(f"{what}: {error.strerror or error}") from None


@functools.cache
def _opener() -> concurrent.futures.Executor:
    # One thread for all: fsspec keeps what was opened, for each thread.
    return concurrent.futures.ThreadPoolExecutor(1, "kling-storage-opener")


@functools.cache
def _workers() -> concurrent.futures.Executor:
    # Ours, since the loop's own few threads have files and names to look up meanwhile.
    return concurrent.futures.ThreadPoolExecutor(WIDTH, "kling-storage")


if hasattr(os, "register_at_fork"):  # a child has the pools, and none of their threads
    os.register_at_fork(after_in_child=_opener.cache_clear)
    os.register_at_fork(after_in_child=_workers.cache_clear)
