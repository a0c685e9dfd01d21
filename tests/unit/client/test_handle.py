"""
Handles: many waiters on one task, fed by hand.
"""

import asyncio
import contextlib
import datetime as dt
import gc
import pickle
import weakref
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import attrs
import pytest

from kling_async.client.events import EventKind, EventPublisher, TaskEvent, TaskEvents
from kling_async.client.handle import TaskHandle
from kling_async.client.limits.bucket import Usage
from kling_async.client.limits.limiter import Slots
from kling_async.errors import ClientClosed, KlingError, NotAuthenticated, TaskFailed, WaitTimeout
from kling_async.wire.endpoints.image_generation import IMAGE_GENERATION, ImageRequest
from kling_async.wire.tasks import Image, TaskOutput, TaskResult, TaskSnapshot, TaskStatus
from tests.fakes.html_reader import Reader
from tests.fakes.simulated_loop import simulated

SUBMITTED = TaskSnapshot(task_id="t-1", task_status=TaskStatus.SUBMITTED, status_word="submitted", request_id="r-1")
PROCESSING = attrs.evolve(SUBMITTED, task_status=TaskStatus.PROCESSING, status_word="processing")
BARE = attrs.evolve(SUBMITTED, task_status=TaskStatus.SUCCEEDED, status_word="succeed")
DONE = attrs.evolve(BARE, task_result=TaskOutput((Image(0, "https://pictures.example/0.png"),)))
FAILED = attrs.evolve(SUBMITTED, task_status=TaskStatus.FAILED, status_word="failed", task_status_msg="too dark")


class FakeWatch:
    """
    Stands for the watcher: remembers who asked to be watched, or refuses.
    """

    def __init__(self, refusal: Exception | None = None) -> None:
        self.refusal = refusal
        self.asked = 0

    def __call__(self, handle: TaskHandle) -> None:
        self.asked += 1
        if self.refusal is not None:
            raise self.refusal


def picked_up(*snapshots: TaskSnapshot, watch: FakeWatch | None = None) -> TaskHandle:
    handle = TaskHandle("t-1", None, watch or FakeWatch())
    for seen in snapshots:
        handle.apply(seen)
    return handle


async def follow(handle: TaskHandle) -> list[TaskSnapshot]:
    return [snapshot async for snapshot in handle.updates()]


@contextlib.contextmanager
def without_gc() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def test_unseen_task() -> None:
    """
    A task that was picked up is of unknown status until it is first seen.
    """
    handle = picked_up()

    assert handle.snapshot is None
    assert TaskStatus.UNKNOWN is handle.status
    assert not handle.done
    assert not handle.is_wanted
    assert repr(handle) == "<TaskHandle 't-1': not seen yet>"


def test_seen_task() -> None:
    """
    The last snapshot tells status and repr.
    """
    handle = picked_up(SUBMITTED, PROCESSING)

    assert PROCESSING is handle.snapshot
    assert TaskStatus.PROCESSING is handle.status
    assert not handle.done
    assert repr(handle) == "<TaskHandle 't-1': processing>"


def test_late_snapshots_change_nothing() -> None:
    """
    Final is final, and what is older by the service's clock is no news.
    """
    at = dt.datetime(2025, 1, 2, tzinfo=dt.UTC)
    merge = attrs.evolve(PROCESSING, updated_at=at)
    older = attrs.evolve(PROCESSING, updated_at=at - dt.timedelta(seconds=1), task_status_msg="old")

    assert merge is picked_up(merge, older).snapshot
    assert DONE is picked_up(DONE, PROCESSING, FAILED, BARE).snapshot
    assert FAILED is picked_up(FAILED, DONE).snapshot


@simulated
async def test_known_result_needs_no_watching() -> None:
    """
    A settled task is answered at once, however often, even if the client is closed.
    """
    watch = FakeWatch(ClientClosed("closed"))
    handle = picked_up(DONE, watch=watch)
    result = await handle

    assert TaskResult("t-1", DONE.task_result.images, DONE) == result
    assert result == await handle.wait(timeout=0)
    assert watch.asked == 0


@simulated
async def test_failed_task_raises_its_reason() -> None:
    """
    The service's reason is the message, and the error holds the snapshot and survives pickling.
    """
    with pytest.raises(TaskFailed, match="the task failed: too dark") as caught:
        await picked_up(FAILED)

    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 (our own)
    assert ("t-1", "r-1", FAILED) == (again.task_id, again.request_id, again.snapshot)


