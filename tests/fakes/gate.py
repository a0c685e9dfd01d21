"""
Delays of the emulator that end when a test says so: no number of seconds is right on every machine.
"""

import asyncio
from typing import Final

import pytest

from kling_async.emulator.app import EmulatorApp

__all__ = ["HELD", "hold"]

HELD: Final = 86_400.0
"""
Seconds of a delay that lasts until the gate opens.
"""


def hold(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """
    Return the gate: once it is set, all delays of `HELD` seconds end.
    """
    gate = asyncio.Event()
    closes_within = EmulatorApp._closes_within

    async def wait(app: EmulatorApp, seconds: float) -> bool:
        if seconds != HELD:
            return await closes_within(app, seconds)
        waiting = [asyncio.ensure_future(event.wait()) for event in (gate, app.closing)]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for each in waiting:
            each.cancel()
        return app.closing.is_set()

    monkeypatch.setattr(EmulatorApp, "_closes_within", wait)
    return gate
