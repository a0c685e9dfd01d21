"""
What a program is told of each submit and its task, and that nothing it does with that harms any.
"""

import asyncio
import logging
import pickle
import random
import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

from kling_async import (
    GATEWAY,
    OFFICIAL,
    CallbackReceiver,
    Dialect,
    EventKind,
    KlingClient,
    SlotPolicy,
    Slots,
    TaskEvent,
)
from kling_async.client.delivery import SubmitObserver
from kling_async.client.events import TaskEvents
from kling_async.emulator import Emulator, Fault, faults
from kling_async.errors import (
    ClientClosed,
    DownloadFailed,
    InvalidRequest,
    KlingError,
    NoFreeSlot,
    ServiceFailure,
    SubmissionUncertain,
    UnexpectedAnswer,
)
from tests.fakes.clients import BRISK, EAGER, LIGHTHOUSE, emulator
from tests.fakes.simulated_loop import epoch_now, simulated

GRAMMAR: Final = re.compile(
    r"(waiting |sending |retry )*((submitted (processing |trouble )*(final (saved )*)?)|no_task )"
)
"""
What may be told of one submit, as `EventKind` says.
"""


class Diary(list[TaskEvent]):
    """
    Listens, and keeps all it is told.
    """

    def of(self, number: int | None = 1) -> list[TaskEvent]:
        return [event for event in self if event.number == number]

    def words(self, number: int | None = 1) -> str:
        """
        The kinds of one submit's events in a line.
        """
        return " ".join(event.kind.value for event in self.of(number))

    def first(self, kind: EventKind) -> TaskEvent:
        return next(event for event in self if event.kind is kind)

    def stories(self) -> dict[int | None, str]:
        """
        The kinds of every submit's events, each followed by a space.
        """
        told: dict[int | None, str] = defaultdict(str)
        for event in self:
            told[event.number] += f"{event.kind.value} "
        return told


def client_of(server: Emulator, on_event: Callable[[TaskEvent], object], **options: Any) -> KlingClient:
    given: dict[str, Any] = {"retry": BRISK, "polling": EAGER}
    return KlingClient(
        server.api_key, base_url=server.url, dialect=server.dialect, on_event=on_event, **{**given, **options}
    )


# One submit


@pytest.mark.parametrize("dialect", [OFFICIAL, GATEWAY], ids=lambda dialect: dialect.name)
@simulated
async def test_a_good_story(dialect: Dialect, tmp_path: Path) -> None:
    """
    Each step once, in order of time, and from the first with the request as it is sent, id of ours included.
    """
    diary = Diary()
    service = emulator(dialect, latency=(0.3, 0.3), clock=epoch_now)
    async with service as server, client_of(server, diary.append) as client:
        handle = await client.submit(LIGHTHOUSE, n=2)
        result = await handle
        paths = await client.save(result, tmp_path)

    assert "sending submitted processing final saved" == diary.words()
    assert [event.at for event in diary] == sorted(event.at for event in diary)
    assert {handle.request} == {event.request for event in diary}
    assert [None, *[result.task_id] * 4] == [event.task_id for event in diary]
    assert result.snapshot == diary.first(EventKind.FINAL).snapshot
    assert tuple(paths) == diary.first(EventKind.SAVED).paths
    assert all(event.error is None and event.delay is None for event in diary)
    assert diary == pickle.loads(pickle.dumps(diary))  # noqa: S301 (our own)


async def test_waiting_for_slots() -> None:
    """
    Only who cannot have them at once is said to wait.
    """
    diary = Diary()
    async with emulator(GATEWAY) as server, client_of(server, diary.append, slots=1) as client:
        await asyncio.gather(client.generate("first"), client.generate("second"))

    assert "sending" == diary.words(1).split()[0]
    assert ["waiting", "sending"] == diary.words(2).split()[:2]
    assert diary.first(EventKind.WAITING).error is None
    assert diary.of(2)[1].at >= next(event.at for event in diary.of(1) if event.kind is EventKind.FINAL)


