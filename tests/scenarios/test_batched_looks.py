"""
Many tasks in one request, where the service offers that; and one by one where it turns out not to.
"""

import asyncio

import attrs
import pytest

from kling_async import GATEWAY, OFFICIAL, AccessKey, Dialect, KlingClient, PollPolicy, TaskResult
from kling_async.emulator import Emulator, Fault, faults

STEADY = PollPolicy(first_delay=0.1, max_delay=0.2, answer_timeout=1.0)

BY_IDS = attrs.evolve(OFFICIAL, lists=False)
BY_PAGES = attrs.evolve(OFFICIAL, ids_per_read=1)


async def wait_for_many(
    server: Emulator, count: int = 60, key: str | AccessKey | None = None, *, dialect: Dialect = BY_IDS
) -> list[TaskResult]:
    client = KlingClient(key or server.api_key, base_url=server.url, dialect=dialect, slots=count, polling=STEADY)
    async with client:
        return await asyncio.gather(*(client.generate(f"lighthouse {number}") for number in range(count)))


async def test_twenty_tasks_share_a_request() -> None:
    """
    Sixty tasks cost a twentieth of the looks, and hardly any is asked for alone.
    """
    async with Emulator(dialect=OFFICIAL, latency=(0.4, 0.6), slots=None) as server:
        results = await wait_for_many(server)

    looks = server.ledger.arrivals["tasks"] + server.ledger.arrivals["query"]
    assert 60 == len({result.task_id for result in results})
    assert looks < 60
    assert server.ledger.arrivals["query"] < 10


async def test_results_are_the_same_as_one_by_one() -> None:
    """
    The new standard's words lead to the same pictures and units.
    """
    async with Emulator(dialect=OFFICIAL, latency=(0.2, 0.2), slots=None) as server:
        results = await wait_for_many(server, 5)
        async with KlingClient(server.api_key, base_url=server.url, dialect=OFFICIAL) as client:
            singly = [await client.handle(result.task_id).wait() for result in results]

    assert [result.images for result in singly] == [result.images for result in results]
    assert [result.snapshot.final_unit_deduction for result in singly] == [
        result.snapshot.final_unit_deduction for result in results
    ]


