"""
Functions called in processes on this machine.
"""

import asyncio
import pickle
import sys
import types
from pathlib import Path

import pytest

from kling_async import ImageRequest
from kling_async.batch.executors import (
    FileInfo,
    LocalExecutor,
)
from kling_async.batch.function_calls import unpickle_value
from kling_async.media.saved_files import SavedFile
from tests.fakes import sample_functions
from tests.fakes.processes import lent_process, pool  # noqa: F401

INFO = FileInfo("k", "t", ImageRequest("a lighthouse"), SavedFile(0, Path("0.png"), 4, "00"))


async def test_ctrl_c_is_for_the_program(tmp_path: Path) -> None:
    """
    The program can then shut down cleanly.
    """
    async with LocalExecutor(1) as executor:
        assert "done" == unpickle_value(await executor.call(sample_functions.interrupt, tmp_path, INFO))


@pytest.mark.usefixtures("lent_process")
async def test_functions_that_other_processes_cannot_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def look(source: object, facts: object) -> None:
        pass

    look.__module__, look.__qualname__ = "only_here", "look"
    only_here = types.ModuleType("only_here")
    only_here.__dict__["look"] = look
    monkeypatch.setitem(sys.modules, "only_here", only_here)
    async with LocalExecutor(1) as executor:
        with pytest.raises(ValueError, match="No module named 'only_here'"):
            await executor.check(look, tmp_path)


@pytest.mark.usefixtures("lent_process")
async def test_cancelling_drops_the_result(tmp_path: Path) -> None:
    async with LocalExecutor(1) as executor:
        call = asyncio.ensure_future(executor.call(sample_functions.dawdle, tmp_path, INFO))
        await asyncio.sleep(0.05)
        call.cancel()
        await asyncio.wait([call])

        assert call.cancelled()
        assert pickle.dumps("done") == await executor.call(sample_functions.dawdle, tmp_path, INFO)


async def test_closed_twice(tmp_path: Path) -> None:
    executor = LocalExecutor(1)
    await executor.call(sample_functions.nothing, tmp_path, INFO)
    await executor.aclose()
    await executor.aclose()

    with pytest.raises(RuntimeError, match="closed"):
        await executor.call(sample_functions.nothing, tmp_path, INFO)


def test_repr_shows_the_workers() -> None:
    with pytest.raises(ValueError, match="workers=0"):
        LocalExecutor(0)

    assert "<LocalExecutor open, workers 3>" == repr(LocalExecutor(3))
