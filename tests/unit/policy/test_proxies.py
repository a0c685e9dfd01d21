"""
Which proxy the environment names for an address, and that no key meets one by mistake.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping

import pytest

from kling_async import HttpOptions, KlingClient
from kling_async.emulator import Emulator
from kling_async.errors import InvalidRequest
from kling_async.media.downloads import Downloads
from kling_async.policy.proxies import read_proxies
from kling_async.wire.tasks import Image
from tests.fakes.clients import EAGER

PROXY = "http://p.example:3128"
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "request_method")


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def found(environ: Mapping[str, str], url: str = "https://kling.example/kling") -> str | None:
    proxies = read_proxies(environ)
    return proxies.find(url) if proxies is not None else None


@pytest.mark.parametrize(
    ("no_proxy", "urls"),
    [
        ("*", ["https://kling.example", "https://10.0.0.1", "https://[fd00::1]"]),
        ("kling.example", ["https://kling.example", "https://KLING.example.", "https://a.b.kling.example:8443"]),
        (".kling.example", ["https://kling.example", "https://a.kling.example"]),
        ("*.kling.example", ["https://kling.example", "https://a.kling.example"]),
        ("KLING.Example.", ["https://kling.example"]),
        ("kling.example:443", ["https://kling.example", "https://kling.example:443", "http://kling.example:443"]),
        (".kling.example:8443", ["https://a.kling.example:8443"]),
        ("10.0.0.0/8", ["https://10.1.2.3", "https://10.1.2.3:8443", "https://[::ffff:10.1.2.3]"]),
        ("10.1.2.3/8", ["https://10.9.9.9"]),
        ("10.1.2.3", ["https://10.1.2.3"]),
        ("10.1.2.3:8443", ["https://10.1.2.3:8443"]),
        ("10.0.0.0/8:8443", ["https://10.1.2.3:8443"]),
        ("[fd00::1]", ["https://[fd00::1]"]),
        ("[fd00::1]:8443", ["https://[fd00:0:0::1]:8443"]),
        ("fd00::1", ["https://[fd00::1]"]),
        ("fd00::/8", ["https://[fd12::9]"]),
        ("[fd00::]/8", ["https://[fd12::9]"]),
        ("192.168.*", ["https://192.168.7.7"]),
        ("kling-*.example", ["https://kling-7.example"]),
        ("bücher.example", ["https://xn--bcher-kva.example"]),
        (" a.example ,  kling.example\t", ["https://kling.example", "https://a.example"]),
        ("a.example kling.example", ["https://kling.example", "https://a.example"]),
        ("a.example;kling.example,", ["https://kling.example"]),
    ],
)
def test_exceptions_that_hold(no_proxy: str, urls: list[str]) -> None:
    """
    The forms that other programs take: names and what is below them, ports, networks, patterns, blanks between.
    """
    for url in urls:
        assert found({"HTTPS_PROXY": PROXY, "HTTP_PROXY": PROXY, "NO_PROXY": no_proxy}, url) is None


@pytest.mark.parametrize(
    ("no_proxy", "url"),
    [
        ("", "https://kling.example"),
        ("ling.example", "https://kling.example"),
        ("kling.example", "https://kling.example.org"),
        ("a.kling.example", "https://kling.example"),
        ("kling.example:8443", "https://kling.example"),
        ("10.0.0.0/8", "https://11.0.0.1"),
        ("10.0.0.0/8", "https://10.example"),
        ("0.0.1", "https://10.0.0.1"),
        ("10.0.0.0/8", "https://[fd00::1]"),
        ("fd00::/8", "https://10.0.0.1"),
        ("[fd00::1]:8443", "https://[fd00::1]"),
        ("192.168.*", "https://193.168.7.7"),
    ],
)
def test_exceptions_that_do_not(no_proxy: str, url: str) -> None:
    """
    Half a name is another name, and a network is no name.
    """
    assert PROXY == found({"HTTPS_PROXY": PROXY, "NO_PROXY": no_proxy}, url)


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8080", "localhost", "LOCALHOST.", "[::1]:8080", "127.9.9.9", "[::ffff:127.0.0.1]"]
)
def test_loopback_uses_no_proxy(host: str) -> None:
    """
    For any variables: the key would go to the proxy unencrypted.
    """
    environ = {"HTTP_PROXY": PROXY, "HTTPS_PROXY": PROXY, "ALL_PROXY": PROXY, "NO_PROXY": "elsewhere.example"}

    assert found(environ, f"http://{host}/kling") is None
    assert found(environ, f"https://{host}/kling") is None


@pytest.mark.parametrize(
    ("environ", "used"),
    [
        ({"HTTPS_PROXY": "p.example:3128"}, PROXY),
        ({"https_proxy": PROXY, "HTTPS_PROXY": "http://other.example"}, PROXY),
        ({"https_proxy": "", "HTTPS_PROXY": PROXY}, None),
        ({"HTTPS_PROXY": "  "}, None),
        ({"HTTPS_PROXY": f" {PROXY}\n"}, PROXY),
        ({"ALL_PROXY": PROXY}, PROXY),
        ({"all_proxy": PROXY, "HTTPS_PROXY": "http://other.example"}, "http://other.example"),
        ({"HTTP_PROXY": PROXY}, None),
        ({"HTTPS_PROXY": PROXY, "HTTP_PROXY": PROXY, "ALL_PROXY": "socks5://p.example:1080"}, PROXY),
    ],
)
def test_variables(environ: Mapping[str, str], used: str | None) -> None:
    """
    The one of the scheme, in small letters first, else the one for all; what is not used need not be good.
    """
    assert used == found(environ)


def test_header_of_a_cgi_program_is_no_proxy() -> None:
    """
    There `HTTP_PROXY` is what a stranger sent.
    """
    environ = {"HTTP_PROXY": PROXY, "REQUEST_METHOD": "GET"}

    assert found(environ, "http://kling.example") is None
    assert PROXY == found({**environ, "http_proxy": PROXY}, "http://kling.example")


@pytest.mark.parametrize("value", ["", "  ", "\n"])
def test_blank_variable_names_no_proxy(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Neither as the environment's nor as the system's, which Python reads from the same variables.
    """
    monkeypatch.setenv("HTTPS_PROXY", value)
    trusting = HttpOptions(trust_env=True)
    KlingClient("sk-1", base_url="https://kling.example", http=trusting)

    assert trusting.proxy_for("https://kling.example") is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTP_PROXY", "http://"),
        ("https_proxy", "socks5://p.example:1080"),
        ("ALL_PROXY", "socks4a://user:secret@p.example:1080"),
        ("HTTPS_PROXY", "http://user:secret@p.example:port"),
        ("HTTP_PROXY", "http://p.example:99999"),
        ("HTTP_PROXY", "http://a..b:1"),
        ("HTTPS_PROXY", "${PROXY}"),
        ("HTTPS_PROXY", "'http://p.example'"),
        ("NO_PROXY", "10.0.0.0/99"),
        ("no_proxy", "good.example,http://bad.example"),
        ("NO_PROXY", "host:port"),
        ("NO_PROXY", "host:0"),
        ("NO_PROXY", "a!b"),
    ],
)
def test_broken_variable_is_refused_by_name(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    In the constructors, and with no password shown; without `trust_env` it is none of our business.
    """
    if name.lower() == "no_proxy":
        monkeypatch.setenv("HTTPS_PROXY", PROXY)
    monkeypatch.setenv(name, value)
    trusting = HttpOptions(trust_env=True)

    for make in (
        lambda: KlingClient("sk-1", base_url="https://kling.example", http=trusting),
        lambda: Downloads(trusting),
        lambda: trusting.proxy_for("https://kling.example"),
    ):
        with pytest.raises(InvalidRequest, match=f"^{name}=") as caught:
            make()
        assert "secret" not in str(caught.value)
    KlingClient("sk-1", base_url="https://kling.example")


@contextlib.asynccontextmanager
async def stranger() -> AsyncIterator[tuple[str, list[bytes]]]:
    """
    Listen like a proxy, and keep what comes.
    """
    heard: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", heard
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize("name", ["HTTP_PROXY", "ALL_PROXY"])
async def test_no_key_and_no_picture_of_a_service_on_loopback_meets_a_proxy(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Tasks are made and pictures fetched directly; an address elsewhere goes to the proxy.
    """
    async with stranger() as (url, heard), Emulator(latency=(0.0, 0.0), pictures="plain", picture_scale=0.05) as server:
        monkeypatch.setenv(name, url)
        http = HttpOptions(trust_env=True)
        async with KlingClient(server.api_key, base_url=server.url, http=http, polling=EAGER) as client:
            result = await client.generate("a lighthouse")
            assert await client.read(result.images[0])
            assert [] == heard
            with contextlib.suppress(Exception):
                await client.read(Image(0, "http://pictures.example/a.png"))

        assert heard
        assert all(request.startswith(b"GET http://pictures.example/a.png ") for request in heard)
        assert not any(server.api_key.encode() in request for request in heard)
