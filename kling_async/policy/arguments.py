"""
Checks arguments before anything is sent. Errors name the argument, its value and the rule.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias, TypeGuard
from urllib.parse import urlsplit

from yarl import URL

from kling_async.errors import BrokenRule, InvalidRequest
from kling_async.wire.redaction import hide_query, hide_secrets, shorten

if TYPE_CHECKING:
    import attrs

__all__ = [
    "MOST_SECONDS",
    "check_flag",
    "check_kind",
    "check_many",
    "check_seconds",
    "check_timeout",
    "check_whole",
    "is_placeholder",
    "is_quoted",
    "refuse",
    "shown_url",
    "slots_rule",
    "url_rule",
    "valid_between",
    "valid_flag",
    "valid_seconds",
    "valid_whole",
]

MOST_SECONDS: Final = 1e9
"""
The longest time in seconds that is accepted (31 years). Sums and multiples of it stay finite.
"""

_Attribute: TypeAlias = "attrs.Attribute[Any]"

_PLACEHOLDER: Final = re.compile(r"\$\{|\$\(|^\$\w+$|^%\w+%$|\{\{|^<.*>$")
LONGEST_SHOWN: Final = 12
"""
Maximum length of text that errors show where a number is expected. Longer text may be a key.
"""

_QUOTES: Final = frozenset("\"'`\u201c\u201d\u2018\u2019")
_LABEL: Final = re.compile(r"[A-Za-z0-9_-]{1,63}")
_NAMES: Final = "labels of 1 to 63 letters, digits, hyphens and underscores, at most 253 characters in all"


def refuse(name: str, value: str, rule: str) -> NoReturn:
    """
    Raise InvalidRequest for an argument that breaks a rule.

    Args:
        value: The value as it may be shown; see `BrokenRule`.
    """
    broken = BrokenRule(name, value, rule)
    raise InvalidRequest(str(broken), broken=(broken,))


# Numbers


def check_seconds(name: str, value: object) -> None:
    """
    Raise InvalidRequest unless *value* is a finite number of seconds above 0.
    """
    if not _is_number(value) or not 0 < value <= MOST_SECONDS:
        refuse(name, _shown(value), f"must be a finite number of seconds above 0, and up to {MOST_SECONDS:.0e}")


def check_timeout(name: str, value: object) -> None:
    """
    Raise InvalidRequest unless *value* is a timeout: 0 or more seconds, or None for no limit.
    """
    if value is not None and (not _is_number(value) or not 0 <= value <= MOST_SECONDS):
        rule = f"must be a number of seconds from 0 to {MOST_SECONDS:.0e}, or None to wait for as long as it takes"
        refuse(name, _shown(value), rule)


def check_whole(name: str, value: object, *, least: int = 1, most: int | None = None) -> None:
    """
    Raise InvalidRequest unless *value* is a whole number within these bounds.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least or (most is not None and value > most):
        bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
        refuse(name, _shown(value), f"must be a whole number {bounds}")


def valid_seconds(_: object, attribute: _Attribute, value: object) -> None:
    """
    Validate an attrs field with `check_seconds`.
    """
    check_seconds(attribute.name, value)


def valid_whole(_: object, attribute: _Attribute, value: object) -> None:
    """
    Validate an attrs field with `check_whole`.
    """
    check_whole(attribute.name, value)


def valid_between(
    least: float, most: float, rule: str, *, is_open: bool = False
) -> Callable[[object, _Attribute, object], None]:
    """
    Return an attrs validator that checks for a number within bounds.

    Args:
        rule: The text of the error.
        is_open: Whether *least* itself is rejected.
    """

    def check(_: object, attribute: _Attribute, value: object) -> None:
        if not _is_number(value) or not least <= value <= most or (is_open and value == least):
            refuse(attribute.name, _shown(value), rule)

    return check


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def slots_rule(n: int, limit: int) -> BrokenRule:
    """
    Return the rule that a request breaks which takes *n* slots, more than the *limit* that was set.
    """
    rule = f"the request takes {n} slots, and there are {limit}: ask for less, or raise the client's limit"
    return BrokenRule("slots", str(limit), rule)


# Other kinds


