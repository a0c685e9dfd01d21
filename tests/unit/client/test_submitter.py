"""
Submits that have begun: what a witness is told of each and when, and what cancelling and closing make of them.
"""

import asyncio
import gc
import hashlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import PIL.Image
import pytest

from kling_async import (
    GATEWAY,
    OFFICIAL,
    Budget,
    Dialect,
    EventKind,
    ImageRequest,
    KlingClient,
    RetryPolicy,
    SlotPolicy,
    Slots,
)
from kling_async.client import core, delivery_factory
from kling_async.client.callbacks.receiver import CallbackReceiver
from kling_async.client.delivery import SubmitObserver
from kling_async.client.handle import TaskHandle
from kling_async.client.spending import Charge, Spending
from kling_async.emulator import Emulator, Fault, faults
from kling_async.errors import (
    ClientClosed,
    ContentRefused,
    InvalidRequest,
    NotSent,
    StorageFull,
    SubmissionUncertain,
    TaskNotFound,
)
from kling_async.media.input_files import read_inputs
from kling_async.media.semaphore import Semaphore
from kling_async.wire.tasks import TaskSnapshot
from tests.fakes.clients import BRISK, EAGER, LIGHTHOUSE, client_of, emulator
from tests.fakes.deliveries import delivery
from tests.fakes.gate import HELD
from tests.fakes.simulated_loop import quiet_loop, simulated

PATIENT = RetryPolicy(first_delay=30.0)


class Scribe(SubmitObserver):
    """
    Writes down each step, and how many creates the service had received by then.
    """

    def __init__(self, server: Emulator) -> None:
        self.steps: list[str] = []
        self.received: list[int] = []
        self.submit_key: str | None = None
        self._server = server

    def _write(self, step: str) -> None:
        self.steps.append(step)
        self.received.append(self._server.ledger.creates_received)

    async def sending(self, submit_key: str | None) -> None:
        await asyncio.sleep(0)
        self.submit_key = submit_key
        self._write("sending")

    def withdrawn(self) -> None:
        self._write("withdrawn")

    def accepted(self, task_id: str) -> None:
        self._write(f"accepted {task_id}")

    def ended(self) -> None:
        self._write("ended")

    @property
    def summary(self) -> str:
        """
        The steps in a line, without ids.
        """
        return " ".join(step.split()[0] for step in self.steps)


async def recover(client: KlingClient, request: ImageRequest, scribe: Scribe, **facts: Any) -> TaskHandle:
    """
    Recover a submit of an earlier run, which was sent at an unknown time.
    """
    return await client.core.recover(request, scribe, **{"sent_at": None, "submit_key": None, **facts})


def used(client: KlingClient) -> int:
    return sum(usage.used for usage in client.slots.values())


@pytest.fixture(autouse=True)
def loop_that_does_not_complain() -> Any:
    with quiet_loop():
        yield


# What a witness is told


@pytest.mark.parametrize("dialect", [OFFICIAL, GATEWAY], ids=lambda dialect: dialect.name)
async def test_intent_is_known_before_the_bytes_leave(dialect: Dialect) -> None:
    """
    Judged first, intended before the service has heard anything, accepted with the task's id, ended once.
    """
    async with emulator(dialect) as server, client_of(server) as client:
        scribe = Scribe(server)
        handle = await client.core.submit_observed(LIGHTHOUSE, scribe)

        assert ["sending", f"accepted {handle.task_id}", "ended"] == list(dict.fromkeys(scribe.steps))
        assert 0 == scribe.received[scribe.steps.index("sending")]
        assert 1 == scribe.steps.count("sending") == scribe.steps.count("ended") == server.ledger.creates_received


@pytest.mark.parametrize("error", [StorageFull("no room"), OSError("no disk")], ids=["ours", "another"])
async def test_what_intending_raises_keeps_it_from_being_sent(error: Exception) -> None:
    """
    Where the intent cannot be written down nothing is sent, and its slots are free.
    """

    class Full(Scribe):
        async def sending(self, submit_key: str | None) -> None:
            raise error

    async with emulator(OFFICIAL) as server, client_of(server) as client:
        scribe = Full(server)
        with pytest.raises(type(error), match=str(error)):
            await client.core.submit_observed(LIGHTHOUSE, scribe)

        assert "withdrawn ended" == scribe.summary
        assert (0, 0) == (server.ledger.creates_received, used(client))


