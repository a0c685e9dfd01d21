"""
What is heard and whom it concerns, in simulated time: a receiver, a watcher and a scripted service; no sockets.
"""

import asyncio
import gc
import weakref
from collections.abc import Mapping
from typing import Any, Final, Self

import attrs
import pytest

from kling_async.client.callbacks.receiver import CallbackReceiver
from kling_async.client.callbacks.router import UNCLAIMED, CallbackRouter, CallbackSubscription
from kling_async.client.handle import TaskHandle
from kling_async.client.polling.poller import Poller
from kling_async.errors import TaskNotFound
from kling_async.policy.policies import PollPolicy
from kling_async.wire.codec import dumps, write_task
from kling_async.wire.endpoints.image_generation import ImageRequest
from kling_async.wire.tasks import Image, TaskOutput, TaskResult, TaskSnapshot, TaskStatus
from kling_async.wire.webhooks import sign
from tests.conftest import simulated

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


class StatusQueries:
    """
    A service that says of each task what it is told to say; a look takes as long as it is told to.
    """

    def __init__(self) -> None:
        self.takes = 0.0
        self.truth: dict[str, TaskSnapshot] = {}
        self.unknown: set[str] = set()
        self.looks: list[tuple[float, str]] = []

    async def one(self, task_id: str) -> TaskSnapshot:
        self.looks.append((now(), task_id))
        seen = self.truth.get(task_id, PROCESSING)
        await asyncio.sleep(self.takes)
        if task_id in self.unknown:
            raise TaskNotFound("no such task", task_id)
        return attrs.evolve(seen, task_id=task_id)

    async def several(self, held: Mapping[str, TaskSnapshot | None]) -> dict[str, TaskSnapshot]:
        raise AssertionError("nobody asked for several")

    async def page(
        self, number: int, size: int, held: Mapping[str, TaskSnapshot | None]
    ) -> tuple[dict[str, TaskSnapshot], bool]:
        raise AssertionError("nobody asked for a page")

    @property
    def times(self) -> list[float]:
        return [at for at, _ in self.looks]


class Scene:
    """
    One client's part of a receiver, in the loop that runs.
    """

    def __init__(self, receiver: CallbackReceiver | None = None, **policy: Any) -> None:
        self.receiver = receiver or CallbackReceiver("https://bots.example/kling", secret=SECRET)
        self.looks = StatusQueries()
        self.watcher = Poller(PollPolicy(**policy), self.looks)
        self.hearing = CallbackRouter(self.receiver, self.watcher)
        self.hearing.attach()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.hearing.detach()
        await self.watcher.aclose()

    def accepted(self, line: CallbackSubscription, task_id: str = "t-1") -> TaskHandle:
        """
        What follows the answer to a submit.
        """
        handle = TaskHandle(task_id, ImageRequest("a lighthouse"), self.watcher.watch)
        handle.apply(attrs.evolve(SUBMITTED, task_id=task_id))
        line.connect(handle)
        return handle


