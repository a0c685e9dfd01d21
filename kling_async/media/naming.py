"""
Names for files: inside their folder, safe on every system, and never equal by accident.
"""

import hashlib
import re
import string
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path, PureWindowsPath
from typing import Final
from urllib.parse import urlsplit

import attrs

from kling_async.wire.redaction import shorten
from kling_async.wire.suggestions import nearest_names
from kling_async.wire.tasks import TaskResult

__all__ = [
    "DEFAULT_NAME",
    "ROW_FIELDS",
    "TASK_FIELDS",
    "NameTemplate",
    "check_template",
    "folded",
    "is_url",
    "local_folder",
    "looks_like_file",
]

DEFAULT_NAME: Final = "{task_id}-{index}{ext}"
"""
The template of file names.
"""

TASK_FIELDS: Final = ("task_id", "number", "prompt", "index", "ext")
"""
The fields that a template may have. Their values are in `NameTemplate`.
"""

ROW_FIELDS: Final = ("task_id", "key", "number", "prompt", "index", "ext")
"""
The fields where the task belongs to a row of a batch.
"""

_NAME_MAX: Final = 200  # bytes; file systems allow 255, and a temporary file adds to the name
_WORDS_MAX: Final = 5
_PROMPT_MAX: Final = 40
_PROMPT_READ: Final = 400  # characters that are searched for words
_SUFFIXES: Final = frozenset(
    {".png", ".jpg", ".jpeg", ".webp", ".gif", ".mp4", ".mov", ".webm", ".mp3", ".wav", ".m4a", ".aac"}
)
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(://|::)")  # of two letters at least: a drive has one
_WIDE: Final = re.compile(r"\d{4}")  # in a format: "{index:1000000000}" would take as many bytes
_RESERVED: Final = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*(\.|$)", re.IGNORECASE)


@attrs.frozen
class NameTemplate:
    """
    A template with its values: the names of the files of one task, relative to where they are saved.

    Attributes:
        template: With `ROW_FIELDS`, those of `number` and `key` only if they are known; it may name folders.
        key: Of a row of a batch.
        number: Of the request among those of its client, command or batch, from 1.
        prompt: Of the request, or another text that identifies it. Names have its first words; if it has none, or it
            is not known, the task's id.
        has_colliding_key: Whether some file systems confuse the key with that of an earlier row; adds a digest.
        mark: Part of the names of partial files, if only one process writes them: the next one that it begins replaces
            one that a crash has left. None gives each a unique name.
        staging_dir: A hidden folder for partial files, if several processes may write one file at a time: one that was
            thought dead, and its replacement. The run's first process makes it, so that a machine that does not see it
            has another folder. What is left in it may be removed.
    """

    template: str
    task_id: str
    key: str | None = None
    number: int | None = None
    prompt: str = ""
    has_colliding_key: bool = False
    mark: str | None = None
    staging_dir: str | None = None

    @classmethod
    def of(cls, template: str, result: TaskResult) -> "NameTemplate":
        """
        Return *template* with the values of *result*.
        """
        return cls(template, result.task_id, number=result.number, prompt=result.prompt)

    @classmethod
    def trial(cls, template: str, fields: Collection[str], value: str = "0", number: int = 1) -> "NameTemplate":
        """
        Return *template* with *value* for its texts, to check it before there is a task. All prompts are equal.

        Args:
            fields: `TASK_FIELDS` or `ROW_FIELDS`.
        """
        key = value if "key" in fields else None
        return cls(template, value, key, number if "number" in fields else None, "prompt")

    def check(self, indices: Iterable[int]) -> None:
        """
        Refuse a template before anything is downloaded.

        Raises:
            ValueError: It has unknown fields, leads out of the folder, or gives two files of one kind the same name.
        """
        self.check_files([("image", index) for index in indices])

    def check_files(self, files: Collection[tuple[str, int]]) -> None:
        """
        Do what `check` does for files given by their kinds and indices.
        """
        paths = [self.path(index, f".{kind}") for kind, index in files or [("image", 0)]]
        if len(set(paths)) < len(paths):
            raise ValueError(f"The name {self._shown} gives two files one name; put {{index}} into it.")

    def path(self, index: int, ext: str) -> Path:
        return Path(*self.parts(index, ext))

    def parts(self, index: int, ext: str) -> list[str]:
        """
        Return the names of the folders and of the file.
        """
        text = self._filled(index, ext)
        parts = [part for part in re.split(r"[/\\]", text) if part not in ("", ".")]
        if PureWindowsPath(text).root or ".." in parts or not parts:
            raise ValueError(f"The name {self._shown} must be that of a file inside the folder.")
        return [*map(_safe_part, parts)]

    def _filled(self, index: int, ext: str) -> str:
        allowed = [
            field
            for field in ROW_FIELDS
            if (field != "key" or self.key is not None) and (field != "number" or self.number is not None)
        ]
        try:
            fields = [part[1:3] for part in string.Formatter().parse(self.template) if part[1] is not None]
        except ValueError:  # such as a single brace
            fields = None
        unknown = [name for name, _ in fields or () if name not in allowed]
        if unknown and unknown[0] is not None and unknown[0].isidentifier():
            raise ValueError(f"The name {self._shown} has an {_unknown_field(unknown[0], allowed)}.")
        if fields is not None and not unknown and not any(_WIDE.search(spec or "") for _, spec in fields):
            try:
                return self.template.format(**self._values(index, ext))
            except (ValueError, LookupError):  # such as a field inside a field
                pass
        listed = ", ".join(f"{{{field}}}" for field in allowed)
        rule = f"must be a format string with no other fields than {listed}, each of fewer than 1,000 characters"
        raise ValueError(f"The name {self._shown} {rule}.")

    def _values(self, index: int, ext: str) -> dict[str, object]:
        task_id = _safe_value(self.task_id)
        values: dict[str, object] = {"task_id": task_id, "index": index, "ext": ext}
        if "{prompt" in self.template:
            values["prompt"] = _first_words(self.prompt) or task_id
        if self.number is not None:
            values["number"] = self.number
        if self.key is not None:
            safe = _safe_value(self.key)
            values["key"] = f"{safe}~{_digest(self.key)}" if self.has_colliding_key and safe == self.key else safe
        return values

    @property
    def _shown(self) -> str:
        return repr(shorten(self.template, 200))


def check_template(template: str, fields: Collection[str], *, files: int = 1, is_one: bool = False) -> None:
    """
    Refuse a template with which saving would fail, or files would replace each other.

    Args:
        fields: `TASK_FIELDS` or `ROW_FIELDS`.
        files: The largest number of files of one kind that a task has.
        is_one: Whether there is only one task.

    Raises:
        ValueError: It has unknown fields, leads out of the folder, or gives two files the same name.
    """
    # Ids and numbers that begin alike: a format that cuts them makes them equal.
    trials = (f"{'0' * 50}{word}" for word in "ab")
    first, second = (NameTemplate.trial(template, fields, value, number) for number, value in enumerate(trials, 10**9))
    first.check(range(files))
    if not is_one and first.path(0, ".png") == second.path(0, ".png"):
        *others, last = (f"{{{field}}}" for field in fields if field in ("task_id", "key", "number"))
        what = f"can give two tasks one name; put {', '.join(others)} or {last} into it, uncut."
        raise ValueError(f"The name {shorten(template, 200)!r} {what}")


def _unknown_field(name: str, allowed: Sequence[str]) -> str:
    listed = ", ".join(f"{{{field}}}" for field in allowed)
    what = f"unknown field {{{shorten(name)}}}"
    if name == "number":
        return f"{what}: this task has no number. Its fields are {listed}"
    if name == "key":
        return f"{what}: only rows of a batch have a key. Its fields are {listed}"
    near = " or ".join(f"{{{field}}}" for field in nearest_names(name, allowed))
    return f"{what}{f'; did you mean {near}?' if near else '.'} Its fields are {listed}"


def _first_words(text: str) -> str:
    # The words as letters of any script: a mark, such as a vowel sign, belongs to the letter before it.
    start = unicodedata.normalize("NFC", text[:_PROMPT_READ]).lower()
    letters = "".join(each if each.isalnum() or unicodedata.category(each)[0] == "M" else " " for each in start)
    words = [word for word in letters.split() if any(map(str.isalnum, word))]
    return "-".join(words[:_WORDS_MAX])[:_PROMPT_MAX].rstrip("-")


def folded(key: str) -> str:
    """
    Return a form that is equal for all keys that name one file on some file system: macOS and Windows ignore case, and
    macOS also ignores the Unicode normalization form. A few keys that no file system confuses are equal, too.
    """
    decomposed = unicodedata.normalize("NFD", key)
    return unicodedata.normalize("NFD", decomposed.upper().casefold())


def looks_like_file(path: Path) -> bool:
    """
    Return whether *path*, which should be that of a folder, has the suffix of a file that tasks make, or that callers
    expect.
    """
    return path.suffix.lower() in _SUFFIXES and not path.is_dir()


def is_url(place: object) -> bool:
    """
    Return whether *place* is a URL rather than a path.
    """
    return isinstance(place, str) and _URL.match(place) is not None


def local_folder(place: str) -> Path | None:
    """
    Return the path of a folder of this machine, which is written to directly; None for a storage.
    """
    if not is_url(place):
        return Path(place)
    parts = urlsplit(place)
    if parts.scheme in ("file", "local") and parts.netloc in ("", "localhost"):
        from urllib.request import url2pathname  # noqa: PLC0415 (it loads HTTP)

        return Path(url2pathname(parts.path))
    return None


def _without_unsafe(text: str) -> str:
    # What Windows forbids is replaced everywhere: files are copied between systems.
    return "".join("_" if character in '<>:"/\\|?*' or not character.isprintable() else character for character in text)


def _with_ends(text: str, *, start: bool) -> str:
    # Dots and blanks become one "_" at the end, where Windows drops them, and at the *start*, where a dot hides a file.
    if start and (bare := text.lstrip(". ")) != text:
        text = f"_{bare}"
    return text if (bare := text.rstrip(". ")) == text else f"{bare}_"


def _safe_value(value: str) -> str:
    safe = _with_ends(_without_unsafe(value), start=True)
    # the digest keeps values apart that differ only in what was replaced
    return safe if safe == value and value else f"{safe}~{_digest(value)}"


def _safe_part(part: str) -> str:
    safe = _with_ends(_without_unsafe(part), start=False)
    if _RESERVED.match(safe):
        stem, dot, ext = safe.partition(".")
        safe = f"_{stem}~{_digest(part)}{dot}{ext}"
    if len(safe.encode()) <= _NAME_MAX:
        return safe
    _, dot, ext = safe.rpartition(".")
    end = f"~{_digest(safe)}" + (dot + ext if len(ext.encode()) <= 8 else "")
    return safe.encode()[: _NAME_MAX - len(end.encode())].decode(errors="ignore") + end


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]
