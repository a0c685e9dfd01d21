"""
Lost answers, cancelling and closing while callbacks are expected, in simulated time.
"""

import asyncio
import gc
import logging
import weakref
from collections.abc import Awaitable, Callable
from typing import Any, Final

import attrs
import pytest

from kling_async import (
    GATEWAY,
    OFFICIAL,
    Dialect,
    ImageRequest,
    KlingClient,
    PollPolicy,
    RetryPolicy,
    SlotPolicy,
    TaskHandle,
)
from kling_async.client.polling.watched import CALLBACK_LIFETIME
from kling_async.client.submitter import LATE_CALLBACKS
from kling_async.emulator import Fault, faults
from kling_async.emulator.webhook_queue import Webhook
from kling_async.errors import ClientClosed, SubmissionUncertain, TaskNotFound
from kling_async.wire.codec import write_task
from kling_async.wire.json_text import dumps
from kling_async.wire.tasks import TaskOutput, TaskStatus
from kling_async.wire.webhooks import sign
from tests.fakes.simulated_loop import EPOCH, SimulatedLoop, now, quiet_loop, simulated
from tests.fakes.socketless_service import SECRET, SocketlessService

LOST: Final = faults.reset_after("create")

HEAR_FOR: Final = RetryPolicy().hear_for
UNCERTAIN_FOR: Final = SlotPolicy().uncertain_for


def send(service: SocketlessService, change: int = -1) -> None:
    """
    Post a callback about the only task now: about its end, or an earlier change.
    """
    [task] = service.ledger.tasks
    record = service.account.find_task(task.task_id)
    assert record is not None
    body = dumps(write_task(service.account.snapshot_of(record, record.changes[change])))
    url = record.request.callback_url or ""
    headers = sign(SECRET, "message-1", EPOCH + now(), body)
    service.send(Webhook(task_id=task.task_id, word="by hand", url=url, headers=headers, body=body))


def used(client: KlingClient) -> int:
    return sum(usage.used for usage in client.slots.values())


def silent(*rules: Fault, seconds: float = 300.0) -> SocketlessService:
    """
    A gateway whose tasks take long, and whose callbacks a test sends itself.
    """
    service = SocketlessService(*rules, dialect=GATEWAY, latency=(seconds, seconds))
    service.posts_itself = False
    service.listening()
    return service


@simulated
async def test_task_that_is_found_late_keeps_its_slots() -> None:
    """
    Those that an uncertain submit holds for a while are the task's once it is known, until its end.
    """
    service = silent(LOST)
    async with service.client() as client:
        with pytest.raises(SubmissionUncertain):
            await client.submit("a lighthouse", n=3)
        assert HEAR_FOR == pytest.approx(now(), abs=0.1)
        await asyncio.sleep(UNCERTAIN_FOR - 1.0)
        send(service, 1)
        await asyncio.sleep(2.0)
        [handle] = client.unfinished
        assert 3 == used(client)
        await handle
        assert 0 == used(client)


@pytest.mark.parametrize("after", [UNCERTAIN_FOR + 1.0, LATE_CALLBACKS - 1.0])
def test_task_that_is_found_very_late_is_found_all_the_same(after: float) -> None:
    """
    Its slots have been given to others by then; it can be waited for like any other.
    """

    @simulated
    async def story() -> None:
        service = silent(LOST, seconds=4000.0)
        async with service.client() as client:
            with pytest.raises(SubmissionUncertain):
                await client.submit("a lighthouse", n=3)
            await asyncio.sleep(after)
            assert 0 == used(client)
            send(service, 1)
            await asyncio.sleep(1.0)
            [handle] = client.unfinished
            wait = asyncio.ensure_future(handle.wait(None))
            await asyncio.sleep(1.0)
            send(service)
            await wait
            assert (0, ()) == (used(client), client.unfinished)

    story()


@simulated
async def test_submit_of_which_nothing_is_ever_heard_is_forgotten() -> None:
    """
    Neither slots nor the address nor the request are kept for ever.
    """
    service = silent(LOST)
    async with service.client() as client:
        request = ImageRequest("a lighthouse")
        with pytest.raises(SubmissionUncertain):
            await client.submit(request, n=3)
        gone = weakref.ref(request)
        del request
        await asyncio.sleep(LATE_CALLBACKS + 1.0)
        gc.collect()

        assert gone() is None
        assert client.core._router is not None
        assert {} == client.core._router._subscriptions
        assert (0, {}) == (used(client), client.core.submitter._uncertain)


@simulated
async def test_closed_client_waits_for_nothing_any_longer() -> None:
    """
    The slots of a submit that was given up are free at once, and no timer keeps the client.
    """
    service = silent(LOST)
    async with service.client() as client:
        with pytest.raises(SubmissionUncertain):
            await client.submit("a lighthouse", n=3)
        assert 3 == used(client)
    assert 0 == used(client)
    gone = weakref.ref(client)
    del client
    gc.collect()
    assert gone() is None