def call(
    receiver: CallbackReceiver, line: CallbackSubscription | str, said: TaskSnapshot, secret: str | None = SECRET
) -> int:
    """
    Post one callback to the address of *line*, signed with *secret*.
    """
    body = dumps(write_task(said))
    headers = sign(secret, "message-1", receiver._clock(), body) if secret is not None else {}
    address = line if isinstance(line, str) else line.address
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
    Have one look under way for 5 s.
    """
    scene.looks.takes = 5.0
    scene.looks.truth["t-0"] = DONE
    wait = await waiting(TaskHandle("t-0", None, scene.watcher.watch))
    await asyncio.sleep(0)
    return wait


# Whom it concerns


@simulated
async def test_callback_settles_its_task_in_the_turn_in_which_it_is_told() -> None:
    """
    When the listener has returned, the waiter's future is done, and nothing is watched or listened for any longer.
    """
    async with Scene() as scene:
        line = scene.hearing.open_line()
        handle = scene.accepted(line)
        wait = await waiting(handle)
        [listener] = scene.receiver._listeners
        [waiter] = handle._waiters
        listener(line.key, DONE, True)

        assert (True, DONE) == (waiter.done(), handle.snapshot)
        assert 0 == len(scene.watcher)
        await asyncio.sleep(0)
        assert wait.done()
        assert (0.0, []) == (now(), scene.looks.looks)


@simulated
async def test_each_submit_has_a_line_of_its_own() -> None:
    """
    The address tells whose callback it is, not the id that the body names.
    """
    async with Scene() as scene:
        lines = [scene.hearing.open_line() for _ in range(2)]
        first, second = (scene.accepted(line, task_id) for line, task_id in zip(lines, ("t-1", "t-2"), strict=True))
        call(scene.receiver, lines[1], attrs.evolve(DONE, task_id="an id of the gateway's own"))
        await asyncio.sleep(0)

        assert (False, True) == (first.done, second.done)
        result = await second
        assert ("t-2", "t-2") == (result.task_id, result.snapshot.task_id)


@simulated
async def test_forged_callbacks_reach_no_line() -> None:
    """
    Neither a signature of somebody else's nor an address that is not ours does anything.
    """
    async with Scene() as scene:
        line = scene.hearing.open_line()
        handle = scene.accepted(line)
        await waiting(handle)
        answers = [call(scene.receiver, line, FAILED, FORGERS_SECRET), call(scene.receiver, line.address + "A", FAILED)]
        await asyncio.sleep(0)

        assert [401, 404] == answers
        assert (False, False) == (handle.done, scene.hearing.works)
        call(scene.receiver, line, DONE)
        await handle


@simulated
async def test_clients_that_share_a_receiver_hear_their_own() -> None:
    """
    Each hears of its own submits, and the one goes on when the other has closed.
    """
    receiver = CallbackReceiver("https://bots.example/kling", secret=SECRET)
    async with Scene(receiver) as one, Scene(receiver) as other:
        lines = [one.hearing.open_line(), other.hearing.open_line()]
        handles = [one.accepted(lines[0]), other.accepted(lines[1])]
        call(receiver, lines[0], DONE)
        await asyncio.sleep(0)
        assert [True, False] == [handle.done for handle in handles]
        assert (True, False) == (one.hearing.works, other.hearing.works)

        one.hearing.detach()
        one.hearing.detach()
        call(receiver, lines[1], DONE)
        await asyncio.sleep(0)
        assert handles[1].done
        assert 1 == len(receiver._listeners)


@simulated
async def test_what_is_on_its_way_when_a_client_closes_is_not_told() -> None:
    """
    Closing closes every line, and with it what waits for a callback to a submit that was given up.
    """
    async with Scene() as scene:
        line, lost = scene.hearing.open_line(), scene.hearing.open_line()
        handle = scene.accepted(line)
        lost.adopt(lambda _: pytest.fail("it was closed"), 3600.0)
        for each in (line, lost):
            call(scene.receiver, each, DONE)
        scene.hearing.detach()
        await asyncio.sleep(0)

        assert not handle.done
        assert ({}, {}) == (scene.hearing._lines, scene.receiver._listeners)
        assert lost._clock is not None
        assert lost._clock.cancelled()


@simulated
async def test_who_never_listened_can_close() -> None:
    """
    As a client does that was never used.
    """
    receiver = CallbackReceiver("https://bots.example/kling")
    hearing = CallbackRouter(receiver, Poller(PollPolicy(), StatusQueries()))
    hearing.detach()

    assert {} == receiver._listeners


@simulated
async def test_nobody_is_kept_alive_by_a_receiver() -> None:
    """
    A client that was dropped is gone, and the receiver forgets it when the next callback comes.
    """
    receiver = CallbackReceiver("https://bots.example/kling", secret=SECRET)
    scene = Scene(receiver)
    address = scene.hearing.open_line().address
    gone = weakref.ref(scene.hearing)
    del scene
    gc.collect()
    assert gone() is None

    assert 200 == call(receiver, address, DONE)
    await asyncio.sleep(0)
    assert {} == receiver._listeners


@simulated
async def test_line_of_an_earlier_run() -> None:
    """
    With the same token key, and the key of the submit, the address is the one that the service was given then.
    """
    key = b"k" * 16
    earlier, later = (CallbackReceiver("https://bots.example/kling", token_key=key) for _ in range(2))
    async with Scene(earlier) as before, Scene(later) as scene:
        address = before.hearing.open_line("submit-1").address
        line = scene.hearing.open_line("submit-1")
        call(later, address, PROCESSING, None)
        await asyncio.sleep(0)

        assert line.found == SUBMITTED


# Before the task is known


@pytest.mark.parametrize("said", [[DONE], [PROCESSING, DONE], [DONE, PROCESSING, SUBMITTED], [DONE, DONE]])
def test_early_callbacks_are_kept(said: list[TaskSnapshot]) -> None:
    """
    In whatever order and however often: the task has ended as soon as it is known, and is not watched at all.
    """

    @simulated
    async def story() -> None:
        async with Scene() as scene:
            line = scene.hearing.open_line()
            for each in said:
                call(scene.receiver, line, each)
            await asyncio.sleep(0)
            handle = TaskHandle("t-1", ImageRequest("a lighthouse"), scene.watcher.watch)
            handle.apply(SUBMITTED)
            scene.watcher.watch(handle)
            line.connect(handle)

            assert handle.done
            assert 0 == len(scene.watcher)
            assert (await handle).images
            assert [] == scene.looks.looks

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
    What cannot be believed is asked for as soon as the task is known and there is a place for a look, and not when its
    callback is overdue.
    """

    @simulated
    async def story() -> None:
        async with Scene(width=1) as scene:
            busy = await occupy(scene)
            scene.looks.truth["t-1"] = DONE
            line = scene.hearing.open_line()
            for each, secret in said:
                call(scene.receiver, line, each, secret)
            await asyncio.sleep(0)
            handle = TaskHandle("t-1", ImageRequest("a lighthouse"), scene.watcher.watch)
            handle.apply(SUBMITTED)
            wait = await waiting(handle)
            line.connect(handle)
            await wait

            assert [(0.0, "t-0"), (5.0, "t-1")] == scene.looks.looks
            await busy

    story()


