"""
Answers to wrong arguments of a constructor: the name that was probably meant, in place of Python's TypeError.
"""

import functools
import inspect
import weakref
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any, Final, NoReturn, TypeVar

import attrs

from kling_async.errors import BrokenRule, InvalidRequest
from kling_async.wire.suggestions import refuse_names

__all__ = ["explained", "unexplained"]

T = TypeVar("T")

_PLAIN: Final[MutableMapping[Callable[..., None], Callable[..., None]]] = weakref.WeakKeyDictionary()
"""
The constructors that answer, and what they call.
"""


def explained(kind: type[T]) -> type[T]:
    """
    Have the constructor of *kind* raise InvalidRequest for names that it does not have, and for too many values without
    names. Nothing else changes: it is looked at only after Python has refused the call. Safe to call twice.
    """
    init: Callable[..., None] = kind.__init__
    if init in _PLAIN:
        return kind

    @functools.wraps(init)
    def construct(self: Any, /, *values: Any, **named: Any) -> None:
        try:
            init(self, *values, **named)
        except TypeError:
            _explain(kind, init, values, named)
            raise

    _PLAIN[construct] = init
    setattr(kind, "__init__", construct)  # noqa: B010 (type checkers would compare the signatures, which are the same)
    return kind


def unexplained(kind: type[T]) -> Callable[[Mapping[str, Any]], T]:
    """
    Return a constructor of *kind* that takes its arguments by name, as a mapping, for names that are known to be right.
    It takes half the time, because it does not have the answers to wrong ones.
    """
    init = _PLAIN.get(kind.__init__, kind.__init__)

    def construct(named: Mapping[str, Any]) -> T:
        made = kind.__new__(kind)
        init(made, **named)
        return made

    return construct


def _explain(kind: type, init: Callable[..., None], values: Sequence[object], named: Mapping[str, object]) -> None:
    # Return if the names are right: then the error is another one, such as that of a converter.
    _, *parameters = inspect.signature(init).parameters.values()
    if any(each.kind in (each.VAR_KEYWORD, each.VAR_POSITIONAL) for each in parameters):
        return
    known = tuple(each.name for each in parameters)
    unnamed = [each.name for each in parameters if each.kind is not each.KEYWORD_ONLY]
    if len(values) > len(unnamed):
        _refuse_values(kind.__name__, len(values), unnamed, known[len(unnamed) :])
    given = {*unnamed[: len(values)], *named}
    missing = [each.name for each in parameters if each.default is each.empty and each.name not in given]
    if missing or named.keys() - {*known}:
        refuse_names(kind.__name__, named, known, missing, noun="field" if attrs.has(kind) else "argument")


def _refuse_values(owner: str, count: int, unnamed: Sequence[str], others: Sequence[str]) -> NoReturn:
    taken = f"only {' and '.join(unnamed)}" if unnamed else "none"
    rule = f"are given without a name, and {owner} takes {taken} so; name the others: {', '.join(others)}"
    if unnamed == ["api_key"] and count == 2:
        rule += '. For an access key and its secret key, write KlingClient(AccessKey("…", "…"))'
    broken = BrokenRule(owner, f"{count} values", rule)
    raise InvalidRequest(f"{broken.value} {rule}", broken=(broken,)) from None
