"""
Which hosts are public, in every spelling and wrapping.
"""

import pytest

from kling_async.addresses import may_be_public


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1.",
        "10.1.2.3",
        "192.168.0.1",
        "172.16.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "224.0.0.1",
        "100.64.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fec0::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001:db8::1",
        "4000::1",
        "2130706433",
        "127.1",
        "0x7f.1",
        "0x7f000001",
        "0177.0.0.1",
        "1:2",
    ],
)
def test_no_public_host(host: str) -> None:
    """
    Loopback, private, link-local, reserved and multicast addresses are not public, in any spelling or wrapping.
    """
    assert not may_be_public(host)


@pytest.mark.parametrize(
    "host",
    ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::", "a.example", "1.a", "x"],
)
def test_may_be_public(host: str) -> None:
    """
    Public addresses pass, also wrapped ones, and so do names, which are judged when they are resolved.
    """
    assert may_be_public(host)
