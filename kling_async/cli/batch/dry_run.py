"""
`--dry-run`: check what a batch would send, and estimate its cost. Nothing is sent.
"""

import json
import os
import sys
from pathlib import Path

from kling_async.cli.batch.cost_estimate import CostEstimate
from kling_async.cli.batch.input_checks import check_input, good_lines
from kling_async.cli.batch.input_source import InputSource
from kling_async.cli.batch.options import BatchOptions
from kling_async.cli.batch.progress import state_counts
from kling_async.cli.exit_codes import ExitCode
from kling_async.cli.options import emulated_dialect
from kling_async.cli.request_checks import RequestChecks
from kling_async.cli.service_options import ServiceOptions
from kling_async.cli.terminal import write_line
from kling_async.client.credentials import find_dialect
from kling_async.client.limits.limiter import Slots
from kling_async.errors import NotAuthenticated
from kling_async.wire.dialects import Dialect

__all__ = ["dry_run"]


async def dry_run(
    source: InputSource, service: ServiceOptions, journal: Path | None, options: BatchOptions
) -> ExitCode:
    """
    Print the requests in *source* and what they cost. It needs no key.
    """
    dialect = _dialect_of(service)
    checks = RequestChecks(dialect, Slots(service.slots))
    estimate = CostEstimate(dialect)
    checked = await check_input(source, checks, skips_invalid=options.skip_invalid, on_valid=estimate.add)
    if checked.repeated:  # which lines those are is known only now
        estimate = CostEstimate(dialect)
        async for line in good_lines(source, checks, checked):
            estimate.add(line)
    if options.as_json:
        write_line(sys.stdout, json.dumps(estimate.as_json()))
        return ExitCode.SUCCESS
    lines = estimate.lines()
    if journal is not None:
        lines += _already_sent(journal)
    for text in (*lines, "", "Nothing was sent."):
        write_line(sys.stdout, text)
    return ExitCode.SUCCESS


def _already_sent(journal: Path) -> list[str]:
    if not journal.exists():
        return []
    from kling_async.batch.journal import Reader  # noqa: PLC0415 (it loads SQLite)

    with Reader(journal) as reader:
        counts = ", ".join(state_counts(reader.summary())) or "nothing"
    return ["", f"Rows that {journal} already has are not sent again: {counts}."]


def _dialect_of(service: ServiceOptions) -> Dialect:
    if service.is_emulated or service.dialect is not None:
        return emulated_dialect(service.dialect)
    try:
        return service.make_client(None).dialect
    except NotAuthenticated:
        return find_dialect(None, service.base_url or os.environ.get("KLING_BASE_URL", ""))
