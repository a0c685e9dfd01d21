"""
Names for files: inside their folder, safe on every system, and never equal by accident.
"""

import hashlib
import re
import string
import unicodedata
from collections.abc import Collection, Iterable
from pathlib import Path, PureWindowsPath
from typing import Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

import attrs

from kling_async.wire.redaction import shorten

__all__ = ["ROW_FIELDS", "TASK_FIELDS", "NameTemplate", "folded", "is_url", "local_folder"]

TASK_FIELDS: Final = ("task_id", "index", "ext")
"""
The fields that a template may have. Their values are in `NameTemplate`.
"""

ROW_FIELDS: Final = ("task_id", "key", "index", "ext")
"""
The fields where the task belongs to a row of a batch.
"""

_NAME_MAX: Final = 200  # bytes; file systems allow 255, and a temporary file adds to the name
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(://|::)")  # of two letters at least: a drive has one
_WIDE: Final = re.compile(r"\d{4}")  # in a format: "{index:1000000000}" would take as many bytes
_RESERVED: Final = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*(\.|$)", re.IGNORECASE)


@attrs.frozen
class NameTemplate:
    """
    A template with its values: the names of the files of one task, relative to where they are saved. A row of a batch
    also has a key.

    Attributes:
        template: With `TASK_FIELDS`, or `ROW_FIELDS` if there is a key; it may name folders.
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
    has_colliding_key: bool = False
    mark: str | None = None
    staging_dir: str | None = None

    @classmethod
    def trial(cls, template: str, fields: Collection[str], value: str = "0") -> "NameTemplate":
        """
        Return *template* with *value* for its texts, to check it before there is a task.

        Args:
            fields: `TASK_FIELDS` or `ROW_FIELDS`.
        """
        return cls(template, value, value if "key" in fields else None)

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
        values: dict[str, object] = {"task_id": _safe_value(self.task_id), "index": index, "ext": ext}
        if self.key is not None:
            safe = _safe_value(self.key)
            values["key"] = f"{safe}~{_digest(self.key)}" if self.has_colliding_key and safe == self.key else safe
        allowed = TASK_FIELDS if self.key is None else ROW_FIELDS
        try:
            fields = [part[1:3] for part in string.Formatter().parse(self.template) if part[1] is not None]
            if all(name in allowed and not _WIDE.search(spec or "") for name, spec in fields):
                return self.template.format(**values)
        except (ValueError, LookupError):  # a broken template, or a field inside a field
            pass
        listed = ", ".join(f"{{{field}}}" for field in allowed)
        rule = f"must be a format string with no other fields than {listed}, each of fewer than 1,000 characters"
        raise ValueError(f"The name {self._shown} {rule}.")

    @property
    def _shown(self) -> str:
        return repr(shorten(self.template, 200))


def folded(key: str) -> str:
    """
    Return a form that is equal for all keys that name one file on some file system: macOS and Windows ignore case, and
    macOS also ignores the Unicode normalization form. A few keys that no file system confuses are equal, too.
    """
    decomposed = unicodedata.normalize("NFD", key)
    return unicodedata.normalize("NFD", decomposed.upper().casefold())


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
