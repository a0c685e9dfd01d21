import asyncio

import pytest

from kling_async.batch.savers import all_of


async def failing(seconds: float, error: Exception) -> None:
    await asyncio.sleep(seconds)
    raise error


class TestAllOf:
    async def test_what_is_returned_is_not_raised(self) -> None:
        """
        Though it is an error: who returns one has not failed.
        """
        lost = LookupError("lost")

        async def outcome(value: object) -> object:
            return value

        assert [1, lost, 3] == await all_of(outcome(value) for value in (1, lost, 3))

    async def test_all_have_ended_when_one_is_raised(self) -> None:
        """
        The first in their order; nothing goes on behind the caller's back.
        """
        ended = []

        async def work() -> None:
            await asyncio.sleep(0.02)
            ended.append("work")

        with pytest.raises(LookupError):
            await all_of([failing(0.01, LookupError()), failing(0, ValueError()), work()])

        assert ["work"] == ended

    async def test_cancelling_cancels_all(self) -> None:
        cancelled = []

        async def work(number: int) -> None:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.append(number)
                raise

        waiting = asyncio.ensure_future(all_of(map(work, range(3))))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])

        assert waiting.cancelled()
        assert [0, 1, 2] == cancelled
