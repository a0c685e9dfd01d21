"""
Pictures to disk or into memory: streamed, checked, and never half under a final name.

A picture lies at an address the service names, so nothing is taken on trust: no key and no cookie goes there, it must
not lead into a private network, and what comes must be a picture, whole, of bounded size and at a bearable rate.
"""

import asyncio
import contextlib
import functools
import hashlib
import itertools
import logging
import os
import re
import secrets
import socket
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final, Protocol, Self, TypeAlias, TypeVar

import aiohttp
import attrs
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from kling_async.errors import DownloadFailed, KlingError, StorageFull
from kling_async.media.files import HEAD, Ending, ext_of
from kling_async.media.local import NO_ROOM
from kling_async.media.naming import Names
from kling_async.media.rates import Progress
from kling_async.media.saved_files import SavedFile
from kling_async.media.semaphore import Gate
from kling_async.media.shielding import shielded
from kling_async.media.urls import absolute, content_in
from kling_async.policy.hosts import OPENED_BY_THE_SERVICE, Admission, Network, network_of, objection
from kling_async.policy.http import MAX_HEADER, MAX_HEADERS, HttpOptions
from kling_async.policy.policies import DownloadPolicy
from kling_async.wire.headers import retry_after
from kling_async.wire.redaction import hide_query, hide_secrets
from kling_async.wire.tasks import Image, TaskResult

__all__ = [
    "Downloads",
    "Fetch",
    "FetchError",
    "FetchRefused",
    "Full",
    "ImageStream",
    "Keep",
    "LinkExpired",
    "Saves",
    "doubling",
    "networks_of",
    "save_elsewhere",
    "to_folder",
]

_T = TypeVar("_T")
_Kept = TypeVar("_Kept", Path, SavedFile)
_log = logging.getLogger(__name__)

MIB: Final = 1024 * 1024
MAX_REDIRECTS: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_PASSING: Final = frozenset({408, 425, 429})  # the 4xx that mean "later"
_GOOD: Final = frozenset({200, 203})  # 203 is a 200 that a proxy has changed something about

MAX_PAUSE: Final = 60.0
"""
The longest `Retry-After` in seconds that is waited for. If a server asks for more, a later `save` fetches the picture.
"""
MAX_ADDRESS: Final = 64 * 1024
"""
Maximum length of a URL in characters; servers accept far less.
"""
LARGE: Final = 256 * 1024
"""
Length of a URL in characters from which a picture in it is decoded in a thread.
"""


