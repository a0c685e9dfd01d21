"""
Reads the files of requests, off the event loop: the text to send for each, and the facts about it.

The rules (size, sides, ratio) are the endpoint's: `broken_rules` checks the facts that are found here.
"""

import asyncio
import binascii
import errno
import hashlib
import io
import stat
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import unquote, urlsplit

import attrs

from kling_async.errors import BrokenRule, InvalidRequest
from kling_async.wire.dialects import Dialect
from kling_async.wire.endpoints.base import TaskRequest, sources_of, with_sources
from kling_async.wire.endpoints.inputs import FileFacts, FileSource, InputMedia, describe_source
from kling_async.wire.endpoints.registry import endpoint_of
from kling_async.wire.image_headers import find_flaw, kind_of
from kling_async.wire.redaction import hide_query
from kling_async.wire.sound_headers import find_sound

__all__ = ["Reference", "ReferenceCache", "read_inputs", "read_reference", "with_texts"]

R = TypeVar("R", bound=TaskRequest)
_Sliced = TypeVar("_Sliced", str, bytes)

_PIECE: Final = 768 * 1024  # encoding holds the interpreter's lock for a piece at a time: a millisecond or two
_PATH_MAX: Final = 4096  # text no longer than a path can be is more likely a path than a picture
_TO_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
_BREAKS: Final = b"\t\r\n\f\v"  # removed; not the space, which may be a "+" that a form or URL decoder replaced
_BEGINNINGS: Final = ("iVBOR", "/9j/", "_9j_")  # how the Base64 of a PNG or JPEG starts

_KINDS: Final[Mapping[InputMedia, str]] = {"picture": "a jpg or png", "sound": "an mp3, wav, m4a or aac"}
_OBJECTS: Final[Mapping[InputMedia, str]] = {
    "picture": "bytes, a binary file object or a Pillow image",
    "sound": "bytes or a binary file object",
}


def _any_kind(media: InputMedia) -> str:
    return f"an http(s) URL, a data: URL, or Base64 of {_KINDS[media]}; for a file pass a pathlib.Path"


def _shown(text: str) -> str:
    return repr(hide_query(text)) if _is_url(text) else f"<{len(text)} characters of Base64>"


@attrs.frozen
class Reference:
    """
    A picture or a sound, ready to be checked and sent.

    Attributes:
        text: The URL unchanged, or Base64 without a prefix. Empty if the file is above *max_bytes* and was therefore
            not read to its end; the facts have its true size.
        facts: None for a URL: the service fetches it, not we.
        sha256: Of the file's bytes, in hexadecimal digits; None for a URL, or if not all of it was read.
    """

    text: str = attrs.field(repr=_shown)
    facts: FileFacts | None = None
    sha256: str | None = None


@attrs.define(eq=False, repr=False)
class ReferenceCache:
    """
    Files that were read lately: thousands of requests may share one, and it is read once.

    Args:
        most: Files to keep.
        keeps_text: Whether their text is kept, for sending; otherwise only the facts about them.
    """

    most: int
    keeps_text: bool = True
    _found: OrderedDict[tuple[object, str], Reference | InvalidRequest] = attrs.field(factory=OrderedDict, init=False)

    async def read(self, source: FileSource, field: str, max_bytes: int, media: InputMedia = "picture") -> Reference:
        """
        Return the file if it is kept; otherwise read it as `read_reference` does.
        """
        if not isinstance(source, str | Path | bytes):  # not a file, and perhaps not hashable
            return await read_reference(source, field=field, max_bytes=max_bytes, media=media)
        key = (source, field)
        if key not in self._found:
            try:
                reference = await read_reference(source, field=field, max_bytes=max_bytes, media=media)
                self._found[key] = reference if self.keeps_text else attrs.evolve(reference, text="")
            except InvalidRequest as error:
                self._found[key] = error.with_traceback(None)
            if len(self._found) > self.most:
                self._found.popitem(last=False)
        cached = self._found.get(key)
        if isinstance(cached, InvalidRequest):
            raise attrs.evolve(cached)
        if cached is not None:
            return cached
        return await read_reference(source, field=field, max_bytes=max_bytes, media=media)


