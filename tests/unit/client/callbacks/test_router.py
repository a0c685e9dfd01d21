"""
Routing callbacks, in simulated time: a receiver, a poller and a scripted service; no sockets.
"""

import asyncio
import gc
import weakref
from collections.abc import Mapping
from typing import Any, Final, Self

import attrs
import pytest

from kling_async.client.callbacks.receiver import CallbackReceiver
from kling_async.client.callbacks.router import MAX_UNCLAIMED, CallbackRouter, CallbackSubscription
from kling_async.client.handle import TaskHandle
from kling_async.client.polling.poller import Poller
from kling_async.client.polling.strategy import QueryStrategy
from kling_async.errors import TaskNotFound
from kling_async.policy.policies import PollPolicy
from kling_async.wire.codec import write_task
from kling_async.wire.endpoints.base import Endpoint
from kling_async.wire.endpoints.image_generation import ImageRequest
from kling_async.wire.json_text import dumps
from kling_async.wire.tasks import Image, TaskOutput, TaskResult, TaskSnapshot, TaskStatus
from kling_async.wire.webhooks import sign
from tests.fakes.simulated_loop import simulated

SECRET: Final = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="
FORGERS_SECRET: Final = "whsec_Zm9yZ2VkIGZvcmdlZCBmb3JnZWQ="

SUBMITTED: Final = TaskSnapshot(task_id="t-1", task_status=TaskStatus.SUBMITTED, status_word="submitted")
PROCESSING: Final = attrs.evolve(SUBMITTED, task_status=TaskStatus.PROCESSING, status_word="processing")
BARE: Final = attrs.evolve(SUBMITTED, task_status=TaskStatus.SUCCEEDED, status_word="succeed")
DONE: Final = attrs.evolve(BARE, task_result=TaskOutput((Image(0, "https://pictures.example/0.png"),)))
FAILED: Final = attrs.evolve(SUBMITTED, task_status=TaskStatus.FAILED, status_word="failed", task_status_msg="too dark")

OVERDUE: Final = 30.0
"""
Seconds until a callback is overdue, while it is not known how long such tasks take.
"""


def now() -> float:
    return asyncio.get_running_loop().time()


class FakeQueries:
    """
    A service with a scripted state of each task; a query takes the time that the test sets.
    """

    def __init__(self) -> None:
        self.takes = 0.0
        self.truth: dict[str, TaskSnapshot] = {}
        self.unknown: set[str] = set()
        self.made: list[tuple[float, str]] = []

    async def one(self, _: Endpoint[Any], task_id: str) -> TaskSnapshot:
        self.made.append((now(), task_id))
        seen = self.truth.get(task_id, PROCESSING)
        await asyncio.sleep(self.takes)
        if task_id in self.unknown:
            raise TaskNotFound("no such task", task_id)
        return attrs.evolve(seen, task_id=task_id)

    async def several(self, _: Endpoint[Any], known: Mapping[str, TaskSnapshot | None]) -> dict[str, TaskSnapshot]:
        raise AssertionError("several tasks were queried")

    async def page(
        self, _: Endpoint[Any], number: int, size: int, known: Mapping[str, TaskSnapshot | None]
    ) -> tuple[dict[str, TaskSnapshot], bool]:
        raise AssertionError("a page was queried")

    @property
    def times(self) -> list[float]:
        return [at for at, _ in self.made]


class Scene:
    """
    One client's part of a receiver, in the loop that runs.
    """

    def __init__(self, receiver: CallbackReceiver | None = None, **policy: Any) -> None:
        self.receiver = receiver or CallbackReceiver("https://bots.example/kling", secret=SECRET)
        self.queries = FakeQueries()
        self.poller = Poller(PollPolicy(**policy), self.queries, lambda _: QueryStrategy())
        self.router = CallbackRouter(self.receiver, self.poller)
        self.router.attach()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.router.detach()
        await self.poller.aclose()

    def accepted(self, subscription: CallbackSubscription, task_id: str = "t-1") -> TaskHandle:
        """
        What follows the answer to a submit.
        """
        handle = TaskHandle(task_id, ImageRequest("a lighthouse"), self.poller.watch)
        handle.apply(attrs.evolve(SUBMITTED, task_id=task_id))
        subscription.connect(handle)
        return handle


