"""
Slots under any order of taking, giving back, cancelling and refusing.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

import attrs
import pytest
from hypothesis import given, strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from kling_async import errors
from kling_async.client.limits.bucket import LeaseState, SlotLease, Usage
from kling_async.client.limits.limiter import Slots
from kling_async.policy.policies import SlotPolicy
from tests.fakes.simulated_loop import SimulatedLoop, simulated

FULL = errors.NoFreeSlot("parallel task over resource pack limit", code=1303)


def test_usual_slots_are_nine() -> None:
    """
    Without a limit there are nine slots, and the repr says that they were not set.
    """
    slots = Slots()
    slots.check(9)

    assert slots.has_room("kling-v1", 9)
    assert Usage(9, 0, 0) == slots["kling-v1"]
    assert "Slots(found; kling-v1: 0/9 +0)" == repr(slots)


def test_unused_slots_say_so() -> None:
    """
    A model shows up once somebody has asked for its slots.
    """
    slots = Slots(3)

    assert 0 == len(slots)
    assert [] == list(slots)
    assert "Slots(3; unused)" == repr(slots)


@pytest.mark.parametrize("limit", [0, -1, True, 2.5, float("nan"), "9"])
def test_limit_is_a_whole_number(limit: Any) -> None:
    """
    A limit that could never be kept is refused at once.
    """
    with pytest.raises(ValueError, match="must be a whole number of at least 1"):
        Slots(limit)


def test_more_than_the_limit_is_refused() -> None:
    """
    More slots than there are is an InvalidRequest that names the setting.
    """
    with pytest.raises(errors.InvalidRequest, match="takes 4 slots, and there are 3") as caught:
        Slots(3).check(4)

    assert ["slots"] == [broken.field for broken in caught.value.broken]


def test_slots_are_compared_by_identity() -> None:
    """
    A mapping by its methods, Slots are compared by identity and can be kept in sets.
    """
    first, second = Slots(3), Slots(3)

    assert first != second
    assert {first, second} == {second, first}


def test_another_loop_is_refused() -> None:
    """
    Slots that were used in one loop refuse to be used in another.
    """
    slots = Slots(2)
    asyncio.run(take_and_release(slots))

    with pytest.raises(RuntimeError, match="another event loop"):
        asyncio.run(take_and_release(slots))


async def take_and_release(slots: Slots) -> None:
    (await slots.acquire("m", 1)).release()


@simulated
async def test_models_have_slots_of_their_own() -> None:
    """
    A full model keeps nobody from another.
    """
    slots = Slots(1)
    await slots.acquire("a", 1)
    await slots.acquire("b", 1)

    assert [Usage(1, 1, 0), Usage(1, 1, 0)] == list(slots.values())


@simulated
async def test_released_twice_counts_once() -> None:
    """
    A second release gives nothing back.
    """
    slots = Slots(3)
    first, _ = await slots.acquire("m", 1), await slots.acquire("m", 2)
    first.release()
    first.release()

    assert first.is_released
    assert Usage(3, 2, 0) == slots["m"]


@simulated
async def test_large_request_is_not_overtaken() -> None:
    """
    A small request behind a large one waits, though there is room for it.
    """
    slots = Slots(3)
    held = [await slots.acquire("m", 1) for _ in range(2)]
    large = asyncio.ensure_future(slots.acquire("m", 3))
    await asyncio.sleep(0)
    small = asyncio.ensure_future(slots.acquire("m", 1))
    await asyncio.sleep(0)

    assert not slots.has_room("m", 1)
    assert Usage(3, 2, 2) == slots["m"]

    for lease in held:
        lease.release()
    (await large).release()
    (await small).release()

    assert Usage(3, 0, 0) == slots["m"]


@simulated
async def test_cancelled_waiter_lets_the_next_go_on() -> None:
    """
    The small request goes on once the large one in front of it is cancelled, with no slot released.
    """
    slots = Slots(3)
    await slots.acquire("m", 2)
    large = asyncio.ensure_future(slots.acquire("m", 2))
    await asyncio.sleep(0)
    small = asyncio.ensure_future(slots.acquire("m", 1))
    await asyncio.sleep(0)

    large.cancel()
    await small

    assert large.cancelled()
    assert Usage(3, 3, 0) == slots["m"]


@simulated
async def test_slots_that_come_while_cancelling_go_to_the_next() -> None:
    """
    A release and a cancelling in one step of the loop leak no slot.
    """
    slots = Slots(1)
    lease = await slots.acquire("m", 1)
    first = asyncio.ensure_future(slots.acquire("m", 1))
    second = asyncio.ensure_future(slots.acquire("m", 1))
    await asyncio.sleep(0)

    lease.release()
    first.cancel()
    await second

    assert first.cancelled()
    assert Usage(1, 1, 0) == slots["m"]


@simulated
async def test_release_passes_on_what_one_that_was_cancelled_in_the_same_step_gets() -> None:
    """
    A waiter that was cancelled and has yet to notice hands the slots on.
    """
    slots = Slots(1)
    lease = await slots.acquire("m", 1)
    first = asyncio.ensure_future(slots.acquire("m", 1))
    second = asyncio.ensure_future(slots.acquire("m", 1))
    await asyncio.sleep(0)

    first.cancel()
    lease.release()
    await second

    assert first.cancelled()
    assert Usage(1, 1, 0) == slots["m"]


@simulated
async def test_dismissed_waiters_get_their_error() -> None:
    """
    `fail_waiters` ends the waiting of one owner, for all models, and lets others go on.
    """
    slots = Slots(2)
    mine, other = object(), object()
    await slots.acquire("m", 1)
    await slots.acquire("o", 2)
    dismissed = [asyncio.ensure_future(slots.acquire(model, 2, owner=mine)) for model in "mo"]
    await asyncio.sleep(0)
    stays = asyncio.ensure_future(slots.acquire("m", 1, owner=other))
    await asyncio.sleep(0)

    slots.fail_waiters(mine, lambda: errors.ClientClosed("closed"))
    await stays

    assert ["closed"] * 2 == [str(error) for error in await asyncio.gather(*dismissed, return_exceptions=True)]
    assert Usage(2, 2, 0) == slots["m"]
    assert Usage(2, 2, 0) == slots["o"]


@simulated
async def test_dismissed_and_cancelled_in_one_step() -> None:
    """
    A dismissed waiter that is cancelled as well leaves neither a slot nor an error that nobody retrieves.
    """
    slots = Slots(1)
    lease = await slots.acquire("m", 1)
    waiters = [asyncio.ensure_future(slots.acquire("m", 1, owner=slots)) for _ in range(2)]
    await asyncio.sleep(0)

    waiters[0].cancel()
    slots.fail_waiters(slots, lambda: errors.ClientClosed("closed"))
    waiters[1].cancel()
    await asyncio.gather(*waiters, return_exceptions=True)
    lease.release()

    assert [True, True] == [waiter.cancelled() for waiter in waiters]
    assert Usage(1, 0, 0) == slots["m"]


def test_waiting_that_is_dropped_leaks_nothing() -> None:
    """
    A coroutine closed from outside, as at the end of a loop, leaves the queue.
    """
    slots = Slots(1)

    async def story() -> None:
        await slots.acquire("m", 1)
        waiting = slots.acquire("m", 1)
        waiting.send(None)
        assert Usage(1, 1, 1) == slots["m"]

        waiting.close()

        assert Usage(1, 1, 0) == slots["m"]

    asyncio.run(story())


@given(
    limit=st.integers(1, 5),
    sizes=st.lists(st.integers(1, 5), max_size=20),
    steps=st.lists(st.tuples(st.sampled_from(["release", "cancel", "turn"]), st.integers(0, 19)), max_size=60),
)
def test_all_requests_get_slots_in_order(limit: int, sizes: list[int], steps: list[tuple[str, int]]) -> None:
    """
    Whatever is released or cancelled and when: never above the limit, first come first served, and nobody starves.
    """
    slots = Slots(limit)
    served: list[int] = []
    leases: dict[int, SlotLease] = {}

    async def customer(number: int, n: int) -> None:
        lease = await slots.acquire("m", n)
        served.append(number)
        leases[number] = lease

    async def story() -> None:
        fitting = [n for n in sizes if n <= limit]
        customers = [asyncio.ensure_future(customer(number, n)) for number, n in enumerate(fitting)]
        for deed, number in steps:
            if deed == "turn":
                await asyncio.sleep(0)
            elif deed == "cancel" and number < len(customers):
                customers[number].cancel()
            elif number in leases:
                leases[number].release()
            assert 0 <= slots_used(slots) <= limit
        await asyncio.sleep(0)
        while set(leases) != {number for number, one in enumerate(customers) if not one.cancelled()}:
            for lease in tuple(leases.values()):
                lease.release()
            await asyncio.sleep(0)
            assert 0 <= slots_used(slots) <= limit
        for lease in leases.values():
            lease.release()
        await asyncio.gather(*customers, return_exceptions=True)

    run(story())

    assert sorted(served) == served
    assert not slots_used(slots)
    assert all(usage.waiting == 0 for usage in slots.values())


def slots_used(slots: Slots) -> int:
    return slots["m"].used if "m" in slots else 0


def run(story: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        runner.run(story)


@simulated
async def test_refused_request_waits_for_the_next_end() -> None:
    """
    Where the limit is found a refusal takes the slots away; they come back ahead of all others, once a task has ended.
    """
    slots = Slots()
    running = await accepted_task(slots, 3)
    refused = await slots.acquire("m", 3)
    assert refused.note_refused(FULL)
    returning = asyncio.ensure_future(refused.reacquire())
    await asyncio.sleep(0)
    small = asyncio.ensure_future(slots.acquire("m", 1))
    await asyncio.sleep(0)

    assert Usage(3, 3, 2) == slots["m"]

    running.release()
    await returning

    assert not small.done()
    assert Usage(3, 3, 1) == slots["m"]
    refused.release()
    (await small).release()
    assert Usage(3, 0, 0) == slots["m"]


@simulated
async def test_refused_requests_come_back_in_their_order() -> None:
    """
    Whatever the order in which their refusals arrive.
    """
    slots = Slots()
    running = await accepted_task(slots, 1)
    leases = [await slots.acquire("m", 1) for _ in range(3)]
    last = asyncio.ensure_future(slots.acquire("m", 9))
    await asyncio.sleep(0)
    served: list[int] = []

    async def come_back(number: int) -> None:
        assert leases[number].note_refused(FULL)
        await leases[number].reacquire()
        served.append(number)
        leases[number].release()

    returning = [asyncio.ensure_future(come_back(number)) for number in (2, 0, 1)]
    await asyncio.sleep(0)
    assert Usage(1, 1, 4) == slots["m"]
    running.release()
    await asyncio.gather(*returning)

    assert [0, 1, 2] == served
    (await last).release()


@simulated
async def test_with_a_number_given_refusals_are_waited_out() -> None:
    """
    A program that was told its slots keeps to them: the refused request stays in its own and tries again later.
    """
    slots = Slots(9)
    await accepted_task(slots, 3)
    refused = await slots.acquire("m", 3)

    assert not refused.note_refused(FULL)
    assert Usage(9, 6, 0) == slots["m"]
    assert 0.0 == refused.refused_seconds()


@pytest.mark.parametrize("limit", [None, 9])
@simulated
async def test_refused_alone_lets_smaller_ones_go_on(limit: int | None) -> None:
    """
    While it pauses, requests as large as it wait as well. Then it is the next, and goes when all others have ended.
    """
    slots = Slots(limit)
    refused = await slots.acquire("m", 9)
    waiting = [asyncio.ensure_future(slots.acquire("m", n)) for n in (9, 5, 9, 2)]
    await asyncio.sleep(0)

    assert not refused.note_refused(FULL)
    smaller = [await waiting[1], await waiting[3]]
    assert Usage(9, 7, 3) == slots["m"]

    returning = asyncio.ensure_future(refused.reacquire())
    later = asyncio.ensure_future(slots.acquire("m", 1))
    for lease in smaller:
        await asyncio.sleep(0)
        assert not returning.done()
        lease.release()
    await returning

    assert Usage(9, 9, 3) == slots["m"]
    refused.release()
    (await waiting[0]).release()
    (await waiting[2]).release()
    (await later).release()
    assert Usage(9, 0, 0) == slots["m"]


@simulated
async def test_refused_alone_has_room_for_smaller_ones() -> None:
    """
    Nobody waits: what is smaller can be had at once, what is not cannot.
    """
    slots = Slots(9)
    refused = await slots.acquire("m", 4)
    refused.note_refused(FULL)

    assert [True, False] == [slots.has_room("m", n) for n in (3, 4)]
    assert Usage(9, 0, 1) == slots["m"]

    refused.release()

    assert slots.has_room("m", 4)
    assert Usage(9, 0, 0) == slots["m"]


@simulated
async def test_rest_that_the_service_asks_for_is_waited_out() -> None:
    """
    The limit shrinks as well, but a request that was told when to come again keeps its slots until then.
    """
    slots = Slots()
    await accepted_task(slots, 1)
    refused = await slots.acquire("m", 1)

    assert not refused.note_refused(errors.NoFreeSlot("full", code=1303, retry_after=5.0))
    assert Usage(1, 2, 0) == slots["m"]


@pytest.mark.parametrize(
    ("error", "limit"),
    [
        (errors.RateLimited("too fast", code=1302), 9),
        (errors.RateLimited("429"), 1),
        (errors.RateLimited("429", code="rate_limit_exceeded"), 1),
    ],
)
@simulated
async def test_refusal_without_a_number_may_be_about_slots(error: errors.RateLimited, limit: int) -> None:
    """
    It shrinks the limit where so much was never in use; 1302 is about requests. The slots are kept, and time passes.
    """
    slots = Slots()
    await accepted_task(slots, 1)
    refused = await slots.acquire("m", 1)

    assert not refused.note_refused(error)
    assert Usage(limit, 2, 0) == slots["m"]


@simulated
async def test_refusal_without_a_number_is_not_about_slots_where_nothing_runs() -> None:
    """
    A single create cannot be too much at one time.
    """
    slots = Slots()
    refused = await slots.acquire("m", 1)

    assert not refused.note_refused(errors.RateLimited("429"))
    assert Usage(9, 1, 0) == slots["m"]


@simulated
async def test_refusal_without_a_number_is_not_about_slots_that_were_had() -> None:
    """
    Where as much was in use before, there were too many requests.
    """
    slots = Slots()
    await accepted_task(slots, 1)
    (await accepted_task(slots, 4)).release()
    refused = await slots.acquire("m", 4)

    assert not refused.note_refused(errors.RateLimited("429"))
    assert Usage(9, 5, 0) == slots["m"]


@simulated
async def test_refusals_that_last_are_counted_while_nothing_runs() -> None:
    """
    The seconds run from the first refusal in a row that came while no other task of ours was running.
    """
    slots = Slots(9)
    lease = await slots.acquire("m", 1)
    lasted = []
    for pause in (10, 10):
        lease.note_refused(errors.RateLimited("too fast", code=1302))
        lasted.append(lease.refused_seconds())
        await asyncio.sleep(pause)
    running = await accepted_task(slots, 1)
    lease.note_refused(errors.RateLimited("too fast", code=1302))
    lasted.append(lease.refused_seconds())
    running.release()
    lease.note_refused(errors.RateLimited("too fast", code=1302))
    await asyncio.sleep(5)
    lasted.append(lease.refused_seconds())

    assert [0.0, 10.0, 0.0, 5.0] == lasted


@simulated
async def test_what_was_never_granted_is_waited_for_once() -> None:
    """
    Once requests for nine slots have been refused for a while, the next one knows at its first refusal.
    """
    slots = Slots()
    lasted = []
    for _ in range(2):
        lease = await slots.acquire("m", 9)
        lease.note_refused(FULL)
        lasted.append(lease.refused_seconds())
        await asyncio.sleep(300)
        lease.release()
    granted = await accepted_task(slots, 9)
    granted.release()
    lease = await slots.acquire("m", 9)
    lease.note_refused(FULL)
    lasted.append(lease.refused_seconds())

    assert [0.0, 300.0, 0.0] == lasted


@simulated
async def test_refusals_while_others_run_say_nothing_about_size() -> None:
    """
    That five were too many on top of one task does not mean that five alone would be.
    """
    slots = Slots(9)
    running = await accepted_task(slots, 1)
    on_top = await slots.acquire("m", 5)
    on_top.note_refused(FULL)
    on_top.release()
    running.release()
    await asyncio.sleep(300)
    alone = await slots.acquire("m", 5)
    alone.note_refused(FULL)

    assert 0.0 == alone.refused_seconds()


@simulated
async def test_refusals_for_other_reasons_say_nothing_about_size() -> None:
    """
    Too many requests per second (1302) are no sign that nine slots are too many.
    """
    slots = Slots()
    for _ in range(2):
        lease = await slots.acquire("m", 9)
        lease.note_refused(errors.RateLimited("too fast", code=1302))
        assert 0.0 == lease.refused_seconds()
        await asyncio.sleep(300)
        lease.release()


@simulated
async def test_what_was_released_is_beyond_refusals() -> None:
    """
    Nothing is taken away from, or given to, a hold that was released.
    """
    slots = Slots()
    await accepted_task(slots, 1)
    lease = await slots.acquire("m", 1)
    lease.release()

    assert not lease.note_refused(FULL)
    await lease.reacquire()
    lease.note_running(was_accepted_now=True)
    lease.note_running()
    assert Usage(9, 1, 0) == slots["m"]


@simulated
async def test_release_while_it_is_waited_for_ends_the_waiting() -> None:
    """
    Nobody waits for ever for slots that were given up.
    """
    slots = Slots()
    await accepted_task(slots, 1)
    lease = await slots.acquire("m", 1)
    lease.note_refused(FULL)
    returning = asyncio.ensure_future(lease.reacquire())
    await asyncio.sleep(0)
    lease.release()
    await asyncio.gather(returning, return_exceptions=True)

    assert returning.cancelled()
    assert Usage(1, 1, 0) == slots["m"]


@simulated
async def test_dismissed_while_it_waits_for_lost_slots() -> None:
    """
    Closing ends this waiting like any other, and the hold is released.
    """
    slots = Slots()
    await accepted_task(slots, 1)
    lease = await slots.acquire("m", 1, owner=slots)
    lease.note_refused(FULL)
    returning = asyncio.ensure_future(lease.reacquire())
    await asyncio.sleep(0)
    slots.fail_waiters(slots, lambda: errors.ClientClosed("closed"))

    with pytest.raises(errors.ClientClosed):
        await returning
    assert lease.is_released
    assert Usage(1, 1, 0) == slots["m"]


@pytest.mark.parametrize("release_at", range(5))
@pytest.mark.parametrize("cancel_at", range(5))
@simulated
async def test_cancelling_at_any_step_of_reacquiring_leaks_nothing(cancel_at: int, release_at: int) -> None:
    """
    Before it waits, while it waits, as the slots come, and after: they are given up, and the next in the queue gets on.
    """
    slots = Slots()
    running = await accepted_task(slots, 1)
    lease = await slots.acquire("m", 1)
    lease.note_refused(FULL)
    returning = asyncio.ensure_future(lease.reacquire())
    following = asyncio.ensure_future(slots.acquire("m", 1))
    for turn in range(5):
        if turn == release_at:
            running.release()
        if turn == cancel_at:
            returning.cancel()
        await asyncio.sleep(0)
    if not returning.cancelled():
        lease.release()
    await following

    assert lease.is_released or cancel_at == 0  # a coroutine that was never begun can do nothing
    assert Usage(1, 1, 0) == slots["m"]


@simulated
async def test_growing_lets_the_next_one_go() -> None:
    """
    Where the limit is found, the end of a task lets one in its place, and one more on trial once that is accepted.
    """
    slots = Slots()
    running = [await accepted_task(slots, 3) for _ in range(3)]
    waiting = [asyncio.ensure_future(slots.acquire("m", 3)) for _ in range(4)]
    await asyncio.sleep(0)
    for turn in range(2):  # the first end begins the rest of the usual number, the second comes when it is over
        await asyncio.sleep(60)
        running[turn].release()
        in_place = await waiting[turn]
        in_place.note_running(was_accepted_now=True)
    on_trial = await waiting[2]
    on_trial.note_running(was_accepted_now=True)
    await asyncio.sleep(0)

    assert not waiting[3].done()
    assert Usage(12, 12, 1) == slots["m"]
    waiting[3].cancel()


@simulated
async def test_ends_without_waiting_requests_allow_no_probe() -> None:
    """
    More slots are looked for once more are wanted, not before.
    """
    slots = Slots()
    for _ in range(2):
        (await accepted_task(slots, 1)).release()
        await asyncio.sleep(60)
    await accepted_task(slots, 9)
    waiting = asyncio.ensure_future(slots.acquire("m", 1))
    await asyncio.sleep(0)

    assert Usage(9, 9, 1) == slots["m"]
    waiting.cancel()


@simulated
async def test_task_of_an_earlier_run_counts_at_once() -> None:
    """
    It waits for nobody, may exceed the limit, and keeps newcomers out until there is room.
    """
    slots = Slots(3)
    running = [await accepted_task(slots, 2), slots.acquire_running("m", 2), slots.acquire_running("m", 2)]
    newcomer = asyncio.ensure_future(slots.acquire("m", 2))
    for lease in running:
        await asyncio.sleep(0)
        assert not newcomer.done()
        lease.release()
    await newcomer

    assert Usage(3, 2, 0) == slots["m"]


@simulated
async def test_counted_tasks_are_no_proof_that_so_many_may_run() -> None:
    """
    Where the limit is found nobody goes on trial on top of what exceeds it.
    """
    slots = Slots()
    resumed = [slots.acquire_running("m", 3) for _ in range(6)]
    newcomer = asyncio.ensure_future(slots.acquire("m", 1))
    for lease in resumed[:2]:
        await asyncio.sleep(60)
        assert not newcomer.done()
        lease.release()
    await asyncio.sleep(0)
    assert Usage(9, 12, 1) == slots["m"]

    resumed[2].release()
    await newcomer

    assert Usage(9, 10, 0) == slots["m"]


@simulated
async def test_what_may_run_is_counted_though_it_was_refused() -> None:
    """
    A submit that pauses after a refusal, and turns out to have made a task before, takes its slots whether or not there
    is room.
    """
    slots = Slots(9)
    lease = await slots.acquire("m", 5)
    lease.note_refused(FULL)
    await slots.acquire("m", 2)
    await slots.acquire("m", 3)
    lease.note_running()

    assert Usage(9, 10, 0) == slots["m"]

    lease.note_running(was_accepted_now=True)
    lease.release()

    assert Usage(9, 5, 0) == slots["m"]


@simulated
async def test_submit_that_turns_out_to_run_holds_up_nothing() -> None:
    """
    Others as large, which waited for it to be sent again, go on.
    """
    slots = Slots(9)
    lease = await slots.acquire("m", 4)
    lease.note_refused(FULL)
    other = asyncio.ensure_future(slots.acquire("m", 4))
    await asyncio.sleep(0)
    assert not other.done()
    lease.note_running()
    await other

    assert Usage(9, 8, 0) == slots["m"]


@simulated
async def test_refused_submit_is_not_counted_as_running() -> None:
    """
    A submit of an earlier run that is looked for, not found, and refused when it is sent again was no task; so its
    refusals count like any other's.
    """
    slots = Slots(9)
    lease = slots.acquire_running("m", 4)
    lease.note_refused(FULL)
    await asyncio.sleep(10)

    assert 10.0 == lease.refused_seconds()

    await lease.reacquire()
    lease.note_running(was_accepted_now=True)
    lease.release()

    assert (0, 0) == (slots["m"].used, slots._buckets["m"].accepted)


def test_counting_is_bound_to_the_loop_too() -> None:
    """
    Slots that were used in one loop refuse to count in another.
    """
    slots = Slots(2)
    asyncio.run(take_and_release(slots))

    async def acquire_running() -> None:
        slots.acquire_running("m", 1)

    with pytest.raises(RuntimeError, match="another event loop"):
        asyncio.run(acquire_running())


async def accepted_task(slots: Slots, n: int) -> SlotLease:
    lease = await slots.acquire("m", n)
    lease.note_running(was_accepted_now=True)
    return lease


@attrs.define(eq=False)
class Customer:
    """
    A submit, which treats its slots as the client and the transport do.
    """

    slots: Slots
    n: int
    owner: int
    is_resumed: bool = False
    lease: SlotLease | None = None
    aio_task: asyncio.Future[None] | None = None

    def is_idle_in(self, state: LeaseState) -> bool:
        """
        Return whether it waits for nothing, and its request is in *state*.
        """
        is_idle = self.aio_task is None or self.aio_task.done()
        return is_idle and self.lease is not None and self.lease.state is state

    def come(self) -> None:
        self.lease = self.slots._lease("m", self.n, self.owner)
        self.aio_task = asyncio.ensure_future(self.lease.reacquire())

    def resume(self) -> None:
        self.is_resumed = True
        self.lease = self.slots.acquire_running("m", self.n, owner=self.owner)

    def be_accepted(self) -> None:
        if self.lease is not None and self.is_idle_in(LeaseState.HOLDING):
            self.lease.note_running(was_accepted_now=True)  # perhaps not for the first time

    def be_refused(self, error: errors.RateLimited) -> None:
        if self.lease is not None and self.is_idle_in(LeaseState.HOLDING) and not self.lease.is_accepted:
            self.aio_task = asyncio.ensure_future(self._be_refused(error))

    async def _be_refused(self, error: errors.RateLimited) -> None:
        if self.lease is not None and self.lease.note_refused(error):
            await self.lease.reacquire()

    def come_back(self) -> None:
        if self.lease is not None and self.is_idle_in(LeaseState.BACKING_OFF):
            self.aio_task = asyncio.ensure_future(self.lease.reacquire())

    def cancel(self) -> None:
        if self.aio_task is not None:
            self.aio_task.cancel()

    def release(self) -> None:
        if self.lease is not None:
            self.lease.release()


class SlotsMachine(RuleBasedStateMachine):
    """
    All that can befall submits, in any order and any number per turn of the loop: the sums are right all the time, and
    whenever nothing is left to happen nobody waits for slots that there are.
    """

    customers = Bundle("customers")
    owners = st.integers(0, 1)
    refusals = st.sampled_from([FULL, FULL, errors.NoFreeSlot("", retry_after=1.0), errors.RateLimited("")])

    @initialize(limit=st.none() | st.integers(1, 4))
    def start(self, limit: int | None) -> None:
        self.complaints: list[dict[str, Any]] = []
        self.loop = SimulatedLoop()
        self.loop.set_exception_handler(lambda _, complaint: self.complaints.append(complaint))
        self.slots = Slots(limit, SlotPolicy(start=3))
        self.bucket = self.slots._add("m")
        self.known: list[Customer] = []

    @rule(target=customers, n=st.integers(1, 4), owner=owners, is_resumed=st.integers(0, 5).map(lambda lot: not lot))
    def come(self, n: int, owner: int, *, is_resumed: bool) -> Customer:
        customer = Customer(self.slots, min(n, self.slots.limit or n), owner)
        self.known.append(customer)
        self.loop.call_soon(customer.resume if is_resumed else customer.come)
        return customer

    @rule(customer=customers)
    def accept(self, customer: Customer) -> None:
        self.loop.call_soon(customer.be_accepted)

    @rule(customer=customers, error=refusals)
    def refuse(self, customer: Customer, error: errors.RateLimited) -> None:
        self.loop.call_soon(customer.be_refused, error)

    @rule(customer=customers)
    def come_back(self, customer: Customer) -> None:
        self.loop.call_soon(customer.come_back)

    @rule(customer=consumes(customers))
    def cancel(self, customer: Customer) -> None:
        self.loop.call_soon(customer.cancel)
        self.loop.call_soon(customer.release)

    @rule(customer=consumes(customers))
    def end(self, customer: Customer) -> None:
        self.loop.call_soon(customer.release)

    @rule(owner=owners)
    def fail_waiters(self, owner: int) -> None:
        self.loop.call_soon(self.slots.fail_waiters, owner, lambda: errors.ClientClosed("closed"))

    @rule()
    def turn(self) -> None:
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()

    @rule(seconds=st.integers(0, 100))
    def rest(self, seconds: int) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))
        self.settle()

    def settle(self) -> None:
        for _ in range(3 * len(self.known) + 3):
            self.turn()
        following = self.bucket.queue.first(self.bucket.below)
        assert following is None or not self.bucket.has_room(following.n, is_first=True)

    @invariant()
    def sums_are_right(self) -> None:
        requests = [customer.lease for customer in self.known if customer.lease is not None]
        by_state = {state: [request for request in requests if request.state is state] for state in LeaseState}
        in_order = sorted(by_state[LeaseState.QUEUED], key=lambda request: request.number)

        assert sum(request.n for request in by_state[LeaseState.HOLDING]) == self.bucket.used
        assert sum(request.n for request in requests if request.is_accepted) == self.bucket.accepted
        assert in_order == list(self.bucket.queue)
        assert sorted(request.n for request in by_state[LeaseState.BACKING_OFF]) == sorted(self.bucket._backing_off)
        assert [] == self.complaints

    @invariant()
    def never_above_the_limit(self) -> None:
        taken = [customer.n for customer in self.known if customer.lease is not None and not customer.is_resumed
                 and customer.lease.state is LeaseState.HOLDING]  # fmt: skip
        assert self.slots.limit is None or sum(taken) <= self.slots.limit

    def teardown(self) -> None:
        self.settle()
        for customer in self.known:
            self.loop.call_soon(customer.release)
        self.settle()

        waits = [customer.aio_task for customer in self.known if customer.aio_task is not None]
        assert all(wait.done() for wait in waits)
        assert {type(wait.exception()) for wait in waits if not wait.cancelled()} <= {type(None), errors.ClientClosed}
        assert (0, 0, []) == (self.bucket.used, self.bucket.accepted, self.bucket._backing_off)
        assert not self.bucket.queue.count
        self.loop.close()


TestSlotsMachine = SlotsMachine.TestCase
