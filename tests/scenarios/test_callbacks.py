"""
A client with callbacks: the emulator posts them to a receiver with a server of its own, all over real sockets.
"""

import asyncio
import contextlib
import gc
import logging
import socket
import time
import warnings
import weakref
from collections.abc import AsyncIterator
from typing import Any, Final

import aiohttp
import attrs
import pytest

from kling_async import (
    GATEWAY,
    OFFICIAL,
    KlingClient,
    PollPolicy,
    RetryPolicy,
    TaskHandle,
    TaskSnapshot,
    TaskStatus,
)
from kling_async.client import submitter
from kling_async.client.callbacks.receiver import CallbackReceiver
from kling_async.emulator import Emulator, Fault, faults
from kling_async.errors import ClientClosed, ContentRefused, InvalidRequest, SubmissionUncertain, TaskFailed
from kling_async.wire.codec import write_task
from kling_async.wire.json_text import dumps
from kling_async.wire.status import is_settled
from kling_async.wire.webhooks import sign
from tests.fakes.eventually import eventually

SECRET: Final = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="
OTHER_SECRET: Final = "whsec_Zm9yZ2VkIGZvcmdlZCBmb3JnZWQ="

PATIENT: Final = PollPolicy(first_delay=60.0, min_delay=60.0, max_delay=60.0, callback_grace=60.0)
"""
Looks at nothing by itself for longer than any test lasts, so that only callbacks can bring an end.
"""

EAGER: Final = PollPolicy(first_delay=0.02, min_delay=0.02, max_delay=0.05)


@contextlib.asynccontextmanager
async def receiving(**settings: Any) -> AsyncIterator[CallbackReceiver]:
    receiver = CallbackReceiver("http://127.0.0.1", **{"secret": SECRET, **settings})
    async with receiver.serve() as server:
        receiver.public_url = server.url + "/kling"  # type: ignore[misc]  # the port is known only now
        yield receiver


@contextlib.asynccontextmanager
async def service(*rules: Fault, **settings: Any) -> AsyncIterator[Emulator]:
    fixed: dict[str, Any] = {"latency": (0.03, 0.03), "slots": None, "callback_secret": SECRET, "dialect": GATEWAY}
    async with Emulator(faults=rules, **{**fixed, **settings}) as server:
        yield server


def client_of(server: Emulator, receiver: CallbackReceiver, **options: Any) -> KlingClient:
    fixed: dict[str, Any] = {"base_url": server.url, "dialect": server.dialect, "polling": PATIENT, "slots": 9}
    return KlingClient(server.api_key, callbacks=receiver, **{**fixed, **options})


async def until_told(server: Emulator) -> None:
    """
    Wait until the service has sent every callback of its tasks and was answered.
    """
    await eventually(lambda: server._webhook_sender is not None and server._webhook_sender.is_idle)


async def tell(server: Emulator, task_id: str, change: int = -1) -> int:
    """
    Post a callback as the service does, but now: about the task's end, or an earlier change of it.
    """
    record = server.account.find_task(task_id)
    assert record is not None
    body = dumps(write_task(server.account.snapshot_of(record, record.changes[change])))
    headers = sign(SECRET, "message-1", time.time(), body)
    async with aiohttp.request("POST", record.request.callback_url or "", data=body, headers=headers) as answer:
        return answer.status


LONG: Final = (60.0, 60.0)
"""
How long tasks take whose callbacks a test sends itself.
"""


async def updates_of(handle: TaskHandle) -> list[TaskSnapshot]:
    return [seen async for seen in handle.updates()]


async def one_end(client: KlingClient, **fields: Any) -> TaskHandle:
    """
    Run a task to its end, and see that one waiter and one follower are each told of it once.
    """
    async with asyncio.timeout(60):
        handle = await client.submit("a lighthouse", **fields)
        updates, result = await asyncio.gather(updates_of(handle), handle.wait())
    assert [result.snapshot] == [seen for seen in updates if is_settled(seen)] == updates[-1:]
    assert TaskStatus.SUCCEEDED is handle.status
    return handle


