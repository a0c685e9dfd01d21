"""
A program with a journal whose files a cluster downloads, saves and processes; tests kill it.

It reads its jobs as JSON from its one argument, and writes a line for each outcome.
"""

import asyncio
import json
import sys
from typing import Any

from distributed import Client

from kling_async import OFFICIAL, Batch, Failed, ImageRequest, Keyed, KlingClient, PollPolicy
from kling_async.integrations.dask import DaskExecutor
from kling_async.media.storage import Storage
from tests.fakes import sample_functions


async def main(jobs: dict[str, Any]) -> None:
    polling = PollPolicy(first_delay=0.05, max_delay=0.2)
    save_to = jobs["save_to"] if jobs["options"] is None else Storage(jobs["save_to"], jobs["options"])
    requests = [Keyed(ImageRequest(f"boat {number}"), f"boat-{number:03}") for number in range(jobs["count"])]
    async with (
        KlingClient(jobs["key"], base_url=jobs["url"], dialect=OFFICIAL, polling=polling) as client,
        Client(jobs["scheduler"], asynchronous=True) as dask_client,  # type: ignore[no-untyped-call]
        DaskExecutor(dask_client) as executor,
        Batch(jobs["journal"], client) as batch,
    ):
        await batch.add(requests)
        outcomes = batch.run(
            save_to=save_to, name="{key}{ext}", process=sample_functions.fingerprint, executor=executor
        )
        async for outcome in outcomes:
            print(f"failed: {outcome.error}" if isinstance(outcome, Failed) else "done", flush=True)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
