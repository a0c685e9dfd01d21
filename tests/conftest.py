"""
Options and fixtures of all tests.
"""

import asyncio
import contextlib
import gc
import os
from collections.abc import Callable, Iterator

import aioresponses
import hypothesis
import pytest

from kling_async.emulator import Emulator
from kling_async.integrations.pytest_plugin import serve
from tests.fakes.mocked_http import mocked_http
from tests.fakes.zygote import install, serving

pytest_plugins = ["pytester"]

# Workers of Dask clusters are forks of one process that has imported Dask; each would import it for 2 s.
os.environ.setdefault("DASK_DISTRIBUTED__WORKER__MULTIPROCESSING_METHOD", "forkserver")


def pytest_addoption(parser: pytest.Parser) -> None:
    """
    Everyday runs take a few seeds and examples of what `nox -s thorough` and `nox -s torture` run in full.
    """
    parser.addoption("--thorough", action="store_true", help="run every seed, every size and four times the examples")
    parser.addoption("--kills", type=int, default=8, help="how often the torture test kills a batch")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "thorough: run with --thorough only")
    # What is slow is the machine that runs other tests too.
    patient = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
    hypothesis.settings.register_profile("thorough", patient)
    hypothesis.settings.register_profile("everyday", patient, max_examples=25)
    hypothesis.settings.load_profile("thorough" if config.getoption("--thorough") else "everyday")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--thorough"):
        return
    left_out = [item for item in items if item.get_closest_marker("thorough")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if not item.get_closest_marker("thorough")]


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
