"""
runwayml: `text_to_image.create`, then `wait_for_task_output`, which polls every 4.5 to 7.5 s; the
interval cannot be set.
"""

import contextlib
from collections.abc import AsyncIterator

from runwayml import AsyncRunwayML

from benchmarks.contenders import Job


@contextlib.asynccontextmanager
async def contend(url: str, count: int) -> AsyncIterator[Job]:  # noqa: ARG001 (as all of them)
    async with AsyncRunwayML(api_key="x", base_url=url) as client:

        async def job() -> str:
            task = await client.text_to_image.create(model="gen4_image", prompt_text="a lighthouse", ratio="1920:1080")
            await task.wait_for_task_output()
            return task.id

        yield job
