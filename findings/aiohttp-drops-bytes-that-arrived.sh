#!/usr/bin/env bash
# The client of aiohttp 3.14.5 keeps back bytes that it has received once the connection has broken.
#
# A server announces 100,000 bytes, sends 60,000 and closes. A caller that has read the 60,000 bytes before the
# connection breaks has them, and gets ClientPayloadError afterwards. A caller that first reads after the break gets
# ClientPayloadError at once and no byte at all, though the 60,000 are in the buffer of the response.
#
# One would guess that a stream gives what it has before it raises, or with the error, as asyncio does by
# IncompleteReadError.
#
# What follows: how much of a broken download is left does not depend on the network alone but on how soon the caller
# reads. Whoever resumes downloads should read without a pause, or a resume fetches again what was already here.
#
# Seen output:
#
#     read before the break: 60000 bytes, then ClientPayloadError
#     read after the break: 0 bytes, then ClientPayloadError
#
# Ends with another code than 0 where aiohttp behaves otherwise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "aiohttp==3.14.5"
"$folder/venv/bin/python" - <<'PY'
import asyncio

import aiohttp


async def read_all(content):
    count = 0
    try:
        while piece := await content.readany():
            count += len(piece)
            if count == 60_000:
                may_close.set()
    except aiohttp.ClientPayloadError:
        return count
    raise SystemExit("the body was taken for whole")


async def answer(reader, writer):
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + bytes(60_000))
    await may_close.wait()
    writer.close()


async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = "http://127.0.0.1:{}/".format(server.sockets[0].getsockname()[1])
    async with aiohttp.ClientSession() as session:
        async with session.get(url) as response:
            before = await read_all(response.content)
        may_close.set()
        async with session.get(url) as response:
            while response.content.exception() is None:
                await asyncio.sleep(0.01)
            after = await read_all(response.content)
    server.close()
    print(f"read before the break: {before} bytes, then ClientPayloadError")
    print(f"read after the break: {after} bytes, then ClientPayloadError")
    assert (before, after) == (60_000, 0)


may_close = asyncio.Event()
asyncio.run(main())
PY
