"""
Exactly once: whatever happens to a submit on its way, the service's own ledger is the judge.
"""

import asyncio
import collections
import random

import pytest

from kling_async import (
    GATEWAY,
    OFFICIAL,
    Dialect,
    HttpOptions,
    ImageRequest,
    KlingClient,
    PollPolicy,
    RetryPolicy,
    TaskResult,
)
from kling_async.emulator import Emulator, Fault, faults
from kling_async.errors import InvalidRequest, KlingError, NotSent, SubmissionUncertain

PROMPTS = [f"lighthouse {number}" for number in range(6)]

BRISK = RetryPolicy(first_delay=0.02, max_delay=0.1, give_up_after=5.0, look_for=0.1, refused_for=5.0)
EAGER = PollPolicy(first_delay=0.05, max_delay=0.2, answer_timeout=1.0)


def emulator(dialect: Dialect, *rules: Fault, seed: int = 0) -> Emulator:
    return Emulator(dialect=dialect, latency=(0.05, 0.1), faults=rules, seed=seed, pictures="plain", picture_scale=0.05)


def client_of(server: Emulator, retry: RetryPolicy = BRISK, read_timeout: float = 30.0) -> KlingClient:
    http = HttpOptions(read_timeout=read_timeout, connect_timeout=30.0)
    return KlingClient(
        server.api_key, base_url=server.url, dialect=server.dialect, retry=retry, polling=EAGER, http=http
    )


async def generate_all(client: KlingClient) -> list[TaskResult | BaseException]:
    return await asyncio.gather(*(client.generate(prompt) for prompt in PROMPTS), return_exceptions=True)


def tasks_per_prompt(server: Emulator) -> collections.Counter[str]:
    return collections.Counter(task.prompt for task in server.ledger.tasks)


LOST_ANSWERS = {
    "reset": faults.reset_after("create"),
    "503": faults.status_after("create", 503),
    "a page of HTML": faults.html_after("create"),
    "cut short": faults.truncated("create"),
    "broken JSON": faults.garbled("create"),
}


@pytest.mark.parametrize("trouble", LOST_ANSWERS.values(), ids=LOST_ANSWERS)
async def test_every_task_with_a_lost_answer_is_found_by_its_external_id(trouble: Fault) -> None:
    """
    On OFFICIAL each request has one task, and each caller gets its result, although no create was answered.
    """
    async with emulator(OFFICIAL, trouble) as server, client_of(server) as client:
        results = await generate_all(client)

        assert dict.fromkeys(PROMPTS, 1) == tasks_per_prompt(server)
        assert [task.task_id for task in server.ledger.tasks] == sorted(
            [result.task_id for result in results if isinstance(result, TaskResult)],
            key=[task.task_id for task in server.ledger.tasks].index,
        )


@pytest.mark.parametrize("trouble", LOST_ANSWERS.values(), ids=LOST_ANSWERS)
async def test_a_lost_answer_of_a_gateway_is_uncertain_and_never_sent_again(trouble: Fault) -> None:
    """
    On GATEWAY, which knows no ids of ours, each request has one task and an error that holds the request.
    """
    async with emulator(GATEWAY, trouble) as server, client_of(server) as client:
        outcomes = await generate_all(client)

        assert dict.fromkeys(PROMPTS, 1) == tasks_per_prompt(server)
        assert PROMPTS == [
            outcome.request.prompt
            for outcome in outcomes
            if isinstance(outcome, SubmissionUncertain) and isinstance(outcome.request, ImageRequest)
        ]


async def test_resets_before_acceptance_end_in_one_task_where_ids_are_taken() -> None:
    """
    On OFFICIAL a submit goes on, under its one id, until the service hears it.
    """
    async with emulator(OFFICIAL, faults.reset_before("create", times=12)) as server, client_of(server) as client:
        results = await generate_all(client)

        assert all(isinstance(result, TaskResult) for result in results)
        assert dict.fromkeys(PROMPTS, 1) == tasks_per_prompt(server)


async def test_resets_before_acceptance_leave_nothing_behind_at_a_gateway() -> None:
    """
    On GATEWAY nobody can tell a request that was lost from an answer that was: it is uncertain, and not sent again.
    """
    async with emulator(GATEWAY, faults.reset_before("create")) as server, client_of(server) as client:
        outcomes = await generate_all(client)

        assert all(isinstance(outcome, SubmissionUncertain) for outcome in outcomes)
        assert len(PROMPTS) == server.ledger.creates_received
        assert not server.ledger.tasks