# What it costs


@simulated
async def test_one_look_settles_what_is_not_signed() -> None:
    """
    Only what matters is asked for: unsigned news on the way are neither believed nor asked about.
    """
    async with Scene() as scene:
        line = scene.hearing.open_line()
        handle = scene.accepted(line)
        wait = await waiting(handle)
        for after, said in ((0.5, SUBMITTED), (3.0, PROCESSING), (20.0, DONE), (20.0, DONE), (20.1, DONE)):
            asyncio.get_running_loop().call_later(after, call, scene.receiver, line, said, None)
        await asyncio.sleep(19.0)
        assert (SUBMITTED, []) == (handle.snapshot, scene.looks.looks)

        scene.looks.truth["t-1"] = DONE
        scene.looks.takes = 0.05
        await wait
        assert [20.0] == scene.looks.times
        assert scene.hearing.works


@simulated
async def test_lie_costs_a_look() -> None:
    """
    Who knows the address and not the secret can make us ask, and no more; the true end is seen all the same.
    """
    async with Scene() as scene:
        line = scene.hearing.open_line()
        handle = scene.accepted(line)
        wait = await waiting(handle)
        call(scene.receiver, line, FAILED, None)
        await asyncio.sleep(0.5)
        assert ([0.0], PROCESSING) == (scene.looks.times, handle.snapshot)

        call(scene.receiver, line, PROCESSING)
        scene.looks.truth["t-1"] = DONE
        assert (await wait).images
        assert [0.0, 1.0] == scene.looks.times


@simulated
async def test_lie_about_pictures_is_not_used_where_the_service_knows_better() -> None:
    """
    A service that lags behind says for a while that it knows no such task; what it says in the end is the result.
    """
    lie = attrs.evolve(DONE, task_result=TaskOutput((Image(0, "https://forger.example/0.png"),)))
    async with Scene() as scene:
        scene.looks.unknown.add("t-1")
        line = scene.hearing.open_line()
        handle = scene.accepted(line)
        wait = await waiting(handle)
        call(scene.receiver, line, lie, None)
        await asyncio.sleep(PollPolicy().not_found_grace - 5.0)
        scene.looks.unknown.clear()
        scene.looks.truth["t-1"] = DONE
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
        scene.looks.unknown.add("t-1")
        line = scene.hearing.open_line()
        wait = await waiting(scene.accepted(line))
        call(scene.receiver, line, DONE, None)
        await asyncio.sleep(grace - 5.0)
        scene.looks.unknown.clear()
        await asyncio.sleep(10.0)
        scene.looks.unknown.add("t-1")
        await asyncio.sleep(grace - 5.0)
        assert not wait.done()
        await asyncio.sleep(20.0)
        assert not wait.result().snapshot.is_confirmed


