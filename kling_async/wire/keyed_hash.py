"""
HMAC-SHA256 (RFC 2104) of many messages with one key.

`hmac` starts with the key for each message, which takes longer than the rest of a short one.
"""

import hashlib
from typing import Final

__all__ = ["KeyedHash"]

_BLOCK: Final = 64  # bytes that SHA-256 processes at a time

_INNER: Final = bytes(number ^ 0x36 for number in range(256))
_OUTER: Final = bytes(number ^ 0x5C for number in range(256))


class KeyedHash:
    """
    Makes the HMAC-SHA256 of messages.

    Args:
        key: If it is longer than 64 bytes, its SHA-256 is used, as HMAC prescribes.
    """

    def __init__(self, key: bytes) -> None:
        block = (key if len(key) <= _BLOCK else hashlib.sha256(key).digest()).ljust(_BLOCK, b"\0")
        self._inner = hashlib.sha256(block.translate(_INNER))
        self._outer = hashlib.sha256(block.translate(_OUTER))

    def digest(self, message: bytes) -> bytes:
        """
        Return the hash of *message*, as `hmac.digest(key, message, "sha256")` does.
        """
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(message)
        outer.update(inner.digest())
        return outer.digest()
