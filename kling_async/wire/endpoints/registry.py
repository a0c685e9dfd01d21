"""
Finds the endpoint of a request by its class. Programs may register their own endpoints.

An endpoint of this folder is loaded when its class or its name is first used: most programs use few of them.
"""

import functools
import importlib
import pkgutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

import attrs

from kling_async.errors import BrokenRule, InvalidRequest
from kling_async.wire.constructors import explained
from kling_async.wire.dialects import Dialect
from kling_async.wire.endpoints.base import Endpoint, R, TaskRequest, with_fields
from kling_async.wire.endpoints.image_generation import (
    IMAGE_GENERATION,
    ChangesByName,
    FieldsByName,
    ImageRequest,
    RequestByName,
)
from kling_async.wire.endpoints.inputs import FileFacts
from kling_async.wire.redaction import shorten, shown_text
from kling_async.wire.suggestions import nearest_names, show_unknown

__all__ = [
    "DEFAULT_ENDPOINT",
    "DefaultByName",
    "DefaultChanges",
    "DefaultFields",
    "DefaultRequest",
    "broken_rules",
    "caption_of",
    "endpoint_named",
    "endpoint_of",
    "endpoints",
    "model_of",
    "register",
    "registered",
    "request_of",
    "without_files",
]

DEFAULT_ENDPOINT: Final = IMAGE_GENERATION
"""
The endpoint of a prompt that is given as text, and of a task of which only the id is known.
"""

DefaultRequest: TypeAlias = ImageRequest
"""
Its class of requests, which type checkers check with all fields.
"""

DefaultFields: TypeAlias = FieldsByName
DefaultByName: TypeAlias = RequestByName
DefaultChanges: TypeAlias = ChangesByName
"""
The fields of such a request, by name: without the prompt, with it, and those that change a request.
"""

_BY_CLASS: Final[dict[type, Endpoint[Any]]] = {}
_BY_NAME: Final[dict[str, Endpoint[Any]]] = {}

_MEANT: Final[Mapping[type, str]] = {
    dict: "; to give its fields by name, write two stars before the dict",
    list: "; `stream` and `Batch` take several",
    tuple: "; `stream` and `Batch` take several",
    type: "; make one of the class first, such as TextToVideo('a paper boat')",
}
"""
What to write instead of values that are often given as a request.
"""


def register(endpoint: Endpoint[Any]) -> None:
    """
    Make *endpoint* known, so that its requests can be submitted everywhere. Registering it twice has no effect.

    Raises:
        ValueError: Another endpoint has its name, its path or its request class.
    """
    for other in endpoints():
        if other is endpoint:
            return
        if endpoint.name == other.name or endpoint.path == other.path or endpoint.request_class is other.request_class:
            what = "each needs its own name, path and request class"
            raise ValueError(f"endpoint {endpoint.name!r} cannot be registered beside {other.name!r}: {what}")
    _add(endpoint)


def _add(endpoint: Endpoint[Any]) -> None:
    _BY_CLASS[explained(endpoint.request_class)] = _BY_NAME[endpoint.name] = endpoint


@contextmanager
def registered(endpoint: Endpoint[Any]) -> Iterator[Endpoint[Any]]:
    """
    Register *endpoint* for the duration of a `with` block, as tests do.
    """
    register(endpoint)
    try:
        yield endpoint
    finally:
        del _BY_CLASS[endpoint.request_class], _BY_NAME[endpoint.name]


def endpoints() -> tuple[Endpoint[Any], ...]:
    """
    Return all endpoints: that of images, the others of the package by name, then those of programs in the order in
    which they were registered.
    """
    for module in _modules().values():
        _load(module)
    names = dict.fromkeys((DEFAULT_ENDPOINT.name, *_modules(), *_BY_NAME))
    return tuple(_BY_NAME[name] for name in names if name in _BY_NAME)


def endpoint_of(request_class: type) -> Endpoint[Any]:
    """
    Return the endpoint of a class of requests, or of the nearest class that it derives from.

    Raises:
        InvalidRequest: There is none.
    """
    endpoint = _BY_CLASS.get(request_class)
    if endpoint is not None:
        return endpoint
    for base in request_class.__mro__:
        if base.__module__ in _modules().values():
            _load(base.__module__)
        if base in _BY_CLASS:
            return _BY_CLASS[base]
    known = ", ".join(each.request_class.__name__ for each in endpoints())
    raise InvalidRequest(
        f"no endpoint takes a {request_class.__name__}: a request is a prompt as text, or one of {known}"
        f"{_MEANT.get(request_class, '')}"
    )