async def test_waiting_for_slots_that_the_service_refused() -> None:
    """
    Where it had been sent and others take all there is, it waits again, and the refusal is told.
    """
    diary = Diary()
    async with emulator(GATEWAY, slots=1, latency=(0.3, 0.3)) as server, client_of(server, diary.append) as client:
        first = await client.submit("first")
        await asyncio.gather(first.wait(), client.generate("second"))

    assert ["sending", "waiting", "sending", "submitted"] == diary.words(2).split()[:4]
    assert isinstance(diary.first(EventKind.WAITING).error, NoFreeSlot)


async def test_what_is_tried_again() -> None:
    """
    With what went wrong and the seconds until it goes on; where the answer was lost the task is found, and sent once.
    """
    diary = Diary()
    rules = (faults.status("create", 503, times=1), faults.reset_after("create", times=1))
    async with emulator(OFFICIAL, *rules) as server, client_of(server, diary.append) as client:
        await client.generate(LIGHTHOUSE)
        created = len(server.ledger.tasks)

    retries = [event for event in diary if event.kind is EventKind.RETRY]

    assert 1 == created
    assert len(retries) >= 2
    assert isinstance(retries[0].error, ServiceFailure)
    assert all(event.delay is not None and 0 < event.delay <= 0.05 for event in retries)
    assert GRAMMAR.fullmatch(diary.stories()[1])


@pytest.mark.parametrize(
    ("prompt", "rules", "kind"),
    [
        ("", (), InvalidRequest),
        ("a forbidden prompt", (faults.status("create", 400),), InvalidRequest),
        ("a lighthouse", (faults.reset_after("create"),), SubmissionUncertain),
    ],
    ids=["invalid", "refused", "uncertain"],
)
async def test_a_submit_that_makes_no_task_says_why(
    prompt: str, rules: tuple[Fault, ...], kind: type[KlingError]
) -> None:
    """
    The same error that its caller gets, a copy that keeps no frames alive.
    """
    diary = Diary()
    async with emulator(GATEWAY, *rules) as server, client_of(server, diary.append) as client:
        with pytest.raises(kind) as raised:
            await client.submit(prompt)

    told = diary[-1]

    assert EventKind.NO_TASK is told.kind
    assert type(raised.value) is type(told.error)
    assert str(raised.value) == str(told.error)
    assert told.error is not None
    assert told.error.__traceback__ is None
    assert GRAMMAR.fullmatch(diary.stories()[1])


async def test_a_submit_that_is_cancelled_in_the_queue() -> None:
    """
    It is told as well, without an error.
    """
    diary = Diary()
    async with emulator(GATEWAY) as server, client_of(server, diary.append, slots=1) as client:
        await client.submit("first")
        second = asyncio.create_task(client.submit("second"))
        while "waiting" not in diary.words(2):
            await asyncio.sleep(0)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)

    assert "waiting no_task" == diary.words(2)
    assert diary.of(2)[-1].error is None


async def test_a_submit_whose_caller_has_gone_is_told_to_its_end() -> None:
    """
    It is on its way, so its task is told like any other.
    """
    diary = Diary()
    async with emulator(GATEWAY, faults.delay_after("create", 0.1)) as server:
        async with client_of(server, diary.append) as client:
            submit = asyncio.create_task(client.submit(LIGHTHOUSE))
            while not server.ledger.creates_received:
                await asyncio.sleep(0.005)
            submit.cancel()
            async with asyncio.timeout(60):
                while "final" not in diary.words():
                    await asyncio.sleep(0.01)

    assert GRAMMAR.fullmatch(diary.stories()[1])


