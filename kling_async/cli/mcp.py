"""
`kling-async mcp`: a Model Context Protocol server for agents.
"""

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import attrs
import typer

from kling_async.cli.command_runner import run
from kling_async.cli.exit_codes import ExitCode
from kling_async.cli.formatting import plural
from kling_async.cli.option_groups import with_option_groups
from kling_async.cli.options import parse_address, require_pillow
from kling_async.cli.request_checks import make_folder
from kling_async.cli.service_options import EmulatedServiceOptions
from kling_async.cli.spending import unknown_amount
from kling_async.cli.terminal import print_error
from kling_async.client.budget import Budget
from kling_async.policy.host_networks import is_surely_local

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

    from kling_async.integrations.mcp import TaskLog

__all__ = ["EXAMPLES", "mcp"]

EXAMPLES: Final = """\
Examples:
  kling-async mcp --emulator
  kling-async mcp --max-units 50 --folder ~/Pictures/kling
  kling-async mcp --http 127.0.0.1:8000 --max-cost 5
"""

_NOT_FOR_PEOPLE: Final = (
    "Waiting for a program that speaks the Model Context Protocol on stdin. Such a program starts this command",
    "itself, if you name it in its configuration; for one that connects to a URL, add --http. Ctrl-C stops.",
)
"""
What a person sees who starts the server in a terminal, where nothing would happen.
"""

_TOKEN: Final = "KLING_MCP_TOKEN"  # noqa: S105 (the name of a variable)

_WILDCARDS: Final = ("0.0.0.0", "::")  # noqa: S104 (it is compared with)

_DEFAULT_UNITS: Final = 20.0
"""
Units that may be spent without an option: two pictures of the vendor's newest model, or half a minute of video.
"""


def _limit(*, help: str) -> Any:  # noqa: A002 (typer's own word)
    return typer.Option(metavar="N", min=0, help=help, show_default=False, rich_help_panel="What it may spend")


@attrs.frozen(kw_only=True)
class McpOptions:
    """
    How the server is reached, where it saves, and what it may spend.
    """

    http: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Serve streamable HTTP there, not stdio.")] = (
        None
    )
    host_name: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Another name of the HTTP server; repeatable.")
    ] = None
    folder: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Where files are saved (default ~/kling-async)", show_default=False),
    ] = Path("~/kling-async")
    max_units: Annotated[float | None, _limit(help=f"Units in one run (default {_DEFAULT_UNITS:g})")] = None
    max_cost: Annotated[float | None, _limit(help="US dollars in one run, by the vendor's prices.")] = None
    unknown_units: Annotated[float | None, _limit(help="What a request of unknown price counts (default: refuse)")] = (
        None
    )

    def make_budget(self) -> Budget:
        """
        Return the budget of the server.
        """
        units = _DEFAULT_UNITS if self.max_units is None and self.max_cost is None else self.max_units
        return Budget(
            units=units,
            cost=self.max_cost,
            unknown=unknown_amount(self.unknown_units),
        )


@with_option_groups
def mcp(*, options: McpOptions, service: EmulatedServiceOptions) -> None:
    """
    Let agents generate: a Model Context Protocol server.

    The program that starts it is served over stdio, unless there is --http.
    """
    try:
        from kling_async.integrations.mcp import TaskLog  # noqa: PLC0415 (the SDK takes 2 s)
    except ImportError as error:
        if error.name not in {"mcp", "jinja2", "PIL"}:
            raise
        print_error(str(error))
        raise typer.Exit(ExitCode.USAGE) from None
    token = os.environ.get(_TOKEN) or None
    address = None if options.http is None else parse_address(options.http, "--http")
    if address is not None and token is None and not is_surely_local(address[0]):
        what = f"others could spend your money: set {_TOKEN}, or listen on 127.0.0.1"
        raise typer.BadParameter(what, param_hint="--http")
    if address is not None and address[0] in _WILDCARDS and not options.host_name:
        what = f"requests to {address[0]} come by another name, and are refused without it: add --host-name NAME"
        raise typer.BadParameter(what, param_hint="--http")
    if service.is_emulated:
        require_pillow()
    folder = options.folder.expanduser().absolute()
    make_folder(folder, "--folder")
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    run(_serve(options, service, TaskLog(folder / TaskLog.NAME), address, token))


async def _serve(
    options: McpOptions,
    service: EmulatedServiceOptions,
    log: "TaskLog",
    address: tuple[str, int] | None,
    token: str | None,
) -> ExitCode:
    from kling_async.integrations.mcp import AgentService, make_server, serve_stdio  # noqa: PLC0415

    budget = options.make_budget()
    async with contextlib.AsyncExitStack() as stack:
        emulator = await stack.enter_async_context(service.make_emulator()) if service.is_emulated else None
        client = service.make_client(emulator, on_event=log.note, budget=budget)
        operations = AgentService.of(client, budget, log, log.path.parent, is_remote=address is not None)
        server = make_server(operations)
        with contextlib.suppress(asyncio.CancelledError):  # Ctrl-C is the normal end of this command
            if address is None:
                if sys.stdin.isatty():
                    print_error(*_NOT_FOR_PEOPLE)
                await serve_stdio(server)
            elif not await _serve_http(server, address, token, options.host_name or (), operations.stopping.set):
                return ExitCode.USAGE
    running = len(client.unfinished)
    print_error(
        f"Spent: {budget.spent}.", *([f"Still running: {plural(running, 'task')}; see {log.path}"] if running else [])
    )
    return ExitCode.SUCCESS


async def _serve_http(
    server: "MCPServer[None]",
    address: tuple[str, int],
    token: str | None,
    host_names: Sequence[str],
    on_stop: Callable[[], object],
) -> bool:
    # Return whether the address can be used.
    from kling_async.integrations.mcp import listen, serve_http  # noqa: PLC0415

    try:
        listener = listen(*address)
    except OSError as error:
        print_error(f"Cannot listen on {address[0]}:{address[1]}: {error.strerror or error}.")
        return False
    host, port = listener.getsockname()[:2]
    print_error(f"Serving at http://{f'[{host}]' if ':' in host else host}:{port}/mcp (press Ctrl-C to stop)")
    await serve_http(server, listener, token=token, host_names=host_names, on_stop=on_stop)
    return True