@pytest.mark.parametrize("dialect", [GATEWAY, OFFICIAL], ids=lambda dialect: dialect.name)
async def test_signed_callbacks_are_all_it_takes(dialect: Any) -> None:
    """
    Each change is told, nothing is asked, and in the end nothing is listened for.
    """
    async with receiving() as receiver, service(dialect=dialect) as server:
        async with client_of(server, receiver) as client:
            handle = await one_end(client)
            assert client.core._router is not None
            assert {} == client.core._router._subscriptions
            assert 0 == len(client.core._poller)
            assert () == client.unfinished

        assert 0 == server.ledger.reads + server.ledger.list_reads
        assert 3 == receiver.counts.signed
        assert handle.task_id == server.ledger.tasks[0].task_id


async def test_failed_task_is_told() -> None:
    """
    With the service's reason.
    """
    async with receiving() as receiver, service(faults.failing_task("too dark")) as server:
        async with client_of(server, receiver) as client:
            with pytest.raises(TaskFailed, match="too dark"):
                await client.generate("a lighthouse", timeout=60)

        assert 0 == server.ledger.reads


@pytest.mark.parametrize(("secret", "reads"), [(SECRET, 0), (None, 1)], ids=["signed", "unsigned"])
async def test_early_callbacks(secret: str | None, reads: int) -> None:
    """
    The task has ended before its submit is answered: all callbacks were early, and none was lost.
    """
    async with receiving() as receiver, service(callback_secret=secret) as server:
        tracing = aiohttp.TraceConfig()

        @tracing.on_request_end.append
        async def hold_back(_: object, __: object, ended: aiohttp.TraceRequestEndParams) -> None:
            await eventually(lambda: ended.method == "GET" or 3 == receiver.counts.received)

        async with aiohttp.ClientSession(trace_configs=[tracing]) as session:
            async with client_of(server, receiver, session=session) as client:
                handle = await client.submit("a lighthouse")
                assert (secret is not None) is handle.done
                async with asyncio.timeout(60):
                    assert (await handle).images

        assert reads == server.ledger.reads


SIGNED_TROUBLES: Final = {
    "repeated": [faults.callback_doubled()],
    "out of order": [faults.callback_reordered(times=2)],
    "forged": [faults.callback_forged()],
    "another id": [faults.callback_other_id()],
    "in an envelope": [faults.callback_enveloped()],
    "in other words": [faults.callback_new_standard()],
    "all but the last lost": [faults.callback_lost(times=2)],
    "all at once": [
        *(faults.callback_doubled(), faults.callback_reordered(times=1)),
        *(faults.callback_forged(), faults.callback_other_id()),
    ],
}


@pytest.mark.parametrize("rules", SIGNED_TROUBLES.values(), ids=SIGNED_TROUBLES)
async def test_troubles_with_signed_callbacks_cost_no_read(rules: list[Fault]) -> None:
    """
    The first good callback that tells of the end is all it takes, and those that follow change nothing.
    """
    async with receiving() as receiver, service(*rules) as server:
        async with client_of(server, receiver) as client:
            handle = await one_end(client)
            last = handle.snapshot
            await until_told(server)

            assert last is handle.snapshot
            assert handle.task_id == server.ledger.tasks[0].task_id

        assert 0 == server.ledger.reads + server.ledger.list_reads


async def test_forged_callbacks_are_refused() -> None:
    """
    A wrong signature is 401, a wrong address 404.
    """
    async with receiving() as receiver, service(faults.callback_forged()) as server:
        async with client_of(server, receiver) as client:
            await one_end(client)
            await until_told(server)

        assert {200: 3, 401: 3, 404: 3} == server.ledger.callback_answers
        assert 6 == receiver.counts.forged


