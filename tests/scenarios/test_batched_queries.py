"""
Many tasks in one request, if the service offers that; and one by one if it turns out not to; in simulated time.
"""

import asyncio

import attrs
import pytest

from kling_async import GATEWAY, OFFICIAL, AccessKey, Dialect, KlingClient, PollPolicy, TaskResult
from kling_async.emulator import Emulator, Fault, faults
from tests.fakes.simulated_loop import epoch_now, simulated

STEADY = PollPolicy(first_delay=0.1, max_delay=0.2, answer_timeout=1.0)

BY_IDS = attrs.evolve(OFFICIAL, lists=False)
BY_PAGES = attrs.evolve(OFFICIAL, ids_per_read=1)


async def wait_for_many(
    server: Emulator, count: int = 60, key: str | AccessKey | None = None, *, dialect: Dialect = BY_IDS
) -> list[TaskResult]:
    client = KlingClient(key or server.api_key, base_url=server.url, dialect=dialect, slots=count, polling=STEADY)
    async with client:
        return await asyncio.gather(*(client.generate(f"lighthouse {number}") for number in range(count)))


@simulated
async def test_twenty_tasks_share_a_request() -> None:
    """
    Sixty tasks take fewer requests than tasks, and hardly any is queried alone.
    """
    async with Emulator(dialect=OFFICIAL, latency=(0.4, 0.6), slots=None, clock=epoch_now) as server:
        results = await wait_for_many(server)

    reads = server.ledger.arrivals["tasks"] + server.ledger.arrivals["query"]
    assert 60 == len({result.task_id for result in results})
    assert reads < 60
    assert server.ledger.arrivals["query"] < 10


@simulated
async def test_results_are_the_same_as_one_by_one() -> None:
    """
    Answers in the new standard lead to the same pictures and units.
    """
    async with Emulator(dialect=OFFICIAL, latency=(0.2, 0.2), slots=None, clock=epoch_now) as server:
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
@simulated
async def test_mode_that_is_refused_is_not_used_again(refusal: Fault) -> None:
    """
    From then on the tasks are queried one by one, and all results arrive.
    """
    async with Emulator(dialect=OFFICIAL, latency=(0.4, 0.6), slots=None, clock=epoch_now, faults=[refusal]) as server:
        results = await wait_for_many(server, 30)

    assert 30 == len(results)
    assert server.ledger.arrivals["tasks"] <= STEADY.width


@simulated
async def test_signed_tokens_are_not_taken_on_the_new_paths() -> None:
    """
    The vendor refuses them with 401 and 1002, which is not taken for a wrong key.
    """
    key = AccessKey("access-1", "secret-of-a-proper-length-for-hs256-0123")
    async with Emulator(dialect=OFFICIAL, latency=(0.3, 0.4), slots=None, clock=epoch_now, access_key=key) as server:
        results = await wait_for_many(server, 30, key)

    assert 30 == len(results)
    assert server.ledger.arrivals["tasks"] <= STEADY.width


@simulated
async def test_a_passing_failure_is_no_refusal() -> None:
    """
    After 5xx, 429 and cut connections, tasks are queried together again.
    """
    rules = [
        faults.status("tasks", 503, times=1),
        faults.bare_429("tasks", times=1),
        faults.reset_after("tasks", times=1),
    ]
    async with Emulator(dialect=OFFICIAL, latency=(0.8, 1.0), slots=None, clock=epoch_now, faults=rules) as server:
        await wait_for_many(server)

    assert server.ledger.answers["tasks", 200] > 3
    assert server.ledger.arrivals["query"] < 20


@pytest.mark.parametrize("trouble", [faults.html_after("tasks"), faults.status("tasks", 503), faults.garbled("tasks")])
@simulated
async def test_mode_that_never_works_is_given_up(trouble: Fault) -> None:
    """
    After a proxy's pages, or many failures of the path, tasks are queried one by one.
    """
    async with Emulator(dialect=OFFICIAL, latency=(0.2, 0.3), slots=None, clock=epoch_now, faults=[trouble]) as server:
        results = await wait_for_many(server, 30)

    assert 30 == len(results)


@simulated
async def test_mode_that_the_dialect_lacks_is_not_used() -> None:
    """
    A gateway gets no request for several tasks.
    """
    async with (
        Emulator(dialect=GATEWAY, latency=(0.1, 0.2), slots=None, clock=epoch_now) as server,
        KlingClient(server.api_key, base_url=server.url, slots=30, polling=STEADY) as client,
    ):
        await asyncio.gather(*(client.generate(f"lighthouse {number}") for number in range(30)))

    assert 0 == server.ledger.arrivals["tasks"]


@simulated
async def test_task_that_is_left_out_is_queried_alone() -> None:
    """
    A task that is missing from the answer about several costs one more request, and no result.
    """
    async with (
        Emulator(dialect=OFFICIAL, latency=(0.2, 0.3), slots=None, clock=epoch_now) as server,
        KlingClient(server.api_key, base_url=server.url, dialect=BY_IDS, slots=5, polling=STEADY) as client,
    ):
        stranger = client.handle("900000000000000099")
        waiting = asyncio.ensure_future(stranger.wait(timeout=1.0))
        results = await asyncio.gather(*(client.generate(f"lighthouse {number}") for number in range(5)))
        with pytest.raises(TimeoutError):
            await waiting

    assert 5 == len(results)
    assert server.ledger.arrivals["query"] > 0


@simulated
async def test_page_shows_all_tasks() -> None:
    """
    Sixty tasks cost one page at a time, and hardly any is queried by its id.
    """
    async with Emulator(dialect=OFFICIAL, latency=(0.4, 0.6), slots=None, clock=epoch_now) as server:
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
@simulated
async def test_pages_that_are_refused_are_not_read_again(refusal: Fault, dialect: Dialect) -> None:
    """
    A refusal of lists is remembered; the tasks are queried by their ids at once.
    """
    async with Emulator(dialect=OFFICIAL, latency=(0.4, 0.6), slots=None, clock=epoch_now, faults=[refusal]) as server:
        results = await wait_for_many(server, 30, dialect=dialect)

    assert 30 == len(results)
    assert server.ledger.list_reads <= 1 + STEADY.width


@pytest.mark.parametrize(
    "trouble", [faults.html_after("list"), faults.status("list", 503), faults.garbled("list"), faults.stall("list")]
)
@simulated
async def test_pages_that_never_work_are_given_up(trouble: Fault) -> None:
    """
    If lists fail for long, the tasks are queried by their ids.
    """
    async with Emulator(dialect=OFFICIAL, latency=(0.2, 0.3), slots=None, clock=epoch_now, faults=[trouble]) as server:
        results = await wait_for_many(server, 30, dialect=BY_PAGES)

    assert 30 == len(results)


@simulated
async def test_tasks_that_are_not_on_the_page_are_queried_by_their_ids() -> None:
    """
    Another program on the account fills the pages with its own tasks; all results arrive.
    """
    async with Emulator(dialect=OFFICIAL, latency=(1.0, 1.2), slots=None, clock=epoch_now) as server:
        ours = asyncio.ensure_future(wait_for_many(server, 12, dialect=BY_PAGES))
        async with KlingClient(server.api_key, base_url=server.url, dialect=OFFICIAL, slots=500) as others:
            await asyncio.sleep(0.3)
            await asyncio.gather(*(others.submit(f"castle {number}") for number in range(60)))
        results = await ours

    assert 12 == len(results)
    assert server.ledger.arrivals["query"] >= 12
