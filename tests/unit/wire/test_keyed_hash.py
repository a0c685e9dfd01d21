"""
HMAC-SHA256 with a prepared key, compared with the standard library's.
"""

import hmac

from hypothesis import given, strategies as st

from kling_async.wire.keyed_hash import KeyedHash


@given(st.binary(max_size=150), st.lists(st.binary(max_size=300), min_size=1, max_size=3))
def test_hash_is_that_of_hmac(key: bytes, messages: list[bytes]) -> None:
    """
    For keys shorter and longer than a block of SHA-256, and for one message after another.
    """
    keyed = KeyedHash(key)

    assert [hmac.digest(key, message, "sha256") for message in messages] == [keyed.digest(m) for m in messages]


def test_hash_of_the_standard_s_example() -> None:
    """
    The second test case of RFC 4231.
    """
    expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"

    assert expected == KeyedHash(b"Jefe").digest(b"what do ya want for nothing?").hex()
