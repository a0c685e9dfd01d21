"""
What the library logs while a command works: its warnings, and that it tries something again.
"""

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator

from kling_async.cli.screen import complain, printable
from kling_async.errors import KlingError

__all__ = ["complaining", "listening"]


@contextlib.contextmanager
def listening(say: Callable[[str], object], trouble: Callable[[str], object]) -> Iterator[None]:
    """
    Pass on warnings to *say*, and what is about to be tried again to *trouble*.
    """
    logger = logging.getLogger("kling_async")
    ear = _Ear(say, trouble)
    level = logger.level
    logger.addHandler(ear)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(ear)
        logger.setLevel(level)


@contextlib.contextmanager
def complaining() -> Iterator[None]:
    """
    Print warnings, and what is about to be tried again, to stderr; the same trouble once.
    """
    told: set[str] = set()

    def tell(text: str) -> None:
        if text not in told:
            told.add(text)
            complain(printable(f"trying again: {text}"))

    with listening(lambda text: complain(printable(text)), tell):
        yield


class _Ear(logging.Handler):
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
