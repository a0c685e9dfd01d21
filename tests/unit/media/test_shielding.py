"""
Work whose waiter is cancelled, in simulated time.
"""

import asyncio

import pytest

from kling_async.media.shielding import shielded
from tests.fakes.simulated_loop import simulated


@simulated
async def test_cancelling_goes_on_after_the_end() -> None:
    """
    However often it is tried: the work is done first.
    """
    ended: list[float] = []

    async def work() -> None:
        await asyncio.sleep(10)
        ended.append(asyncio.get_running_loop().time())

    waiting = asyncio.ensure_future(shielded(work()))
    for _ in range(3):
        await asyncio.sleep(1)
        waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    assert [asyncio.get_running_loop().time()] == ended


@simulated
async def test_what_the_work_raises_is_raised() -> None:
    """
    To a caller that was not cancelled.
    """

    async def work() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await shielded(work())
