#!/usr/bin/env bash
# A client of the MCP SDK 2.3.0 asks for the list of tools after a call, and drops the call's result if that fails.
#
# The client checks a structured result against the schema of its tool. If it has not listed the tools before, it does so
# when the result is there. An error of that second request is raised by `call_tool`, in place of the result.
#
# One would guess that `call_tool` is one request, and that an error of it is an error of the call.
#
# What follows: a call that has run, and that may have been paid for, looks as if it had failed, such as when the server
# stops after its answer. List the tools once before the first call.
#
# Seen output:
#
#     mcp 2.3.0
#     the list works: the tool ran, then tools/list, and the result is {'cost': 1}
#     the list fails: the tool ran, then tools/list, and the result is MCPError: the list is broken
#     listed before: the tool ran, and the result is {'cost': 1}
#
# Ends with another code than 0 where the SDK behaves otherwise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/program.py" <<'PY'
import asyncio
import importlib.metadata

from mcp.client import Client
from mcp.server.mcpserver import MCPServer
from mcp.shared.exceptions import MCPError

seen = []
is_broken = False


async def watch(context, call_next):
    if context.method == "tools/list":
        seen.append("then tools/list")
        if is_broken:
            raise MCPError(code=-32603, message="the list is broken")
    return await call_next(context)


server = MCPServer("example", middleware=[watch])


@server.tool()
async def draw() -> dict[str, int]:
    seen.append("the tool ran")
    return {"cost": 1}


async def outcome(case, *, breaks, lists_before=False):
    global is_broken
    is_broken = False
    async with Client(server) as client:
        if lists_before:
            await client.list_tools()
        is_broken = breaks
        seen.clear()
        try:
            result = (await client.call_tool("draw")).structured_content
        except MCPError as error:
            result = f"MCPError: {error.message}"
    print(f"{case}: {', '.join(seen)}, and the result is {result}")


async def main():
    print("mcp", importlib.metadata.version("mcp"))
    await outcome("the list works", breaks=False)
    await outcome("the list fails", breaks=True)
    await outcome("listed before", breaks=True, lists_before=True)


asyncio.run(main())
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "mcp==2.3.0"
"$folder/venv/bin/python" "$folder/program.py" | tee "$folder/output"
diff - "$folder/output" <<'EXPECTED'
mcp 2.3.0
the list works: the tool ran, then tools/list, and the result is {'cost': 1}
the list fails: the tool ran, then tools/list, and the result is MCPError: the list is broken
listed before: the tool ran, and the result is {'cost': 1}
EXPECTED
