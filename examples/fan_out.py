"""
A picture of each line of a file, all at once; each is saved as it comes, and what failed is told at the end.

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
    async with KlingClient() as client:  # the prompts queue in it for the account's slots, so start them all
        jobs = [make(client, prompt, folder) for prompt in prompts]
        outcomes = await asyncio.gather(*jobs, return_exceptions=True)  # else the first error would end the others

    saved = failed = 0
    for prompt, outcome in zip(prompts, outcomes, strict=True):
        match outcome:
            case KlingError():  # it names the task, where there is one, and says what to do
                failed += 1
                print(f"{prompt}: {type(outcome).__name__}: {outcome}", file=sys.stderr)
            case BaseException():
                raise outcome  # a mistake of this program, not of Kling
            case paths:
                saved += len(paths)
    print(f"{saved} pictures of {len(prompts) - failed} prompts in {folder}; failed: {failed}")
    return 1 if failed else 0


if __name__ == "__main__":
    lines = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
    sys.exit(asyncio.run(main([line for line in lines if line.strip()], Path(sys.argv[2]))))
