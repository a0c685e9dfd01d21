#!/usr/bin/env bash
# The newest aioresponses installs beside aiohttp 3.14 without a complaint and cannot make a single response with it.
#
# Versions: aioresponses 0.7.9, aiohttp 3.14.5.
#
# aioresponses stands in for a server in tests. It asks for `aiohttp<4.0,>=3.8`, so pip installs the two together, and
# `pip check` finds nothing. Each mocked response then ends in a TypeError from inside: since 3.14 aiohttp's
# ClientResponse has a required argument, `stream_writer`, that aioresponses does not give. A mocked exception is
# raised as it should be, so a suite that mocks failures only passes.
#
# One would guess that a release that allows all of aiohttp 3 works with it, or that pip refuses the pair.
#
# What helps: `response_class=` with a subclass of ClientResponse whose `__init__` adds that argument.
#
# Seen output:
#
#     pip check: No broken requirements found.
#     mocked exception: ServerDisconnectedError
#     mocked response: TypeError: ClientResponse.__init__() missing 1 required keyword-only argument: 'stream_writer'
#     mocked response of a subclass: hello
#
# Ends with another code than 0 where this has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "aioresponses==0.7.9" "aiohttp==3.14.5"
cat > "$folder/program.py" <<'PY'
import asyncio
import types

import aiohttp
import aioresponses


class Response(aiohttp.ClientResponse):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, stream_writer=types.SimpleNamespace(output_size=0), **kwargs)


async def fetch(**mocked):
    with aioresponses.aioresponses() as service:
        service.get("http://service.example/", **mocked)
        async with aiohttp.ClientSession() as session, session.get("http://service.example/") as response:
            return await response.text()


async def main():
    try:
        await fetch(exception=aiohttp.ServerDisconnectedError())
    except aiohttp.ServerDisconnectedError as error:
        print("mocked exception:", type(error).__name__)
    try:
        await fetch(body="hello")
    except TypeError as error:
        print("mocked response: TypeError:", error)
    print("mocked response of a subclass:", await fetch(body="hello", response_class=Response))


asyncio.run(main())
PY
{
    echo "pip check: $("$folder/venv/bin/pip" check --disable-pip-version-check 2>/dev/null)"
    "$folder/venv/bin/python" "$folder/program.py"
} | tee "$folder/output"
diff - "$folder/output" <<'EXPECTED'
pip check: No broken requirements found.
mocked exception: ServerDisconnectedError
mocked response: TypeError: ClientResponse.__init__() missing 1 required keyword-only argument: 'stream_writer'
mocked response of a subclass: hello
EXPECTED
