"""
A Model Context Protocol server, with which agents make pictures and videos. Needs the extra "mcp".

`kling-async mcp` runs it.
"""

try:
    import mcp.server.mcpserver as _sdk  # noqa: F401 (a release before 2.3 has no such module)
except ModuleNotFoundError as _error:
    if (_error.name or "").partition(".")[0] != "mcp":
        raise
    what = 'the MCP server needs the SDK "mcp", 2.3 or later: pip install "kling-async[mcp]"'
    raise ImportError(what, name="mcp") from None

from kling_async.integrations.mcp.server import make_server
from kling_async.integrations.mcp.service import AgentService
from kling_async.integrations.mcp.serving import listen, serve_http, serve_stdio
from kling_async.integrations.mcp.task_log import TaskLog

__all__ = ["AgentService", "TaskLog", "listen", "make_server", "serve_http", "serve_stdio"]
