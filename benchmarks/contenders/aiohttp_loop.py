"""
A polling loop for each task with aiohttp: one session with its defaults (100 connections).
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aiohttp

from benchmarks.contenders import Job
from benchmarks.contenders.loops import BODY, HEADERS, INTERVAL, PATH, has_ended


@contextlib.asynccontextmanager
async def contend(url: str, count: int, interval: float = INTERVAL) -> AsyncIterator[Job]:  # noqa: ARG001 (as all of them)
    async with aiohttp.ClientSession(headers=HEADERS) as session:

        async def job() -> str:
            async with session.post(url + PATH, json=BODY) as response:
                task_id: str = (await response.json())["data"]["task_id"]
            while True:
                await asyncio.sleep(interval)
                async with session.get(f"{url}{PATH}/{task_id}") as response:
                    answer = await response.json()
                if has_ended(answer):
                    return task_id

        yield job
