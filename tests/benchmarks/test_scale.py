from benchmarks.scale import costs_of, figures_of
from kling_async import OFFICIAL


async def test_tasks_wait_and_end_together() -> None:
    """
    Ten tasks at once: all were submitted, and their end was seen in few questions.
    """
    costs = await costs_of(10, OFFICIAL, watched=0.1)

    assert 0 < costs.reads <= 10
    assert 4 == len(figures_of("list reads", 10, [costs]))
