"""
Reads JSON Lines, and arrays in JSON: one item after another, with the line on which it begins.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

import attrs

from kling_async.cli.text_input import LIST_MAX, UNDECODED, UnreadableText
from kling_async.wire.endpoints.rules import HALF_A_PAIR
from kling_async.wire.redaction import shorten

__all__ = ["JsonItem", "read_json_array", "read_json_lines"]

_BETWEEN: Final = re.compile(r"[ \t\r\n]*")
_CANNOT: Final = "is JSON that cannot be read: too deep, or a number too long"


@attrs.frozen
class JsonItem:
    """
    A value, or text that cannot be read as one.

    Attributes:
        number: Of its first line in the file, from 1.
        text: Where it begins.
        rule: What the text breaks; empty if there is a value.
    """

    number: int
    value: Any
    text: str = ""
    rule: str = ""


def read_json_lines(texts: Iterable[str]) -> Iterator[JsonItem]:
    """
    Read one value per line; skip blank lines.
    """
    for number, text in enumerate(texts, 1):
        if HALF_A_PAIR.search(text):
            yield JsonItem(number, None, "", UNDECODED)
        elif text.strip():
            try:
                value = json.loads(text, object_pairs_hook=_once_each)
            except _DuplicateField as error:
                yield JsonItem(number, None, text, str(error))
            except json.JSONDecodeError as error:
                rule = f"is not valid JSON: {error.msg} at column {error.colno}"
                if text.strip() == "{":
                    rule = "begins an object of several lines; write each object on one line, or all into an array"
                yield JsonItem(number, None, text, rule)
            except (ValueError, RecursionError):  # a number of thousands of digits, a thousand levels
                yield JsonItem(number, None, text, _CANNOT)
            else:
                yield JsonItem(number, value, text)


def read_json_array(texts: Iterable[str]) -> Iterator[JsonItem]:
    """
    Read the items of one array. It is held in memory as text; the items are not.

    Raises:
        UnreadableText: It is larger than 64 MiB.
    """
    whole = _joined(texts)
    at, number, counted = _after(whole, whole.index("[") + 1), 1, 0
    while not whole.startswith("]", at):
        number, counted = number + whole.count("\n", counted, at), at
        try:
            value, end, rule = _decode(whole, at)
            after = _after(whole, end)
            if whole[after : after + 1] not in (",", "]"):
                raise json.JSONDecodeError("Expecting ',' or ']'", whole, after)  # noqa: TRY301 (as of a broken item)
        except json.JSONDecodeError as error:
            rule = f"is not valid JSON: {error.msg} at column {error.colno}; the rest is not read"
            yield JsonItem(error.lineno, None, _line_at(whole, error.pos), rule)
            return
        except (ValueError, RecursionError):
            yield JsonItem(number, None, _line_at(whole, at), f"{_CANNOT}; the rest is not read")
            return
        if HALF_A_PAIR.search(whole, at, end):
            yield JsonItem(number, None, "", UNDECODED)
        else:
            yield JsonItem(number, value, whole[at : min(end, at + 1000)], rule)
        at = after if whole[after] == "]" else _after(whole, after + 1)
    rest = _after(whole, at + 1)
    if rest < len(whole):
        number = 1 + whole.count("\n", 0, rest)
        yield JsonItem(number, None, _line_at(whole, rest), "follows the end of the array; the rest is not read")


def _joined(texts: Iterable[str]) -> str:
    parts: list[str] = []
    size = 0
    for text in texts:
        parts.append(text)
        size += len(text)
        if size > LIST_MAX:
            what = f"is an array of more than {LIST_MAX:,} characters; write one object per line, as jq -c '.[]' does"
            raise UnreadableText(what)
    return "".join(parts)


def _after(whole: str, at: int) -> int:
    # The place of the next character that is no blank.
    found = _BETWEEN.match(whole, at)
    return at if found is None else found.end()


def _line_at(whole: str, at: int) -> str:
    begin = whole.rfind("\n", 0, at) + 1
    return whole[begin : begin + 1000].partition("\n")[0]


def _decode(whole: str, at: int) -> tuple[Any, int, str]:
    # Returns the value, its end, and the rule that it breaks, if any.
    try:
        return *_ONCE_EACH.raw_decode(whole, at), ""
    except _DuplicateField as error:
        return None, _ANY.raw_decode(whole, at)[1], str(error)


class _DuplicateField(Exception):
    """
    An object has a field twice; the message is the rule that it breaks.
    """


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        name = next(name for name in names if names.count(name) > 1)
        raise _DuplicateField(f"has the field {shorten(name)!r} more than once")
    return fields


_ONCE_EACH: Final = json.JSONDecoder(object_pairs_hook=_once_each)
_ANY: Final = json.JSONDecoder()
