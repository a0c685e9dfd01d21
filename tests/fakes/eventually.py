"""
Waiting for a condition that nothing signals.
"""

import asyncio
from collections.abc import Callable

from tests.fakes.subprocesses import PATIENCE


async def eventually(condition: Callable[[], object]) -> None:
    """
    Look again and again until *condition* holds.
    """
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)
