"""
Checks the arguments of a client, and of its methods that take what others returned. Errors say what to write instead.
"""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import aiohttp

from kling_async.client.budget import Budget
from kling_async.client.handle import TaskHandle
from kling_async.client.outcomes import Done
from kling_async.media.naming import DEFAULT_NAME, looks_like_file
from kling_async.policy.arguments import check_kind, refuse
from kling_async.policy.http import HttpOptions
from kling_async.policy.policies import PollPolicy, RetryPolicy
from kling_async.wire.redaction import shorten
from kling_async.wire.tasks import Audio, Image, TaskResult, TaskSnapshot, Video

__all__ = ["check_file", "check_folder", "check_kinds", "check_result", "default_folder"]

_KINDS: Final[Mapping[str, tuple[type, bool, str]]] = {
    "session": (aiohttp.ClientSession, True, "which is used and never closed"),  # one that retries would pay twice
    "http": (HttpOptions, False, "such as HttpOptions(read_timeout=60)"),
    "retry": (RetryPolicy, False, "such as RetryPolicy(give_up_after=60)"),
    "polling": (PollPolicy, False, "such as PollPolicy(max_delay=5)"),
    "budget": (Budget, True, "such as Budget(units=100)"),
}
"""
The classes of a client's arguments, whether each may be None, and an example.
"""


def check_kinds(*, callbacks: object = None, **given: object) -> None:
    """
    Raise InvalidRequest unless each of a client's arguments is of its class.
    """
    if callbacks is not None:
        from kling_async.client.callbacks.receiver import CallbackReceiver  # noqa: PLC0415 (most programs have none)

        example = 'such as CallbackReceiver("https://example.org/kling")'
        _check_argument("callbacks", callbacks, CallbackReceiver, example, may_be_none=True)
    for name, value in given.items():
        kind, may_be_none, example = _KINDS[name]
        _check_argument(name, value, kind, example, may_be_none=may_be_none)


def _check_argument(name: str, value: object, kind: type, example: str, *, may_be_none: bool) -> None:
    if value is not None or not may_be_none:
        rule = f"must be of the class {kind.__module__.partition('.')[0]}.{kind.__name__}, {example}"
        check_kind(name, value, kind, rule + ("; or None" if may_be_none else ""))


def check_result(value: object) -> None:
    """
    Raise InvalidRequest unless *value* is a result, with what to write for values that lead to one.
    """
    if not isinstance(value, TaskResult):
        rule = "must be a TaskResult, as generate and wait return it"
        refuse("result", f"<{type(value).__name__}>", rule + _way_to_result(value))


def _way_to_result(value: object) -> str:
    match value:
        case Image() | Video() | Audio():
            return "; save the whole result, or write path.write_bytes(await client.read(file)) for one of its files"
        case TaskHandle():
            return "; write client.save(await handle)"
        case TaskSnapshot():
            return "; write client.save(TaskResult.of(snapshot))"
        case Done():
            return "; write client.save(outcome.result)"
        case str():
            return "; for a task's id, write client.save(await client.handle(task_id))"
        case list() | tuple():
            return "; give the result itself for all its files, and call it for each of several results"
        case _ if inspect.isawaitable(value):
            return "; await it first: client.save(await …)"
        case _:
            return ""


def check_file(value: object) -> None:
    """
    Raise InvalidRequest unless *value* is a file of a result, with what to write for a result.
    """
    if not isinstance(value, Image | Video | Audio):
        rule = "must be a file of a TaskResult: an Image, Video or Audio"
        refuse("file", f"<{type(value).__name__}>", rule + _way_to_file(value))


def _way_to_file(value: object) -> str:
    if isinstance(value, TaskResult):
        name = "videos" if value.videos else "audios" if value.audios else "images"
        return f"; write client.read(result.{name}[0]), or client.save(result) for all"
    if isinstance(value, list | tuple):
        return "; call it for each"
    return "; write client.read(result.images[0])"


def check_folder(path: object, name: str, result: TaskResult) -> None:
    """
    Raise InvalidRequest if *path* seems to be the name of a file, and *name* is not given to say otherwise.
    """
    if isinstance(path, Path) and name == DEFAULT_NAME and looks_like_file(path):
        index = "-{index}" if len(result.files) > 1 else ""
        call = f'client.save(result, {str(path.parent)!r}, name="{path.stem}{index}{{ext}}")'
        refuse("destination", repr(shorten(str(path), 200)), f"must be a folder; to name the file, write {call}")


def default_folder(result: TaskResult) -> Path:
    """
    Return the folder for the files of *result*, as the commands name it for what they make.
    """
    return Path("videos" if result.videos else "sounds" if result.audios and not result.images else "pictures")
