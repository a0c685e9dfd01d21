"""
The account's packs and deductions: what is asked for, and what is read.
"""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, strategies as st

from kling_async.errors import InvalidRequest, RateLimited, UnexpectedAnswer
from kling_async.wire.calls.account import (
    BALANCE_DEDUCTIONS,
    PACKAGE_DEDUCTIONS,
    RESOURCE_PACKS,
    DeductionsRequest,
    Filter,
    PacksRequest,
)
from kling_async.wire.codec import write_request
from kling_async.wire.dialects import GATEWAY, OFFICIAL
from kling_async.wire.http_answer import Answer


def answer(data: Any, **envelope: Any) -> Answer:
    return Answer(200, {}, json.dumps({"code": 0, "message": "SUCCEED", "data": data, **envelope}).encode())


def broken_fields(**fields: Any) -> list[str]:
    request = DeductionsRequest(**fields)
    return [broken.field for broken in PACKAGE_DEDUCTIONS.rules(request, OFFICIAL)]


@pytest.mark.parametrize("call", [RESOURCE_PACKS, PACKAGE_DEDUCTIONS, BALANCE_DEDUCTIONS], ids=lambda call: call.name)
def test_gateways_have_no_account_pages(call: Any) -> None:
    """
    By their pages; a dialect may say otherwise.
    """
    request = call.request_class(start_time=0, end_time=1)

    with pytest.raises(InvalidRequest, match="gateway services have no"):
        call.check(request, GATEWAY)
    call.check(request, OFFICIAL)


@pytest.mark.parametrize(
    ("fields", "broken"),
    [
        ({"start_time": 0, "end_time": 0}, []),
        ({"start_time": 0, "end_time": 1, "limit": 500}, []),
        ({"cursor": "c2"}, []),
        ({}, ["start_time", "end_time"]),
        ({"start_time": 1.5, "end_time": "2"}, ["start_time", "end_time"]),
        ({"start_time": -1, "end_time": 1}, ["start_time"]),
        ({"start_time": 2, "end_time": 1}, ["end_time"]),
        ({"start_time": 0, "end_time": 1, "limit": 0}, ["limit"]),
        ({"start_time": 0, "end_time": 1, "limit": 501}, ["limit"]),
        ({"start_time": 0, "end_time": 1, "filters": (Filter("api_key_name", ()),)}, ["filters"]),
        ({"start_time": 0, "end_time": 1, "filters": (Filter("api_key_name", ("",)),)}, ["filters"]),
    ],
)
def test_windows_are_checked(fields: dict[str, Any], broken: list[str]) -> None:
    """
    Both ends are needed, in order, unless a cursor says where to go on.
    """
    assert broken == broken_fields(**fields)


def test_packs_are_named_in_one_way() -> None:
    """
    By their names or by their ids.
    """
    filters = (Filter("package_name", ("a",)), Filter("package_id", ("1",)))

    assert ["filters"] == broken_fields(start_time=0, end_time=1, filters=filters)


def test_only_what_is_given_is_sent() -> None:
    """
    A cursor goes alone.
    """
    filters = (Filter("api_key_name", ("bots", "web")),)

    assert {"start_time": 1, "end_time": 2} == write_request(PacksRequest(start_time=1, end_time=2))
    assert {"cursor": "c2"} == write_request(DeductionsRequest(cursor="c2"))
    written = write_request(DeductionsRequest(start_time=1, end_time=2, limit=3, filters=filters))
    assert {
        "start_time": 1,
        "end_time": 2,
        "limit": 3,
        "filters": [{"key": "api_key_name", "values": ["bots", "web"]}],
    } == json.loads(json.dumps(written))


def test_refusal_in_the_inner_envelope_is_raised() -> None:
    """
    The account's answers have two, and both may say no.
    """
    with pytest.raises(RateLimited, match="too fast"):
        RESOURCE_PACKS.read(answer({"code": 1302, "msg": "too fast"}))


def test_account_without_packs_has_none() -> None:
    """
    An empty list, and nothing else, says so.
    """
    assert () == RESOURCE_PACKS.read(answer({"code": 0, "msg": "", "resource_pack_subscribe_infos": []}))
    for data in (None, {}, {"code": 0}, {"resource_pack_subscribe_infos": None}):
        with pytest.raises(UnexpectedAnswer, match="no list of resource packs"):
            RESOURCE_PACKS.read(answer(data))


def test_unknown_fields_are_kept() -> None:
    """
    The names of quantities before and after a deduction are not known; what is unreadable costs only itself.
    """
    details = [{"task_id": 9, "deduction_amount": "0.05", "before": 3, "deduction_time": None}, "x"]

    page = PACKAGE_DEDUCTIONS.read(answer({"result": {"detail": details}, "next_cursor": "c2", "has_more": True}))

    (deduction,) = page.deductions
    assert ("9", Decimal("0.05"), None) == (
        deduction.task_id,
        deduction.deduction_amount,
        deduction.deduction_time,
    )
    assert 3 == deduction.raw["before"]


@pytest.mark.parametrize(
    ("end", "cursor"),
    [
        ({"next_cursor": "c2", "has_more": True}, "c2"),
        ({"next_cursor": "c2"}, "c2"),
        ({"next_cursor": "c2", "has_more": False}, None),
        ({"next_cursor": "", "has_more": True}, None),
        ({"next_cursor": None, "has_more": False}, None),
    ],
)
def test_last_page_is_recognized(end: dict[str, Any], cursor: str | None) -> None:
    """
    It has no further cursor; an empty one has no result either.
    """
    assert cursor == PACKAGE_DEDUCTIONS.read(answer({"result": {"detail": []}, **end})).next_cursor
    assert () == BALANCE_DEDUCTIONS.read(answer(end)).deductions


@pytest.mark.parametrize("data", [None, {}, {"result": []}, {"result": {"detail": "x"}}, {"code": 0}])
def test_answer_without_deductions_is_unexpected(data: Any) -> None:
    """
    Rather than an empty page.
    """
    with pytest.raises(UnexpectedAnswer, match="no list of deductions"):
        PACKAGE_DEDUCTIONS.read(answer(data))


@given(value=st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.lists(st.integers()))
def test_no_value_makes_a_reader_raise(value: Any) -> None:
    """
    Whatever stands in a field of a pack or a deduction, the others are read.
    """
    packs = {
        "resource_pack_subscribe_infos": [dict.fromkeys(("resource_pack_name", "total_quantity", "status"), value)]
    }
    details = {"detail": [dict.fromkeys(("task_id", "deduction_amount", "deduction_time"), value)]}

    assert 1 == len(RESOURCE_PACKS.read(answer(packs)))
    assert 1 == len(PACKAGE_DEDUCTIONS.read(answer({"result": details})).deductions)
