"""
The simulated service alone, on simulated time.
"""

import base64
from collections import Counter
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

import attrs
import pytest
from hypothesis import given, strategies as st

from kling_async.emulator import Fate, Refusal, Settings, TaskRecord, World
from kling_async.wire.dialects import GATEWAY, OFFICIAL
from kling_async.wire.endpoints.image_generation import ImageRequest
from kling_async.wire.tasks import TaskStatus

NOON = 1_780_000_000.0

LIGHTHOUSE = ImageRequest("a lighthouse at dusk")


def official(**fields: Any) -> World:
    return World(attrs.evolve(Settings(dialect=OFFICIAL, latency=(10, 10)), **fields))


def refusal_of(world: World, request: ImageRequest, now: float = NOON) -> Refusal:
    with pytest.raises(Refusal) as caught:
        world.create(request, now)
    return caught.value


def signed(world: World, record: TaskRecord, now: float, index: int = 0) -> tuple[str, str]:
    url = world.snapshot_of(record, now).task_result.images[index].url
    query = parse_qs(urlsplit(url).query)
    return query["Expires"][0], query["Signature"][0]


def test_task_goes_from_submitted_to_succeed() -> None:
    """
    A task is submitted, then processing, then a success with all its pictures, as time passes.
    """
    world = official()
    record = world.create(attrs.evolve(LIGHTHOUSE, n=3), NOON)
    seen = [world.snapshot_of(record, NOON + seconds) for seconds in (0, 5, 9.999, 10)]

    assert ["submitted", "processing", "processing", "succeed"] == [snapshot.status_word for snapshot in seen]
    assert [0, 0, 0, 3] == [len(snapshot.task_result.images) for snapshot in seen]
    assert [None, None, None, 24] == [snapshot.final_unit_deduction for snapshot in seen]
    assert [NOON] * 4 == [snapshot.created_at.timestamp() for snapshot in seen if snapshot.created_at]
    assert [0, 1.5, 1.5, 10] == [snapshot.updated_at.timestamp() - NOON for snapshot in seen if snapshot.updated_at]


def test_failed_task_costs_nothing_and_frees_its_slots() -> None:
    """
    A failed task says why, has no pictures, costs 0 and gives back its slots.
    """
    world = official(slots=1, units=8)
    record = world.create(LIGHTHOUSE, NOON, Fate(failure="the paint ran out"))
    seen = world.snapshot_of(record, NOON + 10)

    assert TaskStatus.FAILED is seen.task_status
    assert "the paint ran out" == seen.task_status_msg
    assert () == seen.task_result.images
    assert 0 == seen.final_unit_deduction
    assert 0 == world.slots_used("kling-v3", NOON + 10)
    assert 0 == world.ledger.units_billed
    assert 2 == world.create(LIGHTHOUSE, NOON + 10).ordinal


def test_reason_of_a_failure_is_not_told_before_its_time() -> None:
    """
    A task that will fail looks like any other until it does.
    """
    world = official()
    record = world.create(LIGHTHOUSE, NOON, Fate(failure="no"))

    assert "" == world.snapshot_of(record, NOON + 9).task_status_msg


def test_slots_are_held_until_the_end() -> None:
    """
    n slots are taken from acceptance to the end of a task, per model; beyond them a create is refused with 1303.
    """
    world = official(slots=9)
    world.create(attrs.evolve(LIGHTHOUSE, n=9), NOON)
    refusal = refusal_of(world, LIGHTHOUSE, NOON + 9.9)
    world.create(attrs.evolve(LIGHTHOUSE, model_name="kling-v2"), NOON + 9.9)
    world.create(LIGHTHOUSE, NOON + 10)

    assert (429, 1303, "parallel task over resource pack limit") == attrs.astuple(refusal)
    assert {"kling-v3": 9, "kling-v2": 1} == world.ledger.peak_slots
    assert {1303: 1} == world.ledger.refusals
    assert [1, 3, 4] == [task.create_number for task in world.ledger.tasks]