class FetchError(Exception):
    """
    A picture did not arrive; the text says why and shows no query.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)


class _Broken(FetchError):
    """
    The transfer broke: beginning again may help, after `pause` seconds at the earliest.
    """

    def __init__(self, why: str, pause: float = 0.0) -> None:
        super().__init__(why)
        self.pause = pause


class LinkExpired(FetchError):
    """
    The address is no longer good: a fresh one may be.
    """


class FetchRefused(FetchError):
    """
    No second try would change this.
    """


class Full(FetchRefused):
    """
    There is no room on the disk.
    """


@attrs.frozen
class Saves:
    """
    What came of saving a task's pictures: those that were kept, in their order, and why others were not.
    """

    pictures: tuple[SavedFile, ...]
    error: DownloadFailed | StorageFull | None = None


@attrs.define(eq=False, repr=False)
class Downloads:
    """
    Fetch pictures; lives as long as its client, with a session of its own that knows no key and keeps no cookie.

    The session is made at first use, inside the running loop. Where a proxy is used it resolves the names, so that only
    addresses given as numbers can be checked here.

    Args:
        networks: Kinds of private network that pictures may come from: those where the service itself is.
        base_url: Of the service, for URLs that are relative to it. None if all are absolute.
        policy: How slow a transfer may be before it is begun again.
        width: Transfers at one time from one host, over all calls; from all hosts together half as many more, so that
            one that is slow does not stop the others.
        max_bytes: Of one picture.
        attempts: How often one picture is begun, the first time included.
        first_delay: Seconds before it is begun again; each further delay is twice as long.
    """

    _http: HttpOptions
    _networks: frozenset[Network] = attrs.field(default=frozenset(), kw_only=True)
    _base_url: str | None = attrs.field(default=None, kw_only=True)
    _policy: DownloadPolicy = attrs.field(default=DownloadPolicy(), kw_only=True)
    _width: int = attrs.field(default=8, kw_only=True)
    _max_bytes: int = attrs.field(default=100 * MIB, kw_only=True)
    _attempts: int = attrs.field(default=4, kw_only=True)
    _first_delay: float = attrs.field(default=0.5, kw_only=True)
    _turns: "_Turns" = attrs.field(init=False)
    _admission: Admission = attrs.field(init=False)
    _proxy_hosts: frozenset[str] = attrs.field(init=False)
    _session: aiohttp.ClientSession | None = attrs.field(default=None, init=False)
    _resolver: AbstractResolver | None = attrs.field(default=None, init=False)
    _closed: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._turns = _Turns(self._width, Gate(self._width + max(1, self._width // 2)))
        self._admission = Admission(self._networks, tuple(self._http.allow_downloads_from))
        self._proxy_hosts = self._http.proxy_hosts()

    def __repr__(self) -> str:
        return f"<Downloads {'closed' if self._closed else 'open'}, width {self._width}>"

    async def save_all(
        self,
        result: TaskResult,
        directory: Path | str,
        *,
        name: str,
        refresh: Callable[[], Awaitable[TaskResult]],
    ) -> list[Path]:
        """
        Save the pictures of *result* in *directory*, several at once, and return their paths in picture order.

        Each is streamed to a hidden temporary file beside its final name, checked, synced and renamed, so that an older
        file of that name is replaced whole. Cancelling waits for a rename under way and removes what is unfinished.

        Args:
            name:
                A template with the fields `task_id`, `index` and `ext` (by content: ".png", ".jpg", ".webp", ".gif").
                It may name sub-directories. Values are made safe as file names on every system.
            refresh: Reads the task again, at most once, where an address is no longer good.

        Raises:
            ValueError: The template has other fields, leaves the directory, or gives two pictures one name.
            DownloadFailed: A picture did not arrive. The others were saved all the same.
            StorageFull: There was no room for one on the disk. The others were saved all the same.
        """
        names = Names(Path(directory), name, result.task_id)
        paths, error = await self._save(result, names, _to_disk, refresh)
        if error is not None:
            raise error
        return paths

    async def save_each(
        self,
        result: TaskResult,
        names: Names,
        *,
        refresh: Callable[[], Awaitable[TaskResult]],
        but: Collection[int] = (),
        keep: "Keep | None" = None,
    ) -> Saves:
        """
        Save the pictures of *result*, *but* those with these indices, as `save_all` does; what did not arrive is told.

        Args:
            keep: Where to; None is the folder of *names*.
        """
        keep = keep or to_folder

        def take(names: Names, index: int) -> _Take[SavedFile]:
            return functools.partial(keep, names, index)

        pictures, error = await self._save(result, names, take, refresh, but)
        return Saves(tuple(pictures), error)

    async def keep(self, image: Image, names: Names, keep: "Keep | None" = None) -> SavedFile:
        """
        Save one picture.

        Raises:
            Lost: It did not arrive; `LinkExpired` where a fresh address may help, `Full` where there is no room.
        """
        return await self._fetch(image, functools.partial(keep or to_folder, names, image.index))

    async def read(self, image: Image) -> bytes:
        """
        Return the picture itself, checked as `save_all` does.

        Raises:
            DownloadFailed: It did not arrive.
        """
        try:
            return await self._fetch(image, _to_memory)
        except FetchError as lost:
            reason = str(lost)
        raise DownloadFailed(f"picture {image.index} could not be fetched: {reason}", index=image.index)

    async def aclose(self) -> None:
        """
        Close the session; transfers under way fail. A second call does nothing.
        """
        self._closed = True
        session, self._session = self._session, None
        resolver, self._resolver = self._resolver, None
        if session is not None and resolver is not None:
            await session.close()
            await resolver.close()

    async def _save(
        self,
        result: TaskResult,
        names: Names,
        take: "Callable[[Names, int], _Take[_Kept]]",
        refresh: Callable[[], Awaitable[TaskResult]],
        but: Collection[int] = (),
    ) -> "tuple[list[_Kept], DownloadFailed | StorageFull | None]":
        names.check([image.index for image in result.images])
        renewal = _Renewal(refresh)
        images = [image for image in result.images if image.index not in but]
        saves = (self._fetch(image, take(names, image.index), renewal) for image in images)
        return _told_apart(result.task_id, images, await asyncio.gather(*saves, return_exceptions=True))

    async def _fetch(self, image: Image, take: "_Take[_T]", renewal: "_Renewal | None" = None) -> _T:
        address = absolute(image.url, self._base_url)
        delays = itertools.islice(doubling(self._first_delay), self._attempts - 1)
        while True:
            try:
                async with self._turns.take(_host_of(address)):
                    return await self._transfer(address, take)
            except LinkExpired as gone:
                if renewal is None:
                    raise
                address = absolute(await renewal.address(image.index, gone), self._base_url)
                renewal = None
            except _Broken as broken:
                delay = next(delays, None)
                if delay is None or broken.pause > MAX_PAUSE:
                    raise
                delay = max(delay, broken.pause)
                _log.debug("transfer_broken", extra={"url": hide_query(address), "reason": str(broken), "delay": delay})
                await asyncio.sleep(delay)

    async def _transfer(self, address: str, take: "_Take[_T]") -> _T:
        content = await self._content_in(address)
        if content is not None:
            return await self._unpack(content, take)
        response = await self._answer(address)
        try:
            _judge(response)
            progress = Progress(self._policy, response.content_length or 0, self._window)
            return await take(await ImageStream.begin(_Answer(response, progress), self._max_bytes))
        finally:
            response.close()  # changes nothing once the body is read; before that, the connection cannot be used again

    async def _content_in(self, address: str) -> bytes | None:
        try:
            if len(address) < LARGE:
                return content_in(address, self._max_bytes)
            return await asyncio.to_thread(content_in, address, self._max_bytes)
        except ValueError as error:
            raise FetchRefused(f"its address holds no picture: {error}") from None

    async def _unpack(self, content: bytes, take: "_Take[_T]") -> _T:
        try:
            return await take(await ImageStream.begin(_Content(content), self._max_bytes))
        except _Broken as broken:
            raise FetchRefused(f"its address holds no whole picture: {broken}") from None  # nor would it the next time

    @property
    def _window(self) -> float:
        return max(self._policy.window, self._http.read_timeout)

    async def _answer(self, address: str) -> aiohttp.ClientResponse:
        url = _url(address)
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._ask(self._checked(url))
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or not location:
                return response
            response.close()
            url = url.join(_url(location))
        raise FetchRefused(f"it was redirected more than {MAX_REDIRECTS} times")

    def _checked(self, url: URL) -> URL:
        if url.scheme not in ("http", "https") or not url.host:
            raise FetchRefused(f"its address is no http(s) URL: {hide_query(str(url))}")
        kind = self._admission.closed(url.host)
        if kind is None and url.raw_host in self._proxy_hosts and not self._reaches_proxies(url.host):
            kind = Network.LAN  # the resolver lets its name pass
        if kind is not None:
            raise FetchRefused(objection(kind, hide_query(str(url))))
        return url.with_user(None)  # aiohttp would send it as an Authorization

    def _reaches_proxies(self, host: str) -> bool:
        return bool(self._networks) or self._admission.names(host)

    async def _ask(self, url: URL) -> aiohttp.ClientResponse:
        # some systems ask the network which proxy to take
        proxy = await asyncio.to_thread(self._http.proxy_for, str(url)) if self._http.trust_env else self._http.proxy
        if self._closed:
            raise FetchRefused("the client was closed")
        session = self._session = self._session or self._open()
        async with _in_time(self._http.connect_timeout + self._window, "its answer"):
            return await session.get(url, allow_redirects=False, proxy=proxy)

    def _open(self) -> aiohttp.ClientSession:
        http = self._http
        resolver = self._resolver = aiohttp.DefaultResolver()
        guard = _GuardedResolver(resolver, self._admission, self._proxy_hosts)
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, resolver=guard, ssl=http.ssl),  # the bound is `_turns`, unclocked
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": http.user_agent, "Accept": "image/*", "Accept-Encoding": "identity"},
            timeout=aiohttp.ClientTimeout(total=None, connect=http.connect_timeout, sock_read=http.read_timeout),
            max_line_size=MAX_HEADER,
            max_field_size=MAX_HEADER,
            max_headers=MAX_HEADERS,
            trust_env=False,  # it would also send what ~/.netrc holds for the host; the proxy is looked up by `_ask`
        )


@attrs.define(eq=False)
class _Turns:
    """
    Bounds the transfers at one time: from one host, and from all.
    """

    _of_one: int
    _of_all: Gate
    _hosts: "weakref.WeakValueDictionary[str, Gate]" = attrs.field(
        factory=weakref.WeakValueDictionary, init=False
    )  # each is kept by those who have it or wait for it

    @contextlib.asynccontextmanager
    async def take(self, host: str) -> AsyncIterator[None]:
        """
        Wait for a turn, first among those who wait for the same host, so that they keep no turn from others.
        """
        own = self._hosts.get(host)
        if own is None:
            own = self._hosts[host] = Gate(self._of_one)
        async with own, self._of_all:
            yield


Fetch: TypeAlias = Callable[[Sequence[Image]], Awaitable[Sequence[SavedFile | FetchError]]]
"""
Saves these pictures, or tells of each why it could not.
"""


async def save_elsewhere(
    result: TaskResult,
    names: Names,
    fetch: Fetch,
    *,
    refresh: Callable[[], Awaitable[TaskResult]],
    but: Collection[int] = (),
    base_url: str | None = None,
) -> Saves:
    """
    Do what `Downloads.save_each` does with pictures that others *fetch*, who cannot read the task for fresh addresses,
    and do not know the service to whose *base_url* an address may be relative.
    """
    names.check([image.index for image in result.images])
    images = [_resolved(image, base_url) for image in result.images if image.index not in but]
    outcomes = dict(zip(images, await fetch(images), strict=True))
    renewal, fresh = _Renewal(refresh), {}
    for image, outcome in outcomes.items():
        if isinstance(outcome, LinkExpired):
            try:
                again = attrs.evolve(image, url=await renewal.address(image.index, outcome))
                fresh[image] = _resolved(again, base_url)
            except FetchRefused as refused:
                outcomes[image] = refused
    if fresh:
        outcomes.update(zip(fresh, await fetch(list(fresh.values())), strict=True))
    kept, error = _told_apart(result.task_id, images, list(outcomes.values()))
    return Saves(tuple(kept), error)


def _resolved(image: Image, base_url: str | None) -> Image:
    return attrs.evolve(image, url=absolute(image.url, base_url))


def doubling(delay: float) -> Iterator[float]:
    while True:
        yield delay
        delay *= 2


def _told_apart(
    task_id: str, images: Sequence[Image], outcomes: "Sequence[_Kept | BaseException]"
) -> "tuple[list[_Kept], DownloadFailed | StorageFull | None]":
    kept: list[_Kept] = []
    lost: list[tuple[int, FetchError]] = []
    for image, outcome in zip(images, outcomes, strict=True):
        if isinstance(outcome, FetchError):
            lost.append((image.index, outcome))
        elif isinstance(outcome, BaseException):
            raise outcome
        else:
            kept.append(outcome)
    if not lost:
        return kept, None
    paths, urls = _places_of(kept)
    full = next((reason for _, reason in lost if isinstance(reason, Full)), None)
    if full is not None:
        return kept, StorageFull(f"{full}; make room, then save again", task_id, paths=paths, urls=urls)
    index, reason = lost[0]
    message = f"picture {index} could not be fetched: {reason}; {len(kept)} of {len(outcomes)} arrived"
    return kept, DownloadFailed(message, task_id, index=index, paths=paths, urls=urls)


def _places_of(kept: "Sequence[Path | SavedFile]") -> tuple[tuple[Path, ...], tuple[str, ...]]:
    paths = (each.path if isinstance(each, SavedFile) else each for each in kept)
    urls = (each.url for each in kept if isinstance(each, SavedFile))
    return tuple(path for path in paths if path is not None), tuple(url for url in urls if url is not None)


@attrs.define(eq=False)
class _Renewal:
    """
    One reading of the task at most, shared by the pictures of one call.
    """

    _refresh: Callable[[], Awaitable[TaskResult]]
    _lock: asyncio.Lock = attrs.field(factory=asyncio.Lock, init=False)
    _fresh: dict[int, str] | None = attrs.field(default=None, init=False)
    _trouble: str = attrs.field(default="the task no longer has this picture", init=False)

    async def address(self, index: int, gone: LinkExpired) -> str:
        """
        Return the fresh address of picture *index*, or raise why there is none.
        """
        async with self._lock:
            fresh = self._fresh = await self._read() if self._fresh is None else self._fresh
        if index not in fresh:
            raise FetchRefused(f"{gone}; {self._trouble}")
        return fresh[index]

    async def _read(self) -> dict[int, str]:
        try:
            result = await self._refresh()
        except KlingError as error:
            self._trouble = f"reading the task for a fresh address failed: {error}"
            return {}
        return {image.index: image.url for image in result.images}


# What comes


@contextlib.contextmanager
def _as_lost() -> Iterator[None]:
    # The network's errors end here. They are not chained: their texts may hold a whole URL.
    try:
        yield
    except (ValueError, aiohttp.NonHttpUrlClientError, aiohttp.ClientSSLError) as error:
        raise FetchRefused(_told(error)) from None
    except (aiohttp.ClientError, OSError) as error:  # OSError: also the timeouts and resets that come unwrapped
        raise _Broken(_told(error)) from None


@contextlib.asynccontextmanager
async def _in_time(seconds: float, what: str) -> AsyncIterator[None]:
    # A limit between two bytes does not stop a server that sends a byte now and then, or bytes without content: parts
    # of a header, or empty compressed blocks.
    try:
        async with asyncio.timeout(seconds):
            with _as_lost():
                yield
    except TimeoutError:
        raise _Broken(f"{what} did not come within {seconds:g} s") from None


def _told(error: Exception) -> str:
    # aiohttp's text quotes the header, which may be a cookie, and reports a status of 400 whatever the answer's is.
    said = error.message if isinstance(error, aiohttp.ClientResponseError) else str(error)
    if said.startswith("Got more than"):
        said = f"its answer has a header of more than {MAX_HEADER} bytes"
    elif said.startswith("Too many headers"):
        said = f"its answer has more than {MAX_HEADERS} headers"
    text = hide_secrets(said, limit=200)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _judge(response: aiohttp.ClientResponse) -> None:
    status = response.status
    if status in _GOOD or (status == 206 and _is_all(response.headers.get("Content-Range"))):
        return
    told = f"HTTP {status} from {hide_query(str(response.url))}"
    if 400 <= status < 500 and status not in _PASSING:
        raise LinkExpired(told)
    pause = retry_after(response.headers) or 0.0
    raise _Broken(f"{told}, which asks to come again in {pause:.0f} s" if pause > MAX_PAUSE else told, pause)


_CONTENT_RANGE: Final = re.compile(r"bytes 0-(\d{1,18})/(?:(\d{1,18})|\*)", re.ASCII)


def _is_all(content_range: str | None) -> bool:
    # No range was asked for, so the whole should come. Without a total length, the picture's own end decides.
    found = _CONTENT_RANGE.fullmatch((content_range or "bytes 0-0/*").strip())
    return found is not None and (found[2] is None or int(found[1]) + 1 == int(found[2]))


class _Source(Protocol):
    """
    Where a picture comes from, piece by piece.

    Attributes:
        size: Bytes in all, as far as is known; else 0.
        kind: What the sender calls it.
    """

    @property
    def size(self) -> int: ...

    @property
    def kind(self) -> str: ...

    async def read(self) -> bytes: ...


@attrs.define
class _Answer:
    """
    A server's answer, which must not be too slow.
    """

    _response: aiohttp.ClientResponse
    _progress: Progress

    @property
    def size(self) -> int:
        return self._response.content_length or 0

    @property
    def kind(self) -> str:
        return hide_secrets(self._response.content_type, limit=60)

    async def read(self) -> bytes:
        loop, progress = asyncio.get_running_loop(), self._progress
        began = loop.time()
        async with _in_time(progress.window, "more of it"):
            piece = await self._response.content.readany()
        progress.add(len(piece), loop.time() - began)
        complaint = progress.complaint() if piece else None
        if complaint is not None:
            raise _Broken(complaint)
        return piece


@attrs.define
class _Content:
    """
    A picture that is all here.
    """

    _content: bytes
    _at: int = attrs.field(default=0, init=False)
    kind: str = "no address"

    @property
    def size(self) -> int:
        return len(self._content)

    async def read(self) -> bytes:
        piece = self._content[self._at : self._at + LARGE]
        self._at += len(piece)
        return piece


@attrs.define
class ImageStream:
    """
    The picture that comes, piece by piece; one that is cut short, too large or no picture raises instead.
    """

    ext: str
    _source: _Source
    _max_bytes: int
    _waiting: bytes
    _ending: Ending
    length: int = attrs.field(default=0, init=False)  # of what was read so far

    @classmethod
    async def begin(cls, source: _Source, max_bytes: int) -> Self:
        """
        Read as much as tells the kind of picture.
        """
        _bound(source.size, max_bytes)
        start = b""
        while len(start) < HEAD and (piece := await source.read()):
            start += piece
        ext = ext_of(start)
        if ext is None:
            raise _Broken(f"what came is no picture ({source.kind})")
        return cls(ext, source, max_bytes, start, Ending.of(ext))

    async def read(self) -> bytes:
        """
        Return the next piece; nothing is the end of a picture that is whole by its own structure, whatever length its
        sender told.
        """
        piece, self._waiting = self._waiting, b""
        piece = piece or await self._source.read()
        self.length += len(piece)
        _bound(self.length, self._max_bytes)
        self._ending.feed(piece)
        if not piece and not self._ending.is_reached:
            raise _Broken(f"the picture was cut short after {self.length} bytes")
        return piece


_Take: TypeAlias = Callable[[ImageStream], Awaitable[_T]]
Keep: TypeAlias = Callable[[Names, int, ImageStream], Awaitable[SavedFile]]
"""
Keeps the picture that has this index and these names.
"""


def _bound(length: int, max_bytes: int) -> None:
    if length > max_bytes:
        raise FetchRefused(f"it is larger than {max_bytes} bytes")


async def _to_memory(body: ImageStream) -> bytes:
    content = bytearray()
    while piece := await body.read():
        content += piece
    return bytes(content)


def _to_disk(names: Names, index: int) -> _Take[Path]:
    async def take(body: ImageStream) -> Path:
        path = names.path(index, body.ext)
        await _write(body, path, names)
        return path

    return take


async def to_folder(names: Names, index: int, body: ImageStream) -> SavedFile:
    """
    Keep a picture in a folder, with its digest, which costs half as much as all the rest.
    """
    path = names.path(index, body.ext)
    digest = hashlib.sha256()
    await _write(body, path, names, digest.update)
    return SavedFile(index, path, body.length, digest.hexdigest())


async def _write(body: ImageStream, path: Path, names: Names, show: Callable[[bytes], object] | None = None) -> None:
    try:
        with _Part(path, names) as part:
            while piece := await body.read():
                part.write(piece)
                if show is not None:
                    show(piece)
            await shielded(asyncio.to_thread(part.settle))
    except OSError as error:  # the network's are Lost by now, so this is the disk
        kind = Full if error.errno in NO_ROOM else FetchRefused
        raise kind(f"{path} could not be written: {error.strerror or error}") from None


# Files


@attrs.define(eq=False)
class _Part:
    """
    A temporary file near its target, whose place it takes when it is whole; on leaving, no trace of it is left.
    """

    _target: Path
    _names: Names
    _path: Path = attrs.field(init=False)
    _file: BinaryIO = attrs.field(init=False)

    def __enter__(self) -> Self:
        names = self._names
        if names.staging_dir is None:
            mark = names.mark or secrets.token_hex(8)
            self._path = self._target.with_name(f".{self._target.name}.{mark}.part")
        else:
            staging_dir = names.directory / names.staging_dir
            if not staging_dir.is_dir():  # made here it would hide that this is another folder, which nobody looks into
                what = f"{names.directory} is not the folder of this run on this machine, or the run has ended"
                raise FetchRefused(f"{what}: save to a folder that all machines share")
            self._path = staging_dir / f"{secrets.token_hex(8)}.part"
        self._target.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("wb" if names.staging_dir is None and names.mark else "xb")
        return self

    def __exit__(self, *exc_info: object) -> None:
        with contextlib.suppress(OSError):  # closing writes what is buffered, and a full disk says no a second time
            self._file.close()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def write(self, piece: bytes) -> None:
        self._file.write(piece)  # in the loop: as fast as the disk cache, and faster than a thread for every piece

    def settle(self) -> None:
        """
        Make the picture safe on disk and give it its name. This waits for the disk: call it in a thread.
        """
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        _replace(self._path, self._target)
        _sync_folder(self._target.parent)


_ON_WINDOWS: Final = os.name == "nt"
_SHARING_DELAYS: Final = (0.01, 0.05, 0.25, 1.0)


def _replace(source: Path, target: Path) -> None:
    # On Windows a viewer or virus scanner that holds the target open for a moment is a PermissionError.
    for delay in _SHARING_DELAYS if _ON_WINDOWS else ():
        try:
            source.replace(target)
        except PermissionError:
            time.sleep(delay)
        else:
            return
    source.replace(target)


def _sync_folder(folder: Path) -> None:
    # The name, too, should survive a loss of power. Windows cannot, and some network disks will not.
    if _ON_WINDOWS:
        return
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# Addresses


@attrs.define(eq=False)
class _GuardedResolver(AbstractResolver):
    """
    Resolve names to those addresses that pictures may come from; aiohttp connects to the very addresses judged here.

    Args:
        trusted: Names that pass unjudged: those of the proxies.
    """

    _resolver: AbstractResolver
    _admission: Admission
    _trusted: frozenset[str]

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        if host in self._trusted:
            return found
        closed = [self._admission.closed_behind(host, entry["host"]) for entry in found]
        admitted = [entry for entry, kind in zip(found, closed, strict=True) if kind is None]
        if not admitted:
            raise FetchRefused(objection(closed[0] or Network.LAN if closed else Network.LAN, hide_query(host)))
        return admitted

    async def close(self) -> None:
        await self._resolver.close()


async def networks_of(host: str) -> frozenset[Network]:
    """
    Return the kinds of private network that the service at *host* is in, which its pictures may come from as well; none
    where its name cannot be resolved.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None)
    except (OSError, UnicodeError):
        return frozenset()
    return OPENED_BY_THE_SERVICE & {network_of(str(address[0])) for *_, address in found}


def _url(text: str) -> URL:
    if len(text) > MAX_ADDRESS:
        raise FetchRefused(
            f"its address has {len(text)} characters, and {MAX_ADDRESS} are the most: {hide_query(text)}"
        )
    plain = text.isascii() and text.isprintable() and " " not in text
    try:
        url = URL(text, encoded=plain)  # as it is, where it can be: a signature may cover every character
        _ = url.host  # host and port are parsed only here
    except ValueError:
        raise FetchRefused(f"its address is no URL: {hide_query(text)}") from None
    return url


def _host_of(address: str) -> str:
    try:
        return URL(address[:MAX_ADDRESS]).host or ""
    except ValueError:
        return ""
