"""
A plain gather at the account's width, whether the number of slots is given or found.
"""

import asyncio
import random

import pytest

from kling_async import KlingClient, PollPolicy, RetryPolicy, TaskResult
from kling_async.emulator import Emulator, faults
from kling_async.errors import NoFreeSlot

EAGER = PollPolicy(first_delay=0.01, max_delay=0.03)


def sizes(most: int, count: int) -> list[int]:
    lot = random.Random(17)
    return [lot.randint(1, most) for _ in range(count)]


async def gather(server: Emulator, wanted: list[int], slots: int | None) -> list[TaskResult]:
    options = {"base_url": server.url, "slots": slots, "polling": EAGER}
    async with KlingClient(server.api_key, **options) as client:  # type: ignore[arg-type]
        jobs = (client.generate(f"lighthouse {number}", n=n) for number, n in enumerate(wanted))
        return await asyncio.gather(*jobs)


async def test_with_a_number_given_nothing_is_refused() -> None:
    """
    300 requests of 1 to 9 pictures against 9 slots.
    """
    wanted = sizes(9, 300)
    async with Emulator(latency=(0.01, 0.02), slots=9) as server:
        results = await gather(server, wanted, 9)

    assert wanted == [len(result.images) for result in results]
    assert {} == server.ledger.refusals


@pytest.mark.parametrize("truth", [5, 9, 20])
async def test_a_number_that_is_found_costs_few_refusals(truth: int) -> None:
    """
    Under 3 % of the creates are refused, and no request is starved or made twice.
    """
    wanted = sizes(min(truth, 9), 300)
    async with Emulator(latency=(0.01, 0.02), slots=truth) as server:
        results = await gather(server, wanted, None)

    assert wanted == [len(result.images) for result in results]
    assert 300 == len(server.ledger.tasks)
    assert server.ledger.refusals[1303] < 9


async def test_a_refusal_waits_for_slots_rather_than_for_time() -> None:
    """
    The refused request goes on as soon as a task of ours ends, ahead of all that queue behind it.
    """
    wanted = [3, 3, 3, 1, 1]
    async with Emulator(latency=(0.1, 0.1), slots=6) as server:
        await gather(server, wanted, None)

    assert 1 == server.ledger.refusals[1303]
    assert [3, 3, 3, 1, 1] == [task.n for task in server.ledger.tasks]


async def test_what_others_take_is_met_by_adapting() -> None:
    """
    Two programs on one account share its slots without knowing of each other.
    """
    async with Emulator(latency=(0.01, 0.02), slots=6) as server:
        both = await asyncio.gather(gather(server, [1] * 40, None), gather(server, [1] * 40, None))

    assert [40, 40] == [len(results) for results in both]
    assert 80 == len(server.ledger.tasks)


async def test_closing_ends_the_waiting_of_a_refused_request() -> None:
    """
    It learns that nothing was made.
    """
    async with Emulator(latency=(30, 30), slots=1) as server:
        client = KlingClient(server.api_key, base_url=server.url, polling=EAGER)
        submits = [asyncio.ensure_future(client.submit(f"lighthouse {number}")) for number in range(2)]
        while not server.ledger.refusals or client.slots["kling-v1"].waiting < 1:
            await asyncio.sleep(0.01)
        await client.aclose()
        ended = await asyncio.gather(*submits, return_exceptions=True)

    assert 1 == sum(not isinstance(outcome, BaseException) for outcome in ended)
    assert 1 == len(server.ledger.tasks)
    assert {"kling-v1": 0} == {model: usage.used for model, usage in client.slots.items()}


async def test_a_request_larger_than_all_slots_is_sent_alone() -> None:
    """
    Only the service can tell that it is too large; the caller hears it, and nobody else is stopped for ever.
    """
    retry = RetryPolicy(first_delay=0.01, max_delay=0.02, refused_for=0.2)
    async with (
        Emulator(latency=(0.01, 0.02), slots=4) as server,
        KlingClient(server.api_key, base_url=server.url, polling=EAGER, retry=retry) as client,
    ):
        outcomes = await asyncio.gather(
            client.generate("a fleet", n=9),
            *(client.generate(f"lighthouse {number}") for number in range(8)),
            return_exceptions=True,
        )

    assert isinstance(outcomes[0], NoFreeSlot)
    assert all(isinstance(outcome, TaskResult) for outcome in outcomes[1:])


async def test_a_vague_429_is_waited_out_and_shrinks_what_was_never_proven() -> None:
    """
    A gateway's bare 429 may mean slots where tasks of ours run, and only requests where none does.
    """
    retry = RetryPolicy(first_delay=0.01, max_delay=0.02)
    rules = [faults.bare_429("create", times=1), faults.bare_429("create", after=3, times=1)]
    async with (
        Emulator(latency=(0.5, 0.5), faults=rules) as server,
        KlingClient(server.api_key, base_url=server.url, polling=EAGER, retry=retry) as client,
    ):
        limits = []
        for number in range(3):
            await client.submit(f"lighthouse {number}")
            limits.append(client.slots["kling-v1"].limit)

    assert [9, 9, 2] == limits
    assert 3 == len(server.ledger.tasks)
