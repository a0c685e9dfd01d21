#!/usr/bin/env bash
# An exception inside `with filesystem.open(..., "wb")` does not stop s3fs from storing the object.
#
# Versions: s3fs and fsspec 2026.9.0, moto 5.2.5 as the service.
#
# An object in S3 appears when its upload is completed; one that is given up leaves nothing. A program writes 6 MiB of
# a longer file and fails inside the `with` block. On its way out, the block closes the file, and closing completes the
# upload. The object is there, too short, and looks whole; it takes the place of an earlier one as well. In a
# transaction (`filesystem.transaction`) the upload is given up.
#
# One would guess that leaving the block by an exception gives the upload up, since S3 can.
#
# What follows: write inside a transaction, or under a name of its own that is renamed at the end.
#
# Seen output:
#
#     before: 4 bytes
#     after a failure: 6291456 bytes
#     after a failure in a transaction: 4 bytes
#
# Ends with another code than 0 where s3fs behaves otherwise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    "s3fs==2026.9.0" "fsspec==2026.9.0" "aiobotocore==3.10.0" "boto3==1.43.117" "moto[server]==5.2.5"
cat > "$folder/program.py" <<'PY'
import contextlib
import logging

import moto.server
import s3fs

logging.disable()
server = moto.server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
url = "http://{}:{}".format(*server.get_host_and_port())
filesystem = s3fs.S3FileSystem(key="key", secret="secret", endpoint_url=url, use_listings_cache=False)
filesystem.mkdir("bucket")


def fail_half_way(around):
    filesystem.pipe_file("bucket/video.mp4", b"good")
    with contextlib.suppress(RuntimeError), around:
        with filesystem.open("bucket/video.mp4", "wb", block_size=5 * 2**20) as file:
            file.write(bytes(6 * 2**20))
            raise RuntimeError("the rest could not be made")
    return filesystem.size("bucket/video.mp4")


filesystem.pipe_file("bucket/video.mp4", b"good")
print("before:", filesystem.size("bucket/video.mp4"), "bytes")
print("after a failure:", fail_half_way(contextlib.nullcontext()), "bytes")
print("after a failure in a transaction:", fail_half_way(filesystem.transaction), "bytes")
server.stop()
PY
"$folder/venv/bin/python" "$folder/program.py" | tee "$folder/output"
diff - "$folder/output" <<'EXPECTED'
before: 4 bytes
after a failure: 6291456 bytes
after a failure in a transaction: 4 bytes
EXPECTED
