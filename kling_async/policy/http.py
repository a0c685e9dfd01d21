"""
Options for connections: those that users set, and the proxy for each URL.
"""

import os
from collections.abc import Collection
from ssl import SSLContext
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import attrs
from yarl import URL

from kling_async import __version__
from kling_async.errors import (
    InvalidRequest,
)
from kling_async.policy.arguments import check_kind, refuse, shown_url, valid_flag, valid_seconds, valid_whole
from kling_async.policy.host_networks import check_entry, is_loopback, is_surely_local
from kling_async.policy.proxies import SCHEMES, check_proxy, read_proxies, with_scheme
from kling_async.wire.constructors import explained
from kling_async.wire.redaction import shorten

__all__ = ["HttpOptions"]


USER_AGENT: Final = f"kling-async/{__version__}"


MAX_HEADER: Final = 64 * 1024
"""
Maximum bytes of a response header. aiohttp's default, 8190, rejects valid responses of relays that add cookies, traces
and policies.
"""


MAX_HEADERS: Final = 500
"""
Maximum number of response headers; aiohttp's default is 128, including the lines around them.
"""


MIB: Final = 1024 * 1024
MAX_FILE_BYTES: Final = {"image": 100 * MIB, "audio": 250 * MIB, "video": 2048 * MIB}
"""
Maximum bytes of one file by its kind: several times what the largest of Kling's have.
"""


def _with_scheme(proxy: str | None) -> str | None:
    return with_scheme(proxy) if isinstance(proxy, str) else proxy


def _entries(entries: Collection[str]) -> tuple[str, ...]:
    return tuple(entries) if isinstance(entries, Collection) and not isinstance(entries, str) else (entries,)


