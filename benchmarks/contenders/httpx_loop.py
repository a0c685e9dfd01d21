"""
A loop for each task as one writes it with httpx: one client, a look every second.

Its timeouts are off: with its default of 5 s, which counts while a request waits for one of the 100 connections, most
tasks of a thousand end in `PoolTimeout`.
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
