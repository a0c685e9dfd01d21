"""
The command: prints the findings as they come; the exit code is that of the first problem.
"""

import functools
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

from kling_async.cli.command_runner import run
from kling_async.cli.doctor.check_runner import DoctorOptions, examine
from kling_async.cli.doctor.cost_check import DryRun
from kling_async.cli.doctor.findings import Finding, FindingState
from kling_async.cli.exit_codes import ExitCode
from kling_async.cli.input_options import InputOptions
from kling_async.cli.option_groups import with_option_groups
from kling_async.cli.options import AsJson
from kling_async.cli.terminal import is_interactive, print_error, write_line
from kling_async.wire.redaction import one_line

__all__ = ["EXAMPLES", "doctor"]

EXAMPLES: Final = """\
Examples:
  kling-async doctor
  kling-async doctor table.csv --json
  kling-async doctor --timeout 30 --all-regions
  kling-async doctor --write-dialect relay.toml
"""

_MARKS: Final = {
    FindingState.OK: ("✓", "green"),
    FindingState.WARNING: ("!", "yellow"),
    FindingState.PROBLEM: ("✗", "red"),
    FindingState.SKIPPED: ("-", "dim"),
}
_WIDTH: Final = len("connection")


@with_option_groups
def doctor(
    *,
    source: Annotated[
        str | None,
        typer.Argument(metavar="INPUT", help="Input of batch: check that it fits into the packs.", show_default=False),
    ] = None,
    options: DoctorOptions,
    reading: InputOptions,
    as_json: AsJson = False,
) -> None:
    """
    Check key, address, clock and service, free of charge.

    It only reads: no task is created and nothing is billed.
    """
    if source is None:
        _refuse_without_input(reading)
        run(_show(options, None, as_json=as_json))
    # These load the journal, and most calls have no input.
    from kling_async.cli.batch.dry_run import estimate_cost  # noqa: PLC0415
    from kling_async.cli.batch.input_source import open_input  # noqa: PLC0415

    with open_input(source, reading.form, reading.ignored) as opened:
        dry_run = functools.partial(estimate_cost, opened, slots=None, skips_invalid=reading.skip_invalid)
        run(_show(options, dry_run, as_json=as_json))


def _refuse_without_input(reading: InputOptions) -> None:
    given = {
        "--format": reading.form is not None,
        "--ignore-columns": reading.ignore_columns,
        "--skip-invalid": reading.skip_invalid,
    }
    for option, is_given in given.items():
        if is_given:
            raise typer.BadParameter("it needs INPUT", param_hint=option)


async def _show(options: DoctorOptions, dry_run: DryRun | None, *, as_json: bool) -> ExitCode:
    findings = []
    has_marks = is_interactive(sys.stdout) and not os.environ.get("NO_COLOR")
    console = Console(file=sys.stdout) if has_marks else None
    async for finding in examine(options, options.dialect.dialect if options.dialect is not None else None, dry_run):
        findings.append(finding)
        if as_json:
            write_line(sys.stdout, _as_json(finding))
        elif console is not None:
            console.print(_drawn(finding))
        else:
            _write(finding)
    if not as_json:
        write_line(sys.stdout, f"\n{_summary(findings)}")
    if options.write_dialect is not None and findings[-1].check != "dialect":
        print_error(f"{options.write_dialect} was not written, because the service could not be checked.")
    return next((finding.code for finding in findings if finding.state is FindingState.PROBLEM), ExitCode.SUCCESS)


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
    return ", ".join(parts) if parts else "No problems found."
