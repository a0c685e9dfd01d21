"""
A third of all polls fail, or some are refused at random, and every wait ends well and in time.
"""

import asyncio

import pytest

from kling_async import GATEWAY, HttpOptions, KlingClient, PollPolicy
from kling_async.emulator import Emulator, Fault, faults
from tests.fakes.simulated_loop import epoch_now, simulated

BAD_WEATHER = [
    faults.reset_before("query", rate=0.06),
    faults.stall("query", rate=0.06),
    faults.truncated("query", rate=0.06),
    faults.status("query", 503, rate=0.12),
]
"""
Together they strike 27 to 30 % of the looks; where two would, the first does.
"""

REFUSING = [faults.bare_429("query", rate=0.06)]
"""
A 429 says that there are too many polls, at whatever rate it is sent.
"""


async def run(seed: int, rules: list[Fault]) -> float:
    """
    Wait for 100 tasks and return the seconds it took.
    """
    policy = PollPolicy(first_delay=1.0, growth=1.2, max_delay=2.0, answer_timeout=0.3)
    async with (
        Emulator(latency=(1.0, 3.0), slots=None, faults=rules, seed=seed, clock=epoch_now) as server,
        KlingClient(
            server.api_key, base_url=server.url, slots=100, polling=policy, http=HttpOptions(read_timeout=5)
        ) as client,
    ):
        start = epoch_now()
        results = await asyncio.gather(*(client.generate(f"lighthouse {number}") for number in range(100)))
        assert 100 == len({result.task_id for result in results})
        assert 100 == len(server.ledger.tasks)
        return epoch_now() - start


@pytest.mark.parametrize("seeds", [range(6), pytest.param(range(6, 20), marks=pytest.mark.thorough)], ids=str)
@simulated
async def test_frequent_faults_delay_a_wait_by_half(seeds: range) -> None:
    """
    All waits of 100 tasks succeed. They take at most half as long again as without faults, taken over the seeds, and
    for none more than two and a half times as long.
    """
    fair = await asyncio.gather(*(run(seed, []) for seed in seeds))
    foul = await asyncio.gather(*(run(seed, BAD_WEATHER) for seed in seeds))

    assert sum(foul) <= 1.5 * sum(fair)
    assert [] == [seed for seed, good, bad in zip(seeds, fair, foul, strict=True) if bad > 2.5 * good]


@pytest.mark.parametrize("seeds", [range(3), pytest.param(range(3, 20), marks=pytest.mark.thorough)], ids=str)
@simulated
async def test_service_that_refuses_at_random_is_asked_seldom_and_to_the_end(seeds: range) -> None:
    """
    All waits of 100 tasks succeed although the rate of polls falls again and again, and within a minute or so.
    """
    seconds = await asyncio.gather(*(run(seed, REFUSING) for seed in seeds))

    assert max(seconds) < 90.0


@simulated
async def test_rate_falls_where_polls_are_refused() -> None:
    """
    It grows for a hundred tasks that are polled one by one, falls when their service refuses some, and all are noticed.
    """
    rates = []
    for rules in ([], [faults.rate_limited("query", after=150, times=3)]):
        way = [faults.delay_before("any", 0.02), faults.delay_after("any", 0.02)]
        async with (
            Emulator(dialect=GATEWAY, latency=(4.0, 6.0), slots=None, faults=[*way, *rules], clock=epoch_now) as server,
            KlingClient(server.api_key, base_url=server.url, slots=100) as client,
        ):
            await asyncio.gather(*(client.generate(f"lighthouse {number}") for number in range(100)))
            rates.append(client.core._poller.health.rate.rate)

    assert 100.0 < rates[0]
    assert rates[1] < 0.8 * rates[0]
