"""
`client.account` against the emulator.
"""

import asyncio
import datetime as dt
import time
from decimal import Decimal
from typing import Any

import pytest

from kling_async import GATEWAY, OFFICIAL, KlingClient
from kling_async.client.calls import account
from kling_async.emulator import faults
from kling_async.errors import InvalidRequest, UnexpectedAnswer
from tests.fakes.clients import client_of, emulator
from tests.fakes.scripted_server import http_response, scripted_server
from tests.fakes.simulated_loop import EPOCH, now, simulated
from tests.fakes.socketless_service import SocketlessService

BEGUN = dt.datetime.fromtimestamp(EPOCH - 400 * 86_400, dt.UTC)
TODAY = dt.datetime.fromtimestamp(EPOCH, dt.UTC)
WINDOW: dict[str, Any] = {"start_time": BEGUN, "end_time": TODAY}


async def spend(client: KlingClient, texts: int) -> None:
    for _ in range(texts):
        await client.speech.generate("Hello", voice_id="oversea_male1", voice_language="en")


async def test_packs_show_what_is_left() -> None:
    """
    Of what was bought in the window, by default the last 400 days.
    """
    async with emulator(OFFICIAL, units=100) as server, client_of(server) as client:
        await spend(client, 2)
        (pack,) = await client.account.resource_packs()

    assert (Decimal(100), Decimal("99.9"), "online") == (pack.total_quantity, pack.remaining_quantity, pack.status)
    assert "Emulator-100Units-9Con-12Months" == pack.resource_pack_name
    assert pack.invalid_time is not None
    assert pack.purchase_time is not None
    assert dt.timedelta(days=365) == pack.invalid_time - pack.purchase_time


@simulated
async def test_packs_are_read_once_a_second() -> None:
    """
    However many callers there are; deductions are not held up.
    """
    service = SocketlessService()
    async with service.client() as client:
        began = now()
        packs = await asyncio.gather(*(client.account.resource_packs(**WINDOW) for _ in range(4)))
        taken = now() - began
        deductions = [each async for each in client.account.package_deductions(**WINDOW)]

    assert {0} == {len(each) - 1 for each in packs}
    assert 3.0 <= taken < 3.5
    assert ([], {"resource-packs": 4, "package-deductions": 1}) == (deductions, service.ledger.calls)
    assert 5 == service.ledger.arrivals["call"]


@simulated
async def test_other_packs_are_left_out() -> None:
    """
    By time and by name.
    """
    async with SocketlessService().client() as client:
        (pack,) = await client.account.resource_packs(**WINDOW)
        assert (pack,) == await client.account.resource_packs(**WINDOW, resource_pack_name=pack.resource_pack_name)
        assert () == await client.account.resource_packs(**WINDOW, resource_pack_name="another")
        assert () == await client.account.resource_packs(start_time=BEGUN, end_time=BEGUN)


@simulated
async def test_packs_that_were_read_too_often_are_read_again() -> None:
    """
    Another program may have read them in this second.
    """
    service = SocketlessService(travel=(0.0, 0.0))
    async with service.client() as other, service.client() as client:
        await other.account.resource_packs(**WINDOW)
        await client.account.resource_packs(**WINDOW)

    assert (2, 3) == (service.ledger.calls["resource-packs"], service.ledger.arrivals["call"])


async def test_deductions_are_read_page_by_page() -> None:
    """
    Each once, in the service's order.
    """
    async with emulator(OFFICIAL) as server, client_of(server) as client:
        await spend(client, 3)
        found = [each async for each in client.account.package_deductions(page_size=2)]
        of_images = [each async for each in client.account.package_deductions(product_type=["image"])]
        of_balance = [each async for each in client.account.balance_deductions()]

        assert {"speech": 3, "package-deductions": 3, "balance-deductions": 1} == server.ledger.calls

    assert [Decimal("0.05")] * 3 == [each.deduction_amount for each in found]
    assert 3 == len({each.task_id for each in found})
    assert ["speech"] * 3 == [each.product_function for each in found]
    assert ([], []) == (of_images, of_balance)


async def test_cash_is_deducted_from_the_balance() -> None:
    """
    At an account that pays so.
    """
    async with emulator(OFFICIAL, paid_in="cash") as server, client_of(server) as client:
        await spend(client, 1)
        (deduction,) = [each async for each in client.account.balance_deductions(api_key_name="emulator")]
        assert () == await client.account.resource_packs()

    assert (Decimal("0.007"), "USD") == (deduction.deduction_amount, deduction.currency)


async def test_images_are_deducted_too() -> None:
    """
    When their tasks have ended.
    """
    async with emulator(OFFICIAL) as server, client_of(server) as client:
        result = await client.generate("a lighthouse")
        (deduction,) = [each async for each in client.account.package_deductions(product_type=["image"])]

    assert (result.task_id, "kling-v3", Decimal(8)) == (
        deduction.task_id,
        deduction.model_name,
        deduction.deduction_amount,
    )


async def test_gateways_are_not_asked() -> None:
    """
    The error says why, and nothing is sent.
    """
    async with emulator(GATEWAY) as server, client_of(server) as client:
        with pytest.raises(InvalidRequest, match="gateway services have no resource packs"):
            await client.account.resource_packs()
        with pytest.raises(InvalidRequest, match="gateway services have no deductions"):
            await anext(client.account.balance_deductions())

        assert {} == server.ledger.arrivals


@pytest.mark.parametrize("moment", [dt.datetime(2026, 1, 1), 1_780_000_000_000, "2026-01-01"])  # noqa: DTZ001
async def test_only_aware_times_are_taken(moment: Any) -> None:
    """
    Others would be read in some time zone, or as seconds in place of milliseconds.
    """
    async with emulator(OFFICIAL) as server, client_of(server) as client:
        with pytest.raises(InvalidRequest, match="must be an aware datetime"):
            await client.account.resource_packs(end_time=moment)
        with pytest.raises(InvalidRequest, match="start_time"):
            client.account.package_deductions(start_time=moment)


async def test_failing_reads_are_repeated() -> None:
    """
    They cost nothing.
    """
    lost = faults.reset_after("call", times=2)
    async with emulator(OFFICIAL, lost) as server, client_of(server) as client:
        assert [] == [each async for each in client.account.package_deductions()]

        assert 3 == server.ledger.arrivals["call"]


async def test_service_that_repeats_a_cursor_has_an_end() -> None:
    """
    Its pages are not read for ever.
    """
    page = {"code": 0, "data": {"result": {"detail": [{"task_id": "t"}]}, "next_cursor": "same", "has_more": True}}
    async with scripted_server(lambda _: http_response(page)) as server:
        async with KlingClient("sk-key", base_url=server.url, dialect=OFFICIAL) as client:
            found = [each.task_id async for each in client.account.package_deductions()]

    assert (["t", "t"], 2) == (found, len(server.served))


async def test_missing_pages_are_reported() -> None:
    """
    They are not empty ones.
    """
    spring = {"timestamp": "2026-05-28T20:26:40", "status": 404, "error": "Not Found", "path": "/account/costs"}
    async with scripted_server(lambda _: http_response(spring, "404 Not Found")) as server:
        async with KlingClient("sk-key", base_url=server.url, dialect=OFFICIAL) as client:
            with pytest.raises(UnexpectedAnswer, match="does not exist at this address"):
                await client.account.resource_packs()

    assert 1 == len(server.served)


def test_default_window_includes_the_present_millisecond() -> None:
    """
    What was deducted just now is read, although times are whole milliseconds.
    """
    begun = 1000 * time.time()
    _, end = account._window(None, None, account.MONTH)

    assert begun < end