@explained
@attrs.frozen(kw_only=True)
class HttpOptions:
    """
    Options for connections.

    `NO_PROXY` is a list separated by commas or spaces. It may contain hosts (`example.org`, `.example.org` and
    `*.example.org` all mean that host and its subdomains), addresses and networks (`10.0.0.1`, `10.0.0.0/8`, `[::1]`,
    `fd00::/8`; for URLs whose host is an address), each with an optional port (`example.org:8443`, `[::1]:8080`),
    patterns such as `192.168.*`, or `*` for all.

    Attributes:
        trust_env:
            Whether to use the proxies in `HTTPS_PROXY`, `HTTP_PROXY` and, for those that are not set, `ALL_PROXY`,
            except for hosts in `NO_PROXY`. Loopback never uses a proxy. `~/.netrc` is never read.
        proxy: URL of an HTTP proxy for all requests; the scheme defaults to "http://".
        ssl: True verifies certificates with the system's; a context sets its own rules; False verifies nothing.
        connect_timeout: Seconds to connect, including TLS.
        read_timeout:
            Maximum seconds without a byte from the service. Paid calls that create no task, such as speech, may always
            take 120.
        reuse_within:
            Maximum seconds for which a connection may have been idle to be used for a submit, if the service accepts no
            external id, so that a lost submit could not be looked up. It is used only if the service keeps idle
            connections two seconds longer than this (`Keep-Alive: timeout=`), and if no response to a submit was lost
            yet. Otherwise each such submit opens a connection. This does not apply to your own session: give that a
            connector with `force_close=True`.
        max_connections:
            Maximum concurrent requests to the service. Waiting for one does not count towards timeouts. Paid calls that
            create no task use half of them at most.
        user_agent: The User-Agent header, in printable ASCII.
        allow_downloads_from:
            Host names, addresses and networks from which files may be downloaded although they are not public, such as
            "198.18.0.0/15" if a proxy resolves all names to its own addresses. The kind of network that the service is
            in is always allowed. Link-local addresses are never allowed.
        max_download_bytes:
            Maximum bytes of one downloaded file. None is 100 MiB for an image, 250 MiB for a sound, and 2 GiB for a
            video.

    Raises:
        InvalidRequest: An option is invalid.
    """

    trust_env: bool = attrs.field(default=False, validator=valid_flag)
    proxy: str | None = attrs.field(default=None, converter=_with_scheme, repr=False)
    ssl: SSLContext | bool = attrs.field(default=True)
    connect_timeout: float = attrs.field(default=10.0, validator=valid_seconds)
    read_timeout: float = attrs.field(default=30.0, validator=valid_seconds)
    reuse_within: float = attrs.field(default=1.0, validator=valid_seconds)
    max_connections: int = attrs.field(default=16, validator=valid_whole)
    user_agent: str = attrs.field(default=USER_AGENT)
    allow_downloads_from: Collection[str] = attrs.field(default=(), converter=_entries)
    max_download_bytes: int | None = attrs.field(default=None, validator=attrs.validators.optional(valid_whole))

    @allow_downloads_from.validator
    def _check_downloads(self, _: object, entries: Collection[str]) -> None:
        for entry in entries:
            try:
                check_entry(entry)
            except ValueError as error:
                raise InvalidRequest(f"allow_downloads_from: {error}") from None

    @proxy.validator
    def _check_proxy(self, _: object, proxy: str | None) -> None:
        if proxy is not None:
            check_proxy("proxy", proxy)

    @ssl.validator
    def _check_ssl(self, _: object, ssl: SSLContext | bool) -> None:  # noqa: FBT001 (as attrs calls it)
        check_kind("ssl", ssl, (bool, SSLContext), "must be True, False or an ssl.SSLContext")

    @user_agent.validator
    def _check_user_agent(self, _: object, text: str) -> None:
        rule = "must be text of printable ASCII characters, not all spaces and without line breaks"
        check_kind("user_agent", text, str, rule)
        if not text.strip() or not text.isascii() or not text.isprintable():
            refuse("user_agent", repr(shorten(text)), rule)

    def max_bytes_of(self, kind: str) -> int:
        """
        Return the maximum bytes of a downloaded file of this *kind*: "image", "video" or "audio".
        """
        return self.max_download_bytes or MAX_FILE_BYTES[kind]

    def proxy_for(self, url: str) -> str | None:
        """
        Return the proxy to use for *url*, or None.

        Raises:
            InvalidRequest: An environment variable that applies here is invalid.
        """
        if self.proxy is not None or not self.trust_env:
            return self.proxy
        proxies = read_proxies(os.environ)
        return proxies.find(url) if proxies is not None else _system_proxy_for(url)

    def proxy_hosts(self) -> frozenset[str]:
        """
        Return the hosts of all proxies that may be used, as they are resolved.

        Raises:
            InvalidRequest: As `proxy_for`.
        """
        used = [self.proxy] if self.proxy is not None else []
        if self.proxy is None and self.trust_env:
            proxies = read_proxies(os.environ)
            used = list((proxies.by_scheme if proxies is not None else _system_proxies()).values())
        return frozenset(URL(proxy).raw_host or "" for proxy in used)

    def check_route(self, base_url: str) -> None:
        """
        Check that requests to *base_url* can be sent.

        Raises:
            InvalidRequest: An environment variable is invalid; or plain http, which is for loopback only, would go to
                a proxy on another machine and send the key unencrypted.
        """
        self.proxy_hosts()
        proxy = self.proxy_for(base_url)
        if urlsplit(base_url).scheme == "http" and proxy is not None and not is_surely_local(URL(proxy).raw_host or ""):
            rule = "must be on loopback because base_url is plain http: the key would be sent unencrypted"
            refuse("proxy", shown_url(proxy), rule)


def _system_proxies() -> dict[str, str]:
    # macOS and Windows have proxies in their settings; other systems only in the environment.
    set_ones = {scheme: proxy.strip() for scheme, proxy in getproxies().items() if scheme in SCHEMES}
    proxies = {scheme: with_scheme(proxy) for scheme, proxy in set_ones.items() if proxy}
    for scheme, proxy in proxies.items():
        check_proxy(f"the system's proxy for {scheme}", proxy)
    return proxies


def _system_proxy_for(url: str) -> str | None:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host) or proxy_bypass(host):
        return None
    return _system_proxies().get(parts.scheme)
