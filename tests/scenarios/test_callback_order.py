"""
One task, one end: in whatever order polls and callbacks come, and whatever is wrong with the callbacks.
"""

import asyncio
from typing import Final, Literal

import attrs
from hypothesis import given, settings, strategies as st

from kling_async import GATEWAY, OFFICIAL, KlingClient, TaskHandle, TaskSnapshot, TaskStatus
from kling_async.emulator import faults
from kling_async.emulator.task_record import TaskRecord
from kling_async.emulator.webhook_queue import Webhook
from kling_async.errors import SubmissionUncertain, TaskFailed
from kling_async.wire.codec import write_task
from kling_async.wire.json_text import dumps
from kling_async.wire.status import is_settled
from kling_async.wire.tasks import TaskOutput
from kling_async.wire.webhooks import sign
from tests.fakes.simulated_loop import EPOCH, now, simulate
from tests.fakes.socketless_service import SECRET, TRAVEL, SocketlessService

FORGERS_SECRET: Final = "whsec_Zm9yZ2VkIGZvcmdlZCBmb3JnZWQ="
TAKES: Final = 10.0

Form = Literal["signed", "unsigned", "other id", "wrong signature", "lie", "unsigned lie", "lie to a wrong address"]


@attrs.frozen
class Call:
    """
    One callback: about which of the task's changes, how many seconds late, how many times, and what it is like.
    """

    change: int
    late: float
    times: int
    form: Form

    @property
    def is_hint(self) -> bool:
        return self.form in ("signed", "unsigned", "other id")


calls = st.builds(
    Call,
    change=st.integers(0, 2),
    late=st.sampled_from([0.0, 0.02, 0.5, 4.0, 12.0, 40.0]),
    times=st.integers(1, 2),
    form=st.sampled_from(Form.__args__),  # type: ignore[attr-defined]  # a Literal's own
)


@attrs.frozen(kw_only=True)
class TaskEvents:
    """
    What happens to one task of 10 s.

    Attributes:
        answered_after: Seconds until the submit is answered; callbacks that come before it are early.
        is_lost: Whether the answer never comes.
        confirms_all: Whether nothing is believed without a look.
        joins: When, after the task is known, each waiter and each follower of its updates comes.
    """

    is_official: bool
    calls: list[Call]
    answered_after: float
    is_lost: bool
    fails: bool
    confirms_all: bool
    joins: list[float]


stories = st.builds(
    TaskEvents,
    is_official=st.booleans(),
    calls=st.lists(calls, max_size=6),
    answered_after=st.sampled_from([0.0, 0.0, 0.0, 1.0, 3.0, 9.97, 15.0]),
    is_lost=st.booleans(),
    fails=st.booleans(),
    confirms_all=st.booleans(),
    joins=st.lists(st.sampled_from([0.0, 0.3, 5.0, 9.95, 10.0, 30.0]), max_size=3),
).filter(lambda story: not (story.is_lost and any(call.form == "other id" for call in story.calls)))


def post_of(call: Call, record: TaskRecord, service: SocketlessService) -> Webhook:
    """
    Write what is posted.
    """
    at = record.changes[call.change]
    said = service.account.snapshot_of(record, at)
    if call.form == "other id":
        said = attrs.evolve(said, task_id="an-id-of-the-gateway-s-own")
    if "lie" in call.form:
        lie = TaskStatus.SUCCEEDED if record.outcome.failure else TaskStatus.FAILED
        said = attrs.evolve(said, task_status=lie, status_word=lie.value, task_result=TaskOutput())
    body = dumps(write_task(said))
    secret = SECRET if call.form in ("signed", "other id") else FORGERS_SECRET
    headers = {} if "unsigned" in call.form else sign(secret, "message-1", at + call.late, body)
    url = record.request.callback_url or ""
    if call.form == "lie to a wrong address":
        url = url[:-1] + ("B" if url.endswith("A") else "A")
    return Webhook(task_id=record.task_id, word=call.form, url=url, headers=headers, body=body)


