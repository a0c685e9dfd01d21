"""
Which hosts files may come from, in every spelling and wrapping.
"""

import pickle

import pytest

from kling_async.media.network import AllowedHosts, private_host_message
from kling_async.policy.host_networks import Network
from tests.unit.policy.test_host_networks import BENCHMARK, KINDS, LAN, LOOPBACK, NEVER, PUBLIC, RESERVED, SHARED


@pytest.mark.parametrize(("host", "kind"), KINDS.items(), ids=KINDS)
def test_only_public_hosts_are_allowed_by_default(host: str, kind: Network | None) -> None:
    """
    A name is allowed until it is resolved.
    """
    if not host.endswith("."):
        assert AllowedHosts().blocked(host) is (None if kind is PUBLIC else kind)


@pytest.mark.parametrize("kind", [LOOPBACK, LAN, SHARED, BENCHMARK], ids=lambda kind: kind.name)
def test_service_opens_its_own_kind_alone(kind: Network) -> None:
    """
    If the service is on loopback, files may come from there, and not from the LAN; and so on.
    """
    allowed_hosts = AllowedHosts(frozenset({kind}))

    for host, network in KINDS.items():
        is_open = allowed_hosts.blocked(host) is None
        assert is_open == (network in (None, PUBLIC, kind)), host


@pytest.mark.parametrize("kind", [NEVER, RESERVED])
def test_some_are_opened_by_no_service(kind: Network) -> None:
    """
    A service at a link-local address opens nothing.
    """
    allowed_hosts = AllowedHosts(frozenset({kind}))

    assert not any(allowed_hosts.blocked(host) is None for host, network in KINDS.items() if network is kind)


def test_allowed_network() -> None:
    """
    A network that the user allows opens its addresses, wrapped ones too, and nothing beside them.
    """
    allowed_hosts = AllowedHosts(entries=("198.18.0.0/15", "fd00::/8", "10.0.0.7"))

    open_hosts = ("198.18.0.1", "198.19.255.255", "::ffff:198.18.0.1", "fd12::1", "10.0.0.7", "8.8.8.8", "a.example")
    assert [None] * len(open_hosts) == [allowed_hosts.blocked(host) for host in open_hosts]
    blocked = ("10.0.0.8", "100.64.0.1", "127.0.0.1", "fc00::1", "fd00:ec2::254")
    assert all(allowed_hosts.blocked(host) is not None for host in blocked)


def test_allowed_name() -> None:
    """
    A name that the user allows may have any addresses but those that are never allowed; its namesakes may not.
    """
    allowed_hosts = AllowedHosts(entries=("CDN.inside.",))

    assert allowed_hosts.blocked_behind("cdn.inside", "10.0.0.1") is None
    assert allowed_hosts.blocked_behind("cdn.inside", "169.254.169.254") is NEVER
    assert allowed_hosts.blocked_behind("a.cdn.inside", "10.0.0.1") is LAN
    assert allowed_hosts.blocked_behind("cdn.example", "8.8.8.8") is None


def test_everything_is_allowed() -> None:
    """
    Allowing everything does not allow link-local addresses.
    """
    allowed_hosts = AllowedHosts(entries=("0.0.0.0/0", "::/0"))

    assert {None, NEVER} == {allowed_hosts.blocked(host) for host in KINDS}


def test_message_names_the_option() -> None:
    """
    The message names the option that allows the host, if there is one.
    """
    assert "http://10.0.0.1/a (private); if that is intended, allow" in private_host_message(LAN, "http://10.0.0.1/a")
    assert "HttpOptions(allow_downloads_from=" in private_host_message(BENCHMARK, "x")
    assert "allow_downloads_from" not in private_host_message(NEVER, "x")


def test_can_be_pickled() -> None:
    """
    It is sent to workers.
    """
    allowed_hosts = AllowedHosts(frozenset({LAN}), ("cdn",))

    assert allowed_hosts == pickle.loads(pickle.dumps(allowed_hosts))  # noqa: S301 (our own)
