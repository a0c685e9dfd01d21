"""
Constructors that explain wrong names: only after Python has refused the call.
"""

import copy
import functools
import inspect
import pickle
from typing import Any

import attrs
import pytest

from kling_async import ImageRequest
from kling_async.errors import InvalidRequest
from kling_async.wire.constructors import explained, unexplained


def whole(value: Any) -> int:
    if not isinstance(value, int):
        raise TypeError("no number")
    return value


@explained
@attrs.frozen
class Cat:
    name: str
    paws: int = attrs.field(default=4, converter=whole, kw_only=True)


@explained
class Shelter:
    def __init__(self, cat: Cat, /, dog: object = None, *, api_key: str = "") -> None:
        self.given = (cat, dog)

    def greet(self, **names: str) -> str:
        return "".join(names)


CAT: Any = Cat
SHELTER: Any = Shelter


def test_right_calls_are_as_before() -> None:
    """
    So are copies, signatures and names.
    """
    cat = Cat("Tom", paws=3)

    assert cat == attrs.evolve(Cat("Tom"), paws=3) == copy.deepcopy(cat) == pickle.loads(pickle.dumps(cat))  # noqa: S301
    assert "(name: str, *, paws: Any = 4) -> None" in str(inspect.signature(Cat)).replace("typing.", "")
    assert "__init__" == Cat.__init__.__name__
    assert (cat, 1) == Shelter(cat, 1).given


@pytest.mark.parametrize(
    ("make", "answer"),
    [
        (lambda: CAT("Tom", paw=3), "^paw=3: is not a field of Cat; did you mean paws\\? Its fields are name, paws$"),
        (
            lambda: CAT("Tom", wings=2, tails=1),
            "^tails=1: is not a field of Cat; wings=2: .*\\. Its fields are name, paws$",
        ),
        (
            lambda: CAT("Tom", 3),
            "^2 values are given without a name, and Cat takes only name so; name the others: paws$",
        ),
        (CAT, "^name=None: is missing: give it first, or by name$"),
        (lambda: CAT(nam="Tom"), "^nam='Tom': is not a field of Cat; did you mean name\\?"),
        (lambda: SHELTER(CAT("Tom"), 1, 2), "^3 values .* takes only cat and dog so; name the others: api_key"),
        (lambda: SHELTER(CAT("Tom"), key="sk-1"), "^key=<str>: is not an argument of Shelter; did you mean api_key\\?"),
        (SHELTER, "^cat=<NoneType>: is missing"),
    ],
)
def test_wrong_calls_are_explained(make: Any, answer: str) -> None:
    """
    By the names that there are, and without Python's own error.
    """
    with pytest.raises(InvalidRequest, match=answer) as caught:
        make()

    assert caught.value.broken
    assert caught.value.__suppress_context__


def test_other_errors_are_not_touched() -> None:
    """
    Such as that of a converter, or of a constructor that takes whatever it is given.
    """

    @explained
    class Any_:  # noqa: N801 (as in a program)
        def __init__(self, **names: object) -> None:
            raise TypeError("not now")

    @explained
    class Many:
        def __init__(self, *values: object, size: int) -> None:
            raise AssertionError

    with pytest.raises(TypeError, match="no number"):
        Cat("Tom", paws="three")
    with pytest.raises(TypeError, match="not now"):
        Any_(a=1)
    with pytest.raises(TypeError, match="unexpected keyword argument 'width'"):
        Many(1, 2, width=3)  # type: ignore[call-arg]


def test_explaining_twice_wraps_once() -> None:
    """
    Classes of requests are registered again by tests and reloaded modules.
    """
    before = Cat.__init__

    assert explained(Cat).__init__ is before
    assert explained(ImageRequest).__init__ is ImageRequest.__init__


def test_class_that_derives_has_its_own_constructor() -> None:
    """
    It is explained if it is registered itself; what it inherits is.
    """

    class Tabby(Cat):
        pass

    with pytest.raises(InvalidRequest, match="not a field of Cat; did you mean paws"):
        Tabby("Tom", paw=3)  # type: ignore[call-arg]


def test_unexplained_makes_the_same() -> None:
    """
    For right names; a wrong one is Python's own error, and what another decorator does is done.
    """

    class Loud(Cat):
        @functools.wraps(Cat.__init__)  # type: ignore[misc]
        def __init__(self, *values: Any, **named: Any) -> None:
            super().__init__(*values, **{**named, "name": named["name"].upper()})

    assert Cat("Tom", paws=3) == unexplained(Cat)({"name": "Tom", "paws": 3})
    assert "TOM" == unexplained(Loud)({"name": "Tom"}).name == unexplained(explained(Loud))({"name": "Tom"}).name
    with pytest.raises(TypeError, match="unexpected keyword argument 'paw'"):
        unexplained(Cat)({"name": "Tom", "paw": 3})
