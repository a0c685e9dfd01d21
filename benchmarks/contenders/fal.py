"""
fal-client: `AsyncClient.submit`, then `AsyncRequestHandle.get`, which by default polls every 0.1 s, and requests
the result separately. One client for all tasks.

The URL of its queue is always https, so the module's constant is replaced.
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
        await (await client._client).aclose()  # noqa: SLF001 (it cannot be closed)