def call(
    receiver: CallbackReceiver,
    subscription: CallbackSubscription | str,
    said: TaskSnapshot,
    secret: str | None = SECRET,
) -> int:
    """
    Post one callback to the address of *subscription*, signed with *secret*.
    """
    body = dumps(write_task(said))
    headers = sign(secret, "message-1", receiver._authenticator.clock(), body) if secret is not None else {}
    address = subscription if isinstance(subscription, str) else subscription.address
    return receiver.receive(address.rpartition("/")[2], headers, body)


async def waiting(handle: TaskHandle) -> "asyncio.Task[TaskResult]":
    """
    Begin to wait for the end of a task.
    """
    wait = asyncio.ensure_future(handle.wait(None))
    await asyncio.sleep(0)
    return wait


async def occupy(scene: Scene) -> "asyncio.Task[TaskResult]":
    """
    Keep one query running for 5 s.
    """
    scene.queries.takes = 5.0
    scene.queries.truth["t-0"] = DONE
    wait = await waiting(TaskHandle("t-0", None, scene.poller.watch))
    await asyncio.sleep(0)
    return wait


# Whom it concerns


@simulated
async def test_callback_settles_its_task_at_once() -> None:
    """
    When the listener has returned, the waiter's future is done, and nothing is watched or listened for any longer.
    """
    async with Scene() as scene:
        subscription = scene.router.subscribe()
        handle = scene.accepted(subscription)
        wait = await waiting(handle)
        [listener] = scene.receiver._listeners
        waiter = handle._waiter
        listener(subscription.key, DONE, True)

        assert waiter is not None
        assert (True, DONE) == (waiter.done(), handle.snapshot)
        assert 0 == len(scene.poller)
        await asyncio.sleep(0)
        assert wait.done()
        assert (0.0, []) == (now(), scene.queries.made)


@simulated
async def test_each_submit_has_its_own_subscription() -> None:
    """
    The address tells whose callback it is, not the id that the body names.
    """
    async with Scene() as scene:
        subscriptions = [scene.router.subscribe() for _ in range(2)]
        first, second = (
            scene.accepted(subscription, task_id)
            for subscription, task_id in zip(subscriptions, ("t-1", "t-2"), strict=True)
        )
        call(scene.receiver, subscriptions[1], attrs.evolve(DONE, task_id="an id of the gateway's own"))
        await asyncio.sleep(0)

        assert (False, True) == (first.done, second.done)
        result = await second
        assert ("t-2", "t-2") == (result.task_id, result.snapshot.task_id)


@simulated
async def test_forged_callbacks_reach_no_subscription() -> None:
    """
    Neither a signature of somebody else's nor an address that is not ours does anything.
    """
    async with Scene() as scene:
        subscription = scene.router.subscribe()
        handle = scene.accepted(subscription)
        await waiting(handle)
        answers = [
            call(scene.receiver, subscription, FAILED, FORGERS_SECRET),
            call(scene.receiver, subscription.address + "A", FAILED),
        ]
        await asyncio.sleep(0)

        assert [401, 404] == answers
        assert (False, False) == (handle.done, scene.router.is_reliable)
        call(scene.receiver, subscription, DONE)
        await handle


@simulated
async def test_clients_that_share_a_receiver_get_their_own_callbacks() -> None:
    """
    Each hears of its own submits, and the one goes on when the other has closed.
    """
    receiver = CallbackReceiver("https://bots.example/kling", secret=SECRET)
    async with Scene(receiver) as one, Scene(receiver) as other:
        subscriptions = [one.router.subscribe(), other.router.subscribe()]
        handles = [one.accepted(subscriptions[0]), other.accepted(subscriptions[1])]
        call(receiver, subscriptions[0], DONE)
        await asyncio.sleep(0)
        assert [True, False] == [handle.done for handle in handles]
        assert (True, False) == (one.router.is_reliable, other.router.is_reliable)

        one.router.detach()
        one.router.detach()
        call(receiver, subscriptions[1], DONE)
        await asyncio.sleep(0)
        assert handles[1].done
        assert 1 == len(receiver._listeners)


