"""
Programs and commands of the pages and examples, each in a process of its own, without Python's start.
"""

import asyncio
import os
from collections.abc import Iterator

import pytest

from tests.fakes.zygote import install, serving


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
