"""
The commands as a person runs them: in a process of their own, in a folder of their own.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import attrs
import pytest

import kling_async
from kling_async.__main__ import main
from kling_async.emulator import Emulator

SOURCE = str(Path(kling_async.__file__).parents[1])
PATIENCE = 20.0  # seconds; nothing takes that long unless it hangs


@pytest.fixture(autouse=True, scope="session")
def heard_interrupts() -> None:
    """
    Let commands hear Ctrl-C where the tests themselves were started deaf to it, as jobs in the background are.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@attrs.frozen
class Ended:
    """
    What a command left behind.
    """

    code: int
    out: str
    err: str


@attrs.frozen
class Running:
    """
    A command at work; `seen` is what it has printed up to now.
    """

    process: asyncio.subprocess.Process
    seen: list[str] = attrs.field(factory=list)

    async def until(self, text: str, times: int = 1) -> None:
        """
        Read stdout until *times* lines hold *text*.
        """
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            while sum(text in line for line in self.seen) < times:
                line = await self.process.stdout.readline()
                assert line, f"ended without {text!r}: {self.seen}"
                self.seen.append(line.decode())

    def interrupt(self, number: signal.Signals = signal.SIGINT) -> None:
        self.process.send_signal(number)

    async def ended(self, stdin: bytes = b"") -> Ended:
        async with asyncio.timeout(PATIENCE):
            out, err = await self.process.communicate(stdin)
        assert self.process.returncode is not None
        return Ended(self.process.returncode, "".join(self.seen) + out.decode(), err.decode())


@attrs.frozen
class Command:
    """
    `kling-async`, run in *folder* with *env* and no key but what that names.
    """

    folder: Path
    env: Mapping[str, str]

    def environ(self) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("KLING_", "COLUMNS"))}
        return {**ours, "PYTHONPATH": SOURCE, "TERM": "xterm-256color", "COLUMNS": "80", **self.env}

    def to(self, server: Emulator) -> "Command":
        """
        Return the command with the address and the key of *server*.
        """
        return self.with_env(KLING_BASE_URL=server.url, KLING_API_KEY=server.api_key)

    def with_env(self, **env: str) -> "Command":
        return attrs.evolve(self, env={**self.env, **env})

    @contextlib.asynccontextmanager
    async def running(self, *words: str) -> AsyncIterator[Running]:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "kling_async", *words,
            stdin=pipe, stdout=pipe, stderr=pipe, cwd=self.folder, env=self.environ(),
        )  # fmt: skip
        try:
            yield Running(process)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def __call__(self, *words: str, stdin: bytes = b"") -> Ended:
        async with self.running(*words) as running:
            return await running.ended(stdin)


Here: TypeAlias = Callable[..., Ended]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Here:
    """
    Run a command in this process: quick, for what ends before anything is sent.
    """
    for name, value in {"COLUMNS": "80", "KLING_API_KEY": "sk-x", "KLING_BASE_URL": "http://127.0.0.1:9"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["kling-async", *words])
        with pytest.raises(SystemExit) as end:
            main()
        return Ended(end.value.code, *capfd.readouterr())  # type: ignore[arg-type]

    return run


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path, {})


async def wait_until(condition: Callable[[], object]) -> None:
    """
    Look again and again until *condition* holds.
    """
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def service(**settings: Any) -> AsyncIterator[Emulator]:
    """
    A quick service with small pictures.
    """
    async with Emulator(**{"latency": (0.1, 0.3), "picture_scale": 0.1, **settings}) as server:
        yield server
