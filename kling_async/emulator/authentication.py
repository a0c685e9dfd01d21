"""
Checks the static key, or a token signed with the access key, like the vendor.
"""

import functools
from typing import Any

import jwt

from kling_async.emulator import api_errors
from kling_async.emulator.api_errors import ApiError
from kling_async.emulator.settings import Settings
from kling_async.wire.auth import AccessKey, signing_key


def check_key(settings: Settings, authorization: str | None, now: float, *, signed_tokens: bool = True) -> None:
    """
    Accept or refuse the header *authorization*.

    Args:
        signed_tokens: False if only static keys are accepted, as in the new standard.

    Raises:
        ApiError: 1001 without a header, 1000 for another scheme, 1002 for a wrong key, 1003 before and 1004 after the
            token's time.
    """
    scheme, _, key = (authorization or "").strip().partition(" ")
    if not scheme or (not key.strip() and scheme.casefold() == "bearer"):
        raise _error(1001)
    if scheme != "Bearer" or key != key.strip():
        raise _error(1000)
    if key == settings.api_key:
        return
    if key.count(".") != 2:
        raise _error(1002, api_errors.parts_of_token(_parts(key)))
    if settings.is_gateway or settings.access_key is None:
        raise _error(1002)
    claims = _claims_of(key, settings.access_key)
    if not signed_tokens:
        raise _error(1002, api_errors.NO_ACCESS_KEYS)
    _check_times(claims, now)


def _error(code: int, message: str | None = None) -> ApiError:
    return ApiError(401, code, message or api_errors.MESSAGES[code])


def _parts(key: str) -> int:
    # A text without a dot has no parts: the vendor counts like this, by what its users quote.
    return key.count(".") + 1 if "." in key else 0


@functools.lru_cache(maxsize=64)
def _claims_of(token: str, access_key: AccessKey) -> dict[str, Any]:
    # Times are checked separately, by the account's clock. The rest never changes, so each token is verified once.
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            signing_key(access_key.secret_key),
            algorithms=["HS256"],
            issuer=access_key.access_key,
            options={"require": ["iss", "exp", "nbf"], "verify_exp": False, "verify_nbf": False, "verify_iat": False},
        )
        return {"exp": float(claims["exp"]), "nbf": float(claims["nbf"])}
    except (jwt.InvalidTokenError, TypeError, ValueError) as error:
        raise _error(1002) from error


def _check_times(claims: dict[str, Any], now: float) -> None:
    if now < claims["nbf"]:
        raise _error(1003)
    if now >= claims["exp"]:
        raise _error(1004)
