"""
`--dry-run`: what a batch would send, judged and counted, and nothing of it sent.
"""

import json
import os
import sys
from pathlib import Path

from kling_async.batch.journal import Reader
from kling_async.cli.batch.cost_estimate import CostEstimate
from kling_async.cli.batch.input_checks import check_input, good_lines
from kling_async.cli.batch.input_source import InputSource
from kling_async.cli.batch.progress import states
from kling_async.cli.exit_codes import ExitCode
from kling_async.cli.options import DIALECTS, DialectName
from kling_async.cli.request_checks import RequestChecks
from kling_async.cli.screen import write_line
from kling_async.cli.service_options import ServiceOptions
from kling_async.client.limits.limiter import Slots
from kling_async.errors import NotAuthenticated
from kling_async.wire.dialects import Dialect, dialect_of

__all__ = ["forecast"]


async def forecast(
    source: InputSource, access: ServiceOptions, journal: Path | None, *, skips_invalid: bool, as_json: bool
) -> ExitCode:
    """
    Print what *source* asks for and will cost. No key is needed for that.
    """
    dialect = _dialect_of(access)
    checks = RequestChecks(dialect, Slots(access.slots))
    found = await check_input(source, checks, skips_invalid=skips_invalid)
    counts = CostEstimate(dialect)
    async for line in good_lines(source, checks, found):
        counts.add(line)
    if as_json:
        write_line(sys.stdout, json.dumps(counts.as_json()))
        return ExitCode.WELL
    lines = counts.told()
    if journal is not None:
        lines += _known(journal)
    for text in (*lines, "", "Nothing was sent."):
        write_line(sys.stdout, text)
    return ExitCode.WELL


def _known(journal: Path) -> list[str]:
    if not journal.exists():
        return []
    with Reader(journal) as reader:
        counts = ", ".join(states(reader.summary())) or "nothing"
    return ["", f"Of these, what {journal} has is not sent again: {counts}."]


def _dialect_of(access: ServiceOptions) -> Dialect:
    if access.is_emulated or access.dialect is not None:
        return DIALECTS[access.dialect or DialectName.GATEWAY]
    try:
        return access.make_client(None).dialect
    except NotAuthenticated:
        return dialect_of(access.base_url or os.environ.get("KLING_BASE_URL", ""))
