"""
Rules that several endpoints share. Each yields the broken ones of a few fields, so that a request reports all at once.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from kling_async.errors import BrokenRule
from kling_async.wire.dialects import Dialect
from kling_async.wire.endpoints.base import ID_LENGTH, TaskRequest, stands_in_path
from kling_async.wire.endpoints.inputs import FileFacts, describe_source
from kling_async.wire.redaction import hide_query, shorten

__all__ = [
    "HALF_A_PAIR",
    "WHOLE_CHARACTERS",
    "address_rules",
    "audio_rules",
    "broken",
    "choice_rule",
    "element_rules",
    "flag_rule",
    "image_rules",
    "is_absolute",
    "number_rule",
    "one_of",
    "text_rule",
    "unicode_rules",
    "whole_rule",
]

_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
"""
Control characters that no prompt contains on purpose: they come from text in another encoding, or from binary data.
Tabs and line breaks are typed by people, in cells of tables and in forms of web pages.
"""

HALF_A_PAIR: Final = re.compile("[\ud800-\udfff]")
"""
Half of a surrogate pair: JSON and Python can hold one, but no text can be sent with it, and no file named.
"""

WHOLE_CHARACTERS: Final = "must be whole Unicode characters: it holds half of a surrogate pair"


def text_rule(field: str, value: Any, longest: int, *, is_required: bool = False) -> Iterator[BrokenRule]:
    """
    Check the type and length of text, in characters. None is allowed unless it is required.
    """
    if value is None and not is_required:
        return
    length = f"; it has {len(value)}" if isinstance(value, str) else ""
    if not isinstance(value, str) or len(value) > longest or (is_required and not value.strip()):
        rule = f"1 to {longest} characters, not all blank" if is_required else f"at most {longest} characters"
        yield broken(field, value, f"must be text of {rule}{length}")


def unicode_rules(request: object, fields: Iterable[str]) -> Iterator[BrokenRule]:
    """
    Check that the text in *fields* can be sent and was meant to be.
    """
    for field in fields:
        value = getattr(request, field)
        if not isinstance(value, str) or value.isprintable():  # then it holds neither
            continue
        if HALF_A_PAIR.search(value):
            yield broken(field, value, WHOLE_CHARACTERS)
        if control := _CONTROL.search(value):
            where = f"U+{ord(control[0]):04X} at character {control.start() + 1}"
            yield broken(field, value, f"must hold no control characters but tabs and line breaks; it has {where}")


def whole_rule(field: str, value: Any, least: int, most: int) -> Iterator[BrokenRule]:
    """
    Check a whole number.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        yield broken(field, value, f"must be a whole number from {least} to {most}")


def number_rule(field: str, value: Any, least: float, most: float) -> Iterator[BrokenRule]:
    """
    Check a number that may be None.
    """
    if value is None:
        return
    # "not (least <= x <= most)" also refuses NaN
    if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
        yield broken(field, value, f"must be a number from {least:g} to {most:g}")


def flag_rule(field: str, value: Any) -> Iterator[BrokenRule]:
    """
    Check a bool that may be None.
    """
    if value is not None and not isinstance(value, bool):
        yield broken(field, value, "must be True or False")


def choice_rule(field: str, value: Any, choices: Collection[str], dialect: Dialect) -> Iterator[BrokenRule]:
    """
    Check a word that may be None; a service without *choices* does not take the field.
    """
    if value is not None and value not in choices:
        yield broken(field, value, one_of(choices) if choices else f"is not taken by {dialect.name} services")


def element_rules(elements: Any) -> Iterator[BrokenRule]:
    """
    Check `element_list`, which names elements by their ids.
    """
    if not isinstance(elements, tuple) or not all(type(element) is int and element > 0 for element in elements):
        yield broken("element_list", elements, "must be a list of elements' ids, which are whole numbers")


