"""
Reads the bodies of callbacks within limits of size, time and memory, for any kind of server.
"""

import asyncio
import contextlib
import zlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias

import attrs

from kling_async.wire.headers import find_header

__all__ = ["Bodies", "NoRoom", "ReadPart", "TakeCallback", "TooLarge", "unpack"]

MAX_HELD: Final = 2**24
"""
Maximum size in bytes of all bodies that are being read at once. A thousand real callbacks are smaller.
"""

MAX_DISCARDED: Final = 2**24
"""
Number of bytes of an oversized body that are read and discarded before it is refused. Some servers (hypercorn, granian)
close the connection right after the answer, and a client that is still sending would never see that answer.
"""

_GZIP: Final = b"\x1f\x8b"  # the first bytes of gzip data; JSON never starts like this

ReadPart: TypeAlias = Callable[[], Awaitable[bytes]]
"""
Returns the next bytes of a body, and none at its end.
"""


TakeCallback: TypeAlias = Callable[[str, Mapping[str, str], ReadPart], Awaitable[int]]
"""
Handles a POST, given its path, its headers and what reads its body, and returns the HTTP status of the answer.
"""


class TooLarge(Exception):
    """
    The body is larger than allowed.
    """


class NoRoom(Exception):
    """
    Other bodies that are being read use all the memory that is allowed.
    """


@attrs.define
class Bodies:
    """
    Reads the bodies of one receiver.

    Args:
        largest: Maximum size of a body in bytes.

    Attributes:
        held: Total size in bytes of the bodies that are being read.
    """

    _largest: int
    held: int = attrs.field(default=0, init=False)

    async def read(self, read_part: ReadPart, declared: int | None, timeout: float) -> bytes:
        """
        Read a body to its end. Cancelling this frees its memory.

        Args:
            read_part: Its exceptions are passed on.
            declared: The announced number of bytes; None if there is none.
            timeout: Seconds in which the body has to arrive.

        Raises:
            TooLarge: It has too many bytes. The rest was read and discarded, so that the sender will see an answer;
                at most 16 MiB of it, for at most *timeout* seconds, and nothing if more is announced.
            NoRoom: Other bodies that are being read have 16 MiB together.
            TimeoutError: It did not arrive in time.
        """
        body = bytearray()
        try:
            async with asyncio.timeout(timeout):
                while len(body) <= self._largest and (declared is None or declared <= self._largest):
                    part = await read_part()
                    if not part:
                        return bytes(body)
                    self._keep(body, part)
        finally:
            self.held -= len(body)
            body.clear()
        await _discard(read_part, declared, timeout)
        raise TooLarge

    def has_room(self, size: int) -> bool:
        """
        Return whether *size* more bytes are allowed.
        """
        return self.held + size <= MAX_HELD

    def _keep(self, body: bytearray, part: bytes) -> None:
        kept = part[: self._largest + 1 - len(body)]
        if not self.has_room(len(kept)):
            raise NoRoom
        self.held += len(kept)
        body += kept


async def _discard(read_part: ReadPart, declared: int | None, timeout: float) -> None:
    left = 0 if declared is not None and declared > MAX_DISCARDED else MAX_DISCARDED
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout):
            while left > 0 and (part := await read_part()):
                left -= len(part)


def unpack(headers: Mapping[str, str], body: bytes, largest: int) -> bytes:
    """
    Return *body* decompressed. Some servers decompress it themselves and keep the header, so the first bytes decide.
    Whether it is complete is for the reader of its content to check: those servers do not check it either.

    Raises:
        TooLarge: It has more than *largest* bytes when decompressed; decompression stops there.
        ValueError: It is compressed in another way than by gzip, or the compressed data is broken.
    """
    encoding = find_header(headers, "Content-Encoding").casefold()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise ValueError("callbacks may be compressed by gzip only")
    if "gzip" not in encoding or not body.startswith(_GZIP):
        return body
    unpacker = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        plain = unpacker.decompress(body, largest + 1)
    except zlib.error as error:
        raise ValueError("the gzip data is broken") from error
    if len(plain) > largest:
        raise TooLarge
    return plain
