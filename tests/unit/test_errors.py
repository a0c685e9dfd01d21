"""
The errors: one class per decision of the caller.
"""

import copy
import inspect
import pickle
import re
from pathlib import Path
from typing import Any

import attrs
import pytest

from kling_async import errors
from kling_async.errors import BrokenRule, InvalidRequest, KlingError, WaitTimeout
from kling_async.policy.spending import Amount
from kling_async.wire.endpoints.image_generation import ImageRequest
from kling_async.wire.tasks import TaskSnapshot, TaskStatus

CLASSES = [
    member
    for _, member in inspect.getmembers(errors, inspect.isclass)
    if issubclass(member, KlingError) and member.__module__ == errors.__name__
]

OWN_FIELDS: dict[str, Any] = {
    "broken": (BrokenRule("n", "10", "must be a whole number from 1 to 9"),),
    "retry_after": 7.5,
    "gives_up_in": 3.5,
    "request": ImageRequest("a lighthouse", image="https://x/y.png?token=abc"),
    "snapshot": TaskSnapshot(task_id="t-1", task_status=TaskStatus.FAILED),
    "index": 3,
    "paths": (Path("t-1-0.png"),),
    "urls": ("s3://bucket/t-1-1.png",),
    "task_ids": ("t-1", "t-2"),
    "is_other_api": True,
    "is_confirmed": True,
    "price": Amount(8, "0.028"),
    "spent": Amount(90),
    "reserved": Amount(4),
    "left": Amount(6),
    "frees_in": 12.5,
}


def full(kind: type[KlingError]) -> KlingError:
    """
    Make an error of *kind* with every field set.
    """
    facts = {"message": "too dark", "task_id": "t-1", "request_id": "r-1", "code": 1301, "http_status": 400}
    values = {**OWN_FIELDS, **facts}
    return kind(*(values[field.name] for field in attrs.fields(kind)))


def parents(kind: type[KlingError]) -> tuple[str, ...]:
    """
    Name the direct bases of *kind*.
    """
    return tuple(base.__name__ for base in kind.__bases__)


def test_tree() -> None:
    """
    The tree is as drawn on top of the module: indents are bases, and what stands in brackets is a second one.
    """
    lines = re.findall(r"^    ( *)(\w+)(?: \(also (\w+)\))?", inspect.getdoc(errors) or "", flags=re.MULTILINE)
    drawn, path = {}, ["Exception"]
    for indent, name, second in lines:
        depth = len(indent) // 2 + 1
        path[depth:] = [name]
        drawn[name] = (path[depth - 1], *([second] if second else []))

    assert drawn == {kind.__name__: parents(kind) for kind in CLASSES}


def test_surface() -> None:
    """
    Every class of the module is named, in order.
    """
    values = ("BrokenRule", "BudgetAmount", "SeenTask", "SentRequest")

    assert sorted([*(kind.__name__ for kind in CLASSES), *values]) == errors.__all__


@pytest.mark.parametrize("kind", CLASSES)
def test_error_survives_pickling(kind: type[KlingError]) -> None:
    """
    An error crosses a border of processes with all its fields, and with what was learnt after it was made.
    """
    error = full(kind)
    error.task_id = "t-9"

    again = pickle.loads(pickle.dumps(error))  # noqa: S301 (our own bytes)

    assert kind is type(again)
    assert attrs.astuple(error, recurse=False) == attrs.astuple(again, recurse=False)
    assert str(error) == str(again)


@pytest.mark.parametrize("kind", CLASSES)
def test_error_is_copied(kind: type[KlingError]) -> None:
    """
    Copies and `attrs.evolve` give an equal error of its own: a traceback belongs to one raising.
    """
    error = full(kind)

    for again in (copy.copy(error), attrs.evolve(error)):
        assert again is not error
        assert attrs.astuple(error, recurse=False) == attrs.astuple(again, recurse=False)


@pytest.mark.parametrize("kind", CLASSES)
def test_error_is_itself_alone(kind: type[KlingError]) -> None:
    """
    Errors are hashable and equal by identity, as exceptions are.
    """
    error = full(kind)

    assert {error} == {error, error}
    assert error != full(kind)


@pytest.mark.parametrize("kind", CLASSES)
def test_text_names_the_task_and_the_request(kind: type[KlingError]) -> None:
    """
    The text says what to look for and what to tell the vendor's support.
    """
    error = full(kind)

    assert "too dark (task t-1, code 1301, HTTP 400, request r-1)" == str(error)
    assert f"{kind.__name__}({str(error)!r})" == repr(error)


@pytest.mark.parametrize("kind", CLASSES)
def test_text_shows_no_more_than_it_should(kind: type[KlingError]) -> None:
    """
    What an error holds besides, a signed address for one, is in none of its texts.
    """
    error = full(kind)

    assert "token=abc" not in f"{error} {error!r}"


@pytest.mark.parametrize("kind", CLASSES)
def test_message_alone_is_enough(kind: type[KlingError]) -> None:
    """
    Only the message is needed, and alone it is the text.
    """
    assert "too dark" == str(kind("too dark"))


def test_invalid_request_is_a_value_error() -> None:
    """
    Who gives a wrong value may catch what Python calls a wrong value.
    """
    assert issubclass(InvalidRequest, ValueError)


def test_wait_timeout_is_a_timeout_error() -> None:
    """
    A wait that ran out is caught as any other timeout.
    """
    assert issubclass(WaitTimeout, TimeoutError)


def test_wait_timeout_is_an_os_error() -> None:
    """
    Python's own TimeoutError is an OSError, so `except OSError` around a wait catches it too; it has no errno, and
    its text is ours. No other error of the package is one.
    """
    error = full(WaitTimeout)

    assert isinstance(error, OSError)
    assert error.errno is None
    assert "too dark" in str(error)
    assert {"WaitTimeout"} == {kind.__name__ for kind in CLASSES if issubclass(kind, OSError)}


def test_broken_rule_reads_as_a_sentence() -> None:
    """
    A broken rule names field, value and rule.
    """
    assert "n=10: must be a whole number from 1 to 9" == str(OWN_FIELDS["broken"][0])
