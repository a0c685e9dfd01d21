"""
fal-client: `AsyncClient.submit`, then `AsyncRequestHandle.get`, which asks every 0.1 s where no interval is given, and
once more for the result. One client for all tasks.

The address of its queue is https and fixed but for the host, so the module's constant is replaced.
"""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import fal_client
import fal_client.client

from benchmarks.contenders import Job


@contextlib.asynccontextmanager
async def contend(url: str, count: int, interval: float | None = None) -> AsyncIterator[Job]:  # noqa: ARG001
    fal_client.client.QUEUE_URL_FORMAT = f"{url}/"
    client = fal_client.AsyncClient(key="x")
    options: dict[str, Any] = {} if interval is None else {"interval": interval}

    async def job() -> str:
        handle = await client.submit("fal-ai/kling-image", {"prompt": "a lighthouse"})
        assert (await handle.get(**options))["images"]
        return handle.request_id

    try:
        yield job
    finally:
        await (await client._client).aclose()  # noqa: SLF001 (it has no way of being closed)
