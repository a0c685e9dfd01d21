"""
What the tools know of the account: what requests cost, what was spent, and which voices and elements there are.
"""

import contextlib

from mcp.types import CallToolResult

from kling_async.client.client import KlingClient
from kling_async.errors import InvalidRequest
from kling_async.integrations.mcp.reports import (
    AccountReport,
    CostReport,
    PackReport,
    RecordList,
    RecordReport,
    number_of,
    record_report,
    result_of,
)
from kling_async.integrations.mcp.spending import Spending
from kling_async.media.input_files import read_inputs
from kling_async.wire.calls.account import ResourcePack
from kling_async.wire.dialects import Dialect
from kling_async.wire.endpoints.base import TaskRequest
from kling_async.wire.endpoints.registry import endpoint_of, model_of

__all__ = ["check_rules", "describe_account", "estimate_cost", "list_library"]


async def check_rules(request: TaskRequest, dialect: Dialect) -> None:
    """
    Check all rules of the service, also those of the request's files.

    Raises:
        InvalidRequest: The request breaks some.
    """
    _, broken = await read_inputs(request, dialect)
    if broken:
        raise InvalidRequest("; ".join(map(str, broken)), broken=tuple(broken))


async def estimate_cost(request: TaskRequest, spending: Spending) -> CallToolResult:
    """
    Return what a request would cost, without sending it.

    Raises:
        InvalidRequest: It breaks rules of the service.
    """
    await check_rules(request, spending.dialect)
    endpoint, price = endpoint_of(type(request)), spending.price_of(request)
    report = CostReport(
        kind=endpoint.name,
        model=model_of(request, spending.dialect),
        units=number_of(endpoint.units(request, spending.dialect)),
        units_at_most=number_of(price.units),
        dollars_at_most=number_of(price.cost),
        files_at_most=endpoint.files(request),
        fits_limit=spending.fits(request),
        note=spending.note,
    )
    return result_of(f"{endpoint.name}: at most {price}. {report.note}", report)


async def list_library(client: KlingClient, kind: str, *, presets: bool, limit: int) -> CallToolResult:
    """
    List voices or elements: those of the account, or those of the service.

    Raises:
        KlingError: The service does not list them, or cannot be read.
    """
    of_kind = client.voices if kind == "voices" else client.elements
    records: list[RecordReport] = []
    async with contextlib.aclosing(of_kind.presets() if presets else of_kind.list()) as listed:
        async for record in listed:
            records.append(record_report(record))
            if len(records) > limit:
                break
    report = RecordList(records[:limit], has_more=len(records) > limit)
    return result_of("\n".join(f"{each.id}  {each.name}" for each in report.records) or "There are none.", report)


async def describe_account(client: KlingClient, spending: Spending) -> CallToolResult:
    """
    Return what was spent, and the packs of the account if the service shows them.

    Raises:
        KlingError: The packs cannot be read.
    """
    has_packs = client.dialect.account_pages
    packs = [_pack_report(pack) for pack in await client.account.resource_packs()] if has_packs else []
    budget = spending.budget
    limit, spent, reserved, left = budget.limit, budget.spent, budget.reserved, budget.left
    report = AccountReport(
        max_units=number_of(limit.units),
        units_spent=number_of(spent.units) or 0.0,
        units_reserved=number_of(reserved.units) or 0.0,
        units_left=number_of(left.units),
        max_dollars=number_of(limit.cost),
        dollars_spent=number_of(spent.cost) or 0.0,
        dollars_reserved=number_of(reserved.cost) or 0.0,
        dollars_left=number_of(left.cost),
        packs=packs,
        note=spending.note,
    )
    shown = (f"Pack {pack.name}: {pack.units_left} of {pack.units_total} units left, {pack.status}." for pack in packs)
    return result_of("\n".join([spending.note, *shown]), report)


def _pack_report(pack: ResourcePack) -> PackReport:
    return PackReport(
        name=pack.resource_pack_name,
        status=pack.status,
        units_total=number_of(pack.total_quantity),
        units_left=number_of(pack.remaining_quantity),
        valid_until=None if pack.invalid_time is None else pack.invalid_time.isoformat(timespec="seconds"),
    )
