"""
Calls that are cancelled, at any time and by either side: no task that is paid for is lost, and none is made in vain.
"""

import asyncio
import contextlib
from pathlib import Path

import pytest
from mcp.shared.exceptions import MCPError

from kling_async import GATEWAY, OFFICIAL
from kling_async.emulator import faults
from tests.fakes.agents import Agent, agent, connected
from tests.fakes.clients import emulator
from tests.fakes.eventually import eventually
from tests.fakes.stepping_loop import SteppingLoop

FOREVER = (3600.0, 3600.0)

MODES = pytest.mark.parametrize("mode", ["auto", "legacy"])


async def listed(one: Agent) -> list[str]:
    return [task["task_id"] for task in (await one("list_tasks")).fields["tasks"]]


async def cancel(call: "asyncio.Task[object]") -> None:
    call.cancel()
    with contextlib.suppress(asyncio.CancelledError):  # on a busy machine it may have ended
        await call


@MODES
async def test_task_of_a_call_that_is_cancelled_while_it_waits_is_listed(mode: str, tmp_path: Path) -> None:
    """
    And can be waited for to its end.
    """
    async with agent(tmp_path, mode=mode, settings={"latency": (0.5, 0.5)}) as one:
        call = asyncio.create_task(one("generate_images", prompt="a fox"))
        await eventually(lambda: one.tasks)
        await eventually(lambda: list(one.service.log))
        await cancel(call)

        [task_id] = await listed(one)
        assert [task_id] == [task.task_id for task in one.emulator.ledger.tasks]
        assert (await one("wait_for_task", task_id=task_id)).pictures
        assert 1 == one.tasks


@MODES
async def test_request_that_is_on_its_way_is_finished_and_listed(mode: str, tmp_path: Path) -> None:
    """
    The service has accepted it, and its answer comes after the call was cancelled.
    """
    slow_answer = faults.delay_after("create", 0.5)
    async with agent(tmp_path, slow_answer, mode=mode, settings={"latency": FOREVER}) as one:
        call = asyncio.create_task(one("generate_video", prompt="a boat"))
        await eventually(lambda: one.tasks)
        await cancel(call)

        assert [] == await listed(one)
        await eventually(lambda: list(one.service.log))
        assert [task.task_id for task in one.emulator.ledger.tasks] == await listed(one)


@MODES
async def test_call_that_is_cancelled_while_it_waits_for_slots_sends_nothing(mode: str, tmp_path: Path) -> None:
    """
    Nothing is reserved for it either.
    """
    async with agent(tmp_path, mode=mode, settings={"latency": FOREVER}, slots=1) as one:
        await one("generate_images", prompt="a fox", wait_seconds=0)
        call = asyncio.create_task(one("generate_images", prompt="an owl"))
        await eventually(lambda: one.service.client.slots["kling-v3"].waiting)
        await cancel(call)
        await eventually(lambda: not one.service.client.slots["kling-v3"].waiting)

        assert 1 == one.tasks == len(await listed(one))
        assert 8 == one.service.spending.budget.reserved.units