@simulated
async def test_truth_after_a_lie_ends_the_watching() -> None:
    """
    A signed end settles a task at once, whatever was said before.
    """
    async with Scene() as scene:
        line = scene.hearing.open_line()
        wait = await waiting(scene.accepted(line))
        call(scene.receiver, line, FAILED, None)
        await asyncio.sleep(0.5)
        call(scene.receiver, line, DONE)
        assert (await wait).images
        assert (0.5, 0) == (now(), len(scene.watcher))


@simulated
async def test_task_is_left_alone_while_callbacks_come() -> None:
    """
    Each callback that brings news puts the next look off until another is overdue; then it is watched as usual, at
    intervals that grow by a twentieth of its age.
    """
    async with Scene() as scene:
        line = scene.hearing.open_line()
        handle = scene.accepted(line)
        wait = await waiting(handle)
        call(scene.receiver, line, SUBMITTED)
        await asyncio.sleep(10.0)
        call(scene.receiver, line, PROCESSING)
        await asyncio.sleep(OVERDUE - 0.1)
        assert [] == scene.looks.looks

        await asyncio.sleep(5.0)
        assert pytest.approx([40.0, 42.0, 44.1]) == scene.looks.times
        call(scene.receiver, line, DONE)
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
            line = scene.hearing.open_line()
            handle = scene.accepted(line)
            wait = await waiting(handle)
            call(scene.receiver, line, PROCESSING, secret)
            for _ in range(10):
                await asyncio.sleep(5.0)
                call(scene.receiver, line, said, secret)
            assert OVERDUE == scene.looks.times[0]
            scene.looks.truth["t-1"] = DONE
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
        line = scene.hearing.open_line()
        handle = scene.accepted(line)
        wait = await waiting(handle)
        scene.looks.truth["t-1"] = DONE
        for said in (DONE, PROCESSING):
            call(scene.receiver, line, said, None)
        await wait

        assert [(0.0, "t-0"), (5.0, "t-1")] == scene.looks.looks
        await busy


@pytest.mark.parametrize("secret", [SECRET, None])
def test_pictures_that_a_callback_left_out_are_asked_for(secret: str | None) -> None:
    """
    A task that succeeded, without its pictures, is looked at now and again soon.
    """

    @simulated
    async def story() -> None:
        async with Scene() as scene:
            scene.looks.truth["t-1"] = BARE
            line = scene.hearing.open_line()
            handle = scene.accepted(line)
            wait = await waiting(handle)
            call(scene.receiver, line, BARE, secret)
            await asyncio.sleep(1.5)
            scene.looks.truth["t-1"] = DONE
            await wait

            assert [0.0, 1.0, 2.0] == scene.looks.times

    story()


# Whether to rely on callbacks


async def run_task(scene: Scene, number: int, *, told: bool, pictures_after: float = 0.0) -> float:
    """
    Run a task that takes 10 s, of whose end a callback tells or not, and return when that was known.
    """
    line = scene.hearing.open_line()
    task_id = f"t-{number}"
    handle = TaskHandle(task_id, ImageRequest("a lighthouse"), scene.watcher.watch)
    handle.apply(attrs.evolve(SUBMITTED, task_id=task_id))
    scene.watcher.watch(handle, is_told_of=line.works)
    line.connect(handle)
    started = now()

    def end(said: TaskSnapshot) -> None:
        scene.looks.truth[task_id] = said
        if told:
            call(scene.receiver, line, said)

    call(scene.receiver, line, PROCESSING)
    asyncio.get_running_loop().call_later(10.0 + pictures_after, end, DONE)
    if pictures_after:
        asyncio.get_running_loop().call_later(10.0, end, BARE)
    await handle.wait(None)
    line.close()
    return now() - started


