from benchmarks.memory import generate, held_for_one
from kling_async import GATEWAY


async def test_a_waiting_task_takes_some_kilobytes() -> None:
    """
    What is traced is no more than what is held for each: a coroutine alone is more than half of one.
    """

    assert 1_000 < await held_for_one(generate, GATEWAY, tasks=20) < 50_000
