"""
Downloads the files of tasks: streamed, checked, and never partial under a final name.

A file's URL comes from the service and is not trusted: no key and no cookie is sent there, it must not lead into a
private network, and the content must be a complete file of the right kind, of limited size and at an acceptable rate.
"""

import asyncio
import contextlib
import functools
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

import aiohttp
import attrs
from aiohttp.abc import AbstractResolver
from yarl import URL

from kling_async.errors import DownloadFailed
from kling_async.media.destinations import Destination, writer_for
from kling_async.media.fetch_errors import FetchError, FetchRefused, LinkExpired, TransferBroken
from kling_async.media.freed_memory import keep_freed_memory
from kling_async.media.naming import NameTemplate
from kling_async.media.network import AllowedHosts, CheckedResolver, host_of, parse_url, private_host_message
from kling_async.media.responses import ResponseSource, check_status, within
from kling_async.media.resumption import FileVersion, Resumption, judge
from kling_async.media.saved_files import FileKey, SavedFile, key_of
from kling_async.media.saving import LinkRefresher, SaveOutcome, summarize
from kling_async.media.semaphore import Semaphore
from kling_async.media.streams import BytesSource, FileStream, SizeLimit, read_all
from kling_async.media.transfer import Answer, Transfer
from kling_async.media.transfer_rate import TransferRate
from kling_async.media.urls import absolute, content_in
from kling_async.policy.host_networks import Network
from kling_async.policy.http import MAX_HEADER, MAX_HEADERS, MIB, HttpOptions
from kling_async.policy.policies import DownloadPolicy
from kling_async.wire.redaction import hide_query
from kling_async.wire.tasks import File, TaskResult

__all__ = ["Downloads"]

T = TypeVar("T")

_Consume: TypeAlias = Callable[[FileStream], Awaitable[T]]

READ_BYTES: Final = 100 * MIB
"""
Maximum bytes of a file that is read into memory, unless the program allows more.
"""
MAX_REDIRECTS: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
KIND_NAMES: Final = {"image": "an image", "video": "a video", "audio": "a sound"}
DECODED_IN_A_THREAD: Final = 256 * 1024
"""
Length of a URL in characters from which a file in it is decoded in a thread.
"""


