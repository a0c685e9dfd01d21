"""
Fixtures of all tests.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator

import aioresponses
import pytest

from kling_async.emulator import Emulator
from kling_async.integrations.pytest_plugin import serve
from tests.fakes.gate import hold
from tests.fakes.mocked_http import mocked_http
from tests.fakes.zygote import install, serving


@pytest.fixture
def service() -> Iterator[aioresponses.aioresponses]:
    """
    An aioresponses that answers every request of the test.
    """
    with mocked_http() as service:
        yield service


@pytest.fixture
def emulator_in_thread() -> Iterator[Callable[..., Emulator]]:
    """
    Start emulators that live in a loop and a thread of their own.
    """
    with contextlib.ExitStack() as stack:
        yield lambda **settings: stack.enter_context(serve(settings))


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """
    Keep what the emulator delays by `tests.fakes.gate.HELD` seconds, until the test sets this.
    """
    return hold(monkeypatch)


@pytest.fixture(scope="session")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """
    Return the environment in which `python` and `kling-async` start at once.
    """
    folder = tmp_path_factory.mktemp("zygote")
    path = folder / "socket"

    with asyncio.Runner() as runner:
        served = serving(path)
        runner.run(served.__aenter__())
        yield {"ZYGOTE": str(path), "PATH": f"{install(folder / 'bin')}{os.pathsep}{os.environ['PATH']}"}
        runner.run(served.__aexit__(None, None, None))
