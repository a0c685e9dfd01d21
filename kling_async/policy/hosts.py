"""
Decides from which hosts files may be downloaded: public ones, those in the service's kind of network, and those that
the user allows.

The ranges are those of the IANA's special-purpose registries, as of 2025, and the multicast ranges. The properties of
`ipaddress` are not used because they differ between Python versions:

    https://www.iana.org/assignments/iana-ipv4-special-registry
    https://www.iana.org/assignments/iana-ipv6-special-registry
    https://www.iana.org/assignments/multicast-addresses
"""

import enum
import ipaddress
import re
from typing import Final, TypeAlias

import attrs

__all__ = [
    "Admission",
    "Network",
    "Range",
    "check_entry",
    "is_loopback",
    "is_surely_local",
    "network_of",
    "objection",
    "parse_address",
    "parse_range",
]

_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Range: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


class Network(enum.Enum):
    """
    The kinds of network that downloads distinguish.
    """

    PUBLIC = "public"
    LOOPBACK = "loopback"
    LAN = "private"
    SHARED = "shared address space"
    BENCHMARK = "benchmarking"
    RESERVED = "reserved"
    NEVER = "link-local, multicast, cloud metadata or not a plain address"


OPENED_BY_THE_SERVICE: Final = frozenset({Network.LOOPBACK, Network.LAN, Network.SHARED, Network.BENCHMARK})
"""
The kinds from which files may be downloaded if the service is in the same kind. A proxy that resolves all names to its
own addresses (mostly in 198.18.0.0/15) puts the service there, too.
"""

_RANGES: Final = tuple(
    (ipaddress.ip_network(text), kind)
    for kind, texts in {
        Network.LOOPBACK: (
            "0.0.0.0/32",  # this host, like "::": systems connect both to themselves
            "127.0.0.0/8",
            "::/128",
            "::1/128",
        ),
        Network.LAN: ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"),
        Network.SHARED: ("100.64.0.0/10",),
        Network.BENCHMARK: ("198.18.0.0/15", "2001:2::/48"),
        Network.NEVER: (
            "169.254.0.0/16",  # link-local, with the metadata of most clouds at 169.254.169.254
            "fe80::/10",
            "224.0.0.0/4",  # multicast
            "ff00::/8",
            "255.255.255.255/32",
            "fd00:ec2::254/128",  # metadata: Amazon by IPv6, Google by IPv6, Alibaba, Oracle
            "fd20:ce::254/128",
            "100.100.100.200/32",
            "192.0.0.192/32",
        ),
        Network.RESERVED: (
            "0.0.0.0/8",
            "192.0.0.0/24",  # protocol assignments
            "192.0.2.0/24",  # documentation
            "192.88.99.0/24",  # 6to4 relays, deprecated
            "198.51.100.0/24",
            "203.0.113.0/24",
            "240.0.0.0/4",
            "::/0",  # everything but global unicast: site-local, discard, local translation, segment routing
            "2001::/23",  # protocol assignments
            "2001:db8::/32",  # documentation
            "3fff::/20",
        ),
        Network.PUBLIC: (
            "0.0.0.0/0",
            "2000::/3",  # global unicast
            "192.0.0.9/32",  # exceptions within the ranges above
            "192.0.0.10/32",
            "2001:1::1/128",
            "2001:1::2/128",
            "2001:1::3/128",
            "2001:3::/32",
            "2001:4:112::/48",
            "2001:20::/28",
            "2001:30::/28",
        ),
    }.items()
    for text in texts
)
"""
The narrowest range that contains an address decides its kind.
"""

_LOCALHOST: Final = (ipaddress.IPv4Address("127.0.0.1"), ipaddress.IPv6Address("::1"))
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_NUMBERLIKE: Final = re.compile(r"(?:^|\.)(?:0x[0-9a-f]*|\d+)$", re.IGNORECASE)
_NAME: Final = re.compile(r"[\w-]{1,63}(\.[\w-]{1,63})*")
_NAME_MAX: Final = 253


def network_of(host: str) -> Network | None:
    """
    Return the kind of network that *host* is in; None for a name, which first has to be resolved.
    """
    address = _address(host)
    if address is not None:
        return _kind(address)
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761: regardless of DNS
        return Network.LOOPBACK
    # some systems take "127.1" and "2130706433" for loopback, and accept other addresses in this form
    return Network.NEVER if ":" in host or _NUMBERLIKE.search(name) else None


