"""
The options of `kling-async batch`.
"""

import enum
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import attrs
import typer

from kling_async.cli.input_options import Format, InputOptions
from kling_async.cli.options import AsJson, Name, PicturesOut, check_name, parse_address, timeout_option
from kling_async.errors import InvalidRequest
from kling_async.media.naming import DEFAULT_NAME, ROW_FIELDS

if TYPE_CHECKING:
    from kling_async.client.callbacks.receiver import CallbackReceiver
    from kling_async.media.storage import Storage

__all__ = ["BatchOptions", "CallbackServer", "MissingRows"]

_REPORTS: Final = "Instead of a run"
_LISTEN: Final = "127.0.0.1:8080"


class MissingRows(enum.Enum):
    """
    What to do with unsent rows of the journal that are no longer in the input.
    """

    REPORTED = "report them and send nothing"
    KEPT = "send them too"
    DROPPED = "remove them from the journal"


@attrs.frozen
class CallbackServer:
    """
    A receiver of callbacks, and the address on which it listens.
    """

    receiver: "CallbackReceiver"
    host: str
    port: int


def _report(metavar: str, help: str) -> Any:  # noqa: A002 (typer's own word)
    return typer.Option(metavar=metavar, help=help, parser=Path, rich_help_panel=_REPORTS)


@attrs.frozen(kw_only=True)
class BatchOptions(InputOptions):
    """
    All options but those of the service, in the order of the help, which those of the input begin.

    Attributes:
        new_key: Whether to continue although the journal was started with another key, base URL or dialect.
        dask: Address of the Dask scheduler whose workers save the files; None saves them in this process.
    """

    journal: Annotated[Path | None, typer.Option(metavar="FILE", help="Default: INPUT.kling, beside INPUT.")] = None
    out: PicturesOut = Path("pictures")
    name: Name = DEFAULT_NAME
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what it would send and cost.")] = False
    keep_missing: Annotated[bool, typer.Option("--keep-missing", help="Also send rows no longer in INPUT.")] = False
    drop_missing: Annotated[bool, typer.Option("--drop-missing", help="Forget rows no longer in INPUT.")] = False
    max_attempts: Annotated[
        int, typer.Option(metavar="N", min=1, help="Attempts per row (default 1)", show_default=False)
    ] = 1
    resend_uncertain: Annotated[bool, typer.Option("--resend-uncertain", help="Resend; some may be paid twice.")] = (
        False
    )
    new_key: Annotated[bool, typer.Option("--new-key", help="Accept another key or base URL.")] = False
    as_json: AsJson = False
    timeout: Annotated[float, timeout_option(3600)] = 3600.0
    callbacks: Annotated[str | None, typer.Option(metavar="URL", help="Public URL of --listen.")] = None
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help=f"Default {_LISTEN}.", show_default=False)] = _LISTEN
    dask: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Scheduler whose workers save.")] = None
    status: Annotated[Path | None, _report("FILE", "Show the progress of INPUT or a journal.")] = None
    results: Annotated[
        bool, typer.Option("--results", help="Print each row of INPUT or a journal.", rich_help_panel=_REPORTS)
    ] = False
    trace: Annotated[Path | None, _report("PATH", "Show where a file came from.")] = None

    @property
    def missing(self) -> MissingRows:
        if self.keep_missing:
            return MissingRows.KEPT
        return MissingRows.DROPPED if self.drop_missing else MissingRows.REPORTED

    @property
    def destination(self) -> "Path | Storage":
        """
        `out` with its type, which typer cannot express.
        """
        destination: Path | Storage = self.out
        return destination

    def check(self) -> None:
        """
        Refuse options that contradict each other.

        Raises:
            typer.BadParameter: They do.
        """
        if self.keep_missing and self.drop_missing:
            raise typer.BadParameter("it contradicts --drop-missing", param_hint="--keep-missing")
        check_name(self.name, ROW_FIELDS)

    def results_format(self) -> Format:
        """
        Return the format of `--results`: a table, unless another one is given.

        Raises:
            typer.BadParameter: It is not one of results, or two are given.
        """
        if self.form is Format.TEXT or (self.form is Format.CSV and self.as_json):
            raise typer.BadParameter(
                "it must be csv or jsonl with --results, and jsonl with --json", param_hint="--format"
            )
        return Format.JSONL if self.as_json else self.form or Format.CSV

    def make_callback_server(self) -> CallbackServer | None:
        """
        Return the receiver at `callbacks`, or None without it.

        Raises:
            typer.BadParameter: `listen` or `callbacks` is not an address.
        """
        if self.callbacks is None:
            return None
        from kling_async.client.callbacks.receiver import CallbackReceiver  # noqa: PLC0415 (reports do without it)

        host, port = parse_address(self.listen, "--listen")
        try:
            receiver = CallbackReceiver(self.callbacks, secret=os.environ.get("KLING_CALLBACK_SECRET") or None)
        except InvalidRequest as error:
            raise typer.BadParameter(str(error), param_hint="--callbacks") from None
        return CallbackServer(receiver, host, port)
