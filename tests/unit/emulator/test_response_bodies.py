"""
How answers are worded, against the words of the public pages.
"""

from decimal import Decimal

from kling_async.emulator import Account, ApiError, Settings, TaskOutcome, response_bodies
from kling_async.wire.codec import write_task
from kling_async.wire.dialects import GATEWAY, OFFICIAL
from kling_async.wire.endpoints.image_generation import ImageRequest

NOON = 1_780_000_000.0


def snapshot_at(seconds: float, outcome: TaskOutcome | None = None, n: int = 1) -> response_bodies.Payload:
    account = Account(Settings(dialect=OFFICIAL, latency=(10, 10)))
    record = account.create(ImageRequest("x", n=n, external_task_id="order-17"), NOON, outcome or TaskOutcome())
    return response_bodies.success_body(write_task(account.snapshot_of(record, NOON + seconds)), "r1")


def test_refusal_has_no_data() -> None:
    """
    The vendor's no is code, message and request id.
    """
    assert {"code": 1303, "message": "full", "request_id": "r1"} == response_bodies.error_body(
        ApiError(429, 1303, "full"), "r1"
    )


def test_created_task_is_the_example_of_the_gateway() -> None:
    """
    A gateway's create shows four fields; the vendor's repeats the external id beside them.
    """
    for dialect, extra in ((GATEWAY, set[str]()), (OFFICIAL, {"task_info"})):
        account = Account(Settings(dialect=dialect))
        snapshot = account.snapshot_of(account.create(ImageRequest("x"), NOON), NOON)
        data = response_bodies.created(snapshot, names_external_id=dialect.external_ids)

        assert {"task_id", "task_status", "created_at", "updated_at", *extra} == set(data)
        assert "submitted" == data["task_status"]
        assert int(NOON * 1000) == data["created_at"] == data["updated_at"]


def test_new_standard_has_words_of_its_own() -> None:
    """
    The new standard says succeeded, id, outputs and billing.
    """
    account = Account(Settings(dialect=OFFICIAL, latency=(10, 10)))
    record = account.create(ImageRequest("x", external_task_id="order-17"), NOON)
    before, after = (response_bodies.new_standard(account.snapshot_of(record, NOON + seconds)) for seconds in (0, 10))

    assert ("submitted", [], []) == (before["status"], before["outputs"], before["billing"])
    assert ("succeeded", "order-17") == (after["status"], after["external_id"])
    assert ["image"] == [output["type"] for output in after["outputs"]]
    assert [{"charge_type": "unit", "amount": "8", "package_type": "image"}] == after["billing"]
    assert int((NOON + 10) * 1000) == after["update_time"]
    assert record.task_id == after["id"]


def test_crazy_task_shows_one_picture() -> None:
    """
    Crazyrouter's snapshot has a word for a code, and one URL; a failure is an error object.
    """
    done = response_bodies.as_crazy_task(snapshot_at(10, n=2))
    failed = response_bodies.as_crazy_task(snapshot_at(10, TaskOutcome(failure="no")))["data"]

    assert ("success", "succeeded", "png") == (done["code"], done["data"]["status"], done["data"]["format"])
    assert done["data"]["url"].startswith("http://")
    assert ("failed", "no", "") == (failed["status"], failed["error"]["message"], failed["url"])


def test_new_api_task_keeps_the_vendors_answer() -> None:
    """
    New-api's snapshot has states and seconds of its own, and the vendor's answer inside.
    """
    raw = snapshot_at(10)
    done, running = (
        response_bodies.as_new_api_task(raw)["data"],
        response_bodies.as_new_api_task(snapshot_at(5))["data"],
    )
    strange = response_bodies.as_new_api_task(snapshot_at(5, TaskOutcome(word="painting")))["data"]

    assert raw == done["data"]
    assert ("SUCCESS", "100%", int(NOON + 10)) == (done["status"], done["progress"], done["finish_time"])
    assert ("IN_PROGRESS", "30%", 0) == (running["status"], running["progress"], running["finish_time"])
    assert ("UNKNOWN", "") == (strange["status"], strange["result_url"])


def test_times_in_seconds() -> None:
    """
    Times shrink to seconds in one task and in a list of them; what has no times stays.
    """
    one = snapshot_at(10)
    many = {**one, "data": [one["data"]]}

    assert int(NOON) == response_bodies.in_seconds(one)["data"]["created_at"]
    assert int(NOON) + 10 == response_bodies.in_seconds(many)["data"][0]["updated_at"]
    assert {"code": 1} == response_bodies.in_seconds({"code": 1})


def test_relayed_error_hides_the_vendors_in_text() -> None:
    """
    New-api puts the vendor's whole JSON into its message.
    """
    relayed = response_bodies.as_relayed_error({"code": 1201, "message": "no"}, 400)

    assert {"code": "fail_to_fetch_task", "message": '{"code":1201,"message":"no"}', "data": None} == relayed


def test_relayed_429_has_words_of_its_own() -> None:
    """
    Under a 429 new-api keeps the vendor's reason to itself: no money and no slot look alike.
    """
    no_money, no_slot = (
        response_bodies.as_relayed_error({"code": code, "message": "no"}, 429) for code in (1102, 1303)
    )

    assert no_money == no_slot
    assert "饱和" in no_slot["message"]


def test_units_are_text() -> None:
    """
    The vendor says prices as text.
    """
    assert "8" == snapshot_at(10)["data"]["final_unit_deduction"]
    assert Decimal(0) == Decimal(snapshot_at(10, TaskOutcome(failure="no"))["data"]["final_unit_deduction"])
