"""
JSON that is sent.
"""

from typing import Any

import pytest
from hypothesis import given, strategies as st

from kling_async.wire import json_text
from kling_async.wire.json_text import dumps, read_patiently, write_body

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_bodies_have_the_same_value_by_any_writer(value: Any) -> None:
    """
    Long numbers, and text of any characters, too.
    """
    assert read_patiently(dumps(value)) == read_patiently(write_body(value))


def test_bodies_are_written_without_orjson(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    By the standard library, as compact.
    """
    monkeypatch.setattr(json_text, "orjson", None)

    assert '{"prompt":"灯塔","n":1}'.encode() == write_body({"prompt": "灯塔", "n": 1})


def test_what_is_no_json_is_not_written() -> None:
    """
    The error is the standard library's.
    """
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_body({"prompt": object()})
