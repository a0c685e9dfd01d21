"""
Reads text from files and pipes: detects its kind from its first bytes, and decodes its lines.
"""

import codecs
import contextlib
import enum
import io
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, Final

from kling_async.wire.endpoints.rules import HALF_A_PAIR

__all__ = [
    "LIST_MAX",
    "START",
    "UNDECODED",
    "TextKind",
    "UnreadableText",
    "check_start",
    "detect_kind",
    "is_database",
    "read_list",
    "read_text_lines",
]

START: Final = 65536
"""
The bytes at the start of an input that are read to detect its kind.
"""

LIST_MAX: Final = 2**26
"""
The largest list of prompts or ids in bytes: it is held in memory. `batch` reads larger inputs.
"""

LINE_MAX: Final = 2**25
"""
The default maximum length of a line in characters: enough for an image of 10 MiB in Base64 and the other fields.
"""

_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

_SQLITE: Final = b"SQLite format 3\0"

_NO_TEXT: Final = (
    (b"PK\x03\x04", "is a zip archive (a spreadsheet?); export the table as CSV in UTF-8"),
    (b"\xd0\xcf\x11\xe0", "is an Office document (a spreadsheet?); export the table as CSV in UTF-8"),
    (b"PAR1", "is a Parquet file; export the table as CSV, or as JSON Lines"),
    (b"\x1f\x8b", "is compressed; decompress it first"),
    (b"%PDF", "is a PDF file; use a text file"),
    (_SQLITE, "is a database (a journal?); give the input file instead"),
)
_NUL: Final = "contains NUL bytes: it is not text, or it is UTF-16 without a byte order mark; save it as UTF-8"
UNDECODED: Final = "contains bytes that are not valid UTF-8; save the file as UTF-8"
"""
The rule that a line with an undecodable byte breaks.
"""

_BOM: Final = "\ufeff"  # concatenated files have one in the middle
_ARRAY: Final = re.compile(r'\[\s*[\[{"\]]')  # but not "[soft light] a fox"
_PAGE: Final = re.compile(r"<(!--|!doctype|\?xml|html|head|body|svg|rss|feed)(?!\w)", re.IGNORECASE)
_WORD: Final = re.compile(r"\w+")
_FIELD: Final = re.compile(r"""(?:(?:---\s+(?:-\s+)?|-\s+)["']?(\w+)["']?:(?!\S)|(\w+)[ \t]*=[ \t]*["'])""")
_LINE_END: Final = re.compile(r"[\r\n]")


class UnreadableText(ValueError):
    """
    An input cannot be read, or not past `line`, which counts from 1. The message is the rule that it breaks.
    """

    def __init__(self, rule: str, line: int = 1) -> None:
        super().__init__(rule)
        self.line = line


class TextKind(enum.StrEnum):
    """
    The kinds of text that are detected.
    """

    PLAIN = "plain lines"
    OBJECTS = "JSON Lines"
    ARRAY = "a JSON array"
    TABLE = "a table with a header"
    SETTINGS = "YAML or TOML"
    PAGE = "a web page or XML"


def _mark(error: UnicodeError) -> tuple[str, int]:
    # Works like "surrogateescape", but for every encoding. A line with such a character is refused.
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\udc80", error.end


codecs.register_error("kling_async.mark", _mark)


def check_start(start: bytes) -> str:
    """
    Return the text at the *start* of an input, without its byte order mark.

    Raises:
        UnreadableText: It is not text.
    """
    text = start.decode(_encoding_of(start), "kling_async.mark").removeprefix(_BOM)
    if "\0" in text:
        raise UnreadableText(_NUL)
    return text


def is_database(path: Path) -> bool:
    """
    Return whether the file at *path* begins as a journal does, and every other file of SQLite; False if there is none.
    """
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except OSError:
        return False


def detect_kind(text: str, column: str) -> TextKind:
    """
    Return the kind of *text*, detected from its beginning; a table must have *column* ("prompt" or "task_id").
    """
    text = text.lstrip(_BOM + " \t\r\n")
    if text.startswith("{"):
        return TextKind.OBJECTS
    if _ARRAY.match(text):
        return TextKind.ARRAY
    if _PAGE.match(text):
        return TextKind.PAGE
    if (field := _FIELD.match(text)) and (field[1] or field[2]).lower() == column:
        return TextKind.SETTINGS
    header = _LINE_END.split(text, 1)[0]
    for delimiter in ",;\t|":
        cells = [cell.strip(' "').lower() for cell in header.split(delimiter)]
        if column in cells and all(_WORD.fullmatch(cell) or not cell for cell in cells):
            return TextKind.TABLE
    return TextKind.PLAIN


def read_text_lines(file: IO[bytes], line_max: int = LINE_MAX) -> Iterator[str]:
    """
    Read *file* lazily from its position, a line at a time: UTF-8, or UTF-16 or UTF-32 with a byte order mark.

    Lines end at `\\n`, `\\r\\n` or `\\r` , and keep it. A byte that cannot be decoded becomes half of a surrogate pair.

    Raises:
        UnreadableText: It is not text, or has a line of more than *line_max* characters.
    """
    began = file.tell()
    start = file.read(START)
    check_start(start)
    file.seek(began)
    text = io.TextIOWrapper(file, _encoding_of(start), "kling_async.mark", newline="")
    try:
        number = 0
        while line := text.readline(line_max):
            number += 1
            if len(line) >= line_max:
                raise UnreadableText(f"is longer than {line_max:,} characters; the rest is not read", number)
            yield line.removeprefix(_BOM)
    finally:
        with contextlib.suppress(ValueError):  # the file was closed meanwhile
            text.detach()  # otherwise it closes the file


def read_list(file: IO[bytes], name: str, column: str, taken: Collection[TextKind] = (TextKind.PLAIN,)) -> list[str]:
    """
    Read all lines of a list, stripped; skip blank ones.

    Args:
        name: The name of the list in errors.
        column: The column that a table of such items has.
        taken: The kinds of text that are accepted.

    Raises:
        UnreadableText: It is of another kind, larger than 64 MiB, or cannot be decoded. The message begins with *name*.
    """
    data = file.read(LIST_MAX + 1)
    try:
        _check_list(data, column, taken)
        lines = [line.strip() for line in read_text_lines(io.BytesIO(data))]
    except UnreadableText as error:
        raise UnreadableText(f"{name} {error}", error.line) from None
    for number, line in enumerate(lines, 1):
        if HALF_A_PAIR.search(line):
            raise UnreadableText(f"{name}, line {number}, {UNDECODED}", number)
    return [line for line in lines if line]


def _check_list(data: bytes, column: str, taken: Collection[TextKind]) -> None:
    if len(data) > LIST_MAX:
        raise UnreadableText(f"is larger than {LIST_MAX:,} bytes")
    kind = detect_kind(check_start(data[:START]), column)
    if kind not in taken:
        raise UnreadableText(f"looks like {kind}; it must have one {column.replace('_', ' ')} per line")


def _encoding_of(start: bytes) -> str:
    for magic, rule in _NO_TEXT:
        if start.startswith(magic):
            raise UnreadableText(rule)
    return next((encoding for mark, encoding in _MARKS if start.startswith(mark)), "utf-8")
