"""
replicate: `predictions.async_create`, then `Prediction.async_wait`, which by default polls every 0.5 s. (`async_run`
keeps a request open for each task; if more than 100 wait, the others end in `PoolTimeout`.)
"""

import contextlib
from collections.abc import AsyncIterator

from replicate.client import Client

from benchmarks.contenders import Job


@contextlib.asynccontextmanager
async def contend(url: str, count: int, interval: float | None = None) -> AsyncIterator[Job]:  # noqa: ARG001
    client = Client(api_token="x", base_url=url)  # noqa: S106 (none)
    if interval is not None:
        client.poll_interval = interval

    async def job() -> str:
        prediction = await client.predictions.async_create(
            model="kwaivgi/kling-image", input={"prompt": "a lighthouse"}
        )
        await prediction.async_wait()
        assert prediction.output
        return prediction.id

    try:
        yield job
    finally:
        await client._async_client.aclose()  # noqa: SLF001 (it cannot be closed)
