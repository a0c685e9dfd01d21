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

from kling_async.emulator import Account, ApiError, Settings, TaskOutcome, TaskRecord
from kling_async.emulator.result_files import ResultFile
from kling_async.wire.dialects import GATEWAY, OFFICIAL
from kling_async.wire.endpoints.image_generation import ImageRequest
from kling_async.wire.tasks import TaskStatus

NOON = 1_780_000_000.0

LIGHTHOUSE = ImageRequest("a lighthouse at dusk")


def official(**fields: Any) -> Account:
    return Account(attrs.evolve(Settings(dialect=OFFICIAL, latency=(10, 10)), **fields))


def refusal_of(account: Account, request: ImageRequest, now: float = NOON) -> ApiError:
    with pytest.raises(ApiError) as caught:
        account.create(request, now)
    return caught.value


def signed(account: Account, record: TaskRecord, now: float, index: int = 0) -> tuple[str, str]:
    url = account.snapshot_of(record, now).task_result.images[index].url
    query = parse_qs(urlsplit(url).query)
    return query["Expires"][0], query["Signature"][0]


def test_task_goes_from_submitted_to_succeed() -> None:
    """
    A task is submitted, then processing, then a success with all its pictures, as time passes.
    """
    account = official()
    record = account.create(attrs.evolve(LIGHTHOUSE, n=3), NOON)
    seen = [account.snapshot_of(record, NOON + seconds) for seconds in (0, 5, 9.999, 10)]

    assert ["submitted", "processing", "processing", "succeed"] == [snapshot.status_word for snapshot in seen]
    assert [0, 0, 0, 3] == [len(snapshot.task_result.images) for snapshot in seen]
    assert [None, None, None, 24] == [snapshot.final_unit_deduction for snapshot in seen]
    assert [NOON] * 4 == [snapshot.created_at.timestamp() for snapshot in seen if snapshot.created_at]
    assert [0, 1.5, 1.5, 10] == [snapshot.updated_at.timestamp() - NOON for snapshot in seen if snapshot.updated_at]


def test_failed_task_costs_nothing_and_frees_its_slots() -> None:
    """
    A failed task says why, has no pictures, costs 0 and gives back its slots.
    """
    account = official(slots=1, units=8)
    record = account.create(LIGHTHOUSE, NOON, TaskOutcome(failure="the paint ran out"))
    seen = account.snapshot_of(record, NOON + 10)

    assert TaskStatus.FAILED is seen.task_status
    assert "the paint ran out" == seen.task_status_msg
    assert () == seen.task_result.images
    assert 0 == seen.final_unit_deduction
    assert 0 == account.slots_used("kling-v3", NOON + 10)
    assert 0 == account.ledger.units_billed
    assert 2 == account.create(LIGHTHOUSE, NOON + 10).ordinal


def test_reason_of_a_failure_is_not_told_before_its_time() -> None:
    """
    A task that will fail looks like any other until it does.
    """
    account = official()
    record = account.create(LIGHTHOUSE, NOON, TaskOutcome(failure="no"))

    assert "" == account.snapshot_of(record, NOON + 9).task_status_msg


def test_slots_are_held_until_the_end() -> None:
    """
    n slots are taken from acceptance to the end of a task, per model; beyond them a create is refused with 1303.
    """
    account = official(slots=9)
    account.create(attrs.evolve(LIGHTHOUSE, n=9), NOON)
    refusal = refusal_of(account, LIGHTHOUSE, NOON + 9.9)
    account.create(attrs.evolve(LIGHTHOUSE, model_name="kling-v2"), NOON + 9.9)
    account.create(LIGHTHOUSE, NOON + 10)

    assert (429, 1303, "parallel task over resource pack limit") == attrs.astuple(refusal)
    assert {"kling-v3": 9, "kling-v2": 1} == account.ledger.peak_slots
    assert {1303: 1} == account.ledger.refusals
    assert [1, 3, 4] == [task.create_number for task in account.ledger.tasks]


def test_request_larger_than_the_account_is_never_accepted() -> None:
    """
    A create of more pictures than there are slots in all gets 1303 even on an idle account.
    """
    assert 1303 == refusal_of(official(slots=2), attrs.evolve(LIGHTHOUSE, n=3)).code


def test_unset_model_takes_the_slots_of_the_default_model() -> None:
    """
    Whether the default model is named or not, the bucket is the same.
    """
    account = official(slots=1)
    account.create(LIGHTHOUSE, NOON)

    assert 1303 == refusal_of(account, attrs.evolve(LIGHTHOUSE, model_name="kling-v3")).code


def test_stuck_task_never_ends_and_keeps_its_slots() -> None:
    """
    A stuck task is processing for ever, and its slots and its money stay taken.
    """
    account = official(slots=1)
    record = account.create(LIGHTHOUSE, NOON, TaskOutcome(is_stuck=True))
    years = 100 * 365 * 86_400.0

    assert TaskStatus.PROCESSING is account.snapshot_of(record, NOON + years).task_status
    assert 1303 == refusal_of(account, LIGHTHOUSE, NOON + years).code
    assert 0 == account.running(NOON + years)