@simulated
async def test_failure_without_a_reason_says_so() -> None:
    """
    An empty reason is not passed on as such.
    """
    with pytest.raises(TaskFailed, match="gave no reason"):
        await picked_up(attrs.evolve(FAILED, task_status_msg=""))


@simulated
async def test_all_waiters_get_the_result() -> None:
    """
    One snapshot ends every wait.
    """
    handle = picked_up(SUBMITTED)
    waits = [asyncio.ensure_future(handle.wait()) for _ in range(5)]
    await asyncio.sleep(1)
    assert handle.is_wanted

    handle.apply(PROCESSING)
    handle.apply(DONE)
    results = await asyncio.gather(*waits)

    assert {DONE} == {result.snapshot for result in results}
    assert not handle.is_wanted


@simulated
async def test_cancelling_one_waiter_leaves_the_others() -> None:
    """
    Cancelling stops only that waiting.
    """
    handle = picked_up(SUBMITTED)
    waits = [asyncio.ensure_future(handle.wait()) for _ in range(3)]
    await asyncio.sleep(1)

    waits[1].cancel()
    await asyncio.sleep(1)
    assert handle.is_wanted
    handle.apply(DONE)

    assert DONE is (await waits[0]).snapshot
    assert waits[1].cancelled()
    assert DONE is (await waits[2]).snapshot


@simulated
async def test_cancelled_in_the_moment_of_the_result() -> None:
    """
    A cancelling that meets the result, or an error, is a cancelling, and leaves nothing behind.
    """
    handle = picked_up(SUBMITTED)
    ends: list[Callable[[], None]] = [lambda: handle.fail(KlingError("broken")), lambda: handle.apply(DONE)]
    for end in ends:
        wait = asyncio.ensure_future(handle.wait())
        await asyncio.sleep(1)

        end()
        wait.cancel()
        await asyncio.wait({wait})

        assert wait.cancelled()
        assert not handle.is_wanted


@pytest.mark.parametrize("timeout", [5.0, 0.0, 0])
def test_wait_ends_in_time(timeout: float) -> None:
    """
    A wait lasts as long as it was told, and not at all for 0; the handle stays good.
    """

    @simulated
    async def story() -> None:
        loop = asyncio.get_running_loop()
        handle = picked_up(PROCESSING)
        start = loop.time()
        with pytest.raises(WaitTimeout, match="last seen as 'processing'; it is still running: wait again") as caught:
            await handle.wait(timeout)

        assert timeout == pytest.approx(loop.time() - start)
        assert (caught.value.task_id, caught.value.request_id, caught.value.snapshot) == ("t-1", "r-1", PROCESSING)
        assert isinstance(caught.value, TimeoutError)
        assert not handle.is_wanted

        handle.apply(DONE)
        assert DONE is (await handle).snapshot

    story()


@simulated
async def test_wait_for_a_task_never_seen() -> None:
    """
    The timeout says that there was no snapshot at all.
    """
    with pytest.raises(WaitTimeout, match="the service has not shown this task within 1 s; check its id") as caught:
        await picked_up().wait(1)

    assert caught.value.snapshot is None


@simulated
async def test_wait_for_ever() -> None:
    """
    None as the timeout waits for days.
    """
    handle = picked_up(SUBMITTED)
    wait = asyncio.ensure_future(handle.wait(None))
    await asyncio.sleep(7 * 24 * 3600)
    assert not wait.done()

    handle.apply(DONE)

    assert DONE is (await wait).snapshot


@pytest.mark.parametrize("is_first", [True, False])
def test_result_in_the_moment_of_the_deadline_is_a_result(*, is_first: bool) -> None:
    """
    What comes together with the deadline is not thrown away, whichever is noticed first.
    """

    @simulated
    async def story() -> None:
        handle = picked_up(SUBMITTED)
        if is_first:
            asyncio.get_running_loop().call_at(5.0, handle.apply, DONE)
        wait = asyncio.ensure_future(handle.wait(5.0))
        await asyncio.sleep(0)
        if not is_first:
            asyncio.get_running_loop().call_at(5.0, handle.apply, DONE)

        assert DONE is (await wait).snapshot

    story()


@simulated
async def test_outer_timeout_is_the_caller_s_own() -> None:
    """
    An `asyncio.timeout` around a wait is neither swallowed nor taken for the wait's own, even at the same moment.
    """
    handle = picked_up(SUBMITTED)
    for seconds in (3.0, 5.0):
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(seconds):
                await handle.wait(5.0)

        assert not isinstance(caught.value, WaitTimeout)
    current = asyncio.current_task()
    assert current is not None
    assert not current.cancelling()


