#!/usr/bin/env bash
# What an ASGI server does with the rest of a request body when the application answers before it has read it.
#
# Versions: hypercorn 0.18.0, granian 2.8.9, uvicorn 0.54.0, on Python 3.11 or later.
#
# The application answers every POST with 413 at once and reads nothing. The sender is http.client of the standard
# library: it sends the whole body (12 MB, valid HTTP/1.1 with its Content-Length) and reads the answer afterwards.
#
# Seen: uvicorn reads the rest of the body and throws it away, so the sender gets its 413. hypercorn and granian close
# the connection right after the answer, so the sender fails with BrokenPipeError or ConnectionResetError while it is
# still sending, and never sees the 413. The ASGI specification asks for neither.
#
# What follows: an application that wants a plain sender to see its refusal has to read on and discard, within a bound,
# before it answers. The last run shows that this helps behind all three.
#
# Exits with 0 while this is so, and with 1 when one of the servers behaves otherwise.
set -euo pipefail

folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet hypercorn==0.18.0 granian==2.8.9 uvicorn==0.54.0

cat > app.py <<'PYTHON'
async def answer(send):
    await send({"type": "http.response.start", "status": 413, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


async def at_once(scope, receive, send):
    if scope["type"] == "http":
        await answer(send)


async def after_reading(scope, receive, send):
    if scope["type"] == "http":
        while (await receive()).get("more_body"):
            pass
        await answer(send)
PYTHON

cat > sender.py <<'PYTHON'
import http.client, socket, sys, time

port = int(sys.argv[1])
for _ in range(200):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        break
    except OSError:
        time.sleep(0.1)
caller = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
try:
    caller.request("POST", "/", bytes(12_000_000))
    print(caller.getresponse().status)
except ConnectionError:
    print("closed")
PYTHON

port=18431
try() {  # try NAME EXPECTED COMMAND...: start a server, send once, compare
    local name=$1 expected=$2 seen
    shift 2
    "$@" > "$name.log" 2>&1 &
    server=$!
    seen=$(venv/bin/python sender.py "$port")
    kill "$server"; wait "$server" 2>/dev/null || true; server=
    echo "$name: $seen (expected: $expected)"
    port=$((port + 1))
    [ "$seen" = "$expected" ]
}

for way in at_once after_reading; do
    late=413; [ "$way" = at_once ] && late=closed
    try "uvicorn-$way" 413 venv/bin/uvicorn --lifespan off --port "$port" "app:$way"
    try "hypercorn-$way" "$late" venv/bin/hypercorn --bind "127.0.0.1:$port" "app:$way"
    try "granian-$way" "$late" venv/bin/granian --interface asginl --host 127.0.0.1 --port "$port" "app:$way"
done
