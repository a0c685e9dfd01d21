"""
The account's resource packs, and what was deducted from them or from its balance.

Facts are from the vendor's pages "Account usage", "Package" and "Balance" of September 2026. Times on the wire are
milliseconds. No field says how many tasks may run at a time; only the name of a pack may ("9Con").
"""

import datetime as dt
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

import attrs

from kling_async.errors import BrokenRule
from kling_async.wire.calls.call import Call, read_data
from kling_async.wire.dialects import Dialect
from kling_async.wire.endpoints.rules import broken, text_rule, whole_rule
from kling_async.wire.error_answers import unexpected
from kling_async.wire.http_answer import Answer
from kling_async.wire.scalars import read_decimal, read_id, read_text, read_time

__all__ = [
    "BALANCE_DEDUCTIONS",
    "PACKAGE_DEDUCTIONS",
    "PAGE_MAX",
    "RESOURCE_PACKS",
    "Deduction",
    "DeductionPage",
    "DeductionsRequest",
    "Filter",
    "PacksRequest",
    "ResourcePack",
]

PAGE_MAX: Final = 500
"""
Deductions of a page, at most.
"""

_TEXT_MAX: Final = 256  # characters of a name; the pages have no limit

_LATEST: Final = 253_402_300_799_999  # the last millisecond that a `datetime` can hold


@attrs.frozen(kw_only=True)
class ResourcePack:
    """
    A pack of units that the account has bought.

    Attributes:
        resource_pack_name: The vendor's name, which may say how many tasks may run at a time ("9Con").
        resource_pack_id: Its id.
        resource_pack_type: "decreasing_total" or "constant_period".
        total_quantity: Units that were bought; None if the service does not say.
        remaining_quantity: Units that are left. The vendor updates this 12 hours late.
        purchase_time: Aware time (UTC), or None if the service does not say; as all times here.
        effective_time: From when it can be used.
        invalid_time: Until when.
        status: The service's word: "toBeOnline", "online", "expired" or "runOut".
        raw: The pack as it was received, with the fields that this version does not know.
    """

    resource_pack_name: str
    resource_pack_id: str
    resource_pack_type: str = ""
    total_quantity: Decimal | None = None
    remaining_quantity: Decimal | None = None
    purchase_time: dt.datetime | None = None
    effective_time: dt.datetime | None = None
    invalid_time: dt.datetime | None = None
    status: str = ""
    raw: Mapping[str, Any] = attrs.field(factory=dict, eq=False, hash=False, repr=False)


@attrs.frozen(kw_only=True)
class Deduction:
    """
    What was deducted for one task or call.

    Attributes:
        task_id: Of the task; empty if the service does not say.
        deduction_amount: Units, or money in `currency`; None if the service does not say.
        deduction_time: Aware time (UTC), or None if the service does not say.
        api_key_name: The name of the key, not the key.
        product_function: The vendor's name of what was made.
        model_name: The model, if there is one.
        resolution: Of a video or picture, if there is one.
        cash_type: Of the money that was taken, if it was money.
        currency: "USD" or "CNY", if it was money.
        list_price: Without a discount; None if the service does not say.
        raw: The deduction as it was received, with the quantities before and after it.
    """

    task_id: str
    deduction_amount: Decimal | None = None
    deduction_time: dt.datetime | None = None
    api_key_name: str = ""
    product_function: str = ""
    model_name: str = ""
    resolution: str = ""
    cash_type: str = ""
    currency: str = ""
    list_price: Decimal | None = None
    raw: Mapping[str, Any] = attrs.field(factory=dict, eq=False, hash=False, repr=False)


@attrs.frozen(kw_only=True)
class PacksRequest:
    """
    Which packs to show: those that were bought in a window, in milliseconds since 1970.
    """

    start_time: int
    end_time: int
    resource_pack_name: str | None = None


@attrs.frozen
class Filter:
    """
    The values of a field to show.
    """

    key: str
    values: tuple[str, ...]


@attrs.frozen(kw_only=True)
class DeductionsRequest:
    """
    Which deductions to show: those of a window, in milliseconds since 1970, or the page that follows another one.

    Attributes:
        cursor: Of that page; the service then ignores all else.
    """

    start_time: int | None = None
    end_time: int | None = None
    limit: int | None = None
    filters: tuple[Filter, ...] = ()
    cursor: str | None = None


@attrs.frozen
class DeductionPage:
    """
    A page of deductions, and the cursor of the next one; None if this is the last.
    """

    deductions: tuple[Deduction, ...]
    next_cursor: str | None = None


