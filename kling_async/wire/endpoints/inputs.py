"""
Fields of requests that hold files: what they accept, and the facts about a file before it is sent.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import attrs

from kling_async.errors import BrokenRule, InvalidRequest
from kling_async.wire.dialects import Dialect
from kling_async.wire.redaction import hide_query

__all__ = [
    "FileFacts",
    "FileInput",
    "FileKind",
    "FileSource",
    "InputMedia",
    "describe_source",
    "describe_sources",
    "take_in",
    "take_in_all",
]


@runtime_checkable
class _Readable(Protocol):
    def read(self) -> bytes: ...


FileSource: TypeAlias = str | Path | bytes
"""
A file in a request: an http(s) URL, a `data:` URL or Base64 as text, a path, or bytes.
"""


def take_in(source: Any, field: str) -> Any:
    """
    Return *source* as a request holds it: a file object and a Pillow image can be read once and cannot be pickled, so
    they become bytes. Any other value is kept, so that validation can report it with all other broken rules.

    Raises:
        InvalidRequest: It cannot be read.
    """
    match source:
        case None | str() | bytes() | Path():
            return source
        case bytearray() | memoryview():
            return bytes(source)
        case _ if _is_pillow(source):
            return _png_of(source, field)
        case _Readable():
            return _content_of(source, field)
        case _:
            return source


def take_in_all(sources: Any, field: str) -> Any:
    """
    Return a list of files as a request holds it: a tuple, with each item as `take_in` returns it. A value that is no
    list is kept, for validation to report.
    """
    if not isinstance(sources, list | tuple):
        return sources
    return tuple(take_in(source, f"{field}[{index}]") for index, source in enumerate(sources))


def _is_pillow(image: object) -> bool:
    pillow = sys.modules.get("PIL.Image")  # imported if there is an instance of it
    return pillow is not None and isinstance(image, pillow.Image)


def _png_of(image: Any, field: str) -> bytes:
    from kling_async.wire.pillow_images import png_of  # noqa: PLC0415 (Pillow is an extra)

    try:
        return png_of(image)
    except Exception as error:
        raise _unreadable(field, image, "a Pillow image that can be decoded and displayed", error) from error


def _content_of(file: _Readable, field: str) -> bytes:
    try:
        return file.read()
    except Exception as error:  # each kind of file object raises its own errors, and a closed one ValueError
        raise _unreadable(field, file, "a file object that can be read", error) from error


def _unreadable(field: str, source: object, kind: str, error: Exception) -> InvalidRequest:
    broken = BrokenRule(field, describe_source(source), f"must be {kind}: {str(error) or type(error).__name__}")
    return InvalidRequest(str(broken), broken=(broken,))


def describe_source(source: object) -> str:
    """
    Describe *source* in a few words, without its content.
    """
    match source:
        case None:
            return "None"
        case bytes():
            return f"<{len(source)} bytes>"
        case Path():
            return f"Path({str(source)!r})"
        case str() if source[:8].lower().startswith(("http://", "https://")):
            return repr(hide_query(source))
        case str() if len(source) <= 40:  # no file is that small: show the value that was passed by mistake
            return repr(source)
        case str():
            return f"<text of {len(source)} characters>"
        case _:
            return f"<{type(source).__name__}>"


def describe_sources(sources: object) -> str:
    """
    Describe a list of files in a few words, without their content.
    """
    if not isinstance(sources, tuple):
        return describe_source(sources)
    return f"({', '.join(map(describe_source, sources))})"


InputMedia: TypeAlias = Literal["picture", "sound"]

FileKind: TypeAlias = Literal["png", "jpg", "mp3", "wav", "m4a", "aac"]
"""
The kinds of files that can be sent: pictures and sounds. Videos are sent as URLs.
"""


@attrs.frozen
class FileFacts:
    """
    The facts about a file before it is sent.

    Attributes:
        size_in_bytes: Bytes of the file itself, before Base64.
        kind: By its content, not its name; None for anything else.
        width: Pixels; None if the header does not say.
        height: Pixels; None if the header does not say.
        flaw: Why the file is truncated or damaged, worded as a broken rule; None if it is complete or was not checked.
        seconds: Seconds that a sound lasts; None unless its header says it, as that of a WAV does.
    """

    size_in_bytes: int
    kind: FileKind | None
    width: int | None = None
    height: int | None = None
    flaw: str | None = None
    seconds: float | None = None


@attrs.frozen
class FileInput:
    """
    A field of a request that holds a file, or a tuple of files.

    A file is named by its place: "image" in a field, "images[0]" in a tuple, "frames[0].image" in a tuple of small
    classes with an attribute `image`.

    Attributes:
        field: Its name; it holds a `FileSource` or None, or a tuple.
        max_bytes: Returns the largest size in bytes at a service, before Base64. A larger file is not read to its end.
        is_list: Whether it holds a tuple, of files or of small classes.
        part: The attribute of those classes that holds the file, or None if this item has none.
        media: What it holds.
    """

    field: str
    max_bytes: Callable[[Dialect], int]
    is_list: bool = False
    part: str | None = None
    media: InputMedia = "picture"

    def sources(self, request: object) -> Iterator[tuple[str, Any]]:
        """
        Yield the place and the source of each file in *request*.
        """
        value = getattr(request, self.field)
        if not self.is_list:
            if value is not None:
                yield self.field, value
            return
        for index, item in enumerate(value if isinstance(value, tuple) else ()):
            source = item if self.part is None else getattr(item, self.part, None)
            if source is not None:
                yield self._place(index), source

    def with_sources(self, value: Any, sources: Mapping[str, Any]) -> Any:
        """
        Return *value* of the field with the files of *sources*, by place, in place of its own.
        """
        if not self.is_list:
            return sources.get(self.field, value)
        if not isinstance(value, tuple):
            return value
        return tuple(self._with_source(item, self._place(index), sources) for index, item in enumerate(value))

    def without_sources(self, value: Any) -> Any:
        """
        Return *value* of the field without its files.
        """
        if not self.is_list:
            return None
        if self.part is None or not isinstance(value, tuple):
            return ()
        return tuple(attrs.evolve(item, **{self.part: None}) for item in value)

    def _place(self, index: int) -> str:
        return f"{self.field}[{index}]" + ("" if self.part is None else f".{self.part}")

    def _with_source(self, item: Any, place: str, sources: Mapping[str, Any]) -> Any:
        if place not in sources:
            return item
        return sources[place] if self.part is None else attrs.evolve(item, **{self.part: sources[place]})
