"""
What the emulator says is what the wire reads: each of its answers, put before the readers of answers.
"""

from decimal import Decimal
from typing import Any

import attrs
import pytest

from kling_async import errors
from kling_async.emulator import Emulator, Fault, faults
from kling_async.emulator.api import ApiRequest, ApiResponse
from kling_async.emulator.app import EmulatorApp
from kling_async.emulator.fault_plan import FaultPlan
from kling_async.emulator.routing import Target
from kling_async.wire.dialects import GATEWAY, OFFICIAL
from kling_async.wire.endpoints.image_generation import IMAGE_GENERATION
from kling_async.wire.http_answer import Answer
from kling_async.wire.responses import (
    Presence,
    is_duplicate_id,
    presence_of,
    read_created,
    read_page,
    read_snapshot,
)
from kling_async.wire.tasks import TaskSnapshot, TaskStatus

NOON = 1_780_000_000.0


@attrs.define
class Line:
    """
    Asks a server without a socket, at a time of the test's choice. Tasks take 10 s.
    """

    server: Emulator
    now: float = NOON

    async def ask(self, **call: Any) -> Answer:
        plan = FaultPlan(self.server.settings.faults, 0)
        face = EmulatorApp(self.server.account, plan, lambda: self.now)
        defaults = {"method": "GET", "path": "/x", "headers": {"Authorization": f"Bearer {self.server.api_key}"}}
        whole = ApiRequest(**{**defaults, **call})
        reply = await face._respond(whole, plan.next_faults(whole.route) if whole.route else [])
        assert isinstance(reply, ApiResponse)
        return Answer(reply.status, reply.headers, reply.content())

    async def create(self, **body: Any) -> Answer:
        return await self.ask(target=Target("create", IMAGE_GENERATION), body={"prompt": "x", **body})


def line(*rules: Fault, **settings: Any) -> Line:
    return Line(Emulator(faults=rules, **{"latency": (10.0, 10.0), "dialect": OFFICIAL, **settings}))


async def story(line: Line) -> list[TaskSnapshot]:
    created = read_created(await line.create(n=2, model_name="kling-v2"))
    seen = [created]
    for _ in range(2):
        line.now += 5
        seen.append(
            read_snapshot(await line.ask(target=Target("query", IMAGE_GENERATION, created.task_id)), created.task_id)
        )
    return seen


@pytest.mark.parametrize(
    ("rule", "pictures"),
    [
        (None, 2),
        (faults.seconds_for_times(), 2),
        (faults.new_api_shape(), 2),
        (faults.crazy_shape(), 1),  # this shape has room for one URL
    ],
)
@pytest.mark.parametrize("dialect", [GATEWAY, OFFICIAL])
async def test_every_shape_tells_the_same_story(rule: Fault | None, pictures: int, dialect: Any) -> None:
    """
    Created, processing, succeeded with pictures: whatever words the answers use.
    """
    line_ = line(*([rule] if rule else []), dialect=dialect)
    created, running, done = await story(line_)

    assert created.task_status in (TaskStatus.SUBMITTED, TaskStatus.UNKNOWN)  # a video object has no word for it
    assert TaskStatus.PROCESSING is running.task_status
    assert TaskStatus.SUCCEEDED is done.task_status
    assert pictures == len(done.task_result.images)
    assert 1 == len({snapshot.task_id for snapshot in (created, running, done)})
    assert created.created_at is not None
    assert NOON == created.created_at.timestamp()


@pytest.mark.parametrize("shape", [None, faults.crazy_shape(), faults.new_api_shape()])
async def test_failed_task_is_read_with_its_reason(shape: Fault | None) -> None:
    """
    The reason of a failure is found in each shape.
    """
    *_, done = await story(line(faults.failing_task("too wet"), *([shape] if shape else [])))

    assert (TaskStatus.FAILED, "too wet") == (done.task_status, done.task_status_msg)


async def test_details_of_the_vendors_answers() -> None:
    """
    Price, external id and order of the pictures are read from a single query, a page and the new standard alike.
    """
    line_ = line()
    created = read_created(await line_.create(n=2, external_task_id="order-17"))
    line_.now += 10
    answers = [
        [read_snapshot(await line_.ask(target=Target("query", IMAGE_GENERATION, "order-17")))],
        read_page(await line_.ask(target=Target("list", IMAGE_GENERATION))),
        read_page(await line_.ask(target=Target("tasks"), query={"external_task_ids": "order-17,nope"})),
    ]

    for seen in [answer[0] for answer in answers]:
        assert created.task_id == seen.task_id
        assert TaskStatus.SUCCEEDED is seen.task_status
        assert Decimal(16) == seen.final_unit_deduction
        assert "order-17" == seen.task_info.external_task_id
        assert [0, 1] == [image.index for image in seen.task_result.images]
        assert ["0.png", "1.png"] == [image.url.split("?")[0][-5:] for image in seen.task_result.images]
    assert [1, 1, 1] == [len(answer) for answer in answers]