@simulated
async def test_callbacks_that_do_not_tell_of_ends_are_not_relied_on() -> None:
    """
    When one was missing, tasks are watched as ever, even where other callbacks come; when one tells of an end again,
    they are left alone again.
    """
    async with Scene() as scene:
        assert not scene.hearing.works
        took = [await run_task(scene, number, told=False) for number in range(5)]

        assert [OVERDUE] == took[:1]
        assert max(took[1:]) < 13.0
        assert not scene.hearing.works
        await run_task(scene, 5, told=True)
        assert scene.hearing.works
        looks = len(scene.looks.looks)
        await run_task(scene, 6, told=True)
        assert looks == len(scene.looks.looks)


@simulated
async def test_missing_end_counts_once() -> None:
    """
    While its pictures are waited for, another end is told of, and callbacks are relied on again.
    """
    async with Scene() as scene:
        late = asyncio.ensure_future(run_task(scene, 0, told=False, pictures_after=50.0))
        await asyncio.sleep(OVERDUE + 1.0)
        assert not scene.hearing.works
        await run_task(scene, 1, told=True)
        assert scene.hearing.works
        await late
        assert scene.hearing.works


@pytest.mark.parametrize("pictures_after", [0.0, 20.5])
def test_end_that_was_seen_late_teaches_nothing(pictures_after: float) -> None:
    """
    Nobody knows how long such a task took, unless the service says; so the next one is not looked at late for it.
    """

    @simulated
    async def story() -> None:
        async with Scene() as scene:
            assert OVERDUE <= await run_task(scene, 0, told=False, pictures_after=pictures_after)
            assert await run_task(scene, 1, told=False) < 12.0

    story()


@simulated
async def test_ends_that_were_told_are_not_missed() -> None:
    """
    An end that a look found because a callback hinted at it was told of.
    """
    async with Scene() as scene:
        line = scene.hearing.open_line()
        handle = scene.accepted(line)
        wait = await waiting(handle)
        call(scene.receiver, line, PROCESSING, None)
        await asyncio.sleep(5.0)
        scene.looks.truth["t-1"] = DONE
        call(scene.receiver, line, DONE, None)
        await wait

        assert scene.hearing.works


# Submits whose answer was lost


@simulated
async def test_wait_ends_with_the_first_callback(caplog: pytest.LogCaptureFixture) -> None:
    """
    What is found is a task just accepted: how it is, is for the handle to judge.
    """
    async with Scene() as scene:
        line = scene.hearing.open_line()
        for _ in range(2):
            asyncio.get_running_loop().call_later(5.0, call, scene.receiver, line, DONE, None)

        assert SUBMITTED == await line.wait(60.0)
        assert SUBMITTED == await line.wait(60.0)
        assert 5.0 == now()
        assert [] == caplog.records
        call(scene.receiver, line, attrs.evolve(DONE, task_id="signed"))
        await asyncio.sleep(0)
        assert line.found is not None
        assert "signed" == line.found.task_id


@simulated
async def test_wait_has_an_end() -> None:
    """
    Where nobody calls, nothing is found.
    """
    async with Scene() as scene:
        assert await scene.hearing.open_line().wait(60.0) is None
        assert 60.0 == now()


@simulated
async def test_wait_can_be_cancelled() -> None:
    """
    It leaves nothing behind, and a callback that comes later is taken in as any other.
    """
    async with Scene() as scene:
        line = scene.hearing.open_line()
        wait = asyncio.ensure_future(line.wait(60.0))
        await asyncio.sleep(1.0)
        wait.cancel()
        await asyncio.gather(wait, return_exceptions=True)
        assert wait.cancelled()

        call(scene.receiver, line, DONE)
        await asyncio.sleep(0)
        assert SUBMITTED == line.found


@pytest.mark.parametrize("task_id", [".", "..", "a\nb"])
def test_what_is_no_id_finds_nothing(task_id: str) -> None:
    """
    Nobody could ask for such a task, so the wait goes on.
    """

    @simulated
    async def story() -> None:
        async with Scene() as scene:
            line = scene.hearing.open_line()
            line.adopt(lambda _: pytest.fail("there is nothing to adopt"), 3600.0)
            call(scene.receiver, line, attrs.evolve(DONE, task_id=task_id))

            assert await line.wait(60.0) is None
            assert 60.0 == now()

    story()


