"""
Calls of a program's function whose return value is pickled where it is called, and whose errors can be pickled, too.
"""

import asyncio
import concurrent.futures
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeAlias

import attrs

from kling_async.media.saved_files import SavedFile
from kling_async.wire.redaction import shorten

__all__ = ["FileInfo", "Process", "call_pickled", "describe_error", "pickled_result", "unpickle_value"]

MAX_VALUE: Final = 2**26
"""
Maximum size in bytes of a pickled return value: it passes through a scheduler, is held in memory, and goes into a
journal.
"""
MAX_ERROR_TEXT: Final = 1000
"""
Characters of a function's error that are kept: the error of a row goes into outcomes and logs.
"""


@attrs.frozen
class FileInfo:
    """
    What a function gets in addition to the file.

    Attributes:
        key: The row's key in the batch.
        request: The request, such as an `ImageRequest`, without its input files.
        file: The saved file: where it is, its kind, index, size and digest.
    """

    key: str
    task_id: str
    request: Any
    file: SavedFile


Process: TypeAlias = Callable[[Path | bytes, FileInfo], Any]
"""
A function that can be pickled, such as one at the top of a module. It gets the path of a saved file, or the file's
content if it was saved in a storage. Its return value is pickled, too.
"""


def call_pickled(function: Process, source: Path | bytes, info: FileInfo) -> bytes:
    """
    Call *function* and return its value pickled. The value is never unpickled on its way to the journal, and a value
    that cannot be pickled is an error of the function.

    Raises:
        Exception: What the function raises; a RuntimeError with its text if it cannot be pickled, or would mean
            something else to the caller.
    """
    try:
        return pickled_result(function, source, info)
    except Exception as error:
        if _can_be_pickled(error):
            raise
        raise RuntimeError(describe_error(error)) from error


def pickled_result(function: Process, source: Path | bytes, info: FileInfo) -> bytes:
    """
    Do what `call_pickled` does, for a caller in the same process: errors need not be picklable.
    """
    try:
        pickled = pickle.dumps(function(source, info))
    except SystemExit as error:
        raise RuntimeError(f"it called sys.exit({error.code!r})") from None  # it would end the caller
    except _MISLEADING as error:
        raise RuntimeError(f"it raised {describe_error(error)}") from None
    if len(pickled) > MAX_VALUE:
        what = f"it returned {len(pickled)} bytes, pickled, of at most {MAX_VALUE}"
        raise ValueError(f"{what}: write the value to a file, and return the file's path")
    return pickled


_MISLEADING: Final = (
    StopIteration,
    GeneratorExit,
    KeyboardInterrupt,
    asyncio.CancelledError,
    concurrent.futures.CancelledError,
    concurrent.futures.BrokenExecutor,
)
"""
Errors that would mean something else to the caller: that it was cancelled itself, or that its executor is broken.
"""


def unpickle_value(pickled: bytes) -> Any:
    """
    Return the value that `call_pickled` has pickled.
    """
    return _ValueUnpickler(io.BytesIO(pickled)).load()


class _ValueUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        # In a spawned process the program's main module has another name.
        return super().find_class("__main__" if module == "__mp_main__" else module, name)


def _can_be_pickled(error: Exception) -> bool:
    # Many errors cannot be unpickled, such as those whose arguments differ from `args`; they break a process pool.
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 (our own)
    except Exception:  # noqa: BLE001 (it can raise anything)
        return False
    return True


def describe_error(error: BaseException) -> str:
    """
    Return the class and text of a function's error, in bounded length, even if its `__str__` raises.
    """
    try:
        text = str(error)
    except Exception as of_str:  # noqa: BLE001 (it can raise anything)
        text = f"(its text raises {type(of_str).__name__})"
    return f"{type(error).__name__}: {shorten(text, MAX_ERROR_TEXT)}".removesuffix(": ")