@simulated
async def test_callback_during_closing_is_dropped() -> None:
    """
    Closing closes every line, and with it what waits for a callback to a submit that was given up.
    """
    async with Scene() as scene:
        subscription, lost = scene.router.subscribe(), scene.router.subscribe()
        handle = scene.accepted(subscription)
        lost.expect_late(lambda _: pytest.fail("it was closed"), 3600.0)
        for each in (subscription, lost):
            call(scene.receiver, each, DONE)
        scene.router.detach()
        await asyncio.sleep(0)

        assert not handle.done
        assert ({}, {}) == (scene.router._subscriptions, scene.receiver._listeners)
        assert lost._timer is not None
        assert lost._timer.cancelled()


@simulated
async def test_router_that_was_never_attached_can_close() -> None:
    """
    As a client does that was never used.
    """
    receiver = CallbackReceiver("https://bots.example/kling")
    router = CallbackRouter(receiver, Poller(PollPolicy(), FakeQueries(), lambda _: QueryStrategy()))
    router.detach()

    assert {} == receiver._listeners


@simulated
async def test_receiver_keeps_no_client_alive() -> None:
    """
    A client that was dropped is gone, and the receiver forgets it when the next callback comes.
    """
    receiver = CallbackReceiver("https://bots.example/kling", secret=SECRET)
    scene = Scene(receiver)
    address = scene.router.subscribe().address
    gone = weakref.ref(scene.router)
    del scene
    gc.collect()
    assert gone() is None

    assert 200 == call(receiver, address, DONE)
    await asyncio.sleep(0)
    assert {} == receiver._listeners


@simulated
async def test_subscription_of_an_earlier_run() -> None:
    """
    With the same token key, and the key of the submit, the address is the one that the service was given then.
    """
    key = b"k" * 16
    earlier, later = (CallbackReceiver("https://bots.example/kling", token_key=key) for _ in range(2))
    async with Scene(earlier) as before, Scene(later) as scene:
        address = before.router.subscribe("submit-1").address
        subscription = scene.router.subscribe("submit-1")
        call(later, address, PROCESSING, None)
        await asyncio.sleep(0)

        assert subscription.task == SUBMITTED


# Before the task is known


@pytest.mark.parametrize("said", [[DONE], [PROCESSING, DONE], [DONE, PROCESSING, SUBMITTED], [DONE, DONE]])
def test_early_callbacks_are_kept(said: list[TaskSnapshot]) -> None:
    """
    In whatever order and however often: the task has ended as soon as it is known, and is not watched at all.
    """

    @simulated
    async def story() -> None:
        async with Scene() as scene:
            subscription = scene.router.subscribe()
            for each in said:
                call(scene.receiver, subscription, each)
            await asyncio.sleep(0)
            handle = TaskHandle("t-1", ImageRequest("a lighthouse"), scene.poller.watch)
            handle.apply(SUBMITTED)
            scene.poller.watch(handle)
            subscription.connect(handle)

            assert handle.done
            assert 0 == len(scene.poller)
            assert (await handle).images
            assert [] == scene.queries.made

    story()


EARLY_HINTS: Final = {
    "alone": [(DONE, None)],
    "before a signed one": [(DONE, None), (PROCESSING, SECRET)],
    "after a signed one": [(PROCESSING, SECRET), (DONE, None)],
    "out of order": [(DONE, None), (PROCESSING, None)],
    "a lie": [(FAILED, None)],
}


@pytest.mark.parametrize("said", EARLY_HINTS.values(), ids=EARLY_HINTS)
def test_early_hint_is_followed_at_once(said: list[tuple[TaskSnapshot, str | None]]) -> None:
    """
    What cannot be believed is asked for as soon as the task is known and there is a place for a poll, and not when its
    callback is overdue.
    """

    @simulated
    async def story() -> None:
        async with Scene(width=1) as scene:
            busy = await occupy(scene)
            scene.queries.truth["t-1"] = DONE
            subscription = scene.router.subscribe()
            for each, secret in said:
                call(scene.receiver, subscription, each, secret)
            await asyncio.sleep(0)
            handle = TaskHandle("t-1", ImageRequest("a lighthouse"), scene.poller.watch)
            handle.apply(SUBMITTED)
            wait = await waiting(handle)
            subscription.connect(handle)
            await wait

            assert [(0.0, "t-0"), (5.0, "t-1")] == scene.queries.made
            await busy

    story()