@simulated
async def test_found_by_an_id_that_is_not_ours_it_ends_by_callbacks_all_the_same() -> None:
    """
    Asking for it would not help; the address tells whose callbacks they are.
    """
    service = SocketlessService(LOST, faults.callback_other_id(), dialect=GATEWAY)
    service.listening()
    async with service.client() as client:
        handle = await client.submit("a lighthouse")
        assert (await handle).images
        assert now() < 25.0
        assert handle.task_id != service.ledger.tasks[0].task_id
        assert 0 == service.reads


# Callbacks that are not signed, of tasks that the service does not know by the id that they tell

GRACE: Final = PollPolicy().not_found_grace


def tell(service: SocketlessService, change: int = -1, **fields: Any) -> None:
    """
    Post an unsigned callback about the only task now, under an id that only the vendor knows.
    """
    [task] = service.ledger.tasks
    record = service.account.find_task(task.task_id)
    assert record is not None
    seen = service.account.snapshot_of(record, record.changes[change])
    told = attrs.evolve(seen, **{"task_id": "vendor-1", **fields})
    url = record.request.callback_url or ""
    service.send(Webhook(task_id=task.task_id, word="by hand", url=url, headers={}, body=dumps(write_task(told))))


FAILED: Final = {
    "task_status": TaskStatus.FAILED,
    "status_word": "failed",
    "task_status_msg": "too dark",
    "task_result": TaskOutput(),
}


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("n", [1, 2])
def test_pictures_of_a_task_unknown_to_the_service_are_used(n: int, caplog: pytest.LogCaptureFixture) -> None:
    """
    They came to an address that only the service was given, so they are the result once the grace is over. The snapshot
    and the log say that they are not confirmed.
    """

    @simulated
    async def story() -> None:
        service = SocketlessService(LOST, faults.callback_other_id(), dialect=GATEWAY, callback_secret=None)
        service.listening()
        async with service.client() as client:
            result = await client.generate("a lighthouse", n=n)

            assert GRACE < now() < 25.0 + GRACE + PollPolicy().max_delay
            assert (n, False) == (len(result.images), result.snapshot.is_confirmed)
            assert (0, ()) == (used(client), client.unfinished)
            assert client.core._router is not None
            assert {} == client.core._router._subscriptions

    story()

    assert [True] == ["not confirmed" in text for text in warned(caplog)]


@simulated
async def test_task_reported_by_callbacks_is_waited_for() -> None:
    """
    "No such task" ends no wait while callbacks report that the task is running.
    """
    service = silent(LOST)
    async with service.client() as client:
        handle = await told_of(service, client, {}, change=1)
        wait = asyncio.ensure_future(handle.wait(None))
        for _ in range(3):
            await asyncio.sleep(CALLBACK_LIFETIME - 15.0)
            assert not wait.done()
            tell(service, 1)
        tell(service)
        await asyncio.sleep(15.0)
        assert 1 == len((await wait).images)


@simulated
async def test_task_of_which_callbacks_told_long_ago_is_not_found() -> None:
    """
    The error holds what was told, and says to look before paying again. Pictures that come later still are not lost.
    """
    service = silent(LOST)
    async with service.client() as client:
        handle = await told_of(service, client, {}, change=1)
        with pytest.raises(
            TaskNotFound, match="reported it as 'processing'.*look for it before you pay again"
        ) as caught:
            await handle.wait(None)

        assert CALLBACK_LIFETIME < now() < CALLBACK_LIFETIME + 20.0
        assert "vendor-1" == caught.value.task_id == handle.task_id
        assert caught.value.snapshot is not None
        assert TaskStatus.PROCESSING is caught.value.snapshot.task_status
        assert 0 == used(client)

        tell(service)
        await asyncio.sleep(1.0)
        assert (await handle.wait(None)).images


@simulated
async def test_unconfirmed_failure_is_reported_and_not_believed() -> None:
    """
    As a failed task it could be sent again, and perhaps be paid twice.
    """
    service = silent(LOST)
    async with service.client() as client:
        handle = await told_of(service, client, FAILED)
        with pytest.raises(TaskNotFound, match="'failed' .too dark.") as caught:
            await handle.wait(None)

        assert GRACE < now() < GRACE + 20.0
        assert caught.value.snapshot is not None
        assert "too dark" == caught.value.snapshot.task_status_msg


@pytest.mark.parametrize("said", [({}, FAILED), (FAILED, {})], ids=["before", "after"])
def test_pictures_outweigh_a_failure_that_was_told(said: tuple[dict[str, Any], ...]) -> None:
    """
    Of two ends that nothing confirms, the one with pictures costs nothing.
    """

    @simulated
    async def story() -> None:
        service = silent(LOST)
        async with service.client() as client:
            assert (await (await told_of(service, client, *said))).images

    story()


