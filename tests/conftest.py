"""
Options and fixtures of all tests.
"""

import contextlib
import gc
import os
from collections.abc import Callable, Iterator

import aioresponses
import pytest

from kling_async.emulator import Emulator
from kling_async.integrations.pytest_plugin import serve
from tests.fakes.mocked_http import mocked_http

pytest_plugins = ["pytester"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """
    How long the torture test tortures; `nox -s torture` asks for more.
    """
    parser.addoption("--kills", type=int, default=20, help="how often the torture test kills a batch")


def pytest_collection_finish() -> None:
    """
    Take modules and tests out of the garbage collector's view: many tests collect, and each would walk through all.
    """
    gc.collect()
    gc.freeze()


def pytest_xdist_auto_num_workers() -> int:
    """
    One process more than there are cores: half of the time a test waits for sockets, timers or programs.
    """
    return (os.cpu_count() or 1) + 1


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
