"""
Chooses the proxy for a URL from environment variables.
"""

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Final
from urllib.parse import urlsplit

import attrs
from yarl import URL

from kling_async.policy.arguments import refuse, shown_url, url_rule
from kling_async.policy.host_networks import Range, is_loopback, parse_address, parse_range

__all__ = ["Proxies", "check_proxy", "read_proxies", "with_scheme"]

SCHEMES: Final = ("http", "https")
"""
The URL schemes of requests.
"""

_PORTS: Final[Mapping[str, int]] = {"http": 80, "https": 443}
_PATTERN: Final = re.compile(r"[a-z0-9_*](?:[a-z0-9_.*-]*[a-z0-9_*])?")
_OTHER_KIND: Final = re.compile(r"(?!https?://)[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_BRACKETS: Final = re.compile(r"\[([^][]+)\](/\d+)?")
_NO_PROXY_RULE: Final = (
    "has an invalid entry; write hosts (example.org, .example.org, *.example.org), addresses or networks"
    " (10.0.0.0/8, [fd00::]/8), each with a :port if need be, or *"
)


@attrs.frozen
class Exemption:
    """
    One entry of `NO_PROXY`: hosts that are reached without a proxy.

    Attributes:
        pattern: A name, which includes its subdomains, or a pattern with `*`; empty if `network` is set.
        port: The only port that it covers; None covers all.
    """

    pattern: str
    network: Range | None = None
    port: int | None = None

    def covers(self, host: str, port: int | None) -> bool:
        """
        Return whether it covers *host*, a name in lower case or an address, and *port*.
        """
        if self.port not in (None, port):
            return False
        address = parse_address(host)
        if self.network is not None:
            return address is not None and address in self.network
        if "*" in self.pattern:
            return fnmatchcase(host, self.pattern)
        return address is None and f".{host}".endswith(f".{self.pattern}")


@attrs.frozen
class Proxies:
    """
    The environment's proxies, by URL scheme.
    """

    by_scheme: Mapping[str, str] = attrs.field(repr=False)  # a proxy's URL may contain a password
    exemptions: tuple[Exemption, ...] = ()

    def find(self, url: str) -> str | None:
        """
        Return the proxy for *url*; None for a direct connection. Loopback never uses a proxy.
        """
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
        port = parts.port or _PORTS.get(parts.scheme)
        if is_loopback(host) or any(exemption.covers(host, port) for exemption in self.exemptions):
            return None
        return self.by_scheme.get(parts.scheme)


def read_proxies(environ: Mapping[str, str]) -> Proxies | None:
    """
    Read `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` in place of those that are not set, and `NO_PROXY`. Lower-case names
    take precedence. Return None if no variable sets a proxy.

    Raises:
        InvalidRequest: One of them is invalid; the error names it.
    """
    by_scheme = {}
    for scheme in SCHEMES:
        name, value = _first(environ, f"{scheme}_proxy")
        if not value:
            name, value = _first(environ, "all_proxy") if name is None else (name, "")
        if name is not None and value:
            by_scheme[scheme] = with_scheme(value)
            check_proxy(name, by_scheme[scheme])
    return Proxies(by_scheme, tuple(_exemptions(environ))) if by_scheme else None


def check_proxy(name: str, proxy: object) -> None:
    """
    Raise InvalidRequest unless *proxy*, the value of *name*, is valid. Its user and password are not shown.
    """
    rule = url_rule(proxy) or _login_rule(str(proxy))
    if rule is not None:
        hint = "; SOCKS and other kinds are not supported" if _OTHER_KIND.match(str(proxy)) else ""
        refuse(name, shown_url(proxy), rule + hint)


def with_scheme(proxy: str) -> str:
    """
    Return *proxy* with "http://" added if it has no scheme, as curl reads `HTTPS_PROXY=proxy:3128`.
    """
    return proxy if "://" in proxy else f"http://{proxy}"


def _login_rule(proxy: str) -> str | None:
    user, password = URL(proxy).user or "", URL(proxy).password or ""
    if ":" in user:
        return "must have a user name without a colon"
    is_latin = all(ord(character) < 256 for character in user + password)
    return None if is_latin else "must have only Latin-1 characters in user and password"


def _first(environ: Mapping[str, str], name: str) -> tuple[str | None, str]:
    # In a CGI program, `HTTP_PROXY` is the "Proxy" header of a request.
    names = (name,) if name == "http_proxy" and "REQUEST_METHOD" in environ else (name, name.upper())
    found = next((each for each in names if each in environ), None)
    return found, environ[found].strip() if found is not None else ""


def _exemptions(environ: Mapping[str, str]) -> list[Exemption]:
    name, value = _first(environ, "no_proxy")
    exemptions = []
    for entry in re.split(r"[\s,;]+", value):
        if entry:
            exemption = _read_entry(entry.casefold())
            if exemption is None:
                refuse(name or "NO_PROXY", repr(entry[:60]), _NO_PROXY_RULE)
            exemptions.append(exemption)
    return exemptions


def _read_entry(entry: str) -> Exemption | None:
    network = parse_range(_BRACKETS.sub(r"\1\2", entry) if _BRACKETS.fullmatch(entry) else entry)
    if network is not None:
        return Exemption("", network)
    host, port = entry, None
    before, colon, number = entry.rpartition(":")
    if colon:
        if not number.isascii() or not number.isdigit() or not 0 < int(number) < 65536:
            return None
        host, port = before, int(number)
        network = parse_range(_BRACKETS.sub(r"\1\2", host))
        if network is not None:
            return Exemption("", network, port)
    pattern = _pattern(host)
    return Exemption(pattern, port=port) if pattern is not None else None


def _pattern(host: str) -> str | None:
    name = host.removeprefix("*.").strip(".")  # "*.example.org" and ".example.org" mean example.org and its subdomains
    if not name.isascii():
        try:
            name = URL.build(scheme="http", host=name).raw_host or ""
        except ValueError:
            return None
    return name if _PATTERN.fullmatch(name) else None
