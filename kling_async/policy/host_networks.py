"""
The kind of network that a host is in: public, private, loopback, link-local and so on.

The ranges are those of the IANA's special-purpose registries, as of 2025, and the multicast ranges. Those of Python's
`ipaddress` are not used because they change from version to version:

    https://www.iana.org/assignments/iana-ipv4-special-registry
    https://www.iana.org/assignments/iana-ipv6-special-registry
    https://www.iana.org/assignments/multicast-addresses
"""

import enum
import ipaddress
import re
from typing import Final, TypeAlias

__all__ = [
    "Network",
    "Range",
    "check_entry",
    "is_loopback",
    "is_surely_local",
    "network_of",
    "parse_address",
    "parse_range",
    "stated_addresses",
]

_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Range: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


class Network(enum.Enum):
    """
    Kinds of network that a host may be in.
    """

    PUBLIC = "public"
    LOOPBACK = "loopback"
    LAN = "private"
    SHARED = "shared address space"
    BENCHMARK = "benchmarking"
    RESERVED = "reserved"
    NEVER = "link-local, multicast, of a cloud's metadata or no plain address"


_RANGES: Final = tuple(
    (ipaddress.ip_network(text), kind)
    for kind, texts in {
        Network.LOOPBACK: (
            "0.0.0.0/32",  # this host, and so is "::": systems connect both to themselves
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
            "192.88.99.0/24",  # relays from 6to4, given up
            "198.51.100.0/24",
            "203.0.113.0/24",
            "240.0.0.0/4",
            "::/0",  # all but global unicast: site-local, discard, local translation, segment routing
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
The narrowest range that contains an address gives its kind.
"""

_LOCALHOST: Final = (ipaddress.IPv4Address("127.0.0.1"), ipaddress.IPv6Address("::1"))
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_NUMBERLIKE: Final = re.compile(r"(?:^|\.)(?:0x[0-9a-f]*|\d+)$", re.IGNORECASE)
_NAME: Final = re.compile(r"[\w-]{1,63}(\.[\w-]{1,63})*")
_NAME_MAX: Final = 253


def network_of(host: str) -> Network | None:
    """
    Return the kind of network that *host* is in; None for a name that has to be resolved first.
    """
    address = _address(host)
    if address is not None:
        return _kind(address)
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761: never asked of a name server
        return Network.LOOPBACK
    # Some systems read "127.1" and "2130706433" as loopback, and any address can be written that way.
    return Network.NEVER if ":" in host or _NUMBERLIKE.search(name) else None


def is_loopback(host: str) -> bool:
    """
    Return whether *host* is this machine: a loopback address (perhaps in brackets) or "localhost". No name is resolved.
    """
    return network_of(host.removeprefix("[").removesuffix("]")) is Network.LOOPBACK


def is_surely_local(host: str) -> bool:
    """
    Return whether everything sent to *host* stays on this machine. Stricter than `is_loopback`: a name server may
    resolve "x.localhost" to any address, and not every system takes "0.0.0.0" for itself.
    """
    if host.casefold() == "localhost":
        return True
    address = parse_address(host)
    return address is not None and address.is_loopback


def parse_address(text: str) -> _Address | None:
    """
    Return the IP address that *text* is, None for a name. An IPv4 address in IPv6 notation becomes the IPv4 address.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return (isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped) or address


def parse_range(text: str) -> Range | None:
    """
    Return the network that *text* is, such as "10.0.0.0/8"; an address is a network of one. None for a name.
    """
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def check_entry(entry: object) -> None:
    """
    Refuse an entry of `HttpOptions.allow_downloads_from` that is neither a host name nor a range, or is a range that no
    file may ever come from.

    Raises:
        ValueError: The text says why.
    """
    if not isinstance(entry, str):
        raise ValueError(f"{entry!r} is not text")  # noqa: TRY004 (one kind of error for a wrong value)
    allowed = parse_range(entry)
    if allowed is None:
        if not _NAME.fullmatch(entry.rstrip(".")) or len(entry) > _NAME_MAX or network_of(entry) is Network.NEVER:
            raise ValueError(f"{entry[:80]!r} is neither a host name, an address nor a network such as '198.18.0.0/15'")
    elif _kind(allowed[0]) is _kind(allowed[-1]) is Network.NEVER:
        raise ValueError(f"{entry!r}: files never come from addresses that are {Network.NEVER.value}")


def stated_addresses(host: str) -> tuple[_Address, ...]:
    """
    Return the addresses that *host* states by itself: those of localhost for a name, else the address, or the IPv4
    address inside of it.
    """
    address = _address(host)
    return _LOCALHOST if address is None else (_within(address) or address,)


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
    # The IPv4 address that an IPv6 address leads to; the ends of a range come here without `parse_address`.
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour
