"""
Series of pictures: what the service shows, how many slots they take, and what they cost.
"""

from decimal import Decimal
from typing import Any

import pytest

from kling_async import OFFICIAL, ElementRequest, ImageRequest, ImageToVideo, OmniImage
from kling_async.emulator import Account, ApiError, Settings
from kling_async.emulator.library import PRESET_ELEMENT_IDS
from kling_async.wire import TaskRequest, write_task
from kling_async.wire.endpoints.omni_image import OMNI_IMAGE

NOON = 1_780_000_000.0


def account(**settings: Any) -> Account:
    """
    Return an account whose tasks take a second.
    """
    return Account(Settings(dialect=OFFICIAL, latency=(1.0, 1.0), **settings))


def series(amount: int | str | None = None) -> OmniImage:
    """
    Return a request for a series.
    """
    request = OmniImage("four seasons of a tree", result_type="series", series_amount=amount)
    return OMNI_IMAGE.complete(request, OFFICIAL)


def test_series_is_in_a_list_of_its_own() -> None:
    """
    The pictures of a series are numbered from 0 and signed one by one.
    """
    service = account()
    record = service.create(series(3), NOON)

    result = write_task(service.snapshot_of(record, NOON + 1))["task_result"]

    assert ["series_images"] == list(result)
    assert [0, 1, 2] == [image["index"] for image in result["series_images"]]
    assert 3 == len({image["url"] for image in result["series_images"]})


@pytest.mark.parametrize("seed", range(5))
def test_series_of_auto_costs_what_it_makes(seed: int) -> None:
    """
    The service decides how many pictures it makes: those take the slots, and are billed.
    """
    service = account(seed=seed)
    record = service.create(series("auto"), NOON)
    made = len(service.snapshot_of(record, NOON + 1).task_result.images)

    assert 2 <= made <= 9
    assert made == service.slots_used("kling-v3-omni", NOON)
    assert 0 == service.slots_used("kling-v3-omni", NOON + 1)
    assert Decimal(8 * made) == service.ledger.units_billed == record.price


def test_series_of_auto_varies() -> None:
    """
    Not all of them have the same length.
    """
    service = account(slots=None)

    assert 1 < len({service.create(series("auto"), NOON).count for _ in range(20)})


@pytest.mark.parametrize(
    "request_",
    [
        OmniImage("a", element_list=[PRESET_ELEMENT_IDS[0], 1]),
        ImageRequest("a", element_list=[1]),
        ImageToVideo("https://a.example/0.png", element_list=[1]),
    ],
)
def test_unknown_element(request_: TaskRequest) -> None:
    """
    An element that does not exist is refused in the vendor's words, and nothing is charged.
    """
    service = account()

    with pytest.raises(ApiError) as caught:
        service.create(request_, NOON)

    assert (400, 1201, "Element id not found: 1") == (
        caught.value.http_status,
        caught.value.code,
        caught.value.message,
    )
    assert {1201: 1} == service.ledger.refusals
    assert [] == service.ledger.tasks


def test_known_elements() -> None:
    """
    The service has some of its own, and those of the account.
    """
    service = account()
    request = ElementRequest("fox", element_description="a fox", refer_video="https://files.example/fox.mp4")
    record = service.create(request, NOON)
    later = record.done_at
    (element,) = service.snapshot_of(record, later).task_result.elements

    service.create(OmniImage("a", element_list=[element.element_id, *PRESET_ELEMENT_IDS[:2]]), later)

    assert 2 == len(service.ledger.tasks)