def _window_rules(request: PacksRequest | DeductionsRequest) -> Iterator[BrokenRule]:
    found = [
        *whole_rule("start_time", request.start_time, 0, _LATEST),
        *whole_rule("end_time", request.end_time, 0, _LATEST),
    ]
    yield from found
    if not found and request.end_time < request.start_time:  # type: ignore[operator]  # both are numbers by now
        yield broken("end_time", request.end_time, "must not be before start_time")


def _packs_rules(request: PacksRequest, _: Dialect) -> Iterator[BrokenRule]:
    yield from _window_rules(request)
    yield from text_rule("resource_pack_name", request.resource_pack_name, _TEXT_MAX)


def _deductions_rules(request: DeductionsRequest, _: Dialect) -> Iterator[BrokenRule]:
    if request.cursor is not None:
        return
    yield from _window_rules(request)
    if request.limit is not None:
        yield from whole_rule("limit", request.limit, 1, PAGE_MAX)
    for each in request.filters:
        if not each.values or not all(isinstance(value, str) and value for value in each.values):
            yield broken("filters", each.values, f"must name at least one {each.key}, as text")
    if {"package_name", "package_id"} <= {each.key for each in request.filters}:
        yield broken("filters", "package_name", "cannot be combined with a package_id")


def _read_packs(answer: Answer) -> tuple[ResourcePack, ...]:
    data, _ = read_data(answer)
    packs = data.get("resource_pack_subscribe_infos", [])
    if not isinstance(packs, list) or "resource_pack_subscribe_infos" not in data:
        raise unexpected("the answer holds no list of resource packs", answer, data)
    return tuple(_read_pack(pack) for pack in packs if isinstance(pack, dict))


def _read_pack(pack: Mapping[str, Any]) -> ResourcePack:
    return ResourcePack(
        resource_pack_name=read_text(pack.get("resource_pack_name"), None),
        resource_pack_id=read_id(pack.get("resource_pack_id")) or "",
        resource_pack_type=read_text(pack.get("resource_pack_type"), None),
        total_quantity=read_decimal(pack.get("total_quantity"), None),
        remaining_quantity=read_decimal(pack.get("remaining_quantity"), None),
        purchase_time=read_time(pack.get("purchase_time"), None),
        effective_time=read_time(pack.get("effective_time"), None),
        invalid_time=read_time(pack.get("invalid_time"), None),
        status=read_text(pack.get("status"), None),
        raw=pack,
    )


def _read_deductions(answer: Answer) -> DeductionPage:
    data, _ = read_data(answer)
    result = data.get("result", {})  # an empty one may be left out
    details = result.get("detail", []) if isinstance(result, dict) else None
    if not isinstance(details, list) or data.keys().isdisjoint(("result", "has_more", "next_cursor")):
        raise unexpected("the answer holds no list of deductions", answer, data)
    cursor = read_text(data.get("next_cursor"), None)
    deductions = tuple(_read_deduction(item) for item in details[:PAGE_MAX] if isinstance(item, dict))
    return DeductionPage(deductions, cursor if cursor and data.get("has_more") is not False else None)


def _read_deduction(item: Mapping[str, Any]) -> Deduction:
    names = ("api_key_name", "product_function", "model_name", "resolution", "cash_type", "currency")
    return Deduction(
        task_id=read_id(item.get("task_id")) or "",
        deduction_amount=read_decimal(item.get("deduction_amount"), None),
        deduction_time=read_time(item.get("deduction_time"), None),
        list_price=read_decimal(item.get("list_price"), None),
        raw=item,
        **{name: read_text(item.get(name), None) for name in names},
    )


def _has_account(dialect: Dialect) -> bool:
    return dialect.account_pages


RESOURCE_PACKS: Final = Call(
    name="resource-packs",
    title="resource packs",
    path="/account/costs",
    method="GET",
    request_class=PacksRequest,
    rules=_packs_rules,
    read=_read_packs,
    is_offered=_has_account,
)

PACKAGE_DEDUCTIONS: Final = Call(
    name="package-deductions",
    title="deductions from packs",
    path="/account/billing/package",
    request_class=DeductionsRequest,
    rules=_deductions_rules,
    read=_read_deductions,
    is_offered=_has_account,
)

BALANCE_DEDUCTIONS: Final = attrs.evolve(
    PACKAGE_DEDUCTIONS,
    name="balance-deductions",
    title="deductions from the balance",
    path="/account/billing/balance",
)
