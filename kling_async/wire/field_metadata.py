"""
How fields of requests are written, beyond their types: metadata that the codec reads.

A request's class declares it: `attrs.field(metadata=SECONDS)`; two of them are joined by `|`.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

__all__ = [
    "ALWAYS_SENT",
    "ELEMENTS",
    "ON_OR_OFF",
    "SECONDS",
    "WATERMARK",
    "YES_OR_NO",
    "WireForm",
    "form_of",
    "in_items",
    "is_always_sent",
]

_ALWAYS: Final = "kling_async.always_sent"
_FORM: Final = "kling_async.wire_form"

ALWAYS_SENT: Final[dict[str, Any]] = {_ALWAYS: True}
"""
Metadata of a field that is sent even when it has its default. All other fields are sent only when they differ from it.
"""


def is_always_sent(metadata: Mapping[Any, Any]) -> bool:
    """
    Return whether a field with this *metadata* is always sent.
    """
    return bool(metadata.get(_ALWAYS, False))


@attrs.frozen
class WireForm:
    """
    The form of a field on the wire, where it is not its own. None is never passed to it.

    Attributes:
        write: Returns the JSON value of a value.
        read: Returns the value of a JSON value. Raises ValueError or TypeError for one that has not this form.
    """

    write: Callable[[Any], Any]
    read: Callable[[Any], Any]

    @property
    def metadata(self) -> dict[str, Any]:
        """
        The metadata of a field that has this form.
        """
        return {_FORM: self}


def form_of(metadata: Mapping[Any, Any]) -> WireForm | None:
    """
    Return the form of a field with this *metadata*; None if it has no other than its own.
    """
    return metadata.get(_FORM)


def in_items(name: str, read: Callable[[Any], Any] = str) -> dict[str, Any]:
    """
    Return the metadata of a tuple that is written as a list of objects with one field each: `[{name: item}]`.
    """

    def write_items(items: Any) -> list[dict[str, Any]]:
        return [{name: item} for item in items]

    def read_items(items: Any) -> tuple[Any, ...]:
        return tuple(read(item[name]) for item in _list(items))

    return WireForm(write_items, read_items).metadata


def _list(items: Any) -> list[Any]:
    if not isinstance(items, list):
        raise TypeError("must be a list")
    return items


def _read_id(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError("must be a whole number")
    return value


ELEMENTS: Final = in_items("element_id", _read_id)
"""
Metadata of a tuple of elements' ids, which are whole numbers, many beyond 2**53.
"""


def _words(yes: str, no: str) -> dict[str, Any]:
    def read(word: Any) -> bool:
        if word not in (yes, no):
            raise ValueError(f"must be {yes!r} or {no!r}")
        return bool(word == yes)

    return WireForm(lambda value: yes if value else no, read).metadata


ON_OR_OFF: Final = _words("on", "off")
"""
Metadata of a bool that is written as a word.
"""

YES_OR_NO: Final = _words("yes", "no")


def _read_number_text(text: Any) -> float:
    if not isinstance(text, str):
        raise TypeError("must be text")
    number = float(text)
    return int(number) if number.is_integer() else number


SECONDS: Final = WireForm("{:g}".format, _read_number_text).metadata
"""
Metadata of a number of seconds that is written as text: 5 as "5".
"""


def _read_enabled(info: Any) -> bool:
    enabled = info.get("enabled", False) if isinstance(info, Mapping) else None
    if not isinstance(enabled, bool):
        raise TypeError("must be an object with a bool `enabled`")
    return enabled


WATERMARK: Final = WireForm(lambda enabled: {"enabled": enabled}, _read_enabled).metadata
"""
Metadata of a bool that is written as `{"enabled": true}`.
"""
