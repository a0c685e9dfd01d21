"""
Authentication: a static Bearer key, or a short-lived token signed with an access key.
"""

import hashlib
import hmac
import math
from collections.abc import Mapping
from typing import Final

import attrs

from kling_async.wire.headers import clock_of

__all__ = ["AccessKey", "ApiKey", "Credentials", "Token", "clock_offset", "fingerprint", "make_token", "signing_key"]

LIFETIME = 1800.0
"""
Seconds a signed token lives (the vendor's own example value).
"""

MARGIN = 300.0
"""
Seconds before its end at which a token is renewed, so that none expires in transit.
"""

NOT_BEFORE = 5.0
"""
Seconds that a token's start is dated back (the vendor's own example value).
"""


SIGNING_KEY_MIN: Final = 32
"""
The least number of bytes for which PyJWT does not warn of a short key for HS256.
"""


def _stripped(key: str) -> str:
    return key.strip() if isinstance(key, str) else key  # anything else is reported when a client is created


@attrs.frozen
class ApiKey:
    """
    A static key, sent as it is; white space around it (a file's last newline) is dropped.
    """

    key: str = attrs.field(converter=_stripped, repr=False)


@attrs.frozen
class AccessKey:
    """
    The vendor's pair of keys, from which tokens are signed (JWT, HS256, good for 30 minutes and renewed 5 before).

    White space around them is dropped. Neither is in a repr.

    Attributes:
        access_key: Identifies the account; each token contains it.
        secret_key: Signs the tokens; it is never sent.
    """

    access_key: str = attrs.field(converter=_stripped, repr=False)
    secret_key: str = attrs.field(converter=_stripped, repr=False)


Credentials = ApiKey | AccessKey


@attrs.frozen
class Token:
    """
    The token that follows "Bearer ", and the Unix time in seconds from which it should be renewed.
    """

    text: str = attrs.field(repr=False)
    renew_at: float


def make_token(credentials: Credentials, now: float) -> Token:
    """
    Make a token for *credentials*; *now* is Unix time in seconds, by the service's clock if that is known.
    """
    if isinstance(credentials, ApiKey):
        return Token(credentials.key, math.inf)
    import jwt  # noqa: PLC0415 (slow to load, and only signed tokens need it)

    claims = {"iss": credentials.access_key, "exp": int(now + LIFETIME), "nbf": int(now - NOT_BEFORE)}
    return Token(jwt.encode(claims, signing_key(credentials.secret_key), algorithm="HS256"), now + LIFETIME - MARGIN)


def signing_key(secret: str) -> bytes:
    """
    Return *secret* as a key for HS256.

    A short one is padded with zeros, as HMAC itself does, so that the signature is the same. The vendor does not
    document the length of its secrets, and a caller cannot choose another one. So PyJWT's warning, an error under
    `-W error`, would not help.
    """
    return secret.encode().ljust(SIGNING_KEY_MIN, b"\0")


def fingerprint(credentials: Credentials, salt: str) -> str:
    """
    Return a digest that distinguishes *credentials* under the same *salt*; they cannot be computed from it.
    """
    key = "\n".join(attrs.astuple(credentials)).encode()
    return hmac.new(salt.encode(), key, hashlib.sha256).hexdigest()[:32]


def clock_offset(headers: Mapping[str, str], now: float) -> float:
    """
    Return by how many seconds the service's clock is ahead of *now*, by its `Date` header; 0 if there is none.
    """
    at = clock_of(headers)
    return at.timestamp() - now if at else 0.0
