"""
Reads text from files and pipes: tells its kind by its beginning, decodes its lines, and says why it cannot be read.
"""

import codecs
import contextlib
import enum
import io
import re
from collections.abc import Collection, Iterator
from typing import IO, Final

from kling_async.wire.endpoints.rules import HALF_A_PAIR

__all__ = [
    "START",
    "UNDECODED",
    "TextKind",
    "UnreadableText",
    "check_start",
    "detect_kind",
    "read_list",
    "read_text_lines",
]

START: Final = 65536
"""
Number of bytes by which the kind of an input is recognized.
"""

LIST_MAX: Final = 2**26
"""
Bytes of a list of prompts or of ids, which is held in memory; longer ones are for `batch`.
"""

LINE_MAX: Final = 2**25
"""
Default maximum length of a line in characters: room for a picture of 10 MiB in Base64, and the other fields.
"""

_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

_NO_TEXT: Final = (
    (b"PK\x03\x04", "is a zip archive, as workbooks of Excel are; save the table as CSV in UTF-8"),
    (b"\x1f\x8b", "is compressed; unpack it first"),
    (b"%PDF", "is a PDF"),
    (b"SQLite format 3\0", "is a database, as journals are; name the input"),
)
_NUL: Final = "holds NUL bytes, so it is no text, or UTF-16 without a byte order mark; save it as UTF-8"
UNDECODED: Final = "holds bytes that are no UTF-8; save the file in that encoding"
"""
The rule that a line with half of a surrogate pair breaks.
"""

_BOM: Final = "\ufeff"  # files that were joined have one within
_ARRAY: Final = re.compile(r'\[\s*[\[{"\]]')  # but not "[soft light] a fox"
_PAGE: Final = re.compile(r"<(!--|!doctype|\?xml|html|head|body|svg|rss|feed)(?!\w)", re.IGNORECASE)
_WORD: Final = re.compile(r"\w+")
_FIELD: Final = re.compile(r"""(?:(?:---\s+(?:-\s+)?|-\s+)["']?(\w+)["']?:(?!\S)|(\w+)[ \t]*=[ \t]*["'])""")
_LINE_END: Final = re.compile(r"[\r\n]")


class UnreadableText(ValueError):
    """
    An input, or the rest of it, cannot be read; its text is the rule, and `line` counts from 1.
    """

    def __init__(self, rule: str, line: int = 1) -> None:
        super().__init__(rule)
        self.line = line


class TextKind(enum.StrEnum):
    """
    What a text is by its beginning.
    """

    PLAIN = "plain lines"
    OBJECTS = "JSON Lines"
    ARRAY = "a JSON array"
    TABLE = "a table with a header"
    SETTINGS = "YAML or TOML"
    PAGE = "a web page or XML"


def _mark(error: UnicodeError) -> tuple[str, int]:
    # Like "surrogateescape", but for every encoding. A line with such a character is refused.
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\udc80", error.end


codecs.register_error("kling_async.mark", _mark)


def check_start(start: bytes) -> str:
    """
    Return the text at the *start* of an input, without its byte order mark.

    Raises:
        Unreadable: It is no text.
    """
    text = start.decode(_encoding_of(start), "kling_async.mark").removeprefix(_BOM)
    if "\0" in text:
        raise UnreadableText(_NUL)
    return text


def detect_kind(text: str, column: str) -> TextKind:
    """
    Tell what *text* is by its beginning; a table is known by its *column*, "prompt" or "task_id".
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
    Read *file* lazily from where it is, a line at a time, in the encoding that its first bytes tell: UTF-8, or UTF-16
    and UTF-32 with a byte order mark.

    Lines end at `\\n`, `\\r\\n` or `\\r` alone, and keep these. What cannot be decoded is there as half of a surrogate
    pair.

    Raises:
        Unreadable: It is no text, or has a line of more than *line_max* characters.
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
                raise UnreadableText(f"is longer than {line_max:,} characters; nothing from here on is read", number)
            yield line.removeprefix(_BOM)
    finally:
        with contextlib.suppress(ValueError):  # the file was closed meanwhile
            text.detach()  # else it closes the file


def read_list(file: IO[bytes], name: str, column: str, taken: Collection[TextKind] = (TextKind.PLAIN,)) -> list[str]:
    """
    Read all lines of a list, stripped; blank ones are skipped.

    Args:
        name: What the list is called in errors.
        column: What a table of such things would call them.
        taken: What it may look like.

    Raises:
        Unreadable: It looks otherwise, has more than 64 MiB, or cannot be decoded; all these are told by *name*.
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
        raise UnreadableText(f"has more than {LIST_MAX:,} bytes")
    look = detect_kind(check_start(data[:START]), column)
    if look not in taken:
        raise UnreadableText(f"looks like {look}; give one {column.replace('_', ' ')} per line")


def _encoding_of(start: bytes) -> str:
    for magic, rule in _NO_TEXT:
        if start.startswith(magic):
            raise UnreadableText(rule)
    return next((encoding for mark, encoding in _MARKS if start.startswith(mark)), "utf-8")
