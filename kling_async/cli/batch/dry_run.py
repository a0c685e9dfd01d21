"""
`--dry-run`: check what a batch would send, and estimate its cost. Nothing is sent.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Final

import attrs

from kling_async.cli.batch.cost_estimate import CostEstimate
from kling_async.cli.batch.input_checks import check_input, good_lines
from kling_async.cli.batch.input_source import InputSource
from kling_async.cli.batch.options import BatchOptions
from kling_async.cli.exit_codes import ExitCode
from kling_async.cli.formatting import plural
from kling_async.cli.options import emulated_dialect
from kling_async.cli.request_checks import RequestChecks
from kling_async.cli.service_options import ServiceOptions
from kling_async.cli.spending import SpendingOptions
from kling_async.cli.terminal import write_line
from kling_async.client.credentials import find_base_url, find_credentials, find_dialect, spoken_with
from kling_async.errors import KlingError, NotAuthenticated
from kling_async.policy.spending import Amount
from kling_async.wire.dialects import Dialect

__all__ = ["dry_run", "estimate_cost"]

ACCOUNT_TIMEOUT: Final = 10.0
"""
Seconds to wait for what the account has left.
"""


async def dry_run(
    source: InputSource,
    service: ServiceOptions,
    journal: Path | None,
    options: BatchOptions,
    spending: SpendingOptions,
) -> ExitCode:
    """
    Print the requests in *source*, what they cost, and whether that fits into the limits and what the account has left.
    It needs no key: without one, the account is not asked.
    """
    dialect = _dialect_of(service)
    budget = spending.make_budget()
    estimate = await estimate_cost(source, dialect, service.slots, skips_invalid=options.skip_invalid)
    if options.as_json:
        write_line(sys.stdout, json.dumps(estimate.as_json()))
        return ExitCode.SUCCESS
    lines = estimate.lines()
    if journal is not None:
        lines += _already_sent(journal)
    if budget is not None and (excess := estimate.beyond(budget.limit)):
        lines += ["", f"Not all of it fits into the limit: {excess}."]
    lines += await _lines_of_account(service, dialect, estimate)
    for text in (*lines, "", "Nothing was sent."):
        write_line(sys.stdout, text)
    return ExitCode.SUCCESS


async def estimate_cost(
    source: InputSource, dialect: Dialect, slots: int | None, *, skips_invalid: bool
) -> CostEstimate:
    """
    Check every line of *source* and count what it would send, without any request. Broken rules end the command as in
    `check_input`.
    """
    checks, estimate = RequestChecks(dialect, slots), CostEstimate(dialect)
    checked = await check_input(source, checks, skips_invalid=skips_invalid, on_valid=estimate.add)
    if checked.repeated:  # which lines those are is known only now
        estimate = CostEstimate(dialect)
        async for line in good_lines(source, checks, checked):
            estimate.add(line)
    return estimate


def _already_sent(journal: Path) -> list[str]:
    try:
        journal.stat()  # `exists` hides other errors since Python 3.14
    except (FileNotFoundError, NotADirectoryError):
        return []
    from kling_async.batch.journal import Reader  # noqa: PLC0415 (it loads SQLite)
    from kling_async.cli.batch.progress import state_counts  # noqa: PLC0415

    with Reader(journal) as reader:
        counts = ", ".join(state_counts(reader.summary())) or "nothing"
    return ["", f"Rows that {journal} already has are not sent again: {counts}."]


def _dialect_of(service: ServiceOptions) -> Dialect:
    if service.is_emulated or service.dialect is not None:
        return emulated_dialect(service.dialect)
    try:  # as a client does, which takes longer to import than all else
        credentials = find_credentials(None)
    except NotAuthenticated:
        return find_dialect(None, service.base_url or os.environ.get("KLING_BASE_URL", ""))
    return spoken_with(credentials, find_dialect(None, find_base_url(service.base_url, credentials)))


async def _lines_of_account(service: ServiceOptions, dialect: Dialect, estimate: CostEstimate) -> list[str]:
    # What the packs have left, where the service tells and there is a key. A dry run does not fail because of it.
    if service.is_emulated or not dialect.account_pages:
        return []
    from kling_async.cli.packs import LATE, units_left, usable  # noqa: PLC0415 (gateways do without it)

    try:
        find_credentials(None)  # without a key, the client need not be imported
        client = attrs.evolve(service, give_up_after=service.give_up_after or 3.0).make_client(None)
    except KlingError:
        return []
    try:
        async with client, asyncio.timeout(ACCOUNT_TIMEOUT):
            packs = await client.account.resource_packs()
    except (KlingError, TimeoutError) as error:
        return ["", f"What the account has left is not known: {str(error) or 'the service does not answer'}"]
    if not usable(packs):
        return ["", "The account has no pack that can be used now; it may be paid in cash."]
    if (left := units_left(packs)) is None:
        return ["", "What the account has left is not known: the service does not say."]
    if (excess := estimate.beyond(Amount(left))) is not None:
        return ["", f"It does not fit into the account's packs: {excess}. {LATE}"]
    return ["", f"The account's packs have {plural(left, 'unit')} left, for all kinds of files. {LATE}"]