async def test_late_callbacks_change_nothing() -> None:
    """
    A look saw the end first; the callbacks find nobody who waits for them.
    """
    async with receiving() as receiver, service(faults.callback_lost()) as server:
        async with client_of(server, receiver, polling=EAGER) as client:
            handle = await one_end(client)
            last, reads = handle.snapshot, server.ledger.reads
            answers = [await tell(server, handle.task_id, change) for change in (0, 1, 2)]

            assert [200, 200, 200] == answers
            assert last is handle.snapshot
            assert reads == server.ledger.reads


@pytest.mark.parametrize("rule", [faults.callback_lost(), faults.callback_lost(after=2)], ids=["all", "the last"])
async def test_missing_callbacks_cost_reads_and_no_result(rule: Fault) -> None:
    """
    Where none comes the task is watched as ever; where the last is overdue it is looked at then.
    """
    polling = PollPolicy(first_delay=0.05, min_delay=0.05, max_delay=0.1, callback_grace=0.1)
    async with receiving() as receiver, service(rule) as server:
        async with client_of(server, receiver, polling=polling) as client:
            await one_end(client)

        assert server.ledger.reads


async def test_unreachable_address_costs_reads_and_no_result() -> None:
    """
    Nobody listens there, and so tasks are watched as if there were no callbacks.
    """
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        receiver = CallbackReceiver(f"http://127.0.0.1:{unheard.getsockname()[1]}")
        async with service() as server, client_of(server, receiver, polling=EAGER) as client:
            await one_end(client)
            await until_told(server)

            assert {0: 3} == server.ledger.callback_answers
            assert server.ledger.reads


@pytest.mark.parametrize(
    ("settings", "secret"),
    [({}, None), ({"secret": None}, None), ({"secret": None}, SECRET), ({"confirm": "always"}, SECRET)],
    ids=["no signature", "no secrets", "nothing to judge it by", "confirm always"],
)
async def test_one_read_confirms_what_cannot_be_believed(settings: dict[str, Any], secret: str | None) -> None:
    """
    One for each task, when a callback tells of its end.
    """
    async with receiving(**settings) as receiver, service(callback_secret=secret) as server:
        async with client_of(server, receiver) as client:
            await asyncio.gather(*(one_end(client) for _ in range(5)))
            await until_told(server)

        assert {200: 15} == server.ledger.callback_answers
        assert 5 == server.ledger.reads


async def test_wrong_secret_is_as_good_as_no_callback() -> None:
    """
    What is signed by another secret is refused and has no effect; looks bring the end.
    """
    async with receiving() as receiver, service(callback_secret=OTHER_SECRET) as server:
        async with client_of(server, receiver, polling=EAGER) as client:
            await one_end(client)
            await until_told(server)
            assert client.core._router is not None
            assert not client.core._router.is_reliable

        assert {401: 3} == server.ledger.callback_answers
        assert server.ledger.reads


async def test_address_of_the_caller_s_own_is_left_alone() -> None:
    """
    Its callbacks are the caller's; ours hears nothing, and looks bring the end.
    """
    async with receiving() as ours, receiving() as theirs, service() as server:
        async with client_of(server, ours, polling=EAGER) as client:
            address = theirs.address_of("their-own-task")
            handle = await one_end(client, callback_url=address)
            await until_told(server)

        assert handle.request is not None
        assert address == handle.request.callback_url
        assert (0, 3) == (ours.counts.received, theirs.counts.signed)
        assert server.ledger.reads


async def test_address_is_shown_to_nobody() -> None:
    """
    The request that a handle shows is the caller's.
    """
    async with receiving() as receiver, service() as server, client_of(server, receiver) as client:
        handle = await client.submit("a lighthouse")

        assert handle.request is not None
        assert handle.request.callback_url is None
        assert client.core._router is not None
        assert receiver.public_url not in repr(client.core._router)


