"""
`kling-async batch`: many requests from a file, and a journal of how far each has come.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import typer

from kling_async.cli.batch.dry_run import forecast
from kling_async.cli.batch.input_parser import Format
from kling_async.cli.batch.input_source import STDIN, open_input
from kling_async.cli.batch.journal_report import show_status, trace_picture
from kling_async.cli.batch.options import BatchOptions, CallbackServer, MissingRows
from kling_async.cli.batch.runner import run_batch
from kling_async.cli.options import (
    AsJson,
    BaseUrl,
    Emulated,
    HiddenLatency,
    HiddenPatience,
    HiddenSeed,
    Service,
    Shelf,
    SlotLimit,
    name_of,
    parse_latency,
    require_pillow,
    timeout_of,
)
from kling_async.cli.service_options import ServiceOptions
from kling_async.cli.task_runner import end, run
from kling_async.client.callbacks.receiver import CallbackReceiver
from kling_async.errors import InvalidRequest

__all__ = ["EXAMPLES", "batch"]

EXAMPLES: Final = """\
Examples:
  kling-async batch prompts.txt --dry-run
  kling-async batch table.csv --name "{key}-{index}{ext}" --max-attempts 3
  make-prompts | kling-async batch - --format jsonl --journal run.kling
"""

_GO_WITH: Final[Mapping[str, frozenset[str]]] = {
    "status": frozenset({"status", "as_json"}),
    "trace": frozenset({"trace", "journal", "as_json"}),
}
"""
The options that print and end, and what goes with each.
"""


def _instead(metavar: str, help: str) -> Any:  # noqa: A002 (typer's own word)
    return typer.Option(metavar=metavar, help=help, rich_help_panel="In place of a run")


def batch(  # noqa: PLR0913 (each is an option)
    context: typer.Context,
    *,
    source: Annotated[
        str | None,
        typer.Argument(metavar="INPUT", help="jsonl, csv, or a prompt per line; - is stdin.", show_default=False),
    ] = None,
    form: Annotated[
        Format | None, typer.Option("--format", metavar="KIND", help="jsonl, csv or text; else by its end.")
    ] = None,
    journal: Annotated[Path | None, typer.Option(metavar="FILE", help="Else INPUT's, ending in .kling.")] = None,
    out: Shelf = Path("pictures"),
    name: Annotated[str, name_of("{task_id} {key} {index} {ext}")] = "{task_id}-{index}{ext}",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what it would send and cost.")] = False,
    skip_invalid: Annotated[bool, typer.Option("--skip-invalid", help="Leave out lines that break rules.")] = False,
    keep_missing: Annotated[bool, typer.Option("--keep-missing", help="What is no more in INPUT: send it.")] = False,
    drop_missing: Annotated[bool, typer.Option("--drop-missing", help="What is no more in INPUT: forget it.")] = False,
    max_attempts: Annotated[
        int, typer.Option(metavar="N", min=1, help="If the failure may pass; else 1.", show_default=False)
    ] = 1,
    resend_uncertain: Annotated[
        bool, typer.Option("--resend-uncertain", help="Even if some may be paid twice.")
    ] = False,
    new_key: Annotated[bool, typer.Option("--new-key", help="Go on with another key or base URL.")] = False,
    as_json: AsJson = False,
    emulator: Emulated = False,
    base_url: BaseUrl = None,
    dialect: Service = None,
    slots: SlotLimit = None,
    timeout: Annotated[float, timeout_of(3600)] = 3600.0,
    callbacks: Annotated[str | None, typer.Option(metavar="URL", help="Where the service reaches --listen.")] = None,
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="For callbacks; else 127.0.0.1:8080.", show_default=False)
    ] = "127.0.0.1:8080",
    dask: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Whose workers save: tcp://host:8786.")] = None,
    status: Annotated[Path | None, _instead("FILE", "Tell how far a journal has come.")] = None,
    trace: Annotated[Path | None, _instead("PATH", "Tell whence a picture is.")] = None,
    give_up_after: HiddenPatience = 120.0,
    latency: HiddenLatency = "1:3",
    seed: HiddenSeed = 0,
) -> None:
    """
    Make the pictures of a whole file, each once.
    When killed, run it again. A line may have any of the API's fields, and a key.
    """
    _check_mode(context)
    if status is not None:
        end(lambda: show_status(status, as_json=as_json))
    if trace is not None:
        end(lambda: trace_picture(trace, journal, as_json=as_json))
    if source is None:
        raise typer.BadParameter("name a file, or - for stdin", param_hint="INPUT")
    if keep_missing and drop_missing:
        raise typer.BadParameter("it does not go with --drop-missing", param_hint="--keep-missing")
    if "{task_id}" not in name and "{key}" not in name:
        raise typer.BadParameter("it needs {task_id} or {key}: rows would replace each other's", param_hint="--name")
    if emulator:
        require_pillow()
    access = ServiceOptions(
        base_url=base_url,
        dialect=dialect,
        slots=slots,
        give_up_after=give_up_after,
        is_emulated=emulator,
        latency=parse_latency(latency),
        seed=seed,
    )
    journal = journal or _journal_of(source, is_emulated=emulator)
    if journal is None and not dry_run:
        raise typer.BadParameter("stdin has no name to make one of: name the journal", param_hint="--journal")
    hook = _make_hook(callbacks, listen)
    with open_input(source, form) as opened:
        if journal is None or dry_run:
            run(forecast(opened, access, journal, skips_invalid=skip_invalid, as_json=as_json))
        plan = BatchOptions(
            access=access,
            journal=journal,
            out=out,
            name=name,
            max_attempts=max_attempts,
            timeout=timeout,
            resends_uncertain=resend_uncertain,
            rebinds=new_key,
            skips_invalid=skip_invalid,
            missing=MissingRows.KEPT if keep_missing else MissingRows.DROPPED if drop_missing else MissingRows.REPORTED,
            hook=hook,
            scheduler=dask,
            as_json=as_json,
        )
        run(run_batch(opened, plan))


def _check_mode(context: typer.Context) -> None:
    # An option that would do nothing is refused: it was meant to do something.
    given = {name for name in context.params if _is_given(context, name)}
    for mode, allowed in _GO_WITH.items():
        if mode in given and (strange := sorted(given - allowed)):
            told = ", ".join("INPUT" if name == "source" else f"--{name.replace('_', '-')}" for name in strange)
            raise typer.BadParameter(f"{told} cannot go with it", param_hint=f"--{mode}")
    if "listen" in given and "callbacks" not in given:
        raise typer.BadParameter("it needs --callbacks, the address from outside", param_hint="--listen")


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _journal_of(source: str, *, is_emulated: bool) -> Path | None:
    # A trial has a journal of its own: what it makes is not what was asked for.
    if source == STDIN:
        return None
    if not Path(source).name:
        raise typer.BadParameter(f"{source!r} is no file", param_hint="INPUT")
    return Path(source).with_suffix(".emulator.kling" if is_emulated else ".kling")


def _make_hook(public_url: str | None, listen: str) -> CallbackServer | None:
    if public_url is None:
        return None
    try:
        parts = urlsplit(f"//{listen}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or port is None:
        raise typer.BadParameter("it should be HOST:PORT, such as 0.0.0.0:8080", param_hint="--listen")
    try:
        receiver = CallbackReceiver(public_url, secret=os.environ.get("KLING_CALLBACK_SECRET") or None)
    except InvalidRequest as error:
        raise typer.BadParameter(str(error), param_hint="--callbacks") from None
    return CallbackServer(receiver, host, port)
