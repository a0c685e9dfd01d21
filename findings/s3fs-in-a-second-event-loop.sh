#!/usr/bin/env bash
# Whoever makes an asynchronous S3FileSystem in a second `asyncio.run` gets that of the first run, and it fails.
#
# Versions: s3fs and fsspec 2026.9.0, moto 5.2.5 as the service.
#
# A coroutine makes `s3fs.S3FileSystem(asynchronous=True)` and writes an object. Run once by `asyncio.run`, it works.
# Run a second time, it fails with "Event loop is closed": fsspec keeps instances by their arguments, so the second
# call of the class gives the object of the first run, whose connections belong to a loop that is gone. It works where
# each run closes its session at the end, or where the call says `skip_instance_cache=True`.
#
# One would guess that an object that is made inside a coroutine belongs to the loop that runs it, all the more where
# the caller has asked for the asynchronous kind.
#
# What follows: a program or a suite of tests that runs more than one loop does one of the two. A run that failed
# before it could close its session is else what makes the next one fail.
#
# Seen output:
#
#     first run: stored
#     second run: HTTPClientError: An HTTP Client raised an unhandled exception: Event loop is closed
#     third run, skip_instance_cache: stored
#     two runs that close their sessions: stored, stored
#
# Ends with another code than 0 where s3fs behaves otherwise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    "s3fs==2026.9.0" "fsspec==2026.9.0" "aiobotocore==3.10.0" "boto3==1.43.117" "moto[server]==5.2.5"
cat > "$folder/program.py" <<'PY'
import asyncio
import logging

import moto.server
import s3fs

logging.disable()
server = moto.server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
url = "http://{}:{}".format(*server.get_host_and_port())
s3fs.S3FileSystem(key="key", secret="secret", endpoint_url=url).mkdir("bucket")


async def store(closes=False, **options):
    options = {"key": "key", "secret": "secret", "endpoint_url": url, **options}
    filesystem = s3fs.S3FileSystem(asynchronous=True, **options)
    session = await filesystem.set_session()
    try:
        await filesystem._pipe_file("bucket/object", b"content")
        if closes:
            await session.close()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "stored"


print("first run:", asyncio.run(store()))
print("second run:", asyncio.run(store()))
print("third run, skip_instance_cache:", asyncio.run(store(skip_instance_cache=True)))
closing = [asyncio.run(store(closes=True, key="other key")) for _ in range(2)]  # another key: another object
print("two runs that close their sessions:", ", ".join(closing))
server.stop()
PY
"$folder/venv/bin/python" "$folder/program.py" 2> "$folder/log" | tee "$folder/output"
diff - "$folder/output" <<'EXPECTED'
first run: stored
second run: HTTPClientError: An HTTP Client raised an unhandled exception: Event loop is closed
third run, skip_instance_cache: stored
two runs that close their sessions: stored, stored
EXPECTED
