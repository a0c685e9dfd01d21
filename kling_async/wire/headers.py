"""
Reads the headers of an answer. aiohttp's mapping ignores the case of names; the names in a plain one may have any.
"""

import datetime as dt
import math
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

from multidict import CIMultiDict, CIMultiDictProxy

__all__ = ["clock_of", "find_header", "kept_for", "retry_after"]

_TIMEOUT: Final = re.compile(r"(?:^|,)[ \t]{0,9}timeout=(\d{1,6})(?:[ \t,]|$)", re.ASCII | re.IGNORECASE)

_ANY_CASE: Final = (CIMultiDict, CIMultiDictProxy)

_NUMBER: Final = re.compile(r"[0-9]+(\.[0-9]*)?")


def find_header(headers: Mapping[str, str], name: str) -> str:
    """
    Return the value of the header called *name* in any case; empty text if there is none.
    """
    if (value := headers.get(name)) is not None:
        return value.strip()
    if isinstance(headers, _ANY_CASE):
        return ""
    wanted = name.casefold()
    return next((value.strip() for key, value in headers.items() if key.casefold() == wanted), "")


def clock_of(headers: Mapping[str, str]) -> dt.datetime | None:
    """
    Return the time by the service's clock, after its `Date` header; None if it cannot be read.
    """
    return _read_date(find_header(headers, "Date"))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """
    Return the seconds that a `Retry-After` header asks for: a number (the standard allows only whole ones, some servers
    send "3.2"), or a date counted from the answer's own `Date`.

    None without the header, or if it cannot be read.
    """
    value = find_header(headers, "Retry-After")
    if _NUMBER.fullmatch(value):
        seconds = float(value)
        return seconds if math.isfinite(seconds) else None
    until, now = _read_date(value), clock_of(headers)
    return max(0.0, (until - now).total_seconds()) if until and now else None


def kept_for(keep_alive: str) -> float | None:
    """
    Return the seconds for which a service says that it keeps an idle connection, after its `Keep-Alive` header, such as
    "timeout=5, max=100"; None if it does not say.
    """
    match = _TIMEOUT.search(keep_alive)
    return float(match[1]) if match else None


def _read_date(text: str) -> dt.datetime | None:
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=dt.UTC)
