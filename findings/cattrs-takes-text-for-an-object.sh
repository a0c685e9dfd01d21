#!/usr/bin/env bash
# cattrs 26.2.1 structures a text or a list as an attrs class whose fields all have defaults.
#
# The function that cattrs makes for a class asks for each field with a default whether its name is `in` the value. A
# text and a list can be asked that, too. So "not found" or ["not found"] becomes an object of nothing but defaults, as
# {} does. Whether a text is refused depends on its words: it is when the name of a field occurs in it, as in "no
# size". With `forbid_extra_keys=True` both end in an AttributeError, but then a field that a newer service adds is
# refused, too.
#
# One would guess that a class is structured from a mapping only, as a class with a required field is.
#
# What follows: where a service may answer a text or a list in place of an object, look at the type first; an answer of
# defaults only may be none.
#
# Seen output:
#
#     {} -> Options(size='1k', count=1)
#     ['not found'] -> Options(size='1k', count=1)
#     'not found' -> Options(size='1k', count=1)
#     'no size' -> ClassValidationError
#     None -> TypeError
#
# Ends with another code than 0 where cattrs behaves otherwise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "cattrs==26.2.1"
cat > "$folder/program.py" <<'PY'
import attrs
import cattrs


@attrs.frozen
class Options:
    size: str = "1k"
    count: int = 1


converter = cattrs.Converter()
for value in ({}, ["not found"], "not found", "no size", None):
    try:
        print(f"{value!r} -> {converter.structure(value, Options)}")
    except Exception as error:
        print(f"{value!r} -> {type(error).__name__}")
PY
"$folder/venv/bin/python" "$folder/program.py" | tee "$folder/output"
diff - "$folder/output" <<'EXPECTED'
{} -> Options(size='1k', count=1)
['not found'] -> Options(size='1k', count=1)
'not found' -> Options(size='1k', count=1)
'no size' -> ClassValidationError
None -> TypeError
EXPECTED
