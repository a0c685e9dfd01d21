"""
Standard streams whose failure does not stop a command: a closed terminal, a full disk, a broken pipe.
"""

import contextlib
import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from typing import Any, TextIO

__all__ = ["Outlet", "failsafe_streams", "is_lost"]


class Outlet(io.RawIOBase):
    """
    Writes to a stream until that fails, then discards everything.

    A truncated line is never continued: a reader of JSON lines finds at most one broken line, the last.

    Attributes:
        error: Why writing failed; None if it has not.
    """

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self.error: OSError | None = None

    @property
    def is_lost(self) -> bool:
        """
        Whether output was lost. A reader that closes its pipe early, as `head` does, does not count.
        """
        return self.error is not None and self.error.errno != errno.EPIPE

    def write(self, data: Any) -> int:
        while self.error is None:
            try:
                written: int | None = self._raw.write(data)
                if written is not None:
                    return written
                select.select([], [self._raw], [])  # another program made the pipe non-blocking, and it is full
            except OSError as error:
                self.error = error
        return len(data)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return int(self._raw.fileno())

    def isatty(self) -> bool:
        return bool(self._raw.isatty())


@contextlib.contextmanager
def failsafe_streams() -> Iterator[Outlet]:
    """
    Replace `sys.stdout` and `sys.stderr` with streams that never raise `OSError`, and yield the outlet of stdout.

    A stream that is closed at the start becomes the null device: otherwise the next file that is opened, such as a
    journal, would get its file descriptor.
    """
    before = sys.stdin, sys.stdout, sys.stderr
    sys.stdin = before[0] or open(os.devnull, encoding="utf-8")  # noqa: PTH123, SIM115 (it lives as long as the program)
    outlets = _outlet_of(before[1]), _outlet_of(before[2])
    sys.stdout, sys.stderr = _text_to(outlets[0], before[1]), _text_to(outlets[1], before[2])
    try:
        yield outlets[0]
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdin, sys.stdout, sys.stderr = before


def is_lost(stream: TextIO) -> bool:
    """
    Return whether writing to *stream* has failed. It is only known for streams of `failsafe_streams`.
    """
    outlet = getattr(getattr(stream, "buffer", None), "raw", None)
    return isinstance(outlet, Outlet) and outlet.error is not None


def _outlet_of(stream: TextIO | None) -> Outlet:
    if stream is None:
        return Outlet(open(os.devnull, "wb", buffering=0))  # noqa: PTH123
    with contextlib.suppress(OSError):
        stream.flush()
    return Outlet(getattr(stream.buffer, "raw", stream.buffer))


def _text_to(outlet: Outlet, like: TextIO | None) -> io.TextIOWrapper:
    # A prompt may contain characters that the terminal's encoding lacks.
    encoding = like.encoding if like is not None else "utf-8"
    return io.TextIOWrapper(io.BufferedWriter(outlet), encoding, "backslashreplace", line_buffering=True)