@simulated
async def test_inner_timeout_is_not_the_outer_s() -> None:
    """
    A wait that ends by its own deadline leaves the outer one alone.
    """
    async with asyncio.timeout(5.0) as outer:
        with pytest.raises(WaitTimeout):
            await picked_up(SUBMITTED).wait(3.0)

    assert not outer.expired()


@simulated
async def test_timeout_of_somebody_else_passes_through() -> None:
    """
    A TimeoutError that is not of the deadline is raised as it is.
    """
    with pytest.raises(TimeoutError, match="not mine"):
        await picked_up(watch=FakeWatch(TimeoutError("not mine"))).wait()


@simulated
async def test_refused_watching_ends_the_wait() -> None:
    """
    A closed client says so at once, to waits and updates alike.
    """
    handle = picked_up(SUBMITTED, watch=FakeWatch(ClientClosed("closed")))
    with pytest.raises(ClientClosed):
        await handle
    with pytest.raises(ClientClosed):
        await anext(handle.updates())

    assert not handle.is_wanted


@simulated
async def test_errors_are_one_each() -> None:
    """
    Every waiter raises an error of its own, equal in all it says, and the handle stays good.
    """
    handle = picked_up(SUBMITTED)
    waits = [asyncio.ensure_future(handle.wait()) for _ in range(2)]
    await asyncio.sleep(0)

    handle.fail(NotAuthenticated("no key", "t-1", "r-2", 1002, 401))
    handle.fail(KlingError("too late"))
    handle.apply(DONE)
    first, second = await asyncio.gather(*waits, return_exceptions=True)

    assert first is not second
    assert repr(first) == repr(second) == repr(NotAuthenticated("no key", "t-1", "r-2", 1002, 401))
    assert DONE is (await handle).snapshot


@pytest.mark.parametrize("wait", [TaskHandle.wait, lambda handle: handle.wait(0.5), follow])
def test_failed_wait_leaves_no_cycle(wait: Callable[[TaskHandle], Coroutine[Any, Any, object]]) -> None:
    """
    What a wait held goes with its error: no collector is needed to free the request and its picture.
    """

    @simulated
    async def story() -> None:
        with without_gc():
            handle = picked_up(SUBMITTED)
            gone = weakref.ref(handle)
            waiting = asyncio.ensure_future(wait(handle))
            await asyncio.sleep(1)
            handle.fail(KlingError("broken"))
            await asyncio.wait({waiting})
            assert waiting.exception()

            del handle, waiting

            assert gone() is None

    story()


@simulated
async def test_updates_tell_each_change() -> None:
    """
    Updates begin with the last snapshot, tell each change of word, message or pictures once, and end after the end.
    """
    handle = picked_up(SUBMITTED)
    updates = asyncio.ensure_future(follow(handle))
    await asyncio.sleep(0)
    says_more = attrs.evolve(PROCESSING, task_status_msg="nearly there")
    same = attrs.evolve(PROCESSING, request_id="r-2")
    for seen in (PROCESSING, same, says_more, SUBMITTED, BARE, DONE):
        handle.apply(seen)

    assert [SUBMITTED, PROCESSING, says_more, BARE, DONE] == await updates
    assert not handle.is_wanted


@simulated
async def test_updates_do_not_raise_for_a_failed_task() -> None:
    """
    A failed task is told as any other change; a second reader starts from there, and nobody watches.
    """
    watch = FakeWatch()
    handle = picked_up(watch=watch)
    updates = asyncio.ensure_future(follow(handle))
    await asyncio.sleep(0)
    handle.apply(FAILED)

    assert [FAILED] == await updates
    assert [FAILED] == await follow(handle)
    assert watch.asked == 1


@simulated
async def test_task_that_has_ended_cannot_fail() -> None:
    """
    A look that fails late, and a client that is closed, change nothing about a task whose end is known: no trouble is
    told after the end.
    """
    told: list[EventKind] = []
    handle = picked_up(SUBMITTED)
    handle.events = TaskEvents(lambda event: told.append(event.kind))
    handle.apply(DONE)

    handle.fail(ClientClosed("closed"))

    assert [EventKind.FINAL] == told
    assert "t-1" == (await handle.wait()).task_id


@simulated
async def test_updates_raise_what_ends_them() -> None:
    """
    What ends a wait ends the updates, after what was seen before.
    """
    handle = picked_up(SUBMITTED)
    updates = handle.updates()
    assert SUBMITTED is await anext(updates)
    handle.apply(PROCESSING)
    handle.fail(ClientClosed("closed"))

    assert PROCESSING is await anext(updates)
    with pytest.raises(ClientClosed):
        await anext(updates)
    assert not handle.is_wanted