REFUSALS = {
    "404": faults.html("tasks", 404),
    "405": faults.html("tasks", 405),
    "501": faults.status("tasks", 501),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
async def test_a_way_that_is_refused_is_not_tried_again(refusal: Fault) -> None:
    """
    The tasks are asked for one by one from then on, and nobody notices.
    """
    async with Emulator(dialect=OFFICIAL, latency=(0.4, 0.6), slots=None, faults=[refusal]) as server:
        results = await wait_for_many(server, 30)

    assert 30 == len(results)
    assert server.ledger.arrivals["tasks"] <= STEADY.width


async def test_signed_tokens_are_not_taken_on_the_new_paths() -> None:
    """
    The vendor refuses them with 401 and 1002, which is not taken for a wrong key.
    """
    key = AccessKey("access-1", "secret-of-a-proper-length-for-hs256-0123")
    async with Emulator(dialect=OFFICIAL, latency=(0.3, 0.4), slots=None, access_key=key) as server:
        results = await wait_for_many(server, 30, key)

    assert 30 == len(results)
    assert server.ledger.arrivals["tasks"] <= STEADY.width


async def test_a_passing_failure_is_no_refusal() -> None:
    """
    After 5xx, 429 and cut connections tasks are asked for together again.
    """
    rules = [
        faults.status("tasks", 503, times=1),
        faults.bare_429("tasks", times=1),
        faults.reset_after("tasks", times=1),
    ]
    async with Emulator(dialect=OFFICIAL, latency=(0.8, 1.0), slots=None, faults=rules) as server:
        await wait_for_many(server)

    assert server.ledger.answers["tasks", 200] > 3
    assert server.ledger.arrivals["query"] < 20


@pytest.mark.parametrize("trouble", [faults.html_after("tasks"), faults.status("tasks", 503), faults.garbled("tasks")])
async def test_what_never_works_keeps_nobody_waiting(trouble: Fault) -> None:
    """
    A proxy's pages, or a path that is out of order for days, lead to asking one by one.
    """
    async with Emulator(dialect=OFFICIAL, latency=(0.2, 0.3), slots=None, faults=[trouble]) as server:
        results = await wait_for_many(server, 30)

    assert 30 == len(results)


async def test_a_service_without_it_is_asked_one_by_one() -> None:
    """
    A gateway is never asked for what its dialect does not offer.
    """
    async with (
        Emulator(dialect=GATEWAY, latency=(0.1, 0.2), slots=None) as server,
        KlingClient(server.api_key, base_url=server.url, slots=30, polling=STEADY) as client,
    ):
        await asyncio.gather(*(client.generate(f"lighthouse {number}") for number in range(30)))

    assert 0 == server.ledger.arrivals["tasks"]


async def test_a_task_that_is_left_out_is_asked_for_alone() -> None:
    """
    A dialect that overstates what the service shows in company costs a request more, and no result.
    """
    async with (
        Emulator(dialect=OFFICIAL, latency=(0.2, 0.3), slots=None) as server,
        KlingClient(server.api_key, base_url=server.url, dialect=BY_IDS, slots=5, polling=STEADY) as client,
    ):
        stranger = client.handle("900000000000000099")
        waiting = asyncio.ensure_future(stranger.wait(timeout=1.0))
        results = await asyncio.gather(*(client.generate(f"lighthouse {number}") for number in range(5)))
        with pytest.raises(TimeoutError):
            await waiting

    assert 5 == len(results)
    assert server.ledger.arrivals["query"] > 0


async def test_a_page_tells_of_all() -> None:
    """
    Sixty tasks cost a page a turn, and hardly any is asked for by its id.
    """
    async with Emulator(dialect=OFFICIAL, latency=(0.4, 0.6), slots=None) as server:
        results = await wait_for_many(server, dialect=BY_PAGES)

    assert 60 == len({result.task_id for result in results})
    assert 0 < server.ledger.arrivals["list"] < 20
    assert server.ledger.arrivals["query"] < 10


PAGE_REFUSALS = {
    "404": faults.html("list", 404),
    "405": faults.html("list", 405),
    "501": faults.status("list", 501),
}


@pytest.mark.parametrize("dialect", [OFFICIAL, BY_PAGES], ids=["with ids", "alone"])
@pytest.mark.parametrize("refusal", PAGE_REFUSALS.values(), ids=PAGE_REFUSALS)
async def test_pages_that_are_refused_are_not_tried_again(refusal: Fault, dialect: Dialect) -> None:
    """
    A refusal of lists is remembered; the tasks are asked for by their ids in the same turn.
    """
    async with Emulator(dialect=OFFICIAL, latency=(0.4, 0.6), slots=None, faults=[refusal]) as server:
        results = await wait_for_many(server, 30, dialect=dialect)

    assert 30 == len(results)
    assert server.ledger.list_reads <= 1 + STEADY.width


@pytest.mark.parametrize(
    "trouble", [faults.html_after("list"), faults.status("list", 503), faults.garbled("list"), faults.stall("list")]
)
async def test_pages_that_never_work_keep_nobody_waiting(trouble: Fault) -> None:
    """
    Where lists are out of order for long the tasks are asked for by their ids.
    """
    async with Emulator(dialect=OFFICIAL, latency=(0.2, 0.3), slots=None, faults=[trouble]) as server:
        results = await wait_for_many(server, 30, dialect=BY_PAGES)

    assert 30 == len(results)


async def test_tasks_that_are_not_on_the_page_are_asked_for_by_their_ids() -> None:
    """
    Another program on the account fills the pages with its own tasks, and nobody waits for ever.
    """
    async with Emulator(dialect=OFFICIAL, latency=(1.0, 1.2), slots=None) as server:
        ours = asyncio.ensure_future(wait_for_many(server, 12, dialect=BY_PAGES))
        async with KlingClient(server.api_key, base_url=server.url, dialect=OFFICIAL, slots=500) as others:
            await asyncio.sleep(0.3)
            await asyncio.gather(*(others.submit(f"castle {number}") for number in range(60)))
        results = await ours

    assert 12 == len(results)
    assert server.ledger.arrivals["query"] >= 12
