"""
`client.account`: resource packs, and what was deducted.
"""

import asyncio
import datetime as dt
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final

import attrs

from kling_async.client.calls.free_calls import FreeCalls
from kling_async.policy.arguments import check_kind, refuse
from kling_async.wire.calls.account import (
    BALANCE_DEDUCTIONS,
    PACKAGE_DEDUCTIONS,
    PAGE_MAX,
    RESOURCE_PACKS,
    Deduction,
    DeductionPage,
    DeductionsRequest,
    Filter,
    PacksRequest,
    ResourcePack,
)
from kling_async.wire.calls.call import Call
from kling_async.wire.scalars import write_time

__all__ = ["AccountApi", "Turns"]

BETWEEN: Final = 1.0
"""
Seconds between two reads of the packs: the vendor asks for one in a second at most.
"""

YEAR_AND_MORE: Final = dt.timedelta(days=400)
"""
The window of the packs: it is about when they were bought, and one that is good for a year may be in use.
"""

MONTH: Final = dt.timedelta(days=30)


@attrs.define(eq=False, repr=False)
class Turns:
    """
    Gives callers a turn each, so many seconds apart.
    """

    seconds: float
    _next_at: float = attrs.field(default=0.0, init=False)

    async def wait(self) -> None:
        """
        Wait for the next turn.
        """
        loop = asyncio.get_running_loop()
        turn = max(self._next_at, loop.time())
        self._next_at = turn + self.seconds
        await asyncio.sleep(turn - loop.time())


@attrs.frozen(eq=False, repr=False)
class AccountApi:
    """
    Reads the account's packs and deductions, where the service shows them: at the vendor's own API.
    """

    _calls: FreeCalls
    _turns: Turns = attrs.field(factory=lambda: Turns(BETWEEN), init=False)

    async def resource_packs(
        self,
        *,
        start_time: dt.datetime | None = None,
        end_time: dt.datetime | None = None,
        resource_pack_name: str | None = None,
    ) -> tuple[ResourcePack, ...]:
        """
        Return the resource packs that were bought in a window. However many callers there are, at most one request is
        sent in a second.

        Args:
            start_time: Aware time; None is 400 days before the end, since a pack may be good for a year.
            end_time: Aware time; None is now.
            resource_pack_name: The exact name of a pack; None shows all.

        Raises:
            InvalidRequest: The service has no such pages, or an argument is invalid; nothing was sent.
            KlingError: Passing failures are retried for `retry.give_up_after` seconds; then the last is raised.
        """
        start, end = _window(start_time, end_time, YEAR_AND_MORE)
        request = PacksRequest(start_time=start, end_time=end, resource_pack_name=resource_pack_name)
        return await self._calls.make(RESOURCE_PACKS, request, wait_for_turn=self._turns.wait)

    def package_deductions(
        self,
        *,
        start_time: dt.datetime | None = None,
        end_time: dt.datetime | None = None,
        api_key_name: Sequence[str] = (),
        product_type: Sequence[str] = (),
        package_name: Sequence[str] = (),
        package_id: Sequence[str] = (),
        page_size: int = PAGE_MAX,
    ) -> AsyncGenerator[Deduction, None]:
        """
        Yield what was deducted from packs in a window, in the service's order.

        Args:
            start_time: Aware time; None is 30 days before the end.
            end_time: Aware time; None is now.
            api_key_name: Only those of keys with these names.
            product_type: Only those of these products, such as "video" or "image".
            package_name: Only those of packs with these names; not together with `package_id`.
            package_id: Only those of these packs.
            page_size: Deductions asked for at a time, 1 to 500.

        Raises:
            InvalidRequest: As `resource_packs`.
            KlingError: As `resource_packs`.
        """
        filters = {
            "api_key_name": api_key_name,
            "product_type": product_type,
            "package_name": package_name,
            "package_id": package_id,
        }
        return self._deductions(PACKAGE_DEDUCTIONS, _window(start_time, end_time, MONTH), filters, page_size)

    def balance_deductions(
        self,
        *,
        start_time: dt.datetime | None = None,
        end_time: dt.datetime | None = None,
        api_key_name: Sequence[str] = (),
        page_size: int = PAGE_MAX,
    ) -> AsyncGenerator[Deduction, None]:
        """
        Yield what was deducted from the account's balance in a window, in the service's order.

        Args:
            start_time: Aware time; None is 30 days before the end.
            end_time: Aware time; None is now.
            api_key_name: Only those of keys with these names.
            page_size: Deductions asked for at a time, 1 to 500.

        Raises:
            InvalidRequest: As `resource_packs`.
            KlingError: As `resource_packs`.
        """
        filters = {"api_key_name": api_key_name}
        return self._deductions(BALANCE_DEDUCTIONS, _window(start_time, end_time, MONTH), filters, page_size)

    async def _deductions(
        self,
        call: Call[DeductionsRequest, DeductionPage],
        window: tuple[int, int],
        filters: dict[str, Sequence[str]],
        page_size: int,
    ) -> AsyncGenerator[Deduction, None]:
        start, end = window
        chosen = tuple(Filter(key, _texts(values)) for key, values in filters.items() if values)
        request = DeductionsRequest(start_time=start, end_time=end, limit=page_size, filters=chosen)
        cursors: set[str] = set()
        while True:
            page = await self._calls.make(call, request)
            for deduction in page.deductions:
                yield deduction
            if page.next_cursor is None or page.next_cursor in cursors:  # a service that repeats itself has no end
                return
            cursors.add(page.next_cursor)
            request = DeductionsRequest(cursor=page.next_cursor)


def _texts(values: Any) -> tuple[str, ...]:
    return (values,) if isinstance(values, str) else tuple(values)


def _window(start: dt.datetime | None, end: dt.datetime | None, default: dt.timedelta) -> tuple[int, int]:
    for name, moment in (("start_time", start), ("end_time", end)):
        if moment is not None:
            rule = "must be an aware datetime, such as datetime.now(timezone.utc)"
            check_kind(name, moment, dt.datetime, rule)
            if moment.utcoffset() is None:
                refuse(name, repr(moment), rule)
    # Times are whole milliseconds, and what was deducted in the present one is in the window.
    end = end or dt.datetime.now(dt.UTC) + dt.timedelta(milliseconds=1)
    return write_time(start or end - default), write_time(end)
