"""
Makes a request of the fields that a line of an input, a command or an agent gives as text or JSON.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Final, TypeAlias, get_args, get_origin

import attrs

from kling_async.errors import BrokenRule
from kling_async.wire.endpoints.base import Endpoint, TaskRequest
from kling_async.wire.endpoints.inputs import FileInput, FileSource
from kling_async.wire.redaction import shorten

__all__ = ["PATH_MAX", "field_names", "image_source", "make_request", "shown"]

PATH_MAX: Final = 4096
"""
Characters: no path is longer, and no image in Base64 is shorter.
"""

_WORDS: Final[Mapping[str, bool]] = {
    "true": True,
    "false": False,
    "yes": True,
    "no": False,
    "on": True,
    "off": False,
}

_Field: TypeAlias = "attrs.Attribute[Any]"


def image_source(text: str) -> str | Path:
    """
    Return a file that is given as text: a URL as it is, anything else as a path.
    """
    return text if text[:8].lower().startswith(("http://", "https://", "data:")) else Path(text)


def field_names(endpoint: Endpoint[Any]) -> list[str]:
    """
    Return the names of the fields that a request of *endpoint* has.
    """
    return list(attrs.fields_dict(endpoint.request_class))


def make_request(
    endpoint: Endpoint[Any], fields: Mapping[str, Any], folder: Path, *, is_text: bool
) -> tuple[TaskRequest, tuple[BrokenRule, ...]]:
    """
    Return a request with *fields*, and the rules of the format that they break. The rules of requests are checked
    elsewhere. Fields that it does not have, and empty ones, are left out.

    Args:
        folder: To which paths of files are relative.
        is_text: Whether all values are text, as in a table and on a command line: numbers and yes or no are read from
            it, and a list or an object is JSON. What cannot be read stays text: the rule of its field reports it.
    """
    known = attrs.fields_dict(endpoint.request_class)
    given: dict[str, Any] = {}
    broken: list[BrokenRule] = []
    inputs = {each.field: each for each in endpoint.inputs}
    for name, field in known.items():
        value = fields.get(name)
        if value in (None, ""):
            continue
        value = _read_texts(field, value) if is_text else value
        try:
            given[name] = _with_items(field, value, inputs.get(name), folder)
        except _NoFile as error:
            broken.append(BrokenRule(name, shown(error.args[0]), "must be a URL, a path or Base64, as text"))
        except _NoItem as error:
            broken.append(BrokenRule(name, shown(value), str(error)))
    missing = {name: "" for name, field in known.items() if field.default is attrs.NOTHING}
    return endpoint.request_class(**{**missing, **given}), tuple(broken)


def shown(value: object) -> str:
    """
    Return *value* fit to be shown in a message.
    """
    return shorten(repr(value))


class _NoFile(Exception):
    """
    A value that cannot be a file.
    """


class _NoItem(Exception):
    """
    An object in a list that lacks fields or has unknown ones; the message is the rule that it breaks.
    """


def _item(kind: Any, fields: Mapping[str, Any]) -> Any:
    known = attrs.fields_dict(kind)
    needed = [name for name, field in known.items() if field.default is attrs.NOTHING]
    if not known.keys() >= fields.keys() >= set(needed):
        raise _NoItem(
            f"must be objects with the fields {', '.join(known)}; {', '.join(needed) or 'none'} must be there"
        )
    return kind(**fields)


def _types_of(field: _Field) -> tuple[Any, ...]:
    return get_args(field.type) if isinstance(field.type, UnionType) else (field.type,)


def _kinds_of_items(field: _Field) -> tuple[Any, ...]:
    # Empty if it is no list.
    return next((get_args(kind) for kind in _types_of(field) if get_origin(kind) is tuple), ())


def _read_texts(field: _Field, value: Any) -> Any:
    # A field that is given several times is a list of texts, each of one item or more.
    if isinstance(value, str):
        return _read_text(field, value)
    read = [_read_text(field, text) for text in value]
    return [item for each in read for item in (each if isinstance(each, list) else [each])]


def _read_text(field: _Field, text: str) -> Any:
    types = _types_of(field)
    if kinds := _kinds_of_items(field):
        if text.startswith(("[", "{")):
            items = _read_json(text)
            return [items] if isinstance(items, dict) else items
        return [_read_number(word, kinds) for word in text.split()] if int in kinds else [text]
    if any(get_origin(kind) is Mapping or get_origin(kind) is get_origin(Mapping[str, Any]) for kind in types):
        return _read_json(text)
    if bool in types:
        return _WORDS.get(text.lower(), text)
    return _read_number(text, types)


def _read_json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _read_number(text: str, types: tuple[Any, ...]) -> Any:
    if (int in types or float in types) and text.isdecimal() and len(text) < 20:
        return int(text)
    if float in types:
        try:
            return float(text)
        except ValueError:
            pass
    return text


def _with_items(field: _Field, value: Any, file: FileInput | None, folder: Path) -> Any:
    # Objects in a list become the small class of its items; texts that are files become URLs or paths.
    kinds_of_items = _kinds_of_items(field)
    if not kinds_of_items:
        return value if file is None else _source(value, folder)
    if not isinstance(value, list):
        return value
    kinds = [kind for kind in kinds_of_items if attrs.has(kind)]
    items = [_item(kinds[0], item) if kinds and isinstance(item, dict) else item for item in value]
    if file is None:
        return items
    if file.part is None:
        return [_source(item, folder) for item in items]
    return [_item_with_source(item, file.part, folder) for item in items]


def _item_with_source(item: Any, part: str, folder: Path) -> Any:
    if not attrs.has(type(item)):
        return _source(item, folder)
    source = getattr(item, part)
    return item if source is None else attrs.evolve(item, **{part: _source(source, folder)})


def _source(value: Any, folder: Path) -> FileSource:
    if not isinstance(value, str):
        raise _NoFile(value)
    if len(value) > PATH_MAX:
        return value
    source = image_source(value)
    return folder / source if isinstance(source, Path) else source