async def test_call_without_a_free_slot_ends_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    And says that nothing was sent, before the client program gives up without a word.
    """
    async with agent(tmp_path, settings={"latency": FOREVER}, slots=1) as one:
        await one("generate_images", prompt="a fox", wait_seconds=0)
        monkeypatch.setattr("kling_async.integrations.mcp.service.SUBMIT_FOR", 0.2)
        assert "It was withdrawn" in (await one("generate_images", prompt="an owl", wait_seconds=0)).error
        assert 1 == one.tasks


async def test_deadline_of_the_client_loses_nothing(tmp_path: Path) -> None:
    """
    It is the client's to choose, and progress does not extend it.
    """
    async with agent(tmp_path, settings={"latency": FOREVER}) as one:
        with pytest.raises(MCPError):
            await one.client.call_tool("generate_images", {"prompt": "a fox"}, read_timeout_seconds=1.0)
        await eventually(lambda: not len(one.service.client.core.submitter))
        assert [task.task_id for task in one.emulator.ledger.tasks] == await listed(one)


@MODES
async def test_client_that_leaves_loses_nothing(mode: str, tmp_path: Path) -> None:
    """
    The next server with the same folder lists the tasks of the earlier one, whose kind it knows, and gets their files.
    """
    async with emulator(OFFICIAL, faults.delay_after("create", 0.3), latency=(0.1, 0.1)) as server:
        async with connected(server, tmp_path, mode=mode) as one:
            call = asyncio.create_task(one("generate_video", prompt="a boat", wait_seconds=60))
            await eventually(lambda: one.tasks)
            call.cancel()
        async with connected(server, tmp_path, mode=mode) as other:
            [task_id] = await listed(other)
            film = await other("wait_for_task", task_id=task_id)

    assert [task_id] == [task.task_id for task in server.ledger.tasks]
    assert ["video/mp4"] == [link.mime_type for link in film.links]


async def test_uncertain_submit_is_reported_and_listed(tmp_path: Path) -> None:
    """
    A gateway cannot look it up. The model is told not to create it again, and the list keeps it over restarts.
    """
    async with emulator(GATEWAY, faults.reset_after("create")) as server:
        async with connected(server, tmp_path) as one:
            error = (await one("generate_images", prompt="a fox")).error
            assert "SubmissionUncertain" in error
            assert "Do not create it again" in error
        async with connected(server, tmp_path) as other:
            [task] = (await other("list_tasks")).fields["tasks"]

    assert [None, "uncertain", "a fox"] == [task["task_id"], task["status"], task["prompt"]]
    assert 1 == len(server.ledger.tasks)


@MODES
async def test_calls_run_side_by_side(mode: str, tmp_path: Path) -> None:
    """
    A long wait does not hold up others.
    """
    async with agent(tmp_path, mode=mode, settings={"latency": FOREVER}) as one:
        waiting = asyncio.create_task(one("generate_images", prompt="a fox", wait_seconds=600))
        await eventually(lambda: one.tasks)
        await one("generate_video", prompt="a boat")
        assert 2 == len(await listed(one))
        assert not waiting.done()
        await cancel(waiting)


async def cut_calls(folder: Path) -> int:
    """
    Cancel a call at each turn of the loop, and return how many turns it takes.
    """
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SteppingLoop)
    async with agent(folder, settings={"latency": (0.0, 0.0)}, slots=100) as one:
        for step in range(1, 10_000):
            loop.victim = asyncio.ensure_future(one("generate_images", prompt=f"fox {step}"))
            loop.turns_left = step
            try:
                await loop.victim
            except asyncio.CancelledError:
                loop.victim = None
            else:
                break
        await eventually(lambda: not len(one.service.client.core.submitter))
        created = {task.task_id for task in one.emulator.ledger.tasks}
        assert created == {task.task_id for task in one.service.log}
        for task_id in created:
            assert (await one("wait_for_task", task_id=task_id)).links
        assert len(created) == one.tasks
        assert one.emulator.ledger.units_billed == one.service.spending.budget.spent.units == 8 * len(created)
        assert not one.service.spending.budget.reserved.units
    return step


def test_call_can_be_cancelled_at_any_moment(tmp_path: Path) -> None:
    """
    From the check of its arguments to the last preview: each task that was created is listed and gives its files, what
    was reserved is spent or free, and no partial file is left.
    """
    with asyncio.Runner(loop_factory=SteppingLoop) as runner:
        turns = runner.run(cut_calls(tmp_path))

    assert turns > 30
    assert {".png", ".jsonl"} == {path.suffix for path in tmp_path.iterdir()}


@MODES
async def test_limit_shrinks_again_if_the_call_is_cancelled_before_it_is_sent(mode: str, tmp_path: Path) -> None:
    """
    The user has agreed to pay for that request, and not for another one.
    """
    async with agent(tmp_path, mode=mode, settings={"latency": FOREVER}, slots=1, units=8, answer=lambda: "yes") as one:
        await one("generate_images", prompt="a fox", wait_seconds=0)
        call = asyncio.create_task(one("generate_images", prompt="an owl"))
        await eventually(lambda: one.service.client.slots["kling-v3"].waiting)
        assert 16 == one.service.spending.budget.limit.units
        await cancel(call)
        await eventually(lambda: not one.service.client.slots["kling-v3"].waiting)
        await eventually(lambda: 8 == one.service.spending.budget.limit.units)

        assert [1, 8] == [one.tasks, one.service.spending.budget.reserved.units]