# What it costs


@simulated
async def test_one_poll_confirms_an_unsigned_callback() -> None:
    """
    Only what matters is asked for: unsigned news on the way are neither believed nor asked about.
    """
    async with Scene() as scene:
        subscription = scene.router.subscribe()
        handle = scene.accepted(subscription)
        wait = await waiting(handle)
        for after, said in ((0.5, SUBMITTED), (3.0, PROCESSING), (20.0, DONE), (20.0, DONE), (20.1, DONE)):
            asyncio.get_running_loop().call_later(after, call, scene.receiver, subscription, said, None)
        await asyncio.sleep(19.0)
        assert (SUBMITTED, []) == (handle.snapshot, scene.queries.made)

        scene.queries.truth["t-1"] = DONE
        scene.queries.takes = 0.05
        await wait
        assert [20.0] == scene.queries.times
        assert scene.router.is_reliable


@simulated
async def test_false_callback_costs_one_poll() -> None:
    """
    Who knows the address and not the secret can make us ask, and no more; the true end is seen all the same.
    """
    async with Scene() as scene:
        subscription = scene.router.subscribe()
        handle = scene.accepted(subscription)
        wait = await waiting(handle)
        call(scene.receiver, subscription, FAILED, None)
        await asyncio.sleep(0.5)
        assert ([0.0], PROCESSING) == (scene.queries.times, handle.snapshot)

        call(scene.receiver, subscription, PROCESSING)
        scene.queries.truth["t-1"] = DONE
        assert (await wait).images
        assert [0.0, 1.0] == scene.queries.times


@simulated
async def test_lie_about_pictures_is_not_used_where_the_service_knows_better() -> None:
    """
    A service that lags behind says for a while that it knows no such task; what it says in the end is the result.
    """
    lie = attrs.evolve(DONE, task_result=TaskOutput((Image(0, "https://forger.example/0.png"),)))
    async with Scene() as scene:
        scene.queries.unknown.add("t-1")
        subscription = scene.router.subscribe()
        handle = scene.accepted(subscription)
        wait = await waiting(handle)
        call(scene.receiver, subscription, lie, None)
        await asyncio.sleep(PollPolicy().not_found_grace - 5.0)
        scene.queries.unknown.clear()
        scene.queries.truth["t-1"] = DONE
        assert "https://pictures.example/0.png" == (await wait).images[0].url
        assert handle.snapshot is not None
        assert handle.snapshot.is_confirmed


@simulated
async def test_grace_begins_anew_when_the_service_has_known_the_task() -> None:
    """
    Only an unbroken while in which it is not known counts.
    """
    grace = PollPolicy().not_found_grace
    async with Scene() as scene:
        scene.queries.unknown.add("t-1")
        subscription = scene.router.subscribe()
        wait = await waiting(scene.accepted(subscription))
        call(scene.receiver, subscription, DONE, None)
        await asyncio.sleep(grace - 5.0)
        scene.queries.unknown.clear()
        await asyncio.sleep(10.0)
        scene.queries.unknown.add("t-1")
        await asyncio.sleep(grace - 5.0)
        assert not wait.done()
        await asyncio.sleep(20.0)
        assert not wait.result().snapshot.is_confirmed


@simulated
async def test_true_callback_after_a_false_one_ends_the_polling() -> None:
    """
    A signed end settles a task at once, whatever was said before.
    """
    async with Scene() as scene:
        subscription = scene.router.subscribe()
        wait = await waiting(scene.accepted(subscription))
        call(scene.receiver, subscription, FAILED, None)
        await asyncio.sleep(0.5)
        call(scene.receiver, subscription, DONE)
        assert (await wait).images
        assert (0.5, 0) == (now(), len(scene.poller))


@simulated
async def test_task_is_left_alone_while_callbacks_come() -> None:
    """
    Each callback that brings news puts the next poll off until another is overdue; then it is watched as usual, at
    intervals that grow by a twentieth of its age.
    """
    async with Scene() as scene:
        subscription = scene.router.subscribe()
        handle = scene.accepted(subscription)
        wait = await waiting(handle)
        call(scene.receiver, subscription, SUBMITTED)
        await asyncio.sleep(10.0)
        call(scene.receiver, subscription, PROCESSING)
        await asyncio.sleep(OVERDUE - 0.1)
        assert [] == scene.queries.made

        await asyncio.sleep(5.0)
        assert pytest.approx([40.0, 42.0, 44.1]) == scene.queries.times
        call(scene.receiver, subscription, DONE)
        await wait


