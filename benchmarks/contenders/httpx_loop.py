"""
A polling loop for each task with httpx: one client, a poll every second.

Timeouts are disabled: with the default of 5 s, which includes waiting for one of the 100 connections, most of a
thousand tasks end in `PoolTimeout`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx

from benchmarks.contenders import Job
from benchmarks.contenders.loops import BODY, HEADERS, INTERVAL, PATH, has_ended


@contextlib.asynccontextmanager
async def contend(url: str, count: int) -> AsyncIterator[Job]:  # noqa: ARG001 (as all of them)
    async with httpx.AsyncClient(headers=HEADERS, timeout=None) as client:  # noqa: S113 (see above)

        async def job() -> str:
            response = await client.post(url + PATH, json=BODY)
            task_id: str = response.json()["data"]["task_id"]
            while True:
                await asyncio.sleep(INTERVAL)
                response = await client.get(f"{url}{PATH}/{task_id}")
                if has_ended(response.json()):
                    return task_id

        yield job
