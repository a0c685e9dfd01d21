"""
The vendor's own API, with an access key: generate an image if a prompt is given, then list the account's tasks.

    export KLING_ACCESS_KEY=... KLING_SECRET_KEY=...
    python vendor_keys.py "a lighthouse at dusk"
"""

import asyncio
import os
import sys
from contextlib import aclosing

from kling_async import OFFICIAL, AccessKey, KlingClient, Model, Resolution


async def main(prompt: str | None) -> None:
    # KlingClient() finds these in the environment by itself. Tokens are signed with the pair, renewed in time, and sent
    # to api-singapore.klingai.com, unless KLING_BASE_URL is set. The dialect is OFFICIAL by default only for the
    # vendor's hosts, so set it for others.
    key = AccessKey(os.environ["KLING_ACCESS_KEY"], os.environ["KLING_SECRET_KEY"])
    async with KlingClient(key, dialect=OFFICIAL) as client:
        if prompt is not None:
            result = await client.generate(prompt, model_name=Model.V2_1, resolution=Resolution.R2K)
            print(result.images[0].url)
        async with aclosing(client.tasks()) as tasks:
            async for task in tasks:
                made = f"{task.created_at:%Y-%m-%d %H:%M}" if task.created_at else "?"
                units = "-" if task.final_unit_deduction is None else f"{task.final_unit_deduction:g}"
                print(f"{made}  {task.task_id}  {task.status_word:<10}  {units:>4} units  {task.task_status_msg}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else None))