def test_request_larger_than_the_account_is_never_accepted() -> None:
    """
    A create of more pictures than there are slots in all gets 1303 even on an idle account.
    """
    assert 1303 == refusal_of(official(slots=2), attrs.evolve(LIGHTHOUSE, n=3)).code


def test_unset_model_takes_the_slots_of_the_default_model() -> None:
    """
    Whether the default model is named or not, the bucket is the same.
    """
    world = official(slots=1)
    world.create(LIGHTHOUSE, NOON)

    assert 1303 == refusal_of(world, attrs.evolve(LIGHTHOUSE, model_name="kling-v3")).code


def test_stuck_task_never_ends_and_keeps_its_slots() -> None:
    """
    A stuck task is processing for ever, and its slots and its money stay taken.
    """
    world = official(slots=1)
    record = world.create(LIGHTHOUSE, NOON, Fate(is_stuck=True))
    years = 100 * 365 * 86_400.0

    assert TaskStatus.PROCESSING is world.snapshot_of(record, NOON + years).task_status
    assert 1303 == refusal_of(world, LIGHTHOUSE, NOON + years).code
    assert 0 == world.running(NOON + years)


def test_money_runs_out() -> None:
    """
    What running tasks will cost is set aside, so that no more is accepted than can be paid; then comes 1102.
    """
    world = official(slots=None, units=20)
    world.create(attrs.evolve(LIGHTHOUSE, n=2), NOON)
    refusal = refusal_of(world, LIGHTHOUSE)
    world.settle(NOON + 10)

    assert (429, 1102, "Account balance not enough") == attrs.astuple(refusal)
    assert 16 == world.ledger.units_billed
    assert 1102 == refusal_of(world, LIGHTHOUSE, NOON + 10).code


def test_external_id_is_taken_for_ever() -> None:
    """
    A second create with an external id is refused with 1201, makes no task and costs nothing, also after the end.
    """
    world = official()
    record = world.create(attrs.evolve(LIGHTHOUSE, external_task_id="order-17"), NOON)
    refusal = refusal_of(world, ImageRequest("else", external_task_id="order-17"), NOON + 1000)

    assert (400, 1201, "External_task_id order-17 already exists") == attrs.astuple(refusal)
    assert 1 == len(world.ledger.tasks) == world.ledger.duplicates_refused
    assert record is world.find("order-17") is world.find(record.task_id) is world.find_external("order-17")
    assert world.find_task("order-17") is None


def test_refused_create_does_not_use_up_its_external_id() -> None:
    """
    An id whose create was refused for want of slots is free for the next attempt.
    """
    world = official(slots=1)
    world.create(LIGHTHOUSE, NOON)
    late = attrs.evolve(LIGHTHOUSE, external_task_id="order-18")
    refusal_of(world, late)

    assert 2 == world.create(late, NOON + 10).ordinal


def test_content_policy_refuses_at_create() -> None:
    """
    A refused word in a prompt, whatever its case, gets 1301.
    """
    world = official(refused_words=("Forbidden",))

    assert (400, 1301) == attrs.astuple(refusal_of(world, ImageRequest("the forBIDDEN city")))[:2]
    assert 1 == world.create(ImageRequest("the open city"), NOON).ordinal


def test_content_policy_may_also_fail_the_task() -> None:
    """
    The other way of refusing content: the task is accepted, and fails.
    """
    world = official(refused_words=("forbidden",), refused_as="failed task")
    record = world.create(ImageRequest("the forbidden city"), NOON)

    assert "Failure to pass the risk control system" == world.snapshot_of(record, NOON + 10).task_status_msg


def test_pages_are_newest_first() -> None:
    """
    Pages count from 1, hold the newest tasks first, and end with a short and then empty ones.
    """
    world = official(slots=None)
    records = [world.create(LIGHTHOUSE, NOON + second) for second in range(5)]

    assert [records[4], records[3]] == world.page(1, 2)
    assert [records[0]] == world.page(3, 2)
    assert [] == world.page(4, 2) == world.page(1000, 500)
    assert records[::-1] == world.page(1, 500)


