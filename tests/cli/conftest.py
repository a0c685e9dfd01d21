"""
The commands as a person runs them: in a process of their own, in a folder of their own.
"""

import asyncio
import contextlib
import fcntl
import io
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import attrs
import pytest

import kling_async
from kling_async import OFFICIAL, ImageRequest
from kling_async.__main__ import main
from kling_async.emulator import Emulator
from tests.fakes.subprocesses import PATIENCE

SOURCE = str(Path(kling_async.__file__).parents[1])

CHEAP = {"PICTURE_SCALE": "0.1", "PICTURES": "plain"}
"""
Settings of the zygote: the emulators of commands make plain pictures, and all files at a tenth of their width.
"""


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

    It is a fork of the *zygote*, to which its stub forwards signals. What it emulates makes small, plain pictures.
    """

    folder: Path
    env: Mapping[str, str]
    zygote: Mapping[str, str]

    def environ(self) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("KLING_", "COLUMNS"))}
        return {**ours, "PYTHONPATH": SOURCE, "TERM": "xterm-256color", "COLUMNS": "80", **CHEAP, **self.env}

    def to(self, server: Emulator) -> "Command":
        """
        Return the command with the address and the key of *server*.
        """
        return self.with_env(KLING_BASE_URL=server.url, KLING_API_KEY=server.api_key)

    def with_env(self, **env: str) -> "Command":
        return attrs.evolve(self, env={**self.env, **env})

    def running(self, *words: str) -> contextlib.AbstractAsyncContextManager[Running]:
        return self._begin(*self.program, *words, env={**self.environ(), **self.zygote})

    @property
    def program(self) -> tuple[str, ...]:
        """
        The program that stands for `kling-async`; it needs `ZYGOTE` in its environment.
        """
        return (f"{self.zygote['PATH'].partition(os.pathsep)[0]}/kling-async",)

    @contextlib.asynccontextmanager
    async def _begin(self, *words: str, env: Mapping[str, str]) -> AsyncIterator[Running]:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *words, stdin=pipe, stdout=pipe, stderr=pipe, cwd=self.folder, env=env
        )
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
def command(tmp_path: Path, zygote: Mapping[str, str]) -> Command:
    return Command(tmp_path, {}, zygote)


def know(server: Emulator, *task_ids: str, n: int = 1, ends_in: float = -60.0) -> None:
    """
    Let *server* know tasks of an earlier run, which are said to end in so many seconds.
    """
    for task_id in task_ids:
        server.account.restore(task_id, ImageRequest("a fox", n=n), time.time() + ends_in)


@attrs.frozen
class Served:
    """
    Commands in this process, and a service in a thread that has no tasks but those of other runs.
    """

    here: Here
    server: Emulator
    monkeypatch: pytest.MonkeyPatch

    def __call__(self, *words: str, stdin: str = "") -> Ended:
        self.monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        return self.here(*words, "--base-url", self.server.url, "--dialect", self.server.dialect.name)

    def has(self, *task_ids: str, n: int = 1, ends_in: float = -60.0) -> None:
        know(self.server, *task_ids, n=n, ends_in=ends_in)


ServedBy: TypeAlias = Callable[..., Served]


@pytest.fixture
def served(here: Here, emulator_in_thread: Callable[..., Emulator], monkeypatch: pytest.MonkeyPatch) -> ServedBy:
    def start(**settings: Any) -> Served:
        quick = {"api_key": "sk-x", "latency": (0.0, 0.0), "pictures": "plain", "picture_scale": 0.1}
        return Served(here, emulator_in_thread(**{"dialect": OFFICIAL, **quick, **settings}), monkeypatch)

    return start


def lines_of(out: str) -> list[dict[str, Any]]:
    """
    Read what `--json` printed, one object per line.
    """
    return [json.loads(line) for line in out.splitlines()]


def on_terminal(command: Command, *words: str, type_at: str | None = None) -> tuple[int, str]:
    """
    Run *words* on a terminal of its own, type Ctrl-C once *type_at* shows, and return the exit code and all it got.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    environ = {name: value for name, value in command.environ().items() if name != "COLUMNS"}
    process = subprocess.Popen(
        [*command.program, *words],
        cwd=command.folder,
        env={**environ, **command.zygote},
        preexec_fn=lambda: os.login_tty(theirs),  # noqa: PLW1509 (Ctrl-C needs a controlling terminal)
    )
    os.close(theirs)
    screen = ""
    try:
        while got := _read(ours):
            screen += got
            if type_at is not None and type_at in screen:
                os.write(ours, b"\x03")
                type_at = None
        return process.wait(PATIENCE), screen.replace("\r\n", "\n")
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _read(terminal: int) -> str:
    try:
        return os.read(terminal, 65536).decode(errors="replace")
    except OSError:  # Linux says so when the other side has closed
        return ""


@contextlib.asynccontextmanager
async def service(**settings: Any) -> AsyncIterator[Emulator]:
    """
    A quick service with small, plain pictures.
    """
    async with Emulator(**{"latency": (0.1, 0.3), "pictures": "plain", "picture_scale": 0.1, **settings}) as server:
        yield server