def address_rules(dialect: Dialect, request: TaskRequest, *, takes_external_id: bool = True) -> Iterator[BrokenRule]:
    """
    Check `callback_url` and `external_task_id`, which every request has.
    """
    if request.callback_url is not None and not is_absolute(request.callback_url):
        yield broken("callback_url", request.callback_url, "must be an absolute http(s) URL")
    external_id: Any = request.external_task_id
    if external_id is None:
        return
    if not dialect.external_ids or not takes_external_id:
        yield broken("external_task_id", external_id, f"is not taken by {dialect.name} services")
    elif not isinstance(external_id, str) or not stands_in_path(external_id):
        rule = f"must be text of at most {ID_LENGTH} characters that can stand in a path"
        yield broken("external_task_id", external_id, rule)


def image_rules(
    place: str, source: object, image: FileFacts | None, dialect: Dialect, *, has_ratio: bool = True
) -> Iterator[BrokenRule]:
    """
    Check a picture that is sent; None is one that the service fetches from a URL.

    Args:
        has_ratio: Whether the ratio of its sides is limited, if the service limits it.
    """
    if image is None:
        return
    shown = describe_source(source)
    if image.size_in_bytes > dialect.image_max_bytes:
        limit = f"{dialect.image_max_bytes} bytes"
        yield BrokenRule(place, shown, f"must be at most {limit} before Base64; it has {image.size_in_bytes}")
    if image.kind not in ("jpg", "png"):
        yield BrokenRule(place, shown, "must be a jpg or png picture, by its content")
        return
    if not image.width or not image.height:
        yield BrokenRule(place, shown, "has a damaged header: its sides cannot be read")
        return
    if image.flaw is not None:
        yield BrokenRule(place, shown, image.flaw)
    sides = f"it has {image.width}x{image.height}"
    if min(image.width, image.height) < dialect.image_min_side:
        yield BrokenRule(place, shown, f"must have sides of at least {dialect.image_min_side} pixels; {sides}")
    ratio = max(image.width, image.height) / min(image.width, image.height)
    if has_ratio and dialect.image_max_ratio is not None and ratio > dialect.image_max_ratio:
        limit = f"1:{dialect.image_max_ratio:g} to {dialect.image_max_ratio:g}:1"
        yield BrokenRule(place, shown, f"must have a ratio of {limit}; {sides}")


def audio_rules(
    place: str, source: object, sound: FileFacts | None, dialect: Dialect, *, seconds: tuple[int, int]
) -> Iterator[BrokenRule]:
    """
    Check a sound that is sent; None is one that the service fetches from a URL.

    Args:
        seconds: The least and the most that it may last. Checked if its header says how long it lasts.
    """
    if sound is None:
        return
    shown = describe_source(source)
    if sound.size_in_bytes > dialect.sound_max_bytes:
        limit = f"{dialect.sound_max_bytes} bytes"
        yield BrokenRule(place, shown, f"must be at most {limit} before Base64; it has {sound.size_in_bytes}")
    if sound.kind not in ("mp3", "wav", "m4a", "aac"):
        yield BrokenRule(place, shown, "must be an mp3, wav, m4a or aac sound, by its content; an mp4 is not taken")
        return
    if sound.flaw is not None:
        yield BrokenRule(place, shown, sound.flaw)
    least, most = seconds
    if sound.seconds is not None and not least <= sound.seconds <= most:
        yield BrokenRule(place, shown, f"must last {least} to {most} seconds; it lasts {sound.seconds:.3g}")


def broken(field: str, value: object, rule: str) -> BrokenRule:
    """
    Return a broken rule with *value* fit to be shown.
    """
    if isinstance(value, str):
        return BrokenRule(field, repr(shorten(hide_query(value) if field.endswith("_url") else value)), rule)
    try:
        return BrokenRule(field, shorten(repr(value)), rule)
    except ValueError:  # Python refuses to write a number of more than 4300 digits
        return BrokenRule(field, f"<{type(value).__name__}>", rule)


def one_of(words: Iterable[str]) -> str:
    """
    Return the rule that a value must be one of *words*.
    """
    return "must be one of " + ", ".join(words)


def is_absolute(url: object) -> bool:
    """
    Return whether *url* is an http(s) URL with a host, and without blanks.
    """
    if not isinstance(url, str) or any(character.isspace() for character in url):
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
