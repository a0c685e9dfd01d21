"""
A plain `gather` uses all slots of the account, whether their number is given or found.
"""

import asyncio
import random
from typing import Final

import pytest

from kling_async import GATEWAY, KlingClient, PollPolicy, RetryPolicy, Slots, TaskHandle, TaskResult
from kling_async.client.callbacks.receiver import CallbackReceiver
from kling_async.client.limits.bucket import Usage
from kling_async.emulator import Emulator, faults
from kling_async.errors import ClientClosed, NoFreeSlot, SubmissionUncertain
from kling_async.wire.codec import write_task
from kling_async.wire.json_text import dumps
from tests.fakes.simulated_loop import EPOCH, now, simulated
from tests.fakes.socketless_service import SocketlessService

TRAVEL: Final = (0.05, 0.15)
"""
Seconds that each request takes, and its answer.
"""

EAGER = PollPolicy(first_delay=0.01, max_delay=0.03)


def sizes(most: int, count: int) -> list[int]:
    lot = random.Random(17)
    return [lot.randint(1, most) for _ in range(count)]


async def gather(server: Emulator, wanted: list[int], slots: int | None) -> list[TaskResult]:
    options = {"base_url": server.url, "slots": slots, "polling": EAGER}
    async with KlingClient(server.api_key, **options) as client:  # type: ignore[arg-type]
        jobs = (client.generate(f"lighthouse {number}", n=n) for number, n in enumerate(wanted))
        return await asyncio.gather(*jobs)


@pytest.mark.parametrize(("truth", "slots"), [(9, 9), (5, None), (9, None), (20, None)])
async def test_every_request_is_made_once(truth: int, slots: int | None) -> None:
    """
    60 requests of 1 to 9 pictures, or of no more than there are slots. In so short a run nothing is refused where there
    are as many as usual.
    """
    wanted = sizes(min(truth, 9), 60)
    async with Emulator(latency=(0.01, 0.02), slots=truth) as server:
        results = await gather(server, wanted, slots)

    assert wanted == [len(result.images) for result in results]
    assert 60 == len(server.ledger.tasks)
    assert truth < 9 or {} == server.ledger.refusals


@simulated
async def test_a_refusal_waits_for_slots_rather_than_for_time() -> None:
    """
    The refused request goes on as soon as a task of ours ends, ahead of all that queue behind it.
    """
    wanted = [3, 3, 3, 1, 1]
    service = SocketlessService(slots=6, latency=(0.1, 0.1))
    async with service.client(slots=None, polling=EAGER) as client:
        await asyncio.gather(*(client.generate(f"lighthouse {number}", n=n) for number, n in enumerate(wanted)))

    assert 1 == service.ledger.refusals[1303]
    assert [3, 3, 3, 1, 1] == [task.n for task in service.ledger.tasks]


async def test_limit_adapts_to_slots_used_by_others() -> None:
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

    assert [9, 9, 3] == limits
    assert 3 == len(server.ledger.tasks)


@simulated
async def test_clients_that_share_slots_close_by_themselves() -> None:
    """
    Who waits for slots in the one that is closed hears so at once; the other goes on alone, and nothing leaks. What the
    first one's tasks still take at the service is met by refusals, which pass.
    """
    service = SocketlessService(slots=9, travel=TRAVEL)
    slots = Slots(9)
    async with service.client(slots=slots) as stays:
        closed = service.client(slots=slots)
        there = [asyncio.ensure_future(closed.submit(f"castle {number}", n=2)) for number in range(6)]
        here = [asyncio.ensure_future(stays.generate(f"lighthouse {number}", n=2)) for number in range(10)]
        await asyncio.sleep(5)
        await closed.aclose()
        left = await asyncio.gather(*there, return_exceptions=True)
        results = await asyncio.gather(*here)

    assert 4 == sum(isinstance(outcome, TaskHandle) for outcome in left)
    assert 2 == sum(isinstance(outcome, ClientClosed) for outcome in left)
    assert [2] * 10 == [len(result.images) for result in results]
    assert Usage(9, 0, 0) == slots["kling-v3"]


@simulated
async def test_a_refusal_while_closing_is_told_at_once() -> None:
    """
    Its slots will not come back to a client that is going.
    """
    service = SocketlessService(slots=1, travel=TRAVEL)
    client = service.client(slots=None)
    await client.submit("a lighthouse")
    submit = asyncio.ensure_future(client.submit("a castle"))
    await asyncio.sleep(0.01)
    since = now()
    await client.aclose()

    with pytest.raises(ClientClosed) as caught:
        await submit
    assert isinstance(caught.value.__cause__, NoFreeSlot)
    assert now() - since < 1


@simulated
async def test_slots_come_back_when_the_waiter_was_cancelled() -> None:
    """
    The task goes on, and its end gives the slots to the next.
    """
    service = SocketlessService(slots=1, travel=TRAVEL)
    async with service.client(slots=1) as client:
        first = asyncio.ensure_future(client.generate("a lighthouse"))
        await asyncio.sleep(5)
        first.cancel()
        await client.generate("a castle")

    assert first.cancelled()
    assert 0 == service.refused


@simulated
async def test_an_uncertain_submit_holds_its_slots_for_a_while() -> None:
    """
    A task of it may be running, for two minutes at most.
    """
    service = SocketlessService(faults.reset_after("create", times=1), dialect=GATEWAY, slots=20, travel=TRAVEL)
    async with service.client(slots=9) as client:
        with pytest.raises(SubmissionUncertain):
            await client.submit("a lighthouse", n=5)
        since = now()
        await client.submit("a castle", n=5)

        assert 120 <= now() - since < 121


@simulated
async def test_a_submit_in_doubt_holds_slots_that_a_refusal_took() -> None:
    """
    One whose first attempt was lost, and which was refused from then on, may have made a task all the same.
    """
    service = SocketlessService(faults.reset_before("create", times=1), latency=(400.0, 400.0), slots=9, travel=TRAVEL)
    service.occupy(9)
    async with service.client(slots=9) as client:
        with pytest.raises(SubmissionUncertain):
            await client.submit("a lighthouse", n=5)
        held = client.slots["kling-v3"]
        await asyncio.sleep(121)

        assert [Usage(9, 5, 0), Usage(9, 0, 0)] == [held, client.slots["kling-v3"]]


@simulated
async def test_an_uncertain_submit_that_turns_up_holds_its_slots_until_its_end() -> None:
    """
    A callback tells of its task after a minute and a half, when nobody could know of it any more.
    """
    service = SocketlessService(
        faults.reset_after("create", times=1), dialect=GATEWAY, latency=(400.0, 400.0), slots=20, travel=TRAVEL
    )
    receiver = CallbackReceiver("https://we.example")
    async with service.client(slots=9, callbacks=receiver) as client:
        with pytest.raises(SubmissionUncertain):
            await client.submit("a lighthouse", n=5)
        await asyncio.sleep(30)
        task = service.account.page(1, 1)[0]
        body = dumps(write_task(service.account.snapshot_of(task, EPOCH + now())))
        assert receiver.receive(str(task.request.callback_url).rpartition("/")[2], {}, body) < 300
        await client.submit("a castle", n=5)

        assert 400 <= now() < 410