def check_flag(name: str, value: object) -> None:
    """
    Raise InvalidRequest unless *value* is True or False: the text "no" would count as true.
    """
    if not isinstance(value, bool):
        refuse(name, _shown(value), "must be True or False")


def valid_flag(_: object, attribute: _Attribute, value: object) -> None:
    """
    Validate an attrs field with `check_flag`.
    """
    check_flag(attribute.name, value)


def check_kind(name: str, value: object, kind: type | tuple[type, ...], rule: str) -> None:
    """
    Raise InvalidRequest unless *value* is an instance of *kind*. The value is not shown: it may be a key.
    """
    if not isinstance(value, kind):
        refuse(name, f"<{type(value).__name__}>", rule)


def check_many(verb: str, requests: object) -> None:
    """
    Raise TypeError unless *requests* is an iterable of requests. Text and mappings are rejected: iterating over them
    yields characters or keys, not prompts.
    """
    if isinstance(requests, str | bytes | bytearray):
        raise TypeError(f"{verb} takes an iterable of requests; put a single request into a list")
    if isinstance(requests, Mapping) or not (hasattr(requests, "__iter__") or hasattr(requests, "__aiter__")):
        kind = type(requests).__name__
        raise TypeError(f"{verb} takes an iterable of requests, such as a list of prompts, not {kind}")


def _shown(value: object) -> str:
    if isinstance(value, str | bytes) and len(value) > LONGEST_SHOWN:
        return f"<{type(value).__name__}>"  # it may be a key
    try:
        return shorten(hide_secrets(repr(value)))
    except Exception:  # noqa: BLE001 (the caller's `__repr__`, or a number of more than 4300 digits)
        return f"<{type(value).__name__}>"


# Texts


def is_quoted(text: str) -> bool:
    """
    Return whether *text* begins or ends with a quotation mark, which some parsers of env files leave in the value.
    """
    return text[:1] in _QUOTES or text[-1:] in _QUOTES


def is_placeholder(text: str) -> bool:
    """
    Return whether *text* contains a variable that was not substituted, such as `${KLING_API_KEY}`.
    """
    return _PLACEHOLDER.search(text) is not None


def url_rule(url: object) -> str | None:
    """
    Return the rule that *url* breaks as the URL of a service or a proxy; None if it breaks none.

    aiohttp accepts every URL that passes; for others it raises many kinds of errors.
    """
    if not isinstance(url, str):
        return "must be an absolute http(s) URL, as text"
    if is_placeholder(url):
        return "contains a variable that was not substituted; write the URL itself"
    if is_quoted(url):
        return "must be an absolute http(s) URL, without the quotation marks around it"
    if not url.isprintable() or any(character.isspace() for character in url):
        return "must be an absolute http(s) URL without whitespace and control characters"
    try:
        parts = urlsplit(url)
        is_absolute = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # also for an invalid port
        is_absolute = False
    if not is_absolute:
        return "must be an absolute http(s) URL with a host"
    return _host_rule(url)


def _host_rule(url: str) -> str | None:
    rule = f"must have a valid host name: {_NAMES}"
    try:
        host = URL(url).raw_host or ""
    except ValueError:  # also a UnicodeError
        return rule
    if ":" in host or urlsplit(url).netloc.rpartition("@")[2].startswith("["):
        return None if _is_ip6(host) else "must have an IPv6 address between the brackets"
    name = host.removesuffix(".")
    is_name = len(name) <= 253 and all(_LABEL.fullmatch(label) for label in name.split("."))
    return None if is_name else rule


def _is_ip6(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).version == 6
    except ValueError:
        return False


def shown_url(url: object) -> str:
    """
    Return a value that was given as a URL without user, password, query and keys, to be shown.
    """
    if not isinstance(url, str):
        return f"<{type(url).__name__}>"
    try:
        is_plain = url.count("@") == urlsplit(url).netloc.count("@") < 2
    except ValueError:
        is_plain = "@" not in url
    if not is_plain or not re.search(r"[/.:]", url):  # a password with "/" or "@", or a key in the wrong place
        return repr("…")
    return repr(shorten(hide_secrets(hide_query(url))))
