"""
Dask clusters on this machine, and batches that run on them.
"""

import contextlib
import logging
import multiprocessing
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from distributed import Client, LocalCluster
from distributed.utils import get_mp_context

from kling_async import Batch, Done, Failed, ImageRequest, KlingClient
from kling_async.batch.executors import WorkItem
from kling_async.emulator import Emulator, Fault
from kling_async.media.naming import NameTemplate
from kling_async.media.saved_files import SavedFile
from kling_async.policy.host_networks import Network
from kling_async.wire import TaskRequest
from tests.fakes import sample_functions
from tests.fakes.storages import EAGER

# The process whose forks are workers imports the package too. The list that Dask sets at first use lacks it.
get_mp_context()  # type: ignore[no-untyped-call]
multiprocessing.set_forkserver_preload(["kling_async.batch.batch", "kling_async.integrations.dask", "pytest", "s3fs"])


@contextlib.asynccontextmanager
async def cluster(workers: int = 1, *, processes: bool = False, threads: int = 1) -> AsyncIterator[Client]:
    """
    A cluster of its own, and its client.
    """
    async with (
        LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=workers,
            threads_per_worker=threads,
            processes=processes,
            dashboard_address=":0",
            silence_logs=logging.CRITICAL,
            asynchronous=True,
        ) as made,
        Client(made, asynchronous=True) as dask_client,  # type: ignore[no-untyped-call]
    ):
        yield dask_client


def made_of(dask_client: Client) -> LocalCluster:
    assert isinstance(dask_client.cluster, LocalCluster)
    return dask_client.cluster


async def run(client: KlingClient, folder: Path, *prompts: str | TaskRequest, **options: Any) -> list[Done | Failed]:
    """
    Run a batch in *folder*, and return its outcomes in the order of the input.
    """
    async with Batch(folder / "run.kling", client) as batch:
        await batch.add(prompts)
        outcomes = [outcome async for outcome in batch.run(**{"save_to": folder / "pictures", **options})]
    return sorted(outcomes, key=lambda outcome: outcome.index)


@contextlib.asynccontextmanager
async def served(*troubles: Fault) -> AsyncIterator[KlingClient]:
    """
    A client of a service that has these faults.
    """
    async with Emulator(latency=(0.02, 0.05), pictures="plain", picture_scale=0.05, faults=troubles) as server:
        async with KlingClient(server.api_key, base_url=server.url, dialect=server.dialect, polling=EAGER) as client:
            yield client


def seen(outcomes: list[Done | Failed]) -> list[Any]:
    return [outcome.value if isinstance(outcome, Done) else type(outcome.error) for outcome in outcomes]


def item_in(folder: Path) -> WorkItem:
    names = NameTemplate("{task_id}{ext}", "t-1")
    picture = SavedFile(0, folder / "t-1.png", 4, "00")
    return WorkItem(
        "k-1",
        "t-1",
        ImageRequest("a fox"),
        None,
        picture,
        names,
        folder,
        sample_functions.nothing,
        networks=frozenset({Network.LOOPBACK}),
    )