@pytest.mark.parametrize(
    ("settings", "body", "kind"),
    [
        ({"slots": 1}, {"n": 2}, errors.NoFreeSlot),
        ({"units": 1}, {}, errors.AccountProblem),
        ({"refused_words": ["x"]}, {}, errors.ContentRefused),
        ({}, {"n": 10}, errors.InvalidRequest),
        ({"faults": [faults.rate_limited()]}, {}, errors.RateLimited),
        ({"faults": [faults.bare_429()]}, {}, errors.RateLimited),
        ({"faults": [faults.status("create", 503)]}, {}, errors.ServiceFailure),
        ({"faults": [faults.html()]}, {}, errors.ServiceFailure),
        ({"slots": 1, "faults": [faults.new_api_shape()]}, {"n": 2}, errors.RateLimited),
        ({"units": 1, "faults": [faults.new_api_shape()]}, {}, errors.RateLimited),
        ({"refused_words": ["x"], "faults": [faults.new_api_shape()]}, {}, errors.ContentRefused),
    ],
)
async def test_refusals_are_read_as_what_they_are(
    settings: dict[str, Any], body: dict[str, Any], kind: type[errors.KlingError]
) -> None:
    """
    Each refusal of a create is the error that its caller can act on.
    """
    rules = settings.pop("faults", [])
    with pytest.raises(errors.KlingError) as caught:
        read_created(await line(*rules, **settings).create(**body))

    assert kind is type(caught.value)


@pytest.mark.parametrize("shape", [None, faults.new_api_shape()])
async def test_cash_is_read_as_it_was_taken(shape: Fault | None) -> None:
    """
    Money from the balance is read from each standard and through a relay, and no units with it.
    """
    line_ = line(*([shape] if shape else []), paid_in="cash")
    created = read_created(await line_.create(n=2))
    line_.now += 10
    seen = read_snapshot(await line_.ask(target=Target("query", IMAGE_GENERATION, created.task_id)), created.task_id)
    (new,) = read_page(await line_.ask(target=Target("tasks"), query={"task_ids": created.task_id}))

    for snapshot in (seen, new):
        assert snapshot.final_unit_deduction is None
        assert snapshot.final_balance_deduction is not None
        assert Decimal("0.056") == snapshot.final_balance_deduction.quota == snapshot.final_balance_deduction.list_price
    assert new.final_balance_deduction is not None
    assert "USD" == new.final_balance_deduction.currency


@pytest.mark.parametrize(
    ("dialect", "path"), [(GATEWAY, "/v1/images/generations/x"), (OFFICIAL, "/kling/v1/images/generations/x")]
)
async def test_wrong_address_is_recognised(dialect: Any, path: str) -> None:
    """
    A path that is not the service's is told from a task that is missing, in both dialects.
    """
    line_ = line(dialect=dialect)
    with pytest.raises(errors.UnexpectedAnswer, match="check base_url") as caught:
        read_snapshot(await line_.ask(target=Target(None), path=path), "x")
    with pytest.raises(errors.TaskNotFound) as missing:
        read_snapshot(await line_.ask(target=Target("query", IMAGE_GENERATION, "x")), "x")

    assert [Presence.ABSENT, Presence.HERE] == [presence_of(caught.value), presence_of(missing.value)]


async def test_duplicate_id_is_recognised() -> None:
    """
    The refusal of a repeated external id is told from other bad parameters.
    """
    line_ = line()
    await line_.create(external_task_id="order-17")
    with pytest.raises(errors.InvalidRequest) as caught:
        read_created(await line_.create(external_task_id="order-17"))

    assert is_duplicate_id(caught.value)


@pytest.mark.parametrize("dialect", [GATEWAY, OFFICIAL])
async def test_unknown_task_and_bad_key_are_recognised(dialect: Any) -> None:
    """
    In both dialects an unknown task and a bad key are told apart.
    """
    line_ = line(dialect=dialect)
    with pytest.raises(errors.TaskNotFound):
        read_snapshot(await line_.ask(target=Target("query", IMAGE_GENERATION, "nope")), "nope")
    with pytest.raises(errors.NotAuthenticated):
        read_snapshot(
            await line_.ask(
                target=Target("query", IMAGE_GENERATION, "nope"), headers={"Authorization": "Bearer wrong"}
            ),
            "nope",
        )
