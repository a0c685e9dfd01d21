"""
The benchmark of tasks runs, and counts what there is to count.
"""

import gc

import pytest

from benchmarks.contest import Contender, Waits, wait_for_all
from benchmarks.load import metered
from benchmarks.stand_in import StandIn, Tally, Terms, listen
from benchmarks.tasks import CALLBACKS, CONTENDERS, LISTS, LOOP

COUNT = 20
QUICK = Terms(0.6, 0.8)  # not before the first look of who looks at once, and before that of who looks after 1 s

LIBRARIES = {"httpx_loop": "httpx", "fal": "fal_client", "replicate_wait": "replicate", "openai_videos": "openai"}
"""
What a contender's module needs that not everybody has.
"""


async def contest(contender: Contender) -> tuple[Waits, Tally]:
    """
    Run a contender with 20 quick tasks, in this loop beside the stand-in.
    """
    service = StandIn()
    service.set(QUICK)
    async with listen(service) as url, metered() as load:
        waits = await wait_for_all(contender, url, COUNT)
    return waits, service.tally(load)


@pytest.mark.parametrize(
    ("name", "requests"),
    [
        (LISTS, COUNT + 1),
        (CALLBACKS, COUNT),
        (LOOP, 2 * COUNT),
        ("httpx loop, 1 s", 2 * COUNT),
        ("requests in threads, 1 s", 2 * COUNT),
        ("fal-client, 1 s", 4 * COUNT),  # it looks at once, and asks for the result apart
        ("replicate, 1 s", 2 * COUNT),
        ("openai", 3 * COUNT),  # it looks at once
    ],
)
async def test_each_contender_sees_all_tasks_end(name: str, requests: int) -> None:
    """
    The stand-in counts as many requests as each is known to send, and no waiter is told before its task has ended.
    """
    contender = CONTENDERS[name]
    if contender.module in LIBRARIES:
        pytest.importorskip(LIBRARIES[contender.module])

    waits, tally = await contest(contender)
    gc.collect()  # what is left open is told of this test, and not of another

    assert {} == waits.failures
    assert tally.ended_at.keys() == waits.noticed_at.keys()
    assert COUNT == len(waits.noticed_at)
    assert all(at >= tally.ended_at[task_id] for task_id, at in waits.noticed_at.items())
    assert requests == tally.requests
