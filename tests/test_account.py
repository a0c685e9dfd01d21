"""
Which account at which host.
"""

import pytest

from kling_async import GATEWAY, OFFICIAL, AccessKey, KlingClient
from kling_async.account import find_base_url, find_credentials
from kling_async.errors import InvalidRequest, NotAuthenticated
from kling_async.wire.auth import ApiKey

VARIABLES = ("KLING_API_KEY", "KLING_ACCESS_KEY", "KLING_SECRET_KEY", "KLING_BASE_URL")


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_without_a_key_it_says_which_variables_to_set() -> None:
    """
    At construction, not at the first request.
    """
    with pytest.raises(NotAuthenticated, match="KLING_API_KEY.*KLING_ACCESS_KEY.*KLING_SECRET_KEY"):
        KlingClient()


def test_a_key_that_is_given_counts_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    White space around it, a file's last newline say, is dropped.
    """
    monkeypatch.setenv("KLING_API_KEY", "sk-of-the-environment")

    assert ApiKey("sk-1") == find_credentials(" sk-1\n")
    assert ApiKey("sk-of-the-environment") == find_credentials(None)
    assert AccessKey("a", "s") == find_credentials(AccessKey("a", "s"))


def test_a_bearer_key_goes_to_the_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The seed's page is what such a key is for.
    """
    monkeypatch.setenv("KLING_API_KEY", "sk-1")
    client = KlingClient()

    assert ("https://api.gpt.ge/kling", GATEWAY) == (client.base_url, client.dialect)


def test_a_pair_of_keys_goes_to_the_vendor(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A vendor's signature never goes to a relay by default.
    """
    monkeypatch.setenv("KLING_ACCESS_KEY", "access")
    monkeypatch.setenv("KLING_SECRET_KEY", "secret")
    client = KlingClient()

    assert ("https://api-singapore.klingai.com", OFFICIAL) == (client.base_url, client.dialect)


def test_the_environment_may_name_another_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A last slash is dropped, and a URL that is given counts first.
    """
    monkeypatch.setenv("KLING_BASE_URL", "https://example.com/kling/")

    assert "https://example.com/kling" == find_base_url(None, ApiKey("sk-1"))
    assert "https://elsewhere.com" == find_base_url("https://elsewhere.com", ApiKey("sk-1"))


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080/kling", "http://localhost:1", "http://[::1]:8080"])
def test_plain_http_is_taken_on_loopback(url: str) -> None:
    """
    There nobody listens in.
    """
    assert url == find_base_url(url, ApiKey("sk-1"))


@pytest.mark.parametrize(
    "url",
    [
        "http://api.gpt.ge/kling",
        "http://10.0.0.1",
        "api.gpt.ge",
        "ftp://api.gpt.ge",
        "https://",
        "https://u:p@host",
        "https://host/?a=b",
        "https://host/#a",
        "http://[",
        "https://host:99999",
        "https://host:0",
        "http://127.0.0.1:port",
    ],
)
def test_a_host_that_would_leak_or_fail_is_refused(url: str) -> None:
    """
    Before a key goes there.
    """
    with pytest.raises(InvalidRequest, match="base_url"):
        find_base_url(url, ApiKey("sk-1"))


@pytest.mark.parametrize("key", ["", "  ", "sk 1", "sk-\x00", "schlüssel", AccessKey("", "s"), AccessKey("a", "")])
def test_a_key_that_cannot_be_one_is_refused(key: str | AccessKey) -> None:
    """
    Before it breaks a header or a signature.
    """
    with pytest.raises(NotAuthenticated):
        find_credentials(key)
