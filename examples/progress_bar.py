"""
Show the progress of many prompts in one line, from the events of the client.

    export KLING_API_KEY=sk-...
    python progress_bar.py 12 "a lighthouse at dusk"
"""

import asyncio
import sys
from collections import Counter

from kling_async import Done, EventKind, KlingClient, TaskEvent


class Progress:
    """
    Called with every event, in the client's event loop, so it only counts and prints.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.seen: Counter[EventKind] = Counter()

    def __call__(self, event: TaskEvent) -> None:
        self.seen[event.kind] += 1
        ended = self.seen[EventKind.FINAL] + self.seen[EventKind.NO_TASK]
        begun = self.seen[EventKind.SUBMITTED]
        filled = 30 * ended // self.total
        bar = "#" * filled + "." * (30 - filled)
        print(f"\r[{bar}] {ended}/{self.total}, {begun} submitted", end="", file=sys.stderr, flush=True)


async def main(count: int, prompt: str) -> None:
    async with KlingClient(on_event=Progress(count)) as client:
        async for outcome in client.stream(f"{prompt}, number {number}" for number in range(count)):
            if isinstance(outcome, Done):
                await client.save(outcome.result, "pictures")
    print(file=sys.stderr)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
