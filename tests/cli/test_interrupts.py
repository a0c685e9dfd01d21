"""
Ctrl-C at any time: no traceback, and what a command has begun is reported.
"""

import asyncio
import gc
import importlib.metadata
import os
import runpy
import signal
import sys
import warnings
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import typer

import kling_async_command
from kling_async.cli import command_runner
from kling_async.cli.exit_codes import ExitCode
from tests.cli.conftest import SOURCE
from tests.fakes.subprocesses import PATIENCE

PACKAGE = """
import sys, time
print("importing", flush=True)
for _ in sys.stdin:
    pass
"""
"""
A package whose import takes until stdin is closed, in the place of ours.
"""


@pytest.fixture
async def importing(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[asyncio.subprocess.Process]:
    """
    The program in the middle of importing the package; the parameter is what SIGINT does at its start.
    """
    (tmp_path / "kling_async").mkdir()
    (tmp_path / "kling_async" / "__init__.py").write_text(PACKAGE)
    (tmp_path / "kling_async" / "__main__.py").write_text("def main(): print('ran')\n")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from kling_async_command import main; main()"),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{SOURCE}"},
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        preexec_fn=lambda: signal.signal(signal.SIGINT, request.param),
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE):
            assert b"importing\n" == await process.stdout.readline()
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def test_the_program_is_the_one_that_is_tested() -> None:
    """
    What installers make `kling-async` of.
    """
    [script] = importlib.metadata.distribution("kling-async").entry_points.select(name="kling-async")

    assert kling_async_command.main is script.load()


def test_the_package_runs_the_same_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    `python -m kling_async` is as silent as the installed command.
    """
    calls: list[str] = []
    monkeypatch.setattr(kling_async_command, "main", lambda: calls.append("main"))
    runpy.run_path(str(Path(command_runner.__file__).parents[1] / "__main__.py"), run_name="__main__")

    assert ["main"] == calls


@pytest.mark.parametrize("importing", [signal.SIG_DFL], indirect=True)
async def test_while_the_package_is_imported(importing: asyncio.subprocess.Process) -> None:
    """
    The process ends by the signal, as a shell expects it, and prints nothing.
    """
    importing.send_signal(signal.SIGINT)

    async with asyncio.timeout(PATIENCE):
        ended = await importing.communicate()

    assert (b"", b"") == ended
    assert -signal.SIGINT == importing.returncode


@pytest.mark.parametrize("importing", [signal.SIG_IGN], indirect=True)
async def test_job_in_the_background(importing: asyncio.subprocess.Process) -> None:
    """
    A job that a shell has told to ignore Ctrl-C goes on.
    """
    importing.send_signal(signal.SIGINT)

    async with asyncio.timeout(PATIENCE):
        ended = await importing.communicate(b"")

    assert ((b"ran\n", b""), 0) == (ended, importing.returncode)


def test_before_the_work_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    An interrupt that comes first ends the command, without a warning about work that never began.
    """

    def interrupt(_: object) -> ExitCode:
        raise KeyboardInterrupt

    async def work() -> ExitCode:
        return ExitCode.SUCCESS

    monkeypatch.setattr(asyncio, "run", interrupt)
    with warnings.catch_warnings(action="error"), pytest.raises(typer.Exit) as end:
        command_runner.run(work())

    assert ExitCode.INTERRUPTED == end.value.exit_code


def test_while_an_asyncio_task_runs(caplog: pytest.LogCaptureFixture) -> None:
    """
    Python raises KeyboardInterrupt in whatever runs. It ends the command, and is not reported as a fault of that task.
    """

    async def interrupted() -> None:
        raise KeyboardInterrupt

    async def work() -> ExitCode:
        aio_task = asyncio.create_task(interrupted())
        await asyncio.wait([aio_task])
        raise AssertionError("the command went on")

    with pytest.raises(typer.Exit) as ended:
        command_runner.run(work())
    gc.collect()

    assert (ExitCode.INTERRUPTED, "") == (ended.value.exit_code, caplog.text)
