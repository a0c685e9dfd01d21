"""
Finds the key, the base URL and the dialect: the ones that are given, or those of the environment.
"""

import os
import re
from typing import Final
from urllib.parse import urlsplit

import attrs
from yarl import URL

from kling_async.errors import InvalidRequest, NotAuthenticated
from kling_async.policy.arguments import check_kind, is_placeholder, is_quoted, refuse, shown_url, url_rule
from kling_async.policy.host_networks import is_surely_local
from kling_async.wire.auth import AccessKey, ApiKey, Credentials, make_token
from kling_async.wire.dialects import Dialect, dialect_of

__all__ = ["blemish_of", "find_base_url", "find_credentials", "find_dialect", "spoken_with"]

GATEWAY_URL: Final = "https://api.gpt.ge/kling"
VENDOR_URL: Final = "https://api-singapore.klingai.com"

_ENDPOINT: Final = re.compile(r"/v1(/images(/generations)?)?\Z")


def find_credentials(api_key: str | AccessKey | None) -> Credentials:
    """
    Return the key that was given, or the one that the environment names.

    Raises:
        NotAuthenticated: There is no key, or it is malformed; the error says why, and never shows it.
    """
    if isinstance(api_key, AccessKey):
        return _checked(api_key, "access_key", "secret_key")
    if api_key is not None:
        return _checked_key("api_key", api_key)
    if key := os.environ.get("KLING_API_KEY", "").strip():
        return _checked_key("KLING_API_KEY", key)
    names = ("KLING_ACCESS_KEY", "KLING_SECRET_KEY")
    pair = [os.environ.get(name, "").strip() for name in names]
    if any(pair):
        return _checked(AccessKey(*pair), *names)
    what = "there is no key: pass api_key, or set KLING_API_KEY, or both KLING_ACCESS_KEY and KLING_SECRET_KEY"
    raise NotAuthenticated(what)


def _checked_key(name: str, key: object) -> ApiKey:
    text = key.strip() if isinstance(key, str) else key
    _check_text(name, text)
    return ApiKey(str(text))


def _checked(pair: AccessKey, *names: str) -> AccessKey:
    for name, key in zip(names, attrs.astuple(pair), strict=True):
        _check_text(name, key)
    try:
        make_token(pair, 0.0)  # any error of signing is raised here, and not in the middle of a submit
    except Exception as error:  # noqa: BLE001 (its text may show the key, so only its class is shown)
        what = f"{names[1]} cannot sign a token ({type(error).__name__}); copy it again"
        raise NotAuthenticated(what) from None
    return pair


def _check_text(name: str, key: object) -> None:
    if not isinstance(key, str):
        pair = " or AccessKey(access_key, secret_key)" if name == "api_key" else ""
        raise NotAuthenticated(f"{name} must be text{pair}, and is <{type(key).__name__}>")
    if not key:
        what = "pass api_key, or set KLING_API_KEY, or both KLING_ACCESS_KEY and KLING_SECRET_KEY"
        raise NotAuthenticated(f"{name} is empty: {what}")
    if (blemish := blemish_of(key)) is not None:
        raise NotAuthenticated(f"{name} {blemish[0]}. {blemish[1]}")


def blemish_of(key: str) -> tuple[str, str] | None:
    """
    Return what is wrong with *key* and how to fix it; None if it may be a key. Neither text shows it.
    """
    if is_placeholder(key):
        return "is the name of a variable that was not substituted", "Set it to the key itself."
    if is_quoted(key):
        return "has quotes around it", "Leave them out: they became part of the key."
    if key.casefold().startswith("bearer "):
        return 'begins with "Bearer"', "Leave that word out: the library puts it before the key itself."
    if not key.isascii() or not key.isprintable() or " " in key:
        return "has characters that no key has (a space, a line break?)", "Copy it again."
    return None


def find_base_url(base_url: str | None, credentials: Credentials) -> str:
    """
    Return the URL that was given, or the environment's, or the default for the kind of key.

    A last "/v1", or the whole endpoint "/v1/images/generations", is cut off, since it is added to every request. (A
    service that has it twice in its paths is given with one "/v1" more.)

    Raises:
        InvalidRequest: It is no absolute http(s) URL, has a host that cannot be looked up, or would send the key over
            plain http.
    """
    name = "base_url"
    if base_url is None:
        # A vendor's signature never goes to a relay by default.
        usual = VENDOR_URL if isinstance(credentials, AccessKey) else GATEWAY_URL
        named = os.environ.get("KLING_BASE_URL", "").strip()
        name, base_url = ("KLING_BASE_URL", named) if named else (name, usual)
    url = base_url.strip() if isinstance(base_url, str) else base_url
    rule = url_rule(url) or _base_rule(url)
    if rule is not None:
        refuse(name, shown_url(url), rule)
    if not url.isascii():
        url = str(URL(url))  # on the wire a host is in punycode, and a path has %-escapes
    return _ENDPOINT.sub("", url.rstrip("/")).rstrip("/")


def _base_rule(url: str) -> str | None:
    parts = urlsplit(url)
    if parts.query or parts.fragment or "@" in parts.netloc:
        return "must have no user, query or fragment"
    if parts.scheme == "http" and not is_surely_local(parts.hostname or ""):
        return "must be https, since the key would travel in the open; plain http is for loopback only"
    return None


def find_dialect(dialect: Dialect | str | os.PathLike[str] | None, base_url: str) -> Dialect:
    """
    Return the dialect that was given, itself or as a name or a file; or the environment's, or the one of the host.

    Raises:
        InvalidRequest: It is none of these, or its file cannot be read or breaks rules.
    """
    if isinstance(dialect, Dialect):
        return dialect
    if dialect is not None:
        rule = 'must be of the class kling_async.Dialect, or "gateway", "official" or the path of a TOML file; or None'
        check_kind("dialect", dialect, (str, os.PathLike), rule)
        return Dialect.load(dialect)
    named = os.environ.get("KLING_DIALECT", "").strip()
    try:
        return Dialect.load(named) if named else dialect_of(base_url)
    except InvalidRequest as error:
        raise InvalidRequest(f"KLING_DIALECT: {error.message}", broken=error.broken) from None


def spoken_with(credentials: Credentials, dialect: Dialect) -> Dialect:
    """
    Return *dialect* as a service speaks it with these *credentials*: the vendor's new standard takes only API keys.
    """
    if isinstance(credentials, AccessKey) and dialect.standard != "legacy only":
        return attrs.evolve(dialect, standard="legacy only")
    return dialect
