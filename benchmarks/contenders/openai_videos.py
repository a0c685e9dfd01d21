"""
openai: `videos.create_and_poll`, its only call that creates a task and waits for it. It polls at once, then every
second unless the service says otherwise. (Its images come in the response to the request that asks for them.)
"""

import contextlib
import warnings
from collections.abc import AsyncIterator

from openai import AsyncOpenAI

from benchmarks.contenders import Job

warnings.simplefilter("ignore", DeprecationWarning)  # the vendor has announced the end of its videos


@contextlib.asynccontextmanager
async def contend(url: str, count: int) -> AsyncIterator[Job]:  # noqa: ARG001 (as all of them)
    async with AsyncOpenAI(api_key="x", base_url=f"{url}/v1") as client:

        async def job() -> str:
            video = await client.videos.create_and_poll(prompt="a lighthouse", model="sora-2")
            assert video.status == "completed"
            return video.id

        yield job
