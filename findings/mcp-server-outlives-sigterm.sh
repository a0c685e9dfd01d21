#!/usr/bin/env bash
# A server of the MCP SDK 2.3.0 on stdio does not end when it is cancelled, such as by SIGTERM, while stdin is open.
#
# The SDK reads stdin in a thread, and anyio waits for its threads when it is cancelled. The lifespan of the server is
# left at once, so what it closes is closed; then the process waits for a line or the end of stdin. A client that closes
# stdin first, as the SDK's own does, sees nothing of it.
#
# One would guess that cancelling `run_stdio_async()`, which is what asyncio does at Ctrl-C, ends it.
#
# What follows: a supervisor that sends SIGTERM and waits gets to SIGKILL. Give the SDK a pipe for stdin that the
# program itself can end.
#
# Seen output:
#
#     mcp 2.3.0: lifespan left: True, still running after 3 s: True, ended after stdin was closed: True
#
# Ends with another code than 0 where the SDK behaves otherwise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/server.py" <<'PY'
import asyncio
import contextlib
import signal
import sys

from mcp.server.mcpserver import MCPServer


@contextlib.asynccontextmanager
async def lifespan(_):
    print("ready", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        print("left", file=sys.stderr, flush=True)


async def main():
    aio_task = asyncio.current_task()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, aio_task.cancel)
    await MCPServer("example", lifespan=lifespan).run_stdio_async()


asyncio.run(main())
PY
cat > "$folder/program.py" <<'PY'
import importlib.metadata
import pathlib
import signal
import subprocess
import sys

server = pathlib.Path(__file__).with_name("server.py")
pipe = subprocess.PIPE
process = subprocess.Popen([sys.executable, str(server)], stdin=pipe, stdout=pipe, stderr=pipe, text=True)
assert process.stderr.readline() == "ready\n"
process.send_signal(signal.SIGTERM)
has_left = process.stderr.readline() == "left\n"
try:
    process.wait(3)
    is_running = False
except subprocess.TimeoutExpired:
    is_running = True
process.stdin.close()
has_ended = process.wait(30) is not None
print(
    f"mcp {importlib.metadata.version('mcp')}: lifespan left: {has_left}, still running after 3 s: {is_running}, "
    f"ended after stdin was closed: {has_ended}"
)
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "mcp==2.3.0" "anyio==4.16.0"
"$folder/venv/bin/python" "$folder/program.py" | tee "$folder/output"
diff - "$folder/output" <<'EXPECTED'
mcp 2.3.0: lifespan left: True, still running after 3 s: True, ended after stdin was closed: True
EXPECTED