def endpoint_named(name: str) -> Endpoint[Any]:
    """
    Return the endpoint with this name.

    Raises:
        InvalidRequest: There is none.
    """
    if isinstance(name, str):
        if name not in _BY_NAME and name in _modules():
            _load(_modules()[name])
        if name in _BY_NAME:
            return _BY_NAME[name]
    known = [each.name for each in endpoints()]
    raise InvalidRequest(f"endpoint {_meant(name, known)} Registered are {', '.join(known)}")


def _meant(name: object, known: Collection[str]) -> str:
    if isinstance(name, type) and name in _BY_CLASS:
        return f"must be a name, not a class: write {_BY_CLASS[name].name!r}."
    if not isinstance(name, str):
        return f"must be a name, as text, not <{type(name).__name__}>."
    near = " or ".join(map(repr, nearest_names(name, known)))
    return f"{shorten(name)!r} is not registered{f'; did you mean {near}?' if near else '.'}"


def request_of(request: object = attrs.NOTHING, /, fields: Mapping[str, Any] | None = None) -> Any:
    """
    Return *request* as a request of an endpoint: text is the prompt of the default endpoint, and *fields* override.
    Without it, *fields* are all fields of a request of the default endpoint.

    Raises:
        InvalidRequest: No endpoint takes it, it has no such field, or there is no prompt, or more than one.
    """
    kind, fields = DEFAULT_ENDPOINT.request_class, fields or {}
    if request is attrs.NOTHING:
        return kind(**fields)
    if not isinstance(request, str):
        endpoint_of(type(request))
    elif "prompt" in fields:
        rule = f"is a second prompt, beside {shown_text(request)}; give one"
        broken = BrokenRule("prompt", show_unknown("prompt", fields["prompt"]), rule)
        raise InvalidRequest(str(broken), broken=(broken,))
    else:
        request = kind(request)
    return with_fields(cast("TaskRequest", request), **fields) if fields else request


def caption_of(request: TaskRequest | None) -> str:
    """
    Return a text that identifies the request for people, usually its prompt; empty if there is none.
    """
    if request is None:
        return ""
    caption: object = endpoint_of(type(request)).caption(request)
    return caption if isinstance(caption, str) else repr(caption)  # a request that nothing has checked yet


def model_of(request: TaskRequest, dialect: Dialect) -> str | None:
    """
    Return the model that *request* runs on; None if its endpoint has no choice of models.
    """
    completed = endpoint_of(type(request)).complete(request, dialect)
    if not hasattr(completed, "model_name"):
        return None
    return completed.model_name or dialect.default_model


def broken_rules(
    dialect: Dialect, request: TaskRequest, files: Mapping[str, FileFacts] | None = None
) -> tuple[BrokenRule, ...]:
    """
    Return every rule of *dialect* that *request* breaks; *files* has the facts about its files, by field.

    Raises:
        InvalidRequest: No endpoint takes such a request.
    """
    return tuple(endpoint_of(type(request)).rules(request, dialect, files or {}))


def without_files(request: R) -> R:
    """
    Return *request* without its input files, which may be large, or paths on another machine.
    """
    emptied = {}
    for each in endpoint_of(type(request)).inputs:
        value = getattr(request, each.field)
        if (empty := each.without_sources(value)) != value:
            emptied[each.field] = empty
    return with_fields(request, **emptied) if emptied else request


@functools.cache
def _modules() -> Mapping[str, str]:
    # The modules of this folder, by the name of the endpoint that may be in them.
    folder = str(Path(__file__).parent)
    return {each.name.replace("_", "-"): f"{__package__}.{each.name}" for each in pkgutil.iter_modules([folder])}


@functools.cache
def _load(module: str) -> None:
    for value in vars(importlib.import_module(module)).values():
        if isinstance(value, Endpoint):
            _add(value)


_add(DEFAULT_ENDPOINT)
