"""
Cancelled at any step: nothing leaks, no half file stays, and no task is unknown to both the log and the client.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kling_async import GATEWAY, OFFICIAL, Dialect, ImageRequest, KlingClient, PollPolicy, RetryPolicy
from kling_async.emulator import Emulator, faults
from kling_async.errors import SubmissionUncertain
from tests.fakes.stepping_loop import Job, SteppingLoop, is_cut_at


async def submit(client: KlingClient, folder: Path) -> None:
    await client.submit("a lighthouse")


async def wait(client: KlingClient, folder: Path) -> None:
    handle = await client.submit("a lighthouse")
    await handle.wait()


async def generate(client: KlingClient, folder: Path) -> None:
    await client.generate("a lighthouse")


async def generate_two_at_once(client: KlingClient, folder: Path) -> None:
    await asyncio.gather(client.generate("a lighthouse", n=2), client.generate("a harbour", n=2))


async def save(client: KlingClient, folder: Path) -> None:
    await client.save(await client.generate("a lighthouse", n=2), folder)


async def stream(client: KlingClient, folder: Path) -> None:
    async for _ in client.stream(["a lighthouse", ImageRequest("a harbour", n=2)], concurrency=2):
        pass


@pytest.mark.parametrize("dialect", [OFFICIAL, GATEWAY], ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("job", [submit, wait, generate, generate_two_at_once, save, stream])
def test_cancelling_at_any_iteration_of_the_loop_leaks_nothing(
    job: Job,
    dialect: Dialect,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    emulator_in_thread: Callable[..., Emulator],
) -> None:
    """
    At each iteration: no aio_task is pending, no connection is open, no partial file is left, and each task is known.
    """
    caplog.set_level(logging.INFO, "kling_async")
    server = emulator_in_thread(dialect=dialect, latency=(0.0, 0.01), slots=None, pictures="plain", picture_scale=0.05)

    async def cut(step: int) -> bool:
        folder = tmp_path / str(step)
        earlier = len(server.ledger.tasks)
        caplog.clear()
        polling = PollPolicy(first_delay=0.002, max_delay=0.01)
        client = KlingClient(server.api_key, base_url=server.url, dialect=dialect, slots=2, polling=polling)
        async with client:
            was_running = await is_cut_at(step, job, client, folder)
        made = {task.task_id for task in server.ledger.tasks[earlier:]}
        unknown = made - {handle.task_id for handle in client.unfinished}

        assert {asyncio.current_task()} == asyncio.all_tasks(), step
        assert [] == [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".png"], step
        assert not was_running or [] == [task_id for task_id in unknown if task_id not in caplog.text], step
        return was_running

    with asyncio.Runner(loop_factory=SteppingLoop) as runner:
        steps = 1
        while runner.run(cut(steps)):
            steps += 1

    assert steps > 5
    assert 0 == connections_left(server)


def connections_left(server: Emulator) -> int:
    """
    Count the connections that the server still sees, once it had a moment to see the last ones end.
    """
    assert server._runner is not None
    assert server._runner.server is not None
    until = time.monotonic() + 5
    while server._runner.server.connections and time.monotonic() < until:
        time.sleep(0.01)
    return len(server._runner.server.connections)


async def test_cancelling_while_waiting_for_slots_sends_nothing() -> None:
    """
    A submit that still queues is simply gone, and the next in the queue moves up.
    """
    async with (
        Emulator(latency=(0.2, 0.2), slots=1) as server,
        KlingClient(server.api_key, base_url=server.url, slots=1, polling=PollPolicy(first_delay=0.05)) as client,
    ):
        first = await client.submit("a lighthouse")
        queued = asyncio.ensure_future(client.submit("a harbour"))
        last = asyncio.ensure_future(client.submit("a mole"))
        await asyncio.sleep(0)
        queued.cancel()
        await first
        await last

        assert ["a lighthouse", "a mole"] == [task.prompt for task in server.ledger.tasks]


async def test_cancelling_while_the_answer_is_out_keeps_the_task_in_sight(caplog: pytest.LogCaptureFixture) -> None:
    """
    Once the POST has begun it is finished: the task shows among the unfinished, and its id is logged as a warning.
    """
    async with (
        Emulator(latency=(5, 5), faults=[faults.delay_after("create", 0.1)]) as server,
        KlingClient(server.api_key, base_url=server.url) as client,
    ):
        submitting = asyncio.ensure_future(client.submit("a lighthouse"))
        while not server.ledger.tasks:
            await asyncio.sleep(0)
        submitting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await submitting
        while not client.unfinished:
            await asyncio.sleep(0.01)

        assert [server.ledger.tasks[0].task_id] == [handle.task_id for handle in client.unfinished]
        assert server.ledger.tasks[0].task_id in caplog.text


async def test_closing_waits_for_an_answer_that_is_out(caplog: pytest.LogCaptureFixture) -> None:
    """
    A client closed in the middle of a submit still learns the task's id, and tells it.
    """
    async with Emulator(latency=(5, 5), faults=[faults.delay_after("create", 0.1)]) as server:
        client = KlingClient(server.api_key, base_url=server.url, retry=RetryPolicy(first_delay=0.05))
        submitting = asyncio.ensure_future(client.submit("a lighthouse"))
        while not server.ledger.tasks:
            await asyncio.sleep(0)
        await client.aclose()
        handle = await submitting

        assert server.ledger.tasks[0].task_id == handle.task_id
        assert (handle,) == client.unfinished


async def test_a_submit_that_the_loop_cuts_off_is_uncertain() -> None:
    """
    What may have been accepted is told as such, with the request that may have been; its slots are free again.
    """
    rules = [faults.delay_after("create", 5)]
    async with (
        Emulator(dialect=OFFICIAL, faults=rules) as server,
        KlingClient(server.api_key, base_url=server.url, dialect=OFFICIAL) as client,
    ):
        submitting = asyncio.ensure_future(client.submit("a lighthouse"))
        while not server.ledger.tasks:
            await asyncio.sleep(0.01)
        for post in tuple(client.core.submitter._deliveries):
            post.cancel()  # as asyncio.run does in the end
        with pytest.raises(SubmissionUncertain) as caught:
            await submitting

        assert caught.value.request is not None
        assert server.ledger.tasks[0].external_task_id == caught.value.request.external_task_id
        assert [] == [model for model, usage in client.slots.items() if usage.used]
