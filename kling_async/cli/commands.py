"""
The application: all commands, in the panels of `kling-async --help`.

The module of a command is imported when the command is called: importing them all takes many times as long as the help.
"""

import importlib
import os
import signal
from typing import Annotated, Any, Final, NamedTuple

import rich  # noqa: F401 (typer would do without, but the commands need it)
import typer

from kling_async import __version__
from kling_async.cli.first_guesses import GuessingCommand, GuessingGroup

__all__ = ["COMMANDS", "app", "load_command"]


class CommandEntry(NamedTuple):
    """
    A command in the help of all commands.

    Attributes:
        summary: The first line of its own help, which has to agree.
    """

    panel: str
    name: str
    summary: str


COMMANDS: Final = (
    CommandEntry("Without an account", "demo", "See it work with a built-in emulator: no account, no cost."),
    CommandEntry("Without an account", "emulator", "Run the emulator as a server: real HTTP, no cost."),
    CommandEntry("Generate", "generate", "Generate pictures from prompts, all at the same time."),
    CommandEntry("Generate", "video", "Generate videos from prompts, or prompts and pictures."),
    CommandEntry("Generate", "batch", "Run a file of requests, each once; a killed run is resumed."),
    CommandEntry("Generate", "gallery", "Write a page to browse, search and play what was made."),
    CommandEntry("Generate", "mcp", "Let agents generate: a Model Context Protocol server."),
    CommandEntry("Manage tasks", "wait", "Wait until tasks end."),
    CommandEntry("Manage tasks", "save", "Save the files of tasks that have ended."),
    CommandEntry("Manage tasks", "status", "Show the current status of tasks."),
    CommandEntry("Manage tasks", "tasks", "List the account's tasks of one kind, if the service can."),
    CommandEntry("Check", "callback-test", "Send a sample callback to URL and show the response."),
    CommandEntry("Check", "account", "Show the account's resource packs, and what is left of them."),
    CommandEntry("Check", "doctor", "Check key, address, clock and service, free of charge."),
    CommandEntry("Generate", "run", "Run a request of any kind, with field=value arguments."),
)
"""
The module of a command has its name, its function, and `EXAMPLES`. That of `run`, whose kinds are commands too, has an
application, `run_app`.
"""

DRAWN_BY_TYPER: Final = (
    "TYPER_USE_RICH",
    "TERMINAL_WIDTH",
    "PY_COLORS",
    "GITHUB_ACTIONS",
    "_TYPER_FORCE_DISABLE_TERMINAL",
)
"""
Variables of the environment by which typer draws a help in another way. If one is set, it also draws that of all
commands, so that this looks like the help of each.
"""


class LazyGroup(GuessingGroup):
    """
    Loads a command when it is called or completed; the help of all commands only needs what stands for them.
    """

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """
        Print the help of all commands.
        """
        if any(map(os.environ.get, DRAWN_BY_TYPER)):
            super().format_help(ctx, formatter)
            return
        from kling_async.cli.help_page import print_help  # noqa: PLC0415 (commands do without it)

        panels: dict[str, dict[str, str]] = {}
        for entry in COMMANDS:
            panels.setdefault(entry.panel, {})[entry.name] = entry.summary
        print_help(ctx, panels)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """
        Return the name of the command that *args* begin with, the command, and the other arguments.
        """
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None:
            command = load_command(name)
            _hear_interrupts()
        return name, command, rest


def _hear_interrupts() -> None:
    # kling_async_command lets them end the process; a command has tasks to report.
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def load_command(name: str) -> Any:
    """
    Return the command with this name, as typer runs it.
    """
    from kling_async.cli.exit_codes import EXIT_CODES  # noqa: PLC0415 (loads all errors)

    entry = next(each for each in COMMANDS if each.name == name)
    word = name.replace("-", "_")
    module = importlib.import_module(f"kling_async.cli.{word}")
    if name == "run":
        return typer.main.get_command(module.run_app)
    own = typer.Typer(add_completion=False, rich_markup_mode="rich")
    epilog = f"{module.EXAMPLES}\n{EXIT_CODES}"
    own.command(name, cls=GuessingCommand, short_help=entry.summary, epilog=epilog, rich_help_panel=entry.panel)(
        getattr(module, word)
    )
    return typer.main.get_command(own)


app = typer.Typer(
    name="kling-async",
    cls=LazyGroup,
    help="Generate pictures and videos with Kling: nothing is lost or paid twice.",
    epilog="To start: kling-async demo. The --help of a command has its exit codes.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,  # its traces show local variables, which can be keys
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _stand_in() -> None:
    raise AssertionError("a command is loaded before it runs")


for each in COMMANDS:
    app.command(each.name, short_help=each.summary, rich_help_panel=each.panel)(_stand_in)


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