async def test_unreachable_service_is_retried_and_nothing_is_uncertain() -> None:
    """
    If no connection was ever established, the error says that nothing was sent.
    """
    retry = RetryPolicy(first_delay=0.01, max_delay=0.02, give_up_after=0.1)
    async with emulator(GATEWAY) as server:
        client = client_of(server, retry)
    async with client:
        with pytest.raises(NotSent):
            await client.submit("a lighthouse")

    assert 0 == server.ledger.creates_received


async def test_refusal_after_an_ambiguous_attempt_is_uncertain_and_reported() -> None:
    """
    If the account's money runs out between two attempts, the first may be paid for: it is looked up, and the error has
    both.
    """
    async with (
        Emulator(dialect=OFFICIAL, units=0, faults=[faults.reset_before("create", times=1)]) as server,
        client_of(server) as client,
    ):
        with pytest.raises(SubmissionUncertain, match="balance not enough"):
            await client.submit("a lighthouse")

        assert 2 == server.ledger.creates_received
        assert not server.ledger.tasks


async def test_an_id_that_the_caller_reuses_is_refused_and_not_taken_for_found() -> None:
    """
    "Already exists" is only an answer to our own doubt; otherwise the caller used the id before.
    """
    async with emulator(OFFICIAL) as server, client_of(server) as client:
        await client.submit("a lighthouse", external_task_id="order-17")
        with pytest.raises(InvalidRequest, match="already exists"):
            await client.submit("a harbour", external_task_id="order-17")

        assert 1 == len(server.ledger.tasks)


async def test_an_uncertain_submit_can_be_identified_after_the_service_is_back() -> None:
    """
    While no lookup is answered the submit is uncertain; its request has the id with which to look it up later.
    """
    rules = (faults.reset_after("create"), faults.status("query", 503, times=8))
    retry = RetryPolicy(first_delay=0.01, max_delay=0.02, give_up_after=0.05)
    async with emulator(OFFICIAL, *rules) as server, client_of(server, retry) as client:
        with pytest.raises(SubmissionUncertain) as caught:
            await client.submit("a lighthouse")
        request = caught.value.request

        assert request is not None
        assert server.ledger.tasks[0].external_task_id == request.external_task_id


TROUBLES = (
    faults.reset_before,
    faults.reset_after,
    faults.status_after,
    faults.html_after,
    faults.truncated,
    faults.garbled,
    faults.bare_429,
    faults.rate_limited,
    faults.stall,
)


def script(seed: int) -> list[Fault]:
    """
    Draw a script of faults for creates and reads; requests that lie on the way longer than a client waits among them.
    """
    lot = random.Random(seed)
    rules = [lot.choice(TROUBLES)("create", rate=lot.uniform(0.1, 0.9)) for _ in range(lot.randint(1, 3))]
    rules += [lot.choice(TROUBLES)("query", rate=lot.uniform(0.0, 0.4)) for _ in range(lot.randint(0, 2))]
    rules.append(faults.delay_before("create", lot.uniform(0.1, 0.6), rate=lot.uniform(0.0, 0.5)))
    return rules


async def play(dialect: Dialect, seed: int) -> tuple[collections.Counter[str], list[TaskResult | BaseException]]:
    retry = RetryPolicy(first_delay=0.02, max_delay=0.1, give_up_after=1.5, look_for=0.3, refused_for=1.5)
    async with emulator(dialect, *script(seed), seed=seed) as server:
        async with client_of(server, retry, read_timeout=0.25) as client:
            outcomes = await asyncio.gather(
                *(client.generate(prompt, timeout=1.5) for prompt in PROMPTS), return_exceptions=True
            )
        await asyncio.sleep(0.7)  # what still lies on the way arrives
        return tasks_per_prompt(server), outcomes


@pytest.mark.parametrize("dialect", [OFFICIAL, GATEWAY], ids=lambda dialect: dialect.name)
async def test_no_script_of_faults_makes_a_second_task(dialect: Dialect, pytestconfig: pytest.Config) -> None:
    """
    Over 20 or 50 scripts of faults no prompt ever has two tasks, and one without a result has an error of ours.
    """
    for start in range(0, 50 if pytestconfig.getoption("thorough") else 20, 10):
        played = await asyncio.gather(*(play(dialect, seed) for seed in range(start, start + 10)))
        for seed, (made, outcomes) in enumerate(played, start):
            assert [] == [prompt for prompt, count in made.items() if count > 1], seed
            assert [] == [
                outcome
                for outcome in outcomes
                if not isinstance(outcome, TaskResult | KlingError) or (not made and isinstance(outcome, TaskResult))
            ], seed