async def test_two_clients_share_a_receiver() -> None:
    """
    Each hears of its own tasks; when one closes the other goes on.
    """
    async with receiving() as receiver, service(latency=LONG) as server:
        one, other = (client_of(server, receiver) for _ in range(2))
        async with other:
            async with one:
                handles = [await client.submit("a lighthouse") for client in (one, other)]
                cut = asyncio.ensure_future(handles[0].wait())
                await asyncio.sleep(0)
            with pytest.raises(ClientClosed) as caught:
                await cut
            answers = [await tell(server, handle.task_id) for handle in handles]
            async with asyncio.timeout(60):
                await handles[1]

            assert (handles[0].task_id,) == caught.value.task_ids
            assert [False, True] == [handle.done for handle in handles]
            assert [200, 200] == answers
        assert 0 == server.ledger.reads


# Submits whose answer was lost


@pytest.mark.parametrize("secret", [SECRET, None], ids=["signed", "unsigned"])
@pytest.mark.parametrize(
    "rule",
    [faults.reset_after("create"), faults.status_after("create", 503), faults.garbled("create")],
    ids=lambda rule: rule.kind,
)
async def test_lost_answer_is_made_up_for_by_a_callback(rule: Fault, secret: str | None) -> None:
    """
    At a gateway, where nothing can be looked up: the task is found, paid once, and ends like any other.
    """
    async with receiving() as receiver, service(rule, callback_secret=secret) as server:
        async with client_of(server, receiver) as client:
            handle = await one_end(client)

        assert [handle.task_id] == [task.task_id for task in server.ledger.tasks]
        assert (secret is None) == server.ledger.reads


async def test_look_up_knows_better_than_a_callback() -> None:
    """
    Where a submit can be looked up by our own id, the id that the service tells is taken, not that of a callback.
    """
    rules = [faults.reset_after("create"), faults.callback_other_id()]
    async with receiving() as receiver, service(*rules, dialect=OFFICIAL) as server:
        async with client_of(server, receiver, retry=RetryPolicy(first_delay=0.2)) as client:
            handle = await client.submit("a lighthouse")

        assert handle.task_id == server.ledger.tasks[0].task_id


async def test_callback_knows_better_than_a_look_up_that_fails() -> None:
    """
    Where looking up brings nothing, the callback is proof enough that there is a task.
    """
    rules = [faults.reset_after("create"), faults.status("query", 404)]
    async with receiving() as receiver, service(*rules, dialect=OFFICIAL) as server:
        async with client_of(server, receiver, retry=RetryPolicy(first_delay=0.2)) as client:
            handle = await one_end(client)

        assert [handle.task_id] == [task.task_id for task in server.ledger.tasks]


