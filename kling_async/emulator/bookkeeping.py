"""
The account's packs and deductions, as the service shows them.
"""

import base64
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final, Literal

from kling_async.emulator import api_errors
from kling_async.emulator.account import Account
from kling_async.emulator.api_errors import ApiError
from kling_async.emulator.task_record import TaskRecord
from kling_async.wire.calls.account import PAGE_MAX, DeductionsRequest
from kling_async.wire.codec import read_request, write_request

__all__ = ["deductions_of", "packs_of"]

_DAY: Final = 86_400

_BOUGHT: Final = 30 * _DAY  # before today
_GOOD_FOR: Final = 365 * _DAY

_NO_LIMIT: Final = 1_000_000  # units of the pack of an account without a limit

_KEY_NAME: Final = "emulator"


def packs_of(account: Account, now: float) -> list[dict[str, Any]]:
    """
    Return the packs of the account: one, which its tasks and calls use up; none if it pays in cash.
    """
    settings = account.settings
    if settings.paid_in == "cash":
        return []
    account.settle(now)
    total = Decimal(str(settings.units if settings.units is not None else _NO_LIMIT))
    left = max(Decimal(0), total - account.usage.units_spent)
    bought = round(now // _DAY * _DAY - _BOUGHT)
    slots = "" if settings.slots is None else f"-{settings.slots}Con"
    pack = {
        "resource_pack_name": f"Emulator-{total.normalize():f}Units{slots}-12Months",
        "resource_pack_id": f"emulator-{settings.seed}",
        "resource_pack_type": "decreasing_total",
        "total_quantity": float(total),
        "remaining_quantity": float(left),
        "purchase_time": 1000 * bought,
        "effective_time": 1000 * bought,
        "invalid_time": 1000 * (bought + _GOOD_FOR),
        "status": "online" if left else "runOut",
    }
    return [pack]


def deductions_of(
    account: Account, request: DeductionsRequest, paid_in: Literal["units", "cash"], now: float
) -> dict[str, Any]:
    """
    Return a page of what was deducted in units from packs, or in cash from the balance.

    Raises:
        ApiError: The cursor is not one of this service (1201).
    """
    account.settle(now)
    place = 0
    if request.cursor is not None:
        place, request = _read_cursor(request.cursor)
    found = list(_chosen(account, request)) if account.settings.paid_in == paid_in else []
    size = request.limit or PAGE_MAX
    page, rest = found[place : place + size], found[place + size :]
    details = [_detail(record, paid_in) for record in page]
    data: dict[str, Any] = {"has_more": bool(rest), "next_cursor": ""}
    if rest:
        data["next_cursor"] = _write_cursor(place + size, request)
    return {"result": {"detail": details, "count": len(details)}, **data}


def _chosen(account: Account, request: DeductionsRequest) -> Iterator[TaskRecord]:
    wanted = {each.key: each.values for each in request.filters}
    products = {"images": "image", "videos": "video", "audios": "video"}  # sounds are taken from packs for videos
    for record in account.billed:
        facts = {"api_key_name": _KEY_NAME, "product_type": products.get(record.endpoint.results[0], "video")}
        is_wanted = all(facts.get(key) in values for key, values in wanted.items() if key in facts)
        if is_wanted and (request.start_time or 0) <= _deducted_at(record) <= (request.end_time or 0):
            yield record


def _deducted_at(record: TaskRecord) -> int:
    return round(1000 * record.done_at)  # in the vendor's milliseconds


def _detail(record: TaskRecord, paid_in: Literal["units", "cash"]) -> dict[str, Any]:
    detail = {
        "task_id": record.task_id,
        "api_key_name": _KEY_NAME,
        "product_function": record.endpoint.title,
        "model_name": record.model_name,
        "resolution": getattr(record.request, "resolution", None) or "",
        "deduction_time": str(_deducted_at(record)),
        "deduction_amount": float(record.units),
    }
    if paid_in == "units":
        return detail
    dollars = float(record.units * (record.endpoint.unit_price or 0))
    return {**detail, "deduction_amount": dollars, "cash_type": "balance", "currency": "USD", "list_price": dollars}


def _write_cursor(place: int, request: DeductionsRequest) -> str:
    return base64.urlsafe_b64encode(json.dumps([place, write_request(request)]).encode()).decode()


def _read_cursor(cursor: str) -> tuple[int, DeductionsRequest]:
    try:
        place, body = json.loads(base64.urlsafe_b64decode(cursor))
        return int(place), read_request(body, DeductionsRequest)
    except (ValueError, TypeError, AttributeError) as error:
        raise ApiError(400, 1201, api_errors.invalid("cursor", cursor)) from error
