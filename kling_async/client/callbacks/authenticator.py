"""
Checks whether a callback is genuine: its address by a token, its content by a signature.
"""

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from kling_async.errors import BrokenRule
from kling_async.wire.webhooks import Signature, check_secret, make_token, read_token, verify

__all__ = ["Authenticator", "secret_rules", "secrets_of"]

MIN_TOKEN_KEY: Final = 16


class Authenticator:
    """
    Makes the tokens of addresses, and checks tokens and signatures.

    Args:
        secrets_: The signing secrets; a signature by any of them is valid.
        token_key: Tokens are derived from it; None generates a random key.
    """

    def __init__(self, secrets_: tuple[str, ...], token_key: bytes | None) -> None:
        self.clock: Callable[[], float] = time.time
        self._secrets = secrets_
        self._token_keys = [token_key or secrets.token_bytes(32)]

    @property
    def token_key(self) -> bytes:
        """
        The key that new tokens are derived from.
        """
        return self._token_keys[0]

    def use_token_key(self, key: bytes) -> None:
        """
        Derive tokens from *key* from now on; earlier ones stay valid.
        """
        self._token_keys = [key, *(other for other in self._token_keys if other != key)]

    def make_token(self, submit_key: str) -> str:
        """
        Return the token of a submit.
        """
        return make_token(self.token_key, submit_key)

    def submit_key_of(self, token: str) -> str | None:
        """
        Return the key of the submit to which *token* belongs; None if it is not genuine.
        """
        for key in self._token_keys:
            if (submit_key := read_token(key, token)) is not None:
                return submit_key
        return None

    def check_signature(self, headers: Mapping[str, str], body: bytes) -> Signature:
        """
        Return whether a callback is signed, and correctly.
        """
        return verify(self._secrets, headers, body, self.clock())


def secrets_of(secret: Any) -> tuple[Any, ...]:
    """
    Return the secrets that were given as one, as several or as None.
    """
    if secret is None:
        return ()
    is_several = isinstance(secret, Iterable) and not isinstance(secret, str | bytes)
    return tuple(secret) if is_several else (secret,)


def secret_rules(given: tuple[Any, ...], token_key: Any) -> Iterator[BrokenRule]:
    """
    Yield what is wrong with the secrets and the token key.
    """
    for secret in given:
        try:
            check_secret(secret)
        except (ValueError, TypeError, AttributeError):
            yield BrokenRule("secret", "…", "must be Base64 text, with or without 'whsec_' before it; copy it again")
    if token_key is not None and (not isinstance(token_key, bytes) or len(token_key) < MIN_TOKEN_KEY):
        yield BrokenRule("token_key", "…", f"must be at least {MIN_TOKEN_KEY} bytes, or None for random ones")
