"""
Keys and the tokens signed with them.
"""

import math

import jwt
import pytest
from hypothesis import given, strategies as st

from kling_async.wire.auth import LIFETIME, MARGIN, NOT_BEFORE, AccessKey, ApiKey, Token, clock_offset, make_token

NOW = 1_780_000_000.75
SECRET = "0123456789abcdef0123456789abcdef"
PAIR = AccessKey("AK-7d3f", SECRET)


def claims(token: Token) -> dict[str, float | str]:
    """
    Decode a token, checking its signature alone: its times are of a made-up clock.
    """
    options: jwt.types.Options = {"verify_exp": False, "verify_nbf": False}
    decoded: dict[str, float | str] = jwt.decode(token.text, SECRET, algorithms=["HS256"], options=options)
    return decoded


def test_api_key_is_sent_as_it_is() -> None:
    """
    A static key never needs to be made anew.
    """
    assert Token("sk-9fK2aB7xQe", math.inf) == make_token(ApiKey("sk-9fK2aB7xQe"), NOW)


def test_token_follows_the_recipe() -> None:
    """
    HS256, the access key as issuer, 30 minutes from now, dated back by 5 seconds, and nothing else.
    """
    token = make_token(PAIR, NOW)

    assert {"alg": "HS256", "typ": "JWT"} == jwt.get_unverified_header(token.text)
    assert {"iss": "AK-7d3f", "exp": 1_780_001_800, "nbf": 1_779_999_995} == claims(token)


def test_token_is_renewed_with_a_margin() -> None:
    """
    A token is made anew 5 minutes before it runs out, so that none runs out on its way.
    """
    token = make_token(PAIR, NOW)

    assert NOW + 1500 == token.renew_at
    assert (1800, 300, 5) == (LIFETIME, MARGIN, NOT_BEFORE)


def test_wrong_secret_is_noticed() -> None:
    """
    The signature is made with the text of the secret.
    """
    token = make_token(AccessKey("AK-7d3f", SECRET.upper()), NOW)

    with pytest.raises(jwt.InvalidSignatureError):
        claims(token)


@given(st.floats(1e9, 4e9))
def test_token_is_valid_now(now: float) -> None:
    """
    At any time a fresh token has begun, has not ended, and is renewed before it ends.
    """
    token = make_token(PAIR, now)
    begins, ends = float(claims(token)["nbf"]), float(claims(token)["exp"])

    assert begins < now < token.renew_at < ends


@pytest.mark.parametrize(
    ("headers", "offset"),
    [
        ({"Date": "Thu, 28 May 2026 20:26:40 GMT"}, -0.75),
        ({"date": "Thu, 28 May 2026 20:27:40 GMT"}, 59.25),
        ({"Date": "Thu, 28 May 2026 20:26:40 -0000"}, -0.75),
        ({"Date": "yesterday"}, 0.0),
        ({"Date": "28 May 99999999999999999999 00:00:00"}, 0.0),
        ({}, 0.0),
    ],
)
def test_clock_offset(headers: dict[str, str], offset: float) -> None:
    """
    The service's clock is ahead by what its `Date` says; no header, no offset.
    """
    assert offset == clock_offset(headers, NOW)


def test_offset_mends_a_clock_that_is_ahead() -> None:
    """
    Our clock an hour ahead gives a token that is not valid yet; with the offset it is.
    """
    ours = NOW + 3600
    offset = clock_offset({"Date": "Thu, 28 May 2026 20:26:40 GMT"}, ours)

    assert float(claims(make_token(PAIR, ours))["nbf"]) > NOW
    assert float(claims(make_token(PAIR, ours + offset))["nbf"]) < NOW


def test_white_space_around_a_key_is_dropped() -> None:
    """
    A key read from a file ends in a newline, which no header may hold.
    """
    assert ApiKey("sk-9fK2aB7xQe") == ApiKey(" sk-9fK2aB7xQe\n")
    assert PAIR == AccessKey("AK-7d3f\n", f"\t{SECRET}\r\n")


@pytest.mark.parametrize("holder", [ApiKey(SECRET), PAIR, make_token(PAIR, NOW), make_token(ApiKey(SECRET), NOW)])
def test_no_repr_shows_a_key(holder: object) -> None:
    """
    Keys and tokens are in no repr.
    """
    shown = f"{holder!r} {holder!s}"

    assert not any(secret in shown for secret in (SECRET, "AK-7d3f", "eyJ"))