def test_money_runs_out() -> None:
    """
    What running tasks will cost is set aside, so that no more is accepted than can be paid; then comes 1102.
    """
    account = official(slots=None, units=20)
    account.create(attrs.evolve(LIGHTHOUSE, n=2), NOON)
    refusal = refusal_of(account, LIGHTHOUSE)
    account.settle(NOON + 10)

    assert (429, 1102, "Account balance not enough") == attrs.astuple(refusal)
    assert 16 == account.ledger.units_billed
    assert 1102 == refusal_of(account, LIGHTHOUSE, NOON + 10).code


def test_external_id_is_taken_for_ever() -> None:
    """
    A second create with an external id is refused with 1201, makes no task and costs nothing, also after the end.
    """
    account = official()
    record = account.create(attrs.evolve(LIGHTHOUSE, external_task_id="order-17"), NOON)
    refusal = refusal_of(account, ImageRequest("else", external_task_id="order-17"), NOON + 1000)

    assert (400, 1201, "External_task_id order-17 already exists") == attrs.astuple(refusal)
    assert 1 == len(account.ledger.tasks) == account.ledger.duplicates_refused
    assert record is account.find("order-17") is account.find(record.task_id) is account.find_external("order-17")
    assert account.find_task("order-17") is None


def test_refused_create_does_not_use_up_its_external_id() -> None:
    """
    An id whose create was refused for want of slots is free for the next attempt.
    """
    account = official(slots=1)
    account.create(LIGHTHOUSE, NOON)
    late = attrs.evolve(LIGHTHOUSE, external_task_id="order-18")
    refusal_of(account, late)

    assert 2 == account.create(late, NOON + 10).ordinal


def test_content_policy_refuses_at_create() -> None:
    """
    A refused word in a prompt, whatever its case, gets 1301.
    """
    account = official(refused_words=("Forbidden",))

    assert (400, 1301) == attrs.astuple(refusal_of(account, ImageRequest("the forBIDDEN city")))[:2]
    assert 1 == account.create(ImageRequest("the open city"), NOON).ordinal


def test_content_policy_may_also_fail_the_task() -> None:
    """
    The other way of refusing content: the task is accepted, and fails.
    """
    account = official(refused_words=("forbidden",), refused_as="failed task")
    record = account.create(ImageRequest("the forbidden city"), NOON)

    assert "Failure to pass the risk control system" == account.snapshot_of(record, NOON + 10).task_status_msg


def test_pages_are_newest_first() -> None:
    """
    Pages count from 1, hold the newest tasks first, and end with a short and then empty ones.
    """
    account = official(slots=None)
    records = [account.create(LIGHTHOUSE, NOON + second) for second in range(5)]

    assert [records[4], records[3]] == account.page(1, 2)
    assert [records[0]] == account.page(3, 2)
    assert [] == account.page(4, 2) == account.page(1000, 500)
    assert records[::-1] == account.page(1, 500)


def test_ids_look_like_those_of_the_service() -> None:
    """
    The vendor's ids are 18 digits, the gateway's 22 characters; equal worlds give equal ids, a later start others.
    """
    ids = [Account(Settings(dialect=dialect)).create(LIGHTHOUSE, NOON).task_id for dialect in (OFFICIAL, GATEWAY)]
    again = [Account(Settings(dialect=dialect)).create(LIGHTHOUSE, NOON).task_id for dialect in (OFFICIAL, GATEWAY)]
    later = Account(Settings(dialect=OFFICIAL)).create(LIGHTHOUSE, NOON + 1).task_id

    assert ids == again
    assert later not in ids
    assert (18, 22) == (len(ids[0]), len(ids[1]))
    assert ids[0].isdecimal()
    assert ids[1].startswith("C")


def test_pictures_may_come_late_or_too_few() -> None:
    """
    A success may list no pictures for a while, and fewer than were asked for.
    """
    account = official()
    record = account.create(attrs.evolve(LIGHTHOUSE, n=3), NOON, TaskOutcome(files_after=2, missing=1))
    early, late = (account.snapshot_of(record, NOON + seconds) for seconds in (10, 12))

    assert "succeed" == early.status_word == late.status_word
    assert (0, 2) == (len(early.task_result.images), len(late.task_result.images))
    assert NOON + 12 == late.updated_at.timestamp() if late.updated_at else False


def test_unknown_word_is_said_while_the_task_is_worked_at() -> None:
    """
    A word of the fault's choice stands in for "processing", and for that alone.
    """
    account = official()
    record = account.create(LIGHTHOUSE, NOON, TaskOutcome(word="painting"))

    assert ["submitted", "painting", "succeed"] == [
        account.snapshot_of(record, NOON + seconds).status_word for seconds in (0, 5, 10)
    ]


