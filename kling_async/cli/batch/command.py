"""
`kling-async batch`: many requests from a file, with a journal of the state of each.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import typer

from kling_async.batch.database import beside
from kling_async.cli.batch.input_source import STDIN, open_input
from kling_async.cli.batch.options import BatchOptions
from kling_async.cli.command_runner import end, run
from kling_async.cli.option_groups import with_option_groups
from kling_async.cli.options import require_pillow
from kling_async.cli.service_options import BatchServiceOptions
from kling_async.cli.spending import SpendingOptions
from kling_async.cli.terminal import print_error
from kling_async.cli.text_input import is_database

__all__ = ["EXAMPLES", "batch"]

EXAMPLES: Final = """\
Examples:
  kling-async batch table.csv --name "{key}-{index}{ext}" --dry-run
  make-prompts | kling-async batch - --format jsonl --journal run.kling
  kling-async batch run.kling --results --format jsonl
"""

_GO_WITH: Final[Mapping[str, frozenset[str]]] = {
    "status": frozenset({"status", "as_json", "is_emulated"}),
    "results": frozenset({"results", "source", "journal", "form", "as_json", "is_emulated"}),
    "trace": frozenset({"trace", "journal", "as_json"}),
}
"""
The options that print a report and end the command, and the options that may stand beside each.
"""


@with_option_groups
def batch(
    context: typer.Context,
    *,
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="INPUT", help="jsonl, json, csv or one prompt per line; - is stdin.", show_default=False
        ),
    ] = None,
    options: BatchOptions,
    spending: SpendingOptions,
    service: BatchServiceOptions,
) -> None:
    """
    Run a file of requests, each once; a killed run is resumed.
    """
    _check_combination(context)
    _print_report(options, source, is_emulated=service.is_emulated)
    if source is None:
        raise typer.BadParameter("give a file, or - for stdin", param_hint="INPUT")
    options.check()
    if service.is_emulated:
        require_pillow()
    journal_path = options.journal or _journal_of(source, is_emulated=service.is_emulated)
    if journal_path is None and not options.dry_run:
        raise typer.BadParameter("required if INPUT is stdin", param_hint="--journal")
    callback_server = options.make_callback_server()
    with open_input(source, options.form, options.ignored) as opened:
        if journal_path is None or options.dry_run:
            from kling_async.cli.batch.dry_run import dry_run  # noqa: PLC0415 (reports do without it)

            run(dry_run(opened, service, journal_path, options, spending))
        if options.journal is None and not journal_path.name.startswith(Path(source).name):
            own = beside(Path(source), _suffix(is_emulated=service.is_emulated))
            print_error(f"{journal_path} is there, and is continued; for another journal, add --journal {own}")
        from kling_async.cli.batch.runner import run_batch  # noqa: PLC0415 (the others do without it)

        run(run_batch(opened, journal_path, options, service, spending, callback_server))


def _print_report(options: BatchOptions, source: str | None, *, is_emulated: bool) -> None:
    # Ends the command if a report is asked for.
    if options.status is None and options.trace is None and not options.results:
        return
    from kling_async.cli.batch.journal_report import show_status, trace_file  # noqa: PLC0415 (runs do without them)
    from kling_async.cli.batch.results import print_results  # noqa: PLC0415

    if options.status is not None:
        journal = _journal_for(str(options.status), is_emulated=is_emulated)
        end(lambda: show_status(journal, as_json=options.as_json))
    if options.trace is not None:
        path = options.trace
        end(lambda: trace_file(path, options.journal, as_json=options.as_json))
    results, form = options.journal or _journal_for(source, is_emulated=is_emulated), options.results_format()
    end(lambda: print_results(results, form))


def _check_combination(context: typer.Context) -> None:
    # An option that would have no effect is refused: the user expects one.
    given = {name for name in context.params if _is_given(context, name)}
    for mode, allowed in _GO_WITH.items():
        if mode in given and (strange := sorted(given - allowed)):
            names = ", ".join("INPUT" if name == "source" else f"--{name.replace('_', '-')}" for name in strange)
            raise typer.BadParameter(f"it cannot be combined with {names}", param_hint=f"--{mode}")
    if "listen" in given and "callbacks" not in given:
        raise typer.BadParameter("it needs --callbacks, the public URL", param_hint="--listen")


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _journal_of(source: str, *, is_emulated: bool) -> Path | None:
    # A trial with the emulator has its own journal, so that the real run starts from the beginning. Earlier versions
    # left out the suffix of the input: what they have begun is continued.
    if source == STDIN:
        return None
    if not Path(source).name:
        raise typer.BadParameter(f"{source!r} is not a file", param_hint="INPUT")
    suffix = _suffix(is_emulated=is_emulated)
    journal, earlier = beside(Path(source), suffix), Path(source).with_suffix(suffix)
    return earlier if earlier.exists() and not journal.exists() else journal


def _suffix(*, is_emulated: bool) -> str:
    return ".emulator.kling" if is_emulated else ".kling"


def _journal_for(source: str | None, *, is_emulated: bool) -> Path:
    # The input of a run stands for its journal, to report on it.
    if source is None or source == STDIN:
        raise typer.BadParameter("give a journal, or the input that was run", param_hint="INPUT")
    path = Path(source)
    if path.suffix == ".kling" or is_database(path):
        return path
    journal, trial = (_journal_of(source, is_emulated=emulated) or path for emulated in (is_emulated, True))
    if trial.exists() and not journal.exists():
        raise typer.BadParameter(f"there is only the journal of a trial, {str(trial)!r}: add --emulator")
    return journal
