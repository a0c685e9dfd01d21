"""
A batch over the emulator: each request is ended once, whatever comes in between. The service's ledger is the judge.
"""

import asyncio
import base64
import contextlib
import itertools
import json
import math
import socket
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import attrs
import pytest

from kling_async import (
    GATEWAY,
    OFFICIAL,
    AccessKey,
    Batch,
    Dialect,
    Done,
    Failed,
    ImageRequest,
    Keyed,
    KlingClient,
    PollPolicy,
    RetryPolicy,
)
from kling_async.batch import attempts, inputs, journal_observer as observing
from kling_async.batch.control import CONSECUTIVE_FAILURES, RunControl
from kling_async.batch.journal import Journal, Reader
from kling_async.batch.records import Row, State, external_id_of
from kling_async.batch.runner import RESUMED
from kling_async.batch.savers import LocalSaver
from kling_async.cli.json_output import outcome_line, row_facts
from kling_async.client.callbacks.receiver import CallbackReceiver
from kling_async.client.core import ClientCore
from kling_async.emulator import Emulator, faults
from kling_async.errors import (
    AccountProblem,
    ClientClosed,
    InvalidRequest,
    JournalMismatch,
    NotAuthenticated,
    NotSent,
    ServiceFailure,
    StorageFull,
    SubmissionUncertain,
    TaskNotFound,
    UnexpectedAnswer,
)
from kling_async.media import input_files
from kling_async.media.input_files import Reference, read_reference
from tests.fakes.batches import (
    BRISK,
    EAGER,
    HASTY,
    PROMPTS,
    Item,
    client_of,
    copied,
    counts_of,
    draw,
    emulator,
    files_in,
    journal_of,
    opened,
    outcomes_of,
    tasks_per_prompt,
    told,
    until,
)
from tests.fakes.gate import HELD
from tests.fakes.simulated_loop import quiet_loop
from tests.fakes.stepping_loop import SteppingLoop, is_cut_at

# Adding


@pytest.fixture
async def batch(tmp_path: Path) -> AsyncIterator[Batch]:
    """
    An open batch whose service nobody asks anything.
    """
    async with emulator() as server, client_of(server) as client, Batch(tmp_path / "run.kling", client) as batch:
        yield batch


