"""
`kling-async account`: the account's resource packs, and what is left of them.
"""

import datetime as dt
import json
import sys
from collections.abc import Sequence
from typing import Any, Final

from kling_async.cli.command_runner import run
from kling_async.cli.exit_codes import ExitCode
from kling_async.cli.formatting import format_units, plural
from kling_async.cli.json_output import moment_of, number_of
from kling_async.cli.log_forwarding import logging_to_stderr
from kling_async.cli.option_groups import with_option_groups
from kling_async.cli.options import AsJson
from kling_async.cli.packs import LATE, units_left, usable
from kling_async.cli.service_options import ServiceOptions
from kling_async.cli.terminal import print_error, write_line
from kling_async.wire.calls.account import ResourcePack
from kling_async.wire.redaction import one_line

__all__ = ["EXAMPLES", "account"]

EXAMPLES: Final = """\
Examples:
  kling-async account
  kling-async account --json
"""

_HEADER: Final = ("left", "of", "until", "status", "pack")


@with_option_groups
def account(*, as_json: AsJson = False, service: ServiceOptions) -> None:
    """
    Show the account's resource packs, and what is left of them.

    It is free. Most gateways do not have these pages.
    """
    run(_account(service, as_json=as_json))


async def _account(service: ServiceOptions, *, as_json: bool) -> ExitCode:
    client = service.make_client(None)
    if not client.dialect.account_pages:
        print_error(
            f"A {client.dialect.name} service does not show resource packs. Look at its own console.",
            "If this service shows them as the vendor does, use --dialect official.",
        )
        return ExitCode.USAGE
    with logging_to_stderr():
        async with client:
            packs = await client.account.resource_packs()
    for line in map(_json_line, packs) if as_json else _table(packs):
        write_line(sys.stdout, line)
    if not packs:
        print_error("The account has no packs that were bought in the last 400 days; tasks may be paid in cash.")
    elif not as_json:
        write_line(sys.stdout, f"\n{_sum(packs)}. {LATE}")
    return ExitCode.SUCCESS


def _sum(packs: Sequence[ResourcePack]) -> str:
    if not usable(packs):
        return "No pack can be used now"
    left = units_left(packs)
    return (
        f"{'An unknown number of units' if left is None else plural(left, 'unit')} left in packs that can be used now"
    )


def _table(packs: Sequence[ResourcePack]) -> list[str]:
    if not packs:
        return []
    rows = [_HEADER, *map(_cells, packs)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    left, of, until, status, _ = widths
    return [
        f"{row[0]:>{left}}  {row[1]:>{of}}  {row[2]:<{until}}  {row[3]:<{status}}  {row[4]}".rstrip() for row in rows
    ]


def _cells(pack: ResourcePack) -> tuple[str, str, str, str, str]:
    return (
        format_units(pack.remaining_quantity, unknown="-"),
        format_units(pack.total_quantity, unknown="-"),
        "-" if pack.invalid_time is None else f"{pack.invalid_time.astimezone():%Y-%m-%d}",
        one_line(pack.status) or "-",
        one_line(pack.resource_pack_name) or "-",
    )


def _json_line(pack: ResourcePack) -> str:
    facts: dict[str, Any] = {
        "name": pack.resource_pack_name,
        "id": pack.resource_pack_id,
        "type": pack.resource_pack_type,
        "status": pack.status,
        "total": number_of(pack.total_quantity),
        "left": number_of(pack.remaining_quantity),
        "purchased_at": _moment(pack.purchase_time),
        "effective_at": _moment(pack.effective_time),
        "invalid_at": _moment(pack.invalid_time),
    }
    return json.dumps(facts)


def _moment(time: dt.datetime | None) -> str | None:
    return None if time is None else moment_of(time.timestamp())