async def read_inputs(
    request: TaskRequest, dialect: Dialect, cache: ReferenceCache | None = None
) -> tuple[dict[str, Reference], tuple[BrokenRule, ...]]:
    """
    Read all files of *request*, and check all rules of the service.

    Returns:
        The text to send for each file, by place (see `FileInput`); and every broken rule.

    Raises:
        InvalidRequest: No endpoint takes such a request.
    """
    found: dict[str, Reference] = {}
    unreadable: tuple[BrokenRule, ...] = ()
    endpoint = endpoint_of(type(request))
    for each in endpoint.inputs:
        for place, source in each.sources(request):
            most = each.max_bytes(dialect)
            try:
                if cache is not None:
                    found[place] = await cache.read(source, place, most, each.media)
                else:
                    found[place] = await read_reference(source, field=place, max_bytes=most, media=each.media)
            except InvalidRequest as error:
                unreadable += error.broken
    facts = {field: reference.facts for field, reference in found.items() if reference.facts is not None}
    return found, (*endpoint.rules(request, dialect, facts), *unreadable)


def with_texts(request: R, references: Mapping[str, Reference]) -> R:
    """
    Return *request* as it is sent: with the text of each file, and without files that were not read.
    """
    endpoint = endpoint_of(type(request))
    texts = {place: references[place].text if place in references else None for place in sources_of(endpoint, request)}
    return with_sources(endpoint, request, texts)


async def read_reference(source: FileSource, *, field: str, max_bytes: int, media: InputMedia = "picture") -> Reference:
    """
    Read the file that *field* holds, in a thread, and determine its format by its content.

    Base64 may be wrapped in lines, of the URL-safe alphabet or without its padding: what is sent is the standard form.
    A space inside it is refused, because form and URL decoders turn "+" into a space.
    Cancelling this leaves nothing open; the thread ends by itself and its result is dropped.

    Args:
        max_bytes: The file's limit before Base64. Of a larger file only so much is read.
        media: What the field holds, for messages.

    Raises:
        InvalidRequest: It cannot be read at all. Whether the service allows it is not checked here.
    """
    match source:
        case str() if _is_url(source):
            return _by_url(source, field)
        case str():
            return await asyncio.to_thread(_by_text, source, field, max_bytes, media)
        case Path():
            return await asyncio.to_thread(_by_path, source, field, max_bytes)
        case bytes():
            return await asyncio.to_thread(_by_content, source, len(source), max_bytes)
        case _:
            raise _refused(field, source, f"must be {_any_kind(media)}, {_OBJECTS[media]}")


def _is_url(text: str) -> bool:
    return text[:8].lower().startswith(("http://", "https://"))


def _by_url(url: str, field: str) -> Reference:
    try:
        has_host = bool(urlsplit(url).hostname)
    except ValueError:
        has_host = False
    if not has_host or any(character.isspace() or not character.isprintable() for character in url):
        raise _refused(field, url, "must be an absolute URL with a host and without blanks")
    return Reference(url)


def _by_path(path: Path, field: str, max_bytes: int) -> Reference:
    try:
        content, size = _read(path, max_bytes)
    except (OSError, ValueError) as error:  # ValueError: a null in the path
        reason = error.strerror if isinstance(error, OSError) else error
        raise _refused(field, path, f"must be a file that can be read: {reason}") from None
    return _by_content(content, size, max_bytes)


def _read(path: Path, max_bytes: int) -> tuple[bytes, int]:
    facts = path.stat()
    if not stat.S_ISREG(facts.st_mode):  # opening a pipe would wait for its writer, for ever
        raise OSError(errno.EINVAL, "Not a regular file")
    with path.open("rb") as file:
        content = file.read(max_bytes + 1)
    if len(content) <= max_bytes:  # all of it: the file may have changed since its size was read
        return content, len(content)
    return content, max(len(content), facts.st_size)


