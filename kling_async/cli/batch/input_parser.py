"""
Parses the lines of an input into requests, or into the rules of the format that they break.
"""

import contextlib
import csv
import itertools
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final

import attrs

from kling_async.batch.keyed import KEY_MAX, Keyed
from kling_async.cli.batch.json_items import JsonItem, read_json_array, read_json_lines
from kling_async.cli.input_options import Format
from kling_async.cli.text_input import (
    LIST_MAX,
    START,
    UNDECODED,
    TextKind,
    UnreadableText,
    check_start,
    detect_kind,
    read_text_lines,
)
from kling_async.errors import BrokenRule, InvalidRequest
from kling_async.wire.dialects import OFFICIAL
from kling_async.wire.endpoints.base import Endpoint, TaskRequest
from kling_async.wire.endpoints.registry import DEFAULT_ENDPOINT, endpoint_named, endpoints
from kling_async.wire.endpoints.rules import HALF_A_PAIR
from kling_async.wire.redaction import shorten
from kling_async.wire.request_fields import PATH_MAX, RequestReader, field_names, shown
from kling_async.wire.suggestions import show_unknown, unknown_field_rule

__all__ = ["InputLine", "format_of", "parse"]


_BY_SUFFIX: Final[Mapping[str, Format]] = {
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".json": Format.JSONL,
    ".csv": Format.CSV,
    ".tsv": Format.CSV,
    ".txt": Format.TEXT,
    "": Format.TEXT,
}

_OWN: Final = ("key", "kind")  # fields of a line that are not fields of its request
_DELIMITERS: Final = (",", ";", "\t")
_REST_MAX: Final = 2**20  # characters of a line without its image


def format_of(name: str) -> Format | None:
    """
    Return the format for the suffix of a file's name, or None.
    """
    return _BY_SUFFIX.get(Path(name).suffix.lower())


@attrs.define
class InputLine:
    """
    One request of an input. (It never changes, and is not frozen, which would take three times as long.)

    Attributes:
        number: Of its (first) line in the file, from 1.
        request: The fields that could be read; None if it is not a request at all.
        broken: The rules of the format that it breaks. The rules of requests are checked elsewhere.
    """

    number: int
    request: TaskRequest | None
    key: str | None = None
    broken: tuple[BrokenRule, ...] = ()

    @property
    def item(self) -> TaskRequest | Keyed:
        """
        The item to add to a batch.

        Raises:
            ValueError: It is not a request.
        """
        if self.request is None:
            raise ValueError(f"line {self.number} is not a request")
        return self.request if self.key is None else Keyed(self.request, self.key)


class LineReader:
    """
    Makes requests of the fields of lines.

    Attributes:
        ignored: Fields that are left out.
    """

    def __init__(self, folder: Path, ignored: Collection[str]) -> None:
        self.ignored: Final = ignored
        self._folder = folder
        self._readers: dict[str, RequestReader] = {}  # by kind

    def read(self, number: int, fields: dict[str, Any], *, is_text: bool = False) -> InputLine:
        """
        Return the request of a line, and what is wrong with its fields. It takes the key and the kind out of *fields*.
        """
        if self.ignored:
            fields = {name: value for name, value in fields.items() if name not in self.ignored}
        key, kind = fields.pop("key", None), fields.pop("kind", None)
        name = str(kind) if kind else DEFAULT_ENDPOINT.name
        try:
            reader = self._readers.get(name) or self._add(name)
        except InvalidRequest:
            names = ", ".join(endpoint.name for endpoint in endpoints())
            rule = f"is not an endpoint; the endpoints are {names}"
            return InputLine(number, None, None, (BrokenRule("kind", shown(kind), rule),))
        text, rule = _read_key(key)
        if not rule and reader.is_plain(fields):  # as in most lines
            return InputLine(number, reader.construct(fields), text)
        request, broken = reader.make(fields, self._folder, is_text=is_text)
        if not reader.names.issuperset(fields):
            broken = (*_unknown_fields(name, fields, reader.names), *broken)
        if rule:
            broken = (*broken, BrokenRule("key", shown(key), rule))
        return InputLine(number, request, text, broken)

    def _add(self, kind: str) -> RequestReader:
        self._readers[kind] = RequestReader(endpoint_named(kind))
        return self._readers[kind]


def _unknown_fields(kind: str, fields: Mapping[str, Any], known: Collection[str]) -> Iterator[BrokenRule]:
    for name, value in fields.items():
        if name not in known:
            yield BrokenRule(shorten(name), show_unknown(name, value), _unknown_field(endpoint_named(kind), name))


