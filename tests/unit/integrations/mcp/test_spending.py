"""
What an agent may spend: the budget holds, the user is asked before more, and nobody else decides.
"""

import asyncio
from pathlib import Path

import pytest

from kling_async import GATEWAY
from kling_async.emulator import faults
from tests.fakes.agents import agent
from tests.fakes.eventually import eventually

FOREVER = (3600.0, 3600.0)

MODES = pytest.mark.parametrize("mode", ["auto", "legacy"])


@MODES
async def test_calls_at_the_same_time_cannot_pass_the_limit_together(mode: str, tmp_path: Path) -> None:
    """
    A picture costs 8 units: of six calls with a limit of 20, two are sent.
    """
    async with agent(tmp_path, mode=mode, units=20, settings={"latency": FOREVER}) as one:
        calls = [one("generate_images", prompt=f"fox {number}", wait_seconds=0) for number in range(6)]
        replies = await asyncio.gather(*calls)

        assert 2 == one.tasks == sum(not reply.result.is_error for reply in replies)
        assert 16 == one.service.spending.budget.reserved.units


async def test_without_anybody_to_ask_the_refusal_names_the_option(tmp_path: Path) -> None:
    """
    And what is left, so that the model can tell the user.
    """
    async with agent(tmp_path, units=7) as one:
        error = (await one("generate_images", prompt="a fox")).error
        assert "BudgetExceeded" in error
        assert "7 units left" in error
        assert "--max-units" in error
        estimate = await one("estimate_cost", kind="image-generation", fields={"prompt": "a fox"})
        assert estimate.fields["fits_limit"] is False
        assert 0 == one.tasks


@MODES
async def test_user_who_agrees_pays_for_this_request_only(mode: str, tmp_path: Path) -> None:
    """
    The limit grows by exactly its price, and the next one is asked about again.
    """
    async with agent(tmp_path, mode=mode, units=8, answer=lambda: "yes") as one:
        await one("generate_images", prompt="a fox")
        assert [] == one.questions
        assert (await one("generate_images", prompt="an owl")).pictures
        assert 16 == one.service.spending.budget.limit.units
        assert (await one("generate_images", prompt="a bear")).pictures
        assert 24 == one.service.spending.budget.limit.units == one.emulator.ledger.units_billed
        assert 2 == len(one.questions)
        assert "may cost 8 units" in one.questions[0]


@MODES
@pytest.mark.parametrize("answer", ["no", "decline", "cancel"])
async def test_user_who_does_not_agree_pays_nothing(answer: str, mode: str, tmp_path: Path) -> None:
    """
    Nothing is sent, and the limit stays.
    """
    async with agent(tmp_path, mode=mode, units=5, answer=lambda: answer) as one:
        assert "did not agree" in (await one("generate_images", prompt="a fox")).error
        assert [0, 5, 1] == [one.tasks, one.service.spending.budget.limit.units, len(one.questions)]


async def test_nobody_is_asked_to_pay_for_what_cannot_be_sent(tmp_path: Path) -> None:
    """
    The broken rules come first.
    """
    async with agent(tmp_path, units=5, answer=lambda: "yes") as one:
        assert "from 1 to 9" in (await one("generate_images", prompt="a fox", n=30)).error
        assert [[], 5] == [one.questions, one.service.spending.budget.limit.units]


async def test_limit_shrinks_again_if_the_service_refuses(tmp_path: Path) -> None:
    """
    The user has agreed to pay for that request, and nothing was created.
    """
    refused = faults.status("create", 403)
    async with agent(tmp_path, refused, units=5, answer=lambda: "yes") as one:
        assert "NotAllowed" in (await one("generate_images", prompt="a fox")).error
        assert [0, 5] == [one.tasks, one.service.spending.budget.limit.units]


@pytest.mark.parametrize("wait_seconds", [0, 60])
async def test_limit_shrinks_again_if_the_task_fails(wait_seconds: int, tmp_path: Path) -> None:
    """
    What was not billed is not left for requests that nobody has agreed to, whether the call waits or not.
    """
    async with agent(tmp_path, faults.failing_task(), units=5, answer=lambda: "yes") as one:
        await one("generate_images", prompt="a fox", wait_seconds=wait_seconds)
        await eventually(lambda: not one.service.client.unfinished)
        assert [1, 5, 0] == [
            one.tasks,
            one.service.spending.budget.limit.units,
            one.service.spending.budget.reserved.units,
        ]


async def test_limit_stays_larger_if_the_fate_is_uncertain(tmp_path: Path) -> None:
    """
    The task may have been created, and its price stays reserved.
    """
    async with agent(tmp_path, faults.reset_after("create"), dialect=GATEWAY, units=0.5, answer=lambda: "yes") as one:
        assert "SubmissionUncertain" in (await one("generate_images", prompt="a fox")).error
        budget = one.service.spending.budget
        assert [1.5, 1] == [budget.limit.units, budget.reserved.units]


async def test_failed_tasks_give_back_what_was_reserved(tmp_path: Path) -> None:
    """
    The vendor does not bill them.
    """
    async with agent(tmp_path, faults.failing_task(), units=8) as one:
        for _ in range(3):
            assert "TaskFailed" in (await one("generate_images", prompt="a fox")).error
        assert 8 == one.service.spending.budget.left.units


async def test_request_of_unknown_price_is_refused_with_the_option_that_allows_it(tmp_path: Path) -> None:
    """
    Nobody can say what a scene of a video effect costs, so nobody is asked either.
    """
    scene = {"effect_scene": "squish", "image": "https://example.org/fox.png"}
    async with agent(tmp_path, units=100, answer=lambda: "yes") as one:
        assert "--unknown-units" in (await one("create_task", kind="video-effect", fields=scene)).error
        estimate = (await one("estimate_cost", kind="video-effect", fields=scene)).fields
        assert [None, None, False] == [estimate["units"], estimate["units_at_most"], estimate["fits_limit"]]
        assert [0, []] == [one.tasks, one.questions]
