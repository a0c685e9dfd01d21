"""
`kling-async emulator`: run the emulator as a server, until Ctrl-C.
"""

import asyncio
import contextlib
import json
import os
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TextIO

import attrs
import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from kling_async.cli.command_runner import run
from kling_async.cli.demo import request_counts
from kling_async.cli.exit_codes import ExitCode
from kling_async.cli.formatting import plural
from kling_async.cli.option_groups import with_option_groups
from kling_async.cli.options import (
    AsJson,
    EmulatedDialect,
    Latency,
    Seed,
    emulated_dialect,
    parse_latency,
    require_pillow,
)
from kling_async.cli.terminal import is_interactive, print_error, write_line
from kling_async.wire.dialects import GATEWAY, OFFICIAL
from kling_async.wire.endpoints.registry import DEFAULT_ENDPOINT

if TYPE_CHECKING:
    from kling_async.emulator import Emulator, Ledger
    from kling_async.emulator.settings import SettingsByName

__all__ = ["emulator", "greeting"]

EXAMPLES: Final = """\
Examples:
  kling-async emulator
  kling-async emulator --port 0 --dialect official --latency 2:6 --slots 3
  kling-async emulator --fault create:reset_after:rate=0.3 --fault query:stall
"""

_PROMPT: Final = (
    "A girl with pink hair and blue hair, shiny/glossy style, stone forest yellow, light blue and light black, "
    "fairy tale core, cyan, Ron, soft shadows, anime style"
)


@attrs.frozen(kw_only=True)
class EmulatorOptions:
    """
    The settings of the emulator.
    """

    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where to listen.")] = "127.0.0.1"
    host_name: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Another host name that requests may use; repeatable."),
    ] = None
    port: Annotated[int, typer.Option(metavar="N", min=0, max=65535, help="0 chooses a free port.")] = 8765
    api_key: Annotated[str | None, typer.Option(metavar="KEY", help="Its key (default random)")] = None
    callback_secret: Annotated[str | None, typer.Option(metavar="SECRET", help="Signs its callbacks.")] = None
    dialect: EmulatedDialect = None
    latency: Latency = "2:6"
    slots: Annotated[int, typer.Option(metavar="N", min=0, help="Files at a time; 0: no limit.")] = 9
    units: Annotated[float | None, typer.Option(metavar="N", min=0, help="Balance (default unlimited)")] = None
    seed: Seed = 0
    fault: Annotated[list[str] | None, typer.Option(metavar="RULE", help="A fault to simulate; repeatable.")] = None

    def make_emulator(self) -> "Emulator":
        """
        Create the emulator.

        Raises:
            typer.BadParameter: A setting is invalid.
        """
        from kling_async.emulator import Emulator, parse_fault  # noqa: PLC0415 (needs its own extra)

        settings: SettingsByName = {
            "host": self.host,
            "host_names": self.host_name or (),
            "port": self.port,
            "callback_secret": self.callback_secret,
            "dialect": emulated_dialect(self.dialect),
            "latency": parse_latency(self.latency),
            "slots": self.slots or None,
            "units": self.units,
            "seed": self.seed,
        }
        if self.api_key is not None:
            settings["api_key"] = self.api_key
        try:
            settings["faults"] = [parse_fault(text) for text in self.fault or ()]
            return Emulator(**settings)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None


@with_option_groups
def emulator(*, options: EmulatorOptions, as_json: AsJson = False) -> None:
    """
    Run the emulator as a server: real HTTP, no cost.

    RULE is WHERE:KIND:NAME=VALUE:..., such as create:failing_task:rate=0.1. For a list of all kinds, give a wrong one.
    """
    require_pillow()
    word = options.dialect.word if options.dialect is not None else os.environ.get("KLING_DIALECT")
    run(_serve(options.make_emulator(), word, as_json=as_json))