def parse(
    file: IO[bytes],
    form: Format,
    folder: Path,
    *,
    image_max_bytes: int = OFFICIAL.image_max_bytes,
    ignored: Collection[str] = (),
) -> Iterator[InputLine]:
    """
    Parse *file* lazily; skip blank lines. Paths of reference images are relative to *folder*.

    A table with an unusable header gives one broken line and nothing else; so does a file that is not text. Parsing
    stops after an error in the syntax of a table and after an overlong line, since the rest may begin in the middle of
    a cell.

    Args:
        image_max_bytes: The largest reference image before Base64; it limits the length of cells and lines.
        ignored: Columns of a table, or fields of objects, that are left out.
    """
    cell_max, reader = 4 * -(-image_max_bytes // 3) + PATH_MAX, LineReader(folder, ignored)
    try:
        is_array = form is Format.JSONL and _begins_array(file)
        texts = read_text_lines(file, LIST_MAX if is_array else cell_max + _REST_MAX)
        match form:
            case Format.TEXT:
                yield from _parse_text(texts)
            case Format.JSONL:
                items = read_json_array(texts) if is_array else read_json_lines(texts)
                yield from _parse_json(items, reader)
            case Format.CSV:
                yield from _parse_table(texts, reader, cell_max)
    except UnreadableText as error:
        yield _no_request(error.line, "", str(error))


def _begins_array(file: IO[bytes]) -> bool:
    began = file.tell()
    start = check_start(file.read(START))
    file.seek(began)
    return detect_kind(start, "prompt") is TextKind.ARRAY


def _parse_text(texts: Iterator[str]) -> Iterator[InputLine]:
    for number, text in enumerate(texts, 1):
        if HALF_A_PAIR.search(text):
            yield _no_request(number, "", UNDECODED)
        elif prompt := text.strip():
            yield InputLine(number, DEFAULT_ENDPOINT.request_class(prompt))


def _parse_json(items: Iterator[JsonItem], reader: LineReader) -> Iterator[InputLine]:
    for item in items:
        if item.rule:
            yield _no_request(item.number, item.text, item.rule)
        elif isinstance(item.value, dict):
            yield reader.read(item.number, item.value)
        else:
            yield _no_request(item.number, item.text, 'must be an object, such as {"prompt": "a lighthouse"}')


def _parse_table(texts: Iterator[str], reader: LineReader, cell_max: int) -> Iterator[InputLine]:
    names: list[str] | None = None
    for number, cells, rule in _rows(texts, cell_max):
        if rule:
            yield _no_request(number, "", rule)
            if names is None:
                return
        elif names is None:
            names = cells
            if broken := tuple(_broken_header(names, reader.ignored)):
                yield InputLine(number, None, None, broken)
                return
        elif len(cells) != len(names):
            what = f"must have {len(names)} cells, as the header has, not {len(cells)}"
            yield _no_request(number, cells[0], f"{what}; quote cells that contain a comma")
        else:
            given = zip(names, cells, strict=True)
            fields = dict(given) if all(cells) else {name: cell for name, cell in given if cell}
            yield reader.read(number, fields, is_text=True)


def _rows(texts: Iterator[str], cell_max: int) -> Iterator[tuple[int, list[str], str]]:
    # Yields the number of each row's first line, its cells, and the rule that it breaks, if any.
    head = list(_up_to_text(texts))
    reader = csv.reader(itertools.chain(head, texts), delimiter=_delimiter_of(head[-1] if head else ""), strict=True)
    number = 1
    with _cells_up_to(cell_max):
        try:
            for row in reader:
                cells = list(map(str.strip, row))
                text = "".join(cells)
                if not text.isascii() and HALF_A_PAIR.search(text):
                    yield number, [], UNDECODED
                elif text:
                    yield number, cells, ""
                number = reader.line_num + 1
        except csv.Error as error:  # the rest of the file may be the rest of a cell
            yield number, [], f"is not valid CSV: {error}; the rest is not read"


def _up_to_text(texts: Iterator[str]) -> Iterator[str]:
    for text in texts:
        yield text
        if text.strip():
            return


@contextlib.contextmanager
def _cells_up_to(characters: int) -> Iterator[None]:
    # The limit is global to the process.
    before = csv.field_size_limit(characters)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _delimiter_of(header: str) -> str:
    # Where the comma is the decimal separator, spreadsheets separate cells with semicolons.
    known = {*_OWN, *field_names(DEFAULT_ENDPOINT)}
    for delimiter in _DELIMITERS:  # none finds more names, and the other endpoints need not be loaded
        if known.issuperset(_names_in(header, delimiter)):
            return delimiter
    known.update(*map(field_names, endpoints()))
    return max(_DELIMITERS, key=lambda delimiter: len(known & _names_in(header, delimiter)))


def _names_in(header: str, delimiter: str) -> set[str]:
    return {cell.strip(' "\r\n') for cell in header.split(delimiter)}


def _unknown_field(endpoint: Endpoint[Any], name: str) -> str:
    rule = unknown_field_rule(endpoint.request_class.__name__, name, (*field_names(endpoint), *_OWN))
    return f"{rule}; to leave it out, use --ignore-columns"


def _broken_header(names: list[str], ignored: Collection[str]) -> Iterator[BrokenRule]:
    # With a column "kind" the fields depend on the row.
    names = [name for name in names if name not in ignored]
    known = None if "kind" in names else {*_OWN, *field_names(DEFAULT_ENDPOINT)}
    for name in dict.fromkeys(names):
        if known is not None and name not in known:
            yield BrokenRule("column", repr(shorten(name)), _unknown_field(DEFAULT_ENDPOINT, name))
        elif names.count(name) > 1:
            yield BrokenRule("column", repr(name), "must occur once")
    if known is not None and "prompt" not in names:
        yield BrokenRule("column", "'prompt'", "is missing; the first line must name the columns")


def _read_key(value: object) -> tuple[str | None, str]:
    # Returns the key, and the rule that it breaks, if any.
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str) and value.strip() and len(value) <= KEY_MAX:
        if value.isascii() or not HALF_A_PAIR.search(value):
            return value, ""
    elif value is None or value == "":
        return None, ""
    return None, f"must be text of 1 to {KEY_MAX} characters, not blank"


def _no_request(number: int, text: str, rule: str) -> InputLine:
    return InputLine(number, None, None, (BrokenRule("line", repr(shorten(text.strip())) if text else "", rule),))
