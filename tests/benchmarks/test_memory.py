import pytest

from benchmarks import memory
from kling_async import GATEWAY


async def test_a_waiting_task_takes_some_kilobytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What is traced is no more than what is held for each: a coroutine alone is more than half of one.
    """
    monkeypatch.setattr(memory, "SETTLING", 0.2)

    assert 1_000 < await memory.held_for_one(memory.generate, GATEWAY, tasks=20) < 50_000
