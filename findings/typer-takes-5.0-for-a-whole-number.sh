#!/usr/bin/env bash
# typer 0.29.2 takes "5.0" for an `int`; typer 0.28.0 refuses it.
#
# Since 0.29 typer lets pydantic read the words of the command line, in pydantic's lenient way: a number with nothing
# but zeros behind the point is a whole number. "5.5" and "1e1" are refused as before. Before, an `int` was read by
# Python's `int`, which refuses "5.0".
#
# One would guess that a minor release keeps what a parameter accepts, and that `int` means what it means in Python.
#
# What follows: a test that relies on the refusal fails with the new release.
#
# Seen output:
#
#     typer 0.28.0: 5.0 refused, 5.5 refused, 1e1 refused
#     typer 0.29.2: 5.0 gives 5, 5.5 refused, 1e1 refused
#
# Ends with another code than 0 where typer behaves otherwise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/program.py" <<'PY'
import importlib.metadata

import typer
import typer.testing

app = typer.Typer()


@app.command()
def show(number: int):
    print(repr(number))


def outcome(word):
    result = typer.testing.CliRunner().invoke(app, [word])
    return f"{word} gives {result.output.strip()}" if result.exit_code == 0 else f"{word} refused"


print(f"typer {importlib.metadata.version('typer')}:", ", ".join(outcome(word) for word in ("5.0", "5.5", "1e1")))
PY
for version in 0.28.0 0.29.2; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install --quiet --disable-pip-version-check "typer==$version"
    "$folder/$version/bin/python" "$folder/program.py"
done | tee "$folder/output"
diff - "$folder/output" <<'EXPECTED'
typer 0.28.0: 5.0 refused, 5.5 refused, 1e1 refused
typer 0.29.2: 5.0 gives 5, 5.5 refused, 1e1 refused
EXPECTED
