"""
What type checkers make of a program with a client. Nothing here runs: mypy and pyright read it, in `nox -s types`.

What must be an error is marked as one for both, and both complain of a mark without an error.
"""

# What is an error has no known type either.
# pyright: reportUnknownMemberType=false

import datetime as dt
from contextlib import aclosing
from decimal import Decimal
from pathlib import Path
from typing import assert_never, assert_type

from kling_async import (
    GATEWAY,
    AccessKey,
    Amount,
    AspectRatio,
    Budget,
    CallbackReceiver,
    Dialect,
    Done,
    EventKind,
    Failed,
    Image,
    ImageRequest,
    KlingClient,
    RetryPolicy,
    Slots,
    Spent,
    TaskEvent,
    TaskHandle,
    TaskResult,
    TaskSnapshot,
    TaskStatus,
)
from kling_async.errors import (
    BrokenRule,
    DownloadFailed,
    InvalidRequest,
    KlingError,
    NoFreeSlot,
    SentRequest,
    SubmissionUncertain,
)
from kling_async.wire import TaskRequest


def making() -> None:
    assert_type(KlingClient(), KlingClient)
    KlingClient("sk-x", base_url="https://example.org", dialect=GATEWAY, slots=Slots(9))
    budget = Budget(100, "0.50", per=dt.timedelta(days=1), unknown=Amount(units=Decimal(5)))
    assert_type(KlingClient("sk-x", budget=budget).spent, Spent)
    assert_type(budget.left, Amount)
    assert_type(budget.spent.units, Decimal | None)
    Budget(units=100, price=lambda request: 5)  # type: ignore[arg-type,return-value]  # pyright: ignore[reportArgumentType]
    Budget(unit=100)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    KlingClient(AccessKey("ak", "sk"), slots=9, callbacks=CallbackReceiver("https://example.org/kling"))
    KlingClient(on_event=hear, dialect="gateway")
    KlingClient(dialect="relay.toml")
    KlingClient(dialect=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ImageRequest("a lighthouse", model="kling-v2")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    RetryPolicy(giveup_after=5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    KlingClient("sk-x", "https://example.org")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    KlingClient(slots="9")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    KlingClient(on_event=hear_two)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def opening() -> None:
    with KlingClient():  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        pass


def hear(event: TaskEvent) -> None:
    assert_type(event.kind, EventKind)
    assert_type(event.task_id, str | None)
    assert_type(event.error, KlingError | None)
    assert_type(event.paths, tuple[Path, ...])


def hear_two(event: TaskEvent, another: TaskEvent) -> None: ...


async def generating(client: KlingClient, request: ImageRequest) -> None:
    result = await client.generate("a lighthouse", n=2, aspect_ratio=AspectRatio.R16_9, image=Path("a.png"))
    assert_type(result, TaskResult)
    assert_type(result.images, tuple[Image, ...])
    assert_type(result.images[0].url, str)
    assert_type(await client.generate(request, timeout=None, model_name="kling-v2"), TaskResult)
    assert_type(await client.generate(prompt="a lighthouse", n=2, timeout=9), TaskResult)
    assert_type(await client.submit(prompt="a lighthouse"), TaskHandle)
    assert_type(await client.generate(request, prompt="another"), TaskResult)
    assert_type(await client.save(result), list[Path])
    assert_type(await client.save(result, "pictures", name="{index}{ext}"), list[Path])
    assert_type(await client.read(result.images[0]), bytes)
    client.generate("a lighthouse").images  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    await client.generate(["a lighthouse"])  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    await client.generate("a lighthouse", n="2")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    await client.generate("a lighthouse", size="1k")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    await client.generate("a lighthouse", timeout="9")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    await client.generate("a lighthouse", prompt="another")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    await client.generate(n=2)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    await client.generate(request="a lighthouse")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    await client.save(result.images, "pictures")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


async def holding(client: KlingClient) -> None:
    handle = await client.submit("a lighthouse", n=2)
    assert_type(handle, TaskHandle)
    assert_type(client.handle("t-1"), TaskHandle)
    assert_type(client.unfinished, tuple[TaskHandle, ...])
    assert_type(await handle, TaskResult)
    assert_type(await handle.wait(timeout=None), TaskResult)
    assert_type(handle.request, TaskRequest | None)
    assert_type(handle.status, TaskStatus)
    assert_type(handle.done, bool)
    async with aclosing(handle.updates()) as updates:
        async for snapshot in updates:
            assert_type(snapshot, TaskSnapshot)
    if handle.snapshot is not None:
        assert_type(handle.snapshot.task_status, TaskStatus)
    handle.snapshot.task_status  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
    await handle.wait("9")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    handle.done = True  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


async def looking(client: KlingClient) -> None:
    assert_type(await client.get("t-1"), TaskSnapshot)
    async for snapshot in client.tasks(page_size=10):
        assert_type(snapshot, TaskSnapshot)
    assert_type(client.dialect, Dialect)
    assert_type(client.slots["kling-v1"].waiting, int)
    await client.tasks()  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]


async def streaming(client: KlingClient, request: ImageRequest) -> None:
    async for outcome in client.stream(["a lighthouse", request], concurrency=9):
        assert_type(outcome, Done | Failed)
        outcome.result  # type: ignore[union-attr]  # pyright: ignore[reportAttributeAccessIssue]
        if isinstance(outcome, Done):
            assert_type(outcome.result, TaskResult)
            assert_type(outcome.request, TaskRequest)
            assert_type(outcome.caption, str)
        else:
            assert_type(outcome.error, KlingError)
            assert_type(outcome.request, TaskRequest | None)
        match outcome:
            case Done(result=result):
                assert_type(result, TaskResult)
            case Failed(error=error):
                assert_type(error, KlingError)
            case _:
                assert_never(outcome)
    async with aclosing(client.stream(f"number {number}" for number in range(9))) as outcomes:
        assert_type(await anext(outcomes), Done | Failed)
    client.stream([1])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]


async def failing(client: KlingClient) -> None:
    try:
        await client.generate("a lighthouse")
    except InvalidRequest as error:
        assert_type(error.broken, tuple[BrokenRule, ...])
    except NoFreeSlot as error:
        assert_type(error.retry_after, float | None)
    except SubmissionUncertain as error:
        assert_type(error.request, SentRequest | None)
    except DownloadFailed as error:
        assert_type(error.paths, tuple[Path, ...])
    except KlingError as error:
        assert_type(error.task_id, str | None)
        error.retry_after  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


def asking(request: ImageRequest) -> None:
    ImageRequest("a lighthouse", n=2, image=b"picture")
    ImageRequest("a lighthouse", "people")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    ImageRequest(n=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    request.n = 2  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
