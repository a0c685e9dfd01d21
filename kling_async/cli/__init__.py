"""
The command line: `kling-async`, or `python -m kling_async`. Needs the extra "cli".
"""

from typing import Annotated

import typer

from kling_async import __version__
from kling_async.cli import batch, callback_test, demo, doctor, emulate, gallery, generate
from kling_async.cli.exits import EXIT_CODES

__all__ = ["app"]

app = typer.Typer(
    name="kling-async",
    help="Make pictures with Kling: nothing paid for is lost, nothing is paid twice.",
    epilog=f"Begin with: kling-async demo\n\n{EXIT_CODES}",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,  # its traces can show local variables, and some of them are keys
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module, function in (
    (demo, demo.demo),
    (generate, generate.generate),
    (batch, batch.batch),
    (gallery, gallery.gallery),
    (emulate, emulate.emulator),
    (callback_test, callback_test.callback_test),
    (doctor, doctor.doctor),
):
    app.command(epilog=f"{module.EXAMPLES}\n{EXIT_CODES}")(function)


def _show_version(is_asked: bool) -> None:  # noqa: FBT001 (typer calls it)
    if is_asked:
        typer.echo(f"kling-async {__version__}")
        raise typer.Exit


@app.callback()
def _about(
    *,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit.")
    ] = False,
) -> None:
    pass
