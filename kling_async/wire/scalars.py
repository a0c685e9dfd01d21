"""
Reads single values of answers, which services write in different ways: ids, numbers, times, prices, texts.
"""

import datetime as dt
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from kling_async.wire.endpoints.base import ID_LENGTH
from kling_async.wire.json_text import loads
from kling_async.wire.redaction import hide_secrets, one_line, shorten

__all__ = [
    "exact_bool",
    "exact_float",
    "exact_int",
    "exact_text",
    "read_decimal",
    "read_id",
    "read_nested",
    "read_reason",
    "read_request_id",
    "read_text",
    "read_time",
    "read_whole",
    "write_time",
]

_SECONDS_BELOW: Final = 10**11
"""
A time smaller than this is in seconds (as some gateways send it), a larger one in milliseconds: 10^11 ms is March 1973.
"""

DIGITS_MAX: Final = 12
"""
Maximum number of digits of an index, a price or a code; at 4300 Python itself refuses to read it.
"""


def read_id(value: object) -> str | None:
    """
    Return an id as text, None if it cannot be one. Some gateways send numbers; JSON integers are exact in Python.
    """
    if isinstance(value, str):
        return value if len(value) <= ID_LENGTH and value and not value.isspace() else None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def read_request_id(value: object) -> str | None:
    """
    Return the id of an answer as text, ready to be shown; None if it cannot be one. It is never sent back.
    """
    if value is None:
        return None
    if isinstance(value, str) and not (value.isprintable() and len(value) <= ID_LENGTH):
        value = shorten(one_line(value), ID_LENGTH)
    shown = read_id(value)
    return shown if shown is None else shown.strip()


def read_whole(value: object) -> int | None:
    """
    Return a whole number, which may also come as text or as 1.0; None for anything else.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value) if isinstance(value, int | str) else ""
    return int(text) if text.removeprefix("-").isdecimal() and len(text) <= DIGITS_MAX else None


def read_nested(value: object) -> object:
    """
    Return *value*; if it is text that holds a JSON object or list, return that object or list.
    """
    if not isinstance(value, str) or not value.lstrip().startswith(("{", "[")):
        return value
    try:
        nested: object = loads(value.encode())
    except ValueError:
        return value
    return nested


def exact_text(value: Any, _: object) -> str:
    """
    Return text as it is. cattrs would read null as "None" and a list as its repr.

    Raises:
        TypeError: It is something else.
    """
    if isinstance(value, str):
        return value
    raise TypeError(f"expected text, got {type(value).__name__}")


def exact_bool(value: Any, _: object) -> bool:
    """
    Return a bool as it is.

    Raises:
        TypeError: It is something else.
    """
    if isinstance(value, bool):
        return value
    raise TypeError(f"expected true or false, got {type(value).__name__}")


def exact_int(value: Any, _: object) -> int:
    """
    Return a whole number as it is.

    Raises:
        TypeError: It is something else.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise TypeError(f"expected an integer, got {type(value).__name__}")


def exact_float(value: Any, _: object) -> float:
    """
    Return a number as it is.

    Raises:
        TypeError: It is something else.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise TypeError(f"expected a number, got {type(value).__name__}")


def read_text(value: Any, _: object) -> str:
    """
    Return text; empty for anything else.
    """
    return value if isinstance(value, str) else ""


def read_reason(value: Any, _: object) -> str:
    """
    Return why a task failed, ready to be shown; the original is in `TaskSnapshot.raw`.
    """
    text = value.get("message") if isinstance(value, dict) else value
    return hide_secrets(text) if isinstance(text, str) and text else ""


def read_time(value: Any, _: object) -> dt.datetime | None:
    """
    Return a time in milliseconds or seconds since 1970, also as text; None if it cannot be one.
    """
    try:
        number = 0.0 if isinstance(value, bool) else float(value)
        if not number > 0:  # absent at some gateways, 0 in others' examples
            return None
        seconds = number if number < _SECONDS_BELOW else number / 1000
        return dt.datetime.fromtimestamp(seconds, dt.UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def write_time(at: dt.datetime) -> int:
    """
    Write a time as the vendor does, in milliseconds.
    """
    return round(at.timestamp() * 1000)


def read_decimal(value: Any, _: object) -> Decimal | None:
    """
    Return a number exactly, also from text; None if it cannot be one.
    """
    try:
        number = Decimal(str(value) if isinstance(value, str | int | float) else "")
    except InvalidOperation:
        return None
    return number if number.is_finite() and abs(number.adjusted()) < DIGITS_MAX else None
