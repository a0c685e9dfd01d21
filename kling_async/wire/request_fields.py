"""
Makes a request of the fields that a line of an input, a command or an agent gives as text or JSON.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Final, get_args, get_origin

import attrs

from kling_async.errors import BrokenRule
from kling_async.wire.constructors import unexplained
from kling_async.wire.endpoints.base import Endpoint, TaskRequest
from kling_async.wire.endpoints.inputs import FileInput, FileSource
from kling_async.wire.redaction import shorten

__all__ = ["PATH_MAX", "RequestReader", "field_names", "image_source", "make_request", "shown"]

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

_MAPPING: Final = get_origin(Mapping[str, Any])


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


class RequestReader:
    """
    Makes requests of one endpoint. What its fields take is found out once, which pays off for more than one request.

    Attributes:
        names: Of the fields that a request has.
        construct: Makes a request of fields that it has, as they are.
    """

    def __init__(self, endpoint: Endpoint[Any]) -> None:
        known, inputs = attrs.fields_dict(endpoint.request_class), {each.field: each for each in endpoint.inputs}
        self.names: Final = frozenset(known)
        self._order = tuple(known)
        self.construct: Final = unexplained(endpoint.request_class)
        self._readers = {name: _FieldReader.of(field, inputs.get(name)) for name, field in known.items()}
        self._texts = frozenset(name for name, reader in self._readers.items() if reader.keeps_text)
        self._missing: Mapping[str, str] = {name: "" for name, field in known.items() if field.default is attrs.NOTHING}

    def is_plain(self, fields: Mapping[str, Any]) -> bool:
        """
        Return whether there is nothing to read in *fields*: all are text that is taken as it is, and none is missing or
        empty. `construct` makes a request of them then, in a third of the time of `make`.
        """
        return self._texts.issuperset(fields) and all(fields.values()) and fields.keys() >= self._missing.keys()

    def make(
        self, fields: Mapping[str, Any], folder: Path, *, is_text: bool
    ) -> tuple[TaskRequest, tuple[BrokenRule, ...]]:
        """
        Do what `make_request` does.
        """
        given: dict[str, Any] = dict(self._missing)
        broken: list[BrokenRule] = []
        for name, value in fields.items():
            reader = self._readers.get(name)
            if reader is None or value in (None, ""):
                continue
            if reader.keeps_text:
                given[name] = value
                continue
            try:
                given[name] = reader.read(value, folder, is_text=is_text)
            except _NoFile as error:
                broken.append(BrokenRule(name, shown(error.args[0]), "must be a URL, a path or Base64, as text"))
            except _NoItem as error:
                broken.append(BrokenRule(name, shown(value), str(error)))
        if len(broken) > 1:
            broken.sort(key=lambda rule: self._order.index(rule.field))
        return self.construct(given), tuple(broken)


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
    return RequestReader(endpoint).make(fields, folder, is_text=is_text)


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


@attrs.frozen
class _FieldReader:
    """
    Reads the values of one field.

    Attributes:
        types: Of which it may be.
        item_kinds: Of which the items of a list may be; empty if it is no list.
        file: What it holds, if it holds a file; None otherwise.
        keeps_text: Whether every value is taken as it is.
    """

    types: tuple[Any, ...]
    item_kinds: tuple[Any, ...]
    file: FileInput | None
    keeps_text: bool

    @classmethod
    def of(cls, field: "attrs.Attribute[Any]", file: FileInput | None) -> "_FieldReader":
        types = get_args(field.type) if isinstance(field.type, UnionType) else (field.type,)
        item_kinds: tuple[Any, ...] = next((get_args(kind) for kind in types if get_origin(kind) is tuple), ())
        return cls(types, item_kinds, file, keeps_text=file is None and {*types} <= {str, type(None)})

    def read(self, value: Any, folder: Path, *, is_text: bool) -> Any:
        """
        Raises:
            _NoFile: It holds a file, and *value* cannot be one.
            _NoItem: An item of *value* lacks fields, or has unknown ones.
        """
        return self._with_items(self._read_texts(value) if is_text else value, folder)

    def _read_texts(self, value: Any) -> Any:
        # A field that is given several times is a list of texts, each of one item or more.
        if isinstance(value, str):
            return self._read_text(value)
        read = [self._read_text(text) for text in value]
        return [item for each in read for item in (each if isinstance(each, list) else [each])]

    def _read_text(self, text: str) -> Any:
        if kinds := self.item_kinds:
            if text.startswith(("[", "{")):
                items = _read_json(text)
                return [items] if isinstance(items, dict) else items
            return [_read_number(word, kinds) for word in text.split()] if int in kinds else [text]
        if any(get_origin(kind) is Mapping or get_origin(kind) is _MAPPING for kind in self.types):
            return _read_json(text)
        if bool in self.types:
            return _WORDS.get(text.lower(), text)
        return _read_number(text, self.types)

    def _with_items(self, value: Any, folder: Path) -> Any:
        # Objects in a list become the small class of its items; texts that are files become URLs or paths.
        if not self.item_kinds:
            return value if self.file is None else _source(value, folder)
        if not isinstance(value, list):
            return value
        kinds = [kind for kind in self.item_kinds if attrs.has(kind)]
        items = [_item(kinds[0], item) if kinds and isinstance(item, dict) else item for item in value]
        if self.file is None:
            return items
        if self.file.part is None:
            return [_source(item, folder) for item in items]
        return [_item_with_source(item, self.file.part, folder) for item in items]


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
