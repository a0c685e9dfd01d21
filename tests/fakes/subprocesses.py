"""
Programs of the tests' own, run as processes that can be killed.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final

import attrs

PATIENCE: Final = 120.0
"""
Seconds after which a program is taken to hang; none takes a tenth of it on a machine with nothing else to do.
"""


@attrs.frozen
class Ended:
    """
    What a program or command left behind.
    """

    code: int | None
    out: str
    err: str


async def run(*words: str, folder: Path, env: Mapping[str, str], stdin: bytes = b"") -> Ended:
    """
    Run a program to its end. It does not outlive this, and neither do programs that it has begun.
    """
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *words, cwd=folder, env=env, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
    )
    try:
        async with asyncio.timeout(PATIENCE):
            out, err = await process.communicate(stdin)
    finally:
        await kill(process)
    return Ended(process.returncode, out.decode(), err.decode())


async def kill(process: asyncio.subprocess.Process) -> None:
    """
    Kill a program that leads a session of its own, and all that it has begun.
    """
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


@contextlib.asynccontextmanager
async def program(
    module: str, *words: str, zygote: Mapping[str, str] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """
    Run a module of the checkout, as a fork of *zygote* if there is one; it does not outlive the context.
    """
    python = f"{zygote['PATH'].partition(os.pathsep)[0]}/python" if zygote else sys.executable
    process = await asyncio.create_subprocess_exec(
        *(python, "-m", module, *words),
        cwd=Path(__file__).parents[2],
        env={**os.environ, **(zygote or {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
