#!/usr/bin/env bash
# What orjson.dumps returns occupies 4 KiB, however short it is.
#
# Version: orjson 3.13.0, on CPython 3.11 on Linux.
#
# orjson writes into a buffer of 4 KiB and returns that as the bytes object, without giving back what was not needed.
# `len` and `sys.getsizeof` show the short text; tracemalloc and the memory of the process show the buffer.
#
# One would guess that a program saves memory if it keeps JSON in place of the dictionaries that were read from it.
#
# What follows: copy what is kept, by `bytes(memoryview(text))`. `bytes(text)` and `text[:]` return the same object.
#
# Seen output:
#
#     as returned: 15 bytes long, 48 by getsizeof, 4089 held, 4.0 KiB of the process
#     copied: 15 bytes long, 48 by getsizeof, 48 held
#
# Ends with another code than 0 where orjson behaves otherwise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "orjson==3.13.0"
cat > "$folder/program.py" <<'PY'
import resource
import sys
import tracemalloc

import orjson

COUNT = 20_000


def held(write):
    kept = [None] * COUNT
    tracemalloc.start()
    for number in range(COUNT):
        kept[number] = write({"id": 12345678})
    size = tracemalloc.get_traced_memory()[0] / COUNT
    tracemalloc.stop()
    return kept[0], round(size)


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


copy, of_copy = held(lambda value: bytes(memoryview(orjson.dumps(value))))
before = peak()
text, of_text = held(orjson.dumps)
grown = (peak() - before) / COUNT
print(f"as returned: {len(text)} bytes long, {sys.getsizeof(text)} by getsizeof, {of_text} held, {grown:.1f} KiB of the process")
print(f"copied: {len(copy)} bytes long, {sys.getsizeof(copy)} by getsizeof, {of_copy} held")
sys.exit(not (of_text > 4000 and grown > 3 and of_copy < 100))
PY
"$folder/venv/bin/python" "$folder/program.py"