@simulated
async def test_left_updates_stop_only_themselves() -> None:
    """
    One reader that leaves, or is cancelled, does not disturb another.
    """
    handle = picked_up(SUBMITTED)
    stays = asyncio.ensure_future(follow(handle))
    cancelled = asyncio.ensure_future(follow(handle))
    async with contextlib.aclosing(handle.updates()) as leaves:
        assert SUBMITTED is await anext(leaves)
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.sleep(0)
    handle.apply(DONE)

    assert [SUBMITTED, DONE] == await stays
    assert cancelled.cancelled()
    assert not handle.is_wanted


async def submitted(slots: Slots, n: int = 1) -> tuple[TaskHandle, list[str]]:
    ends: list[str] = []
    handle = picked_up()
    handle.accept(ImageRequest("a lighthouse"), await slots.acquire("m", n), on_final=lambda _: ends.append("end"))
    return handle, ends


@simulated
async def test_end_gives_the_slots_back() -> None:
    """
    Slots are held until the end is seen, pictures or not, and the end is told once.
    """
    slots = Slots(3)
    handle, ends = await submitted(slots, 2)
    handle.apply(PROCESSING)
    assert Usage(3, 2, 0) == slots["m"]
    assert handle.is_wanted

    handle.apply(BARE)
    assert Usage(3, 0, 0) == slots["m"]
    handle.apply(DONE)

    assert ["end"] == ends
    assert not handle.is_wanted
    assert not handle.release()


@simulated
async def test_end_that_was_seen_before_the_answer_to_the_submit() -> None:
    """
    Slots of a task whose end is known already are given back at once.
    """
    slots = Slots(3)
    handle = picked_up(DONE)
    ends: list[str] = []

    handle.accept(ImageRequest("a lighthouse"), await slots.acquire("m", 2), on_final=lambda _: ends.append("end"))
    handle.apply(SUBMITTED)

    assert Usage(3, 0, 0) == slots["m"]
    assert ["end"] == ends


@simulated
async def test_end_seen_before_the_submit_was_answered_is_told_as_its_own() -> None:
    """
    Whoever had picked it up was told; so is the submit, under its number.
    """
    told = list[TaskEvent]()
    teller = EventPublisher(told.append)
    handle = TaskHandle("t-1", None, FakeWatch(), teller.pick_up("t-1"))
    handle.apply(PROCESSING)
    handle.apply(DONE)
    hold = await Slots(1).acquire("m", 1)
    request = ImageRequest("a lighthouse")
    handle.accept(request, hold, on_final=lambda _: None, events=teller.begin(IMAGE_GENERATION, request))

    assert [("processing", None), ("final", None), ("final", 1)] == [(event.kind.value, event.number) for event in told]


@simulated
async def test_accepted_twice_holds_the_slots_once() -> None:
    """
    Where a service answers two submits with one task, the slots of the first are not lost.
    """
    slots = Slots(3)
    handle, _ = await submitted(slots)

    handle.accept(ImageRequest("a lighthouse"), await slots.acquire("m", 1), on_final=lambda _: None)

    assert Usage(3, 1, 0) == slots["m"]


@simulated
async def test_slots_are_released_once() -> None:
    """
    `release` tells whether there was something to give back.
    """
    slots = Slots(3)
    handle, _ = await submitted(slots)

    assert [True, False] == [handle.release(), handle.release()]

    handle, _ = await submitted(slots)
    assert handle._lease is not None
    handle._lease.release()
    assert not handle.is_wanted
    assert not handle.release()


@simulated
async def test_ended_task_keeps_nobody_alive() -> None:
    """
    Once a task has ended, its handle does not hold what was to be told of it.
    """
    with without_gc():
        handle = picked_up()
        gone = weakref.ref(handle)
        known = {handle.task_id: handle}

        def forget(handle: TaskHandle = handle) -> None:
            del known[handle.task_id]

        handle.accept(ImageRequest("a lighthouse"), await Slots(1).acquire("m", 1), on_final=forget)
        handle.apply(DONE)

        del handle, forget

        assert gone() is None


def test_handle_shows_its_state() -> None:
    """
    In a notebook: what was asked for, as far as that is known, and how it was last seen.
    """
    handle = picked_up()
    assert "● not seen yettask t-1" == Reader(handle._repr_html_()).text
    handle.request = ImageRequest("a <fox>")
    handle.apply(PROCESSING)

    assert "a <fox>● processingtask t-1" == Reader(handle._repr_html_()).text