async def test_input_is_read_a_chunk_at_a_time(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Of a long input no more is read ahead than one chunk, so that its length does not matter.
    """
    monkeypatch.setattr(inputs, "CHUNK_ROWS", 100)
    monkeypatch.setattr(inputs, "CHUNK_SECONDS", math.inf)
    ahead: list[int] = []

    async def prompts() -> AsyncIterator[str]:
        for number in range(300):
            ahead.append(number - (await batch.summary()).rows)
            yield f"lighthouse {number}"

    added = await batch.add(prompts())

    assert (300, 0, 0) == attrs.astuple(added)
    assert 99 == max(ahead)


async def test_chunks_are_smaller_while_the_batch_runs(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What a running row has to write does not wait for a long chunk.
    """
    monkeypatch.setattr(inputs, "CHUNK_ROWS_OF_A_RUN", 10)
    monkeypatch.setattr(inputs, "CHUNK_SECONDS", math.inf)
    ahead: list[int] = []

    async def prompts() -> AsyncIterator[str]:
        for number in range(30):
            ahead.append(number + 1 - (await batch.summary()).rows)
            yield f"lighthouse {number}"

    await batch.add(["a harbour"])
    async with contextlib.aclosing(batch.run()) as outcomes:
        await anext(outcomes)
        await batch.add(prompts())

    assert 9 == max(ahead)


async def test_rows_of_a_slow_input_do_not_wait_for_a_chunk(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A row is added once its chunk has been read for long, so that an input that ends in an error loses few.
    """
    monkeypatch.setattr(inputs, "CHUNK_SECONDS", 0.0)
    added: list[int] = []

    async def prompts() -> AsyncIterator[str]:
        for number in range(4):
            added.append((await batch.summary()).rows)
            yield f"lighthouse {number}"

    await batch.add(prompts())

    assert [0, 1, 2, 3] == added


async def test_program_goes_on_while_an_input_is_read(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    An input that never waits does not hold the event loop for a whole chunk.
    """
    monkeypatch.setattr(inputs, "ROWS_AT_A_TIME", 10)
    loop = asyncio.get_running_loop()
    turns: list[int] = []

    def prompts() -> Iterator[str]:
        for number in range(30):
            if not number % 10:
                loop.call_soon(turns.append, number)
            if number % 10 == 1:
                assert turns == list(range(0, number - 1, 10))
            yield f"lighthouse {number}"

    await batch.add(prompts())

    assert [0, 10, 20] == turns


async def test_cancelled_between_two_parts_of_an_input(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Cancelling `add` while others run adds none of the unfinished chunk, and the same input is added later.
    """
    monkeypatch.setattr(inputs, "ROWS_AT_A_TIME", 1)
    adding: asyncio.Task[Any]

    def prompts() -> Iterator[str]:
        for number in range(3):
            if number == 1:
                adding.cancel()
            yield f"lighthouse {number}"

    adding = asyncio.ensure_future(batch.add(prompts()))
    with pytest.raises(asyncio.CancelledError):
        await adding

    assert 0 == (await batch.summary()).rows
    assert (3, 0, 0) == attrs.astuple(await batch.add(f"lighthouse {number}" for number in range(3)))


async def test_what_is_known_is_not_added_again(batch: Batch) -> None:
    """
    The same input adds nothing; equal requests in one input are as many rows.
    """
    items: list[Item] = [
        "a lighthouse",
        "a harbour",
        "a lighthouse",
        ImageRequest("a harbour"),
        ImageRequest("a harbour", n=2),
    ]

    assert (5, 0, 0) == attrs.astuple(await batch.add(items))
    assert (0, 5, 0) == attrs.astuple(await batch.add(iter(items)))
    assert (1, 5, 0) == attrs.astuple(await batch.add([*items, "a lighthouse"]))
    assert (0, 1, 5) == attrs.astuple(await batch.add(["a lighthouse"]))


async def test_key_of_its_own_is_one_request(batch: Batch) -> None:
    """
    A request with a key is one row however often it comes, and the key of another request is refused.
    """
    keyed = Keyed("a lighthouse", "order-17")

    assert (1, 1, 0) == attrs.astuple(await batch.add([keyed, keyed]))
    with pytest.raises(InvalidRequest, match=r"key='order-17': is the key of another request"):
        await batch.add([Keyed("a harbour", "order-17")])


@pytest.mark.parametrize("key", ["", " \n", "k" * 201, 17, b"order-17"])
async def test_keys_are_checked(batch: Batch, key: Any) -> None:
    """
    A key is text that is not blank and not endless.
    """
    with pytest.raises(InvalidRequest, match="key=.*must be text of 1 to 200 characters"):
        await batch.add([Keyed("a lighthouse", key)])


async def test_all_broken_rules_of_a_request_are_told_at_once(tmp_path: Path) -> None:
    """
    The error names the request by its place, and every rule it breaks; what came before it stays added.
    """
    bad = Keyed(ImageRequest(" ", n=3, aspect_ratio="7:1", image=tmp_path / "none.png"), "")
    async with emulator() as server, client_of(server, slots=2) as client:
        async with Batch(tmp_path / "run.kling", client) as batch:
            with pytest.raises(InvalidRequest, match=r"request 1 \(from 0\) cannot be added") as caught:
                await batch.add(["a lighthouse", bad])

            assert {"key", "prompt", "slots", "aspect_ratio", "image"} == {rule.field for rule in caught.value.broken}
            assert 0 == (await batch.summary()).rows  # its chunk was not full yet


@pytest.mark.parametrize(
    ("item", "rule"),
    [
        (17, "request=<int>: must be a prompt"),
        (None, "request=<NoneType>: must be a prompt"),
        (ImageRequest(17), "prompt=17: must be text"),  # type: ignore[arg-type]
        (ImageRequest("a lighthouse", n="2"), "n='2': must be a whole number"),  # type: ignore[arg-type]
        (ImageRequest("a lighthouse", image=["a.png"]), "image=<list>: must be"),
        (ImageRequest("a lighthouse", image=b"GIF89a"), "image=<6 bytes>: must be a jpg or png"),
    ],
)
async def test_what_is_no_request_is_refused(batch: Batch, item: Any, rule: str) -> None:
    """
    Whatever an input holds is refused in words of ours.
    """
    with pytest.raises(InvalidRequest) as caught:
        await batch.add([item])

    assert rule in str(caught.value)


async def test_prompt_alone_is_no_input(batch: Batch) -> None:
    """
    A text in place of a list would be as many requests as it has letters, each paid for.
    """
    with pytest.raises(TypeError, match="put a single request into a list"):
        await batch.add("a lighthouse")

    assert 0 == (await batch.summary()).rows


async def test_error_of_the_input_is_raised_and_full_chunks_stay(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What was added before an error of the input's own stays added, and the same input goes on there.
    """
    monkeypatch.setattr(inputs, "CHUNK_ROWS", 100)

    def prompts(*, breaks: bool) -> Iterator[str]:
        for number in range(107):
            if breaks and number == 105:
                raise OSError("the line is dead")
            yield f"lighthouse {number}"

    with pytest.raises(OSError, match="the line is dead"):
        await batch.add(prompts(breaks=True))

    assert (7, 100, 0) == attrs.astuple(await batch.add(prompts(breaks=False)))


async def test_missing_rows_are_forgotten_by_choice(batch: Batch) -> None:
    """
    Rows that a new input lacks are told, and forgotten on demand; never before an input was seen to its end.
    """
    with pytest.raises(RuntimeError, match="no input was added yet"):
        await batch.drop_missing()
    await batch.add(["a lighthouse", "a harbour"])
    with pytest.raises(InvalidRequest):
        await batch.add(["a mole", ""])

    assert 0 == await batch.drop_missing()

    added = await batch.add(["a harbour", "a mole"])

    assert (1, 1, 1) == attrs.astuple(added)
    assert 1 == await batch.drop_missing()
    assert {"queued": 2} == counts_of(await batch.summary())


# Reference images


async def test_reference_images_reach_the_service_from_wherever_they_are(tmp_path: Path) -> None:
    """
    A file and bytes are sent as what they hold, and a URL as it is; what was added as bytes is kept in the journal.
    """
    file = draw(tmp_path / "file.png", "red")
    kept = draw(tmp_path / "kept.png", "blue").read_bytes()
    url = "https://pictures.example/a.png"
    requests = [ImageRequest(f"lighthouse {number}", image=image) for number, image in enumerate((file, kept, url))]
    async with emulator() as server, client_of(server) as client, Batch(tmp_path / "run.kling", client) as batch:
        await batch.add(requests)
        await outcomes_of(batch)
        sent = {record.request.prompt: record.request.image for record in server.account.page(1, 9)}

        assert [base64_of(file.read_bytes()), base64_of(kept), url] == [sent[prompt] for prompt in PROMPTS[:3]]
        assert (0, 3, 0) == attrs.astuple(await batch.add(requests))


def base64_of(image: bytes) -> str:
    return base64.b64encode(image).decode()


async def test_reference_that_many_share_is_read_once(
    batch: Batch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Of the references of one input the last few are remembered.
    """
    read: list[object] = []

    async def count(image: Path, **options: Any) -> Reference:
        read.append(image)
        return await read_reference(image, **options)

    monkeypatch.setattr(input_files, "read_reference", count)
    files = [draw(tmp_path / f"{number}.png", "red") for number in range(10)]
    await batch.add([ImageRequest(prompt, image=file) for file in files for prompt in PROMPTS])

    assert files == read


async def test_few_references_are_in_memory_however_many_rows_are_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Rows that wait for one of two slots, and those whose pictures are saved by an engine with room for many.
    """
    monkeypatch.setattr(attempts, "ROWS_WITH_FILES", 3)
    kept = draw(tmp_path / "kept.png", "blue").read_bytes()
    held, most, submit = 0, [], ClientCore.submit_observed

    async def watched(core: ClientCore, request: ImageRequest, observer: Any, **facts: Any) -> Any:
        nonlocal held
        held += request.image is not None
        most.append(held)
        try:
            return await submit(core, request, observer, **facts)
        finally:
            held -= request.image is not None

    monkeypatch.setattr(ClientCore, "submit_observed", watched)
    monkeypatch.setattr(LocalSaver, "width", 100)
    requests = [ImageRequest(f"lighthouse {number}", image=kept) for number in range(20)]
    async with emulator() as server, client_of(server, slots=2) as client:
        async with Batch(tmp_path / "run.kling", client) as batch:
            await batch.add([*requests, "a harbour"])
            outcomes = await outcomes_of(batch, save_to=tmp_path / "pictures")

    assert 3 == max(most)
    given = {outcome.index: outcome.request.image for outcome in outcomes if isinstance(outcome.request, ImageRequest)}
    assert {**dict.fromkeys(range(20), base64_of(kept)), 20: None} == given


async def test_file_that_changed_is_not_sent_until_it_is_put_back(tmp_path: Path) -> None:
    """
    A reference that is not what it was fails its row alone, and can be added no more; put back it is sent after all.
    """
    file = draw(tmp_path / "file.png", "red")
    requests: list[Item] = [ImageRequest("a lighthouse", image=file), "a harbour"]
    async with emulator() as server, client_of(server) as client, Batch(tmp_path / "run.kling", client) as batch:
        await batch.add(requests)
        draw(file, "blue")
        first = await outcomes_of(batch, max_attempts=3)
        with pytest.raises(InvalidRequest, match="has changed since it was added"):
            await batch.add(requests)
        draw(file, "red")
        second = await outcomes_of(batch)

        assert [(0, "a lighthouse", "InvalidRequest"), (1, "a harbour", "done")] == sorted(map(told, first))
        assert [(0, "a lighthouse", "done")] == [told(outcome) for outcome in second]
        assert {"a lighthouse": 1, "a harbour": 1} == tasks_per_prompt(server)


# Running


async def test_every_row_comes_to_its_end(tmp_path: Path) -> None:
    """
    Each request has one task, its pictures are on the disk, and its outcome tells all of it.
    """
    async with emulator(slots=3) as server, client_of(server) as client, Batch(tmp_path / "run.kling", client) as batch:
        await batch.add([ImageRequest(prompt, n=2) for prompt in PROMPTS])
        outcomes = await outcomes_of(batch, save_to=tmp_path / "pictures")
        summary = await batch.summary()
        made = {task.prompt: task.task_id for task in server.ledger.tasks}

        assert dict.fromkeys(PROMPTS, 1) == tasks_per_prompt(server)
        assert made == {outcome.caption: outcome.result.task_id for outcome in outcomes if isinstance(outcome, Done)}
        assert sorted(path for outcome in outcomes if isinstance(outcome, Done) for path in outcome.paths) == sorted(
            tmp_path / "pictures" / f"{task_id}-{index}.png" for task_id in made.values() for index in (0, 1)
        )
        assert 12 == len(files_in(tmp_path / "pictures"))
        assert {"saved": 6} == counts_of(summary)
        assert server.ledger.units_billed == summary.units_billed
        assert 12 == summary.files
        assert summary.bytes == sum(path.stat().st_size for path in (tmp_path / "pictures").iterdir())
        assert 0 == sum(usage.used for usage in client.slots.values())


async def test_pictures_that_are_never_listed_are_requested_again(tmp_path: Path) -> None:
    """
    A task that succeeded without pictures is an error that names it; the row stays accepted, and the next run polls it.
    """
    polling = attrs.evolve(EAGER, pictures_grace=0.1)
    shift = 0.0
    rules = [faults.late_files(1000.0)]
    async with Emulator(
        dialect=OFFICIAL, faults=rules, latency=(0, 0), pictures="plain", clock=lambda: time.time() + shift
    ) as server:
        async with opened(server, tmp_path / "run.kling", polling=polling) as batch:
            await batch.add(["a lighthouse"])
            first = await outcomes_of(batch)
            counts = counts_of(await batch.summary())
            shift = 1000.0
            second = await outcomes_of(batch)

            assert {"accepted": 1} == counts
            assert ["UnexpectedAnswer", "done"] == [word for _, _, word in map(told, [*first, *second])]
            assert 1 == len(server.ledger.tasks)


async def test_another_run_has_nothing_to_do(tmp_path: Path) -> None:
    """
    When all is saved, another run asks the service nothing.
    """
    async with emulator() as server, client_of(server) as client, Batch(tmp_path / "run.kling", client) as batch:
        await batch.add(PROMPTS)
        await outcomes_of(batch, save_to=tmp_path)
        asked = sum(server.ledger.arrivals.values())

        assert [] == await outcomes_of(batch, save_to=tmp_path)
        assert asked == sum(server.ledger.arrivals.values())


async def test_outcomes_of_all_runs_are_told_in_the_order_of_the_input(tmp_path: Path) -> None:
    """
    Whatever the order in which they came: by rows, and without those that have none yet.
    """
    rules = [faults.failing_task("busy", prompt="lighthouse 2"), faults.stuck_task(prompt="lighthouse 4")]
    async with emulator(OFFICIAL, *rules, latency=(0.01, 0.2), seed=3) as server, client_of(server) as client:
        async with Batch(tmp_path / "run.kling", client) as batch:
            await batch.add(PROMPTS)
            ran = await outcomes_of(batch, save_to=tmp_path, timeout=0.5)
            kept = [outcome async for outcome in batch.outcomes()]

            assert [told(outcome) for outcome in kept] != list(map(told, ran))
            assert [
                (number, prompt, "TaskFailed" if number == 2 else "done")
                for number, prompt in enumerate(PROMPTS)
                if number != 4
            ] == list(map(told, kept))
            assert {outcome.index: outcome for outcome in ran if isinstance(outcome, Done)} == {
                outcome.index: outcome for outcome in kept if isinstance(outcome, Done)
            }


async def test_failed_rows_are_distinguished(tmp_path: Path) -> None:
    """
    One failure never stops the others. The next run retries only rows whose cause may pass.
    """
    rules = [
        faults.failing_task(prompt="lighthouse 1"),  # by the content policy
        faults.failing_task("the model is busy", prompt="lighthouse 2"),
        faults.status("create", 501, prompt="lighthouse 3"),
        faults.status("create", 404, prompt="lighthouse 4"),
    ]
    async with emulator(OFFICIAL, *rules, refused_words=["lighthouse 5"]) as server, client_of(server) as client:
        async with Batch(tmp_path / "run.kling", client) as batch:
            await batch.add(PROMPTS)
            words = ["done", "TaskFailed", "TaskFailed", "ServiceFailure", "InvalidRequest", "ContentRefused"]

            assert [*enumerate(words)] == sorted(
                (index, word) for index, _, word in map(told, await outcomes_of(batch))
            )

            summary = await batch.summary()

            assert ({"finished": 1, "failed": 5}, 2) == (counts_of(summary), summary.may_retry)
            assert not summary.is_complete
            assert {2, 3} == {outcome.index for outcome in await outcomes_of(batch)}


async def test_row_is_sent_up_to_max_attempts(tmp_path: Path) -> None:
    """
    With `max_attempts`, a passing failure leads to another task at once, under its own id; none is billed twice.
    """
    rules = [faults.failing_task("the model is busy", times=2)]
    async with emulator(OFFICIAL, *rules) as server, client_of(server) as client:
        async with Batch(tmp_path / "run.kling", client) as batch:
            await batch.add(["a lighthouse"])

            assert [(0, "a lighthouse", "done")] == [
                told(outcome) for outcome in await outcomes_of(batch, max_attempts=3)
            ]
            assert ["1", "2", "3"] == [str(task.external_task_id).rpartition("-")[2] for task in server.ledger.tasks]
            assert server.ledger.tasks[2].units == server.ledger.units_billed == (await batch.summary()).units_billed


async def test_attempts_end(tmp_path: Path) -> None:
    """
    A row that fails each time is told as failed after the last attempt, and may be tried by the next run.
    """
    rules = [faults.failing_task("the model is busy")]
    async with emulator(OFFICIAL, *rules) as server, client_of(server) as client:
        async with Batch(tmp_path / "run.kling", client) as batch:
            await batch.add(["a lighthouse"])

            assert [(0, "a lighthouse", "TaskFailed")] == list(map(told, await outcomes_of(batch, max_attempts=2)))
            assert 2 == len(server.ledger.tasks)
            assert 1 == (await batch.summary()).may_retry


async def test_id_of_the_caller_is_used_once(tmp_path: Path) -> None:
    """
    A request with an `external_task_id` of the caller's own is sent under that, and not again after its task failed.
    """
    async with emulator(OFFICIAL, faults.failing_task("the model is busy")) as server, client_of(server) as client:
        async with Batch(tmp_path / "run.kling", client) as batch:
            await batch.add([ImageRequest("a lighthouse", external_task_id="order-17")])
            [outcome] = await outcomes_of(batch, max_attempts=3)

            assert (0, "a lighthouse", "TaskFailed") == told(outcome)
            assert ["order-17"] == [task.external_task_id for task in server.ledger.tasks]
            assert 0 == (await batch.summary()).may_retry


async def test_row_that_was_not_final_in_time_is_waited_for_again(tmp_path: Path) -> None:
    """
    A timeout leaves the row accepted; its task goes on, and the next run waits for it and sends nothing.
    """
    async with emulator(latency=(0.4, 0.4)) as server, client_of(server) as client:
        async with Batch(tmp_path / "run.kling", client) as batch:
            await batch.add(["a lighthouse"])
            first = await outcomes_of(batch, timeout=0.05)
            counts = counts_of(await batch.summary())
            second = await outcomes_of(batch)

            assert [(0, "a lighthouse", "WaitTimeout")] == list(map(told, first))
            assert {"accepted": 1} == counts
            assert [(0, "a lighthouse", "done")] == list(map(told, second))
            assert 1 == len(server.ledger.tasks)


async def test_pictures_are_named_by_their_keys(tmp_path: Path) -> None:
    """
    `{key}` in the template is the row's key.
    """
    async with emulator() as server, client_of(server) as client, Batch(tmp_path / "run.kling", client) as batch:
        await batch.add([Keyed("a lighthouse", "order-17"), Keyed(ImageRequest("a harbour", n=2), "order 18")])
        await outcomes_of(batch, save_to=tmp_path / "pictures", name="{key}/{index}{ext}")
        names = files_in(tmp_path / "pictures")

        assert ["order 18/0.png", "order 18/1.png", "order-17/0.png"] == names


@pytest.mark.parametrize("name", ["picture{ext}", "{index}{ext}", "{nonsense}-{key}", "../{key}", "{key", ""])
async def test_names_are_checked_before_anything_is_sent(tmp_path: Path, name: str) -> None:
    """
    A template that is none, leaves the folder or gives all rows one file is refused.
    """
    async with emulator() as server, client_of(server) as client, Batch(tmp_path / "run.kling", client) as batch:
        await batch.add(PROMPTS)
        with pytest.raises(ValueError, match="The name"):
            await outcomes_of(batch, save_to=tmp_path, name=name)

        assert 0 == server.ledger.creates_received


async def test_name_for_one_picture_is_not_used_for_two(tmp_path: Path) -> None:
    """
    Where a row's pictures would share a file the run stops before that row is paid for, and ends what is under way.
    """
    async with emulator(latency=(0.3, 0.3)) as server, opened(server, tmp_path / "run.kling") as batch:
        await batch.add(["a lighthouse"])
        await outcomes_of(batch, timeout=0.1)
        await batch.add(["a lighthouse", ImageRequest("a harbour", n=2)])
        outcomes = []
        with pytest.raises(ValueError, match="gives two files one name"):
            async for outcome in batch.run(save_to=tmp_path, name="{key}{ext}"):
                outcomes += [told(outcome)]

        assert [(0, "a lighthouse", "done")] == outcomes
        assert ["a lighthouse"] == [task.prompt for task in server.ledger.tasks]
        assert {"saved": 1, "queued": 1} == counts_of(await batch.summary())


@pytest.mark.parametrize("max_attempts", [0, -1])
async def test_attempts_are_at_least_one(batch: Batch, max_attempts: int) -> None:
    """
    A run that may send nothing is refused.
    """
    with pytest.raises(ValueError, match="must be a whole number of at least 1"):
        await outcomes_of(batch, max_attempts=max_attempts)


# Going on


async def left_behind(
    server: Emulator, path: Path, items: Sequence[ImageRequest | str], state: State, count: int, **options: Any
) -> Path:
    """
    Run a batch until so many rows are in a state, and return what a kill would have left of its journal then; the
    service has heard of those that were sent.
    """
    async with opened(server, path, **options) as batch:
        await batch.add(items)
        running = asyncio.ensure_future(outcomes_of(batch))
        await until(batch, **{state: count})
        while server.ledger.creates_received < count:
            await asyncio.sleep(0.005)
        left = copied(path, "left")
        for aio_task in (
            running,
            *batch._client.core.submitter._deliveries,
        ):  # whose bytes are on their way all the same
            aio_task.cancel()
        await asyncio.wait({running})
        return left


async def intend_all(batch: Batch) -> None:
    """
    Write of all rows that they are about to be sent, and send nothing: as a kill in this very moment does.
    """
    journal = journal_of(batch)
    for row in await journal.read_page((State.QUEUED,), -1, 99):
        external_id = external_id_of(journal.id, row.position, row.key, 1)
        await journal.mark_sending(row.position, attempt=1, external_task_id=external_id, submit_key=None, now=0)


async def test_run_without_callbacks_keeps_the_address_of_an_earlier_one(tmp_path: Path) -> None:
    """
    What is sent again may end in doubt once more; then the callback of the first submit still shows its task.
    """
    async with emulator(OFFICIAL, faults.reset_after("create"), faults.status("query", 503, after=1)) as server:
        async with opened(server, tmp_path / "run.kling", retry=HASTY) as batch:
            await batch.add(["a lighthouse"])
            await journal_of(batch).mark_sending(0, attempt=1, external_task_id="ours", submit_key="address", now=0)

            assert [(0, "a lighthouse", "SubmissionUncertain")] == list(map(told, await outcomes_of(batch)))

            [row] = await journal_of(batch).read_page((), -1, 1)

            assert (1, "address") == (server.ledger.creates_received, row.submit_key)


async def test_accepted_rows_count_at_once_and_are_not_sent_again(tmp_path: Path) -> None:
    """
    After a kill the tasks that were accepted take their slots before anything else is sent, and come to their ends.
    """
    async with emulator(slots=4, latency=(0.3, 0.4)) as server:
        path = await left_behind(server, tmp_path / "run.kling", PROMPTS, State.ACCEPTED, 4)
        made = {task.task_id for task in server.ledger.tasks}
        async with opened(server, path, slots=4) as batch:
            run = batch.run()
            asking = asyncio.ensure_future(anext(run))
            while not batch._client.slots:
                await asyncio.sleep(0)

            assert [4] == [usage.used for usage in batch._client.slots.values()]

            outcomes = [await asking, *[outcome async for outcome in run]]

        assert dict.fromkeys(PROMPTS, 1) == tasks_per_prompt(server)
        assert PROMPTS == sorted(prompt for _, prompt, word in map(told, outcomes) if word == "done")
        assert made <= {outcome.result.task_id for outcome in outcomes if isinstance(outcome, Done)}
        assert 0 == server.ledger.duplicates_refused


async def test_many_accepted_rows_are_taken_over_a_few_at_a_time(tmp_path: Path) -> None:
    """
    However many tasks an earlier run left, only some are taken over in one turn of the loop, and nothing is sent before
    they all are.
    """
    path, count = tmp_path / "run.kling", 2000
    async with emulator(GATEWAY) as server:
        async with opened(server, path) as batch:
            await batch.add(f"lighthouse {number}" for number in range(count + 1))
        with contextlib.closing(sqlite3.connect(path)) as connection:
            sql = "UPDATE row SET state = 'accepted', attempts = 1, task_id = 't-' || position, accepted_at = 1"
            connection.execute(f"{sql} WHERE position < ?", (count,))
            connection.commit()
        async with opened(server, path) as batch:
            run = batch.run()
            beginning = asyncio.ensure_future(anext(run))
            most = known = 0
            while known < count:
                await asyncio.sleep(0)
                taken = len(batch._client.core.tasks.running)
                most, known = max(most, taken - known), taken

                assert 0 == server.ledger.creates_received

            beginning.cancel()
            await asyncio.wait({beginning})
            await run.aclose()

        assert most <= RESUMED


async def test_sending_rows_are_looked_up_and_found(tmp_path: Path, gate: asyncio.Event) -> None:
    """
    Requests that were sent before the kill, and not answered, are found by their external ids; nothing is sent twice.
    """
    async with emulator(OFFICIAL, faults.delay_after("create", HELD)) as server:
        path = await left_behind(server, tmp_path / "run.kling", PROMPTS[:3], State.SENDING, 3)
        while len(server.ledger.tasks) < 3:
            await asyncio.sleep(0.01)
        sent = server.ledger.creates_received
        async with opened(server, path) as batch:
            outcomes = await outcomes_of(batch)

        assert PROMPTS[:3] == sorted(prompt for _, prompt, word in map(told, outcomes) if word == "done")
        assert sent == server.ledger.creates_received


async def test_unsent_rows_are_sent_once_under_the_same_id(tmp_path: Path) -> None:
    """
    Rows that were about to be sent at the kill are looked up, not found, and sent.
    """
    async with emulator() as server, opened(server, tmp_path / "run.kling") as batch:
        await batch.add(PROMPTS)
        await intend_all(batch)
        outcomes = await outcomes_of(batch)
        ids = {task.external_task_id for task in server.ledger.tasks}

        assert PROMPTS == sorted(prompt for _, prompt, word in map(told, outcomes) if word == "done")
        rows = await journal_of(batch).read_page((), -1, 99)
        assert {external_id_of(journal_of(batch).id, row.position, row.key, 1) for row in rows} == ids
        assert 6 == len(server.ledger.tasks)
        assert 6 <= server.ledger.answers["query", 400]


async def test_late_task_is_not_created_again(tmp_path: Path, gate: asyncio.Event) -> None:
    """
    A submit of the killed program that arrives after it was looked up and sent again creates no second task.
    """
    async with emulator(OFFICIAL, faults.delay_before("create", HELD, times=2)) as server:
        path = await left_behind(server, tmp_path / "run.kling", PROMPTS[:2], State.SENDING, 2)
        async with opened(server, path) as batch:
            outcomes = await outcomes_of(batch)
        gate.set()

        assert PROMPTS[:2] == sorted(prompt for _, prompt, word in map(told, outcomes) if word == "done")
        while server.ledger.duplicates_refused < 2:
            await asyncio.sleep(0.01)

        assert dict.fromkeys(PROMPTS[:2], 1) == tasks_per_prompt(server)


@pytest.mark.parametrize("state", [State.SENDING, State.ACCEPTED])
async def test_rows_that_go_on_and_fail_are_tried_under_the_next_id(
    tmp_path: Path, state: State, gate: asyncio.Event
) -> None:
    """
    The attempt of the killed program counts as one, and the next as two.
    """
    rules = [faults.failing_task("the model is busy", times=1)]
    if state is State.SENDING:
        rules.append(faults.delay_after("create", HELD, times=1))
    async with emulator(OFFICIAL, *rules, latency=(0.1, 0.1)) as server:
        path = await left_behind(server, tmp_path / "run.kling", ["a lighthouse"], state, 1)
        async with opened(server, path) as batch:
            [outcome] = await outcomes_of(batch, max_attempts=2)

        assert (0, "a lighthouse", "done") == told(outcome)
        assert ["1", "2"] == [str(task.external_task_id).rpartition("-")[2] for task in server.ledger.tasks]


async def test_submits_that_may_have_arrived_are_looked_up_without_their_image(
    tmp_path: Path, gate: asyncio.Event
) -> None:
    """
    A sending row is found although its image is missing, and although its client has too few slots for it now.
    """
    file = draw(tmp_path / "file.png", "red")
    requests = [ImageRequest("a lighthouse", image=file), ImageRequest("a harbour", n=3)]
    async with emulator(OFFICIAL, faults.delay_after("create", HELD)) as server:
        path = await left_behind(server, tmp_path / "run.kling", requests, State.SENDING, 2)
        file.unlink()
        async with opened(server, path, slots=2) as batch:
            outcomes = await outcomes_of(batch)

        assert [(0, "a lighthouse", "done"), (1, "a harbour", "done")] == sorted(map(told, outcomes))
        assert 2 == server.ledger.creates_received


async def test_unsent_request_fails_if_its_image_is_missing(tmp_path: Path) -> None:
    """
    A sending row without a task is not sent without its image, and is sent when the image is back.
    """
    file = draw(tmp_path / "file.png", "red")
    async with emulator() as server, opened(server, tmp_path / "run.kling") as batch:
        await batch.add([ImageRequest("a lighthouse", image=file)])
        await intend_all(batch)
        file.unlink()
        first = await outcomes_of(batch)

        assert [(0, "a lighthouse", "InvalidRequest")] == list(map(told, first))
        assert {"failed": 1} == counts_of(await batch.summary())

        draw(file, "red")

        assert [(0, "a lighthouse", "done")] == list(map(told, await outcomes_of(batch)))
        assert 1 == len(server.ledger.tasks)


OLD_COPIES = {
    "nothing goes wrong": (),
    "a task fails": (faults.failing_task("the model is busy", times=1),),
    "a submit is refused": (faults.status("create", 501, times=1),),
    "a submit is refused, and then a task fails": (
        faults.status("create", 501, times=1),
        faults.failing_task("the model is busy", after=1, times=1),
    ),
    "a connection is not made, and then a task fails": (faults.failing_task("the model is busy", times=1),),
}


@pytest.mark.parametrize("story", OLD_COPIES)
async def test_old_copy_of_a_journal_creates_no_second_task(tmp_path: Path, story: str) -> None:
    """
    A copy from before the run computes the same ids, so that the tasks of the first run are found.
    """
    async with emulator(OFFICIAL, *OLD_COPIES[story]) as server:
        async with opened(server, tmp_path / "run.kling", retry=HASTY) as batch:
            await batch.add(["a lighthouse"])
        path = copied(tmp_path / "run.kling", "copy")
        if "connection" in story:
            async with opened(server, tmp_path / "run.kling", retry=HASTY) as batch:
                await server.aclose()
                with pytest.raises(NotSent):
                    await outcomes_of(batch)
                await server.__aenter__()
        for journal in (tmp_path / "run.kling", path):
            async with opened(server, journal, retry=HASTY) as batch:
                while not (await batch.summary()).finished:
                    await outcomes_of(batch)
                [outcome] = [outcome async for outcome in batch.outcomes()]

                assert isinstance(outcome, Done)
                assert server.ledger.tasks[-1].task_id == outcome.result.task_id

        assert 1 + ("a task fails" in story) == len(server.ledger.tasks)


async def test_sending_rows_at_a_gateway_are_uncertain_and_never_sent_again(
    tmp_path: Path, gate: asyncio.Event
) -> None:
    """
    If nothing can be looked up, each run reports the row, and sends it only with `resend_uncertain`; then it succeeds.
    """
    async with emulator(GATEWAY, faults.delay_after("create", HELD, times=2)) as server:
        path = await left_behind(server, tmp_path / "run.kling", PROMPTS[:2], State.SENDING, 2)
        async with opened(server, path) as batch:
            await batch.add([*PROMPTS[:2], "a harbour"])
            first = await outcomes_of(batch)
            second = await outcomes_of(batch)
            counts = counts_of(await batch.summary())

            assert [(0, PROMPTS[0], "SubmissionUncertain"), (1, PROMPTS[1], "SubmissionUncertain")] == sorted(
                map(told, second)
            )
            assert sorted([*map(told, second), (2, "a harbour", "done")]) == sorted(map(told, first))
            assert {"uncertain": 2, "finished": 1} == counts
            assert {PROMPTS[0]: 1, PROMPTS[1]: 1, "a harbour": 1} == tasks_per_prompt(server)

            third = await outcomes_of(batch, resend_uncertain=True)

            assert [(0, PROMPTS[0], "done"), (1, PROMPTS[1], "done")] == sorted(map(told, third))
            assert {PROMPTS[0]: 2, PROMPTS[1]: 2, "a harbour": 1} == tasks_per_prompt(server)
            assert 3 == len([outcome async for outcome in batch.outcomes() if isinstance(outcome, Done)])


async def test_lost_answer_of_a_gateway_is_uncertain_and_told(tmp_path: Path) -> None:
    """
    A row whose answer was lost in this run is uncertain, and the error holds what was asked.
    """
    async with emulator(GATEWAY, faults.reset_after("create", times=1)) as server:
        async with opened(server, tmp_path / "run.kling") as batch:
            await batch.add(["a lighthouse"])
            [outcome] = await outcomes_of(batch)

            assert isinstance(outcome, Failed)
            assert isinstance(outcome.error, SubmissionUncertain)
            assert ImageRequest("a lighthouse") == outcome.error.request == outcome.request
            assert [str(outcome.error)] == [
                str(each.error) async for each in batch.outcomes() if isinstance(each, Failed)
            ]
            assert [str(outcome.error)] == [
                str(each.error) for each in await outcomes_of(batch) if isinstance(each, Failed)
            ]


async def test_resend_uncertain_sends_nothing_twice_if_ids_are_accepted(tmp_path: Path) -> None:
    """
    With `resend_uncertain`, a service that takes our ids is queried first, and tasks that it has are not sent again.
    """
    rules = (faults.reset_after("create"), faults.status("query", 503, times=25))
    async with emulator(OFFICIAL, *rules) as server, opened(server, tmp_path / "run.kling", retry=HASTY) as batch:
        await batch.add(["a lighthouse"])
        first = await outcomes_of(batch)
        while server.ledger.reads < 25:
            await asyncio.gather(batch._client.get("17"), return_exceptions=True)
        second = await outcomes_of(batch, resend_uncertain=True)

        assert ["SubmissionUncertain", "done"] == [word for _, _, word in map(told, [*first, *second])]
        assert 1 == len(server.ledger.tasks)


async def test_uncertain_row_unknown_to_the_service_is_sent(tmp_path: Path) -> None:
    """
    When lookups are answered again, an uncertain row without a task is sent. If it is refused then, it stays uncertain,
    because the first attempt may be the reason.
    """
    rules = (faults.reset_before("create", times=2), faults.status("query", 503, times=40))
    async with emulator(OFFICIAL, *rules, refused_words=["harbour"]) as server:
        async with opened(server, tmp_path / "run.kling", retry=HASTY) as batch:
            await batch.add(["a lighthouse", "a harbour"])
            first = await outcomes_of(batch)
            while server.ledger.reads < 40:
                await asyncio.gather(batch._client.get("17"), return_exceptions=True)
            second = await outcomes_of(batch)

            assert {"SubmissionUncertain"} == {word for _, _, word in map(told, first)}
            assert [(0, "a lighthouse", "done"), (1, "a harbour", "SubmissionUncertain")] == sorted(map(told, second))
            assert {"finished": 1, "uncertain": 1} == counts_of(await batch.summary())
            assert 1 == len(server.ledger.tasks)


# Another key


async def submit_row(batch: Batch, position: int) -> str:
    """
    Send a row as a run does, without writing down more than that it is being sent, and return its task's id.
    """
    [row] = await journal_of(batch).read_page((), position - 1, 1)
    external_id = row.external_task_id if batch._client.dialect.external_ids else None
    assert isinstance(row.request, ImageRequest)
    handle = await batch._client.submit(attrs.evolve(row.request, external_task_id=external_id))
    return handle.task_id


async def leave_rows(batch: Batch, prompts: Sequence[str] = PROMPTS[:5]) -> None:
    """
    Leave what a killed run can leave: a row that is accepted, one whose answer was lost, one that never left, one that
    is uncertain and has a task, and one that is queued.
    """
    await batch.add(prompts)
    journal = journal_of(batch)
    for row in await journal.read_page((State.QUEUED,), -1, 4):
        external_id = external_id_of(journal.id, row.position, row.key, 1)
        await journal.mark_sending(row.position, attempt=1, external_task_id=external_id, submit_key=None, now=0)
    tasks = {position: await submit_row(batch, position) for position in (0, 1, 3)}
    journal.accept(0, tasks[0], 0)
    await journal.mark_uncertain(3, SubmissionUncertain("the answer was lost"))


async def rotate_key(server: Emulator, api_key: str) -> None:
    """
    Give the account another key in place of its first.
    """
    await server.aclose()
    server.account.settings = attrs.evolve(server.account.settings, api_key=api_key)
    await server.__aenter__()


KEPT = [(0, PROMPTS[0], "TaskNotFound"), *((row, PROMPTS[row], "SubmissionUncertain") for row in (1, 2, 3))]


@pytest.mark.parametrize("dialect", [OFFICIAL, GATEWAY], ids=lambda dialect: dialect.name)
async def test_new_key_of_the_same_account_goes_on(tmp_path: Path, dialect: Dialect) -> None:
    """
    What the service knows under the new key is waited for; the rest is kept, and never sent again by itself.
    """
    path = tmp_path / "run.kling"
    known = {0, 1, 3, 4} if dialect is OFFICIAL else {0, 4}
    async with emulator(dialect) as server:
        async with opened(server, path) as batch:
            await leave_rows(batch)
        await rotate_key(server, "sk-rotated")
        with pytest.raises(JournalMismatch, match="another key was used"):
            async with opened(server, path, api_key="sk-rotated"):
                pass
        async with client_of(server, api_key="sk-rotated") as client, Batch(path, client, rebind=True) as batch:
            first = await outcomes_of(batch)
            second = await outcomes_of(batch)
            summary = await batch.summary()

            assert [
                (row, PROMPTS[row], "done" if row in known else "SubmissionUncertain") for row in range(5)
            ] == sorted(map(told, first))
            assert [told(outcome) for outcome in first if outcome.index not in known] == list(map(told, second))
            assert {"finished": len(known), "uncertain": 5 - len(known)} == counts_of(summary)
            assert 5 - len(known) == summary.kept
            assert 4 == len(server.ledger.tasks)

            third = await outcomes_of(batch, resend_uncertain=True)

            assert {row for row in range(5) if row not in known} == {row for row, _, word in map(told, third)}
            assert {"finished": 5} == counts_of(await batch.summary())
            assert 0 == (await batch.summary()).kept


async def test_key_of_another_account_leaves_the_first_what_is_its_own(tmp_path: Path) -> None:
    """
    Rows of one account are kept while another works on the rest, and are finished when the first comes back.
    """
    path = tmp_path / "run.kling"
    async with emulator() as server:
        async with opened(server, path) as batch:
            await leave_rows(batch)
        port = urlsplit(server.url).port
        await server.aclose()
        async with (
            emulator(port=port, api_key="sk-other") as other,
            client_of(other) as client,
            Batch(path, client, rebind=True) as batch,
        ):
            outcomes = await outcomes_of(batch)

            assert [*KEPT, (4, PROMPTS[4], "done")] == sorted(map(told, outcomes))
            assert {"accepted": 1, "uncertain": 3, "finished": 1} == counts_of(await batch.summary())
            assert 4 == (await batch.summary()).kept
            assert {"rebind=True"} == {
                word
                for each in outcomes
                if isinstance(each, Failed)
                for word in str(each.error).split()
                if "rebi" in word
            }
        await server.__aenter__()
        async with client_of(server) as client, Batch(path, client, rebind=True) as batch:
            outcomes = await outcomes_of(batch)

            assert [(row, PROMPTS[row], "done") for row in range(4)] == sorted(map(told, outcomes))
            assert dict.fromkeys(PROMPTS[:4], 1) == tasks_per_prompt(server)
            assert {PROMPTS[4]: 1} == tasks_per_prompt(other)


async def test_other_host_is_not_queried_for_tasks_of_the_first(tmp_path: Path) -> None:
    """
    At another host a task's id may be another account's, so only rows that were not sent continue there.
    """
    path = tmp_path / "run.kling"
    async with emulator() as server, emulator() as other:
        async with opened(server, path) as batch:
            await leave_rows(batch)
        for task in server.ledger.tasks:
            request = ImageRequest(task.prompt, external_task_id=task.external_task_id)
            other.account.restore(task.task_id, request, 0.0)
        async with client_of(other) as client, Batch(path, client, rebind=True) as batch:
            outcomes = await outcomes_of(batch)

            assert [*KEPT, (4, PROMPTS[4], "done")] == sorted(map(told, outcomes))
            assert server.url in str([each for each in outcomes if isinstance(each, Failed)])


@pytest.mark.parametrize(
    ("dialect", "is_elsewhere", "wrong"),
    [
        (OFFICIAL, False, {"api_key": "wrong"}),
        (OFFICIAL, True, {}),
        (GATEWAY, False, {"dialect": OFFICIAL, "api_key": "wrong"}),
    ],
    ids=["key", "base URL", "dialect"],
)
async def test_mistake_of_the_first_run_does_not_bind_the_journal(
    tmp_path: Path, dialect: Dialect, *, is_elsewhere: bool, wrong: dict[str, Any]
) -> None:
    """
    A journal that was first run with a wrong key, base URL or dialect, so that nothing was made, is run with the right
    one as if it were new.
    """
    path = tmp_path / "run.kling"
    async with emulator(dialect) as server, emulator() as elsewhere:
        async with opened(elsewhere if is_elsewhere else server, path, retry=HASTY, **wrong) as batch:
            await elsewhere.aclose()
            await batch.add(PROMPTS)
            with pytest.raises((NotAuthenticated, NotSent, AccountProblem)):
                await outcomes_of(batch)

            assert {"queued": 6} == counts_of(await batch.summary())
            assert any(row.attempts for row in await journal_of(batch).read_page((), -1, 9))

        async with opened(server, path, retry=HASTY) as batch:
            outcomes = await outcomes_of(batch)

        assert ["done"] * 6 == [told(outcome)[2] for outcome in outcomes]
        assert dict.fromkeys(PROMPTS, 1) == tasks_per_prompt(server)


@pytest.mark.parametrize("status", [401, 403, 503])
async def test_failed_lookup_changes_no_kept_row(tmp_path: Path, status: int) -> None:
    """
    If the service does not say whether it has a row's task under the new key, the row does not change.
    """
    path = tmp_path / "run.kling"
    async with emulator(OFFICIAL, faults.status("query", status)) as server:
        async with opened(server, path, retry=HASTY) as batch:
            await leave_rows(batch)
        await rotate_key(server, "sk-rotated")
        async with (
            client_of(server, api_key="sk-rotated", retry=HASTY) as client,
            Batch(path, client, rebind=True) as batch,
        ):
            before = [(row.state, str(row.error)) for row in await journal_of(batch).read_page((), -1, 4)]
            with contextlib.suppress(NotAuthenticated):
                await outcomes_of(batch, timeout=0.1)

            assert 4 == (await batch.summary()).kept
            assert before == [(row.state, str(row.error)) for row in await journal_of(batch).read_page((), -1, 4)]
            assert dict.fromkeys(tasks_per_prompt(server), 1) == tasks_per_prompt(server)


@pytest.mark.parametrize("resends", [False, True])
async def test_uncertain_row_is_looked_up_before_anything_is_sent(tmp_path: Path, resends: bool) -> None:  # noqa: FBT001
    """
    A row that is uncertain since its second submit was refused after a lost answer is found by the next run, although
    the service would refuse another submit.
    """
    async with emulator(refused_words=[PROMPTS[2], PROMPTS[4]]) as server:
        async with opened(server, tmp_path / "run.kling") as batch:
            await leave_rows(batch)
            for position in range(1, 3):
                await journal_of(batch).mark_uncertain(position, SubmissionUncertain("the second submit was refused"))
            sent = server.ledger.creates_received
            outcomes = sorted(map(told, await outcomes_of(batch, resend_uncertain=resends)))

        assert [(row, PROMPTS[row], "done") for row in (0, 1, 3)] == [one for one in outcomes if one[2] == "done"]
        assert sent + 2 == server.ledger.creates_received  # of the two rows without a task
        assert {PROMPTS[row]: 1 for row in (0, 1, 3)} == tasks_per_prompt(server)


# Callbacks


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def receiver_at(port: int) -> CallbackReceiver:
    """
    Make a receiver as each start of a program does: with a random key of its own.
    """
    return CallbackReceiver(f"http://127.0.0.1:{port}/kling")


async def test_callback_after_the_restart_tells_of_a_gateway_s_task(tmp_path: Path, gate: asyncio.Event) -> None:
    """
    A row on its way has an address of its own, which outlives the program: its callback tells what it became.
    """
    port, retry = free_port(), attrs.evolve(BRISK, hear_for=10.0)
    async with emulator(GATEWAY, faults.delay_after("create", HELD), latency=(2.0, 2.1)) as server:
        receiver = receiver_at(port)
        async with receiver.serve(port=port):
            path = await left_behind(server, tmp_path / "run.kling", PROMPTS[:3], State.SENDING, 3, callbacks=receiver)
        receiver = receiver_at(port)
        async with opened(server, path, callbacks=receiver, retry=retry) as batch, receiver.serve(port=port):
            outcomes = await outcomes_of(batch)

        assert PROMPTS[:3] == sorted(prompt for _, prompt, word in map(told, outcomes) if word == "done")
        assert dict.fromkeys(PROMPTS[:3], 1) == tasks_per_prompt(server)


async def test_callback_that_arrives_before_the_run_is_not_lost(tmp_path: Path, gate: asyncio.Event) -> None:
    """
    Callbacks between the opening of the journal and the run are kept for their rows.
    """
    port = free_port()
    async with emulator(GATEWAY, faults.delay_after("create", HELD), latency=(2.0, 2.0)) as server:
        receiver = receiver_at(port)
        path = await left_behind(server, tmp_path / "run.kling", ["a lighthouse"], State.SENDING, 1, callbacks=receiver)
        receiver = receiver_at(port)
        async with opened(server, path, callbacks=receiver) as batch, receiver.serve(port=port):
            while not server.ledger.callbacks["succeed"] or not receiver.counts.unsigned:
                await asyncio.sleep(0.01)
            outcomes = await outcomes_of(batch)

        assert [(0, "a lighthouse", "done")] == list(map(told, outcomes))
        assert 1 == len(server.ledger.tasks)


async def test_journal_that_takes_no_token_key_is_closed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A batch that cannot be opened to its end leaves its journal free.
    """

    async def refuse(*_: object) -> None:
        raise StorageFull("no room")

    async with emulator() as server:
        with monkeypatch.context() as patch, pytest.raises(StorageFull):
            patch.setattr(Journal, "save_token_key", refuse)
            async with opened(server, tmp_path / "run.kling", callbacks=receiver_at(1)):
                pass
        async with opened(server, tmp_path / "run.kling", callbacks=receiver_at(1)) as batch:
            assert 0 == (await batch.summary()).rows


async def test_callbacks_of_accepted_tasks_are_known_after_the_restart(tmp_path: Path) -> None:
    """
    A task that was accepted before the kill is told of at its own address: none of its callbacks is refused.
    """
    port = free_port()
    async with emulator(GATEWAY, latency=(2.0, 2.0)) as server:  # a busy machine is back by then
        receiver = receiver_at(port)
        path = await left_behind(
            server, tmp_path / "run.kling", ["a lighthouse"], State.ACCEPTED, 1, callbacks=receiver
        )
        receiver = receiver_at(port)
        async with opened(server, path, callbacks=receiver) as batch, receiver.serve(port=port):
            outcomes = await outcomes_of(batch)

        assert [(0, "a lighthouse", "done")] == list(map(told, outcomes))
        assert receiver.counts.received == receiver.counts.unsigned > 0


async def test_callback_reports_a_submit_that_was_given_up(tmp_path: Path) -> None:
    """
    A row that was reported as uncertain becomes accepted when its callback comes, and ends in the next run.
    """
    port = free_port()
    async with emulator(GATEWAY, faults.reset_after("create"), latency=(0.8, 0.8)) as server:
        receiver = receiver_at(port)
        retry = attrs.evolve(BRISK, hear_for=0.05)
        async with opened(server, tmp_path / "run.kling", callbacks=receiver, retry=retry) as batch:
            await batch.add(["a lighthouse"])
            first = await outcomes_of(batch)
            async with receiver.serve(port=port):
                await until(batch, accepted=1)
                second = await outcomes_of(batch)

        assert ["SubmissionUncertain", "done"] == [word for _, _, word in map(told, [*first, *second])]
        assert 1 == len(server.ledger.tasks)


async def test_row_reports_that_its_pictures_are_unconfirmed(tmp_path: Path) -> None:
    """
    If the answer was lost and the service does not know the id in an unsigned callback, the callback's pictures are
    saved, and the journal records their origin.
    """
    port = free_port()
    rules = [faults.reset_after("create"), faults.callback_other_id()]
    async with emulator(GATEWAY, *rules, latency=(0.1, 0.2)) as server:
        path, receiver = tmp_path / "run.kling", receiver_at(port)
        retry = attrs.evolve(BRISK, hear_for=10.0)
        async with opened(server, path, callbacks=receiver, retry=retry) as batch, receiver.serve(port=port):
            await batch.add(["a lighthouse"])
            outcomes = await outcomes_of(batch, save_to=tmp_path / "pictures")
        async with opened(server, path) as batch:
            outcomes += [outcome async for outcome in batch.outcomes()]
            summary = await batch.summary()

        assert [(0, "a lighthouse", "done")] * 2 == list(map(told, outcomes))
        assert [False, False] == [
            outcome.result.snapshot.is_confirmed for outcome in outcomes if isinstance(outcome, Done)
        ]
        assert [False, False] == [json.loads(outcome_line(outcome))["is_confirmed"] for outcome in outcomes]
        assert (1, 1) == (summary.saved, len(server.ledger.tasks))


async def test_listed_pictures_survive_a_kill(tmp_path: Path) -> None:
    """
    An unconfirmed snapshot is in the journal, so that the next run has it without another callback.
    """
    port = free_port()
    rules = [faults.reset_after("create"), faults.callback_other_id()]
    async with emulator(GATEWAY, *rules, latency=(0.1, 0.2)) as server:
        path, receiver = tmp_path / "run.kling", receiver_at(port)
        options: dict[str, Any] = {
            "callbacks": receiver,
            "retry": attrs.evolve(BRISK, hear_for=10.0),
            "polling": attrs.evolve(EAGER, not_found_grace=60.0),
        }
        async with opened(server, path, **options) as batch, receiver.serve(port=port):
            await batch.add(["a lighthouse"])
            running = asyncio.ensure_future(outcomes_of(batch))
            async with asyncio.timeout(60):
                while not (rows := [row for row in Reader(path).rows(State.ACCEPTED) if row.snapshot is not None]):
                    await asyncio.sleep(0.01)
            assert [False] == [row_facts(row)["is_confirmed"] for row in rows]
            left = copied(path, "left")
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        async with opened(server, left) as batch:
            outcomes = await outcomes_of(batch, save_to=tmp_path / "pictures")

        assert [(0, "a lighthouse", "done")] == list(map(told, outcomes))
        assert 1 == len(server.ledger.tasks)


async def test_row_says_what_was_told_of_a_task_that_is_not_found(tmp_path: Path) -> None:
    """
    Also after the run, the error holds what a callback told, and the row is not sent again by itself.
    """
    port = free_port()
    rules = [faults.reset_after("create"), faults.callback_other_id(), faults.failing_task(message="too dark")]
    async with emulator(GATEWAY, *rules, latency=(0.1, 0.2)) as server:
        path, receiver = tmp_path / "run.kling", receiver_at(port)
        retry = attrs.evolve(BRISK, hear_for=10.0)
        async with opened(server, path, callbacks=receiver, retry=retry) as batch, receiver.serve(port=port):
            await batch.add(["a lighthouse"])
            outcomes = await outcomes_of(batch)
        async with opened(server, path) as batch:
            outcomes += [outcome async for outcome in batch.outcomes()]
            outcomes += await outcomes_of(batch)

        errors = [outcome.error for outcome in outcomes if isinstance(outcome, Failed)]
        assert len(errors) >= 2
        for error in errors:
            assert isinstance(error, TaskNotFound)
            assert error.snapshot is not None
            assert "too dark" in error.snapshot.task_status_msg
            assert "too dark" in str(error)
        assert 1 == len(server.ledger.tasks)


async def test_rows_that_wait_for_news_keep_nobody_waiting(tmp_path: Path) -> None:
    """
    Uncertain rows, for which a callback may still come, are asked for when all others have been served.
    """
    port = free_port()
    async with emulator(GATEWAY, faults.reset_after("create", times=3)) as server:
        async with opened(server, tmp_path / "run.kling", callbacks=receiver_at(port), slots=3) as batch:
            await batch.add(PROMPTS[:3])
            await outcomes_of(batch)
            await batch.add(PROMPTS)
            outcomes = await outcomes_of(batch)

        words = [word for _, _, word in map(told, outcomes)]
        assert [*["done"] * 3, *["SubmissionUncertain"] * 3] == words


# Pictures


async def test_pictures_of_finished_rows_are_saved_by_the_next_run(tmp_path: Path) -> None:
    """
    What is finished and not saved is fetched, and nothing is sent for it.
    """
    async with emulator() as server, opened(server, tmp_path / "run.kling") as batch:
        await batch.add(PROMPTS[:3])
        unsaved = await outcomes_of(batch)
        saved = await outcomes_of(batch, save_to=tmp_path / "pictures")

        assert [()] * 3 == [outcome.paths for outcome in unsaved if isinstance(outcome, Done)]
        assert [1] * 3 == [len(outcome.paths) for outcome in saved if isinstance(outcome, Done)]
        assert ({"saved": 3}, 3) == (counts_of(await batch.summary()), len(server.ledger.tasks))


async def test_picture_that_cannot_be_downloaded_leaves_its_row_finished(tmp_path: Path) -> None:
    """
    The others are saved, the row is reported as failed, and the next run downloads only the missing one.
    """
    async with emulator(OFFICIAL, faults.status("download", 404, times=4)) as server:
        async with opened(server, tmp_path / "run.kling") as batch:
            await batch.add([ImageRequest("a lighthouse", n=3)])
            [first] = await outcomes_of(batch, save_to=tmp_path)
            counts, downloads = counts_of(await batch.summary()), server.ledger.downloads
            [second] = await outcomes_of(batch, save_to=tmp_path)

            assert (0, "a lighthouse", "DownloadFailed") == told(first)
            assert {"finished": 1} == counts
            assert isinstance(second, Done)
            assert [0, 1, 2] == [int(path.stem[-1]) for path in second.paths]
            assert 1 == server.ledger.downloads - downloads


async def test_missing_pictures_are_saved_again(tmp_path: Path) -> None:
    """
    Missing and truncated pictures are downloaded again, and no others.
    """
    async with emulator() as server, opened(server, tmp_path / "run.kling") as batch:
        await batch.add([ImageRequest(prompt, n=2) for prompt in PROMPTS[:3]])
        saved = {
            outcome.index: outcome.paths
            for outcome in await outcomes_of(batch, save_to=tmp_path)
            if isinstance(outcome, Done)
        }
        whole = saved[1][1].read_bytes()
        saved[0][0].unlink()
        saved[1][1].write_bytes(whole[:-1])
        downloads = server.ledger.downloads
        again = await outcomes_of(batch, save_to=tmp_path)

        assert {0, 1} == {outcome.index for outcome in again}
        assert {index: saved[index] for index in (0, 1)} == {
            outcome.index: outcome.paths for outcome in again if isinstance(outcome, Done)
        }
        assert 2 == server.ledger.downloads - downloads
        assert whole == saved[1][1].read_bytes()
        summary = await batch.summary()

        assert ({"saved": 3}, 6) == (counts_of(summary), summary.files)
        assert 3 == len(server.ledger.tasks)


async def test_expired_url_is_renewed(tmp_path: Path) -> None:
    """
    Pictures that are downloaded long after their task ended are found by reading the task again.
    """
    async with emulator(OFFICIAL, faults.expired_url(times=1)) as server:
        async with opened(server, tmp_path / "run.kling") as batch:
            await batch.add(["a lighthouse"])
            [outcome] = await outcomes_of(batch, save_to=tmp_path)

            assert (0, "a lighthouse", "done") == told(outcome)


# Stopping, leaving, closing


async def test_stopped_run_finishes_running_tasks(tmp_path: Path, gate: asyncio.Event) -> None:
    """
    After `stop` nothing more is sent: waiting rows stay queued, running tasks end, and the next run continues.
    """
    shift = 0.0
    slow: dict[str, Any] = {"latency": (1000.0, 1000.0), "clock": lambda: time.time() + shift}
    async with emulator(OFFICIAL, faults.delay_after("create", HELD, times=1), **slow) as server:
        async with opened(server, tmp_path / "run.kling", slots=2) as batch:
            await batch.add(PROMPTS)
            batch.stop()  # nothing runs yet, so this changes nothing
            running = asyncio.ensure_future(outcomes_of(batch, save_to=tmp_path))
            await until(batch, accepted=1, sending=1)
            while server.ledger.creates_received < 2:
                await asyncio.sleep(0)
            batch.stop()
            batch.stop()
            gate.set()
            shift = 1000.0
            server.account.settings = attrs.evolve(server.account.settings, latency=(0.0, 0.0))
            first = await running

            assert ["done", "done"] == [word for _, _, word in map(told, first)]
            assert {"queued": 4, "saved": 2} == counts_of(await batch.summary())
            assert 2 == server.ledger.creates_received

            await outcomes_of(batch, save_to=tmp_path)

            assert dict.fromkeys(PROMPTS, 1) == tasks_per_prompt(server)


async def test_stopped_run_sends_no_waiting_rows(tmp_path: Path, gate: asyncio.Event) -> None:
    """
    Neither a row that waits to be sent again is sent, nor one that was looked up and not found.
    """
    rules = (faults.rate_limited("create", times=99), faults.delay_before("query", HELD, times=1))
    patient = RetryPolicy(first_delay=30.0)
    async with emulator(OFFICIAL, *rules) as server, opened(server, tmp_path / "run.kling", retry=patient) as batch:
        await batch.add(["a lighthouse"])
        await intend_all(batch)
        await batch.add(["a lighthouse", "a harbour"])
        running = asyncio.ensure_future(outcomes_of(batch))
        while not server.ledger.answers["create", 429] or not server.ledger.reads:
            await asyncio.sleep(0.005)
        batch.stop()
        sent = server.ledger.creates_received
        gate.set()

        async with asyncio.timeout(60):  # only what hangs takes as long
            assert [] == await running

        assert sent == server.ledger.creates_received
        assert {"sending": 1, "queued": 1} == counts_of(await batch.summary())


async def test_what_is_refused_for_good_after_the_stop_is_an_outcome(tmp_path: Path, gate: asyncio.Event) -> None:
    """
    A refusal whose answer was out when the run was stopped is told, so that the row is not sent again for it.
    """
    rules = faults.delay_after("create", HELD)
    async with emulator(GATEWAY, rules, refused_words=["lighthouse"]) as server:
        async with opened(server, tmp_path / "run.kling") as batch:
            await batch.add(["a lighthouse"])
            running = asyncio.ensure_future(outcomes_of(batch))
            while not server.ledger.creates_received:
                await asyncio.sleep(0.005)
            batch.stop()
            gate.set()

            assert [(0, "a lighthouse", "ContentRefused")] == list(map(told, await running))
            assert {"failed": 1} == counts_of(await batch.summary())


@attrs.define
class Stage:
    """
    How far the submit of a row is.
    """

    may_have_arrived: bool
    is_over: bool


@pytest.mark.parametrize(
    ("stage", "is_cancelled"), [(Stage(False, False), True), (Stage(True, False), False), (Stage(False, True), False)]
)
async def test_stop_cancels_only_what_could_still_be_sent(stage: Stage, *, is_cancelled: bool) -> None:
    """
    A submit that may be at the service is waited for; one that has just ended has an outcome.
    """
    control, submitting = RunControl(), asyncio.ensure_future(asyncio.sleep(0.01))
    control.serving[submitting] = stage
    control.stop()
    await asyncio.wait({submitting})

    assert is_cancelled is submitting.cancelled()


async def test_stopped_run_does_not_wait_to_send_again(tmp_path: Path, gate: asyncio.Event) -> None:
    """
    A row whose submit is refused after the stop waits no pause out that only another submit would follow.
    """
    rules = (faults.rate_limited("create", times=99), faults.delay_before("create", HELD))
    patient = RetryPolicy(first_delay=3600.0)
    async with emulator(OFFICIAL, *rules) as server, opened(server, tmp_path / "run.kling", retry=patient) as batch:
        await batch.add(["a lighthouse"])
        running = asyncio.ensure_future(outcomes_of(batch))
        while not server.ledger.creates_received:
            await asyncio.sleep(0.005)
        batch.stop()
        gate.set()
        async with asyncio.timeout(60):
            assert [] == await running

        assert {"queued": 1} == counts_of(await batch.summary())


async def test_leaving_the_loop_early_loses_nothing(tmp_path: Path) -> None:
    """
    Who leaves after the first outcome finds the others accepted or queued, and another run brings them to their ends.
    """
    async with emulator(slots=3, latency=(0.1, 0.2)) as server, opened(server, tmp_path / "run.kling") as batch:
        await batch.add(PROMPTS)
        async with contextlib.aclosing(batch.run()) as outcomes:
            await anext(outcomes)
            runner = batch._runner

        assert runner is not None
        assert not runner._control.serving

        summary = await batch.summary()

        assert {"queued", "accepted", "finished"} >= counts_of(summary).keys()
        assert len(PROMPTS) - summary.queued == len(server.ledger.tasks)

        await outcomes_of(batch)

        assert [(row, PROMPTS[row], "done") for row in range(6)] == [told(each) async for each in batch.outcomes()]
        assert dict.fromkeys(PROMPTS, 1) == tasks_per_prompt(server)
        assert 0 == sum(usage.used for usage in batch._client.slots.values())


@pytest.mark.parametrize("dialect", [OFFICIAL, GATEWAY], ids=lambda dialect: dialect.name)
async def test_what_an_earlier_run_still_waits_for_is_left_alone(
    tmp_path: Path, dialect: Dialect, monkeypatch: pytest.MonkeyPatch, gate: asyncio.Event
) -> None:
    """
    A row whose answer is out since a run that was left is not sent again by the next, not even by choice.
    """
    monkeypatch.setattr(observing, "CLOSE_TIMEOUT", 0.05)
    async with emulator(dialect, faults.delay_before("create", HELD)) as server:
        async with opened(server, tmp_path / "run.kling") as batch:
            await batch.add(["a lighthouse"])
            running = asyncio.ensure_future(outcomes_of(batch))
            while not server.ledger.creates_received:
                await asyncio.sleep(0.005)
            running.cancel()
            await asyncio.wait({running})

            assert [] == await outcomes_of(batch, resend_uncertain=True)

            gate.set()
            await until(batch, accepted=1)

            assert [(0, "a lighthouse", "done")] == list(map(told, await outcomes_of(batch, resend_uncertain=True)))
            assert 1 == server.ledger.creates_received


async def test_answer_that_comes_while_a_run_reads_its_rows_leaves_the_row_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gate: asyncio.Event
) -> None:
    """
    The page with the row is of a moment when the answer was still out: what it says is not believed afterwards.
    """
    monkeypatch.setattr(observing, "CLOSE_TIMEOUT", 0.05)
    async with emulator(GATEWAY, faults.delay_before("create", HELD)) as server:
        async with opened(server, tmp_path / "run.kling") as batch:
            await batch.add(["a lighthouse"])
            running = asyncio.ensure_future(outcomes_of(batch))
            while not server.ledger.creates_received:
                await asyncio.sleep(0.005)
            running.cancel()
            await asyncio.wait({running})
            journal = journal_of(batch)
            read_page = journal.read_page

            async def read_slowly(states: Sequence[State], after: int, size: int) -> list[Row]:
                page = await read_page(states, after, size)
                gate.set()
                while page and State.SENDING in states and batch._unsettled.positions():
                    await asyncio.sleep(0.005)
                return page

            monkeypatch.setattr(journal, "read_page", read_slowly)

            assert [] == await outcomes_of(batch, resend_uncertain=True)
            assert {"accepted": 1} == counts_of(await batch.summary())
            assert 1 == server.ledger.creates_received


async def test_closing_after_leaving_early_is_in_good_order(tmp_path: Path) -> None:
    """
    A `break` and the end of the batch right after it cut off what is under way; what was sent is in the journal.
    """
    with quiet_loop():
        async with emulator(OFFICIAL, faults.delay_after("create", 0.1)) as server:
            async with opened(server, tmp_path / "run.kling") as batch:
                await batch.add([*PROMPTS, "a lighthouse"])
                async for _ in batch.run():
                    break
            with Reader(tmp_path / "run.kling") as journal:
                left = counts_of(journal.summary())
            async with opened(server, tmp_path / "run.kling") as batch:
                await outcomes_of(batch)
                counts = counts_of(await batch.summary())

            assert "sending" not in left
            assert {"finished": 7} == counts
            assert 7 == len(server.ledger.tasks)


async def test_closing_the_batch_ends_the_run(tmp_path: Path) -> None:
    """
    A run whose batch is closed ends at once and says so; ids of running submits are in the journal.
    """
    with quiet_loop():
        async with emulator(GATEWAY, faults.delay_after("create", 0.2), latency=(5, 5)) as server:
            async with opened(server, tmp_path / "run.kling") as batch:
                await batch.add(PROMPTS)
                running = asyncio.ensure_future(outcomes_of(batch))
                while len(server.ledger.tasks) < 6:
                    await asyncio.sleep(0.005)
                runner = batch._runner
                await asyncio.gather(batch.aclose(), batch.aclose())

                assert runner is not None
                assert not runner._control.serving

                with pytest.raises(RuntimeError, match="the batch was closed while it was running"):
                    await running
            with Reader(tmp_path / "run.kling") as journal:
                assert {"accepted": 6} == counts_of(journal.summary())


async def test_what_is_learnt_after_closing_is_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, gate: asyncio.Event
) -> None:
    """
    An id that comes when the patience with it was over is a warning that names its row; a refusal is nothing.
    """
    monkeypatch.setattr(observing, "CLOSE_TIMEOUT", 0.05)
    rules = (
        faults.delay_before("create", HELD),
        faults.status("create", 501, prompt="harbour"),
    )
    async with emulator(GATEWAY, *rules) as server, client_of(server) as client:
        async with Batch(tmp_path / "run.kling", client) as batch:
            await batch.add([Keyed("a lighthouse", "order-17"), Keyed("a harbour", "order-18")])
            running = asyncio.ensure_future(outcomes_of(batch))
            while server.ledger.creates_received < 2:
                await asyncio.sleep(0.005)
        with pytest.raises(RuntimeError, match="was closed while it was running"):
            await running
        gate.set()
        while len(client.core.submitter):
            await asyncio.sleep(0.01)
        [task] = server.ledger.tasks

        assert f"task {task.task_id} of row 'order-17' was accepted after the journal was closed" in caplog.text
        assert "order-18" not in caplog.text


async def test_closed_batch_is_of_no_more_use(tmp_path: Path) -> None:
    """
    What is not open says so, and is never opened twice.
    """
    async with emulator() as server, client_of(server) as client:
        batch = Batch(tmp_path / "run.kling", client)

        assert repr(batch).endswith("run.kling', new>")

        with pytest.raises(RuntimeError, match="use `async with`"):
            await batch.summary()
        async with batch:
            assert repr(batch).endswith("run.kling', open>")
        await batch.aclose()

        assert repr(batch).endswith("run.kling', closed>")

        for use in (batch.add([]), batch.drop_missing(), batch.summary(), anext(batch.run()), anext(batch.outcomes())):
            with pytest.raises(RuntimeError, match="use `async with`"):
                await use
        with pytest.raises(RuntimeError, match="was opened before"):
            await batch.__aenter__()


async def test_batch_runs_once_at_a_time(tmp_path: Path) -> None:
    """
    A second run beside the first is refused, and so is forgetting rows; the first goes on.
    """
    async with emulator(latency=(0.1, 0.1)) as server, opened(server, tmp_path / "run.kling") as batch:
        await batch.add(["a lighthouse"])
        running = asyncio.ensure_future(outcomes_of(batch))
        await until(batch, accepted=1)
        with pytest.raises(RuntimeError, match="running already"):
            await outcomes_of(batch)
        with pytest.raises(RuntimeError, match="before or after"):
            await batch.drop_missing()

        assert repr(batch).endswith("open, running>")
        assert [(0, "a lighthouse", "done")] == list(map(told, await running))


async def test_rows_that_are_added_beside_a_run_are_served_by_it_or_by_the_next(tmp_path: Path) -> None:
    """
    Adding goes on while the batch is running.
    """
    async with emulator(latency=(0.1, 0.1)) as server, opened(server, tmp_path / "run.kling") as batch:
        await batch.add(["a lighthouse"])
        running = asyncio.ensure_future(outcomes_of(batch))
        await until(batch, accepted=1)
        await batch.add(["a lighthouse", "a harbour"])
        await running
        await outcomes_of(batch)

        assert {"a lighthouse": 1, "a harbour": 1} == tasks_per_prompt(server)


async def test_closing_the_client_ends_the_run(tmp_path: Path) -> None:
    """
    The run raises ClientClosed; accepted tasks are in the journal, and another client continues.
    """
    async with emulator(slots=3, latency=(0.2, 0.2)) as server:
        async with client_of(server) as client, Batch(tmp_path / "run.kling", client) as batch:
            await batch.add(PROMPTS)
            running = asyncio.ensure_future(outcomes_of(batch))
            await until(batch, accepted=3)
            await client.aclose()
            with pytest.raises(ClientClosed):
                await running

            assert {"accepted": 3, "queued": 3} == counts_of(await batch.summary())

            with pytest.raises(ClientClosed):
                await outcomes_of(batch)
        async with opened(server, tmp_path / "run.kling") as batch:
            await outcomes_of(batch)

        assert dict.fromkeys(PROMPTS, 1) == tasks_per_prompt(server)


async def test_client_that_is_closed_before_the_run_sends_nothing(tmp_path: Path) -> None:
    """
    A run with a closed client ends at once, and its rows stay queued.
    """
    async with emulator() as server, client_of(server) as client, Batch(tmp_path / "run.kling", client) as batch:
        await batch.add(PROMPTS)
        await client.aclose()
        with pytest.raises(ClientClosed):
            await outcomes_of(batch)

        assert {"queued": 6} == counts_of(await batch.summary())


@pytest.mark.parametrize("dialect", [OFFICIAL, GATEWAY], ids=lambda dialect: dialect.name)
def test_cancelling_at_any_iteration_of_the_loop_loses_nothing(
    dialect: Dialect, tmp_path: Path, emulator_in_thread: Callable[..., Emulator], pytestconfig: pytest.Config
) -> None:
    """
    At each iteration: no aio_task is pending, no slot is held, no file is partial, and another run brings each row to
    its one task; at a gateway a row may be uncertain instead. Half of the runs continue with the same client.
    """
    server = emulator_in_thread(dialect=dialect, latency=(0.0, 0.01), slots=None, pictures="plain", picture_scale=0.05)

    def make_client() -> KlingClient:
        polling = PollPolicy(first_delay=0.002, max_delay=0.01)
        return client_of(server, slots=2, polling=polling)

    async def work(client: KlingClient, folder: Path) -> None:
        async with Batch(folder / "run.kling", client) as batch:
            await batch.add([f"{folder.name} {number}" for number in range(2)])
            async for _ in batch.run(save_to=folder / "pictures"):
                pass

    async def cut(step: int) -> bool:
        folder = tmp_path / str(step)
        folder.mkdir()
        async with make_client() as client:
            was_running = await is_cut_at(step, work, client, folder)
            async with make_client() as other:
                await work(client if step % 2 else other, folder)
            while any(usage.used for usage in client.slots.values()):
                await asyncio.sleep(0.005)
        with Reader(folder / "run.kling") as journal:
            counts = counts_of(journal.summary())
        made = sorted(task.prompt for task in server.ledger.tasks if task.prompt.startswith(f"{folder.name} "))

        assert {asyncio.current_task()} == asyncio.all_tasks(), step
        assert counts.get("saved", 0) == len(files_in(folder / "pictures")), step
        assert 2 == counts.get("saved", 0) + counts.get("uncertain", 0), step
        assert not counts.get("uncertain") or dialect is GATEWAY, step
        assert len(set(made)) == len(made) >= counts.get("saved", 0), step
        return was_running

    steps = 0
    with quiet_loop(), asyncio.Runner(loop_factory=SteppingLoop) as runner:
        for steps in itertools.count(1 if dialect is OFFICIAL else 4, 3 if pytestconfig.getoption("thorough") else 13):
            if not runner.run(cut(steps)):
                break

    assert steps > 60


def test_cancelling_at_any_iteration_with_a_new_key_loses_nothing(
    tmp_path: Path, emulator_in_thread: Callable[..., Emulator], pytestconfig: pytest.Config
) -> None:
    """
    A run with a new key is cancelled at each iteration: the next run brings each row to its one task.
    """
    pair = AccessKey("access", "a-secret-of-thirty-two-characters")
    server = emulator_in_thread(
        dialect=OFFICIAL, latency=(0.0, 0.01), slots=None, pictures="plain", picture_scale=0.05, access_key=pair
    )

    async def work(client: KlingClient, folder: Path) -> None:
        async with Batch(folder / "run.kling", client, rebind=True) as batch:
            await outcomes_of(batch)

    async def cut(step: int) -> bool:
        folder = tmp_path / str(step)
        prompts = [f"{step} {number}" for number in range(5)]
        async with opened(server, folder / "run.kling") as batch:
            await leave_rows(batch, prompts)
        async with client_of(server, api_key=pair) as client:
            was_running = await is_cut_at(step, work, client, folder)
        async with client_of(server, api_key=pair) as client, Batch(folder / "run.kling", client, rebind=True) as batch:
            await outcomes_of(batch)
            found = counts_of(await batch.summary())
        made = sorted(task.prompt for task in server.ledger.tasks if task.prompt in prompts)

        assert {asyncio.current_task()} == asyncio.all_tasks(), step
        assert {"finished": 4, "uncertain": 1} == found, step
        assert [prompts[row] for row in (0, 1, 3, 4)] == made, step
        return was_running

    steps = 0
    with quiet_loop(), asyncio.Runner(loop_factory=SteppingLoop) as runner:
        for steps in itertools.count(1, 3 if pytestconfig.getoption("thorough") else 13):
            if not runner.run(cut(steps)):
                break

    assert steps > 30


# Service and account


@pytest.mark.parametrize("dialect", [OFFICIAL, GATEWAY], ids=lambda dialect: dialect.name)
async def test_account_without_money_stops_the_submitting(tmp_path: Path, dialect: Dialect) -> None:
    """
    Accepted tasks end and are reported, the other rows stay queued, and the next run continues after a refill.
    """
    async with emulator(dialect, units=14, latency=(0.1, 0.2)) as server:
        async with opened(server, tmp_path / "run.kling") as batch:
            await batch.add([ImageRequest(prompt, model_name="kling-v2") for prompt in PROMPTS])
            first = []
            with pytest.raises(AccountProblem, match="balance not enough"):
                async for outcome in batch.run():
                    first += [told(outcome)[2]]
            counts = counts_of(await batch.summary())
            paid = len(server.ledger.tasks)
            server.account.settings = attrs.evolve(server.settings, units=None)
            await outcomes_of(batch)

            assert 0 < paid < 6
            assert ["done"] * paid == first
            assert {"finished": paid, "queued": 6 - paid} == counts
            assert dict.fromkeys(PROMPTS, 1) == tasks_per_prompt(server)
            assert {"finished": 6} == counts_of(await batch.summary())


async def test_key_that_is_refused_stops_the_submitting(tmp_path: Path) -> None:
    """
    With a wrong key nothing is sent but what shows that it is wrong, and every row stays queued.
    """
    async with emulator(slots=2) as server, opened(server, tmp_path / "run.kling", api_key="wrong", slots=2) as batch:
        await batch.add(PROMPTS)
        with pytest.raises(NotAuthenticated):
            await outcomes_of(batch)

        assert {"queued": 6} == counts_of(await batch.summary())
        assert 6 > server.ledger.creates_received


async def test_key_that_is_refused_in_the_middle_loses_no_task(tmp_path: Path) -> None:
    """
    A task that was accepted before the key was refused stays accepted, and is waited for when it is good again.
    """
    rules = (faults.status("tasks", 401, times=1), faults.status("query", 401, times=1))
    async with emulator(OFFICIAL, *rules, slots=3, latency=(0.2, 0.2)) as server:
        async with opened(server, tmp_path / "run.kling", slots=3) as batch:
            await batch.add(PROMPTS)
            with pytest.raises(NotAuthenticated):
                await outcomes_of(batch)

            summary = await batch.summary()

            assert summary.accepted > 0
            assert (3, 3) == (summary.accepted + summary.finished, summary.queued)

            await outcomes_of(batch)

            assert {"finished": 6} == counts_of(await batch.summary())
            assert dict.fromkeys(PROMPTS, 1) == tasks_per_prompt(server)


async def test_unreachable_service_leaves_all_rows_queued(tmp_path: Path) -> None:
    """
    If no connection can be established, nothing is uncertain: the run ends in NotSent, and continues when the service
    is back.
    """
    async with emulator(GATEWAY) as server, opened(server, tmp_path / "run.kling", retry=HASTY) as batch:
        await batch.add(PROMPTS)
        await server.aclose()
        with pytest.raises(NotSent):
            await outcomes_of(batch)

        assert {"queued": 6} == counts_of(await batch.summary())

        async with server:
            await outcomes_of(batch)

        assert dict.fromkeys(PROMPTS, 1) == tasks_per_prompt(server)


async def test_service_that_disappears_during_a_run_is_retried(tmp_path: Path) -> None:
    """
    Rows that could not be sent stay queued; accepted tasks are polled to their ends when the service is back.
    """
    async with emulator(GATEWAY, latency=(0.3, 0.3), slots=3) as server:
        async with opened(server, tmp_path / "run.kling", slots=3) as batch:
            await batch.add(PROMPTS[:3])
            running = asyncio.ensure_future(outcomes_of(batch))
            await until(batch, accepted=3)
            await server.aclose()
            await asyncio.wait({running}, timeout=0.5)
            async with server:
                assert [(row, PROMPTS[row], "done") for row in range(3)] == sorted(map(told, await running))


@pytest.mark.parametrize("dialect", [OFFICIAL, GATEWAY], ids=lambda dialect: dialect.name)
async def test_address_without_an_api_stops_the_batch(tmp_path: Path, dialect: Dialect) -> None:
    """
    A web page for every path: the first answer stops the run, nothing is uncertain, and all rows are still to be sent.
    """
    page = faults.html("any", status=200)
    async with emulator(dialect, page) as server, opened(server, tmp_path / "run.kling", slots=2) as batch:
        await batch.add(f"lighthouse {number}" for number in range(40))
        with pytest.raises(UnexpectedAnswer, match="check base_url"):
            await outcomes_of(batch)

        assert {"queued": 40} == counts_of(await batch.summary())
        assert server.ledger.creates_received <= 4


async def test_twenty_failures_in_a_row_are_taken_to_last(tmp_path: Path) -> None:
    """
    A service that fails every submit is not asked by all rows: the run ends in that failure, and loses none.
    """
    prompts = [f"lighthouse {number}" for number in range(60)]
    async with emulator(OFFICIAL, faults.status("create", 501)) as server:
        async with opened(server, tmp_path / "run.kling") as batch:
            await batch.add(prompts)
            told_of = []
            with pytest.raises(ServiceFailure):
                async for outcome in batch.run():
                    told_of += [outcome]
            summary = await batch.summary()

            assert CONSECUTIVE_FAILURES <= len(told_of) <= server.ledger.creates_received < 60
            assert len(told_of) == summary.failed == summary.may_retry == 60 - summary.queued


@pytest.mark.parametrize("dialect", [OFFICIAL, GATEWAY], ids=lambda dialect: dialect.name)
async def test_twenty_uncertain_submits_in_a_row_are_taken_to_last(tmp_path: Path, dialect: Dialect) -> None:
    """
    Behind something that swallows every answer a batch stops, says why, and leaves the rest queued.
    """
    rules = (faults.reset_before("create"), faults.status("query", 503))
    async with emulator(dialect, *rules) as server, opened(server, tmp_path / "run.kling", retry=HASTY) as batch:
        await batch.add([f"lighthouse {number}" for number in range(100)])
        told_of = []
        with pytest.raises(SubmissionUncertain, match=r"^\d+ submits in a row .* nothing more is sent; the last one: "):
            async for outcome in batch.run():
                told_of += [told(outcome)[2]]
        counts = counts_of(await batch.summary())

        assert CONSECUTIVE_FAILURES <= len(told_of) < 100
        assert {"SubmissionUncertain"} == set(told_of)
        assert {"uncertain": len(told_of), "queued": 100 - len(told_of)} == counts


async def test_uncertain_submits_among_successes_do_not_stop_the_run(tmp_path: Path) -> None:
    """
    As long as submits are accepted in between, uncertain ones do not stop the run.
    """
    async with emulator(GATEWAY, faults.reset_before("create", rate=0.5)) as server:
        async with opened(server, tmp_path / "run.kling") as batch:
            await batch.add([f"lighthouse {number}" for number in range(60)])
            await outcomes_of(batch)
            summary = await batch.summary()

            assert summary.uncertain > CONSECUTIVE_FAILURES
            assert {"finished": 60 - summary.uncertain, "uncertain": summary.uncertain} == counts_of(summary)


async def test_mixed_failures_in_a_row_are_taken_to_last(tmp_path: Path) -> None:
    """
    Submits that fail and submits that are uncertain are counted together.
    """
    rules = (faults.status("create", 501, rate=0.5), faults.reset_before("create"))
    async with emulator(GATEWAY, *rules) as server, opened(server, tmp_path / "run.kling") as batch:
        await batch.add([f"lighthouse {number}" for number in range(100)])
        with pytest.raises((SubmissionUncertain, ServiceFailure), match="submits in a row"):
            await outcomes_of(batch)
        summary = await batch.summary()

        assert CONSECUTIVE_FAILURES > summary.uncertain > 0
        assert summary.queued > 0


@pytest.mark.parametrize("state", [State.SENDING, State.UNCERTAIN])
async def test_uncertain_rows_of_an_earlier_run_do_not_stop_a_run(tmp_path: Path, state: State) -> None:
    """
    Many uncertain rows are reported, and do not keep others from being sent.
    """
    async with emulator(GATEWAY) as server, opened(server, tmp_path / "run.kling") as batch:
        await batch.add([f"earlier {number}" for number in range(30)])
        journal = journal_of(batch)
        for position in range(30):
            await journal.mark_sending(position, attempt=1, external_task_id=None, submit_key=None, now=0)
            if state is State.UNCERTAIN:
                await journal.mark_uncertain(position, SubmissionUncertain("the answer was lost"))
        await batch.add(PROMPTS)
        await outcomes_of(batch)

        assert {"finished": 6, "uncertain": 30} == counts_of(await batch.summary())
        assert dict.fromkeys(PROMPTS, 1) == tasks_per_prompt(server)


# What nobody foresaw


@contextlib.asynccontextmanager
async def session_that_breaks(moment: str, number: int) -> AsyncIterator[aiohttp.ClientSession]:
    """
    Open a session of a user's own, whose trace hook has a bug: it raises at the *number*th create.
    """
    creates = itertools.count(1)

    async def hook(_: object, __: object, facts: Any) -> None:
        if getattr(facts, "method", "POST") == "POST" and next(creates) == number:
            raise RuntimeError("a bug in a trace hook")

    trace = aiohttp.TraceConfig()
    getattr(trace, moment).append(hook)
    async with aiohttp.ClientSession(trace_configs=[trace]) as session:
        yield session


@pytest.mark.parametrize(
    "moment", ["on_request_start", "on_connection_create_start", "on_request_headers_sent", "on_request_end"]
)
@pytest.mark.parametrize("dialect", [OFFICIAL, GATEWAY], ids=lambda dialect: dialect.name)
async def test_unexpected_exception_of_a_submit_loses_nothing(tmp_path: Path, dialect: Dialect, moment: str) -> None:
    """
    For any exception of a submit at any moment: the run raises it when all others have ended, no row is left as
    sending, and the next run creates what is missing without paying twice.
    """
    number = 1 if moment == "on_connection_create_start" else 3
    async with emulator(dialect) as server, session_that_breaks(moment, number) as session:
        async with opened(server, tmp_path / "run.kling", session=session, slots=2) as batch:
            await batch.add(PROMPTS)
            first = []
            with contextlib.suppress(RuntimeError, NotSent, SubmissionUncertain):
                async for outcome in batch.run():
                    first += [told(outcome)]
            summary = await batch.summary()

            assert 0 == summary.sending == summary.accepted
            assert summary.finished == len([word for *_, word in first if word == "done"])

            if moment == "on_request_start" and not summary.uncertain:
                assert {"finished", "queued"} >= set(counts_of(summary))

            await outcomes_of(batch)
            counts = counts_of(await batch.summary())

            assert counts in ({"finished": 6}, {"finished": 5, "uncertain": 1})
            assert set(tasks_per_prompt(server).values()) == {1}
            assert dialect is GATEWAY or {"finished": 6} == counts


async def test_failures_among_successes_do_not_stop_the_run(tmp_path: Path) -> None:
    """
    As long as submits are accepted in between, failures do not stop the run.
    """
    async with emulator(OFFICIAL, faults.status("create", 501, rate=0.5)) as server:
        async with opened(server, tmp_path / "run.kling") as batch:
            await batch.add([f"lighthouse {number}" for number in range(60)])
            await outcomes_of(batch)
            summary = await batch.summary()

            assert summary.failed > CONSECUTIVE_FAILURES
            assert {"finished": 60 - summary.failed, "failed": summary.failed} == counts_of(summary)


async def test_missing_permission_may_be_granted_later(tmp_path: Path) -> None:
    """
    A request for which the key lacks permission is retried by the next run, not by the same one.
    """
    async with emulator(OFFICIAL, faults.status("create", 403, times=2)) as server:
        async with opened(server, tmp_path / "run.kling") as batch:
            await batch.add(PROMPTS[:2])
            first = await outcomes_of(batch, max_attempts=5)
            second = await outcomes_of(batch)

            assert ["NotAllowed"] * 2 == [word for _, _, word in map(told, first)]
            assert ["done"] * 2 == [word for _, _, word in map(told, second)]


async def test_task_unknown_to_the_service_fails_for_good(tmp_path: Path) -> None:
    """
    An accepted task that is not found for longer than the grace is reported as such, and not paid for again.
    """
    async with emulator(GATEWAY, latency=(5, 5)) as server:
        path = await left_behind(server, tmp_path / "run.kling", ["a lighthouse"], State.ACCEPTED, 1)
        server.account._by_task_id.clear()
        async with opened(server, path) as batch:
            [outcome] = await outcomes_of(batch)

            assert (0, "a lighthouse", "TaskNotFound") == told(outcome)
            assert isinstance(outcome, Failed)
            assert server.ledger.tasks[0].task_id == outcome.error.task_id
            assert [] == await outcomes_of(batch)
            assert 1 == len(server.ledger.tasks)
