"""
What is logged of submits that end before it is known whether the service accepted them.
"""

import asyncio
import logging
import re
import signal
import sys
from pathlib import Path

import pytest

from kling_async import GATEWAY, Batch, ImageRequest, Keyed
from kling_async.emulator import Emulator, faults
from kling_async.errors import SubmissionUncertain
from tests.fakes.batches import client_of, outcomes_of

PROGRAM = """\
import asyncio, logging, sys
from kling_async import KlingClient

async def main():
    client = KlingClient("sk-x", base_url=sys.argv[1])
    await asyncio.gather(*(client.generate(prompt) for prompt in sys.argv[2:]))

logging.basicConfig()
asyncio.run(main())
"""
"""
A client that is neither entered nor closed, as in a short script.
"""


@pytest.fixture(autouse=True)
def warnings_alone(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "kling_async")


async def test_loop_that_ends() -> None:
    """
    Where Ctrl-C ends the loop with submits on their way, the log names each by its task's id or its prompt.
    """
    prompts = [f"{animal} {number}" for number in range(4) for animal in ("fox", "owl")]
    slow = faults.delay_after("create", 60.0, prompt="owl")
    async with Emulator(dialect=GATEWAY, api_key="sk-x", latency=(60, 60), slots=None, faults=[slow]) as server:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", PROGRAM, server.url, *prompts),
            stderr=asyncio.subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        async with asyncio.timeout(30):
            while len(server.ledger.tasks) < len(prompts):
                await asyncio.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, told = await process.communicate()

    log = told.decode()
    assert [] == [task.prompt for task in server.ledger.tasks if task.task_id not in log and task.prompt not in log]
    assert 4 <= log.count("a submit was cancelled, and its fate is unknown (prompt '")


async def test_key_of_a_row(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """
    A row of a batch is named by its key as well, with when it was sent and when it was given up, to the second.
    """
    async with Emulator(dialect=GATEWAY, faults=[faults.reset_after("create")]) as server:
        async with client_of(server) as client, Batch(tmp_path / "j.kling", client) as batch:
            await batch.add([Keyed(ImageRequest("a fox"), "row-17")])
            await outcomes_of(batch)

    moment = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00"
    facts = rf"\(prompt 'a fox', key row-17, external_task_id None, begun {moment}, ended {moment}\)"
    assert re.search(f"a submit was given up, and its fate is unknown {facts}", caplog.text)


async def test_prompt_is_short_and_on_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """
    A prompt can neither fill the log nor begin a line of its own in it.
    """
    async with Emulator(dialect=GATEWAY, faults=[faults.reset_after("create")]) as server, client_of(server) as client:
        with pytest.raises(SubmissionUncertain):
            await client.submit("a fox\nWARNING forged " + 400 * "x")

    (told,) = [record.getMessage() for record in caplog.records if "its fate is unknown" in record.getMessage()]
    assert r"(prompt 'a fox\nWARNING forged " in told
    assert "\n" not in told
    assert "x" * 100 not in told


async def test_accepted_though_its_caller_has_gone(caplog: pytest.LogCaptureFixture) -> None:
    """
    A task that was accepted after its caller was cancelled is named with its prompt.
    """
    async with Emulator(dialect=GATEWAY, faults=[faults.delay_after("create", 0.5)]) as server:
        async with client_of(server) as client:
            submitting = asyncio.ensure_future(client.submit("a fox"))
            while not server.ledger.tasks:
                await asyncio.sleep(0.005)
            submitting.cancel()
            await asyncio.wait({submitting})

    (task,) = server.ledger.tasks
    assert f"its task {task.task_id} was accepted and is running: 'a fox'" in caplog.text
