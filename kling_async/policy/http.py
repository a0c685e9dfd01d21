"""
How connections are made: what a user may set, and the proxy for each URL.
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
from kling_async.policy.hosts import check_entry, is_loopback, is_surely_local
from kling_async.policy.proxies import SCHEMES, check_proxy, read_proxies, with_scheme
from kling_async.wire.redaction import shorten

__all__ = ["HttpOptions"]


USER_AGENT: Final = f"kling-async/{__version__}"


MAX_HEADER: Final = 64 * 1024
"""
Bytes of the longest header of an answer that is read. By aiohttp's own limit, 8190, good answers were lost behind
relays that add cookies, traces and policies.
"""


MAX_HEADERS: Final = 500
"""
Headers of an answer that are read; aiohttp's own limit is 128, lines around them included.
"""


def _with_scheme(proxy: str | None) -> str | None:
    return with_scheme(proxy) if isinstance(proxy, str) else proxy


def _entries(entries: Collection[str]) -> tuple[str, ...]:
    return tuple(entries) if isinstance(entries, Collection) and not isinstance(entries, str) else (entries,)


@attrs.frozen(kw_only=True)
class HttpOptions:
    """
    How connections are made.

    `NO_PROXY` may name hosts (`example.org`, `.example.org` and `*.example.org` all mean that host and those below
    it), addresses and networks (`10.0.0.1`, `10.0.0.0/8`, `[::1]`, `fd00::/8`; for URLs whose host is a number), each
    with a port where need be (`example.org:8443`, `[::1]:8080`), patterns such as `192.168.*`, or `*` for all; between
    them are commas or blanks.

    Attributes:
        trust_env:
            Whether to use the proxies that `HTTPS_PROXY` and `HTTP_PROXY` name, or `ALL_PROXY` in place of either,
            except for what `NO_PROXY` lists. Loopback is always asked directly. `~/.netrc` is never read.
        proxy: URL of an HTTP proxy, used for every request; without a scheme it is taken for "http://".
        ssl: True checks certificates against the system's; a context brings its own rules; False checks nothing.
        connect_timeout: Seconds to make a connection, TLS included.
        read_timeout: Seconds without a byte from the service.
        reuse_within:
            Seconds for which a connection may have been idle and still carry a submit that nobody could look up, at a
            service that takes no id of ours; and that only where the service says that it keeps idle connections two
            seconds longer than this (`Keep-Alive: timeout=`), and no answer to a submit was lost yet. Otherwise each
            such submit makes a connection. A borrowed session decides for itself: give it a connector with
            `force_close=True`.
        max_connections: Requests to the service at one time; more wait, with no clock running.
        user_agent: What the service is told of us: printable ASCII.
        allow_downloads_from:
            Host names, addresses and networks from which pictures may come though they are not public, such as
            "198.18.0.0/15" where a proxy answers for all names with addresses of its own. The kind of network that the
            service itself is in need not be named. Link-local addresses are never allowed.

    Raises:
        InvalidRequest: One of these cannot be what it should.
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
        rule = "must be text of printable ASCII characters, not all blank and without line breaks"
        check_kind("user_agent", text, str, rule)
        if not text.strip() or not text.isascii() or not text.isprintable():
            refuse("user_agent", repr(shorten(text)), rule)

    def proxy_for(self, url: str) -> str | None:
        """
        Return the proxy to use for *url*, or None.

        Raises:
            InvalidRequest: A variable of the environment that counts here cannot be used.
        """
        if self.proxy is not None or not self.trust_env:
            return self.proxy
        proxies = read_proxies(os.environ)
        return proxies.find(url) if proxies is not None else _system_proxy_for(url)

    def proxy_hosts(self) -> frozenset[str]:
        """
        Return the hosts of all proxies that may be used, as they are looked up.

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
        See that requests to *base_url* can be made, before there are any.

        Raises:
            InvalidRequest: A variable of the environment cannot be used; or plain http, which is for loopback only,
                would go to a proxy elsewhere, with the key in the open.
        """
        self.proxy_hosts()
        proxy = self.proxy_for(base_url)
        if urlsplit(base_url).scheme == "http" and proxy is not None and not is_surely_local(URL(proxy).raw_host or ""):
            rule = "must be on loopback, as base_url is plain http: the key would travel in the open"
            refuse("proxy", shown_url(proxy), rule)


def _system_proxies() -> dict[str, str]:
    # What macOS and Windows keep in their settings; elsewhere there is nothing but the environment.
    set_ones = {scheme: proxy.strip() for scheme, proxy in getproxies().items() if scheme in SCHEMES}
    found = {scheme: with_scheme(proxy) for scheme, proxy in set_ones.items() if proxy}
    for scheme, proxy in found.items():
        check_proxy(f"the system's proxy for {scheme}", proxy)
    return found


def _system_proxy_for(url: str) -> str | None:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host) or proxy_bypass(host):
        return None
    return _system_proxies().get(parts.scheme)