async def test_file_that_has_changed_keeps_it_from_being_sent(tmp_path: Path) -> None:
    """
    A file without the digest that it had is refused before it waits for slots, and again after that.
    """

    path = tmp_path / "reference.png"
    request = attrs.evolve(LIGHTHOUSE, image=path)
    async with emulator(OFFICIAL, latency=(60, 60)) as server, client_of(server, slots=1) as client:
        scribe = Scribe(server)
        PIL.Image.new("RGB", (320, 300), "teal").save(path)
        with pytest.raises(InvalidRequest, match=r"reference\.png.*has changed"):
            await client.core.submit_observed(request, scribe, digests={"image": "0" * 64})
        with pytest.raises(InvalidRequest, match="has changed"):
            await client.core.submit_observed(LIGHTHOUSE, scribe, digests={"image": "0" * 64})

        running = await client.submit(LIGHTHOUSE)
        digests = {"image": hashlib.sha256(path.read_bytes()).hexdigest()}
        waiting = asyncio.ensure_future(client.core.submit_observed(request, scribe, digests=digests))
        while not client.slots["kling-v3"].waiting:
            await asyncio.sleep(0)
        PIL.Image.new("RGB", (320, 300), "navy").save(path)
        running.release()  # its slots come back, as at its end
        with pytest.raises(InvalidRequest, match="has changed"):
            await waiting

        assert ("", 1, 0) == (scribe.summary, server.ledger.creates_received, used(client))


