"""
Reads and writes JSON. Reading is forgiving: one bad character must not cost the caller a task that is paid for.
"""

import json
import re
from collections.abc import Callable
from typing import Any, Final

try:
    import orjson
except ImportError:  # the extra "fast" is not there, or not for this interpreter
    orjson = None  # type: ignore[assignment]

__all__ = ["dumps", "loads", "pack", "read_patiently"]

_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")

_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))

_DECODER: Final = json.JSONDecoder(parse_constant=lambda _: None)

_OUTLINE: Final = bytes.maketrans(b"123456789,:[ \t\n\r", b"000000000-------")

_LONG_NUMBER: Final = b"-" + 19 * b"0"
"""
The pattern before a number that may not fit in 64 bits: orjson would round it.
"""


def loads(body: bytes) -> Any:
    """
    Read JSON, with or without a byte order mark. A byte that is not UTF-8 or half a surrogate pair costs only
    that character, and NaN is null. Raises ValueError for anything that is not JSON, and for what no service sends on
    purpose: a thousand levels, a number of thousands of digits.
    """
    if orjson is not None and _LONG_NUMBER not in (b"-" + body).translate(_OUTLINE):
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:  # it is stricter: what it refuses may still be read, or gets the usual error
            pass
    return read_patiently(body)


def read_patiently(body: bytes) -> Any:
    """
    Read as `loads` does, with the standard library only.
    """
    text = body.decode("utf-8", "replace").removeprefix("\ufeff")
    try:
        if _SURROGATE.search(text):  # frees the first value before it decodes again
            text = json.dumps(_DECODER.decode(text), ensure_ascii=False).encode(errors="replace").decode()
        value = _DECODER.decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value


def dumps(value: object) -> bytes:
    """
    Write JSON as compact UTF-8. Always with the standard library: the bytes are hashed, and numbers look different in
    others.
    """
    return _ENCODER.encode(value).encode()


pack: Final[Callable[[Any], bytes]] = dumps if orjson is None else orjson.dumps
"""
Writes compact JSON that only `loads` will read, as fast as possible. Raises TypeError, ValueError or RecursionError for
values that JSON cannot hold.
"""
