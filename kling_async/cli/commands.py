"""
The application: all commands, in the panels of `kling-async --help`.
"""

import inspect
from typing import Annotated

import typer

from kling_async import __version__
from kling_async.cli import (
    batch,
    callback_test,
    demo,
    doctor,
    emulator,
    gallery,
    generate,
    mcp,
    save,
    status,
    tasks,
    video,
    wait,
)
from kling_async.cli.exit_codes import EXIT_CODES
from kling_async.cli.run import run_app

__all__ = ["app"]

app = typer.Typer(
    name="kling-async",
    help="Generate pictures and videos with Kling: nothing is lost or paid twice.",
    epilog="To start: kling-async demo\n\nThe --help of each command has examples and the exit codes.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,  # its traces show local variables, which can be keys
    context_settings={"help_option_names": ["-h", "--help"]},
)
for panel, module, function in (
    ("Without an account", demo, demo.demo),
    ("Without an account", emulator, emulator.emulator),
    ("Generate", generate, generate.generate),
    ("Generate", video, video.video),
    ("Generate", batch, batch.batch),
    ("Generate", gallery, gallery.gallery),
    ("Generate", mcp, mcp.mcp),
    ("Manage tasks", wait, wait.wait),
    ("Manage tasks", save, save.save),
    ("Manage tasks", status, status.status),
    ("Manage tasks", tasks, tasks.tasks),
    ("Check", callback_test, callback_test.callback_test),
    ("Check", doctor, doctor.doctor),
):
    summary = inspect.cleandoc(function.__doc__ or "").partition("\n")[0]
    epilog = f"{module.EXAMPLES}\n{EXIT_CODES}"
    app.command(short_help=summary, epilog=epilog, rich_help_panel=panel)(function)
app.add_typer(run_app, name="run", rich_help_panel="Generate")


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
