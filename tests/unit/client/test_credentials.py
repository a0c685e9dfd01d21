"""
Which account at which host.
"""

import base64
import hmac
import re
from pathlib import Path
from typing import Any

import attrs
import pytest

from kling_async import GATEWAY, OFFICIAL, AccessKey, KlingClient
from kling_async.client.credentials import find_base_url, find_credentials
from kling_async.emulator import Emulator
from kling_async.errors import InvalidRequest, NotAuthenticated
from kling_async.wire.auth import ApiKey, make_token
from tests.fakes.clients import EAGER

VARIABLES = ("KLING_API_KEY", "KLING_ACCESS_KEY", "KLING_SECRET_KEY", "KLING_BASE_URL", "KLING_DIALECT")


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
    The gateway's page is what such a key is for.
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

    assert ("https://api-singapore.klingai.com", "official") == (client.base_url, client.dialect.name)
    assert "legacy only" == client.dialect.standard  # the new one takes only API keys


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
        "http://kling.localhost",  # for which a name server may say anything
        "http://[2002:7f00:1::]",
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


@pytest.mark.parametrize(
    ("key", "what"),
    [
        ('"sk-hidden"', "quotes around it"),
        ("'sk-hidden", "quotes around it"),
        ("\u201csk-hidden\u201d", "quotes around it"),
        ("${KLING_API_KEY}", "was not substituted"),
        ("$KLING_API_KEY", "was not substituted"),
        ("%KLING_API_KEY%", "was not substituted"),
        ("{{ kling.key }}", "was not substituted"),
        ("<your key>", "was not substituted"),
        ("Bearer sk-hidden", 'begins with "Bearer"'),
        ("sk-hid\nden", "characters that no key has"),
        ("sk-hid den", "characters that no key has"),
        ("sk-hid\x7fden", "characters that no key has"),
        ("sk-híidden", "characters that no key has"),
    ],
)
def test_mistakes_of_env_files_are_reported_and_no_key_is_shown(
    key: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    For each key, with the name of its variable.
    """

    def refused(api_key: str | AccessKey | None) -> str:
        with pytest.raises(NotAuthenticated, match=what) as caught:
            KlingClient(api_key)
        assert not re.search("hid|den", str(caught.value))
        return str(caught.value).partition(" ")[0]

    assert "api_key" == refused(key)
    assert "access_key" == refused(AccessKey(key, "s"))
    assert "secret_key" == refused(AccessKey("a", key))
    monkeypatch.setenv("KLING_ACCESS_KEY", "a")
    monkeypatch.setenv("KLING_SECRET_KEY", key)
    assert "KLING_SECRET_KEY" == refused(None)
    monkeypatch.setenv("KLING_API_KEY", key)
    assert "KLING_API_KEY" == refused(None)


def test_half_a_pair_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The one that is missing is named.
    """
    monkeypatch.setenv("KLING_ACCESS_KEY", "access")

    with pytest.raises(NotAuthenticated, match="^KLING_SECRET_KEY is empty"):
        KlingClient()


@pytest.mark.parametrize("key", [5, b"sk-1", ["sk-1"]])
def test_a_key_is_text(key: Any) -> None:
    """
    Bytes of a file are none.
    """
    with pytest.raises(NotAuthenticated, match=r"^api_key must be text or AccessKey\(.*\), and is <"):
        KlingClient(key)


def test_a_secret_that_cannot_sign_is_refused_at_once() -> None:
    """
    Signing is tried in the constructor, so that it cannot fail in a submit. (PyJWT takes this for a public key.)
    """
    with pytest.raises(NotAuthenticated, match="^secret_key cannot sign a token") as caught:
        KlingClient(AccessKey("a", "ssh-rsa-of-nobody"))

    assert "of-nobody" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://relay.example/kling/v1",
        "https://relay.example/kling/v1/",
        "https://relay.example/kling/v1/images/generations",
        "https://relay.example/kling//v1/images/generations//",
        "https://relay.example/kling/v1/images",
        "https://relay.example/kling/",
        " https://relay.example/kling\n",
    ],
)
def test_the_endpoint_is_cut_off(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    It is added to every request, so that twice it would lead nowhere; also where the environment names it.
    """
    assert "https://relay.example/kling" == find_base_url(url, ApiKey("sk-1"))
    monkeypatch.setenv("KLING_BASE_URL", url)
    assert "https://relay.example/kling" == KlingClient("sk-1").base_url


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://relay.example/v1/accounts/7/kling", "https://relay.example/v1/accounts/7/kling"),
        ("https://relay.example/v1/v1", "https://relay.example/v1"),
        ("https://relay.example/kling/v10", "https://relay.example/kling/v10"),
        ("https://relay.example/images/generations", "https://relay.example/images/generations"),
        ("https://API.example/Kling", "https://API.example/Kling"),
        ("https://bücher.example/küche", "https://xn--bcher-kva.example/k%C3%BCche"),
    ],
)
def test_other_paths_are_kept(url: str, kept: str) -> None:
    """
    A journal knows its host by the very text; only what no request could carry is written in another way.
    """
    assert kept == find_base_url(url, ApiKey("sk-1"))


async def test_a_whole_endpoint_reaches_the_service() -> None:
    """
    As it is copied from a page of the service.
    """
    async with (
        Emulator(latency=(0.0, 0.0)) as server,
        KlingClient(server.api_key, base_url=f"{server.url}/v1/images/generations", polling=EAGER) as client,
    ):
        assert (await client.generate("a lighthouse")).images


def test_a_url_of_the_environment_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Else it is the argument that is looked at.
    """
    monkeypatch.setenv("KLING_BASE_URL", "https://a..b/kling")

    with pytest.raises(InvalidRequest, match=r"^KLING_BASE_URL='https://a\.\.b/kling': must have a valid host name"):
        KlingClient("sk-1")


async def test_a_short_secret_signs_without_a_warning() -> None:
    """
    The vendor says nothing of their length. A warning of PyJWT, an error in these tests as under `-W error`, comes out
    of neither the client nor the emulator, and the signature is the one that HMAC makes of the secret itself.
    """
    pair = AccessKey("an-access-key", "s" * 31)
    async with (
        Emulator(dialect=OFFICIAL, access_key=pair, latency=(0.0, 0.0)) as server,
        KlingClient(pair, base_url=server.url, dialect=OFFICIAL, polling=EAGER) as client,
    ):
        assert (await client.generate("a lighthouse")).images
    head, claims, signature = make_token(pair, 0.0).text.split(".")
    expected = hmac.digest(b"s" * 31, f"{head}.{claims}".encode(), "sha256")
    assert expected == base64.urlsafe_b64decode(signature + "=")


def test_dialect_is_given_or_of_the_environment_or_of_the_host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    As a value, a name or a file; blanks around a name are dropped.
    """
    file = tmp_path / "relay.toml"
    file.write_text('base = "gateway"\nn_max = 4\n')
    relay = attrs.evolve(GATEWAY, n_max=4)

    assert OFFICIAL is KlingClient("sk-1", base_url="https://kling.ai").dialect
    monkeypatch.setenv("KLING_DIALECT", f" {file} ")
    assert relay == KlingClient("sk-1", base_url="https://kling.ai").dialect
    assert relay == KlingClient("sk-1", dialect=file).dialect
    assert OFFICIAL is KlingClient("sk-1", dialect="official").dialect
    assert GATEWAY is KlingClient("sk-1", dialect=GATEWAY).dialect


def test_invalid_dialects_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The error names the variable, if that is where it comes from.
    """
    with pytest.raises(InvalidRequest, match=r"dialect=<dict>: must be of the class kling_async\.Dialect"):
        KlingClient("sk-1", dialect={"base": "gateway"})  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match=r"gatway: No such file .* did you mean gateway\?"):
        KlingClient("sk-1", dialect="gatway")
    monkeypatch.setenv("KLING_DIALECT", "gatway")
    with pytest.raises(InvalidRequest, match="KLING_DIALECT: gatway: No such file"):
        KlingClient("sk-1")
