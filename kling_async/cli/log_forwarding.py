"""
Shows the library's log during a command: warnings and retries.
"""

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator

from kling_async.cli.terminal import print_error
from kling_async.client import retries
from kling_async.errors import KlingError
from kling_async.wire.redaction import one_line

__all__ = ["forwarding_logs", "logging_to_stderr"]


@contextlib.contextmanager
def forwarding_logs(say: Callable[[str], object], trouble: Callable[[str], object]) -> Iterator[None]:
    """
    Pass warnings to *say*, and the errors that are being retried to *trouble*.
    """
    logger = logging.getLogger("kling_async")
    forwarder = _LogForwarder(say, trouble)
    level = logger.level
    logger.addHandler(forwarder)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(forwarder)
        logger.setLevel(level)


@contextlib.contextmanager
def logging_to_stderr() -> Iterator[None]:
    """
    Print warnings and retried errors to stderr; print equal errors once.
    """
    printed: set[str] = set()

    def print_once(text: str) -> None:
        if text not in printed:
            printed.add(text)
            print_error(one_line(f"retrying: {text}"))

    with forwarding_logs(lambda text: print_error(one_line(text)), print_once):
        yield


class _LogForwarder(logging.Handler):
    def __init__(self, say: Callable[[str], object], trouble: Callable[[str], object]) -> None:
        super().__init__(logging.INFO)
        self._say = say
        self._trouble = trouble

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            self._say(record.getMessage())
        elif record.name == retries.__name__:
            error = sys.exception()  # a retry is logged while its error is handled
            if isinstance(error, KlingError):
                self._trouble(str(error))