async def _serve(server: "Emulator", dialect: str | None, *, as_json: bool) -> ExitCode:
    people = sys.stderr if as_json else sys.stdout
    try:
        async with server:
            for line in [json.dumps(address_facts(server))] if as_json else greeting(server, dialect):
                write_line(sys.stdout, line)
            with contextlib.suppress(asyncio.CancelledError):  # Ctrl-C is the normal end of this command
                await _show_until_stopped(server, people)
            for name, value in _summary(server.ledger).items():
                write_line(people, f"{name:<11}  {value}")
    except OSError as error:
        where = f"{server.settings.host}:{server.settings.port}"
        number = error.errno or 0  # below 0 if a name cannot be resolved: strerror does not know those
        reason = os.strerror(number) if number > 0 else error.strerror or str(error)
        print_error(f"Cannot listen on {where}: {reason}. With --port 0 it chooses a free port.")
        return ExitCode.USAGE
    return ExitCode.SUCCESS


def greeting(server: "Emulator", dialect: str | None = None) -> list[str]:
    """
    Return what a user needs to use *server*: its URL and key, ready to copy, and *dialect*, a name or a path.
    """
    url = _from_here(server)
    path = url + DEFAULT_ENDPOINT.path
    body = json.dumps({"prompt": _PROMPT, "model_name": "kling-v1", "n": 1})
    setting = ""
    if dialect is not None and server.dialect is not GATEWAY:  # which its host stands for
        word = dialect if dialect == OFFICIAL.name else str(Path(dialect).absolute())
        setting = f" KLING_DIALECT={shlex.quote(word)}"
    return [
        f"Emulated {server.dialect.name} service at {url} (press Ctrl-C to stop)",
        "",
        f"  key     {server.api_key}",
        f"  ledger  {_ledger_of(server)} (requires the key)",
        "",
        "In another terminal:",
        "",
        f"  export KLING_BASE_URL={url} KLING_API_KEY={shlex.quote(server.api_key)}{setting}",
        '  kling-async generate "a lighthouse at dusk"',
        "",
        f'  curl -X POST "{path}" \\',
        '    -H "Content-Type: application/json" \\',
        f"    -H {shlex.quote(f'Authorization: Bearer {server.api_key}')} \\",
        f"    -d {shlex.quote(body)}",
        "",
    ]


def address_facts(server: "Emulator") -> dict[str, str]:
    """
    Return what a program needs to use *server*.
    """
    return {
        "base_url": _from_here(server),
        "api_key": server.api_key,
        "dialect": server.dialect.name,
        "ledger": _ledger_of(server),
    }


def _ledger_of(server: "Emulator") -> str:
    return f"{_from_here(server).removesuffix(server.settings.prefix)}/__ledger__"


def _from_here(server: "Emulator") -> str:
    # The wildcard address cannot be called, and a client allows plain http on loopback only.
    match server.settings.host:
        case "0.0.0.0":  # noqa: S104
            return server.url.replace("0.0.0.0", "127.0.0.1", 1)  # noqa: S104
        case "::":
            return server.url.replace("[::]", "[::1]", 1)
        case _:
            return server.url


async def _show_until_stopped(server: "Emulator", file: TextIO) -> None:
    if not is_interactive(file):
        await asyncio.Event().wait()  # until cancelled
    with Live(console=Console(file=file), auto_refresh=False, transient=True) as live:
        while True:
            live.update(Text(_state(server), "dim"), refresh=True)
            await asyncio.sleep(0.5)


def _state(server: "Emulator") -> str:
    ledger = server.ledger
    running = server.account.running(time.time())
    requests = sum(ledger.arrivals.values())
    tasks, units = plural(len(ledger.tasks), "task"), plural(ledger.units_billed, "unit")
    return f"{tasks}, {running} running  {plural(requests, 'request')}  {units}"


def _summary(ledger: "Ledger") -> dict[str, str]:
    facts = {
        "tasks": str(len(ledger.tasks)),
        "files": str(ledger.files_ordered),
        "units": str(ledger.units_billed),
        **request_counts(ledger),
    }
    if ledger.refusals:
        facts["refusals"] = ", ".join(f"{count} of {code}" for code, count in sorted(ledger.refusals.items()))
    if ledger.callbacks:
        answered = ledger.callback_answers.total() - ledger.callback_answers[0]
        facts["callbacks"] = f"{ledger.callbacks.total()} sent, {answered} answered"
    return facts