def _by_text(text: str, field: str, max_bytes: int, media: InputMedia) -> Reference:
    is_data_url = text[:5].lower() == "data:"
    try:
        encoded = _standard_base64(_after_comma(text, field) if is_data_url else text)
        content = b"".join(binascii.a2b_base64(piece, strict_mode=True) for piece in _pieces(encoded, _PIECE * 4 // 3))
    except ValueError as error:
        raise _refused(field, text, _rule_for(text, media, is_data_url=is_data_url, reason=str(error))) from None
    facts = _facts_of(content, len(content), max_bytes)
    if facts.kind is None and not is_data_url and len(text) <= _PATH_MAX:  # "pictures/cat" is Base64 by its letters
        raise _refused(field, text, f"must be {_any_kind(media)}")
    if len(content) > max_bytes:
        return Reference("", facts)
    return Reference(encoded.decode("ascii"), facts, hashlib.sha256(content).hexdigest())


def _rule_for(text: str, media: InputMedia, *, is_data_url: bool, reason: str) -> str:
    if is_data_url:
        return f"must be Base64 after the comma; {reason}"
    is_file = len(text) > _PATH_MAX or text.lstrip().startswith(_BEGINNINGS)
    return f"must be the Base64 of a complete {media}; {reason}" if is_file else f"must be {_any_kind(media)}"


def _after_comma(url: str, field: str) -> str:
    head, comma, data = url.partition(",")
    if not comma or not head.rstrip().lower().endswith(";base64"):
        raise _refused(field, url, "must be a data: URL of the form data:image/png;base64,...")
    return unquote(data)


def _standard_base64(text: str) -> bytes:
    text = text.strip()
    if " " in text:
        raise ValueError('it contains spaces: a form or URL decoder may have replaced "+", so encode the file again')
    try:
        encoded = b"".join(piece.encode("ascii").translate(_TO_STANDARD, _BREAKS) for piece in _pieces(text, _PIECE))
    except UnicodeEncodeError:
        raise ValueError("it contains characters that are not Base64") from None
    digits = encoded.rstrip(b"=")
    missing = b"=" * (-len(digits) % 4)
    if not digits or b"=" in digits:
        raise ValueError("it is empty, or has padding in the middle")
    if len(missing) > 2 or len(encoded) - len(digits) not in (0, len(missing)):
        raise ValueError("its length is wrong: a part is missing")
    return digits + missing


def _by_content(content: bytes, size: int, max_bytes: int) -> Reference:
    facts = _facts_of(content, size, max_bytes)
    if size > max_bytes:
        return Reference("", facts)
    text = "".join(_base64(piece) for piece in _pieces(content, _PIECE))
    return Reference(text, facts, hashlib.sha256(content).hexdigest())


def _base64(piece: bytes) -> str:
    return binascii.b2a_base64(piece, newline=False).decode("ascii")


def _pieces(content: _Sliced, size: int) -> Iterator[_Sliced]:
    # To encode, *size* divides by 3, and to decode by 4, so that the pieces join without a seam.
    for start in range(0, len(content), size):
        yield content[start : start + size]


def _facts_of(content: bytes, size: int, max_bytes: int) -> FileFacts:
    kind = kind_of(content)
    if kind not in ("png", "jpg"):
        sound = find_sound(content, size)
        if sound is None:
            return FileFacts(size, None)
        return FileFacts(size, sound.kind, flaw=sound.flaw, seconds=sound.seconds)
    import imagesize  # type: ignore[import-untyped]  # noqa: PLC0415 (it loads a parser of XML)

    width, height = imagesize.get(io.BytesIO(content), exif_rotation=False)  # never raises: -1 means unknown
    flaw = find_flaw(content) if size <= max_bytes else None  # a file above the limit was not read to its end
    return FileFacts(size, kind, width if width > 0 else None, height if height > 0 else None, flaw)


def _refused(field: str, source: object, rule: str) -> InvalidRequest:
    broken = BrokenRule(field, describe_source(source), rule)
    return InvalidRequest(str(broken), broken=(broken,))
