"""
Which hosts are public: what a signed URL may lead to, where the service itself is no private one.
"""

import ipaddress
import re
from typing import Final, TypeAlias

__all__ = ["may_be_public"]

_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
_NUMBERLIKE: Final = re.compile(r"(^|\.)(0x[0-9a-f]*|\d+)\.*$", re.IGNORECASE)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")


def may_be_public(host: str) -> bool:
    """
    Tell whether *host*, a name or a number, may be outside private networks; of a name only its addresses can tell.
    """
    address = _address(host)
    if address is not None:
        return _is_public(address)
    return ":" not in host and not _NUMBERLIKE.search(host)  # "127.1" and "2130706433" are loopback to some


def _address(host: str) -> _Address | None:
    try:
        return ipaddress.ip_address(host.rstrip("."))
    except ValueError:
        return None


def _is_public(address: _Address) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not address.is_multicast
    inner = address.ipv4_mapped or address.sixtofour
    if address in _NAT64:
        inner = ipaddress.IPv4Address(address.packed[-4:])
    return _is_public(inner) if inner else address.is_global and address in _GLOBAL_UNICAST
