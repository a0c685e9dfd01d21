"""
The command itself: findings shown as they come, and an exit code that tells of the first problem.
"""

import json
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kling_async.cli.doctor.findings import Finding, FindingState
from kling_async.cli.doctor.probes import DoctorOptions, examine
from kling_async.cli.exit_codes import ExitCode
from kling_async.cli.options import DIALECTS, AsJson, BaseUrl, Service, parse_seconds
from kling_async.cli.screen import is_interactive, write_line
from kling_async.cli.task_runner import run
from kling_async.wire.redaction import one_line

__all__ = ["EXAMPLES", "doctor"]

EXAMPLES: Final = """\
Examples:
  kling-async doctor
  kling-async doctor --json
  kling-async doctor --timeout 30 --all-regions
"""

_MARKS: Final = {
    FindingState.OK: ("✓", "green"),
    FindingState.WARNING: ("!", "yellow"),
    FindingState.PROBLEM: ("✗", "red"),
    FindingState.SKIPPED: ("-", "dim"),
}
_WIDTH: Final = len("connection")


def doctor(
    *,
    base_url: BaseUrl = None,
    dialect: Service = None,
    all_regions: Annotated[
        bool, typer.Option("--all-regions", help="Show a key that is refused to the vendor's other hosts too.")
    ] = False,
    timeout: Annotated[
        float, typer.Option(metavar="S", parser=parse_seconds, help="Seconds that each question may take.")
    ] = 10.0,
    as_json: AsJson = False,
) -> None:
    """
    Say what ails key, address, clock or service, at no cost.

    Only questions are asked: no picture is made, and none is paid for.
    """
    asked = DoctorOptions(
        base_url=base_url,
        dialect=DIALECTS[dialect] if dialect is not None else None,
        tries_regions=all_regions,
        timeout=timeout,
    )
    run(_show(asked, as_json=as_json))


async def _show(asked: DoctorOptions, *, as_json: bool) -> ExitCode:
    findings = []
    has_marks = is_interactive(sys.stdout) and not os.environ.get("NO_COLOR")
    console = Console(file=sys.stdout) if has_marks else None
    async for finding in examine(asked):
        findings.append(finding)
        if as_json:
            write_line(sys.stdout, _as_json(finding))
        elif console is not None:
            console.print(_drawn(finding))
        else:
            _write(finding)
    if not as_json:
        write_line(sys.stdout, f"\n{_summary(findings)}")
    return next((finding.code for finding in findings if finding.state is FindingState.PROBLEM), ExitCode.WELL)


def _as_json(finding: Finding) -> str:
    return json.dumps(
        {"check": finding.check, "state": finding.state, "found": finding.found, "advice": finding.advice or None}
    )


def _drawn(finding: Finding) -> Padding:
    mark, style = _MARKS[finding.state]
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(width=1)
    table.add_column(width=_WIDTH, style="bold")
    table.add_column(ratio=1, overflow="fold")
    quiet = "dim" if finding.state is FindingState.SKIPPED else ""
    table.add_row(Text(mark, f"bold {style}"), Text(finding.check, quiet), Text(one_line(finding.found), quiet))
    if finding.advice:
        table.add_row("", "", Text(one_line(finding.advice), "dim" if finding.state is FindingState.OK else style))
    return Padding(table, 0)


def _write(finding: Finding) -> None:
    write_line(sys.stdout, one_line(f"{finding.state:<7}  {finding.check:<{_WIDTH}}  {finding.found}"))
    if finding.advice:
        write_line(sys.stdout, one_line(" " * (7 + 2 + _WIDTH + 2) + finding.advice))


def _summary(findings: Sequence[Finding]) -> str:
    counts = {state: sum(finding.state is state for finding in findings) for state in FindingState}
    parts = [
        f"{counts[state]} {state.value}{'s' if counts[state] > 1 else ''}"
        for state in (FindingState.PROBLEM, FindingState.WARNING)
        if counts[state]
    ]
    return ", ".join(parts) if parts else "All is well."
