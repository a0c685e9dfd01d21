"""
Time limits of waits: each wait ends in time, by the one timer of its client.
"""

import asyncio

import pytest

from kling_async.client.handle import TaskHandle
from kling_async.client.timeouts import LENGTHS, Timeouts
from kling_async.errors import WaitTimeout
from tests.fakes.simulated_loop import simulate


def now() -> float:
    return asyncio.get_running_loop().time()


def waiter() -> "asyncio.Future[None]":
    return asyncio.get_running_loop().create_future()


def timers() -> int:
    return sum(not timer.cancelled() for timer in asyncio.get_running_loop()._scheduled)  # type: ignore[attr-defined]


def test_each_wait_ends_in_time() -> None:
    """
    In whatever order they begin, and however long each may take.
    """

    async def story() -> None:
        timeouts, begun = Timeouts(), now()
        ends: dict[float, float] = {}

        def note(due: float) -> None:
            ends[due] = now() - begun

        for delay, seconds in ((0.0, 30.0), (1.0, 5.0), (1.0, 30.0), (1.5, 0.25), (2.0, 5.0)):
            await asyncio.sleep(begun + delay - now())
            wait = waiter()
            timeouts.begin(wait, seconds)
            wait.add_done_callback(lambda _, due=delay + seconds: note(due))  # type: ignore[misc]
            assert 1 == timers()
        await asyncio.sleep(40.0)

        assert [1.75, 6.0, 7.0, 30.0, 31.0] == list(ends)
        assert all(at == pytest.approx(due, abs=0.002) for due, at in ends.items())
        assert 0 == timers()

    simulate(story())


def test_wait_that_has_ended_is_left_alone() -> None:
    """
    Whether it has its result or was cancelled, and whether or not it was removed.
    """

    async def story() -> None:
        timeouts = Timeouts()
        done, cancelled, removed, last = (waiter() for _ in range(4))
        for wait in (done, cancelled, removed, last):
            waits = timeouts.begin(wait, 5.0)
        done.set_exception(OSError("its own"))
        cancelled.cancel()
        del waits[removed]
        await last

        assert isinstance(done.exception(), OSError)
        assert cancelled.cancelled()
        assert not removed.done()

    simulate(story())


def test_zero_seconds() -> None:
    """
    The wait ends at once, though the loop goes on first.
    """

    async def story() -> None:
        wait = waiter()
        Timeouts().begin(wait, 0)
        assert not wait.done()
        begun = now()
        await wait
        assert begun == now()

    simulate(story())


def test_time_limits_without_waits_are_forgotten() -> None:
    """
    A program may compute each limit from a deadline of its own: a thousand waits leave no thousand limits behind.
    """

    async def story() -> None:
        timeouts, longest = Timeouts(), waiter()
        timeouts.begin(longest, 3600.0)
        for number in range(1000):
            wait = waiter()
            waits = timeouts.begin(wait, 60.0 + number)
            del waits[wait]

        assert len(timeouts._waits) <= LENGTHS
        assert longest in timeouts._waits[3600.0]

    simulate(story())


def test_many_time_limits_are_looked_at_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A thousand waits with a limit of their own end up to a hundredth of a second late, not at a thousand looks.
    """

    async def story() -> None:
        timeouts, begun, looks = Timeouts(), now(), 0
        late: list[float] = []
        end_due = Timeouts._end_due

        def count(timeouts: Timeouts) -> None:
            nonlocal looks
            looks += 1
            end_due(timeouts)

        monkeypatch.setattr(Timeouts, "_end_due", count)
        for number in range(1000):
            wait = waiter()
            due = 1.0 + number / 100_000
            timeouts.begin(wait, due)
            wait.add_done_callback(lambda _, due=due: late.append(now() - begun - due))  # type: ignore[misc]
        await asyncio.sleep(2.0)

        assert 1000 == len(late)
        assert -0.001 <= min(late) <= max(late) <= 0.0101
        assert looks <= 3

    simulate(story())


def test_handle_leaves_no_wait_behind() -> None:
    """
    Neither after its time limit nor if it is cancelled.
    """

    async def story() -> None:
        timeouts = Timeouts()
        handle = TaskHandle("t-1", None, lambda _: None, timeouts=timeouts)
        waits = [asyncio.ensure_future(handle.wait(seconds)) for seconds in (5.0, 5.0, 60.0, None)]
        await asyncio.sleep(1.0)
        assert [2, 1] == [len(begun) for begun in timeouts._waits.values()]
        waits[2].cancel()
        waits[3].cancel()
        ends = await asyncio.gather(*waits, return_exceptions=True)

        assert [WaitTimeout, WaitTimeout, asyncio.CancelledError, asyncio.CancelledError] == [type(end) for end in ends]
        assert [0, 0] == [len(begun) for begun in timeouts._waits.values()]

    simulate(story())
