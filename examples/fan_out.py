"""
Generate an image for each line of a file, all at once. Each is saved when it is ready; failures are printed.

    export KLING_API_KEY=sk-...
    python fan_out.py prompts.txt pictures/
"""

import asyncio
import sys
from pathlib import Path

from kling_async import KlingClient
from kling_async.errors import KlingError


async def make(client: KlingClient, prompt: str, folder: Path) -> list[Path]:
    result = await client.generate(prompt)
    return await client.save(result, folder)


async def main(prompts: list[str], folder: Path) -> int:
    async with KlingClient() as client:  # it queues the prompts for the account's slots, so start them all
        jobs = [make(client, prompt, folder) for prompt in prompts]
        outcomes = await asyncio.gather(*jobs, return_exceptions=True)  # otherwise the first error ends all

    saved = failed = 0
    for prompt, outcome in zip(prompts, outcomes, strict=True):
        match outcome:
            case KlingError():  # its message names the task, if there is one
                failed += 1
                print(f"{prompt}: {type(outcome).__name__}: {outcome}", file=sys.stderr)
            case BaseException():
                raise outcome  # a bug in this program
            case paths:
                saved += len(paths)
    print(f"{saved} pictures of {len(prompts) - failed} prompts in {folder}; failed: {failed}")
    return 1 if failed else 0


if __name__ == "__main__":
    lines = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
    sys.exit(asyncio.run(main([line for line in lines if line.strip()], Path(sys.argv[2]))))