@pytest.mark.parametrize("secret", [SECRET, None])
@pytest.mark.parametrize("said", [PROCESSING, SUBMITTED], ids=lambda said: said.status_word)
def test_callback_without_news_puts_nothing_off(said: TaskSnapshot, secret: str | None) -> None:
    """
    One that is repeated or comes late, however often, does not keep us from looking when the next one is overdue.
    """

    @simulated
    async def story() -> None:
        async with Scene() as scene:
            subscription = scene.router.subscribe()
            handle = scene.accepted(subscription)
            wait = await waiting(handle)
            call(scene.receiver, subscription, PROCESSING, secret)
            for _ in range(10):
                await asyncio.sleep(5.0)
                call(scene.receiver, subscription, said, secret)
            assert OVERDUE == scene.queries.times[0]
            scene.queries.truth["t-1"] = DONE
            await wait

    story()


@simulated
async def test_hint_is_not_put_off_by_what_comes_out_of_order() -> None:
    """
    While all places are taken, a hint waits for one; that a callback from before the end comes later is no reason to
    wait for more callbacks.
    """
    async with Scene(width=1) as scene:
        busy = await occupy(scene)
        subscription = scene.router.subscribe()
        handle = scene.accepted(subscription)
        wait = await waiting(handle)
        scene.queries.truth["t-1"] = DONE
        for said in (DONE, PROCESSING):
            call(scene.receiver, subscription, said, None)
        await wait

        assert [(0.0, "t-0"), (5.0, "t-1")] == scene.queries.made
        await busy


@pytest.mark.parametrize("secret", [SECRET, None])
def test_pictures_that_a_callback_left_out_are_asked_for(secret: str | None) -> None:
    """
    A task that succeeded without its pictures is polled now, and again soon.
    """

    @simulated
    async def story() -> None:
        async with Scene() as scene:
            scene.queries.truth["t-1"] = BARE
            subscription = scene.router.subscribe()
            handle = scene.accepted(subscription)
            wait = await waiting(handle)
            call(scene.receiver, subscription, BARE, secret)
            await asyncio.sleep(1.5)
            scene.queries.truth["t-1"] = DONE
            await wait

            assert [0.0, 1.0, 2.0] == scene.queries.times

    story()


# Whether to rely on callbacks


async def run_task(scene: Scene, number: int, *, told: bool, pictures_after: float = 0.0) -> float:
    """
    Run a task that takes 10 s, of whose end a callback tells or not, and return when that was known.
    """
    subscription = scene.router.subscribe()
    task_id = f"t-{number}"
    handle = TaskHandle(task_id, ImageRequest("a lighthouse"), scene.poller.watch)
    handle.apply(attrs.evolve(SUBMITTED, task_id=task_id))
    scene.poller.watch(handle, expects_callbacks=subscription.is_reliable)
    subscription.connect(handle)
    started = now()

    def end(said: TaskSnapshot) -> None:
        scene.queries.truth[task_id] = said
        if told:
            call(scene.receiver, subscription, said)

    call(scene.receiver, subscription, PROCESSING)
    asyncio.get_running_loop().call_later(10.0 + pictures_after, end, DONE)
    if pictures_after:
        asyncio.get_running_loop().call_later(10.0, end, BARE)
    await handle.wait(None)
    subscription.close()
    return now() - started


@simulated
async def test_callbacks_that_report_no_ends_are_not_relied_on() -> None:
    """
    When one was missing, tasks are watched as ever, even where other callbacks come; when one tells of an end again,
    they are left alone again.
    """
    async with Scene() as scene:
        assert not scene.router.is_reliable
        took = [await run_task(scene, number, told=False) for number in range(5)]

        assert [OVERDUE] == took[:1]
        assert max(took[1:]) < 13.0
        assert not scene.router.is_reliable
        await run_task(scene, 5, told=True)
        assert scene.router.is_reliable
        count = len(scene.queries.made)
        await run_task(scene, 6, told=True)
        assert count == len(scene.queries.made)


