#!/usr/bin/env bash
# The strong ETags of aiohttp's and Starlette's FileResponse name the time and the size of a file, not its content.
#
# Versions: aiohttp 3.14.5, starlette 1.10.0.
#
# A file of 1,000 times "a" is replaced by one of 1,000 times "b" that has the same modification time, as `cp -p`,
# `rsync --times` and deployments that set all times alike leave it. Both servers give both versions the same ETag,
# without the `W/` by which a server says that it does not vouch for each byte.
#
# One would guess that an ETag without `W/` differs where the bytes differ: HTTP calls it strong, and lets a client
# join parts of two answers that have the same one. Here the second half is asked for under the condition that the ETag
# is still that of the first answer. Both servers answer 206, and the joined file is half old and half new.
#
# (The condition is If-Match for aiohttp and If-Range for Starlette: neither compares the ETag of the other header.)
#
# Seen output:
#
#     aiohttp: same strong ETag, 206, joined: 500 a, 500 b
#     starlette: same strong ETag, 206, joined: 500 a, 500 b
#
# Ends with another code than 0 where one of them behaves otherwise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    "aiohttp==3.14.5" "starlette==1.10.0" "uvicorn==0.54.0"
cat > "$folder/program.py" <<'PY'
import asyncio
import contextlib
import os
import pathlib
import socket

import aiohttp
import aiohttp.web
import starlette.applications
import starlette.responses
import starlette.routing
import uvicorn

file = pathlib.Path(__file__).with_name("file.bin")


def write(letter):
    file.write_bytes(letter * 1000)
    os.utime(file, (1_700_000_000, 1_700_000_000))


@contextlib.asynccontextmanager
async def aiohttp_server(listener):
    async def send(request):
        return aiohttp.web.FileResponse(file)

    runner = aiohttp.web.ServerRunner(aiohttp.web.Server(send))
    await runner.setup()
    await aiohttp.web.SockSite(runner, listener).start()
    yield
    await runner.cleanup()


@contextlib.asynccontextmanager
async def starlette_server(listener):
    async def send(request):
        return starlette.responses.FileResponse(file)

    app = starlette.applications.Starlette(routes=[starlette.routing.Route("/", send)])
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    yield
    server.should_exit = True
    await serving


async def look(name, server, condition):
    listener = socket.create_server(("127.0.0.1", 0))
    url = "http://127.0.0.1:{}/".format(listener.getsockname()[1])
    async with server(listener), aiohttp.ClientSession() as session:
        write(b"a")
        async with session.get(url) as old:
            etag = old.headers["ETag"]
            first_half = (await old.read())[:500]
        write(b"b")
        async with session.get(url) as new:
            assert etag == new.headers["ETag"] and not etag.startswith("W/"), new.headers
        async with session.get(url, headers={"Range": "bytes=500-", condition: etag}) as rest:
            joined = first_half + await rest.read()
            assert rest.status == 206, rest.status
    assert joined == b"a" * 500 + b"b" * 500, joined
    print(f"{name}: same strong ETag, 206, joined: {joined.count(b'a')} a, {joined.count(b'b')} b")


async def main():
    await look("aiohttp", aiohttp_server, "If-Match")
    await look("starlette", starlette_server, "If-Range")


asyncio.run(main())
PY
"$folder/venv/bin/python" "$folder/program.py"
