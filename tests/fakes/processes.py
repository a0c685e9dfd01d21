"""
A process that calls the functions of several tests, because each one loads pytest and the package when it starts.
"""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest

from kling_async.batch import local_executor


class LentPool:
    """
    A pool that outlives the executors that it is lent to.
    """

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self.submit = pool.submit

    def shutdown(self, **options: Any) -> None:
        """
        Leave the process to the next test.
        """


@pytest.fixture(scope="session")
def pool() -> Iterator[LentPool]:
    with local_executor._new_pool(1) as pool:
        yield LentPool(pool)


@pytest.fixture
def lent_process(pool: LentPool, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Every `LocalExecutor` of the test calls in the same process, which must not die.
    """
    monkeypatch.setattr(local_executor, "_new_pool", lambda _: pool)