def is_loopback(host: str) -> bool:
    """
    Return whether *host* is this machine: a loopback address, perhaps in brackets, or "localhost". Other names are not
    resolved.
    """
    return network_of(host.removeprefix("[").removesuffix("]")) is Network.LOOPBACK


def is_surely_local(host: str) -> bool:
    """
    Return whether everything sent to *host* stays on this machine. This is stricter than `is_loopback`: DNS may resolve
    "x.localhost" to any address, and not every system takes "0.0.0.0" for itself.
    """
    if host.casefold() == "localhost":
        return True
    address = parse_address(host)
    return address is not None and address.is_loopback


def parse_address(text: str) -> _Address | None:
    """
    Return *text* as an IP address; None for a name. An IPv4-mapped IPv6 address becomes the IPv4 address.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return (isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped) or address


def parse_range(text: str) -> Range | None:
    """
    Return *text* as a network, such as "10.0.0.0/8"; an address becomes a network of one. None for a name.
    """
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def check_entry(entry: object) -> None:
    """
    Check that *entry* is a host name, an address or a network from which downloads can be allowed.

    Raises:
        ValueError: It is not; the message says why.
    """
    if not isinstance(entry, str):
        raise ValueError(f"{entry!r} is not text")  # noqa: TRY004 (one kind of error for a wrong value)
    allowed = parse_range(entry)
    if allowed is None:
        if not _NAME.fullmatch(entry.rstrip(".")) or len(entry) > _NAME_MAX or network_of(entry) is Network.NEVER:
            raise ValueError(f"{entry[:80]!r} is not a host name, an address or a network such as '198.18.0.0/15'")
    elif _kind(allowed[0]) is _kind(allowed[-1]) is Network.NEVER:
        raise ValueError(f"{entry!r} cannot be allowed: its addresses are {Network.NEVER.value}")


@attrs.frozen
class Admission:
    """
    The hosts from which files may be downloaded.

    Attributes:
        kinds: The kinds of network that the service is in; those of `OPENED_BY_THE_SERVICE` are allowed.
        entries: Host names, addresses and networks that the user allows.
    """

    kinds: frozenset[Network] = frozenset()
    entries: tuple[str, ...] = ()

    def closed(self, host: str) -> Network | None:
        """
        Return the kind of network that *host*, a name or an address, is in if downloads from it are not allowed; None
        if they are, or if the name first has to be resolved.
        """
        kind = network_of(host)
        if kind is Network.NEVER:
            return kind
        is_open = kind in (None, Network.PUBLIC) or (kind in self.kinds and kind in OPENED_BY_THE_SERVICE)
        return None if is_open or self.names(host) or self._has(host) else kind

    def names(self, host: str) -> bool:
        """
        Return whether the user allows the host with this name, whatever its address.
        """
        return host.rstrip(".").lower() in {entry.rstrip(".").lower() for entry in self.entries}

    def closed_behind(self, host: str, address: str) -> Network | None:
        """
        Do the same as `closed` for an *address* of the name *host*.
        """
        kind = self.closed(address)
        return None if kind is not Network.NEVER and self.names(host) else kind

    def _has(self, host: str) -> bool:
        address = _address(host)
        meant = _LOCALHOST if address is None else (_within(address) or address,)
        allowed = [each for each in map(parse_range, self.entries) if each is not None]
        return any(one in each for one in meant for each in allowed)


def objection(kind: Network, where: str) -> str:
    """
    Return the message that downloads from *where*, in a network of this kind, are not allowed, and how to allow them.
    """
    if kind is Network.NEVER:
        return f"its address is private: {where}; downloads are never allowed from addresses that are {kind.value}"
    advice = "if that is intended, allow its host or network with HttpOptions(allow_downloads_from=[...])"
    return f"its address is private: {where} ({kind.value}); {advice}"


def _address(host: str) -> _Address | None:
    return parse_address(host.rstrip("."))


def _kind(address: _Address) -> Network:
    inner = _within(address)
    if inner is not None:
        return _kind(inner)
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        address = ipaddress.IPv6Address(address.packed)
    containing = ((place.prefixlen, kind) for place, kind in _RANGES if address in place)
    return max(containing, key=lambda each: each[0])[1]


def _within(address: _Address) -> ipaddress.IPv4Address | None:
    # The IPv4 address inside an IPv6 address. The ends of a range have not been through `parse_address`.
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour
