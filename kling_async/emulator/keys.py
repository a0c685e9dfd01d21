"""
Who may come in: the static key, or a token signed with the access key, judged as the vendor judges them.
"""

import functools
from typing import Any

import jwt

from kling_async.emulator.settings import Settings
from kling_async.emulator.world import Refusal
from kling_async.wire.auth import AccessKey


def check_key(settings: Settings, authorization: str | None, now: float, *, signed_tokens: bool = True) -> None:
    """
    Let the header *authorization* in, or refuse it.

    Args:
        signed_tokens: False where the vendor takes static keys alone, as its new standard does.

    Raises:
        Refusal: 1001 without a header, 1000 for another scheme, 1002 for a wrong key, 1003 before and 1004 after the
            token's time.
    """
    scheme, _, key = (authorization or "").strip().partition(" ")
    if not scheme or (not key.strip() and scheme.casefold() == "bearer"):
        raise Refusal(401, 1001, "Authorization is empty")
    if scheme != "Bearer" or key != key.strip():
        raise Refusal(401, 1000, "Authentication failed: the header should be 'Bearer' and a key, one space between")
    if key == settings.api_key:
        return
    if key.count(".") != 2:
        raise Refusal(401, 1002, f"Authorization is invalid: the token should have 3 parts, but has {_parts(key)}")
    if settings.is_gateway or settings.access_key is None:
        raise Refusal(401, 1002, "Authorization is invalid: no such access key")
    claims = _claims_of(key, settings.access_key)
    if not signed_tokens:
        raise Refusal(401, 1002, "AK/SK authorization is not supported here, please use an API key")
    _check_times(claims, now)


def _parts(key: str) -> str:
    # A text without a dot has none: so the vendor counts, and so its users quote it.
    return str(key.count(".") + 1) if "." in key else "0"


@functools.lru_cache(maxsize=64)
def _claims_of(token: str, access_key: AccessKey) -> dict[str, Any]:
    # Times are judged apart, by the world's clock; what is left never changes, so each token is verified once.
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            access_key.secret_key,
            algorithms=["HS256"],
            issuer=access_key.access_key,
            options={"require": ["iss", "exp", "nbf"], "verify_exp": False, "verify_nbf": False, "verify_iat": False},
        )
        return {"exp": float(claims["exp"]), "nbf": float(claims["nbf"])}
    except (jwt.InvalidTokenError, TypeError, ValueError) as error:
        raise Refusal(401, 1002, f"Authorization is invalid: {error}") from error


def _check_times(claims: dict[str, Any], now: float) -> None:
    if now < claims["nbf"]:
        raise Refusal(401, 1003, "Authorization is not yet valid")
    if now >= claims["exp"]:
        raise Refusal(401, 1004, "Authorization has expired")
