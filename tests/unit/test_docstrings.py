"""
Every public name says what its signature cannot: units, the meaning of None, errors.
"""

import ast
import enum
import importlib
import inspect
import re
import sys
import textwrap
import typing
from collections.abc import Iterator
from types import ModuleType
from typing import Any, Final

import attrs
import pytest

from tests.unit.test_exports import PUBLIC

SELF_EXPLANATORY: Final = {
    "task_id": "one word for one thing, in all of the package",
    "request": "the request of which all the rest is told",
    "prompt": "a prompt",
    "kind": "its type lists the kinds",
    "error": "an error, of a class that says what to do",
    "name": "a name",
    "path": "a path",
    "story": "of a handle, for the client alone",
    "watched_since": "of a handle, for the watcher alone",
}
"""
Fields and parameters that need no words of their own, each with its reason.
"""

IN_UNITS: Final = re.compile(
    r"(timeout|delay|grace|rest|latency|lifetime|seconds|_for|_after|_at|bytes|side|width|height)$"
)
UNITS: Final = re.compile(r"second|unix time|aware time|byte|pixel|mib|requests|polls", re.IGNORECASE)

SECTION: Final = re.compile(r"^(Args|Attributes):\n((?:(?:    .*)?\n)+)", re.MULTILINE)
ITEM: Final = re.compile(r"^    (\w+):(.*(?:\n     .*)*)", re.MULTILINE)


def told(thing: object) -> dict[str, str]:
    """
    Return what a docstring says of each parameter or attribute.
    """
    text = inspect.cleandoc(thing.__doc__ or "") + "\n"
    return {name: words.strip() for _, body in SECTION.findall(text) for name, words in ITEM.findall(body)}


def public_things() -> Iterator[tuple[str, Any]]:
    """
    Yield each public name with its full name, and the modules themselves.
    """
    for place in [*PUBLIC, "kling_async.emulator.faults"]:
        module = importlib.import_module(place)
        yield place, module
        yield from ((f"{place}.{name}", getattr(module, name)) for name in module.__all__ if not name.startswith("__"))


THINGS: Final = dict(public_things())
CLASSES: Final = {name: thing for name, thing in THINGS.items() if inspect.isclass(thing)}


def members(kind: type) -> Iterator[tuple[str, Any]]:
    """
    Yield the public functions and properties of a class, also those of bases of ours.
    """
    for base in kind.__mro__:
        if base.__module__.startswith("kling_async"):
            for name, member in vars(base).items():
                plain = member.__func__ if isinstance(member, classmethod | staticmethod) else member
                is_code = inspect.isfunction(plain) or hasattr(plain, "fget") or hasattr(plain, "func")
                if not name.startswith("_") and is_code:
                    yield name, plain


def attributes(kind: type) -> list[str]:
    """
    Return the public attributes that a class or its objects have.
    """
    if issubclass(kind, enum.Enum):
        return []
    if attrs.has(kind):
        return [field.name for field in attrs.fields(kind) if not field.name.startswith("_")]
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind.__init__)))
    targets: list[ast.expr] = [node.target for node in ast.walk(tree) if isinstance(node, ast.AnnAssign)]
    targets += [target for node in ast.walk(tree) if isinstance(node, ast.Assign) for target in node.targets]
    names = [target.attr for target in targets if isinstance(target, ast.Attribute)]
    return [name for name in names if not name.startswith("_")]


@pytest.mark.parametrize("name", THINGS)
def test_each_public_name_has_a_docstring(name: str) -> None:
    """
    Its own: neither that of its base nor that of its type.
    """
    thing = THINGS[name]
    is_documented_code = isinstance(thing, ModuleType) or inspect.isclass(thing) or inspect.isroutine(thing)
    text = vars(thing).get("__doc__") if inspect.isclass(thing) else thing.__doc__

    assert (text or "").strip() if is_documented_code else words_below(name)


def words_below(name: str) -> str | None:
    """
    Return the text below the line that makes a constant, wherever that is.
    """
    constant = name.rpartition(".")[2]
    ours = [module for place, module in sys.modules.items() if place.startswith("kling_async")]
    for module in [module for module in ours if hasattr(module, constant)]:
        body = ast.parse(inspect.getsource(module)).body
        for node, below in zip(body, [*body[1:], None], strict=True):
            target = getattr(node, "target", None) or next(iter(getattr(node, "targets", [])), None)
            if getattr(target, "id", None) == constant and isinstance(below, ast.Expr):
                return typing.cast("str", ast.literal_eval(below.value))
    return None


@pytest.mark.parametrize("name", CLASSES)
def test_each_member_has_a_docstring(name: str) -> None:
    """
    Each public method and property of each public class. A protocol of values describes them in its own docstring.
    """
    needing = [each for each in members(CLASSES[name]) if not is_value(CLASSES[name], each[1])]

    assert [] == [member for member, code in needing if not (code.__doc__ or "").strip()]


def is_value(kind: Any, member: object) -> bool:
    """
    Return whether *member* is a value of a protocol.
    """
    return getattr(kind, "_is_protocol", False) and isinstance(member, property)


@pytest.mark.parametrize("name", CLASSES)
def test_each_attribute_is_described(name: str) -> None:
    """
    In a section of the class or of one of its bases, or by being one of those that explain themselves.
    """
    described = {name for base in CLASSES[name].__mro__ for name in told(base)} | SELF_EXPLANATORY.keys()

    assert [] == [attribute for attribute in attributes(CLASSES[name]) if attribute not in described]


def described_code() -> Iterator[tuple[str, Any]]:
    for name, thing in THINGS.items():
        if inspect.isclass(thing):
            yield name, thing
            yield from ((f"{name}.{member}", code) for member, code in members(thing))
        elif inspect.isfunction(thing):
            yield name, thing


DESCRIBED_CODE: Final = dict(described_code())


@pytest.mark.parametrize("name", sorted(DESCRIBED_CODE))
def test_units_are_said(name: str) -> None:
    """
    Of each number that counts seconds, bytes or pixels.
    """
    thing = DESCRIBED_CODE[name]
    described = {name: words for base in getattr(thing, "__mro__", [thing]) for name, words in told(base).items()}
    text = thing.__doc__ or ""
    names = attributes(thing) if inspect.isclass(thing) else parameters(thing)

    assert [] == [name for name in names if IN_UNITS.search(name) and not UNITS.search(described.get(name, text))]


def parameters(code: Any) -> list[str]:
    function = getattr(code, "fget", None) or getattr(code, "func", None) or code
    return list(inspect.signature(function).parameters)