@pytest.mark.parametrize("status", [404, 403, 501], ids=str)
async def test_pictures_of_callbacks_are_used_if_the_service_hides_tasks(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """
    Also if the submit was answered: a relay without reads offers only unsigned callbacks.
    """
    polling = attrs.evolve(PATIENT, not_found_grace=0.1, min_delay=0.05, first_delay=0.05, max_delay=0.1)
    async with receiving() as receiver, service(faults.status("query", status), callback_secret=None) as server:
        async with client_of(server, receiver, polling=polling) as client:
            handle = await one_end(client)

        assert [handle.task_id] == [task.task_id for task in server.ledger.tasks]
        assert handle.snapshot is not None
        assert not handle.snapshot.is_confirmed
        assert [f"the service does not return task {handle.task_id}"] == [
            text.partition(";")[0] for text in warned(caplog)
        ]


async def test_lost_answer_is_made_up_for_later(caplog: pytest.LogCaptureFixture) -> None:
    """
    A submit that was given up as uncertain shows among the unfinished when its callback comes after all, its id in the
    log, and takes its slots until its end.
    """
    rules = [faults.reset_after("create"), faults.callback_lost()]
    async with receiving() as receiver, service(*rules, latency=LONG) as server:
        async with client_of(server, receiver, retry=RetryPolicy(hear_for=0.01)) as client:
            with pytest.raises(SubmissionUncertain):
                await client.submit("a lighthouse", n=3)
            assert not client.unfinished
            task_id = server.ledger.tasks[0].task_id
            await tell(server, task_id, 1)
            [handle] = client.unfinished
            assert (task_id, TaskStatus.PROCESSING) == (handle.task_id, handle.status)
            given_up, found = warned(caplog)
            assert given_up.startswith("a submit was given up, and its fate is unknown (prompt 'a lighthouse'")
            assert f"a submit of unknown fate created task {task_id}, according to its callback" == found
            assert [3] == [usage.used for usage in client.slots.values()]
            await tell(server, task_id)
            async with asyncio.timeout(60):
                assert 3 == len((await handle).images)
            assert [0] == [usage.used for usage in client.slots.values()]


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


# Closing


async def test_closing_in_the_middle() -> None:
    """
    Every wait ends with the task's id; callbacks that come later are answered and change nothing.
    """
    async with receiving() as receiver, service(latency=LONG) as server:
        client = client_of(server, receiver)
        handles = [await client.submit("a lighthouse") for _ in range(3)]
        waits = [asyncio.ensure_future(handle.wait()) for handle in handles]
        updates = asyncio.ensure_future(updates_of(handles[0]))
        await eventually(lambda: 3 == receiver.counts.signed)
        await client.aclose()
        ends = await asyncio.gather(*waits, updates, return_exceptions=True)

        ids = [handle.task_id for handle in handles]
        assert [*((task_id,) for task_id in ids), (ids[0],)] == [
            end.task_ids for end in ends if isinstance(end, ClientClosed)
        ]
        assert {} == receiver._listeners
        assert [0] == [usage.used for usage in client.slots.values()]
        assert [200] * 3 == [await tell(server, task_id) for task_id in ids]
        assert [TaskStatus.SUBMITTED] * 3 == [handle.status for handle in client.unfinished]


async def test_closing_waits_for_a_callback_that_tells_of_a_lost_submit() -> None:
    """
    Until then nobody would know of the task.
    """
    rules = [faults.reset_after("create"), faults.callback_delayed(0.3)]
    async with receiving() as receiver, service(*rules, latency=(5, 5)) as server:
        client = client_of(server, receiver)
        submitting = asyncio.ensure_future(client.submit("a lighthouse"))
        await eventually(lambda: server.ledger.answers["create", 0])
        await client.aclose()

        assert (await submitting).task_id == server.ledger.tasks[0].task_id
        assert (await submitting,) == client.unfinished


async def test_closing_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A lost submit of which no callback tells is uncertain, with its request, and not listened for any longer.
    """
    monkeypatch.setattr(submitter, "CLOSE_TIMEOUT", 0.1)
    async with receiving() as receiver, service(faults.reset_after("create"), faults.callback_lost()) as server:
        client = client_of(server, receiver)
        submitting = asyncio.ensure_future(client.submit("a lighthouse"))
        await eventually(lambda: server.ledger.answers["create", 0])
        await client.aclose()
        with pytest.raises(SubmissionUncertain) as caught:
            await submitting

        assert caught.value.request is not None
        assert {} == receiver._listeners
        assert client.core._router is not None
        assert {} == client.core._router._subscriptions


@pytest.mark.parametrize(("prompt", "error"), [("a war", ContentRefused), ("x" * 501, InvalidRequest)])
async def test_refused_submits_leave_no_line(prompt: str, error: type[Exception]) -> None:
    """
    Nothing was made, so nothing is listened for.
    """
    async with receiving() as receiver, service(refused_words=["war"]) as server:
        async with client_of(server, receiver) as client:
            with pytest.raises(error):
                await client.submit(prompt)

            assert client.core._router is not None
            assert {} == client.core._router._subscriptions


async def test_dropped_client_is_not_kept_alive() -> None:
    """
    A receiver outlives its clients, and holds none of them.
    """
    async with receiving() as receiver, service() as server, aiohttp.ClientSession() as session:
        client = client_of(server, receiver, session=session)
        await client.generate("a lighthouse")
        gone = weakref.ref(client)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # a warning that is kept keeps the client
            del client
            gc.collect()

        assert gone() is None
