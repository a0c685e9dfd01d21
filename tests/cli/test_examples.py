"""
The examples of every command's help, each run by a shell as it stands there, in a folder that has what they name.
"""

import asyncio
import contextlib
import importlib
import json
import os
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import attrs
import PIL.Image
import pytest

from kling_async import OFFICIAL, TextToVideo
from kling_async.cli.commands import COMMANDS
from kling_async.client.callbacks.receiver import CallbackReceiver
from kling_async.emulator import Emulator
from tests.cli.conftest import Command, Ended, know, service
from tests.fakes.eventually import eventually
from tests.fakes.subprocesses import PATIENCE
from tests.fakes.zygote import install, serving
from tests.unit.gallery.conftest import begin_batch, painter

TASK_ID: Final = "CjikY2gHPbcAAAAAAKJ0-A"
VIDEO_ID: Final = "867283741759111202"
SECRET: Final = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="

WAITS: Final = "kling-async wait --save -"
"""
An example that waits for tasks which others list: they end once it waits.
"""

MAKE_PROMPTS: Final = """\
#!/bin/sh
echo '{"prompt": "a fox"}'
"""


def examples() -> Iterator[str]:
    for module in (importlib.import_module(f"kling_async.cli.{entry.name.replace('-', '_')}") for entry in COMMANDS):
        head, *lines = module.EXAMPLES.splitlines()
        assert "Examples:" == head
        yield from (line.strip() for line in lines)


LINES: Final = tuple(examples())


def furnish(folder: Path) -> None:
    """
    Put into *folder* what the examples name.
    """
    (folder / "prompts.txt").write_text("a lighthouse\na fox in snow\n")
    (folder / "my-prompts.txt").write_text("a lighthouse\n")
    (folder / "table.csv").write_text("key,prompt\none,a lighthouse\n")
    (folder / "ids.txt").write_text(f"{TASK_ID}\nother-task\n")
    for name in ("lighthouse", "boat", "cat", "hat"):
        PIL.Image.new("RGB", (300, 300)).save(folder / f"{name}.png")
    for name in ("pictures", "pages"):
        (folder / name).mkdir()
    PIL.Image.new("RGB", (30, 30)).save(folder / "pictures" / "fox.png")
    install(folder / "bin")
    (folder / "bin" / "make-prompts").write_text(MAKE_PROMPTS)
    (folder / "bin" / "make-prompts").chmod(0o755)


async def run(line: str, folder: Path, server: Emulator, more: Mapping[str, str]) -> Ended:
    """
    Let a shell run *line*; what would serve for ever is stopped by Ctrl-C once it serves.
    """
    furnish(folder)
    if "gallery run.kling" in line or "--results" in line:  # other examples begin a journal of this name
        await (await begin_batch(folder, painter(folder))).aclose()
    env = Command(folder, {**more, "BROWSER": "true", "HOME": str(folder)}, {}).to(server).environ()
    line = line.replace(":8000", ":0")  # another program may listen there
    pipe = asyncio.subprocess.PIPE
    shell = await asyncio.create_subprocess_exec(
        "bash", "-o", "pipefail", "-c", line,
        stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe, start_new_session=True,
        cwd=folder, env={**env, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert shell.stdout is not None
    assert shell.stderr is not None
    seen = served = b""
    try:
        async with asyncio.timeout(PATIENCE):
            if line.startswith("kling-async emulator"):
                seen = await shell.stdout.readuntil(b"    -d ")
                os.killpg(shell.pid, signal.SIGINT)
            elif "--http" in line:
                served = await shell.stderr.readuntil(b"Ctrl-C to stop)")
                os.killpg(shell.pid, signal.SIGINT)
            out, err = await shell.communicate()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)
        await shell.wait()
    assert shell.returncode is not None
    return Ended(shell.returncode, (seen + out).decode(), (served + err).decode())


async def run_all(folder: Path) -> dict[str, Ended]:
    receiver = CallbackReceiver("http://127.0.0.1", secret=SECRET)
    path = folder / "zygote"
    shift = 0.0
    quick: dict[str, Any] = {"dialect": OFFICIAL, "clock": lambda: time.time() + shift}
    async with service(**quick) as server, receiver.serve() as hook, serving(path, "--vendor"):
        know(server, TASK_ID, "other-task", n=2)
        server.account.restore(VIDEO_ID, TextToVideo("a boat", duration=3), time.time() - 60)
        ordinary = server.account.settings
        server.account.settings = attrs.evolve(ordinary, latency=(1000.0, 1000.0))
        know(server, "busy-1", ends_in=-500)  # half done
        server.account.settings = ordinary
        address = hook.url + urlsplit(receiver.address_of("test")).path
        more = {"ADDRESS": address, "SECRET": SECRET, "ZYGOTE": str(path)}
        places = {line: folder / str(number) for number, line in enumerate(LINES)}
        few = asyncio.Semaphore(10)

        async def run_one(line: str) -> Ended:
            places[line].mkdir()
            async with few:
                return await run(line, places[line], server, more)

        first = [line for line in LINES if WAITS not in line]
        ended = dict(zip(first, await asyncio.gather(*map(run_one, first)), strict=True))
        (waiting,) = places.keys() - ended.keys()
        reads, aio_task = server.ledger.reads, asyncio.create_task(run_one(waiting))
        await eventually(lambda: server.ledger.reads > reads or aio_task.done())
        shift = 1000.0
        return {**ended, waiting: await aio_task}


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory, heard_interrupts: None) -> dict[str, Ended]:
    """
    Run all examples, several at a time.
    """
    return asyncio.run(run_all(tmp_path_factory.mktemp("examples")))


@pytest.mark.long
@pytest.mark.parametrize("line", LINES)
def test_example(ended: Mapping[str, Ended], line: str) -> None:
    """
    Each does what it is there to show.
    """
    result = ended[line]

    assert 0 == result.code, result
    assert bool(result.out) is not line.startswith("kling-async mcp")  # where the output belongs to the protocol
    assert "Traceback" not in result.err
    if "--json" in line and "wait" not in line and "save" not in line:
        assert all(isinstance(json.loads(text), dict) for text in result.out.splitlines())


def test_every_command_has_examples() -> None:
    """
    No command is skipped.
    """
    assert [] == [entry.name for entry in COMMANDS if not any(f"kling-async {entry.name}" in line for line in LINES)]
