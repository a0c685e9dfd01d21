"""
The server: a client for the time that it runs, its tools, and the saved files as resources.
"""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.server.mcpserver.resources import ResourceSecurity

from kling_async import __version__
from kling_async.integrations.mcp.contents import mime_type_of
from kling_async.integrations.mcp.service import AgentService
from kling_async.integrations.mcp.tools import make_tools

__all__ = ["READ_MAX", "make_server"]

READ_MAX: Final = 16 * 1024 * 1024
"""
Bytes of a saved file that is read as a resource.
"""

_SUFFIXES: Final = (".png", ".jpg", ".webp", ".gif", ".mp4", ".mov", ".webm", ".mp3", ".wav", ".m4a")

_INSTRUCTIONS: Final = """\
Generates pictures, videos and sounds with Kling. Tools whose description says COSTS MONEY pay for each call: for a task
that is still running, call wait_for_task with its id, not these again. After a call that was cancelled or timed out,
call list_tasks first: its task may exist. A task cannot be cancelled. Files are saved in {folder}.
This server spends at most {limit}; get_account says what is left.
"""


def make_server(service: AgentService) -> MCPServer[None]:
    """
    Make a server for one run: it closes the client at its end.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_: MCPServer[None]) -> AsyncIterator[None]:
        async with service.client:
            yield

    server = MCPServer(
        "kling-async",
        title="Kling",
        version=__version__,
        instructions=_INSTRUCTIONS.format(folder=service.folder, limit=service.spending.budget.limit),
        tools=make_tools(service),
        lifespan=lifespan,
        log_level="WARNING",
    )
    for suffix in _SUFFIXES:
        _add_files(server, service.folder, suffix)
    return server


def _add_files(server: MCPServer[None], folder: Path, suffix: str) -> None:
    # A template for each kind of file, since a template has one media type.
    @server.resource(
        f"file://{{+path}}{suffix}",
        name=f"saved{suffix}",
        description=f"A saved {suffix} file of at most {READ_MAX // 1024**2} MiB, at the address that a link gave.",
        mime_type=mime_type_of(Path(f"x{suffix}")),
        security=ResourceSecurity(exempt_params=frozenset({"path"})),  # which `_read` checks
    )
    def read_saved_file(path: str) -> bytes:
        return _read(Path(path + suffix), folder)


def _read(path: Path, folder: Path) -> bytes:
    # Only files that were saved: the caller may be on another machine.
    file = path.resolve()
    if not file.is_relative_to(folder.resolve()) or not file.is_file():
        raise ResourceNotFoundError(f"there is no saved file at {path}; list_tasks names those that were saved")
    if file.stat().st_size > READ_MAX:
        raise ResourceError(f"{path} has more than {READ_MAX} bytes; open it on the machine of the server")
    return file.read_bytes()