async def send_all(story: TaskEvents, service: SocketlessService) -> TaskRecord:
    while not service.ledger.tasks:
        await asyncio.sleep(0.001)
    record = service.account.find_task(service.ledger.tasks[0].task_id)
    assert record is not None
    for call in story.calls:
        for _ in range(call.times):
            after = record.changes[call.change] - EPOCH + call.late - now()
            service.send(post_of(call, record, service), after=max(0.0, after))
    return record


async def follow(handle: TaskHandle, join: float) -> list[TaskSnapshot]:
    await asyncio.sleep(join)
    return [seen async for seen in handle.updates()]


async def end_of(handle: TaskHandle, join: float) -> tuple[TaskStatus, float]:
    """
    Return how a waiter's waiting ended, and when.
    """
    await asyncio.sleep(join)
    try:
        result = await handle.wait(None)
    except TaskFailed:
        return TaskStatus.FAILED, now()
    assert result.images
    return TaskStatus.SUCCEEDED, now()


def latest_end(story: TaskEvents, record: TaskRecord, known_at: float) -> float:
    """
    Return when the end must be known, by the first callback that told of it, or else by looks.
    """
    end = record.done_at - EPOCH
    told = [max(end + call.late + TRAVEL, known_at) for call in story.calls if call.change == 2 and call.is_hint]
    heard = [record.changes[call.change] - EPOCH + call.late for call in story.calls if call.is_hint]
    overdue = max(*heard, known_at) + 1.5 * 20.0 if heard else 0.0
    by_looks = max(end + 1.5, overdue, known_at + 1.5) + 1.5
    return min([by_looks, *(at + 4 * TRAVEL for at in told)]) + 0.01


async def tell(story: TaskEvents) -> None:
    rules = [faults.delay_after("create", story.answered_after)]
    rules += [faults.reset_after("create")] if story.is_lost else []
    rules += [faults.failing_task()] if story.fails else []
    service = SocketlessService(*rules, dialect=OFFICIAL if story.is_official else GATEWAY, latency=(TAKES, TAKES))
    service.posts_itself = False
    receiver = service.listening(confirm="always" if story.confirms_all else "unsigned")
    async with service.client() as client:
        sending = asyncio.ensure_future(send_all(story, service))
        try:
            handle = await client.submit("a lighthouse")
        except SubmissionUncertain:
            assert story.is_lost
            assert not story.is_official
            assert 0 == receiver.counts.signed + receiver.counts.unsigned
            return
        known_at, record = now(), await sending
        truth = TaskStatus.FAILED if story.fails else TaskStatus.SUCCEEDED
        waits = [end_of(handle, join) for join in (0.0, *story.joins)]
        streams = [follow(handle, join) for join in (0.0, *story.joins)]
        ends, updates = await asyncio.gather(asyncio.gather(*waits), asyncio.gather(*streams))
        last = handle.snapshot

        assert {truth} == {status for status, _ in ends}
        assert min(at for _, at in ends) <= latest_end(story, record, known_at)
        for seen in updates:
            assert [seen[-1]] == [snapshot for snapshot in seen if is_settled(snapshot)]
            assert truth is seen[-1].task_status
        await settle(client, service)
        assert last is handle.snapshot


async def settle(client: KlingClient, service: SocketlessService) -> None:
    """
    Let the last callback come, and see that nothing is left.
    """
    await asyncio.sleep(2 * TRAVEL)  # a look may have been under way
    reads = service.reads
    await asyncio.sleep(100.0)
    assert reads == service.reads
    assert 1 == len(service.ledger.tasks)
    assert () == client.unfinished
    assert client.core._router is not None
    assert {} == client.core._router._subscriptions
    assert 0 == len(client.core._poller)
    assert [0] == [usage.used for usage in client.slots.values()]


@settings(max_examples=3 * settings().max_examples // 2, deadline=None)
@given(stories)
def test_one_end_in_any_order(story: TaskEvents) -> None:
    """
    Early, twice, late, out of order, forged or missing: each waiter and each follower is told of one end, the true one,
    as soon as the first callback tells of it, and later callbacks change nothing.
    """
    simulate(tell(story))
