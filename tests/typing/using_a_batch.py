"""
What type checkers make of a program with a batch, and of tests with an emulator. Nothing here runs.
"""

from decimal import Decimal
from pathlib import Path
from typing import assert_type

from kling_async import OFFICIAL, Added, Batch, Budget, Done, Failed, ImageRequest, Keyed, KlingClient, Summary
from kling_async.emulator import Emulator, Ledger, faults
from kling_async.errors import KlingError


async def batching(client: KlingClient, request: ImageRequest) -> None:
    async with Batch("run.kling", client) as batch:
        assert_type(batch, Batch)
        assert_type(await batch.add(["a lighthouse", request, Keyed(request, key="a")]), Added)
        async for outcome in batch.run(save_to="pictures", name="{key}{ext}", max_attempts=3):
            assert_type(outcome, Done | Failed)
            if isinstance(outcome, Failed):
                assert_type(outcome.key, str | None)
                assert_type(outcome.error, KlingError)
            else:
                assert_type(outcome.paths, tuple[Path, ...])
        async for outcome in batch.outcomes():
            assert_type(outcome, Done | Failed)
        assert_type(await batch.summary(), Summary)
        assert_type((await batch.summary()).queued, int)
        assert_type((await batch.summary()).cash_billed, Decimal)
        batch.stop()
        await batch.add([1])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
        batch.run("pictures", "{key}{ext}")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        await batch.run()  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
    async with Batch("run.kling", client, budget=Budget(units=100)) as batch:
        assert_type(batch, Batch)
    Batch("run.kling", client, budget=100)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Batch("run.kling")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def emulating() -> None:
    async with Emulator(dialect=OFFICIAL, slots=2, faults=[faults.reset_after("create", times=1)]) as server:
        assert_type(server.url, str)
        assert_type(server.ledger, Ledger)
    Emulator(slot=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    faults.reset_after("creates")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
