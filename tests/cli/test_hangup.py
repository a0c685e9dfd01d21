"""
A terminal that is closed while a command works: as with SIGTERM nothing paid for is lost, and `nohup` is honoured.
"""

import asyncio
import contextlib
import json
import os
import pty
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

from kling_async import OFFICIAL
from kling_async.batch.journal import Reader
from kling_async.batch.records import State
from kling_async.cli.task_runner import NOTE
from kling_async.emulator import faults
from tests.cli.conftest import Command, Running, service
from tests.fakes.eventually import eventually
from tests.fakes.subprocesses import PATIENCE

SLOW: Final = faults.delay_after("create", 3.0)
"""
Leaves time to close a terminal between the acceptance of a task and the answer.
"""


@pytest.fixture(autouse=True)
def _hangups_arrive() -> Iterator[None]:
    # pytest itself may run under nohup, and programs inherit what is ignored.
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@attrs.frozen
class OnTerminal:
    """
    A command at work on a terminal of its own, which can be closed.
    """

    process: asyncio.subprocess.Process
    ours: int

    def close(self) -> None:
        """
        Close the terminal, as a person closes its window.
        """
        os.close(self.ours)

    async def code(self) -> int:
        async with asyncio.timeout(PATIENCE):
            return await self.process.wait()


@contextlib.asynccontextmanager
async def on_terminal(command: Command, *words: str) -> AsyncIterator[OnTerminal]:
    ours, theirs = pty.openpty()
    program = [sys.executable, "-m", "kling_async", *words]
    where: dict[str, Any] = {"cwd": command.folder, "env": command.environ()}
    process = await asyncio.create_subprocess_exec(*program, **where, preexec_fn=lambda: os.login_tty(theirs))
    os.close(theirs)
    try:
        yield OnTerminal(process, ours)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        with contextlib.suppress(OSError):
            os.close(ours)


def states_in(journal: Path) -> set[State]:
    with Reader(journal) as reader:
        return {row.state for row in reader.rows()}


async def test_batch_on_a_terminal_that_closes(command: Command) -> None:
    """
    Submits on their way learn their task's id, so that no row is uncertain in the next run.
    """
    (command.folder / "prompts.txt").write_text("a fox\nan owl\n")
    async with (
        service(latency=(60, 60), faults=[SLOW]) as server,
        on_terminal(command.to(server), "batch", "prompts.txt") as running,
    ):
        await eventually(lambda: len(server.ledger.tasks) == 2)
        running.close()
        code = await running.code()

    assert 130 == code
    assert {State.ACCEPTED} == states_in(command.folder / "prompts.txt.kling")


async def test_generate_on_a_terminal_that_closes(command: Command) -> None:
    """
    Where the ids of tasks cannot be printed any more, they are in a file beside the pictures; also those that were
    learnt afterwards.
    """
    async with (
        service(latency=(60, 60), faults=[attrs.evolve(SLOW, prompt="owl")]) as server,
        on_terminal(command.to(server), "generate", "a fox", "an owl") as running,
    ):
        await eventually(lambda: len(server.ledger.tasks) == 2)
        running.close()
        code = await running.code()

    assert 130 == code
    told = (command.folder / "pictures" / NOTE).read_text().split()
    assert {task.task_id for task in server.ledger.tasks} == set(told)
    assert len(set(told)) == len(told)


async def test_video_on_a_terminal_that_closes(command: Command) -> None:
    """
    The file says of which kind the tasks are, as `kling-async wait -` needs it.
    """
    async with (
        service(latency=(60, 60), dialect=OFFICIAL) as server,
        on_terminal(command.to(server), "video", "a fox", "--dialect", "official") as running,
    ):
        await eventually(lambda: len(server.ledger.tasks) == 1)
        running.close()
        code = await running.code()

    (task,) = server.ledger.tasks
    assert 130 == code
    told = (command.folder / "videos" / NOTE).read_text()
    assert {"task_id": task.task_id, "endpoint": "text-to-video"} == json.loads(told)


@pytest.mark.parametrize("first", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
async def test_hangup_during_the_end(command: Command, first: signal.Signals) -> None:
    """
    SIGHUP ends a command properly. A later one does not interrupt that: the kernel and the shell both send it, and
    systemd sends it after SIGTERM.
    """
    async with (
        service(latency=(60, 60), faults=[SLOW]) as server,
        command.to(server).running("generate", "a fox") as running,
    ):
        await eventually(lambda: server.ledger.tasks)
        running.interrupt(first)
        assert running.process.stderr is not None
        await running.process.stderr.readuntil(b"10 s")
        running.interrupt(signal.SIGHUP)
        ended = await running.ended()

    (task,) = server.ledger.tasks
    assert 130 == ended.code
    assert f"Accepted in the meantime:\n  {task.task_id}  a fox\n" in ended.err
    assert f"  kling-async wait {task.task_id} --save --out pictures\n" in ended.err
    assert not (command.folder / "pictures" / NOTE).exists()


@pytest.mark.skipif(shutil.which("nohup") is None, reason="there is no nohup here")
async def test_nohup(command: Command) -> None:
    """
    A command that was started by `nohup` goes on to its end.
    """
    async with service(latency=(2, 2)) as server:
        process = await asyncio.create_subprocess_exec(
            *("nohup", sys.executable, "-m", "kling_async", "generate", "a fox"),
            cwd=command.folder,
            env=command.to(server).environ(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        running = Running(process)
        await eventually(lambda: server.ledger.tasks)
        running.interrupt(signal.SIGHUP)
        ended = await running.ended()

    assert 0 == ended.code
    assert 1 == len(list((command.folder / "pictures").iterdir()))