@simulated
async def test_a_callback_that_tells_of_a_lost_submit_later() -> None:
    """
    What was without a known task has one after all, under the number of its submit.
    """
    diary = Diary()
    rules = (faults.reset_after("create"), faults.callback_delayed(0.5))
    receiver = CallbackReceiver("http://127.0.0.1")
    service = emulator(GATEWAY, *rules, clock=epoch_now)
    async with receiver.serve() as own, service as server, asyncio.timeout(10):
        receiver.public_url = own.url + "/kling"  # type: ignore[misc]  # the port is known only now
        async with client_of(server, diary.append, callbacks=receiver) as client:
            with pytest.raises(SubmissionUncertain):
                await client.submit(LIGHTHOUSE)
            while "final" not in diary.words():
                await asyncio.sleep(0.01)

    words = diary.words()

    assert words.startswith("sending no_task submitted")
    assert words.endswith("final")


# Tasks


@pytest.mark.parametrize("error", [asyncio.CancelledError, ValueError, RuntimeError])
async def test_whatever_a_listener_raises_harms_no_task(error: type[BaseException]) -> None:
    """
    Also where it asks a future that was cancelled for its result: nobody has cancelled the submit.
    """

    def fail(_: TaskEvent) -> None:
        raise error

    async with emulator(GATEWAY) as server, client_of(server, fail) as client:
        result = await client.generate(LIGHTHOUSE)

        assert 0 == sum(usage.used for usage in client.slots.values())

    assert [result.task_id] == [task.task_id for task in server.ledger.tasks]


async def test_a_closed_client_troubles_what_it_waits_for() -> None:
    """
    The task goes on, and nobody looks.
    """
    diary = Diary()
    async with emulator(GATEWAY, latency=(30, 30)) as server, client_of(server, diary.append) as client:
        handle = await client.submit(LIGHTHOUSE)

    assert "sending submitted trouble" == diary.words()
    assert isinstance(diary[-1].error, ClientClosed)
    assert handle.task_id == diary[-1].task_id


async def test_success_without_pictures_is_not_yet_final() -> None:
    """
    It is told as final once it has its pictures; where they stay away, as trouble.
    """
    diary, other = Diary(), Diary()
    late, never = faults.late_files(0.3), faults.late_files(60.0)
    async with emulator(GATEWAY, late) as server, client_of(server, diary.append) as client:
        await client.generate(LIGHTHOUSE)
    hasty = attrs.evolve(EAGER, pictures_grace=0.2)
    async with emulator(GATEWAY, never) as server, client_of(server, other.append, polling=hasty) as client:
        with pytest.raises(UnexpectedAnswer):
            await client.generate(LIGHTHOUSE)

    final = diary.first(EventKind.FINAL).snapshot

    assert 1 == diary.words().count("final")
    assert final is not None
    assert final.task_result.images
    assert "final" not in other.words()
    assert isinstance(other.first(EventKind.TROUBLE).error, UnexpectedAnswer)


async def test_a_task_that_was_picked_up() -> None:
    """
    It has an id and neither number nor request; a resumed one has all three.
    """
    diary, later = Diary(), Diary()
    async with emulator(GATEWAY, latency=(0.3, 0.3)) as server:
        async with client_of(server, diary.append) as client:
            picked, resumed = [(await client.submit(LIGHTHOUSE)).task_id for _ in range(2)]
        async with client_of(server, later.append) as client:
            handle = client.core.resume(resumed, LIGHTHOUSE, SubmitObserver())
            await asyncio.gather(client.handle(picked).wait(), handle.wait())

    assert {picked} == {event.task_id for event in later.of(None)}
    assert {None} == {event.request for event in later.of(None)}
    assert later.words(None).endswith("final")
    assert later.words(1).startswith("resumed")
    assert later.words(1).endswith("final")
    assert {(resumed, LIGHTHOUSE)} == {(event.task_id, event.request) for event in later.of(1)}