@simulated
async def test_given_up_submit_is_adopted_once() -> None:
    """
    By its first callback, however late; those that follow belong to its handle.
    """
    async with Scene() as scene:
        line = scene.hearing.open_line()
        adopted: list[TaskHandle] = []
        line.adopt(lambda found: adopted.append(scene.accepted(line, found.task_id)), 3600.0)
        await asyncio.sleep(3599.0)
        call(scene.receiver, line, PROCESSING)
        await asyncio.sleep(10.0)
        call(scene.receiver, line, DONE)
        await asyncio.sleep(0)

        assert [("t-1", True)] == [(handle.task_id, handle.done) for handle in adopted]


@simulated
async def test_given_up_submit_is_forgotten_in_the_end() -> None:
    """
    Nothing of it is kept for longer than said.
    """
    async with Scene() as scene:
        line = scene.hearing.open_line()
        line.adopt(lambda _: pytest.fail("it is too late"), 3600.0)
        await asyncio.sleep(3600.1)
        call(scene.receiver, line, DONE)
        await asyncio.sleep(0)

        assert {} == scene.hearing._lines


@simulated
async def test_closed_line_takes_in_nothing() -> None:
    """
    Nor does it tell whether callbacks work; closing twice is no error.
    """
    async with Scene() as scene:
        line = scene.hearing.open_line()
        handle = scene.accepted(line)
        line.close()
        line.close()
        call(scene.receiver, line, DONE)
        await asyncio.sleep(0)

        assert (False, False) == (handle.done, scene.hearing.works)


# Callbacks that come before somebody waits for them


class NoLooks:
    """
    A service that knows no task.
    """

    async def one(self, task_id: str) -> TaskSnapshot:
        raise TaskNotFound("no such task", task_id)

    async def several(self, held: object) -> dict[str, TaskSnapshot]:
        raise TaskNotFound("no such task")

    async def page(self, number: int, size: int, held: object) -> tuple[dict[str, TaskSnapshot], bool]:
        raise TaskNotFound("no such task")


@pytest.fixture
def receiver() -> CallbackReceiver:
    return CallbackReceiver("https://bots.example/kling", token_key=b"k" * 16)


def hearing_of(receiver: CallbackReceiver) -> CallbackRouter:
    hearing = CallbackRouter(receiver, Poller(PollPolicy(), NoLooks()))
    hearing.attach()
    return hearing


async def bring(receiver: CallbackReceiver, submit_key: str, snapshot: TaskSnapshot = SUBMITTED) -> None:
    """
    Bring a callback about the task of one submit, and let it be heard.
    """
    token = receiver.address_of(submit_key).rpartition("/")[2]

    assert 200 == receiver.receive(token, {}, dumps(write_task(snapshot)))

    await asyncio.sleep(0)


async def test_callback_that_comes_before_its_line_is_kept_for_it(receiver: CallbackReceiver) -> None:
    """
    A line that is opened for an earlier submit has heard what came since the client began to listen.
    """
    hearing = hearing_of(receiver)
    await bring(receiver, "earlier")
    await bring(receiver, "earlier", attrs.evolve(SUBMITTED, task_status=TaskStatus.PROCESSING))
    line = hearing.open_line("earlier")

    assert SUBMITTED == line.found == await line.wait(0)
    assert hearing.open_line("earlier").found is None  # it was told once


async def test_only_so_many_callbacks_are_kept(receiver: CallbackReceiver) -> None:
    """
    Of submits that nobody asks for the oldest are forgotten.
    """
    hearing = hearing_of(receiver)
    for number in range(UNCLAIMED):
        await bring(receiver, f"submit-{number}")
    await bring(receiver, "submit-0")  # heard of again, so it is not the oldest
    await bring(receiver, "one-more")

    assert UNCLAIMED == len(hearing._unclaimed)
    assert ["submit-0", "one-more"] == [
        key for key in ("submit-0", "submit-1", "one-more") if hearing.open_line(key).found is not None
    ]


async def test_line_that_ends_leaves_its_successor_alone(receiver: CallbackReceiver) -> None:
    """
    Where a submit has a newer line, the end of the older one changes nothing.
    """
    hearing = hearing_of(receiver)
    older = hearing.open_line("earlier")
    merge = hearing.open_line("earlier")
    older.close()
    await bring(receiver, "earlier")

    assert (None, SUBMITTED) == (older.found, merge.found)

    merge.close()
    merge.close()
    await bring(receiver, "earlier")

    assert ["earlier"] == list(hearing._unclaimed)