@simulated
async def test_callback_without_a_usable_id_is_in_the_error() -> None:
    """
    Such a task cannot be queried, but its pictures are not lost.
    """
    service = silent(LOST)
    async with service.client() as client:
        with pytest.raises(SubmissionUncertain) as caught:
            await told_of(service, client, {"task_id": ".."})
        assert caught.value.snapshot is not None
        assert 1 == len(caught.value.snapshot.task_result.images) == len(caught.value.urls)


async def told_of(
    service: SocketlessService, client: KlingClient, *said: dict[str, Any], change: int = -1
) -> TaskHandle:
    """
    Submit, lose the answer, and return the task of which callbacks tell, a second apart.
    """
    submit = asyncio.ensure_future(client.submit("a lighthouse"))
    for fields in said:
        await asyncio.sleep(1.0)
        tell(service, change, **fields)
    return await submit


# Cut at any turn of the loop


class SteppingLoop(SimulatedLoop):
    """
    A loop that counts its turns and calls something after a given one.
    """

    turns_left = 0
    then: Callable[[], object] = staticmethod(lambda: None)

    def _run_once(self) -> None:
        super()._run_once()  # type: ignore[misc]  # asyncio's own turn of the loop; there is no public hook
        self.turns_left -= 1
        if self.turns_left == 0:
            self.then()


async def submit(client: KlingClient) -> None:
    await client.submit("a lighthouse")


async def generate(client: KlingClient) -> None:
    await client.generate("a lighthouse")


async def generate_two(client: KlingClient) -> None:
    jobs = client.generate("a lighthouse", n=2), client.generate("a harbour", n=2)
    for end in await asyncio.gather(*jobs, return_exceptions=True):  # which waits for both
        if isinstance(end, BaseException):
            raise end


async def follow(client: KlingClient) -> None:
    handle = await client.submit("a lighthouse")
    async for _ in handle.updates():
        pass


SERVICES: Final = {
    "answered": [],
    "early": [faults.delay_after("create", 2.0)],
    "lost": [LOST],
    "lost, and told of later": [LOST, faults.callback_delayed(5.0)],
}

Job = Callable[[KlingClient], Awaitable[None]]


async def cut(
    job: Job, service: SocketlessService, caplog: pytest.LogCaptureFixture, step: int, *, closes: bool
) -> bool:
    """
    Cancel *job*, or close its client, after so many turns of the loop; tell whether it was running then.
    """
    caplog.clear()
    receiver = service.listening()
    client = service.client(slots=2)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SteppingLoop)
    victim = asyncio.ensure_future(job(client))
    closing: list[asyncio.Task[None]] = []
    loop.turns_left = step
    loop.then = (lambda: closing.append(loop.create_task(client.aclose()))) if closes else victim.cancel
    [end] = await asyncio.gather(victim, return_exceptions=True)
    was_running = loop.turns_left <= 0 and (bool(closing) if closes else isinstance(end, asyncio.CancelledError))
    loop.turns_left = 0
    await asyncio.gather(*closing)
    await client.aclose()

    assert client.core._router is not None
    assert ({}, {}, 0) == (client.core._router._subscriptions, receiver._listeners, used(client)), step
    assert {asyncio.current_task()} == asyncio.all_tasks(), step
    assert end is None or isinstance(end, asyncio.CancelledError | ClientClosed | SubmissionUncertain), step
    if was_running:
        known = {handle.task_id for handle in client.unfinished}
        lost = [task.task_id for task in service.ledger.tasks if task.task_id not in known | words_of(caplog)]
        assert [] == lost or isinstance(end, SubmissionUncertain), step
    return was_running


def words_of(caplog: pytest.LogCaptureFixture) -> set[str]:
    return {word for record in caplog.records for word in record.getMessage().split()}


@pytest.mark.parametrize("closes", [False, True], ids=["cancelled", "closed"])
@pytest.mark.parametrize("dialect", [OFFICIAL, GATEWAY], ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("rules", SERVICES.values(), ids=SERVICES)
@pytest.mark.parametrize("job", [submit, generate, generate_two, follow])
def test_cut_at_any_turn_nothing_is_left(
    job: Job, rules: list[Fault], dialect: Dialect, caplog: pytest.LogCaptureFixture, *, closes: bool
) -> None:
    """
    Whatever the turn: nobody listens, nothing pends, no slots are taken, and each task is known to client or log.
    """
    caplog.set_level(logging.INFO, "kling_async")
    step = 0
    is_running = True
    while is_running:
        step += 1
        service = SocketlessService(*rules, dialect=dialect, latency=(1.0, 1.0))
        with quiet_loop(), asyncio.Runner(loop_factory=SteppingLoop) as runner:
            is_running = runner.run(cut(job, service, caplog, step, closes=closes))

    assert step > 5
