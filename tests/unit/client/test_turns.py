"""
Submits that come by the thousand: only some are being sent, and the others wait for their turn.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from kling_async import OFFICIAL, Budget, HttpOptions, KlingClient, RetryPolicy
from kling_async.client.handle import TaskHandle
from kling_async.emulator import Emulator, faults
from kling_async.errors import BudgetExceeded, ClientClosed
from tests.fakes.clients import client_of, emulator
from tests.fakes.eventually import eventually
from tests.fakes.gate import HELD

WIDTH = 4


def one_connection(server: Emulator, **options: Any) -> KlingClient:
    """
    Return a client that sends four submits at a time.
    """
    return client_of(server, http=HttpOptions(max_connections=1), **{"slots": 100, **options})


def submits(client: KlingClient, count: int, prompt: str = "lighthouse") -> "list[asyncio.Task[TaskHandle]]":
    return [begin(client.submit(f"{prompt} {number}")) for number in range(count)]


def begin(submit: Coroutine[Any, Any, TaskHandle]) -> "asyncio.Task[TaskHandle]":
    return asyncio.get_running_loop().create_task(submit)


def used(client: KlingClient) -> int:
    return sum(usage.used for usage in client.slots.values())


async def waiting(client: KlingClient, count: int) -> None:
    """
    Wait until that many submits wait for their turn.
    """
    await eventually(lambda: len(client.core.submitter.turns.waiting) == count)


async def test_others_wait_and_come_in_order(gate: asyncio.Event) -> None:
    """
    Four are begun; the others follow one by one, first come, first served.
    """
    rule = faults.delay_after("create", HELD)
    async with emulator(OFFICIAL, rule, slots=100) as server, one_connection(server) as client:
        submitting = submits(client, 20)
        await waiting(client, 20 - WIDTH)

        assert (WIDTH, WIDTH) == (len(client.core.submitter), client.core.submitter.turns.taken)
        gate.set()
        handles = await asyncio.gather(*submitting)
        assert [task.task_id for task in server.ledger.tasks] == [handle.task_id for handle in handles]
        assert 0 == client.core.submitter.turns.taken


async def test_cancelled_while_it_waits_for_its_turn(gate: asyncio.Event) -> None:
    """
    It is not sent, gives its slots back, and holds up no other.
    """
    rule = faults.delay_after("create", HELD)
    async with emulator(OFFICIAL, rule, slots=100) as server, one_connection(server) as client:
        submitting = submits(client, 7)
        await waiting(client, 3)
        submitting[4].cancel()
        with pytest.raises(asyncio.CancelledError):
            await submitting[4]

        assert 6 == used(client)
        gate.set()
        await asyncio.gather(*submitting[:4], *submitting[5:])
        assert 6 == server.ledger.creates_received


async def test_turn_of_a_cancelled_one_goes_to_the_next() -> None:
    """
    A submit may be cancelled in the very iteration of the loop in which its turn has come.
    """
    async with emulator(OFFICIAL) as server, one_connection(server) as client:
        turns = client.core.submitter.turns
        turns.taken = WIDTH
        first, second = (asyncio.ensure_future(turns.wait()) for _ in range(2))
        await asyncio.sleep(0)
        turns.taken -= 1
        turns.admit()
        first.cancel()
        await second

        assert first.cancelled()
        assert not turns.waiting


async def test_one_that_is_tried_again_later_lets_others_have_their_turn() -> None:
    """
    As many as may be sent at a time wait for their next attempt, and another is sent meanwhile.
    """
    rule = faults.rate_limited("create", prompt="harbour")
    retry = RetryPolicy(first_delay=600.0, max_delay=600.0)
    async with emulator(OFFICIAL, rule, slots=100) as server, one_connection(server, retry=retry) as client:
        backing = submits(client, WIDTH, "harbour")
        [handle] = await asyncio.gather(*submits(client, 1))

        assert [handle.task_id] == [task.task_id for task in server.ledger.tasks]
        assert (WIDTH, 0) == (len(client.core.submitter), client.core.submitter.turns.taken)
        for each in backing:
            each.cancel()
        await asyncio.gather(*backing, return_exceptions=True)
        await eventually(lambda: not len(client.core.submitter))
        assert 0 == client.core.submitter.turns.taken


async def test_one_that_regains_its_slots_lets_others_have_their_turn() -> None:
    """
    A submit that was refused for want of slots may wait for them as long as a task runs.
    """
    service = emulator(OFFICIAL, slots=1, latency=(1000.0, 1000.0))
    async with service as server, one_connection(server, slots=None) as client:
        await client.submit("lighthouse")
        refused = submits(client, 1, "harbour")
        await eventually(lambda: any(usage.waiting for usage in client.slots.values()))

        assert (1, 0) == (len(client.core.submitter), client.core.submitter.turns.taken)
        refused[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await refused[0]


async def test_one_that_does_not_use_its_turn_passes_it_on(gate: asyncio.Event) -> None:
    """
    A budget refuses some when their turn has come; the last still gets its answer.
    """
    rule = faults.delay_after("create", HELD)
    async with emulator(OFFICIAL, rule, slots=100) as server:
        async with one_connection(server, budget=Budget(units=8 * WIDTH)) as client:
            submitting = submits(client, 3 * WIDTH)
            await waiting(client, 2 * WIDTH)
            gate.set()
            ends = await asyncio.gather(*submitting, return_exceptions=True)

            assert [TaskHandle] * WIDTH == [type(end) for end in ends[:WIDTH]]
            assert {BudgetExceeded} == {type(end) for end in ends[WIDTH:]}
            assert WIDTH == used(client)


async def test_closing_ends_those_that_wait_for_their_turn(gate: asyncio.Event) -> None:
    """
    None of them is sent; those whose answer is out are accepted.
    """
    async with emulator(OFFICIAL, faults.delay_after("create", HELD), slots=100) as server:
        client = one_connection(server)
        submitting = submits(client, 10)
        await waiting(client, 10 - WIDTH)
        await eventually(lambda: server.ledger.creates_received == 1)
        closing = asyncio.ensure_future(client.aclose())
        await asyncio.sleep(0)
        gate.set()
        await closing
        ends = await asyncio.gather(*submitting, return_exceptions=True)

        assert [TaskHandle] == [type(end) for end in ends[:1]]
        assert [ClientClosed] * 9 == [type(end) for end in ends[1:]]
        assert (1, 0) == (server.ledger.creates_received, used(client))
