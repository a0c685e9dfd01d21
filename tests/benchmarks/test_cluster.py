"""
What a cluster is measured with: few and small pictures here.
"""

import asyncio
import sys
from collections.abc import Iterator

import pytest

from benchmarks import cluster, downloads
from benchmarks.figures import Figure

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="CPU and memory are read from /proc")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with downloads.service(downloads.picture(40)) as server:
        yield server.url


def test_this_process_is_measured(url: str) -> None:
    cost = asyncio.run(cluster.run(url, None, "heavy", 20))

    assert min(cost.seconds, cost.driver, cost.driver_peak, cost.worker_peak, cost.row_bytes) > 0
    assert 0 == cost.scheduler


def test_a_cluster_is_measured(url: str) -> None:
    """
    Scheduler and worker beside the driver.
    """
    with cluster.cluster(1) as address:
        cost = asyncio.run(cluster.run(url, address, "light", 6))

    assert address is not None
    assert min(cost.seconds, cost.driver, cost.worker_peak) > 0
    assert cost.others >= cost.scheduler >= 0


def test_differences_are_taken_pair_by_pair() -> None:
    ours, others = Figure("a", "ms", (3.0, 5.0)), Figure("b", "ms", (1.0, 4.0))

    assert Figure("c", "ms", (2.0, 1.0)) == cluster.difference("c", ours, others)
