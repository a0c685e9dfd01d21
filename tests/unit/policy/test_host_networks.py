"""
The kinds of network of hosts, in every spelling and wrapping.
"""

import pytest

from kling_async.policy.host_networks import Network, check_entry, is_loopback, network_of

LOOPBACK, LAN, SHARED, BENCHMARK, RESERVED, NEVER, PUBLIC = (
    Network.LOOPBACK,
    Network.LAN,
    Network.SHARED,
    Network.BENCHMARK,
    Network.RESERVED,
    Network.NEVER,
    Network.PUBLIC,
)

KINDS = {
    "127.0.0.1": LOOPBACK,
    "127.0.0.1.": LOOPBACK,
    "0.0.0.0": LOOPBACK,
    "::1": LOOPBACK,
    "::": LOOPBACK,
    "::ffff:127.0.0.1": LOOPBACK,
    "64:ff9b::7f00:1": LOOPBACK,
    "2002:7f00:1::": LOOPBACK,
    "localhost": LOOPBACK,
    "LOCALHOST.": LOOPBACK,
    "a.localhost": LOOPBACK,
    "10.1.2.3": LAN,
    "192.168.0.1": LAN,
    "172.16.0.1": LAN,
    "172.31.255.255": LAN,
    "fc00::1": LAN,
    "fd12::1": LAN,
    "::ffff:10.0.0.1": LAN,
    "100.64.0.1": SHARED,
    "100.127.255.255": SHARED,
    "198.18.0.1": BENCHMARK,
    "198.19.255.255": BENCHMARK,
    "2001:2::1": BENCHMARK,
    "0.1.2.3": RESERVED,
    "192.0.0.8": RESERVED,
    "192.0.2.1": RESERVED,
    "192.88.99.1": RESERVED,
    "198.51.100.1": RESERVED,
    "203.0.113.1": RESERVED,
    "240.0.0.1": RESERVED,
    "fec0::1": RESERVED,
    "::127.0.0.1": RESERVED,
    "64:ff9b:1::1": RESERVED,
    "100::1": RESERVED,
    "2001::1": RESERVED,
    "2001:db8::1": RESERVED,
    "3fff::1": RESERVED,
    "3fff:fff::1": RESERVED,
    "4000::1": RESERVED,
    "5f00::1": RESERVED,
    "169.254.169.254": NEVER,
    "169.254.0.1": NEVER,
    "fe80::1": NEVER,
    "fe80::1%eth0": NEVER,
    "::ffff:169.254.169.254": NEVER,
    "224.0.0.1": NEVER,
    "255.255.255.255": NEVER,
    "ff02::1": NEVER,
    "fd00:ec2::254": NEVER,
    "100.100.100.200": NEVER,
    "2130706433": NEVER,
    "127.1": NEVER,
    "0x7f.1": NEVER,
    "0x7f000001": NEVER,
    "0177.0.0.1": NEVER,
    "1:2": NEVER,
    "8.8.8.8": PUBLIC,
    "172.32.0.1": PUBLIC,
    "100.128.0.1": PUBLIC,
    "198.20.0.1": PUBLIC,
    "192.0.0.9": PUBLIC,
    "192.0.1.1": PUBLIC,
    "2606:4700::1111": PUBLIC,
    "2001:200::1": PUBLIC,
    "2001:4:112::1": PUBLIC,
    "4000::": RESERVED,
    "::ffff:8.8.8.8": PUBLIC,
    "64:ff9b::808:808": PUBLIC,
    "2002:808:808::": PUBLIC,
    "a.example": None,
    "1.a": None,
    "x": None,
}


@pytest.mark.parametrize(("host", "kind"), KINDS.items(), ids=KINDS)
def test_network(host: str, kind: Network | None) -> None:
    """
    The kind of network does not depend on the interpreter's table, nor on how an address is spelt or wrapped.
    """
    assert network_of(host) is kind


@pytest.mark.parametrize(
    "entry", ["198.18.0.0/15", "198.18.0.1/15", "10.0.0.7", "::1", "fd00::/8", "cdn", "c-d.n_1.x."]
)
def test_entry(entry: str) -> None:
    """
    Names, addresses and networks can be allowed.
    """
    check_entry(entry)


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("", "is neither a host name"),
        ("a b", "is neither a host name"),
        ("http://cdn.example", "is neither a host name"),
        ("cdn.example:443", "is neither a host name"),
        ("*.example", "is neither a host name"),
        ("2130706433", "is neither a host name"),
        ("198.18.0.0/33", "is neither a host name"),
        ("x" * 10**6, "is neither a host name"),
        ("169.254.169.254", "files never come from"),
        ("169.254.0.0/16", "files never come from"),
        ("fe80::/10", "files never come from"),
        (7, "is not text"),
        (None, "is not text"),
    ],
)
def test_no_entry(entry: object, why: str) -> None:
    """
    What can be neither is refused, in a short text.
    """
    with pytest.raises(ValueError, match=why) as caught:
        check_entry(entry)

    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("host", "is_it"), [("[::1]", True), ("::1", True), ("localhost", True), ("127.9.9.9", True), ("10.0.0.1", False)]
)
def test_loopback(host: str, is_it: bool) -> None:  # noqa: FBT001 (a parameter of a test)
    """
    This machine itself is known without a look-up.
    """
    assert is_loopback(host) is is_it
