"""
What is known of submits that have no outcome yet.
"""

import asyncio

import pytest

from kling_async.batch import journal_observer
from kling_async.batch.journal_observer import UnsettledSubmits


async def test_waits_for_those_that_are_present() -> None:
    """
    Submits that begin later are not waited for, and each that ends leaves the others.
    """
    unsettled = UnsettledSubmits()
    await unsettled.wait()
    for position in (1, 2):
        unsettled.add(position)
    waiting = [asyncio.ensure_future(unsettled.wait()) for _ in range(2)]
    await asyncio.sleep(0)
    unsettled.add(3)
    unsettled.discard(1)
    await asyncio.sleep(0)

    assert not any(wait.done() for wait in waiting)
    unsettled.discard(2)
    unsettled.discard(2)
    await asyncio.gather(*waiting)
    assert frozenset({3}) == unsettled.positions()


async def test_waits_no_longer_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A submit that does not end holds up nothing for ever.
    """
    monkeypatch.setattr(journal_observer, "CLOSE_TIMEOUT", 0.01)
    unsettled = UnsettledSubmits()
    unsettled.add(1)
    await unsettled.wait()

    assert frozenset({1}) == unsettled.positions()


async def test_cancelled_wait_leaves_nothing() -> None:
    """
    Cancelling a wait changes nothing for the submits and other waits.
    """
    unsettled = UnsettledSubmits()
    unsettled.add(1)
    cancelled, other = (asyncio.ensure_future(unsettled.wait()) for _ in range(2))
    await asyncio.sleep(0)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    unsettled.discard(1)
    await other

    assert [] == unsettled._waits
