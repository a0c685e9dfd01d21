"""
The names of the fields of answers are kept once.
"""

import json

import pytest

from kling_async.wire import codec, json_text
from kling_async.wire.codec import read_task

TASK = {
    "task_id": "t-1",
    "task_status": "processing",
    "task_info": {"external_task_id": "e-1"},
    "of_a_relay": [{"b": 1}],
}


def names_in(value: object) -> list[str]:
    """
    The names of all fields, at any depth.
    """
    if isinstance(value, dict):
        return [*value, *(name for item in value.values() for name in names_in(item))]
    return [name for item in value for name in names_in(item)] if isinstance(value, list) else []


@pytest.mark.parametrize("has_orjson", [True, False])
def test_answers_share_the_names_of_their_fields(*, has_orjson: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    With orjson and without it, two answers hold the same texts, and show all that was received.
    """
    if not has_orjson:
        monkeypatch.setattr(json_text, "orjson", None)
        monkeypatch.setattr(codec, "SHARES_NAMES", False)
    body = json.dumps(TASK).encode()

    one, other = (read_task(json_text.loads(body)).raw for _ in range(2))

    assert TASK == one == other
    assert 6 == len(names_in(one))
    assert all(name is same for name, same in zip(names_in(one), names_in(other), strict=True))