@simulated
async def test_missing_end_counts_once() -> None:
    """
    While its pictures are waited for, another end is told of, and callbacks are relied on again.
    """
    async with Scene() as scene:
        late = asyncio.ensure_future(run_task(scene, 0, told=False, pictures_after=50.0))
        await asyncio.sleep(OVERDUE + 1.0)
        assert not scene.router.is_reliable
        await run_task(scene, 1, told=True)
        assert scene.router.is_reliable
        await late
        assert scene.router.is_reliable


@pytest.mark.parametrize("pictures_after", [0.0, 20.5])
def test_end_that_was_seen_late_teaches_nothing(pictures_after: float) -> None:
    """
    The duration of such a task is unknown, unless the service says it; so the next one is not polled late.
    """

    @simulated
    async def story() -> None:
        async with Scene() as scene:
            assert OVERDUE <= await run_task(scene, 0, told=False, pictures_after=pictures_after)
            assert await run_task(scene, 1, told=False) < 12.0

    story()


@simulated
async def test_ends_that_were_reported_are_not_missed() -> None:
    """
    An end that a poll found because of an unsigned callback was reported.
    """
    async with Scene() as scene:
        subscription = scene.router.subscribe()
        handle = scene.accepted(subscription)
        wait = await waiting(handle)
        call(scene.receiver, subscription, PROCESSING, None)
        await asyncio.sleep(5.0)
        scene.queries.truth["t-1"] = DONE
        call(scene.receiver, subscription, DONE, None)
        await wait

        assert scene.router.is_reliable


# Submits whose answer was lost


@simulated
async def test_wait_ends_with_the_first_callback(caplog: pytest.LogCaptureFixture) -> None:
    """
    What is found is a task just accepted: how it is, is for the handle to judge.
    """
    async with Scene() as scene:
        subscription = scene.router.subscribe()
        for _ in range(2):
            asyncio.get_running_loop().call_later(5.0, call, scene.receiver, subscription, DONE, None)

        assert SUBMITTED == await subscription.wait(60.0)
        assert SUBMITTED == await subscription.wait(60.0)
        assert 5.0 == now()
        assert [] == caplog.records
        call(scene.receiver, subscription, attrs.evolve(DONE, task_id="signed"))
        await asyncio.sleep(0)
        assert subscription.task is not None
        assert "signed" == subscription.task.task_id


@simulated
async def test_wait_has_an_end() -> None:
    """
    Where nobody calls, nothing is found.
    """
    async with Scene() as scene:
        assert await scene.router.subscribe().wait(60.0) is None
        assert 60.0 == now()


@simulated
async def test_wait_can_be_cancelled() -> None:
    """
    It leaves nothing behind, and a callback that comes later is taken in as any other.
    """
    async with Scene() as scene:
        subscription = scene.router.subscribe()
        wait = asyncio.ensure_future(subscription.wait(60.0))
        await asyncio.sleep(1.0)
        wait.cancel()
        await asyncio.gather(wait, return_exceptions=True)
        assert wait.cancelled()

        call(scene.receiver, subscription, DONE)
        await asyncio.sleep(0)
        assert SUBMITTED == subscription.task


@pytest.mark.parametrize("task_id", [".", "..", "a\nb"])
def test_what_is_no_id_finds_nothing(task_id: str) -> None:
    """
    Nobody could ask for such a task, so the wait goes on.
    """

    @simulated
    async def story() -> None:
        async with Scene() as scene:
            subscription = scene.router.subscribe()
            subscription.expect_late(lambda _: pytest.fail("there is nothing to adopt"), 3600.0)
            call(scene.receiver, subscription, attrs.evolve(DONE, task_id=task_id))

            assert await subscription.wait(60.0) is None
            assert 60.0 == now()

    story()


@simulated
async def test_given_up_submit_is_adopted_once() -> None:
    """
    By its first callback, however late; those that follow belong to its handle.
    """
    async with Scene() as scene:
        subscription = scene.router.subscribe()
        adopted: list[TaskHandle] = []
        subscription.expect_late(lambda found: adopted.append(scene.accepted(subscription, found.task_id)), 3600.0)
        await asyncio.sleep(3599.0)
        call(scene.receiver, subscription, PROCESSING)
        await asyncio.sleep(10.0)
        call(scene.receiver, subscription, DONE)
        await asyncio.sleep(0)

        assert [("t-1", True)] == [(handle.task_id, handle.done) for handle in adopted]