@attrs.define(eq=False, repr=False)
class Downloads:
    """
    Fetches files. Lives as long as its client, with its own HTTP session, which has no key and keeps no cookie.

    The session is created at first use, in the running event loop. A proxy resolves names by itself, so that only URLs
    whose host is an address can be checked here if one is used.

    Args:
        networks: Kinds of private network that files may come from: those of the service itself.
        base_url: The service's, for URLs that are relative to it. None if all are absolute.
        policy: How slow a transfer may be before it is started again.
        width: Transfers at a time from one host, over all calls. From all hosts together it is half as many more, so
            that one slow host does not stop the others.
        attempts: How often the file is requested while no more of it comes.
        first_delay: Seconds before it is requested again; each further delay is twice as long.
    """

    _http: HttpOptions
    _networks: frozenset[Network] = attrs.field(default=frozenset(), kw_only=True)
    _base_url: str | None = attrs.field(default=None, kw_only=True)
    _policy: DownloadPolicy = attrs.field(default=DownloadPolicy(), kw_only=True)
    _width: int = attrs.field(default=8, kw_only=True)
    _attempts: int = attrs.field(default=4, kw_only=True)
    _first_delay: float = attrs.field(default=0.5, kw_only=True)
    _limits: "_HostLimits" = attrs.field(init=False)
    _allowed: AllowedHosts = attrs.field(init=False)
    _proxy_hosts: frozenset[str] = attrs.field(init=False)
    _session: aiohttp.ClientSession | None = attrs.field(default=None, init=False)
    _resolver: AbstractResolver | None = attrs.field(default=None, init=False)
    _closed: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._limits = _HostLimits(self._width, Semaphore(self._width + max(1, self._width // 2)))
        self._allowed = AllowedHosts(self._networks, tuple(self._http.allow_downloads_from))
        self._proxy_hosts = self._http.proxy_hosts()

    def __repr__(self) -> str:
        return f"<Downloads {'closed' if self._closed else 'open'}, width {self._width}>"

    async def save(
        self,
        result: TaskResult,
        destination: Destination,
        names: NameTemplate,
        *,
        refresh: Callable[[], Awaitable[TaskResult]],
        skip: Collection[FileKey] = (),
    ) -> SaveOutcome:
        """
        Save the files of *result*, several at a time. The outcome says which were saved, and why others were not.

        Each is streamed to a temporary file, checked, synced and renamed, so that an older file of that name is
        replaced by the complete new one. Cancelling waits for a rename that has begun and removes partial files.

        Args:
            refresh: Reads the task again, at most once, if a URL has expired.
            skip: Files that are not saved, by kind and index.

        Raises:
            ValueError: The names have unknown fields, lead out of the destination, or are equal.
        """
        names.check_files([key_of(file) for file in result.files])
        refresher, write = LinkRefresher(refresh), writer_for(destination)
        files = [file for file in result.files if key_of(file) not in skip]

        async def save(file: File) -> SavedFile:
            return await self._fetch(file, lambda stream: write(names, file, stream), self._limit(file), refresher)

        return summarize(result.task_id, files, await asyncio.gather(*map(save, files), return_exceptions=True))

    async def save_file(
        self, file: File, destination: Destination, names: NameTemplate, *, temp_dir: Path | None = None
    ) -> SavedFile:
        """
        Save one file.

        Args:
            temp_dir: Folder of this machine for a file on its way to a storage; None is the system's.

        Raises:
            FetchError: It was not saved; `LinkExpired` if a fresh URL may help, `DiskFull` if there is no space.
        """
        write = writer_for(destination, temp_dir)
        return await self._fetch(file, lambda stream: write(names, file, stream), self._limit(file))

    async def read(self, file: File, max_bytes: int = READ_BYTES) -> bytes:
        """
        Return the content of a file, checked as `save` does.

        Raises:
            DownloadFailed: It could not be fetched, or is larger than *max_bytes*.
        """
        limit = SizeLimit(max_bytes, "the limit of `read`; raise its max_bytes, or save the file")
        try:
            return await self._fetch(file, read_all, min(limit, self._limit(file), key=lambda each: each.max_bytes))
        except FetchError as error:
            reason = str(error)
        raise DownloadFailed(f"{file.kind} {file.index} could not be fetched: {reason}", index=file.index)

    async def aclose(self) -> None:
        """
        Close the session; running transfers fail. A second call does nothing.
        """
        self._closed = True
        session, self._session = self._session, None
        resolver, self._resolver = self._resolver, None
        if session is not None and resolver is not None:
            await session.close()
            await resolver.close()

    def _limit(self, file: File) -> SizeLimit:
        advice = f"the limit for {KIND_NAMES[file.kind]}; HttpOptions(max_download_bytes=...) raises it"
        return SizeLimit(self._http.max_bytes_of(file.kind), advice)

    async def _fetch(
        self, file: File, consume: _Consume[T], limit: SizeLimit, refresher: LinkRefresher | None = None
    ) -> T:
        async def renew(expired: LinkExpired, refresher: LinkRefresher) -> str:
            return absolute(await refresher.fresh_url(file, expired), self._base_url)

        transfer = Transfer(
            absolute(file.url, self._base_url),
            functools.partial(self._answer, file.kind, limit.max_bytes),
            None if refresher is None else functools.partial(renew, refresher=refresher),
            self._delays,
        )
        async with transfer:
            while True:
                try:
                    await transfer.begin()
                    return await consume(await FileStream.begin(transfer, file.kind, limit))
                except TransferBroken as broken:
                    await transfer.begin_anew(broken)

    def _delays(self) -> Iterator[float]:
        return iter([self._first_delay * 2**number for number in range(self._attempts - 1)])

    @contextlib.asynccontextmanager
    async def _answer(
        self, kind: str, max_bytes: int, url: str, version: FileVersion | None, start: int
    ) -> AsyncIterator[Answer]:
        async with self._limits.slot(host_of(url)):
            content = await _content_in(url, max_bytes)
            if content is not None:
                yield Answer(BytesSource(content), is_final=True)
                return
            response = await self._request(url, {"Accept": f"{kind}/*"} | (version.headers(start) if version else {}))
            rate = TransferRate(self._policy, response.content_length or 0, self._window)
            try:
                with ResponseSource(response, rate) as source:
                    yield _judged(source, response, version, start)
            finally:
                response.close()  # no effect once the body is read; before that, the connection cannot be used again

    @property
    def _window(self) -> float:
        return max(self._policy.window, self._http.read_timeout)

    async def _request(self, text: str, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        url = parse_url(text)
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._get(self._checked(url), headers)
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or not location:
                return response
            response.close()
            url = url.join(parse_url(location))
        raise FetchRefused(f"it was redirected more than {MAX_REDIRECTS} times")

    def _checked(self, url: URL) -> URL:
        if url.scheme not in ("http", "https") or not url.host:
            raise FetchRefused(f"its address is not an http(s) URL: {hide_query(str(url))}")
        blocked = self._allowed.blocked(url.host)
        if blocked is None and url.raw_host in self._proxy_hosts and not self._reaches_proxies(url.host):
            blocked = Network.LAN  # the resolver does not check the proxies' names
        if blocked is not None:
            raise FetchRefused(private_host_message(blocked, hide_query(str(url))))
        return url.with_user(None)  # aiohttp would send it in an Authorization header

    def _reaches_proxies(self, host: str) -> bool:
        return bool(self._networks) or self._allowed.has_name(host)

    async def _get(self, url: URL, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        # some systems ask the network which proxy to use
        proxy = await asyncio.to_thread(self._http.proxy_for, str(url)) if self._http.trust_env else self._http.proxy
        if self._closed:
            raise FetchRefused("the client was closed")
        session = self._session = self._session or self._open()
        async with within(self._http.connect_timeout + self._window, "its answer"):
            return await session.get(url, allow_redirects=False, proxy=proxy, headers=headers)

    def _open(self) -> aiohttp.ClientSession:
        keep_freed_memory()
        http = self._http
        resolver = self._resolver = aiohttp.DefaultResolver()
        checked = CheckedResolver(resolver, self._allowed, self._proxy_hosts)
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, resolver=checked, ssl=http.ssl),  # `_limits` bounds it, untimed
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": http.user_agent, "Accept-Encoding": "identity"},
            timeout=aiohttp.ClientTimeout(total=None, connect=http.connect_timeout, sock_read=http.read_timeout),
            max_line_size=MAX_HEADER,
            max_field_size=MAX_HEADER,
            max_headers=MAX_HEADERS,
            trust_env=False,  # it would also send what ~/.netrc holds for the host; `_get` looks the proxy up
        )


def _judged(
    source: ResponseSource, response: aiohttp.ClientResponse, version: FileVersion | None, start: int
) -> Answer:
    resumption = judge(version, start, response.status, response.headers) if version else None
    if resumption is Resumption.AT_THE_END:
        return Answer(BytesSource(b""), None, resumption)
    if resumption is None:
        check_status(response)
        resumption = Resumption.WHOLE
    return Answer(source, FileVersion.of(response.headers, response.content_length), resumption)


async def _content_in(url: str, max_bytes: int) -> bytes | None:
    try:
        if len(url) < DECODED_IN_A_THREAD:
            return content_in(url, max_bytes)
        return await asyncio.to_thread(content_in, url, max_bytes)
    except ValueError as error:
        raise FetchRefused(f"the file in its URL cannot be decoded: {error}") from None


@attrs.define(eq=False, repr=False)
class _HostLimits:
    """
    Limits the transfers at a time: from each host, and from all.
    """

    _per_host: int
    _all: Semaphore
    _hosts: "weakref.WeakValueDictionary[str, Semaphore]" = attrs.field(
        factory=weakref.WeakValueDictionary, init=False
    )  # each is kept alive by the transfers that hold it or wait for it

    @contextlib.asynccontextmanager
    async def slot(self, host: str) -> AsyncIterator[None]:
        """
        Wait for a slot: first of the host, so that transfers that wait for it take none from other hosts.
        """
        own = self._hosts.get(host)
        if own is None:
            own = self._hosts[host] = Semaphore(self._per_host)
        async with own, self._all:
            yield
