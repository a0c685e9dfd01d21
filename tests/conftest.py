"""
Options of all tests, and how they are collected.
"""

import contextlib
import gc
import importlib
import os
import sys
from pathlib import Path
from typing import Any

import hypothesis
import pytest

pytest_plugins = ["pytester", "tests.fixtures"]

# `tests` and `benchmarks` are not installed; processes that tests begin find them, too.
sys.path.append(str(Path(__file__).parents[1]))

# What pytest makes of the modules is kept for the other workers, also where Python is told to keep nothing of the kind.
sys.dont_write_bytecode = False

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
    config.addinivalue_line("markers", "long: begin early, else one worker is busy with it after the others have ended")
    # What is slow is the machine that runs other tests too.
    patient = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
    hypothesis.settings.register_profile("thorough", patient)
    hypothesis.settings.register_profile("everyday", patient, max_examples=25)
    hypothesis.settings.load_profile("thorough" if config.getoption("--thorough") else "everyday")


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """
    Import all modules, each worker from another one on: what one has compiled, the others find.
    """
    worker: dict[str, Any] | None = getattr(session.config, "workerinput", None)
    if worker is None or session.config.args != session.config.getini("testpaths"):
        return
    root = session.config.rootpath
    paths = sorted(path.relative_to(root) for path in root.glob("tests/**/test_*.py"))
    modules = [".".join(path.with_suffix("").parts) for path in paths]
    first = len(modules) * int(worker["workerid"].removeprefix("gw")) // worker["workercount"]
    for module in modules[first:] + modules[:first]:
        with contextlib.suppress(Exception, pytest.skip.Exception):  # collecting will tell
            importlib.import_module(module)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
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
    Four processes more than there are cores: most of the time a test waits for sockets, timers or programs.
    """
    return (os.cpu_count() or 1) + 4