def test_ids_look_like_those_of_the_service() -> None:
    """
    The vendor's ids are 18 digits, the gateway's 22 characters; equal worlds give equal ids, a later start others.
    """
    ids = [World(Settings(dialect=dialect)).create(LIGHTHOUSE, NOON).task_id for dialect in (OFFICIAL, GATEWAY)]
    again = [World(Settings(dialect=dialect)).create(LIGHTHOUSE, NOON).task_id for dialect in (OFFICIAL, GATEWAY)]
    later = World(Settings(dialect=OFFICIAL)).create(LIGHTHOUSE, NOON + 1).task_id

    assert ids == again
    assert later not in ids
    assert (18, 22) == (len(ids[0]), len(ids[1]))
    assert ids[0].isdecimal()
    assert ids[1].startswith("C")


def test_pictures_may_come_late_or_too_few() -> None:
    """
    A success may list no pictures for a while, and fewer than were asked for.
    """
    world = official()
    record = world.create(attrs.evolve(LIGHTHOUSE, n=3), NOON, Fate(pictures_after=2, missing=1))
    early, late = (world.snapshot_of(record, NOON + seconds) for seconds in (10, 12))

    assert "succeed" == early.status_word == late.status_word
    assert (0, 2) == (len(early.task_result.images), len(late.task_result.images))
    assert NOON + 12 == late.updated_at.timestamp() if late.updated_at else False


def test_unknown_word_is_said_while_the_task_is_worked_at() -> None:
    """
    A word of the fault's choice stands in for "processing", and for that alone.
    """
    world = official()
    record = world.create(LIGHTHOUSE, NOON, Fate(word="painting"))

    assert ["submitted", "painting", "succeed"] == [
        world.snapshot_of(record, NOON + seconds).status_word for seconds in (0, 5, 10)
    ]


def test_url_is_good_until_it_expires() -> None:
    """
    A picture's URL is signed for its picture alone and lives as long as the settings say, counted from the task's end.
    """
    world = official(url_lifetime=60.0)
    record = world.create(attrs.evolve(LIGHTHOUSE, n=2), NOON)
    expires, signature = signed(world, record, NOON + 20)

    assert str(int(NOON + 70)) == expires
    assert world.may_fetch(record, "0", expires, signature, NOON + 69)
    assert not world.may_fetch(record, "0", expires, signature, NOON + 70)
    assert not world.may_fetch(record, "1", expires, signature, NOON + 20)
    assert not world.may_fetch(record, "0", str(int(expires) + 1), signature, NOON + 20)
    assert not world.may_fetch(record, "0", "soon", signature, NOON + 20)
    assert not world.may_fetch(record, "0", "9" * 5000, signature, NOON + 20)
    assert not world.may_fetch(record, "0", expires, "é", NOON + 20)


def test_late_reader_gets_a_good_url() -> None:
    """
    Reading a task after its URLs have expired gives new ones.
    """
    world = official(url_lifetime=60.0)
    record = world.create(LIGHTHOUSE, NOON)

    assert world.may_fetch(record, "0", *signed(world, record, NOON + 1000), NOON + 1030)


def test_expired_urls_are_healed_by_reading_again() -> None:
    """
    Once a task's URLs are made worthless, only what is read afterwards is good.
    """
    world = official()
    record = world.create(LIGHTHOUSE, NOON)
    old = signed(world, record, NOON + 11)
    world.expire_urls(record, NOON + 12)

    assert not world.may_fetch(record, "0", *old, NOON + 12)
    assert world.may_fetch(record, "0", *signed(world, record, NOON + 13), NOON + 13)


def test_one_reference_is_kept_once() -> None:
    """
    Equal reference images of many requests share their memory.
    """
    world = official(slots=None)
    texts = [base64.b64encode(b"a picture").decode() for _ in range(2)]
    first, second = (world.create(ImageRequest("x", image=text), NOON).request.image for text in texts)

    assert first is second


