"""
A polling loop for each task with requests: a thread per task, so that all are submitted at once, one session with a
pool of the same size, and a poll every second.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import requests
from requests.adapters import HTTPAdapter

from benchmarks.contenders import Job
from benchmarks.contenders.loops import BODY, HEADERS, INTERVAL, PATH, has_ended


@contextlib.asynccontextmanager
async def contend(url: str, count: int) -> AsyncIterator[Job]:
    loop = asyncio.get_running_loop()
    with requests.Session() as session, ThreadPoolExecutor(count) as threads:
        session.headers.update(HEADERS)
        session.mount("http://", HTTPAdapter(pool_maxsize=count))

        def wait_for_one() -> str:
            response = session.post(url + PATH, json=BODY, timeout=60)
            task_id: str = response.json()["data"]["task_id"]
            while True:
                time.sleep(INTERVAL)
                response = session.get(f"{url}{PATH}/{task_id}", timeout=60)
                if has_ended(response.json()):
                    return task_id

        async def job() -> str:
            return await loop.run_in_executor(threads, wait_for_one)

        yield job
