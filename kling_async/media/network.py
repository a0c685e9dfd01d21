"""
From which hosts files may be downloaded, and the resolver that enforces it.
"""

import asyncio
import socket
from typing import Final

import attrs
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from kling_async.media.fetch_errors import FetchRefused
from kling_async.policy.host_networks import Network, network_of, parse_range, stated_addresses
from kling_async.wire.redaction import hide_query

__all__ = ["AllowedHosts", "CheckedResolver", "host_of", "networks_of", "parse_url", "private_host_message"]

MAX_URL: Final = 64 * 1024
"""
Maximum length of a URL in characters; servers accept far less.
"""

OPENED_BY_THE_SERVICE: Final = frozenset({Network.LOOPBACK, Network.LAN, Network.SHARED, Network.BENCHMARK})
"""
The kinds of network that files may come from if the service itself is in one. Behind a proxy that resolves all names to
its own addresses (mostly in 198.18.0.0/15), the service appears to be there as well.
"""


@attrs.frozen
class AllowedHosts:
    """
    The hosts that files may come from.

    Attributes:
        kinds: Kinds of network besides the public one: those of the service itself, see `OPENED_BY_THE_SERVICE`.
        entries: Names of hosts, addresses and networks that the user allows.
    """

    kinds: frozenset[Network] = frozenset()
    entries: tuple[str, ...] = ()

    def blocked(self, host: str) -> Network | None:
        """
        Return the kind of network for which *host*, a name or an address, is blocked. Return None if it is allowed, and
        for a name that has to be resolved first.
        """
        kind = network_of(host)
        if kind is Network.NEVER:
            return kind
        is_open = kind in (None, Network.PUBLIC) or (kind in self.kinds and kind in OPENED_BY_THE_SERVICE)
        return None if is_open or self.has_name(host) or self._has_address(host) else kind

    def has_name(self, host: str) -> bool:
        """
        Return whether the user allows the host by this name, in any network.
        """
        return host.rstrip(".").lower() in {entry.rstrip(".").lower() for entry in self.entries}

    def blocked_behind(self, host: str, address: str) -> Network | None:
        """
        Do what `blocked` does for an *address* that the name *host* resolves to.
        """
        kind = self.blocked(address)
        return None if kind is not Network.NEVER and self.has_name(host) else kind

    def _has_address(self, host: str) -> bool:
        ranges = [found for found in map(parse_range, self.entries) if found is not None]
        return any(address in each for address in stated_addresses(host) for each in ranges)


def private_host_message(kind: Network, where: str) -> str:
    """
    Return the error text for *where*, which is in a blocked network of this kind, with the remedy.
    """
    if kind is Network.NEVER:
        return f"its address is private: {where}; files never come from addresses that are {kind.value}"
    advice = "if that is intended, allow its host or network with HttpOptions(allow_downloads_from=[...])"
    return f"its address is private: {where} ({kind.value}); {advice}"


@attrs.define(eq=False, repr=False)
class CheckedResolver(AbstractResolver):
    """
    Resolves names to allowed addresses only. aiohttp connects to exactly the addresses that are checked here, so a name
    server cannot answer differently the second time.

    Args:
        trusted: Names that are not checked: those of the proxies.
    """

    _resolver: AbstractResolver
    _allowed: AllowedHosts
    _trusted: frozenset[str]

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        addresses = await self._resolver.resolve(host, port, family)
        if host in self._trusted:
            return addresses
        blocked = [self._allowed.blocked_behind(host, entry["host"]) for entry in addresses]
        allowed = [entry for entry, kind in zip(addresses, blocked, strict=True) if kind is None]
        if not allowed:
            kind = blocked[0] or Network.LAN if blocked else Network.LAN
            raise FetchRefused(private_host_message(kind, hide_query(host)))
        return allowed

    async def close(self) -> None:
        await self._resolver.close()


async def networks_of(host: str) -> frozenset[Network]:
    """
    Return the kinds of private network that the service at *host* is in, and that its files may therefore come from;
    none if its name cannot be resolved.
    """
    try:
        addresses = await asyncio.get_running_loop().getaddrinfo(host, None)
    except (OSError, UnicodeError):
        return frozenset()
    return OPENED_BY_THE_SERVICE & {network_of(str(address[0])) for *_, address in addresses}


def parse_url(text: str) -> URL:
    """
    Parse *text* as a URL, and keep each character if possible: a signature may cover all of them.

    Raises:
        FetchRefused: It is none, or too long.
    """
    if len(text) > MAX_URL:
        raise FetchRefused(f"its address has {len(text)} characters, of at most {MAX_URL}: {hide_query(text)}")
    is_encoded = text.isascii() and text.isprintable() and " " not in text
    try:
        url = URL(text, encoded=is_encoded)
        _ = url.host  # host and port are parsed only here
    except ValueError:
        raise FetchRefused(f"its address is not a URL: {hide_query(text)}") from None
    return url


def host_of(url: str) -> str:
    """
    Return the host of *url*, empty text if it has none.
    """
    try:
        return URL(url[:MAX_URL]).host or ""
    except ValueError:
        return ""