def test_repr_counts_and_world_has_defaults() -> None:
    """
    A world shows its dialect and its counts.
    """
    world = World()
    world.create(LIGHTHOUSE, NOON)

    assert "<World gateway: 1 tasks, 1 running>" == repr(world)


creates = st.lists(
    st.tuples(
        st.floats(0, 5),
        st.integers(1, 9),
        st.sampled_from(["kling-v1", "kling-v2", "kling-v3"]),
        st.sampled_from([None, "a", "b", "c", "d"]),
        st.booleans(),
    ),
    max_size=60,
)


@given(creates, st.integers(1, 12), st.integers(0, 2**32), st.none() | st.integers(0, 300))
def test_account_is_never_overdrawn(
    steps: list[tuple[float, int, str, str | None, bool]], slots: int, seed: int, units: int | None
) -> None:
    """
    Whatever is asked: slots are never exceeded, each external id has one task, and what is billed is what succeeded.
    """
    settings = Settings(dialect=OFFICIAL, slots=slots, seed=seed, units=units, latency=(0.1, 9))
    world, now, records = World(settings), NOON, list[TaskRecord]()
    for wait, n, model_name, external_task_id, fails in steps:
        now += wait
        request = ImageRequest("x", n=n, model_name=model_name, external_task_id=external_task_id)
        with suppress(Refusal):
            records.append(world.create(request, now, Fate(failure="no" if fails else None)))
        in_the_making = Counter[str]()
        for record in records:
            in_the_making[record.model_name] += record.request.n if now < record.done_at else 0

        assert all(slots >= count for count in in_the_making.values())
        assert all(count == world.slots_used(model, now) for model, count in in_the_making.items())
        assert world.ledger.units_billed == sum(record.units for record in records if record.done_at <= now)
        assert all(slots >= peak for peak in world.ledger.peak_slots.values())
    world.settle(now + 1000)
    external_ids = Counter(task.external_task_id for task in world.ledger.tasks if task.external_task_id)

    assert all(1 == count for count in external_ids.values())
    assert len(records) == len({record.task_id for record in records})
    assert sum(record.units for record in records) == world.ledger.units_billed
    assert units is None or world.ledger.units_billed <= units
    assert 0 == world.running(now + 1000)
    assert {1102, 1201, 1303} >= set(world.ledger.refusals)
    assert len(steps) == len(records) + world.ledger.refusals.total()


@given(st.integers(0, 2**32), st.lists(st.floats(0, 5), max_size=20))
def test_equal_seeds_give_equal_runs(seed: int, waits: list[float]) -> None:
    """
    The same seed and the same requests give the same tasks, times and pictures.
    """

    def run() -> list[TaskRecord]:
        world = World(Settings(slots=None, seed=seed, latency=(1, 9)))
        return [world.create(LIGHTHOUSE, NOON + wait) for wait in waits]

    assert run() == run()
    assert all(1 <= record.done_at - record.created_at <= 9.001 for record in run())


def test_recalled_task() -> None:
    """
    A task of an earlier service goes on as if that had never ended, and is found by both its ids; but it was that one's
    to count and to bill.
    """
    world = official(slots=1, units=8)
    request = attrs.evolve(LIGHTHOUSE, n=2, external_task_id="mine")
    record = world.recall("t-1", request, NOON)
    seen = [world.snapshot_of(record, NOON + seconds) for seconds in (5, 10)]
    world.create(LIGHTHOUSE, NOON + 10)
    world.settle(NOON + 20)

    assert record is world.find("t-1") is world.find("mine")
    assert [("processing", 0), ("succeed", 2)] == [
        (snapshot.status_word, len(snapshot.task_result.images)) for snapshot in seen
    ]
    assert (1, 8) == (len(world.ledger.tasks), world.ledger.units_billed)
