"""
A file as it is downloaded: a stream of pieces that ends only if the file is complete.
"""

from collections.abc import Awaitable, Callable
from typing import Final, Protocol, Self, TypeAlias

import attrs

from kling_async.media.fetch_errors import FetchRefused, TransferBroken
from kling_async.media.file_formats import HEAD, FileEnd, find_ext
from kling_async.media.naming import NameTemplate
from kling_async.media.saved_files import SavedFile
from kling_async.wire.tasks import File

__all__ = ["ByteSource", "BytesSource", "FileStream", "SizeLimit", "WriteFile", "read_all"]

PIECE: Final = 256 * 1024


class ByteSource(Protocol):
    """
    What a file is read from, piece by piece.

    Attributes:
        size: Total number of bytes; 0 if unknown.
        content_type: What the sender calls it.
    """

    @property
    def size(self) -> int: ...

    @property
    def content_type(self) -> str: ...

    async def read(self) -> bytes: ...


@attrs.define
class BytesSource:
    """
    A file that is in memory.
    """

    _content: bytes
    _at: int = attrs.field(default=0, init=False)
    content_type: str = attrs.field(default="not a URL", init=False)

    @property
    def size(self) -> int:
        return len(self._content)

    async def read(self) -> bytes:
        piece = self._content[self._at : self._at + PIECE]
        self._at += len(piece)
        return piece


@attrs.frozen
class SizeLimit:
    """
    How large a file may be.

    Attributes:
        advice: Whose limit it is, and how it is raised.
    """

    max_bytes: int
    advice: str

    def check(self, length: int) -> None:
        """
        Raises:
            FetchRefused: *length* is above it.
        """
        if length > self.max_bytes:
            raise FetchRefused(f"it is larger than {self.max_bytes} bytes, {self.advice}")


@attrs.define
class FileStream:
    """
    A file of a known format, piece by piece. Reading raises if it is truncated or too large.

    Attributes:
        ext: The extension, by the file's content.
        length: Bytes that were read so far.
    """

    ext: str
    _source: ByteSource
    _limit: SizeLimit
    _head: bytes
    _end: FileEnd
    length: int = attrs.field(default=0, init=False)

    @classmethod
    async def begin(cls, source: ByteSource, kind: str, limit: SizeLimit) -> Self:
        """
        Read as much as is needed to recognise the format.

        Raises:
            TransferBroken: It is not a file of this kind.
            FetchRefused: It is larger than the limit.
        """
        limit.check(source.size)
        head = b""
        while len(head) < HEAD and (piece := await source.read()):
            head += piece
        ext = find_ext(head, kind)
        if ext is None:
            article = "an" if kind[0] in "ai" else "a"
            raise TransferBroken(f"the answer is not {article} {kind} ({source.content_type})")
        return cls(ext, source, limit, head, FileEnd.of(ext))

    async def read(self) -> bytes:
        """
        Return the next piece; nothing at the end of a file that is complete by its own structure, regardless of the
        length that its sender stated.
        """
        piece, self._head = self._head, b""
        piece = piece or await self._source.read()
        self.length += len(piece)
        self._limit.check(self.length)
        self._end.feed(piece)
        if not piece and not self._end.is_reached:
            raise TransferBroken(f"the file was truncated after {self.length} bytes")
        return piece


WriteFile: TypeAlias = Callable[[NameTemplate, File, FileStream], Awaitable[SavedFile]]
"""
Writes a file of a task under these names.
"""


async def read_all(stream: FileStream) -> bytes:
    """
    Read a file into memory.
    """
    content = bytearray()
    while piece := await stream.read():
        content += piece
    return bytes(content)