async def test_endpoint_that_fails_keeps_no_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A request that cannot be written, as of an endpoint with a fault, leaves its slots to others and says that it ended.
    """
    kinds: list[EventKind] = []
    async with emulator(OFFICIAL) as server:
        async with client_of(server, slots=1, on_event=lambda event: kinds.append(event.kind)) as client:
            with monkeypatch.context() as patched:
                patched.setattr(delivery_factory, "write_request", dict)
                for verb in (client.submit(LIGHTHOUSE), recover(client, KNOWN, Scribe(server))):
                    with pytest.raises(TypeError):
                        await verb

            assert (0, 0) == (server.ledger.creates_received, used(client))
            assert 2 == kinds.count(EventKind.NO_TASK)

            with pytest.raises(ValueError, match="letters"):
                callbacks = CallbackReceiver("http://127.0.0.1")
                async with client_of(server, slots=1, callbacks=callbacks) as listening:
                    try:
                        listening.core.resume("17", LIGHTHOUSE, Scribe(server), "no key")
                    finally:
                        assert 0 == used(listening)


async def test_refused_submit_is_withdrawn() -> None:
    """
    A clear no means that nothing came of it.
    """
    async with emulator(OFFICIAL, refused_words=["lighthouse"]) as server, client_of(server) as client:
        scribe = Scribe(server)
        with pytest.raises(ContentRefused):
            await client.core.submit_observed(LIGHTHOUSE, scribe)

        assert "sending withdrawn ended" == scribe.summary


REFUSALS = {
    "1302": (faults.rate_limited("create", times=2),),
    "a bare 429": (faults.bare_429("create", times=2),),
}


@pytest.mark.parametrize("rules", REFUSALS.values(), ids=REFUSALS)
async def test_what_is_sent_again_is_intended_again(rules: tuple[Fault, ...]) -> None:
    """
    Between two attempts of which nothing came, it is not intended.
    """
    async with emulator(OFFICIAL, *rules) as server, client_of(server) as client:
        scribe = Scribe(server)
        await client.core.submit_observed(LIGHTHOUSE, scribe)

        assert "sending withdrawn sending withdrawn sending accepted ended" == scribe.summary


async def test_what_waits_for_slots_of_others_is_not_intended_meanwhile() -> None:
    """
    A submit that the service refused for want of slots is intended again when it has some.
    """
    async with emulator(OFFICIAL, slots=1) as server, client_of(server) as client:
        first, second = Scribe(server), Scribe(server)
        await client.core.submit_observed(LIGHTHOUSE, first)
        await client.core.submit_observed(LIGHTHOUSE, second)

        assert "sending withdrawn sending accepted ended" == second.summary
        assert 1 == server.ledger.refusals[1303]


LOST = [
    faults.reset_after("create", times=1),
    faults.reset_before("create", times=1),
    faults.garbled("create", times=1),
]


@pytest.mark.parametrize("rule", LOST, ids=lambda rule: rule.kind)
async def test_lost_answer_withdraws_nothing(rule: Fault) -> None:
    """
    What may have arrived stays intended: until it is found or made where ids are taken, and for good where not.
    """
    async with emulator(OFFICIAL, rule) as server, client_of(server) as client:
        scribe = Scribe(server)
        await client.core.submit_observed(LIGHTHOUSE, scribe)

        assert "sending accepted ended" == scribe.summary
        assert 1 == len(server.ledger.tasks)

    async with emulator(GATEWAY, attrs.evolve(rule)) as server, client_of(server) as client:
        scribe = Scribe(server)
        with pytest.raises(SubmissionUncertain):
            await client.core.submit_observed(LIGHTHOUSE, scribe)

        assert "sending ended" == scribe.summary
        assert 1 == server.ledger.creates_received


@simulated
async def test_service_that_is_gone_withdraws_each_attempt() -> None:
    """
    A connection that was never made leaves nothing intended.
    """
    async with emulator(GATEWAY) as server:
        client = client_of(server, retry=attrs.evolve(BRISK, give_up_after=0.1))
    async with client:
        scribe = Scribe(server)
        with pytest.raises(NotSent):
            await client.core.submit_observed(LIGHTHOUSE, scribe)

        assert scribe.summary.startswith("sending withdrawn sending withdrawn")
        assert scribe.summary.endswith("withdrawn ended")


# Cancelling


async def test_cancelled_while_it_queues_for_slots() -> None:
    """
    It was not intended, and is not.
    """
    async with emulator(OFFICIAL) as server, client_of(server, slots=1) as client:
        first = await client.submit(LIGHTHOUSE)
        scribe = Scribe(server)
        submitting = asyncio.ensure_future(client.core.submit_observed(LIGHTHOUSE, scribe))
        while not client.slots["kling-v3"].waiting:
            await asyncio.sleep(0)
        await cancel(submitting)
        await first

        assert "" == scribe.summary
        assert (1, 0) == (server.ledger.creates_received, used(client))


async def cancel(submitting: "asyncio.Task[Any]") -> None:
    submitting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await submitting


async def test_cancelled_while_it_is_intended() -> None:
    """
    It is withdrawn and not sent, though the writing down of the intent was under way.
    """
    begun, goes_on = asyncio.Event(), asyncio.Event()

    class Slow(Scribe):
        async def sending(self, submit_key: str | None) -> None:
            begun.set()
            await goes_on.wait()

    async with emulator(OFFICIAL) as server, client_of(server) as client:
        scribe = Slow(server)
        submitting = asyncio.ensure_future(client.core.submit_observed(LIGHTHOUSE, scribe))
        await begun.wait()
        await cancel(submitting)
        goes_on.set()
        await gone(client)

        assert "withdrawn ended" == scribe.summary
        assert (0, 0) == (server.ledger.creates_received, used(client))


async def gone(client: KlingClient) -> None:
    """
    Wait until no submit is under way.
    """
    while len(client.core.submitter):
        await asyncio.sleep(0)


async def test_cancelled_while_it_waits_for_a_connection(gate: asyncio.Event) -> None:
    """
    As long as its turn among the connections has not come it is withdrawn, and never sent.
    """
    async with emulator(OFFICIAL, faults.delay_after("create", HELD)) as server, client_of(server) as client:
        client.core.transport._gate = Semaphore(1)
        first = asyncio.ensure_future(client.submit(LIGHTHOUSE))
        while not server.ledger.tasks:
            await asyncio.sleep(0.005)
        scribe = Scribe(server)
        submitting = asyncio.ensure_future(client.core.submit_observed(LIGHTHOUSE, scribe))
        while "sending" not in scribe.steps:
            await asyncio.sleep(0)
        await cancel(submitting)
        gate.set()
        await (await first)

        assert "sending withdrawn ended" == scribe.summary
        assert (1, 0) == (server.ledger.creates_received, used(client))


async def test_cancelled_while_it_backs_off() -> None:
    """
    A submit that surely did not arrive is not sent later, when nobody wants it any more.
    """
    async with emulator(OFFICIAL) as server, client_of(server, retry=PATIENT) as client:
        await server.aclose()
        scribe = Scribe(server)
        submitting = asyncio.ensure_future(client.core.submit_observed(LIGHTHOUSE, scribe))
        while "withdrawn" not in scribe.steps:
            await asyncio.sleep(0.005)
        async with server:
            await cancel(submitting)
            await gone(client)

            assert "sending withdrawn ended" == scribe.summary
            assert (0, 0) == (server.ledger.creates_received, used(client))


async def test_cancelled_while_it_waits_to_regain_slots() -> None:
    """
    A submit that was refused for want of slots, and waits for some, is not sent when they are there.
    """
    shift = 0.0
    service = emulator(OFFICIAL, slots=1, latency=(1000.0, 1000.0), clock=lambda: time.time() + shift)
    async with service as server, client_of(server) as client:
        first = await client.submit(LIGHTHOUSE)
        scribe = Scribe(server)
        submitting = asyncio.ensure_future(client.core.submit_observed(LIGHTHOUSE, scribe))
        while "withdrawn" not in scribe.steps:
            await asyncio.sleep(0)
        await cancel(submitting)
        shift = 1000.0
        await first
        await gone(client)

        assert "sending withdrawn ended" == scribe.summary
        assert (2, 0) == (server.ledger.creates_received, used(client))
        assert 1 == len(server.ledger.tasks)


@pytest.mark.parametrize("dialect", [OFFICIAL, GATEWAY], ids=lambda dialect: dialect.name)
async def test_cancelled_while_its_answer_is_out(
    dialect: Dialect, caplog: pytest.LogCaptureFixture, gate: asyncio.Event
) -> None:
    """
    What may have arrived is finished, its witness learns the id, and the log has it.
    """
    async with emulator(dialect, faults.delay_after("create", HELD), latency=(5, 5)) as server:
        async with client_of(server) as client:
            scribe = Scribe(server)
            submitting = asyncio.ensure_future(client.core.submit_observed(LIGHTHOUSE, scribe))
            while not server.ledger.tasks:
                await asyncio.sleep(0.005)
            await cancel(submitting)
            gate.set()
            await gone(client)
            await asyncio.sleep(0)
            task_id = server.ledger.tasks[0].task_id

            assert ["sending", f"accepted {task_id}", "ended"] == scribe.steps
            assert [task_id] == [handle.task_id for handle in client.unfinished]
            assert task_id in caplog.text
            assert 1 == used(client)


async def test_cancelled_while_it_is_looked_up(gate: asyncio.Event) -> None:
    """
    A submit in doubt is looked for all the same.
    """
    rules = (faults.reset_after("create"), faults.delay_before("query", HELD))
    async with emulator(OFFICIAL, *rules, latency=(5, 5)) as server, client_of(server) as client:
        scribe = Scribe(server)
        submitting = asyncio.ensure_future(client.core.submit_observed(LIGHTHOUSE, scribe))
        while not server.ledger.reads:
            await asyncio.sleep(0.005)
        await cancel(submitting)
        gate.set()
        await gone(client)

        assert "sending accepted ended" == scribe.summary
        assert 1 == len(server.ledger.tasks)


@pytest.mark.parametrize("rule", [faults.rate_limited("create", times=1), faults.bare_429("create", times=1)])
async def test_cancelled_while_its_answer_is_out_and_that_is_not_now(rule: Fault, gate: asyncio.Event) -> None:
    """
    A submit that nobody wants any more, and that turns out not to have been accepted, is not sent again.
    """
    rules = (faults.delay_before("create", HELD, times=1), rule)
    async with emulator(OFFICIAL, *rules) as server, client_of(server) as client:
        scribe = Scribe(server)
        submitting = asyncio.ensure_future(client.core.submit_observed(LIGHTHOUSE, scribe))
        while not server.ledger.creates_received:
            await asyncio.sleep(0.005)
        await cancel(submitting)
        gate.set()
        await gone(client)

        assert "sending withdrawn ended" == scribe.summary
        assert (1, 0, 0) == (server.ledger.creates_received, len(server.ledger.tasks), used(client))


async def test_refused_while_the_client_is_being_closed(gate: asyncio.Event) -> None:
    """
    It would have been sent again, and is not: that is the client's doing, and no fault of the request.
    """
    rules = (faults.delay_before("create", HELD, prompt="lighthouse"),)
    async with emulator(OFFICIAL, *rules, slots=1, latency=(30, 30)) as server, client_of(server) as client:
        await client.submit("a harbour")
        submitting = asyncio.ensure_future(client.submit(LIGHTHOUSE))
        while server.ledger.creates_received < 2:
            await asyncio.sleep(0.005)
        closing = asyncio.ensure_future(client.aclose())
        await asyncio.sleep(0)
        gate.set()
        await closing
        with pytest.raises(ClientClosed):
            await submitting

        assert 1 == len(server.ledger.tasks)


async def test_cancelled_while_its_answer_is_out_and_there_is_no_slot(gate: asyncio.Event) -> None:
    """
    Neither does it wait for slots of others then.
    """
    rules = (faults.delay_before("create", HELD, prompt="lighthouse"),)
    async with emulator(OFFICIAL, *rules, slots=1, latency=(1, 1)) as server, client_of(server) as client:
        first = await client.submit("a harbour")
        scribe = Scribe(server)
        submitting = asyncio.ensure_future(client.core.submit_observed(LIGHTHOUSE, scribe))
        while server.ledger.creates_received < 2:
            await asyncio.sleep(0.005)
        await cancel(submitting)
        gate.set()
        await first
        await gone(client)

        assert "sending withdrawn ended" == scribe.summary
        assert (1, 0) == (len(server.ledger.tasks), used(client))


async def test_cancelled_while_it_is_looked_up_in_vain(caplog: pytest.LogCaptureFixture, gate: asyncio.Event) -> None:
    """
    What is not found is not made for nobody: it stays in doubt, for whoever keeps a record of it, and is a warning.
    """
    rules = (faults.reset_before("create"), faults.delay_before("query", HELD))
    async with emulator(OFFICIAL, *rules) as server, client_of(server) as client:
        scribe = Scribe(server)
        submitting = asyncio.ensure_future(client.core.submit_observed(LIGHTHOUSE, scribe))
        while not server.ledger.reads:
            await asyncio.sleep(0.005)
        await cancel(submitting)
        gate.set()
        await gone(client)
        await asyncio.sleep(0)

        assert "sending ended" == scribe.summary
        assert 1 == server.ledger.creates_received
        assert "its fate is unknown (prompt 'a lighthouse', key None, external_task_id " in caplog.text


async def test_cancelled_submit_that_fails_is_told_in_the_log(
    caplog: pytest.LogCaptureFixture, gate: asyncio.Event
) -> None:
    """
    A submit of unknown fate whose caller has gone is a warning with what is known of it.
    """
    async with emulator(GATEWAY, faults.delay_before("create", HELD), faults.reset_before("create")) as server:
        async with client_of(server) as client:
            submitting = asyncio.ensure_future(client.submit(LIGHTHOUSE))
            while not server.ledger.creates_received:
                await asyncio.sleep(0.005)
            await cancel(submitting)
            gate.set()
            await gone(client)
            await asyncio.sleep(0)

            assert "a submit was cancelled, and its fate is unknown" in caplog.text


# Closing


async def test_closing_aborts_unsent_requests_and_waits_for_the_rest(gate: asyncio.Event) -> None:
    """
    A submit that backs off is withdrawn with ClientClosed; one that waits for its answer is accepted.
    """
    rules = (faults.rate_limited("create", prompt="harbour"), faults.delay_after("create", HELD, prompt="lighthouse"))
    async with emulator(OFFICIAL, *rules) as server:
        client = client_of(server, retry=PATIENT)
        backing, sending = Scribe(server), Scribe(server)
        submits = [
            asyncio.ensure_future(client.core.submit_observed(ImageRequest("a harbour"), backing)),
            asyncio.ensure_future(client.core.submit_observed(LIGHTHOUSE, sending)),
        ]
        while not server.ledger.tasks or "withdrawn" not in backing.steps:
            await asyncio.sleep(0.005)
        closing = asyncio.ensure_future(client.aclose())
        await asyncio.sleep(0)
        gate.set()
        await closing
        refused, accepted = await asyncio.gather(*submits, return_exceptions=True)

        assert isinstance(refused, ClientClosed)
        assert "sending withdrawn ended" == backing.summary
        assert "sending accepted ended" == sending.summary
        assert server.ledger.tasks[0].task_id == getattr(accepted, "task_id", None)
        assert 0 == used(client)


async def test_closed_client_submits_nothing() -> None:
    """
    A client that is closed says so before anything is told to the witness.
    """
    async with emulator(OFFICIAL) as server:
        client = client_of(server)
        await client.aclose()
        scribe = Scribe(server)
        with pytest.raises(ClientClosed):
            await client.core.submit_observed(LIGHTHOUSE, scribe)
        with pytest.raises(ClientClosed):
            await recover(client, LIGHTHOUSE, scribe)

        assert [] == scribe.steps
        with pytest.raises(ClientClosed):
            client.core.resume("17", LIGHTHOUSE, Scribe(server))


# What an earlier run has sent


KNOWN = attrs.evolve(LIGHTHOUSE, external_task_id="order-17")


async def test_submit_in_doubt_is_looked_up_before_anything() -> None:
    """
    What an earlier run has made is found by its id; nothing is intended and nothing sent.
    """
    async with emulator(OFFICIAL) as server, client_of(server) as client:
        made = await client.submit(KNOWN)
        await made
        scribe = Scribe(server)
        handle = await recover(client, KNOWN, scribe)

        assert made.task_id == handle.task_id
        assert "accepted ended" == scribe.summary
        assert 1 == server.ledger.creates_received


async def test_submit_in_doubt_that_is_not_found_is_sent_under_its_id() -> None:
    """
    What the service does not know is intended anew, and sent.
    """
    async with emulator(OFFICIAL) as server, client_of(server) as client:
        scribe = Scribe(server)
        await recover(client, KNOWN, scribe)

        assert "sending accepted ended" == scribe.summary
        assert ["order-17"] == [task.external_task_id for task in server.ledger.tasks]


async def test_submit_in_doubt_takes_slots_at_once() -> None:
    """
    A task of it may run already, so that it does not queue for slots; they are free again where it did not.
    """
    async with emulator(OFFICIAL, refused_words=["harbour"], latency=(5, 5)) as server:
        async with client_of(server, slots=Slots(1, policy=SlotPolicy(uncertain_for=0.05))) as client:
            await client.submit(LIGHTHOUSE)
            scribe = Scribe(server)
            with pytest.raises(SubmissionUncertain, match="content security policy"):
                await recover(client, ImageRequest("a harbour", external_task_id="order-18"), scribe)

            assert "sending ended" == scribe.summary  # after a doubt it stays intended: it may yet arrive
            assert 2 == used(client)
            while used(client) > 1:
                await asyncio.sleep(0.01)


async def test_submit_in_doubt_at_a_gateway_is_uncertain() -> None:
    """
    Where nothing can be looked up it is not sent; its slots count for a while.
    """
    async with emulator(GATEWAY) as server, client_of(server) as client:
        scribe = Scribe(server)
        with pytest.raises(SubmissionUncertain, match="an earlier run has sent it") as caught:
            await recover(client, LIGHTHOUSE, scribe)

        assert LIGHTHOUSE == caught.value.request
        assert ("ended", 0, 1) == (scribe.summary, server.ledger.creates_received, used(client))

        while used(client):
            await asyncio.sleep(0.01)


async def test_submit_in_doubt_is_found_though_it_could_not_be_sent(tmp_path: Path) -> None:
    """
    What keeps a submit from being sent is of no concern to a task that exists, and is told where none does.
    """
    unfit = attrs.evolve(KNOWN, image=tmp_path / "gone.png")
    async with emulator(OFFICIAL) as server, client_of(server) as client:
        with pytest.raises(InvalidRequest, match=r"gone\.png"):
            await recover(client, unfit, Scribe(server))

        assert (0, 0) == (server.ledger.creates_received, used(client))

        made = await client.submit(KNOWN)

        assert made is await recover(client, unfit, Scribe(server))


@pytest.mark.parametrize("is_closed", [False, True], ids=["cancelled", "closed"])
async def test_submit_in_doubt_that_is_unwanted_while_its_file_is_read_is_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_closed: bool
) -> None:
    """
    Between the look-up that found nothing and the sending a file is read; who leaves meanwhile pays for nothing more.
    """
    begun, goes_on = asyncio.Event(), asyncio.Event()

    async def read_slowly(*given: Any) -> Any:
        begun.set()
        await goes_on.wait()
        return await read_inputs(*given)

    monkeypatch.setattr(core, "read_inputs", read_slowly)
    PIL.Image.new("RGB", (320, 300), "teal").save(tmp_path / "reference.png")
    request = attrs.evolve(KNOWN, image=tmp_path / "reference.png")
    async with emulator(OFFICIAL) as server, client_of(server) as client:
        scribe = Scribe(server)
        recovering = asyncio.ensure_future(recover(client, request, scribe))
        await begun.wait()
        if is_closed:
            closing = asyncio.ensure_future(client.aclose())
            await asyncio.sleep(0)
            goes_on.set()
            with pytest.raises(SubmissionUncertain, match="it is not sent again"):
                await recovering
            await closing
        else:
            await cancel(recovering)
            goes_on.set()
            await gone(client)

        assert ("ended", 0) == (scribe.summary, server.ledger.creates_received)


async def test_id_that_only_we_can_have_used_is_found() -> None:
    """
    "Already exists" is an earlier run's task where nobody else could have used the id, and else a refusal.
    """
    async with emulator(OFFICIAL) as server, client_of(server) as client:
        made = await client.submit(KNOWN)

        assert made is await client.core.submit_observed(KNOWN, Scribe(server), owns_id=True)

        with pytest.raises(InvalidRequest, match="already exists"):
            await client.core.submit_observed(KNOWN, Scribe(server))

        assert 1 == len(server.ledger.tasks)


async def test_resumed_task_takes_slots_and_is_watched() -> None:
    """
    A task of an earlier run counts at once, also beyond the limit, until it has ended; it is one handle.
    """
    async with emulator(OFFICIAL, latency=(0.2, 0.2)) as server:
        async with client_of(server) as client:
            task_id = (await client.submit(ImageRequest("a lighthouse", n=3))).task_id
        async with client_of(server, slots=2) as client:
            handle = client.core.resume(task_id, ImageRequest("a lighthouse", n=3), SubmitObserver())

            assert 3 == used(client)
            assert handle is client.core.resume(task_id, ImageRequest("a lighthouse", n=3), SubmitObserver())
            assert (3, (handle,)) == (used(client), client.unfinished)
            assert 3 == client.slots._buckets["kling-v3"].accepted  # by which a vague 429 is judged

            queued = asyncio.ensure_future(client.submit(LIGHTHOUSE))
            result = await handle.wait()

            assert 3 == len(result.images)

            await (await queued)

            assert 0 == used(client)


async def test_resumed_task_that_nobody_holds_is_watched_to_its_end() -> None:
    """
    Its slots come back when it has ended, though nobody waits for it.
    """
    async with emulator(OFFICIAL, latency=(0.1, 0.1)) as server:
        async with client_of(server) as client:
            task_id = (await client.submit(LIGHTHOUSE)).task_id
        async with client_of(server) as client:
            client.core.resume(task_id, LIGHTHOUSE, SubmitObserver())
            gc.collect()
            while used(client):
                await asyncio.sleep(0.01)

            assert not client.unfinished


async def test_resumed_task_that_is_known_to_have_ended_holds_no_slots() -> None:
    """
    A task whose end this client has seen already is resumed for its result alone.
    """
    async with emulator(OFFICIAL) as server, client_of(server) as client:
        handle = await client.submit(LIGHTHOUSE)
        result = await handle

        assert handle is client.core.resume(handle.task_id, LIGHTHOUSE, SubmitObserver())
        assert result == await handle
        assert 0 == used(client)


async def test_resumed_task_that_is_not_there() -> None:
    """
    A task that the service does not know ends the waiting and gives its slots back.
    """
    polling = attrs.evolve(EAGER, not_found_grace=0.1)
    async with emulator(OFFICIAL) as server, client_of(server, polling=polling) as client:
        handle = client.core.resume("17", LIGHTHOUSE, SubmitObserver())
        with pytest.raises(TaskNotFound):
            await handle.wait()

        assert 0 == used(client)

        with pytest.raises(InvalidRequest):
            client.core.resume("..", LIGHTHOUSE, SubmitObserver())

        assert 0 == used(client)


# Callbacks


@pytest.fixture
async def receiver() -> AsyncIterator[CallbackReceiver]:
    """
    A receiver that listens where it says.
    """
    receiver = CallbackReceiver("http://127.0.0.1:1/kling")
    async with receiver.serve() as listening:
        receiver.public_url = listening.url  # type: ignore[misc]  # the port is known only now
        yield receiver


async def test_callback_reports_a_submit_whose_answer_was_lost(receiver: CallbackReceiver) -> None:
    """
    If nothing can be looked up, a callback to the submit's own address shows which task was created.
    """
    async with emulator(GATEWAY, faults.reset_after("create")) as server:
        async with client_of(server, callbacks=receiver, retry=attrs.evolve(BRISK, hear_for=10.0)) as client:
            scribe = Scribe(server)
            handle = await client.core.submit_observed(LIGHTHOUSE, scribe)
            await handle

            assert "sending accepted ended" == scribe.summary
            assert server.ledger.tasks[0].task_id == handle.task_id


async def test_callback_tells_where_look_ups_fail(receiver: CallbackReceiver) -> None:
    """
    A task of which a callback has told exists, whatever the look-ups say.
    """
    rules = (faults.reset_after("create"), faults.status("query", 503), faults.status("tasks", 503))
    async with emulator(OFFICIAL, *rules, latency=(0.1, 0.1)) as server:
        async with client_of(server, callbacks=receiver) as client:
            scribe = Scribe(server)
            handle = await client.core.submit_observed(LIGHTHOUSE, scribe)

            assert "sending accepted ended" == scribe.summary
            assert server.ledger.tasks[0].task_id == handle.task_id


async def test_late_callback_reports_a_submit_that_was_given_up(
    receiver: CallbackReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    """
    A task that is reported after its submit ended as uncertain is taken over: polled, counted, passed to the observer.
    """
    async with emulator(GATEWAY, faults.reset_after("create"), faults.callback_delayed(0.4), latency=(1, 1)) as server:
        async with client_of(server, callbacks=receiver) as client:
            scribe = Scribe(server)
            with pytest.raises(SubmissionUncertain):
                await client.core.submit_observed(LIGHTHOUSE, scribe)
            task_id = server.ledger.tasks[0].task_id
            while f"accepted {task_id}" not in scribe.steps:
                await asyncio.sleep(0.01)

            assert "sending ended accepted" == scribe.summary
            assert [task_id] == [handle.task_id for handle in client.unfinished]
            assert f"a submit of unknown fate created task {task_id}" in caplog.text

            await client.handle(task_id)

            assert 0 == used(client)


async def test_submit_of_an_earlier_run_is_heard_at_its_own_address(receiver: CallbackReceiver) -> None:
    """
    A witness that knows the key of an earlier submit has its address listened to; else one is made and told to it.
    """
    async with emulator(GATEWAY, latency=(0.3, 0.3)) as server:
        first = Scribe(server)
        async with client_of(server, callbacks=receiver) as client:
            made = await client.core.submit_observed(LIGHTHOUSE, first)

            assert first.submit_key is not None
        patient = attrs.evolve(BRISK, hear_for=10.0)
        async with client_of(server, callbacks=receiver, retry=patient) as client:
            second = Scribe(server)
            handle = await recover(client, LIGHTHOUSE, second, submit_key=first.submit_key)

            assert made.task_id == handle.task_id
            assert second.submit_key is None  # nothing was sent
            assert 1 == server.ledger.creates_received


async def test_address_of_the_caller_s_own_is_left_alone(receiver: CallbackReceiver) -> None:
    """
    A request with a `callback_url` has no address of ours, and a resumed one neither.
    """
    request = attrs.evolve(LIGHTHOUSE, callback_url="http://127.0.0.1:1/mine")
    async with emulator(GATEWAY) as server, client_of(server, callbacks=receiver) as client:
        scribe = Scribe(server)
        handle = await client.core.submit_observed(request, scribe)
        await handle
        client.core.resume(handle.task_id, request, scribe)

        assert scribe.submit_key is None
        assert 0 == receiver.counts.received


@pytest.mark.parametrize("has_left", [True, False])
async def test_error_that_says_nothing_of_the_task_keeps_what_it_may_cost(*, has_left: bool) -> None:
    """
    If the request has left, it may be charged.
    """
    budget = Budget(units=20)
    async with emulator(OFFICIAL) as server, client_of(server) as client:
        sent = delivery()
        sent.charge = Charge(Spending(OFFICIAL, budget), sent.endpoint)
        sent.charge.reserve(sent.request, lambda: None)

        async def work() -> TaskSnapshot:
            assert sent.body is not None
            sent.body.has_left = has_left
            raise MemoryError

        with pytest.raises(MemoryError):
            await client.core.submitter.run(sent, work)

    assert [8 if has_left else 0, False] == [budget.reserved.units, budget.book.may_free]


async def test_submit_that_closing_aborts_gives_back_what_it_may_cost() -> None:
    """
    It has not left, and others may share the budget.
    """
    budget, begun = Budget(units=20), asyncio.Event()
    async with emulator(OFFICIAL) as server:
        async with client_of(server) as client:
            sent = delivery()
            sent.charge = Charge(Spending(OFFICIAL, budget), sent.endpoint)
            sent.charge.reserve(sent.request, lambda: None)

            async def work() -> TaskSnapshot:
                begun.set()
                await asyncio.Event().wait()
                raise AssertionError

            submitting = asyncio.create_task(client.core.submitter.run(sent, work))
            await begun.wait()
            assert 8 == budget.reserved.units
        with pytest.raises(ClientClosed):
            await submitting

    assert [0, False] == [budget.reserved.units, budget.book.may_free]