async def test_saving_tells_what_arrived_and_what_did_not(tmp_path: Path) -> None:
    """
    Once for each call, also for a result whose handle is long gone.
    """
    diary = Diary()
    gone = faults.status("download", 404, after=1)
    async with emulator(GATEWAY, gone) as server, client_of(server, diary.append) as client:
        result = await client.generate(LIGHTHOUSE, n=2)
        with pytest.raises(DownloadFailed) as raised:
            await client.save(result, tmp_path)

    told = diary[-1]

    assert EventKind.SAVED is told.kind
    assert result.task_id == told.task_id
    assert tuple(raised.value.paths) == told.paths
    assert 1 == len(told.paths)
    assert isinstance(told.error, DownloadFailed)


# Listeners


async def test_what_a_listener_raises_harms_nothing(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """
    All goes as without it, and the log has its trace.
    """

    def fail(event: TaskEvent) -> None:
        raise ZeroDivisionError(event.kind)

    rules = (faults.reset_after("create", times=1), faults.rate_limited("create", times=1))
    async with emulator(OFFICIAL, *rules) as server, client_of(server, fail, slots=1) as client:
        results = await asyncio.gather(*(client.generate(f"lighthouse {number}") for number in range(3)))
        for result in results:
            await client.save(result, tmp_path)
        assert () == client.unfinished
        assert {0} == {usage.used for usage in client.slots.values()}

    said = [record for record in caplog.records if record.name == "kling_async.client.events"]

    assert 3 == len(server.ledger.tasks) == len(list(tmp_path.iterdir()))
    assert {"waiting", "sending", "retry", "submitted", "final", "saved"} <= {record.args[0] for record in said}  # type: ignore[index]
    assert all(record.levelno == logging.ERROR and record.exc_info for record in said)


def test_a_coroutine_function_is_no_listener() -> None:
    """
    Nobody would await what it returns, so it is refused before anything is sent.
    """

    async def listen(event: TaskEvent) -> None:
        raise AssertionError(event)

    with pytest.raises(TypeError, match="plain function"):
        KlingClient("sk-x", on_event=listen)


def test_interrupts_go_through() -> None:
    """
    Only errors are kept from harm; Ctrl-C in a listener is Ctrl-C.
    """

    def interrupt(event: TaskEvent) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        TaskEvents(interrupt).publish(EventKind.SENDING)


# Whatever happens


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("dialect", [OFFICIAL, GATEWAY], ids=lambda dialect: dialect.name)
async def test_every_story_is_whole(dialect: Dialect, seed: int) -> None:
    """
    Whatever goes wrong, each submit is told to its end, and all tasks but the lost ones are told of.
    """
    luck = random.Random(seed)
    rules = [
        faults.reset_before("create", rate=0.2),
        faults.reset_after("create", rate=0.2),
        faults.status("any", 503, rate=0.1),
        faults.html("query", rate=0.1),
        faults.rate_limited("create", rate=0.1),
        faults.failing_task(rate=0.1),
    ]
    diary = Diary()
    slots = Slots(5, policy=SlotPolicy(uncertain_for=0.2))
    async with emulator(dialect, *luck.sample(rules, 4), slots=5, seed=seed, latency=(0.02, 0.1)) as server:
        async with client_of(server, diary.append, slots=slots) as client:
            wanted = [client.generate(f"lighthouse {number}", n=luck.choice([1, 2])) for number in range(20)]
            outcomes = await asyncio.gather(*wanted, return_exceptions=True)

    stories = diary.stories()
    known = {event.task_id for event in diary if event.kind is EventKind.SUBMITTED}
    lost = sum(isinstance(outcome, SubmissionUncertain) for outcome in outcomes)

    assert set(range(1, 21)) == stories.keys()
    assert [] == [story for story in stories.values() if not GRAMMAR.fullmatch(story)]
    assert {task.task_id for task in server.ledger.tasks} >= known
    assert len(known) <= len(server.ledger.tasks) <= len(known) + lost
    assert len(known) == sum("final" in story for story in stories.values())
