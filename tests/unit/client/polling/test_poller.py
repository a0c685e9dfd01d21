"""
The poller against a scripted service, in simulated time.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any

import attrs
import pytest

from kling_async.client.handle import TaskHandle
from kling_async.client.limits.bucket import Usage
from kling_async.client.limits.limiter import Slots
from kling_async.client.polling.poller import Poller
from kling_async.client.polling.strategy import QueryStrategy
from kling_async.errors import (
    ClientClosed,
    InvalidRequest,
    KlingError,
    NotAllowed,
    NotAuthenticated,
    NotSent,
    RateLimited,
    ServiceFailure,
    TaskFailed,
    TaskNotFound,
    UnexpectedAnswer,
    Unreachable,
    WaitTimeout,
)
from kling_async.policy.policies import PollPolicy
from kling_async.wire.endpoints.base import Endpoint
from kling_async.wire.endpoints.image_generation import ImageRequest
from kling_async.wire.tasks import Image, TaskOutput, TaskSnapshot, TaskStatus
from tests.fakes.simulated_loop import simulated

Reply = TaskSnapshot | BaseException

SUBMITTED = TaskSnapshot(task_id="", task_status=TaskStatus.SUBMITTED, status_word="submitted")
PROCESSING = attrs.evolve(SUBMITTED, task_status=TaskStatus.PROCESSING, status_word="processing")
UNKNOWN = attrs.evolve(SUBMITTED, task_status=TaskStatus.UNKNOWN, status_word="painting")
BARE = attrs.evolve(SUBMITTED, task_status=TaskStatus.SUCCEEDED, status_word="succeed")
DONE = attrs.evolve(BARE, task_result=TaskOutput((Image(0, "https://pictures.example/0.png"),)))
FAILED = attrs.evolve(SUBMITTED, task_status=TaskStatus.FAILED, status_word="failed", task_status_msg="too dark")

CALM = PollPolicy(first_delay=1.0, growth=1.0, max_delay=1.0, miss_delay=1.0)


class FakeService:
    """
    Answers each poll of a task with the next of its replies, and repeats the last; without any, it is processing.
    Polls of several tasks are answered with the next error of `of_several`, or a reply for each task.
    """

    def __init__(self, *replies: Reply, takes: float = 0.0) -> None:
        self.replies = list(replies)
        self.takes = takes
        self.of_several: list[KlingError] = []
        self.groups: list[tuple[float, tuple[str, ...]]] = []
        self.of_task: dict[str, list[Reply]] = {}
        self.queries: list[tuple[float, str]] = []
        self.running = 0
        self.most_running = 0

    async def one(self, endpoint: Endpoint[Any], task_id: str) -> TaskSnapshot:
        self.queries.append((asyncio.get_running_loop().time(), task_id))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await asyncio.sleep(self.takes)
        finally:
            self.running -= 1
        return self._shown(task_id)

    def _shown(self, task_id: str) -> TaskSnapshot:
        replies = self.of_task.setdefault(task_id, list(self.replies))
        reply = (replies.pop(0) if len(replies) > 1 else replies[0]) if replies else PROCESSING
        if isinstance(reply, BaseException):
            raise attrs.evolve(reply) if isinstance(reply, KlingError) else reply
        return attrs.evolve(reply, task_id=task_id)

    async def several(
        self, endpoint: Endpoint[Any], known: Mapping[str, TaskSnapshot | None]
    ) -> dict[str, TaskSnapshot]:
        self.groups.append((asyncio.get_running_loop().time(), tuple(known)))
        await asyncio.sleep(self.takes)
        if self.of_several:
            raise self.of_several.pop(0)
        return {task_id: self._shown(task_id) for task_id in known}

    async def page(
        self, endpoint: Endpoint[Any], number: int, size: int, known: Mapping[str, TaskSnapshot | None]
    ) -> tuple[dict[str, TaskSnapshot], bool]:
        raise AssertionError("nobody asked for a page")

    @property
    def times(self) -> list[float]:
        return [when for when, _ in self.queries]


@contextlib.asynccontextmanager
async def polling(
    service: FakeService, policy: PollPolicy = CALM, strategy: QueryStrategy | None = None
) -> AsyncIterator[Poller]:
    poller = Poller(policy, service, lambda _: strategy or QueryStrategy())
    try:
        yield poller
    finally:
        await poller.aclose()


def accepted(poller: Poller, task_id: str = "t-1") -> TaskHandle:
    """
    A task as after a submit.
    """
    handle = TaskHandle(task_id, ImageRequest("a lighthouse"), poller.watch)
    handle.apply(attrs.evolve(SUBMITTED, task_id=task_id))
    return handle


def now() -> float:
    return asyncio.get_running_loop().time()


@simulated
async def test_result_is_seen() -> None:
    """
    The first poll comes after the first delay, the last sees the result, and then the task is forgotten.
    """
    service = FakeService(SUBMITTED, PROCESSING, DONE)
    async with polling(service) as poller:
        result = await accepted(poller)

        assert DONE.task_result.images == result.images
        assert [1.0, 2.0, 3.0] == service.times
        await asyncio.sleep(100)
        assert len(poller) == 0
        assert len(service.queries) == 3


@simulated
async def test_delays_grow() -> None:
    """
    A task that takes long is polled less and less often, down to once per longest delay.
    """
    service = FakeService(takes=0.5)
    async with polling(service, PollPolicy(first_delay=1.0, growth=2.0, max_delay=4.0)) as poller:
        with pytest.raises(WaitTimeout):
            await accepted(poller).wait(16)

    assert [1.0, 2.5, 5.5, 9.5, 13.5] == service.times


@simulated
async def test_timer_that_fires_early_is_set_again() -> None:
    """
    Loops run a timer that is due within the resolution of their clock; such a poll comes later, and is not lost.
    """
    loop = asyncio.get_running_loop()
    loop._clock_resolution = 0.01  # type: ignore[attr-defined]  # asyncio's own; there is no public setting
    service = FakeService(PROCESSING, DONE)
    async with polling(service) as poller:
        loop.call_at(0.995, lambda: None)
        loop.call_at(1.995, lambda: None)
        await accepted(poller).wait(10)

    assert [1.0, 2.0] == pytest.approx(service.times, abs=0.01)


@simulated
async def test_picked_up_task_is_polled_at_once() -> None:
    """
    A task of unknown age has no first delay, and none is kept waiting who comes back to it.
    """
    service = FakeService(PROCESSING, DONE)
    async with polling(service) as poller:
        await TaskHandle("t-1", None, poller.watch)

    assert [0.0, 1.0] == service.times


@simulated
async def test_failed_task_ends_the_wait() -> None:
    """
    The service's own verdict ends the wait.
    """
    async with polling(FakeService(FAILED)) as poller:
        with pytest.raises(TaskFailed, match="too dark"):
            await accepted(poller)


TROUBLES = [
    NotSent("no connection"),
    Unreachable("broken"),
    ServiceFailure("broken", http_status=503),
    RateLimited("slow down"),
    UnexpectedAnswer("a page of HTML", http_status=200),
    NotAllowed("forbidden"),
    UnexpectedAnswer("not found", http_status=404),
    KlingError("of a kind to come"),
]


@pytest.mark.parametrize("trouble", TROUBLES, ids=repr)
def test_poll_errors_never_end_a_wait(trouble: KlingError) -> None:
    """
    However a poll fails, and however often, the task goes on and its result is seen.
    """

    @simulated
    async def story() -> None:
        async with polling(FakeService(*[trouble] * 500, DONE)) as poller:
            result = await accepted(poller).wait(None)

            assert DONE.task_result.images == result.images
            assert now() > 400

    story()


@simulated
async def test_failed_poll_is_logged_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    """
    A failed poll is one record at DEBUG.
    """
    caplog.set_level(logging.DEBUG)
    async with polling(FakeService(Unreachable("broken"), DONE)) as poller:
        await accepted(poller)

    assert [("DEBUG", "polling task t-1 failed: broken")] == [
        (record.levelname, record.getMessage()) for record in caplog.records if record.name.startswith("kling_async")
    ]


@simulated
async def test_lasting_failures_are_logged_once_and_their_end_too(caplog: pytest.LogCaptureFixture) -> None:
    """
    A warning after five failed polls in a row, whatever task they were for; refusals are no trouble.
    """
    caplog.set_level(logging.INFO, "kling_async.client.polling")
    broken, busy = Unreachable("the connection broke"), RateLimited("slow down")
    replies = (broken, broken, broken, broken, PROCESSING, broken, broken, busy, broken, broken, broken, broken, DONE)
    async with polling(FakeService(*replies)) as poller:
        await accepted(poller)

    assert [
        "5 polls in a row have failed; polling continues: the connection broke",
        "polls are answered again",
    ] == [record.getMessage() for record in caplog.records]


@simulated
async def test_unforeseen_error_is_logged_and_polling_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """
    A bug in a poll does not end the polling, and is logged with its traceback.
    """
    async with polling(FakeService(ZeroDivisionError("ours"), DONE)) as poller:
        await accepted(poller)

    [record] = caplog.records
    assert record.levelname == "ERROR"
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


@simulated
async def test_dead_key_ends_every_wait() -> None:
    """
    A key that is not accepted any more is told at once, with the task; a later wait asks again.
    """
    service = FakeService(NotAuthenticated("no key", code=1002), DONE)
    async with polling(service) as poller:
        handle = accepted(poller)
        waits = await asyncio.gather(handle.wait(), handle.wait(), return_exceptions=True)

        assert [NotAuthenticated, NotAuthenticated] == [type(error) for error in waits]
        assert {"t-1"} == {error.task_id for error in waits if isinstance(error, KlingError)}
        assert now() == 1.0
        assert (await handle).images


@simulated
async def test_host_that_was_never_reached_ends_every_wait() -> None:
    """
    Once it was tried for long enough, a wait ends with what to check; until then, and in a later wait, it is polled on.
    """
    service = FakeService(NotSent("no host", gives_up_in=5.0), NotSent("no host", gives_up_in=0.0), DONE)
    async with polling(service) as poller:
        handle = accepted(poller)
        with pytest.raises(NotSent) as caught:
            await handle

        assert "t-1" == caught.value.task_id
        assert 2.0 == now()
        assert (await handle).images


@simulated
async def test_missing_task_is_given_time() -> None:
    """
    A service that has not caught up yet is no reason to give up.
    """
    async with polling(FakeService(*[TaskNotFound("no such task")] * 29, DONE)) as poller:
        assert (await accepted(poller)).images


@simulated
async def test_missing_task_is_given_up_after_a_grace() -> None:
    """
    "No such task" is believed after 30 s; the slots are free then, and nobody asks any longer.
    """
    service = FakeService(TaskNotFound("no such task"))
    slots = Slots(1)
    async with polling(service) as poller:
        handle = accepted(poller)
        handle.accept(ImageRequest("a lighthouse"), await slots.acquire("m", 1), on_final=lambda _: None)
        with pytest.raises(TaskNotFound) as caught:
            await handle

        assert now() == 31.0
        assert caught.value.task_id == "t-1"
        assert Usage(1, 0, 0) == slots["m"]
        await asyncio.sleep(100)
        assert len(poller) == 0
        assert max(service.times) <= 32.0


@pytest.mark.parametrize(("http_status", "is_given_up"), [(404, True), (200, False)])
def test_missing_route_is_given_up_like_a_missing_task(http_status: int, is_given_up: bool) -> None:  # noqa: FBT001
    """
    If a service does not route reads at all, waiting ends after 30 s too; a temporary page, as during maintenance, ends
    no wait.
    """

    @simulated
    async def story() -> None:
        missing = UnexpectedAnswer("no such API", http_status=http_status, is_other_api=True)
        async with polling(FakeService(*[missing] * 40, DONE)) as poller:
            handle = accepted(poller)
            if not is_given_up:
                assert (await handle).images
                return
            with pytest.raises(UnexpectedAnswer) as caught:
                await handle

            assert (31.0, "t-1") == (now(), caught.value.task_id)

    story()


@simulated
async def test_grace_begins_anew_after_a_snapshot() -> None:
    """
    A task that flickers is not missing.
    """
    flicker: list[Reply] = [*[TaskNotFound("no such task")] * 20, PROCESSING]
    async with polling(FakeService(*flicker * 5, DONE)) as poller:
        assert (await accepted(poller)).images


@simulated
async def test_pictures_may_come_a_little_later() -> None:
    """
    A task that succeeded without pictures is read again until they are told.
    """
    async with polling(FakeService(*[BARE] * 29, DONE)) as poller:
        assert (await accepted(poller)).images


@pytest.mark.parametrize("later", [BARE, PROCESSING])
def test_pictures_that_never_come_are_an_unexpected_answer(later: TaskSnapshot) -> None:
    """
    After 30 s without pictures the wait ends, also where later snapshots contradict the success.
    """

    @simulated
    async def story() -> None:
        async with polling(FakeService(BARE, later)) as poller:
            with pytest.raises(UnexpectedAnswer, match="has listed no files of it for 30 s") as caught:
                await accepted(poller)

            assert now() == 31.0
            assert caught.value.task_id == "t-1"
            await asyncio.sleep(100)
            assert len(poller) == 0

    story()


@simulated
async def test_slots_are_free_before_the_files_are_listed() -> None:
    """
    Success without pictures ends the task for the account.
    """
    slots = Slots(1)
    async with polling(FakeService(BARE, BARE, BARE, DONE)) as poller:
        handle = accepted(poller)
        handle.accept(ImageRequest("a lighthouse"), await slots.acquire("m", 1), on_final=lambda _: None)
        wait = asyncio.ensure_future(handle.wait())
        await slots.acquire("m", 1)

        assert now() == 1.0
        assert (await wait).images


@simulated
async def test_unknown_words_are_waited_out() -> None:
    """
    A word that this version has not learnt is not final.
    """
    async with polling(FakeService(*[UNKNOWN] * 50, DONE)) as poller:
        assert (await accepted(poller)).images


@simulated
async def test_many_waiters_share_one_poll() -> None:
    """
    However many wait for one task, it is polled once at a time.
    """
    service = FakeService(PROCESSING, DONE)
    async with polling(service) as poller:
        handle = accepted(poller)
        await asyncio.gather(*(handle.wait() for _ in range(100)))

    assert [1.0, 2.0] == service.times


@simulated
async def test_cancelling_one_waiter_leaves_the_others() -> None:
    """
    The watching goes on while anybody waits.
    """
    async with polling(FakeService(*[PROCESSING] * 5, DONE)) as poller:
        handle = accepted(poller)
        leaves, stays = (asyncio.ensure_future(handle.wait()) for _ in range(2))
        await asyncio.sleep(2.5)
        leaves.cancel()

        assert (await stays).images
        assert leaves.cancelled()


@simulated
async def test_task_without_waiters_is_not_polled() -> None:
    """
    A task without slots that nobody waits for is forgotten at its next turn.
    """
    service = FakeService()
    async with polling(service) as poller:
        handle = accepted(poller)
        with pytest.raises(WaitTimeout):
            await handle.wait(2.5)
        await asyncio.sleep(100)

        assert [1.0, 2.0] == service.times
        assert len(poller) == 0


@pytest.mark.parametrize("takes", [0.0, 0.5])
@pytest.mark.parametrize("moment", [2.0, 2.25, 2.5, 3.0, 3.25])
def test_waiter_that_comes_as_the_last_one_leaves(takes: float, moment: float) -> None:
    """
    Between polls, during one, or at the moment of one: a waiter that joins as the last one leaves gets the result.
    """

    @simulated
    async def story() -> None:
        service = FakeService(*[PROCESSING] * 8, DONE, takes=takes)
        async with polling(service) as poller:
            handle = accepted(poller)
            first = asyncio.ensure_future(handle.wait(None))
            await asyncio.sleep(moment)
            first.cancel()
            second = asyncio.ensure_future(handle.wait(60))
            await asyncio.sleep(0.75)
            second.cancel()
            await asyncio.sleep(0)

            assert (await handle.wait(60)).images
            assert service.most_running == 1

    story()


@simulated
async def test_task_with_slots_is_watched_without_waiters() -> None:
    """
    The end of a task that nobody waits for gives its slots back all the same.
    """
    slots = Slots(1)
    async with polling(FakeService(PROCESSING, PROCESSING, DONE)) as poller:
        handle = accepted(poller)
        handle.accept(ImageRequest("a lighthouse"), await slots.acquire("m", 1), on_final=lambda _: None)
        poller.watch(handle)
        await slots.acquire("m", 1)

        assert now() == 3.0
        assert handle.done


@simulated
async def test_stuck_task_gives_its_slots_back(caplog: pytest.LogCaptureFixture) -> None:
    """
    After an hour a task without an end gives its slots to others, with one warning; who waits for it waits on.
    """
    slots = Slots(1)
    async with polling(FakeService(takes=0.25)) as poller:
        handle = accepted(poller)
        handle.accept(ImageRequest("a lighthouse"), await slots.acquire("m", 1), on_final=lambda _: None)
        wait = asyncio.ensure_future(handle.wait(7200))
        await slots.acquire("m", 1)
        assert 3600 <= now() < 3602

        with pytest.raises(WaitTimeout):
            await wait

    assert ["task t-1 has not ended after 3600 s; its slots are given to other tasks"] == [
        record.getMessage() for record in caplog.records if record.levelname == "WARNING"
    ]


@simulated
async def test_width_is_bounded() -> None:
    """
    Of many tasks due at once only so many are polled together, and each has its turn.
    """
    service = FakeService(DONE, takes=1.0)
    async with polling(service, PollPolicy(first_delay=1.0, width=3, max_rate=1e6)) as poller:
        handles = [accepted(poller, f"t-{number}") for number in range(10)]
        await asyncio.gather(*(handle.wait() for handle in handles))

    assert service.most_running == 3
    assert [handle.task_id for handle in handles] == [task_id for _, task_id in service.queries]
    assert [1.0] * 3 + [2.0] * 3 + [3.0] * 3 + [4.0] == pytest.approx(service.times, abs=0.1)


@simulated
async def test_failed_polls_take_no_places() -> None:
    """
    Each poll frees its place, however it ends.
    """
    service = FakeService(Unreachable("broken"), ZeroDivisionError("ours"), DONE, takes=0.25)
    async with polling(service, PollPolicy(first_delay=1.0, width=2)) as poller:
        await asyncio.gather(*(accepted(poller, f"t-{number}").wait() for number in range(9)))

    assert len(service.queries) == 27


@pytest.mark.parametrize(
    "error", [RateLimited("slow down", retry_after=20.0), ServiceFailure("busy", retry_after=20.0)]
)
def test_rest_that_the_service_asks_for_is_taken_by_all(error: KlingError) -> None:
    """
    After a `Retry-After` nothing is asked until it is over, also of tasks that were due already.
    """

    @simulated
    async def story() -> None:
        service = FakeService(DONE, takes=0.25)
        service.of_task["t-0"] = [error, DONE]
        async with polling(service, PollPolicy(first_delay=1.0, width=2)) as poller:
            await asyncio.gather(*(accepted(poller, f"t-{number}").wait() for number in range(7)))

        assert [(1.0, "t-0"), (1.0, "t-1")] == service.queries[:2]
        assert min(service.times[2:]) == 21.25
        assert len(service.queries) == 8

    story()


@simulated
async def test_refusal_slows_all_polls() -> None:
    """
    After a 429 nothing is asked for a little, after two of them fewer tasks a second than before; that wears off.
    """
    service = FakeService()
    service.of_task["t-0"] = [PROCESSING, RateLimited("slow down"), PROCESSING, RateLimited("slow down"), PROCESSING]
    async with polling(service, PollPolicy(first_delay=1.0, growth=1.0)) as poller:
        waits = [asyncio.ensure_future(accepted(poller, f"t-{number}").wait(None)) for number in range(5)]
        await asyncio.sleep(300)
        for wait in waits:
            wait.cancel()

    times = sorted(service.times)
    assert [1.0] * 5 + [2.0] == times[:6]
    assert times[10] >= 2.2
    assert sum(5.0 < moment < 15.0 for moment in times) < 0.9 * 5 * 10
    assert 5 * 10 - 5 <= sum(290.0 < moment for moment in times) <= 5 * 10 + 5


@simulated
async def test_rest_is_taken_whatever_was_asked() -> None:
    """
    Also when polls of several tasks have failed so often that tasks are now polled one by one.
    """
    service = FakeService(DONE, takes=0.25)
    service.of_several = [*[ServiceFailure("busy")] * 3, ServiceFailure("busy", retry_after=20.0)]
    async with polling(service, strategy=QueryStrategy(20)) as poller:
        await asyncio.gather(*(accepted(poller, f"t-{number}").wait() for number in range(3)))

    last, _ = service.groups[3]
    assert [last + 20.25] * 3 == pytest.approx(service.times, abs=3.0)
    assert min(service.times) == pytest.approx(last + 20.25)


QUESTIONABLE = [InvalidRequest("task not found", code=1201), TaskNotFound("no such task", code=1203, http_status=404)]


@pytest.mark.parametrize("refusal", QUESTIONABLE, ids=repr)
def test_question_that_is_refused_is_not_taken_for_the_way(refusal: KlingError) -> None:
    """
    One id that the service does not know may spoil the answer about all: they are queried alone, then together.
    """

    @simulated
    async def story() -> None:
        service = FakeService(PROCESSING, PROCESSING, DONE)
        service.of_task["stranger"] = [TaskNotFound("no such task")]
        service.of_several = [refusal]
        async with polling(service, strategy=QueryStrategy(20)) as poller:
            handles = [accepted(poller, name) for name in ("t-1", "t-2", "stranger")]
            waits = [handle.wait(None) for handle in handles]
            *_, lost = await asyncio.gather(*waits, return_exceptions=True)

        assert isinstance(lost, TaskNotFound)
        assert ["t-1", "t-2", "stranger"] == [task_id for _, task_id in service.queries[:3]]
        assert {("t-1", "t-2")} == {ids for _, ids in service.groups[1:]}

    story()


@simulated
async def test_questions_that_are_always_refused_are_the_way() -> None:
    """
    After four in a row nothing is queried together any more.
    """
    service = FakeService(*[PROCESSING] * 20, DONE)
    service.of_several = [InvalidRequest("task not found", code=1201)] * 100
    async with polling(service, strategy=QueryStrategy(20)) as poller:
        await asyncio.gather(*(accepted(poller, f"t-{number}").wait() for number in range(3)))

    assert 4 == len(service.groups)


@simulated
async def test_rest_has_a_limit() -> None:
    """
    A service that asks for a day of rest is asked again after two minutes.
    """
    service = FakeService(RateLimited("slow down", retry_after=86400.0), DONE)
    async with polling(service) as poller:
        await accepted(poller)

    assert [1.0, 121.0] == service.times


@simulated
async def test_snapshot_from_elsewhere_ends_the_wait() -> None:
    """
    A callback settles the task at once; a running poll, and what it says late, changes nothing.
    """
    service = FakeService(PROCESSING, takes=0.5)
    async with polling(service) as poller:
        handle = accepted(poller)
        wait = asyncio.ensure_future(handle.wait())
        await asyncio.sleep(1.25)
        handle.apply(attrs.evolve(DONE, task_id="t-1"))

        assert (await wait).images
        assert now() == 1.25
        await asyncio.sleep(100)
        assert handle.status is TaskStatus.SUCCEEDED
        assert [1.0] == service.times
        assert len(poller) == 0


@simulated
async def test_settled_between_polls_is_not_polled_again() -> None:
    """
    The turn of a task that was settled meanwhile passes.
    """
    service = FakeService()
    async with polling(service) as poller:
        handle = accepted(poller)
        wait = asyncio.ensure_future(handle.wait())
        await asyncio.sleep(0.5)
        handle.apply(attrs.evolve(DONE, task_id="t-1"))
        await wait
        await asyncio.sleep(100)

        assert [] == service.queries
        assert len(poller) == 0


@simulated
async def test_states_out_of_order() -> None:
    """
    What a lagging reader says does not take a task back.
    """
    async with polling(FakeService(PROCESSING, SUBMITTED, PROCESSING, DONE)) as poller:
        words = [snapshot.status_word async for snapshot in accepted(poller).updates()]

    assert ["submitted", "processing", "succeed"] == words


@simulated
async def test_updates_raise_what_a_wait_would_raise() -> None:
    """
    Updates raise what a wait would raise.
    """
    async with polling(FakeService(PROCESSING, NotAuthenticated("no key"))) as poller:
        updates = accepted(poller).updates()

        assert ["submitted", "processing"] == [(await anext(updates)).status_word for _ in range(2)]
        with pytest.raises(NotAuthenticated):
            await anext(updates)


@simulated
async def test_closing_ends_every_wait() -> None:
    """
    Callers get ClientClosed with the task's id, slots are given back, and running polls are cancelled.
    """
    service = FakeService(takes=5.0)
    slots = Slots(3)
    async with polling(service) as poller:
        handles = [accepted(poller, f"t-{number}") for number in range(3)]
        for handle in handles:
            handle.accept(ImageRequest("a lighthouse"), await slots.acquire("m", 1), on_final=lambda _: None)
        waits = [asyncio.ensure_future(handle.wait()) for handle in handles]
        await asyncio.sleep(2)
        await poller.aclose()
        await poller.aclose()
        assert now() == 2.0
        errors = await asyncio.gather(*waits, return_exceptions=True)

        assert [("t-0",), ("t-1",), ("t-2",)] == [
            error.task_ids for error in errors if isinstance(error, ClientClosed) and error.task_id in error.task_ids
        ]
        assert Usage(3, 0, 0) == slots["m"]
        assert service.running == 0
        with pytest.raises(ClientClosed):
            await handles[0]
        await asyncio.sleep(100)
        assert len(service.queries) == 3


@simulated
async def test_closing_between_polls() -> None:
    """
    A closed watcher has no timer left.
    """
    service = FakeService()
    async with polling(service) as poller:
        wait = asyncio.ensure_future(accepted(poller).wait())
        await asyncio.sleep(1.5)
        await poller.aclose()
        with pytest.raises(ClientClosed):
            await wait
        assert poller._timer is not None
        assert poller._timer.cancelled()
        await asyncio.sleep(100)

    assert [1.0] == service.times


@simulated
async def test_closing_an_idle_poller() -> None:
    """
    A poller without tasks can be closed.
    """
    async with polling(FakeService()) as poller:
        pass
    with pytest.raises(ClientClosed):
        poller.watch(accepted(poller))


@simulated
async def test_wait_without_patience() -> None:
    """
    A timeout of 0 ends at once, and what was begun for it leaves nothing behind.
    """
    async with polling(FakeService(takes=0.5)) as poller:
        with pytest.raises(WaitTimeout):
            await TaskHandle("t-1", None, poller.watch).wait(0)

        assert now() == 0.0
        await asyncio.sleep(100)
        assert len(poller) == 0


@simulated
async def test_thousand_tasks_share_one_poller() -> None:
    """
    The ends of a thousand tasks are seen, with sixteen polls at a time, and nothing is left.
    """
    service = FakeService(PROCESSING, PROCESSING, DONE, takes=0.01)
    async with polling(service, PollPolicy()) as poller:
        handles = [accepted(poller, f"t-{number}") for number in range(1000)]
        await asyncio.gather(*(handle.wait() for handle in handles))

        assert len(service.queries) == 3000
        assert service.most_running == 16
        assert len(poller) == 0
