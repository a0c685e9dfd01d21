"""
What the library logs while a command works: its warnings, and that it tries something again.
"""

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator

from kling_async.cli.screen import print_error
from kling_async.errors import KlingError
from kling_async.wire.redaction import one_line

__all__ = ["forwarding_logs", "logging_to_stderr"]


@contextlib.contextmanager
def forwarding_logs(say: Callable[[str], object], trouble: Callable[[str], object]) -> Iterator[None]:
    """
    Pass on warnings to *say*, and what is about to be tried again to *trouble*.
    """
    logger = logging.getLogger("kling_async")
    ear = _LogForwarder(say, trouble)
    level = logger.level
    logger.addHandler(ear)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(ear)
        logger.setLevel(level)


@contextlib.contextmanager
def logging_to_stderr() -> Iterator[None]:
    """
    Print warnings, and what is about to be tried again, to stderr; the same trouble once.
    """
    told: set[str] = set()

    def tell(text: str) -> None:
        if text not in told:
            told.add(text)
            print_error(one_line(f"trying again: {text}"))

    with forwarding_logs(lambda text: print_error(one_line(text)), tell):
        yield


class _LogForwarder(logging.Handler):
    def __init__(self, say: Callable[[str], object], trouble: Callable[[str], object]) -> None:
        super().__init__(logging.INFO)
        self._say = say
        self._trouble = trouble

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            self._say(record.getMessage())
        elif record.name == "kling_async.client.transport":
            error = sys.exception()  # what is about to be tried again is being handled just now
            if isinstance(error, KlingError):
                self._trouble(str(error))
