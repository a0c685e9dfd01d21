"""
Tests of your own function without an account: `pip install kling-async[emulator]` installs the fixtures.

`kling_emulator` is a service on this machine that every `KlingClient()` finds. With pytest-asyncio or anyio, these
tests could be `async`; they need neither.
"""

import asyncio
from pathlib import Path

import pytest
from PIL import Image
from thumbnailer import make_thumbnail

from kling_async import OFFICIAL
from kling_async.emulator import Emulator, faults
from kling_async.errors import ContentRefused


def test_thumbnail_is_small(kling_emulator: Emulator, tmp_path: Path) -> None:
    path = asyncio.run(make_thumbnail("a lighthouse", tmp_path))

    with Image.open(path) as thumbnail:
        assert max(thumbnail.size) == 64
    (task,) = kling_emulator.ledger.tasks  # what was requested, and what it would cost
    assert task.prompt == "a lighthouse"


@pytest.mark.kling(dialect=OFFICIAL, faults=[faults.reset_after("create", times=1)])
def test_lost_answer_is_not_paid_twice(kling_emulator: Emulator, tmp_path: Path) -> None:
    asyncio.run(make_thumbnail("a lighthouse", tmp_path))

    assert len(kling_emulator.ledger.tasks) == 1


@pytest.mark.kling(refused_words=["storm"])
def test_refusal_reaches_the_caller(kling_emulator: Emulator, tmp_path: Path) -> None:
    with pytest.raises(ContentRefused):
        asyncio.run(make_thumbnail("a storm", tmp_path))

    assert kling_emulator.ledger.units_billed == 0
    assert not list(tmp_path.iterdir())
