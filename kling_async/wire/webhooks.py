"""
Reads and verifies callbacks: the body, the signature, and the token in the address.

Signatures follow Standard Webhooks, as the vendor's do. The library `standardwebhooks` makes them. They are verified
here: the library's own `verify` asks the wall clock for the time, and takes three times as long.
"""

import base64
import datetime as dt
import enum
import functools
import hmac
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from standardwebhooks import Webhook

from kling_async.wire.codec import read_task
from kling_async.wire.headers import find_header
from kling_async.wire.json_text import loads
from kling_async.wire.keyed_hash import KeyedHash
from kling_async.wire.scalars import read_nested, read_request_id
from kling_async.wire.task_shapes import is_task
from kling_async.wire.tasks import TaskSnapshot

__all__ = ["Signature", "check_secret", "make_token", "read_callback", "read_token", "sign", "verify"]

TOLERANCE: Final = 300.0
"""
Maximum difference in seconds between a signature's time and ours (the vendor's own value).
"""

_ID: Final = "webhook-id"
_TIMESTAMP: Final = "webhook-timestamp"
_SIGNATURE: Final = "webhook-signature"

_SECRET: Final = re.compile(r"(whsec_)?[A-Za-z0-9+/]{2,}={0,2}")
_SECONDS: Final = re.compile(r"[1-9][0-9]{0,10}")  # no sign, no leading zero: the signature covers it as it is written
_SUBMIT_KEY: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")

_PURPOSE: Final = b"kling_async callback address: "  # so that a key with other uses makes no valid tokens elsewhere
_MARK_LENGTH: Final = 43  # of 32 bytes in Base64 without padding

_LAYERS: Final = 3
"""
How many envelopes around a task are opened.
"""


class Signature(enum.Enum):
    """
    What the signature of a callback proves.
    """

    SIGNED = "signed"
    UNSIGNED = "unsigned"  # nothing: there is no signature, or no secret to check it with
    WRONG = "wrong"


def make_token(key: bytes, submit_key: str) -> str:
    """
    Make the last segment of the address to which the callbacks of one submit go; it cannot be forged without *key*.

    Raises:
        ValueError: *submit_key* is not 1 to 64 letters, digits, `-` and `_`.
    """
    if not _SUBMIT_KEY.fullmatch(submit_key):
        raise ValueError("the key of a submit is 1 to 64 letters, digits, '-' and '_'")
    return _token(key, submit_key)


def read_token(key: bytes, token: str) -> str | None:
    """
    Return the key of the submit to which *token* belongs; None for anything that `make_token` did not return for *key*.
    """
    submit_key = token[: -_MARK_LENGTH - 1]
    if not token.isascii() or not _SUBMIT_KEY.fullmatch(submit_key):
        return None
    return submit_key if hmac.compare_digest(token, _token(key, submit_key)) else None


def read_callback(body: bytes) -> TaskSnapshot:
    """
    Read the body of a callback: a bare task of either standard of the vendor's, or one in an envelope.

    A gateway may send another id than in its answer to the submit: the callback's address identifies the task.

    Raises:
        ValueError: It is not JSON, or holds no task.
    """
    value = loads(body)
    if is_task(value):  # as the vendor sends it
        return read_task(value, source=body)
    request_id = None
    for layer in _layers(value):
        request_id = request_id or read_request_id(layer.get("request_id"))
        if is_task(layer):
            return read_task(layer, request_id=request_id)
    raise ValueError("the callback holds no task")


def check_secret(secret: str) -> None:
    """
    Check that a signing secret has the right form.

    Raises:
        ValueError: It is not Base64, with or without "whsec_" before it.
    """
    _signing_key(secret)


def sign(secret: str, message_id: str, at: float, body: bytes) -> dict[str, str]:
    """
    Return the three headers that sign *body*, sent at *at* (Unix time in seconds).

    Raises:
        ValueError: The secret cannot be one, or the body is not UTF-8.
    """
    seconds = int(at)
    signature = Webhook(_signing_key(secret)).sign(
        message_id, dt.datetime.fromtimestamp(seconds, dt.UTC), body.decode()
    )
    return {_ID: message_id, _TIMESTAMP: str(seconds), _SIGNATURE: signature}


def verify(secrets: Collection[str], headers: Mapping[str, str], body: bytes, now: float) -> Signature:
    """
    Check the signature of *body* as it came, byte by byte, at *now* (Unix time in seconds).

    Any of *secrets* will do, and any of several signatures: during a rotation the vendor signs with the old secret and
    the new. Without secrets everything is unsigned. Some of the three headers without the others are wrong, and so is
    a time more than 300 s away.

    Raises:
        ValueError: One of *secrets* cannot be one.
    """
    message_id, timestamp, signatures = fields = [find_header(headers, name) for name in (_ID, _TIMESTAMP, _SIGNATURE)]
    if not secrets or not any(fields):
        return Signature.UNSIGNED
    is_timely = _SECONDS.fullmatch(timestamp) is not None and abs(now - int(timestamp)) <= TOLERANCE
    if not all(fields) or not is_timely:
        return Signature.WRONG
    try:
        signed = f"{message_id}.{timestamp}.".encode() + body
        claimed = signatures.encode().split()
    except UnicodeError:  # no sender puts this into a header
        return Signature.WRONG
    for secret in secrets:
        ours = b"v1," + base64.b64encode(_hash_of(_signing_key(secret)).digest(signed))
        for theirs in claimed:
            if hmac.compare_digest(ours, theirs):
                return Signature.SIGNED
    return Signature.WRONG


def _token(key: bytes, submit_key: str) -> str:
    mark = _hash_of(key).digest(_PURPOSE + submit_key.encode())
    return f"{submit_key}.{base64.urlsafe_b64encode(mark).decode().rstrip('=')}"


def _layers(value: Any) -> Iterator[Mapping[str, Any]]:
    # Yields the objects from the outermost inwards; a list with one item counts as that item.
    for _ in range(_LAYERS):
        value = read_nested(value)
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if not isinstance(value, Mapping):
            return
        yield value
        value = value.get("data")


@functools.lru_cache(maxsize=16)
def _hash_of(key: bytes) -> KeyedHash:
    return KeyedHash(key)


@functools.lru_cache(maxsize=16)
def _signing_key(secret: str) -> bytes:
    # `b64decode` skips characters that are not Base64, so that a misspelt secret would refuse every callback.
    text = secret.strip()
    if _SECRET.fullmatch(text):
        try:
            return base64.b64decode(text.removeprefix("whsec_") + "==")
        except ValueError:  # one character too many
            pass
    raise ValueError("a signing secret is Base64, with or without 'whsec_' before it; copy it again from the console")
