"""
Which account at which host: the key and the base URL, given or found in the environment.
"""

import ipaddress
import os
from typing import Final
from urllib.parse import urlsplit

from kling_async.errors import BrokenRule, InvalidRequest, NotAuthenticated
from kling_async.wire.auth import AccessKey, ApiKey, Credentials
from kling_async.wire.redaction import hide_query

__all__ = ["find_base_url", "find_credentials"]

GATEWAY_URL: Final = "https://api.gpt.ge/kling"
VENDOR_URL: Final = "https://api-singapore.klingai.com"


def find_credentials(api_key: str | AccessKey | None) -> Credentials:
    """
    Return the key that was given, else the one that the environment names.

    Raises:
        NotAuthenticated: There is none, or it cannot be one.
    """
    if isinstance(api_key, AccessKey):
        if not api_key.access_key or not api_key.secret_key:
            raise NotAuthenticated("an AccessKey needs both its keys, and one of them is empty")
        return api_key
    key = (api_key if api_key is not None else os.environ.get("KLING_API_KEY", "")).strip()
    if not key and api_key is None:
        pair = (os.environ.get("KLING_ACCESS_KEY", "").strip(), os.environ.get("KLING_SECRET_KEY", "").strip())
        if all(pair):
            return AccessKey(*pair)
    if not key:
        what = "there is no key: pass api_key, or set KLING_API_KEY, or both KLING_ACCESS_KEY and KLING_SECRET_KEY"
        raise NotAuthenticated(what)
    if not key.isascii() or not key.isprintable() or " " in key:
        raise NotAuthenticated("the key has characters that no key has (a space, a line break?); copy it again")
    return ApiKey(key)


def find_base_url(base_url: str | None, credentials: Credentials) -> str:
    """
    Return the URL that was given, else the environment's, else the one that suits the kind of key.

    Raises:
        InvalidRequest: It is no absolute http(s) URL, or would send the key over plain http.
    """
    # A vendor's signature never goes to a relay by default.
    usual = VENDOR_URL if isinstance(credentials, AccessKey) else GATEWAY_URL
    url = base_url or os.environ.get("KLING_BASE_URL") or usual
    rule = None
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "") if parts.port != 0 else ""
    except ValueError:  # also for a port that is none
        parts, host = urlsplit(""), ""
    if parts.scheme not in {"http", "https"} or not host:
        rule = "must be an absolute http(s) URL"
    elif parts.query or parts.fragment or "@" in parts.netloc:
        rule = "must have no user, query or fragment"
    elif parts.scheme == "http" and not _is_loopback(host):
        rule = "must be https, since the key would travel in the open; plain http is for loopback only"
    if rule is not None:
        broken = BrokenRule("base_url", repr(hide_query(url)), rule)
        raise InvalidRequest(str(broken), broken=(broken,))
    return url.rstrip("/")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
