"""
Waiting, cancelling in the middle, and a wall clock that jumps; all in simulated time.
"""

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from kling_async import GATEWAY, OFFICIAL, AccessKey, Dialect, KlingClient
from kling_async.client.exchange import RequestBody
from kling_async.emulator import Emulator, faults
from kling_async.errors import ClientClosed
from tests.fakes.simulated_loop import epoch_now, simulate, simulated

KEY = AccessKey("access-1", "secret-of-a-proper-length-for-hs256-0123")


@asynccontextmanager
async def account(
    key: AccessKey | None = None, *, slots: int = 9, dialect: Dialect = OFFICIAL, **settings: Any
) -> AsyncIterator[tuple[Emulator, KlingClient]]:
    server = Emulator(dialect=dialect, slots=slots, clock=epoch_now, access_key=key, **settings)
    async with server:
        async with KlingClient(key or server.api_key, base_url=server.url, dialect=dialect, slots=slots) as client:
            yield server, client


async def reads_within(server: Emulator, seconds: float) -> int:
    """
    Count the queries in the next *seconds*.
    """
    before = server.ledger.reads + server.ledger.list_reads
    await asyncio.sleep(seconds)
    return server.ledger.reads + server.ledger.list_reads - before


@simulated
async def test_task_without_waiters_is_polled_while_it_holds_slots() -> None:
    """
    The caller has left: the end is seen all the same, frees the slot for the next task, and ends all polls.
    """
    async with account(slots=1, latency=(20.0, 20.0)) as (server, client):
        handle = await client.submit("a lighthouse")
        waits = [asyncio.ensure_future(handle.wait()) for _ in range(3)]
        await asyncio.sleep(5.0)
        for wait in waits:
            wait.cancel()
        await asyncio.wait(waits)
        start = epoch_now()
        await client.submit("a harbour")
        lag = epoch_now() - start - 15.0

        assert handle.done
        assert 0 <= lag < 1.5
        await asyncio.sleep(25.0)
        assert 0 == await reads_within(server, 3600.0)


@simulated
async def test_task_without_slots_and_waiters_is_not_polled() -> None:
    """
    A task that was picked up takes no slots: when its last waiter leaves, it is polled no more until another comes.
    """
    async with account(latency=(20.0, 20.0)) as (server, client):
        made = await client.submit("a lighthouse")
        async with KlingClient(server.api_key, base_url=server.url, dialect=OFFICIAL) as other:
            await client.aclose()
            handle = other.handle(made.task_id)
            wait = asyncio.ensure_future(handle.wait())
            assert 0 < await reads_within(server, 4.5)

            wait.cancel()
            await asyncio.sleep(0)
            assert 0 == await reads_within(server, 3600.0)

            assert (await handle.wait(timeout=1.0)).images


@simulated
async def test_waiting_keeps_no_copy_of_what_was_sent() -> None:
    """
    A body may hold a picture of megabytes; once its task is accepted it is gone.
    """
    async with account(latency=(20.0, 20.0)) as (_, client):
        handle = await client.submit("a lighthouse, once only")
        gc.collect()
        sent = [thing for thing in gc.get_objects() if isinstance(thing, RequestBody)]
        kept = [body for body in sent if "once only" in body.decode()]
        await handle

        assert [] == kept


@pytest.mark.parametrize("dialect", [OFFICIAL, GATEWAY], ids=lambda dialect: dialect.name)
def test_closing_in_the_middle(dialect: Dialect) -> None:
    """
    Thirty waits, some of whose polls are running, end with the ids of their tasks; nothing is left behind.
    """

    @simulated
    async def story() -> None:
        rules = [faults.delay_before("query", 0.5), faults.delay_before("list", 0.5), faults.delay_before("tasks", 0.5)]
        async with account(slots=30, dialect=dialect, latency=(20.0, 20.0), faults=rules) as (server, client):
            handles = await asyncio.gather(*(client.submit(f"lighthouse {number}") for number in range(30)))
            waits = [asyncio.ensure_future(handle.wait()) for handle in handles]
            while not client.core._poller._running:
                await asyncio.sleep(0.1)
            await client.aclose()
            errors = await asyncio.gather(*waits, return_exceptions=True)

            assert {ClientClosed} == {type(error) for error in errors}
            assert [(handle.task_id,) for handle in handles] == [
                error.task_ids for error in errors if isinstance(error, ClientClosed)
            ]
            assert set(handles) == set(client.unfinished)
            assert 0 == sum(usage.used for usage in client.slots.values())
            assert 0 == await reads_within(server, 3600.0)
            assert server._runner is not None
            assert server._runner.server is not None
            assert [] == server._runner.server.connections

    story()


async def ends_after_jump(jump: float, key: AccessKey | None, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """
    Make pictures that take about four minutes, and return when each was there; the wall clock jumps meanwhile.
    """
    loop = asyncio.get_running_loop()
    wall = {"jump": 0.0}
    monkeypatch.setattr(time, "time", lambda: 1_750_000_000.0 + loop.time() + wall["jump"])
    loop.call_later(60.0, wall.update, {"jump": jump})
    ends = []

    async def make(client: KlingClient, number: int) -> None:
        await client.generate(f"lighthouse {number}", timeout=None)
        ends.append(loop.time())

    async with account(key, slots=3, latency=(230.0, 250.0)) as (server, client):
        await asyncio.gather(*(make(client, number) for number in range(4)))  # the last begins after the jump
        assert 4 == len(server.ledger.tasks)
    return ends


@pytest.mark.parametrize("key", [None, KEY], ids=["static key", "signed tokens"])
def test_wall_clock_that_jumps_changes_nothing(key: AccessKey | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    By an hour, forward or back: no end is seen later, and expired tokens are renewed.
    """
    steady, ahead, back = (simulate(ends_after_jump(jump, key, monkeypatch)) for jump in (0.0, 3600.0, -3600.0))

    assert steady == ahead == back