@simulated
async def test_given_up_submit_is_forgotten_in_the_end() -> None:
    """
    Nothing of it is kept for longer than said.
    """
    async with Scene() as scene:
        subscription = scene.router.subscribe()
        subscription.expect_late(lambda _: pytest.fail("it is too late"), 3600.0)
        await asyncio.sleep(3600.1)
        call(scene.receiver, subscription, DONE)
        await asyncio.sleep(0)

        assert {} == scene.router._subscriptions


@simulated
async def test_closed_subscription_receives_nothing() -> None:
    """
    Nor does it tell whether callbacks work; closing twice is no error.
    """
    async with Scene() as scene:
        subscription = scene.router.subscribe()
        handle = scene.accepted(subscription)
        subscription.close()
        subscription.close()
        call(scene.receiver, subscription, DONE)
        await asyncio.sleep(0)

        assert (False, False) == (handle.done, scene.router.is_reliable)


# Callbacks that come before somebody waits for them


class NoQueries:
    """
    A service that knows no task.
    """

    async def one(self, _: Endpoint[Any], task_id: str) -> TaskSnapshot:
        raise TaskNotFound("no such task", task_id)

    async def several(self, _: object, known: object) -> dict[str, TaskSnapshot]:
        raise TaskNotFound("no such task")

    async def page(self, _: object, number: int, size: int, known: object) -> tuple[dict[str, TaskSnapshot], bool]:
        raise TaskNotFound("no such task")


@pytest.fixture
def receiver() -> CallbackReceiver:
    return CallbackReceiver("https://bots.example/kling", token_key=b"k" * 16)


def router_of(receiver: CallbackReceiver) -> CallbackRouter:
    router = CallbackRouter(receiver, Poller(PollPolicy(), NoQueries(), lambda _: QueryStrategy()))
    router.attach()
    return router


async def bring(receiver: CallbackReceiver, submit_key: str, snapshot: TaskSnapshot = SUBMITTED) -> None:
    """
    Bring a callback about the task of one submit, and let it be heard.
    """
    token = receiver.address_of(submit_key).rpartition("/")[2]

    assert 200 == receiver.receive(token, {}, dumps(write_task(snapshot)))

    await asyncio.sleep(0)


async def test_callback_that_comes_before_its_subscription_is_kept(receiver: CallbackReceiver) -> None:
    """
    A line that is opened for an earlier submit has heard what came since the client began to listen.
    """
    router = router_of(receiver)
    await bring(receiver, "earlier")
    await bring(receiver, "earlier", attrs.evolve(SUBMITTED, task_status=TaskStatus.PROCESSING))
    subscription = router.subscribe("earlier")

    assert SUBMITTED == subscription.task == await subscription.wait(0)
    assert router.subscribe("earlier").task is None  # it was told once


async def test_only_so_many_callbacks_are_kept(receiver: CallbackReceiver) -> None:
    """
    Of submits that nobody asks for the oldest are forgotten.
    """
    router = router_of(receiver)
    for number in range(MAX_UNCLAIMED):
        await bring(receiver, f"submit-{number}")
    await bring(receiver, "submit-0")  # heard of again, so it is not the oldest
    await bring(receiver, "one-more")

    assert MAX_UNCLAIMED == len(router._unclaimed)
    assert ["submit-0", "one-more"] == [
        key for key in ("submit-0", "submit-1", "one-more") if router.subscribe(key).task is not None
    ]


async def test_closing_a_replaced_subscription_changes_nothing(receiver: CallbackReceiver) -> None:
    """
    Where a submit has a newer line, the end of the older one changes nothing.
    """
    router = router_of(receiver)
    older = router.subscribe("earlier")
    merge = router.subscribe("earlier")
    older.close()
    await bring(receiver, "earlier")

    assert (None, SUBMITTED) == (older.task, merge.task)

    merge.close()
    merge.close()
    await bring(receiver, "earlier")

    assert ["earlier"] == list(router._unclaimed)