def test_url_is_good_until_it_expires() -> None:
    """
    A picture's URL is signed for its picture alone and lives as long as the settings say, counted from the task's end.
    """
    account = official(url_lifetime=60.0)
    record = account.create(attrs.evolve(LIGHTHOUSE, n=2), NOON)
    expires, signature = signed(account, record, NOON + 20)

    assert str(int(NOON + 70)) == expires
    assert account.urls.accepts(record, ResultFile("images", 0), expires, signature, NOON + 69)
    assert not account.urls.accepts(record, ResultFile("images", 0), expires, signature, NOON + 70)
    assert not account.urls.accepts(record, ResultFile("images", 1), expires, signature, NOON + 20)
    assert not account.urls.accepts(record, ResultFile("images", 0), str(int(expires) + 1), signature, NOON + 20)
    assert not account.urls.accepts(record, ResultFile("images", 0), "soon", signature, NOON + 20)
    assert not account.urls.accepts(record, ResultFile("images", 0), "9" * 5000, signature, NOON + 20)
    assert not account.urls.accepts(record, ResultFile("images", 0), expires, "é", NOON + 20)


def test_late_reader_gets_a_good_url() -> None:
    """
    Reading a task after its URLs have expired gives new ones.
    """
    account = official(url_lifetime=60.0)
    record = account.create(LIGHTHOUSE, NOON)

    assert account.urls.accepts(record, ResultFile("images", 0), *signed(account, record, NOON + 1000), NOON + 1030)


def test_expired_urls_are_healed_by_reading_again() -> None:
    """
    Once a task's URLs are made worthless, only what is read afterwards is good.
    """
    account = official()
    record = account.create(LIGHTHOUSE, NOON)
    old = signed(account, record, NOON + 11)
    account.urls.expire(record, NOON + 12)

    assert not account.urls.accepts(record, ResultFile("images", 0), *old, NOON + 12)
    assert account.urls.accepts(record, ResultFile("images", 0), *signed(account, record, NOON + 13), NOON + 13)


def test_one_reference_is_kept_once() -> None:
    """
    Equal reference images of many requests share their memory.
    """
    account = official(slots=None)
    texts = [base64.b64encode(b"a picture").decode() for _ in range(2)]
    first, second = (account.create(ImageRequest("x", image=text), NOON).request.image for text in texts)

    assert first is second


def test_repr_counts_and_world_has_defaults() -> None:
    """
    A account shows its dialect and its counts.
    """
    account = Account()
    account.create(LIGHTHOUSE, NOON)

    assert "<Account gateway: 1 tasks, 1 running>" == repr(account)


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
    account, now, records = Account(settings), NOON, list[TaskRecord]()
    for wait, n, model_name, external_task_id, fails in steps:
        now += wait
        request = ImageRequest("x", n=n, model_name=model_name, external_task_id=external_task_id)
        with suppress(ApiError):
            records.append(account.create(request, now, TaskOutcome(failure="no" if fails else None)))
        in_the_making = Counter[str]()
        for record in records:
            in_the_making[record.model_name] += record.request.n if now < record.done_at else 0

        assert all(slots >= count for count in in_the_making.values())
        assert all(count == account.slots_used(model, now) for model, count in in_the_making.items())
        assert account.ledger.units_billed == sum(record.units for record in records if record.done_at <= now)
        assert all(slots >= peak for peak in account.ledger.peak_slots.values())
    account.settle(now + 1000)
    external_ids = Counter(task.external_task_id for task in account.ledger.tasks if task.external_task_id)

    assert all(1 == count for count in external_ids.values())
    assert len(records) == len({record.task_id for record in records})
    assert sum(record.units for record in records) == account.ledger.units_billed
    assert units is None or account.ledger.units_billed <= units
    assert 0 == account.running(now + 1000)
    assert {1102, 1201, 1303} >= set(account.ledger.refusals)
    assert len(steps) == len(records) + account.ledger.refusals.total()


@given(st.integers(0, 2**32), st.lists(st.floats(0, 5), max_size=20))
def test_equal_seeds_give_equal_runs(seed: int, waits: list[float]) -> None:
    """
    The same seed and the same requests give the same tasks, times and pictures.
    """

    def run() -> list[TaskRecord]:
        account = Account(Settings(slots=None, seed=seed, latency=(1, 9)))
        return [account.create(LIGHTHOUSE, NOON + wait) for wait in waits]

    assert run() == run()
    assert all(1 <= record.done_at - record.created_at <= 9.001 for record in run())


def test_recalled_task() -> None:
    """
    A task of an earlier service goes on as if that had never ended, and is found by both its ids; but it was that one's
    to count and to bill.
    """
    account = official(slots=1, units=8)
    request = attrs.evolve(LIGHTHOUSE, n=2, external_task_id="mine")
    record = account.restore("t-1", request, NOON)
    seen = [account.snapshot_of(record, NOON + seconds) for seconds in (5, 10)]
    account.create(LIGHTHOUSE, NOON + 10)
    account.settle(NOON + 20)

    assert record is account.find("t-1") is account.find("mine")
    assert [("processing", 0), ("succeed", 2)] == [
        (snapshot.status_word, len(snapshot.task_result.images)) for snapshot in seen
    ]
    assert (1, 8) == (len(account.ledger.tasks), account.ledger.units_billed)
