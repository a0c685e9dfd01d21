"""
Who may come in.
"""

import attrs
import jwt
import pytest

from kling_async.emulator import ApiError, Settings
from kling_async.emulator.authentication import check_key
from kling_async.wire.auth import AccessKey
from kling_async.wire.dialects import OFFICIAL

NOW = 1_780_000_000.0

PAIR = AccessKey("AK-of-the-tests", "a secret key of at least thirty-two bytes")

SETTINGS = Settings(dialect=OFFICIAL, api_key="sk-emulator-right", access_key=PAIR)


def token(*, secret: str = PAIR.secret_key, **changes: object) -> str:
    claims = {"iss": PAIR.access_key, "exp": int(NOW + 1800), "nbf": int(NOW - 5), **changes}
    return jwt.encode({name: value for name, value in claims.items() if value is not None}, secret, algorithm="HS256")


def refusal_of(authorization: str | None, settings: Settings = SETTINGS, **options: bool) -> tuple[int, int, str]:
    with pytest.raises(ApiError) as caught:
        check_key(settings, authorization, NOW, **options)
    return attrs.astuple(caught.value)


def test_key_and_token_are_let_in() -> None:
    """
    The static key and a token of the access key both open the account.
    """
    check_key(SETTINGS, "Bearer sk-emulator-right", NOW)
    check_key(SETTINGS, f"Bearer {token()}", NOW)


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        (None, 1001),
        ("", 1001),
        ("Bearer", 1001),
        ("Bearer ", 1001),
        ("sk-emulator-right", 1000),
        ("Basic c2s6", 1000),
        ("Bearer  sk-emulator-right", 1000),
        ("Bearer sk-emulator-wrong", 1002),
        (f"Bearer {token(secret='another secret key of thirty-two bytes')}", 1002),
        (f"Bearer {token(iss='AK-of-others')}", 1002),
        (f"Bearer {token(exp=None)}", 1002),
        (f"Bearer {token(nbf=None)}", 1002),
        ("Bearer a.b.c", 1002),
        (f"Bearer {token(nbf=int(NOW) + 1)}", 1003),
        (f"Bearer {token(exp=int(NOW))}", 1004),
    ],
)
def test_others_are_refused_with_their_code(authorization: str | None, code: int) -> None:
    """
    Each way of being wrong has the vendor's own code, all with HTTP 401.
    """
    assert (401, code) == refusal_of(authorization)[:2]


@pytest.mark.parametrize(("key", "parts"), [("sk-wrong", 0), ("a.b", 2), ("a.b.c.d", 4)])
def test_wrong_key_is_told_to_have_too_few_parts(key: str, parts: int) -> None:
    """
    The vendor takes a wrong static key for a broken token, and says so.
    """
    assert refusal_of(f"Bearer {key}")[2].endswith(f"should have 3 parts, but has {parts}")


def test_new_standard_takes_no_signed_tokens() -> None:
    """
    A token that is good elsewhere gets 1002 there; the static key is fine.
    """
    assert "AK/SK" in refusal_of(f"Bearer {token()}", signed_tokens=False)[2]
    check_key(SETTINGS, "Bearer sk-emulator-right", NOW, signed_tokens=False)


@pytest.mark.parametrize("settings", [Settings(access_key=PAIR), Settings(dialect=OFFICIAL)])
def test_token_needs_an_access_key_at_the_vendor(settings: Settings) -> None:
    """
    A gateway takes no signed tokens, nor does an account without an access key.
    """
    assert 1002 == refusal_of(f"Bearer {token()}", settings)[1]


def test_token_is_judged_by_the_worlds_clock() -> None:
    """
    A token that was good is refused once its time has passed.
    """
    text = f"Bearer {token()}"
    check_key(SETTINGS, text, NOW)
    with pytest.raises(ApiError) as caught:
        check_key(SETTINGS, text, NOW + 1800)

    assert 1004 == caught.value.code
