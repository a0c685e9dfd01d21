#!/usr/bin/env bash
# The MCP SDK 2.3.0 calls a tool without the arguments that it does not know, and says nothing; fastmcp 4.2.3 refuses.
#
# The SDK makes a pydantic model of a tool's signature, which ignores further fields, and the schema that it shows does
# not say `additionalProperties: false`. A number in quotation marks is taken for a number.
#
# One would guess that a misspelled argument is an error: models misspell them, and the tool then does something else
# than what was asked for. Where a call costs money, it is spent.
#
# What follows: compare the names of the arguments with those of the schema before the tool runs.
#
# Seen output:
#
#     mcp 2.3.0: copise=9 gives 1 copy of a fox, copies="3" gives 3 copies of a fox
#     fastmcp 4.2.3: copise=9 is refused, copies="3" gives 3 copies of a fox
#
# Ends with another code than 0 where one of them behaves otherwise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/program.py" <<'PY'
import asyncio
import importlib.metadata
import sys

name = sys.argv[1]
if name == "mcp":
    from mcp.client import Client
    from mcp.server.mcpserver import MCPServer as Server
else:
    from fastmcp import Client, FastMCP as Server

server = Server("example")


@server.tool()
async def draw(prompt: str, copies: int = 1) -> str:
    return f"{copies} {'copy' if copies == 1 else 'copies'} of {prompt}"


async def outcome(client, **arguments):
    try:
        result = await client.call_tool("draw", {"prompt": "a fox", **arguments})
    except Exception:
        return "is refused"
    return "is refused" if getattr(result, "is_error", False) else f"gives {result.content[0].text}"


async def main():
    async with Client(server) as client:
        misspelled = await outcome(client, copise=9)
        quoted = await outcome(client, copies="3")
    print(f'{name} {importlib.metadata.version(name)}: copise=9 {misspelled}, copies="3" {quoted}')


asyncio.run(main())
PY
for package in mcp==2.3.0 fastmcp==4.2.3; do
    python3 -m venv "$folder/$package"
    "$folder/$package/bin/pip" install --quiet --disable-pip-version-check "$package"
    "$folder/$package/bin/python" "$folder/program.py" "${package%%==*}" 2> "$folder/log"
done | tee "$folder/output"
diff - "$folder/output" <<'EXPECTED'
mcp 2.3.0: copise=9 gives 1 copy of a fox, copies="3" gives 3 copies of a fox
fastmcp 4.2.3: copise=9 is refused, copies="3" gives 3 copies of a fox
EXPECTED
