#!/usr/bin/env bash
# cattrs writes bytes into JSON in two ways, by the JSON library behind it, and reads one as the other without an
# error.
#
# Versions: cattrs 26.2.1, orjson 3.13.0, msgspec 0.23.0.
#
# `cattrs.preconf` has converters for several JSON libraries. Those for `json` and `orjson` write bytes as Base85, the
# one for `msgspec` as Base64. The alphabets overlap. So what a program wrote with msgspec, another one that uses
# orjson structures into the same class: no error, other bytes. The other way round there is an error, mostly.
#
# One would guess that the converters differ in speed, not in what they write, and that bytes are Base64 in JSON.
#
# What follows: changing the JSON library changes the format of what is stored. Where bytes go to a service that asks
# for Base64, keep the Base64 text in a `str`, or register a hook for bytes.
#
# Seen output:
#
#     json: {"data": "Xk~0{Zy;-IX>Ml"}
#     orjson: {"data":"Xk~0{Zy;-IX>Ml"}
#     msgspec: {"data":"aGVsbG8ga2xpbmc="}
#     msgspec's text, read by orjson's converter: b'p\x9c\x14\xae2\x17\xef\xc8\xb9t\xa2U'
#
# Ends with another code than 0 where cattrs behaves otherwise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "cattrs==26.2.1" "orjson==3.13.0" "msgspec==0.23.0"
cat > "$folder/program.py" <<'PY'
import attrs
import cattrs.preconf.json
import cattrs.preconf.msgspec
import cattrs.preconf.orjson


@attrs.frozen
class File:
    data: bytes


def written(library):
    text = getattr(cattrs.preconf, library).make_converter().dumps(File(b"hello kling"))
    return text if isinstance(text, str) else text.decode()


print("json:", written("json"))
print("orjson:", written("orjson"))
print("msgspec:", written("msgspec"))
print("msgspec's text, read by orjson's converter:", end=" ")
print(cattrs.preconf.orjson.make_converter().loads(written("msgspec"), File).data)
PY
"$folder/venv/bin/python" "$folder/program.py" | tee "$folder/output"
diff - "$folder/output" <<'EXPECTED'
json: {"data": "Xk~0{Zy;-IX>Ml"}
orjson: {"data":"Xk~0{Zy;-IX>Ml"}
msgspec: {"data":"aGVsbG8ga2xpbmc="}
msgspec's text, read by orjson's converter: b'p\x9c\x14\xae2\x17\xef\xc8\xb9t\xa2U'
EXPECTED
